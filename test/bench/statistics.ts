// Medians and bootstrap intervals: what a shared machine leaves of a measurement.

/** The middle value; NaN of nothing. */
export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b)
  const middle = sorted.length >> 1
  if (sorted.length === 0) return Number.NaN
  return sorted.length % 2 === 1
    ? (sorted[middle] as number)
    : ((sorted[middle - 1] as number) + (sorted[middle] as number)) / 2
}

/** A median with the interval in which it lies with 95 % confidence. */
export interface Estimate {
  readonly median: number
  readonly low: number
  readonly high: number
}

/** Percentile bootstrap of the median. Seeded, so that the same rounds give the same interval. */
export function estimate(values: readonly number[], resamples: number = 2_000): Estimate {
  const random = seeded(20_261_121)
  const medians: number[] = []
  for (let i = 0; i < resamples; i++)
    medians.push(median(values.map(() => values[Math.floor(random() * values.length)] as number)))
  medians.sort((a, b) => a - b)
  const at = (share: number): number => medians[Math.floor(share * (resamples - 1))] ?? Number.NaN
  return { median: median(values), low: at(0.025), high: at(0.975) }
}

/** Element-wise quotients: one ratio a round, so that what slows a round down slows both sides. */
export function quotients(above: readonly number[], below: readonly number[]): readonly number[] {
  return above.map((value, round) => value / (below[round] as number))
}

/** A random order, the next one at each call. */
export function shuffler(seed: number): <T>(items: readonly T[]) => readonly T[] {
  const random = seeded(seed)
  return (items) => {
    const order = [...items]
    for (let last = order.length - 1; last > 0; last--) {
      const other = Math.floor(random() * (last + 1))
      const moved = order[last] as (typeof order)[number]
      order[last] = order[other] as (typeof order)[number]
      order[other] = moved
    }
    return order
  }
}

// mulberry32
function seeded(seed: number): () => number {
  let state = seed | 0
  return () => {
    state = (state + 0x6d2b79f5) | 0
    let t = Math.imul(state ^ (state >>> 15), 1 | state)
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32
  }
}
