// A member of a group by way of kafkajs. Its rebalances are eager: every member gives up all and joins again. What is held stays where it is all the same,
// because members say in their subscription what they are at work on, and the assignor of ./../assignment.ts leaves it with them; whoever then has more than
// its share drains the surplus and asks for another rebalance.

import { boundedBy } from '../../../core/bounded.ts'
import { nextTurn, type Timer } from '../../../core/clock.ts'
import { endsWithin } from '../../../core/patience.ts'
import { createError, type FairleadError } from '../../../errors/index.ts'
import { ASSIGNOR, type Claim, fairShare } from '../assignment.ts'
import { classifyKafka } from '../classify-kafka.ts'
import type {
  KafkaMember,
  KafkaRecord,
  MemberEvents,
  PartitionCommit,
  PartitionOffset,
  TopicPartition,
} from '../driver.ts'
import { assigners } from './kafkajs-assigner.ts'
import { Pulse } from './kafkajs-pulse.ts'
import { gaveUpEarly, grouped, keyOf, lost, recordsFrom } from './kafkajs-records.ts'
import type { MemberSettings } from './kafkajs-settings.ts'
import type {
  KafkaJsClient,
  KafkaJsConsumer,
  KafkaJsCrash,
  KafkaJsJoin,
  KafkaJsMessage,
  KafkaJsRetry,
} from './kafkajs-types.ts'

const CLOSE_WITHIN_MS = 2_500
// Over what a rebalance and a session may take: that long kafkajs may have nothing to say.
const SILENT_MS = 10_000
const DESCRIBED_WITHIN_MS = 10_000
// After a question about the group that failed: until then another member may have nothing to do.
const BALANCE_AGAIN_MS = 5_000
const RUN_AGAIN_MS = 500
const MOST_RUNS_AGAIN = 20
const MOST_CUTS = 5

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
  // Attempts to join since the last assignment.
  private joins = 0
  // Assignments and crashes: what was begun before one of them is no longer so.
  private rounds = 0
  private committed = 0
  private cuts = 0
  private runsAgain = 0
  // Those that are given up with the next rebalance.
  private readonly giving = new Set<string>()
  private wantsRebalance = false
  private balancing = false
  private waiting: Timer | undefined
  private state: 'starting' | 'open' | 'closed' = 'starting'
  private first: { readonly resolve: () => void; readonly reject: (error: FairleadError) => void } | undefined
  private closing: Promise<void> | undefined
  private joinOver: (() => void) | undefined
  private readonly limitMs: number
  private readonly pulse: Pulse

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
    const { clock, sessionTimeoutMs, rebalanceTimeoutMs } = settings
    this.limitMs = sessionTimeoutMs + rebalanceTimeoutMs + SILENT_MS
    this.pulse = new Pulse(clock, this.limitMs, () =>
      this.end(
        createError({ code: 'TIMED_OUT', message: `kafkajs did nothing for ${this.limitMs} ms`, transport: 'kafka' }),
      ),
    )
    this.consumer = kafka.consumer({
      groupId: group,
      partitionAssigners: assigners((name) => this.claim(name)),
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
    consumer.on(GROUP_JOIN, ({ payload }: { readonly payload: KafkaJsJoin }) => this.joined(payload))
    consumer.on(CRASH, ({ payload }: { readonly payload: KafkaJsCrash }) => this.crashed(payload))
    consumer.on(COMMIT_OFFSETS, () => this.committed++)
    consumer.on(FETCH_START, () => this.fetching())
    const withinMs = settings.joinWithinMs
    try {
      this.run().catch((error: unknown) => this.first?.reject(classifyKafka(error)))
      if (!(await endsWithin(assigned, withinMs, settings.clock)))
        throw createError({
          code: 'TIMED_OUT',
          effect: 'none',
          message: `no partitions were assigned within ${withinMs} ms`,
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
    const work = this.consumer.commitOffsets(
      offsets.map(({ topic, partition, offset, note }) => ({
        topic,
        partition,
        offset: String(offset),
        metadata: note,
      })),
    )
    try {
      await boundedBy(this.settings.clock, this.limitMs, work, 'TIMED_OUT', 'no answer to a commit', 'kafka')
    } catch (thrown) {
      const error = classifyKafka(thrown)
      // It may yet come, and overtake others: a member that has left commits nothing.
      if (error === thrown && error.code === 'TIMED_OUT') this.end(error)
      throw error
    }
    // A consumer that was stopped meanwhile resolves without having committed.
    if (this.committed === before) throw lost()
  }

  close(): Promise<void> {
    this.state = 'closed'
    this.pulse.end()
    if (this.waiting !== undefined) this.settings.clock.clearTimer(this.waiting)
    this.closing ??= (async () => {
      try {
        await endsWithin(this.leave(), CLOSE_WITHIN_MS, this.settings.clock)
      } catch {
        // It is over either way: the broker takes it out of the group after the session timeout.
      }
    })()
    return this.closing
  }

  private async run(): Promise<void> {
    const { consumer } = this
    await consumer.connect()
    await consumer.subscribe({ topics: [...this.topics], fromBeginning: true })
    await this.take()
  }

  // Connects and joins by itself; what comes across it is told as a crash.
  private take(): Promise<void> {
    return this.consumer.run({
      autoCommit: false,
      eachBatchAutoResolve: true,
      eachBatch: async ({ batch, isStale }) => {
        if (!isStale()) this.records(batch, batch.messages)
      },
    })
  }

  // While it joins kafkajs cannot be stopped: it would go on as a member that nobody knows of. But one that never ends must not keep its connections for ever.
  private async leave(): Promise<void> {
    const { clock, joinWithinMs } = this.settings
    if (this.joins > 0)
      await endsWithin(
        new Promise<void>((resolve) => {
          this.joinOver = resolve
        }),
        joinWithinMs,
        clock,
      )
    await this.consumer.disconnect()
  }

  // An attempt to join that failed leaves kafkajs with what it had, and it goes on as if nothing had been; but what is held back for an assignment waits for one.
  private fetching(): void {
    this.pulse.beat()
    // There is a fetcher for each broker, and kafkajs hears the first of them only: the wish stands until the attempt has begun.
    if (!this.wantsRebalance && this.joins === 0) return
    // kafkajs has no call for it, but joins again when this error comes out of its fetch loop.
    throw Object.assign(new Error('the assignment is made anew'), { type: 'REBALANCE_IN_PROGRESS', retriable: false })
  }

  private joined({ memberId, memberAssignment }: KafkaJsJoin): void {
    this.pulse.beat()
    // Between two attempts to join another generation may have been, in which somebody else had our partitions.
    const continuous = memberId === this.memberId && this.joins === 1
    this.joins = 0
    this.runsAgain = 0
    this.rounds++
    this.wantsRebalance = false
    if (this.state === 'closed') {
      // A restart that kafkajs had begun before it was closed; its fetch loop, which can be stopped, is yet to begin.
      nextTurn(() => this.stopAgain(), undefined)
      return
    }
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
        const next = old?.next
        assigned.push(at)
        this.places.set(key, old ?? { at, next: undefined })
        if (next === undefined) this.pause([at])
        else {
          kept.push(at)
          // After each rebalance kafkajs would begin at the committed offset.
          this.steer(() => this.consumer.seek({ topic, partition, offset: String(next) }))
        }
      }
    // What comes back after it was given up nobody else wants: to give it up again would go on for ever.
    const returned = assigned.some((at) => this.giving.has(keyOf(at)))
    this.giving.clear()
    const stays = new Set(kept.map(keyOf))
    const gone = [...before.values()].map(({ at }) => at).filter((at) => !stays.has(keyOf(at)))
    if (gone.length > 0) this.events.onLost(gone)
    this.events.onAssigned(assigned, kept)
    if (this.state === 'starting') {
      this.state = 'open'
      this.pulse.start()
    }
    this.first?.resolve()
    if (kept.length > 0 && !returned) void this.balance()
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
  private crashed({ error, restart }: KafkaJsCrash): void {
    this.pulse.beat()
    const classified = classifyKafka(error)
    const gone = this.dropped()
    if (this.state === 'starting') {
      // A coordinator that is loading, a leader that is being chosen, a connection that ended (not for ever): kafkajs begins again by itself.
      const { code } = classified
      if (restart && (code === 'UNAVAILABLE' || (code === 'CONNECTION_LOST' && this.cuts++ < MOST_CUTS))) return
      this.first?.reject(classified)
      return
    }
    if (this.state === 'closed') {
      // It sets a timer to begin again after this event, whether it was closed meanwhile or not; closing once more clears that.
      nextTurn(() => this.stopAgain(), undefined)
      return
    }
    if (gone.length > 0) this.events.onLost(gone)
    if (restart) return
    // It may also be hidden in it that we are not let into the group any more: not for ever.
    if (gaveUpEarly(error, classified) && this.runsAgain++ < MOST_RUNS_AGAIN)
      this.later(RUN_AGAIN_MS, () => this.take())
    else this.end(classified)
  }

  // It does not come back by itself.
  private end(error: FairleadError): void {
    if (this.state !== 'open') return
    const gone = this.dropped()
    void this.close()
    if (gone.length > 0) this.events.onLost(gone)
    this.events.onEnded(error)
  }

  private dropped(): readonly TopicPartition[] {
    const gone = [...this.places.values()].map(({ at }) => at)
    this.places = new Map()
    this.memberId = undefined
    this.joins = 0
    this.rounds++
    this.giving.clear()
    this.wantsRebalance = false
    return gone
  }

  private stopAgain(): void {
    this.joinOver?.()
    void this.consumer.disconnect().catch(() => {})
  }

  private records(from: TopicPartition, messages: readonly KafkaJsMessage[]): void {
    const place = this.places.get(keyOf(from))
    if (this.state === 'closed' || place?.next === undefined) return
    const records = recordsFrom(place.next, messages)
    if (records.length === 0) return
    place.next = (records.at(-1) as KafkaRecord).offset + 1
    this.events.onRecords(place.at, records)
  }

  // Members that are at work on much keep it at first; here they give up what is more than their share.
  private async balance(): Promise<void> {
    const { countPartitions } = this
    if (this.balancing || countPartitions === undefined) return
    this.balancing = true
    let failed = false
    const round = this.rounds
    // After another assignment they are handed out again, and the surplus may be another one; and who joins now has said already what it wants to keep.
    const holds = (): boolean => round === this.rounds && this.joins === 0 && this.state === 'open'
    try {
      const asked = Promise.all([this.consumer.describeGroup(), countPartitions()])
      const { clock } = this.settings
      const [{ members }, total] = await boundedBy(clock, DESCRIBED_WITHIN_MS, asked, 'TIMED_OUT', 'no answer')
      const surplus = this.places.size - fairShare(total, members.length)
      if (surplus <= 0 || !holds()) return
      const giving = [...this.places.values()].slice(-surplus).map(({ at }) => at)
      await this.events.onRevoking(giving)
      if (!holds()) return
      for (const at of giving) this.giving.add(keyOf(at))
      this.wantsRebalance = true
    } catch {
      failed = true
    } finally {
      this.balancing = false
      if (this.places.size > 0 && this.state === 'open') {
        if (round !== this.rounds) void this.balance()
        // Nobody else would ask again before the next rebalance.
        else if (failed) this.later(BALANCE_AGAIN_MS, () => this.balance())
      }
    }
  }

  // Does one thing after a while: what waited before does not matter any more.
  private later(ms: number, work: () => Promise<void>): void {
    const { clock } = this.settings
    if (this.waiting !== undefined) clock.clearTimer(this.waiting)
    const failed = (error: unknown): void => this.end(classifyKafka(error))
    this.waiting = clock.setTimer(() => void work().catch(failed), ms, undefined)
  }

  // What is asked for with each attempt to join.
  private claim(name: string): Claim {
    // What was begun before it was closed must not make a member of it again.
    if (this.state === 'closed') throw Object.assign(new Error('the member is closed'), { retriable: false })
    // All are asked at each attempt.
    if (name === ASSIGNOR) this.joins++
    this.wantsRebalance = false
    this.pulse.beat()
    const busy = new Set(this.events.onRebalancing().map(keyOf))
    const claim = { held: {} as Record<string, number[]>, owned: {} as Record<string, number[]> }
    for (const [key, { at }] of this.places) {
      if (this.giving.has(key)) continue
      const kind = busy.has(key) ? claim.held : claim.owned
      ;(kind[at.topic] ??= []).push(at.partition)
    }
    return claim
  }
}
