// Nothing outlives its deadline: the caller is answered then, and the whole call is aborted. The caller's own cancellation settles here too.
import type { Alarm, Bound } from '../core/alarm.ts'
import { type AbortWatcher, abortContext, alarmOf, type CallContext, watchAbort } from '../core/context.ts'
import { deadlineIn } from '../core/deadline.ts'
import { type Describable, describedBy, type LayerDescription, type Subject } from '../core/describe.ts'
import { type Handler, isRefusal, type Layer, type Refusal, refuse } from '../core/handler.ts'
import { durationOption, knownOptions } from '../core/options.ts'
import { isFairleadError } from '../errors/base.ts'
import { createError, stamp } from '../errors/classes.ts'
import { deadlineExceeded, isDeadline } from './failures.ts'
import { SEAMS, type Seams, type World, world } from './seams.ts'

/** Options of the deadline layer. */
export interface DeadlineOptions extends Seams {
  /** Milliseconds for what is inside. Default: only the deadline that the call came with. */
  readonly deadlineMs?: number | undefined
}

/**
 * Answers the caller when the deadline of the context comes, with `DEADLINE_EXCEEDED`, and aborts what is still running.
 * A call whose deadline has passed already is refused with `DEADLINE_SPENT`. A `CANCELLED` context settles at once.
 */
export function deadline(options: DeadlineOptions = {}): Layer & Describable<LayerDescription> {
  knownOptions('deadline', options, ['deadlineMs', ...SEAMS])
  const ms = options.deadlineMs === undefined ? undefined : durationOption('deadlineMs', options.deadlineMs, 0)
  const seen = world(options)
  const layer: Layer = (next) => (request, context) => {
    if (ms === undefined) return bound(next, request, context, seen)
    const tighter = context.fork({ deadline: deadlineIn(ms, seen.clock, context.deadline) })
    return bound(next, request, tighter.context as typeof context, seen)
  }
  return describedBy(layer, ms === undefined ? OF_THE_CALL : subject(ms))
}

const OF_THE_CALL: Subject = subject('of the call')

function subject(deadlineMs: number | string): Subject {
  return { describe: () => ({ layer: 'deadline', options: { deadlineMs } }) }
}

function bound<Req, Res, C extends CallContext>(
  next: Handler<Req, Res, C>,
  request: Req,
  context: C,
  seen: World,
): Promise<Res> | Refusal {
  const remaining = context.deadline.remainingMs()
  if (remaining <= 0) return refuse(() => spent(context))
  const inner = next(request, context)
  // A timer only for what does not answer at once.
  return isRefusal(inner)
    ? inner
    : new Promise<Res>((resolve, reject) => new Race(inner, resolve, reject, context, remaining, seen))
}

function spent(context: CallContext): unknown {
  return createError({ code: 'DEADLINE_SPENT', service: context.service, operation: context.operation, stack: false })
}

class Race<Res> implements AbortWatcher, Bound {
  nextBound: Bound | undefined
  dueAt: number
  nextWatcher: AbortWatcher | undefined
  readonly #reject: (error: unknown) => void
  readonly #context: CallContext
  readonly #world: World
  readonly #afterMs: number
  readonly #alarm: Alarm | undefined
  #timer: unknown

  constructor(
    inner: PromiseLike<Res>,
    resolve: (value: Res) => void,
    reject: (error: unknown) => void,
    context: CallContext,
    remainingMs: number,
    seen: World,
  ) {
    this.nextBound = undefined
    this.dueAt = Infinity
    this.nextWatcher = undefined
    this.#reject = reject
    this.#context = context
    this.#world = seen
    this.#afterMs = remainingMs
    this.#alarm = remainingMs === Infinity ? undefined : alarmOf(context, seen.clock)
    this.#alarm?.add(this, context.deadline.at, remainingMs)
    watchAbort(context, this)
    inner.then(
      (value) => {
        this.stop()
        resolve(value)
      },
      (error) => {
        this.fail(error)
      },
    )
  }

  onAborted(reason: unknown): void {
    // At the deadline itself the layers inside get one more turn, so that a fallback can still answer.
    if (!isDeadline(reason)) this.fail(reason)
  }

  stop(): void {
    this.#alarm?.remove(this)
    if (this.#timer !== undefined) this.#world.clock.clearTimer(this.#timer)
    this.#timer = undefined
  }

  fail(error: unknown): void {
    this.stop()
    if (isFairleadError(error)) {
      const { service, operation, deadline: end } = this.#context
      const elapsedMs = end.at === Infinity ? undefined : Math.max(0, this.#afterMs - end.remainingMs())
      stamp(error, { service, operation, elapsedMs })
    }
    this.#reject(error)
  }

  expire(): void {
    const { service, operation } = this.#context
    const error = deadlineExceeded(this.#context, `the whole call took longer than ${Math.round(this.#afterMs)} ms`)
    if (this.#world.events.heard)
      this.#world.events.emit({ type: 'timeout', what: 'deadline', afterMs: this.#afterMs, service, operation })
    abortContext(this.#context, error)
    // Set after whatever the layers inside have set meanwhile, so that they come first.
    this.#timer = this.#world.clock.setTimer(giveUp, 0, { race: this as Race<unknown>, error })
  }
}

function giveUp({ race, error }: { readonly race: Race<unknown>; readonly error: unknown }): void {
  race.fail(error)
}
