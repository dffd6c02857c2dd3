// Which generation comes next, and for whom: a rebuild, what newer code builds in the place of what older code has filled, and what is left of those that came to nothing.
import { boundedBy } from '../../core/bounded.ts'
import type { FairleadError } from '../../errors/base.ts'
import { createError } from '../../errors/classes.ts'
import type { ReplicaSettings } from './options.ts'
import { compareRevisions } from './revision.ts'
import { type LoadRow, loadRow, type ReplicaRow, type RowKeeper } from './row.ts'

/** What it needs. */
export interface SuccessionParts {
  readonly settings: ReplicaSettings
  readonly keeper: RowKeeper
  failed(what: 'look' | 'give-up', error: unknown): void
  /** A group was given up. */
  over(group: string): void
}

/** So many looks of others are waited for before a group that is over is given up: they may still listen under it. */
const LOOKS = 3

/** One after the other. */
export class Succession {
  readonly #parts: SuccessionParts

  constructor(parts: SuccessionParts) {
    this.#parts = parts
  }

  /** Begins to build the next generation where that is wanted. Answers which one is under way, or would be. */
  async begin(wanted: (row: ReplicaRow) => boolean): Promise<number> {
    const { settings, keeper, failed } = this.#parts
    let generation = 1
    let left: LoadRow | undefined
    await keeper.change((row) => {
      left = undefined
      generation = row?.next?.generation ?? (row?.live ?? 0) + 1
      if (row === undefined || !wanted(row)) return undefined
      left = row.next
      generation = (row.next?.generation ?? row.live) + 1
      const now = settings.world.clock.wallNow()
      const over = left === undefined ? row.over : [...row.over, { group: left.group, at: now }]
      return { ...row, next: loadRow(settings, generation, true, now), over }
    })
    if (left?.beside === true)
      await settings.table.discard(left.generation).catch((error: unknown) => failed('look', error))
    return generation
  }

  /** What older code has filled, or fills, is not for this one. */
  async replace(): Promise<void> {
    const { settings, keeper } = this.#parts
    const wanted = ({ live, revision, next }: ReplicaRow): boolean =>
      next === undefined
        ? live > 0 && compareRevisions(settings.revision, revision) > 0
        : next.phase !== 'swapping' && compareRevisions(settings.revision, next.revision) > 0
    if (keeper.latest !== undefined && wanted(keeper.latest)) await this.begin(wanted)
  }

  /** What the broker no longer has is in a new snapshot. Whether one was begun. */
  async mend(expired: ReadonlySet<number>, told: number, loader: string): Promise<boolean> {
    const row = this.#parts.keeper.latest
    if (row === undefined || expired.size === 0) return false
    const { live, next } = row
    if (next === undefined && live > 0 && live === told && expired.has(live))
      await this.begin((now) => now.live === live && now.next === undefined)
    // Of the one that is being built as well: its group is where it was, and would be for ever.
    else if (next?.grouped === true && next.loader === loader && expired.has(next.generation))
      await this.begin((now) => now.next?.generation === next.generation && now.next.phase !== 'swapping')
    else return false
    return true
  }

  /** Gives up groups that have been over for long enough. */
  async giveUp(): Promise<void> {
    const { settings, keeper, failed, over } = this.#parts
    const { giveUp, world, lookEveryMs, pageTimeoutMs } = settings
    const { clock } = world
    const before = clock.wallNow() - LOOKS * lookEveryMs
    for (const { group } of keeper.latest?.over.filter(({ at }) => at <= before) ?? []) {
      try {
        if (giveUp !== undefined)
          await boundedBy(clock, pageTimeoutMs, giveUp(group), 'DEADLINE_EXCEEDED', 'giveUp did not end')
      } catch (error) {
        failed('give-up', error)
        continue
      }
      const mine = await keeper.change((now) =>
        now?.over.some((each) => each.group === group) === true
          ? { ...now, over: now.over.filter((each) => each.group !== group) }
          : undefined,
      )
      if (mine !== undefined) over(group)
    }
  }

  /** Whether what is read is that of newer code. */
  isSuperseded(row: ReplicaRow | undefined): boolean {
    return row !== undefined && row.live > 0 && compareRevisions(this.#parts.settings.revision, row.revision) < 0
  }

  /** @throws FairleadError `INCOMPATIBLE` where code with a newer revision builds, or has built, its own */
  mustBeWanted(): void {
    const { settings, keeper } = this.#parts
    const { name, revision } = settings
    const row = keeper.latest
    const other = row?.next === undefined ? row?.revision : row.next.revision
    if (row === undefined || compareRevisions(revision, other) >= 0) return
    throw incompatible(name, revision, other)
  }
}

function incompatible(name: string, revision: string | undefined, other: string | undefined): FairleadError {
  return createError({
    code: 'INCOMPATIBLE',
    effect: 'none',
    message: `the replica ${name} is that of revision ${other} now, which is newer than ${revision ?? 'none'} of this code`,
  })
}
