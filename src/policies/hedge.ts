// Asks another endpoint as well when the first takes unusually long (Dean and Barroso, "The Tail at Scale", 2013); the first answer counts.
import type { Timer } from '../core/clock.ts'
import type { AbortableContext, CallContext } from '../core/context.ts'
import { type Describable, describedBy, type LayerDescription, type Subject } from '../core/describe.ts'
import { type Handler, isRefusal, type Layer, type Refusal } from '../core/handler.ts'
import { countOption, durationOption, invalidOption, knownOptions } from '../core/options.ts'
import { type FairleadError, isFairleadError } from '../errors/base.ts'
import { createError, withFields } from '../errors/classes.ts'
import { RecentTimes } from './recent-times.ts'
import { budgetOption, type RetryBudget, type RetryBudgetOptions } from './retry-budget.ts'
import { SEAMS, type Seams, type World, world } from './seams.ts'

/** Options of hedging. */
export interface HedgeOptions extends Seams {
  /** Milliseconds without an answer, after which another endpoint is asked as well. Default: the `percentile`. */
  readonly delayMs?: number | undefined
  /**
   * Which part of the latest answers came sooner than that: more than 0, less than 1. Default 0.95, so that about one call in twenty is hedged. It is taken of
   * the last 200 answers, and nothing is hedged before the first 20.
   */
  readonly percentile?: number | undefined
  /** The percentile counts as at least so many milliseconds. Default 1. */
  readonly minDelayMs?: number | undefined
  /** Endpoints that are asked besides the first, each after another delay. Default 1. */
  readonly hedges?: number | undefined
  /**
   * Default: a budget of its own with the defaults of `retryBudget`, or that of retry where `standard` builds both. One that is given is fed by the retry that
   * shares it. `false` is none.
   */
  readonly budget?: RetryBudget | RetryBudgetOptions | false | undefined
}

/**
 * Only for calls that are idempotent, while the deadline has time left and, behind a resolver, while there is an endpoint that the call has not tried.
 * The first success counts, and the others are aborted with `CANCELLED`, which says nothing of their endpoints but that it took at least so long. A failure
 * waits for those that are still out; with nobody out it goes out at once: whether to try again is for `retry`, which stands outside.
 * A hedge that is refused (circuit open, cap reached, no budget) is as if it had not been, but what it took of the budget stays spent: where hedges
 * are refused there is more load than can be borne.
 */
export function hedge(options: HedgeOptions = {}): Layer & Describable<LayerDescription> {
  knownOptions('hedge', options, ['delayMs', 'percentile', 'minDelayMs', 'hedges', 'budget', ...SEAMS])
  const { percentile = 0.95 } = options
  if (typeof percentile !== 'number' || !(percentile > 0 && percentile < 1))
    throw invalidOption('hedge.percentile', percentile, 'give a share between 0 and 1, such as 0.95')
  if (options.delayMs !== undefined && options.percentile !== undefined)
    throw invalidOption('hedge.percentile', percentile, 'give delayMs or percentile: one of them decides')
  const rules = new Rules(
    options.delayMs === undefined ? undefined : durationOption('hedge.delayMs', options.delayMs, 0),
    percentile,
    durationOption('hedge.minDelayMs', options.minDelayMs, 1),
    countOption('hedge.hedges', options.hedges, 1),
    options,
  )
  const layer: Layer = (next) => (request, context) => {
    rules.earn()
    const delayMs = context.idempotent ? rules.delayMs() : undefined
    const began = rules.seen.clock.now()
    if (delayMs === undefined) {
      const work = next(request, context)
      if (isRefusal(work) || !context.idempotent) return work
      return work.then((answer) => {
        rules.times.add(rules.seen.clock.now() - began)
        return answer
      })
    }
    const first = context.fork(NO_CHANGE)
    const work = next(request, first.context as typeof context)
    if (isRefusal(work)) return work
    return new Promise((resolve, reject) => {
      new Race(next as Handler<unknown, unknown>, request, context, rules, delayMs, resolve as Resolve, reject).begin(
        first,
        work,
        began,
      )
    })
  }
  return describedBy(layer, rules)
}

type Resolve = (answer: unknown) => void

const NO_CHANGE = Object.freeze({})

// Real timers strike up to a millisecond early: with less than that left there is no hedge worth its budget.
const LEAST_MS = 1

class Rules implements Subject {
  readonly times: RecentTimes
  readonly hedges: number
  readonly seen: World
  readonly #fixedMs: number | undefined
  readonly #percentile: number
  readonly #minMs: number
  readonly #budget: RetryBudget | undefined
  readonly #own: boolean

  constructor(
    fixedMs: number | undefined,
    percentile: number,
    minMs: number,
    hedges: number,
    { budget, ...options }: HedgeOptions,
  ) {
    this.#fixedMs = fixedMs
    this.#percentile = percentile
    this.#minMs = minMs
    this.hedges = hedges
    this.seen = world(options)
    this.times = new RecentTimes(percentile)
    this.#budget = budgetOption('hedge.budget', budget, options.clock)
    this.#own = budget === undefined || (budget !== false && !('withdraw' in budget))
  }

  /** A budget that is shared is fed by retry. */
  earn(): void {
    if (this.#own) this.#budget?.deposit()
  }

  spend(): boolean {
    return this.#budget === undefined || this.#budget.withdraw()
  }

  delayMs(): number | undefined {
    if (this.#fixedMs !== undefined) return this.#fixedMs
    const ms = this.times.percentileMs
    return ms === undefined ? undefined : Math.max(ms, this.#minMs)
  }

  describe(): LayerDescription {
    const options = {
      ...(this.#fixedMs === undefined
        ? { percentile: this.#percentile, minDelayMs: this.#minMs }
        : { delayMs: this.#fixedMs }),
      hedges: this.hedges,
      budget: this.#budget?.options ?? false,
    }
    return { layer: 'hedge', options, state: { delayMs: this.delayMs(), balance: this.#budget?.balance } }
  }
}

class Race {
  readonly #next: Handler<unknown, unknown>
  readonly #request: unknown
  readonly #context: CallContext
  readonly #rules: Rules
  readonly #delayMs: number
  readonly #resolve: Resolve
  readonly #reject: (error: unknown) => void
  readonly #runners: AbortableContext[] = []
  #out = 0
  #hedged = 0
  #timer: Timer | undefined
  #over = false
  #first: { readonly error: unknown } | undefined
  #touched = false

  constructor(
    next: Handler<unknown, unknown>,
    request: unknown,
    context: CallContext,
    rules: Rules,
    delayMs: number,
    resolve: Resolve,
    reject: (error: unknown) => void,
  ) {
    this.#next = next
    this.#request = request
    this.#context = context
    this.#rules = rules
    this.#delayMs = delayMs
    this.#resolve = resolve
    this.#reject = reject
  }

  begin(runner: AbortableContext, work: Promise<unknown> | Refusal, began: number): void {
    this.#run(runner, work, began)
    this.#arm()
  }

  #arm(): void {
    const { clock } = this.#rules.seen
    this.#timer = clock.setTimer(
      () => {
        this.#timer = undefined
        this.#another()
      },
      this.#delayMs,
      undefined,
    )
  }

  #another(): void {
    if (this.#over || !this.#worthIt() || !this.#rules.spend()) return
    this.#hedged++
    const { seen } = this.#rules
    const runner = this.#context.fork(NO_CHANGE)
    let work: Promise<unknown> | Refusal
    try {
      work = this.#next(this.#request, runner.context)
    } catch (error) {
      work = Promise.reject(error)
    }
    if (!isRefusal(work)) {
      const { service, operation, attempt } = this.#context
      if (seen.events.heard)
        seen.events.emit({ type: 'hedge', service, operation, attempt, afterMs: this.#delayMs * this.#hedged })
      this.#run(runner, work, seen.clock.now())
    }
    if (this.#hedged < this.#rules.hedges) this.#arm()
  }

  #worthIt(): boolean {
    const { aborted, deadline, resolver, tried } = this.#context
    if (aborted !== undefined || deadline.remainingMs() <= LEAST_MS) return false
    return resolver === undefined || resolver.untried(tried) > 0
  }

  #run(runner: AbortableContext, work: Promise<unknown> | Refusal, began: number): void {
    this.#runners.push(runner)
    this.#out++
    work.then(
      (answer) => {
        if (this.#over) return
        this.#rules.times.add(this.#rules.seen.clock.now() - began)
        this.#end()
        for (const other of this.#runners) if (other !== runner) other.abort(beaten(other.context))
        this.#resolve(answer)
      },
      (error: unknown) => {
        this.#out--
        if (this.#over) return
        if (!isFairleadError(error) || error.effect !== 'none') this.#touched = true
        // Of a hedge that was refused further in, nobody wants to hear.
        if (this.#first === undefined || isOwnRefusal(this.#first.error)) this.#first = { error }
        if (this.#out > 0) return
        this.#end()
        this.#reject(this.#failure())
      },
    )
  }

  #end(): void {
    this.#over = true
    if (this.#timer !== undefined) this.#rules.seen.clock.clearTimer(this.#timer)
    this.#timer = undefined
  }

  // What all of them may have done, not only the one whose error it is.
  #failure(): unknown {
    const error = this.#first?.error
    return this.#touched && isFairleadError(error) && error.effect === 'none'
      ? withFields(error, { effect: 'unknown' })
      : error
  }
}

function isOwnRefusal(error: unknown): boolean {
  return isFairleadError(error) && error.kind === 'rejected' && error.refusedBy === 'self'
}

function beaten({ service, operation, attempt }: CallContext): FairleadError {
  return createError({
    code: 'CANCELLED',
    message: 'another endpoint answered first',
    service,
    operation,
    attempt,
    stack: false,
  })
}
