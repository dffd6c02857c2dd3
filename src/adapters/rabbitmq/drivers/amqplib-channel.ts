// One channel of amqplib behind the seam: what amqplib throws becomes an answer, and whatever waits is answered before the end is told.
import { nextTurn } from '../../../core/clock.ts'
import { createError, isFairleadError } from '../../../errors/index.ts'
import { amqpLost, amqpNacked } from '../classify-amqp.ts'
import type { AmqpChannel, AmqpMessage, AmqpProperties, AmqpReturned } from '../driver.ts'
import { amqplibError } from './amqplib-errors.ts'
import type {
  AmqplibChannel,
  AmqplibConfirmChannel,
  AmqplibMessage,
  AmqplibProperties,
  AmqplibPublishOptions,
} from './amqplib-types.ts'

interface RawReturn {
  readonly fields: {
    readonly replyCode: number
    readonly replyText: string
    readonly exchange: string
    readonly routingKey: string
  }
  readonly properties: AmqplibProperties
}

/**
 * @param raw fresh, with nobody else's listeners
 * @param lost why the connection broke, if it did; asked when the channel has ended
 */
export function amqplibChannel(raw: AmqplibChannel | AmqplibConfirmChannel, lost: () => unknown): AmqpChannel {
  const waiting = new Set<(error: unknown) => void>()
  const listeners: ((error: Error) => void)[] = []
  const unanswered: ((error: Error) => void)[] = []
  const returned: ((message: AmqpReturned) => void)[] = []
  // Set when the channel ends, before amqplib answers what is unconfirmed: what fails earlier was refused, what fails then is unknown.
  let closed = false
  let closing = false
  let unconfirmed = 0
  // Whether one message alone was under way at the end: if the broker refused something, then that.
  let alone = false
  let refused: unknown
  let reason: Error | undefined
  let ended = (): void => {}
  const end = new Promise<void>((resolve) => {
    ended = resolve
  })

  const why = (): unknown => refused ?? lost()
  const tell = (error: Error): void => {
    const effect = alone && isOfPublish(refused) ? 'none' : 'unknown'
    // Both in one turn: who publishes again because of the first finds that the channel has ended.
    for (const confirmed of unanswered.splice(0)) confirmed(amqplibError(why(), 'unknown', effect))
    for (const listener of listeners.splice(0)) if (!closing) listener(error)
  }
  raw.on('error', (error: unknown) => {
    refused = error
  })
  raw.prependListener('close', () => {
    closed = true
    alone = unconfirmed === 1
  })
  raw.on('close', () => {
    // Later: the connection says why it broke after its channels have ended.
    queueMicrotask(() => {
      for (const reject of waiting) reject(why())
      waiting.clear()
      const cause = why()
      reason = cause === undefined ? amqpLost(undefined, 'unknown') : amqplibError(cause, 'unknown')
      ended()
      // Those that asked have their answers by then.
      nextTurn(tell, reason)
    })
  })
  raw.on('return', ({ fields, properties }: RawReturn) => {
    const { replyCode, replyText, exchange, routingKey } = fields
    const message = { messageId: textOf(properties.messageId), replyCode, replyText, exchange, routingKey }
    for (const listener of returned) listener(message)
  })

  const ask = async <T>(work: () => PromiseLike<T>): Promise<T> => {
    if (closed || closing) throw amqplibError(why(), 'none')
    try {
      return await new Promise<T>((resolve, reject) => {
        waiting.add(reject)
        const settled = (): unknown => waiting.delete(reject)
        work().then(
          (value) => {
            settled()
            resolve(value)
          },
          (error: unknown) => {
            settled()
            reject(error)
          },
        )
      })
    } catch (error) {
      throw amqplibError(closed ? (why() ?? error) : error, 'unknown', 'none')
    }
  }

  return {
    publish(exchange, routingKey, properties, body, mandatory, confirmed) {
      try {
        const content = Buffer.isBuffer(body) ? body : Buffer.from(body.buffer, body.byteOffset, body.byteLength)
        const channel = raw as AmqplibConfirmChannel
        channel.publish(exchange, routingKey, content, publishOptions(properties, mandatory), (error) => {
          unconfirmed--
          if (error === null || error === undefined) confirmed()
          else if (!closed) confirmed(amqpNacked())
          else unanswered.push(confirmed)
        })
        unconfirmed++
      } catch (error) {
        // Thrown before a byte was written: by a channel that has ended, or because it cannot be encoded. A turn later: whoever publishes again at once must
        // not keep the end of the channel from being told.
        nextTurn(confirmed, closed || closing ? amqplibError(why(), 'none') : notEncoded(error))
      }
    },
    onReturn(listener) {
      returned.push(listener)
    },
    prefetch: (count) => ask(() => raw.prefetch(count, false)).then(nothing),
    consume: (queue, consumerTag, message, cancelled) =>
      ask(() =>
        raw.consume(queue, (one) => (one === null ? cancelled() : message(messageOf(one))), {
          consumerTag,
          noAck: false,
        }),
      ).then(nothing),
    cancel: (consumerTag) => ask(() => raw.cancel(consumerTag)).then(nothing),
    ack(deliveryTag, multiple = false) {
      if (!closed && !closing) written(() => raw.ack({ fields: { deliveryTag } }, multiple))
    },
    nack(deliveryTag, requeue, multiple = false) {
      if (!closed && !closing) written(() => raw.nack({ fields: { deliveryTag } }, multiple, requeue))
    },
    async get(queue) {
      const message = await ask(() => raw.get(queue, { noAck: false }))
      return message === false ? undefined : messageOf(message)
    },
    async declareQueue(queue, options) {
      const reply = await ask(() => raw.assertQueue(queue, options))
      return { name: reply.queue, messages: reply.messageCount, consumers: reply.consumerCount }
    },
    async checkQueue(queue) {
      const reply = await ask(() => raw.checkQueue(queue))
      return { name: reply.queue, messages: reply.messageCount, consumers: reply.consumerCount }
    },
    deleteQueue: (queue) => ask(() => raw.deleteQueue(queue)).then(nothing),
    declareExchange: (exchange, type, options) => ask(() => raw.assertExchange(exchange, type, options)).then(nothing),
    checkExchange: (exchange) => ask(() => raw.checkExchange(exchange)).then(nothing),
    deleteExchange: (exchange) => ask(() => raw.deleteExchange(exchange)).then(nothing),
    bindQueue: (queue, exchange, routingKey) => ask(() => raw.bindQueue(queue, exchange, routingKey)).then(nothing),
    onClosed(listener) {
      listeners.push(listener)
      if (reason !== undefined) nextTurn(tell, reason)
    },
    async close() {
      if (!closed && !closing) {
        closing = true
        // Its own promise says nothing where the connection breaks meanwhile; the event does. What it throws: it has ended already.
        await Promise.race([Promise.resolve(raw.close()).then(nothing, nothing), end])
        return
      }
      await end
    },
  }
}

const nothing = (): void => {}

// basic.publish: class 60, method 40.
function isOfPublish(refused: unknown): boolean {
  const { classId, methodId } = (refused ?? {}) as { readonly classId?: unknown; readonly methodId?: unknown }
  return classId === 60 && methodId === 40
}

// By hand: a message with an undefined property would be refused by some versions, and a spread costs more.
function publishOptions(properties: AmqpProperties, mandatory: boolean): AmqplibPublishOptions {
  const { persistent, ...rest } = properties
  return { ...(rest as AmqplibPublishOptions), persistent: persistent === true, mandatory }
}

function messageOf({ content, fields, properties }: AmqplibMessage): AmqpMessage {
  const { deliveryTag, redelivered, exchange, routingKey } = fields
  return { deliveryTag, redelivered, exchange, routingKey, properties: propertiesOf(properties), body: content }
}

function propertiesOf(raw: AmqplibProperties): AmqpProperties {
  return {
    contentType: textOf(raw.contentType),
    contentEncoding: textOf(raw.contentEncoding),
    headers: raw.headers as Readonly<Record<string, unknown>> | undefined,
    persistent: raw.deliveryMode === 2,
    priority: numberOf(raw.priority),
    correlationId: textOf(raw.correlationId),
    replyTo: textOf(raw.replyTo),
    messageId: textOf(raw.messageId),
    timestamp: numberOf(raw.timestamp),
    type: textOf(raw.type),
    appId: textOf(raw.appId),
  }
}

function textOf(value: unknown): string | undefined {
  return typeof value === 'string' ? value : undefined
}

function numberOf(value: unknown): number | undefined {
  return typeof value === 'number' ? value : undefined
}

// A connection that begins to end refuses to write a while before its channels say that they are closed. What is unacknowledged then comes again.
function written(write: () => void): void {
  try {
    write()
  } catch {
    // Its end is told to whoever waits for an answer.
  }
}

function notEncoded(error: unknown): Error {
  if (isFairleadError(error)) return error
  return createError({
    code: 'INVALID_REQUEST',
    effect: 'none',
    message: `amqplib cannot write the message: ${error instanceof Error ? error.message : String(error)}`,
    transport: 'rabbitmq',
    cause: error,
  })
}
