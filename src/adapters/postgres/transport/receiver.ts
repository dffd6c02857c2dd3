// One subscription: credit, what is held, and one statement at a time that acknowledges what was handled and claims what comes next.
import { detached } from '../../../core/async-context.ts'
import { nextTurn, sleep } from '../../../core/clock.ts'
import type { Receiver, SettleOptions, SettleVerdict } from '../../../core/contracts/transport.ts'
import type { ChannelAddress } from '../../../core/message.ts'
import { endsWithin } from '../../../core/patience.ts'
import { createError } from '../../../errors/classes.ts'
import { classify, type FairleadError } from '../../../errors/index.ts'
import { type DeliveryOwner, PgDelivery } from './delivery.ts'
import { Leases } from './leases.ts'
import { atOnce, MOST_AT_ONCE, type ReceiverParts, type Told } from './receiver-parts.ts'
import type { Said, Turn } from './store.ts'
import { tellVerdicts } from './verdicts.ts'
import type { Looker, PlaceWatch } from './watch.ts'

/** The one lane of a topic: all its messages have one order, by which positions are counted. */
export const LANE = '0'

const CLOSE_WITHIN_MS = 5_000
const LONGEST_BACKOFF_MS = 2_000

/** Takes messages from a place, and keeps the right to settle them. */
export class PgReceiver implements Receiver, DeliveryOwner, Looker {
  readonly name: string
  readonly channel: string
  readonly address: ChannelAddress
  readonly leaseMs: number
  readonly lane: string | undefined
  readonly ended: Promise<void>
  private state: 'open' | 'stopped' | 'closed' = 'open'
  private credit = 0
  private readonly parts: ReceiverParts
  private readonly watching: PlaceWatch
  private readonly held: Leases
  private acks: Told[] = []
  private others: Told[] = []
  private running: Promise<number> | undefined
  private scheduled = false
  // Whether the last look left something behind, as far as is known.
  private more = true
  // A claim whose answer was lost may have taken messages that nobody knows of.
  private strays = false
  private failures = 0
  private expiredAt = -Infinity
  private readonly pausing = new AbortController()
  private closing: Promise<void> | undefined
  private end!: { readonly resolve: () => void; readonly reject: (error: unknown) => void }

  constructor(parts: ReceiverParts) {
    this.parts = parts
    this.name = parts.name
    this.channel = parts.address.name
    this.address = parts.address
    this.leaseMs = parts.leaseMs
    this.lane = parts.address.kind === 'topic' ? LANE : undefined
    this.ended = new Promise((resolve, reject) => {
      this.end = { resolve, reject }
    })
    // Whoever does not look must not lose the process over it.
    this.ended.catch(nothing)
    this.watching = parts.watch.join(parts.place, parts.channelId, this)
    this.held = new Leases(parts.clock, () => {
      // To the database they may be ours for a while yet, and it would hand us what comes behind them.
      this.strays = true
      parts.watch.soon(this.watching, 0)
    })
  }

  request(count: number): void {
    if (this.state !== 'open' || !(count > 0)) return
    this.credit += Math.floor(count)
    if (this.more) this.soon()
    else this.stayAwake()
  }

  async stop(): Promise<void> {
    if (this.state !== 'open') return
    this.state = 'stopped'
    this.credit = 0
    this.parts.watch.leave(this.watching, this)
  }

  close(): Promise<void> {
    return this.finish(undefined)
  }

  /** It ends on its own. */
  fail(error: unknown): void {
    void this.finish({ error })
  }

  get free(): boolean {
    return this.state === 'open' && this.credit > 0 && this.running === undefined
  }

  note(): void {
    this.more = true
  }

  async look(): Promise<number> {
    if (this.state !== 'open') return 0
    this.more = true
    return this.run()
  }

  settled(delivery: PgDelivery, verdict: SettleVerdict, options: SettleOptions | undefined): Promise<void> {
    if (verdict === 'ack') return this.tell(this.acks, delivery, undefined)
    const { delayMs = 0, overtake = false, reason = 'given up' } = options ?? {}
    // It may quote anything of the message, and a text of PostgreSQL has no NUL.
    const text = String(reason).replaceAll('\0', '\uFFFD')
    return this.tell(this.others, delivery, { verdict, ms: delayMs, blocks: !overtake, reason: text })
  }

  extended(delivery: PgDelivery, ms: number): Promise<void> {
    return this.tell(this.others, delivery, { verdict: 'extend', ms, blocks: false, reason: '' })
  }

  private tell(list: Told[], delivery: PgDelivery, said: Omit<Said, 'seq' | 'attempts'> | undefined): Promise<void> {
    if (this.state === 'closed') return Promise.reject(delivery.lostError())
    return new Promise((resolve, reject) => {
      const { seq, attempts } = delivery
      list.push({
        delivery,
        said: said === undefined ? undefined : { ...said, seq, attempts },
        unsure: undefined,
        resolve,
        reject,
      })
      this.soon()
    })
  }

  // Those who settle in the same turn of the event loop are told of in one statement.
  private soon(): void {
    if (this.scheduled || this.running !== undefined) return
    this.scheduled = true
    detached(() => nextTurn((receiver: PgReceiver) => void receiver.run(), this))
  }

  // Answers how many messages came.
  private run(): Promise<number> {
    this.scheduled = false
    if (this.running !== undefined) return this.running
    const running = this.turns().finally(() => {
      this.running = undefined
      // Asked or told of between the last look and now.
      if (this.others.length > 0 || this.acks.length > 0 || this.wants > 0) this.soon()
      else this.stayAwake()
    })
    this.running = running
    return running
  }

  // The watch does not look for places where nobody has room: it may have passed over this one meanwhile.
  private stayAwake(): void {
    if (this.free && this.watching.at === Infinity) this.parts.watch.looked(this.watching, 0, undefined)
  }

  private get wants(): number {
    return this.state === 'open' && this.more ? atOnce(this.credit) : 0
  }

  private async turns(): Promise<number> {
    let came = 0
    while (this.others.length > 0 || this.acks.length > 0 || this.wants > 0) {
      try {
        if (this.strays) await this.releaseStrays()
        if (this.others.length > 0) await this.say()
        if (this.acks.length > 0 || this.wants > 0) came += await this.turn()
        this.failures = 0
      } catch (error) {
        if (!(await this.failed(this.parts.errorOf(error)))) break
      }
    }
    return came
  }

  private async say(): Promise<void> {
    const { clock, watch } = this.parts
    const sentAt = clock.now()
    const { heard, lost, refused, rest, error } = await tellVerdicts(this.parts, this.others.splice(0, MOST_AT_ONCE))
    for (const each of heard) {
      const { verdict, ms } = each.said as Said
      const { delivery } = each
      if (lost.has(delivery.seq)) this.tooLate(each)
      else if (verdict === 'extend') {
        if (delivery.state !== 'lost') {
          this.held.extend(delivery, sentAt + ms)
          each.resolve()
        } else {
          // It ran out here while it was being extended there.
          this.strays = true
          each.reject(delivery.lostError())
        }
      } else {
        this.forget(delivery)
        each.resolve()
        if (verdict === 'retry' && ms > 0) watch.soon(this.watching, ms)
      }
    }
    // Nobody can tell the database so: the message comes again when its lease is over.
    for (const { each, error } of refused) {
      this.drop(each)
      each.reject(error)
    }
    if (error !== undefined) {
      this.keep(this.others, rest, error)
      throw error
    }
    // What was given back, and the keys that this frees, may be for this one, or for others at the same place.
    this.more = true
    if (this.wants === 0) this.watching.arrived(heard.length)
  }

  private async turn(): Promise<number> {
    const { store, place, holder, clock, leaseMs, durableSettles, watch, onClaimed } = this.parts
    const told = this.acks.splice(0, MOST_AT_ONCE)
    // An acknowledgement asks for more as well: it costs nothing.
    if (this.credit > 0) this.more = true
    const want = this.wants
    const sentAt = clock.now()
    const expired = sentAt - this.expiredAt >= Math.min(1_000, leaseMs / 4)
    if (expired && want > 0) this.expiredAt = sentAt
    let turn: Turn
    try {
      turn = await store.turn({
        place,
        holder,
        queue: this.address.kind === 'queue',
        leaseMs,
        seqs: told.map(({ delivery }) => delivery.seq),
        attempts: told.map(({ delivery }) => delivery.attempts),
        want,
        durable: durableSettles,
        expired,
      })
    } catch (error) {
      this.keep(this.acks, told, error)
      if (want > 0) this.strays = true
      throw error
    }
    const lost = new Set(turn.lost)
    for (const each of told) {
      if (lost.has(each.delivery.seq)) this.tooLate(each)
      else {
        this.forget(each.delivery)
        each.resolve()
      }
    }
    if (turn.gone) {
      this.fail(
        createError({
          code: 'CHANNEL_NOT_FOUND',
          message: `the place of this receiver at ${this.address.kind} ${this.channel} is gone: it was not heard of for too long, or was removed`,
          transient: true,
          transport: this.name,
          channel: this.channel,
        }),
      )
      return 0
    }
    const { messages } = turn
    // Its credit was taken away meanwhile: what it was given goes back as if it had never been handed out.
    if (this.state !== 'open' && messages.length > 0) {
      this.held.unhanded(messages)
      this.strays = true
      if (this.state === 'stopped') await this.releaseStrays()
      return 0
    }
    if (want > 0) {
      this.more = messages.length === want
      onClaimed(messages.length)
      watch.looked(this.watching, messages.length, turn.dueMs)
    }
    this.credit -= messages.length
    for (const { seq, attempts, envelope } of messages)
      this.hand(new PgDelivery(this, envelope, seq, attempts, sentAt + leaseMs))
    // There may be more than it had credit for, or, where it had none, of the keys that it has freed.
    if (want > 0 && this.more) this.watching.arrived(Infinity)
    else if (want === 0 && told.some(({ delivery }) => delivery.envelope.key !== undefined))
      this.watching.arrived(told.length)
    return messages.length
  }

  private hand(delivery: PgDelivery): void {
    this.held.add(delivery)
    if (this.state !== 'open') return
    if (this.held.hand(delivery) > MOST_AT_ONCE) this.strays = true
    try {
      this.parts.sink(delivery)
    } catch (error) {
      // A sink is a consumer's, and must not throw. Handing it more would only repeat that.
      this.fail(classify(error, { transport: this.name, channel: this.channel }))
    }
  }

  private tooLate({ delivery, unsure, reject }: Told): void {
    this.held.settled(delivery)
    delivery.lose()
    delivery.tellLost()
    // An earlier try whose answer was lost may have been the one that settled it.
    reject(unsure ?? delivery.lostError())
  }

  private forget(delivery: PgDelivery): void {
    this.held.settled(delivery)
    delivery.done()
  }

  // To be told again, as long as it is of use.
  private keep(list: Told[], told: readonly Told[], cause: unknown): void {
    const error = this.parts.errorOf(cause)
    const now = this.parts.clock.now()
    const again: Told[] = []
    for (const each of told) {
      if (error.effect !== 'none') each.unsure = error
      if (error.transient && this.state !== 'closed' && each.delivery.until > now) again.push(each)
      else {
        this.drop(each)
        each.reject(error)
      }
    }
    list.unshift(...again)
  }

  private drop({ delivery, said }: Told): void {
    if (said?.verdict === 'extend') return
    this.held.remove(delivery)
    this.strays = true
    delivery.lose()
    delivery.tellLost()
  }

  // False: it is over. A database that is away is waited for; what it refuses for good ends the subscription.
  private async failed(error: FairleadError): Promise<boolean> {
    if (this.state === 'closed') return false
    if (!error.transient) {
      this.fail(error)
      return false
    }
    const { clock, random } = this.parts
    const pause = Math.min(50 * 2 ** this.failures++, LONGEST_BACKOFF_MS)
    try {
      await sleep(clock, pause * (0.5 + random() / 2), this.pausing.signal)
    } catch {
      return false
    }
    return true
  }

  private async releaseStrays(): Promise<void> {
    const { store, place, holder } = this.parts
    const kept = this.held.seqs()
    await store.release(place, holder, kept, this.held.handedOut())
    this.held.released(kept)
    this.strays = false
    this.watching.arrived(Infinity)
  }

  private finish(failure: { readonly error: unknown } | undefined): Promise<void> {
    this.closing ??= this.ending(failure)
    return this.closing
  }

  private async ending(failure: { readonly error: unknown } | undefined): Promise<void> {
    const { store, place, holder, onClosed } = this.parts
    await this.stop()
    this.held.lose(() => true)
    this.others = this.others.filter((each) => {
      if (each.said?.verdict !== 'extend') return true
      each.reject(each.delivery.lostError())
      return false
    })
    // Verdicts that were given before are still told, if the database listens.
    if (failure === undefined) await this.within(this.flush())
    this.state = 'closed'
    this.pausing.abort()
    this.held.close()
    for (const each of [...this.acks.splice(0), ...this.others.splice(0)]) {
      this.drop(each)
      each.reject(failure?.error ?? each.unsure ?? each.delivery.lostError())
    }
    // Where it cannot be told, the leases end by themselves.
    await this.within(store.release(place, holder, [], this.held.handedOut()))
    await this.within(onClosed())
    this.watching.arrived(Infinity)
    if (failure === undefined) this.end.resolve()
    else this.end.reject(failure.error)
  }

  private async flush(): Promise<void> {
    while (this.running !== undefined || this.acks.length > 0 || this.others.length > 0) await this.run()
  }

  private async within(work: Promise<unknown>): Promise<void> {
    await endsWithin(work, CLOSE_WITHIN_MS, this.parts.clock).catch(nothing)
  }
}

function nothing(): void {}
