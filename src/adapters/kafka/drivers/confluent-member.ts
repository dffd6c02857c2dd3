// A member of a group by way of @confluentinc/kafka-javascript. librdkafka joins, beats and shares by itself, and asks at each rebalance: what is given up is
// drained and committed before it goes, and what stays is worked on meanwhile ("cooperative"; with another assignor all is given up each time).
//
// What its ways ask for: `seek`, `pause` and `resume` take effect when its loop has come round; a seek for a partition that it has only just been given is lost
// without a word. So a partition is taken over with its place, once the transport has said it. And a commit that was refused is told to nobody.
import { detached } from '../../../core/async-context.ts'
import { boundedBy } from '../../../core/bounded.ts'
import { type Clock, sleep } from '../../../core/clock.ts'
import { endsWithin } from '../../../core/patience.ts'
import type { FairleadError } from '../../../errors/index.ts'
import type { KafkaRecord, MemberEvents, PartitionCommit, PartitionOffset, TopicPartition } from '../driver.ts'
import type { MemberToStart } from './as-member.ts'
import { ConfluentLog, confluentFailure } from './confluent-failures.ts'
import { connected } from './confluent-producer.ts'
import type {
  ConfluentAssignmentCalls,
  ConfluentClient,
  ConfluentConfig,
  ConfluentConsumer,
  ConfluentMessage,
} from './confluent-types.ts'
import { quietly } from './kafkajs-producer.ts'
import { grouped, keyOf, lost, recordsFrom } from './kafkajs-records.ts'

/** What all memberships of a driver have alike. */
export interface ConfluentMembership {
  readonly clock: Clock
  readonly maxWaitMs: number
  readonly sessionTimeoutMs: number
  readonly heartbeatMs: number
  readonly rebalanceTimeoutMs: number
  readonly joinWithinMs: number
  readonly answerWithinMs: number
  readonly assignor: string
  readonly log: ((level: string, message: string) => void) | undefined
  readonly common: ConfluentConfig
  readonly consumer: ConfluentConfig
  /** Told of a consumer that is connected. Answers what is to be called when it is closed. */
  readonly adopt: (group: string, consumer: ConfluentConsumer, log: ConfluentLog) => () => void
}

interface Place {
  readonly at: TopicPartition
  /** The offset that comes next; undefined until it was said. */
  next: number | undefined
  running: boolean
  /** librdkafka has it. */
  taken: boolean
}

const ASSIGN = -175
const REVOKE = -174
const BEGINNING = -2
// The transport reads what is committed before it says a place. Then the partition is taken over without one, and told by a seek.
const PLACED_WITHIN_MS = 2_000
const AGAIN_MS = 100
const MOST_TRIES = 20

/** One member. */
export class ConfluentMember implements MemberToStart {
  private readonly consumer: ConfluentConsumer
  private readonly group: string
  private readonly topics: readonly string[]
  private readonly events: MemberEvents
  private readonly settings: ConfluentMembership
  private readonly log: ConfluentLog
  private readonly eager: boolean
  private readonly places = new Map<string, Place>()
  private state: 'starting' | 'open' | 'closed' = 'starting'
  private readonly first: Promise<void>
  private begun: () => void = () => {}
  private refuse: (error: FairleadError) => void = () => {}
  private readonly ending: Promise<void>
  private tellEnding: () => void = () => {}
  private tellPlaced: () => void = () => {}
  private disown: () => void = () => {}
  private closing: Promise<void> | undefined

  constructor(
    kafka: ConfluentClient,
    group: string,
    topics: readonly string[],
    events: MemberEvents,
    settings: ConfluentMembership,
  ) {
    this.group = group
    this.topics = topics
    this.events = events
    this.settings = settings
    this.eager = settings.assignor !== 'cooperative-sticky'
    this.first = new Promise((resolve, reject) => {
      this.begun = resolve
      this.refuse = reject
    })
    this.first.catch(() => {})
    this.ending = new Promise((resolve) => {
      this.tellEnding = resolve
    })
    this.log = new ConfluentLog(settings.clock, settings.log, (error) => this.refused(error))
    this.consumer = kafka.consumer({
      ...settings.common,
      // What is fetched ahead is thrown away with each pause.
      'queued.max.messages.kbytes': 16_384,
      'fetch.queue.backoff.ms': 10,
      'js.consumer.max.batch.size': -1,
      ...settings.consumer,
      rebalance_cb: (
        error: { readonly code: number },
        partitions: readonly TopicPartition[],
        calls: ConfluentAssignmentCalls,
      ) => detached(() => this.rebalance(error.code, partitions, calls)),
      kafkaJS: {
        groupId: group,
        fromBeginning: true,
        autoCommit: false,
        allowAutoTopicCreation: false,
        partitionAssignors: [settings.assignor],
        sessionTimeout: settings.sessionTimeoutMs,
        heartbeatInterval: settings.heartbeatMs,
        rebalanceTimeout: settings.rebalanceTimeoutMs,
        maxWaitTimeInMs: settings.maxWaitMs,
        logger: this.log,
      },
    })
  }

  async start(): Promise<void> {
    const { consumer, settings } = this
    const { clock, joinWithinMs } = settings
    await connected(consumer, this.log, clock, settings.answerWithinMs)
    this.disown = settings.adopt(this.group, consumer, this.log)
    try {
      await consumer.subscribe({ topics: [...this.topics] })
      await consumer.run({
        eachBatchAutoResolve: false,
        eachBatch: async ({ batch, resolveOffset }) => {
          // First: else a pause from within would bring them again.
          resolveOffset(batch.messages.at(-1)?.offset ?? '')
          detached(() => this.records(batch, batch.messages))
        },
      })
      await boundedBy(clock, joinWithinMs, this.first, 'TIMED_OUT', 'no partitions were assigned', 'kafka')
    } catch (error) {
      await this.close()
      throw confluentFailure(error)
    }
  }

  pause(partitions: readonly TopicPartition[]): void {
    const mine = this.set(partitions, false)
    if (mine.length > 0) this.steer(() => this.consumer.pause(grouped(mine)))
  }

  resume(partitions: readonly TopicPartition[]): void {
    const mine = this.set(partitions, true)
    if (mine.length > 0) this.steer(() => this.consumer.resume(grouped(mine)))
    this.tellPlaced()
  }

  seek({ topic, partition, offset }: PartitionOffset): void {
    const place = this.places.get(keyOf({ topic, partition }))
    if (place === undefined) return
    place.next = offset
    if (place.taken) this.steer(() => this.consumer.seek({ topic, partition, offset: String(offset) }))
    this.tellPlaced()
  }

  async commit(offsets: readonly PartitionCommit[]): Promise<void> {
    const { clock, joinWithinMs } = this.settings
    for (let tries = 0; ; tries++) {
      for (const each of offsets) if (!this.places.has(keyOf(each))) throw lost()
      if (this.closed) throw lost()
      try {
        const work = this.log.during(this.committedNow(offsets))
        if (await boundedBy(clock, joinWithinMs, work, 'TIMED_OUT', 'no answer to a commit', 'kafka')) return
      } catch (thrown) {
        const error = confluentFailure(thrown)
        // It may yet come, and overtake others: a member that has left commits nothing.
        if (error === thrown && error.code === 'TIMED_OUT') this.end(error)
        throw error
      }
      // Refused: a rebalance is under way. What is still ours when it is over is committed then: nobody else can have had it.
      if (tries === MOST_TRIES) throw lost()
      await sleep(clock, AGAIN_MS)
    }
  }

  // `commitOffsets` ends when librdkafka has put it into its queue, and nobody hears what became of it: so the broker is asked, on the same connection.
  private async committedNow(offsets: readonly PartitionCommit[]): Promise<boolean> {
    const places = new Map(offsets.map((each) => [keyOf(each), each]))
    await this.consumer.commitOffsets(
      offsets.map(({ topic, partition, offset, note }) => ({
        topic,
        partition,
        offset: String(offset),
        metadata: note,
      })),
    )
    const found = await this.consumer.committed(
      offsets.map(({ topic, partition }) => ({ topic, partition })),
      this.settings.answerWithinMs,
    )
    // An offset of 0 is told as null, like none; but what we have noted has a note.
    for (const { topic, partition, offset, metadata } of found) {
      const wanted = places.get(keyOf({ topic, partition }))
      if (wanted?.offset === Number(offset) && wanted.note === metadata) places.delete(keyOf({ topic, partition }))
    }
    return places.size === 0
  }

  close(): Promise<void> {
    this.state = 'closed'
    this.disown()
    this.tellEnding()
    // It must not be taken for work of its own loop, which it waits for.
    this.closing ??= detached(() =>
      quietly(
        this.log.idle().then(() => this.consumer.disconnect()),
        this.settings.clock,
      ),
    )
    return this.closing
  }

  // The package goes on when this has ended: with what was not said by a call it does what librdkafka asked for.
  private async rebalance(
    code: number,
    partitions: readonly TopicPartition[],
    calls: ConfluentAssignmentCalls,
  ): Promise<void> {
    const own = partitions.map(({ topic, partition }) => ({ topic, partition }))
    if (this.state === 'closed') return
    if (code === ASSIGN) await this.assigned(own, calls)
    else if (code === REVOKE) await this.revoked(own, calls.assignmentLost())
  }

  private async assigned(added: readonly TopicPartition[], calls: ConfluentAssignmentCalls): Promise<void> {
    const kept: TopicPartition[] = []
    const gone: TopicPartition[] = []
    // Of those without a place the transport is told anew.
    for (const { at, next } of this.places.values()) (next === undefined ? gone : kept).push(at)
    for (const at of added) this.places.set(keyOf(at), { at, next: undefined, running: false, taken: false })
    if (gone.length > 0) this.events.onLost(gone)
    this.events.onAssigned(
      [...this.places.values()].map(({ at }) => at),
      kept,
    )
    if (this.state === 'starting') this.state = 'open'
    this.begun()
    const fresh = added.map((at) => this.places.get(keyOf(at)) as Place)
    const placed = (async () => {
      while (fresh.some(({ next, running }) => next === undefined || !running))
        await new Promise<void>((resolve) => {
          this.tellPlaced = resolve
        })
    })()
    await endsWithin(Promise.race([placed, this.ending]), PLACED_WITHIN_MS, this.settings.clock)
    if (this.closed) return
    for (const each of fresh) each.taken = true
    calls.assign(fresh.map(({ at, next }) => ({ ...at, offset: next ?? BEGINNING })))
    const idle = fresh.filter(({ running }) => !running).map(({ at }) => at)
    if (idle.length > 0) this.steer(() => this.consumer.pause(grouped(idle)))
  }

  private async revoked(partitions: readonly TopicPartition[], already: boolean): Promise<void> {
    const mine = partitions.filter((each) => this.places.has(keyOf(each)))
    if (!already) {
      if (this.eager) this.events.onRebalancing()
      await Promise.race([this.events.onRevoking(mine), this.ending])
    }
    for (const each of mine) this.places.delete(keyOf(each))
    if (mine.length > 0 && !this.closed) this.events.onLost(mine)
  }

  // What trying again does not mend; librdkafka would, for ever.
  private refused(error: FairleadError): void {
    this.refuse(error)
    this.end(error)
  }

  private end(error: FairleadError): void {
    if (this.state !== 'open') return
    const gone = [...this.places.values()].map(({ at }) => at)
    this.places.clear()
    void this.close()
    if (gone.length > 0) this.events.onLost(gone)
    this.events.onEnded(error)
  }

  private get closed(): boolean {
    return this.state === 'closed'
  }

  private set(partitions: readonly TopicPartition[], running: boolean): readonly TopicPartition[] {
    return partitions.filter((each) => {
      const place = this.places.get(keyOf(each))
      if (place !== undefined) place.running = running
      return place?.taken === true
    })
  }

  // One that is not connected any more refuses; all is lost with it.
  private steer(work: () => void): void {
    if (this.closed) return
    try {
      work()
    } catch {
      // Given a place anew, if there is another assignment.
    }
  }

  private records(from: TopicPartition, messages: readonly ConfluentMessage[]): void {
    const place = this.places.get(keyOf(from))
    if (this.closed || place?.next === undefined) return
    const records = recordsFrom(place.next, messages)
    if (records.length === 0) return
    place.next = (records.at(-1) as KafkaRecord).offset + 1
    this.events.onRecords(place.at, records)
  }
}
