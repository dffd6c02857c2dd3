// kafkajs 2 as a driver. What it does not do by itself is done here: it tells of a rebalance too late to drain, commits that were not made count as made,
// and an idempotent producer that lost an answer takes the next batch for the last one.
import { boundedBy } from '../../../core/bounded.ts'
import { type Clock, sleep, systemClock } from '../../../core/clock.ts'
import { durationOption, invalidOption, knownOptions } from '../../../core/options.ts'
import type { FairleadError } from '../../../errors/index.ts'
import { brokerError, classifyKafka, kafkaErrorOf } from '../classify-kafka.ts'
import type {
  Committed,
  KafkaDriver,
  KafkaMember,
  KafkaProducer,
  KafkaReader,
  KafkaTransactor,
  MemberEvents,
  NewTopic,
  PartitionOffset,
  ReaderEvents,
} from '../driver.ts'
import { commitAsMember, readAsMember } from './as-member.ts'
import { ofItsGroup, unlessGone } from './deleted-group.ts'
import { KafkaJsMember } from './kafkajs-member.ts'
import { isUnknownTopic, KafkaJsProducers, quietly, RETRY } from './kafkajs-producer.ts'
import { byPartition } from './kafkajs-sending.ts'
import type { MemberSettings, ProducerSettings } from './kafkajs-settings.ts'
import { kafkaJsTransactor } from './kafkajs-transactor.ts'
import type { KafkaJsAdmin, KafkaJsClient } from './kafkajs-types.ts'

export { quietly } from './kafkajs-producer.ts'

/** Options of `kafkaJsDriver`. All may be left out. */
export interface KafkaJsDriverOptions {
  /** How long a fetch waits for records where there are none, and a paused consumer before it looks again. It delays every stop as well. Default 50; kafkajs itself has 5,000. */
  readonly maxWaitMs?: number | undefined
  /** After so long without a heartbeat the broker gives the partitions to others. Default 30,000. */
  readonly sessionTimeoutMs?: number | undefined
  /** Also how fast a member notices a rebalance. Default 1,000. */
  readonly heartbeatMs?: number | undefined
  /** How long the broker waits for members in a rebalance. Default 60,000. */
  readonly rebalanceTimeoutMs?: number | undefined
  /**
   * How long kafkajs may take to write what is sent, with all that it tries by itself; then it is told as `unknown` and another producer goes on. Default 30,000.
   * More than `requestTimeout` of the client.
   */
  readonly deliverWithinMs?: number | undefined
  readonly clock?: Clock | undefined
}

const OPTIONS = [
  'maxWaitMs',
  'sessionTimeoutMs',
  'heartbeatMs',
  'rebalanceTimeoutMs',
  'deliverWithinMs',
  'clock',
] as const
// Over what a rebalance may take.
const JOIN_OVER_MS = 30_000
const AGAIN_MS = 100
const AGAIN_WITHIN_MS = 8_000
const MOST_CUTS = 5
// Of its `ConfigResourceTypes`.
const TOPIC = 2
// Longer than a client that tries a few times by itself; they stand in line, and one that never ends would hold up all.
const ANSWER_WITHIN_MS = 30_000
const MEMBER_RETRY = { initialRetryTime: 100, maxRetryTime: 1_000, retries: 8 } as const

interface Settings extends MemberSettings, ProducerSettings {}

class KafkaJsDriver implements KafkaDriver {
  readonly name = 'kafkajs'
  readonly joinWithinMs: number
  private readonly kafka: KafkaJsClient
  private readonly settings: Settings
  private admin: Promise<KafkaJsAdmin> | undefined
  private line: Promise<unknown> = Promise.resolve()

  constructor(kafka: KafkaJsClient, settings: Settings) {
    this.kafka = kafka
    this.settings = settings
    this.joinWithinMs = settings.joinWithinMs
  }

  async partitions(topic: string): Promise<number | undefined> {
    try {
      const { topics } = await this.asked((admin) => admin.fetchTopicMetadata({ topics: [topic] }))
      return topics.find(({ name }) => name === topic)?.partitions.length
    } catch (error) {
      if (isUnknownTopic(error as FairleadError)) return undefined
      throw error
    }
  }

  async createTopics(topics: readonly NewTopic[]): Promise<void> {
    await this.fresh(undefined, (admin) =>
      admin.createTopics({
        // It takes a topic that is not yet known for one that is not there.
        waitForLeaders: false,
        topics: topics.map(({ topic, partitions, replicationFactor, config }) => ({
          topic,
          numPartitions: partitions,
          replicationFactor,
          configEntries: Object.entries(config).map(([name, value]) => ({ name, value })),
        })),
      }),
    )
  }

  async deleteTopics(topics: readonly string[]): Promise<void> {
    for (const topic of topics) if ((await this.partitions(topic)) !== undefined) await this.deleteTopic(topic)
  }

  async offsets(topic: string, at: 'earliest' | 'latest' | { readonly time: number }): Promise<readonly number[]> {
    if (typeof at === 'object')
      return byPartition(
        await this.fresh(topic, (admin) => admin.fetchTopicOffsetsByTimestamp(topic, at.time)),
        ({ offset }) => Number(offset),
      )
    return byPartition(await this.fresh(topic, (admin) => admin.fetchTopicOffsets(topic)), ({ high, low }) =>
      Number(at === 'earliest' ? low : high),
    )
  }

  async committed(group: string, topic: string): Promise<readonly (Committed | undefined)[]> {
    const answers = await this.fresh(topic, (admin) => admin.fetchOffsets({ groupId: group, topics: [topic] }))
    const partitions = answers.find((answer) => answer.topic === topic)?.partitions ?? []
    return byPartition(partitions, ({ offset, metadata }) =>
      Number(offset) < 0 ? undefined : { offset: Number(offset), note: metadata ?? '' },
    )
  }

  async topicsOf(group: string): Promise<readonly string[]> {
    const places = await this.fresh(undefined, (admin) => admin.fetchOffsets({ groupId: group }))
    return places.flatMap(({ topic, partitions }) =>
      partitions.some(({ offset }) => Number(offset) >= 0) ? topic : [],
    )
  }

  deleteGroup(group: string): Promise<void> {
    return unlessGone(this.fresh(undefined, (admin) => ofItsGroup(admin.deleteGroups([group]))))
  }

  async config(topic: string, names: readonly string[]): Promise<Readonly<Record<string, string>>> {
    const asked = { type: TOPIC, name: topic, configNames: [...names] }
    const { resources } = await this.fresh(topic, (admin) =>
      admin.describeConfigs({ resources: [asked], includeSynonyms: false }),
    )
    return Object.fromEntries(
      resources.flatMap(({ configEntries }) => configEntries.map((each) => [each.configName, each.configValue])),
    )
  }

  // kafkajs can commit as a member only.
  setCommitted(group: string, offsets: readonly PartitionOffset[]): Promise<void> {
    return commitAsMember(this, group, offsets)
  }

  producer(): Promise<KafkaProducer> {
    return new KafkaJsProducers(this.kafka, this.settings, (topic) => this.partitions(topic)).make()
  }

  transactor(name: string, timeoutMs: number): Promise<KafkaTransactor> {
    const { clock, deliverWithinMs } = this.settings
    return kafkaJsTransactor(this.kafka, name, timeoutMs, clock, deliverWithinMs)
  }

  async join(group: string, topics: readonly string[], events: MemberEvents): Promise<KafkaMember> {
    const member = new KafkaJsMember(this.kafka, group, topics, events, this.settings, MEMBER_RETRY, async () => {
      let sum = 0
      for (const topic of topics) sum += (await this.partitions(topic)) ?? 0
      return sum
    })
    await member.start()
    return member
  }

  // kafkajs has no consumer without a group.
  read(from: readonly PartitionOffset[], events: ReaderEvents): Promise<KafkaReader> {
    const { clock } = this.settings
    return readAsMember(
      clock,
      from,
      events,
      (group, topics, self) =>
        new KafkaJsMember(this.kafka, group, topics, self, this.settings, MEMBER_RETRY, undefined),
      (group) =>
        quietly(
          this.asked((admin) => admin.deleteGroups([group])),
          clock,
        ),
    )
  }

  async close(): Promise<void> {
    const { admin } = this
    this.admin = undefined
    if (admin !== undefined)
      await quietly(
        admin.then((each) => each.disconnect()),
        this.settings.clock,
      )
  }

  private async deleteTopic(topic: string): Promise<void> {
    try {
      await this.fresh(topic, (admin) => admin.deleteTopics({ topics: [topic] }))
    } catch (error) {
      if (!isUnknownTopic(error as FairleadError)) throw error
    }
  }

  // The admin client of kafkajs remembers every topic it was asked about, and once one of them is gone it knows none.
  private async fresh<T>(topic: string | undefined, work: (admin: KafkaJsAdmin) => Promise<T>): Promise<T> {
    const { admin } = this
    try {
      return await this.asked(work)
    } catch (error) {
      if (!isUnknownTopic(error as FairleadError)) throw error
      if (topic !== undefined && (await this.partitions(topic)) === undefined) throw error
      if (admin !== undefined) this.retire(admin)
      return this.asked(work)
    }
  }

  // A coordinator that is loading, a leader that is being chosen, a connection that ended: kafkajs gives up at once on most of them.
  private async asked<T>(work: (admin: KafkaJsAdmin) => Promise<T>): Promise<T> {
    const { clock } = this.settings
    let cuts = 0
    for (const until = clock.now() + AGAIN_WITHIN_MS; ; await sleep(clock, AGAIN_MS)) {
      try {
        return await this.askedOnce(work)
      } catch (error) {
        const { code } = error as FairleadError
        const busy = code === 'UNAVAILABLE' && kafkaErrorOf(error as FairleadError) !== undefined
        const again = busy || (code === 'CONNECTION_LOST' && cuts++ < MOST_CUTS)
        if (!again || clock.now() > until) throw error
      }
    }
  }

  // One at a time: the admin client keeps one list of topics for all that are under way, and one that is not there yet spoils the others.
  private askedOnce<T>(work: (admin: KafkaJsAdmin) => Promise<T>): Promise<T> {
    const mine = this.line.then(() => this.ask(work))
    this.line = mine.then(nothing, nothing)
    return mine
  }

  private async ask<T>(work: (admin: KafkaJsAdmin) => Promise<T>): Promise<T> {
    this.admin ??= this.administrator()
    const mine = this.admin
    let connected = false
    try {
      const answer = mine.then((admin) => {
        connected = true
        return work(admin)
      })
      return await boundedBy(this.settings.clock, ANSWER_WITHIN_MS, answer, 'TIMED_OUT', 'no answer', 'kafka')
    } catch (thrown) {
      // Its own metadata were not what it thought: as with a leader that is being chosen.
      const unready = thrown instanceof TypeError
      const error = unready
        ? brokerError('LEADER_NOT_AVAILABLE')
        : classifyKafka(thrown, { phase: connected ? 'request' : 'connect' })
      // What the broker answered leaves the connection as it is.
      if (unready || kafkaErrorOf(error) === undefined) this.retire(mine)
      throw error
    }
  }

  private retire(admin: Promise<KafkaJsAdmin>): void {
    if (this.admin === admin) this.admin = undefined
    admin.then((each) => void quietly(each.disconnect(), this.settings.clock), nothing)
  }

  private async administrator(): Promise<KafkaJsAdmin> {
    const admin = this.kafka.admin({ retry: RETRY })
    try {
      await admin.connect()
      return admin
    } catch (error) {
      void quietly(admin.disconnect(), this.settings.clock)
      throw error
    }
  }
}

/**
 * kafkajs 2 as a driver: give `new Kafka(...)`. Tested with kafkajs 2.2.4. Set `retry` and `requestTimeout` of the client low (such as 3 retries from
 * 100 ms, 10,000 ms): while it tries again by itself, nobody can be told.
 * @throws FairleadError `INVALID_OPTIONS`
 * @example const transport = kafkaTransport(kafkaJsDriver(new Kafka({ clientId: 'orders', brokers: ['kafka:9092'] })))
 */
export function kafkaJsDriver(kafka: KafkaJsClient, options: KafkaJsDriverOptions = {}): KafkaDriver {
  if (
    typeof kafka?.consumer !== 'function' ||
    typeof kafka.producer !== 'function' ||
    typeof kafka.admin !== 'function'
  )
    throw invalidOption('kafka', kafka, 'give a Kafka of kafkajs')
  knownOptions('kafkaJsDriver', options, OPTIONS)
  const clock = options.clock ?? systemClock
  const rebalanceTimeoutMs = durationOption('rebalanceTimeoutMs', options.rebalanceTimeoutMs, 60_000)
  return new KafkaJsDriver(kafka, {
    clock,
    maxWaitMs: durationOption('maxWaitMs', options.maxWaitMs, 50),
    sessionTimeoutMs: durationOption('sessionTimeoutMs', options.sessionTimeoutMs, 30_000),
    heartbeatMs: durationOption('heartbeatMs', options.heartbeatMs, 1_000),
    rebalanceTimeoutMs,
    joinWithinMs: rebalanceTimeoutMs + JOIN_OVER_MS,
    deliverWithinMs: durationOption('deliverWithinMs', options.deliverWithinMs, 30_000, 1),
  })
}

function nothing(): void {}
