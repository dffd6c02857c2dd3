// The live figures of one endpoint and the leases on it. Changed in place, so that a pick reads them and allocates nothing.
import type { Clock } from '../core/clock.ts'
import type { EndpointView, Lease, Outcome } from '../core/contracts/balancer.ts'
import type { Endpoint } from '../core/contracts/source.ts'
import type { OutlierRecord } from './ejection.ts'
import { gradeOf } from './tiers.ts'

/** Told of each outcome once the figures are up to date. */
export interface Keeper {
  readonly clock: Clock
  /** `now`: undefined for a cancelled call, which says nothing of the endpoint. */
  settled(state: EndpointState, lease: CountedLease, outcome: Outcome, now: number | undefined): void
}

// Bad outcomes in a row after which there is no hope for a call that failed elsewhere (decision 003).
const HOPELESS = 3

// Time constant of the moving average (Finagle, Linkerd).
const LATENCY_MEMORY_MS = 10_000

// For how long an endpoint whose last outcome was bad ranks behind the others: longer while it goes on, over at once after a success.
const SUSPECT_MS = 2_000
const SUSPECT_MAX_MS = 10_000
// Whoever says "not before then" is believed so far: a wrong Retry-After of a day must not put an instance away for a day.
const RETRY_AFTER_MAX_MS = 60_000

/** One endpoint as the resolver keeps it: the view of the balancer, plus what leases change. */
export class EndpointState implements EndpointView {
  /** Replaced by an update; the figures stay. */
  declare endpoint: Endpoint
  declare inFlight: number
  declare latencyMs: number
  declare pickedAt: number
  declare ejected: boolean
  declare weight: number
  /** See `tiers.ts`. */
  declare grade: number
  /** Named by the last update. */
  declare listed: boolean
  /** One of those that may be picked when all goes well: in the balancer's view. */
  declare inView: boolean
  /** Counts ejections and moves: what began before one says nothing of the time after it. */
  declare epoch: number
  /** Of the last move. */
  declare private movedAt: number
  /** Calls in flight to places where it was before. */
  declare private elsewhere: number
  /** Made at the first outcome that counts. */
  declare outlier: OutlierRecord | undefined
  /** When it was first ready, where its weight rises slowly; 0 otherwise. */
  declare rampFrom: number
  /** It was ready once: not new any more. */
  declare wasReady: boolean
  declare removedAt: number
  declare readonly keeper: Keeper
  declare private bad: number
  declare private suspectUntil: number
  declare private heldUntil: number
  declare private measuredAt: number
  declare private oldest: CountedLease | undefined
  declare private newest: CountedLease | undefined

  constructor(endpoint: Endpoint, keeper: Keeper) {
    // What every pick reads comes first, so that it lies together. None of the fields is there before its first value (`declare`): one
    // that was undefined once would have its fractions allocated anew with every change.
    this.endpoint = endpoint
    this.inFlight = 0
    this.latencyMs = 0
    this.pickedAt = 0
    this.weight = 1
    this.suspectUntil = 0
    this.oldest = undefined
    this.newest = undefined
    this.ejected = false
    this.grade = 0
    this.listed = true
    this.inView = false
    this.epoch = 0
    this.movedAt = 0
    this.elsewhere = 0
    this.outlier = undefined
    this.rampFrom = 0
    this.wasReady = false
    this.removedAt = 0
    this.keeper = keeper
    this.bad = 0
    this.heldUntil = 0
    this.measuredAt = 0
    this.become(endpoint)
  }

  get oldestInFlightMs(): number {
    return this.oldest === undefined ? 0 : this.keeper.clock.now() - this.oldest.since
  }

  get oldestSince(): number {
    return this.oldest === undefined ? 0 : this.oldest.since
  }

  get suspect(): boolean {
    // The clock is read only for those whose last outcome was bad: this is asked at every pick.
    if (this.suspectUntil === 0) return false
    if (this.keeper.clock.now() < this.suspectUntil) return true
    this.suspectUntil = 0
    return false
  }

  /** Its last outcome was bad. */
  get doubtful(): boolean {
    return this.bad > 0
  }

  /** Fails all the time, whether or not it could be ejected, or failed just now: no hope for a call that failed elsewhere. */
  get hopeless(): boolean {
    return this.bad >= HOPELESS || this.suspect
  }

  /** Three bad outcomes in a row, or it asked for a pause that is not over. */
  get failing(): boolean {
    return this.bad >= HOPELESS || (this.heldUntil > 0 && this.heldUntil > this.keeper.clock.now())
  }

  /** No call is in flight, neither here nor where it was before. */
  get idle(): boolean {
    return this.inFlight === 0 && this.elsewhere === 0
  }

  /** Takes over what the registry says now. True: it is at another place, and everything that was known of it is dropped. */
  become(endpoint: Endpoint): boolean {
    const moved = !samePlace(this.endpoint, endpoint)
    this.endpoint = endpoint
    this.grade = gradeOf(endpoint)
    this.weight = ownWeight(endpoint)
    if (moved) this.beginAnew()
    return moved
  }

  private beginAnew(): void {
    this.epoch++
    this.movedAt = this.epoch
    this.elsewhere += this.inFlight
    this.inFlight = 0
    this.latencyMs = 0
    this.measuredAt = 0
    this.pickedAt = 0
    this.suspectUntil = 0
    this.heldUntil = 0
    this.bad = 0
    this.oldest = undefined
    this.newest = undefined
    this.ejected = false
    this.outlier = undefined
    this.rampFrom = 0
    this.wasReady = false
  }

  /** Counts a call in flight. */
  take(now: number, probe: boolean): Lease {
    const lease = new CountedLease(this, now, probe)
    this.inFlight++
    this.pickedAt = now
    if (this.newest === undefined) this.oldest = lease
    else {
      this.newest.next = lease
      lease.previous = this.newest
    }
    this.newest = lease
    return lease
  }

  /** Nobody waits for this lease any more. */
  answered(lease: CountedLease, latencyMs: number): void {
    if (lease.epoch < this.movedAt) return
    this.unlink(lease)
    if (latencyMs > this.latencyMs) this.measure(latencyMs, this.keeper.clock.now())
  }

  /** The one report of a lease. */
  settle(lease: CountedLease, outcome: Outcome): void {
    const { kind, retryAfterMs } = outcome
    if (lease.epoch < this.movedAt) {
      this.elsewhere--
      this.keeper.settled(this, lease, ELSEWHERE, undefined)
      return
    }
    this.inFlight--
    const answered = lease.answeredMs >= 0
    if (!answered) this.unlink(lease)

    const latencyMs = answered ? lease.answeredMs : outcome.latencyMs
    // What was slow when it was answered has counted then.
    const slower = !answered && latencyMs > this.latencyMs && latencyMs < Infinity
    if (kind === 'cancelled') {
      // Nobody's fault, but the answer was not there by then.
      if (slower) this.measure(latencyMs, this.keeper.clock.now())
      this.keeper.settled(this, lease, outcome, undefined)
      return
    }
    const now = this.keeper.clock.now()
    if (kind === 'success') {
      this.bad = 0
      if (this.suspectUntil !== 0) this.suspectUntil = this.heldUntil > now ? this.heldUntil : 0
      if (slower || (latencyMs >= 0 && latencyMs <= this.latencyMs)) this.measure(latencyMs, now)
    } else {
      this.bad++
      // A quick failure must not make an endpoint look quick.
      if (slower) this.measure(latencyMs, now)
      let until = now + Math.min(SUSPECT_MS * 2 ** Math.min(this.bad - 1, 8), SUSPECT_MAX_MS)
      if (kind === 'overload' && retryAfterMs !== undefined && retryAfterMs > 0) {
        this.heldUntil = Math.max(this.heldUntil, now + Math.min(retryAfterMs, RETRY_AFTER_MAX_MS))
        until = Math.max(until, this.heldUntil)
      }
      if (until > this.suspectUntil) this.suspectUntil = until
    }
    this.keeper.settled(this, lease, outcome, now)
  }

  private unlink(lease: CountedLease): void {
    if (lease.previous === undefined) this.oldest = lease.next
    else lease.previous.next = lease.next
    if (lease.next === undefined) this.newest = lease.previous
    else lease.next.previous = lease.previous
    lease.previous = undefined
    lease.next = undefined
  }

  // Peak EWMA: slower counts at once, quicker bit by bit (Finagle).
  private measure(latencyMs: number, now: number): void {
    if (!(latencyMs < Infinity)) return
    if (latencyMs >= this.latencyMs) this.latencyMs = latencyMs
    else {
      const keep = Math.exp((this.measuredAt - now) / LATENCY_MEMORY_MS)
      this.latencyMs = latencyMs + (this.latencyMs - latencyMs) * keep
    }
    this.measuredAt = now
  }
}

/** The weight that the registry gave it. Where 0 is used at all, all of its tier are 0: then all are alike. */
export function ownWeight({ weight }: Endpoint): number {
  return weight === undefined || weight === 0 ? 1 : weight
}

const ELSEWHERE: Outcome = Object.freeze({ kind: 'cancelled', latencyMs: 0 })

// A registry may tell the ways to one instance in another order each time; one whose best way is new is another process.
function samePlace(before: Endpoint, after: Endpoint): boolean {
  const first = after.addresses[0]
  return before.addresses.some(({ host, port }) => host === first?.host && port === first.port)
}

/** A node of the list of leases that wait, in order of their start, so that the oldest is known without a search. */
export class CountedLease implements Lease {
  declare readonly endpoint: Endpoint
  declare readonly since: number
  /** Of the endpoint when the lease was taken. */
  declare readonly epoch: number
  /** The one call that an ejected endpoint is given to show that it is well. */
  declare readonly probe: boolean
  /** How long the answer took; below 0 while it is waited for. */
  declare answeredMs: number
  declare previous: CountedLease | undefined
  declare next: CountedLease | undefined
  declare private state: EndpointState | undefined

  constructor(state: EndpointState, since: number, probe: boolean) {
    this.endpoint = state.endpoint
    this.since = since
    this.epoch = state.epoch
    this.probe = probe
    this.answeredMs = -1
    this.previous = undefined
    this.next = undefined
    this.state = state
  }

  answered(latencyMs: number): void {
    const { state } = this
    if (state === undefined || this.answeredMs >= 0) return
    this.answeredMs = latencyMs >= 0 ? latencyMs : Infinity
    state.answered(this, latencyMs)
  }

  report(outcome: Outcome): void {
    const { state } = this
    if (state === undefined) return
    this.state = undefined
    state.settle(this, outcome)
  }
}
