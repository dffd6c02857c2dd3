// What users may say of a Kafka transport, and what is made of it.
import { type Clock, type Random, systemClock, systemRandom } from '../../core/clock.ts'
import type { ChannelAddress } from '../../core/message.ts'
import { countOption, durationOption, invalidOption, knownOptions } from '../../core/options.ts'
import { kafkaCapabilities } from './capabilities.ts'

/** Options of a Kafka transport. All may be left out. */
export interface KafkaTransportOptions {
  /** In errors and events. Default `kafka`. */
  readonly name?: string | undefined
  /** Of topics that `prepare` makes. As many members of a group can work at a time. Default 6. */
  readonly partitions?: number | undefined
  /** Of topics that are made. Default -1: what the broker has set. */
  readonly replicationFactor?: number | undefined
  /** Settings of the topics that `prepare` makes, such as `{ 'retention.ms': '604800000' }` or `{ 'cleanup.policy': 'compact' }`. Default none. */
  readonly topicConfig?: Readonly<Record<string, string>> | undefined
  /** The group by which the receivers of a queue compete. Default `queue`. */
  readonly queueGroup?: string | undefined
  /**
   * The consumer group at the broker for a group of a topic (or the one group of a queue). Default `<topic>.<group>`: groups of different topics must not meet,
   * for each change of members would make the members of all of them wait.
   */
  readonly groupId?: ((channel: ChannelAddress, group: string) => string) | undefined
  /** How many records of a partition may lie between the first that is not settled and the last handed out. Beyond, the partition waits. At most 20,000. Default 1,000. */
  readonly maxUncommitted?: number | undefined
  /** How many records of a partition are read ahead. Default 2,000; never more than 8 MiB. */
  readonly readAhead?: number | undefined
  /** The longest time that acknowledgements are collected before they are committed. Default 5. */
  readonly commitEveryMs?: number | undefined
  /** How long handlers have to finish when a partition is given up in a rebalance. Default 10,000. */
  readonly revokeWithinMs?: number | undefined
  /**
   * How long a delivery may be held. Then the right is lost, the member leaves the group (its heartbeats would go on for ever behind a handler that hangs)
   * and `ended` rejects. Default 900,000; 0: no bound.
   */
  readonly maxHandlingMs?: number | undefined
  /** The longest delay, of a retry and of a send. What is delayed holds its place in the partition: see `maxUncommitted`. Default 900,000. */
  readonly maxDelayMs?: number | undefined
  /** Of attributes, headers and body together. Default 1,000,000: the broker's own default is 1 MiB with all that it adds. */
  readonly maxPayloadBytes?: number | undefined
  /** How long an answer of the broker is waited for where there is no deadline. Default 15,000. */
  readonly requestTimeoutMs?: number | undefined
  readonly clock?: Clock | undefined
  readonly random?: Random | undefined
}

/** Their names. */
export const OPTIONS: readonly (keyof KafkaTransportOptions)[] = [
  'name',
  'partitions',
  'replicationFactor',
  'topicConfig',
  'queueGroup',
  'groupId',
  'maxUncommitted',
  'readAhead',
  'commitEveryMs',
  'revokeWithinMs',
  'maxHandlingMs',
  'maxDelayMs',
  'maxPayloadBytes',
  'requestTimeoutMs',
  'clock',
  'random',
]

/** The options, checked and complete. */
export interface KafkaSettings {
  readonly name: string
  readonly partitions: number
  readonly replicationFactor: number
  readonly topicConfig: Readonly<Record<string, string>>
  readonly queueGroup: string
  readonly groupId: (channel: ChannelAddress, group: string) => string
  readonly maxUncommitted: number
  readonly readAhead: number
  readonly commitEveryMs: number
  readonly revokeWithinMs: number
  readonly maxHandlingMs: number
  readonly maxDelayMs: number
  readonly maxPayloadBytes: number
  readonly requestTimeoutMs: number
  readonly clock: Clock
  readonly random: Random
}

const MOST_UNCOMMITTED = 20_000
// https://github.com/apache/kafka/blob/4.0/clients/src/main/java/org/apache/kafka/common/internals/Topic.java
const TOPIC_NAME = /^(?!\.{1,2}$)[A-Za-z0-9._-]{1,249}$/

/** @throws FairleadError `INVALID_OPTIONS` */
export function kafkaSettings(options: KafkaTransportOptions): KafkaSettings {
  knownOptions('kafkaTransport', options, OPTIONS)
  const { replicationFactor = -1, queueGroup = 'queue' } = options
  if (replicationFactor !== -1) countOption('replicationFactor', replicationFactor, -1)
  const maxUncommitted = countOption('maxUncommitted', options.maxUncommitted, 1_000)
  // The note beside a committed offset has one bit for each.
  if (maxUncommitted > MOST_UNCOMMITTED)
    throw invalidOption('maxUncommitted', maxUncommitted, `give at most ${MOST_UNCOMMITTED}`)
  return {
    name: options.name ?? 'kafka',
    partitions: countOption('partitions', options.partitions, 6),
    replicationFactor,
    topicConfig: options.topicConfig ?? {},
    queueGroup: topicName(queueGroup),
    groupId: options.groupId ?? (({ name }, group) => `${name}.${group}`),
    maxUncommitted,
    readAhead: countOption('readAhead', options.readAhead, 2_000),
    commitEveryMs: durationOption('commitEveryMs', options.commitEveryMs, 5, 0),
    revokeWithinMs: durationOption('revokeWithinMs', options.revokeWithinMs, 10_000, 0),
    maxHandlingMs: durationOption('maxHandlingMs', options.maxHandlingMs, 900_000, 0),
    maxDelayMs: durationOption('maxDelayMs', options.maxDelayMs, kafkaCapabilities.maxDelayMs, 0),
    maxPayloadBytes: countOption('maxPayloadBytes', options.maxPayloadBytes, kafkaCapabilities.maxPayloadBytes),
    requestTimeoutMs: durationOption('requestTimeoutMs', options.requestTimeoutMs, 15_000),
    clock: options.clock ?? systemClock,
    random: options.random ?? systemRandom,
  }
}

/** A name that Kafka takes for a topic. @throws FairleadError `INVALID_OPTIONS` */
export function topicName(name: string): string {
  if (TOPIC_NAME.test(name)) return name
  throw invalidOption('name', name, 'names at Kafka have at most 249 letters, digits, dots, dashes and underscores')
}

/** Where what a group gave up is kept. */
export function deadTopic(channel: ChannelAddress, group: string): string {
  return topicName(`${channel.name}.${group}.dead`)
}

/** Where what was given up by a group of a topic is put back, for that group alone. */
export function retryTopic(channel: ChannelAddress, group: string): string {
  return topicName(`${channel.name}.${group}.retry`)
}
