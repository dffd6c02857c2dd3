// What a resolver asks of a balancer, and a call asks of a resolver.
import type { Deadline } from '../deadline.ts'
import type { Endpoint } from './source.ts'

export interface Balancer {
  update(view: readonly EndpointView[]): void
  /** Synchronous. `avoid`: ids already tried by this call. */
  pick(context: PickContext): EndpointView | undefined
}
export interface PickContext {
  readonly key?: string
  readonly avoid?: ReadonlySet<string>
}
/** Live: the resolver changes its figures in place, so a pick allocates nothing. */
export interface EndpointView {
  readonly endpoint: Endpoint
  readonly inFlight: number
  readonly latencyMs: number
  /** Age of the oldest call still in flight: a hung endpoint shows before anything times out. */
  readonly oldestInFlightMs: number
  readonly ejected: boolean
}
export interface Lease {
  readonly endpoint: Endpoint
  /** Once; taking the lease has already counted the call in flight. */
  report(outcome: Outcome): void
}
export interface Outcome {
  readonly kind: 'success' | 'failure' | 'overload' | 'not-sent' | 'cancelled'
  readonly latencyMs: number
  readonly retryAfterMs?: number
}
export interface Resolver {
  readonly service: string
  /** A promise only before the first snapshot, bounded by the deadline. */
  acquire(context?: PickContext & { readonly deadline?: Deadline }): Lease | Promise<Lease>
  /** How many ready endpoints this call has not tried: while above 0, one endpoint's failure says nothing of the service. */
  untried(avoid: ReadonlySet<string>): number
  refresh(): void
  close(): Promise<void>
}
