// Order per key under concurrency: the messages of a key stand in a lane, and only the first of a lane may have its turn.
// Those without a key stand nowhere and are free.
import { type Held, Lane } from './held.ts'

const MOST_GONE = 10_000

/** All lanes, by key. A lane lives as long as somebody stands in it. */
export class Lanes {
  readonly #byKey: Map<string, Lane>
  /** By key the ids of those that went back, in order. `too early`: one before it went back after it. `here`: it came again. */
  readonly #goneBack: Map<string, Map<string, 'in order' | 'too early' | 'here'>>

  constructor() {
    this.#byKey = new Map()
    this.#goneBack = new Map()
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

  /**
   * It goes back to the broker, or was taken back: what was handed out before that, and is still on its way here, has its place behind it.
   */
  goesBack({ id, delivery }: Held): void {
    const { key } = delivery.envelope
    if (key === undefined) return
    let gone = this.#goneBack.get(key)
    if (gone === undefined) {
      gone = new Map()
      this.#goneBack.set(key, gone)
      // Of what is forgotten the worst is that it is handled too early.
      if (this.#goneBack.size > MOST_GONE) this.#goneBack.delete(this.#goneBack.keys().next().value as string)
    }
    if (gone.has(id)) {
      let behind = false
      for (const each of gone.keys()) {
        if (behind && gone.get(each) === 'in order') gone.set(each, 'too early')
        behind ||= each === id
      }
    }
    gone.set(id, 'in order')
  }

  /**
   * Whether it may be here before others that went back, and whose place is before its own. Once it has gone back after them itself it comes in order:
   * if they are not here by then, another consumer has handled them.
   */
  passes({ id }: Held, key: string): boolean {
    if (this.#goneBack.size === 0) return false
    const gone = this.#goneBack.get(key)
    if (gone === undefined) return false
    const own = gone.get(id)
    // It never went back: it was behind all of them, and is again once they are here.
    if (own === undefined) return [...gone.values()].some((each) => each !== 'here')
    if (own !== 'in order') return true
    for (const each of gone.keys()) {
      if (each === id) break
      if (gone.get(each) !== 'here') gone.delete(each)
    }
    gone.set(id, 'here')
    return false
  }

  /** It is settled for good: nothing waits for it any more. */
  done({ id, delivery }: Held): void {
    const { key } = delivery.envelope
    if (key === undefined || this.#goneBack.size === 0) return
    const gone = this.#goneBack.get(key)
    if (gone?.delete(id) === true && gone.size === 0) this.#goneBack.delete(key)
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
