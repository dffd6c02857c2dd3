// Who of one service is left out: judges each outcome, keeps within bounds, gives one call to whoever's time is over, and knows when it is too many.
import type { Clock, Random } from '../core/clock.ts'
import type { Outcome } from '../core/contracts/balancer.ts'
import type { DiscoveryFacts } from '../core/discovery-events.ts'
import type { Events } from '../core/events.ts'
import { type EjectionReason, type EjectionRules, OutlierRecord } from './ejection.ts'
import type { CountedLease, EndpointState } from './endpoint-state.ts'
import { RollingCounts } from './rolling-counts.ts'
import { compareTiers, GRADES, NEVER } from './tiers.ts'

/** What an ejector is made of. */
export interface EjectorParts {
  readonly rules: EjectionRules
  readonly clock: Clock
  readonly random: Random
  readonly events: Events
  readonly facts: DiscoveryFacts
  /** Called when who is ejected has changed. It has to take the census anew. */
  readonly onChange: () => void
  /** Called after an ejection, also of one whose probe failed. */
  readonly onEjected: (now: number) => void
  /** Whether any ready endpoint that is not ejected does well. */
  readonly anyWell: () => boolean
}

/** The ejections of one service. */
export class Ejector {
  /** Too few are healthy: ejection is ignored. As of the last census. */
  panic: boolean
  /** When the next call is to be given to an ejected endpoint; `Infinity` for never. */
  probeAt: number
  private readonly parts: EjectorParts
  private readonly ejected: Set<EndpointState>
  // By grade: how many there are, and how many of them are ejected.
  private readonly total: number[]
  private readonly out: number[]
  // Of all endpoints together.
  private readonly recent: RollingCounts
  // One of the tier that is in use.
  private best: EndpointState | undefined

  constructor(parts: EjectorParts) {
    this.panic = false
    this.probeAt = Number.POSITIVE_INFINITY
    this.parts = parts
    this.ejected = new Set()
    this.total = new Array<number>(GRADES).fill(0)
    this.out = new Array<number>(GRADES).fill(0)
    this.recent = new RollingCounts(parts.rules.windowMs)
    this.best = undefined
  }

  /** An endpoint that was away is listed again. */
  join(state: EndpointState): void {
    if (state.ejected) this.ejected.add(state)
  }

  /** An endpoint is not listed any more. */
  leave(state: EndpointState): void {
    this.ejected.delete(state)
  }

  /** Counts, and says whether there is panic. */
  census(states: Iterable<EndpointState>): boolean {
    const { total, out, parts } = this
    total.fill(0)
    out.fill(0)
    for (const { grade, ejected } of states) {
      if (grade === NEVER) continue
      total[grade] = (total[grade] as number) + 1
      if (ejected) out[grade] = (out[grade] as number) + 1
    }
    const best = total.findIndex((count) => count > 0)
    const endpoints = total[best] ?? 0
    const healthy = endpoints - (out[best] ?? 0)
    const was = this.panic
    this.panic = healthy < endpoints && healthy < parts.rules.panicBelow * endpoints
    if (this.panic !== was)
      parts.events.emit({ type: 'panic', step: this.panic ? 'on' : 'off', ...parts.facts, healthy, endpoints })
    return this.panic
  }

  /** Says which tier is in use now: `best` is one of it. */
  settle(best: EndpointState | undefined): void {
    this.best = best
    this.schedule()
  }

  /** How a call at an endpoint went. `now`: undefined for a cancelled one. */
  judge(state: EndpointState, lease: CountedLease, { kind, latencyMs }: Outcome, now: number | undefined): void {
    // Begun before it was ejected: what it says was known then.
    if (lease.epoch !== state.epoch) return
    if (now === undefined) {
      if (!lease.probe || !state.ejected) return
      const { rules, random, clock } = this.parts
      state.outlier?.unprobed(rules, random, latencyMs !== 0, clock.now())
      this.schedule()
      return
    }
    state.outlier ??= new OutlierRecord(this.parts.rules)
    const { outlier } = state
    const bad = kind === 'failure' || kind === 'not-sent'
    if (bad || kind === 'success') this.recent.count(!bad, now)
    if (state.ejected) {
      // Too much to do is no reason to send nothing at all: it is there, and comes behind the others.
      if (kind === 'success' || (lease.probe && kind === 'overload')) this.giveBack(state, outlier, now)
      else if (lease.probe) this.eject(state, outlier, outlier.reason, now)
    } else if (kind === 'success') outlier.succeeded(now)
    else if (bad) {
      const reason = outlier.failed(this.parts.rules, this.recent, now)
      if (reason !== undefined && this.mayEject(state)) this.eject(state, outlier, reason, now)
    }
  }

  /** Who is to be given this very call, as its ejection is over; undefined for nobody. */
  probe(avoid: ReadonlySet<string> | undefined, now: number): EndpointState | undefined {
    if (now < this.probeAt) return undefined
    for (const state of this.ejected) {
      const outlier = state.outlier as OutlierRecord
      if (outlier.until > now || !this.probeable(state) || avoid?.has(state.endpoint.id) === true) continue
      outlier.probe(now)
      this.schedule()
      return state
    }
    return undefined
  }

  // Never the last, and no more than a share of its kind: a bad call of ours must not take a service down.
  private mayEject({ grade }: EndpointState): boolean {
    if (grade === NEVER) return false
    const total = this.total[grade] as number
    const then = (this.out[grade] as number) + 1
    return then < total && then <= this.parts.rules.maxShare * total
  }

  private eject(state: EndpointState, outlier: OutlierRecord, reason: EjectionReason, now: number): void {
    const { rules, random, events, facts, onChange, onEjected, anyWell } = this.parts
    const again = state.ejected
    // Where all fail, a failed probe says nothing of this one: else half of a service would stay away for minutes after an outage is over.
    const forMs = outlier.begin(rules, random, reason, now, !again || anyWell())
    state.ejected = true
    state.epoch++
    this.ejected.add(state)
    if (again) this.schedule()
    else onChange()
    events.emit({ type: 'endpoint-ejected', ...facts, endpoint: state.endpoint.id, reason, forMs })
    onEjected(now)
  }

  private giveBack(state: EndpointState, outlier: OutlierRecord, now: number): void {
    const { events, facts, onChange } = this.parts
    outlier.end(now)
    state.ejected = false
    this.ejected.delete(state)
    onChange()
    events.emit({ type: 'endpoint-returned', ...facts, endpoint: state.endpoint.id })
  }

  // Ejected ones of a tier that nobody uses are left alone; in panic they are called anyway.
  private probeable(state: EndpointState): boolean {
    return !this.panic && state.grade !== NEVER && (this.best === undefined || compareTiers(state, this.best) <= 0)
  }

  private schedule(): void {
    let at = Number.POSITIVE_INFINITY
    for (const state of this.ejected)
      if (this.probeable(state)) at = Math.min(at, (state.outlier as OutlierRecord).until)
    this.probeAt = at
  }
}
