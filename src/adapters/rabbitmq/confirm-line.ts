// A channel on which messages are published and confirmed, many at a time. It is opened when there is something to publish, and given up when it ends or is in doubt.
import { createError, type FairleadError, isFairleadError } from '../../errors/index.ts'
import { amqpLost } from './classify-amqp.ts'
import type { AmqpChannel, AmqpDriver, AmqpReturned } from './driver.ts'
import { closeChannel, openChannel } from './opening.ts'
import type { Settings } from './options.ts'
import type { AmqpContent } from './wire.ts'

// What is on its way to the broker and not confirmed yet: more of it only fills memory on both sides.
const MOST_WRITTEN = 2_000
const MOST_WRITTEN_BYTES = 32 * 1_048_576

/** A message to be published. */
export interface Job {
  readonly exchange: string
  readonly routingKey: string
  readonly content: AmqpContent
  /** Whether it has to come into a queue. */
  readonly mandatory: boolean
  /** Called once: without an error when the broker has it. */
  done(error: FairleadError | undefined): void
}

/** A job on a line. */
export interface Ticket {
  readonly job: Job
  state: 'waiting' | 'written' | 'over'
  /** The channel it was written on. */
  lane: Lane | undefined
  /** How many confirms had come there when it was written. */
  confirmedBefore: number
  returned: boolean
}

// One channel. What was written on it is answered by it, also when nothing more is written there.
interface Lane {
  readonly channel: AmqpChannel
  /** In the order of writing. */
  readonly written: Set<Ticket>
  bytes: number
  confirms: number
  retired: boolean
}

/** Publishes with confirms. */
export class ConfirmLine {
  private readonly driver: AmqpDriver
  private readonly settings: Settings
  private readonly onLost: () => void
  private readonly stopBlocked: () => void
  private current: Lane | undefined
  private readonly lanes = new Set<Lane>()
  private opening = false
  private blocked = false
  private closed = false
  private waiting: Ticket[] = []
  private dropped = 0
  private onIdle: (() => void) | undefined

  /** @param onLost called when a channel ends for any reason but `close` */
  constructor(driver: AmqpDriver, settings: Settings, onLost: () => void) {
    this.driver = driver
    this.settings = settings
    this.onLost = onLost
    this.stopBlocked = driver.onBlocked((blocked) => {
      this.blocked = blocked
      if (!blocked) this.pump()
    })
  }

  /** In the order of calls. Its `done` is not called from within. */
  put(job: Job): Ticket {
    const ticket: Ticket = { job, state: 'waiting', lane: undefined, confirmedBefore: 0, returned: false }
    this.waiting.push(ticket)
    this.pump()
    return ticket
  }

  /** Nobody waits for it any more: its `done` is not called. Answers whether it may have reached the broker. */
  drop(ticket: Ticket): boolean {
    const { state, lane } = ticket
    ticket.state = 'over'
    if (state === 'waiting') this.sweep()
    if (state !== 'written' || lane === undefined) return false
    // Nothing at all was confirmed since it was written: what is sent next had better go another way.
    if (!this.blocked && ticket.confirmedBefore === lane.confirms) this.retire(lane)
    this.leaveIfDone(lane)
    return true
  }

  /** Whether the broker takes no messages just now. */
  get isBlocked(): boolean {
    return this.blocked
  }

  /** Waits until all that was put in is answered. */
  async drained(): Promise<void> {
    while (this.waiting.some(isWaiting) || [...this.lanes].some(({ written }) => [...written].some(isWritten)))
      await new Promise<void>((resolve) => {
        this.onIdle = resolve
      })
  }

  /** Nothing leaves any more. What waits or was not confirmed is not answered. */
  async close(): Promise<void> {
    this.closed = true
    this.stopBlocked()
    this.current = undefined
    await Promise.all([...this.lanes].map(({ channel }) => closeChannel(channel, this.settings)))
  }

  private pump(): void {
    if (this.closed || this.blocked || this.waiting.length === 0) return
    const { current } = this
    if (current === undefined) {
      this.open()
      return
    }
    let at = 0
    while (at < this.waiting.length && current.written.size < MOST_WRITTEN && current.bytes < MOST_WRITTEN_BYTES) {
      const ticket = this.waiting[at++] as Ticket
      if (ticket.state === 'waiting') this.write(current, ticket)
    }
    if (at > 0) this.waiting.splice(0, at)
  }

  private write(lane: Lane, ticket: Ticket): void {
    const { exchange, routingKey, content, mandatory } = ticket.job
    ticket.state = 'written'
    ticket.lane = lane
    ticket.confirmedBefore = lane.confirms
    lane.written.add(ticket)
    lane.bytes += content.body.byteLength
    lane.channel.publish(exchange, routingKey, content.properties, content.body, mandatory, (error) => {
      lane.written.delete(ticket)
      lane.bytes -= content.body.byteLength
      if (error === undefined) lane.confirms++
      if (ticket.state === 'written') {
        ticket.state = 'over'
        ticket.job.done(error === undefined ? this.returnedError(ticket) : errorOf(error, this.settings.name))
      }
      this.leaveIfDone(lane)
      if (this.waiting.length > 0) this.pump()
      this.tellIdle()
    })
  }

  private open(): void {
    if (this.opening) return
    this.opening = true
    openChannel(this.driver, this.settings, true).then(
      (channel) => {
        this.opening = false
        if (this.closed) void closeChannel(channel, this.settings)
        else this.begin(channel)
      },
      (cause: unknown) => {
        this.opening = false
        const error = errorOf(cause, this.settings.name, 'none')
        for (const ticket of this.waiting.splice(0)) {
          if (ticket.state !== 'waiting') continue
          ticket.state = 'over'
          ticket.job.done(error)
        }
        this.tellIdle()
      },
    )
  }

  private begin(channel: AmqpChannel): void {
    const lane: Lane = { channel, written: new Set(), bytes: 0, confirms: 0, retired: false }
    this.lanes.add(lane)
    this.current = lane
    channel.onReturn((returned) => note(lane, returned))
    channel.onClosed(() => {
      this.lanes.delete(lane)
      if (this.current === lane) this.current = undefined
      this.onLost()
      this.pump()
    })
    this.pump()
  }

  // Nothing more is written on it.
  private retire(lane: Lane): void {
    if (lane.retired) return
    lane.retired = true
    if (this.current === lane) this.current = undefined
    this.onLost()
    this.pump()
  }

  // Others may still get their answers there.
  private leaveIfDone(lane: Lane): void {
    if (!lane.retired || [...lane.written].some(isWritten)) return
    this.lanes.delete(lane)
    void closeChannel(lane.channel, this.settings)
  }

  private returnedError({ returned, job }: Ticket): FairleadError | undefined {
    if (!returned) return undefined
    const where = job.exchange === '' ? job.routingKey : job.exchange
    return createError({
      code: 'UNROUTABLE',
      message: `the broker has no queue ${where}: it returned the message`,
      transport: this.settings.name,
      stack: false,
    })
  }

  // While nothing can be written, what was dropped must not pile up.
  private sweep(): void {
    if (++this.dropped < 1_000 || this.dropped * 2 < this.waiting.length) return
    this.dropped = 0
    this.waiting = this.waiting.filter(isWaiting)
  }

  private tellIdle(): void {
    const { onIdle } = this
    this.onIdle = undefined
    onIdle?.()
  }
}

// Returns come in the order of publishing.
function note({ written }: Lane, returned: AmqpReturned): void {
  for (const ticket of written) {
    const { exchange, routingKey, content } = ticket.job
    if (ticket.returned || content.properties.messageId !== returned.messageId) continue
    if (exchange !== returned.exchange || routingKey !== returned.routingKey) continue
    ticket.returned = true
    return
  }
}

function isWaiting({ state }: Ticket): boolean {
  return state === 'waiting'
}

function isWritten({ state }: Ticket): boolean {
  return state === 'written'
}

function errorOf(error: unknown, transport: string, effect: 'none' | 'unknown' = 'unknown'): FairleadError {
  return isFairleadError(error) && (effect === 'unknown' || error.effect === 'none')
    ? error
    : (amqpLost(error, effect, transport) as FairleadError)
}
