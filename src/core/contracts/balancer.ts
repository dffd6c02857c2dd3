// What a resolver asks of a balancer, and a call asks of a resolver.
import type { Deadline } from '../deadline.ts'
import type { Endpoint } from './source.ts'

/** Chooses among endpoints. It is told who may be chosen and never has to check. */
export interface Balancer {
  /**
   * Who may be picked from now on: those of the best rank (priority, then state) that are not ejected, or all of them in panic. Called whenever that
   * changes. Views are the same objects as long as an endpoint is known, so state kept for one (by object) survives. One at another address is the
   * same object with figures that begin anew.
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
  /**
   * True: this call must not be the one that shows whether an ejected endpoint is well again, because nobody will say how it went (a name look-up).
   * For resolvers; a balancer need not look at it. Default false.
   */
  readonly noProbe?: boolean | undefined
  /**
   * True: one of `avoid` is of no use to this call (each vote of a quorum needs an endpoint of its own), so an ejected one comes before those.
   * For resolvers, as `noProbe`. Default false.
   */
  readonly onlyUntried?: boolean | undefined
}

/** Live: the resolver changes its figures in place, so a pick allocates nothing. Instants and durations are milliseconds of the injected clock. */
export interface EndpointView {
  readonly endpoint: Endpoint
  readonly inFlight: number
  /** Peak EWMA of what it took until the answer was there: rises at once, falls with a time constant of 10 s. 0 until measured. */
  readonly latencyMs: number
  /**
   * Age of the oldest call that still waits for its answer: a hung endpoint shows before anything times out. Reads the clock; 0 where none waits,
   * also with calls in flight whose answer has come and is still read (`Lease.answered`).
   */
  readonly oldestInFlightMs: number
  /** When that call began; 0 where none waits. For balancers that read the clock once a pick. */
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
  /**
   * At most once, before `report`: the head of the answer is there, or nobody waits for it any more (a timeout, an abort that the transport ignores).
   * The call goes on counting as in flight until `report`, and no longer as waiting, so that a long stream does not make its endpoint look hung.
   * A lease without it counts as waiting until `report`.
   * @param latencyMs how long that took. Slower than known counts now, quicker with a `report` of success: a call given up soon is no sign of
   * speed. The latency in `report` is then not looked at
   */
  answered?(latencyMs: number): void
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
  /**
   * How many ready endpoints this call has not tried: while above 0, one endpoint's failure says nothing of the service. Never throws, 0 once closed:
   * it is asked in timers, and where another error is on its way to the caller.
   */
  untried(avoid: ReadonlySet<string>): number
  /** Told of each endpoint that is gone for good (not when it is only ejected) once its last lease was reported, or `drainMs` after: close what is kept for it. A resolver without it never tells. Returns the way to stop listening. */
  onRemoved?(listener: (endpoint: Endpoint) => void): () => void
  refresh(): void
  close(): Promise<void>
}
