// A driver of which a test holds both ends: it remembers what was asked of it, and answers as the test says.
import type {
  AmqpChannel,
  AmqpDriver,
  AmqpMessage,
  AmqpProperties,
  AmqpQueue,
  AmqpReturned,
} from '../../../src/adapters/rabbitmq/driver.ts'
import { createError } from '../../../src/errors/index.ts'

/** A message that was published. */
export interface Published {
  readonly exchange: string
  readonly routingKey: string
  readonly properties: AmqpProperties
  readonly mandatory: boolean
  confirm(error?: Error): void
}

/** A consumer that was started. */
export interface Consumer {
  readonly queue: string
  readonly tag: string
  readonly limit: number
  deliver(message: Partial<AmqpMessage>): void
}

/** One channel. */
export interface ScriptedChannel extends AmqpChannel {
  readonly confirms: boolean
  /** Requests in order, as words. */
  readonly said: string[]
  readonly published: Published[]
  readonly consumers: Map<string, Consumer>
  giveBack(returned: Partial<AmqpReturned>): void
  /** Requests of that name are never answered from now on. */
  silence(request: 'cancel' | 'consume' | 'prefetch'): void
  /** Ends it as the broker or the network does. */
  break(error?: Error): void
  closed: boolean
}

/** The driver. */
export interface ScriptedDriver extends AmqpDriver {
  readonly channels: ScriptedChannel[]
  /** What the next attempts to open a channel fail with. */
  refuse: Error | undefined
  /** Queues and exchanges that are there; undefined: all. */
  known: Set<string> | undefined
  block(blocked: boolean): void
}

export const lost = (): Error => createError({ code: 'CONNECTION_LOST', effect: 'unknown' })

const nowhere = (name: string): Error => createError({ code: 'CHANNEL_NOT_FOUND', message: `no queue ${name}` })

const scriptedChannel = (driver: ScriptedDriver, confirms: boolean): ScriptedChannel => {
  const said: string[] = []
  const published: Published[] = []
  const consumers = new Map<string, Consumer>()
  let limit = 0
  let tags = 0
  let onReturn: (returned: AmqpReturned) => void = () => {}
  let onClosed: (error: Error) => void = () => {}
  const outstanding = new Set<(error?: Error) => void>()
  const silent = new Set<string>()
  const answer = (request: string): Promise<void> => (silent.has(request) ? new Promise(() => {}) : Promise.resolve())
  const check = async (name: string): Promise<AmqpQueue> => {
    said.push(`check ${name}`)
    if (driver.known !== undefined && !driver.known.has(name)) throw nowhere(name)
    return { name, messages: 0, consumers: 0 }
  }
  const channel: ScriptedChannel = {
    confirms,
    said,
    published,
    consumers,
    closed: false,
    publish(exchange, routingKey, properties, _, mandatory, confirmed) {
      outstanding.add(confirmed)
      published.push({
        exchange,
        routingKey,
        properties,
        mandatory,
        confirm: (error) => {
          if (outstanding.delete(confirmed)) confirmed(error)
        },
      })
    },
    onReturn(listener) {
      onReturn = listener
    },
    async prefetch(count) {
      limit = count
      await answer('prefetch')
    },
    async consume(queue, tag, message) {
      said.push(`consume ${limit}`)
      const mine = limit
      consumers.set(tag, {
        queue,
        tag,
        limit: mine,
        deliver: (part) =>
          message({
            deliveryTag: ++tags,
            redelivered: false,
            exchange: '',
            routingKey: queue,
            properties: {},
            body: Buffer.from(''),
            ...part,
          }),
      })
      await answer('consume')
    },
    async cancel(tag) {
      said.push('cancel')
      consumers.delete(tag)
      await answer('cancel')
    },
    ack: (tag) => void said.push(`ack ${tag}`),
    nack: (tag, requeue) => void said.push(`${requeue ? 'nack' : 'reject'} ${tag}`),
    get: async () => undefined,
    async declareQueue(name) {
      said.push(`declare ${name}`)
      driver.known?.add(name)
      return { name, messages: 0, consumers: 0 }
    },
    checkQueue: check,
    deleteQueue: async (name) => void said.push(`delete ${name}`),
    declareExchange: async (name) => void driver.known?.add(name),
    checkExchange: async (name) => void (await check(name)),
    deleteExchange: async () => {},
    async bindQueue() {},
    onClosed(listener) {
      onClosed = listener
    },
    async close() {
      channel.closed = true
    },
    silence: (request) => void silent.add(request),
    giveBack: (returned) =>
      onReturn({
        messageId: undefined,
        replyCode: 312,
        replyText: 'NO_ROUTE',
        exchange: '',
        routingKey: '',
        ...returned,
      }),
    break(error = lost()) {
      for (const confirmed of [...outstanding]) confirmed(error)
      outstanding.clear()
      onClosed(error)
    },
  }
  return channel
}

export const scriptedDriver = (): ScriptedDriver => {
  const listeners = new Set<(blocked: boolean) => void>()
  const driver: ScriptedDriver = {
    name: 'scripted',
    channels: [],
    refuse: undefined,
    known: undefined,
    async channel({ confirms = false } = {}) {
      if (driver.refuse !== undefined) throw driver.refuse
      const made = scriptedChannel(driver, confirms)
      driver.channels.push(made)
      return made
    },
    onBlocked(listener) {
      listeners.add(listener)
      return () => listeners.delete(listener)
    },
    block: (blocked) => {
      for (const listener of listeners) listener(blocked)
    },
    async close() {},
  }
  return driver
}

/** The channel that sends to queues, once there is one. */
export const publisherOf = (driver: ScriptedDriver): ScriptedChannel =>
  driver.channels.findLast(({ confirms, closed }) => confirms && !closed) as ScriptedChannel
