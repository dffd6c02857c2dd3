// What every delivery does alike: refuses a verdict that makes no sense, and tells that a right is lost.
import { createError } from '../errors/classes.ts'
import { LONGEST_TIMER_MS } from './clock.ts'
import type { SettleOptions, SettleVerdict } from './contracts/transport.ts'
import { invalidOption } from './options.ts'

/** What is wrong with a verdict, for transports whose longest delay is that of a timer; undefined: nothing. */
export function wrongVerdict(verdict: SettleVerdict, options: SettleOptions | undefined): Error | undefined {
  if (verdict === 'dead') return undefined
  if (verdict !== 'retry') return invalidOption('verdict', verdict, "give 'ack', 'retry' or 'dead'")
  const delayMs = options?.delayMs
  if (delayMs === undefined || (delayMs >= 0 && delayMs <= LONGEST_TIMER_MS)) return undefined
  if (!(delayMs > LONGEST_TIMER_MS)) return invalidOption('delayMs', delayMs, 'give milliseconds from 0')
  return createError({
    code: 'CAPABILITY_MISSING',
    message: `a delay of ${delayMs} ms is asked for; the longest is ${LONGEST_TIMER_MS} ms`,
  })
}

/** The same, and no delay beyond the longest of a transport's own. */
export function refusedVerdict(
  verdict: SettleVerdict,
  options: SettleOptions | undefined,
  maxDelayMs: number,
  at: { readonly transport: string; readonly channel: string },
): Error | undefined {
  const problem = wrongVerdict(verdict, options)
  if (problem !== undefined || verdict !== 'retry' || (options?.delayMs ?? 0) <= maxDelayMs) return problem
  return createError({
    code: 'CAPABILITY_MISSING',
    message: `a delay of ${options?.delayMs} ms is asked for; the longest is ${maxDelayMs} ms`,
    ...at,
  })
}

/** Adds one to those who are to be told. One and the same function may be given twice, and stopped once. */
export function addListener(listeners: Set<() => void>, listener: () => void): () => void {
  const link = (): void => listener()
  listeners.add(link)
  return () => void listeners.delete(link)
}

/** Calls them all: one listener's fault must not keep it from the others. */
export function tellEach(listeners: Iterable<() => void>): void {
  for (const listener of listeners) {
    try {
      listener()
    } catch {
      // The right is lost all the same.
    }
  }
}
