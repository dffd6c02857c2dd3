// What a relay does all the time: reads the next rows while others are being sent and settled, and never does anything twice where once will do.
// Nothing here is done for each row but what has to be: at 70,000 rows a second a promise or a closure a row would be most of the work.
import type { PartitionLease, PendingRow, RowVerdict } from '../../core/contracts/store.ts'
import type { FairleadError } from '../../errors/base.ts'
import { type Asked, asking } from './asking.ts'
import { Dispatch, type DispatchHost } from './dispatch.ts'
import { Portion, READ_BYTES } from './portion.ts'
import { Purger } from './purging.ts'
import type { RelaySettings } from './relay-options.ts'
import type { RelayTeller } from './relay-telling.ts'
import { Settler } from './settling.ts'
import { Shelf } from './shelf.ts'
import type { Tenure } from './tenure.ts'
import { Verdicts } from './verdicts.ts'
import { Alarm, grown } from './waits.ts'

/** Who a loop tells. */
export interface LoopHost {
  changed(backingOff: boolean, error?: FairleadError): void
  failed(error: unknown): FairleadError
  published(count: number): void
  /** Fewer rows were settled than there were verdicts. */
  doubted(): void
  /** A partition that is beyond its share has nothing in hand any more. */
  idle(): void
}

/** Batches in hand at most. */
const MOST_BATCHES = 4
/** One partition. */
const LEAST_SLICE = 1 / 64
/** Rows of the first read at most: nobody knows yet how large they are. */
const FIRST_READ = 50
/** A read that was given up keeps the next one waiting for so many leases more; what has not ended by then never will. */
const GIVEN_UP_LEASES = 2

/** Reads, sends, settles. */
export class Loop implements DispatchHost {
  readonly #settings: RelaySettings
  readonly #store: RelaySettings['store']
  readonly #clock: RelaySettings['world']['clock']
  readonly #tenure: Tenure
  readonly #teller: RelayTeller
  readonly #host: LoopHost
  readonly #dispatch: Dispatch
  readonly #shelf: Shelf
  readonly #verdicts: Verdicts
  readonly #settler: Settler
  readonly #purger: Purger
  readonly #poll: Alarm
  /** The store is left alone until it rings. */
  readonly #storeRest: Alarm
  /** No read until it rings: one that was given up may still be under way. */
  #stray: Alarm | undefined
  #state: 'running' | 'draining' | 'stopped'
  /** While nothing gets through: look what is there, before the next try is due. */
  #peekDue: boolean
  #reading: boolean
  /** The last read left something behind. */
  #full: boolean
  /** Which share of the partitions is read at once while nothing gets through. */
  #slice: number
  #pollMs: number
  /** How much is read at once. */
  readonly #reads: Portion
  /** In a row. Reading may go well while settling does not; `pump`: something threw that is not to throw. */
  readonly #failures: { read: number; settle: number; pump: number }
  #pumping: boolean
  #onDrained: (() => void) | undefined

  constructor(settings: RelaySettings, tenure: Tenure, teller: RelayTeller, host: LoopHost) {
    const { clock } = settings.world
    this.#settings = settings
    this.#store = settings.store
    this.#clock = clock
    this.#tenure = tenure
    this.#teller = teller
    this.#host = host
    this.#shelf = new Shelf()
    this.#verdicts = new Verdicts()
    this.#settler = new Settler(settings, tenure, teller, this.#verdicts, this.#shelf, {
      settled: () => this.#works('settle'),
      unsettled: (error) => this.#failed('settle', error),
      failed: (error) => host.failed(error),
      doubted: () => host.doubted(),
      goOn: () => this.#pump(),
    })
    this.#purger = new Purger(settings, teller, (error) => teller.storeFailed('purge', host.failed(error)))
    this.#dispatch = new Dispatch(settings, tenure, teller, this)
    this.#poll = new Alarm(clock, () => {
      this.#peekDue = true
      this.#look()
    })
    this.#storeRest = new Alarm(clock, () => this.#look())
    this.#stray = undefined
    this.#state = 'running'
    this.#peekDue = false
    this.#reading = false
    this.#full = false
    this.#slice = 1
    this.#pollMs = settings.poll.minMs
    const first = Math.max(1, Math.floor(READ_BYTES / settings.outbox.maxPayloadBytes))
    this.#reads = new Portion(settings.batch, Math.min(FIRST_READ, first))
    this.#failures = { read: 0, settle: 0, pump: 0 }
    this.#pumping = false
    this.#onDrained = undefined
  }

  /** Messages sent and not yet settled. */
  get inFlight(): number {
    return this.#dispatch.out + this.#verdicts.size
  }

  start(): void {
    this.#look()
  }

  /** There is something new; `now`: somebody says to look, whatever the reasons not to. */
  wake(why: 'news' | 'now'): void {
    if (this.#state !== 'running') return
    this.#pollMs = this.#settings.poll.minMs
    if (this.#dispatch.outage === 'on') {
      this.#dispatch.sooner(why === 'now' ? 0 : this.#settings.poll.maxMs)
      return
    }
    if (why === 'now') {
      this.#dispatch.trySoon()
      if (this.#storeRest.at !== Infinity) this.#storeRest.set(0)
    }
    this.#look()
  }

  /** The store said which partitions are ours. */
  leased(gained: boolean, lost: readonly number[], leaving: readonly number[]): void {
    if (this.#state !== 'running') return
    if (lost.length > 0) this.#lose(lost)
    // What waits is the next relay's; what is out ends, and is settled.
    if (leaving.length > 0) {
      const left = new Set(leaving)
      this.#dispatch.lose(({ partition }) => left.has(partition))
    }
    if (gained) this.#shelf.want(this.#tenure.leases)
    this.#pump()
  }

  /** Whether something of it was read, and is neither settled nor let go of. */
  isInHand(partition: number): boolean {
    return this.#shelf.has(partition)
  }

  /** Reads no more, and resolves once all that is out has ended and is settled. */
  drain(): Promise<void> {
    this.#state = 'draining'
    this.#poll.clear()
    this.#dispatch.drain()
    return new Promise((resolve) => {
      this.#onDrained = resolve
      // What the store had no answer for is tried once more now.
      if (this.#storeRest.at !== Infinity) this.#storeRest.set(0)
      this.#pump()
    })
  }

  /** Asks all sends to give up. */
  abort(reason: unknown): void {
    this.#dispatch.abort(reason)
  }

  stop(): void {
    this.#state = 'stopped'
    this.#poll.clear()
    this.#settler.stop()
    this.#storeRest.clear()
    this.#stray?.clear()
    this.#dispatch.stop()
  }

  // ---- what becomes of messages ----

  verdict(row: PendingRow, verdict: RowVerdict): void {
    this.#verdicts.add(row, verdict)
  }

  letGo(row: PendingRow): void {
    this.#shelf.letGo(row)
  }

  published(count: number): void {
    this.#host.published(count)
    this.#works('pump')
  }

  failed(error: unknown): FairleadError {
    return this.#host.failed(error)
  }

  away(error: FairleadError): void {
    // Nobody tells of what other processes publish, or of the commit of a transaction that is the user's own.
    this.#poll.set(this.#settings.poll.maxMs)
    this.#host.changed(true, error)
  }

  back(): void {
    if (this.#works()) this.#host.changed(false)
    this.#shelf.want(this.#tenure.leases)
  }

  due(): void {
    // Rows that were put aside until now may become visible a moment later.
    this.#pollMs = this.#settings.poll.minMs
    this.#look()
  }

  ended(): void {
    this.#pump()
  }

  get more(): boolean {
    return this.#full || this.#slice < 1
  }

  // ---- going on ----

  #look(): void {
    this.#shelf.want(this.#tenure.leases)
    this.#pump()
  }

  // Everything that could go on does. Whatever happens calls it.
  #pump(): void {
    if (this.#pumping || this.#state === 'stopped') return
    this.#pumping = true
    try {
      this.#dispatch.sendAll()
      if (this.#storeRest.at === Infinity) this.#settler.settle(this.#dispatch.sends > 0 && this.#state === 'running')
      if (this.#state === 'running') {
        this.#read()
        if (this.#tenure.leases.length > 0) this.#purger.look()
      }
    } catch (error) {
      // A transport or a store that throws where it must not is one that fails: it must not end a relay that nobody looks at.
      this.#failed('pump', error)
    } finally {
      this.#pumping = false
    }
    if (this.#tenure.leaving.size > 0) this.#host.idle()
    if (this.#state === 'draining' && this.#dispatch.sends === 0 && this.#verdicts.size === 0) this.#onDrained?.()
  }

  // ---- reading ----

  #read(): void {
    if (this.#reading || this.#storeRest.at !== Infinity) return
    const { outage } = this.#dispatch
    if ((outage === 'on' && !this.#peekDue) || (outage === 'due' && this.#shelf.total > 0)) return
    this.#peekDue = false
    const { leases } = this.#tenure
    const { batch } = this.#settings
    if (leases.length === 0) return
    if (this.#dispatch.waiting >= batch || this.#shelf.total >= batch * MOST_BATCHES) return
    // While there is more than one read brings, half of the partitions is read while the other half is out.
    const slice = outage === 'no' ? (this.#full ? 0.5 : 1) : this.#slice
    const most = Math.max(1, Math.ceil(leases.length * slice))
    const next = this.#shelf.next(leases, most)
    if (next.length > 0) this.#ask(next)
    else if (this.#poll.at === Infinity) {
      this.#poll.set(this.#pollMs)
      this.#pollMs = Math.min(this.#pollMs * 2, this.#settings.poll.maxMs)
    }
  }

  #ask(leases: readonly PartitionLease[]): void {
    const version = this.#tenure.version
    const limit = this.#reads.size
    const { leaseMs } = this.#settings
    this.#reading = true
    this.#poll.clear()
    this.#shelf.begin(leases)
    const asked = asking(() => this.#store.pending(leases, limit), leaseMs, this.#clock)
    asked.answer.then(
      (rows) => {
        this.#reading = false
        try {
          this.#works('read')
          if (this.#state === 'running') this.#take(rows, leases, version, limit)
        } catch (error) {
          this.#failed('read', error)
        }
        this.#pump()
      },
      (error) => {
        this.#reads.failed(limit)
        this.#shelf.want(leases)
        this.#failed('read', error)
        this.#readAgainAfter(asked)
      },
    )
  }

  // The database may still be at work on what was given up: a second read beside it would only make it slower, and take another connection.
  #readAgainAfter({ ended }: Asked<unknown>): void {
    if (this.#state === 'stopped') return
    const stray = new Alarm(this.#clock, () => {
      this.#stray = undefined
      this.#reading = false
      this.#pump()
    })
    this.#stray = stray
    stray.set(this.#settings.leaseMs * GIVEN_UP_LEASES)
    void ended.then(() => stray.at !== Infinity && stray.set(0))
  }

  #take(rows: readonly PendingRow[], leases: readonly PartitionLease[], version: number, limit: number): void {
    this.#full = rows.length >= limit
    if (this.#full) this.#shelf.want(leases)
    this.#reads.went(rows.length, limit, bytesOf(rows))
    // While nothing gets through, each row has to be read at some time, though none goes.
    if (this.#dispatch.outage === 'no') this.#slice = 1
    else this.#slice = this.#full ? Math.max(this.#slice / 2, LEAST_SLICE) : Math.min(this.#slice * 2, 1)
    const dispatch = this.#dispatch
    if (dispatch.outage === 'on') {
      // What is there is read again when it is tried; what never was is tried soon.
      const { maxMs } = this.#settings.poll
      if (dispatch.anyUntried(rows)) dispatch.sooner(maxMs)
      this.#poll.set(maxMs)
      return
    }
    const shelf = this.#shelf
    const checked = this.#tenure.lostSince(version)
    for (let at = 0; at < rows.length; at++) {
      const row = rows[at] as PendingRow
      if (checked && !this.#tenure.keeps(row.partition, version)) continue
      dispatch.add(row)
      shelf.taken(row)
    }
    if (rows.length > 0) this.#pollMs = this.#settings.poll.minMs
    else if (shelf.total === 0) {
      this.#works('pump')
      if (leases.length === this.#tenure.leases.length) dispatch.nothingThere()
    }
  }

  #lose(lost: readonly number[]): void {
    const gone = new Set(lost)
    const isGone = ({ partition }: PendingRow): boolean => gone.has(partition)
    const dropped = this.#verdicts.drop(isGone)
    for (const row of dropped) this.#shelf.letGo(row)
    const messages = dropped.length + this.#dispatch.lose(isGone)
    if (messages > 0) this.#teller.leaseLost(lost, messages)
  }

  // ---- the store ----

  /** Says whether all is well on this side. */
  #works(what?: 'read' | 'settle' | 'pump'): boolean {
    const failures = this.#failures
    if (what === undefined || failures[what] === 0) return failures.read + failures.settle + failures.pump === 0
    failures[what] = 0
    const all = failures.read + failures.settle + failures.pump === 0
    if (all && this.#dispatch.outage === 'no' && this.#state === 'running') this.#host.changed(false)
    return all
  }

  #failed(during: 'read' | 'settle' | 'pump', error: unknown): void {
    const { poll, backoff, world } = this.#settings
    // A database that comes back is not to be kept waiting as long as a broker.
    const maxMs = Math.max(backoff.minMs, Math.min(backoff.maxMs, poll.maxMs * 5))
    const waitMs = grown({ minMs: backoff.minMs, maxMs }, this.#failures[during]++, world.random)
    const known = this.#host.failed(error)
    if (this.#state === 'stopped') return
    this.#storeRest.set(waitMs)
    this.#teller.storeFailed(during === 'pump' ? 'read' : during, known, waitMs)
    if (this.#state === 'running') this.#host.changed(true, known)
  }
}

function bytesOf(rows: readonly PendingRow[]): number {
  let bytes = 0
  for (let at = 0; at < rows.length; at++) bytes += (rows[at] as PendingRow).envelope.body.byteLength
  return bytes
}
