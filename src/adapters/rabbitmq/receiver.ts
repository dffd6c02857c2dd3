// One subscription: credit, what came and was not asked for yet, what is held; and a new channel when the old one is lost.
import { detached } from '../../core/async-context.ts'
import { nextTurn, type Timer } from '../../core/clock.ts'
import type { Receiver, SettleOptions, SettleVerdict } from '../../core/contracts/transport.ts'
import type { ChannelAddress } from '../../core/message.ts'
import { endsWithin } from '../../core/patience.ts'
import { refusedVerdict } from '../../core/settle.ts'
import { classify, createError } from '../../errors/index.ts'
import type { Arrival, ReceiverParts } from './arrival.ts'
import { Caution } from './caution.ts'
import { type DeliveryOwner, RabbitDelivery } from './delivery.ts'
import type { AmqpMessage } from './driver.ts'
import { Link } from './link.ts'
import { leave } from './place.ts'
import type { Session, Slot } from './session.ts'
import { elsewhere, postponed, type VerdictParts } from './verdicts.ts'
import { countOf, dueOf, fromAmqp } from './wire.ts'

const CLOSE_WITHIN_MS = 1_000
const FLUSH_WITHIN_MS = 3_000
// What came before it was asked for is kept so long, then given back: those who ask as they settle have asked by then.
const LINGER_MS = 250
const MOST_AT_ONCE = 60_000

/** Takes messages from a queue. */
export class RabbitReceiver implements Receiver, DeliveryOwner {
  readonly name: string
  readonly channel: string
  readonly address: ChannelAddress
  readonly ended: Promise<void>
  private state: 'open' | 'stopped' | 'closed' = 'open'
  private credit = 0
  private readonly parts: ReceiverParts
  private readonly verdicts: VerdictParts
  private readonly ordered: boolean
  private readonly link: Link
  private buffer: Arrival[] = []
  private readonly held = new Set<RabbitDelivery>()
  private readonly pending = new Set<Promise<unknown>>()
  private readonly caution: Caution
  private scheduled = false
  private lingering: Timer | undefined
  private waking: Timer | undefined
  private closing: Promise<void> | undefined
  private end!: { readonly resolve: () => void; readonly reject: (error: unknown) => void }

  constructor(parts: ReceiverParts) {
    const { settings, place } = parts
    this.parts = parts
    this.name = settings.name
    this.channel = place.address.name
    this.address = place.address
    this.ordered = settings.ordered
    this.verdicts = { clock: settings.clock, sender: parts.sender, topology: parts.topology, place }
    // The active one of an ordered queue cannot let go of its consumer without letting others pass.
    this.caution = new Caution(settings.clock, !this.ordered && !place.own, () => this.soon())
    this.link = new Link(parts.driver, settings, place, {
      arrived: (message, slot, session) => this.arrived(message, slot, session),
      standing: () => {
        this.caution.begin()
        this.soon()
      },
      lost: () => this.lost(),
      failed: (error) => this.fail(error),
      blocked: () => parts.sender.isBlocked,
      errorOf: parts.errorOf,
      lostError: () => this.lostError(),
    })
    this.ended = new Promise((resolve, reject) => {
      this.end = { resolve, reject }
    })
    // Whoever does not look must not lose the process over it.
    this.ended.catch(nothing)
  }

  /** Resolves once the subscription stands. */
  open(): Promise<void> {
    return this.link.open()
  }

  request(count: number): void {
    if (this.state !== 'open' || !(count > 0)) return
    this.credit += Math.floor(count)
    this.soon()
  }

  async stop(): Promise<void> {
    if (this.state !== 'open') return
    this.state = 'stopped'
    this.credit = 0
    this.clearTimers()
    const { session } = this.link
    // Who stands by would pass what the active one holds: it stays until nothing is held.
    if (session === undefined || this.ordered) return this.release()
    await this.within(session.cancel(), CLOSE_WITHIN_MS)
    this.giveBack()
  }

  close(): Promise<void> {
    return this.finish(undefined)
  }

  /** It ends on its own. */
  fail(error: unknown): void {
    void this.finish({ error })
  }

  wrong(delivery: RabbitDelivery, verdict: SettleVerdict, options: SettleOptions | undefined): Error | undefined {
    if (verdict !== 'ack') {
      const { maxDelayMs } = this.parts.settings.capabilities
      const problem = refusedVerdict(verdict, options, maxDelayMs, { transport: this.name, channel: this.channel })
      if (problem !== undefined) return problem
    }
    const { session } = delivery.kept as Arrival
    return this.state === 'closed' || !session.alive ? delivery.lostError() : undefined
  }

  settled(delivery: RabbitDelivery, verdict: SettleVerdict, options: SettleOptions | undefined): Promise<void> {
    const arrival = delivery.kept as Arrival
    if (verdict === 'retry' && this.ordered) {
      this.keep(delivery, arrival, options?.delayMs ?? 0)
      return Promise.resolve()
    }
    const work = new Promise<void>((resolve, reject) => {
      const told = (error?: unknown): void => {
        this.pending.delete(work)
        if (error === undefined) {
          this.over(delivery)
          resolve()
        } else {
          const lost = !arrival.session.alive || delivery.state === 'lost'
          delivery.untold()
          reject(lost ? delivery.lostError() : this.parts.errorOf(error))
        }
      }
      if (verdict === 'ack') this.acknowledge(arrival, told)
      else this.tell(arrival, verdict, options, told).catch(told)
    })
    this.pending.add(work)
    return work
  }

  private over(delivery: RabbitDelivery): void {
    this.held.delete(delivery)
    delivery.done()
    if (this.caution.narrow) this.soon()
    this.rest()
  }

  private acknowledge({ message, session, slot }: Arrival, told: (error?: unknown) => void): void {
    this.caution.survived()
    session.acknowledge(message.deliveryTag, slot, told)
  }

  // Elsewhere first, then here: `told` once the broker has read it.
  private async tell(
    arrival: Arrival,
    verdict: SettleVerdict,
    options: SettleOptions | undefined,
    told: (error?: unknown) => void,
  ): Promise<void> {
    const { message, session, slot, count } = arrival
    if (verdict === 'retry' && !((options?.delayMs ?? 0) > 0) && this.parts.place.counts) {
      // It would come straight back here, where nobody asked for it, and be counted once more on its way to somebody else.
      if (this.credit === 0 && session.consuming && session.open === 0) void session.cancel()
      if (session.cancelling !== undefined) await session.cancelling
      session.nack(message.deliveryTag, slot)
      await session.read()
      told()
      return
    }
    await elsewhere(this.verdicts, message, count, verdict, options)
    this.acknowledge(arrival, told)
  }

  // In its place among those that wait here.
  private keep(delivery: RabbitDelivery, arrival: Arrival, delayMs: number): void {
    this.held.delete(delivery)
    delivery.done()
    arrival.count++
    arrival.until = delayMs > 0 ? this.parts.settings.clock.now() + delayMs : 0
    const tag = arrival.message.deliveryTag
    const at = this.buffer.findIndex(({ message }) => message.deliveryTag > tag)
    this.buffer.splice(at < 0 ? this.buffer.length : at, 0, arrival)
    if (this.state === 'open') this.soon()
    else this.rest()
  }

  private arrived(message: AmqpMessage, slot: Slot, session: Session): void {
    const { settings, place } = this.parts
    const { clock } = settings
    const arrival: Arrival = {
      message,
      slot,
      session,
      at: clock.now(),
      count: countOf(message, place.counts),
      until: 0,
    }
    this.caution.saw(arrival.count > 0 || message.redelivered)
    const due = dueOf(message)
    const early = due === undefined ? 0 : due - clock.wallNow()
    if (early > 0) {
      this.postpone(arrival, early)
      return
    }
    this.buffer.push(arrival)
    if (this.state === 'open') this.drain()
    else if (!this.ordered) this.giveBack()
  }

  // It came before its time.
  private postpone(arrival: Arrival, delayMs: number): void {
    const work = postponed(this.verdicts, arrival, delayMs, this.link.signal)
    this.pending.add(work)
    const over = (): void => void this.pending.delete(work)
    work.then(over, over)
  }

  private soon(): void {
    if (this.scheduled) return
    this.scheduled = true
    detached(() => nextTurn((receiver: RabbitReceiver) => receiver.work(), this))
  }

  private work(): void {
    this.scheduled = false
    if (this.state !== 'open') return
    if (this.link.session === undefined && this.credit > 0) this.link.reopen()
    this.drain()
    this.grow()
  }

  // Hands out what is there as far as it was asked for.
  private drain(): void {
    const { clock } = this.parts.settings
    while (this.state === 'open' && this.credit > 0) {
      const [first] = this.buffer
      if (first === undefined) return
      const early = first.until === 0 ? 0 : first.until - clock.now()
      if (early > 0) {
        this.wake(early)
        return
      }
      this.buffer.shift()
      this.hand(first)
    }
    if (this.state === 'open' && this.buffer.length > 0) this.linger()
  }

  private hand(arrival: Arrival): void {
    const { settings, place, sink } = this.parts
    const { message, count, at } = arrival
    // The broker's time has run since it handed it to us.
    const leaseMs = Math.max(settings.consumerTimeoutMs - (settings.clock.now() - at), 1)
    const delivery = new RabbitDelivery(this, fromAmqp(message, place.queue), count, leaseMs, arrival)
    this.held.add(delivery)
    this.credit--
    try {
      sink(delivery)
    } catch (error) {
      // A sink is a consumer's, and must not throw. Handing it more would only repeat that.
      this.fail(classify(error, { transport: this.name, channel: this.channel }))
    }
  }

  private grow(): void {
    const { session } = this.link
    if (session === undefined || this.credit <= 0) return
    if (this.ordered) {
      if (!session.consuming) session.consume(this.parts.settings.prefetch)
      return
    }
    const { open } = session
    const want = Math.min(
      this.credit - this.buffer.length - open,
      this.caution.room(this.held.size + this.buffer.length + open),
      MOST_AT_ONCE,
    )
    if (want > 0) session.consume(want)
  }

  // What nobody asks for is for others.
  private linger(): void {
    if (this.lingering !== undefined) return
    this.lingering = this.parts.settings.clock.setTimer(
      (receiver: RabbitReceiver) => {
        receiver.lingering = undefined
        receiver.idle()
      },
      LINGER_MS,
      this,
    )
  }

  private idle(): void {
    const { session } = this.link
    if (this.state !== 'open' || this.credit > 0 || this.buffer.length === 0 || session === undefined) return
    // Whoever waits for an answer asks for more when it has come.
    if (this.pending.size > 0) {
      this.linger()
      return
    }
    if (this.ordered) return void this.release()
    const back = this.buffer.splice(0)
    void session.cancel().then(() => this.giveBack(back))
  }

  // Something is held no longer.
  private rest(): void {
    if (!this.ordered || this.held.size > 0) return
    if (this.state !== 'open') void this.release()
    else if (this.credit === 0 && this.buffer.length > 0) this.linger()
  }

  // The channel's end gives everything back at once, in order, before another becomes active.
  private async release(): Promise<void> {
    if (this.held.size > 0) return
    this.buffer = []
    await this.link.release()
    this.soon()
  }

  private giveBack(arrivals: readonly Arrival[] = this.buffer.splice(0)): void {
    for (const { session, message, slot } of arrivals) session.nack(message.deliveryTag, slot)
  }

  private wake(ms: number): void {
    const { clock } = this.parts.settings
    if (this.waking !== undefined) clock.clearTimer(this.waking)
    this.waking = clock.setTimer(
      (receiver: RabbitReceiver) => {
        receiver.waking = undefined
        receiver.drain()
      },
      ms,
      this,
    )
  }

  // Every right that came on the channel is gone with it.
  private lost(): boolean {
    this.buffer = []
    const held = [...this.held]
    this.held.clear()
    for (const delivery of held) delivery.lose()
    return this.state === 'open'
  }

  private finish(failure: { readonly error: unknown } | undefined): Promise<void> {
    this.closing ??= this.ending(failure)
    return this.closing
  }

  private async ending(failure: { readonly error: unknown } | undefined): Promise<void> {
    const { place, topology, onClosed } = this.parts
    await this.stop()
    for (const delivery of this.held) if (delivery.state === 'held') delivery.lose()
    // Verdicts that were given before are still told, if the broker listens: also where it ends on its own, with a channel that may be in order.
    await this.within(Promise.allSettled([...this.pending]), FLUSH_WITHIN_MS)
    this.state = 'closed'
    this.clearTimers()
    this.buffer = []
    const stood = this.link.session !== undefined
    await this.link.close()
    // Its own queue is gone with a connection that was lost.
    if (place.own && (stood || this.ordered))
      await this.within(
        topology.asked((channel) => leave(channel, place)),
        CLOSE_WITHIN_MS,
      )
    for (const delivery of this.held) delivery.lose()
    this.held.clear()
    onClosed()
    if (failure === undefined) this.end.resolve()
    else this.end.reject(failure.error)
  }

  private clearTimers(): void {
    const { clock } = this.parts.settings
    if (this.lingering !== undefined) clock.clearTimer(this.lingering)
    if (this.waking !== undefined) clock.clearTimer(this.waking)
    this.lingering = undefined
    this.waking = undefined
    this.caution.end()
  }

  private async within(work: Promise<unknown>, ms: number): Promise<void> {
    await endsWithin(work, ms, this.parts.settings.clock).catch(nothing)
  }

  private lostError(): Error {
    return createError({ code: 'LEASE_LOST', transport: this.name, channel: this.channel })
  }
}

function nothing(): void {}
