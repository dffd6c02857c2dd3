// How a broken copy of the memory store is made: the right one with a few of its answers changed.
import {
  type ManualTransaction,
  type MemoryDatabase,
  type MemoryStore,
  type MemoryTx,
  memoryDatabase,
  memoryStore,
} from '../../../src/adapters/memory/index.ts'
import type { Clock } from '../../../src/core/clock.ts'
import type { OutboxRow, PendingRow, Store } from '../../../src/core/contracts/store.ts'
import { createError } from '../../../src/errors/index.ts'
import { type FakeClock, fakeClock } from '../../../src/testing/fake-clock.ts'
import type { StoreLab } from '../../../src/testing/store-suite/index.ts'

type Parts = 'outbox' | 'inbox' | 'idempotency' | 'states' | 'checkpoints'

/** What a broken store does otherwise, part by part. */
export type StoreChange = Partial<Omit<Store<MemoryTx>, Parts>> & {
  readonly [Part in Parts]?: Partial<Store<MemoryTx>[Part]>
}

/** Makes the change of each store of one lab. What it remembers they share, as they share the tables. */
export type MakeStoreChange = (clock: FakeClock) => (real: MemoryStore) => StoreChange

/** A broken store. */
export interface StoreMutant {
  /** What is wrong with it. */
  readonly what: string
  /** The cases that have to find it, as the suite names them. */
  readonly caught: readonly string[]
  readonly make?: MakeStoreChange | undefined
  readonly lab?: LabChange | undefined
}

/** What a lab has that is broken itself. */
export interface LabChange {
  /** The clock of the database. */
  readonly clock?: ((clock: Clock) => Clock) | undefined
  /** What a restart does: with the tables, and with open transactions. */
  readonly restart?: 'forgets' | 'commits' | undefined
  /** What becomes of what users write. */
  readonly effects?: 'apart' | undefined
  /** Keeps what is published whether that is asked for or not. */
  readonly archive?: true | undefined
  /** What is done where no tables are. */
  readonly bare?: 'works' | 'again' | undefined
}

/** A lab of memory stores on a fake clock, all of them changed. */
export function memoryStoreLab(make?: MakeStoreChange, broken: LabChange = {}): StoreLab<MemoryTx> {
  const clock = fakeClock()
  let shifted = 0
  const shiftable: Clock = { ...clock, wallNow: () => clock.wallNow() + shifted }
  const fresh = (): MemoryDatabase => memoryDatabase({ clock: broken.clock?.(shiftable) ?? shiftable })
  let database = fresh()
  const bare = bareDatabase(shiftable, broken.bare)
  const change = make?.(clock)
  const changed = (real: MemoryStore): MemoryStore => (change === undefined ? real : over(real, change(real)))
  const views: { restart(): void }[] = []
  const connected: StoreLab<MemoryTx>['open'] = ({ archive = broken.archive, owner } = {}) => {
    const started = (): MemoryStore => memoryStore({ database, archive, owner })
    let real = started()
    views.push({
      restart() {
        if (broken.restart !== 'commits') {
          real.crash()
          real = started()
        }
      },
    })
    return changed(through(() => real))
  }
  return {
    open: connected,
    unmigrated: () => changed(bare()),
    clock,
    pass: (ms) => clock.advance(ms),
    begin: async () => memoryStore({ database }).begin(),
    async effect(tx, name) {
      if (broken.effects !== 'apart') tx.set(`effect ${name}`, true)
      else await memoryStore({ database }).transaction(async (own) => own.set(`effect ${name}`, true))
    },
    effects: async () => database.entries().map(([key]) => key.slice('effect '.length)),
    notTransactions: [database],
    levels: ['snapshot'],
    async restart() {
      if (broken.restart === 'forgets') database = fresh()
      for (const { restart } of views) restart()
    },
    async shiftDate(ms) {
      shifted = ms
      return async () => {
        shifted = 0
      }
    },
    // Short: what a mutant never does is waited for in vain.
    patienceMs: 100,
    quietMs: 20,
    heavy: 300,
  }
}

/** Some of its answers changed. */
export function over(real: MemoryStore, change: StoreChange): MemoryStore {
  return {
    ...real,
    ...change,
    outbox: { ...real.outbox, ...change.outbox },
    inbox: { ...real.inbox, ...change.inbox },
    idempotency: { ...real.idempotency, ...change.idempotency },
    states: { ...real.states, ...change.states },
    checkpoints: { ...real.checkpoints, ...change.checkpoints },
  }
}

// A store that may become another one behind its back.
function through(real: () => MemoryStore): MemoryStore {
  const part = <T extends object>(first: T, now: () => T): T =>
    Object.fromEntries(
      Object.entries(first).map(([name, value]) => [
        name,
        typeof value === 'function'
          ? (...given: unknown[]) =>
              ((now() as Record<string, unknown>)[name] as (...all: unknown[]) => unknown)(...given)
          : value,
      ]),
    ) as T
  return {
    ...part(real(), real),
    outbox: part(real().outbox, () => real().outbox),
    inbox: part(real().inbox, () => real().inbox),
    idempotency: part(real().idempotency, () => real().idempotency),
    states: part(real().states, () => real().states),
    checkpoints: part(real().checkpoints, () => real().checkpoints),
  }
}

// Tables that have to be made first, as a real database has it.
function bareDatabase(clock: Clock, broken: LabChange['bare']): () => MemoryStore {
  const database = memoryDatabase({ clock })
  let made = broken === 'works'
  return () => {
    const real = memoryStore({
      database,
      async before(operation) {
        if (!made && operation !== 'migrate')
          throw createError({ code: 'INCOMPATIBLE', message: 'there are no tables' })
      },
    })
    return {
      ...real,
      async migrate() {
        await real.migrate()
        const first = !made
        made = true
        return { applied: first || broken === 'again' ? ['001-tables'] : [] }
      },
    }
  }
}

/** Work in a transaction of its own, committed at once. */
export async function apart<T>(real: MemoryStore, work: (tx: MemoryTx) => Promise<T>): Promise<T> {
  const own: ManualTransaction = real.begin()
  const value = await work(own.tx)
  await own.commit()
  return value
}

/** Changes rows on their way in, and gives them out as they were, or as `out` has them. */
export function disguised(
  disguise: (row: OutboxRow) => OutboxRow,
  out: (row: PendingRow, original: OutboxRow) => PendingRow = (row, original) => ({ ...row, ...original }),
): MakeStoreChange {
  return () => {
    const originals = new Map<string, OutboxRow>()
    return (real) => ({
      outbox: {
        append(tx, rows) {
          const changed = rows.map(disguise)
          for (const [at, row] of rows.entries())
            originals.set((changed[at] as OutboxRow).envelope.id, structuredClone(row))
          return real.outbox.append(tx, changed)
        },
        pending: async (...args) =>
          (await real.outbox.pending(...args)).map((row) => out(row, originals.get(row.envelope.id) as OutboxRow)),
      },
    })
  }
}

/** The same key for what is not the same. */
export const keysBy = (name: (key: string) => string): MakeStoreChange =>
  disguised(({ channel, envelope }) => ({
    channel,
    envelope: envelope.key === undefined ? envelope : { ...envelope, key: name(envelope.key) },
  }))
