// A local copy of somebody else's data: one row says where it is, this process listens and loads as that row says, and reads say how old it is.
import { detached } from '../../core/async-context.ts'
import { boundedBy } from '../../core/bounded.ts'
import { sleep, type Timer } from '../../core/clock.ts'
import type { Backlog } from '../../core/contracts/transport.ts'
import { DESCRIBE, type Description } from '../../core/describe.ts'
import { closeWithin } from '../../core/lifecycle.ts'
import { endsWithin } from '../../core/patience.ts'
import type { ReplicaEvent } from '../../core/replica-events.ts'
import { uuidV7 } from '../../core/uuid.ts'
import type { FairleadError } from '../../errors/base.ts'
import { classify } from '../../errors/classify.ts'
import { Purger } from '../inbox/purger.ts'
import type { MessageTypes } from '../types.ts'
import { Applying } from './applying.ts'
import { Freshness } from './freshness.ts'
import { Listening } from './listening.ts'
import { Loading, release } from './loading.ts'
import { type ReplicaSettings, replicaSettings } from './options.ts'
import { readCopy } from './reading.ts'
import { sameRevision } from './revision.ts'
import { loadRow, RowKeeper } from './row.ts'
import { descriptionOf, stalenessOf } from './standing.ts'
import { Succession } from './succession.ts'
import type { ReplicaKey } from './table.ts'
import type { Reading, ReadOptions, Replica, ReplicaOptions, ReplicaWait, Staleness } from './types.ts'
import { closedError, Waiting } from './waiting.ts'

/**
 * Makes a replica; nothing happens before `start()`.
 * @throws FairleadError `INVALID_OPTIONS`
 * @example
 * const customers = replica({
 *   name: 'customers', store, table: sqlReplicaTable(driver, { table: 'customer_copy', columns: { name: 'text' } }), transport, channel: Customers,
 *   changes: {
 *     'customer.changed': ({ data }) => ({ key: data.id, version: data.version, value: { name: data.name } }),
 *     'customer.closed': ({ data }) => ({ key: data.id, version: data.version, gone: true }),
 *   },
 *   snapshot: snapshotFrom((request, { signal }) => customerService.snapshot(request, { signal })),
 * })
 * await customers.start()
 * await customers.ready()
 * const { value, ageMs } = await customers.read('c-1', { maxAgeMs: 60_000, otherwise: (id) => customerService.find({ id }) })
 */
export function replica<Types extends MessageTypes, Tx, Value>(
  options: ReplicaOptions<Types, Tx, Value>,
): Replica<Tx, Value> {
  return new Copy<Tx, Value>(replicaSettings(options as never))
}

const FIRST_MS = 1_000
const LONGEST_MS = 60_000
/** While something is under way its end is looked for more often. */
const SOON_MS = 200
const CLOSE_WITHIN_MS = 30_000

class Copy<Tx, Value> implements Replica<Tx, Value> {
  readonly name: string
  readonly #settings: ReplicaSettings
  readonly #keeper: RowKeeper
  readonly #freshness: Freshness
  readonly #listening: Listening
  readonly #succession: Succession
  readonly #loader: string
  readonly #purger: Purger | undefined
  readonly #ending = new AbortController()
  readonly #waiting: Waiting
  #closing: Promise<void> | undefined
  #starting: Promise<void> | undefined
  #looking: Promise<void> | undefined
  #loading: Promise<void> | undefined
  #timer: Timer
  /** The generation that this process goes by. */
  #told: number
  #tries: number
  /** What went wrong last, by what it was, until that goes well. */
  readonly #errors: Map<string, FairleadError>
  /** Generations for which the broker no longer keeps what comes next. */
  readonly #expired: Set<number>

  constructor(settings: ReplicaSettings) {
    const { name, table, world, tombstonesMs, purgeEveryMs, probeEveryMs } = settings
    const { clock } = world
    this.name = name
    this.#settings = settings
    this.#keeper = new RowKeeper(settings)
    this.#freshness = new Freshness({
      clock,
      everyMs: probeEveryMs,
      tells: settings.transport.inspect !== undefined,
      ask: () => this.#backlog(),
      held: () => this.#listening.underway(this.#told)?.oldest(),
    })
    const applying = new Applying(settings, this.#keeper, this.#freshness)
    this.#listening = new Listening(settings, {
      apply: (generation, message, context) => applying.apply(generation, message, context),
      expired: (generation) => {
        this.#expired.add(generation)
        this.#lookNow()
      },
    })
    this.#succession = new Succession({
      settings,
      keeper: this.#keeper,
      failed: (what, error) => this.#failed(what, error),
      over: (group) => {
        this.#errors.delete('give-up')
        this.#tell({ type: 'replica-group-over', replica: name, group })
      },
    })
    this.#errors = new Map()
    this.#expired = new Set()
    this.#loader = uuidV7(clock)
    this.#purger =
      purgeEveryMs === false
        ? undefined
        : new Purger(
            {
              retentionMs: tombstonesMs,
              purge: async (olderThanMs, limit) => {
                if (this.#succession.isSuperseded(this.#keeper.latest)) return 0
                const count = await table.purge(clock.wallNow() - olderThanMs, limit)
                this.#errors.delete('purge')
                return count
              },
            },
            purgeEveryMs,
            clock,
            world.random,
            { purged: nothing, failed: (error) => this.#failed('purge', error) },
          )
    this.#waiting = new Waiting(name, clock, this.#ending.signal, () => this.#lastError())
    this.#told = 0
    this.#tries = 0
  }

  start(): Promise<void> {
    if (this.#ending.signal.aborted) return Promise.reject(closedError(this.name))
    this.#starting ??= detached(() => this.#start()).catch((error: unknown) => {
      this.#starting = undefined
      throw error
    })
    return this.#starting
  }

  async #start(): Promise<void> {
    await this.#settings.table.check()
    await this.#keeper.load()
    await this.#create()
    await this.#follow()
    this.#purger?.start()
    this.#arm(0)
    this.#freshness.start()
  }

  // Whoever comes first; the others find its row.
  async #create(): Promise<void> {
    if (this.#keeper.latest !== undefined) return
    const { table, group, world } = this.#settings
    const beside = !(await table.isEmpty())
    const next = loadRow(this.#settings, 1, beside, world.clock.wallNow())
    await this.#keeper.change((row) =>
      row === undefined ? { v: 1, live: 0, group, asOf: 0, next, over: [] } : undefined,
    )
    if (this.#keeper.latest === undefined) await this.#keeper.load()
  }

  async ready(wait?: ReplicaWait): Promise<void> {
    let failed: { readonly error: unknown } | undefined
    if (this.#starting === undefined)
      this.start().catch((error: unknown) => {
        failed = { error }
        this.#waiting.wake()
      })
    const loaded = (): boolean => {
      if (failed !== undefined) throw failed.error
      return this.#goesBy(1)
    }
    await this.#waiting.until(loaded, 'loaded', wait)
  }

  async rebuild(wait?: ReplicaWait): Promise<void> {
    await this.start()
    const generation = await this.#succession.begin((row) => row.next === undefined)
    this.#lookNow()
    await this.#waiting.until(() => this.#goesBy(generation), 'rebuilt', wait)
  }

  // This one, or a later one. Throws where another revision has taken over.
  #goesBy(generation: number): boolean {
    if (this.#told >= generation) return true
    this.#succession.mustBeWanted()
    return false
  }

  read(key: ReplicaKey, options: ReadOptions<Tx, Value> = {}): Promise<Reading<Value>> {
    return readCopy(
      {
        settings: this.#settings,
        freshness: this.#freshness,
        state: () =>
          this.#told > 0 ? 'loaded' : this.#succession.isSuperseded(this.#keeper.latest) ? 'revision' : 'loading',
        tell: (event) => this.#tell(event),
      },
      key,
      options as ReadOptions<unknown, unknown>,
    ) as Promise<Reading<Value>>
  }

  async staleness(): Promise<Staleness> {
    await this.#freshness.ask()
    const row = this.#keeper.latest
    return stalenessOf({
      row,
      told: this.#told,
      superseded: this.#succession.isSuperseded(row),
      ended: this.#ending.signal.aborted,
      consumer: this.#listening.of(this.#told),
      freshness: this.#freshness,
      lastError: this.#lastError(),
    })
  }

  #lastError(): FairleadError | undefined {
    return [...this.#errors.values()].at(-1)
  }

  async #backlog(): Promise<Backlog | undefined> {
    const consumer = this.#listening.of(this.#told)
    return consumer?.health().state === 'running' ? await consumer.lag() : undefined
  }

  // ---- what the row says is done

  #arm(ms: number): void {
    const { clock } = this.#settings.world
    clock.clearTimer(this.#timer)
    if (this.#ending.signal.aborted) return
    this.#timer = clock.setTimer(() => this.#lookNow(), ms, undefined)
    clock.unref(this.#timer)
  }

  #lookNow(): void {
    if (this.#ending.signal.aborted) return
    this.#looking ??= detached(() => this.#boundedLook()).finally(() => {
      this.#looking = undefined
      const row = this.#keeper.latest
      this.#arm(row?.next === undefined || this.#loading === undefined ? this.#settings.lookEveryMs : SOON_MS)
    })
  }

  // A database, a broker or a giveUp that never answers must not be the end of all looks.
  async #boundedLook(): Promise<void> {
    const { world, pageTimeoutMs } = this.#settings
    try {
      await boundedBy(world.clock, 2 * pageTimeoutMs, this.#look(), 'DEADLINE_EXCEEDED', 'the look did not end')
      this.#errors.delete('look')
    } catch (error) {
      this.#failed('look', error)
    }
    this.#waiting.wake()
  }

  async #look(): Promise<void> {
    await this.#keeper.load()
    await this.#follow()
    if (await this.#succession.mend(this.#expired, this.#told, this.#loader)) await this.#follow()
    if (this.#told > 0) await this.#succession.giveUp()
  }

  // Listens as the row says, loads where nobody does.
  async #follow(): Promise<void> {
    await this.#succession.replace()
    const row = this.#keeper.latest
    if (row === undefined || this.#ending.signal.aborted) return
    const { revision } = this.#settings
    const live = row.live > 0 && sameRevision(row.revision, revision) ? row.live : 0
    if (live !== this.#told) {
      // A copy that is complete can be read, whatever the broker does.
      this.#told = live
      this.#freshness.forget()
      if (live > 0) {
        this.#freshness.known(row.asOf)
        this.#tell({ type: 'replica-live', replica: this.name, generation: live })
      }
    }
    if (live > 0) await this.#listen(live, row.group)
    // It may have begun to load meanwhile.
    const { next } = this.#keeper.latest ?? row
    // Who loads one is the only one that listens for it: what others held nobody would know of.
    const mine = next?.loader === this.#loader && sameRevision(next.revision, revision) ? [next.generation] : []
    await this.#listening.only([...(live > 0 ? [live] : []), ...mine])
    if (next !== undefined && (next.phase === 'swapping' || sameRevision(next.revision, revision))) this.#load()
  }

  async #listen(generation: number, group: string): Promise<void> {
    try {
      await this.#listening.listen(generation, group)
      this.#errors.delete('subscribe')
    } catch (error) {
      // The start says so; later on it is tried again at each look.
      if (this.#told === 0 && this.#looking === undefined) throw error
      this.#failed('subscribe', error)
    }
  }

  #load(): void {
    this.#loading ??= this.#attempts().finally(() => {
      this.#loading = undefined
      this.#waiting.wake()
    })
  }

  async #attempts(): Promise<void> {
    const { clock, random } = this.#settings.world
    const { signal } = this.#ending
    while (!signal.aborted && this.#keeper.latest?.next !== undefined) {
      const { generation } = this.#keeper.latest.next
      const loading = new Loading({
        settings: this.#settings,
        keeper: this.#keeper,
        listening: this.#listening,
        loader: this.#loader,
        signal,
      })
      try {
        const row = await loading.run()
        this.#tries = 0
        if (row !== undefined) {
          this.#errors.delete('load')
          this.#lookNow()
        }
        return
      } catch (error) {
        if (signal.aborted) return
        const known = classify(error, { channel: this.#settings.channel.name })
        const waitMs = Math.min(FIRST_MS * 2 ** this.#tries, LONGEST_MS) * (0.5 + random() / 2)
        this.#tries = Math.min(this.#tries + 1, 10)
        this.#note('load', known)
        this.#tell({ type: 'replica-load-failed', replica: this.name, generation, error: known, waitMs })
        await sleep(clock, waitMs, signal).catch(nothing)
      }
    }
  }

  // ---- ending, telling

  close(options: { readonly withinMs?: number | undefined } = {}): Promise<void> {
    if (this.#closing !== undefined) return this.#closing
    return closeWithin(options, CLOSE_WITHIN_MS, (withinMs) => {
      this.#closing = detached(() => this.#close(withinMs))
      return this.#closing
    })
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close()
  }

  async #close(withinMs: number): Promise<void> {
    const { clock } = this.#settings.world
    const endsAt = clock.now() + withinMs
    const left = (): number => Math.max(0, endsAt - clock.now())
    this.#ending.abort(closedError(this.name))
    clock.clearTimer(this.#timer)
    this.#freshness.stop()
    this.#purger?.stop()
    this.#waiting.wake()
    const ends = (work: Promise<unknown>): Promise<unknown> => endsWithin(work, left(), clock).catch(nothing)
    await ends(Promise.allSettled([this.#starting, this.#looking, this.#loading]))
    await this.#listening.close(left())
    // Last: whoever goes on then finds what was held here given back.
    await ends(release(this.#keeper, this.#loader))
  }

  #failed(what: 'look' | 'subscribe' | 'purge' | 'give-up', error: unknown): void {
    const known = classify(error, { channel: this.#settings.channel.name })
    this.#note(what, known)
    this.#tell({ type: 'replica-failed', replica: this.name, what, error: known })
  }

  // The youngest is the last one.
  #note(what: string, error: FairleadError): void {
    this.#errors.delete(what)
    this.#errors.set(what, error)
  }

  #tell(event: ReplicaEvent): void {
    const { events } = this.#settings.world
    if (events.heard) events.emit(event)
  }

  [DESCRIBE](): Description {
    return descriptionOf(this.#settings, this.#keeper.latest)
  }
}

function nothing(): void {}
