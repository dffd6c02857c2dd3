// @platformatic/kafka 1.x as a driver: the user hands in the module and the options of its clients.
import { type Clock, systemClock } from '../../../core/clock.ts'
import { countOption, durationOption, invalidOption, knownOptions } from '../../../core/options.ts'
import { createError, type FairleadError } from '../../../errors/index.ts'
import { brokerError, kafkaErrorOf } from '../classify-kafka.ts'
import type { Committed, KafkaDriver, KafkaTransactor, NewTopic, PartitionOffset } from '../driver.ts'
import { commitAsMember } from './as-member.ts'
import { unlessGone } from './deleted-group.ts'
import { failureOfCode, isCut, MOST_CUTS } from './platformatic/failures.ts'
import { type FetchOptions, fetcherOn } from './platformatic/fetcher.ts'
import { placesOf } from './platformatic/groups.ts'
import { type Link, linkTo } from './platformatic/link.ts'
import { PlatformaticMember } from './platformatic/member.ts'
import { type ProducerOptions, producerOn } from './platformatic/producer.ts'
import { transactorOn } from './platformatic/transactor.ts'
import type { PlatformaticBroker, PlatformaticKafka } from './platformatic/types.ts'

export type {
  PlatformaticAdmin,
  PlatformaticBatch,
  PlatformaticBroker,
  PlatformaticConnection,
  PlatformaticFetched,
  PlatformaticKafka,
  PlatformaticMetadata,
  PlatformaticNewRecord,
  PlatformaticRequest,
} from './platformatic/types.ts'

/** Options of the driver. All may be left out. */
export interface PlatformaticDriverOptions {
  /** How long a fetch waits for records where there are none. Default 200. */
  readonly maxWaitMs?: number | undefined
  /** The most bytes of one fetch, of all partitions. A record that is larger comes all the same. Default 10 MiB. */
  readonly maxBytes?: number | undefined
  /** The most bytes of one partition in a fetch. Default 1 MiB. */
  readonly maxBytesPerPartition?: number | undefined
  /** After so long without a heartbeat the broker gives the partitions to others. Default 30,000. */
  readonly sessionTimeoutMs?: number | undefined
  /** Also how fast a member notices a rebalance. Default 1,000. */
  readonly heartbeatMs?: number | undefined
  /** How long the broker waits for members in a rebalance. Default 60,000. */
  readonly rebalanceTimeoutMs?: number | undefined
  /** How long an answer is waited for. Default 10,000. */
  readonly answerWithinMs?: number | undefined
  /** For how long a batch without an answer is sent again (it is written once at most) before it is told as `unknown`. Default 10,000. */
  readonly deliverWithinMs?: number | undefined
  /** The most bytes of one batch: less than the broker's `message.max.bytes`. A record that is larger goes alone. Default 900,000. */
  readonly maxBatchBytes?: number | undefined
  /** Default `none`. */
  readonly compression?: ProducerOptions['compression'] | undefined
  readonly clock?: Clock | undefined
}

const OPTIONS: readonly (keyof PlatformaticDriverOptions)[] = [
  'maxWaitMs',
  'maxBytes',
  'maxBytesPerPartition',
  'sessionTimeoutMs',
  'heartbeatMs',
  'rebalanceTimeoutMs',
  'answerWithinMs',
  'deliverWithinMs',
  'maxBatchBytes',
  'compression',
  'clock',
]
const REQUESTS = [
  'produceV9',
  'initProducerIdV4',
  'addPartitionsToTxnV3',
  'addOffsetsToTxnV3',
  'txnOffsetCommitV3',
  'endTxnV3',
  'fetchV12',
  'listOffsetsV5',
  'joinGroupV6',
  'syncGroupV4',
  'heartbeatV4',
  'leaveGroupV4',
  'offsetCommitV8',
  'offsetFetchV8',
] as const
const RETRY_MS = 100
const KNOWN_WITHIN_MS = 10_000
// Of its `ConfigResourceTypes`.
const TOPIC = 2
// Over what a rebalance may take.
const JOIN_OVER_MS = 30_000

class PlatformaticDriver implements KafkaDriver {
  readonly name = '@platformatic/kafka'
  readonly joinWithinMs: number
  private readonly kafka: PlatformaticKafka<never>
  private readonly link: () => Link
  private readonly own: Link
  private readonly settings: Settings

  constructor(kafka: PlatformaticKafka<never>, link: () => Link, settings: Settings) {
    this.kafka = kafka
    this.link = link
    this.own = link()
    this.settings = settings
    this.joinWithinMs = settings.joinWithinMs
  }

  async partitions(topic: string): Promise<number | undefined> {
    return (await this.steady(() => this.own.topic(topic, true)))?.count
  }

  async createTopics(topics: readonly NewTopic[]): Promise<void> {
    for (const { topic, partitions, replicationFactor, config } of topics)
      try {
        const configs = Object.entries(config).map(([name, value]) => ({ name, value }))
        await this.steady(() =>
          this.own.call((admin) =>
            admin.createTopics({ topics: [topic], partitions, replicas: replicationFactor, configs }),
          ),
        )
      } catch (error) {
        if (kafkaErrorOf(error as FairleadError) !== 'TOPIC_ALREADY_EXISTS') throw error
      }
    // Not all brokers know of it at once.
    for (const { topic } of topics)
      await this.until(async () => {
        const topology = await this.own.topic(topic, true)
        return topology?.leaders.every((leader) => leader !== undefined) ?? false
      }, topic)
  }

  async deleteTopics(topics: readonly string[]): Promise<void> {
    for (const topic of topics)
      try {
        await this.own.call((admin) => admin.deleteTopics({ topics: [topic] }))
      } catch (error) {
        if (!isUnknown(error)) throw error
      } finally {
        this.own.forget()
      }
  }

  async offsets(topic: string, at: 'earliest' | 'latest' | { readonly time: number }): Promise<readonly number[]> {
    const found = await this.listed(topic, at === 'earliest' ? -2n : at === 'latest' ? -1n : BigInt(Math.ceil(at.time)))
    if (typeof at === 'string' || found.every((offset) => offset >= 0)) return found
    // Where nothing is that late, what comes next is.
    const latest = await this.listed(topic, -1n)
    return found.map((offset, partition) => (offset >= 0 ? offset : (latest[partition] ?? 0)))
  }

  async committed(group: string, topic: string, settled = false): Promise<readonly (Committed | undefined)[]> {
    return this.steady(async () => {
      const count = (await this.own.topic(topic))?.count ?? 0
      const partitionIndexes = Array.from({ length: count }, (_, partition) => partition)
      const result: (Committed | undefined)[] = partitionIndexes.map(() => undefined)
      const asked = [{ name: topic, partitionIndexes }]
      for (const { name, partition, place } of await placesOf(this.kafka, this.own, group, asked, settled))
        if (name === topic) result[partition] = place
      return result
    })
  }

  async topicsOf(group: string): Promise<readonly string[]> {
    const places = await this.steady(() => placesOf(this.kafka, this.own, group, null, false))
    return [...new Set(places.map(({ name }) => name))]
  }

  deleteGroup(group: string): Promise<void> {
    return unlessGone(this.steady(() => this.own.call((admin) => admin.deleteGroups({ groups: [group] }))))
  }

  async config(topic: string, names: readonly string[]): Promise<Readonly<Record<string, string>>> {
    const resources = [{ resourceType: TOPIC, resourceName: topic, configurationKeys: [...names] }]
    const found = await this.steady(() => this.own.call((admin) => admin.describeConfigs({ resources })))
    return Object.fromEntries(
      found.flatMap(({ configs }) => configs.flatMap(({ name, value }) => (value == null ? [] : [[name, value]]))),
    )
  }

  setCommitted(group: string, offsets: readonly PartitionOffset[]): Promise<void> {
    return commitAsMember(this, group, offsets)
  }

  async producer(): ReturnType<KafkaDriver['producer']> {
    const link = this.link()
    try {
      return await this.steady(() =>
        producerOn(this.kafka, link, () => this.anyBroker(link), this.settings.clock, this.settings.producing),
      )
    } catch (error) {
      await link.close()
      throw error
    }
  }

  async transactor(name: string, timeoutMs: number): Promise<KafkaTransactor> {
    const { clock, producing } = this.settings
    const link = this.link()
    try {
      return await transactorOn(this.kafka, link, name, timeoutMs, clock, producing)
    } catch (error) {
      await link.close()
      throw error
    }
  }

  async join(...[group, topics, events]: Parameters<KafkaDriver['join']>): Promise<PlatformaticMember> {
    const { kafka, settings } = this
    const { clock } = settings
    const parts = {
      kafka,
      membership: this.link(),
      commits: this.link(),
      clock,
      group,
      topics,
      options: settings,
      events,
    }
    const fetcher = fetcherOn(kafka, this.link(), clock, settings.fetching, {
      onRecords: (from, records) => events.onRecords(from, records),
      onFailure: (error) => void member.fail(error),
    })
    const member = new PlatformaticMember(parts, fetcher)
    await member.start()
    return member
  }

  async read(...[from, events]: Parameters<KafkaDriver['read']>): ReturnType<KafkaDriver['read']> {
    const fetcher = fetcherOn(this.kafka, this.link(), this.settings.clock, this.settings.fetching, {
      onRecords: (at, records) => events.onRecords(at, records),
      onFailure: (error) => {
        void fetcher.close()
        events.onEnded(error)
      },
    })
    fetcher.assign(from, [])
    for (const place of from) fetcher.seek(place)
    fetcher.resume(from)
    return fetcher
  }

  close(): Promise<void> {
    return this.own.close()
  }

  private async listed(topic: string, timestamp: bigint): Promise<number[]> {
    return this.steady(async () => {
      const topology = await this.own.topic(topic)
      if (topology === undefined) throw brokerError('UNKNOWN_TOPIC_OR_PARTITION', `there is no topic ${topic}`)
      const result = Array.from({ length: topology.count }, () => -1)
      const byLeader = new Map<string, { broker: PlatformaticBroker; partitions: number[] }>()
      for (const partition of result.keys()) {
        const broker = await this.own.leader(topic, partition)
        const address = `${broker.host}:${broker.port}`
        const some = byLeader.get(address) ?? { broker, partitions: [] }
        byLeader.set(address, some)
        some.partitions.push(partition)
      }
      for (const { broker, partitions } of byLeader.values()) {
        const asked = partitions.map((partitionIndex) => ({ partitionIndex, currentLeaderEpoch: -1, timestamp }))
        // What is not committed yet cannot be read, so the end is before it.
        const answer = await this.own.ask(broker, (connection) =>
          this.kafka.listOffsetsV5.api.async(connection, -1, 1, [{ name: topic, partitions: asked }]),
        )
        for (const each of answer.topics)
          for (const { partitionIndex, errorCode, offset } of each.partitions) {
            if (errorCode !== 0) throw this.refused(errorCode, `asking for offsets of ${topic}:${partitionIndex}`)
            result[partitionIndex] = Number(offset)
          }
      }
      return result
    })
  }

  private refused(code: number, doing: string): FairleadError {
    return failureOfCode(code, this.kafka.protocolErrorsCodesById, doing)
  }

  private async anyBroker(link: Link): Promise<PlatformaticBroker> {
    const { brokers } = await link.call((admin) => admin.metadata({ topics: [], forceUpdate: true }))
    for (const broker of brokers.values()) return broker
    throw createError({
      code: 'UNAVAILABLE',
      effect: 'none',
      message: 'the cluster names no broker',
      transport: 'kafka',
    })
  }

  /** Again, for a while, where the cluster is only busy with itself (a new leader or coordinator), and a few times where a connection ended. */
  private async steady<T>(work: () => Promise<T>): Promise<T> {
    const { clock, answerWithinMs } = this.settings
    let cuts = 0
    for (const began = clock.now(); ; ) {
      try {
        return await work()
      } catch (thrown) {
        const error = thrown as FairleadError
        const busy = kafkaErrorOf(error) !== undefined && error.transient
        const again = busy || (isCut(error) && cuts++ < MOST_CUTS)
        if (!again || clock.now() - began > answerWithinMs) throw error
        this.own.forget()
        await pause(clock)
      }
    }
  }

  private async until(met: () => Promise<boolean>, topic: string): Promise<void> {
    const { clock } = this.settings
    for (const began = clock.now(); !(await this.steady(met)); await pause(clock))
      if (clock.now() - began > KNOWN_WITHIN_MS)
        throw createError({
          code: 'UNAVAILABLE',
          effect: 'unknown',
          message: `topic ${topic} was made, and is not known to all brokers yet`,
          transport: 'kafka',
        })
  }
}

interface Settings {
  readonly clock: Clock
  readonly sessionTimeoutMs: number
  readonly heartbeatMs: number
  readonly rebalanceTimeoutMs: number
  readonly joinWithinMs: number
  readonly retryMs: number
  readonly answerWithinMs: number
  readonly fetching: FetchOptions
  readonly producing: ProducerOptions
}

const pause = (clock: Clock): Promise<void> =>
  new Promise((resolve) => void clock.setTimer(() => resolve(), RETRY_MS, undefined))

const isUnknown = (error: unknown): boolean => kafkaErrorOf(error as FairleadError) === 'UNKNOWN_TOPIC_OR_PARTITION'

/**
 * @platformatic/kafka as a driver: give the module and what its clients are made with (brokers, TLS, SASL). Tested with 1.35.0, the last that runs on
 * Node 20. It uses the package's connections and requests; its Consumer and Producer it does not use (the reasons are in drivers/platformatic/types.ts).
 * @param connection options of the package's clients. `retries` and the timeouts of requests are the driver's
 * @throws FairleadError `INVALID_OPTIONS`
 * @example
 * const driver = platformaticKafkaDriver(kafka, { clientId: 'orders', bootstrapBrokers: ['kafka:9092'] })
 */
export function platformaticKafkaDriver<Connection extends object>(
  kafka: PlatformaticKafka<Connection>,
  connection: Connection,
  options: PlatformaticDriverOptions = {},
): KafkaDriver {
  if (typeof kafka?.Admin !== 'function' || REQUESTS.some((name) => typeof kafka[name]?.api?.async !== 'function'))
    throw invalidOption('kafka', kafka, `give the module: import * as kafka from '@platformatic/kafka'`)
  knownOptions('platformaticKafkaDriver', options, OPTIONS)
  const clock = options.clock ?? systemClock
  const answerWithinMs = durationOption('answerWithinMs', options.answerWithinMs, 10_000)
  const sessionTimeoutMs = durationOption('sessionTimeoutMs', options.sessionTimeoutMs, 30_000)
  const rebalanceTimeoutMs = durationOption('rebalanceTimeoutMs', options.rebalanceTimeoutMs, 60_000)
  const maxWaitMs = durationOption('maxWaitMs', options.maxWaitMs, 200)
  const clientOptions = {
    ...connection,
    retries: 0,
    autocreateTopics: false,
    timeout: answerWithinMs,
    connectTimeout: Math.min((connection as { connectTimeout?: number }).connectTimeout ?? 5_000, answerWithinMs),
    // Ours are shorter; this one must not strike first.
    requestTimeout: rebalanceTimeoutMs + sessionTimeoutMs + answerWithinMs + maxWaitMs,
  }
  const make = (): Link => linkTo(() => new kafka.Admin(clientOptions), clock, answerWithinMs)
  return new PlatformaticDriver(kafka as PlatformaticKafka<never>, make, {
    clock,
    sessionTimeoutMs,
    heartbeatMs: durationOption('heartbeatMs', options.heartbeatMs, 1_000),
    rebalanceTimeoutMs,
    joinWithinMs: rebalanceTimeoutMs + JOIN_OVER_MS,
    retryMs: RETRY_MS,
    answerWithinMs,
    fetching: {
      maxWaitMs,
      maxBytes: countOption('maxBytes', options.maxBytes, 10_485_760),
      maxBytesPerPartition: countOption('maxBytesPerPartition', options.maxBytesPerPartition, 1_048_576),
      retryMs: RETRY_MS,
      answerWithinMs,
    },
    producing: {
      deliverWithinMs: durationOption('deliverWithinMs', options.deliverWithinMs, 10_000, 0),
      maxBatchBytes: countOption('maxBatchBytes', options.maxBatchBytes, 900_000),
      retryMs: RETRY_MS,
      answerWithinMs,
      compression: options.compression ?? 'none',
    },
  })
}
