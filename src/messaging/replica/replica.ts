// A local copy of somebody else's data: one row says where it is, this process listens and loads as that row says, and reads say how old it is.
import { detached } from '../../core/async-context.ts'
import { sleep, type Timer } from '../../core/clock.ts'
import { DESCRIBE, type Description } from '../../core/describe.ts'
import { type Closable, closable } from '../../core/lifecycle.ts'
import type { ReplicaEvent } from '../../core/replica-events.ts'
import { uuidV7 } from '../../core/uuid.ts'
import type { FairleadError } from '../../errors/base.ts'
import { classify } from '../../errors/classify.ts'
import { Purger } from '../inbox/purger.ts'
import type { MessageTypes } from '../types.ts'
import { Applying } from './applying.ts'
import { Freshness } from './freshness.ts'
import { Listening } from './listening.ts'
import { Loading } from './loading.ts'
import { type ReplicaSettings, replicaSettings } from './options.ts'
import { readCopy } from './reading.ts'
import { loadRow, type ReplicaRow, RowKeeper } from './row.ts'
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

class Copy<Tx, Value> implements Replica<Tx, Value> {
  readonly name: string
  readonly #settings: ReplicaSettings
  readonly #keeper: RowKeeper
  readonly #freshness: Freshness
  readonly #listening: Listening
  readonly #loader: string
  readonly #purger: Purger | undefined
  readonly #ending = new AbortController()
  readonly #closing: Closable
  readonly #waiting: Waiting
  #withinMs: number | undefined
  #starting: Promise<void> | undefined
  #looking: Promise<void> | undefined
  #loading: Promise<void> | undefined
  #timer: Timer
  /** The generation that this process goes by. */
  #told: number
  #tries: number
  #lastError: FairleadError | undefined

  constructor(settings: ReplicaSettings) {
    const { name, table, world, tombstonesMs, purgeEveryMs, probeEveryMs } = settings
    const { clock } = world
    this.name = name
    this.#settings = settings
    this.#keeper = new RowKeeper(settings)
    this.#freshness = new Freshness({ clock, everyMs: probeEveryMs, ask: () => this.#backlog() })
    const applying = new Applying(settings, this.#keeper, this.#freshness)
    this.#listening = new Listening(settings, (generation, message, context) =>
      applying.apply(generation, message, context),
    )
    this.#loader = uuidV7(clock)
    this.#purger =
      purgeEveryMs === false
        ? undefined
        : new Purger(
            {
              retentionMs: tombstonesMs,
              purge: (olderThanMs, limit) => table.purge(clock.wallNow() - olderThanMs, limit),
            },
            purgeEveryMs,
            clock,
            world.random,
            { purged: nothing, failed: (error) => this.#failed('purge', error) },
          )
    this.#waiting = new Waiting(name, clock, this.#ending.signal, () => this.#lastError)
    this.#told = 0
    this.#tries = 0
    this.#closing = closable(() => detached(() => this.#close()))
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
  }

  // Whoever comes first; the others find its row.
  async #create(): Promise<void> {
    if (this.#keeper.latest !== undefined) return
    const { table, group, world } = this.#settings
    const beside = !(await table.isEmpty())
    const next = loadRow(1, group, beside, world.clock.wallNow())
    await this.#keeper.change((row) =>
      row === undefined ? { v: 1, live: 0, group, asOf: 0, next, over: [] } : undefined,
    )
    if (this.#keeper.latest === undefined) await this.#keeper.load()
  }

  async ready(wait?: ReplicaWait): Promise<void> {
    await this.#waiting.until(() => (this.#keeper.latest?.live ?? 0) > 0 && this.#told > 0, 'loaded', wait)
  }

  async rebuild(wait?: ReplicaWait): Promise<void> {
    await this.start()
    const { clock } = this.#settings.world
    let generation = 1
    await this.#keeper.change((row) => {
      generation = row?.next?.generation ?? (row?.live ?? 0) + 1
      if (row === undefined || row.next !== undefined) return undefined
      const next = loadRow(generation, `${this.#settings.group}.g${generation}`, true, clock.wallNow())
      return { ...row, next }
    })
    this.#lookNow()
    await this.#waiting.until(
      () => (this.#keeper.latest?.live ?? 0) >= generation && this.#told >= generation,
      'rebuilt',
      wait,
    )
  }

  read(key: ReplicaKey, options: ReadOptions<Tx, Value> = {}): Promise<Reading<Value>> {
    return readCopy(
      {
        settings: this.#settings,
        freshness: this.#freshness,
        loaded: () => this.#told > 0,
        tell: (event) => this.#tell(event),
      },
      key,
      options as ReadOptions<unknown, unknown>,
    ) as Promise<Reading<Value>>
  }

  async staleness(): Promise<Staleness> {
    await this.#freshness.ask()
    const { waiting, lastEventAt, lastAppliedAt, applied, skipped } = this.#freshness
    const row = this.#keeper.latest
    return {
      state: this.#state(row),
      generation: row?.live ?? 0,
      waiting,
      lastEventAt,
      lastAppliedAt,
      behindMs: this.#told === 0 ? Infinity : this.#freshness.age(),
      applied,
      skipped,
      loaded: row?.next?.entries,
      lastError: this.#lastError ?? this.#listening.of(this.#told)?.health().lastError,
    }
  }

  #state(row: ReplicaRow | undefined): Staleness['state'] {
    if (row === undefined) return 'empty'
    if (row.live === 0 || this.#told === 0) return this.#ending.signal.aborted ? 'stopped' : 'loading'
    const { state } = this.#listening.of(this.#told)?.health() ?? { state: 'closed' }
    if (state !== 'running' && state !== 'throttled') return 'stopped'
    return row.next === undefined ? 'live' : 'rebuilding'
  }

  async #backlog(): Promise<
    { readonly waiting: number; readonly oldestMs?: number; readonly held: number } | undefined
  > {
    const consumer = this.#listening.of(this.#told)
    if (consumer?.health().state !== 'running') return undefined
    const backlog = await consumer.lag()
    if (backlog === undefined) return undefined
    const { waiting, oldestMs } = backlog
    return { waiting, held: consumer.health().held, ...(oldestMs === undefined ? {} : { oldestMs }) }
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
    this.#looking ??= detached(() => this.#look()).finally(() => {
      this.#looking = undefined
      const row = this.#keeper.latest
      this.#arm(row?.next === undefined || this.#loading === undefined ? this.#settings.lookEveryMs : SOON_MS)
    })
  }

  async #look(): Promise<void> {
    try {
      await this.#keeper.load()
      await this.#follow()
      await this.#mend()
      await this.#giveUp()
    } catch (error) {
      this.#failed('look', error)
    }
    this.#waiting.wake()
  }

  // Listens as the row says, loads where nobody does.
  async #follow(): Promise<void> {
    const row = this.#keeper.latest
    if (row === undefined || this.#ending.signal.aborted) return
    const { live, group, next } = row
    if (live > 0 && live !== this.#told) {
      // A copy that is complete can be read, whatever the broker does.
      this.#told = live
      this.#freshness.known(row.asOf)
      this.#tell({ type: 'replica-live', replica: this.name, generation: live })
    }
    if (live > 0) await this.#listen(live, group)
    if (next?.grouped === true) await this.#listen(next.generation, next.group)
    await this.#listening.only([...(live > 0 ? [live] : []), ...(next === undefined ? [] : [next.generation])])
    if (next !== undefined) this.#load()
  }

  async #listen(generation: number, group: string): Promise<void> {
    try {
      await this.#listening.listen(generation, group)
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
          this.#lastError = undefined
          this.#lookNow()
        }
        return
      } catch (error) {
        if (signal.aborted) {
          await loading.release().catch(nothing)
          return
        }
        const known = this.#asError(error)
        const waitMs = Math.min(FIRST_MS * 2 ** this.#tries, LONGEST_MS) * (0.5 + random() / 2)
        this.#tries = Math.min(this.#tries + 1, 10)
        this.#lastError = known
        this.#tell({ type: 'replica-load-failed', replica: this.name, generation, error: known, waitMs })
        await sleep(clock, waitMs, signal).catch(nothing)
      }
    }
  }

  // What is out of reach at the broker is in a new snapshot.
  async #mend(): Promise<void> {
    const row = this.#keeper.latest
    if (row === undefined || row.live === 0 || row.next !== undefined) return
    if (this.#listening.of(row.live)?.health().lastError?.code !== 'POSITION_EXPIRED') return
    await this.rebuild({ withinMs: 1 }).catch(nothing)
  }

  async #giveUp(): Promise<void> {
    const { giveUp } = this.#settings
    const row = this.#keeper.latest
    if (row === undefined || row.over.length === 0 || row.live !== this.#told) return
    for (const group of row.over) {
      try {
        await giveUp?.(group)
      } catch (error) {
        this.#failed('give-up', error)
        continue
      }
      const mine = await this.#keeper.change((now) =>
        now?.over.includes(group) === true ? { ...now, over: now.over.filter((each) => each !== group) } : undefined,
      )
      if (mine !== undefined) this.#tell({ type: 'replica-group-over', replica: this.name, group })
    }
  }

  // ---- ending, telling

  close(options: { readonly withinMs?: number | undefined } = {}): Promise<void> {
    this.#withinMs = options.withinMs
    return this.#closing.close()
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close()
  }

  async #close(): Promise<void> {
    this.#ending.abort(closedError(this.name))
    this.#settings.world.clock.clearTimer(this.#timer)
    this.#purger?.stop()
    this.#waiting.wake()
    await Promise.allSettled([this.#starting, this.#looking, this.#loading])
    await this.#listening.close(this.#withinMs)
  }

  #asError(error: unknown): FairleadError {
    return classify(error, { channel: this.#settings.channel.name })
  }

  #failed(what: 'look' | 'subscribe' | 'purge' | 'give-up', error: unknown): void {
    const known = this.#asError(error)
    this.#lastError = known
    this.#tell({ type: 'replica-failed', replica: this.name, what, error: known })
  }

  #tell(event: ReplicaEvent): void {
    const { events } = this.#settings.world
    if (events.heard) events.emit(event)
  }

  [DESCRIBE](): Description {
    const { transport, channel, group, table, changes, tombstonesMs, lookEveryMs, probeEveryMs } = this.#settings
    return {
      what: 'replica',
      name: this.name,
      layers: [],
      transport: transport.name,
      channel: { kind: channel.kind, name: channel.name },
      table: table.name,
      handles: [...changes.keys()],
      generation: this.#keeper.latest?.live ?? 0,
      options: {
        group,
        tombstonesMs,
        lookEveryMs,
        probeEveryMs,
        keeps: this.#settings.keep === undefined ? 'all' : 'a part',
      },
    }
  }
}

function nothing(): void {}
