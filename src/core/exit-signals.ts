// Signals that ask a process to end: the first one begins the end, each further one hastens it, and when it is over they do again what they did before.

/** The part of `process` that is needed. */
export interface SignalSource {
  on(signal: NodeJS.Signals, listener: () => void): unknown
  off(signal: NodeJS.Signals, listener: () => void): unknown
}

/**
 * Calls back with the number of the signal, from 1. As long as it is listened to, the signal does not end the process by itself.
 * @returns the way to stop listening
 */
export function onExitSignals(
  signals: readonly NodeJS.Signals[],
  hear: (nth: number) => void,
  source: SignalSource = process,
): () => void {
  let nth = 0
  const listener = (): void => hear(++nth)
  for (const signal of signals) source.on(signal, listener)
  return () => {
    for (const signal of signals) source.off(signal, listener)
  }
}
