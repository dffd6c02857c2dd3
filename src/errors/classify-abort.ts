// Aborts and timeouts that travel by AbortSignal: who gave up, and whether it was we.
import { type Facts, type Finding, read, type Table } from './classify-facts.ts'

const ABORT_CODES: ReadonlySet<string> = new Set([
  'ABORT_ERR',
  'UND_ERR_ABORTED',
  'UND_ERR_ABORT',
  'ERR_CANCELED',
  'ERR_ABORTED',
  'ERR_CANCELLED',
])
const ABORT_NAMES: ReadonlySet<string> = new Set(['AbortError', 'CanceledError', 'CancelError'])

/** Whether an error says that its work was given up. */
export function isAbort({ name, code }: Facts): boolean {
  return ABORT_NAMES.has(name) || ABORT_CODES.has(code)
}

/** Whether an error is what a client throws when its request is destroyed: an abort, or a connection that we closed ourselves. */
export function looksLikeAbort(facts: Facts): boolean {
  return (
    isAbort(facts) ||
    (facts.code === 'ECONNRESET' && (facts.message === 'socket hang up' || facts.message === 'aborted'))
  )
}

/** AbortError of whatever client, and the TimeoutError of `AbortSignal.timeout()`, ky, p-timeout and others. */
export const abortTable: Table = (facts): Finding | undefined => {
  if (isAbort(facts)) {
    // Node puts the reason of the signal into the cause.
    const cause = read(facts.value, 'cause')
    return read(cause, 'name') === 'TimeoutError' ? { code: 'TIMED_OUT' } : { code: 'CANCELLED' }
  }
  // With a code it is a client's own and says more.
  if (facts.name === 'TimeoutError' && facts.code === '') return { code: 'TIMED_OUT' }
  return undefined
}
