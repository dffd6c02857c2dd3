// Messages of one place that nobody has yet. By key, so that what one settlement sets free is found without a look at all the others.
import type { Held } from './held.ts'
import type { LocalReceiver } from './receiver.ts'

/** The messages of one key, or one message without a key. */
interface Lane {
  readonly key: string | undefined
  /** Each with the number of its arrival. */
  readonly waiting: Map<Held, number>
  /** How many of the key are in somebody's hands: later ones go to nobody else. */
  inHand: number
  /** Where it stands while something waits in it. */
  line: Set<Lane>
}

/** Who waits, and for whom: the oldest first. */
export class Waiting {
  readonly #lanes = new Map<Held, Lane>()
  readonly #keys = new Map<string, Lane>()
  // For anybody: those that nobody had so far, in the order they came, and those whose key was set free.
  readonly #fresh = new Set<Lane>()
  readonly #freed = new Set<Lane>()
  readonly #bound = new WeakMap<LocalReceiver, Set<Lane>>()
  #arrivals = 0

  get size(): number {
    return this.#lanes.size
  }

  all(): readonly Held[] {
    return [...this.#lanes.keys()]
  }

  add(held: Held): void {
    const { key } = held.envelope
    let lane = key === undefined ? undefined : this.#keys.get(key)
    if (lane === undefined) {
      lane = { key, waiting: new Map(), inHand: 0, line: this.#fresh }
      if (key !== undefined) this.#keys.set(key, lane)
    }
    this.#lanes.set(held, lane)
    lane.waiting.set(held, this.#arrivals++)
    lane.line.add(lane)
  }

  /** It waits no longer: its sender is gone. */
  remove(held: Held): void {
    const lane = this.#lanes.get(held)
    if (lane === undefined) return
    this.#lanes.delete(held)
    lane.waiting.delete(held)
    if (lane.waiting.size > 0) return
    lane.line.delete(lane)
    if (lane.inHand === 0 && lane.key !== undefined) this.#keys.delete(lane.key)
  }

  /** Takes out the oldest that this receiver may have; what is of its key is for this receiver only from now on. */
  take(receiver: LocalReceiver): Held | undefined {
    let oldest: Held | undefined
    let least = Infinity
    for (const line of [this.#bound.get(receiver), this.#fresh, this.#freed]) {
      const [lane] = line ?? []
      const [first] = lane?.waiting ?? []
      if (first !== undefined && first[1] < least) [oldest, least] = first
    }
    if (oldest === undefined) return undefined
    const lane = this.#lanes.get(oldest) as Lane
    this.#lanes.delete(oldest)
    lane.waiting.delete(oldest)
    // To the end of its line: a key of which there is always more must not keep the others of its receiver waiting.
    lane.line.delete(lane)
    if (lane.key === undefined) return oldest
    lane.inHand++
    lane.line = this.#boundTo(receiver)
    if (lane.waiting.size > 0) lane.line.add(lane)
    return oldest
  }

  /** One that was taken is settled or lost. */
  settled({ envelope: { key } }: Held): void {
    const lane = key === undefined ? undefined : this.#keys.get(key)
    if (lane === undefined || --lane.inHand > 0) return
    lane.line.delete(lane)
    lane.line = this.#freed
    if (lane.waiting.size > 0) lane.line.add(lane)
    else this.#keys.delete(lane.key as string)
  }

  #boundTo(receiver: LocalReceiver): Set<Lane> {
    let line = this.#bound.get(receiver)
    if (line === undefined) {
      line = new Set()
      this.#bound.set(receiver, line)
    }
    return line
  }
}
