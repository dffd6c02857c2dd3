// From a message to the table. The version guard makes each change idempotent, so no inbox is needed: what is applied again changes nothing.
import { sleep } from '../../core/clock.ts'
import { againOnConflict } from '../../core/conflicts.ts'
import type { Message } from '../../core/message.ts'
import { createError } from '../../errors/classes.ts'
import type { HandlerContext } from '../consumer/types.ts'
import type { Freshness } from './freshness.ts'
import type { ReplicaSettings } from './options.ts'
import type { ReplicaRow, RowKeeper } from './row.ts'
import { keyOf, newestOf, type ReplicaEntry, type ReplicaPlace, versionOf } from './table.ts'
import type { ReplicaChange, SnapshotEntry } from './types.ts'

const PATIENCE_MS = 10_000
const MOST_TRIES = 20
const TRY_MS = 100

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

  // The tables may change places meanwhile: then the one beside has no name of its own any more.
  async #written(generation: number, entries: readonly ReplicaEntry[]): Promise<number> {
    const { clock } = this.#settings.world
    let place = placeOf(generation, this.#keeper.latest)
    for (let tries = 1; place !== undefined; tries++)
      try {
        return await this.#write(place, entries)
      } catch (error) {
        const row = await this.#keeper.load()
        const after = placeOf(generation, row)
        if (after?.beside === place.beside) {
          // They have, perhaps, and the row does not say so yet.
          if (row?.next?.phase !== 'swapping' || tries > MOST_TRIES) throw error
          await sleep(clock, TRY_MS)
        }
        place = after
      }
    // Of a generation that nobody wants any more.
    return 0
  }

  #write(place: ReplicaPlace, entries: readonly ReplicaEntry[]): Promise<number> {
    const { table, store, world, name } = this.#settings
    const { clock, random } = world
    const at = clock.wallNow()
    return againOnConflict(
      () =>
        entries.length <= table.alone
          ? table.write(undefined, place, entries, at)
          : store.transaction((tx) => table.write(tx, place, entries, at)),
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

/** Entries of a snapshot that are kept. */
export function snapshotEntries(
  entries: readonly SnapshotEntry<unknown>[],
  keep: ReplicaSettings['keep'],
): readonly ReplicaEntry[] {
  return newestOf(
    entries
      .filter(({ value, key }) => keep?.(value, key) ?? true)
      .map(({ key, version, value }) => ({ key: keyOf(key), version: versionOf(version, key), value })),
  )
}

/** Where a generation is written to; undefined where nobody wants it any more. */
export function placeOf(generation: number, row: ReplicaRow | undefined): ReplicaPlace | undefined {
  if (row === undefined) return undefined
  if (row.next?.generation === generation) return { generation, beside: row.next.beside }
  // An old one that is still listened to does no harm to the new table: its messages are of the same entries, and guarded.
  return generation <= row.live ? { generation: row.live, beside: false } : undefined
}
