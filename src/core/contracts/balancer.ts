// What a resolver asks of a balancer, and a call asks of a resolver.
import type { Deadline } from '../deadline.ts'
import type { Endpoint } from './source.ts'

/** Chooses among endpoints. It is told who may be chosen and never has to check. */
export interface Balancer {
  /**
   * Who may be picked from now on: those of the best rank (priority, then state) that are not ejected, or all of them in panic. Called whenever that
   * changes. Views are the same objects as long as an endpoint is known, so state kept for one (by object) survives.
   */
  update(view: readonly EndpointView[]): void
  /**
   * Synchronous. `avoid`: ids already tried by this call. Undefined when all are to be avoided: the resolver then looks further.
   * `now`: the instant of the pick on the injected clock, so that the clock is read once a call; without it a balancer reads by itself.
   */
  pick(context: PickContext, now?: number): EndpointView | undefined
}

/** What a pick may go by. */
export interface PickContext {
  /** Calls with the same key go to the same endpoint where the balancer is one that sticks. */
  readonly key?: string | undefined
  readonly avoid?: ReadonlySet<string> | undefined
}

/** Live: the resolver changes its figures in place, so a pick allocates nothing. Instants and durations are milliseconds of the injected clock. */
export interface EndpointView {
  readonly endpoint: Endpoint
  readonly inFlight: number
  /** Peak EWMA of what it took until the outcome was known: rises at once, falls with a time constant of 10 s. 0 until measured. */
  readonly latencyMs: number
  /** Age of the oldest call still in flight: a hung endpoint shows before anything times out. Reads the clock; 0 with none in flight. */
  readonly oldestInFlightMs: number
  /** When the oldest call in flight began; 0 with none. For balancers that read the clock once a pick. */
  readonly oldestSince: number
  /** Left out for now; in a view only in panic. */
  readonly ejected: boolean
  /** Its last outcome was a failure (or overload) and that is not long ago: it ranks behind every one that is not, whatever its figures say. */
  readonly suspect: boolean
  /** Its weight as it counts now: the endpoint's own, times the slow start of a new one. 0 and more. */
  readonly weight: number
  /** When it was last given to a call; 0 for never. Kept by the resolver. */
  readonly pickedAt: number
}

/** One call in flight at one endpoint. */
export interface Lease {
  readonly endpoint: Endpoint
  /** Once; taking the lease has already counted the call in flight. */
  report(outcome: Outcome): void
}

/** How a call at an endpoint went. */
export interface Outcome {
  readonly kind: 'success' | 'failure' | 'overload' | 'not-sent' | 'cancelled'
  readonly latencyMs: number
  readonly retryAfterMs?: number
}

/** Whom to call, for one service. */
export interface Resolver {
  readonly service: string
  /** A promise only before the first snapshot, bounded by the deadline. */
  acquire(context?: PickContext & { readonly deadline?: Deadline | undefined }): Lease | Promise<Lease>
  /** How many ready endpoints this call has not tried: while above 0, one endpoint's failure says nothing of the service. */
  untried(avoid: ReadonlySet<string>): number
  /** Told of each endpoint that is gone for good (not when it is only ejected) once its last lease was reported, or `drainMs` after: close what is kept for it. A resolver without it never tells. Returns the way to stop listening. */
  onRemoved?(listener: (endpoint: Endpoint) => void): () => void
  refresh(): void
  close(): Promise<void>
}
