// Queues and topics as the broker keeps them.
import type { ReceiveFrom } from '../../core/contracts/transport.ts'
import type { Envelope } from '../../core/message.ts'
import { invalidOption } from '../../core/options.ts'
import { createError } from '../../errors/classes.ts'
import { Place } from './place.ts'
import { LANE } from './receiver.ts'
import { Ring } from './ring.ts'
import type { BrokerSettings } from './settings.ts'

/** What became of an envelope. */
export type Accepted = 'accepted' | 'duplicate' | 'full'

/** Ids that were accepted lately. */
class Dedupe {
  private readonly windowMs: number
  private readonly ends = new Map<string, number>()

  constructor(windowMs: number) {
    this.windowMs = windowMs
  }

  has(id: string, now: number): boolean {
    // All windows are of one length: the map is in the order in which they end.
    for (const [old, end] of this.ends) {
      if (end > now) break
      this.ends.delete(old)
    }
    return this.ends.has(id)
  }

  add(id: string, now: number): void {
    if (this.windowMs > 0) this.ends.set(id, now + this.windowMs)
  }
}

/** A queue. */
export class Queue {
  readonly place: Place
  private readonly settings: BrokerSettings
  private readonly dedupe: Dedupe
  private seq = 0

  constructor(settings: BrokerSettings) {
    this.settings = settings
    this.place = new Place(settings.clock, settings.turns)
    this.dedupe = new Dedupe(settings.dedupeWindowMs)
  }

  accept(envelope: Envelope, now: number, wallNow: number): Accepted {
    if (this.dedupe.has(envelope.id, now)) return 'duplicate'
    if (this.place.size >= this.settings.maxMessages) return 'full'
    this.dedupe.add(envelope.id, now)
    this.place.accept(envelope, this.seq++, now, (envelope.notBefore ?? 0) - wallNow)
    return 'accepted'
  }

  close(): void {
    this.place.close()
  }
}

interface Kept {
  readonly envelope: Envelope
  readonly at: number
}

/** A topic: what is kept of it, its groups, and whoever listens live. */
export class Topic {
  readonly groups: Map<string, Place> = new Map()
  private readonly live = new Set<Place>()
  private readonly settings: BrokerSettings
  private readonly dedupe: Dedupe
  private readonly kept = new Ring<Kept>()
  /** Of the next message. Those kept are the ones right before it. */
  private seq = 0
  private goneTo = -Infinity

  constructor(settings: BrokerSettings) {
    this.settings = settings
    this.dedupe = new Dedupe(settings.dedupeWindowMs)
  }

  /** Since when all of it is kept, milliseconds since 1970. */
  retainedSince(wallNow: number): number {
    this.trim(wallNow)
    return this.goneTo === -Infinity ? this.goneTo : Math.floor(this.goneTo) + 1
  }

  accept(envelope: Envelope, now: number, wallNow: number): Accepted {
    if (this.dedupe.has(envelope.id, now)) return 'duplicate'
    for (const place of this.places()) if (place.size >= this.settings.maxMessages) return 'full'
    this.dedupe.add(envelope.id, now)
    const seq = this.seq++
    const delayMs = (envelope.notBefore ?? 0) - wallNow
    for (const place of this.places()) place.accept(envelope, seq, now, delayMs)
    if (this.settings.retainMessages > 0) this.kept.push({ envelope, at: wallNow })
    this.trim(wallNow)
    return 'accepted'
  }

  get unsettled(): number {
    let sum = 0
    for (const place of this.places()) sum += place.unsettled
    return sum
  }

  /** The group, made at `from` where there is none yet. */
  group(name: string, from: ReceiveFrom['from']): Place {
    let place = this.groups.get(name)
    if (place === undefined) {
      place = this.placeFrom(from)
      this.groups.set(name, place)
    }
    return place
  }

  /** The group goes, with all that is in it. */
  drop(name: string): void {
    this.groups.get(name)?.close()
    this.groups.delete(name)
  }

  /** A place for one receiver, for as long as it lives. */
  subscribe(from: ReceiveFrom['from']): Place {
    const place = this.placeFrom(from)
    this.live.add(place)
    return place
  }

  unsubscribe(place: Place): void {
    this.live.delete(place)
    place.close()
  }

  close(): void {
    for (const place of this.places()) place.close()
  }

  private *places(): Generator<Place> {
    yield* this.groups.values()
    yield* this.live
  }

  private trim(wallNow: number): void {
    const { retainMessages, retainMs } = this.settings
    for (let first = this.kept.first(); first !== undefined; first = this.kept.first()) {
      if (this.kept.size <= retainMessages && first.at > wallNow - retainMs) break
      this.kept.shift()
      this.goneTo = first.at
    }
  }

  private placeFrom(from: ReceiveFrom['from']): Place {
    const { clock, turns } = this.settings
    const now = clock.now()
    const wallNow = clock.wallNow()
    this.trim(wallNow)
    const first = this.firstOf(from)
    const place = new Place(clock, turns)
    const oldest = this.seq - this.kept.size
    for (let seq = first; seq < this.seq; seq++) {
      const { envelope, at } = this.kept.at(seq - oldest) as Kept
      place.accept(envelope, seq, now - Math.max(wallNow - at, 0), (envelope.notBefore ?? 0) - wallNow)
    }
    return place
  }

  // The number of the message to begin with.
  private firstOf(from: ReceiveFrom['from']): number {
    const oldest = this.seq - this.kept.size
    if (from === undefined || from === 'latest') return this.seq
    if (from === 'earliest') return oldest
    if (typeof from !== 'object' || from === null || !('time' in from || 'positions' in from))
      throw invalidOption('from', from, 'give earliest, latest, { time } or { positions }')
    if ('time' in from) {
      if (!Number.isFinite(from.time)) throw invalidOption('from.time', from.time, 'give milliseconds since 1970')
      let seq = oldest
      while (seq < this.seq && (this.kept.at(seq - oldest) as Kept).at < from.time) seq++
      return seq
    }
    const position = from.positions[LANE]
    if (position === undefined) return oldest
    if (!/^\d{1,15}$/.test(position)) throw invalidOption('from.positions', position, 'give positions of deliveries')
    // A position is that of the last message handled.
    const next = Number(position) + 1
    if (next < oldest)
      throw createError({ code: 'POSITION_EXPIRED', details: { position, earliest: String(oldest - 1) } })
    return Math.min(next, this.seq)
  }
}
