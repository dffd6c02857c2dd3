// Stops calling a peer that fails, and finds out gently when it is well again (Nygard, "Release It!").
import type { Clock, Random } from '../core/clock.ts'
import { type CallContext, hasTried } from '../core/context.ts'
import { type Describable, describedBy, type LayerDescription, layerPrototype, type Subject } from '../core/describe.ts'
import type { CircuitState, Events } from '../core/events.ts'
import { type Handler, isRefusal, type Layer, type Refusal, refuse } from '../core/handler.ts'
import { countOption, durationOption, invalidOption, knownOptions, shareOption } from '../core/options.ts'
import { createError } from '../errors/classes.ts'
import { verdictOf } from '../errors/classify.ts'
import { SEAMS, type Seams, world } from './seams.ts'
import { type MakeWindow, opossumWindow, ringWindow, type Window } from './window.ts'

/** Options of the circuit breaker. */
export interface CircuitBreakerOptions extends Seams {
  /** For events and errors. Default `circuit`. */
  readonly name?: string | undefined
  /** Share of failed calls in the window that opens it, inclusive. Default 0.5. */
  readonly errorRate?: number | undefined
  /** Fewer finished calls in the window than these never open it. Default 20. */
  readonly minimumCalls?: number | undefined
  /** Length of the rolling window, milliseconds. Default 10,000. */
  readonly windowMs?: number | undefined
  /** Calls that take at least so long count as slow. Default: no call is slow. */
  readonly slowCallMs?: number | undefined
  /** Share of slow calls in the window that opens it. Default 1 where `slowCallMs` is given. */
  readonly slowCallRate?: number | undefined
  /** How long it stays open the first time, +-25 %. Doubles with each further trip in a row. Default 5,000. */
  readonly openMs?: number | undefined
  /** The longest it stays open. Default 60,000. */
  readonly maxOpenMs?: number | undefined
  /** How many calls try the peer while half-open; all of them have to go well. Default 3. */
  readonly probes?: number | undefined
  /** A probe that takes longer than this counts as failed. Default: in a pipeline the attempt timeout, else what is left of the deadline of its call, else 60,000. */
  readonly probeTimeoutMs?: number | undefined
  /** After closing, calls are let in gradually over this time, from a tenth on. 0 lets all in at once. Default 5,000. */
  readonly rampMs?: number | undefined
  /** What counts. Default `opossumWindow`; `ringWindow` where there are many breakers. */
  readonly window?: MakeWindow | undefined
}

/** A circuit breaker is a layer with a state and levers. One breaker may be given to several pipelines. */
export interface CircuitBreaker extends Layer, Describable<LayerDescription> {
  readonly state: CircuitState
  /** The opossum instance behind the window, for opossum-prometheus and opossum's own events. */
  readonly opossum: unknown
  /** Opens it by hand: calls are refused with `CIRCUIT_ISOLATED` until `forceClose()` or `reset()`. */
  forceOpen(): void
  /** Closes it now, with an empty window. It goes on measuring, and may open again. */
  forceClose(): void
  /** As new: closed, empty window, no memory of earlier trips. */
  reset(): void
}

/**
 * Opens when the share of failures (or of slow calls) in a rolling window is reached; refuses with `CIRCUIT_OPEN` while open;
 * then lets `probes` calls through and refuses everyone else at once; then lets calls in gradually.
 *
 * Refusals of our own, the caller's cancellation and answers with a declared failure are no failures of the peer.
 * The late result of a call that began before the last change of state changes nothing.
 */
export function circuitBreaker(options: CircuitBreakerOptions = {}): CircuitBreaker {
  const machine = new Machine(checked(options), options)
  const layer: Layer = (next) => (request, context) => machine.run(next, request, context)
  return describedBy(layer as CircuitBreaker, machine, PROTOTYPE)
}

const NAMES = [
  'name',
  'errorRate',
  'minimumCalls',
  'windowMs',
  'slowCallMs',
  'slowCallRate',
  'openMs',
  'maxOpenMs',
  'probes',
  'probeTimeoutMs',
  'rampMs',
  'window',
]

interface Settings {
  readonly name: string
  readonly errorRate: number
  readonly minimumCalls: number
  readonly windowMs: number
  readonly slowCallMs: number
  readonly slowCallRate: number
  readonly openMs: number
  readonly maxOpenMs: number
  readonly probes: number
  readonly probeTimeoutMs: number | undefined
  readonly rampMs: number
  readonly window: MakeWindow
}

function checked(options: CircuitBreakerOptions): Settings {
  knownOptions('circuitBreaker', options, [...NAMES, ...SEAMS])
  const { name = 'circuit', window = opossumWindow } = options
  if (typeof name !== 'string') throw invalidOption('circuitBreaker.name', name, 'give a string: it is in events')
  if (typeof window !== 'function')
    throw invalidOption('circuitBreaker.window', window, 'give opossumWindow or ringWindow')
  const openMs = durationOption('circuitBreaker.openMs', options.openMs, 5_000)
  const maxOpenMs = durationOption('circuitBreaker.maxOpenMs', options.maxOpenMs, Math.max(60_000, openMs))
  if (maxOpenMs < openMs)
    throw invalidOption('circuitBreaker.maxOpenMs', maxOpenMs, `give at least openMs, which is ${openMs}`)
  if (options.slowCallRate !== undefined && options.slowCallMs === undefined)
    throw invalidOption(
      'circuitBreaker.slowCallRate',
      options.slowCallRate,
      'give slowCallMs as well: it says what slow is',
    )
  return {
    name,
    errorRate: shareOption('circuitBreaker.errorRate', options.errorRate, 0.5),
    minimumCalls: countOption('circuitBreaker.minimumCalls', options.minimumCalls, 20),
    windowMs: durationOption('circuitBreaker.windowMs', options.windowMs, 10_000),
    slowCallMs:
      options.slowCallMs === undefined ? Infinity : durationOption('circuitBreaker.slowCallMs', options.slowCallMs, 0),
    slowCallRate: shareOption('circuitBreaker.slowCallRate', options.slowCallRate, 1),
    openMs,
    maxOpenMs,
    probes: countOption('circuitBreaker.probes', options.probes, 3),
    probeTimeoutMs:
      options.probeTimeoutMs === undefined
        ? undefined
        : durationOption('circuitBreaker.probeTimeoutMs', options.probeTimeoutMs, 0),
    rampMs: durationOption('circuitBreaker.rampMs', options.rampMs, 5_000, 0),
    window,
  }
}

// A generation, or this: not admitted.
const REFUSED = -1

class Machine implements Subject {
  readonly settings: Settings
  readonly window: Window
  readonly #slow: Window | undefined
  readonly #clock: Clock
  readonly #random: Random
  readonly #events: Events
  state: CircuitState = 'closed'
  trips = 0
  // Every change of state begins a new generation: what was admitted in an earlier one changes nothing any more.
  #generation = 0
  #probing = 0
  #passed = 0
  /** Open: when it may be tried again. Half-open: when the probes have taken too long. */
  #until = 0
  /** When it was last asked while not closed. */
  #refusedAt = 0
  #rampFrom = -1
  #credit = 0

  constructor(settings: Settings, seams: Seams) {
    const { clock, random, events } = world(seams)
    this.settings = settings
    this.#clock = clock
    this.#random = random
    this.#events = events
    const { errorRate, minimumCalls, windowMs, slowCallMs, slowCallRate } = settings
    this.window = settings.window({ errorRate, minimumCalls, windowMs, clock })
    this.#slow =
      slowCallMs === Infinity ? undefined : ringWindow({ errorRate: slowCallRate, minimumCalls, windowMs, clock })
  }

  describe(): LayerDescription {
    const { window, probeTimeoutMs = 'that of the call', ...plain } = this.settings
    const { state, trips } = this
    return {
      layer: 'circuit-breaker',
      options: { ...plain, probeTimeoutMs, window: window.name },
      state: { state, trips },
    }
  }

  run<Req, Res, C extends CallContext>(next: Handler<Req, Res, C>, request: Req, context: C): Promise<Res> | Refusal {
    const generation = this.#admit(context)
    if (generation === REFUSED) {
      const { state } = this
      const retryAfterMs =
        state === 'open' || state === 'half-open' ? Math.max(0, this.#until - this.#refusedAt) : undefined
      return refuse(() => refusal(context, state, retryAfterMs))
    }
    const began = this.#slow === undefined ? 0 : this.#clock.now()
    let result: Promise<Res> | Refusal
    try {
      result = next(request, context)
    } catch (error) {
      this.#failed(generation, error, context, began)
      throw error
    }
    if (isRefusal(result)) {
      this.#neutral(generation)
      return result
    }
    // The verdict falls before the caller hears of it, so that a caller who calls again at once meets the new state.
    // A thenable of a user's layer may settle twice, or never keep its order; `await` makes a promise of it.
    if (!(result instanceof Promise)) return this.#watch(result, generation, context, began)
    return result.then(
      (answer) => {
        this.#succeeded(generation, began)
        return answer
      },
      (error) => {
        this.#failed(generation, error, context, began)
        throw error
      },
    )
  }

  async #watch<Res>(result: PromiseLike<Res>, generation: number, context: CallContext, began: number): Promise<Res> {
    let answer: Res
    try {
      answer = await result
    } catch (error) {
      this.#failed(generation, error, context, began)
      throw error
    }
    this.#succeeded(generation, began)
    return answer
  }

  #admit(context: CallContext): number {
    if (this.state === 'closed') return this.#rampFrom < 0 ? this.#generation : this.#admitRamp()
    if (this.state === 'isolated') return REFUSED
    const now = this.#clock.now()
    this.#refusedAt = now
    if (this.state === 'open') {
      if (now < this.#until) return REFUSED
      this.to('half-open', 'time to try again')
    }
    if (this.#probing >= this.settings.probes) {
      // A probe that never comes back is a failure, or the circuit would refuse for ever.
      if (now >= this.#until) this.#trip('a probe did not come back')
      return REFUSED
    }
    this.#probing++
    // Of several probes the one with the most time decides: a shorter one must not cut it off.
    this.#until = Math.max(this.#until, now + (this.settings.probeTimeoutMs ?? timeOf(context)))
    return this.#generation
  }

  // Lets in a growing share, evenly: each call earns the share, a whole one lets a call in.
  #admitRamp(): number {
    const share = (this.#clock.now() - this.#rampFrom) / this.settings.rampMs
    if (share >= 1) {
      this.#rampFrom = -1
      return this.#generation
    }
    this.#credit += Math.max(share, 0.1)
    if (this.#credit < 1) return REFUSED
    this.#credit--
    return this.#generation
  }

  #succeeded(generation: number, began: number): void {
    if (generation !== this.#generation) return
    const slow = this.#slow !== undefined && this.#clock.now() - began >= this.settings.slowCallMs
    if (this.state === 'half-open') {
      if (slow) this.#trip('a probe was slow')
      // A success keeps its place: no more than `probes` calls get through before the circuit decides.
      else if (++this.#passed >= this.settings.probes) this.#recover()
      return
    }
    this.window.ok()
    this.#countSlow(slow)
  }

  #failed(generation: number, error: unknown, context: CallContext, began: number): void {
    if (generation !== this.#generation) return
    const verdict = verdictOf(error)
    const { resolver } = context
    // Nobody was asked yet (it waited to be told whom), or there are others: neither says anything of the service.
    const elsewhere = resolver !== undefined && (!hasTried(context) || resolver.untried(context.tried) > 0)
    if (verdict === 'success') this.#succeeded(generation, began)
    else if (verdict === 'neutral' || elsewhere) this.#neutral(generation)
    else if (this.state === 'half-open') this.#trip('a probe failed')
    else if (this.window.fail()) this.#trip('the error rate was reached')
    else this.#countSlow(this.#slow !== undefined && this.#clock.now() - began >= this.settings.slowCallMs)
  }

  #neutral(generation: number): void {
    if (generation === this.#generation && this.state === 'half-open') this.#probing--
  }

  #countSlow(slow: boolean): void {
    if (this.#slow === undefined) return
    if (!slow) this.#slow.ok()
    else if (this.#slow.fail()) this.#trip('the rate of slow calls was reached')
  }

  #trip(reason: string): void {
    const { openMs, maxOpenMs } = this.settings
    const ms = Math.min(openMs * 2 ** Math.min(this.trips++, 30), maxOpenMs) * (0.75 + this.#random() / 2)
    this.#until = this.#clock.now() + ms
    this.to('open', reason, ms)
  }

  close(reason: string): void {
    this.window.clear()
    this.#slow?.clear()
    this.#credit = 0
    this.to('closed', reason)
  }

  reset(): void {
    this.trips = 0
    this.close('reset')
  }

  #recover(): void {
    this.trips = 0
    this.close('the probes went well')
    if (this.settings.rampMs > 0) this.#rampFrom = this.#clock.now()
  }

  to(state: CircuitState, reason: string, openMs?: number): void {
    const was = this.state
    this.state = state
    this.#generation++
    this.#probing = this.#passed = 0
    this.#rampFrom = -1
    if (this.#events.heard)
      this.#events.emit({
        type: 'circuit',
        name: this.settings.name,
        state,
        was,
        reason,
        ...(openMs === undefined ? {} : { openMs }),
      })
  }
}

// How long a probe may take where nobody says so: as long as its call.
function timeOf({ deadline }: CallContext): number {
  const left = deadline.remainingMs()
  return left === Infinity ? 60_000 : left
}

const MESSAGES: Readonly<Partial<Record<CircuitState, string>>> = {
  'half-open': 'the circuit is half-open: its probes are out, and nobody else is let in',
  closed: 'the circuit has just closed and lets calls in gradually',
}

// A lever is bound when it is read, which is seldom, so that it works on its own too.
const PROTOTYPE: object = layerPrototype<Machine>({
  state: (machine) => machine.state,
  opossum: (machine) => machine.window.opossum,
  forceOpen: (machine) => () => machine.to('isolated', 'forced open'),
  forceClose: (machine) => () => machine.close('forced closed'),
  reset: (machine) => () => machine.reset(),
})

function refusal({ service, operation }: CallContext, state: CircuitState, retryAfterMs: number | undefined): unknown {
  return createError({
    code: state === 'isolated' ? 'CIRCUIT_ISOLATED' : 'CIRCUIT_OPEN',
    message: MESSAGES[state],
    service,
    operation,
    retryAfterMs,
    stack: false,
  })
}
