// Who comes next: by priority, then in the order of the channel, and those of a key only to whoever holds that key.
//
// Messages without a key, and the first one of each key that is free, stand in common lists by priority. The others of a key stand in the
// lists of the key and come forward one at a time: a hot key costs nothing to those who may not have it. A pointer that has become wrong
// (its key was taken, or something of the key comes sooner) is dropped when it is met.
import { comesBefore, type Entry, type Holder, KeyState } from './entry.ts'
import { Heap } from './heap.ts'
import { insert, removeFirst } from './key-list.ts'
import { Ring } from './ring.ts'

interface Level {
  readonly priority: number
  /** As they were sent. */
  readonly fresh: Ring<Entry>
  /** Those that came back to their place. */
  readonly returned: Heap<Entry>
  /** How many of this priority could be handed out, those in the lists of keys as well. */
  count: number
}

const bySeq = (a: Entry, b: Entry): boolean => a.seq < b.seq
// Empty levels are kept, up to so many: priorities come again.
const LEVELS_KEPT = 16

/** The messages of one place that could be handed out. */
export class Waiting {
  private readonly levels: Level[] = []
  private readonly keys = new Map<string, KeyState>()
  /** How many could be handed out now. */
  ready = 0

  /** At its place: behind all that were sent before it. */
  add(entry: Entry): void {
    const name = entry.envelope.key
    if (name === undefined) {
      const level = this.level(entry.priority)
      this.count(level, 1)
      list(level, entry)
      return
    }
    const key = this.keyOf(name)
    entry.key = key
    insert(key, entry).count++
    if (key.blocked > 0) return
    this.count(this.level(entry.priority), 1)
    if (key.first() === entry) this.offer(key)
  }

  /** At its place, to wait there for its time: nothing of its key is handed out meanwhile. */
  addBlocking(entry: Entry): void {
    const key = this.keyOf(entry.envelope.key as string)
    entry.key = key
    entry.blocking = true
    insert(key, entry)
    if (key.blocked++ === 0) this.countKey(key, -1)
  }

  /** Its time has come. */
  unblock(entry: Entry): void {
    const key = entry.key as KeyState
    entry.blocking = false
    let level = key.top
    while (level !== undefined && level.priority !== entry.priority) level = level.below
    if (level !== undefined) level.count++
    if (--key.blocked > 0) return
    this.countKey(key, 1)
    this.offer(key)
  }

  /** The next one that this holder may have; it holds it then. */
  take(holder: Holder): Entry | undefined {
    let entry: Entry | undefined
    let level: Level | undefined
    for (let at = 0; at < this.levels.length; at++) {
      level = this.levels[at] as Level
      entry = firstOf(level)
      if (entry !== undefined) break
      if (isIdle(level) && this.levels.length > LEVELS_KEPT) this.levels.splice(at--, 1)
    }
    const own = firstOffer(holder)
    if (own !== undefined && (entry === undefined || comesBefore(own, entry))) {
      holder.offers.pop()
      own.offeredTo = undefined
      entry = own
      level = this.level(own.priority)
    } else if (entry !== undefined && level !== undefined) {
      if (level.fresh.first() === entry) level.fresh.shift()
      else level.returned.pop()
      entry.listed = false
    }
    if (entry === undefined || level === undefined) return undefined
    this.count(level, -1)
    const { key } = entry
    if (key !== undefined) {
      removeFirst(key)
      if (key.holder === undefined) {
        key.holder = holder
        holder.keysHeld++
      }
      key.held++
      this.offer(key)
    }
    return entry
  }

  /** It is held no more, and gone. */
  release(entry: Entry): void {
    const { key } = entry
    if (key === undefined) return
    entry.key = undefined
    letGo(key)
    this.offerOrForget(key)
  }

  /** It is held no more, and back at its place: later ones of its key wait behind it, for its time too where it is `delayed`. */
  giveBack(entry: Entry, delayed: boolean): void {
    const { key } = entry
    if (key !== undefined) letGo(key)
    if (delayed) this.addBlocking(entry)
    else this.add(entry)
    if (key !== undefined) this.offerOrForget(key)
  }

  /** How many could be handed out at or above a priority. */
  countFrom(minPriority: number): number {
    let sum = 0
    for (const level of this.levels) if (level.priority >= minPriority) sum += level.count
    return sum
  }

  /** When the oldest of them was sent, as far as the heads of the lists say. */
  oldest(minPriority: number, holders: readonly Holder[]): number | undefined {
    let oldest: Entry | undefined
    const see = (entry: Entry | undefined): void => {
      if (entry !== undefined && (oldest === undefined || entry.sentAt < oldest.sentAt)) oldest = entry
    }
    for (const level of this.levels) if (level.priority >= minPriority) see(firstOf(level))
    for (const holder of holders)
      for (const entry of holder.offers.all()) if (entry.priority >= minPriority && isOffered(entry, holder)) see(entry)
    return oldest?.sentAt
  }

  private keyOf(name: string): KeyState {
    let key = this.keys.get(name)
    if (key === undefined) {
      key = new KeyState(name)
      this.keys.set(name, key)
    }
    return key
  }

  private level(priority: number): Level {
    const { levels } = this
    let at = 0
    while (at < levels.length) {
      const level = levels[at] as Level
      if (level.priority === priority) return level
      if (level.priority < priority) break
      at++
    }
    const made: Level = { priority, fresh: new Ring(), returned: new Heap(bySeq), count: 0 }
    levels.splice(at, 0, made)
    return made
  }

  private count(level: Level, by: number): void {
    level.count += by
    this.ready += by
  }

  private countKey(key: KeyState, sign: 1 | -1): void {
    for (let each = key.top; each !== undefined; each = each.below)
      if (each.count > 0) this.count(this.level(each.priority), sign * each.count)
  }

  // Brings the first one of a key forward: to its holder, or to all where nobody holds the key.
  private offer(key: KeyState): void {
    const entry = key.first()
    if (entry === undefined || key.blocked > 0) return
    const { holder } = key
    if (holder === undefined) {
      if (!entry.listed) list(this.level(entry.priority), entry)
      return
    }
    if (entry.offeredTo === holder) return
    entry.offeredTo = holder
    holder.offers.push(entry)
    // Wrong pointers go once they are many.
    if (holder.offers.size > 64 && holder.offers.size > holder.keysHeld * 4)
      holder.offers.keep((each) => isOffered(each, holder) || forget(each, holder))
  }

  private offerOrForget(key: KeyState): void {
    if (key.held === 0 && key.first() === undefined) this.keys.delete(key.key)
    else this.offer(key)
  }
}

function letGo(key: KeyState): void {
  if (--key.held > 0 || key.holder === undefined) return
  key.holder.keysHeld--
  key.holder = undefined
}

function list(level: Level, entry: Entry): void {
  entry.listed = true
  const last = level.fresh.last()
  if (last === undefined || last.seq < entry.seq) level.fresh.push(entry)
  else level.returned.push(entry)
}

function isIdle(level: Level): boolean {
  return level.count === 0 && level.fresh.size === 0 && level.returned.size === 0
}

function isFree(entry: Entry): boolean {
  const { key } = entry
  return key === undefined
    ? entry.envelope.key === undefined
    : key.holder === undefined && key.blocked === 0 && key.first() === entry
}

function isOffered(entry: Entry, holder: Holder): boolean {
  const { key } = entry
  return key !== undefined && key.holder === holder && key.blocked === 0 && key.first() === entry
}

function forget(entry: Entry, holder: Holder): false {
  if (entry.offeredTo === holder) entry.offeredTo = undefined
  return false
}

function firstOf(level: Level): Entry | undefined {
  let fresh = level.fresh.first()
  while (fresh !== undefined && !isFree(fresh)) {
    fresh.listed = false
    level.fresh.shift()
    fresh = level.fresh.first()
  }
  let returned = level.returned.first()
  while (returned !== undefined && !isFree(returned)) {
    returned.listed = false
    level.returned.pop()
    returned = level.returned.first()
  }
  if (fresh === undefined || returned === undefined) return fresh ?? returned
  return bySeq(returned, fresh) ? returned : fresh
}

function firstOffer(holder: Holder): Entry | undefined {
  let entry = holder.offers.first()
  while (entry !== undefined && !isOffered(entry, holder)) {
    forget(entry, holder)
    holder.offers.pop()
    entry = holder.offers.first()
  }
  return entry
}
