// Publishes typed messages: validates all before it sends any, and says of each what became of it.
import { inherited } from '../core/async-context.ts'
import type { Clock, Random } from '../core/clock.ts'
import type { CallContext } from '../core/context.ts'
import type { MessageTransport } from '../core/contracts/transport.ts'
import { DESCRIBE, type Describable, type Description, type LayerDescription } from '../core/describe.ts'
import type { EventListener } from '../core/events.ts'
import { compose, type Handler, type Layer } from '../core/handler.ts'
import { instantSource } from '../core/instant.ts'
import { type Closable, closable } from '../core/lifecycle.ts'
import type { Envelope } from '../core/message.ts'
import { durationOption, invalidOption, knownOptions } from '../core/options.ts'
import { uuidSource, uuidV7 } from '../core/uuid.ts'
import type { FairleadError } from '../errors/base.ts'
import { createError, withDetails } from '../errors/classes.ts'
import { classify } from '../errors/classify.ts'
import { type CallOptions, startResult } from '../policies/call.ts'
import { deadline } from '../policies/deadline.ts'
import { world } from '../policies/seams.ts'
import { telemetry } from '../policies/telemetry.ts'
import { type EncodeOptions, encodeMessage } from './encode.ts'
import { isCarriable, isId } from './fields.ts'
import { checkCall, objection, type PublishOptions } from './publish-checks.ts'
import { type PublishResult, Shipment } from './shipment.ts'
import type { Channel, MessageTypes, Publishable } from './types.ts'

/** Options of a publisher. */
export interface PublisherOptions {
  /** It is not closed with the publisher: others may use it. */
  readonly transport: MessageTransport
  /** Who publishes: a URI reference, such as `/shop/orders`. With the id it names a message for good, so it must not change with each start. */
  readonly source: string
  /** For a whole call, validation included, milliseconds. Default 5,000. An inherited deadline that is sooner wins. */
  readonly deadlineMs?: number | undefined
  /** Policies around the sending, first = outermost: `[retry(), circuitBreaker()]`. A retry sends only what is not accepted yet, with the same ids. Default: none. */
  readonly layers?: readonly Layer[] | undefined
  /** Time. Leave it out in production. */
  readonly clock?: Clock | undefined
  /** Chance. It has no use for it here: it is taken so that what others take can be spread. */
  readonly random?: Random | undefined
  /** Makes the ids of messages that are given none. Default: UUID version 7. */
  readonly newId?: (() => string) | undefined
  /** Hears what happens. Events are also on the diagnostics channel `fairlead:event`. */
  readonly onEvent?: EventListener | undefined
}

/** The transport has the message. What that means is in its capability `acknowledged`. */
export interface Receipt {
  readonly id: string
  /** `duplicate`: it had one of that id already. */
  readonly status: 'accepted' | 'duplicate'
}

/** One message that failed, in `details.failed` of the error of a call. */
export interface FailedMessage {
  readonly id: string
  readonly code: FairleadError['code']
  readonly effect: FairleadError['effect']
}

/** Publishes messages. */
export interface Publisher extends Closable, Describable<Description> {
  /**
   * Publishes one message. All are validated before any is sent.
   * @throws FairleadError as a rejection: the first failure, with `details.accepted` (ids) and `details.failed` (id, code and effect of each).
   * `INVALID_OPTIONS`, `INVALID_INPUT`, `CAPABILITY_MISSING`, `PAYLOAD_TOO_LARGE` and `TOO_LATE` come before anything is sent; `SHUTDOWN` after `close`.
   * Its `retryable` goes by the ids: a second call without ids of one's own would publish other messages.
   */
  publish<Types extends MessageTypes>(
    channel: Channel<Types>,
    message: Publishable<NoInfer<Types>>,
    options?: PublishOptions,
  ): Promise<Receipt>
  /** Publishes several, in order: a receipt each. */
  publish<Types extends MessageTypes>(
    channel: Channel<Types>,
    messages: readonly Publishable<NoInfer<Types>>[],
    options?: PublishOptions,
  ): Promise<readonly Receipt[]>
  /** As `publish`, and says what became of each instead of rejecting: it never does. If one cannot be sent as it is, none is. */
  result<Types extends MessageTypes>(
    channel: Channel<Types>,
    message: Publishable<NoInfer<Types>>,
    options?: PublishOptions,
  ): Promise<PublishResult>
  result<Types extends MessageTypes>(
    channel: Channel<Types>,
    messages: readonly Publishable<NoInfer<Types>>[],
    options?: PublishOptions,
  ): Promise<readonly PublishResult[]>
  /** Refuses further calls and waits for those that are under way. Twice is the same as once. */
  close(): Promise<void>
}

const OPTIONS = ['transport', 'source', 'deadlineMs', 'layers', 'clock', 'random', 'newId', 'onEvent']
// A URI reference (RFC 3986), loosely: what it never contains.
const SOURCE = /^[^\s<>"{}|\\^`\p{Cc}]{1,1024}$/u

/**
 * Makes a publisher.
 * @throws FairleadError `INVALID_OPTIONS`
 * @example
 * const publisher = createPublisher({ transport, source: '/shop/orders', layers: [retry()] })
 * await publisher.publish(Orders, { type: 'order.placed', key: orderId, data: { orderId } })
 */
export function createPublisher(options: PublisherOptions): Publisher {
  knownOptions('createPublisher', options ?? {}, OPTIONS)
  const { transport, source, layers = [] } = options ?? {}
  if (typeof transport?.send !== 'function')
    throw invalidOption('transport', transport, 'give a transport: memoryTransport() for example')
  if (typeof source !== 'string' || !SOURCE.test(source) || !isCarriable(source))
    throw invalidOption('source', source, "give a URI reference that names the sender, such as '/shop/orders'")
  if (!Array.isArray(layers) || layers.some((layer) => typeof layer !== 'function'))
    throw invalidOption('layers', layers, 'give a list of layers: [retry()]')
  const { clock, newId } = world(options)
  const seams = { clock: options.clock, onEvent: options.onEvent }
  const deadlineMs = durationOption('deadlineMs', options.deadlineMs, 5_000)
  const all = [telemetry(seams), deadline(seams), ...layers]
  const send: Handler<Shipment, void> = (shipment, context) => shipment.send(context)
  return new TransportPublisher({
    transport,
    deadlineMs,
    layers: all,
    ready: compose([deadline(seams)], ready),
    handler: compose(all, send),
    encode: { source, clock, newId: newId ?? uuidSource(clock), time: instantSource(clock) },
  })
}

interface Settings {
  readonly transport: MessageTransport
  readonly deadlineMs: number
  readonly layers: readonly Layer[]
  readonly ready: Handler<readonly Attempting[], Ready>
  readonly handler: Handler<Shipment, void>
  readonly encode: EncodeOptions & { readonly newId: () => string }
}

interface Ended {
  readonly outcomes: readonly PublishResult[]
  /** Of the call as a whole: why not all are accepted. */
  readonly error?: FairleadError
}

type AnyMessages = object | readonly object[]

class TransportPublisher implements Publisher {
  readonly #settings: Settings
  readonly #closing: Closable
  #closed = false
  #running = 0
  #onIdle: (() => void) | undefined

  constructor(settings: Settings) {
    this.#settings = settings
    this.#closing = closable(async () => {
      this.#closed = true
      if (this.#running > 0) await new Promise<void>((resolve) => (this.#onIdle = resolve))
    })
  }

  async publish(channel: Channel<any>, messages: AnyMessages, options?: PublishOptions): Promise<any> {
    const many = Array.isArray(messages)
    const { outcomes, error } = await this.#run(channel, many ? messages : [messages], options)
    if (error !== undefined) throw error
    return many ? outcomes : outcomes[0]
  }

  async result(channel: Channel<any>, messages: AnyMessages, options?: PublishOptions): Promise<any> {
    const many = Array.isArray(messages)
    const { outcomes } = await this.#run(channel, many ? messages : [messages], options)
    return many ? outcomes : outcomes[0]
  }

  async #run(channel: Channel, messages: readonly object[], options: PublishOptions | undefined): Promise<Ended> {
    let call: CallOptions | undefined
    try {
      call = checkCall(channel, options)
    } catch (error) {
      return this.#refused(messages, classify(error))
    }
    if (this.#closed) return this.#refused(messages, this.#shutdown(channel))
    if (messages.length === 0) return { outcomes: [] }
    this.#running++
    try {
      return await this.#validated(channel, messages, call)
    } finally {
      if (--this.#running === 0) this.#onIdle?.()
    }
  }

  async #validated(channel: Channel, messages: readonly object[], options: CallOptions | undefined): Promise<Ended> {
    const { transport, encode, handler, deadlineMs, ready } = this.#settings
    const { clock } = encode
    const template = { service: channel.name, operation: 'publish', idempotent: true, deadlineMs, clock }
    const own =
      options?.headers === undefined ? encode : { ...encode, headers: { ...inherited()?.headers, ...options.headers } }
    const envelopes: Envelope[] = []
    const faults = new Map<number, FairleadError>()
    // All begin before any is waited for: compression works on several threads.
    const attempting = messages.map((message) => attempt(channel, message, own))
    let attempted = attempting as readonly Attempted[]
    let call = options
    if (attempting.some((each) => each instanceof Promise)) {
      const waited = await startResult(ready, template, attempting, options)
      if (!waited.ok) return this.#refused(messages, classify(waited.error))
      attempted = waited.value.attempted
      // What is left of it. None left is refused by the layer, which knows how.
      call = { ...options, deadlineMs: Math.max(Number.MIN_VALUE, waited.value.remainingMs) }
    }
    for (const [at, { envelope, error }] of attempted.entries()) {
      const against = envelope === undefined ? error : objection(channel, envelope, transport, clock.wallNow())
      if (against !== undefined) faults.set(at, classify(against))
      if (envelope !== undefined) envelopes.push(envelope)
    }
    if (faults.size > 0) return this.#none(channel, messages, faults)
    const shipment = new Shipment(channel, envelopes, transport)
    const result = await startResult(handler, template, shipment, call)
    if (result.ok) return { outcomes: shipment.outcomes(undefined) }
    const ended = classify(result.error)
    return told(shipment.outcomes(ended), ended, haveIds(messages))
  }

  // Nothing was sent. Those that are not at fault themselves were not sent because of the others.
  #none(channel: Channel, messages: readonly object[], faults: ReadonlyMap<number, FairleadError>): Ended {
    const [[index, error]] = [...faults] as [[number, FairleadError]]
    const first = messages.length > 1 ? withDetails(error, { index }) : error
    return this.#unsent(messages, first, (at) => faults.get(at) ?? besides(channel, first))
  }

  // Nothing was sent, for a reason that is that of the call and of no message.
  #refused(messages: readonly object[], error: FairleadError): Ended {
    return this.#unsent(messages, error, () => error)
  }

  #unsent(messages: readonly object[], because: FairleadError, errorOf: (at: number) => FairleadError): Ended {
    const outcomes = messages.map((message, at): PublishResult => {
      const { id } = (message ?? {}) as { readonly id?: unknown }
      return {
        id: typeof id === 'string' && id !== '' ? id : this.#anyId(),
        status: 'failed',
        error: errorOf(at),
      }
    })
    return told(outcomes, because, true)
  }

  // Where newId itself is at fault, the message has a name all the same.
  #anyId(): string {
    const { newId, clock } = this.#settings.encode
    try {
      const id: unknown = newId()
      if (isId(id)) return id
    } catch {
      // Said by the encoding, if it came to that.
    }
    return uuidV7(clock)
  }

  #shutdown(channel: Channel): FairleadError {
    const { transport } = this.#settings
    return createError({
      code: 'SHUTDOWN',
      message: 'this publisher is closed',
      channel: channel.name,
      transport: transport.name,
    })
  }

  close(): Promise<void> {
    return this.#closing.close()
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close()
  }

  [DESCRIBE](): Description {
    const { transport, deadlineMs, layers, encode } = this.#settings
    return {
      what: 'publisher',
      name: encode.source,
      transport: transport.name,
      deadlineMs,
      layers: layers.map(
        (layer): LayerDescription =>
          (layer as Partial<Describable<LayerDescription>>)[DESCRIBE]?.() ?? {
            layer: layer.name || 'layer',
            options: {},
          },
      ),
    }
  }
}

type Attempted = { readonly envelope?: Envelope; readonly error?: FairleadError }
type Attempting = Attempted | Promise<Attempted>

interface Ready {
  readonly attempted: readonly Attempted[]
  readonly remainingMs: number
}

// An asynchronous schema may never answer.
async function ready(attempting: readonly Attempting[], context: CallContext): Promise<Ready> {
  // Nothing is sent meanwhile.
  context.effect = 'none'
  const attempted = await Promise.all(attempting)
  return { attempted, remainingMs: context.deadline.remainingMs() }
}

function attempt(channel: Channel, message: object, options: EncodeOptions): Attempting {
  const failed = (error: unknown): Attempted => ({ error: classify(error) })
  try {
    const envelope = encodeMessage(channel, message as Publishable<MessageTypes>, options)
    return envelope instanceof Promise ? envelope.then((made) => ({ envelope: made }), failed) : { envelope }
  } catch (error) {
    return failed(error)
  }
}

function besides(channel: Channel, first: FairleadError): FairleadError {
  return createError({
    code: first.code,
    message: 'not sent, because of another message of the call',
    channel: channel.name,
    cause: first,
    stack: false,
  })
}

function haveIds(messages: readonly object[]): boolean {
  return messages.every((message) => (message as { readonly id?: unknown }).id !== undefined)
}

// One message may be there, or be there for sure: then the call as a whole has done something.
function told(outcomes: readonly PublishResult[], ended: FairleadError, idempotent: boolean): Ended {
  const accepted: string[] = []
  const failed: FailedMessage[] = []
  for (const outcome of outcomes)
    if (outcome.status === 'failed')
      failed.push({ id: outcome.id, code: outcome.error.code, effect: outcome.error.effect })
    else accepted.push(outcome.id)
  const effect = accepted.length === 0 && failed.every((each) => each.effect === 'none') ? 'none' : 'unknown'
  return { outcomes, error: withDetails(ended, { accepted, failed }, { effect, idempotent }) }
}
