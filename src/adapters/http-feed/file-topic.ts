// One topic of a log in files: segments of one JSON line an event, an index of them in memory, and one write and one sync for all that waits to be appended.
import { type FileHandle, mkdir, open, readdir, unlink } from 'node:fs/promises'
import { join } from 'node:path'
import type { Clock } from '../../core/clock.ts'
import { createError } from '../../errors/classes.ts'
import { diskError } from './disk-error.ts'
import { type FeedBounds, type FeedRecord, type FeedRetention, logClosed } from './log.ts'
import { eventIn, type Line, lineOf, linesIn } from './segment.ts'
import { type TopicRecord, TopicRecords } from './topic-records.ts'

/** What topics of one log share. */
export interface FileTopicSettings {
  readonly retention: FeedRetention
  readonly segmentBytes: number
  readonly clock: Clock
  readonly onAppended: (topic: string) => void
}

interface Segment {
  readonly path: string
  /** Sequence of its first event. */
  readonly first: number
  size: number
}

interface Placed extends TopicRecord, Line {
  readonly segment: Segment
}

interface Waiting {
  readonly events: readonly string[]
  readonly resolve: () => void
  readonly reject: (error: unknown) => void
}

const SUFFIX = '.jsonl'
const DIGITS = 15

/** The events of one topic, in a folder of its own. */
export class FileTopic {
  readonly name: string
  readonly #folder: string
  readonly #settings: FileTopicSettings
  readonly #segments: Segment[]
  readonly #records: TopicRecords<Placed>
  #waiting: Waiting[] = []
  #writing: Promise<void> = Promise.resolve()
  #isWriting = false
  #file: FileHandle | undefined
  // Once it is not known what lies in the file, nothing may be put behind it.
  #broken: Error | undefined

  private constructor(name: string, folder: string, settings: FileTopicSettings, segments: Segment[], first: number) {
    this.name = name
    this.#folder = folder
    this.#settings = settings
    this.#segments = segments
    this.#records = new TopicRecords<Placed>(({ length }) => length, first)
  }

  /** Opens the folder of a topic, and makes it where there is none. */
  static async open(name: string, parent: string, settings: FileTopicSettings): Promise<FileTopic> {
    const folder = join(parent, name)
    await mkdir(folder, { recursive: true })
    await syncFolder(parent)
    const files = (await readdir(folder)).filter((file) => file.endsWith(SUFFIX)).sort()
    const segments = files.map(
      (file): Segment => ({
        path: join(folder, file),
        first: Number(file.slice(0, -SUFFIX.length)),
        size: 0,
      }),
    )
    const topic = new FileTopic(name, folder, settings, segments, segments[0]?.first ?? 1)
    for (const [at, segment] of segments.entries()) {
      topic.#expect(segment)
      for (const line of await linesIn(segment.path, at === segments.length - 1)) topic.#add(segment, line)
    }
    await topic.#clear()
    return topic
  }

  bounds(): FeedBounds {
    const { retention, clock } = this.#settings
    this.#records.drop(retention, clock.wallNow())
    return { first: this.#records.first, next: this.#records.next }
  }

  append(events: readonly string[]): Promise<void> {
    if (this.#broken !== undefined) return Promise.reject(this.#broken)
    return new Promise((resolve, reject) => {
      this.#waiting.push({ events, resolve, reject })
      if (!this.#isWriting) this.#writing = this.#write()
    })
  }

  async read(from: number, limit: number, maxLength: number): Promise<readonly FeedRecord[]> {
    this.bounds()
    const records = this.#records.read(from, limit, maxLength)
    const read: FeedRecord[] = []
    for (let at = 0; at < records.length; ) {
      const { segment } = records[at] as Placed
      const start = at
      while (at < records.length && records[at]?.segment === segment) at++
      // One whose retention ends at this moment is gone: the reader is told so when it asks again.
      if (!(await readLines(segment, records.slice(start, at), read))) break
    }
    return read
  }

  timeOf(sequence: number): number | undefined {
    return this.#records.get(sequence)?.at
  }

  since(time: number): number {
    this.bounds()
    return this.#records.since(time)
  }

  async close(): Promise<void> {
    this.#broken ??= logClosed()
    await this.#writing
    await this.#file?.close()
    this.#file = undefined
  }

  // All that waits goes in one write and one sync, and so does what comes while they last.
  async #write(): Promise<void> {
    this.#isWriting = true
    for (let batch = this.#take(); batch.length > 0; batch = this.#take()) {
      try {
        await this.#writeAll(batch)
        for (const { resolve } of batch) resolve()
        this.#settings.onAppended(this.name)
      } catch (error) {
        for (const { reject } of batch) reject(error)
      }
      await this.#clear()
    }
    // In the same step as the last look: who comes later begins anew.
    this.#isWriting = false
  }

  #take(): readonly Waiting[] {
    const batch = this.#waiting
    this.#waiting = []
    return batch
  }

  async #writeAll(batch: readonly Waiting[]): Promise<void> {
    if (this.#broken !== undefined) throw this.#broken
    const at = this.#records.timeFor(this.#settings.clock.wallNow())
    const lines = batch.flatMap(({ events }) => events.map((event) => Buffer.from(lineOf(event, at))))
    let segment: Segment
    let file: FileHandle
    try {
      segment = await this.#segment()
      file = this.#file as FileHandle
      await file.appendFile(Buffer.concat(lines))
    } catch (error) {
      throw await this.#undo(error)
    }
    try {
      await file.datasync()
    } catch (error) {
      // After a sync that failed nobody knows what is on the disk, and a second one may say it is there when it is not.
      throw this.#breaks(error)
    }
    for (const line of lines) this.#add(segment, { at, offset: segment.size, length: line.length })
  }

  // Nothing of a write that failed may stay: it was refused.
  async #undo(error: unknown): Promise<Error> {
    try {
      await this.#file?.truncate(this.#segments.at(-1)?.size ?? 0)
      return diskError(error, 'none', this.name)
    } catch {
      return this.#breaks(error)
    }
  }

  #breaks(error: unknown): Error {
    this.#broken = createError({
      code: 'SERVER_ERROR',
      message: `the log of topic ${this.name} could not be written; open it anew`,
      transient: false,
      channel: this.name,
      cause: error,
    })
    return this.#broken
  }

  async #segment(): Promise<Segment> {
    const last = this.#segments.at(-1)
    if (last !== undefined && last.size < this.#settings.segmentBytes) {
      this.#file ??= await open(last.path, 'a')
      return last
    }
    await this.#file?.close()
    this.#file = undefined
    const first = this.#records.next
    const path = join(this.#folder, String(first).padStart(DIGITS, '0') + SUFFIX)
    this.#file = await open(path, 'a')
    await syncFolder(this.#folder)
    const segment = { path, first, size: 0 }
    this.#segments.push(segment)
    return segment
  }

  #expect({ first, path }: Segment): void {
    if (first !== this.#records.next)
      throw createError({
        code: 'MESSAGE_UNDECODABLE',
        message: `${path} should begin with event ${this.#records.next}: a file before it is missing, or cut`,
        details: { path },
      })
  }

  #add(segment: Segment, line: Line): void {
    this.#records.add({ ...line, sequence: this.#records.next, segment })
    segment.size = line.offset + line.length
  }

  // Files of which nothing is kept any more. The newest stays: its name says how far the topic had come.
  async #clear(): Promise<void> {
    const { first } = this.bounds()
    while (this.#segments.length > 1 && (this.#segments[1] as Segment).first <= first) {
      const [gone] = this.#segments.splice(0, 1)
      await unlink((gone as Segment).path).catch(() => {})
    }
  }
}

async function readLines(segment: Segment, records: readonly Placed[], into: FeedRecord[]): Promise<boolean> {
  const from = (records[0] as Placed).offset
  const last = records.at(-1) as Placed
  const bytes = Buffer.alloc(last.offset + last.length - from)
  let file: FileHandle
  try {
    file = await open(segment.path, 'r')
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return false
    throw diskError(error, 'none')
  }
  try {
    await file.read(bytes, 0, bytes.length, from)
  } catch (error) {
    throw diskError(error, 'none')
  } finally {
    await file.close()
  }
  for (const { sequence, offset, length } of records) {
    const found = eventIn(bytes.toString('utf8', offset - from, offset - from + length - 1))
    if (found === undefined)
      throw createError({
        code: 'MESSAGE_UNDECODABLE',
        message: `${segment.path} is damaged at byte ${offset}`,
        details: { path: segment.path, offset },
      })
    into.push({ sequence, at: found.at, event: found.event })
  }
  return true
}

// A file whose name is not on the disk is lost with its contents, however well those are.
async function syncFolder(path: string): Promise<void> {
  const folder = await open(path, 'r')
  try {
    await folder.sync()
  } finally {
    await folder.close()
  }
}
