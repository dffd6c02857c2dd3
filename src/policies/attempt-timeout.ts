// Bounds one attempt. It aborts the attempt it belongs to and nothing else, and stands outside the bulkhead:
// work that goes on afterwards keeps its slot there.
import type { Alarm, Bound } from '../core/alarm.ts'
import { type AbortWatcher, alarmOf, type CallContext, effectSoFar, watchAbort } from '../core/context.ts'
import { type Describable, describedBy, type LayerDescription, type Subject } from '../core/describe.ts'
import { isRefusal, type Layer } from '../core/handler.ts'
import { durationOption, knownOptions } from '../core/options.ts'
import { type FairleadError, isFairleadError } from '../errors/base.ts'
import { createError, stamp } from '../errors/classes.ts'
import { classify } from '../errors/classify.ts'
import { SEAMS, type Seams, type World, world } from './seams.ts'

/** Options of the attempt timeout. */
export interface AttemptTimeoutOptions extends Seams {
  /** Milliseconds for one attempt. Default 2000. The rest of the deadline, where that is less. */
  readonly attemptTimeoutMs?: number | undefined
}

/** Ends an attempt after its time with `ATTEMPT_TIMEOUT`, or with `DEADLINE_EXCEEDED` where the deadline of the call is what struck. */
export function attemptTimeout(options: AttemptTimeoutOptions = {}): Layer & Describable<LayerDescription> {
  knownOptions('attemptTimeout', options, ['attemptTimeoutMs', ...SEAMS])
  const limit = durationOption('attemptTimeoutMs', options.attemptTimeoutMs, 2_000)
  return attemptTimeoutLayer(limit, world(options))
}

/** As `attemptTimeout`, with a limit of Infinity where only the deadline bounds an attempt. */
export function attemptTimeoutLayer(limit: number, seen: World): Layer & Describable<LayerDescription> {
  const layer: Layer = (next) => (request, context) => {
    const fork = context.fork(NO_CHANGE)
    const began = seen.events.heard ? seen.clock.now() : -1
    const work = next(request, fork.context as typeof context)
    if (isRefusal(work)) return work
    return new Promise((resolve, reject) => {
      const attempt = new Attempt(fork.context, fork, reject, limit, seen, work, began)
      work.then(
        (value) => {
          if (!attempt.over()) return
          if (began >= 0) tell(seen, fork.context, began, undefined)
          resolve(value)
        },
        (error) => {
          if (attempt.over()) attempt.fail(error)
        },
      )
    })
  }
  return describedBy(layer, new Limit(limit))
}

class Limit implements Subject {
  readonly attemptTimeoutMs: number

  constructor(attemptTimeoutMs: number) {
    this.attemptTimeoutMs = attemptTimeoutMs
  }

  describe(): LayerDescription {
    return { layer: 'attempt-timeout', options: { attemptTimeoutMs: this.attemptTimeoutMs } }
  }
}

const NO_CHANGE = Object.freeze({})

function tell(seen: World, context: CallContext, began: number, error: FairleadError | undefined): void {
  seen.events.emit({
    type: 'attempt',
    service: context.service,
    operation: context.operation,
    attempt: context.attempt,
    elapsedMs: seen.clock.now() - began,
    ...(context.endpoint === undefined ? {} : { endpoint: context.endpoint.id }),
    ...(error === undefined ? {} : { error }),
  })
}

class Attempt implements AbortWatcher, Bound {
  nextBound: Bound | undefined
  dueAt: number
  nextWatcher: AbortWatcher | undefined
  readonly #context: CallContext
  readonly #fork: { abort(reason: unknown): void }
  readonly #reject: (error: unknown) => void
  readonly #world: World
  readonly #limit: number
  readonly #work: PromiseLike<unknown>
  readonly #began: number
  #byDeadline: boolean
  #ms: number
  readonly #alarm: Alarm | undefined
  #over: boolean

  constructor(
    context: CallContext,
    fork: { abort(reason: unknown): void },
    reject: (error: unknown) => void,
    limit: number,
    seen: World,
    work: PromiseLike<unknown>,
    began: number,
  ) {
    this.nextBound = undefined
    this.dueAt = Infinity
    this.nextWatcher = undefined
    this.#context = context
    this.#fork = fork
    this.#reject = reject
    this.#world = seen
    this.#limit = limit
    this.#work = work
    this.#began = began
    const { at } = context.deadline
    const left = at === Infinity ? Infinity : context.deadline.remainingMs()
    this.#byDeadline = left <= limit
    this.#ms = this.#byDeadline ? Math.max(0, left) : limit
    this.#over = false
    this.#alarm = this.#ms === Infinity ? undefined : alarmOf(context, seen.clock)
    // What the deadline ends is ended at its very instant: the deadline of the call itself comes after it then.
    if (this.#byDeadline) this.#alarm?.add(this, at, left)
    else this.#alarm?.add(this, at === Infinity ? seen.clock.now() + limit : at - left + limit, limit)
    // The fork is ended by its parents: by the caller's cancellation, or by the deadline.
    watchAbort(context, this)
  }

  onAborted(reason: unknown): void {
    if (this.over()) this.leave(reason)
  }

  /** Ends the watch; false if it had ended. */
  over(): boolean {
    if (this.#over) return false
    this.#over = true
    this.#alarm?.remove(this)
    return true
  }

  expire(): void {
    if (!this.#over && this.#byDeadline && this.#goOn()) return
    if (!this.over()) return
    const error = this.#error()
    const { service, operation } = this.#context
    if (this.#world.events.heard)
      this.#world.events.emit({
        type: 'timeout',
        what: this.#byDeadline ? 'deadline' : 'attempt',
        afterMs: this.#ms,
        service,
        operation,
      })
    this.leave(error)
    this.#fork.abort(error)
  }

  // A caller with more time may have joined (coalesce): then the deadline has moved out, and the rest of the limit counts.
  #goOn(): boolean {
    const left = this.#context.deadline.remainingMs()
    const rest = this.#limit - this.#ms
    const ms = Math.min(left, rest)
    if (!(ms > 0)) return false
    this.#byDeadline = left <= rest
    this.#ms += ms
    if (ms !== Infinity) this.#alarm?.add(this, this.#world.clock.now() + ms, ms)
    return true
  }

  /** Answers the caller although the work goes on; whoever stands outside may wait for it. */
  leave(reason: unknown): void {
    this.#context.track(this.#work as Promise<unknown>)
    this.fail(reason)
  }

  /** Which attempt it was, and against whom, is known here and nowhere outside. */
  fail(error: unknown): void {
    const { attempt, endpoint } = this.#context
    if (isFairleadError(error)) stamp(error, { attempt, endpoint: endpoint?.id })
    if (this.#began >= 0) {
      const { service, operation, idempotent } = this.#context
      tell(this.#world, this.#context, this.#began, classify(error, { service, operation, idempotent }))
    }
    this.#reject(error)
  }

  #error(): FairleadError {
    const { service, operation, attempt, endpoint, idempotent } = this.#context
    return createError({
      code: this.#byDeadline ? 'DEADLINE_EXCEEDED' : 'ATTEMPT_TIMEOUT',
      message: this.#byDeadline
        ? 'the deadline came while an attempt was running'
        : `the attempt took longer than ${this.#limit} ms`,
      effect: effectSoFar(this.#context),
      service,
      operation,
      attempt,
      idempotent,
      endpoint: endpoint?.id,
    })
  }
}
