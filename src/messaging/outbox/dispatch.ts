// Sends what was read: so many sends at once, none that could outlast the lease, no key in two of them; and finds out what became of each message.
import type { PendingRow, RowVerdict } from '../../core/contracts/store.ts'
import type { Envelope } from '../../core/message.ts'
import type { FairleadError } from '../../errors/base.ts'
import { reasonOf } from './faults.ts'
import { Hand, type Parcel } from './hand.ts'
import { type Failure, judge } from './judging.ts'
import { Outages, type OutagesHost } from './outages.ts'
import type { RelaySettings } from './relay-options.ts'
import type { RelayTeller } from './relay-telling.ts'
import { type Answer, type Sending, send, silent } from './sending.ts'
import { headsOf, type Standing } from './standing.ts'
import type { Tenure } from './tenure.ts'
import { decidedByTime } from './timing.ts'

/** Who is told of what was found. */
export interface DispatchHost extends OutagesHost {
  /** It stays in the table as it is, and is to be read again. */
  letGo(row: PendingRow): void
  published(count: number): void
  /** A send has ended. */
  ended(): void
  /** The table has more than what was read. */
  readonly more: boolean
}

/** Messages that are tried at a time while nothing gets through. */
const PROBE = 16
/** Partitions that they are of while other channels go on: what others have in those waits until the try has ended. */
const PROBE_PLACES = 4
const ASIDE = 'nothing of its channel gets through'

/** Rows on their way to the transport. */
export class Dispatch {
  readonly #settings: RelaySettings
  readonly #clock: RelaySettings['world']['clock']
  readonly #tenure: Tenure
  readonly #teller: RelayTeller
  readonly #host: DispatchHost
  readonly #hand: Hand
  readonly #outages: Outages
  readonly #sendings: Map<Parcel, Sending>
  /** Sends that got nothing through while others were still out. */
  #undecided: { readonly failures: readonly Failure[]; readonly sending: Sending }[]
  #state: 'running' | 'draining' | 'stopped'

  constructor(settings: RelaySettings, tenure: Tenure, teller: RelayTeller, host: DispatchHost) {
    this.#settings = settings
    this.#clock = settings.world.clock
    this.#tenure = tenure
    this.#teller = teller
    this.#host = host
    this.#hand = new Hand()
    this.#outages = new Outages(settings, teller, host, () => this.#letGo(() => true))
    this.#sendings = new Map()
    this.#undecided = []
    this.#state = 'running'
  }

  /** Rows that are not sent yet. */
  get waiting(): number {
    return this.#hand.waiting
  }

  /** Rows that are out. */
  get out(): number {
    return this.#hand.out
  }

  /** Sends that are out. */
  get sends(): number {
    return this.#sendings.size
  }

  /** Whether nothing gets through. `due`: but it may be tried. */
  get outage(): 'no' | 'on' | 'due' {
    return this.#outages.all
  }

  add(row: PendingRow): void {
    this.#hand.add(row)
  }

  /** There is something new while nothing gets through: it is tried, no sooner than so long after the last try. */
  sooner(atLeastMs: number): void {
    this.#outages.sooner(atLeastMs)
  }

  /** Channels that are away are tried now. */
  trySoon(): void {
    this.#outages.trySoon()
  }

  /** Whether there is one, not behind another of its key, that was not tried since nothing gets through. */
  anyUntried(rows: readonly PendingRow[]): boolean {
    return this.#outages.turns.anyUntried(rows)
  }

  /** The table has nothing to try: what nothing got through of was skipped, or is another's. */
  nothingThere(): void {
    if (this.#sendings.size === 0) this.#outages.nothingThere(this.#state === 'running')
  }

  /** Lets go of these as far as they wait. Says how many are out. */
  lose(which: (row: PendingRow) => boolean): number {
    this.#letGo(which)
    let out = 0
    for (const { rows } of this.#hand.parcels) for (const row of rows) if (which(row)) out++
    return out
  }

  /** Begins nothing any more. */
  drain(): void {
    this.#state = 'draining'
    this.#outages.stop()
    this.#letGo(() => true)
  }

  /** Asks all sends to give up. */
  abort(reason: unknown): void {
    for (const sending of this.#sendings.values()) sending.abort(reason)
  }

  /** Hears no answer any more. */
  stop(): void {
    this.#state = 'stopped'
    this.#outages.stop()
  }

  /** Sends what can be sent now. */
  sendAll(): void {
    if (this.#state !== 'running') return
    const { concurrency, batch } = this.#settings
    const hand = this.#hand
    const { all, away } = this.#outages
    if (all !== 'no') {
      if (all === 'due' && this.#sendings.size === 0 && hand.waiting > 0 && this.#mayBegin()) this.#probe()
      return
    }
    let probes = 0
    if (away.size > 0) {
      for (const [name, standing] of away) this.#tend(name, standing)
      for (const { sends } of away.values()) probes += sends
    }
    while (hand.waiting > 0) {
      // What a channel that is away has out takes no place from the others.
      const slots = concurrency - (this.#sendings.size - probes)
      if (slots <= 0 || !this.#mayBegin()) return
      const parcel = hand.next(slots, batch, this.#outages.isOpen)
      if (parcel === undefined) return
      this.#sendOne(parcel)
    }
  }

  // Those of a channel that is away: a few are tried when it is time, all others are put aside in the store.
  #tend(name: string, standing: Standing): void {
    const { outage } = standing
    const hand = this.#hand
    const { heads } = headsOf(hand.waitingOf(name))
    if (heads.length === 0) return
    if (standing.news(heads)) outage.sooner(this.#settings.poll.maxMs)
    // It rings in a moment.
    if (!outage.due && outage.dueAt <= this.#clock.now()) return
    const keys = new Set<string>()
    if (outage.due && standing.sends === 0) {
      if (!this.#mayBegin()) return
      for (const { envelope } of this.#probe(name)) if (envelope.key !== undefined) keys.add(envelope.key)
    }
    const rest = headsOf(hand.dropAll(name), keys)
    for (const row of rest.heads) this.#outages.putAside(row, standing, ASIDE)
    // Their key waits.
    for (const row of rest.behind) this.#host.letGo(row)
  }

  #probe(name?: string): readonly PendingRow[] {
    const places = name === undefined ? PROBE : PROBE_PLACES
    const { turns } = this.#outages
    const parcel = this.#hand.few(Math.min(PROBE, this.#settings.batch), places, turns.rank, name)
    if (parcel === undefined) return []
    const { rows } = parcel
    turns.tried(rows)
    this.#sendOne(parcel)
    return rows
  }

  // It has to end before the partitions could be another's.
  #mayBegin(): boolean {
    const { sendTimeoutMs, marginMs } = this.#settings
    return this.#tenure.until - this.#clock.now() >= sendTimeoutMs + marginMs
  }

  #sendOne(parcel: Parcel): void {
    const { transport, sendTimeoutMs, marginMs } = this.#settings
    const wallNow = this.#clock.wallNow()
    const envelopes: Envelope[] = []
    let kept: PendingRow[] | undefined
    const { rows } = parcel
    let at = 0
    try {
      for (; at < rows.length; at++) {
        const row = rows[at] as PendingRow
        const { envelope } = row
        if (
          (envelope.expiresAt !== undefined || envelope.notBefore !== undefined) &&
          this.#isDecidedByTime(row, wallNow)
        ) {
          kept ??= rows.slice(0, at)
          continue
        }
        kept?.push(row)
        envelopes.push(envelope)
      }
    } catch (error) {
      // A transport that cannot say what it can: nothing was sent, and nothing may pass these.
      for (const row of [...(kept ?? rows.slice(0, at)), ...rows.slice(at)]) this.#host.letGo(row)
      this.#hand.end(parcel)
      const open = new Set(parcel.partitions)
      this.#letGo(({ partition }) => open.has(partition))
      throw error
    }
    if (kept !== undefined) parcel.rows = kept
    if (envelopes.length === 0) {
      this.#hand.end(parcel)
      return
    }
    const plan = { transport, clock: this.#clock, timeoutMs: sendTimeoutMs, graceMs: marginMs }
    const standing = this.#outages.standingOf(parcel.channel)
    const begun = { version: this.#tenure.version, successes: standing.successes }
    standing.sends++
    this.#sendings.set(parcel, send(plan, parcel, envelopes, begun, standing, this.#answered))
  }

  #isDecidedByTime(row: PendingRow, wallNow: number): boolean {
    const verdict = decidedByTime(row, this.#settings.transport, wallNow)
    if (verdict === undefined) return false
    this.#host.verdict(row, verdict)
    if (verdict.verdict === 'dead') this.#teller.dead(row, verdict.reason, verdict.blocksKey, undefined)
    return true
  }

  readonly #answered = (sending: Sending, answer: Answer): void => {
    const { parcel, startedAt, standing } = sending
    const { version } = sending.begun
    const { rows } = parcel
    this.#sendings.delete(parcel)
    standing.sends--
    this.#hand.end(parcel)
    if (this.#state === 'stopped') return
    const checked = this.#tenure.lostSince(version)
    const results = 'results' in answer ? answer.results : undefined
    const failures: Failure[] = []
    let published = 0
    for (let at = 0; at < rows.length; at++) {
      const row = rows[at] as PendingRow
      if (checked && !this.#tenure.holds(row.partition, version)) {
        this.#host.letGo(row)
        continue
      }
      const result = results?.[at]
      if (result !== undefined && result.status !== 'failed') {
        published++
        this.#host.verdict(row, { sequence: row.sequence, verdict: 'published' })
      } else
        failures.push({
          row,
          error: 'error' in answer ? answer.error : (result?.error ?? silent(this.#settings.transport)),
        })
    }
    if ('error' in answer && answer.abandoned === true) this.#teller.abandoned(parcel.channel, rows.length)
    if (published > 0) this.#gotThrough(standing, published, startedAt)
    if (failures.length > 0) this.#judge(failures, sending, false)
    this.#judgeUndecided()
    this.#host.ended()
  }

  #gotThrough(standing: Standing, published: number, startedAt: number): void {
    this.#host.published(published)
    this.#teller.published(standing.channel, published, this.#clock.now() - startedAt)
    this.#outages.alive(standing, this.#state === 'running')
  }

  #judge(failures: readonly Failure[], sending: Sending, final: boolean): void {
    const { standing } = sending
    const others = standing.successes > sending.begun.successes
    const probe = this.#outages.all !== 'no' || standing.outage.on
    const known = { others, probe, vouched: standing.vouched }
    const { verdicts, left, stranded, alive, away } = judge(failures, known, this.#settings)
    if (this.#state === 'draining') {
      // The next relay finds out for itself; only what was published must not be published again.
      for (const { row, verdict } of verdicts) if (verdict.verdict === 'published') this.#host.verdict(row, verdict)
      return
    }
    // Other sends are out: whether they get through says whose fault it is.
    if (away !== undefined && !final && !probe && this.#mayTell(standing)) {
      this.#undecided.push({ failures, sending })
      const open = new Set(sending.parcel.partitions)
      this.#letGo(({ partition }) => open.has(partition))
      if (this.#undecided.length >= this.#settings.concurrency) this.#judgeUndecided(true)
      return
    }
    if (alive && !others) this.#outages.alive(standing, this.#state === 'running')
    if (!alive) standing.vouched = false
    const partitions = new Set<number>()
    for (const { row, verdict, error } of verdicts) {
      this.#decide(row, verdict, error)
      partitions.add(row.partition)
    }
    const all = away !== undefined && this.#outages.isAllAway(standing, away)
    // One key that never gets through could hide all the others.
    const hides = probe && stranded.length === 1 && this.#host.more
    for (const row of stranded) {
      if (away === undefined || (all && !hides)) this.#host.letGo(row)
      else this.#outages.putAside(row, standing, reasonOf(away), hides ? 2 : 1)
      partitions.add(row.partition)
    }
    for (const row of left) {
      this.#host.letGo(row)
      partitions.add(row.partition)
    }
    // Those behind a failed one must not pass it. All of the partition, as it is read again anyway, once the store knows.
    this.#letGo(({ partition }) => partitions.has(partition))
  }

  // Whether a send that is out may still say whose fault it is: of the channel, or of any while none is known to be there.
  #mayTell(standing: Standing): boolean {
    return standing.sends > 0 || (this.#sendings.size > 0 && !this.#outages.anyWell())
  }

  #judgeUndecided(all = false): void {
    if (this.#undecided.length === 0) return
    const undecided = this.#undecided
    this.#undecided = []
    for (const each of undecided) {
      const { failures, sending } = each
      const { version, successes } = sending.begun
      if (!all && sending.standing.successes === successes && this.#mayTell(sending.standing)) {
        this.#undecided.push(each)
        continue
      }
      const ours: Failure[] = []
      for (const failure of failures)
        if (this.#tenure.holds(failure.row.partition, version)) ours.push(failure)
        else this.#host.letGo(failure.row)
      if (ours.length > 0) this.#judge(ours, sending, true)
    }
  }

  #decide(row: PendingRow, verdict: RowVerdict, error: FairleadError): void {
    this.#host.verdict(row, verdict)
    if (verdict.verdict === 'published') {
      this.#host.published(1)
      return
    }
    this.#host.failed(error)
    if (verdict.verdict === 'retry') this.#teller.retried(row, verdict.delayMs, verdict.counts !== false, error)
    else if (verdict.verdict === 'dead') this.#teller.dead(row, verdict.reason, verdict.blocksKey, error)
  }

  // Rows that wait: they stay in the table as they are.
  #letGo(which: (row: PendingRow) => boolean): void {
    for (const row of this.#hand.drop(which)) this.#host.letGo(row)
  }
}
