// Chance that can be repeated: a failing run is seen again by its seed.
import type { Random } from '../core/clock.ts'

/**
 * Numbers from 0 to less than 1, the same ones for the same seed (mulberry32: even, with a period of about 4e9; not for secrets).
 * @param seed a whole number; its lowest 32 bits count
 * @example const random = seededRandom(42)
 */
export function seededRandom(seed: number): Random {
  let state = seed >>> 0
  return () => {
    state = (state + 0x6d2b79f5) >>> 0
    let mixed = Math.imul(state ^ (state >>> 15), state | 1)
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61)
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32
  }
}
