// What a discovery knows of a service, as figures: for dashboards, logs and the question why a call went where it went.
import type { Endpoint } from '../core/contracts/source.ts'
import type { EndpointState } from './endpoint-state.ts'

/** What is known of one endpoint. Durations are milliseconds. */
export interface EndpointFigures {
  readonly endpoint: Endpoint
  /** As the registry says. */
  readonly state: 'ready' | 'starting' | 'draining' | 'down'
  /** The balancer chooses among these. */
  readonly inUse: boolean
  readonly inFlight: number
  /** Peak EWMA; 0 until measured. */
  readonly latencyMs: number
  /** Of the calls in flight; 0 with none. */
  readonly oldestInFlightMs: number
  readonly weight: number
  /** Its last outcome was bad and that is not long ago: it comes behind the others. */
  readonly suspect: boolean
  readonly ejected: boolean
  /** Until the next call is given to it; 0 for at once. Absent unless ejected. */
  readonly ejectedForMs?: number
  /** How often it was ejected since it was last calm: each time for twice as long. */
  readonly ejections: number
  /** Calls of the last `ejection.windowMs` that count for its success rate. */
  readonly succeeded: number
  readonly failed: number
}

/** What is known of one service. Durations are milliseconds. */
export interface ServiceFigures {
  readonly service: string
  readonly source: string
  /** The source has answered at least once. */
  readonly known: boolean
  /** Since the source's last answer; absent before the first. One that tells changes only is silent while all is well. */
  readonly ageMs?: number
  /** How long the source has been failing, and with what; absent while it is not. */
  readonly failingMs?: number
  readonly error?: unknown
  /** Too few are healthy: ejection is ignored. */
  readonly panic: boolean
  /** Calls that wait for the first word. */
  readonly waiting: number
  readonly endpoints: readonly EndpointFigures[]
}

/** The figures of one endpoint. */
export function figuresOf(state: EndpointState, now: number): EndpointFigures {
  const { endpoint, outlier } = state
  const { ok, failed } = outlier === undefined ? { ok: 0, failed: 0 } : outlier.recent.sums(now)
  return {
    endpoint,
    state: endpoint.state ?? 'ready',
    inUse: state.inView,
    inFlight: state.inFlight,
    latencyMs: state.latencyMs,
    oldestInFlightMs: state.oldestInFlightMs,
    weight: state.weight,
    suspect: state.suspect,
    ejected: state.ejected,
    ...(state.ejected && outlier !== undefined ? { ejectedForMs: Math.max(outlier.until - now, 0) } : {}),
    ejections: outlier?.ejections ?? 0,
    succeeded: ok,
    failed,
  }
}
