// Sends what was read: so many sends at once, none that could outlast the lease, no key in two of them; and finds out what became of each message.
import { LONGEST_TIMER_MS } from '../../core/clock.ts'
import type { PendingRow, RowVerdict } from '../../core/contracts/store.ts'
import type { ChannelAddress, Envelope } from '../../core/message.ts'
import type { FairleadError } from '../../errors/base.ts'
import { reasonOf } from './faults.ts'
import { Hand, nameOf, type Parcel } from './hand.ts'
import { type Failure, judge } from './judging.ts'
import { Outage } from './outage.ts'
import type { RelaySettings } from './relay-options.ts'
import type { RelayTeller } from './relay-telling.ts'
import { type Answer, type Sending, send, silent } from './sending.ts'
import { headsOf, Standing } from './standing.ts'
import type { Tenure } from './tenure.ts'
import { Turns } from './turns.ts'

/** Who is told of what was found. */
export interface DispatchHost {
  /** To be settled. */
  verdict(row: PendingRow, verdict: RowVerdict): void
  /** It stays in the table as it is, and is to be read again. */
  letGo(row: PendingRow): void
  published(count: number): void
  failed(error: unknown): FairleadError
  /** Nothing gets through. */
  away(error: FairleadError): void
  /** Something gets through again. */
  back(): void
  /** The next try of a channel, or a transport, that is away is due. */
  due(): void
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
  readonly #outage: Outage
  readonly #sendings: Map<Parcel, Sending>
  /** Sends that got nothing through while others were still out. */
  #undecided: { readonly failures: readonly Failure[]; readonly sending: Sending }[]
  /** By name. */
  readonly #standings: Map<string, Standing>
  /** Those that are away. */
  readonly #away: Map<string, Standing>
  readonly #turns: Turns
  /** Rows that were put aside are seen again by then. */
  #asideUntil: number
  #state: 'running' | 'draining' | 'stopped'

  constructor(settings: RelaySettings, tenure: Tenure, teller: RelayTeller, host: DispatchHost) {
    this.#settings = settings
    this.#clock = settings.world.clock
    this.#tenure = tenure
    this.#teller = teller
    this.#host = host
    this.#hand = new Hand()
    this.#outage = new Outage(settings.outageBackoff, settings.world, () => host.due())
    this.#sendings = new Map()
    this.#undecided = []
    this.#standings = new Map()
    this.#away = new Map()
    this.#turns = new Turns()
    this.#asideUntil = -Infinity
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
    return this.#outage.on ? (this.#outage.due ? 'due' : 'on') : 'no'
  }

  add(row: PendingRow): void {
    this.#hand.add(row)
  }

  /** There is something new while nothing gets through: it is tried, no sooner than so long after the last try. */
  sooner(atLeastMs: number): void {
    this.#outage.sooner(atLeastMs)
  }

  /** Channels that are away are tried now. */
  trySoon(): void {
    for (const { outage } of this.#away.values()) outage.sooner(0)
  }

  /** Whether there is one, not behind another of its key, that was not tried since nothing gets through. */
  anyUntried(rows: readonly PendingRow[]): boolean {
    const keys = new Set<string>()
    for (const row of rows) {
      const { key } = row.envelope
      const name = key === undefined ? undefined : `${nameOf(row.channel)} ${key}`
      if ((name === undefined || !keys.has(name)) && this.#turns.rank(row) === 0) return true
      if (name !== undefined) keys.add(name)
    }
    return false
  }

  /** The table has nothing to try: what nothing got through of was skipped, or is another's. */
  nothingThere(): void {
    if (!this.#outage.due || this.#sendings.size > 0 || this.#clock.now() < this.#asideUntil) return
    const afterMs = this.#outage.over()
    if (afterMs === undefined || this.#state !== 'running') return
    this.#turns.clear()
    this.#teller.resumed(afterMs)
    this.#host.back()
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
    this.#stopWaiting()
    this.#letGo(() => true)
  }

  /** Asks all sends to give up. */
  abort(reason: unknown): void {
    for (const sending of this.#sendings.values()) sending.abort(reason)
  }

  /** Hears no answer any more. */
  stop(): void {
    this.#state = 'stopped'
    this.#stopWaiting()
  }

  #stopWaiting(): void {
    this.#outage.stop()
    for (const { outage } of this.#away.values()) outage.stop()
  }

  /** Sends what can be sent now. */
  sendAll(): void {
    if (this.#state !== 'running') return
    const { concurrency, batch } = this.#settings
    const hand = this.#hand
    if (this.#outage.on) {
      if (this.#outage.due && this.#sendings.size === 0 && hand.waiting > 0 && this.#mayBegin()) this.#probe()
      return
    }
    let probes = 0
    if (this.#away.size > 0) {
      for (const [name, standing] of this.#away) this.#tend(name, standing)
      for (const { sends } of this.#away.values()) probes += sends
    }
    while (hand.waiting > 0) {
      // What a channel that is away has out takes no place from the others.
      const slots = concurrency - (this.#sendings.size - probes)
      if (slots <= 0 || !this.#mayBegin()) return
      const parcel = hand.next(slots, batch, this.#isOpen)
      if (parcel === undefined) return
      this.#sendOne(parcel)
    }
  }

  readonly #isOpen = (name: string): boolean => !this.#away.has(name)

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
    for (const row of rest.heads) this.#putAside(row, standing, ASIDE)
    // Their key waits.
    for (const row of rest.behind) this.#host.letGo(row)
  }

  #probe(name?: string): readonly PendingRow[] {
    const places = name === undefined ? PROBE : PROBE_PLACES
    const parcel = this.#hand.few(Math.min(PROBE, this.#settings.batch), places, this.#turns.rank, name)
    if (parcel === undefined) return []
    const { rows } = parcel
    this.#turns.tried(rows)
    this.#sendOne(parcel)
    return rows
  }

  #putAside(row: PendingRow, standing: Standing, reason: string, times = 1): void {
    const { sequence } = row
    const delayMs = standing.asideMs() * times
    this.#asideUntil = Math.max(this.#asideUntil, this.#clock.now() + delayMs)
    this.#host.verdict(row, { sequence, verdict: 'retry', delayMs, reason, counts: false })
  }

  #standingOf(channel: ChannelAddress): Standing {
    const name = nameOf(channel)
    let standing = this.#standings.get(name)
    if (standing === undefined) {
      const { outageBackoff, world } = this.#settings
      standing = new Standing(channel, outageBackoff, world, () => {
        // It is tried with all the others.
        if (!this.#outage.on) this.#host.due()
      })
      this.#standings.set(name, standing)
    }
    return standing
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
          this.#decidedByTime(row, envelope, wallNow)
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
    const standing = this.#standingOf(parcel.channel)
    const begun = { version: this.#tenure.version, successes: standing.successes }
    standing.sends++
    this.#sendings.set(parcel, send(plan, parcel, envelopes, begun, standing, this.#answered))
  }

  // It is too late for it, or too early for this transport.
  #decidedByTime(row: PendingRow, { expiresAt, notBefore }: Envelope, wallNow: number): boolean {
    const { sequence } = row
    if (expiresAt !== undefined && expiresAt <= wallNow) {
      const reason = `[TOO_LATE] it expired ${Math.round(wallNow - expiresAt)} ms before it could be published`
      this.#host.verdict(row, { sequence, verdict: 'dead', reason, blocksKey: false })
      this.#teller.dead(row, reason, false, undefined)
      return true
    }
    if (notBefore === undefined || notBefore <= wallNow) return false
    const { delay, maxDelayMs } = this.#settings.transport.capabilities
    // What is further away than any timer is held again then.
    const delayMs = Math.min(notBefore - wallNow - (delay === 'none' ? 0 : maxDelayMs), LONGEST_TIMER_MS)
    if (delayMs <= 0) return false
    this.#host.verdict(row, { sequence, verdict: 'hold', delayMs })
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
    this.#alive(standing)
  }

  #alive(standing: Standing): void {
    const { channel, told } = standing
    const channelMs = standing.through()
    standing.told = false
    if (channelMs !== undefined) this.#away.delete(nameOf(channel))
    const afterMs = this.#outage.over()
    if (this.#away.size === 0) this.#turns.clear()
    if (this.#state !== 'running') return
    if (told && channelMs !== undefined) this.#teller.resumed(channelMs, channel)
    if (afterMs === undefined) return
    this.#teller.resumed(afterMs)
    // The others may be back as well.
    this.trySoon()
    this.#host.back()
  }

  #judge(failures: readonly Failure[], sending: Sending, final: boolean): void {
    const { standing } = sending
    const others = standing.successes > sending.begun.successes
    const probe = this.#outage.on || standing.outage.on
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
    if (alive && !others) this.#alive(standing)
    if (!alive) standing.vouched = false
    const partitions = new Set<number>()
    for (const { row, verdict, error } of verdicts) {
      this.#decide(row, verdict, error)
      partitions.add(row.partition)
    }
    const all = away !== undefined && this.#isAllAway(standing, away)
    // One key that never gets through could hide all the others.
    const hides = probe && stranded.length === 1 && this.#host.more
    for (const row of stranded) {
      if (away === undefined || (all && !hides)) this.#host.letGo(row)
      else this.#putAside(row, standing, reasonOf(away), hides ? 2 : 1)
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
    return standing.sends > 0 || (this.#sendings.size > 0 && !this.#anyWell())
  }

  #anyWell(): boolean {
    for (const { well } of this.#standings.values()) if (well) return true
    return false
  }

  // Nothing of the channel gets through. Says whether nothing gets through at all.
  #isAllAway(standing: Standing, error: FairleadError): boolean {
    const { channel, outage } = standing
    // Those that were under way when it began say nothing new.
    const isNew = !outage.on || outage.due
    const waitMs = isNew ? outage.failed() : 0
    standing.well = false
    this.#away.set(nameOf(channel), standing)
    if (this.#outage.on) {
      if (this.#outage.due) this.#backOff(error)
      return true
    }
    if (!this.#anyWell()) {
      this.#backOff(error)
      return true
    }
    if (isNew) {
      standing.told = true
      this.#host.failed(error)
      this.#teller.backingOff(waitMs, error, channel)
    }
    return false
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

  #backOff(error: FairleadError): void {
    const waitMs = this.#outage.failed()
    this.#host.failed(error)
    this.#teller.backingOff(waitMs, error)
    this.#letGo(() => true)
    this.#host.away(error)
  }

  // Rows that wait: they stay in the table as they are.
  #letGo(which: (row: PendingRow) => boolean): void {
    for (const row of this.#hand.drop(which)) this.#host.letGo(row)
  }
}
