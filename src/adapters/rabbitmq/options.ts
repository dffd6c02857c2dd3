// What users may say of a RabbitMQ transport, and what becomes of it.
import { type Clock, type Random, systemClock, systemRandom } from '../../core/clock.ts'
import type { TransportCapabilities } from '../../core/contracts/transport.ts'
import { countOption, durationOption, invalidOption, knownOptions } from '../../core/options.ts'
import {
  MAX_DELAY_MS,
  orderedRabbitmqCapabilities,
  priorityRabbitmqCapabilities,
  rabbitmqCapabilities,
} from './capabilities.ts'

/** Options of a RabbitMQ transport. All may be left out. */
export interface RabbitmqTransportOptions {
  /** In errors and events. Default `rabbitmq`. */
  readonly name?: string | undefined
  /**
   * `channel`: queues have a single active consumer, the others stand by, and what is given back waits at its receiver: all messages of a channel are handed out
   * in order. Default `none`: receivers compete, and what is given back is overtaken. It is a property of the queue: all its users say the same.
   */
  readonly order?: 'none' | 'channel' | undefined
  /**
   * How many levels above the lowest: makes classic queues with `x-max-priority`, kept by one node, instead of quorum queues, kept by a majority. 1 to 255; each
   * level costs the broker memory, so give 10 or fewer. Priorities from -1 up are told apart, until the levels are used up. Default: none.
   */
  readonly priorities?: number | undefined
  /**
   * How often a message may come back uncounted by a verdict (crashes, lost connections) or by `retry` without a delay, before the queue itself moves it to its dead-letter
   * place (`x-delivery-limit`). Of quorum queues only. Default 20.
   */
  readonly deliveryLimit?: number | undefined
  /** Of the broker: how long it lets a message be held (`consumer_timeout`). Say so here if it was changed there. Default 1,800,000 (30 minutes). */
  readonly consumerTimeoutMs?: number | undefined
  /** With `order: 'channel'`: how many messages the active receiver has from the broker at most. Default 200. */
  readonly prefetch?: number | undefined
  /** How long to wait for a connection, a channel, or an answer of the broker to anything but a send. Default 5,000. */
  readonly answerTimeoutMs?: number | undefined
  /** Of attributes, headers and body together. The broker has a limit of its own (`max_message_size`). Default 16 MiB. */
  readonly maxPayloadBytes?: number | undefined
  readonly clock?: Clock | undefined
  readonly random?: Random | undefined
}

const OPTIONS: readonly (keyof RabbitmqTransportOptions)[] = [
  'name',
  'order',
  'priorities',
  'deliveryLimit',
  'consumerTimeoutMs',
  'prefetch',
  'answerTimeoutMs',
  'maxPayloadBytes',
  'clock',
  'random',
]

/** The options, checked and complete. */
export interface Settings {
  readonly name: string
  readonly ordered: boolean
  /** 0: quorum queues. */
  readonly priorities: number
  readonly deliveryLimit: number
  readonly consumerTimeoutMs: number
  readonly prefetch: number
  readonly answerMs: number
  readonly clock: Clock
  readonly random: Random
  readonly capabilities: TransportCapabilities
}

/** @throws FairleadError `INVALID_OPTIONS` */
export function settingsOf(options: RabbitmqTransportOptions): Settings {
  knownOptions('rabbitmqTransport', options, OPTIONS)
  const { order = 'none', priorities } = options
  if (order !== 'none' && order !== 'channel') throw invalidOption('order', order, "give 'none' or 'channel'")
  const levels = priorities === undefined ? 0 : countOption('priorities', priorities, 0)
  if (levels > 255) throw invalidOption('priorities', levels, 'give a whole number from 1 to 255')
  if (levels > 0 && order === 'channel')
    throw invalidOption('priorities', levels, "leave it out, or order: 'channel': a queue has one order or the other")
  const consumerTimeoutMs = durationOption('consumerTimeoutMs', options.consumerTimeoutMs, 1_800_000, 1_000)
  const promised =
    order === 'channel' ? orderedRabbitmqCapabilities : levels > 0 ? priorityRabbitmqCapabilities : rabbitmqCapabilities
  return {
    name: options.name ?? 'rabbitmq',
    ordered: order === 'channel',
    priorities: levels,
    deliveryLimit: countOption('deliveryLimit', options.deliveryLimit, 20),
    consumerTimeoutMs,
    prefetch: countOption('prefetch', options.prefetch, 200),
    answerMs: durationOption('answerTimeoutMs', options.answerTimeoutMs, 5_000),
    clock: options.clock ?? systemClock,
    random: options.random ?? systemRandom,
    capabilities: Object.freeze({
      ...promised,
      // What waits at its receiver is held: the broker takes it away when its own timeout is over.
      maxDelayMs: order === 'channel' ? Math.min(MAX_DELAY_MS, Math.floor(consumerTimeoutMs * 0.75)) : MAX_DELAY_MS,
      maxPayloadBytes: countOption('maxPayloadBytes', options.maxPayloadBytes, promised.maxPayloadBytes),
    }),
  }
}
