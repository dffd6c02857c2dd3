// Which records of a partition are done, while they are handled out of order: what may be committed, and which beyond it need not come again.
//
// Only offsets before the first record that is still open are committed. What is done behind that one goes into the note beside the offset, one bit a record
// (the idea is Confluent's Parallel Consumer's): whoever takes the partition over skips it.

/** One record that is not yet committed. */
export interface Mark {
  readonly offset: number
  done: boolean
  /** It is done if the transaction that is being written is committed. */
  pending?: boolean
}

const PREFIX = 'f1:'
// The broker takes 4,096 bytes; Base64 has 6 bits in each.
const MOST_BITS = 24_000

/** One partition. */
export class OffsetTracker {
  /** Behind the newest record that was seen: where fetching goes on. */
  next: number
  private marks: Mark[] = []
  private first = 0
  private readonly doneBefore: Set<number>
  private changed = false

  /** @param start the committed offset @param note what was committed beside it */
  constructor(start: number, note: string = '') {
    this.next = start
    this.doneBefore = parseNote(start, note)
  }

  /** A record was read. Undefined: it is done already. Offsets come in rising order; there may be gaps. */
  add(offset: number): Mark | undefined {
    this.next = offset + 1
    const done = this.doneBefore.delete(offset)
    // Nobody asks for it any more, and it must be in the notes to come.
    const mark = { offset, done }
    if (done && this.first === this.marks.length) {
      this.changed = true
      return undefined
    }
    this.marks.push(mark)
    return done ? undefined : mark
  }

  /** It need not come again. Twice is the same as once. */
  done(mark: Mark): void {
    if (mark.done) return
    mark.done = true
    this.changed = true
    const { marks } = this
    while (this.first < marks.length && (marks[this.first] as Mark).done) this.first++
    if (this.first > 1_000 && this.first * 2 > marks.length) {
      this.marks = marks.slice(this.first)
      this.first = 0
    }
  }

  /** The first record that is open, or what comes next: what may be committed. */
  get base(): number {
    return this.marks[this.first]?.offset ?? this.next
  }

  /** Whether there is something to be committed. */
  get dirty(): boolean {
    return this.changed
  }

  /** What is to be committed now; from then on it is not dirty. `undo` where that failed. */
  take(): { readonly offset: number; readonly note: string } {
    this.changed = false
    const { marks } = this
    let first = this.first
    while (first < marks.length && settled(marks[first] as Mark)) first++
    const offset = marks[first]?.offset ?? this.next
    return { offset, note: this.note(offset, first) }
  }

  undo(): void {
    this.changed = true
  }

  /** What was taken is known at the broker, with what was pending then. */
  told(): void {
    this.changed = false
  }

  private note(base: number, first: number): string {
    const { marks } = this
    let bits: Uint8Array | undefined
    let used = 0
    for (let at = first + 1; at < marks.length; at++) {
      const mark = marks[at] as Mark
      if (!settled(mark)) continue
      const bit = mark.offset - base
      if (bit >= MOST_BITS) break
      if (bits === undefined || bit >> 3 >= bits.length) bits = grown(bits, (bit >> 3) + 1)
      bits[bit >> 3] = (bits[bit >> 3] as number) | (1 << (bit & 7))
      used = (bit >> 3) + 1
    }
    // What the one before had done, and has not come to us yet: the very next one may be among them.
    for (const offset of this.doneBefore) {
      const bit = offset - base
      if (bit < 0 || bit >= MOST_BITS) continue
      if (bits === undefined || bit >> 3 >= bits.length) bits = grown(bits, (bit >> 3) + 1)
      bits[bit >> 3] = (bits[bit >> 3] as number) | (1 << (bit & 7))
      used = Math.max(used, (bit >> 3) + 1)
    }
    return bits === undefined ? '' : PREFIX + Buffer.from(bits.subarray(0, used)).toString('base64')
  }
}

function settled({ done, pending }: Mark): boolean {
  return done || pending === true
}

function grown(bits: Uint8Array | undefined, least: number): Uint8Array {
  const larger = new Uint8Array(Math.max(least, (bits?.length ?? 0) * 2, 16))
  if (bits !== undefined) larger.set(bits)
  return larger
}

/** How many records from a committed offset on and before another are not done. */
export function openBetween({ offset, note }: { readonly offset: number; readonly note: string }, end: number): number {
  let open = Math.max(end - offset, 0)
  for (const done of parseNote(offset, note)) if (done < end) open--
  return open
}

// A note of somebody else's (a foreign consumer of the same group) says nothing to us.
function parseNote(start: number, note: string): Set<number> {
  const done = new Set<number>()
  if (!note.startsWith(PREFIX)) return done
  const bits = Buffer.from(note.slice(PREFIX.length), 'base64')
  for (let bit = 0; bit < bits.length * 8; bit++)
    if (((bits[bit >> 3] as number) >> (bit & 7)) & 1) done.add(start + bit)
  return done
}
