// Asks over messages and waits in memory: encodes, exchanges, and says what the answer means.
import type { Clock } from '../../core/clock.ts'
import type { CallContext } from '../../core/context.ts'
import type { MessageTransport } from '../../core/contracts/transport.ts'
import { DESCRIBE, type Description } from '../../core/describe.ts'
import { compose, type Handler } from '../../core/handler.ts'
import { instantSource } from '../../core/instant.ts'
import type { Envelope, Message } from '../../core/message.ts'
import { countOption, durationOption, invalidOption, knownOptions } from '../../core/options.ts'
import { endsWithin } from '../../core/patience.ts'
import { uuidSource } from '../../core/uuid.ts'
import { type FairleadError, isFairleadError } from '../../errors/base.ts'
import { stamp } from '../../errors/classes.ts'
import { classify } from '../../errors/classify.ts'
import { type CallOptions, type CallTemplate, startResult } from '../../policies/call.ts'
import { deadline } from '../../policies/deadline.ts'
import { world } from '../../policies/seams.ts'
import { telemetry } from '../../policies/telemetry.ts'
import { isChannel } from '../channel.ts'
import { type EncodeOptions, encodeMessage } from '../encode.ts'
import { isCarriable } from '../fields.ts'
import { objection } from '../publish-checks.ts'
import type { Channel, MessageTypes, Publishable, RequestFailure, RequestFailureOut, RequestType } from '../types.ts'
import { createExchange, EXCHANGE_OPTIONS, type Exchange, type ExchangeStats } from './exchange.ts'
import { type ReadReply, readReply } from './reply-wire.ts'
import type { Gathered, GatherOptions, Requester, RequesterOptions, RequestOptions, RequestResult } from './types.ts'

const OPTIONS = [...EXCHANGE_OPTIONS, 'source', 'timeoutMs']
const REQUEST_OPTIONS = [
  'timeoutMs',
  'signal',
  'idempotent',
  'id',
  'key',
  'subject',
  'priority',
  'correlationId',
  'headers',
]
// A URI reference (RFC 3986), loosely: what it never contains.
const SOURCE = /^[^\s<>"{}|\\^`\p{Cc}]{1,1024}$/u
/** For replies that came in time and are still being read when it is over. */
const READ_WITHIN_MS = 1_000

/**
 * Makes a requester. Nothing is opened before the first request.
 * @throws FairleadError `INVALID_OPTIONS`; `CAPABILITY_MISSING` where the transport has no private places and `replies` is not given
 * @example
 * const Pricing = queue('pricing', { 'price.quote': { schema: z.object({ sku: z.string() }), reply: z.object({ cents: z.number() }) } })
 * const requester = createRequester({ transport, source: '/shop/checkout' })
 * const { cents } = await requester.request(Pricing, 'price.quote', { sku: 'A-1' }, { timeoutMs: 800 })
 */
export function createRequester(options: RequesterOptions): Requester {
  knownOptions('createRequester', options ?? {}, OPTIONS)
  const { source, timeoutMs, ...ofExchange } = options ?? {}
  if (typeof source !== 'string' || !SOURCE.test(source) || !isCarriable(source))
    throw invalidOption('source', source, "give a URI reference that names who asks, such as '/shop/checkout'")
  const exchange = createExchange(ofExchange)
  const { clock, newId } = world(options)
  return new MessageRequester({
    transport: options.transport,
    exchange,
    timeoutMs: durationOption('timeoutMs', timeoutMs, 5_000),
    seams: { clock: options.clock, onEvent: options.onEvent },
    encode: { source, clock, newId: newId ?? uuidSource(clock), time: instantSource(clock) },
    clock,
  })
}

/**
 * Whether a request failed in a way that its channel declares: then the error carries the data of that failure.
 * @example if (isRequestFailure(error, Pricing, 'price.quote', 'UNKNOWN_SKU')) suggest(error.details.similar)
 */
export function isRequestFailure<
  Types extends MessageTypes,
  K extends RequestType<Types>,
  F extends RequestFailure<Types[K]>,
>(
  error: unknown,
  channel: Channel<Types>,
  type: K,
  failure: F,
): error is FairleadError & {
  readonly code: 'DECLARED_FAILURE'
  readonly failure: F
  readonly details: RequestFailureOut<Types[K], F>
} {
  // A function wrapped by `resilient` that asks throws an error of its own around it: the failure is the same.
  let inner: unknown = error
  for (let depth = 0; depth < MOST_WRAPPERS && isFairleadError(inner, 'DECLARED_FAILURE'); depth++) {
    if (inner.service === channel.name && inner.operation === type) return inner.failure === failure
    inner = inner.cause
  }
  return false
}

const MOST_WRAPPERS = 8

interface Settings {
  readonly transport: MessageTransport
  readonly exchange: Exchange
  readonly timeoutMs: number
  readonly seams: Pick<RequesterOptions, 'clock' | 'onEvent'>
  readonly encode: EncodeOptions & { readonly newId: () => string }
  readonly clock: Clock
}

interface Question {
  readonly channel: Channel
  readonly type: string
  readonly data: unknown
  readonly options: RequestOptions
}

type Sending = Question & { readonly envelope: Envelope; readonly gathering: Gathering }

class MessageRequester implements Requester {
  readonly #settings: Settings
  readonly #asking: Handler<Question, unknown>
  readonly #encoding: Handler<Question, { readonly envelope: Envelope; readonly leftMs: number }>
  readonly #gathering: Handler<Sending, Gathered<any>>

  constructor(settings: Settings) {
    const { seams } = settings
    this.#settings = settings
    this.#asking = compose([telemetry(seams), deadline(seams)], (question, context) => this.#ask(question, context))
    this.#encoding = compose([deadline(seams)], async (question, context) => {
      const envelope = await this.#envelope(question, context)
      return { envelope, leftMs: context.deadline.remainingMs() }
    })
    // Without the deadline as a layer: at its deadline it has something to give.
    this.#gathering = compose([telemetry(seams)], (sending, context) => this.#gather(sending, context))
  }

  async request(channel: Channel<any>, type: string, data: any, options?: RequestOptions): Promise<any> {
    const result = await this.result(channel, type as never, data, options)
    if (result.ok) return result.value
    throw result.error
  }

  async result(
    channel: Channel<any>,
    type: string,
    data: any,
    options: RequestOptions = {},
  ): Promise<RequestResult<any>> {
    const began = this.#settings.clock.now()
    try {
      const { template, call } = this.#checked(channel, type, options, REQUEST_OPTIONS)
      const result = await startResult(this.#asking, template, { channel, type, data, options }, call)
      if (result.ok) return result
      return { ok: false, error: this.#told(result.error, template, began) }
    } catch (error) {
      return { ok: false, error: classify(error) }
    }
  }

  async gather(channel: Channel<any>, type: string, data: any, options: GatherOptions<any>): Promise<Gathered<any>> {
    const began = this.#settings.clock.now()
    const { template, call } = this.#checked(channel, type, options, [...REQUEST_OPTIONS, 'enough'])
    const question = { channel, type, data, options }
    const gathering = new Gathering(question, this.#settings.transport.name, ruleOf(options?.enough))
    const encoded = await startResult(this.#encoding, template, question, call)
    if (!encoded.ok) throw this.#told(encoded.error, template, began)
    const { envelope, leftMs } = encoded.value
    const rest = { ...call, deadlineMs: Math.max(Number.MIN_VALUE, leftMs) }
    const result = await startResult(this.#gathering, template, { ...question, envelope, gathering }, rest)
    if (result.ok) return result.value
    throw this.#told(result.error, template, began)
  }

  #checked(
    channel: Channel,
    type: string,
    options: RequestOptions,
    known: readonly string[],
  ): { readonly template: CallTemplate; readonly call: CallOptions } {
    if (!isChannel(channel)) throw invalidOption('channel', channel, 'give what queue() or topic() made')
    const requests = Object.keys(channel.types).filter((each) => channel.types[each]?.reply !== undefined)
    if (!requests.includes(type))
      throw invalidOption(
        'type',
        type,
        `${channel.kind} ${channel.name} has no such request; it has ${requests.join(', ') || 'none'}`,
      )
    knownOptions('request options', options, known)
    const { timeoutMs, signal, idempotent = false } = options
    if (typeof idempotent !== 'boolean') throw invalidOption('idempotent', idempotent, 'give true or false')
    if (signal !== undefined && typeof signal?.addEventListener !== 'function')
      throw invalidOption('signal', signal, 'give an AbortSignal')
    const deadlineMs = durationOption('timeoutMs', timeoutMs, this.#settings.timeoutMs)
    return {
      template: { service: channel.name, operation: type, idempotent, deadlineMs, clock: this.#settings.clock },
      call: { signal },
    }
  }

  async #ask(question: Question, context: CallContext): Promise<unknown> {
    const { exchange } = this.#settings
    const { channel, type } = question
    const envelope = await this.#envelope(question, context)
    const reply = await exchange.ask(channel, envelope, context)
    const read = await readReply(channel, type, reply, this.#facts(context))
    if (read.error !== undefined) throw read.error
    return read.reply.data
  }

  #facts({ idempotent }: CallContext): { readonly transport: string; readonly idempotent: boolean } {
    return { transport: this.#settings.transport.name, idempotent }
  }

  async #gather({ channel, envelope, gathering }: Sending, context: CallContext): Promise<Gathered<any>> {
    try {
      await this.#settings.exchange.exchange(channel, envelope, context, (reply) => gathering.take(reply, context))
      return gathering.result(undefined)
    } catch (thrown) {
      const error = classify(thrown)
      if (context.effect === 'none' || error.code === 'CANCELLED' || gathering.broken) throw error
      await gathering.read(this.#settings.clock)
      return gathering.result(error)
    }
  }

  async #envelope({ channel, type, data, options }: Question, context: CallContext): Promise<Envelope> {
    // Nothing is sent meanwhile.
    context.effect = 'none'
    const { encode, transport, clock } = this.#settings
    const { id = encode.newId(), key, subject, priority, correlationId = id, headers } = options
    const message = { type, data, id, key, subject, priority, correlationId, headers } as Publishable<MessageTypes>
    const envelope = await encodeMessage(channel, message, { ...encode, headers: context.headers })
    const against = objection(channel, envelope, transport, clock.wallNow())
    if (against !== undefined) throw against
    return envelope
  }

  #told(thrown: unknown, { service, operation, idempotent }: CallTemplate, began: number): FairleadError {
    const { transport, clock } = this.#settings
    const elapsedMs = clock.now() - began
    return stamp(classify(thrown), {
      service,
      operation,
      channel: service,
      transport: transport.name,
      idempotent,
      elapsedMs,
    })
  }

  stats(): ExchangeStats {
    return this.#settings.exchange.stats()
  }

  close(): Promise<void> {
    return this.#settings.exchange.close()
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close()
  }

  [DESCRIBE](): Description {
    const { transport, encode, timeoutMs, exchange } = this.#settings
    const { options } = exchange[DESCRIBE]()
    return {
      what: 'requester',
      name: encode.source,
      transport: transport.name,
      timeoutMs,
      options,
      layers: [],
    }
  }
}

type Rule = (replies: readonly Message<any>[], failures: readonly FairleadError[]) => boolean

function ruleOf(enough: GatherOptions<any>['enough']): Rule {
  if (typeof enough === 'function') return enough as Rule
  if (enough === undefined) throw invalidOption('enough', enough, 'say how many replies are enough, or give a rule')
  const least = countOption('enough', enough, 1)
  return (replies) => replies.length >= least
}

// What has come so far.
class Gathering {
  readonly #question: Question
  readonly #transport: string
  readonly #rule: Rule
  readonly #replies: Message<any>[]
  readonly #failures: FairleadError[]
  /** By source and id: at-least-once brings some twice. */
  readonly #seen: Set<string>
  readonly #reading: Set<Promise<unknown>>
  #complete: boolean
  /** The rule threw. */
  broken: boolean

  constructor(question: Question, transport: string, rule: Rule) {
    this.#question = question
    this.#transport = transport
    this.#rule = rule
    this.#replies = []
    this.#failures = []
    this.#seen = new Set()
    this.#reading = new Set()
    this.#complete = false
    this.broken = false
  }

  /** Says whether it is enough. */
  take(reply: Envelope, { idempotent }: CallContext): boolean | Promise<boolean> {
    const name = JSON.stringify([reply.attributes['source'], reply.id])
    if (this.#seen.has(name)) return false
    this.#seen.add(name)
    const { channel, type } = this.#question
    const read = readReply(channel, type, reply, { transport: this.#transport, idempotent })
    if (!(read instanceof Promise)) return this.#note(read)
    const noted = read.then((each) => this.#note(each))
    const settled = noted.then(nothing, nothing)
    this.#reading.add(settled)
    settled.then(() => this.#reading.delete(settled))
    return noted
  }

  #note(read: ReadReply): boolean {
    if (this.#complete) return true
    if (read.error === undefined) this.#replies.push(read.reply)
    else this.#failures.push(read.error)
    try {
      this.#complete = this.#rule([...this.#replies], [...this.#failures])
    } catch (error) {
      this.broken = true
      throw error
    }
    return this.#complete
  }

  /** Waits for what came in time. */
  async read(clock: Clock): Promise<void> {
    if (this.#reading.size > 0) await endsWithin(Promise.all(this.#reading), READ_WITHIN_MS, clock)
  }

  result(ended: FairleadError | undefined): Gathered<any> {
    const complete = this.#complete
    return {
      replies: [...this.#replies],
      failures: [...this.#failures],
      complete,
      ...(complete || ended === undefined ? {} : { ended }),
    } as unknown as Gathered<any>
  }
}

function nothing(): void {}
