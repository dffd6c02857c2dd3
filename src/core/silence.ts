// Waits for an answer in several looks. A process, or a whole machine, that stood still for a while finds its timers due before what it waits for has had a turn:
// a single timer would take that for silence of the other side, and end what is well.
import type { Clock } from './clock.ts'

const LOOKS = 4

/** Rings once, unless it is ended before. However long the process stood still at a stretch, that counts as a quarter of the time at most. @returns ends it */
export function afterSilence(clock: Clock, ms: number, ring: () => void): () => void {
  let left = LOOKS
  const look = (): void => {
    if (--left === 0) ring()
    else timer = clock.setTimer(look, ms / LOOKS, undefined)
  }
  let timer = clock.setTimer(look, ms / LOOKS, undefined)
  return () => clock.clearTimer(timer)
}
