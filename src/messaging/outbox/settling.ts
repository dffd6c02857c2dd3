// Tells the store what was decided: in large portions while much is decided, soon where little is, and in ever smaller ones after a refusal, down to the verdict that it
// cannot take.
import type { PartitionLease, PendingRow, RowVerdict } from '../../core/contracts/store.ts'
import type { FairleadError } from '../../errors/base.ts'
import { within } from './asking.ts'
import { Portion } from './portion.ts'
import { isRefused, milder } from './refusal.ts'
import type { RelaySettings } from './relay-options.ts'
import type { RelayTeller } from './relay-telling.ts'
import type { Shelf } from './shelf.ts'
import type { Tenure } from './tenure.ts'
import type { Verdicts } from './verdicts.ts'
import { Alarm } from './waits.ts'

/** A few rows are settled at the latest so long after they were accepted, while others are still out, milliseconds. */
const SETTLE_AFTER_MS = 5

/** Who is told of what the store said. */
export interface SettlerHost {
  /** The store took what it was told. */
  settled(): void
  /** It did not, and may do so later. */
  unsettled(error: unknown): void
  failed(error: unknown): FairleadError
  /** Fewer rows were settled than there were verdicts. */
  doubted(): void
  /** There may be more to do. */
  goOn(): void
}

/** One question to the store at a time. */
export class Settler {
  readonly #settings: RelaySettings
  readonly #tenure: Tenure
  readonly #teller: RelayTeller
  readonly #verdicts: Verdicts
  readonly #shelf: Shelf
  readonly #host: SettlerHost
  readonly #flush: Alarm
  #flushDue: boolean
  #settling: boolean
  #stopped: boolean
  /** How much is settled at once. */
  readonly #settles: Portion
  /** A verdict that was refused alone, and was replaced once. */
  #replaced: PendingRow | undefined

  constructor(
    settings: RelaySettings,
    tenure: Tenure,
    teller: RelayTeller,
    verdicts: Verdicts,
    shelf: Shelf,
    host: SettlerHost,
  ) {
    this.#settings = settings
    this.#tenure = tenure
    this.#teller = teller
    this.#verdicts = verdicts
    this.#shelf = shelf
    this.#host = host
    this.#flush = new Alarm(settings.world.clock, () => {
      this.#flushDue = true
      host.goOn()
    })
    this.#flushDue = false
    this.#settling = false
    this.#stopped = false
    this.#settles = new Portion(settings.batch, settings.batch)
    this.#replaced = undefined
  }

  stop(): void {
    this.#stopped = true
    this.#flush.clear()
  }

  /** Settles what is to be settled now. `more`: others are out, and a few may wait for them. */
  settle(more: boolean): void {
    const verdicts = this.#verdicts
    if (this.#settling || verdicts.ready === 0) return
    const { batch, leaseMs, store, world } = this.#settings
    const early = verdicts.ready < batch && more
    if (early && !this.#flushDue) {
      if (this.#flush.at === Infinity) this.#flush.set(SETTLE_AFTER_MS)
      return
    }
    this.#flush.clear()
    this.#flushDue = false
    this.#settling = true
    const most = this.#settles.size
    const { rows, verdicts: told } = verdicts.take(most)
    within(() => store.settle(this.#leasesOf(rows), told), leaseMs, world.clock).then(
      (count) => {
        this.#settling = false
        for (const row of verdicts.settled()) this.#shelf.gone(row)
        this.#settles.went(told.length, most, 0)
        this.#replaced = undefined
        this.#host.settled()
        if (count < told.length) this.#host.doubted()
        this.#host.goOn()
      },
      (error) => {
        this.#settling = false
        verdicts.failed()
        if (!this.#refused(error, rows, told)) this.#host.unsettled(error)
        this.#host.goOn()
      },
    )
  }

  // One verdict that the store cannot take must not keep all the others: they are settled in ever smaller portions, and the one that is refused alone is replaced.
  #refused(error: unknown, rows: readonly PendingRow[], told: readonly RowVerdict[]): boolean {
    if (!isRefused(error) || this.#stopped) return false
    const known = this.#host.failed(error)
    if (rows.length > 1) {
      this.#settles.failed(rows.length)
      this.#teller.storeFailed('settle', known, 0)
      return true
    }
    const [row] = rows
    const [verdict] = told
    // Refused again: it is not the verdict.
    if (row === undefined || verdict === undefined || this.#replaced === row) return false
    const delayMs = this.#settings.backoff.maxMs
    this.#replaced = row
    this.#verdicts.replaceFirst(milder(verdict, delayMs))
    this.#teller.retried(row, delayMs, false, known)
    return true
  }

  // A store locks each lease that it is given.
  #leasesOf(rows: readonly PendingRow[]): readonly PartitionLease[] {
    const touched: boolean[] = []
    for (let at = 0; at < rows.length; at++) touched[(rows[at] as PendingRow).partition] = true
    const { leases, leaving } = this.#tenure
    const held = leases.filter(({ partition }) => touched[partition] === true)
    if (leaving.size > 0) for (const lease of leaving) if (touched[lease.partition] === true) held.push(lease)
    return held
  }
}
