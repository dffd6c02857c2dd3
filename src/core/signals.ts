// Many calls under one signal of the caller: they share one listener on it. Node warns of a leak at the eleventh, and each is dear to add.

// Who hears of a signal is kept on the signal itself, and goes with it. A copy of fairlead has its own: no copy removes another's listener.
const HEARERS = Symbol('fairlead.hearers')

type Hearer = (reason: unknown) => void

interface Heard extends AbortSignal {
  [HEARERS]?: Set<Hearer>
}

/**
 * Calls back once when a signal is aborted that is not aborted yet. Gives the way to stop listening;
 * when the last one has stopped, nothing is left on the signal.
 */
export function onSignal(signal: AbortSignal, hearer: Hearer): () => void {
  const hearers = (signal as Heard)[HEARERS] ?? hearersOf(signal)
  if (hearers.size === 0) signal.addEventListener('abort', spread)
  hearers.add(hearer)
  return () => {
    if (hearers.delete(hearer) && hearers.size === 0) signal.removeEventListener('abort', spread)
  }
}

function hearersOf(signal: AbortSignal): Set<Hearer> {
  const hearers = new Set<Hearer>()
  Object.defineProperty(signal, HEARERS, { value: hearers })
  return hearers
}

function spread(this: AbortSignal): void {
  const hearers = (this as Heard)[HEARERS] as Set<Hearer>
  this.removeEventListener('abort', spread)
  const all = [...hearers]
  hearers.clear()
  for (const hearer of all) hearer(this.reason)
}
