// Options of a relay, checked once.
import type { OutboxStore } from '../../core/contracts/store.ts'
import type { MessageTransport } from '../../core/contracts/transport.ts'
import type { ChannelAddress } from '../../core/message.ts'
import { ageOption, countOption, durationOption, invalidOption, knownOptions } from '../../core/options.ts'
import { SEAMS, type World, world } from '../../policies/seams.ts'
import { isChannelName } from '../channel.ts'
import type { Outbox, RelayOptions } from './types.ts'
import type { Growth } from './waits.ts'

/** What a relay goes by. */
export interface RelaySettings {
  readonly outbox: Outbox<unknown>
  readonly store: OutboxStore<unknown>
  readonly transport: MessageTransport
  readonly channels: readonly ChannelAddress[]
  readonly name: string | undefined
  readonly batch: number
  readonly concurrency: number
  readonly leaseMs: number
  /** No send begins with less left of the lease than it may take, and this. */
  readonly marginMs: number
  readonly sendTimeoutMs: number
  readonly poll: Growth
  readonly listen: boolean
  readonly maxAttempts: number
  /** Of one message. */
  readonly backoff: Growth
  /** Of a channel, or the transport, that is away. */
  readonly outageBackoff: Growth
  readonly onDead: 'block-key' | 'continue'
  readonly purgeAfterMs: number | false
  readonly world: World
}

const OPTIONS = [
  'outbox',
  'transport',
  'channels',
  'name',
  'batch',
  'concurrency',
  'leaseMs',
  'sendTimeoutMs',
  'poll',
  'listen',
  'maxAttempts',
  'backoff',
  'onDead',
  'purgeAfterMs',
  ...SEAMS,
]
// Renewed after a third, a lease has two thirds left at least; a little of that is for the renewal itself, and for clocks.
const MOST_OF_LEASE = 0.6
const MARGIN_OF_LEASE = 0.05
const SEND_TIMEOUT_MS = 5_000
/** A lease is renewed over a network after a third of it. */
const LEAST_LEASE_MS = 100
/** An idle relay would do nothing else. */
const LEAST_POLL_MS = 1
const NAME = /^[\x21-\x7e]{1,200}$/

/** @throws FairleadError `INVALID_OPTIONS` */
export function relaySettings(options: RelayOptions): RelaySettings {
  knownOptions('createRelay', options ?? {}, OPTIONS)
  const { outbox, transport, channels = [], name, listen = false, onDead = 'block-key' } = options ?? {}
  if (typeof outbox?.publish !== 'function' || outbox.place === undefined)
    throw invalidOption('outbox', outbox, 'give an outbox: createOutbox(store)')
  if (typeof transport?.send !== 'function')
    throw invalidOption('transport', transport, 'give a transport: memoryTransport() for example')
  if (!Array.isArray(channels) || !channels.every(isAddress))
    throw invalidOption('channels', channels, 'give a list of what queue() and topic() made')
  if (name !== undefined && (typeof name !== 'string' || !NAME.test(name)))
    throw invalidOption('name', name, 'give visible ASCII letters and signs, at most 200')
  if (typeof listen !== 'boolean') throw invalidOption('listen', listen, 'give true or false')
  if (onDead !== 'block-key' && onDead !== 'continue')
    throw invalidOption('onDead', onDead, "give 'block-key' or 'continue'")
  const leaseMs = durationOption('leaseMs', options.leaseMs, 10_000, LEAST_LEASE_MS)
  const sendTimeoutMs = durationOption('sendTimeoutMs', options.sendTimeoutMs, Math.min(SEND_TIMEOUT_MS, leaseMs / 2))
  if (sendTimeoutMs > leaseMs * MOST_OF_LEASE)
    throw invalidOption(
      'sendTimeoutMs',
      sendTimeoutMs,
      `a send has to end while the lease (${leaseMs} ms) lasts: give at most ${leaseMs * MOST_OF_LEASE}, or a longer leaseMs`,
    )
  const { purgeAfterMs } = options
  return {
    outbox,
    store: outbox.place.outbox,
    transport,
    channels: channels.map(({ kind, name }) => ({ kind, name })),
    name,
    batch: countOption('batch', options.batch, 500),
    concurrency: countOption('concurrency', options.concurrency, 4),
    leaseMs,
    marginMs: leaseMs * MARGIN_OF_LEASE,
    sendTimeoutMs,
    poll: growth('poll', options.poll, { minMs: 20, maxMs: 1_000 }, LEAST_POLL_MS),
    listen,
    maxAttempts: countOption('maxAttempts', options.maxAttempts, 20),
    backoff: growth('backoff', options.backoff, { minMs: 100, maxMs: 30_000 }),
    outageBackoff: growth('backoff', options.backoff, { minMs: 100, maxMs: 5_000 }),
    onDead,
    purgeAfterMs: purgeAfterMs === false ? false : ageOption('purgeAfterMs', purgeAfterMs, 7 * 86_400_000),
    world: world(options),
  }
}

function growth(option: string, given: RelayOptions['backoff'], fallback: Growth, least?: number): Growth {
  if (given === undefined) return fallback
  knownOptions(option, given, ['minMs', 'maxMs'])
  const minMs = durationOption(`${option}.minMs`, given.minMs, Math.min(fallback.minMs, given.maxMs ?? Infinity), least)
  const maxMs = durationOption(`${option}.maxMs`, given.maxMs, Math.max(fallback.maxMs, minMs), least)
  if (maxMs < minMs) throw invalidOption(`${option}.maxMs`, maxMs, `give at least minMs (${minMs})`)
  return { minMs, maxMs }
}

function isAddress(channel: ChannelAddress): boolean {
  return (channel?.kind === 'queue' || channel?.kind === 'topic') && isChannelName(channel.name)
}
