// What one consumer of a replica holds: handed out by the broker, and in the copy not yet. Without it nobody could say how old the copy is while messages keep coming.
import type { Clock } from '../../core/clock.ts'
import type { Delivery, MessageTransport, Receiver } from '../../core/contracts/transport.ts'
import { parseInstant } from '../../core/instant.ts'
import type { Envelope } from '../../core/message.ts'
import { isFairleadError } from '../../errors/base.ts'

/** What a message that was given back may take to come again; then somebody else has it. */
const BACK_MS = 60_000
const MOST_BACK = 10_000

interface Held {
  /** When it was published, milliseconds since 1970. */
  readonly time: number
}

/** Messages between the broker and the copy. */
export class Underway {
  readonly #clock: Clock
  readonly #held = new Set<Held>()
  /** Given back, by id: they wait for their next attempt, which no broker counts. */
  readonly #back = new Map<string, Held & { readonly until: number }>()
  #mark: number
  #beforeMarkAt: number

  constructor(clock: Clock) {
    this.#clock = clock
    this.#mark = -Infinity
    this.#beforeMarkAt = -Infinity
  }

  /** When the oldest of them was published; undefined where there is none. */
  oldest(): number | undefined {
    let oldest = Infinity
    for (const { time } of this.#held) if (time < oldest) oldest = time
    const now = this.#clock.now()
    for (const [id, { time, until }] of this.#back)
      if (until <= now) this.#back.delete(id)
      else if (time < oldest) oldest = time
    return oldest === Infinity ? undefined : oldest
  }

  /** For how long nothing has come that was published up to `mark` (milliseconds since 1970), since that was asked first. */
  quietMs(mark: number): number {
    const now = this.#clock.now()
    if (mark !== this.#mark) {
      this.#mark = mark
      this.#beforeMarkAt = now
    }
    return now - this.#beforeMarkAt
  }

  /** A new subscription: what the one before held comes again. */
  anew(): void {
    this.#held.clear()
  }

  /** The same delivery, looked at. */
  follow(delivery: Delivery): Delivery {
    const { envelope } = delivery
    const clock = this.#clock
    const time = timeOf(envelope) ?? clock.wallNow()
    const held: Held = { time }
    this.#held.add(held)
    this.#back.delete(envelope.id)
    if (time <= this.#mark) this.#beforeMarkAt = clock.now()
    const over = (againMs: number | undefined): void => {
      if (!this.#held.delete(held) || againMs === undefined) return
      if (this.#back.size >= MOST_BACK) for (const id of this.#back.keys()) if (this.#back.delete(id)) break
      this.#back.set(envelope.id, { time, until: clock.now() + againMs + BACK_MS })
    }
    delivery.onLost(() => over(0))
    const extend = delivery.extend?.bind(delivery)
    const onRevoking = delivery.onRevoking?.bind(delivery)
    return {
      envelope,
      lane: delivery.lane,
      position: delivery.position,
      redeliveries: delivery.redeliveries,
      leaseMs: delivery.leaseMs,
      onLost: (listener) => delivery.onLost(listener),
      async settle(verdict, options) {
        await delivery.settle(verdict, options)
        over(verdict === 'retry' ? (options?.delayMs ?? 0) : undefined)
      },
      ...(onRevoking === undefined ? {} : { onRevoking }),
      ...(extend === undefined ? {} : { extend }),
    }
  }
}

/** The same transport for one consumer, whose deliveries are followed; `onExpired` is told where the broker no longer keeps what comes next. */
export function followed(transport: MessageTransport, underway: Underway, onExpired: () => void): MessageTransport {
  const look = (error: unknown): void => {
    if (isFairleadError(error, 'POSITION_EXPIRED')) onExpired()
  }
  return {
    name: transport.name,
    capabilities: transport.capabilities,
    prepare: (channels, mode) => transport.prepare(channels, mode),
    send: (channel, envelopes, context) => transport.send(channel, envelopes, context),
    async receive(from, sink): Promise<Receiver> {
      underway.anew()
      try {
        const receiver = await transport.receive(from, (delivery) => sink(underway.follow(delivery)))
        receiver.ended.catch(look)
        return receiver
      } catch (error) {
        look(error)
        throw error
      }
    },
    ...(transport.inspect === undefined
      ? {}
      : { inspect: (from, minPriority) => (transport as Required<MessageTransport>).inspect(from, minPriority) }),
    deadLetters: transport.deadLetters,
    close: () => transport.close(),
  }
}

function timeOf({ attributes }: Envelope): number | undefined {
  return parseInstant(attributes['time'] ?? '')
}
