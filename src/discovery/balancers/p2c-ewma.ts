// The default: of two endpoints the one that will answer sooner, by what it took lately and by what is still waiting there.
import type { EndpointView } from '../../core/contracts/balancer.ts'
import { betterOfTwo } from './drawing.ts'
import type { BalancerFactory } from './factory.ts'

// What was measured is forgotten at this rate while nobody calls, as the average itself forgets while somebody does (Finagle, Linkerd: 10 s).
const MEMORY_MS = 10_000
// Less than this is not worth the reckoning.
const IDLE_MS = MEMORY_MS / 100
// From so many times the median of its peers on, an endpoint is slow and not just busy.
const SLOW = 2
// The median of so many peers, drawn evenly, stands for that of all, and is good for so long: a pick must not cost a walk over all.
const PEERS = 9
const MEDIAN_MS = 100
// Where nobody was measured yet.
const FIRST_GUESS_MS = 1

/**
 * Draws two endpoints and takes the cheaper one; cost = max(peak EWMA of the latency, age of the oldest call in flight) x (in flight + 1) / weight
 * (Finagle's and Linkerd's peak EWMA over two choices). With these differences, each of which the simulation asks for:
 * - the age of the oldest call that waits counts, so that a hung endpoint is left before anything times out;
 * - one whose last outcome was a failure comes behind every one that did well, however quick it fails;
 * - one that was never measured is taken for as good as the median of its peers, not for infinitely good;
 * - one above twice the median of its peers costs more by as much again as it is above that: otherwise peers with many calls in flight
 *   make the one that nobody calls look cheap, and a client with many calls always has two or three of them there;
 * - the latency of one that nobody calls fades with a time constant of 10 s, so that it is tried again when, by then, it could be as good
 *   as the others: what was 12 times slower after 18 to 25 s. A try at a fixed interval (go-zero: 1 s) would send a slow
 *   endpoint 2 calls in 100 of a client that makes 50 a second.
 *
 * O(1) a pick, at most one reading of the clock.
 */
export function p2cEwma(): BalancerFactory {
  return ({ clock, random }) => {
    let view: readonly EndpointView[] = []
    let now = 0
    let median = FIRST_GUESS_MS
    let medianAt = Number.NEGATIVE_INFINITY

    const findMedian = (): void => {
      medianAt = now
      const peers: number[] = []
      const step = Math.max(1, Math.floor(view.length / PEERS))
      let index = Math.floor(random() * view.length)
      for (let left = Math.min(PEERS, view.length); left > 0; left--) {
        const { latencyMs } = view[index] as EndpointView
        if (latencyMs > 0) peers.push(latencyMs)
        index = (index + step) % view.length
      }
      peers.sort((a, b) => a - b)
      // The lower one of two: of a slow and a quick endpoint the quick one says what is normal.
      median = peers[(peers.length - 1) >> 1] ?? FIRST_GUESS_MS
    }
    const cost = (one: EndpointView): number => {
      const { inFlight, oldestSince } = one
      const measuredMs = one.latencyMs
      let latencyMs = measuredMs || median
      // Calls whose answer has come and is still read are in flight, and nobody waits for them.
      if (oldestSince > 0) latencyMs = Math.max(latencyMs, now - oldestSince)
      else if (measuredMs > 0) {
        const idleMs = now - one.pickedAt
        if (idleMs > IDLE_MS) latencyMs *= Math.exp(-idleMs / MEMORY_MS)
      }
      const times = latencyMs / (SLOW * median)
      return ((times > 1 ? latencyMs * times : latencyMs) * (inFlight + 1)) / one.weight
    }

    return {
      update(given) {
        view = given
        medianAt = Number.NEGATIVE_INFINITY
      },
      pick({ avoid }, at) {
        now = at ?? clock.now()
        if (now - medianAt >= MEDIAN_MS) findMedian()
        return betterOfTwo(view, random, avoid, cost)
      },
    }
  }
}
