// A member of a group by way of kafkajs. Its rebalances are eager: every member gives up all and joins again. What is held stays where it is all the same,
// because members say in their subscription what they are at work on, and the assignor of ./../assignment.ts leaves it with them; whoever then has more than
// its share drains the surplus and asks for another rebalance.
import { type Clock, nextTurn } from '../../../core/clock.ts'
import { endsWithin } from '../../../core/patience.ts'
import { createError, type FairleadError } from '../../../errors/index.ts'
import {
  ASSIGNOR,
  assign,
  type ByTopic,
  COMMON_ASSIGNORS,
  decodeSubscription,
  encodeAssignment,
  encodeSubscription,
  fairShare,
} from '../assignment.ts'
import { classifyKafka } from '../classify-kafka.ts'
import type {
  KafkaMember,
  KafkaRecord,
  MemberEvents,
  PartitionCommit,
  PartitionOffset,
  TopicPartition,
} from '../driver.ts'
import type {
  KafkaJsAssigner,
  KafkaJsClient,
  KafkaJsCluster,
  KafkaJsConsumer,
  KafkaJsMessage,
  KafkaJsRetry,
} from './kafkajs-types.ts'

/** What all memberships of a driver have alike. */
export interface MemberSettings {
  readonly clock: Clock
  readonly maxWaitMs: number
  readonly sessionTimeoutMs: number
  readonly heartbeatMs: number
  readonly rebalanceTimeoutMs: number
}

interface Joined {
  readonly memberId: string
  readonly memberAssignment: ByTopic
}

interface Crashed {
  readonly error: unknown
  readonly restart: boolean
}

const CLOSE_WITHIN_MS = 2_500
const JOIN_WITHIN_MS = 30_000
const LOST = 'the partitions were given to another member'

/** One member. */
export class KafkaJsMember implements KafkaMember {
  private readonly consumer: KafkaJsConsumer
  private readonly topics: readonly string[]
  private readonly events: MemberEvents
  private readonly settings: MemberSettings
  private readonly countPartitions: (() => Promise<number>) | undefined
  // What is assigned, and the offset that comes next of each; undefined until it was given a place.
  private places = new Map<string, { readonly at: TopicPartition; next: number | undefined }>()
  private memberId: string | undefined
  private joins = 0
  private committed = 0
  // Those that are given up with the next rebalance.
  private readonly giving = new Set<string>()
  private wantsRebalance = false
  private balancing = false
  private state: 'starting' | 'open' | 'closed' = 'starting'
  private first: { readonly resolve: () => void; readonly reject: (error: FairleadError) => void } | undefined
  private closing: Promise<void> | undefined

  constructor(
    kafka: KafkaJsClient,
    group: string,
    topics: readonly string[],
    events: MemberEvents,
    settings: MemberSettings,
    retry: KafkaJsRetry,
    countPartitions: (() => Promise<number>) | undefined,
  ) {
    this.topics = topics
    this.events = events
    this.settings = settings
    this.countPartitions = countPartitions
    this.consumer = kafka.consumer({
      groupId: group,
      partitionAssigners: [ASSIGNOR, ...COMMON_ASSIGNORS].map(
        (name) =>
          ({ cluster }) =>
            this.assigner(name, cluster),
      ),
      maxWaitTimeInMs: settings.maxWaitMs,
      sessionTimeout: settings.sessionTimeoutMs,
      heartbeatInterval: settings.heartbeatMs,
      rebalanceTimeout: settings.rebalanceTimeoutMs,
      allowAutoTopicCreation: false,
      retry,
    })
  }

  /** Joins. Resolves with the first assignment. */
  async start(): Promise<void> {
    const { consumer, settings } = this
    const { GROUP_JOIN, CRASH, COMMIT_OFFSETS, FETCH_START } = consumer.events
    const assigned = new Promise<void>((resolve, reject) => {
      this.first = { resolve, reject }
    })
    assigned.catch(() => {})
    consumer.on(GROUP_JOIN, ({ payload }: { readonly payload: Joined }) => this.joined(payload))
    consumer.on(CRASH, ({ payload }: { readonly payload: Crashed }) => this.crashed(payload))
    consumer.on(COMMIT_OFFSETS, () => this.committed++)
    // kafkajs has no call for it, but joins again when this error comes out of its fetch loop.
    consumer.on(FETCH_START, () => {
      if (!this.wantsRebalance) return
      this.wantsRebalance = false
      throw Object.assign(new Error('partitions are given up'), { type: 'REBALANCE_IN_PROGRESS', retriable: false })
    })
    try {
      await consumer.connect()
      await consumer.subscribe({ topics: [...this.topics], fromBeginning: true })
      await consumer.run({
        autoCommit: false,
        eachBatchAutoResolve: true,
        eachBatch: async ({ batch, isStale }) => {
          if (!isStale()) this.records(batch, batch.messages)
        },
      })
      if (!(await endsWithin(assigned, JOIN_WITHIN_MS, settings.clock)))
        throw createError({
          code: 'TIMED_OUT',
          effect: 'none',
          message: `no partitions were assigned within ${JOIN_WITHIN_MS} ms`,
        })
    } catch (error) {
      await this.close()
      throw classifyKafka(error)
    }
  }

  pause(partitions: readonly TopicPartition[]): void {
    this.steer(() => this.consumer.pause(grouped(partitions)))
  }

  resume(partitions: readonly TopicPartition[]): void {
    const mine = partitions.filter((each) => this.places.has(keyOf(each)))
    if (mine.length > 0) this.steer(() => this.consumer.resume(grouped(mine)))
  }

  seek({ topic, partition, offset }: PartitionOffset): void {
    const place = this.places.get(keyOf({ topic, partition }))
    if (place === undefined) return
    place.next = offset
    this.steer(() => this.consumer.seek({ topic, partition, offset: String(offset) }))
  }

  async commit(offsets: readonly PartitionCommit[]): Promise<void> {
    for (const each of offsets) if (!this.places.has(keyOf(each)) && this.memberId !== undefined) throw lost()
    if (this.state === 'closed') throw lost()
    const before = this.committed
    try {
      await this.consumer.commitOffsets(
        offsets.map(({ topic, partition, offset, note }) => ({
          topic,
          partition,
          offset: String(offset),
          metadata: note,
        })),
      )
    } catch (error) {
      throw classifyKafka(error)
    }
    // A consumer that was stopped meanwhile resolves without having committed.
    if (this.committed === before) throw lost()
  }

  close(): Promise<void> {
    this.state = 'closed'
    this.closing ??= (async () => {
      try {
        await endsWithin(this.consumer.disconnect(), CLOSE_WITHIN_MS, this.settings.clock)
      } catch {
        // It is over either way: the broker takes it out of the group after the session timeout.
      }
    })()
    return this.closing
  }

  private joined({ memberId, memberAssignment }: Joined): void {
    // Between two attempts to join another generation may have been, in which somebody else had our partitions.
    const continuous = memberId === this.memberId && this.joins === 1
    this.joins = 0
    this.memberId = memberId
    const before = this.places
    this.places = new Map()
    const assigned: TopicPartition[] = []
    const kept: TopicPartition[] = []
    for (const topic of this.topics)
      for (const partition of memberAssignment[topic] ?? []) {
        const at = { topic, partition }
        const key = keyOf(at)
        const old = continuous && !this.giving.has(key) ? before.get(key) : undefined
        assigned.push(at)
        this.places.set(key, old ?? { at, next: undefined })
        if (old?.next === undefined) this.consumer.pause([{ topic, partitions: [partition] }])
        else {
          kept.push(at)
          // After each rebalance kafkajs would begin at the committed offset.
          this.consumer.seek({ topic, partition, offset: String(old.next) })
        }
      }
    this.giving.clear()
    if (this.state === 'closed') {
      // A restart that kafkajs had begun before it was closed.
      void this.consumer.disconnect().catch(() => {})
      return
    }
    const stays = new Set(kept.map(keyOf))
    const gone = [...before.values()].map(({ at }) => at).filter((at) => !stays.has(keyOf(at)))
    if (gone.length > 0) this.events.onLost(gone)
    this.events.onAssigned(assigned, kept)
    if (this.state === 'starting') this.state = 'open'
    this.first?.resolve()
    if (kept.length > 0) void this.balance()
  }

  // A consumer that kafkajs has just stopped, and has not told of yet, refuses.
  private steer(work: () => void): void {
    if (this.state === 'closed') return
    try {
      work()
    } catch {
      // All is lost with it, and given a place anew.
    }
  }

  // A restart of the consumer comes with a new member.
  private crashed({ error, restart }: Crashed): void {
    const classified = classifyKafka(error)
    const gone = [...this.places.values()].map(({ at }) => at)
    this.places = new Map()
    this.memberId = undefined
    if (this.state === 'starting') {
      // A coordinator that is loading, a leader that is being chosen: kafkajs begins again by itself.
      if (restart && classified.code === 'UNAVAILABLE') return
      this.first?.reject(classified)
      return
    }
    if (this.state === 'closed') {
      // It sets a timer to begin again after this event, whether it was closed meanwhile or not; closing once more clears that.
      nextTurn(() => void this.consumer.disconnect().catch(() => {}), undefined)
      return
    }
    if (gone.length > 0) this.events.onLost(gone)
    if (!restart) {
      this.events.onEnded(classified)
      void this.close()
    }
  }

  private records(from: TopicPartition, messages: readonly KafkaJsMessage[]): void {
    const place = this.places.get(keyOf(from))
    if (this.state === 'closed' || place?.next === undefined) return
    const records: KafkaRecord[] = []
    for (const message of messages) {
      const offset = Number(message.offset)
      if (offset >= place.next) records.push(recordOf(offset, message))
    }
    if (records.length === 0) return
    place.next = (records.at(-1) as KafkaRecord).offset + 1
    this.events.onRecords(place.at, records)
  }

  // Members that are at work on much keep it at first; here they give up what is more than their share.
  private async balance(): Promise<void> {
    const { countPartitions } = this
    if (this.balancing || countPartitions === undefined) return
    this.balancing = true
    try {
      const [{ members }, total] = await Promise.all([this.consumer.describeGroup(), countPartitions()])
      const surplus = this.places.size - fairShare(total, members.length)
      if (surplus <= 0 || this.state !== 'open') return
      const giving = [...this.places.values()].slice(-surplus).map(({ at }) => at)
      await this.events.onRevoking(giving)
      for (const at of giving) if (this.places.has(keyOf(at))) this.giving.add(keyOf(at))
      this.wantsRebalance = this.giving.size > 0
    } catch {
      // The next rebalance is another chance.
    } finally {
      this.balancing = false
    }
  }

  private assigner(name: string, cluster: KafkaJsCluster): KafkaJsAssigner {
    return {
      name,
      version: 0,
      protocol: ({ topics }) => {
        // All are asked at each attempt to join.
        if (name === ASSIGNOR) this.joins++
        const busy = new Set(this.events.onRebalancing().map(keyOf))
        const claim = { held: {} as Record<string, number[]>, owned: {} as Record<string, number[]> }
        for (const [key, { at }] of this.places) {
          if (this.giving.has(key)) continue
          const kind = busy.has(key) ? claim.held : claim.owned
          ;(kind[at.topic] ??= []).push(at.partition)
        }
        return { name, metadata: encodeSubscription(topics, claim) }
      },
      assign: async ({ members, topics }) => {
        const all = Object.fromEntries(
          topics.map((topic) => [
            topic,
            cluster.findTopicPartitionMetadata(topic).map(({ partitionId }) => partitionId),
          ]),
        )
        const claimants = members.map(({ memberId, memberMetadata }) => ({
          id: memberId,
          ...decodeSubscription(memberMetadata),
        }))
        return [...assign(all, claimants)].map(([memberId, assignment]) => ({
          memberId,
          memberAssignment: encodeAssignment(assignment),
        }))
      },
    }
  }
}

function keyOf({ topic, partition }: TopicPartition): string {
  return `${topic} ${partition}`
}

function grouped(partitions: readonly TopicPartition[]): { topic: string; partitions: number[] }[] {
  const byTopic = new Map<string, number[]>()
  for (const { topic, partition } of partitions) {
    const all = byTopic.get(topic)
    if (all === undefined) byTopic.set(topic, [partition])
    else all.push(partition)
  }
  return [...byTopic].map(([topic, all]) => ({ topic, partitions: all }))
}

function recordOf(offset: number, { key, value, headers, timestamp }: KafkaJsMessage): KafkaRecord {
  const texts: Record<string, string> = Object.create(null)
  for (const name in headers) {
    const given = headers[name]
    const one = Array.isArray(given) ? given.at(-1) : given
    if (one !== undefined && one !== null) texts[name] = typeof one === 'string' ? one : one.toString('utf8')
  }
  return { offset, key, value, headers: texts, timestamp: Number(timestamp) }
}

function lost(): FairleadError {
  return createError({ code: 'LEASE_LOST', message: LOST, transport: 'kafka' })
}
