// The slices of one service as last heard of: a list replaces them, events change them, and both say whether anything is new.
import { fields, list, text, unreadable } from './answers.ts'
import { readSlice, type Slice } from './slices.ts'

/** One line of a watch, as far as everybody has to look at it. */
export interface WatchEvent {
  readonly type: string
  readonly object: unknown
  /** Of the object; what the next watch begins after. Opaque. */
  readonly version: string | undefined
}

/**
 * Reads a line.
 * @throws FairleadError REPLY_UNDECODABLE
 */
export function readEvent(line: string): WatchEvent {
  let event: Readonly<Record<string, unknown>>
  try {
    event = fields(JSON.parse(line))
  } catch {
    throw unreadable('a watch with a line that is no JSON')
  }
  const type = text(event.type)
  if (type === undefined) throw unreadable('a watch with a line that is no event')
  return { type, object: event.object, version: text(fields(fields(event.object).metadata).resourceVersion) }
}

/** The slices that there are. */
export interface SliceStore {
  readonly size: number
  /** Objects that are no slices, in the last list and since. */
  readonly unreadable: number
  /** There is something that cannot be read, and nothing that can: that is no word of an empty service. */
  readonly saysNothing: boolean
  slices(): Iterable<Slice>
  /**
   * Replaces everything. Answers whether anything differs, and the version of the list.
   * @throws FairleadError REPLY_UNDECODABLE for what is no list of slices
   */
  replace(answer: unknown): { readonly changed: boolean; readonly version: string }
  /** Answers whether anything differs. Bookmarks, and what later servers may send, change nothing. */
  apply(event: WatchEvent): boolean
}

/** An empty store. */
export function sliceStore(): SliceStore {
  return new Store()
}

class Store implements SliceStore {
  #slices = new Map<string, Slice>()
  #unreadable = 0

  get size(): number {
    return this.#slices.size
  }

  get unreadable(): number {
    return this.#unreadable
  }

  get saysNothing(): boolean {
    const all = [...this.#slices.values()]
    if (all.some(({ entries }) => entries.length > 0)) return false
    return this.#unreadable > 0 || all.some(({ unreadable }) => unreadable > 0)
  }

  slices(): Iterable<Slice> {
    return this.#slices.values()
  }

  replace(answer: unknown): { readonly changed: boolean; readonly version: string } {
    const { items, metadata } = fields(answer)
    const version = text(fields(metadata).resourceVersion)
    // Null is an empty list only in a list of the kind that was asked for: anything else would empty the set by mistake.
    const empty = items === null && fields(answer).kind === 'EndpointSliceList'
    if (version === undefined || !(Array.isArray(items) || empty)) throw unreadable('no list of EndpointSlices')
    const slices = new Map<string, Slice>()
    let lost = 0
    for (const item of list(items)) {
      const slice = readSlice(item)
      if (slice === undefined) lost++
      else slices.set(slice.name, slice)
    }
    const changed = lost !== this.#unreadable || !equal(slices, this.#slices)
    this.#slices = slices
    this.#unreadable = lost
    return { changed, version }
  }

  apply(event: WatchEvent): boolean {
    if (event.type !== 'ADDED' && event.type !== 'MODIFIED' && event.type !== 'DELETED') return false
    const slice = readSlice(event.object)
    if (slice === undefined) {
      this.#unreadable++
      return true
    }
    const known = this.#slices.get(slice.name)
    if (event.type === 'DELETED') {
      // Of an older slice that had the same name: the new one is there already.
      if (known === undefined || known.uid !== slice.uid) return false
      return this.#slices.delete(slice.name)
    }
    if (known !== undefined && same(known, slice)) return false
    this.#slices.set(slice.name, slice)
    return true
  }
}

function equal(a: ReadonlyMap<string, Slice>, b: ReadonlyMap<string, Slice>): boolean {
  if (a.size !== b.size) return false
  for (const [name, slice] of a) {
    const other = b.get(name)
    if (other === undefined || !same(slice, other)) return false
  }
  return true
}

function same(a: Slice, b: Slice): boolean {
  return a.version !== '' && a.version === b.version && a.uid === b.uid
}
