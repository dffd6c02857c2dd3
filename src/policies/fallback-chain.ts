// The chain of a fallback with its memory: which entry has an answer, and what was answered last.
import { FailureAnswer, FROM, type Provenance } from '../core/answer.ts'
import type { CallContext } from '../core/context.ts'
import { invalidOption } from '../core/options.ts'
import type { FairleadError } from '../errors/base.ts'
import type { Fallback, LastGoodFallback } from './fallback-entries.ts'
import { Kept } from './kept.ts'
import { requestKey } from './request-key.ts'
import type { World } from './seams.ts'

/** A step of the chain that has an answer, or is about to look for one. */
export interface Found {
  readonly index: number
  readonly entry: Fallback<unknown>
  readonly value?: unknown
  readonly ageMs?: number | undefined
}

interface Good {
  readonly value: unknown
  readonly at: number
}

/** Shared by all calls of a layer. */
export class Steps {
  readonly world: World
  readonly calls: boolean
  readonly #chain: readonly Fallback<unknown>[]
  readonly #memory: readonly (Kept<Good> | undefined)[]
  readonly #remembers: boolean

  constructor(chain: readonly Fallback<unknown>[], seen: World) {
    if (!Array.isArray(chain)) throw invalidOption('fallback', chain, 'give an array of lastGood(), value() and call()')
    chain.forEach((entry: Partial<Fallback<unknown>> | null | undefined, index) => {
      if (entry?.from !== 'lastGood' && entry?.from !== 'value' && entry?.from !== 'fallback')
        throw invalidOption(`fallback[${index}]`, entry, 'make it with lastGood(), value() or call()')
    })
    this.world = seen
    this.#chain = chain
    this.calls = chain.some(({ from }) => from === 'fallback')
    this.#memory = chain.map((entry) => (entry.from === 'lastGood' ? new Kept(entry.max) : undefined))
    this.#remembers = this.#memory.some((kept) => kept !== undefined)
  }

  get kept(): number {
    return this.#memory.reduce((sum, kept) => sum + (kept?.size ?? 0), 0)
  }

  /** From `start` on, the first entry that answers now, or that has to be called. Errors of entries are noted in `failed`. */
  find(
    start: number,
    request: unknown,
    context: CallContext,
    error: FairleadError,
    failed: unknown[],
  ): Found | undefined {
    for (let index = start; index < this.#chain.length; index++) {
      const entry = this.#chain[index] as Fallback<unknown>
      try {
        if (entry.when !== undefined && !entry.when(error)) continue
        if (entry.from === 'value') return { index, entry, value: entry.value }
        if (entry.from === 'fallback') {
          if (context.aborted === undefined && context.deadline.remainingMs() > 0) return { index, entry }
        } else {
          const good = this.#recall(entry, index, request, context)
          if (good !== undefined) return { index, entry, value: good.value, ageMs: this.world.clock.now() - good.at }
        }
      } catch (cause) {
        failed.push(cause)
      }
    }
    return undefined
  }

  #recall(entry: LastGoodFallback, index: number, request: unknown, context: CallContext): Good | undefined {
    const key = keyOf(entry, request, context)
    const kept = this.#memory[index]
    if (key === undefined || kept === undefined) return undefined
    const good = kept.get(key)
    if (good === undefined || this.world.clock.now() - good.at <= entry.maxAgeMs) return good
    kept.delete(key)
    return undefined
  }

  remember(request: unknown, answer: unknown, context: CallContext): void {
    if (!this.#remembers || answer instanceof FailureAnswer) return
    // An answer out of a cache inside is as old as it is there.
    const seen = context.locals.get(FROM) as Provenance | undefined
    // What the chain itself answered meanwhile says nothing of this answer.
    const ageMs = seen?.from === 'cache' || seen?.from === 'coalesced' ? (seen.ageMs ?? 0) : 0
    for (let index = 0; index < this.#memory.length; index++) {
      const entry = this.#chain[index] as Fallback<unknown>
      if (entry.from !== 'lastGood') continue
      try {
        const key = keyOf(entry, request, context)
        if (key !== undefined) this.#memory[index]?.set(key, { value: answer, at: this.world.clock.now() - ageMs })
      } catch {
        // A key that cannot be made costs the memory, never the good answer. It is told of when an answer is looked for.
      }
    }
  }
}

function keyOf(entry: LastGoodFallback, request: unknown, context: CallContext): string | undefined {
  if (entry.key !== undefined) return entry.key(request as never)
  return isPersonal(context) ? undefined : requestKey(request)
}

// Equal requests of two people may have two answers: without a key that says who asks, such an answer is not kept.
function isPersonal({ headers }: CallContext): boolean {
  for (const name in headers) if (PERSONAL.has(name.toLowerCase())) return true
  return false
}

const PERSONAL: ReadonlySet<string> = new Set(['authorization', 'cookie', 'proxy-authorization'])
