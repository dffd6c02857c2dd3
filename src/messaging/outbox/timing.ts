// Messages that the time alone decides of, before any transport is asked: one that expired is not published any more, and one that is not due yet waits in the store.
import { LONGEST_TIMER_MS } from '../../core/clock.ts'
import type { PendingRow, RowVerdict } from '../../core/contracts/store.ts'
import type { MessageTransport } from '../../core/contracts/transport.ts'

/**
 * The verdict for a row that it is too late for, or too early for this transport; `undefined`: it is to be sent.
 * @param wallNow epoch milliseconds
 * @throws what the transport throws where it cannot say what it can
 */
export function decidedByTime(row: PendingRow, transport: MessageTransport, wallNow: number): RowVerdict | undefined {
  const { sequence } = row
  const { expiresAt, notBefore } = row.envelope
  if (expiresAt !== undefined && expiresAt <= wallNow) {
    const reason = `[TOO_LATE] it expired ${Math.round(wallNow - expiresAt)} ms before it could be published`
    return { sequence, verdict: 'dead', reason, blocksKey: false }
  }
  if (notBefore === undefined || notBefore <= wallNow) return undefined
  const { delay, maxDelayMs } = transport.capabilities
  // What is further away than any timer is held again then.
  const delayMs = Math.min(notBefore - wallNow - (delay === 'none' ? 0 : maxDelayMs), LONGEST_TIMER_MS)
  return delayMs <= 0 ? undefined : { sequence, verdict: 'hold', delayMs }
}
