// Order per key under concurrency: the messages of a key stand in a lane, and only the first of a lane may have its turn.
// Those without a key stand nowhere and are free.
import { type Held, Lane } from './held.ts'

/** All lanes, by key. A lane lives as long as somebody stands in it. */
export class Lanes {
  readonly #byKey: Map<string, Lane>

  constructor() {
    this.#byKey = new Map()
  }

  /** Takes its place behind those of its key. True if it is first. */
  enter(held: Held, key: string): boolean {
    let lane = this.#byKey.get(key)
    if (lane === undefined) {
      lane = new Lane(this.#byKey, key)
      this.#byKey.set(key, lane)
    }
    lane.append(held)
    return lane.first === held
  }

  /** Leaves its place, in whichever lanes that is. Gives the one that is first now and waits for its turn, if it was not first before. */
  leave(held: Held): Held | undefined {
    const { lane } = held
    if (lane === undefined) return undefined
    const wasFirst = lane.first === held
    lane.remove(held)
    const { first } = lane
    if (first === undefined) lane.home.delete(lane.key)
    return wasFirst && first?.state === 'queued' ? first : undefined
  }

  has(key: string): boolean {
    return this.#byKey.size > 0 && this.#byKey.has(key)
  }
}

/** Those whose turn it is, first come first served. Linked through themselves: a turn allocates nothing. */
export class Turns {
  #first: Held | undefined
  #last: Held | undefined

  push(held: Held): void {
    if (held.inTurn) return
    held.inTurn = true
    held.turn = undefined
    if (this.#last === undefined) this.#first = held
    else this.#last.turn = held
    this.#last = held
  }

  /** Those that lost their turn meanwhile are passed over. */
  shift(): Held | undefined {
    for (;;) {
      const held = this.#first
      if (held === undefined) return undefined
      this.#first = held.turn
      if (this.#first === undefined) this.#last = undefined
      held.turn = undefined
      held.inTurn = false
      if (held.state === 'queued') return held
    }
  }
}
