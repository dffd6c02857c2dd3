// One channel of a receiver, from its opening to its end: consumers on it, and answers that say the broker has read what was settled.
import { detached } from '../../core/async-context.ts'
import { nextTurn } from '../../core/clock.ts'
import { afterSilence } from '../../core/silence.ts'
import { createError } from '../../errors/classes.ts'
import { AckLine } from './ack-line.ts'
import type { AmqpChannel, AmqpMessage } from './driver.ts'
import type { Settings } from './options.ts'

// Few, so that a receiver that asks for one more each time does not pile them up.
const MOST_CONSUMERS = 16

/** A consumer, and how many messages it may hold and holds. */
export interface Slot {
  readonly tag: string
  readonly size: number
  used: number
  active: boolean
}

/** A message of it takes no room at the broker any more. */
export function free(slot: Slot): void {
  if (slot.active) slot.used--
}

/** What a session tells its receiver. */
export interface SessionHooks {
  arrived(message: AmqpMessage, slot: Slot): void
  /** The queue was deleted under it. */
  cancelled(): void
  /** Something could not be done: the channel is of no use any more. */
  failed(error: unknown): void
  /** Whether the broker reads nothing from the connection just now. */
  blocked(): boolean
}

/** Called once: without an error when the broker has read what was written before. */
type Told = (error?: unknown) => void

/** A message to be acknowledged. */
interface Due {
  readonly slot: Slot
  readonly told: Told
}

/** A channel that consumes one queue. */
export class Session {
  readonly channel: AmqpChannel
  readonly queue: string
  alive = true
  private readonly settings: Settings
  private readonly hooks: SessionHooks
  private readonly slots = new Set<Slot>()
  private tags = 0
  private cancels: Promise<void> | undefined
  private readonly acks: AckLine
  private due: Due[] = []
  private scheduled = false
  private waiters: Told[] = []
  private asking = false
  private asked: Told[] = []
  // Requests that the broker has not answered, and how each is given up.
  private readonly unanswered = new Set<(error: unknown) => void>()

  constructor(channel: AmqpChannel, queue: string, settings: Settings, hooks: SessionHooks) {
    this.channel = channel
    this.queue = queue
    this.settings = settings
    this.hooks = hooks
    this.acks = new AckLine(channel)
  }

  /** How many more the broker may send as it is. */
  get open(): number {
    let open = 0
    for (const { size, used } of this.slots) open += size - used
    return open
  }

  get consuming(): boolean {
    return this.slots.size > 0
  }

  /** Set while consumers are being ended: what is settled meanwhile would make room for messages that the broker then takes back, and counts. */
  get cancelling(): Promise<void> | undefined {
    return this.cancels
  }

  /** Lets the broker send so many more. A consumer's own limit cannot be changed: there is one more. */
  consume(count: number): void {
    if (this.slots.size >= MOST_CONSUMERS && this.open === 0) void this.cancel()
    this.start(count)
  }

  /** Ends all consumers. Resolves once nothing more comes; what was handed out stays. */
  cancel(): Promise<void> {
    const cancels = this.leave(this.cancels).finally(() => {
      if (this.cancels === cancels) this.cancels = undefined
    })
    this.cancels = cancels
    return cancels
  }

  private async leave(before: Promise<void> | undefined): Promise<void> {
    const slots = [...this.slots]
    this.slots.clear()
    for (const slot of slots) slot.active = false
    try {
      await Promise.all([before, ...slots.map(({ tag }) => this.answered(this.channel.cancel(tag)))])
    } catch (error) {
      if (this.alive) this.hooks.failed(error)
    }
  }

  /** Acknowledges a message together with the others of this turn. */
  acknowledge(tag: number, slot: Slot, told: Told): void {
    if (!this.alive) {
      // Never from within: who asks has not noted yet that it asked.
      void Promise.resolve(this.silent()).then(told)
      return
    }
    this.acks.add(tag)
    this.due.push({ slot, told })
    this.soon()
  }

  /** Gives a message back to its queue. */
  nack(tag: number, slot: Slot): void {
    if (this.alive) this.acks.nack(tag)
    free(slot)
  }

  /** Resolves once the broker has read all that was written on the channel before. */
  read(): Promise<void> {
    return new Promise((resolve, reject) => {
      if (!this.alive) return reject(this.silent())
      this.waiters.push((error) => (error === undefined ? resolve() : reject(error)))
      this.soon()
    })
  }

  /** It is over: nobody is answered any more. */
  end(error: unknown): void {
    this.alive = false
    this.slots.clear()
    for (const giveUp of [...this.unanswered]) giveUp(error)
    const untold = [...this.asked.splice(0), ...this.waiters.splice(0), ...this.due.splice(0).map(({ told }) => told)]
    for (const told of untold) told(error)
  }

  private soon(): void {
    if (this.scheduled) return
    this.scheduled = true
    detached(() => nextTurn((session: Session) => session.tell(), this))
  }

  private tell(): void {
    this.scheduled = false
    if (!this.alive) return
    if (this.due.length > 0) {
      if (this.cancels !== undefined) return void this.cancels.then(() => this.soon())
      this.acks.write()
      for (const { slot, told } of this.due.splice(0)) {
        free(slot)
        this.waiters.push(told)
      }
    }
    if (this.asking || this.waiters.length === 0) return
    this.asking = true
    void this.ask()
  }

  private start(count: number): void {
    const tag = `fairlead-${++this.tags}`
    const slot: Slot = { tag, size: count, used: 0, active: true }
    this.slots.add(slot)
    const { channel } = this
    // Both at once: nothing may come in between, for the limit is that of the next consumer.
    const limit = channel.prefetch(count)
    const consuming = channel.consume(
      this.queue,
      tag,
      (message) => {
        if (!this.alive) return
        if (slot.active) slot.used++
        this.acks.came(message.deliveryTag)
        this.hooks.arrived(message, slot)
      },
      () => {
        if (this.alive) this.hooks.cancelled()
      },
    )
    this.answered(Promise.all([limit, consuming])).catch((error: unknown) => {
      if (this.alive) this.hooks.failed(error)
    })
  }

  private async ask(): Promise<void> {
    while (this.alive && this.waiters.length > 0) {
      this.asked = this.waiters
      this.waiters = []
      try {
        await this.answered(this.channel.prefetch(1))
      } catch (error) {
        if (this.alive) this.hooks.failed(error)
        return
      }
      for (const told of this.asked.splice(0)) told()
    }
    this.asking = false
  }

  // A request that is never answered is a channel that is lost, not one to wait for: unless the broker says that it reads nothing just now.
  private answered(request: Promise<unknown>): Promise<void> {
    const { clock, answerMs } = this.settings
    return new Promise((resolve, reject) => {
      let stop: () => void
      const end = (settle: () => void): void => {
        stop()
        this.unanswered.delete(giveUp)
        settle()
      }
      const giveUp = (error: unknown): void => end(() => reject(error))
      const watch = (): void => {
        stop = afterSilence(clock, answerMs, () => (this.hooks.blocked() ? watch() : giveUp(this.silent())))
      }
      watch()
      this.unanswered.add(giveUp)
      request.then(() => end(resolve), giveUp)
    })
  }

  private silent(): Error {
    const { name, answerMs } = this.settings
    return createError({
      code: 'CONNECTION_LOST',
      message: `the broker has not answered within ${answerMs} ms`,
      transport: name,
    })
  }
}
