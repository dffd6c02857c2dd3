// A request and its replies, on envelopes only: what requesters of messages and calls of services over messaging have in common. It waits in memory.
import type { CallContext } from '../../core/context.ts'
import type { MessageTransport, SendResult } from '../../core/contracts/transport.ts'
import { DESCRIBE, type Describable, type Description } from '../../core/describe.ts'
import { type Closable, closable } from '../../core/lifecycle.ts'
import type { ChannelAddress, Envelope } from '../../core/message.ts'
import { countOption, invalidOption, knownOptions } from '../../core/options.ts'
import type { FairleadError } from '../../errors/base.ts'
import { createError, withFields } from '../../errors/classes.ts'
import { classify } from '../../errors/classify.ts'
import { CODES } from '../../errors/codes.ts'
import { SEAMS, type Seams, type World, world } from '../../policies/seams.ts'
import { isChannelName } from '../channel.ts'
import { Pending } from './pending.ts'
import { Remembered } from './remembered.ts'
import { ReplyPlace } from './reply-place.ts'

/** Options of an exchange. */
export interface ExchangeOptions extends Seams {
  /** It is not closed with the exchange: others may use it. */
  readonly transport: MessageTransport
  /**
   * Where replies come in. Default: a private place of the transport, which goes away with the exchange. Needed where the transport has none (capability `temporary`): a topic, from
   * which every requester takes all replies and keeps its own; or a queue from which nobody else takes.
   */
  readonly replies?: ChannelAddress | undefined
  /** Of `replies`: make it where it is not there yet, only check that it is, or neither. Default `create`. */
  readonly prepare?: 'create' | 'check' | false | undefined
  /** What the private place is called at the broker; a hint for whoever looks there. Letters, digits, dots, dashes and underscores. Default `replies`. */
  readonly name?: string | undefined
  /** Requests that may wait for replies at once; beyond that they are refused with `OUTSTANDING_LIMIT`. Default 100. */
  readonly maxPending?: number | undefined
  /** Replies asked for ahead of their being handled. Default 100. */
  readonly prefetch?: number | undefined
}

/** Figures of an exchange. All but `pending` only grow. */
export interface ExchangeStats {
  /** Requests that wait for replies now. */
  readonly pending: number
  /** Replies that came while their request waited. */
  readonly received: number
  /** Replies that came when their request was over (answered, given up, too late): dropped. */
  readonly late: number
  /** Replies to requests that are not known here: dropped. On a topic that others share, theirs are among them. */
  readonly unknown: number
}

/** Sends requests, and hands each of them its replies. */
export interface Exchange extends Closable, Describable<Description> {
  /**
   * Sends one request and waits for its replies. Sets `replyto`, `expirytime` (the deadline of the context, unless it is sooner) and, where it has none, `correlationid` (its id):
   * that is what replies are told by, so it has to be one of its own.
   *
   * Resolves once `onReply` says that it is enough; what it throws is what the request fails with. It sets `context.effect`.
   * @param onReply is called for each reply, also while an earlier one is still being looked at; true: enough
   * @throws FairleadError as a rejection. Effect `none`, before anything leaves: `SHUTDOWN`, `CANCELLED`, `DEADLINE_SPENT`, `OUTSTANDING_LIMIT`, `IN_PROGRESS` (another request of that
   * correlation waits), what the transport says where the place of replies cannot be opened. Of the sending: what the transport says, `UNROUTABLE` among it. Then, effect `unknown`:
   * `DEADLINE_EXCEEDED`, `CANCELLED`, `SHUTDOWN` (closed meanwhile), `CONNECTION_LOST` (the private place is gone, and with it every way for a reply)
   */
  exchange(
    channel: ChannelAddress,
    envelope: Envelope,
    context: CallContext,
    onReply: (reply: Envelope) => boolean | Promise<boolean>,
  ): Promise<void>
  /** As `exchange`, for one reply. */
  ask(channel: ChannelAddress, envelope: Envelope, context: CallContext): Promise<Envelope>
  stats(): ExchangeStats
  /** What waits fails with `SHUTDOWN`, and the place of replies is given up. Resolves also while the broker is down. Twice is the same as once. */
  close(): Promise<void>
}

/** Names of the options, for those who pass them on. */
export const EXCHANGE_OPTIONS: readonly (keyof ExchangeOptions)[] = [
  'transport',
  'replies',
  'prepare',
  'name',
  'maxPending',
  'prefetch',
  ...SEAMS,
]

// So many that a reply which is late by minutes is still known for one.
const REMEMBERED = 10_000

/**
 * Makes an exchange. Nothing is opened before the first request.
 * @throws FairleadError `INVALID_OPTIONS`; `CAPABILITY_MISSING` where the transport has no private places and `replies` is not given
 */
export function createExchange(options: ExchangeOptions): Exchange {
  knownOptions('createExchange', options ?? {}, EXCHANGE_OPTIONS)
  const { transport, replies, prepare = 'create', name = 'replies' } = options ?? {}
  if (typeof transport?.receive !== 'function' || transport.capabilities === undefined)
    throw invalidOption('transport', transport, 'give a MessageTransport: memoryTransport() for example')
  if (prepare !== 'create' && prepare !== 'check' && prepare !== false)
    throw invalidOption('prepare', prepare, "give 'create', 'check' or false")
  if (!isChannelName(name))
    throw invalidOption('name', name, 'give letters, digits, dots, dashes and underscores, at most 200')
  checkReplies(transport, replies)
  const own = replies === undefined ? undefined : { kind: replies.kind, name: replies.name }
  return new TransportExchange({
    transport,
    replies: own,
    prepare,
    name,
    maxPending: countOption('maxPending', options.maxPending, 100),
    prefetch: countOption('prefetch', options.prefetch, 100),
    world: world(options),
  })
}

function checkReplies({ name, capabilities }: MessageTransport, replies: ChannelAddress | undefined): void {
  const missing = (needed: string, message: string): Error =>
    createError({ code: 'CAPABILITY_MISSING', message, transport: name, details: { needed } })
  if (replies === undefined) {
    if (!capabilities.temporary)
      throw missing(
        'temporary',
        `transport ${name} has no private places: say where replies come in, as replies: { kind: 'topic', name: 'replies' }`,
      )
    return
  }
  if ((replies?.kind !== 'queue' && replies?.kind !== 'topic') || !isChannelName(replies.name))
    throw invalidOption('replies', replies, 'give the kind and the name of a channel')
  if (!capabilities.modes.includes(replies.kind))
    throw missing(replies.kind, `transport ${name} has no ${replies.kind}s; it has ${capabilities.modes.join(', ')}s`)
}

interface Settings {
  readonly transport: MessageTransport
  readonly replies: ChannelAddress | undefined
  readonly prepare: 'create' | 'check' | false
  readonly name: string
  readonly maxPending: number
  readonly prefetch: number
  readonly world: World
}

class TransportExchange implements Exchange {
  readonly #settings: Settings
  readonly #place: ReplyPlace
  /** By correlation. */
  readonly #pending: Map<string, Pending>
  readonly #ended: Remembered<true>
  readonly #closing: Closable
  #received: number
  #late: number
  #unknown: number
  #closed: boolean

  constructor(settings: Settings) {
    const { transport, world } = settings
    this.#settings = settings
    this.#pending = new Map()
    this.#ended = new Remembered(REMEMBERED)
    this.#received = 0
    this.#late = 0
    this.#unknown = 0
    this.#closed = false
    this.#place = new ReplyPlace({
      ...settings,
      arrived: (reply) => this.#arrived(reply),
      lost: (error) => this.#lost(error),
      restored: (tries, elapsedMs) => {
        const { events } = world
        if (events.heard) events.emit({ type: 'replies-restored', transport: transport.name, tries, elapsedMs })
      },
    })
    this.#closing = closable(async () => {
      this.#closed = true
      for (const pending of [...this.#pending.values()])
        pending.end(pending.failure('SHUTDOWN', 'the requester was closed before a reply came'))
      await this.#place.close()
    })
  }

  exchange(
    channel: ChannelAddress,
    envelope: Envelope,
    context: CallContext,
    onReply: (reply: Envelope) => boolean | Promise<boolean>,
  ): Promise<void> {
    context.effect = 'none'
    const correlation = envelope.attributes['correlationid'] ?? envelope.id
    return new Promise((resolve, reject) => {
      const pending = new Pending({
        channel: { kind: channel.kind, name: channel.name },
        envelope,
        correlation,
        context,
        clock: this.#settings.world.clock,
        onReply,
        onOver: (over, error) => {
          if (this.#pending.get(correlation) === over) {
            this.#pending.delete(correlation)
            this.#ended.set(correlation, true)
            this.#ended.set(envelope.id, true)
          }
          if (error === undefined) resolve()
          else reject(error)
        },
      })
      const refusal = this.#refusal(pending)
      if (refusal !== undefined) {
        pending.end(refusal)
        return
      }
      // The same request once more is no earlier one.
      this.#ended.delete(envelope.id)
      this.#pending.set(correlation, pending)
      pending.start()
      if (!pending.over) void this.#send(pending)
    })
  }

  async ask(channel: ChannelAddress, envelope: Envelope, context: CallContext): Promise<Envelope> {
    const replies: Envelope[] = []
    await this.exchange(channel, envelope, context, (reply) => replies.push(reply) > 0)
    return replies[0] as Envelope
  }

  #refusal(pending: Pending): FairleadError | undefined {
    const { transport, maxPending } = this.#settings
    const { context, correlation } = pending.parts
    if (this.#closed) return pending.failure('SHUTDOWN', 'this requester is closed')
    if (context.aborted !== undefined) return pending.aborted(context.aborted.reason)
    if (context.deadline.remainingMs() <= 0) return pending.failure('DEADLINE_SPENT', CODES.DEADLINE_SPENT.meaning)
    if (this.#pending.size >= maxPending)
      return pending.failure(
        'OUTSTANDING_LIMIT',
        `${maxPending} requests wait for their replies over ${transport.name}, and no more are sent`,
      )
    if (this.#pending.has(correlation))
      return pending.failure(
        'IN_PROGRESS',
        `a request of the correlation id ${correlation} waits for its reply already`,
      )
    return undefined
  }

  async #send(pending: Pending): Promise<void> {
    const { transport, world } = this.#settings
    const { channel, envelope, context, correlation } = pending.parts
    let address: ChannelAddress | undefined
    // It may be gone again by the time that this goes on.
    while (address === undefined || address.name !== this.#place.address?.name) {
      try {
        address = this.#place.address ?? (await this.#place.open())
      } catch (error) {
        // It is told to all that wait for it: each gets its own.
        pending.end(withFields(error as FairleadError, { effect: 'none', channel: channel.name }))
        return
      }
      if (pending.over) return
    }
    const { expiresAt } = envelope
    const leftMs = context.deadline.remainingMs()
    const endsAt = leftMs === Infinity ? undefined : Math.floor(world.clock.wallNow() + leftMs)
    const request: Envelope = {
      ...envelope,
      expiresAt: expiresAt === undefined || endsAt === undefined ? (expiresAt ?? endsAt) : Math.min(expiresAt, endsAt),
      attributes: {
        ...envelope.attributes,
        correlationid: correlation,
        replyto: `${address.kind}:${address.name}`,
      },
    }
    pending.sending()
    let result: SendResult | undefined
    try {
      ;[result] = await transport.send(channel, [request], context)
    } catch (error) {
      // A transport never rejects; one that does all the same has said nothing of the message.
      result = { status: 'failed', error }
    }
    if (pending.over || result?.status === 'accepted' || result?.status === 'duplicate') return
    const error =
      result === undefined
        ? pending.failure('PROTOCOL_VIOLATION', `${transport.name} said nothing of the request`)
        : classify(result.error, { transport: transport.name, channel: channel.name, aborted: context.aborted })
    if (error.effect === 'none') context.effect = 'none'
    const { idempotent, service, operation } = context
    pending.end(
      withFields(error, { idempotent, service: error.service ?? service, operation: error.operation ?? operation }),
    )
  }

  #arrived(reply: Envelope): void {
    const { correlationid, causationid } = reply.attributes
    const pending = correlationid === undefined ? undefined : this.#pending.get(correlationid)
    // A correlation id that was given can come back: what answers an earlier request is no reply to this one.
    const earlier =
      causationid !== undefined && causationid !== pending?.parts.envelope.id && this.#ended.has(causationid)
    if (pending === undefined || earlier) {
      this.#drop(reply, earlier || (correlationid !== undefined && this.#ended.has(correlationid)))
      return
    }
    this.#received++
    const failed = (error: unknown): void => pending.end(classify(error))
    const judged = (enough: boolean): void => (enough ? pending.end(undefined) : undefined)
    try {
      const enough = pending.parts.onReply(reply)
      if (enough instanceof Promise) enough.then(judged, failed)
      else judged(enough)
    } catch (error) {
      failed(error)
    }
  }

  #drop(reply: Envelope, late: boolean): void {
    const { transport, replies, world } = this.#settings
    if (late) this.#late++
    else this.#unknown++
    // Where others take their replies as well, theirs are nothing worth telling.
    if (!world.events.heard || (!late && replies?.kind === 'topic')) return
    const { correlationid, type } = reply.attributes
    world.events.emit({
      type: 'reply-dropped',
      transport: transport.name,
      why: late ? 'late' : 'unknown',
      id: reply.id,
      ...(correlationid === undefined ? {} : { correlationId: correlationid }),
      ...(type === undefined ? {} : { messageType: type }),
    })
  }

  // With a private place its address is gone: what was sent with it can never be answered. Elsewhere replies may still come.
  #lost(cause: FairleadError): void {
    const { transport, replies, world } = this.#settings
    const waiting = replies === undefined ? [...this.#pending.values()].filter(({ sent }) => sent) : []
    if (world.events.heard)
      world.events.emit({ type: 'replies-lost', transport: transport.name, requests: waiting.length, error: cause })
    for (const pending of waiting)
      pending.end(pending.failure('CONNECTION_LOST', 'the place where its reply would have come in is gone', cause))
  }

  stats(): ExchangeStats {
    return { pending: this.#pending.size, received: this.#received, late: this.#late, unknown: this.#unknown }
  }

  close(): Promise<void> {
    return this.#closing.close()
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close()
  }

  [DESCRIBE](): Description {
    const { transport, replies, name, prepare, maxPending, prefetch } = this.#settings
    return {
      what: 'exchange',
      name: replies?.name ?? name,
      transport: transport.name,
      options: { replies: replies ?? 'private', prepare, maxPending, prefetch },
      layers: [],
    }
  }
}
