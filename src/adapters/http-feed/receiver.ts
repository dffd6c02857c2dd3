// One subscription: fetches pages while somebody wants more, hands events out one by one, and comes back by itself from whatever troubles the feed.
import { detached } from '../../core/async-context.ts'
import { type Clock, nextTurn, sleep } from '../../core/clock.ts'
import type { Delivery, Receiver } from '../../core/contracts/transport.ts'
import type { ChannelAddress } from '../../core/message.ts'
import { endsWithin } from '../../core/patience.ts'
import { isFairleadError } from '../../errors/base.ts'
import { classify } from '../../errors/classify.ts'
import type { DeadPlace } from './delivery.ts'
import { type FeedReaderEvent, type FeedReaderListener, tell } from './events.ts'
import { type Footing, type FootingParts, stand, takeOver } from './footing.ts'
import { Gate } from './gate.ts'
import { freshProgress } from './progress.ts'
import { Recovery, type RecoverySettings } from './recovery.ts'
import { Session } from './session.ts'

/** What a receiver is made of. */
export interface ReceiverParts extends FootingParts, RecoverySettings {
  readonly name: string
  readonly address: ChannelAddress
  readonly group: string | undefined
  readonly pageSize: number
  readonly waitMs: number
  /** No more is fetched while the first unsettled event lies so many behind. */
  readonly maxAhead: number
  /** How long `close` waits for the last position to be saved. */
  readonly closeMs: number
  readonly dead: DeadPlace | undefined
  readonly onEvent: FeedReaderListener | undefined
  readonly clock: Clock
  readonly sink: (delivery: Delivery) => void
  /** Called once when it is over, however it came about. */
  readonly onClosed: (receiver: FeedReceiver) => void
}

// So many are handed out before the event loop has a turn.
const MOST_AT_ONCE = 256
// Between two questions that were answered with nothing.
const LEAST_IDLE_MS = 1_000
const OVER = new Error('the receiver is over')

/** Reads one topic for one group, or live. */
export class FeedReceiver implements Receiver {
  readonly address: ChannelAddress
  readonly ended: Promise<void>
  #credit = 0
  #state: 'open' | 'stopped' | 'closed' = 'open'
  #session: Session | undefined
  #fetching: AbortController | undefined
  #running: Promise<void> = Promise.resolve()
  #draining = false
  #closing: Promise<void> | undefined
  readonly #parts: ReceiverParts
  readonly #quit = new AbortController()
  readonly #gate = new Gate()
  readonly #recovery: Recovery
  #end!: { readonly resolve: () => void; readonly reject: (error: unknown) => void }

  constructor(parts: ReceiverParts) {
    this.#parts = parts
    this.address = parts.address
    this.#recovery = new Recovery(
      parts,
      (error, retryInMs) => this.#tell({ type: 'unreachable', error, retryInMs }),
      () => this.#tell({ type: 'reachable' }),
    )
    this.ended = new Promise((resolve, reject) => {
      this.#end = { resolve, reject }
    })
    // Whoever does not look must not lose the process over it.
    this.ended.catch(nothing)
  }

  /** Resolves once the subscription stands; then it reads on its own. */
  async begin(): Promise<void> {
    const first = await stand(this.#parts, this.#quit.signal)
    // It reads for no call: whatever the one that made it has inherited must not end with it.
    this.#running = detached(() => this.#run(first))
    // Closed while it was being made.
    if (this.#state === 'closed') await this.#running
  }

  get group(): string | undefined {
    return this.#parts.group
  }

  /** What this receiver reads right now, for `inspect`. */
  get session(): Session | undefined {
    return this.#session
  }

  request(count: number): void {
    if (this.#state !== 'open' || !(count > 0)) return
    this.#credit += Math.floor(count)
    this.#changed()
  }

  async stop(): Promise<void> {
    if (this.#state !== 'open') return
    this.#state = 'stopped'
    this.#credit = 0
    this.#fetching?.abort(OVER)
    // A member that holds nothing has nothing to wait for.
    if (this.#session === undefined) this.#quit.abort(OVER)
    this.#gate.open()
  }

  close(): Promise<void> {
    this.#closing ??= this.#finish(this.#end.resolve)
    return this.#closing
  }

  async #finish(settle: () => void): Promise<void> {
    this.#state = 'closed'
    this.#credit = 0
    this.#session?.end()
    this.#quit.abort(OVER)
    this.#fetching?.abort(OVER)
    this.#gate.open()
    const { closeMs, clock } = this.#parts
    // A store that does not answer must not keep a service from going down: its lease then runs out.
    await endsWithin(this.#running, closeMs, clock).catch(nothing)
    this.#parts.onClosed(this)
    settle()
  }

  async #run(first: Footing | undefined): Promise<void> {
    const { signal } = this.#quit
    let footing = first
    try {
      while (this.#state === 'open') {
        footing ??= await takeOver(this.#parts, this.#recovery, signal)
        footing = await this.#follow(footing)
      }
      await footing?.tenure?.release().catch(nothing)
    } catch (error) {
      // It was closed, or stopped, and what failed is nobody's any more.
      if (this.#state !== 'open') return
      // Not to be waited for: it waits for this very run.
      this.#closing ??= this.#finish(() => this.#end.reject(this.#classified(error)))
    }
  }

  // Reads until the right to do so is gone, or nobody wants more. Answers where to go on, if that is known.
  async #follow({ progress, tenure }: Footing): Promise<Footing | undefined> {
    const { name, topic, dead, clock } = this.#parts
    const session = new Session({ name, topic, dead, clock, changed: () => this.#changed() }, progress, tenure)
    let lost = false
    if (tenure !== undefined) {
      tenure.onLost = () => {
        lost = true
        session.end()
        this.#fetching?.abort(OVER)
        this.#gate.open()
        this.#tell({ type: 'lane-lost' })
      }
      // Before anybody listened.
      if (tenure.lost) return undefined
      this.#tell({ type: 'lane-taken', position: progress.after })
    }
    this.#session = session
    let next: Footing | undefined
    try {
      // Events that the one before us had handed out lie in front; whoever wants them has asked already.
      this.#changed()
      while (!session.over && (this.#state === 'open' || session.holding > 0)) {
        if (this.#wantsMore(session)) next = await this.#fetch(session)
        else await this.#gate.wait()
        if (next !== undefined) break
      }
    } finally {
      session.end()
      if (this.#session === session) this.#session = undefined
      if (next === undefined && !lost) await session.close()
    }
    // What a live subscription has read it does not read again.
    return next ?? (tenure === undefined ? { progress: freshProgress(session.window.tail), tenure } : undefined)
  }

  #wantsMore({ window }: Session): boolean {
    return this.#state === 'open' && this.#credit > window.waiting && window.length < this.#parts.maxAhead
  }

  // One page. Answers another footing where this one has expired.
  async #fetch(session: Session): Promise<Footing | undefined> {
    const { source, pageSize, waitMs, clock } = this.#parts
    const fetching = new AbortController()
    this.#fetching = fetching
    const { window } = session
    const from = clock.now()
    try {
      const page = await source.page(window.tail, pageSize, waitMs, fetching.signal)
      if (session.over) return undefined
      this.#recovery.succeeded()
      window.add(page.entries, page.next)
      this.#changed()
      // A server that does not wait is not to be asked without end.
      const early = Math.min(waitMs, LEAST_IDLE_MS) - (clock.now() - from)
      if (page.entries.length === 0 && early > 0) await sleep(clock, early, fetching.signal)
      return undefined
    } catch (error) {
      return await this.#mended(error, session, fetching.signal)
    }
  }

  // Waits until it is worth asking again. Answers another footing where this one has expired and that is no end.
  async #mended(error: unknown, session: Session, signal: AbortSignal): Promise<Footing | undefined> {
    if (session.over || signal.aborted) return undefined
    const known = this.#classified(error)
    try {
      if (isFairleadError(known, 'POSITION_EXPIRED')) return await this.#expired(session, known, signal)
      await this.#recovery.failed(known, signal)
    } catch (final) {
      // Stopped, closed, or no longer ours to read: it goes on from there.
      if (!signal.aborted) throw final
    }
    return undefined
  }

  async #expired(session: Session, error: Error, signal: AbortSignal): Promise<Footing> {
    const { goesOnWhenExpired, source } = this.#parts
    if (!goesOnWhenExpired) throw error
    const { position } = await this.#persist(() => source.tail('earliest', signal), signal)
    signal.throwIfAborted()
    this.#tell({ type: 'expired', position: session.window.tail, earliest: position })
    session.end()
    // Whatever of the old position is still to be saved must not come after the new one.
    await session.save().catch(nothing)
    await this.#persist(async () => session.tenure?.save(position), signal)
    return { progress: freshProgress(position), tenure: session.tenure }
  }

  // Tries until it goes well, is given up, or nobody wants it any more.
  async #persist<T>(work: () => Promise<T>, signal: AbortSignal): Promise<T> {
    for (;;) {
      signal.throwIfAborted()
      try {
        return await work()
      } catch (error) {
        signal.throwIfAborted()
        await this.#recovery.failed(this.#classified(error), signal)
      }
    }
  }

  #changed(): void {
    this.#gate.open()
    if (this.#draining) return
    this.#draining = true
    // Never from within `request` or `settle`.
    detached(() => queueMicrotask(() => this.#drain()))
  }

  #drain(): void {
    this.#draining = false
    const session = this.#session
    let handed = 0
    while (this.#credit > 0 && session !== undefined && !session.over) {
      if (handed === MOST_AT_ONCE) {
        this.#draining = true
        nextTurn((receiver) => receiver.#drain(), this)
        break
      }
      const delivery = session.take()
      if (delivery === undefined) break
      this.#credit--
      handed++
      try {
        this.#parts.sink(delivery)
      } catch (error) {
        // A sink is a consumer's, and must not throw. Handing it more would only repeat that.
        this.#closing ??= this.#finish(() => this.#end.reject(this.#classified(error)))
      }
    }
    if (handed === 0 || session === undefined) return
    // That they were handed out is worth knowing for whoever comes after a member that dies of one of them.
    session.save().catch(nothing)
    this.#gate.open()
  }

  #classified(error: unknown): ReturnType<typeof classify> {
    return classify(error, { transport: this.#parts.name, channel: this.address.name })
  }

  #tell(event: EventBody): void {
    const { address, group, onEvent } = this.#parts
    tell(onEvent, { ...event, channel: address.name, group })
  }
}

type EventBody = FeedReaderEvent extends infer E ? (E extends unknown ? Omit<E, 'channel' | 'group'> : never) : never

function nothing(): void {}
