// What a log has in memory of one topic, oldest first: the events themselves, or where they lie. The oldest go as retention says. Array and head, so that dropping one is cheap.
import type { FeedRetention } from './log.ts'

/** One event, or where it lies. */
export interface TopicRecord {
  readonly sequence: number
  /** Milliseconds since 1970. */
  readonly at: number
}

/** Records of one topic. */
export class TopicRecords<R extends TopicRecord> {
  private records: R[] = []
  private head = 0
  private nextSequence: number

  private readonly lengthOf: (record: R) => number

  constructor(lengthOf: (record: R) => number, next: number = 1) {
    this.lengthOf = lengthOf
    this.nextSequence = next
  }

  get first(): number {
    return this.nextSequence - (this.records.length - this.head)
  }

  get next(): number {
    return this.nextSequence
  }

  /** Its sequence is `next`. */
  add(record: R): void {
    this.records.push(record)
    this.nextSequence++
  }

  get(sequence: number): R | undefined {
    return this.records[this.head + sequence - this.first]
  }

  read(from: number, limit: number, maxLength: number): readonly R[] {
    const start = this.head + Math.max(from - this.first, 0)
    let length = 0
    let end = start
    for (; end < this.records.length && end - start < limit; end++) {
      length += this.lengthOf(this.records[end] as R)
      if (length > maxLength && end > start) break
    }
    return this.records.slice(start, end)
  }

  /** Times never go back in a log: appending keeps to that. */
  since(time: number): number {
    let low = this.head
    let high = this.records.length
    while (low < high) {
      const middle = (low + high) >> 1
      if ((this.records[middle] as R).at < time) low = middle + 1
      else high = middle
    }
    return this.first + low - this.head
  }

  /** Never before the last one, also where the wall clock was set back. */
  timeFor(now: number): number {
    return Math.max(now, this.records.at(-1)?.at ?? 0)
  }

  drop({ maxCount = Infinity, maxAgeMs = Infinity }: FeedRetention, now: number): void {
    const { records } = this
    while (this.head < records.length) {
      const tooMany = records.length - this.head > maxCount
      if (!tooMany && (records[this.head] as R).at >= now - maxAgeMs) break
      this.head++
    }
    if (this.head < 1_024 || this.head < records.length / 2) return
    this.records = records.slice(this.head)
    this.head = 0
  }
}
