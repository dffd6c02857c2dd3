// Everything long-lived ends the same way: `close()`, or `await using` where the runtime has it.
import { durationOption, knownOptions } from './options.ts'

/** Something that has to be closed. Closing twice is the same as closing once. */
export interface Closable {
  close(): Promise<void>
  [Symbol.asyncDispose](): Promise<void>
}

/** Makes a `Closable` of what has to be done at the end; it is done once, however often it is asked for. */
export function closable(end: () => Promise<void>): Closable {
  let ending: Promise<void> | undefined
  const close = (): Promise<void> => (ending ??= end())
  return { close, [Symbol.asyncDispose]: close }
}

/** Begins to close, with the time that there is for it. Options that are none are rejected, and close nothing. */
export function closeWithin(
  options: { readonly withinMs?: number | undefined },
  byDefaultMs: number,
  close: (withinMs: number) => Promise<void>,
): Promise<void> {
  let withinMs: number
  try {
    knownOptions('close', options, ['withinMs'])
    withinMs = durationOption('close.withinMs', options.withinMs, byDefaultMs, 0)
  } catch (error) {
    return Promise.reject(error)
  }
  return close(withinMs)
}
