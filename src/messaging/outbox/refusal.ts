// A store that refuses what it is told: not for now, but as it stands. Which of many verdicts it means, it does not say.
import type { RowVerdict } from '../../core/contracts/store.ts'
import { classify } from '../../errors/classify.ts'

/** Whether saying the same again would end the same. */
export function isRefused(error: unknown): boolean {
  const { effect, transient } = classify(error)
  return effect === 'none' && !transient
}

/**
 * What is said of a row instead, in words that every store takes: it stays, and is tried again later. It may be published twice, but its key keeps its order, and all the
 * others go on.
 */
export function milder({ sequence, verdict }: RowVerdict, delayMs: number): RowVerdict {
  if (verdict === 'hold') return { sequence, verdict: 'hold', delayMs }
  return { sequence, verdict: 'retry', delayMs, reason: 'the store refused what was said of it', counts: false }
}
