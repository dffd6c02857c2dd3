// Answers again what was asked before, and bridges failures with an answer that is a little too old (RFC 5861 section 4).
import { FailureAnswer, FROM, type Provenance } from '../core/answer.ts'
import type { CallContext } from '../core/context.ts'
import { type Describable, described, type LayerDescription } from '../core/describe.ts'
import { isRefusal, type Layer } from '../core/handler.ts'
import { countOption, durationOption, invalidOption, knownOptions } from '../core/options.ts'
import type { FairleadError } from '../errors/base.ts'
import { CODES } from '../errors/codes.ts'
import { asFairleadError, isDeadline, keyOfRequest, mayBeAnswered } from './failures.ts'
import { Kept } from './kept.ts'
import { SEAMS, type Seams, type World, world } from './seams.ts'

/** Options of the cache. */
export interface CacheOptions<Req = never> extends Seams {
  /** Requests with an equal key have the same answer. Put in it all that the answer depends on, who asks included. */
  readonly key: (request: Req) => string
  /** How long an answer is fresh, milliseconds from when it came. */
  readonly ttlMs: number
  /** For how long after that it may still stand in for a peer that fails, milliseconds. Default 0. */
  readonly staleIfErrorMs?: number | undefined
  /** How many answers are kept; the longest unused goes first. Default 1,000. */
  readonly max?: number | undefined
}

/**
 * Keeps answers in memory. What it gives is what was kept, not a copy: change nothing in it. Declared failures are not kept.
 *
 * A stale answer stands in where the peer fails (crash, omission, timing, 5xx, open circuit) and not where it answered soundly with a no:
 * a 404 or 403 drops it. Calls with one key at one time are not joined here; that is `coalesce`.
 * @example cache({ key: ({ sku }: StockRequest) => sku, ttlMs: 1_000, staleIfErrorMs: 60_000 })
 * @throws FairleadError `INVALID_OPTIONS`; a call rejects with `PROGRAMMING_ERROR` where `key` throws or gives no string
 */
export function cache<Req = never>(options: CacheOptions<Req>): Layer & Describable<LayerDescription> {
  knownOptions('cache', options, ['key', 'ttlMs', 'staleIfErrorMs', 'max', ...SEAMS])
  const { key: keyOf } = options
  if (typeof keyOf !== 'function')
    throw invalidOption('cache.key', keyOf, 'give a function from the request to a string')
  if (options.ttlMs === undefined)
    throw invalidOption('cache.ttlMs', undefined, 'say how long an answer is fresh, in milliseconds')
  const ttlMs = durationOption('cache.ttlMs', options.ttlMs, 0)
  const staleIfErrorMs = durationOption('cache.staleIfErrorMs', options.staleIfErrorMs, 0, 0)
  const max = countOption('cache.max', options.max, 1_000)
  const memory = new Memory(new Kept(max), ttlMs + staleIfErrorMs, world(options))

  const layer: Layer = (next) => (request, context) => {
    let key: string
    try {
      key = keyOfRequest(keyOf as (request: never) => string, request, 'cache', context)
    } catch (error) {
      return Promise.reject(error)
    }
    const now = memory.world.clock.now()
    const entry = memory.kept.get(key)
    if (entry !== undefined && now - entry.at < ttlMs)
      return Promise.resolve(memory.answer(entry, context, 'hit') as never)
    tell(memory.world, context, 'miss')
    const inner = next(request, context)
    if (isRefusal(inner)) {
      if (entry === undefined || !memory.standsIn(entry, key, asFairleadError(inner.refused, context))) return inner
      return Promise.resolve(memory.answer(entry, context, 'stale') as never)
    }
    if (entry === undefined || staleIfErrorMs === 0)
      return inner.then((answer) => {
        memory.keep(key, answer, now)
        return answer
      })
    return bridged(memory, key, entry, now, inner, context)
  }
  return described(layer, 'cache', { ttlMs, staleIfErrorMs, max }, () => ({ kept: memory.kept.size }))
}

interface Entry {
  readonly value: unknown
  /** When it came. */
  readonly at: number
  /** When it was asked for: of two answers the one asked for later is the newer. */
  readonly asked: number
}

class Memory {
  readonly kept: Kept<Entry>
  readonly world: World
  readonly #usableMs: number

  constructor(kept: Kept<Entry>, usableMs: number, seen: World) {
    this.kept = kept
    this.world = seen
    this.#usableMs = usableMs
  }

  keep(key: string, answer: unknown, asked: number): void {
    if (answer instanceof FailureAnswer) return
    const other = this.kept.get(key)
    if (other !== undefined && other.asked > asked) return
    this.kept.set(key, { value: answer, at: this.world.clock.now(), asked })
  }

  /** Whether an entry that is no longer fresh may stand in for this error. Where the peer is well and says no, it goes. */
  standsIn(entry: Entry, key: string, error: FairleadError): boolean {
    if (CODES[error.code].breaker === 'success') {
      if (this.kept.get(key) === entry) this.kept.delete(key)
      return false
    }
    return mayBeAnswered(error) && this.world.clock.now() - entry.at < this.#usableMs
  }

  answer(entry: Entry, context: CallContext, outcome: 'hit' | 'stale'): unknown {
    context.locals.set(FROM, { from: 'cache', ageMs: this.world.clock.now() - entry.at } satisfies Provenance)
    tell(this.world, context, outcome)
    return entry.value
  }
}

// With a stale answer in hand: it has to be given at the deadline too, for which the layer outside leaves one turn.
function bridged<Res>(
  memory: Memory,
  key: string,
  entry: Entry,
  asked: number,
  inner: PromiseLike<Res>,
  context: CallContext,
): Promise<Res> {
  return new Promise<Res>((resolve, reject) => {
    let open = true
    const fail = (error: unknown): void => {
      if (!open) return
      open = false
      const stale = context.aborted === undefined || isDeadline(context.aborted.reason)
      if (stale && memory.standsIn(entry, key, asFairleadError(error, context)))
        resolve(memory.answer(entry, context, 'stale') as Res)
      else reject(error)
    }
    inner.then((answer) => {
      memory.keep(key, answer, asked)
      if (!open) return
      open = false
      resolve(answer)
    }, fail)
    context.onAbort((reason) => {
      if (isDeadline(reason)) fail(reason)
    })
  })
}

function tell({ events }: World, { service, operation }: CallContext, outcome: 'hit' | 'miss' | 'stale'): void {
  if (events.heard) events.emit({ type: 'cache', service, operation, outcome })
}
