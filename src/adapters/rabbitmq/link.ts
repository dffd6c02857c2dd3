// A receiver's way to the broker: a channel on which its place stands, and another one when that is lost.
import { detached } from '../../core/async-context.ts'
import { sleep } from '../../core/clock.ts'
import { endsWithin } from '../../core/patience.ts'
import { createError, type FairleadError, isFairleadError } from '../../errors/index.ts'
import type { AmqpDriver, AmqpMessage } from './driver.ts'
import { closeChannel, openChannel } from './opening.ts'
import type { Settings } from './options.ts'
import { type Place, stand } from './place.ts'
import { Session, type Slot } from './session.ts'

const FIRST_PAUSE_MS = 50
const LONGEST_PAUSE_MS = 2_000

/** What a link tells its receiver. */
export interface LinkHooks {
  arrived(message: AmqpMessage, slot: Slot, session: Session): void
  /** A new channel stands; the first one and those after it. */
  standing(): void
  /** The channel is gone, with every right that came on it. Answers whether there is to be another. */
  lost(): boolean
  /** It is over for good. */
  failed(error: FairleadError): void
  blocked(): boolean
  errorOf(error: unknown): FairleadError
  lostError(): Error
}

/** Keeps a session. */
export class Link {
  /** The channel of now. */
  session: Session | undefined
  private readonly driver: AmqpDriver
  private readonly settings: Settings
  private readonly place: Place
  private readonly hooks: LinkHooks
  private readonly pausing = new AbortController()
  private connecting = false
  // Channels that were lost one after the other, without a message in between.
  private losses = 0

  constructor(driver: AmqpDriver, settings: Settings, place: Place, hooks: LinkHooks) {
    this.driver = driver
    this.settings = settings
    this.place = place
    this.hooks = hooks
  }

  /** Aborted when it is closed. */
  get signal(): AbortSignal {
    return this.pausing.signal
  }

  /** @throws FairleadError */
  async open(): Promise<void> {
    const session = await this.connect()
    // It may have been closed meanwhile.
    if (this.pausing.signal.aborted) {
      await this.end(session)
      return
    }
    this.session = session
    this.hooks.standing()
  }

  /** Opens a channel in the background where there is none, again and again until it stands or is refused for good. */
  reopen(): void {
    if (this.connecting || this.session !== undefined || this.pausing.signal.aborted) return
    this.connecting = true
    void detached(() => this.again(this.losses)).finally(() => {
      this.connecting = false
    })
  }

  /** Closes the channel; what is unsettled goes back at once, in its order. */
  async release(): Promise<void> {
    const { session } = this
    this.session = undefined
    if (session !== undefined) await this.end(session)
  }

  /** Closes it for good. */
  close(): Promise<void> {
    this.pausing.abort()
    return this.release()
  }

  private async end(session: Session): Promise<void> {
    session.end(this.hooks.lostError())
    await closeChannel(session.channel, this.settings)
  }

  private async connect(): Promise<Session> {
    const { driver, settings, place, hooks } = this
    const channel = await openChannel(driver, settings)
    try {
      const stood = await endsWithin(stand(channel, place), settings.answerMs, settings.clock)
      if (!stood)
        throw createError({ code: 'TIMED_OUT', message: 'the broker does not answer', transport: settings.name })
    } catch (error) {
      void closeChannel(channel, settings)
      throw error
    }
    const session: Session = new Session(channel, place.queue, settings, {
      arrived: (message, slot) => {
        this.losses = 0
        hooks.arrived(message, slot, session)
      },
      cancelled: () => this.lose(session),
      failed: (error) => {
        // A queue that is there and may not be read: it would be so again.
        if (isFairleadError(error, 'FORBIDDEN')) hooks.failed(hooks.errorOf(error))
        this.lose(session)
      },
      blocked: () => hooks.blocked(),
    })
    channel.onClosed(() => this.lose(session))
    return session
  }

  private lose(session: Session): void {
    if (!session.alive) return
    void this.end(session)
    if (this.session !== session) return
    this.session = undefined
    const again = this.hooks.lost()
    if (again) this.reopen()
    this.losses++
  }

  // What is transient is waited for.
  private async again(before: number): Promise<void> {
    const { signal } = this.pausing
    for (let failures = before; !signal.aborted; failures++) {
      if (failures > 0 && !(await this.pause(failures))) return
      try {
        await this.open()
        return
      } catch (thrown) {
        const error = this.hooks.errorOf(thrown)
        if (!error.transient) {
          this.hooks.failed(error)
          return
        }
      }
    }
  }

  private async pause(failures: number): Promise<boolean> {
    const { clock, random } = this.settings
    const ms = Math.min(FIRST_PAUSE_MS * 2 ** failures, LONGEST_PAUSE_MS)
    try {
      await sleep(clock, ms * (0.5 + random() / 2), this.pausing.signal)
      return true
    } catch {
      return false
    }
  }
}
