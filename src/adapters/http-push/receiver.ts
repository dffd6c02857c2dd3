// Who takes messages of one place: hands them to its sink, as many as were asked for.
import type { ChannelPlace, Delivery, Receiver } from '../../core/contracts/transport.ts'
import type { ChannelAddress } from '../../core/message.ts'
import { invalidOption } from '../../core/options.ts'
import type { Held } from './held.ts'

/** What a receiver asks of its place. */
export interface PlaceOfReceivers {
  readonly place: ChannelPlace
  join(receiver: LocalReceiver): void
  leave(receiver: LocalReceiver): void
  schedule(): void
}

/** A receiver within this process. */
export class LocalReceiver implements Receiver {
  readonly address: ChannelAddress
  readonly ended: Promise<void>
  credit = 0
  readonly #place: PlaceOfReceivers
  readonly #sink: (delivery: Delivery) => void
  readonly #over: () => void
  readonly #held = new Set<Held>()
  #end: () => void = () => {}
  #stopped = false
  #closed = false

  constructor(place: PlaceOfReceivers, sink: (delivery: Delivery) => void, over: (receiver: LocalReceiver) => void) {
    const { kind, name } = place.place
    this.address = { kind, name }
    this.#place = place
    this.#sink = sink
    this.#over = () => over(this)
    this.ended = new Promise((resolve) => {
      this.#end = resolve
    })
    place.join(this)
  }

  /** How many it can have in hand: those it has, and those it asked for. */
  get width(): number {
    return this.credit + this.#held.size
  }

  request(count: number): void {
    if (!Number.isSafeInteger(count) || count < 0)
      throw invalidOption('count', count, 'give a whole number of at least 0')
    if (this.#stopped || count === 0) return
    this.credit += count
    this.#place.schedule()
  }

  async stop(): Promise<void> {
    if (this.#stopped) return
    this.#stopped = true
    this.credit = 0
    this.#place.leave(this)
  }

  async close(): Promise<void> {
    if (this.#closed) return
    this.#closed = true
    await this.stop()
    for (const held of [...this.#held]) held.lose('its receiver was closed')
    this.#over()
    this.#end()
  }

  /** Of the place. */
  hand(held: Held): void {
    this.credit--
    this.#held.add(held)
    held.handedTo(this)
    try {
      this.#sink(held)
    } catch (cause) {
      // A sink that throws has not taken it.
      held.lose(
        cause instanceof Error ? `the sink of its receiver threw ${cause.name}` : 'the sink of its receiver threw',
      )
    }
  }

  /** Of the place. */
  freed(held: Held): void {
    this.#held.delete(held)
  }
}
