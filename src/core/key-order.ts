// Messages of one key keep their order: in a call, none is sent that stands behind one that could not be.
import type { SendResult } from './contracts/transport.ts'
import type { Envelope } from './message.ts'

/**
 * What becomes of each message of a call, one after the other.
 * @param each sends or judges one; not asked about those behind one of their key that failed
 * @param tooEarly the error of those, which will be sent when the one ahead of them is
 */
export function inKeyOrder(
  envelopes: readonly Envelope[],
  each: (envelope: Envelope, at: number) => SendResult,
  tooEarly: (message: string, details: { readonly ahead: string }) => unknown,
): SendResult[] {
  const results = new Array<SendResult>(envelopes.length)
  let stopped: Map<string, string> | undefined
  for (let at = 0; at < envelopes.length; at++) {
    const envelope = envelopes[at] as Envelope
    const { key, id } = envelope
    const ahead = key === undefined ? undefined : stopped?.get(key)
    if (ahead !== undefined) {
      results[at] = { status: 'failed', error: tooEarly(behindWords(key as string, ahead), { ahead }) }
      continue
    }
    const result = each(envelope, at)
    if (result.status === 'failed' && key !== undefined) (stopped ??= new Map()).set(key, id)
    results[at] = result
  }
  return results
}

/** Why a message is not sent that is behind another of its key. */
export function behindWords(key: string, ahead: string): string {
  return `it is of key ${key}, behind ${ahead}, which could not be sent`
}
