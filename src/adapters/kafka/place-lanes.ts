// The partitions of a place: joined or read, begun where their group is, begun anew where that was moved; and by what is committed.
import type { FairleadError } from '../../errors/index.ts'
import { Commits } from './commits.ts'
import type {
  Committed,
  KafkaMember,
  KafkaReader,
  MemberEvents,
  PartitionCommit,
  PartitionFlow,
  TopicPartition,
} from './driver.ts'
import { Lane, type LaneRules } from './lanes/partition.ts'
import { OffsetTracker } from './offset-tracker.ts'
import type { KafkaSettings } from './options.ts'
import { keyOf, type PlaceParts } from './place-parts.ts'
import { LaneTransactions } from './transactions/lane-transactions.ts'

/** Before a question that failed is asked again. */
export const AGAIN_MS = 500

/** What a place has of partitions; what it hands out of them is another matter. */
export abstract class PlaceLanes {
  readonly settings: KafkaSettings
  protected readonly parts: PlaceParts
  protected readonly lanes: Map<string, Lane> = new Map()
  protected readonly commits: Commits | LaneTransactions
  protected readonly transactions: LaneTransactions | undefined
  protected flow: PartitionFlow | undefined
  protected member: KafkaMember | undefined
  protected reader: KafkaReader | undefined
  protected closed: boolean = false
  // Of assignments: what was read for one before must not be used.
  protected epoch: number = 0
  /** What a member or reader tells. */
  protected abstract readonly events: MemberEvents
  private readonly rules: LaneRules
  private readonly pending: (() => void)[] = []

  constructor(parts: PlaceParts) {
    const { settings, transactions } = parts
    this.parts = parts
    this.settings = settings
    this.rules = {
      maxUncommitted: settings.maxUncommitted,
      readAhead: settings.readAhead,
      wallNow: () => settings.clock.wallNow(),
      now: () => settings.clock.now(),
    }
    const told = {
      lanes: () => this.lanes.values(),
      commit: (offsets: readonly PartitionCommit[]) => (this.member as KafkaMember).commit(offsets),
      onCommitted: () => this.dispatchSoon(),
      onRefused: (error: FairleadError) => void this.fail(error),
      onOvertaken: (at: TopicPartition) => this.beginAnew(at),
    }
    this.transactions = transactions === undefined ? undefined : new LaneTransactions(settings, transactions, told)
    this.commits = this.transactions ?? new Commits(settings, told)
  }

  abstract dispatchSoon(): void
  abstract fail(error: FairleadError): Promise<void>
  abstract onLost(partitions: readonly TopicPartition[]): void
  protected abstract errorOf(error: unknown): FairleadError

  /** Whether it commits by transactions. */
  get transactional(): boolean {
    return this.transactions !== undefined
  }

  /** Joins the group by `join`, or reads without one. */
  async begin(join: (events: MemberEvents) => Promise<KafkaMember>): Promise<void> {
    const member = await join(this.events)
    this.member = member
    this.flow = member
    this.commits.start()
    for (const each of this.pending.splice(0)) each()
    if (this.closed) await member.close()
  }

  /** Reads these partitions without a group. */
  async beginReading(
    lanes: readonly (readonly [TopicPartition, number])[],
    read: (events: MemberEvents) => Promise<KafkaReader>,
  ): Promise<void> {
    for (const [at, offset] of lanes) this.addLane(at, { offset, note: '' })
    const reader = await read(this.events)
    this.reader = reader
    this.flow = reader
    if (this.closed) await reader.close()
  }

  /** How many of a partition could be handed out, where it ends there; undefined where it is not ours. */
  waitingOf(at: TopicPartition, end: number): number | undefined {
    return this.lanes.get(keyOf(at))?.waitingBefore(end)
  }

  protected async openLanes(added: readonly TopicPartition[], epoch: number): Promise<void> {
    try {
      await this.transactions?.open(added)
      const places = await this.parts.placesOf(added)
      if (this.closed || epoch !== this.epoch) return
      const begin = (): void => {
        if (this.closed || epoch !== this.epoch) return
        for (const [index, at] of added.entries()) {
          const place = places[index] as Committed
          this.addLane(at, place)
          this.flow?.seek({ ...at, offset: place.offset })
        }
        this.flow?.resume(added)
      }
      if (this.flow === undefined) this.pending.push(begin)
      else begin()
    } catch (error) {
      if (this.closed || epoch !== this.epoch) return
      const { clock } = this.settings
      const failure = this.errorOf(error)
      if (!failure.transient) return void this.fail(failure)
      clock.setTimer(() => void this.openLanes(added, epoch), AGAIN_MS, undefined)
    }
  }

  protected addLane(at: TopicPartition, { offset, note }: Committed): void {
    const lane = new Lane(at, this.parts.laneOf(at), new OffsetTracker(offset, note), this.rules)
    this.lanes.set(keyOf(at), lane)
    this.transactions?.begin(lane, { offset, note })
  }

  // The place of a partition is not where we left it: what is held of it is void, and it is read again.
  protected beginAnew(at: TopicPartition): void {
    if (this.closed) return
    this.flow?.pause([at])
    this.onLost([at])
    void this.openLanes([at], this.epoch)
  }
}
