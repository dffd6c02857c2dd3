// Fills a table from a snapshot: first the subscription stands, then the snapshot is read, or it begins at the position that was handed out with it; so nothing
// falls between the two. One process does it; it may end at any moment, and another one goes on.

import { detached } from '../../core/async-context.ts'
import { boundedBy } from '../../core/bounded.ts'
import { sleep } from '../../core/clock.ts'
import { formatInstant, LAST_INSTANT } from '../../core/instant.ts'
import { createError } from '../../errors/classes.ts'
import { snapshotEntries } from './applying.ts'
import type { Listening } from './listening.ts'
import type { ReplicaSettings } from './options.ts'
import { sameRevision } from './revision.ts'
import { type LoadRow, loadRow, type ReplicaRow, type RowKeeper } from './row.ts'
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
/** Where the broker cannot say how old what waits is: nothing that is older has come for so long. */
const QUIET_MS = 2_000
const ASK_MS = 5_000
/** To look since when messages are kept may take many questions. */
const RETAINED_MS = 60_000

/** One attempt at a load. */
export class Loading {
  readonly #parts: LoadingParts

  constructor(parts: LoadingParts) {
    this.#parts = parts
  }

  /** Resolves with the row once it is done; with undefined where it is not this process's to do. Rejects where it did not come to its end. */
  async run(): Promise<ReplicaRow | undefined> {
    const first = await this.#take()
    if (first === undefined) return undefined
    const { settings } = this.#parts
    const { name, world } = settings
    const began = world.clock.now()
    const { phase } = first
    const taken = phase === 'loading' ? await this.#room(first) : first
    if (taken === undefined) return undefined
    const { generation } = taken
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

  // A table that has something in it before anybody was to write there is left over from another time: nobody knows what that is, so the next number is taken.
  async #room(taken: LoadRow): Promise<LoadRow | undefined> {
    const { table, world } = this.#parts.settings
    for (let load = taken; ; ) {
      if (!load.beside || load.grouped || (await table.beside(load.generation))) return load
      const { generation: left, group } = load
      try {
        load = await this.#hold(left, () => ({
          ...loadRow(this.#parts.settings, left + 1, true, world.clock.wallNow()),
          loader: load.loader,
        }))
      } catch (error) {
        if (error instanceof Superseded) return undefined
        throw error
      }
      // Its subscription may have been made by an attempt that ended right after.
      await this.#over(group)
      await table.discard(left)
    }
  }

  async #over(group: string): Promise<void> {
    const { keeper, settings } = this.#parts
    const at = settings.world.clock.wallNow()
    await keeper.change((row) => (row === undefined ? undefined : { ...row, over: [...row.over, { group, at }] }))
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
      // Tables that were changing places need no code of theirs to get to the end of it.
      if (!sameRevision(row.next.revision, settings.revision) && row.next.phase !== 'swapping') return undefined
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
        await this.#reaches(position)
        await listening.listen(generation, group, position)
        // Again: from here on nothing is taken away that the group waits for.
        await this.#reaches(position)
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
      await this.#hold(generation, () => ({
        phase: 'catching-up',
        cursor: undefined,
        beganAt,
        filledAt: settings.world.clock.wallNow(),
      }))
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

  // A group that begins at a time gets what is left of it, and no transport says that something was there before.
  async #reaches(position: SnapshotPosition | undefined): Promise<void> {
    if (position === undefined || !('time' in position)) return
    const { transport, channel } = this.#parts.settings
    const since = await this.#asked(transport.retainedSince?.({ kind: channel.kind, name: channel.name }), RETAINED_MS)
    if (since === undefined || position.time >= since) return
    const iso = (at: number): string => (Math.abs(at) > LAST_INSTANT ? String(at) : formatInstant(at))
    throw createError({
      code: 'POSITION_EXPIRED',
      message: `the snapshot is of ${iso(position.time)}, and ${channel.name} keeps all messages only since ${iso(since)}: hand out a newer snapshot, or keep messages for longer`,
      channel: channel.name,
      details: { time: position.time, earliest: since },
    })
  }

  #asked<T>(work: Promise<T> | undefined, withinMs: number = ASK_MS): Promise<T | undefined> {
    const { clock } = this.#parts.settings.world
    return work === undefined
      ? Promise.resolve(undefined)
      : boundedBy(clock, withinMs, work, 'DEADLINE_EXCEEDED', 'the broker gave no answer')
  }

  /**
   * The copy must not go back in time when the new one takes the place of the old one, or say that it is complete before it is: all that was published before the snapshot was in
   * has to be in the copy. What comes later is no part of it, or a busy topic would never be caught up with. Nobody else listens for this generation yet, so what is
   * held is held here. Answers whether the broker has said so.
   */
  async #catchUp(load: LoadRow): Promise<boolean> {
    const { listening, settings, signal } = this.#parts
    const { clock } = settings.world
    const until = load.filledAt ?? load.beganAt
    await listening.listen(load.generation, load.group, load.position)
    for (;;) {
      const consumer = listening.of(load.generation)
      const at = clock.wallNow()
      const backlog = await this.#asked(consumer?.lag())
      const underway = listening.underway(load.generation)
      const quiet = consumer?.health().state === 'running' && (underway?.quietMs(until) ?? 0) >= QUIET_MS
      // Looked at after the broker was asked: what it handed out meanwhile is here.
      if ((underway?.oldest() ?? Infinity) > until) {
        if (backlog?.waiting === 0) return true
        if (backlog?.oldestMs === undefined ? quiet : at - backlog.oldestMs > until) return backlog !== undefined
      }
      await this.#hold(load.generation)
      await sleep(clock, CATCH_UP_MS, signal)
    }
  }

  async #finish(generation: number, proven: boolean): Promise<ReplicaRow> {
    const { keeper, loader, settings, signal } = this.#parts
    const { clock } = settings.world
    const load = await this.#hold(generation, ({ beside }) => (beside ? { phase: 'swapping' } : {}))
    if (load.beside) {
      // Code without a revision does not look at the row with each change: it has to find out first.
      const { live = 0, revision } = keeper.latest ?? {}
      if (live > 0 && revision === undefined && load.revision !== undefined)
        for (let looks = 0; looks < 2; looks++) {
          await sleep(clock, settings.lookEveryMs, signal)
          await this.#hold(generation)
        }
      await settings.table.swap(generation)
    }
    const now = clock.wallNow()
    const row = await keeper.change((row) => {
      if (row?.next?.generation !== generation || row.next.loader !== loader) throw new Superseded()
      const { group, beganAt, filledAt = beganAt, position, revision } = row.next
      const begins = position === undefined ? beganAt : 'time' in position ? Math.min(position.time, beganAt) : 0
      const asOf = proven ? filledAt : begins
      const over = row.live === 0 ? row.over : [...row.over, { group: row.group, at: now }]
      return { v: 1, live: generation, group, ...(revision === undefined ? {} : { revision }), asOf, over }
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

/** Lets others go on at once with what a process has loaded. */
export async function release(keeper: RowKeeper, loader: string): Promise<void> {
  if (keeper.latest?.next?.loader !== loader) return
  await keeper.change((row) =>
    row?.next?.loader === loader && row.next.until > 0 ? { ...row, next: { ...row.next, until: 0 } } : undefined,
  )
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
