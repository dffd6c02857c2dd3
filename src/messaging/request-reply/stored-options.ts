// Options of a stored requester, checked once, with the defaults filled in.
import type { MessageTransport } from '../../core/contracts/transport.ts'
import { ageOption, durationOption, invalidOption, knownOptions } from '../../core/options.ts'
import type { AnySchema } from '../../core/schema.ts'
import type { FairleadError } from '../../errors/base.ts'
import { type World, world } from '../../policies/seams.ts'
import { requireCapabilities } from '../capabilities.ts'
import { isChannel, isChannelName } from '../channel.ts'
import { type Keeping, keepingOf } from '../done-states.ts'
import { handedOn, INNER_CONSUMER } from '../inner-consumer.ts'
import type { Outbox } from '../outbox/types.ts'
import type { Channel, MessageTypes } from '../types.ts'
import { NEVER_DUE } from './stored-row.ts'
import type { StoredContext, StoredRequesterOptions, StoredRequestPlace } from './stored-types.ts'
import { repliesChannel } from './stored-wire.ts'

/** Handlers of any type. */
export interface AnyHandlers {
  reply(reply: unknown, context: StoredContext<unknown, unknown>): unknown
  failure?(name: string, data: unknown, context: StoredContext<unknown, unknown>): unknown
  error?(error: FairleadError, context: StoredContext<unknown, unknown>): unknown
  timeout(context: StoredContext<unknown, unknown> & { readonly error: FairleadError }): unknown
}

/** What a stored requester goes by. */
export interface Settings {
  readonly name: string
  readonly store: StoredRequestPlace<unknown>
  readonly outbox: Outbox<unknown>
  readonly transport: MessageTransport
  readonly channel: Channel
  readonly replies: Channel
  readonly handlers: ReadonlyMap<string, AnyHandlers>
  readonly state: AnySchema | undefined
  readonly timeoutMs: number
  readonly scanEveryMs: number | false
  readonly neverDue: number
  /** How long the rows of what is over are kept; false: for ever. */
  readonly keeping: Keeping | false
  readonly world: World
  /** What is handed on to the consumer. */
  readonly consumer: object
}

const OPTIONS = [
  'name',
  'store',
  'outbox',
  'transport',
  'channel',
  'replies',
  'state',
  'handlers',
  'timeoutMs',
  'scanEveryMs',
  'keepDoneMs',
  ...INNER_CONSUMER,
]
const NAME = /^[\x21-\x7e]{1,150}$/

type Given = StoredRequesterOptions<MessageTypes, unknown, AnySchema>

/** @throws FairleadError `INVALID_OPTIONS`, `CAPABILITY_MISSING` */
export function settingsOf(options: Given): Settings {
  knownOptions('createStoredRequester', options ?? {}, OPTIONS)
  const { name, store, outbox, transport, channel, replies, state, scanEveryMs } = options ?? ({} as Given)
  if (typeof name !== 'string' || !NAME.test(name))
    throw invalidOption('name', name, 'name the requester for good: visible ASCII, at most 150, without spaces')
  if (typeof store?.states?.save !== 'function' || typeof store.inbox?.claim !== 'function')
    throw invalidOption('store', store, 'give a store: postgresStore(...), memoryStore() or another one')
  if (typeof outbox?.publish !== 'function') throw invalidOption('outbox', outbox, 'give createOutbox(store)')
  if (typeof transport?.receive !== 'function' || transport.capabilities === undefined)
    throw invalidOption('transport', transport, 'give a MessageTransport: memoryTransport() for example')
  if (!isChannel(channel)) throw invalidOption('channel', channel, 'give what queue() or topic() made')
  if (!isChannelName(replies))
    throw invalidOption('replies', replies, 'name the queue for replies: letters, digits, dots, dashes, underscores')
  if (replies === channel.name && channel.kind === 'queue')
    throw invalidOption('replies', replies, 'it is the queue of the requests: replies need one of their own')
  if (state !== undefined && typeof state?.['~standard']?.validate !== 'function')
    throw invalidOption('state', state, 'give a schema (zod, valibot, arktype ...), or leave it out')
  const handlers = handlersOf(channel as unknown as Channel, options.handlers)
  // The requests go by the relay, whatever it sends with.
  requireCapabilities(transport, { modes: 'queue' })
  return {
    name,
    store,
    outbox,
    transport,
    channel: channel as unknown as Channel,
    replies: repliesChannel(replies, handlers.keys()),
    handlers,
    state,
    timeoutMs: ageOption('timeoutMs', options.timeoutMs, 60_000, 1),
    scanEveryMs: scanEveryMs === false ? false : durationOption('scanEveryMs', scanEveryMs, 5_000, 10),
    neverDue: NEVER_DUE,
    keeping: keepingFor(options),
    world: world(options),
    consumer: handedOn(options, INNER_CONSUMER),
  }
}

function handlersOf(channel: Channel, handlers: Given['handlers']): ReadonlyMap<string, AnyHandlers> {
  if (typeof handlers !== 'object' || handlers === null || Object.keys(handlers).length === 0)
    throw invalidOption('handlers', handlers, 'give handlers for each type of request that is made')
  const requests = Object.keys(channel.types).filter((type) => channel.types[type]?.reply !== undefined)
  const all = new Map<string, AnyHandlers>()
  for (const [type, own] of Object.entries(handlers) as readonly (readonly [string, AnyHandlers])[]) {
    const at = `handlers.${type}`
    if (!requests.includes(type))
      throw invalidOption(at, own, `${channel.name} has no such request; it has ${requests.join(', ') || 'none'}`)
    knownOptions(at, own, ['reply', 'failure', 'error', 'timeout'])
    for (const name of ['reply', 'timeout'] as const)
      if (typeof own[name] !== 'function') throw invalidOption(`${at}.${name}`, own[name], 'give a function')
    const failures = Object.keys(channel.types[type]?.failures ?? {})
    if (own.failure === undefined ? failures.length > 0 : typeof own.failure !== 'function')
      throw invalidOption(`${at}.failure`, own.failure, `give a function: ${type} declares ${failures.join(', ')}`)
    if (own.error !== undefined && typeof own.error !== 'function')
      throw invalidOption(`${at}.error`, own.error, 'give a function, or leave it out')
    all.set(type, own)
  }
  return all
}

function keepingFor({ store, keepDoneMs, purgeEveryMs }: Given): Keeping | false {
  if (keepDoneMs === false) return false
  const danger = 'a reply that comes late once the row is gone would be told as one to nobody'
  return keepingOf({ store, keepDoneMs, purgeEveryMs }, danger, 'keepDoneMs: false')
}
