// The memory transport: the first implementation of the contract, and the one that tests of services run on.
import { LONGEST_TIMER_MS } from '../../core/clock.ts'
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
import { bytesAbove } from '../../core/envelope.ts'
import { inKeyOrder } from '../../core/key-order.ts'
import type { ChannelAddress, Envelope } from '../../core/message.ts'
import { countOption, durationOption, invalidOption, knownOptions } from '../../core/options.ts'
import { createError } from '../../errors/classes.ts'
import type { Code } from '../../errors/codes.ts'
import { BrokerState, type MemoryBroker } from './broker.ts'
import { Queue, Topic } from './channels.ts'
import { memoryCapabilities } from './memory-capabilities.ts'
import type { Place } from './place.ts'
import { MemoryReceiver } from './receiver.ts'
import { BROKER_OPTIONS, type MemoryBrokerOptions } from './settings.ts'

/** Options of a memory transport. Those of a broker are for the one that it makes itself: give them to `memoryBroker` where `broker` is given. */
export interface MemoryTransportOptions extends MemoryBrokerOptions {
  /** Default: one of its own, which nobody else sees. */
  readonly broker?: MemoryBroker | undefined
  /** In errors and events. Default `memory`. */
  readonly name?: string | undefined
  /** For how long a message is held, unless it is extended, before it is handed to somebody else. Default 30,000. */
  readonly leaseMs?: number | undefined
  /** Of attributes, headers and body together. Default 1 MiB, as brokers have it. */
  readonly maxPayloadBytes?: number | undefined
}

const ACCEPTED: SendResult = Object.freeze({ status: 'accepted' })
const DUPLICATE: SendResult = Object.freeze({ status: 'duplicate' })

class MemoryTransport implements MessageTransport {
  readonly name: string
  readonly capabilities: TransportCapabilities
  readonly deadLetters: DeadLetters
  private readonly broker: BrokerState
  private readonly leaseMs: number
  private readonly receivers = new Set<MemoryReceiver>()
  private closed = false

  constructor(broker: BrokerState, options: MemoryTransportOptions) {
    const { autoCreate, dedupeWindowMs, retainMessages } = broker.settings
    this.broker = broker
    this.name = options.name ?? 'memory'
    if (typeof this.name !== 'string') throw invalidOption('name', this.name, 'give a string')
    this.leaseMs = durationOption('leaseMs', options.leaseMs, 30_000)
    this.capabilities = Object.freeze({
      ...memoryCapabilities,
      dedupeWindowMs,
      replay: retainMessages > 0,
      unroutable: autoCreate ? 'impossible' : 'detected',
      maxPayloadBytes: countOption('maxPayloadBytes', options.maxPayloadBytes, memoryCapabilities.maxPayloadBytes),
    })
    this.deadLetters = {
      list: (channel, { limit }) => this.listDead(channel, countOption('limit', limit, 0)),
      redrive: async (channel, ids) => {
        this.mustBeOpen()
        return this.placeAt(channel)?.redrive(ids === 'all' ? ids : new Set(ids)) ?? 0
      },
    }
  }

  async prepare(channels: readonly ChannelPlace[], mode: 'create' | 'check'): Promise<void> {
    this.mustBeOpen()
    const missing: string[] = []
    for (const channel of channels) {
      const { kind, name, group } = channel
      const ofGroup = kind === 'topic' && group !== undefined
      if (mode === 'create') {
        const made = this.broker.create(channel)
        if (ofGroup && !(made instanceof Queue)) made.group(group, 'latest')
      } else if (!this.broker.has(channel)) missing.push(`${kind} ${name}`)
      else if (ofGroup && this.broker.placeAt(channel, group) === undefined)
        missing.push(`group ${group} of topic ${name}`)
    }
    if (missing.length > 0)
      throw this.error('CHANNEL_NOT_FOUND', undefined, `there is no ${missing.join(', no ')}`, { missing })
  }

  async retainedSince(channel: ChannelAddress): Promise<number | undefined> {
    this.mustBeOpen()
    const topic = this.broker.has(channel) ? this.broker.create(channel) : undefined
    return topic instanceof Topic && this.capabilities.replay
      ? topic.retainedSince(this.broker.settings.clock.wallNow())
      : undefined
  }

  async dropGroup(place: ChannelPlace): Promise<void> {
    this.mustBeOpen()
    const { kind, name, group } = place
    if (kind === 'queue') throw invalidOption('kind', kind, 'only a topic has groups')
    if (this.placeAt(place)?.taken)
      throw this.error('CONFLICT', place, `somebody receives from group ${group} of ${name}`)
    const topic = this.broker.has(place) ? this.broker.create(place) : undefined
    if (topic instanceof Topic) topic.drop(group as string)
  }

  send(channel: ChannelAddress, envelopes: readonly Envelope[], context: CallContext): Promise<readonly SendResult[]> {
    const refusal = this.refusal(channel, context)
    const target = refusal === undefined ? this.broker.find(channel) : undefined
    const { clock, turns } = this.broker.settings
    const now = clock.now()
    const wallNow = clock.wallNow()
    const results =
      target === undefined
        ? envelopes.map(() =>
            failed(refusal ?? this.error('UNROUTABLE', channel, `there is no ${channel.kind} ${channel.name}`)),
          )
        : inKeyOrder(
            envelopes,
            (envelope) => this.accept(target, channel, envelope, now, wallNow),
            (message, details) => this.error('TOO_EARLY', channel, message, details),
          )
    return turns.paced(envelopes.length, results)
  }

  async receive(from: ReceiveFrom, sink: (delivery: Delivery) => void): Promise<Receiver> {
    this.mustBeOpen()
    this.check(from)
    const { address, place, leave } = this.broker.open(from)
    const { clock } = this.broker.settings
    const receiver = new MemoryReceiver({
      name: this.name,
      clock,
      address,
      place,
      leaseMs: this.leaseMs,
      sink,
      onClosed: (closed) => {
        this.receivers.delete(closed)
        this.broker.receivers.delete(closed)
        leave()
      },
    })
    this.receivers.add(receiver)
    this.broker.receivers.add(receiver)
    return receiver
  }

  async inspect({ channel, group }: ReceiveFrom, minPriority?: number | undefined): Promise<Backlog> {
    this.mustBeOpen()
    return this.placeAt({ ...channel, group })?.inspect(minPriority) ?? { waiting: 0 }
  }

  async close(): Promise<void> {
    this.closed = true
    for (const receiver of [...this.receivers]) await receiver.close()
  }

  private accept(
    target: { accept(envelope: Envelope, now: number, wallNow: number): 'accepted' | 'duplicate' | 'full' },
    channel: ChannelAddress,
    envelope: Envelope,
    now: number,
    wallNow: number,
  ): SendResult {
    const { maxPayloadBytes } = this.capabilities
    if (bytesAbove(maxPayloadBytes, envelope) !== undefined)
      return failed(this.error('PAYLOAD_TOO_LARGE', channel, `the limit is ${maxPayloadBytes} bytes`))
    if (envelope.notBefore !== undefined && envelope.notBefore - wallNow > LONGEST_TIMER_MS)
      return failed(
        this.error(
          'CAPABILITY_MISSING',
          channel,
          `notBefore is further away than ${LONGEST_TIMER_MS} ms, the longest delay`,
        ),
      )
    const verdict = target.accept(envelope, now, wallNow)
    if (verdict === 'accepted') return ACCEPTED
    if (verdict === 'duplicate') return DUPLICATE
    return failed(
      this.error('SELF_EXHAUSTED', channel, `it has its ${this.broker.settings.maxMessages} messages (maxMessages)`),
    )
  }

  private refusal(channel: ChannelAddress, context: CallContext): Error | undefined {
    if (this.closed) return this.error('SHUTDOWN', channel)
    if (context.aborted !== undefined)
      return createError({
        code: 'CANCELLED',
        effect: 'none',
        transport: this.name,
        channel: channel.name,
        cause: context.aborted.reason,
      })
    return context.deadline.remainingMs() <= 0 ? this.error('DEADLINE_SPENT', channel) : undefined
  }

  private check({ channel, group, from, temporary }: ReceiveFrom): void {
    if (channel.kind === 'queue' && group !== undefined)
      throw invalidOption('group', group, 'a queue has no groups: leave it out, or receive from a topic')
    if (temporary === true && group !== undefined)
      throw invalidOption('group', group, 'a temporary place has no groups: leave it out')
    if (from === undefined || from === 'latest' || (channel.kind === 'queue' && from === 'earliest')) return
    if (channel.kind === 'queue')
      throw this.error('CAPABILITY_MISSING', channel, 'a queue has no replay: what was handled is gone')
    if (!this.capabilities.replay)
      throw this.error('CAPABILITY_MISSING', channel, 'there is no replay, as retainMessages is 0')
  }

  private placeAt(channel: ChannelPlace): Place | undefined {
    if (channel.kind === 'topic' && channel.group === undefined)
      throw invalidOption('group', undefined, 'say which group of the topic is meant')
    if (!this.broker.settings.autoCreate && !this.broker.has(channel))
      throw this.error('CHANNEL_NOT_FOUND', channel, `there is no ${channel.kind} ${channel.name}`)
    return this.broker.placeAt(channel, channel.group)
  }

  private async *listDead(channel: ChannelPlace, limit: number): AsyncGenerator<DeadLetter> {
    this.mustBeOpen()
    let left = limit
    for (const { envelope, reason, at } of this.placeAt(channel)?.dead() ?? []) {
      if (left-- === 0) return
      yield { envelope, reason, at }
    }
  }

  private mustBeOpen(): void {
    if (this.closed) throw this.error('SHUTDOWN', undefined)
  }

  private error(code: Code, channel: ChannelAddress | undefined, message?: string, details?: unknown): Error {
    return createError({ code, message, transport: this.name, channel: channel?.name, details })
  }
}

/**
 * Messages within this process: queues and topics, order per key, leases, delays, priorities, dead letters, replay, as a broker has them,
 * and nothing survives the process. An envelope is handed on as it is, not copied: whoever sent it leaves it alone from then on.
 * @throws FairleadError `INVALID_OPTIONS`
 */
export function memoryTransport(options: MemoryTransportOptions = {}): MessageTransport {
  knownOptions('memoryTransport', options, ['broker', 'name', 'leaseMs', 'maxPayloadBytes', ...BROKER_OPTIONS])
  const { broker, name: _, leaseMs: __, maxPayloadBytes: ___, ...ofBroker } = options
  if (broker === undefined) return new MemoryTransport(new BrokerState(ofBroker), options)
  if (!(broker instanceof BrokerState)) throw invalidOption('broker', broker, 'give what memoryBroker() made')
  for (const [option, value] of Object.entries(ofBroker))
    if (value !== undefined) throw invalidOption(option, value, 'it is of the broker: give it to memoryBroker()')
  return new MemoryTransport(broker, options)
}

function failed(error: Error): SendResult {
  return { status: 'failed', error }
}
