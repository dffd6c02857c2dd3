// Whom to call, for one service: what the source says, as live views; a balancer that picks; leases that count.
import { detached } from '../core/async-context.ts'
import type { Clock } from '../core/clock.ts'
import type { Balancer, Lease, PickContext } from '../core/contracts/balancer.ts'
import type { Endpoint, Source, SourceUpdate, SourceWatch } from '../core/contracts/source.ts'
import type { Deadline } from '../core/deadline.ts'
import { createError } from '../errors/classes.ts'
import { EndpointState } from './endpoint-state.ts'

// Left out for 5 s, then 10, 20 ... as long as it goes on failing (Finagle's failure accrual doubles likewise).
const EJECT_MS = 5_000
const EJECT_MAX_MS = 60_000

interface Waiter {
  readonly context: PickContext | undefined
  readonly resolve: (lease: Lease) => void
  readonly reject: (error: unknown) => void
  timer: unknown
}

/** What a resolver is made of. */
export interface ResolverParts {
  readonly source: Source
  readonly balancer: Balancer
  readonly clock: Clock
  /** How long an `acquire` waits for the first snapshot at most, besides its deadline. */
  readonly startupMs: number
}

/** The shared state of one service. Ends with `end`; leases taken before can still be reported. */
export class ServiceResolver {
  readonly service: string
  ended: boolean
  private readonly parts: ResolverParts
  private states: Map<string, EndpointState>
  private known: boolean
  private lastError: unknown
  private watch: SourceWatch | undefined
  private readonly waiting: Set<Waiter>

  constructor(service: string, parts: ResolverParts) {
    this.service = service
    this.parts = parts
    this.ended = false
    this.states = new Map()
    this.known = false
    this.lastError = undefined
    this.waiting = new Set()
    try {
      // A watch outlives the call that happened to start it.
      this.watch = detached(() => parts.source.watch(service, (update) => this.hear(update)))
    } catch (error) {
      this.hear({ type: 'error', error })
    }
  }

  acquire(context: (PickContext & { readonly deadline?: Deadline | undefined }) | undefined): Lease | Promise<Lease> {
    if (this.known) return this.take(context)
    return this.wait(context)
  }

  untried(avoid: ReadonlySet<string>): number {
    let count = 0
    // Those that fail all the time do not count: where all of them do, it is the service that fails.
    for (const state of this.states.values())
      if (isReady(state.endpoint) && !avoid.has(state.endpoint.id) && !state.ejected && !state.failing) count++
    return count
  }

  refresh(): void {
    try {
      this.watch?.refresh()
    } catch (error) {
      this.hear({ type: 'error', error })
    }
  }

  async end(): Promise<void> {
    if (this.ended) return
    this.ended = true
    for (const waiter of this.waiting)
      this.settle(waiter, (): never => {
        throw closedError(this.service)
      })
    await this.watch?.close()
  }

  private hear(update: SourceUpdate): void {
    if (this.ended) return
    if (update.type === 'error') {
      // What is known stays: a registry that is down says nothing of the services.
      this.lastError = update.error
      return
    }
    this.lastError = undefined
    this.known = true
    this.replace(update.type === 'snapshot' ? update.endpoints : [])
    for (const waiter of this.waiting) this.settle(waiter, () => this.take(waiter.context))
  }

  private replace(endpoints: readonly Endpoint[]): void {
    const next = new Map<string, EndpointState>()
    for (const endpoint of endpoints) {
      if (endpoint.addresses.length === 0 || next.has(endpoint.id)) continue
      // Figures survive a refresh: the endpoint is the same.
      const state =
        this.states.get(endpoint.id) ??
        new EndpointState(endpoint, this.parts.clock, (failing) => this.ejection(failing))
      state.endpoint = endpoint
      next.set(endpoint.id, state)
    }
    this.states = next
    this.parts.balancer.update([...next.values()])
  }

  // At most half of the endpoints are left out, and never the last: a bad call of ours must not take a service down.
  private ejection(failing: EndpointState): number {
    let usable = 0
    let ejected = 0
    for (const state of this.states.values()) {
      if (!isReady(state.endpoint)) continue
      usable++
      if (state.ejected) ejected++
    }
    if (this.states.get(failing.endpoint.id) !== failing || (ejected + 1) * 2 > usable) return 0
    return Math.min(EJECT_MS * 2 ** failing.ejections, EJECT_MAX_MS)
  }

  private take(context: PickContext | undefined): Lease {
    const state = this.parts.balancer.pick(context ?? NO_CONTEXT)
    if (state === undefined) throw this.noEndpoint()
    const own = this.states.get(state.endpoint.id)
    if (own === undefined) throw this.noEndpoint()
    return own.take()
  }

  private wait(context: (PickContext & { readonly deadline?: Deadline | undefined }) | undefined): Promise<Lease> {
    const { clock, startupMs } = this.parts
    return new Promise((resolve, reject) => {
      const waiter: Waiter = { context, resolve, reject, timer: undefined }
      const ms = Math.min(startupMs, context?.deadline?.remainingMs() ?? Infinity)
      waiter.timer = clock.setTimer(
        (late) =>
          this.settle(late, (): never => {
            throw this.noEndpoint()
          }),
        Math.max(ms, 0),
        waiter,
      )
      this.waiting.add(waiter)
    })
  }

  private settle(waiter: Waiter, lease: () => Lease): void {
    this.parts.clock.clearTimer(waiter.timer)
    this.waiting.delete(waiter)
    try {
      waiter.resolve(lease())
    } catch (error) {
      waiter.reject(error)
    }
  }

  private noEndpoint(): Error {
    const { source } = this.parts
    const why = this.known ? `${source.name} knows no endpoint that can be used` : `${source.name} has not answered yet`
    return createError({
      code: 'NO_ENDPOINT',
      message: `no endpoint of ${this.service}: ${why}`,
      service: this.service,
      stack: false,
      ...(this.lastError === undefined ? {} : { cause: this.lastError }),
    })
  }
}

const NO_CONTEXT: PickContext = Object.freeze({})

function isReady(endpoint: Endpoint): boolean {
  return endpoint.state === undefined || endpoint.state === 'ready'
}

/** The error of everything that is closed. */
export function closedError(service: string): Error {
  return createError({ code: 'SHUTDOWN', message: 'discovery is closed', service, stack: false })
}
