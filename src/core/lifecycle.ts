// Everything long-lived ends the same way: `close()`, or `await using` where the runtime has it.

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
