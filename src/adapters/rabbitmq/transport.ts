// The RabbitMQ transport: quorum queues, topics as fanout exchanges with a queue for each group, publisher confirms, and dead letters that nothing drops.
import { detached } from '../../core/async-context.ts'
import type { CallContext } from '../../core/context.ts'
import type {
  Backlog,
  ChannelPlace,
  DeadLetter,
  DeadLetters,
  Delivery,
  MessageTransport,
  ReceiveFrom,
  Receiver,
  SendResult,
  TransportCapabilities,
} from '../../core/contracts/transport.ts'
import { closable } from '../../core/lifecycle.ts'
import type { ChannelAddress, Envelope } from '../../core/message.ts'
import { countOption, invalidOption } from '../../core/options.ts'
import { uuidV7 } from '../../core/uuid.ts'
import { stamp } from '../../errors/classes.ts'
import { type Code, classify, createError, type FairleadError, isFairleadError } from '../../errors/index.ts'
import { DeadLetterBox } from './dead-letters.ts'
import type { AmqpDriver } from './driver.ts'
import { type RabbitmqTransportOptions, type Settings, settingsOf } from './options.ts'
import type { Place } from './place.ts'
import { RabbitReceiver } from './receiver.ts'
import { Sender } from './sender.ts'
import { deadOf, queueOf, Topology } from './topology.ts'

class RabbitmqTransport implements MessageTransport {
  readonly name: string
  readonly capabilities: TransportCapabilities
  readonly deadLetters: DeadLetters
  readonly close: () => Promise<void>
  private readonly driver: AmqpDriver
  private readonly settings: Settings
  private readonly topology: Topology
  private readonly sender: Sender
  private readonly box: DeadLetterBox
  private readonly receivers = new Set<RabbitReceiver>()
  private closed = false

  constructor(driver: AmqpDriver, options: RabbitmqTransportOptions) {
    const settings = settingsOf(options)
    this.driver = driver
    this.settings = settings
    this.name = settings.name
    this.capabilities = settings.capabilities
    this.topology = new Topology(driver, settings)
    this.sender = new Sender(driver, settings, this.topology)
    this.box = new DeadLetterBox(driver, settings, this.sender, this.topology)
    this.close = closable(() => this.ending()).close
    this.deadLetters = {
      list: (channel, { limit }) => this.listDead(channel, countOption('limit', limit, 0, 0)),
      redrive: (channel, ids) =>
        this.asked(channel, () => this.box.redrive(placeQueue(channel), ids === 'all' ? ids : [...ids])),
    }
  }

  prepare(channels: readonly ChannelPlace[], mode: 'create' | 'check'): Promise<void> {
    return this.asked(undefined, async () => {
      const missing: string[] = []
      for (const channel of channels) {
        if (mode === 'create') {
          await this.topology.create(channel)
          continue
        }
        const what = await this.topology.missing(channel)
        if (what !== undefined) missing.push(what)
      }
      if (missing.length > 0)
        throw this.error('CHANNEL_NOT_FOUND', undefined, `there is no ${missing.join(', no ')}`, { missing })
    })
  }

  dropGroup(place: ChannelPlace): Promise<void> {
    return this.asked(place, () => {
      if (place.kind === 'queue') throw invalidOption('kind', place.kind, 'only a topic has groups')
      placeQueue(place)
      return this.topology.drop(place)
    })
  }

  send(channel: ChannelAddress, envelopes: readonly Envelope[], context: CallContext): Promise<readonly SendResult[]> {
    return this.sender.send(channel, envelopes, context)
  }

  async receive(from: ReceiveFrom, sink: (delivery: Delivery) => void): Promise<Receiver> {
    this.check(from)
    return this.asked(from.channel, () => detached(() => this.subscribe(from, sink)))
  }

  inspect({ channel, group }: ReceiveFrom, minPriority?: number | undefined): Promise<Backlog> {
    return this.asked(channel, async () => {
      if (minPriority !== undefined)
        throw this.error('CAPABILITY_MISSING', channel, 'the broker does not say how many wait of each priority')
      const { messages } = await this.topology.checkQueue(placeQueue({ ...channel, group }))
      return { waiting: messages }
    })
  }

  private async ending(): Promise<void> {
    this.closed = true
    await Promise.all([this.sender.stop(), ...[...this.receivers].map((receiver) => receiver.close())])
    await Promise.all([this.sender.close(), this.topology.close()])
    await this.driver.close()
  }

  private async subscribe(from: ReceiveFrom, sink: (delivery: Delivery) => void): Promise<Receiver> {
    const place = this.placeOf(from)
    if (!place.own) await this.stand(from)
    else if (place.exchange !== undefined && !place.ownExchange) await this.topology.checkTopic(place.exchange)
    const receiver: RabbitReceiver = new RabbitReceiver({
      driver: this.driver,
      settings: this.settings,
      sender: this.sender,
      topology: this.topology,
      place,
      sink,
      errorOf: (error) => this.classified(error, place.address),
      onClosed: () => this.receivers.delete(receiver),
    })
    await receiver.open()
    this.receivers.add(receiver)
    if (!this.closed) return receiver
    await receiver.close()
    throw this.error('SHUTDOWN', place.address)
  }

  // A queue has to be there; a group is made.
  private stand({ channel, group }: ReceiveFrom): Promise<unknown> {
    return group === undefined ? this.topology.checkQueue(channel.name) : this.topology.join({ ...channel, group })
  }

  private placeOf({ channel, group, temporary = false }: ReceiveFrom): Place {
    const { kind, name } = channel
    if (!temporary && (kind === 'queue' || group !== undefined)) {
      const queue = queueOf({ ...channel, group })
      const counts = this.settings.priorities === 0
      return {
        address: channel,
        queue,
        dead: deadOf(queue),
        own: false,
        exchange: undefined,
        ownExchange: false,
        counts,
      }
    }
    const own = `${name}.${uuidV7(this.settings.clock)}`
    const address = temporary ? { kind, name: own } : channel
    const exchange = kind === 'queue' ? undefined : address.name
    const queue = kind === 'queue' ? own : `${own}.live`
    return { address, queue, dead: undefined, own: true, exchange, ownExchange: temporary, counts: false }
  }

  private check({ channel, group, from, temporary }: ReceiveFrom): void {
    if (channel.kind === 'queue' && group !== undefined)
      throw invalidOption('group', group, 'a queue has no groups: leave it out, or receive from a topic')
    if (group === '') throw invalidOption('group', group, 'give a name, or leave it out for a live subscription')
    if (temporary === true && group !== undefined)
      throw invalidOption('group', group, 'a temporary place has no groups: leave it out')
    if (from === undefined || from === 'latest' || (channel.kind === 'queue' && from === 'earliest')) return
    throw this.error('CAPABILITY_MISSING', channel, 'it keeps nothing to be read again: start with the latest')
  }

  private async *listDead(channel: ChannelPlace, limit: number): AsyncGenerator<DeadLetter> {
    if (limit > 0) yield* await this.asked(channel, () => this.box.list(placeQueue(channel), limit))
  }

  private async asked<T>(channel: ChannelAddress | undefined, work: () => Promise<T>): Promise<T> {
    if (this.closed) throw this.error('SHUTDOWN', channel)
    try {
      return await work()
    } catch (error) {
      if (this.closed) throw this.error('SHUTDOWN', channel)
      throw this.classified(error, channel)
    }
  }

  private classified(error: unknown, channel: ChannelAddress | undefined): FairleadError {
    const known = isFairleadError(error) ? error : classify(error, { transport: this.name })
    return stamp(known, { transport: this.name, channel: channel?.name })
  }

  private error(code: Code, channel: ChannelAddress | undefined, message?: string, details?: unknown): FairleadError {
    return createError({ code, message, transport: this.name, channel: channel?.name, details })
  }
}

function placeQueue(place: ChannelPlace): string {
  if (place.kind === 'topic' && place.group === undefined)
    throw invalidOption('group', undefined, 'say which group of the topic is meant')
  return queueOf(place)
}

/**
 * A transport over RabbitMQ (3.10 or newer), by whichever client: `rabbitmqClientDriver(connection)` or `amqplibDriver(() => connect(url))`.
 * Nothing connects before it is needed.
 * @throws FairleadError `INVALID_OPTIONS`
 * @example
 * const transport = rabbitmqTransport(rabbitmqClientDriver(new Connection('amqp://localhost')))
 * await transport.prepare([{ kind: 'queue', name: 'mails' }], 'create')
 */
export function rabbitmqTransport(driver: AmqpDriver, options: RabbitmqTransportOptions = {}): MessageTransport {
  return new RabbitmqTransport(driver, options)
}
