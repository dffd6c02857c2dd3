// Where the replies of a requester come in: one subscription, opened with the first request, and opened again when it ends on its own.
import { detached } from '../../core/async-context.ts'
import type { Timer } from '../../core/clock.ts'
import type { Delivery, MessageTransport, Receiver } from '../../core/contracts/transport.ts'
import type { ChannelAddress, Envelope } from '../../core/message.ts'
import { endsWithin } from '../../core/patience.ts'
import type { FairleadError } from '../../errors/base.ts'
import { createError } from '../../errors/classes.ts'
import { classify } from '../../errors/classify.ts'
import type { World } from '../../policies/seams.ts'

/** What a place of replies is made of. */
export interface ReplyPlaceParts {
  readonly transport: MessageTransport
  /** Undefined: a private place, with another address each time. */
  readonly replies: ChannelAddress | undefined
  /** Of a private place, for whoever looks at the broker. */
  readonly name: string
  readonly prepare: 'create' | 'check' | false
  /** Replies asked for ahead. */
  readonly prefetch: number
  readonly world: World
  arrived(reply: Envelope): void
  /** The subscription has ended on its own. */
  lost(error: FairleadError): void
  /** It stands again. */
  restored(tries: number, elapsedMs: number): void
}

const FIRST_MS = 100
const LONGEST_MS = 30_000
const CLOSE_WITHIN_MS = 5_000

/** One subscription after another. */
export class ReplyPlace {
  readonly #parts: ReplyPlaceParts
  #receiver: Receiver | undefined
  #opening: Promise<ChannelAddress> | undefined
  /** Number of the subscription: what an earlier one still delivers is nobody's. */
  #life: number
  /** Asked for and not delivered yet, and delivered and not acknowledged yet. */
  #outstanding: number
  #unsettled: number
  #tries: number
  /** When it ended on its own; undefined while it stands, and before it ever did. */
  #lostAt: number | undefined
  #failed: { readonly error: FairleadError; readonly at: number } | undefined
  #timer: Timer
  #closed: boolean

  constructor(parts: ReplyPlaceParts) {
    this.#parts = parts
    this.#receiver = undefined
    this.#opening = undefined
    this.#life = 0
    this.#outstanding = 0
    this.#unsettled = 0
    this.#tries = 0
    this.#lostAt = undefined
    this.#failed = undefined
    this.#timer = undefined
    this.#closed = false
  }

  /** Where replies are sent to now; undefined where nothing stands. */
  get address(): ChannelAddress | undefined {
    return this.#receiver === undefined ? undefined : (this.#parts.replies ?? this.#receiver.address)
  }

  /**
   * Opens it, unless it stands. A broker that has just refused is not asked again for a moment: the same error tells at once, so that nobody hangs.
   * @throws FairleadError as a rejection: what the transport says
   */
  open(): Promise<ChannelAddress> {
    const { address } = this
    if (address !== undefined) return Promise.resolve(address)
    if (this.#opening !== undefined) return this.#opening
    const failed = this.#failed
    if (failed !== undefined && this.#parts.world.clock.now() - failed.at < FIRST_MS)
      return Promise.reject(failed.error)
    // It lives on when the request that needed it first is over.
    const opening = detached(() => this.#open())
    this.#opening = opening
    return opening
  }

  async #open(): Promise<ChannelAddress> {
    const { transport, replies, prepare, name } = this.#parts
    try {
      if (replies !== undefined && prepare !== false) await transport.prepare([replies], prepare)
      const life = ++this.#life
      this.#outstanding = 0
      this.#unsettled = 0
      const kind = transport.capabilities.modes.includes('queue') ? 'queue' : 'topic'
      const receiver = await transport.receive(
        replies === undefined ? { channel: { kind, name }, temporary: true } : { channel: replies },
        (delivery) => this.#arrived(delivery, life),
      )
      if (this.#closed) {
        await receiver.close()
        throw createError({ code: 'SHUTDOWN', message: 'the requester is closed', transport: transport.name })
      }
      this.#receiver = receiver
      this.#stands()
      receiver.ended.then(
        () => this.#over(life, undefined),
        (error) => this.#over(life, error),
      )
      this.#topUp()
      return replies ?? receiver.address
    } catch (error) {
      const known = classify(error, { transport: transport.name })
      this.#failed = { error: known, at: this.#parts.world.clock.now() }
      throw known
    } finally {
      this.#opening = undefined
    }
  }

  #stands(): void {
    const { clock } = this.#parts.world
    const since = this.#lostAt
    this.#lostAt = undefined
    this.#failed = undefined
    clock.clearTimer(this.#timer)
    if (since !== undefined) this.#parts.restored(this.#tries, clock.now() - since)
  }

  #arrived(delivery: Delivery, life: number): void {
    if (life !== this.#life) return
    if (this.#outstanding > 0) this.#outstanding--
    this.#unsettled++
    // One reply is proof that it stands: the next end of it is a new one.
    this.#tries = 0
    const settled = (): void => {
      if (life !== this.#life) return
      this.#unsettled--
      this.#topUp()
    }
    try {
      this.#parts.arrived(delivery.envelope)
    } finally {
      // One that cannot be acknowledged comes again, as one that nobody waits for.
      delivery.settle('ack').then(settled, settled)
    }
  }

  // In as few calls as may be: a quarter of the room at a time, or whatever is free when nothing is on its way.
  #topUp(): void {
    const { prefetch } = this.#parts
    const free = prefetch - this.#outstanding - this.#unsettled
    if (free <= 0 || this.#receiver === undefined) return
    if (this.#outstanding > 0 && free * 4 < prefetch) return
    this.#outstanding += free
    this.#receiver.request(free)
  }

  #over(life: number, cause: unknown): void {
    const receiver = this.#receiver
    if (life !== this.#life || receiver === undefined || this.#closed) return
    const { transport, world } = this.#parts
    this.#receiver = undefined
    this.#life++
    this.#lostAt = world.clock.now()
    // It may hold on to something still.
    receiver.close().catch(nothing)
    this.#parts.lost(
      cause === undefined
        ? createError({ code: 'SHUTDOWN', message: 'the transport was closed', transport: transport.name })
        : classify(cause, { transport: transport.name }),
    )
    if (cause !== undefined) this.#later()
  }

  // Full jitter above a floor, doubling: a broker that comes back is not run over by all its requesters at once.
  #later(): void {
    const { clock, random } = this.#parts.world
    const step = Math.min(FIRST_MS * 2 ** Math.min(this.#tries, 20), LONGEST_MS)
    this.#tries++
    this.#timer = clock.setTimer(retry, step * (0.5 + random() / 2), this)
    clock.unref(this.#timer)
  }

  /** The timer's. */
  again(): void {
    if (this.#closed || this.#receiver !== undefined) return
    this.open().catch((error: FairleadError) => {
      // A transport that was closed stays closed.
      if (!this.#closed && error.code !== 'SHUTDOWN') this.#later()
    })
  }

  /** Resolves also while the broker is down. */
  async close(): Promise<void> {
    const { clock } = this.#parts.world
    this.#closed = true
    clock.clearTimer(this.#timer)
    const receiver = this.#receiver
    this.#receiver = undefined
    this.#life++
    const ending = receiver === undefined ? this.#opening : receiver.close()
    if (ending !== undefined) await endsWithin(ending.then(nothing, nothing), CLOSE_WITHIN_MS, clock)
  }
}

function retry(place: ReplyPlace): void {
  place.again()
}

function nothing(): void {}
