// The seam between the transport and a client of AMQP 0-9-1: only what the transport needs, so that a client takes a hundred lines.

/**
 * A client of one broker, as the transport uses it. All channels of a driver are on one connection at a time, so that what is exclusive on one of them
 * is at hand on the others. Everything that it rejects with, or hands to a listener, is a FairleadError (`amqpError` and `amqpLost` make them).
 */
export interface AmqpDriver {
  /** Name of the client, for messages of errors. */
  readonly name: string
  /**
   * Opens a channel on the connection as it is now, connecting again where it is lost. One attempt: who calls bounds it and calls again.
   * With `confirms` the broker confirms what is published on it. A channel that comes too late for the caller is closed by the caller.
   * @throws FairleadError effect `none`: what kept it from connecting or opening; `SHUTDOWN` once the driver or its connection is closed for good
   */
  channel(options?: { readonly confirms?: boolean | undefined }): Promise<AmqpChannel>
  /**
   * Told `true` when the broker blocks the connection (memory or disk alarm), `false` when it unblocks it or a new connection takes its place; with `true`
   * at once where it is blocked already. Returns the way to stop listening.
   */
  onBlocked(listener: (blocked: boolean) => void): () => void
  /** Ends what the driver made, and takes off the listeners that it added to what it was given. Twice is the same as once; it does not reject. */
  close(): Promise<void>
}

/**
 * One channel. It dies as a whole: with its connection, by `close`, or by any request that the broker refuses (404, 406 and the like). Requests that wait for
 * an answer then reject; those that do not are lost without a word.
 */
export interface AmqpChannel {
  /**
   * Writes a message; confirms are pipelined. `confirmed` is called once, never from within `publish`: without an error for an ack, after `onReturn` for
   * what was returned; with effect `none` for a nack of the broker (`UNAVAILABLE`) and for what could not be encoded; with effect `unknown` when the channel
   * ends first. Only on a channel with `confirms`.
   */
  publish(
    exchange: string,
    routingKey: string,
    properties: AmqpProperties,
    body: Uint8Array,
    mandatory: boolean,
    confirmed: (error?: Error) => void,
  ): void
  /** Told of each message that was mandatory and could be routed nowhere, in the order they were published. */
  onReturn(listener: (returned: AmqpReturned) => void): void
  /** For consumers started later on this channel: at most so many unacknowledged each (`global` is false). Also an answer that says: the broker has read all before it. */
  prefetch(count: number): Promise<void>
  /**
   * Starts a consumer that acknowledges by hand. Messages may come before it resolves, and a few may come after `cancel` has.
   * `cancelled` is called when the broker ends it (the queue was deleted).
   */
  consume(
    queue: string,
    consumerTag: string,
    message: (message: AmqpMessage) => void,
    cancelled: () => void,
  ): Promise<void>
  cancel(consumerTag: string): Promise<void>
  /** `multiple`: and all before it. On a channel that has ended it does nothing. */
  ack(deliveryTag: number, multiple?: boolean): void
  /** `requeue` false sends it where the queue dead-letters to. On a channel that has ended it does nothing. */
  nack(deliveryTag: number, requeue: boolean, multiple?: boolean): void
  /** One message, to be acknowledged by hand; undefined where nothing is ready. */
  get(queue: string): Promise<AmqpMessage | undefined>
  /** An empty name lets the broker choose one. */
  declareQueue(queue: string, options: AmqpQueueOptions): Promise<AmqpQueue>
  /** Passive declare: rejects with `CHANNEL_NOT_FOUND` (and ends the channel) where there is none. */
  checkQueue(queue: string): Promise<AmqpQueue>
  /** One that is not there is no error to the broker. */
  deleteQueue(queue: string): Promise<void>
  declareExchange(exchange: string, type: 'fanout' | 'direct', options: AmqpExchangeOptions): Promise<void>
  /** Passive declare: rejects with `CHANNEL_NOT_FOUND` (and ends the channel) where there is none. */
  checkExchange(exchange: string): Promise<void>
  deleteExchange(exchange: string): Promise<void>
  bindQueue(queue: string, exchange: string, routingKey: string): Promise<void>
  /**
   * Calls once, when the channel has ended for any reason but its own `close`, with why; soon where it has ended already. Outstanding confirms and requests
   * are answered before.
   */
  onClosed(listener: (error: Error) => void): void
  /** Resolves once it is closed, also where it was or the connection is gone. What is unacknowledged goes back to its queue. */
  close(): Promise<void>
}

/** Properties of a message (class `basic`). Absent ones are not written. */
export interface AmqpProperties {
  readonly contentType?: string | undefined
  readonly contentEncoding?: string | undefined
  /** Written as the table `headers`; what is read may also hold numbers, booleans, bytes, lists and tables. */
  readonly headers?: Readonly<Record<string, unknown>> | undefined
  /** Delivery mode 2. */
  readonly persistent?: boolean | undefined
  /** 0 to 255. */
  readonly priority?: number | undefined
  readonly correlationId?: string | undefined
  readonly replyTo?: string | undefined
  readonly messageId?: string | undefined
  /** Seconds since 1970. */
  readonly timestamp?: number | undefined
  readonly type?: string | undefined
  readonly appId?: string | undefined
}

/** A message as it was handed out. */
export interface AmqpMessage {
  readonly deliveryTag: number
  readonly redelivered: boolean
  readonly exchange: string
  readonly routingKey: string
  readonly properties: AmqpProperties
  /** The bytes as they came: nobody parses them on the way. */
  readonly body: Uint8Array
}

/** A message that came back. */
export interface AmqpReturned {
  readonly messageId: string | undefined
  readonly replyCode: number
  readonly replyText: string
  readonly exchange: string
  readonly routingKey: string
}

/** How a queue is declared. */
export interface AmqpQueueOptions {
  readonly durable: boolean
  readonly exclusive: boolean
  readonly autoDelete: boolean
  readonly arguments: Readonly<Record<string, string | number | boolean>>
}

/** How an exchange is declared. */
export interface AmqpExchangeOptions {
  readonly durable: boolean
  readonly autoDelete: boolean
  readonly arguments: Readonly<Record<string, string | number | boolean>>
}

/** What the broker says of a queue. */
export interface AmqpQueue {
  readonly name: string
  /** Ready to be handed out: not those that somebody holds. */
  readonly messages: number
  readonly consumers: number
}
