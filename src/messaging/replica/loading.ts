// Fills a table from a snapshot: first the subscription stands, then the snapshot is read, or it begins at the position that was handed out with it; so nothing
// falls between the two. One process does it; it may end at any moment, and another one goes on.

import { detached } from '../../core/async-context.ts'
import { boundedBy } from '../../core/bounded.ts'
import { sleep } from '../../core/clock.ts'
import { createError } from '../../errors/classes.ts'
import { snapshotEntries } from './applying.ts'
import type { Listening } from './listening.ts'
import type { ReplicaSettings } from './options.ts'
import type { LoadRow, ReplicaRow, RowKeeper } from './row.ts'
import type { SnapshotPage, SnapshotPosition } from './types.ts'

/** What a load needs. */
export interface LoadingParts {
  readonly settings: ReplicaSettings
  readonly keeper: RowKeeper
  readonly listening: Listening
  /** Names this process. */
  readonly loader: string
  readonly signal: AbortSignal
}

/** Somebody else has taken it over, or it is not wanted any more. */
class Superseded extends Error {}

type Pages = AsyncIterator<SnapshotPage<unknown>>

const CATCH_UP_MS = 200
/** With so few, or so young ones, it has caught up: on a busy topic there is always something on its way. */
const FEW = 100
const YOUNG_MS = 1_000

/** One attempt at a load. */
export class Loading {
  readonly #parts: LoadingParts

  constructor(parts: LoadingParts) {
    this.#parts = parts
  }

  /** Resolves with the row once it is done; with undefined where it is not this process's to do. Rejects where it did not come to its end. */
  async run(): Promise<ReplicaRow | undefined> {
    const taken = await this.#take()
    if (taken === undefined) return undefined
    const { settings } = this.#parts
    const { name, world } = settings
    const { generation, phase } = taken
    const began = world.clock.now()
    if (world.events.heard && phase === 'loading')
      world.events.emit({ type: 'replica-loading', replica: name, generation, resumed: taken.cursor !== undefined })
    try {
      if (phase === 'loading') await this.#fill(taken)
      const now = await this.#hold(generation)
      const proven = now.phase === 'catching-up' && (await this.#catchUp(now))
      if (now.phase === 'catching-up' && now.beside && (this.#parts.keeper.latest?.live ?? 0) > 0)
        await settings.table.carry(generation)
      const row = await this.#finish(generation, proven)
      if (world.events.heard)
        world.events.emit({
          type: 'replica-loaded',
          replica: name,
          generation,
          entries: now.entries,
          elapsedMs: world.clock.now() - began,
        })
      return row
    } catch (error) {
      if (error instanceof Superseded) return undefined
      throw error
    }
  }

  /** Lets others go on at once. */
  async release(): Promise<void> {
    const { keeper, loader } = this.#parts
    if (keeper.latest?.next?.loader !== loader) return
    await keeper.change((row) =>
      row?.next?.loader === loader && row.next.until > 0 ? { ...row, next: { ...row.next, until: 0 } } : undefined,
    )
  }

  #until(): number {
    const { world, pageTimeoutMs } = this.#parts.settings
    return world.clock.wallNow() + 2 * pageTimeoutMs
  }

  async #take(): Promise<LoadRow | undefined> {
    const { keeper, loader, settings } = this.#parts
    const now = settings.world.clock.wallNow()
    const row = await keeper.change((row) => {
      if (row?.next === undefined || (row.next.loader !== loader && row.next.until > now)) return undefined
      return { ...row, next: { ...row.next, loader, until: this.#until() } }
    })
    return row?.next
  }

  // Every step of a load is a compare-and-set: whoever was away for too long finds here that somebody else has taken over.
  async #hold(
    generation: number,
    change: (load: LoadRow) => Partial<LoadRow> = () => ({}),
    work?: (tx: unknown) => Promise<void>,
  ): Promise<LoadRow> {
    const { keeper, loader, signal } = this.#parts
    signal.throwIfAborted()
    const row = await keeper.change((row) => {
      const load = row?.next
      if (row === undefined || load === undefined || load.generation !== generation || load.loader !== loader)
        throw new Superseded()
      return { ...row, next: { ...load, ...change(load), until: this.#until() } }
    }, work)
    return row?.next as LoadRow
  }

  async #fill(taken: LoadRow): Promise<void> {
    const { settings, listening } = this.#parts
    const { generation, group } = taken
    if (taken.beside) await settings.table.beside(generation)
    const { replay } = settings.transport.capabilities
    let load = taken
    let pages: Pages | undefined
    let page: SnapshotPage<unknown> | undefined
    const stop = new AbortController()
    const end = (): void => stop.abort(this.#parts.signal.reason)
    this.#parts.signal.addEventListener('abort', end, { once: true })
    try {
      let beganAt = settings.world.clock.wallNow()
      if (!load.grouped) {
        let position: SnapshotPosition | undefined
        if (replay) {
          pages = this.#pages(undefined, stop.signal)
          page = await this.#next(pages)
          position = page?.position
          if (position === undefined) {
            // Of now, then: what it has read so far was read before anybody listened.
            giveBack(pages)
            pages = undefined
          }
        }
        await listening.listen(generation, group, position)
        load = await this.#hold(generation, () => ({ grouped: true, position, cursor: undefined }))
      } else await listening.listen(generation, group, load.position)
      if (pages === undefined) {
        beganAt = load.cursor === undefined ? settings.world.clock.wallNow() : load.beganAt
        pages = this.#pages(load.cursor, stop.signal)
        page = await this.#next(pages)
      }
      for (let anew = load.cursor === undefined; page !== undefined; anew = false) {
        load = await this.#write(load, page, beganAt, anew)
        page = await this.#next(pages)
      }
      await this.#hold(generation, () => ({ phase: 'catching-up', cursor: undefined, beganAt }))
    } finally {
      this.#parts.signal.removeEventListener('abort', end)
      stop.abort()
      if (pages !== undefined) giveBack(pages)
    }
  }

  async #write(
    { generation, beside }: LoadRow,
    page: SnapshotPage<unknown>,
    beganAt: number,
    anew: boolean,
  ): Promise<LoadRow> {
    const { table, keep, world } = this.#parts.settings
    const entries = snapshotEntries(page.entries, keep)
    const at = world.clock.wallNow()
    return await this.#hold(
      generation,
      (now) => ({ cursor: page.cursor, beganAt, entries: (anew ? 0 : now.entries) + entries.length }),
      async (tx) => {
        if (entries.length > 0) await table.write(tx, { generation, beside }, entries, at)
      },
    )
  }

  // The copy must not go back in time when the new one takes the place of the old one, or say that it is complete before it is. Whether that is known.
  async #catchUp(load: LoadRow): Promise<boolean> {
    const { listening, settings, signal } = this.#parts
    const { clock } = settings.world
    await listening.listen(load.generation, load.group, load.position)
    for (;;) {
      const consumer = listening.of(load.generation)
      const { held } = consumer?.health() ?? { held: 0 }
      const backlog = await consumer?.lag()
      if (backlog === undefined) return false
      const few = backlog.waiting === 0 ? held === 0 : backlog.waiting <= FEW && (backlog.oldestMs ?? 0) <= YOUNG_MS
      if (few) return true
      await this.#hold(load.generation)
      await sleep(clock, CATCH_UP_MS, signal)
    }
  }

  async #finish(generation: number, proven: boolean): Promise<ReplicaRow> {
    const { keeper, loader, settings } = this.#parts
    const load = await this.#hold(generation, ({ beside }) => (beside ? { phase: 'swapping' } : {}))
    if (load.beside) await settings.table.swap(generation)
    const row = await keeper.change((row) => {
      if (row?.next?.generation !== generation || row.next.loader !== loader) throw new Superseded()
      const { group, beganAt, position } = row.next
      const asOf =
        proven || position === undefined ? beganAt : 'time' in position ? Math.min(position.time, beganAt) : 0
      const over = row.live === 0 ? row.over : [...row.over, row.group]
      return { v: 1, live: generation, group, asOf, over }
    })
    return row as ReplicaRow
  }

  #pages(after: string | undefined, signal: AbortSignal): Pages {
    const { snapshot } = this.#parts.settings
    return detached(() => snapshot({ after, signal })[Symbol.asyncIterator]())
  }

  async #next(pages: Pages): Promise<SnapshotPage<unknown> | undefined> {
    const { settings, signal } = this.#parts
    const { clock } = settings.world
    signal.throwIfAborted()
    const { done, value } = await orAborted(
      boundedBy(clock, settings.pageTimeoutMs, pages.next(), 'DEADLINE_EXCEEDED', 'the snapshot gave no page'),
      signal,
    )
    if (done === true) return undefined
    if (!Array.isArray((value as SnapshotPage<unknown> | undefined)?.entries))
      throw createError({
        code: 'INVALID_INPUT',
        message: 'a page of the snapshot has no entries: yield { entries: [...] }',
      })
    return value
  }
}

function orAborted<T>(work: Promise<T>, signal: AbortSignal): Promise<T> {
  return new Promise((resolve, reject) => {
    const end = (): void => reject(signal.reason)
    signal.addEventListener('abort', end, { once: true })
    work.then(resolve, reject).finally(() => signal.removeEventListener('abort', end))
  })
}

// It may be in the middle of something: nobody waits for its end.
function giveBack(pages: Pages): void {
  Promise.resolve(pages.return?.()).catch(nothing)
}

function nothing(): void {}
