// Sources made of several have some that others can write to and some that nobody else can: what the latter say is marked, so that the allow rule spares it.
import type { Endpoint } from '../core/contracts/source.ts'

// A symbol: nothing that comes over a wire as text can carry it.
const VOUCHED: unique symbol = Symbol.for('fairlead.vouched') as never

/** The endpoint, marked as said by a source that is not remote. */
export function vouch(endpoint: Endpoint): Endpoint {
  return { ...endpoint, [VOUCHED]: true } as Endpoint
}

/** Whether a source that is not remote has said so. */
export function isVouched(endpoint: object): boolean {
  return (endpoint as { readonly [VOUCHED]?: unknown })[VOUCHED] === true
}
