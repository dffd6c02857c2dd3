// One partition in the hands of one member: records go out by key, one of a key at a time, while other keys go on.

import type { Envelope } from '../../../core/message.ts'
import { Heap } from '../../memory/heap.ts'
import type { KafkaRecord, TopicPartition } from '../driver.ts'
import type { Mark, OffsetTracker } from '../offset-tracker.ts'
import { envelopeOf, REDRIVEN_HEADER } from '../wire.ts'

/** A record on its way through a member. */
export interface Entry {
  readonly lane: Lane
  readonly offset: number
  readonly mark: Mark
  readonly envelope: Envelope
  readonly record: KafkaRecord
  readonly bytes: number
  /** How often it was handed out. */
  attempts: number
  /** `waiting`: behind another of its key. `ready`: next of its key. `parked`: for its time. `held`: handed out. */
  state: 'waiting' | 'ready' | 'parked' | 'held' | 'done'
  /** When parked: the instant of our clock, and whether the key waits for it. */
  dueAt: number
  blocks: boolean
}

// One of a key is in front (ready, held or parked); the others wait in the order of the log.
interface Line {
  front: Entry
  readonly behind: Entry[]
}

/** What lanes of one member share. */
export interface LaneRules {
  readonly maxUncommitted: number
  readonly readAhead: number
  /** Milliseconds since 1970, and the instant of the clock. */
  wallNow(): number
  now(): number
}

// What a fetch brings may go over it once.
const MOST_BYTES = 8 * 1_048_576

/** One partition. */
export class Lane {
  readonly at: TopicPartition
  /** Of deliveries. */
  readonly name: string
  readonly tracker: OffsetTracker
  /** Nothing of it is handed out: it is being given up. */
  draining = false
  lost = false
  paused = false
  heldCount = 0
  private readonly rules: LaneRules
  private readonly lines = new Map<string, Line>()
  // In the order of offsets.
  private ready: Entry[] = []
  private readonly parked = new Heap<Entry>((a, b) => a.dueAt < b.dueAt)
  private buffered = 0
  private bufferedBytes = 0

  constructor(at: TopicPartition, name: string, tracker: OffsetTracker, rules: LaneRules) {
    this.at = at
    this.name = name
    this.tracker = tracker
    this.rules = rules
  }

  /** Records came in. */
  add(records: readonly KafkaRecord[]): void {
    const { topic, partition } = this.at
    for (const record of records) {
      // A client that begins anew may tell once more what it told before.
      if (record.offset < this.tracker.next) continue
      const mark = this.tracker.add(record.offset)
      if (mark === undefined) continue
      const entry: Entry = {
        lane: this,
        offset: record.offset,
        mark,
        envelope: envelopeOf(record, topic, partition),
        record,
        bytes: (record.value?.byteLength ?? 0) + 500,
        attempts: 0,
        state: 'waiting',
        dueAt: 0,
        blocks: false,
      }
      this.buffered++
      this.bufferedBytes += entry.bytes
      const { notBefore } = entry.envelope
      if (notBefore !== undefined && record.headers[REDRIVEN_HEADER] === undefined) {
        const waitMs = notBefore - this.rules.wallNow()
        if (waitMs > 0) {
          this.park(entry, waitMs, false)
          continue
        }
      }
      this.enter(entry)
    }
  }

  /** The next that may be handed out; it stays where it is. */
  peek(): Entry | undefined {
    const entry = this.ready[0]
    if (entry === undefined || this.draining || this.lost) return undefined
    return entry.offset - this.tracker.base < this.rules.maxUncommitted ? entry : undefined
  }

  /** It is handed out. */
  hold(entry: Entry): void {
    this.ready.shift()
    entry.state = 'held'
    entry.attempts++
    this.heldCount++
    this.buffered--
    this.bufferedBytes -= entry.bytes
  }

  /** It is done with: the next of its key may go. */
  finish(entry: Entry): void {
    this.release(entry)
    entry.state = 'done'
    this.tracker.done(entry.mark)
    this.advance(entry)
  }

  /** It is to be handed out again, now or later; with `overtake` those behind it need not wait. */
  giveBack(entry: Entry, delayMs: number, overtake: boolean): void {
    this.release(entry)
    this.buffered++
    this.bufferedBytes += entry.bytes
    if (delayMs <= 0 && !overtake) {
      this.makeReady(entry)
      return
    }
    if (overtake) this.advance(entry)
    if (delayMs > 0) this.park(entry, delayMs, !overtake)
    else this.enter(entry)
  }

  /** When the first of those that wait for their time is due. */
  get dueAt(): number {
    return this.parked.first()?.dueAt ?? Infinity
  }

  /** Those whose time has come take their places. */
  wake(): void {
    const now = this.rules.now()
    for (let entry = this.parked.first(); entry !== undefined && entry.dueAt <= now; entry = this.parked.first()) {
      this.parked.pop()
      if (entry.blocks) this.makeReady(entry)
      else this.enter(entry)
    }
  }

  /** Whether enough is read ahead; it is asked anew once half of that is handed out. */
  get full(): boolean {
    const { readAhead } = this.rules
    return this.paused
      ? this.buffered > readAhead / 2 || this.bufferedBytes > MOST_BYTES / 2
      : this.buffered >= readAhead || this.bufferedBytes >= MOST_BYTES
  }

  /** How many could be handed out, of those before this offset: what is read and neither held nor for its time, and what is not read yet. */
  waitingBefore(end: number): number {
    return this.buffered - this.parked.size + Math.max(end - this.tracker.next, 0)
  }

  private release(entry: Entry): void {
    if (entry.state === 'held') this.heldCount--
  }

  // It takes its place among those of its key that wait.
  private enter(entry: Entry): void {
    const { key } = entry.envelope
    if (key === undefined) {
      this.makeReady(entry)
      return
    }
    const line = this.lines.get(key)
    if (line === undefined) {
      this.lines.set(key, { front: entry, behind: [] })
      this.makeReady(entry)
    } else if (line.front.state === 'ready' && line.front.offset > entry.offset) {
      const { front } = line
      this.ready.splice(this.ready.indexOf(front), 1)
      front.state = 'waiting'
      insert(line.behind, front)
      line.front = entry
      this.makeReady(entry)
    } else {
      entry.state = 'waiting'
      insert(line.behind, entry)
    }
  }

  private advance(entry: Entry): void {
    const { key } = entry.envelope
    const line = key === undefined ? undefined : this.lines.get(key)
    if (line?.front !== entry) return
    const next = line.behind.shift()
    if (next === undefined) this.lines.delete(key as string)
    else {
      line.front = next
      this.makeReady(next)
    }
  }

  private makeReady(entry: Entry): void {
    entry.state = 'ready'
    insert(this.ready, entry)
  }

  private park(entry: Entry, delayMs: number, blocks: boolean): void {
    entry.state = 'parked'
    entry.dueAt = this.rules.now() + delayMs
    entry.blocks = blocks
    this.parked.push(entry)
  }
}

// By offset. Nearly always it is the last.
function insert(entries: Entry[], entry: Entry): void {
  let at = entries.length
  while (at > 0 && (entries[at - 1] as Entry).offset > entry.offset) at--
  if (at === entries.length) entries.push(entry)
  else entries.splice(at, 0, entry)
}
