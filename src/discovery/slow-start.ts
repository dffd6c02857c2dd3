// A new instance is cold: where asked for, its share of the calls grows bit by bit (Envoy's slow start).
import { type EndpointState, ownWeight } from './endpoint-state.ts'

// As Envoy's default: with less, it would never get warm.
const LEAST_SHARE = 0.1
// The weights are looked at so often on the way: between, a pick costs nothing.
const STEPS = 20

/** The new endpoints of one service. `nextAt`: when their weights are due to be raised; `Infinity` with none. */
export class SlowStart {
  nextAt: number
  private readonly ms: number | undefined
  private readonly rising: Set<EndpointState>

  /** @param ms how long it takes; undefined for not at all */
  constructor(ms: number | undefined) {
    this.nextAt = Number.POSITIVE_INFINITY
    this.ms = ms
    this.rising = new Set()
  }

  /** Called with each listed endpoint after an update. `first`: the update is the first one, when nobody is newer than the others. */
  look(state: EndpointState, first: boolean, now: number): void {
    if (state.wasReady || state.grade !== 0) {
      if (this.rising.has(state)) this.weigh(state, now)
      return
    }
    state.wasReady = true
    if (this.ms === undefined || first) return
    state.rampFrom = now
    this.rising.add(state)
    this.weigh(state, now)
    this.nextAt = Math.min(this.nextAt, now + this.ms / STEPS)
  }

  gone(state: EndpointState): void {
    this.rising.delete(state)
  }

  /** Raises the weights. */
  step(now: number): void {
    for (const state of this.rising) this.weigh(state, now)
    this.nextAt = this.rising.size === 0 ? Number.POSITIVE_INFINITY : now + (this.ms as number) / STEPS
  }

  private weigh(state: EndpointState, now: number): void {
    const share = (now - state.rampFrom) / (this.ms as number)
    if (share >= 1) this.rising.delete(state)
    state.weight = ownWeight(state.endpoint) * Math.min(Math.max(share, LEAST_SHARE), 1)
  }
}
