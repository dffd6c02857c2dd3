// The driver for rabbitmq-client 5: the user's Connection, which connects again by itself. It parses JSON and text on the way, and tells of returns
// a turn later than of confirms: both are undone here.
import { nextTurn } from '../../../core/clock.ts'
import { createError } from '../../../errors/classes.ts'
import { isFairleadError } from '../../../errors/index.ts'
import { amqpError, amqpLost, amqpNacked, REPLY_CODES } from '../classify-amqp.ts'
import type {
  AmqpChannel,
  AmqpDriver,
  AmqpExchangeOptions,
  AmqpMessage,
  AmqpProperties,
  AmqpQueue,
  AmqpQueueOptions,
  AmqpReturned,
} from '../driver.ts'

/** What is used of a `Connection` of rabbitmq-client 5. */
export interface RabbitmqClientConnection {
  acquire(options?: { emitErrorsFromChannel?: boolean }): Promise<RabbitmqClientChannel>
  on(
    name: 'connection.blocked' | 'connection.unblocked' | 'connection' | 'error',
    listener: (...args: unknown[]) => void,
  ): unknown
  off(name: string, listener: (...args: unknown[]) => void): unknown
}

/** What is used of a `Channel` of rabbitmq-client 5. */
export interface RabbitmqClientChannel {
  readonly active: boolean
  on(name: 'basic.cancel' | 'basic.return' | 'close' | 'error', listener: (...args: unknown[]) => void): unknown
  close(): Promise<void>
  confirmSelect(): Promise<void>
  basicPublish(envelope: object, body: Buffer): Promise<void>
  basicQos(params: { prefetchCount: number }): Promise<void>
  basicConsume(
    params: { queue: string; consumerTag: string },
    listener: (message: RabbitmqClientMessage) => void,
  ): Promise<{ consumerTag: string }>
  basicCancel(consumerTag: string): Promise<unknown>
  basicAck(params: { deliveryTag: number; multiple: boolean }): void
  basicNack(params: { deliveryTag: number; requeue: boolean; multiple: boolean }): void
  basicGet(params: { queue: string }): Promise<unknown>
  queueDeclare(params: object): Promise<{ queue: string; messageCount: number; consumerCount: number }>
  queueDelete(params: { queue: string }): Promise<unknown>
  queueBind(params: { queue: string; exchange: string; routingKey: string }): Promise<void>
  exchangeDeclare(params: object): Promise<void>
  exchangeDelete(params: { exchange: string }): Promise<void>
}

/**
 * The driver for a `Connection` of rabbitmq-client 5. The connection stays the user's: closing the transport leaves it open.
 *
 * The client parses bodies of content type `application/json` and `text/plain` unless there is a content encoding. What fairlead sends has one. A body of JSON from
 * somebody who sets none is written again: its value is the same, its spaces and its numbers beyond 2^53 may not be.
 * @example rabbitmqTransport(rabbitmqClientDriver(new Connection('amqp://localhost')))
 */
export function rabbitmqClientDriver(connection: RabbitmqClientConnection): AmqpDriver {
  return new ClientDriver(connection)
}

class ClientDriver implements AmqpDriver {
  readonly name = 'rabbitmq-client'
  private readonly connection: RabbitmqClientConnection
  private readonly listeners = new Set<(blocked: boolean) => void>()
  private blocked = false
  private closed = false
  private lastError: unknown
  private readonly off: (() => void)[] = []

  constructor(connection: RabbitmqClientConnection) {
    this.connection = connection
    const listen = (
      name: 'connection.blocked' | 'connection.unblocked' | 'connection' | 'error',
      listener: (...args: unknown[]) => void,
    ): void => {
      connection.on(name, listener)
      this.off.push(() => connection.off(name, listener))
    }
    listen('connection.blocked', () => this.block(true))
    listen('connection.unblocked', () => this.block(false))
    listen('connection', () => {
      this.lastError = undefined
      this.block(false)
    })
    // Without a listener the loss of the connection would end the process. It is told by the channels.
    listen('error', (error: unknown) => {
      this.lastError = error
    })
  }

  async channel(options: { readonly confirms?: boolean | undefined } = {}): Promise<AmqpChannel> {
    if (this.closed) throw shutDown()
    let channel: RabbitmqClientChannel
    try {
      channel = await this.connection.acquire({ emitErrorsFromChannel: true })
    } catch (error) {
      throw this.refusal(error)
    }
    const made = new ClientChannel(channel)
    try {
      if (options.confirms === true) await channel.confirmSelect()
    } catch (error) {
      throw classified(error, 'none')
    }
    return made
  }

  onBlocked(listener: (blocked: boolean) => void): () => void {
    this.listeners.add(listener)
    if (this.blocked) listener(true)
    return () => this.listeners.delete(listener)
  }

  async close(): Promise<void> {
    this.closed = true
    for (const off of this.off.splice(0)) off()
    this.listeners.clear()
  }

  private block(blocked: boolean): void {
    if (this.blocked === blocked) return
    this.blocked = blocked
    for (const listener of this.listeners) listener(blocked)
  }

  private refusal(error: unknown): Error {
    const code = codeOf(error)
    if (code === 'CLOSING') return shutDown(error)
    // Its time to wait for a connection is over: why there is none was told before.
    if (code === 'TIMEOUT' && this.lastError !== undefined) return classified(this.lastError, 'none')
    return classified(error, 'none')
  }
}

/** What is used of a message of rabbitmq-client 5. */
export interface RabbitmqClientMessage {
  readonly deliveryTag: number
  readonly redelivered: boolean
  readonly exchange: string
  readonly routingKey: string
  readonly contentType?: string
  readonly contentEncoding?: string
  readonly headers?: Record<string, unknown>
  readonly durable?: boolean
  readonly priority?: number
  readonly correlationId?: string
  readonly replyTo?: string
  readonly messageId?: string
  readonly timestamp?: number
  readonly type?: string
  readonly appId?: string
  readonly body: unknown
}

class ClientChannel implements AmqpChannel {
  private readonly channel: RabbitmqClientChannel
  private readonly cancelled = new Map<string, () => void>()
  private answers: (() => void)[] = []
  private outstanding = new Set<(error?: Error) => void>()
  private error: Error | undefined
  private ended = false
  private closing = false
  private listener: ((error: Error) => void) | undefined

  constructor(channel: RabbitmqClientChannel) {
    this.channel = channel
    channel.on('error', (error: unknown) => {
      this.error ??= classified(error, 'unknown')
    })
    channel.on('close', () => {
      this.ended = true
      // Rejections of requests and confirms are on their way: they say why.
      nextTurn((each: ClientChannel) => each.end(), this)
    })
    channel.on('basic.cancel', (consumerTag) => this.cancelled.get(consumerTag as string)?.())
  }

  publish(
    exchange: string,
    routingKey: string,
    properties: AmqpProperties,
    body: Uint8Array,
    mandatory: boolean,
    confirmed: (error?: Error) => void,
  ): void {
    this.outstanding.add(confirmed)
    const { persistent, ...rest } = properties
    let work: Promise<void>
    try {
      work = this.channel.basicPublish(
        { ...rest, exchange, routingKey, mandatory, durable: persistent === true },
        Buffer.from(body.buffer, body.byteOffset, body.byteLength),
      )
    } catch (error) {
      work = Promise.reject(error)
    }
    work.then(
      () => this.answer(confirmed, undefined),
      (error: unknown) => this.answer(confirmed, confirmError(error)),
    )
  }

  onReturn(listener: (returned: AmqpReturned) => void): void {
    this.channel.on('basic.return', (raw) => {
      const { messageId, replyCode, replyText, exchange, routingKey } = raw as AmqpReturned
      listener({ messageId, replyCode, replyText, exchange, routingKey })
    })
  }

  prefetch(count: number): Promise<void> {
    return this.asked(this.channel.basicQos({ prefetchCount: count }))
  }

  async consume(
    queue: string,
    consumerTag: string,
    message: (message: AmqpMessage) => void,
    cancelled: () => void,
  ): Promise<void> {
    this.cancelled.set(consumerTag, cancelled)
    await this.asked(
      this.channel.basicConsume({ queue, consumerTag }, (raw: RabbitmqClientMessage) => message(messageOf(raw))),
    )
  }

  async cancel(consumerTag: string): Promise<void> {
    this.cancelled.delete(consumerTag)
    await this.asked(this.channel.basicCancel(consumerTag))
  }

  ack(deliveryTag: number, multiple = false): void {
    if (this.channel.active) this.channel.basicAck({ deliveryTag, multiple })
  }

  nack(deliveryTag: number, requeue: boolean, multiple = false): void {
    if (this.channel.active) this.channel.basicNack({ deliveryTag, requeue, multiple })
  }

  async get(queue: string): Promise<AmqpMessage | undefined> {
    const raw = await this.asked(this.channel.basicGet({ queue }))
    return raw === undefined ? undefined : messageOf(raw as RabbitmqClientMessage)
  }

  declareQueue(queue: string, options: AmqpQueueOptions): Promise<AmqpQueue> {
    return this.queue({ queue, ...options })
  }

  checkQueue(queue: string): Promise<AmqpQueue> {
    return this.queue({ queue, passive: true })
  }

  async deleteQueue(queue: string): Promise<void> {
    await this.asked(this.channel.queueDelete({ queue }))
  }

  declareExchange(exchange: string, type: 'fanout' | 'direct', options: AmqpExchangeOptions): Promise<void> {
    return this.asked(this.channel.exchangeDeclare({ exchange, type, ...options }))
  }

  checkExchange(exchange: string): Promise<void> {
    return this.asked(this.channel.exchangeDeclare({ exchange, passive: true }))
  }

  deleteExchange(exchange: string): Promise<void> {
    return this.asked(this.channel.exchangeDelete({ exchange }))
  }

  bindQueue(queue: string, exchange: string, routingKey: string): Promise<void> {
    return this.asked(this.channel.queueBind({ queue, exchange, routingKey }))
  }

  onClosed(listener: (error: Error) => void): void {
    this.listener = listener
    if (this.ended) nextTurn((each: ClientChannel) => each.end(), this)
  }

  async close(): Promise<void> {
    this.closing = true
    await this.channel.close()
  }

  private async queue(params: object): Promise<AmqpQueue> {
    const { queue, messageCount, consumerCount } = await this.asked(this.channel.queueDeclare(params))
    return { name: queue, messages: messageCount, consumers: consumerCount }
  }

  private async asked<T>(work: Promise<T>): Promise<T> {
    try {
      return await work
    } catch (error) {
      const known = classified(error, 'unknown')
      // What says more than that the channel is closed says why it was.
      if (codeOf(error) !== 'CH_CLOSE') this.error ??= known
      throw this.error ?? known
    }
  }

  // Returns are told by a setImmediate of their own: those of before come before ours.
  private answer(confirmed: (error?: Error) => void, error: Error | undefined): void {
    if (error !== undefined && !isFairleadError(error, 'UNAVAILABLE')) this.error ??= error
    this.answers.push(() => {
      if (this.outstanding.delete(confirmed)) confirmed(error)
    })
    // A turn for each: what came back meanwhile was given a turn before this one, and after that of the answer before.
    nextTurn((each: ClientChannel) => each.answers.shift()?.(), this)
  }

  private flush(): void {
    for (const answer of this.answers.splice(0)) answer()
  }

  private end(): void {
    this.flush()
    const error = this.error ?? amqpLost(undefined, 'unknown')
    // A write that was never answered, and now never will be.
    for (const confirmed of this.outstanding) confirmed(error)
    this.outstanding.clear()
    const { listener } = this
    this.listener = undefined
    if (!this.closing) listener?.(error)
  }
}

function messageOf(raw: RabbitmqClientMessage): AmqpMessage {
  const { deliveryTag, redelivered, exchange, routingKey, contentType, contentEncoding, headers, durable } = raw
  const { priority, correlationId, replyTo, messageId, timestamp, type, appId } = raw
  return {
    deliveryTag,
    redelivered,
    exchange,
    routingKey,
    properties: {
      contentType,
      contentEncoding,
      headers,
      persistent: durable,
      priority,
      correlationId,
      replyTo,
      messageId,
      timestamp,
      type,
      appId,
    },
    body: bytesOf(raw),
  }
}

function bytesOf({ body, contentType }: RabbitmqClientMessage): Uint8Array {
  if (body instanceof Uint8Array) return body
  return Buffer.from(typeof body === 'string' && contentType !== 'application/json' ? body : JSON.stringify(body))
}

function codeOf(error: unknown): unknown {
  return typeof error === 'object' && error !== null ? (error as { readonly code?: unknown }).code : undefined
}

function confirmError(error: unknown): Error {
  return codeOf(error) === 'NACK' ? amqpNacked() : classified(error, 'unknown')
}

function classified(error: unknown, effect: 'none' | 'unknown'): Error {
  if (isFairleadError(error)) return error
  const code = codeOf(error)
  const replyCode = typeof code === 'string' && Object.hasOwn(REPLY_CODES, code) ? REPLY_CODES[code] : undefined
  if (replyCode !== undefined)
    // A connection that the broker ends takes down what was under way; a channel that it ends says what it refused.
    return amqpError(
      replyCode,
      (error as Error).message,
      effect === 'none' || refuses(error) ? undefined : 'unknown',
      error,
    )
  return amqpLost(error, effect)
}

// The name of the class says it: there is no other mark.
function refuses(error: unknown): boolean {
  return (error as Error).name === 'AMQPChannelError'
}

function shutDown(cause?: unknown): Error {
  return createError({
    code: 'SHUTDOWN',
    message: 'the connection to the broker was closed for good',
    transport: 'rabbitmq',
    ...(cause === undefined ? {} : { cause }),
  })
}
