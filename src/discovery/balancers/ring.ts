// Which endpoint a key belongs to: a ring of points that moves only the keys of those who come and go.
import type { EndpointView } from '../../core/contracts/balancer.ts'

// Points of the heaviest endpoint; the others have theirs in proportion, so shares are right to within an eighth of the heaviest.
const POINTS = 8
// Each key looks at so many places and takes the nearest point (multi-probe, Appleton & O'Reilly 2015): as even as
// hundreds of points an endpoint, at a fraction of the memory and of the time to build.
const PROBES = 12
// Hash and owner in one exact double, so that sorting needs no comparison function.
const OWNERS = 2 ** 21

/** Endpoints on a ring. */
export interface Ring {
  readonly view: readonly EndpointView[]
  /** The endpoint of a hash; undefined where there is none. The same for the same hash and endpoints, in every process. */
  owner(hash: number): EndpointView | undefined
}

/** Places endpoints by their ids. */
export function ring(view: readonly EndpointView[]): Ring {
  let heaviest = 0
  for (const { endpoint } of view) heaviest = Math.max(heaviest, endpoint.weight ?? 1)
  const points: number[] = []
  for (const [owner, { endpoint }] of view.entries()) {
    const count = heaviest === 0 ? POINTS : Math.max(1, Math.round((POINTS * (endpoint.weight ?? 1)) / heaviest))
    const seed = hashOf(endpoint.id)
    for (let point = 0; point < count; point++) points.push(again(seed, point) * OWNERS + owner)
  }
  const sorted = Float64Array.from(points).sort()
  const { length } = sorted
  const places = new Uint32Array(length)
  const owners = new Uint32Array(length)
  for (let at = 0; at < length; at++) {
    const point = sorted[at] as number
    places[at] = Math.floor(point / OWNERS)
    owners[at] = point % OWNERS
  }
  // Where the search begins for each stretch of the ring: about one point a stretch, so finding the next one takes a step or two.
  let bits = 1
  while (2 ** bits < length) bits++
  const starts = new Uint32Array(2 ** bits)
  for (let stretch = 0, at = 0; stretch < starts.length; stretch++) {
    while (at < length && (places[at] as number) >>> (32 - bits) < stretch) at++
    starts[stretch] = at
  }

  const next = (place: number): number => {
    let at = starts[place >>> (32 - bits)] as number
    while (at < length && (places[at] as number) < place) at++
    return at === length ? 0 : at
  }
  return {
    view,
    owner(hash) {
      if (length === 0) return undefined
      let nearest = 2 ** 32
      let owner = 0
      for (let probe = 0; probe < PROBES; probe++) {
        const place = again(hash, probe)
        const at = next(place)
        const distance = ((places[at] as number) - place) >>> 0
        if (distance < nearest) {
          nearest = distance
          owner = owners[at] as number
        }
      }
      return view[owner]
    },
  }
}

/** 32 bits of a text: FNV-1a over its UTF-16 units, mixed. Of a key that is none its text counts. */
export function hashOf(key: string): number {
  const text = typeof key === 'string' ? key : String(key)
  let hash = 0x811c9dc5
  for (let at = 0; at < text.length; at++) hash = Math.imul(hash ^ text.charCodeAt(at), 0x01000193)
  return mixed(hash)
}

/** The `turn`-th hash made of another. */
export function again(hash: number, turn: number): number {
  return mixed(hash + Math.imul(turn + 1, 0x9e3779b9))
}

// The last step of MurmurHash3: every bit counts for every other.
function mixed(hash: number): number {
  let h = hash
  h = Math.imul(h ^ (h >>> 16), 0x85ebca6b)
  h = Math.imul(h ^ (h >>> 13), 0xc2b2ae35)
  return (h ^ (h >>> 16)) >>> 0
}
