// The part of amqplib that we use, as types of our own: no type of the package is in ours.

/** A connection, as `connect` of amqplib answers it (its `ChannelModel`). */
export interface AmqplibConnection {
  createChannel(): PromiseLike<AmqplibChannel>
  createConfirmChannel(): PromiseLike<AmqplibConfirmChannel>
  close(): PromiseLike<unknown>
  on(event: string, listener: (...values: any[]) => void): unknown
}

/** A channel. */
export interface AmqplibChannel {
  assertQueue(queue: string, options: AmqplibQueueOptions): PromiseLike<AmqplibQueueReply>
  checkQueue(queue: string): PromiseLike<AmqplibQueueReply>
  deleteQueue(queue: string): PromiseLike<unknown>
  bindQueue(queue: string, source: string, pattern: string): PromiseLike<unknown>
  assertExchange(exchange: string, type: string, options: AmqplibExchangeOptions): PromiseLike<unknown>
  checkExchange(exchange: string): PromiseLike<unknown>
  deleteExchange(exchange: string): PromiseLike<unknown>
  consume(
    queue: string,
    onMessage: (message: AmqplibMessage | null) => void,
    options: { consumerTag?: string; noAck?: boolean },
  ): PromiseLike<unknown>
  cancel(consumerTag: string): PromiseLike<unknown>
  get(queue: string, options: { noAck?: boolean }): PromiseLike<AmqplibMessage | false>
  ack(message: AmqplibTagged, allUpTo?: boolean): void
  nack(message: AmqplibTagged, allUpTo?: boolean, requeue?: boolean): void
  prefetch(count: number, global?: boolean): PromiseLike<unknown>
  close(): PromiseLike<unknown>
  on(event: string, listener: (...values: any[]) => void): unknown
  prependListener(event: string, listener: (...values: any[]) => void): unknown
}

/** A channel whose messages the broker confirms. */
export interface AmqplibConfirmChannel extends AmqplibChannel {
  publish(
    exchange: string,
    routingKey: string,
    content: Buffer,
    options: AmqplibPublishOptions,
    confirmed: (error: unknown) => void,
  ): boolean
}

/** A message as it was handed out. */
export interface AmqplibMessage {
  readonly content: Uint8Array
  readonly fields: {
    readonly deliveryTag: number
    readonly redelivered: boolean
    readonly exchange: string
    readonly routingKey: string
  }
  readonly properties: AmqplibProperties
}

/** What of a message says which one is settled. amqplib reads nothing else of it. */
export interface AmqplibTagged {
  readonly fields: { readonly deliveryTag: number }
}

/** Properties as they are read. */
export interface AmqplibProperties {
  readonly contentType?: unknown
  readonly contentEncoding?: unknown
  readonly headers?: object | undefined
  readonly deliveryMode?: unknown
  readonly priority?: unknown
  readonly correlationId?: unknown
  readonly replyTo?: unknown
  readonly messageId?: unknown
  readonly timestamp?: unknown
  readonly type?: unknown
  readonly appId?: unknown
}

/** Properties as they are written. */
export interface AmqplibPublishOptions {
  mandatory?: boolean
  persistent?: boolean
  contentType?: string
  contentEncoding?: string
  headers?: unknown
  priority?: number
  correlationId?: string
  replyTo?: string
  messageId?: string
  timestamp?: number
  type?: string
  appId?: string
}

/** How a queue is declared. */
export interface AmqplibQueueOptions {
  durable?: boolean
  exclusive?: boolean
  autoDelete?: boolean
  arguments?: unknown
}

/** How an exchange is declared. */
export interface AmqplibExchangeOptions {
  durable?: boolean
  autoDelete?: boolean
  arguments?: unknown
}

/** What the broker says of a queue. */
export interface AmqplibQueueReply {
  readonly queue: string
  readonly messageCount: number
  readonly consumerCount: number
}
