// The options of a memory broker, checked.
import { type Clock, systemClock } from '../../core/clock.ts'
import { countOption, durationOption, invalidOption, knownOptions } from '../../core/options.ts'
import { Turns } from './turns.ts'

/** Options of a memory broker. */
export interface MemoryBrokerOptions {
  /** For tests. Default: real time. */
  readonly clock?: Clock | undefined
  /** Queues and topics come into being with the first send or receiver. `false`: they have to be made by `prepare`, and a send to another one fails as `UNROUTABLE`. Default true. */
  readonly autoCreate?: boolean | undefined
  /** For how long a second send of an id to the same channel is answered `duplicate`. Default 0: never. */
  readonly dedupeWindowMs?: number | undefined
  /** How many messages of a topic are kept for replay, the newest. Default 1,000; 0 for none. */
  readonly retainMessages?: number | undefined
  /** For how long they are kept at most. Default: without limit. */
  readonly retainMs?: number | undefined
  /**
   * How many messages a queue, a group or a live subscription may have: waiting, delayed, held and dead ones together.
   * One more send fails as `SELF_EXHAUSTED`, effect `none`. Default 2,000,000.
   */
  readonly maxMessages?: number | undefined
}

/** The same, complete. */
export interface BrokerSettings {
  readonly clock: Clock
  readonly turns: Turns
  readonly autoCreate: boolean
  readonly dedupeWindowMs: number
  readonly retainMessages: number
  readonly retainMs: number
  readonly maxMessages: number
}

/** Names of the options. */
export const BROKER_OPTIONS: readonly string[] = [
  'clock',
  'autoCreate',
  'dedupeWindowMs',
  'retainMessages',
  'retainMs',
  'maxMessages',
]

/** @throws FairleadError `INVALID_OPTIONS` */
export function brokerSettings(options: MemoryBrokerOptions): BrokerSettings {
  knownOptions('memoryBroker', options, BROKER_OPTIONS)
  const { clock = systemClock, autoCreate = true } = options
  if (typeof clock?.setTimer !== 'function') throw invalidOption('clock', clock, 'give a Clock, or leave it out')
  if (typeof autoCreate !== 'boolean') throw invalidOption('autoCreate', autoCreate, 'give true or false')
  return {
    clock,
    turns: new Turns(),
    autoCreate,
    dedupeWindowMs: durationOption('dedupeWindowMs', options.dedupeWindowMs, 0, 0),
    retainMessages: countOption('retainMessages', options.retainMessages, 1_000, 0),
    retainMs: options.retainMs === undefined ? Infinity : durationOption('retainMs', options.retainMs, 0),
    maxMessages: countOption('maxMessages', options.maxMessages, 2_000_000),
  }
}
