// Policies for a client that calls many origins: each origin has its own breaker, cap and retry budget, and their number is bounded.
import type { CallContext } from '../../core/context.ts'
import type { Handler } from '../../core/handler.ts'
import { keyed } from '../../core/keyed.ts'
import { countOption } from '../../core/options.ts'
import { type CallTemplate, startCall } from '../../policies/call.ts'
import { STANDARD_OPTIONS, type Standard, type StandardOptions, standard } from '../../policies/standard.ts'
import { ringWindow } from '../../policies/window.ts'

/** Policies per origin, flat, as everywhere. Retries are on: HTTP methods say what may be repeated. */
export interface OriginPolicies extends StandardOptions {
  /** Origins whose breakers and caps are kept at once; the longest unused goes first, one that is open or busy never. Default 1000. */
  readonly maxOrigins?: number | undefined
}

/** Names of these options. */
export const ORIGIN_OPTIONS: readonly string[] = [...STANDARD_OPTIONS, 'maxOrigins']

/** One attempt at a request. */
export type Attempt<T> = (context: CallContext) => Promise<T>

/** What is said of a call besides its attempts. */
export interface OriginCall {
  readonly method: string
  readonly idempotent: boolean
  readonly signal?: AbortSignal | undefined
}

/** The policies of all origins. */
export interface Origins {
  readonly clock: CallTemplate['clock']
  run<T>(origin: string, call: OriginCall, attempt: Attempt<T>): Promise<T>
}

interface Kept {
  readonly policies: Standard
  readonly pipeline: Handler<Attempt<unknown>, unknown>
}

// RFC 9110, section 9.2.2. POST and PATCH are, when they carry a key.
const IDEMPOTENT = new Set(['GET', 'HEAD', 'PUT', 'DELETE', 'OPTIONS', 'TRACE'])

/** Whether a request may be made twice: by its method, or because it carries an Idempotency-Key. */
export function isIdempotent(method: string, hasKey: boolean): boolean {
  return hasKey || IDEMPOTENT.has(method)
}

/** Builds the policies of an origin when it is first called. Options are checked now. */
export function createOrigins(options: OriginPolicies): Origins {
  const { maxOrigins, ...given } = options
  const { circuitBreaker } = given
  // A shared breaker is the caller's; of those made here there can be many, so they get the small window.
  const policies: StandardOptions = {
    ...given,
    retry: given.retry ?? {},
    ...(circuitBreaker === false || typeof circuitBreaker === 'function'
      ? {}
      : { circuitBreaker: { window: ringWindow, ...circuitBreaker } }),
  }
  const first = standard('origin', policies)
  const kept = keyed<Kept>(
    countOption('maxOrigins', maxOrigins, 1_000),
    (origin) => {
      const own = standard(origin, policies)
      return {
        policies: own,
        pipeline: own.pipeline<Attempt<unknown>, unknown>({}, (attempt, context) => attempt(context)),
      }
    },
    ({ policies: own }) =>
      typeof circuitBreaker === 'function' ||
      ((own.circuitBreaker?.state ?? 'closed') === 'closed' && (own.bulkhead?.outstanding ?? 0) === 0),
  )
  return {
    clock: first.clock,
    run<T>(origin: string, call: OriginCall, attempt: Attempt<T>): Promise<T> {
      const { policies: own, pipeline } = kept.get(origin)
      const template: CallTemplate = {
        service: origin,
        operation: call.method,
        idempotent: call.idempotent,
        deadlineMs: own.deadlineMs,
        clock: own.clock,
      }
      return startCall(
        pipeline,
        template,
        attempt,
        call.signal === undefined ? undefined : { signal: call.signal },
      ) as Promise<T>
    },
  }
}
