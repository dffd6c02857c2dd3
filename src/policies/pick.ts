// The innermost layer: picks an endpoint for each attempt, and tells the resolver how it went.
import type { Clock } from '../core/clock.ts'
import type { CallContext } from '../core/context.ts'
import type { Lease, Outcome, Resolver } from '../core/contracts/balancer.ts'
import { type Describable, described, type LayerDescription } from '../core/describe.ts'
import { type Handler, isRefusal, type Layer, type Refusal } from '../core/handler.ts'
import { invalidOption } from '../core/options.ts'
import { type FairleadError, isFairleadError } from '../errors/base.ts'
import { classify } from '../errors/classify.ts'
import { CODES } from '../errors/codes.ts'
import { type Seams, world } from './seams.ts'

// An attempt goes on to another endpoint at most so often. Whatever else fails is for retry and its budget.
const MOST_FAILOVERS = 3

/** Options of `pick`. */
export interface PickOptions extends Seams {
  /**
   * Which calls belong together: those with the same key go to the same endpoint, where the balancer is one that sticks
   * (`sticky`, `consistent-hash`). Asked at each pick; undefined for a call that may go anywhere. Default: every call may.
   * @example pick(resolver, { stickyKey: (input) => (input as { customerId: string }).customerId })
   */
  readonly stickyKey?: ((request: unknown, context: CallContext) => string | undefined) | undefined
}

/**
 * Takes a lease for the attempt, sets `context.endpoint`, and reports the outcome once, when the work and all that it
 * tracked are over. Endpoints that the call has tried are avoided.
 *
 * An endpoint that could not even be reached (effect `none`, no connection) is passed over for an untried one within the
 * same attempt: nothing was sent, so this is no retry and costs no budget (gRPC calls it a transparent retry, gRFC A6).
 * @throws FairleadError `NO_ENDPOINT` (rejects with it) where there is none
 */
export function pick(resolver: Resolver, options: PickOptions = {}): Layer & Describable<LayerDescription> {
  const { stickyKey } = options
  if (stickyKey !== undefined && typeof stickyKey !== 'function')
    throw invalidOption('stickyKey', stickyKey, 'give a function of the request that returns a key')
  const at: Where = { resolver, clock: world(options).clock, stickyKey }
  const layer: Layer = (next) => (request, context) => attempt(next, request, context, at, 0)
  return described(layer, 'pick', { service: resolver.service })
}

// What is the same for all calls through one pick.
interface Where {
  readonly resolver: Resolver
  readonly clock: Clock
  readonly stickyKey: PickOptions['stickyKey']
}

function attempt<Req, Res, C extends CallContext>(
  next: Handler<Req, Res, C>,
  request: Req,
  context: C,
  at: Where,
  failovers: number,
): Promise<Res> | Refusal {
  let lease: Lease | Promise<Lease>
  try {
    const key = at.stickyKey?.(request, context)
    lease = at.resolver.acquire({ key, avoid: context.tried, deadline: context.deadline })
  } catch (error) {
    return Promise.reject(error)
  }
  if (!('report' in lease))
    return arrival(lease, context).then((taken) => withLease(taken, next, request, context, at, failovers))
  return withLease(lease, next, request, context, at, failovers)
}

function withLease<Req, Res, C extends CallContext>(
  lease: Lease,
  next: Handler<Req, Res, C>,
  request: Req,
  context: C,
  at: Where,
  failovers: number,
): Promise<Res> | Refusal {
  context.endpoint = lease.endpoint
  context.markTried(lease.endpoint.id)
  const began = at.clock.now()
  let work: Promise<Res> | Refusal
  try {
    work = next(request, context)
  } catch (error) {
    lease.report(outcomeOf(error, context, 0))
    throw error
  }
  if (isRefusal(work)) {
    lease.report({ kind: 'cancelled', latencyMs: 0 })
    return work
  }
  return work.then(
    (answer) => {
      report(lease, context, { kind: 'success', latencyMs: at.clock.now() - began })
      return answer
    },
    (error: unknown) => {
      report(lease, context, outcomeOf(error, context, at.clock.now() - began))
      if (
        failovers < MOST_FAILOVERS &&
        unreached(error) &&
        context.aborted === undefined &&
        at.resolver.untried(context.tried) > 0
      )
        return attempt(next, request, context, at, failovers + 1) as Promise<Res>
      throw error
    },
  )
}

// A body that still streams, or work that a timeout left behind, is a call in flight.
function report(lease: Lease, context: CallContext, outcome: Outcome): void {
  const { tracked } = context
  if (tracked === undefined) lease.report(outcome)
  else
    tracked.then(() => {
      if (context.tracked === tracked) lease.report(outcome)
      else report(lease, context, outcome)
    })
}

function outcomeOf(thrown: unknown, context: CallContext, latencyMs: number): Outcome {
  const error: FairleadError = isFairleadError(thrown) ? thrown : classify(thrown, { effect: context.effect })
  const { retryAfterMs } = error
  if (error.overload || error.code === 'STREAM_REFUSED')
    return retryAfterMs === undefined ? { kind: 'overload', latencyMs } : { kind: 'overload', latencyMs, retryAfterMs }
  const { breaker } = CODES[error.code]
  if (breaker === 'success') return { kind: 'success', latencyMs }
  if (breaker === 'neutral') return { kind: 'cancelled', latencyMs }
  return { kind: error.effect === 'none' ? 'not-sent' : 'failure', latencyMs }
}

// Refused, no route, no name, TLS broken off, connecting took too long: it never got as far as a request.
function unreached(error: unknown): boolean {
  if (!isFairleadError(error) || error.effect !== 'none' || !error.transient) return false
  return error.kind !== 'response' && CODES[error.code].breaker === 'failure'
}

// Waits for the first word of discovery, but no longer than the attempt lasts.
function arrival(lease: Promise<Lease>, context: CallContext): Promise<Lease> {
  return new Promise((resolve, reject) => {
    let left = false
    const stop = context.onAbort((reason) => {
      left = true
      reject(reason)
    })
    lease.then(
      (taken) => {
        if (left) return taken.report({ kind: 'cancelled', latencyMs: 0 })
        stop()
        resolve(taken)
      },
      (error) => {
        if (!left) stop()
        reject(error)
      },
    )
  })
}
