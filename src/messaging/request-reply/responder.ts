// Answers requests: a consumer whose handlers return what is sent back. Without an inbox the reply goes out before the request is acknowledged; with one it is part of the
// transaction of the request.
import { DESCRIBE, type Description, describe } from '../../core/describe.ts'
import { countOption, invalidOption, knownOptions, shareOption } from '../../core/options.ts'
import { SEAMS, world } from '../../policies/seams.ts'
import { createConsumer } from '../consumer/create-consumer.ts'
import type { CloseOptions, Consumer, ConsumerHealth, ConsumerOptions } from '../consumer/types.ts'
import { isCarriable } from '../fields.ts'
import type { Channel, MessageTypes } from '../types.ts'
import { AnsweringDesk, type Plan } from './answering-desk.ts'
import { answering, answeringPlace } from './answering-transport.ts'
import { Answers } from './answers.ts'
import type { InboxResponderOptions, Responder, ResponderOptions, ResponderStats } from './types.ts'

// A URI reference (RFC 3986), loosely: what it never contains.
const SOURCE = /^[^\s<>"{}|\\^`\p{Cc}]{1,1024}$/u
const DELAYED_MS: readonly number[] = [250, 1_000, 4_000]

const OPTIONS = [
  'transport',
  'channel',
  'source',
  'handlers',
  'group',
  'from',
  'prepare',
  'concurrency',
  'prefetch',
  'handlerTimeoutMs',
  'retries',
  'onFailure',
  'maxDeliveries',
  'unknownType',
  'unhandledType',
  'deadLetter',
  'layers',
  'throttle',
  'inbox',
  'outbox',
  'name',
  'redriveWithinMs',
  'purgeEveryMs',
  'exposeErrors',
  'onError',
  ...SEAMS,
]

/**
 * Makes a responder; nothing is taken before `start()`. A reply is sent before its request is acknowledged: a crash in between, and it is handled and answered again.
 * @throws FairleadError `INVALID_OPTIONS`; `CAPABILITY_MISSING` where the transport cannot do what is asked for
 * @example
 * const pricing = createResponder({ transport, channel: Pricing, source: '/pricing', handlers: {
 *   'price.quote': async ({ data }, context) => (await priceOf(data.sku)) ?? context.fail('UNKNOWN_SKU', { sku: data.sku }),
 * } })
 * await pricing.start()
 */
export function createResponder<Types extends MessageTypes>(options: ResponderOptions<Types>): Responder
/**
 * Makes a responder with an inbox: the effects of a request, as far as they are in its database, and its reply happen once, together.
 * @throws FairleadError `INVALID_OPTIONS`; `CAPABILITY_MISSING`
 * @example
 * const stock = createResponder({ transport, channel: Stock, inbox: store, outbox, handlers: {
 *   'stock.reserve': async ({ data }, { tx, fail }) => (await reserve(tx, data)) ?? fail('SOLD_OUT', { left: 0 }),
 * } })
 */
export function createResponder<Types extends MessageTypes, Tx>(options: InboxResponderOptions<Types, Tx>): Responder
export function createResponder(
  options: ResponderOptions<MessageTypes> | InboxResponderOptions<MessageTypes, unknown>,
): Responder {
  knownOptions('createResponder', options ?? {}, OPTIONS)
  const { source, outbox, exposeErrors = false, onError, handlers, retries, deadLetter, ...rest } = options ?? {}
  const { transport, channel, group } = rest
  if (typeof transport?.receive !== 'function') throw invalidOption('transport', transport, 'give a MessageTransport')
  if (typeof channel?.types !== 'object') throw invalidOption('channel', channel, 'give what queue() or topic() made')
  if (typeof handlers !== 'object' || handlers === null)
    throw invalidOption('handlers', handlers, 'give a handler for each type of message that is taken')
  if (typeof exposeErrors !== 'boolean') throw invalidOption('exposeErrors', exposeErrors, 'give true or false')
  if (onError !== undefined && typeof onError !== 'function')
    throw invalidOption('onError', onError, 'give a function of the error')
  if ((rest.inbox === undefined) !== (outbox === undefined))
    throw invalidOption(
      rest.inbox === undefined ? 'inbox' : 'outbox',
      undefined,
      'inbox and outbox belong together: give the store as inbox and an outbox of the same store, or neither',
    )
  if (outbox !== undefined && typeof outbox.publish !== 'function')
    throw invalidOption('outbox', outbox, 'give what createOutbox() made')
  if (outbox !== undefined && source !== undefined)
    throw invalidOption('source', source, 'leave it out: replies go through the outbox, which has one')
  const named = outbox?.source ?? source
  if (typeof named !== 'string' || !SOURCE.test(named) || !isCarriable(named))
    throw invalidOption('source', named, "give a URI reference that names who answers, such as '/pricing'")
  const plan: Plan = {
    immediate: countOption('retries.immediate', retries?.immediate, 2, 0),
    delayedMs: retries?.delayedMs ?? DELAYED_MS,
    jitter: shareOption('retries.jitter', retries?.jitter, 0.2, true),
  }
  const seen = world(options)
  const answers = new Answers({
    transport,
    channel: channel as unknown as Channel,
    group,
    source: named,
    exposeErrors,
    onError,
    world: seen,
  })
  const desk = new AnsweringDesk(answers, channel as unknown as Channel, outbox, plan, seen.clock)
  const consumer = createConsumer({
    ...rest,
    transport: answering(transport, desk, deadLetter === 'drop'),
    handlers: Object.fromEntries(
      Object.entries(handlers).map(([type, handler]) => [type, desk.handler(type, handler)]),
    ),
    // One more at once: for the answer that is written in a transaction of its own.
    retries: { ...retries, ...plan, immediate: plan.immediate + (outbox === undefined ? 0 : 1) },
    // Nobody waits for it.
    expired: 'drop',
    deadLetter: deadLetter === undefined || deadLetter === 'drop' ? undefined : answeringPlace(deadLetter, desk),
  } as unknown as ConsumerOptions<MessageTypes>)
  return new ConsumingResponder(consumer, answers, named)
}

class ConsumingResponder implements Responder {
  readonly #consumer: Consumer
  readonly #answers: Answers
  readonly #source: string

  constructor(consumer: Consumer, answers: Answers, source: string) {
    this.#consumer = consumer
    this.#answers = answers
    this.#source = source
  }

  start(): Promise<void> {
    return this.#consumer.start()
  }

  pause(): void {
    this.#consumer.pause()
  }

  resume(): void {
    this.#consumer.resume()
  }

  close(options?: CloseOptions): Promise<void> {
    return this.#consumer.close(options)
  }

  health(): ConsumerHealth {
    return this.#consumer.health()
  }

  lag(): ReturnType<Consumer['lag']> {
    return this.#consumer.lag()
  }

  stats(): ResponderStats {
    return this.#answers.stats()
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close()
  }

  [DESCRIBE](): Description {
    return { ...describe<Description>(this.#consumer), what: 'responder', name: this.#source }
  }
}
