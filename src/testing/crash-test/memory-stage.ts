// A database in memory for a crash test: as many as there are names, each new for each run.
import { DatabaseState } from '../../adapters/memory/store/database.ts'
import { type MemoryStore, memoryStoreOf } from '../../adapters/memory/store/store.ts'
import type { Sites } from './sites.ts'
import type { DatabaseStage, StageDatabase, StageLife, StageStep } from './stage.ts'
import { BEFORE } from './steps.ts'

/** What the invariant may ask of a database in memory. */
export interface MemoryFacts {
  /** A committed value of `tx.set`; a copy. */
  get(key: string): unknown
  /** All committed values of `tx.set`, those written first come first; copies. */
  entries(): readonly (readonly [key: string, value: unknown])[]
}

/** Databases in memory. The default of `world.database`. */
export function memoryStage(): DatabaseStage<MemoryStore, MemoryFacts> {
  return {
    name: 'memory',
    open: ({ name, clock }): StageDatabase<MemoryStore, MemoryFacts> => {
      let database = new DatabaseState({ clock })
      return {
        reset() {
          database = new DatabaseState({ clock })
        },
        connect: (life) => storeOf(life, name, database),
        facts: { get: (key) => database.read(key), entries: () => database.entries() },
        pending: () => database.outbox.backlog + database.states.waking,
        close: () => undefined,
      }
    },
  }
}

/** A life with the places of the user's code, where they are kept. */
interface SitedLife extends StageLife {
  readonly world?: { readonly sites: Sites | undefined; readonly record: readonly string[] | undefined } | undefined
}

/** A process's view of a database in memory: dropped transactions when it dies, steps at each call, `begin`, `commit` and `committed`. `change` breaks it on purpose. */
export function storeOf<L extends SitedLife>(
  life: L,
  name: string,
  database: DatabaseState,
  change: (store: MemoryStore, life: L) => MemoryStore = (store) => store,
): MemoryStore {
  const before = (operation: string): Promise<undefined> | undefined => {
    if (operation === 'begin' || operation === 'commit') return life.step(`${name}.${operation}`, nothing, ASIDE)
    return operation === 'committed' ? life.step(`${name}.committed`, nothing, BEHIND) : undefined
  }
  // That a transaction is begun inside another one is seen in the runs that are compared: those without any fault are among them.
  const raw = memoryStoreOf({ database, before: before as () => Promise<void> }, life.world?.record !== undefined)
  life.onDeath(() => raw.crash())
  const inner = change(raw, life)
  const sites = life.world?.sites
  // No getters here: V8 keeps the getter of an object of its own until the next full collection, and with it the run.
  return {
    ...inner,
    outbox: steps(life, `${name}.outbox`, inner.outbox),
    inbox: steps(life, `${name}.inbox`, inner.inbox),
    idempotency: steps(life, `${name}.idempotency`, inner.idempotency),
    states: steps(life, `${name}.states`, inner.states),
    checkpoints: steps(life, `${name}.checkpoints`, inner.checkpoints),
    transaction: (work) =>
      life.returning(sites === undefined ? inner.transaction(work) : sites.enter(() => inner.transaction(work))),
  }
}

// Lists are no promises, and listening is done within the process.
const NO_STEPS = new Set(['dead', 'list', 'listen', 'closing', 'claiming'])
// What is asked over and over where there is nothing to do.
const ASKED_OFTEN = new Set(['lease', 'pending', 'release', 'stats', 'due', 'purge', 'parked'])
const always = (): boolean => true
const nothing = (): undefined => undefined
const ASIDE: StageStep<undefined> = { kinds: BEFORE }
const BEHIND: StageStep<undefined> = { kinds: BEFORE, unanswered: true }
const nothingFound = (answer: unknown): boolean => !Array.isArray(answer) || answer.length === 0

/** What the calls of a part of a store go through. */
export interface Stepping {
  step(step: string, call: () => unknown, options: StageStep<any>, args: readonly unknown[]): Promise<unknown>
}

/** A part of a store, of which everything that answers with a promise is a step. */
export function steps<T extends object>(life: Stepping, name: string, part: T): T {
  const gated: Record<string, unknown> = { ...(part as Record<string, unknown>) }
  for (const method in gated) {
    const call = gated[method]
    if (typeof call !== 'function' || NO_STEPS.has(method)) continue
    const step = `${name}.${method}`
    const idle = ASKED_OFTEN.has(method) ? (method === 'lease' ? always : nothingFound) : undefined
    gated[method] = (...args: unknown[]) => {
      const options: StageStep<unknown> = { words: () => wordsOf(args), answer: answerOf, idle }
      return life.step(step, () => call.apply(part, args), options, args)
    }
  }
  return gated as T
}

function wordsOf(args: readonly unknown[]): string {
  return args
    .map((arg) => {
      if (!Array.isArray(arg))
        return typeof arg === 'string' || typeof arg === 'number' || typeof arg === 'bigint' ? String(arg) : ''
      return arg
        .map(nameOf)
        .filter((name) => name !== '')
        .join(' ')
    })
    .filter((words) => words !== '')
    .join(', ')
}

function nameOf(one: { envelope?: { id: string }; id?: string; verdict?: string; sequence?: bigint }): string {
  if (one?.envelope !== undefined) return one.envelope.id
  if (one?.verdict !== undefined) return `${one.verdict} ${one.sequence}`
  return one?.id ?? ''
}

function answerOf(answer: unknown): string {
  if (!Array.isArray(answer)) return typeof answer === 'number' ? String(answer) : ''
  const names = answer.map((one) => (typeof one === 'string' ? one : nameOf(one))).filter((name) => name !== '')
  return names.length > 0 ? names.join(' ') : String(answer.length)
}
