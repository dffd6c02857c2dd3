// A declared failure is an answer, not a fault: it passes through the layers as a value and is thrown only at the caller's edge.

/** What an operation answers when it fails in a way that its contract declares. */
export class FailureAnswer {
  readonly failure: string
  readonly data: unknown

  constructor(failure: string, data: unknown) {
    this.failure = failure
    this.data = data
  }
}

/** Under this key of `context.locals` a layer that answers itself says where the answer came from. */
export const FROM: unique symbol = Symbol.for('fairlead.from') as never

/** Where an answer came from. `call` is the peer itself. */
export interface Provenance {
  readonly from: 'call' | 'cache' | 'coalesced' | 'lastGood' | 'value' | 'fallback'
  /** How old the answer is, where it was kept. */
  readonly ageMs?: number | undefined
  /** Why the peer's answer was not used. */
  readonly error?: unknown
}
