// Order per key under concurrency: the messages of a key stand in a lane, and only the first of a lane may have its turn.
// Those without a key stand nowhere and are free.
import { type Held, Lane } from './held.ts'

const MOST_GONE = 10_000

/** One that went back, or was taken back. `too early`: one before it went back after it. `here`: it came again. */
interface Gone {
  state: 'in order' | 'too early' | 'here'
  /** In the order of arrival, when it first went back. */
  readonly place: number
  /** Its redeliveries then, where the broker counts. */
  readonly redeliveries: number | undefined
  /** The broker is being told: until it knows, it takes it for ours, and hands out here what comes after it. */
  told: Promise<unknown> | undefined
}

/** All lanes, by key. A lane lives as long as somebody stands in it. */
export class Lanes {
  readonly #byKey: Map<string, Lane>
  /** By key the ids of those that went back, in order. */
  readonly #goneBack: Map<string, Map<string, Gone>>

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
  goesBack({ id, delivery, place }: Held, told?: Promise<unknown> | undefined): void {
    const { key } = delivery.envelope
    if (key === undefined) return
    let gone = this.#goneBack.get(key)
    if (gone === undefined) {
      gone = new Map()
      this.#goneBack.set(key, gone)
      // Of what is forgotten the worst is that it is handled too early.
      if (this.#goneBack.size > MOST_GONE) this.#goneBack.delete(this.#goneBack.keys().next().value as string)
    }
    const { redeliveries } = delivery
    const before = gone.get(id)
    if (before !== undefined && isCopyOf(before, redeliveries)) return
    // It may have come again while the broker was still being told of its first coming: its place is that of the first.
    const at = before?.place ?? Math.min(place, this.#firstInHand(id, key)?.place ?? place)
    // Rights end in any order: what stood behind it may have gone before it, and be on its way here again.
    const behind = [...gone].filter(([, one]) => one.place > at)
    for (const [each, one] of behind) {
      if (one.state === 'in order') one.state = 'too early'
      if (before === undefined) gone.delete(each)
    }
    const now: Gone = { state: 'in order', place: at, redeliveries, told }
    gone.set(id, now)
    void told?.then(() => {
      now.told = undefined
    })
    for (const [each, one] of behind) gone.set(each, one)
  }

  /** Of those of this id that are in hand the one that came first. */
  #firstInHand(id: string, key: string): Held | undefined {
    let found: Held | undefined
    for (let each = this.#byKey.get(key)?.first; each !== undefined; each = each.behind)
      if (each.id === id && (found === undefined || each.place < found.place)) found = each
    return found
  }

  /**
   * Whether it may be here before others that went back, and whose place is before its own. Once it has gone back after them itself it comes in order:
   * if they are not here by then, another consumer has handled them.
   */
  passes({ id, delivery }: Held, key: string): boolean {
    if (this.#goneBack.size === 0) return false
    const gone = this.#goneBack.get(key)
    if (gone === undefined) return false
    const own = gone.get(id)
    // It never went back: it was behind all of them, and is again once they are here.
    if (own === undefined) return [...gone.values()].some(({ state }) => state !== 'here')
    if (own.state !== 'in order' || isCopyOf(own, delivery.redeliveries)) return true
    for (const each of gone.values()) {
      if (each === own) break
      if (each.told !== undefined) return true
    }
    for (const [each, { state }] of gone) {
      if (each === id) break
      // One that is in hand is being told of, and waited for in the lane.
      if (state !== 'here' && this.#firstInHand(each, key) === undefined) gone.delete(each)
    }
    own.state = 'here'
    return false
  }

  /** Of a key: until when what passes is not to be given back, or it would be handed out here again at once. */
  untold(key: string): Promise<unknown> | undefined {
    const gone = this.#goneBack.get(key)
    if (gone === undefined) return undefined
    for (const { told } of gone.values()) if (told !== undefined) return told
    return undefined
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

// A message may be at the broker twice (two relays sent it). The other one was handed out no more often than the one that went back; that one comes again with a higher count.
function isCopyOf({ redeliveries: before }: Gone, redeliveries: number | undefined): boolean {
  return before !== undefined && redeliveries !== undefined && redeliveries <= before
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
