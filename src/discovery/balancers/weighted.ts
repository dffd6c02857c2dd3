// Shares of the calls by weight, spread evenly over time.
import type { EndpointView } from '../../core/contracts/balancer.ts'
import type { BalancerFactory } from './factory.ts'

// When an endpoint is next due, on a scale of its own: calls are given to whoever is due first, and it is due again 1 / weight later.
interface Turn {
  readonly view: EndpointView
  due: number
  /** How far that was away when it was set: what the weight was then. */
  step: number
}

// What weighs nothing at the moment still has to come round.
const LEAST_WEIGHT = 1e-6

/**
 * Each endpoint its share of the calls, as the weights stood at the last update or pick of it (`weight`: its own, times its slow start), and not in runs:
 * 5, 1, 1 gives a a b a a c a and not a a a a a b c. Looks at nothing else. Earliest deadline first, as Envoy's and gRPC's
 * weighted round-robin; O(log n) a pick.
 */
export function weighted(): BalancerFactory {
  return ({ random }) => {
    let turns = new Map<EndpointView, Turn>()
    let heap: Turn[] = []
    // The due time of whoever was given a call last.
    let now = 0
    const passedOver: Turn[] = []

    const stepOf = (view: EndpointView): number => 1 / Math.max(view.weight, LEAST_WEIGHT)
    const sink = (from: number): void => {
      const turn = heap[from] as Turn
      let at = from
      for (;;) {
        let child = at * 2 + 1
        if (child >= heap.length) break
        if (child + 1 < heap.length && (heap[child + 1] as Turn).due < (heap[child] as Turn).due) child++
        if ((heap[child] as Turn).due >= turn.due) break
        heap[at] = heap[child] as Turn
        at = child
      }
      heap[at] = turn
    }
    const rise = (from: number): void => {
      const turn = heap[from] as Turn
      let at = from
      while (at > 0) {
        const parent = (at - 1) >> 1
        if ((heap[parent] as Turn).due <= turn.due) break
        heap[at] = heap[parent] as Turn
        at = parent
      }
      heap[at] = turn
    }
    const dropFirst = (): void => {
      const last = heap.pop() as Turn
      if (heap.length === 0) return
      heap[0] = last
      sink(0)
    }

    return {
      update(view) {
        const next = new Map<EndpointView, Turn>()
        for (const each of view) {
          const step = stepOf(each)
          const turn = turns.get(each)
          // A newcomer begins anywhere within its first round: clients that start together must not call in step.
          if (turn === undefined) next.set(each, { view: each, due: now + random() * step, step })
          else {
            // One that weighs more by now does not wait for the turn that its old weight gave it.
            if (step !== turn.step && turn.due > now) turn.due = now + ((turn.due - now) * step) / turn.step
            turn.step = step
            next.set(each, turn)
          }
        }
        turns = next
        heap = [...next.values()]
        for (let at = (heap.length >> 1) - 1; at >= 0; at--) sink(at)
      },
      pick({ avoid }) {
        let found: EndpointView | undefined
        while (heap.length > 0) {
          const first = heap[0] as Turn
          if (!avoid?.has(first.view.endpoint.id)) {
            // One that was passed over for long has no claim to what it missed.
            now = Math.max(now, first.due)
            first.step = stepOf(first.view)
            first.due = now + first.step
            sink(0)
            found = first.view
            break
          }
          passedOver.push(first)
          dropFirst()
        }
        for (let turn = passedOver.pop(); turn !== undefined; turn = passedOver.pop()) rise(heap.push(turn) - 1)
        return found
      },
    }
  }
}
