// Commits of a group by transactions: what handlers published and the offsets of what they consumed, all of it or nothing. One after another in each
// partition, because of two that are under way the one that ends last would not know of what the other has done; each takes all that is finished by then, so
// that as many handlers as there are keys may be at work.
//
// Who may commit for a partition is decided by a name that belongs to it. It is taken before its place is read: from then on nobody else moves that place, whatever a
// member believes that has slept through a rebalance.
import { detached } from '../../../core/async-context.ts'
import { sleep, type Timer } from '../../../core/clock.ts'
import { createError, type FairleadError } from '../../../errors/index.ts'
import { classifyKafka, isFenced } from '../classify-kafka.ts'
import type { KafkaDelivery } from '../delivery.ts'
import type { Committed, KafkaTransactor, NewRecord, PartitionCommit, TopicPartition } from '../driver.ts'
import type { Lane } from '../lanes/partition.ts'
import type { KafkaSettings } from '../options.ts'
import { keyOf } from '../place-parts.ts'
import type { TransactionParts } from './parts.ts'

/** Whose transactions they are. */
export interface TransactionsOf {
  lanes(): Iterable<Lane>
  onCommitted(): void
  /** The membership cannot go on. */
  onRefused(error: FairleadError): void
  /** Somebody else has moved the place of a partition that we believed ours: what is held of it is void. */
  onOvertaken(at: TopicPartition): void
}

interface Waiter {
  readonly deliveries: readonly KafkaDelivery[]
  readonly records: readonly NewRecord[]
  resolve(): void
  reject(error: unknown): void
}

interface Writing {
  readonly lane: Lane
  transactor: KafkaTransactor
  /** What stands at the broker. */
  known: Committed
  waiting: Waiter[]
  underWay: readonly Waiter[]
  running: Promise<void> | undefined
  timer: Timer | undefined
  /** Nothing will be committed by it any more. */
  over: boolean
}

const LONGEST_PAUSE_MS = 1_000
// A partition takes no more in one batch.
const MOST_AT_ONCE = 500

/** Transactions of one member, in the place of its commits. */
export class LaneTransactions {
  private readonly settings: KafkaSettings
  private readonly parts: TransactionParts
  private readonly of: TransactionsOf
  private readonly opened = new Map<string, KafkaTransactor>()
  private readonly writings = new Map<Lane, Writing>()
  private closed = false

  constructor(settings: KafkaSettings, parts: TransactionParts, of: TransactionsOf) {
    this.settings = settings
    this.parts = parts
    this.of = of
  }

  /** Takes their names. To be called before their places are read. */
  async open(partitions: readonly TopicPartition[]): Promise<void> {
    await Promise.all(
      partitions.map(async (at) => {
        const transactor = await this.parts.open(at)
        const key = keyOf(at)
        void this.opened.get(key)?.close()
        this.opened.set(key, transactor)
        if (this.closed) this.drop(key)
      }),
    )
  }

  /** The place was read, and records of it will be handed out. */
  begin(lane: Lane, known: Committed): void {
    const key = keyOf(lane.at)
    const transactor = this.opened.get(key)
    if (transactor === undefined) return
    this.opened.delete(key)
    this.writings.set(lane, {
      lane,
      transactor,
      known,
      waiting: [],
      underWay: [],
      running: undefined,
      timer: undefined,
      over: false,
    })
  }

  start(): void {}

  /** It is done without anything to be written. */
  noted(lane: Lane, delivery: KafkaDelivery): Promise<void> {
    return this.join(lane, [delivery], [])
  }

  /** They are done, and these are what came of them. Resolves with the commit; rejects with what nobody could write, or `LEASE_LOST`. */
  join(lane: Lane, deliveries: readonly KafkaDelivery[], records: readonly NewRecord[]): Promise<void> {
    const writing = this.writings.get(lane)
    if (lane.lost || this.closed || writing === undefined || writing.over) return Promise.reject(lostOf(deliveries))
    return new Promise((resolve, reject) => {
      writing.waiting.push({ deliveries, records, resolve, reject })
      this.later(writing)
    })
  }

  waitsFor(lane: Lane): boolean {
    const writing = this.writings.get(lane)
    return writing !== undefined && (writing.waiting.length > 0 || writing.underWay.length > 0)
  }

  soon(): void {
    for (const writing of this.writings.values()) if (writing.lane.tracker.dirty) this.later(writing)
  }

  now(): void {
    for (const writing of this.writings.values()) this.ring(writing)
  }

  /** Resolves once nothing is waiting, whatever became of it. */
  async flushed(): Promise<void> {
    for (;;) {
      this.now()
      const running = [...this.writings.values()].flatMap((each) => each.running ?? [])
      if (running.length === 0 || this.closed) return
      await Promise.all(running)
    }
  }

  lost(lane: Lane): void {
    const writing = this.writings.get(lane)
    if (writing === undefined) return
    this.writings.delete(lane)
    this.end(writing)
  }

  close(): void {
    this.closed = true
    for (const writing of this.writings.values()) this.end(writing)
    this.writings.clear()
    for (const key of [...this.opened.keys()]) this.drop(key)
  }

  private drop(key: string): void {
    void this.opened.get(key)?.close()
    this.opened.delete(key)
  }

  private end(writing: Writing): void {
    this.clear(writing)
    for (const { reject, deliveries } of writing.waiting.splice(0)) reject(lostOf(deliveries))
    // What is under way may be in time, and is answered by its end.
    void (writing.running ?? Promise.resolve()).then(() => writing.transactor.close())
  }

  private later(writing: Writing): void {
    if (writing.timer !== undefined || writing.running !== undefined || this.closed) return
    const { clock, commitEveryMs } = this.settings
    writing.timer = clock.setTimer(() => detached(() => this.ring(writing)), commitEveryMs, undefined)
  }

  private clear(writing: Writing): void {
    if (writing.timer !== undefined) this.settings.clock.clearTimer(writing.timer)
    writing.timer = undefined
  }

  private ring(writing: Writing): void {
    this.clear(writing)
    if (writing.running !== undefined || writing.lane.lost || writing.over || this.closed) return
    if (writing.waiting.length === 0 && !writing.lane.tracker.dirty) return
    writing.running = this.run(writing).finally(() => {
      writing.running = undefined
      writing.underWay = []
      if (!writing.lane.lost && !writing.over && (writing.waiting.length > 0 || writing.lane.tracker.dirty))
        this.later(writing)
    })
  }

  private async run(writing: Writing): Promise<void> {
    const taken: Waiter[] = []
    let records = 0
    for (const each of writing.waiting) {
      if (taken.length > 0 && records + each.records.length > MOST_AT_ONCE) break
      taken.push(each)
      records += each.records.length
    }
    writing.waiting.splice(0, taken.length)
    writing.underWay = taken
    if (await this.attempt(writing, taken)) this.of.onCommitted()
  }

  // Whether it was committed.
  private async attempt(writing: Writing, waiters: readonly Waiter[]): Promise<boolean> {
    const { lane } = writing
    const marks = waiters.flatMap(({ deliveries }) => deliveries.map(({ entry }) => entry.mark))
    for (const mark of marks) mark.pending = true
    const next = lane.tracker.take()
    const failure = await this.write(writing, waiters, next)
    for (const mark of marks) mark.pending = false
    if (failure === undefined) {
      writing.known = next
      // Else the tracker, which knows them as done only now, would ask for one commit more.
      const { dirty } = lane.tracker
      for (const mark of marks) lane.tracker.done(mark)
      if (!dirty) lane.tracker.told()
      for (const { resolve } of waiters) resolve()
      return true
    }
    lane.tracker.undo()
    if (failure === LOST) {
      for (const { reject, deliveries } of waiters) reject(lostOf(deliveries))
      return false
    }
    if (waiters.every(({ records }) => records.length === 0)) {
      this.refused(writing, failure)
      for (const { reject, deliveries } of waiters) reject(lostOf(deliveries))
      return false
    }
    if (waiters.length === 1) {
      waiters[0]?.reject(failure)
      return false
    }
    // One of them can never be written: the others must not go down with it.
    let any = false
    for (const each of waiters) any = (await this.attempt(writing, [each])) || any
    return any
  }

  // Undefined: committed. An error: not, and it never will be. What is passing is tried again for as long as the partition is ours.
  private async write(
    writing: Writing,
    waiters: readonly Waiter[],
    next: Committed,
  ): Promise<FairleadError | typeof LOST | undefined> {
    const { lane } = writing
    const { clock } = this.settings
    const records = waiters.flatMap((each) => each.records)
    const offsets: readonly PartitionCommit[] = [{ ...lane.at, ...next }]
    for (let failures = 0; ; failures++) {
      if (lane.lost || this.closed) return LOST
      try {
        await writing.transactor.transact(records, this.parts.group, offsets)
        return undefined
      } catch (thrown) {
        const error = classifyKafka(thrown)
        void writing.transactor.close()
        if (lane.lost || this.closed) return LOST
        if (isFenced(error)) {
          const message = 'another member writes for the partition now'
          this.refused(writing, createError({ code: 'LEASE_LOST', message, cause: error }))
          return LOST
        }
        const place = await this.again(writing)
        if (place === undefined) return LOST
        if (same(place, next)) return undefined
        if (!same(place, writing.known)) {
          this.of.onOvertaken(lane.at)
          return LOST
        }
        if (!error.transient) return error
        await sleep(clock, pauseMs(failures))
      }
    }
  }

  private refused(writing: Writing, error: FairleadError): void {
    writing.over = true
    for (const { reject, deliveries } of writing.waiting.splice(0)) reject(lostOf(deliveries))
    this.of.onRefused(error)
  }

  // Once the name is taken anew it is known what became of the transaction: it stands, or never will.
  private async again(writing: Writing): Promise<Committed | undefined> {
    const { at } = writing.lane
    for (let failures = 0; ; failures++) {
      try {
        const transactor = await this.parts.open(at)
        writing.transactor = transactor
        return await this.parts.placeOf(at)
      } catch (thrown) {
        const error = classifyKafka(thrown)
        if (!error.transient) this.refused(writing, error)
        if (!error.transient || writing.lane.lost || this.closed) return undefined
        await sleep(this.settings.clock, pauseMs(failures))
      }
      if (writing.lane.lost || this.closed) return undefined
    }
  }
}

const LOST: unique symbol = Symbol('lost')

function pauseMs(failures: number): number {
  return Math.min(50 * 2 ** failures, LONGEST_PAUSE_MS)
}

function same(one: Committed, other: Committed): boolean {
  return one.offset === other.offset && one.note === other.note
}

function lostOf(deliveries: readonly KafkaDelivery[]): FairleadError {
  return deliveries[0]?.lostError() ?? createError({ code: 'LEASE_LOST', transport: 'kafka' })
}
