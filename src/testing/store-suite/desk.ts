// What cases work with: stores on one set of tables, rows to append, relays that remember what they leased.
import type { Random } from '../../core/clock.ts'
import { nextTurn, sleep, systemClock } from '../../core/clock.ts'
import type { DeadRow, OutboxRow, PartitionLease, PendingRow, RowVerdict, Store } from '../../core/contracts/store.ts'
import type { ChannelAddress, Envelope } from '../../core/message.ts'
import { demand } from '../assert.ts'
import { seededRandom } from '../seeded-random.ts'
import { type Waiting, waitingIn } from '../transport-suite/waiting.ts'
import type { StoreLab, StoreOpenOptions } from './lab.ts'

/** A store of whatever transactions: the suite only hands them on. */
export type AnyStore = Store<any>

/** A row in few words. Everything has a default. */
export interface RowSpec extends Partial<Envelope> {
  readonly channel?: string | undefined
}

/** A relay of the suite. */
export interface DeskRelay {
  readonly name: string
  /** What it leased the last time. */
  readonly leases: readonly PartitionLease[]
  readonly partitions: readonly number[]
  /** Asks again, for as long as it did first. What is beyond its share it gives back at once, or keeps among its leases. */
  renew(surplus?: 'keep' | undefined): Promise<readonly PartitionLease[]>
  pending(limit?: number | undefined): Promise<readonly PendingRow[]>
  /** Ids of what may be published. */
  ids(limit?: number | undefined): Promise<readonly string[]>
  /** Verdicts by id of what was pending when it looked the last time; see `look`. */
  settle(verdicts: Readonly<Record<string, Verdict>>): Promise<number>
  release(): Promise<void>
}

/** A verdict without its sequence. */
export type Verdict = RowVerdict extends infer Each ? (Each extends unknown ? Omit<Each, 'sequence'> : never) : never

/** What a case is given. */
export interface Desk extends Waiting {
  readonly lab: StoreLab
  readonly store: AnyStore
  /** On the same tables, as another process has it. */
  readonly other: AnyStore
  readonly random: Random
  /** How long leases and delays of the case last. */
  readonly leaseMs: number
  readonly heavy: number
  open(options?: StoreOpenOptions | undefined): Promise<AnyStore>
  /** One on tables that nobody has made. */
  openUnmigrated(options?: StoreOpenOptions | undefined): Promise<AnyStore>
  /** Runs at the end of the case, however it ends, before stores are closed: to let go of what would keep tables from being taken away. */
  onEnd(work: () => void): void
  /** A short and random while: a few turns, or milliseconds where time is real. */
  pause(): Promise<void>
  row(id: string, spec?: RowSpec | undefined): OutboxRow
  /** Appends in a transaction of its own. `k1:a` is the message `k1:a` of the key `k1`; without a colon it has no key. */
  publish(ids: readonly (string | OutboxRow)[], store?: AnyStore | undefined): Promise<void>
  /** A relay that has leased. Default: for a minute. */
  relay(name?: string | undefined, options?: { readonly store?: AnyStore; readonly forMs?: number }): Promise<DeskRelay>
  dead(limit?: number | undefined): Promise<readonly DeadRow[]>
}

/** A queue of that name. */
export const queue = (name: string): ChannelAddress => ({ kind: 'queue', name })

const LONG_MS = 60_000

/** Makes the desk of a case, and the way to clear it away. */
export async function deskIn(lab: StoreLab): Promise<{ readonly desk: Desk; readonly clear: () => Promise<void> }> {
  const opened: AnyStore[] = []
  const ends: (() => void)[] = []
  const clear = async (): Promise<void> => {
    for (const end of ends) end()
    for (const store of opened) await store.close()
  }
  const kept = async (made: AnyStore | Promise<AnyStore>): Promise<AnyStore> => {
    const store = await made
    opened.push(store)
    return store
  }
  const waiting = waitingIn({ ...lab, quietMs: lab.quietMs ?? 100 })
  const random = lab.random ?? seededRandom(1)
  try {
    const store = await kept(lab.open())
    const other = await kept(lab.open())
    const desk: Desk = {
      ...waiting,
      lab,
      store,
      other,
      random,
      leaseMs: lab.leaseMs ?? 1_000,
      heavy: lab.heavy ?? 1_000,
      open: (options) => kept(lab.open(options)),
      openUnmigrated: (options) => kept(lab.unmigrated?.(options) as AnyStore | Promise<AnyStore>),
      onEnd: (work) => void ends.push(work),
      async pause() {
        if (lab.pass === undefined) return sleep(systemClock, random() * 4)
        for (let turns = Math.floor(random() * 6); turns > 0; turns--)
          await new Promise<void>((resolve) => nextTurn(resolve, undefined))
      },
      row: rowOf,
      async publish(ids, into = store) {
        const rows = ids.map((each) => (typeof each === 'string' ? rowOf(each) : each))
        await into.transaction((tx) => into.outbox.append(tx, rows))
      },
      async relay(name = 'relay', { store: by = store, forMs = LONG_MS } = {}) {
        const relay = new Leasing(name, by, forMs)
        await relay.renew()
        return relay
      },
      dead: (limit = 1_000) => gather(store.outbox.dead(limit)),
    }
    return { desk, clear }
  } catch (error) {
    await clear()
    throw error
  }
}

class Leasing implements DeskRelay {
  readonly name: string
  leases: readonly PartitionLease[] = []
  private readonly store: AnyStore
  private readonly forMs: number
  private readonly seen = new Map<string, PendingRow>()

  constructor(name: string, store: AnyStore, forMs: number) {
    this.name = name
    this.store = store
    this.forMs = forMs
  }

  get partitions(): readonly number[] {
    return this.leases.map(({ partition }) => partition)
  }

  async renew(surplus?: 'keep' | undefined): Promise<readonly PartitionLease[]> {
    const leases = await this.store.outbox.lease(this.name, this.forMs)
    this.leases = surplus === 'keep' ? leases : leases.filter((lease) => lease.surplus !== true)
    const beyond = leases.filter((lease) => !this.leases.includes(lease))
    if (beyond.length > 0) await this.store.outbox.release(beyond)
    return this.leases
  }

  async pending(limit = 10_000): Promise<readonly PendingRow[]> {
    const rows = await this.store.outbox.pending(this.leases, limit)
    for (const row of rows) this.seen.set(row.envelope.id, row)
    return rows
  }

  async ids(limit?: number | undefined): Promise<readonly string[]> {
    return idsOf(await this.pending(limit))
  }

  async settle(verdicts: Readonly<Record<string, Verdict>>): Promise<number> {
    const settled = Object.entries(verdicts).map(([id, verdict]) => {
      const row = this.seen.get(id)
      demand(row !== undefined, `the case settles ${id}, which it has not seen`)
      return { ...verdict, sequence: row.sequence } as RowVerdict
    })
    return this.store.outbox.settle(this.leases, settled)
  }

  release(): Promise<void> {
    return this.store.outbox.release(this.leases, this.name)
  }
}

const KEYED = /^(.*):/s

function rowOf(id: string, { channel = 'orders', ...envelope }: RowSpec = {}): OutboxRow {
  const key = KEYED.exec(id)?.[1]
  return {
    channel: queue(channel),
    envelope: {
      id,
      ...(key === undefined ? {} : { key }),
      attributes: { specversion: '1.0', source: '/suite', type: 'suite.row', time: '2026-01-01T00:00:00Z' },
      headers: {},
      body: new TextEncoder().encode(id),
      ...envelope,
    },
  }
}

/** Ids of rows. */
export function idsOf(rows: readonly OutboxRow[]): readonly string[] {
  return rows.map(({ envelope }) => envelope.id)
}

/** All of it. */
export async function gather<T>(items: AsyncIterable<T>): Promise<readonly T[]> {
  const all: T[] = []
  for await (const item of items) all.push(item)
  return all
}
