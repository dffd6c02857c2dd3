// @confluentinc/kafka-javascript as a driver, in its kafkajs-compatible form: librdkafka does the work, and what it keeps to itself is asked for here.
import { boundedBy } from '../../../core/bounded.ts'
import { type Clock, sleep, systemClock } from '../../../core/clock.ts'
import { durationOption, invalidOption, knownOptions } from '../../../core/options.ts'
import { createError, type FairleadError } from '../../../errors/index.ts'
import { brokerError, kafkaErrorOf } from '../classify-kafka.ts'
import type {
  Committed,
  KafkaDriver,
  KafkaMember,
  KafkaProducer,
  KafkaReader,
  MemberEvents,
  NewTopic,
  PartitionOffset,
  ReaderEvents,
} from '../driver.ts'
import { commitAsMember, readAsMember } from './as-member.ts'
import { ConfluentLog, confluentFailure } from './confluent-failures.ts'
import { ConfluentGroups } from './confluent-groups.ts'
import { ConfluentMember, type ConfluentMembership } from './confluent-member.ts'
import { type ConfluentProducing, confluentProducer } from './confluent-producer.ts'
import type { ConfluentAdmin, ConfluentClient, ConfluentConfig } from './confluent-types.ts'
import { ofItsGroup, unlessGone } from './deleted-group.ts'
import { quietly } from './kafkajs-producer.ts'
import { byPartition } from './kafkajs-sending.ts'

/** Options of `confluentDriver`. All may be left out. */
export interface ConfluentDriverOptions {
  /** How long a fetch waits for records where there are none. Default 200. */
  readonly maxWaitMs?: number | undefined
  /** After so long without a heartbeat the broker gives the partitions to others. Default 30,000. */
  readonly sessionTimeoutMs?: number | undefined
  /** Also how fast a member notices a rebalance. Default 1,000. */
  readonly heartbeatMs?: number | undefined
  /** How long the broker waits for members in a rebalance. Default 60,000. */
  readonly rebalanceTimeoutMs?: number | undefined
  /** How long an answer is waited for. Default 10,000. */
  readonly answerWithinMs?: number | undefined
  /** For how long librdkafka tries to write a record (it is written once at most) before it is told as `unknown`. Default 10,000. */
  readonly deliverWithinMs?: number | undefined
  /**
   * How partitions are shared. Default `cooperative-sticky`: what stays with a member is worked on through a rebalance. `roundrobin` and `range` are for groups that
   * have members by way of other clients as well (those know no cooperative protocol): then each rebalance waits until all that is held is settled.
   */
  readonly assignor?: 'cooperative-sticky' | 'roundrobin' | 'range' | undefined
  /** Settings of librdkafka for producers, over those of the driver: such as `{ 'compression.type': 'lz4' }`. */
  readonly producer?: Readonly<Record<string, string | number | boolean>> | undefined
  /** Settings of librdkafka for consumers, over those of the driver. */
  readonly consumer?: Readonly<Record<string, string | number | boolean>> | undefined
  /** Each warning and error that the package logs, which the driver listens to: a `logger` of the client is not called. Default: nobody. */
  readonly log?: ((level: string, message: string) => void) | undefined
  readonly clock?: Clock | undefined
}

const OPTIONS: readonly (keyof ConfluentDriverOptions)[] = [
  'maxWaitMs',
  'sessionTimeoutMs',
  'heartbeatMs',
  'rebalanceTimeoutMs',
  'answerWithinMs',
  'deliverWithinMs',
  'assignor',
  'producer',
  'consumer',
  'log',
  'clock',
]
const ASSIGNORS = ['cooperative-sticky', 'roundrobin', 'range']
// The driver's: with others a promise of the transport would not hold.
const OWN = [
  'enable.idempotence',
  'acks',
  'group.id',
  'group.protocol',
  'enable.auto.commit',
  'enable.auto.offset.store',
  'auto.offset.reset',
  'partition.assignment.strategy',
  'transactional.id',
  'isolation.level',
]
// librdkafka waits longer and longer for a broker that was away: up to ten seconds.
const COMMON: ConfluentConfig = {
  'reconnect.backoff.ms': 100,
  'reconnect.backoff.max.ms': 1_000,
  'retry.backoff.ms': 100,
  'retry.backoff.max.ms': 1_000,
  // Whatever is shown of it: it is listened to.
  log_level: 4,
}
const READ_COMMITTED = 1
const JOIN_OVER_MS = 30_000
const GRACE_MS = 1_000
const AGAIN_MS = 100
const AGAIN_WITHIN_MS = 8_000
const KNOWN_WITHIN_MS = 10_000
const MOST_CUTS = 5

interface Settings extends Omit<ConfluentMembership, 'adopt'>, ConfluentProducing {}

interface Admin {
  readonly client: ConfluentAdmin
  readonly log: ConfluentLog
}

class ConfluentDriver implements KafkaDriver {
  readonly name = '@confluentinc/kafka-javascript'
  readonly joinWithinMs: number
  private readonly kafka: ConfluentClient
  private readonly settings: Settings & ConfluentMembership
  private readonly groups: ConfluentGroups
  private admin: Promise<Admin> | undefined

  constructor(kafka: ConfluentClient, settings: Settings) {
    this.kafka = kafka
    const groups = new ConfluentGroups(kafka, settings)
    this.groups = groups
    this.settings = { ...settings, adopt: (group, consumer, log) => groups.adopt(group, consumer, log) }
    this.joinWithinMs = settings.joinWithinMs
  }

  async partitions(topic: string): Promise<number | undefined> {
    return (await this.leaders(topic))?.length
  }

  async createTopics(topics: readonly NewTopic[]): Promise<void> {
    await this.asked((admin, timeout) =>
      admin.createTopics({
        timeout,
        topics: topics.map(({ topic, partitions, replicationFactor, config }) => ({
          topic,
          numPartitions: partitions,
          replicationFactor,
          configEntries: Object.entries(config).map(([name, value]) => ({ name, value })),
        })),
      }),
    )
    // Not all brokers know of it at once.
    const { clock } = this.settings
    for (const until = clock.now() + KNOWN_WITHIN_MS; ; await sleep(clock, AGAIN_MS)) {
      const all = await Promise.all(topics.map(({ topic }) => this.leaders(topic)))
      if (all.every((leaders) => leaders?.every((leader) => leader >= 0) ?? false)) return
      if (clock.now() > until) throw brokerError('LEADER_NOT_AVAILABLE', 'a topic that was made has no leaders yet')
    }
  }

  async deleteTopics(topics: readonly string[]): Promise<void> {
    for (const topic of topics)
      try {
        await this.asked((admin, timeout) => admin.deleteTopics({ topics: [topic], timeout }))
      } catch (error) {
        if (!isUnknownTopic(error)) throw error
      }
  }

  async offsets(topic: string, at: 'earliest' | 'latest' | { readonly time: number }): Promise<readonly number[]> {
    // What is not committed yet cannot be read, so the end is before it.
    const isolationLevel = READ_COMMITTED
    if (typeof at === 'object') {
      const found = await this.asked((admin, timeout) =>
        admin.fetchTopicOffsetsByTimestamp(topic, Math.ceil(at.time), { timeout, isolationLevel }),
      )
      return byPartition(found, ({ offset }) => Number(offset))
    }
    const found = await this.asked((admin, timeout) => admin.fetchTopicOffsets(topic, { timeout, isolationLevel }))
    return byPartition(found, ({ high, low }) => Number(at === 'earliest' ? low : high))
  }

  async committed(group: string, topic: string, settled: boolean = false): Promise<readonly (Committed | undefined)[]> {
    const count = (await this.partitions(topic)) ?? 0
    return this.again(() => this.groups.committed(group, topic, count, settled))
  }

  topicsOf(group: string): Promise<readonly string[]> {
    return this.again(() => this.groups.topics(group))
  }

  deleteGroup(group: string): Promise<void> {
    return unlessGone(this.asked((admin, timeout) => ofItsGroup(admin.deleteGroups([group], { timeout }))))
  }

  async setCommitted(group: string, offsets: readonly PartitionOffset[]): Promise<void> {
    const left = await this.again(() => this.groups.set(group, offsets))
    // It has members: one of them may note something.
    if (left.length > 0) await commitAsMember(this, group, left)
  }

  async producer(): Promise<KafkaProducer> {
    await this.reached()
    return confluentProducer(this.kafka, this.settings)
  }

  async join(group: string, topics: readonly string[], events: MemberEvents): Promise<KafkaMember> {
    if (group === '')
      throw createError({ code: 'BAD_REQUEST', effect: 'none', message: 'a group needs a name', transport: 'kafka' })
    await this.reached()
    const member = new ConfluentMember(this.kafka, group, topics, events, this.settings)
    await member.start()
    return member
  }

  async read(from: readonly PartitionOffset[], events: ReaderEvents): Promise<KafkaReader> {
    await this.reached()
    return readAsMember(
      this.settings.clock,
      from,
      events,
      (group, topics, self) => new ConfluentMember(this.kafka, group, topics, self, this.settings),
      (group) =>
        quietly(
          this.asked((admin, timeout) => admin.deleteGroups([group], { timeout })),
          this.settings.clock,
        ),
    )
  }

  async close(): Promise<void> {
    const { admin } = this
    this.admin = undefined
    await this.groups.close()
    if (admin === undefined) return
    await quietly(
      admin.then(({ client, log }) => log.idle().then(() => client.disconnect())),
      this.settings.clock,
    )
  }

  // Producers and consumers take half a minute to say that they cannot connect.
  private async reached(): Promise<void> {
    await this.asked((admin, timeout) => admin.listTopics({ timeout }))
  }

  private async leaders(topic: string): Promise<readonly number[] | undefined> {
    try {
      const found = await this.asked((admin, timeout) => admin.fetchTopicMetadata({ topics: [topic], timeout }))
      return found.find(({ name }) => name === topic)?.partitions.map(({ leader }) => leader)
    } catch (error) {
      if (isUnknownTopic(error)) return undefined
      throw error
    }
  }

  private asked<T>(work: (admin: ConfluentAdmin, timeout: number) => Promise<T>): Promise<T> {
    return this.again(() => this.ask(work))
  }

  /** Again, for a while, where the cluster is only busy with itself (a new leader or coordinator), and a few times where a connection ended. */
  private async again<T>(work: () => Promise<T>): Promise<T> {
    const { clock } = this.settings
    let cuts = 0
    for (const until = clock.now() + AGAIN_WITHIN_MS; ; await sleep(clock, AGAIN_MS)) {
      try {
        return await work()
      } catch (thrown) {
        const error = thrown as FairleadError
        const busy = error.code === 'UNAVAILABLE' && kafkaErrorOf(error) !== undefined
        const again = busy || (error.code === 'CONNECTION_LOST' && cuts++ < MOST_CUTS)
        if (!again || clock.now() > until) throw error
      }
    }
  }

  private async ask<T>(work: (admin: ConfluentAdmin, timeout: number) => Promise<T>): Promise<T> {
    this.admin ??= this.administrator()
    const mine = this.admin
    const { clock, answerWithinMs } = this.settings
    try {
      const { client, log } = await mine
      const answer = log.during(work(client, answerWithinMs))
      return await boundedBy(clock, answerWithinMs + GRACE_MS, answer, 'TIMED_OUT', 'no answer', 'kafka')
    } catch (thrown) {
      const error = confluentFailure(thrown)
      // What the broker answered leaves the connection as it is; a password is asked for with each new one.
      if (kafkaErrorOf(error) === undefined || error.code === 'UNAUTHENTICATED') this.retire(mine)
      throw error
    }
  }

  private retire(admin: Promise<Admin>): void {
    if (this.admin !== admin) return
    this.admin = undefined
    admin.then(
      ({ client, log }) =>
        void quietly(
          log.idle().then(() => client.disconnect()),
          this.settings.clock,
        ),
      () => {},
    )
  }

  private async administrator(): Promise<Admin> {
    const log = new ConfluentLog(this.settings.clock, this.settings.log)
    const client = this.kafka.admin({ ...COMMON, kafkaJS: { logger: log } })
    await client.connect()
    return { client, log }
  }
}

/**
 * @confluentinc/kafka-javascript as a driver: give `new KafkaJS.Kafka({ kafkaJS: {...} })`. Tested with 1.10.1. Keys go to the partitions that the other
 * drivers and Java clients send them to, whatever `partitioner` says. The driver takes the log of the clients that it makes (see `log`).
 * @throws FairleadError `INVALID_OPTIONS`
 * @example const transport = kafkaTransport(confluentDriver(new KafkaJS.Kafka({ kafkaJS: { clientId: 'orders', brokers: ['kafka:9092'] } })))
 */
export function confluentDriver(kafka: ConfluentClient, options: ConfluentDriverOptions = {}): KafkaDriver {
  if (
    typeof kafka?.consumer !== 'function' ||
    typeof kafka.producer !== 'function' ||
    typeof kafka.admin !== 'function'
  )
    throw invalidOption('kafka', kafka, 'give a KafkaJS.Kafka of @confluentinc/kafka-javascript')
  knownOptions('confluentDriver', options, OPTIONS)
  const { assignor = 'cooperative-sticky', producer = {}, consumer = {}, log, clock = systemClock } = options
  if (!ASSIGNORS.includes(assignor)) throw invalidOption('assignor', assignor, `give one of: ${ASSIGNORS.join(', ')}`)
  for (const [name, given] of Object.entries({ producer, consumer }))
    for (const setting of Object.keys(given))
      if (OWN.includes(setting)) throw invalidOption(`${name}.${setting}`, given[setting], 'leave it to the driver')
  const sessionTimeoutMs = durationOption('sessionTimeoutMs', options.sessionTimeoutMs, 30_000)
  const rebalanceTimeoutMs = durationOption('rebalanceTimeoutMs', options.rebalanceTimeoutMs, 60_000)
  return new ConfluentDriver(kafka, {
    clock,
    log,
    assignor,
    common: COMMON,
    producer,
    consumer,
    maxWaitMs: durationOption('maxWaitMs', options.maxWaitMs, 200),
    sessionTimeoutMs,
    heartbeatMs: durationOption('heartbeatMs', options.heartbeatMs, 1_000),
    // librdkafka takes it for the time between two polls as well, and that may not be less than a session.
    rebalanceTimeoutMs: Math.max(rebalanceTimeoutMs, sessionTimeoutMs),
    joinWithinMs: rebalanceTimeoutMs + sessionTimeoutMs + JOIN_OVER_MS,
    answerWithinMs: durationOption('answerWithinMs', options.answerWithinMs, 10_000),
    deliverWithinMs: durationOption('deliverWithinMs', options.deliverWithinMs, 10_000),
  })
}

function isUnknownTopic(error: unknown): boolean {
  return kafkaErrorOf(error as FairleadError) === 'UNKNOWN_TOPIC_OR_PARTITION'
}
