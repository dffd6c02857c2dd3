// The subscription: asks for no more than there is room for, and begins anew when it ends on its own.

import type { Timer } from '../../core/clock.ts'
import type { Delivery, Receiver } from '../../core/contracts/transport.ts'
import { endsWithin } from '../../core/patience.ts'
import { type FairleadError, isFairleadError } from '../../errors/base.ts'
import { createError } from '../../errors/classes.ts'
import { classify } from '../../errors/classify.ts'
import type { Settings } from './options.ts'

/** What the intake tells. */
export interface IntakeHooks {
  arrived(delivery: Delivery, subscription: number): void
  /** The subscription is over, with every right that came with it. `again` says that a new one is being tried. */
  ended(subscription: number, error: FairleadError, again: boolean): void
  restarted(tries: number, elapsedMs: number): void
  /** A try to begin anew failed. */
  failed(error: FairleadError): void
}

const FIRST_MS = 100
const LONGEST_MS = 30_000

/** One subscription after another. */
export class Intake {
  readonly #settings: Settings
  readonly #hooks: IntakeHooks
  #receiver: Receiver | undefined
  #subscription: number
  /** Asked for and not delivered yet. */
  #outstanding: number
  #tries: number
  #endedAt: number
  #timer: Timer
  #closed: boolean

  constructor(settings: Settings, hooks: IntakeHooks) {
    this.#settings = settings
    this.#hooks = hooks
    this.#receiver = undefined
    this.#subscription = 0
    this.#outstanding = 0
    this.#tries = 0
    this.#endedAt = 0
    this.#timer = undefined
    this.#closed = false
  }

  get open(): boolean {
    return this.#receiver !== undefined
  }

  get outstanding(): number {
    return this.#outstanding
  }

  /** @throws what the transport says */
  async start(): Promise<void> {
    const subscription = ++this.#subscription
    this.#outstanding = 0
    const { transport, from } = this.#settings
    const receiver = await transport.receive(from, (delivery) => {
      if (subscription !== this.#subscription) return
      if (this.#outstanding > 0) this.#outstanding--
      // One delivery is proof that it stands: the next end of it is a new one.
      this.#tries = 0
      this.#hooks.arrived(delivery, subscription)
    })
    if (this.#closed || subscription !== this.#subscription) {
      await receiver.close()
      return
    }
    this.#receiver = receiver
    receiver.ended.then(
      () => this.#over(subscription, undefined),
      (error) => this.#over(subscription, error),
    )
  }

  /** Asks for as many as fit in, in as few calls as may be: a quarter of the room at a time, or whatever is free when nothing is on its way. */
  topUp(room: number, most: number): void {
    const free = room - this.#outstanding
    if (free <= 0 || this.#receiver === undefined) return
    if (this.#outstanding > 0 && free * 4 < most) return
    this.#outstanding += free
    this.#receiver.request(free)
  }

  /** Nothing arrives any more once it resolves; what is in hand can still be settled. */
  async stop(withinMs: number): Promise<void> {
    this.#closed = true
    this.#settings.world.clock.clearTimer(this.#timer)
    const receiver = this.#receiver
    if (receiver === undefined) return
    await this.#patiently(receiver.stop(), withinMs)
  }

  async close(withinMs: number): Promise<void> {
    const receiver = this.#receiver
    this.#receiver = undefined
    this.#subscription++
    if (receiver !== undefined) await this.#patiently(receiver.close(), withinMs)
  }

  // A broker that is gone must not keep a process from ending, nor may its complaint.
  async #patiently(work: Promise<void>, withinMs: number): Promise<void> {
    try {
      await endsWithin(work, Math.max(withinMs, 1), this.#settings.world.clock)
    } catch (error) {
      this.#hooks.failed(this.#asError(error))
    }
  }

  #over(subscription: number, cause: unknown): void {
    if (subscription !== this.#subscription || this.#receiver === undefined) return
    const receiver = this.#receiver
    this.#receiver = undefined
    this.#subscription++
    this.#outstanding = 0
    const { clock } = this.#settings.world
    this.#endedAt = clock.now()
    // It may hold on to something still.
    receiver.close().catch(nothing)
    const again = !this.#closed && cause !== undefined
    const error =
      cause === undefined
        ? createError({ code: 'SHUTDOWN', message: 'the transport was closed', channel: this.#settings.channel.name })
        : this.#asError(cause)
    this.#hooks.ended(subscription, error, again)
    if (again) this.#later()
  }

  // Full jitter above a floor, doubling: a broker that comes back is not run over by all its consumers at once.
  #later(): void {
    const { clock, random } = this.#settings.world
    const step = Math.min(FIRST_MS * 2 ** Math.min(this.#tries, 20), LONGEST_MS)
    this.#tries++
    this.#timer = clock.setTimer(retry, step * (0.5 + random() / 2), this)
  }

  async again(): Promise<void> {
    if (this.#closed) return
    const tries = this.#tries
    try {
      await this.start()
    } catch (error) {
      if (this.#closed) return
      // A transport that was closed stays closed.
      if (isFairleadError(error, 'SHUTDOWN')) return this.#hooks.ended(this.#subscription, error, false)
      this.#hooks.failed(this.#asError(error))
      this.#later()
      return
    }
    if (this.#receiver !== undefined) this.#hooks.restarted(tries, this.#settings.world.clock.now() - this.#endedAt)
  }

  #asError(error: unknown): FairleadError {
    const { transport, channel } = this.#settings
    return isFairleadError(error) ? error : classify(error, { transport: transport.name, channel: channel.name })
  }
}

function retry(intake: Intake): void {
  void intake.again()
}

function nothing(): void {}
