// The transport: the owner of a feed sends by appending, and everybody receives by reading at their own pace.
import type { CallContext } from '../../core/context.ts'
import type {
  Backlog,
  ChannelPlace,
  Delivery,
  MessageTransport,
  ReceiveFrom,
  Receiver,
  SendResult,
  TransportCapabilities,
} from '../../core/contracts/transport.ts'
import { type Closable, closable } from '../../core/lifecycle.ts'
import type { ChannelAddress, Envelope } from '../../core/message.ts'
import { isFairleadError } from '../../errors/base.ts'
import { createError } from '../../errors/classes.ts'
import { classify } from '../../errors/classify.ts'
import type { Code } from '../../errors/codes.ts'
import { httpFeedCapabilities } from './capabilities.ts'
import { type FootingParts, stand } from './footing.ts'
import { Clients, HttpSource } from './http-source.ts'
import { Lane } from './lane.ts'
import { type HttpFeedTransportOptions, type TransportSettings, transportSettings } from './options.ts'
import { parseProgress } from './progress.ts'
import { FeedReceiver } from './receiver.ts'
import { appended } from './send.ts'
import { localSource, type Source } from './source.ts'

/** `httpFeedTransport` as made. */
export interface HttpFeedTransport extends MessageTransport, Closable {
  inspect(from: ReceiveFrom, minPriority?: number): Promise<Backlog>
  close(): Promise<void>
}

/**
 * A served feed as a transport. The side that has the `feed` sends; each group of readers keeps its own position in `checkpoints`.
 * Loads undici with the first page that comes over HTTP.
 * @throws FairleadError `INVALID_OPTIONS`
 * @example
 * const outgoing = httpFeedTransport({ feed })
 * const incoming = httpFeedTransport({ url: 'http://orders:8080/feeds', checkpoints: postgresCheckpoints(driver) })
 */
export function httpFeedTransport(options: HttpFeedTransportOptions): HttpFeedTransport {
  return new Transport(transportSettings(options))
}

class Transport implements HttpFeedTransport {
  readonly name: string
  readonly capabilities: TransportCapabilities
  readonly #settings: TransportSettings
  readonly #clients: Clients
  readonly #receivers = new Set<FeedReceiver>()
  readonly #sending = new Set<Promise<unknown>>()
  readonly #closing: Closable
  readonly #quit = new AbortController()
  #closed = false

  constructor(settings: TransportSettings) {
    this.#settings = settings
    this.name = settings.name
    this.capabilities = capabilitiesOf(settings)
    this.#clients = new Clients(settings)
    this.#closing = closable(async () => {
      this.#closed = true
      this.#quit.abort(this.#error('SHUTDOWN', undefined))
      await Promise.all([...this.#receivers].map((receiver) => receiver.close()))
      await Promise.all(this.#sending)
      await this.#clients.close()
    })
  }

  async prepare(channels: readonly ChannelPlace[], mode: 'create' | 'check'): Promise<void> {
    this.#mustBeOpen()
    const missing: string[] = []
    for (const channel of channels) {
      this.#mustBeTopic(channel)
      const { name, group } = channel
      const { feed } = this.#settings
      if (mode === 'create' && feed !== undefined)
        await feed.create(name).catch((error) => this.#rethrow(error, channel))
      if (!(await this.#isThere(channel))) missing.push(`topic ${name}`)
      else if (group !== undefined) {
        if (mode === 'create') await this.#makeGroup(channel, group)
        else if ((await this.#lane(channel, group).load()) === undefined)
          missing.push(`group ${group} of topic ${name}`)
      }
    }
    if (missing.length > 0)
      throw this.#error('CHANNEL_NOT_FOUND', undefined, `there is no ${missing.join(', no ')}`, { missing })
  }

  send(channel: ChannelAddress, envelopes: readonly Envelope[], context: CallContext): Promise<readonly SendResult[]> {
    const refusal = this.#refusal(channel, context)
    if (refusal !== undefined) return Promise.resolve(envelopes.map(() => ({ status: 'failed', error: refusal })))
    const { feed, clock } = this.#settings
    const work = appended(feed as NonNullable<typeof feed>, channel, envelopes, context, this.name, clock)
    this.#sending.add(work)
    void work.finally(() => this.#sending.delete(work))
    return work
  }

  async receive(from: ReceiveFrom, sink: (delivery: Delivery) => void): Promise<Receiver> {
    this.#mustBeOpen()
    const { channel, group, temporary } = from
    this.#mustBeTopic(channel)
    if (temporary === true)
      throw this.#error(
        'CAPABILITY_MISSING',
        channel,
        'a feed has no private places: use a topic of its own for replies',
      )
    const receiver = new FeedReceiver({
      ...this.#settings,
      ...this.#footing(from),
      address: { kind: channel.kind, name: channel.name },
      group,
      closeMs: this.#settings.leaseMs,
      sink,
      onClosed: (closed) => this.#receivers.delete(closed),
    })
    this.#receivers.add(receiver)
    try {
      await receiver.begin()
    } catch (error) {
      await receiver.close()
      this.#mustBeOpen()
      throw this.#classified(error, channel)
    }
    this.#mustBeOpen()
    return receiver
  }

  async inspect(from: ReceiveFrom, minPriority?: number | undefined): Promise<Backlog> {
    this.#mustBeOpen()
    const { channel, group } = from
    this.#mustBeTopic(channel)
    if (minPriority !== undefined)
      throw this.#error('CAPABILITY_MISSING', channel, 'a feed has no priorities to count by')
    if (group === undefined) throw this.#error('CAPABILITY_MISSING', channel, 'only a group has a backlog: name it')
    try {
      const standing = await this.#standing(channel, group)
      if (standing === undefined) return { waiting: 0 }
      const { waiting, oldestMs } = await this.#source(channel).tail(standing.after, this.#quit.signal)
      if (waiting === undefined)
        throw this.#error('CAPABILITY_MISSING', channel, 'the server of this feed does not count')
      const left = Math.max(waiting - standing.taken, 0)
      return { waiting: left, oldestMs: left === 0 ? undefined : oldestMs }
    } catch (error) {
      throw this.#classified(error, channel)
    }
  }

  close(): Promise<void> {
    return this.#closing.close()
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close()
  }

  // The position behind which a group has not taken anything yet, and how many behind it are settled all the same. Undefined: nothing can be handed out.
  async #standing(channel: ChannelAddress, group: string): Promise<{ after: string; taken: number } | undefined> {
    for (const receiver of this.#receivers) {
      const { session } = receiver
      if (session === undefined || receiver.address.name !== channel.name || receiver.group !== group) continue
      return session.window.ready(this.#settings.clock.now())
    }
    const text = await this.#lane(channel, group).load()
    if (text === undefined) return undefined
    const { after, done, held } = parseProgress(text)
    return { after, taken: done.size + held.size }
  }

  async #isThere(channel: ChannelAddress): Promise<boolean> {
    const { feed, urlsOf } = this.#settings
    if (feed !== undefined && (urlsOf === undefined || urlsOf(channel.name).length === 0)) return feed.has(channel.name)
    try {
      await this.#source(channel).tail('latest', this.#quit.signal)
      return true
    } catch (error) {
      if (isFairleadError(error, 'CHANNEL_NOT_FOUND')) return false
      throw this.#classified(error, channel)
    }
  }

  async #makeGroup(channel: ChannelAddress, group: string): Promise<void> {
    try {
      const footing = await stand(this.#footing({ channel, group }), this.#quit.signal)
      await footing?.tenure?.release()
    } catch (error) {
      throw this.#classified(error, channel)
    }
  }

  #footing({ channel, group, from }: ReceiveFrom): FootingParts {
    const { takeOverMs, goesOnWhenExpired, random } = this.#settings
    return {
      source: this.#source(channel),
      topic: channel.name,
      lane: group === undefined ? undefined : this.#lane(channel, group),
      from,
      goesOnWhenExpired,
      takeOverMs,
      random,
    }
  }

  #lane(channel: ChannelAddress, group: string): Lane {
    const { checkpoints, name, member, leaseMs, takeOverMs, clock } = this.#settings
    if (checkpoints === undefined)
      throw this.#error(
        'CAPABILITY_MISSING',
        channel,
        'a group keeps its position in a CheckpointStore: give checkpoints',
      )
    return new Lane({
      store: checkpoints,
      transport: name,
      topic: channel.name,
      group,
      member,
      leaseMs,
      takeOverMs,
      clock,
    })
  }

  #source(channel: ChannelAddress): Source {
    const { feed, urlsOf } = this.#settings
    const urls = urlsOf?.(channel.name) ?? []
    if (urls.length > 0) return new HttpSource(this.#clients, channel.name, urls)
    if (feed !== undefined) return localSource(feed, channel.name)
    throw this.#error('CHANNEL_NOT_FOUND', channel, `no url is known for topic ${channel.name}`)
  }

  #refusal(channel: ChannelAddress, context: CallContext): Error | undefined {
    const { feed } = this.#settings
    if (this.#closed) return this.#error('SHUTDOWN', channel)
    if (channel.kind !== 'topic') return this.#noQueues(channel)
    if (feed === undefined)
      return this.#error(
        'CAPABILITY_MISSING',
        channel,
        'only the owner of a feed can send: give the transport its feed',
      )
    if (context.aborted !== undefined)
      return createError({
        code: 'CANCELLED',
        effect: 'none',
        transport: this.name,
        channel: channel.name,
        cause: context.aborted.reason,
      })
    if (context.deadline.remainingMs() <= 0) return this.#error('DEADLINE_SPENT', channel)
    return feed.open || feed.has(channel.name)
      ? undefined
      : this.#error('UNROUTABLE', channel, `the feed has no topic ${channel.name}`)
  }

  #mustBeOpen(): void {
    if (this.#closed) throw this.#error('SHUTDOWN', undefined)
  }

  #mustBeTopic(channel: ChannelAddress): void {
    if (channel.kind !== 'topic') throw this.#noQueues(channel)
  }

  #noQueues(channel: ChannelAddress): Error {
    return this.#error('CAPABILITY_MISSING', channel, 'a feed has no queues: receive from a topic, with a group')
  }

  #rethrow(error: unknown, channel: ChannelAddress): never {
    throw this.#classified(error, channel)
  }

  #classified(error: unknown, channel: ChannelAddress): Error {
    return classify(error, { transport: this.name, channel: channel.name })
  }

  #error(code: Code, channel: ChannelAddress | undefined, message?: string | undefined, details?: object): Error {
    return createError({ code, message, transport: this.name, channel: channel?.name, details })
  }
}

function capabilitiesOf({ feed, persistent }: TransportSettings): TransportCapabilities {
  return Object.freeze({
    ...httpFeedCapabilities,
    persistent,
    acknowledged: feed?.log.acknowledged ?? 'configured',
    unroutable: feed === undefined || feed.open ? 'impossible' : 'detected',
    maxPayloadBytes: feed?.maxPayloadBytes ?? httpFeedCapabilities.maxPayloadBytes,
  })
}
