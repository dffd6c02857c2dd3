// Messages over HTTP: the send is the delivery. No broker and no store stand between the two services.
import { detached } from '../../core/async-context.ts'
import type { CallContext } from '../../core/context.ts'
import type {
  ChannelPlace,
  DeadLetters,
  Delivery,
  MessageTransport,
  ReceiveFrom,
  Receiver,
  SendResult,
  TransportCapabilities,
} from '../../core/contracts/transport.ts'
import { type Closable, closable } from '../../core/lifecycle.ts'
import type { ChannelAddress, Envelope } from '../../core/message.ts'
import { invalidOption } from '../../core/options.ts'
import { createError } from '../../errors/classes.ts'
import { type Connector, type HttpDispatcher, type OwnDispatcher, undici } from '../http/undici.ts'
import { httpPushCapabilities } from './capabilities.ts'
import { type PushFetch, pushFetch } from './fetch.ts'
import { type PushListener, pushListener } from './node.ts'
import { type HttpPushOptions, type HttpPushSettings, httpPushSettings } from './options.ts'
import { type LocalPlace, LocalPlaces } from './places.ts'
import { LocalReceiver } from './receiver.ts'
import { Routes } from './routes.ts'
import { Sender } from './sender.ts'
import type { Serving } from './serve.ts'
import { LIVE, placeName } from './wire.ts'

/** `httpPushTransport` as made: a messaging transport, and request handlers for its receiving half. */
export interface HttpPushTransport extends MessageTransport, Closable {
  /** For `http.createServer(transport.node())`. Close the transport first and the server after it, so that senders are told to come again. */
  node(): PushListener
  /** The same for the Fetch API. */
  readonly fetch: PushFetch
  /** What is received here at the moment: for a registry, or a page that shows it. */
  subscriptions(): readonly ChannelPlace[]
  close(): Promise<void>
}

/**
 * A CloudEvent per request. 2xx acknowledges; 429, 503 and what the network does are tried again as long as it fits into the deadline of the send;
 * any other 4xx makes a dead letter; 410 ends the subscription.
 *
 * Nothing is kept: what fails is told to whoever sent it, exactly, and is theirs to send again (an outbox does). A service may send, receive, or both.
 * Loads undici on the first send.
 * @throws FairleadError `INVALID_OPTIONS`
 * @example
 * const transport = httpPushTransport({ subscribers: { mails: ['http://mailer-1:8080', 'http://mailer-2:8080'] } })
 * @example
 * const transport = httpPushTransport({})
 * http.createServer(transport.node()).listen(8080)
 */
export function httpPushTransport(options: HttpPushOptions = {}): HttpPushTransport {
  return new Transport(httpPushSettings(options))
}

class Transport implements HttpPushTransport {
  readonly name: string
  readonly capabilities: TransportCapabilities
  readonly fetch: PushFetch
  readonly #settings: HttpPushSettings
  readonly #routes: Routes
  readonly #places: LocalPlaces
  readonly #receivers = new Set<LocalReceiver>()
  readonly #sender: Sender
  readonly #listener: PushListener
  readonly #closing: Closable
  #agent: OwnDispatcher | undefined
  #closed = false

  constructor(settings: HttpPushSettings) {
    this.#settings = settings
    this.name = settings.name
    this.capabilities = Object.freeze({
      ...httpPushCapabilities,
      maxPayloadBytes: settings.maxPayloadBytes,
      deadLetters: settings.deadLetters === 0 ? 'none' : 'emulated',
    })
    this.#routes = new Routes(settings)
    this.#places = new LocalPlaces(settings.maxWaiting)
    this.#sender = new Sender(settings, this.#routes, () => this.#dispatcher())
    const serving: Serving = { settings, places: this.#places, closing: () => this.#closed }
    this.#listener = pushListener(serving)
    this.fetch = pushFetch(serving)
    this.#closing = closable(() => this.#close())
  }

  get deadLetters(): DeadLetters | undefined {
    return this.#sender.deadLetters
  }

  async prepare(channels: readonly ChannelPlace[], mode: 'create' | 'check'): Promise<void> {
    if (this.#closed) throw this.#shutdown()
    const missing: ChannelPlace[] = []
    for (const place of channels) {
      if (this.#places.has(place) || (await this.#isRouted(place))) continue
      // Somebody will receive it here; whoever pushes it before that is told to come again.
      if (mode === 'create' && (place.kind === 'queue' || place.group !== undefined)) this.#places.of(place)
      else if (mode === 'check') missing.push(place)
    }
    if (missing.length > 0)
      throw createError({
        code: 'CHANNEL_NOT_FOUND',
        message: `${missing.map(placeName).join('; ')}: no URL is known, and nobody receives it here`,
        transport: this.name,
        details: { missing },
      })
  }

  send(channel: ChannelAddress, envelopes: readonly Envelope[], context: CallContext): Promise<readonly SendResult[]> {
    return this.#sender.send(channel, envelopes, context)
  }

  async receive(from: ReceiveFrom, sink: (delivery: Delivery) => void): Promise<Receiver> {
    if (this.#closed) throw this.#shutdown()
    const { channel, group } = from
    if (channel.kind === 'queue' && group !== undefined)
      throw invalidOption('group', group, 'a queue has no groups: leave it out')
    if (group === LIVE || group === '') throw invalidOption('group', group, 'give a name, or leave it out')
    if (from.temporary === true) throw this.#lacks('temporary', 'private places')
    if (from.from !== undefined && from.from !== 'latest') throw this.#lacks('replay', 'a past to start from')
    const live = channel.kind === 'topic' && group === undefined
    const place = live ? this.#places.live(channel) : this.#places.of({ kind: channel.kind, name: channel.name, group })
    const receiver = new LocalReceiver(place, sink, (over) => this.#ended(over, live ? place : undefined))
    this.#receivers.add(receiver)
    return receiver
  }

  node(): PushListener {
    return this.#listener
  }

  subscriptions(): readonly ChannelPlace[] {
    return this.#places.served()
  }

  close(): Promise<void> {
    return this.#closing.close()
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close()
  }

  async #close(): Promise<void> {
    this.#closed = true
    await Promise.all([...this.#receivers].map((receiver) => receiver.close()))
    await this.#sender.close()
    await this.#agent?.destroy()
  }

  #ended(receiver: LocalReceiver, live: LocalPlace | undefined): void {
    this.#receivers.delete(receiver)
    if (live !== undefined) this.#places.endLive(live)
  }

  async #isRouted(place: ChannelPlace): Promise<boolean> {
    const routes = await this.#routes.of(place)
    return routes !== undefined && (place.group === undefined || routes.some((route) => route.group === place.group))
  }

  #dispatcher(): HttpDispatcher {
    const { dispatcher, connectTimeoutMs } = this.#settings
    if (dispatcher !== undefined) return dispatcher
    if (this.#agent === undefined) {
      const { Agent, buildConnector } = undici()
      const connect = buildConnector({ timeout: connectTimeoutMs })
      this.#agent = new Agent({
        headersTimeout: 0,
        bodyTimeout: 0,
        // A connection serves many sends, so it must not live in the async context of the first.
        connect: ((options, callback) => detached(() => connect(options, callback))) satisfies Connector,
      })
    }
    return this.#agent
  }

  #lacks(capability: string, what: string): Error {
    return createError({
      code: 'CAPABILITY_MISSING',
      message: `HTTP push has no ${what} (${capability})`,
      transport: this.name,
    })
  }

  #shutdown(): Error {
    return createError({ code: 'SHUTDOWN', message: 'the transport is closed', transport: this.name, stack: false })
  }
}
