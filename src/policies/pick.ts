// The innermost layer: picks an endpoint for each attempt, and tells the resolver how it went.
import type { Clock } from '../core/clock.ts'
import { type AbortWatcher, type CallContext, triesOnce, watchAbort } from '../core/context.ts'
import type { Lease, Outcome, Resolver } from '../core/contracts/balancer.ts'
import { type Describable, described, type LayerDescription } from '../core/describe.ts'
import { type Handler, isRefusal, type Layer, type Refusal } from '../core/handler.ts'
import { invalidOption } from '../core/options.ts'
import { stickyKeyOf } from '../core/sticky-key.ts'
import { type FairleadError, isFairleadError } from '../errors/base.ts'
import { createError } from '../errors/classes.ts'
import { classify } from '../errors/classify.ts'
import { CODES } from '../errors/codes.ts'
import { type Seams, world } from './seams.ts'

// An attempt goes on to another endpoint at most so often. Whatever else fails is for retry and its budget.
const MOST_FAILOVERS = 3

/** Options of `pick`. */
export interface PickOptions extends Seams {
  /**
   * Which calls belong together: those with the same key go to the same endpoint, where the balancer is one that sticks
   * (`sticky`, `consistent-hash`). Asked at each pick; undefined or null for a call that may go anywhere; what is no string counts as the
   * text that it gives. Default: every call may go anywhere.
   * @example pick(resolver, { stickyKey: (input) => (input as { customerId: string }).customerId })
   */
  readonly stickyKey?: ((request: unknown, context: CallContext) => string | undefined) | undefined
}

/**
 * Takes a lease for the attempt, sets `context.endpoint`, and reports the outcome once, when the work and all that it
 * tracked are over; that the answer is there, or that nobody waits for it any more, it says as soon as it is so. Endpoints that the call has tried are avoided.
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
  let key: string | undefined
  let lease: Lease | Promise<Lease>
  try {
    key = at.stickyKey === undefined ? undefined : stickyKeyOf(at.stickyKey(request, context))
    lease = at.resolver.acquire({
      key,
      avoid: context.tried,
      onlyUntried: triesOnce(context),
      deadline: context.deadline,
    })
  } catch (error) {
    return Promise.reject(error)
  }
  if ('report' in lease) return withLease(lease, next, request, context, at, failovers)
  // Who waits to be told whom to ask has sent nothing.
  if (context.endpoint === undefined) context.effect = 'none'
  return arrival(lease, context).then((taken) => {
    // Of those who waited together all are given theirs at once: what the others have now is known only here.
    const mine = takenBefore(taken, context) ? again(taken, key, at, context) : taken
    context.effect = 'unknown'
    return withLease(mine, next, request, context, at, failovers)
  })
}

// There is nothing to wait for any more: whoever could only be waited for is not had.
function again(lease: Lease, key: string | undefined, at: Where, context: CallContext): Lease {
  let other: Lease | Promise<Lease>
  try {
    other = at.resolver.acquire({
      key,
      avoid: context.tried,
      onlyUntried: triesOnce(context),
      deadline: context.deadline,
    })
  } catch {
    return lease
  }
  if (!('report' in other)) {
    other.then(giveBack, () => {})
    return lease
  }
  giveBack(lease)
  return other
}

// In a part of the call where nobody is tried twice.
function takenBefore({ endpoint }: Lease, context: CallContext): boolean {
  return triesOnce(context) && context.tried.has(endpoint.id)
}

function giveBack(lease: Lease): void {
  lease.report({ kind: 'cancelled', latencyMs: 0 })
}

function withLease<Req, Res, C extends CallContext>(
  lease: Lease,
  next: Handler<Req, Res, C>,
  request: Req,
  context: C,
  at: Where,
  failovers: number,
): Promise<Res> | Refusal {
  if (takenBefore(lease, context)) {
    giveBack(lease)
    return Promise.reject(nobodyElse(context))
  }
  context.endpoint = lease.endpoint
  context.markTried(lease.endpoint.id)
  const began = at.clock.now()
  const waiting = lease.answered === undefined ? undefined : new Waiting(lease, at.clock, began, context)
  let work: Promise<Res> | Refusal
  try {
    work = next(request, context)
  } catch (error) {
    report(lease, waiting, context, outcomeOf(error, context, 0))
    throw error
  }
  if (isRefusal(work)) {
    waiting?.over()
    giveBack(lease)
    return work
  }
  return work.then(
    (answer) => {
      report(lease, waiting, context, { kind: 'success', latencyMs: at.clock.now() - began })
      return answer
    },
    (error: unknown) => {
      report(lease, waiting, context, outcomeOf(error, context, at.clock.now() - began))
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

// A body that still streams, or work that a timeout left behind, is a call in flight, but nobody waits for an answer any more.
function report(lease: Lease, waiting: Waiting | undefined, context: CallContext, outcome: Outcome): void {
  const { tracked } = context
  if (tracked === undefined) {
    waiting?.over()
    lease.report(outcome)
    return
  }
  waiting?.answered(outcome.latencyMs)
  tracked.then(() => {
    if (context.tracked === tracked) lease.report(outcome)
    else report(lease, waiting, context, outcome)
  })
}

// From the pick to the answer. Ends with the attempt as well, even where the work goes on regardless.
class Waiting implements AbortWatcher {
  nextWatcher: AbortWatcher | undefined
  readonly #lease: Lease
  readonly #clock: Clock
  readonly #began: number
  #over: boolean

  constructor(lease: Lease, clock: Clock, began: number, context: CallContext) {
    this.nextWatcher = undefined
    this.#lease = lease
    this.#clock = clock
    this.#began = began
    this.#over = false
    watchAbort(context, this)
  }

  onAborted(): void {
    this.answered(this.#clock.now() - this.#began)
  }

  answered(latencyMs: number): void {
    if (this.#over) return
    this.#over = true
    this.#lease.answered?.(latencyMs)
  }

  /** The report says the same. */
  over(): void {
    this.#over = true
  }
}

function nobodyElse({ service, operation, attempt }: CallContext): FairleadError {
  return createError({
    code: 'NO_ENDPOINT',
    message: `no endpoint of ${service} that is not being asked already`,
    service,
    operation,
    attempt,
    stack: false,
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
        if (left) return giveBack(taken)
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
