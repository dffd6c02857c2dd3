// Tries again what may be tried again: only what is transient and surely harmless, within budget and deadline.
import { LONGEST_TIMER_MS } from '../core/clock.ts'
import type { CallContext } from '../core/context.ts'
import { type Describable, describedBy, type LayerDescription, type Subject } from '../core/describe.ts'
import { type Handler, isRefusal, type Layer } from '../core/handler.ts'
import { lazy } from '../core/lazy.ts'
import { countOption, durationOption, invalidOption, knownOptions } from '../core/options.ts'
import { type FairleadError, isFairleadError } from '../errors/base.ts'
import { withDetails, withFields } from '../errors/classes.ts'
import { classify } from '../errors/classify.ts'
import { budgetOption, type RetryBudget, type RetryBudgetOptions } from './retry-budget.ts'
import { SEAMS, type Seams, type World, world } from './seams.ts'

/** Options of the retry policy. */
export interface RetryOptions extends Seams {
  /** Attempts in all, the first included. Default 3. */
  readonly attempts?: number | undefined
  /** First step of the backoff, milliseconds. Default 50. */
  readonly backoffMs?: number | undefined
  /** Longest step of the backoff, milliseconds. Default 1,000. */
  readonly maxBackoffMs?: number | undefined
  /** Shared by all who call the same service. Default: a budget of its own with the defaults. `false` is none. */
  readonly budget?: RetryBudget | RetryBudgetOptions | false | undefined
  /** Refuses further attempts that the taxonomy would allow. It cannot allow what the taxonomy forbids. */
  readonly when?: ((error: FairleadError) => boolean) | undefined
}

type PRetry = <T>(
  input: (attempt: number) => Promise<T>,
  options: {
    readonly retries: number
    readonly minTimeout: number
    readonly maxTimeout: number
    readonly shouldRetry: () => Promise<boolean>
  },
) => Promise<T>

/**
 * Full jitter (0 to 50 ms, doubling to 1 s; Brooker, "Exponential Backoff and Jitter"). `Retry-After` is obeyed or the call is given up, never clamped.
 * No backoff is begun that would outlive the deadline. Where it stops, the last real error of the peer goes out;
 * what stopped it (budget, open circuit) is noted in `details.stoppedBy`.
 */
export function retry(options: RetryOptions = {}): Layer & Describable<LayerDescription> {
  knownOptions('retry', options, ['attempts', 'backoffMs', 'maxBackoffMs', 'budget', 'when', ...SEAMS])
  const seen = world(options)
  const attempts = countOption('retry.attempts', options.attempts, 3)
  const backoffMs = durationOption('retry.backoffMs', options.backoffMs, 50, 0)
  const maxBackoffMs = durationOption('retry.maxBackoffMs', options.maxBackoffMs, Math.max(1_000, backoffMs), 0)
  if (options.when !== undefined && typeof options.when !== 'function')
    throw invalidOption('retry.when', options.when, 'give a function of the error')
  const budget = budgetOption('retry.budget', options.budget, options.clock)
  const rules = new Rules(attempts, backoffMs, maxBackoffMs, budget, options.when, seen)
  const layer: Layer = (next) => (request, context) => {
    const first = next(request, context)
    // A refusal of our own is not worth trying again, and no call that earns a retry; the good case costs one `then`.
    if (isRefusal(first)) return first
    budget?.deposit()
    return first.then(undefined, (error) => again(next, request, context, error, rules))
  }
  return describedBy(layer, rules)
}

class Rules implements Subject {
  readonly attempts: number
  readonly backoffMs: number
  readonly maxBackoffMs: number
  readonly budget: RetryBudget | undefined
  readonly when: ((error: FairleadError) => boolean) | undefined
  readonly seen: World

  constructor(
    attempts: number,
    backoffMs: number,
    maxBackoffMs: number,
    budget: RetryBudget | undefined,
    when: ((error: FairleadError) => boolean) | undefined,
    seen: World,
  ) {
    this.attempts = attempts
    this.backoffMs = backoffMs
    this.maxBackoffMs = maxBackoffMs
    this.budget = budget
    this.when = when
    this.seen = seen
  }

  describe(): LayerDescription {
    const { attempts, backoffMs, maxBackoffMs, budget } = this
    const options = { attempts, backoffMs, maxBackoffMs, budget: budget?.options ?? false }
    return { layer: 'retry', options, state: { balance: budget?.balance } }
  }
}

// p-retry's loop is entered only here, after the first failure, and is given FairleadErrors only: other TypeErrors it never retries.
// Its own delays are 0; the wait is ours, on the injected clock, and cut short by an abort.
async function again<Req, Res, C extends CallContext>(
  next: Handler<Req, Res, C>,
  request: Req,
  context: C,
  firstError: unknown,
  rules: Rules,
): Promise<Res> {
  const { default: pRetry } = lazy<{ default: PRetry }>('p-retry')
  let last = asError(firstError, context)
  let stoppedBy: string | undefined
  let made = 1
  let touched = last.effect !== 'none'
  try {
    return await pRetry<Res>(
      async (attempt) => {
        if (attempt === 1) throw last
        made = attempt
        const { context: fork } = context.fork({ attempt: context.attempt + attempt - 1 })
        try {
          return await next(request, fork as C)
        } catch (thrown) {
          const error = asError(thrown, fork)
          // Refused here, also by way of a plain async layer: what the peer did last is the news.
          if (isOwnRefusal(error)) stoppedBy = error.code
          else {
            last = error
            touched ||= last.effect !== 'none'
          }
          throw last
        }
      },
      {
        retries: rules.attempts - 1,
        minTimeout: 0,
        maxTimeout: 0,
        shouldRetry: async () => {
          if (stoppedBy !== undefined) return false
          const delayMs = decide(last, made, context, rules)
          if (typeof delayMs === 'string') {
            stoppedBy = delayMs
            return false
          }
          return await wait(delayMs, made, context, rules, last)
        },
      },
    )
  } catch {
    if (context.aborted !== undefined) throw because(context.aborted.reason, last)
    throw lastError(last, stoppedBy, touched, context, rules)
  }
}

// The deadline came, or the caller left, while it was waiting or trying again: what went wrong before is worth knowing.
function because(reason: unknown, last: FairleadError): unknown {
  return isFairleadError(reason, 'DEADLINE_EXCEEDED') && reason !== last && reason.cause === undefined
    ? withFields(reason, { cause: last })
    : reason
}

function isOwnRefusal(error: FairleadError): boolean {
  return error.kind === 'rejected' && error.refusedBy === 'self' && error.effect === 'none'
}

// An error that came out of a call inside this one is wrapped: its own word on repeating it does not count here.
function asError(error: unknown, { idempotent, service, operation, attempt, aborted }: CallContext): FairleadError {
  return classify(error, { idempotent, service, operation, attempt, aborted })
}

// Real timers strike up to a millisecond early: with less than that left there is no attempt worth its budget.
const LEAST_MS = 1

/** How long to wait before the next attempt, or why there is none. `final` is no news: the error itself says so. */
function decide(
  error: FairleadError,
  made: number,
  context: CallContext,
  rules: Rules,
): number | 'final' | 'DEADLINE' | 'RETRY_BUDGET_EXHAUSTED' {
  if (context.aborted !== undefined || error.kind === 'cancelled') return 'final'
  if (!error.transient || !(error.effect === 'none' || context.idempotent)) return 'final'
  if (error.kind === 'rejected' && error.refusedBy === 'self') return 'final'
  if (rules.when !== undefined && !rules.when(error)) return 'final'
  const step = Math.min(rules.backoffMs * 2 ** Math.min(made - 1, 30), rules.maxBackoffMs)
  const delayMs = Math.max(step * rules.seen.random(), error.retryAfterMs ?? 0)
  // A longer wait cannot be kept by one timer, and shortening it would break the peer's wish.
  if (delayMs > LONGEST_TIMER_MS || delayMs + LEAST_MS >= context.deadline.remainingMs()) return 'DEADLINE'
  if (rules.budget !== undefined && !rules.budget.withdraw()) return 'RETRY_BUDGET_EXHAUSTED'
  return delayMs
}

function wait(
  delayMs: number,
  made: number,
  context: CallContext,
  { seen }: Rules,
  error: FairleadError,
): Promise<boolean> {
  if (seen.events.heard)
    seen.events.emit({
      type: 'retry',
      service: context.service,
      operation: context.operation,
      attempt: made,
      delayMs,
      error,
    })
  if (delayMs <= 0) return Promise.resolve(context.aborted === undefined)
  return new Promise((resolve) => {
    const timer = seen.clock.setTimer(resolve, delayMs, true)
    context.onAbort(() => {
      seen.clock.clearTimer(timer)
      resolve(false)
    })
  })
}

// The error of the last attempt, with what earlier attempts may have done: a refused connection after a timeout proves nothing about the first attempt.
function lastError(
  last: FairleadError,
  stoppedBy: string | undefined,
  touched: boolean,
  context: CallContext,
  rules: Rules,
): FairleadError {
  const stopped = stoppedBy === undefined || stoppedBy === 'final' ? undefined : stoppedBy
  if (stopped !== undefined && rules.seen.events.heard)
    rules.seen.events.emit({
      type: 'retry-stopped',
      service: context.service,
      operation: context.operation,
      attempt: last.attempt ?? 1,
      reason: stopped,
      error: last,
    })
  const hidesEffect = touched && last.effect === 'none'
  const effect = hidesEffect ? { effect: 'unknown' as const } : {}
  if (stopped !== undefined) return withDetails(last, { stoppedBy: stopped }, effect)
  return hidesEffect ? withFields(last, effect) : last
}
