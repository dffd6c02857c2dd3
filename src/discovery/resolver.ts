// Whom to call, for one service: what the source says, as live views; a balancer that picks; leases that count.
import type { Clock, Random } from '../core/clock.ts'
import type { Balancer, Lease, Outcome, PickContext } from '../core/contracts/balancer.ts'
import type { Endpoint, Source } from '../core/contracts/source.ts'
import type { Deadline } from '../core/deadline.ts'
import type { Events } from '../core/events.ts'
import { createError } from '../errors/classes.ts'
import { Departures } from './departures.ts'
import type { EjectionRules } from './ejection.ts'
import { Ejector } from './ejector.ts'
import { type CountedLease, EndpointState, type Keeper } from './endpoint-state.ts'
import { FirstWord } from './first-word.ts'
import { figuresOf, type ServiceFigures } from './inspect.ts'
import { createIntake, type Intake } from './intake.ts'
import type { IntakeRules } from './intake-options.ts'
import { SlowStart } from './slow-start.ts'
import { anyOfBestTier, bestTier } from './tiers.ts'

// The registry is asked again when a call could not be sent or an endpoint is ejected, but no more often: a storm of failures is one question.
const REFRESH_GAP_MS = 1_000

/** What a resolver is made of. Durations are milliseconds. */
export interface ResolverParts {
  readonly source: Source
  readonly rules: IntakeRules
  readonly balancer: Balancer
  readonly clock: Clock
  readonly random: Random
  readonly events: Events
  /** Undefined: nobody is ejected. */
  readonly ejection: EjectionRules | undefined
  readonly startupMs: number
  readonly slowStartMs: number | undefined
  readonly drainMs: number
  /** Calls of all services so far: says which of them was used before which. */
  readonly uses: { count: number }
}

type AcquireContext = PickContext & { readonly deadline?: Deadline | undefined }

/** The shared state of one service. Ends with `end`; leases taken before can still be reported. */
export class ServiceResolver implements Keeper {
  readonly service: string
  readonly clock: Clock
  ended: boolean
  /** Which of all calls of the discovery its last one was. */
  lastUse: number
  private readonly parts: ResolverParts
  private readonly ejector: Ejector | undefined
  private readonly departures: Departures
  private readonly slowStart: SlowStart
  private readonly firstWord: FirstWord
  private states: Map<string, EndpointState>
  private view: readonly EndpointState[]
  // Those whose last outcome was bad.
  private readonly doubted: Set<EndpointState>
  // How many are ready and not ejected.
  private ready: number
  private known: boolean
  private refreshedAt: number
  private intake: Intake | undefined

  constructor(service: string, parts: ResolverParts) {
    const { source, clock, random, rules, events, ejection } = parts
    this.service = service
    this.clock = clock
    this.ended = false
    this.lastUse = 0
    this.parts = parts
    this.ejector =
      ejection === undefined
        ? undefined
        : new Ejector({
            rules: ejection,
            clock,
            random,
            events,
            facts: { service, source: source.name },
            onChange: () => this.arrange(false),
            onEjected: (now) => this.refreshSoon(now),
            anyWell: () => this.untried(NOBODY) > 0,
          })
    this.departures = new Departures(clock, parts.drainMs)
    this.slowStart = new SlowStart(parts.slowStartMs)
    this.firstWord = new FirstWord(clock, parts.startupMs)
    this.states = new Map()
    this.view = []
    this.doubted = new Set()
    this.ready = 0
    this.known = false
    this.refreshedAt = Number.NEGATIVE_INFINITY
    // A source that answers inside `watch` is heard before there is an intake.
    this.intake = undefined
    const onEndpoints = (endpoints: readonly Endpoint[]): void => this.replace(endpoints)
    this.intake = createIntake({ source, service, clock, rules, events, onEndpoints })
  }

  acquire(context: AcquireContext | undefined): Lease | Promise<Lease> {
    this.lastUse = ++this.parts.uses.count
    return this.known ? this.take(context ?? NO_CONTEXT) : this.wait(context)
  }

  /** There is somebody whom the source names. */
  get populated(): boolean {
    return this.states.size > 0
  }

  /** The endpoint is listed, or finishes its calls and is told of later. */
  keeps(id: string): boolean {
    return this.states.has(id) || this.departures.drains(id)
  }

  untried(avoid: ReadonlySet<string>): number {
    let count = this.ready
    // Those that failed the last time give no hope: where all of them do, it is the service that fails.
    for (const state of this.doubted) if (isReady(state) && state.hopeless) count--
    for (const id of avoid) {
      const state = this.states.get(id)
      if (state !== undefined && isReady(state) && !state.hopeless) count--
    }
    return count
  }

  refresh(): void {
    this.intake?.refresh()
  }

  onRemoved(listener: (endpoint: Endpoint) => void): () => void {
    return this.departures.listen(listener)
  }

  /** Settles with the first word of the source. Rejects when it has not come within `startupMs` of the beginning. */
  first(): Promise<void> {
    if (this.known) return Promise.resolve()
    return new Promise((resolve, reject) => this.firstWord.wait(resolve, () => reject(this.noEndpoint()), reject))
  }

  figures(): ServiceFigures {
    const { intake } = this
    const ageMs = intake?.ageMs()
    const failingMs = intake?.failingMs()
    const now = this.clock.now()
    return {
      service: this.service,
      source: this.parts.source.name,
      known: this.known,
      ...(ageMs === undefined ? {} : { ageMs }),
      ...(failingMs === undefined ? {} : { failingMs, error: intake?.lastError }),
      panic: this.ejector?.panic ?? false,
      waiting: this.firstWord.size,
      endpoints: [...this.states.values()].map((each) => figuresOf(each, now)),
    }
  }

  /** Ends as too many services are asked for. */
  letGo(maxServices: number): Promise<void> {
    const { service, parts } = this
    const why = `more than maxServices (${maxServices}) services were asked for before ${parts.source.name} answered, and it was let go`
    return this.end(
      createError({ code: 'NO_ENDPOINT', message: `no endpoint of ${service}: ${why}`, service, stack: false }),
    )
  }

  /** @param reason what calls that wait for the first word fail with */
  async end(reason: Error = closedError(this.service)): Promise<void> {
    if (this.ended) return
    this.ended = true
    this.firstWord.fail(reason)
    for (const state of this.states.values()) state.listed = false
    this.departures.end(this.states.values())
    await this.intake?.close()
  }

  /** Of `Keeper`. */
  settled(state: EndpointState, lease: CountedLease, outcome: Outcome, now: number | undefined): void {
    if (!state.listed) {
      if (state.idle) this.departures.idle(state)
      return
    }
    const { kind } = outcome
    this.ejector?.judge(state, lease, outcome, now)
    // An ejection may have brought a new word of the source already.
    if (state.doubtful && state.listed) this.doubted.add(state)
    else this.doubted.delete(state)
    if (kind === 'not-sent' && now !== undefined) this.refreshSoon(now)
  }

  private replace(endpoints: readonly Endpoint[]): void {
    if (this.ended) return
    const now = this.clock.now()
    const first = !this.known
    this.known = true
    const next = new Map<string, EndpointState>()
    for (const endpoint of endpoints) {
      const { id } = endpoint
      // Figures survive an update, and an absence that is not long: the endpoint is the same.
      const state = this.states.get(id) ?? this.departures.back(id, now) ?? new EndpointState(endpoint, this)
      if (state.endpoint !== endpoint && state.become(endpoint)) {
        // At another place: what was known was known of another process.
        this.ejector?.leave(state)
        this.doubted.delete(state)
        this.slowStart.gone(state)
      }
      if (!state.listed) {
        state.listed = true
        this.ejector?.join(state)
        if (state.doubtful) this.doubted.add(state)
      }
      next.set(id, state)
      this.slowStart.look(state, first, now)
    }
    const left: EndpointState[] = []
    for (const [id, state] of this.states) if (!next.has(id)) left.push(state)
    this.states = next
    for (const state of left) {
      state.listed = false
      this.ejector?.leave(state)
      this.doubted.delete(state)
      this.slowStart.gone(state)
    }
    this.arrange(true)
    // Only now: whoever closes a pool must find that nobody is sent there any more.
    for (const state of left) this.departures.left(state, now)
    this.departures.forget(now, next.size)
    this.firstWord.arrive()
  }

  // Who may be picked from now on. `changed`: the endpoints are others, or the same with other words.
  private arrange(changed: boolean): void {
    const panic = this.ejector?.census(this.states.values()) ?? false
    this.ready = 0
    for (const state of this.states.values()) if (isReady(state)) this.ready++
    this.show(
      bestTier(this.states.values(), (state) => panic || !state.ejected),
      changed,
    )
    this.ejector?.settle(this.view[0])
  }

  private show(view: readonly EndpointState[], changed: boolean): void {
    const old = this.view
    if (!changed && view.length === old.length && view.every((state, index) => state === old[index])) return
    for (const state of old) state.inView = false
    for (const state of view) state.inView = true
    this.view = view
    this.tellBalancer()
  }

  // It may be anybody's: its fault must not end the update, nor escape from the timer that brought us here. Who is not in its view is not taken from it.
  private tellBalancer(): void {
    const { balancer, events, source } = this.parts
    try {
      balancer.update(this.view)
    } catch (error) {
      events.emit({ type: 'balancer-failed', service: this.service, source: source.name, error })
    }
  }

  private take(context: PickContext): Lease {
    const now = this.clock.now()
    if (now >= this.slowStart.nextAt) {
      this.slowStart.step(now)
      this.tellBalancer()
    }
    const probed = context.noProbe === true ? undefined : this.ejector?.probe(context.avoid, now)
    if (probed !== undefined) return probed.take(now, true)
    const picked = this.parts.balancer.pick(context, now)
    return (this.own(picked) ?? this.further(context, now)).take(now, false)
  }

  // A balancer may be anybody's: what it gives has to be one of those that it was told of last.
  private own(picked: unknown): EndpointState | undefined {
    return picked instanceof EndpointState && picked.inView && picked.keeper === this ? picked : undefined
  }

  // The balancer has nobody whom the call has not tried: the next tiers, then a tried one that does well on the whole, then whoever is ejected, then
  // the tried ones again. One bad call is less of a sign than an ejection.
  private further({ key, avoid, onlyUntried }: PickContext, now: number): EndpointState {
    const { random, balancer } = this.parts
    const tried = avoid ?? NOBODY
    const any = (wanted: (state: EndpointState) => boolean): EndpointState | undefined =>
      anyOfBestTier(this.states.values(), wanted, random)
    const found =
      any((state) => !state.ejected && !tried.has(state.endpoint.id)) ??
      (onlyUntried === true ? undefined : any((state) => !state.ejected && !state.failing)) ??
      any((state) => !tried.has(state.endpoint.id)) ??
      this.own(balancer.pick(key === undefined ? NO_CONTEXT : { key })) ??
      any(() => true)
    if (found !== undefined) return found
    this.refreshSoon(now)
    // A source that answers at once has been heard by now.
    const heard = any(() => true)
    if (heard === undefined) throw this.noEndpoint()
    return heard
  }

  private refreshSoon(now: number): void {
    if (now - this.refreshedAt < REFRESH_GAP_MS) return
    this.refreshedAt = now
    this.refresh()
  }

  private wait(context: AcquireContext | undefined): Lease | Promise<Lease> {
    const now = this.clock.now()
    if (this.firstWord.overdue(now)) {
      this.refreshSoon(now)
      // A source that answers at once has been heard by now.
      if (this.known) return this.take(context ?? NO_CONTEXT)
      throw this.noEndpoint()
    }
    return new Promise((resolve, reject) => {
      const arrived = (): void => {
        try {
          resolve(this.take(context ?? NO_CONTEXT))
        } catch (error) {
          reject(error)
        }
      }
      this.firstWord.wait(arrived, () => reject(this.noEndpoint()), reject, context?.deadline)
    })
  }

  private noEndpoint(): Error {
    const lastError = this.intake?.lastError
    return createError({
      code: 'NO_ENDPOINT',
      message: `no endpoint of ${this.service}: ${this.reason()}`,
      service: this.service,
      stack: false,
      ...(lastError === undefined ? {} : { cause: lastError }),
    })
  }

  private reason(): string {
    const { source, rules, startupMs } = this.parts
    const failingMs = this.intake?.failingMs()
    if (!this.known)
      return failingMs === undefined
        ? `${source.name} has not answered yet (startupMs is ${startupMs})`
        : `${source.name} has not answered yet, and failed the last time`
    if (this.states.size > 0) return `all ${this.states.size} that ${source.name} knows are down`
    if (rules.maxStaleMs !== undefined && failingMs !== undefined && failingMs >= rules.maxStaleMs)
      return `${source.name} has not answered for more than maxStaleMs (${rules.maxStaleMs}), and what was known is dropped`
    return `${source.name} knows none that may be called`
  }
}

const NO_CONTEXT: PickContext = Object.freeze({})
const NOBODY: ReadonlySet<string> = new Set()

function isReady({ endpoint, ejected }: EndpointState): boolean {
  return !ejected && (endpoint.state === undefined || endpoint.state === 'ready')
}

/** The error of everything that is closed. */
export function closedError(service: string): Error {
  return createError({ code: 'SHUTDOWN', message: 'discovery is closed', service, stack: false })
}
