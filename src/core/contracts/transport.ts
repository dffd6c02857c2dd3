// What a consumer and a relay ask of a messaging transport; `testTransport` is the other half of this contract.
import type { CallContext } from '../context.ts'
import type { ChannelAddress, Envelope } from '../message.ts'

export type SendResult =
  | { readonly status: 'accepted' }
  | { readonly status: 'duplicate' }
  | { readonly status: 'failed'; readonly error: unknown /* a FairleadError whose effect says whether to send again */ }

export interface MessageTransport {
  readonly name: string
  readonly capabilities: TransportCapabilities
  /** Makes, or only checks, what the broker needs to have: queues, topics, groups, dead-letter places. */
  prepare(channels: readonly (ChannelAddress & { readonly group?: string })[], mode: 'create' | 'check'): Promise<void>
  /** One verdict per message, in order. */
  send(channel: ChannelAddress, envelopes: readonly Envelope[], context: CallContext): Promise<readonly SendResult[]>
  receive(from: ReceiveFrom, sink: (delivery: Delivery) => void): Promise<Receiver>
  /** Backlog of a queue or a group; with `minPriority` only what is at or above it. Absent where the broker cannot say. */
  inspect?(from: ReceiveFrom, minPriority?: number): Promise<{ readonly waiting: number; readonly oldestMs?: number }>
  /** Absent where the broker keeps dead letters out of reach; the capability says so. */
  readonly deadLetters?: DeadLetters
  close(): Promise<void>
}

export interface ReceiveFrom {
  readonly channel: ChannelAddress
  /** Named: durable, its members compete. Absent on a topic: live only. */
  readonly group?: string
  /** Where a new group starts, on transports with replay. */
  readonly from?:
    | 'earliest'
    | 'latest'
    | { readonly time: number }
    | { readonly positions: Readonly<Record<string, string>> }
  /** A private place that goes away with the receiver: for replies. */
  readonly temporary?: boolean
}

/** Credit-based flow control: nothing is delivered beyond what was asked for. */
export interface Receiver {
  /** Where others send to reach this receiver (reply address). */
  readonly address: ChannelAddress
  request(count: number): void
  /** Stops fetching; deliveries already given stay settleable until `close`. */
  stop(): Promise<void>
  close(): Promise<void>
  /** Settles when the subscription ends on its own; the consumer decides whether to start again. */
  readonly ended: Promise<void>
}

export interface Delivery {
  readonly envelope: Envelope
  /** Unit of order and of position at the broker: partition, shard, message group. */
  readonly lane?: string
  readonly position?: string
  /** How often this message was handed out before, where the broker counts. */
  readonly redeliveries?: number
  /** Called before the right is taken away where the broker says so (rebalance): finish and settle within its bound. */
  onRevoking?(listener: () => void): () => void
  /** Called once if the right to settle is lost (lease, rebalance, connection). Returns the way to stop listening. */
  onLost(listener: () => void): () => void
  /** Rejects once the right is lost. Settling twice is the same as settling once. */
  settle(
    verdict: 'ack' | 'retry' | 'dead',
    options?: { readonly delayMs?: number; readonly reason?: string },
  ): Promise<void>
  extend?(ms: number): Promise<void>
}

export interface DeadLetters {
  list(
    channel: ChannelAddress & { readonly group?: string },
    options: { readonly limit: number },
  ): AsyncIterable<DeadLetter>
  redrive(channel: ChannelAddress & { readonly group?: string }, ids: readonly string[] | 'all'): Promise<number>
}

export interface DeadLetter {
  readonly envelope: Envelope
  readonly reason: string
  readonly at: number
}

export interface TransportCapabilities {
  readonly modes: readonly ('queue' | 'topic')[]
  readonly order: 'none' | 'key' | 'channel'
  readonly delivery: 'at-most-once' | 'at-least-once'
  /** A message survives a restart of the broker. */
  readonly persistent: boolean
  /** A subscriber that was away gets what was sent meanwhile. */
  readonly durableSubscriptions: boolean
  /** What an accepted send means. */
  readonly acknowledged: 'memory' | 'disk' | 'replicated' | 'configured'
  readonly competingConsumers: boolean
  readonly dedupeWindowMs: number
  readonly redeliveryCount: 'broker' | 'emulated' | 'none'
  readonly delay: 'native' | 'emulated' | 'none'
  readonly maxDelayMs: number
  readonly extend: boolean
  readonly nack: 'requeue' | 'block' | 'none'
  readonly priority: boolean
  readonly replay: boolean
  readonly deadLetters: 'native' | 'emulated' | 'none'
  readonly unroutable: 'detected' | 'silent' | 'impossible'
  /** Whether messages held for a batch or a trigger are leased (and count as in flight) or only counted. */
  readonly waiting: 'counted' | 'leased'
  readonly maxPayloadBytes: number
  readonly latency: 'microseconds' | 'milliseconds' | 'polling'
  readonly scaleUnit: string
  readonly protocols: readonly string[]
}
