// What the broker needs to have: made, or only looked at, on channels of its own, one request after the other: a refusal ends the channel, and takes nobody along.
import type { ChannelPlace } from '../../core/contracts/transport.ts'
import { invalidOption } from '../../core/options.ts'
import { afterSilence } from '../../core/silence.ts'
import { createError, isFairleadError } from '../../errors/index.ts'
import type { AmqpChannel, AmqpDriver, AmqpQueue, AmqpQueueOptions } from './driver.ts'
import { closeChannel, openChannel } from './opening.ts'
import type { Settings } from './options.ts'
import { DECLARED_MS, expiresMs } from './waiting.ts'

// Names are short strings.
const NAME_BYTES = 255
// What ours add to a name.
const SUFFIX_BYTES = 20
// No message is dropped for how often somebody looked at it. (From version 4 on there is a limit by default.)
const NO_LIMIT = 2 ** 31 - 1

/** The queue in which messages of a place wait to be received: of a queue itself, of a topic that of the group. */
export function queueOf({ kind, name, group }: ChannelPlace): string {
  return kind === 'queue' ? name : `${name}.${group}`
}

/** The queue of what was given up at that queue. */
export function deadOf(queue: string): string {
  return `${queue}.dead`
}

/** A queue or an exchange to which a message that waited goes. */
export interface Destination {
  readonly exchange: string
  readonly routingKey: string
}

/** Queues and exchanges of one transport. */
export class Topology {
  private readonly driver: AmqpDriver
  private readonly settings: Settings
  private channel: AmqpChannel | undefined
  private last: Promise<unknown> = Promise.resolve()
  private readonly waits = new Map<string, number>()
  private readonly waiting = new Map<string, Promise<string>>()

  constructor(driver: AmqpDriver, settings: Settings) {
    this.driver = driver
    this.settings = settings
  }

  /** Makes what is not there. @throws FairleadError `INCOMPATIBLE` for what is there and is not as it should be */
  create(place: ChannelPlace): Promise<void> {
    this.checkPlace(place)
    return this.asked(async (channel) => {
      if (place.kind === 'topic') await this.makeTopic(channel, place.name)
      if (place.kind === 'queue' || place.group !== undefined) await this.makeQueue(channel, place)
    })
  }

  /** Makes the queue of a group that is not there. @throws FairleadError `CHANNEL_NOT_FOUND` where the topic is not there either */
  async join(place: ChannelPlace): Promise<void> {
    this.checkPlace(place)
    if (await this.has(place)) return
    await this.checkTopic(place.name)
    await this.asked((channel) => this.makeQueue(channel, place))
  }

  /** Removes the queue of a group, and its dead letters. @throws FairleadError `CONFLICT` while it is consumed */
  async drop(place: ChannelPlace): Promise<void> {
    this.checkPlace(place)
    const queue = queueOf(place)
    if ((await this.has(place)) && (await this.checkQueue(queue)).consumers > 0)
      throw createError({ code: 'CONFLICT', message: `somebody receives from ${queue}`, transport: this.settings.name })
    // Its binding goes with it: from then on nothing comes. What is not there is no error.
    await this.asked((channel) => channel.deleteQueue(queue))
    await this.asked((channel) => channel.deleteQueue(deadOf(queue)))
  }

  /** What is missing of a place, in words. */
  async missing(place: ChannelPlace): Promise<string | undefined> {
    this.checkPlace(place)
    const { kind, name, group } = place
    if (kind === 'topic') {
      if (!(await this.found((channel) => channel.checkExchange(name)))) return `topic ${name}`
      if (group === undefined) return undefined
    }
    const queue = queueOf(place)
    if (!(await this.has(place))) return kind === 'queue' ? `queue ${name}` : `group ${group} of topic ${name}`
    return (await this.found((channel) => channel.checkQueue(deadOf(queue))))
      ? undefined
      : `dead-letter queue ${deadOf(queue)}`
  }

  /** @throws FairleadError `CHANNEL_NOT_FOUND` */
  checkTopic(name: string): Promise<void> {
    return this.asked((channel) => channel.checkExchange(name))
  }

  /** @throws FairleadError `CHANNEL_NOT_FOUND` */
  checkQueue(queue: string): Promise<AmqpQueue> {
    return this.asked((channel) => channel.checkQueue(queue))
  }

  /**
   * The name of the queue from which what waited so long goes to a destination; made where it is not there.
   * @throws FairleadError `CHANNEL_NOT_FOUND` where the destination is not there
   */
  waitQueue(to: Destination, ttlMs: number): Promise<string> {
    const name = `${to.exchange}${to.routingKey}.wait.${ttlMs}`
    const declaredAt = this.waits.get(name)
    const { clock } = this.settings
    if (declaredAt !== undefined && clock.now() - declaredAt < DECLARED_MS) return Promise.resolve(name)
    let making = this.waiting.get(name)
    if (making === undefined) {
      making = this.makeWait(name, to, ttlMs).finally(() => this.waiting.delete(name))
      this.waiting.set(name, making)
    }
    return making
  }

  /** Nothing is known of that wait queue any more: it was not there. */
  forgetWait(name: string): void {
    this.waits.delete(name)
  }

  async close(): Promise<void> {
    const { channel } = this
    this.channel = undefined
    if (channel !== undefined) await closeChannel(channel, this.settings)
  }

  /** The work on a channel for requests, after what was asked before; if it fails the channel is given up. */
  asked<T>(work: (channel: AmqpChannel) => Promise<T>): Promise<T> {
    const turn = this.last.then(() => this.turn(work))
    this.last = turn.catch(nothing)
    return turn
  }

  private async turn<T>(work: (channel: AmqpChannel) => Promise<T>): Promise<T> {
    let channel = this.channel
    if (channel === undefined) {
      channel = await openChannel(this.driver, this.settings)
      const mine = channel
      channel.onClosed(() => {
        if (this.channel === mine) this.channel = undefined
      })
      this.channel = channel
    }
    try {
      return await within(work(channel), this.settings)
    } catch (error) {
      if (this.channel === channel) this.channel = undefined
      void closeChannel(channel, this.settings)
      throw error
    }
  }

  private has(place: ChannelPlace): Promise<boolean> {
    return this.found((channel) => channel.checkQueue(queueOf(place)))
  }

  private async found(check: (channel: AmqpChannel) => Promise<unknown>): Promise<boolean> {
    try {
      await this.asked(check)
      return true
    } catch (error) {
      if (isFairleadError(error, 'CHANNEL_NOT_FOUND')) return false
      throw error
    }
  }

  private async makeTopic(channel: AmqpChannel, name: string): Promise<void> {
    await channel.declareExchange(name, 'fanout', { durable: true, autoDelete: false, arguments: {} })
  }

  // Its dead-letter place first: from then on nothing can be lost.
  private async makeQueue(channel: AmqpChannel, place: ChannelPlace): Promise<void> {
    const queue = queueOf(place)
    const dead = deadOf(queue)
    await channel.declareQueue(dead, durable({ 'x-queue-type': 'quorum', 'x-delivery-limit': NO_LIMIT }))
    await channel.declareQueue(queue, durable(this.argumentsOf(dead)))
    if (place.kind === 'topic') await channel.bindQueue(queue, place.name, '')
  }

  private argumentsOf(dead: string): Record<string, string | number | boolean> {
    const { priorities, deliveryLimit, ordered } = this.settings
    const deadLetter = { 'x-dead-letter-exchange': '', 'x-dead-letter-routing-key': dead }
    if (priorities > 0) return { 'x-queue-type': 'classic', 'x-max-priority': priorities, ...deadLetter }
    return {
      'x-queue-type': 'quorum',
      'x-delivery-limit': deliveryLimit,
      ...deadLetter,
      ...AT_LEAST_ONCE,
      ...(ordered ? { 'x-single-active-consumer': true } : {}),
    }
  }

  private async makeWait(name: string, to: Destination, ttlMs: number): Promise<string> {
    await this.asked(async (channel) => {
      if (to.exchange === '') await channel.checkQueue(to.routingKey)
      else await channel.checkExchange(to.exchange)
      await channel.declareQueue(
        name,
        durable({
          'x-queue-type': 'quorum',
          'x-message-ttl': ttlMs,
          'x-expires': expiresMs(ttlMs),
          'x-dead-letter-exchange': to.exchange,
          'x-dead-letter-routing-key': to.routingKey,
          ...AT_LEAST_ONCE,
        }),
      )
    })
    // Destinations come and go (reply addresses).
    if (this.waits.size >= 10_000) this.waits.clear()
    this.waits.set(name, this.settings.clock.now())
    return name
  }

  private checkPlace({ kind, name, group }: ChannelPlace): void {
    if (kind === 'queue' && group !== undefined)
      throw invalidOption('group', group, 'a queue has no groups: leave it out, or make a topic')
    if (group === '') throw invalidOption('group', group, 'give a name, or leave it out')
    const bytes = Buffer.byteLength(name) + Buffer.byteLength(group ?? '') + SUFFIX_BYTES
    if (name === '' || bytes > NAME_BYTES)
      throw invalidOption('name', name, `give a name of 1 to ${NAME_BYTES - SUFFIX_BYTES} bytes, its group included`)
  }
}

// Moved only once it is safe at the other place, and meanwhile nothing more is taken in.
const AT_LEAST_ONCE = Object.freeze({ 'x-dead-letter-strategy': 'at-least-once', 'x-overflow': 'reject-publish' })

function durable(args: Record<string, string | number | boolean>): AmqpQueueOptions {
  return { durable: true, exclusive: false, autoDelete: false, arguments: args }
}

function within<T>(work: Promise<T>, { clock, answerMs, name }: Settings): Promise<T> {
  return new Promise((resolve, reject) => {
    const message = `the broker has not answered within ${answerMs} ms`
    const stop = afterSilence(clock, answerMs, () =>
      reject(createError({ code: 'TIMED_OUT', message, transport: name })),
    )
    work.then(resolve, reject).finally(stop)
  })
}

function nothing(): void {}
