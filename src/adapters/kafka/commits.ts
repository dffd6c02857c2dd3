// Tells the broker what is done: one commit at a time, for all partitions together, and each acknowledgement waits for the one that has it.
import { detached } from '../../core/async-context.ts'
import { sleep, type Timer } from '../../core/clock.ts'
import type { FairleadError } from '../../errors/index.ts'
import { classifyKafka } from './classify-kafka.ts'
import type { KafkaDelivery } from './delivery.ts'
import type { PartitionCommit } from './driver.ts'
import type { Lane } from './lanes/partition.ts'
import type { KafkaSettings } from './options.ts'

/** Whose commits they are. */
export interface CommitsOf {
  lanes(): Iterable<Lane>
  commit(offsets: readonly PartitionCommit[]): Promise<void>
  onCommitted(): void
  /** The broker does not take commits from us, and never will. */
  onRefused(error: FairleadError): void
}

interface Waiter {
  readonly lane: Lane
  readonly delivery: KafkaDelivery
  resolve(): void
  reject(error: unknown): void
}

const LONGEST_PAUSE_MS = 1_000

/** Commits of one member. */
export class Commits {
  private readonly settings: KafkaSettings
  private readonly of: CommitsOf
  private waiting: Waiter[] = []
  private underWay: readonly Waiter[] = []
  private running: Promise<void> | undefined
  private timer: Timer | undefined
  private failures = 0
  private started = false
  private closed = false

  constructor(settings: KafkaSettings, of: CommitsOf) {
    this.settings = settings
    this.of = of
  }

  /** From here on there is somebody to commit by. */
  start(): void {
    this.started = true
    if (this.waiting.length > 0) this.soon()
  }

  /** It is done. Resolves once the broker knows; rejects with `LEASE_LOST` when the partition goes before. */
  noted(lane: Lane, delivery: KafkaDelivery): Promise<void> {
    if (lane.lost || this.closed) return Promise.reject(delivery.lostError())
    return new Promise((resolve, reject) => {
      this.waiting.push({ lane, delivery, resolve, reject })
      this.soon()
    })
  }

  /** Whether verdicts of that partition are not yet known at the broker. */
  waitsFor(lane: Lane): boolean {
    return this.waiting.some((each) => each.lane === lane) || this.underWay.some((each) => each.lane === lane)
  }

  soon(): void {
    if (this.timer !== undefined || this.running !== undefined || this.closed || !this.started) return
    const { clock, commitEveryMs } = this.settings
    const waitMs = this.failures > 0 ? this.pauseMs : commitEveryMs
    this.timer = clock.setTimer((commits: Commits) => detached(() => commits.ring()), waitMs, this)
  }

  /** At once, if there is something. */
  now(): void {
    if (this.running !== undefined || this.closed || !this.started) return
    this.clear()
    this.ring()
  }

  /** Resolves once nothing is waiting, whatever became of it. */
  async flushed(): Promise<void> {
    while (!this.closed && this.started && (this.running !== undefined || this.waiting.length > 0)) {
      this.now()
      await (this.running ?? Promise.resolve())
      // A broker that is away is not asked without a pause.
      if (this.failures > 0) await sleep(this.settings.clock, this.pauseMs)
    }
  }

  lost(lane: Lane): void {
    const gone = this.waiting.filter((each) => each.lane === lane)
    if (gone.length > 0) this.waiting = this.waiting.filter((each) => each.lane !== lane)
    // Those whose commit is under way are answered by it: it may have been in time.
    for (const { reject, delivery } of gone) reject(delivery.lostError())
  }

  close(): void {
    this.closed = true
    this.clear()
    const left = [...this.waiting, ...this.underWay]
    this.waiting = []
    for (const { reject, delivery } of left) reject(delivery.lostError())
  }

  private get pauseMs(): number {
    return Math.min(50 * 2 ** this.failures, LONGEST_PAUSE_MS)
  }

  private ring(): void {
    this.timer = undefined
    this.running = this.run().then(() => {
      this.running = undefined
      if (this.waiting.length > 0 || this.dirty()) this.soon()
    })
  }

  private dirty(): boolean {
    for (const lane of this.of.lanes()) if (lane.tracker.dirty) return true
    return false
  }

  private async run(): Promise<void> {
    const lanes: Lane[] = []
    const offsets: PartitionCommit[] = []
    for (const lane of this.of.lanes()) {
      if (!lane.tracker.dirty || lane.lost) continue
      lanes.push(lane)
      offsets.push({ ...lane.at, ...lane.tracker.take() })
    }
    const told = this.waiting
    this.waiting = []
    this.underWay = told
    try {
      if (offsets.length > 0) await this.of.commit(offsets)
      this.failures = 0
      for (const { resolve } of told) resolve()
      this.of.onCommitted()
    } catch (thrown) {
      const error = classifyKafka(thrown)
      this.failures++
      for (const lane of lanes) lane.tracker.undo()
      // With the next one, unless their partition is gone meanwhile.
      for (const waiter of told) {
        if (waiter.lane.lost || this.closed) waiter.reject(waiter.delivery.lostError())
        else this.waiting.push(waiter)
      }
      if (!error.transient) this.of.onRefused(error)
    } finally {
      this.underWay = []
    }
  }

  private clear(): void {
    if (this.timer !== undefined) this.settings.clock.clearTimer(this.timer)
    this.timer = undefined
  }
}
