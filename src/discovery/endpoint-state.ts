// The live figures of one endpoint and the leases on it. Changed in place, so that a pick reads them and allocates nothing.
import type { Clock } from '../core/clock.ts'
import type { EndpointView, Lease, Outcome } from '../core/contracts/balancer.ts'
import type { Endpoint } from '../core/contracts/source.ts'

/** Told when an endpoint fails often enough to be left out; answers for how long, 0 for not at all. */
export type Ejector = (state: EndpointState) => number

/** Consecutive failures after which an endpoint is left out for a while. */
export const FAILURES_TO_EJECT = 3

// Time constant of the moving average: samples older than this weigh about a third.
const LATENCY_MEMORY_MS = 10_000

/** One endpoint as the resolver keeps it: the view of the balancer, plus what leases change. */
export class EndpointState implements EndpointView {
  /** Replaced by a refresh; the figures stay. */
  endpoint: Endpoint
  inFlight: number
  latencyMs: number
  /** How often it was left out since it last did well. */
  ejections: number
  /** Bad outcomes in a row, overload included. */
  private bad: number
  private failures: number
  private ejectedUntil: number
  private measuredAt: number
  private oldest: CountedLease | undefined
  private newest: CountedLease | undefined
  private readonly clock: Clock
  private readonly eject: Ejector

  constructor(endpoint: Endpoint, clock: Clock, eject: Ejector) {
    this.endpoint = endpoint
    this.inFlight = 0
    this.latencyMs = 0
    this.ejections = 0
    this.bad = 0
    this.failures = 0
    this.ejectedUntil = 0
    this.measuredAt = 0
    this.oldest = undefined
    this.newest = undefined
    this.clock = clock
    this.eject = eject
  }

  get oldestInFlightMs(): number {
    return this.oldest === undefined ? 0 : this.clock.now() - this.oldest.since
  }

  get ejected(): boolean {
    // The clock is read only for those that were ejected at all: this is asked at every pick.
    return this.ejectedUntil !== 0 && this.clock.now() < this.ejectedUntil
  }

  /** Fails all the time, whether or not it could be left out: no hope for a call that failed elsewhere. */
  get failing(): boolean {
    return this.bad >= FAILURES_TO_EJECT
  }

  /** Counts a call in flight. */
  take(): Lease {
    const lease = new CountedLease(this, this.clock.now())
    this.inFlight++
    if (this.newest === undefined) this.oldest = lease
    else {
      this.newest.next = lease
      lease.previous = this.newest
    }
    this.newest = lease
    return lease
  }

  /** The one report of a lease. */
  settle(lease: CountedLease, outcome: Outcome): void {
    this.inFlight--
    if (lease.previous === undefined) this.oldest = lease.next
    else lease.previous.next = lease.next
    if (lease.next === undefined) this.newest = lease.previous
    else lease.next.previous = lease.previous
    lease.previous = undefined
    lease.next = undefined

    if (outcome.kind === 'success') {
      this.bad = 0
      this.failures = 0
      this.ejections = 0
      this.ejectedUntil = 0
      this.measure(outcome.latencyMs)
    } else if (outcome.kind === 'overload') {
      // Too much to do is no reason to send nothing at all.
      this.bad++
    } else if (outcome.kind !== 'cancelled') {
      this.bad++
      // A quick failure must not make an endpoint look quick.
      if (outcome.latencyMs > this.latencyMs) this.measure(outcome.latencyMs)
      if (++this.failures >= FAILURES_TO_EJECT && !this.ejected) this.leaveOut()
    }
  }

  private leaveOut(): void {
    const ms = this.eject(this)
    if (ms <= 0) return
    this.ejections++
    this.ejectedUntil = this.clock.now() + ms
    // Back on trial: the next failure is enough.
    this.failures = FAILURES_TO_EJECT - 1
  }

  private measure(latencyMs: number): void {
    const now = this.clock.now()
    const keep = this.measuredAt === 0 ? 0 : Math.exp(-(now - this.measuredAt) / LATENCY_MEMORY_MS)
    // In a burst `keep` is near 1 and single samples would vanish: each weighs at least a tenth.
    const weight = Math.max(1 - keep, 0.1)
    this.latencyMs += (latencyMs - this.latencyMs) * weight
    this.measuredAt = now
  }
}

// A node of the list of leases in order of their start, so that the oldest is known without a search.
class CountedLease implements Lease {
  readonly endpoint: Endpoint
  readonly since: number
  previous: CountedLease | undefined
  next: CountedLease | undefined
  private state: EndpointState | undefined

  constructor(state: EndpointState, since: number) {
    this.endpoint = state.endpoint
    this.since = since
    this.previous = undefined
    this.next = undefined
    this.state = state
  }

  report(outcome: Outcome): void {
    const { state } = this
    if (state === undefined) return
    this.state = undefined
    state.settle(this, outcome)
  }
}
