// How a message waits for its time: in a queue with a time to live, which dead-letters to where the message is meant for. All messages of one such queue wait
// equally long, so that none blocks another at the head.

// Up to here a delay is rounded up to one of eight steps a doubling: at most an eighth late.
const SHORT_MS = 8_000
const LEAST_MS = 16
const SHORT_STEPS = 8
const LONG_STEPS = 2
// Publishing to a queue does not count as using it: one that was declared so long ago is declared again first.
const IDLE_MS = 86_400_000

/** Where a message is to wait. */
export interface Wait {
  /** How long, in the queue of this time to live. */
  readonly ttlMs: number
  /** Whether it comes back before its time, and then has to wait for the rest. */
  readonly early: boolean
}

/**
 * The wait queue for a delay. Delays of up to 8 seconds are rounded up, by at most an eighth (one second); longer ones down, by at most a third, and whoever
 * receives the message lets it wait for the rest: so it is late by at most a second, however long it waits, and few queues do for all delays.
 */
export function waitFor(delayMs: number): Wait {
  if (delayMs <= LEAST_MS) return { ttlMs: LEAST_MS, early: false }
  if (delayMs <= SHORT_MS) return { ttlMs: Math.ceil(step(delayMs, SHORT_STEPS, Math.ceil)), early: false }
  const ttlMs = step(delayMs, LONG_STEPS, Math.floor)
  return { ttlMs, early: ttlMs < delayMs }
}

function step(ms: number, steps: number, round: (value: number) => number): number {
  const base = 2 ** Math.floor(Math.log2(ms))
  const size = base / steps
  return base + round((ms - base) / size) * size
}

/** After how long without use the broker removes such a queue: long after its last message has left it. */
export function expiresMs(ttlMs: number): number {
  return ttlMs + IDLE_MS
}

/** For how long a queue that was declared may be published to before it is declared again. */
export const DECLARED_MS: number = IDLE_MS / 2
