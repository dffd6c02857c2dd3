// Calls a service through a queue: what goes over HTTP otherwise goes as a message, and the answer comes back as one.
import type { RpiTransport } from '../../core/contracts/rpi.ts'
import { hintsOf, readReply } from '../../core/http-reply.ts'
import { requestParts } from '../../core/http-request.ts'
import { DEADLINE_HEADER } from '../../core/http-wire.ts'
import { instantSource } from '../../core/instant.ts'
import type { Envelope } from '../../core/message.ts'
import { invalidOption, knownOptions } from '../../core/options.ts'
import { uuidSource } from '../../core/uuid.ts'
import { isFairleadError } from '../../errors/base.ts'
import { createError, stamp } from '../../errors/classes.ts'
import { isChannelName } from '../../messaging/channel.ts'
import {
  createExchange,
  EXCHANGE_OPTIONS,
  type ExchangeOptions,
  type ExchangeStats,
} from '../../messaging/request-reply/exchange.ts'
import { world } from '../../policies/seams.ts'
import {
  envelopeOf,
  IDEMPOTENT_HEADER,
  METHOD_HEADER,
  REQUEST_TYPE,
  rpiQueue,
  STATUS_HEADER,
  TARGET_HEADER,
} from './wire.ts'

/** Options of calls over messaging. */
export interface MessagingRpiOptions extends ExchangeOptions {
  /** Which queue a service is asked by. Default: `rpi.` and its name. */
  readonly queue?: ((service: string) => string) | undefined
  /** Who asks, as the source of the messages: a URI reference. Default `/rpi`. */
  readonly source?: string | undefined
  /** What stands before the paths of the contract, as at the server adapter. Default: nothing. */
  readonly basePath?: string | undefined
  /** Which header carries the remaining time. Default `x-request-timeout-ms`. */
  readonly deadlineHeader?: string | undefined
}

/** Calls over messaging. */
export interface MessagingRpiTransport extends RpiTransport {
  /** Calls that wait, answers that came, came late, or belong to nobody here. */
  stats(): ExchangeStats
}

const OPTIONS = [...EXCHANGE_OPTIONS, 'queue', 'source', 'basePath', 'deadlineHeader']

/**
 * Carries the calls of proxies over a messaging transport, to `serveOverMessaging` at the other end. Operations that stream are refused (`CAPABILITY_MISSING`).
 *
 * What may have been done follows from how far the request came: nothing where it was not sent, or no queue was there for it; unknown where no answer came by the deadline. What the
 * server answers is what it answers over HTTP. The request expires with the deadline of the call; a server does not begin on it after that, but an attempt that timed out, or was cancelled, leaves it in
 * the queue until then.
 * @throws FairleadError `INVALID_OPTIONS`; `CAPABILITY_MISSING` where the transport has no private places and `replies` is not given
 * @example const inventory = createProxy(Inventory, { transport: messagingRpiTransport({ transport: rabbitmq }), attemptTimeoutMs: false })
 */
export function messagingRpiTransport(options: MessagingRpiOptions): MessagingRpiTransport {
  knownOptions('messagingRpiTransport', options ?? {}, OPTIONS)
  const {
    queue = rpiQueue,
    source = '/rpi',
    basePath = '',
    deadlineHeader = DEADLINE_HEADER,
    ...rest
  } = options ?? ({} as MessagingRpiOptions)
  if (typeof queue !== 'function')
    throw invalidOption('queue', queue, 'give a function of the service, or leave it out')
  if (typeof source !== 'string' || source === '')
    throw invalidOption('source', source, "give a URI reference that names the caller, such as '/shop/orders'")
  const exchange = createExchange({ name: 'rpi-replies', maxPending: 1_000, ...defined(rest) })
  const { clock, newId = uuidSource(clock) } = world(rest)
  const time = instantSource(clock)
  const { name } = rest.transport
  const queues = new Map<string, string>()
  const queueOf = (service: string): string => {
    const known = queues.get(service)
    if (known !== undefined) return known
    const given = queue(service)
    if (!isChannelName(given))
      throw invalidOption('queue', given, `it is no name of a queue (letters, digits, dots, dashes, underscores)`)
    queues.set(service, given)
    return given
  }
  let closed = false
  return {
    name,
    async invoke(operation, input, context) {
      context.effect = 'none'
      if (closed) throw createError({ code: 'SHUTDOWN', message: 'this transport is closed', transport: name })
      const hints = hintsOf(operation, context, name)
      if (operation.streaming !== 'none')
        throw createError({
          ...hints,
          code: 'CAPABILITY_MISSING',
          message: `${operation.service}.${operation.name} streams, and a message is whole: call it over HTTP`,
        })
      const to = { kind: 'queue', name: queueOf(operation.service) } as const
      const { method, target, headers, body } = requestParts(operation, input, context, { basePath, deadlineHeader })
      const request = envelopeOf({
        id: newId(),
        type: REQUEST_TYPE,
        source,
        time: time(),
        headers,
        own: {
          [METHOD_HEADER]: method,
          [TARGET_HEADER]: target,
          [IDEMPOTENT_HEADER]: String(operation.idempotent),
        },
        body,
      })
      let reply: Envelope
      try {
        reply = await exchange.ask(to, request, context)
      } catch (error) {
        throw isFairleadError(error) ? stamp(error, hints) : error
      }
      const status = Number(reply.headers[STATUS_HEADER])
      if (!Number.isInteger(status) || status < 200 || status > 599)
        throw createError({ ...hints, code: 'PROTOCOL_VIOLATION', message: 'the reply has no status' })
      return readReply(operation, { status, headers: reply.headers, text: Buffer.from(reply.body).toString() }, hints)
    },
    stats: () => exchange.stats(),
    async close() {
      closed = true
      await exchange.close()
    },
  }
}

// An option that is undefined is one that was not given.
function defined<T extends object>(options: T): T {
  return Object.fromEntries(Object.entries(options).filter(([, value]) => value !== undefined)) as T
}
