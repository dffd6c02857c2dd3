// Answers in place of a peer that failed: with what it said last, with a fixed value, or by asking somewhere else.
import { FROM, type Provenance } from '../core/answer.ts'
import { type AbortWatcher, type CallContext, watchAbort } from '../core/context.ts'
import { deadlineIn } from '../core/deadline.ts'
import { type Describable, described, type LayerDescription } from '../core/describe.ts'
import { type Handler, isRefusal, type Layer, type Refusal } from '../core/handler.ts'
import { knownOptions } from '../core/options.ts'
import type { FairleadError } from '../errors/base.ts'
import { withDetails } from '../errors/classes.ts'
import { asFairleadError, deadlineExceeded, isDeadline, mayBeAnswered } from './failures.ts'
import { type Found, Steps } from './fallback-chain.ts'
import type { CallFallback, Fallback } from './fallback-entries.ts'
import { SEAMS, type Seams, world } from './seams.ts'

export * from './fallback-entries.ts'

/**
 * Answers failures from a chain; the first entry that has an answer wins. All kinds but `cancelled`, `invalid` and declared failures are answered,
 * refusals (open circuit, cap) too. Where no entry answers, the original error goes out, with errors of the chain in `details.fallbackErrors`.
 *
 * Where the chain calls functions, the call itself gets 80 % of the time that is left, so that they have the rest; otherwise all of it.
 * A result that comes after the fallback has answered answers nobody. It still updates `lastGood` where it gets so far: in the standard order the
 * attempt timeout ends the attempt at the deadline, and what comes later is not heard of.
 * @throws FairleadError `INVALID_OPTIONS`
 */
export function fallback(
  chain: readonly Fallback<unknown>[],
  seams: Seams = {},
): Layer & Describable<LayerDescription> {
  knownOptions('fallback', seams, SEAMS)
  const steps = new Steps(chain, world(seams))
  const layer: Layer = (next) => (request, context) => {
    const remaining = steps.calls && context.deadline.at !== Infinity ? context.deadline.remainingMs() : Infinity
    return remaining === Infinity
      ? plain(steps, next, request, context)
      : withReserve(steps, next, request, context, remaining)
  }
  const options = { chain: chain.map(describeEntry), reserve: steps.calls ? RESERVE : 0 }
  return described(layer, 'fallback', options, () => ({ kept: steps.kept }))
}

const RESERVE = 0.2

function plain<Req, Res, C extends CallContext>(
  steps: Steps,
  next: Handler<Req, Res, C>,
  request: Req,
  context: C,
): Promise<Res> | Refusal {
  const inner = next(request, context)
  if (isRefusal(inner)) return refused(steps, inner, request, context)
  return new Promise<Res>((resolve, reject) =>
    new Answering(steps, request, context, resolve as Resolve, reject).watch(inner),
  )
}

// The chain calls functions: what is inside gets a tighter deadline, kept by a timer of this layer.
function withReserve<Req, Res, C extends CallContext>(
  steps: Steps,
  next: Handler<Req, Res, C>,
  request: Req,
  context: C,
  remaining: number,
): Promise<Res> | Refusal {
  const ms = Math.max(0, remaining * (1 - RESERVE))
  const fork = context.fork({ deadline: deadlineIn(ms, steps.world.clock, context.deadline) })
  const inner = next(request, fork.context as C)
  if (isRefusal(inner)) return refused(steps, inner, request, context)
  return new Promise<Res>((resolve, reject) => {
    const answering = new Answering(steps, request, context, resolve as Resolve, reject)
    answering.bound(ms, () => {
      const error = deadlineExceeded(
        fork.context,
        `the call took longer than ${Math.round(ms)} ms; the rest of its time is kept for the fallback`,
      )
      answering.bound(0, () => answering.fail(error))
      fork.abort(error)
    })
    answering.watch(inner)
  })
}

function refused<Res>(steps: Steps, refusal: Refusal, request: unknown, context: CallContext): Promise<Res> | Refusal {
  const error = asFairleadError(refusal.refused, context)
  if (!mayBeAnswered(error)) return refusal
  const tried: unknown[] = []
  const found = steps.find(0, request, context, error, tried)
  if (found === undefined && tried.length === 0) return refusal
  return new Promise<Res>((resolve, reject) => {
    const answering = new Answering(steps, request, context, resolve as Resolve, reject)
    answering.go(error, found, tried)
    answering.listen()
  })
}

type Resolve = (value: unknown) => void

// One call. It is answered once: by what is inside, by the chain, or not at all.
class Answering implements AbortWatcher {
  nextWatcher: AbortWatcher | undefined
  readonly #steps: Steps
  readonly #request: unknown
  readonly #context: CallContext
  readonly #resolve: Resolve
  readonly #reject: (error: unknown) => void
  #state: 'inside' | 'chain' | 'over' = 'inside'
  #error: FairleadError | undefined
  #failed: unknown[] = []
  #timer: unknown
  // Which entry is being called; the result of one that was left behind answers nobody.
  #calling = -1

  constructor(
    steps: Steps,
    request: unknown,
    context: CallContext,
    resolve: Resolve,
    reject: (error: unknown) => void,
  ) {
    this.nextWatcher = undefined
    this.#steps = steps
    this.#request = request
    this.#context = context
    this.#resolve = resolve
    this.#reject = reject
  }

  bound(ms: number, expire: () => void): void {
    this.#timer = this.#steps.world.clock.setTimer(expire, ms, undefined)
  }

  watch(inner: PromiseLike<unknown>): void {
    inner.then(
      (answer) => {
        this.#steps.remember(this.#request, answer, this.#context)
        if (this.#state !== 'inside') return
        this.#over()
        this.#resolve(answer)
      },
      (error) => this.fail(error),
    )
    this.listen()
  }

  /** At the deadline the layer outside leaves one more turn to answer in; any other abort is the caller's, who wants no answer. */
  listen(): void {
    watchAbort(this.#context, this)
  }

  onAborted(reason: unknown): void {
    if (this.#state === 'over') return
    if (!isDeadline(reason)) {
      this.#over()
      this.#reject(reason)
    } else if (this.#state === 'inside') {
      // A cache inside may have a better answer; it gets the turn that the deadline layer leaves before this one takes it.
      this.#stop()
      this.bound(0, () => this.fail(reason))
    } else this.#leave(reason)
  }

  /** What is inside failed. Only the first failure counts. */
  fail(error: unknown): void {
    if (this.#state !== 'inside') return
    const seen = asFairleadError(error, this.#context)
    const gone = this.#context.aborted
    if (!mayBeAnswered(seen) || (gone !== undefined && !isDeadline(gone.reason))) {
      this.#over()
      this.#reject(error)
      return
    }
    const failed: unknown[] = []
    this.go(seen, this.#steps.find(0, this.#request, this.#context, seen, failed), failed)
  }

  go(error: FairleadError, found: Found | undefined, failed: unknown[]): void {
    this.#stop()
    this.#state = 'chain'
    this.#error = error
    this.#failed = failed
    this.#take(found)
  }

  #take(found: Found | undefined): void {
    if (found === undefined) this.#giveUp()
    else if (found.entry.from === 'fallback') this.#call(found.entry, found.index)
    else this.#answer(found.entry.from, found.value, found.ageMs)
  }

  #call(entry: CallFallback<unknown>, index: number): void {
    const fork = this.#context.fork({})
    const ms = this.#context.deadline.remainingMs()
    this.#calling = index
    if (ms !== Infinity)
      this.bound(ms, () => {
        const error = deadlineExceeded(fork.context, 'the deadline came while a fallback was running')
        this.#leave(error)
        fork.abort(error)
      })
    new Promise((resolve) =>
      resolve(entry.run(this.#request as never, fork.context, this.#error as FairleadError)),
    ).then(
      (answer) => {
        if (this.#calling === index) this.#answer('fallback', answer, undefined)
      },
      (error) => {
        if (this.#calling === index) this.#leave(error)
      },
    )
  }

  /** The entry that was called failed, or its time is over: the next one. */
  #leave(error: unknown): void {
    const next = this.#calling + 1
    this.#stop()
    this.#calling = -1
    this.#failed.push(error)
    this.#take(this.#steps.find(next, this.#request, this.#context, this.#error as FairleadError, this.#failed))
  }

  #answer(from: 'lastGood' | 'value' | 'fallback', answer: unknown, ageMs: number | undefined): void {
    const { service, operation, locals } = this.#context
    const error = this.#error
    const { events } = this.#steps.world
    this.#over()
    locals.set(FROM, { from, ageMs, error } satisfies Provenance)
    if (events.heard) events.emit({ type: 'fallback', service, operation, from, error })
    this.#resolve(answer)
  }

  #giveUp(): void {
    const error = this.#error as FairleadError
    this.#over()
    if (this.#failed.length === 0) this.#reject(error)
    else this.#reject(withDetails(error, { fallbackErrors: this.#failed }))
  }

  #over(): void {
    this.#stop()
    this.#state = 'over'
    this.#calling = -1
  }

  #stop(): void {
    if (this.#timer !== undefined) this.#steps.world.clock.clearTimer(this.#timer)
    this.#timer = undefined
  }
}

function describeEntry(entry: Fallback<unknown>): Readonly<Record<string, unknown>> {
  return entry.from === 'lastGood'
    ? { from: entry.from, maxAgeMs: entry.maxAgeMs, max: entry.max }
    : { from: entry.from }
}
