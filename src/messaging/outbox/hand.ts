// Rows that were read and are not settled yet: those that wait by channel, and which partitions are out. A key is in one partition for good, so a partition that is
// in one send at a time keeps the order of its keys without looking at any of them.
import type { PendingRow } from '../../core/contracts/store.ts'
import type { ChannelAddress } from '../../core/message.ts'
import { headsOf } from './standing.ts'

interface Queue {
  readonly channel: ChannelAddress
  /** By sequence, as far as they were read so. */
  waiting: PendingRow[]
  /** By number of the partition. */
  readonly busy: boolean[]
  /** All that wait are of partitions that are out. */
  stuck: boolean
}

/** Messages that are sent together. */
export interface Parcel {
  readonly channel: ChannelAddress
  /** In their order. */
  rows: readonly PendingRow[]
  readonly partitions: readonly number[]
  readonly queue: unknown
}

/** Rows that wait or are out. */
export class Hand {
  readonly #queues: Map<string, Queue>
  #last: Queue | undefined
  #waiting: number
  readonly #parcels: Set<Parcel>

  constructor() {
    this.#queues = new Map()
    this.#last = undefined
    this.#waiting = 0
    this.#parcels = new Set()
  }

  /** Rows that are not sent yet. */
  get waiting(): number {
    return this.#waiting
  }

  get parcels(): ReadonlySet<Parcel> {
    return this.#parcels
  }

  /** Rows that are out. */
  get out(): number {
    let out = 0
    for (const { rows } of this.#parcels) out += rows.length
    return out
  }

  add(row: PendingRow): void {
    const { kind, name } = row.channel
    let queue = this.#last
    if (queue === undefined || queue.channel.name !== name || queue.channel.kind !== kind) {
      queue = this.#queueOf(row.channel)
      this.#last = queue
    }
    queue.waiting.push(row)
    queue.stuck = false
    this.#waiting++
  }

  /**
   * The next messages of one channel: of whole partitions that are not out, so many that `slots` sends would have all of them.
   * @param most rows at most
   * @param isOpen whether a channel may be sent to, by its name here
   */
  next(slots: number, most: number, isOpen: (name: string) => boolean): Parcel | undefined {
    for (const [name, queue] of this.#queues) {
      if (queue.stuck || !isOpen(name)) continue
      if (queue.waiting.length === 0) {
        if (!queue.busy.includes(true)) this.#forget(name, queue)
        continue
      }
      const parcel = take(queue, slots, most)
      if (parcel === undefined) {
        queue.stuck = true
        continue
      }
      return this.#begun(name, queue, parcel)
    }
    return undefined
  }

  /**
   * A few messages to try, of different keys, of one channel; those whose turn it is.
   * @param places partitions at most
   * @param name of the channel; default: of any
   * @param rank the lowest first
   */
  few(most: number, places: number, rank: (row: PendingRow) => number, name?: string): Parcel | undefined {
    for (const [each, queue] of this.#queues) {
      if (name !== undefined && each !== name) continue
      const parcel = pick(queue, most, places, rank)
      if (parcel !== undefined) return this.#begun(each, queue, parcel)
    }
    return undefined
  }

  /** Rows of a channel that are not sent yet. */
  waitingOf(name: string): readonly PendingRow[] {
    return this.#queues.get(name)?.waiting ?? []
  }

  #begun(name: string, queue: Queue, parcel: Parcel): Parcel {
    this.#waiting -= parcel.rows.length
    this.#parcels.add(parcel)
    // The other channels first, the next time.
    if (this.#queues.size > 1) {
      this.#queues.delete(name)
      this.#queues.set(name, queue)
    }
    return parcel
  }

  /** It is answered, or left alone. */
  end(parcel: Parcel): void {
    this.#parcels.delete(parcel)
    const queue = parcel.queue as Queue
    for (const partition of parcel.partitions) queue.busy[partition] = false
    queue.stuck = false
  }

  /** Lets go of those that wait: they are still in the table. Gives them back. */
  drop(which: (row: PendingRow) => boolean): readonly PendingRow[] {
    const dropped: PendingRow[] = []
    for (const queue of this.#queues.values()) {
      const kept: PendingRow[] = []
      for (const row of queue.waiting) (which(row) ? dropped : kept).push(row)
      queue.waiting = kept
    }
    this.#waiting -= dropped.length
    return dropped
  }

  /** All that wait of one channel. */
  dropAll(name: string): readonly PendingRow[] {
    const queue = this.#queues.get(name)
    if (queue === undefined) return []
    const dropped = queue.waiting
    queue.waiting = []
    this.#waiting -= dropped.length
    return dropped
  }

  #queueOf(channel: ChannelAddress): Queue {
    const name = nameOf(channel)
    let queue = this.#queues.get(name)
    if (queue === undefined) {
      queue = { channel: { kind: channel.kind, name: channel.name }, waiting: [], busy: [], stuck: false }
      this.#queues.set(name, queue)
    }
    return queue
  }

  #forget(name: string, queue: Queue): void {
    this.#queues.delete(name)
    if (this.#last === queue) this.#last = undefined
  }
}

/** By which a channel goes here. */
export function nameOf({ kind, name }: ChannelAddress): string {
  return `${kind}:${name}`
}

function pick(queue: Queue, most: number, places: number, rank: (row: PendingRow) => number): Parcel | undefined {
  const { waiting, busy } = queue
  const { heads } = headsOf(waiting)
  const free = heads.filter(({ partition }) => busy[partition] !== true)
  if (free.length === 0) return undefined
  const chosen = new Set<PendingRow>()
  const among = new Set<number>()
  for (const row of free.sort((a, b) => rank(a) - rank(b))) {
    if (chosen.size === most) break
    if (!among.has(row.partition) && among.size === places) continue
    among.add(row.partition)
    chosen.add(row)
  }
  const rows = waiting.filter((row) => chosen.has(row))
  queue.waiting = waiting.filter((row) => !chosen.has(row))
  const partitions = [...among]
  for (const partition of partitions) busy[partition] = true
  return { channel: queue.channel, rows, partitions, queue }
}

function take(queue: Queue, slots: number, most: number): Parcel | undefined {
  const { waiting, busy } = queue
  const counts: number[] = []
  let free = 0
  for (const { partition } of waiting) {
    if (busy[partition] === true) continue
    counts[partition] = (counts[partition] ?? 0) + 1
    free++
  }
  if (free === 0) return undefined
  const wanted = Math.min(Math.ceil(free / slots), most)
  const partitions: number[] = []
  const room: number[] = []
  let chosen = 0
  // Oldest first.
  for (const { partition } of waiting) {
    if (chosen >= wanted) break
    if (busy[partition] === true || room[partition] !== undefined) continue
    const count = counts[partition] as number
    room[partition] = count
    partitions.push(partition)
    chosen += count
  }
  const rows: PendingRow[] = []
  const left: PendingRow[] = []
  for (const row of waiting) {
    const places = room[row.partition]
    if (places === undefined || places === 0 || rows.length === most) left.push(row)
    else {
      room[row.partition] = places - 1
      rows.push(row)
    }
  }
  queue.waiting = left
  for (const partition of partitions) busy[partition] = true
  return { channel: queue.channel, rows, partitions, queue }
}
