// What happens to endpoints that the registry does not name any more: they finish their calls, somebody is told, and their figures wait for their return.
import { detached } from '../core/async-context.ts'
import type { Clock, Timer } from '../core/clock.ts'
import type { Endpoint } from '../core/contracts/source.ts'
import type { EndpointState } from './endpoint-state.ts'

// An instance that misses one sign of life is back within a minute (Envoy and Stork lose its figures, and call a slow one at full rate again).
const REMEMBER_MS = 60_000
// Or more than there are, if there are many: ids that never come again must not pile up.
const REMEMBERED = 1_000

type Listener = (endpoint: Endpoint) => void

/** Those who left one service. */
export class Departures {
  private readonly clock: Clock
  private readonly drainMs: number
  private readonly rememberMs: number
  /** By id, the longest gone first. */
  private readonly gone: Map<string, EndpointState>
  /** Those with calls in flight, the longest gone first. */
  private readonly draining: Set<EndpointState>
  private readonly listeners: Set<Listener>
  private timer: Timer | undefined
  private ended: boolean

  constructor(clock: Clock, drainMs: number) {
    this.clock = clock
    this.drainMs = drainMs
    // Whoever comes back while it is drained has to be known as the same.
    this.rememberMs = Math.max(REMEMBER_MS, drainMs)
    this.gone = new Map()
    this.draining = new Set()
    this.listeners = new Set()
    this.timer = undefined
    this.ended = false
  }

  /** Told of each endpoint that is gone, once its last lease was reported or `drainMs` after. */
  listen(listener: Listener): () => void {
    // A closure of its own: the same function may listen twice.
    const own: Listener = (endpoint) => listener(endpoint)
    this.listeners.add(own)
    this.arm()
    return () => {
      this.listeners.delete(own)
      if (this.listeners.size === 0) this.disarm()
    }
  }

  /** The registry does not name it any more. */
  left(state: EndpointState, now: number): void {
    state.removedAt = now
    this.gone.set(state.endpoint.id, state)
    if (state.idle) this.tell(state)
    else this.draining.add(state)
    this.arm()
  }

  /** Whether one of this id finishes its calls. */
  drains(id: string): boolean {
    const state = this.gone.get(id)
    return state !== undefined && this.draining.has(state)
  }

  /** Who left under this id not long ago, with its figures. */
  back(id: string, now: number): EndpointState | undefined {
    const state = this.gone.get(id)
    if (state === undefined) return undefined
    this.gone.delete(id)
    this.draining.delete(state)
    if (this.draining.size === 0) this.disarm()
    return now - state.removedAt < this.rememberMs ? state : undefined
  }

  /** Its last lease was reported. */
  idle(state: EndpointState): void {
    if (!this.draining.delete(state)) return
    if (this.draining.size === 0) this.disarm()
    this.tell(state)
  }

  /** Forgets who has been gone for long. */
  forget(now: number, known: number): void {
    const most = Math.max(REMEMBERED, known)
    for (const [id, state] of this.gone) {
      if (this.gone.size <= most && now - state.removedAt < this.rememberMs) break
      // Should it come back, it must not be told of when its last call is over.
      if (this.draining.has(state)) continue
      this.gone.delete(id)
    }
  }

  /** All of them leave, and no timer is left: those with calls in flight are told of after their last one. */
  end(states: Iterable<EndpointState>): void {
    this.ended = true
    this.disarm()
    for (const state of states)
      if (state.idle) this.tell(state)
      else this.draining.add(state)
    this.gone.clear()
  }

  private tell(state: EndpointState): void {
    for (const listener of this.listeners) {
      try {
        listener(state.endpoint)
      } catch {
        // Its fault must not keep the others from being told, nor end the update or the call that brought us here.
      }
    }
  }

  // One timer for all, and only where somebody waits for it.
  private arm(): void {
    if (this.timer !== undefined || this.ended || this.listeners.size === 0) return
    const [first] = this.draining
    if (first === undefined) return
    const ms = Math.max(first.removedAt + this.drainMs - this.clock.now(), 0)
    this.timer = detached(() => this.clock.setTimer(() => this.overdue(), ms, undefined))
    this.clock.unref(this.timer)
  }

  private overdue(): void {
    this.timer = undefined
    const since = this.clock.now() - this.drainMs
    for (const state of this.draining) {
      if (state.removedAt > since) break
      this.draining.delete(state)
      this.tell(state)
    }
    this.arm()
  }

  private disarm(): void {
    if (this.timer !== undefined) this.clock.clearTimer(this.timer)
    this.timer = undefined
  }
}
