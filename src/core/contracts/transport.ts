// What a consumer and a relay ask of a messaging transport; `testTransport` of fairlead/testing is the other half of this contract.
import type { CallContext } from '../context.ts'
import type { ChannelAddress, Envelope } from '../message.ts'

/** What became of one envelope. */
export type SendResult =
  | { readonly status: 'accepted' }
  | { readonly status: 'duplicate' }
  /** `error` is a FairleadError whose effect says whether to send again. */
  | { readonly status: 'failed'; readonly error: unknown }

/** A channel, and on a topic the group whose place at the broker is meant. */
export interface ChannelPlace extends ChannelAddress {
  readonly group?: string | undefined
}

/**
 * One broker, or what stands in for one. A message past its `expiresAt` is handed out as any other: whether to handle it is the consumer's to decide,
 * and a transport drops nothing on its own.
 */
export interface MessageTransport {
  readonly name: string
  readonly capabilities: TransportCapabilities
  /**
   * Makes, or only checks, what the broker needs to have: queues, topics, groups, dead-letter places. What is there already stays as it is.
   * @throws FairleadError `CHANNEL_NOT_FOUND` naming what is missing (`check`), `FORBIDDEN`, `CAPABILITY_MISSING` for a mode that the transport has not
   */
  prepare(channels: readonly ChannelPlace[], mode: 'create' | 'check'): Promise<void>
  /**
   * The counterpart for a group of a topic that nobody uses any more, for which the broker would keep all that is sent: removes it with what waits for it and its dead letters.
   * An operator's action. One that is not there is dropped already; one that is made again later is new. Who receives from it is in the way of it (`CONFLICT`), or, where the broker
   * does not know of him, ends with `CHANNEL_NOT_FOUND` once he next asks for something. Absent where a group keeps nothing of its own at the broker, or its tools have to be used.
   * @throws FairleadError `CONFLICT`, `FORBIDDEN`, `INVALID_OPTIONS` for a queue, `CHANNEL_NOT_FOUND` for a topic that is not there (it may also count as dropped)
   */
  dropGroup?(place: ChannelPlace): Promise<void>
  /**
   * One verdict per envelope, in order; it never rejects, and ends with its deadline or with `close`, whatever the network does.
   *
   * Failed with effect `none`, before anything leaves: what comes after `close` (`SHUTDOWN`), finds its deadline spent (`DEADLINE_SPENT`) or its call
   * aborted (`CANCELLED`), asks for a mode the transport has not or a `notBefore` beyond `maxDelayMs` (`CAPABILITY_MISSING`), or is too large
   * (`PAYLOAD_TOO_LARGE`). To a channel that is not there: `UNROUTABLE` (or `CHANNEL_NOT_FOUND`) where `unroutable` is `detected`. An answer that never came
   * is failed with effect `unknown`.
   *
   * Where the transport keeps order per key, those of a key behind a failed one of the same call are failed as well: `TOO_EARLY`, effect `none`, transient
   * whatever the first one failed of (without it they can be sent again), and `details.ahead` is the id of that one.
   *
   * A `notBefore` holds back that one message, not later ones of its key: when its time comes it takes its place among those that still wait.
   */
  send(channel: ChannelAddress, envelopes: readonly Envelope[], context: CallContext): Promise<readonly SendResult[]>
  /**
   * Resolves once the subscription stands: what is sent from then on reaches it. A new group starts at `from`, by default with what is sent
   * after it was made. The sink is called only for what was asked for by `request`, never from within `request` or `settle`.
   *
   * A sink must not throw. What it was handed then is not taken: the delivery is lost to it and comes again, and the subscription may end with
   * the error (`ended`).
   *
   * A channel that is not there comes into being; where `unroutable` is `detected` it may be refused instead, as by `prepare(..., 'check')`.
   * @throws FairleadError `SHUTDOWN` after `close`, `CAPABILITY_MISSING` for what the transport has not, `CHANNEL_NOT_FOUND`
   */
  receive(from: ReceiveFrom, sink: (delivery: Delivery) => void): Promise<Receiver>
  /**
   * How many messages of a queue or a group could be handed out now: those that are held by a receiver or wait for their time are not counted.
   * With `minPriority` only what is at or above it. Absent where the broker cannot say. Nothing is leased by asking.
   * @throws FairleadError `CHANNEL_NOT_FOUND` where `unroutable` is `detected`; elsewhere nothing waits on a channel that is not there
   */
  inspect?(from: ReceiveFrom, minPriority?: number): Promise<Backlog>
  /**
   * On transports with replay: since when all messages of a topic are still kept, milliseconds since 1970 on the clock that `from.time` is on. A group that starts before that may
   * miss some, and nothing else says so. `-Infinity`: all there ever were; undefined (or absent): the broker cannot say.
   */
  retainedSince?(channel: ChannelAddress): Promise<number | undefined>
  /** Absent where the broker keeps dead letters out of reach; the capability says so. */
  readonly deadLetters?: DeadLetters | undefined
  /**
   * Closes every receiver as its own `close` does, ends the sends under way (each is answered, at the latest within the transport's own patience, not their
   * deadlines), and then the connection where the transport made it. It resolves also while the broker is down. Twice is the same as once: a second call
   * resolves when the first has ended.
   */
  close(): Promise<void>
}

/** What waits at the broker. */
export interface Backlog {
  readonly waiting: number
  /** Age of the oldest of them. */
  readonly oldestMs?: number | undefined
}

/** What to receive. */
export interface ReceiveFrom {
  readonly channel: ChannelAddress
  /** On a topic. Named: durable, its members compete. Absent: live only. A queue has none. */
  readonly group?: string | undefined
  /**
   * Where a new group (or a live subscription) starts, on transports with replay. Default `latest`. `time` is milliseconds since 1970;
   * `positions` are by lane, each that of the last delivery handled: the one after it comes first.
   */
  readonly from?:
    | 'earliest'
    | 'latest'
    | { readonly time: number }
    | { readonly positions: Readonly<Record<string, string>> }
    | undefined
  /**
   * A private place that goes away with the receiver: for replies. `Receiver.address` says where others send to reach it, and is different for each; it is of
   * the kind of `channel`, whose name is only a hint for it (a prefix, a purpose). Such a place has no `group`. Once it is gone a send to it is as one to
   * a channel that is not there.
   */
  readonly temporary?: boolean | undefined
}

/** Credit-based flow control: nothing is delivered beyond what was asked for. */
export interface Receiver {
  /** Where others send to reach this receiver (reply address). */
  readonly address: ChannelAddress
  /**
   * Asks for so many more: a whole number. 0 asks for nothing, and after `stop` it does nothing. For what is no whole number (NaN, Infinity, less than 0)
   * there is no rule: it may be ignored or refused with `INVALID_OPTIONS`.
   */
  request(count: number): void
  /** Stops fetching. Once it resolves the sink is not called any more; deliveries already given stay settleable until `close`. */
  stop(): Promise<void>
  /** As `stop`; what is unsettled is given back, and its right to settle is lost. Twice is the same as once. */
  close(): Promise<void>
  /** Resolves after `close`; rejects with a FairleadError when the subscription ends on its own. The consumer decides whether to start again. */
  readonly ended: Promise<void>
}

/** What becomes of a delivery. */
export type SettleVerdict = 'ack' | 'retry' | 'dead'

/** How a delivery is settled. */
export interface SettleOptions {
  /**
   * For `retry`: not before so long from now. Default 0. Where there is a `delay`, more than `maxDelayMs` is refused with `CAPABILITY_MISSING`, and the delivery
   * stays held; where it is `none` the pause lasts only as long as the receiver (or, over HTTP, the sender) lives.
   */
  readonly delayMs?: number | undefined
  /** For `dead`, and worth noting for `retry`. */
  readonly reason?: string | undefined
  /** For `retry`, where `nack` is `either`: later ones of the key may pass. Default: they wait behind it, also while it is delayed. */
  readonly overtake?: boolean | undefined
}

/** A message handed out, with the right to settle it. */
export interface Delivery {
  readonly envelope: Envelope
  /** Unit of order and of position at the broker: partition, shard, message group. */
  readonly lane?: string | undefined
  readonly position?: string | undefined
  /** How often this message was handed out before, where the broker counts. */
  readonly redeliveries?: number | undefined
  /** How long the right lasts from the delivery: never more than it does. Absent: as long as the receiver lives. */
  readonly leaseMs?: number | undefined
  /** Called before the right is taken away where the broker says so (rebalance): finish and settle within its bound. */
  onRevoking?(listener: () => void): () => void
  /** Called once if the right to settle is lost (lease, rebalance, connection); at once if it is lost already. Returns the way to stop listening. */
  onLost(listener: () => void): () => void
  /**
   * Settling twice is the same as settling once: the first verdict stands.
   * Resolves once the verdict is kept where the message is, so not while that is down.
   * @throws FairleadError `LEASE_LOST` once the right is lost; others where the broker could not be told (the message then comes again)
   */
  settle(verdict: SettleVerdict, options?: SettleOptions): Promise<void>
  /** Keeps the right for so long from now, and no longer; it may be more or less than `leaseMs`. @throws FairleadError `LEASE_LOST` */
  extend?(ms: number): Promise<void>
}

/** Messages that were given up, at the broker. A channel that is not there has none, or is `CHANNEL_NOT_FOUND` where `unroutable` is `detected`. */
export interface DeadLetters {
  /** Oldest first. */
  list(channel: ChannelPlace, options: { readonly limit: number }): AsyncIterable<DeadLetter>
  /**
   * Puts them back as if they had never been handed out: `redeliveries` begins at 0, `notBefore` does not count again, and where the broker can each takes its
   * old place. `ids` are those of the envelopes. Answers how many.
   */
  redrive(channel: ChannelPlace, ids: readonly string[] | 'all'): Promise<number>
}

/** One message that was given up. */
export interface DeadLetter {
  readonly envelope: Envelope
  readonly reason: string
  /** Milliseconds since 1970. */
  readonly at: number
}

/**
 * What a transport promises, as data. Each line is proven by `testTransport`, but for `latency`, `scaleUnit` and `protocols`, which describe;
 * docs/support.md is generated from it.
 *
 * `emulated` (of `redeliveryCount`, `delay`, `deadLetters`) means: the transport does it, not the broker. It is proven within one process; what others
 * see of it, and whether it outlives the process, the transport's own documents say.
 */
export interface TransportCapabilities {
  readonly modes: readonly ('queue' | 'topic')[]
  /**
   * `key`: messages of one key and priority are handed out in the order they were sent, and while one is held the later ones go to its holder only.
   * `channel`: so are all messages of the channel.
   */
  readonly order: 'none' | 'key' | 'channel'
  readonly delivery: 'at-most-once' | 'at-least-once'
  /** A message survives a restart of the broker. */
  readonly persistent: boolean
  /** A subscriber that was away gets what was sent meanwhile. */
  readonly durableSubscriptions: boolean
  /** What an accepted send means: where the message then is, or that a receiver has handled it. */
  readonly acknowledged: 'memory' | 'disk' | 'replicated' | 'configured' | 'handled'
  /** Each message goes to one member of the group, however many there are; where `order` is `channel`, one works at a time. */
  readonly competingConsumers: boolean
  /** For how long a second send of an id on one channel is answered `duplicate`; 0 for never. */
  readonly dedupeWindowMs: number
  readonly redeliveryCount: 'broker' | 'emulated' | 'none'
  /** Of a send with `notBefore` and of a retry with `delayMs`. */
  readonly delay: 'native' | 'emulated' | 'none'
  readonly maxDelayMs: number
  readonly extend: boolean
  /** What `retry` does to later messages of the key: they pass, they wait, the caller chooses (`overtake`); `none`: nothing can be given back. */
  readonly nack: 'requeue' | 'block' | 'either' | 'none'
  /** Higher numbers are handed out first. */
  readonly priority: boolean
  readonly replay: boolean
  /** Whether a receiver can have a private place (`temporary`). */
  readonly temporary: boolean
  readonly deadLetters: 'native' | 'emulated' | 'none'
  /** A message sent to a queue or topic that does not exist. `impossible`: it comes into being with the first send. */
  readonly unroutable: 'detected' | 'silent' | 'impossible'
  /** Whether messages held for a batch or a trigger are leased (and count as in flight) or only counted: then `inspect` is there, and answers without leasing. */
  readonly waiting: 'counted' | 'leased'
  /** Of attributes, headers and body together. */
  readonly maxPayloadBytes: number
  readonly latency: 'microseconds' | 'milliseconds' | 'polling'
  readonly scaleUnit: string
  readonly protocols: readonly string[]
}
