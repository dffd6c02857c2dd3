// From a message to the table. The version guard makes each change idempotent, so no inbox is needed: what is applied again changes nothing.
import { sleep } from '../../core/clock.ts'
import { againOnConflict } from '../../core/conflicts.ts'
import type { Message } from '../../core/message.ts'
import { createError } from '../../errors/classes.ts'
import type { HandlerContext } from '../consumer/types.ts'
import type { Freshness } from './freshness.ts'
import type { ReplicaSettings } from './options.ts'
import { type Revision, sameRevision } from './revision.ts'
import type { ReplicaRow, RowKeeper } from './row.ts'
import { keyOf, newestOf, type ReplicaEntry, type ReplicaPlace, versionOf } from './table.ts'
import type { ReplicaChange, SnapshotEntry } from './types.ts'

const PATIENCE_MS = 10_000
const TRY_MS = 100

/** The tables have changed places, or are about to, and what was written is not for what stands there then. */
class Overtaken extends Error {}

/** Applies what messages say. */
export class Applying {
  readonly #settings: ReplicaSettings
  readonly #keeper: RowKeeper
  readonly #freshness: Freshness

  constructor(settings: ReplicaSettings, keeper: RowKeeper, freshness: Freshness) {
    this.#settings = settings
    this.#keeper = keeper
    this.#freshness = freshness
  }

  /** Resolves once it is committed: only then may the message be acknowledged. */
  async apply(generation: number, message: Message, context: HandlerContext): Promise<void> {
    const handler = this.#settings.changes.get(message.type)
    if (handler === undefined) return
    const said = await handler(message as never, context)
    const changes = said === undefined ? [] : Array.isArray(said) ? said : [said]
    const entries = newestOf((changes as readonly ReplicaChange<unknown>[]).map((change) => this.#entry(change)))
    const newer = entries.length === 0 ? 0 : await this.#written(generation, entries)
    this.#freshness.handled(message.time, newer, entries.length)
  }

  // The tables may change places meanwhile: then the one beside has no name of its own any more, or the one that is read is of somebody else.
  async #written(generation: number, entries: readonly ReplicaEntry[]): Promise<number> {
    const { table, revision, world } = this.#settings
    const { clock } = world
    const endsAt = clock.now() + PATIENCE_MS
    let place = placeOf(generation, this.#keeper.latest, revision)
    // Of a generation that is not ours any more: the one that has taken its place has a group of its own, and gets the message there.
    while (place !== undefined) {
      let failed: unknown
      try {
        if (!isLeaving(place, this.#keeper.latest, revision)) return await this.#write(generation, place, entries)
      } catch (error) {
        failed = error
      }
      const row = await this.#keeper.load()
      const after = placeOf(generation, row, revision)
      const swapping = row?.next?.phase === 'swapping'
      if (after !== undefined && after.beside === place.beside && !swapping && failed !== undefined) throw failed
      // The row may say so only later, where the process that has swapped them ended right after.
      if (after?.beside === true && swapping && !(await table.isBeside(generation)))
        return await this.#write(generation, { generation, beside: false }, entries)
      place = after
      if (place === undefined || !swapping) continue
      if (clock.now() >= endsAt)
        throw createError({
          code: 'UNAVAILABLE',
          effect: 'none',
          message: `the tables of the replica ${this.#settings.name} have been changing places for ${PATIENCE_MS} ms`,
          cause: failed,
        })
      await sleep(clock, TRY_MS)
    }
    return 0
  }

  /** @throws Overtaken, and then nothing was written */
  #write(generation: number, place: ReplicaPlace, entries: readonly ReplicaEntry[]): Promise<number> {
    const { table, store, world, name, revision } = this.#settings
    const { clock, random } = world
    const at = clock.wallNow()
    // Only code that has a revision knows of others that may come after it.
    const fenced = revision !== undefined && !place.beside
    return againOnConflict(
      () =>
        entries.length <= table.alone && !fenced
          ? table.write(undefined, place, entries, at)
          : store.transaction(async (tx) => {
              const newer = await table.write(tx, place, entries, at)
              // In this order: tables change places only after the row says so, and wait for this transaction once it has written.
              if (fenced) {
                const row = await this.#keeper.loadIn(tx)
                const still = placeOf(generation, row, revision)
                if (still === undefined || isLeaving(still, row, revision)) throw new Overtaken()
              }
              return newer
            }),
      { clock, random, own: { service: 'replica', operation: name }, endsAt: clock.now() + PATIENCE_MS },
    )
  }

  #entry(change: ReplicaChange<unknown>): ReplicaEntry {
    if (typeof change !== 'object' || change === null)
      throw createError({
        code: 'MESSAGE_INVALID',
        message: `a change is ${String(change)}: it has key, version and value`,
      })
    const key = keyOf(change.key)
    const version = versionOf(change.version, key)
    if (change.gone === true) return { key, version, value: undefined }
    if (change.value === undefined || change.value === null)
      throw createError({
        code: 'MESSAGE_INVALID',
        message: `the change of ${String(key)} has no value: one that is gone says so with gone: true`,
      })
    // An entry that is not kept any more leaves a tombstone: an older change of it may still be on its way.
    const kept = this.#settings.keep?.(change.value, key) ?? true
    return { key, version, value: kept ? change.value : undefined }
  }
}

/**
 * Entries of a snapshot that are kept.
 * @throws FairleadError `INVALID_INPUT` for one without a value: it would be a tombstone, and the entry would be gone here
 */
export function snapshotEntries(
  entries: readonly SnapshotEntry<unknown>[],
  keep: ReplicaSettings['keep'],
): readonly ReplicaEntry[] {
  for (const entry of entries as readonly Partial<SnapshotEntry<unknown>>[])
    if (entry?.value === undefined || entry.value === null)
      throw createError({
        code: 'INVALID_INPUT',
        message: `the entry ${String(entry?.key)} of the snapshot has no value: leave out what is gone`,
        details: { issues: [{ path: ['entries', 'value'], message: 'no value' }] },
      })
  return newestOf(
    entries
      .filter(({ value, key }) => keep?.(value, key) ?? true)
      .map(({ key, version, value }) => ({ key: keyOf(key), version: versionOf(version, key), value })),
  )
}

/** Where a generation is written to by code of a revision; undefined where that is not for it (any more). */
export function placeOf(generation: number, row: ReplicaRow | undefined, revision: Revision): ReplicaPlace | undefined {
  if (row === undefined) return undefined
  if (row.next?.generation === generation && sameRevision(row.next.revision, revision))
    return { generation, beside: row.next.beside }
  // An old one that is still listened to does no harm to a new table of the same revision: its messages are of the same entries, and guarded.
  return generation <= row.live && sameRevision(row.revision, revision)
    ? { generation: row.live, beside: false }
    : undefined
}

// Whether somebody else's table may be there by the time that it is written to.
function isLeaving(place: ReplicaPlace, row: ReplicaRow | undefined, revision: Revision): boolean {
  return !place.beside && row?.next?.phase === 'swapping' && !sameRevision(row.next.revision, revision)
}
