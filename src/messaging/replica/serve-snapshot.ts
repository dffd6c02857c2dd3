// The owner's side of a replica: hands out its entries page by page, with the position that messages stood at before the first of them was read; and the way to ask for them.
import { type Clock, type Random, systemClock } from '../../core/clock.ts'
import { ageOption, countOption, invalidOption, knownOptions } from '../../core/options.ts'
import { createError } from '../../errors/classes.ts'
import type { ReplicaKey } from './table.ts'
import type { Snapshot, SnapshotEntry, SnapshotPage, SnapshotPosition } from './types.ts'

/** Which entries the owner is asked to read. */
export interface SnapshotRead {
  /** Those whose key comes behind this one; undefined: from the first. */
  readonly after: ReplicaKey | undefined
  readonly limit: number
}

/** Options of `serveSnapshot`. */
export interface ServeSnapshotOptions<
  Value,
  Key extends ReplicaKey = ReplicaKey,
  Position extends SnapshotPosition = SnapshotPosition,
> {
  /**
   * Reads entries in the order of a key that is unique and never changes, in one statement with their versions: `where id > $1 order by id limit $2`. Read committed is enough,
   * but it has to see all that is committed: no replica of the database that lags. Fewer than `limit` are no sign of the end: only an answer without any is.
   */
  readonly read: (wanted: SnapshotRead) => Promise<readonly (SnapshotEntry<Value> & { readonly key: Key })[]>
  /**
   * Where messages stand now; asked before the first entry is read. Default: the time of now less `overlapMs`. `false`: none is handed out; the snapshot is of now then.
   */
  readonly position?: (() => Position | Promise<Position>) | false | undefined
  /** How much earlier the time is that is handed out, milliseconds: no less than the clocks of owner and broker differ, and the longest transaction takes. Default 60,000. */
  readonly overlapMs?: number | undefined
  /** Entries of a page. Default 1,000. */
  readonly pageSize?: number | undefined
  /** Time. Leave it out in production. */
  readonly clock?: Clock | undefined
  /** Chance and ids. It has no use for them: they are taken so that what others take can be spread. */
  readonly random?: Random | undefined
  readonly newId?: (() => string) | undefined
}

/** A key as it travels. */
export type ServedKey<Key extends ReplicaKey> = Key extends bigint ? string : Key

/** A page as it travels: JSON. */
export interface ServedPage<
  Value,
  Key extends ReplicaKey = ReplicaKey,
  Position extends SnapshotPosition = SnapshotPosition,
> {
  readonly entries: { readonly key: ServedKey<Key>; readonly version: string; readonly value: Value }[]
  /** Whether entries come behind this page. */
  readonly more: boolean
  /** To ask for them. Absent after the last page. */
  readonly cursor?: string | undefined
  readonly position?: Position | undefined
}

/** What is sent to ask for a page: nothing for the first one, else the cursor of the page before. */
export interface PageRequest {
  readonly after?: string | undefined
}

/**
 * The owner's side: call it for each page. It remembers nothing between pages, so any instance may answer. Rejects with FairleadError `INVALID_REQUEST` for a cursor that
 * is none of its own, and with what `read` rejects with.
 */
export type ServedSnapshot<
  Value,
  Key extends ReplicaKey = ReplicaKey,
  Position extends SnapshotPosition = SnapshotPosition,
> = (request: PageRequest) => Promise<ServedPage<Value, Key, Position>>

/**
 * Serves snapshots to replicas: as the handler of an operation, or of a route of one's own. Each page is one short read; no transaction stays open between pages. That is enough: what changes
 * meanwhile is told by messages behind the position, and the versions say which is newer.
 * @throws FairleadError `INVALID_OPTIONS`
 * @example
 * const snapshot = serveSnapshot({ read: ({ after, limit }) => db.customers({ after: after ?? '', limit }) })
 * createServerAdapter(Customers, { snapshot: (request) => snapshot(request) })
 */
export function serveSnapshot<
  Value,
  Key extends ReplicaKey,
  Position extends SnapshotPosition = { readonly time: number },
>(options: ServeSnapshotOptions<Value, Key, Position>): ServedSnapshot<Value, Key, Position> {
  knownOptions('serveSnapshot', options, ['read', 'position', 'overlapMs', 'pageSize', 'clock', 'random', 'newId'])
  const { read, position, clock = systemClock } = options
  if (typeof read !== 'function') throw invalidOption('read', read, 'give a function that reads entries by key')
  if (position !== undefined && position !== false && typeof position !== 'function')
    throw invalidOption('position', position, 'give a function, or false')
  const overlapMs = ageOption('overlapMs', options.overlapMs, 60_000)
  const limit = countOption('pageSize', options.pageSize, 1_000)
  return async ({ after } = {}) => {
    const from = after === undefined || after === '' ? undefined : keyOfCursor(after)
    let stands: Position | undefined
    // First, and only then the entries: the other way round what is changed in between is in neither.
    if (from === undefined && position !== false)
      stands = position === undefined ? ({ time: clock.wallNow() - overlapMs } as Position) : await position()
    const entries = await read({ after: from, limit })
    const last = entries.at(-1)
    // A page may be short for reasons of its own: a limit of the database, what was filtered out.
    const more =
      last !== undefined && (entries.length >= limit || (await read({ after: last.key, limit: 1 })).length > 0)
    return {
      entries: entries.map(({ key, version, value }) => ({
        key: (typeof key === 'bigint' ? String(key) : key) as ServedKey<Key>,
        version: String(version),
        value,
      })),
      more,
      ...(more ? { cursor: cursorOf((last as SnapshotEntry<Value>).key) } : {}),
      ...(stands === undefined ? {} : { position: stands }),
    }
  }
}

/**
 * The `snapshot` of a replica whose owner serves pages (`serveSnapshot`): asks for one after the other. A page that does not say whether `more` follows (a field that a schema has left out)
 * is refused with `INVALID_INPUT`, or the first page would be taken for all there is.
 * @example snapshot: snapshotFrom((request, { signal }) => customerService.snapshot(request, { signal }))
 */
export function snapshotFrom<Value>(
  ask: (
    request: PageRequest,
    options: { readonly signal: AbortSignal },
  ) => Promise<{
    readonly entries: readonly SnapshotEntry<Value>[]
    readonly more: boolean
    readonly cursor?: string | undefined
    readonly position?: SnapshotPosition | undefined
  }>,
): Snapshot<Value> {
  return async function* ({ after, signal }): AsyncGenerator<SnapshotPage<Value>> {
    let cursor = after
    do {
      const { more, ...page } = await ask(cursor === undefined ? {} : { after: cursor }, { signal })
      if (typeof more !== 'boolean' || (more && page.cursor === undefined))
        throw createError({
          code: 'INVALID_INPUT',
          message: `a page of the snapshot ${more === true ? 'has no cursor to what follows' : 'does not say whether more follows'}: hand on more and cursor as serveSnapshot gives them`,
        })
      yield page
      cursor = more ? page.cursor : undefined
    } while (cursor !== undefined)
  }
}

function cursorOf(key: ReplicaKey): string {
  return `${typeof key === 'string' ? 's' : typeof key === 'number' ? 'n' : 'b'}:${String(key)}`
}

function keyOfCursor(cursor: string): ReplicaKey {
  const text = cursor.slice(2)
  if (cursor.startsWith('s:')) return text
  if (cursor.startsWith('n:') && Number.isSafeInteger(Number(text))) return Number(text)
  if (cursor.startsWith('b:') && /^-?\d+$/.test(text)) return BigInt(text)
  throw createError({ code: 'INVALID_REQUEST', message: 'that is no cursor of this snapshot' })
}
