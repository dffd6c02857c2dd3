// Where a message waits for its next delivery: at the broker, if it can keep it so, or here. Order per key decides.
import type { TransportCapabilities } from '../../core/contracts/transport.ts'
import type { OnFailure } from './types.ts'

/**
 * `lane`: here, and its key waits behind it. `beside`: here, and later ones of its key go on. `broker`: given back. `passed`: given back, and later ones
 * may pass. `chain`: given back with all that wait behind it, in order, and the broker keeps the key waiting.
 */
export type Place = 'lane' | 'beside' | 'broker' | 'passed' | 'chain'

type Promises = Pick<TransportCapabilities, 'nack' | 'delay' | 'maxDelayMs' | 'order'>

/** What it goes by. */
export interface Wait {
  readonly keyed: boolean
  readonly delayMs: number
  /** It came before its time: nobody has to wait for it. */
  readonly passes: boolean
  /** Its lease cannot be renewed, and would not last. */
  readonly tooLongForLease: boolean
}

/** Where to wait. */
export function placeOf(promises: Promises, onFailure: OnFailure, wait: Wait): Place {
  const { nack, delay, maxDelayMs } = promises
  const { keyed, delayMs, passes, tooLongForLease } = wait
  const canWaitThere = nack !== 'none' && (delayMs <= 0 || (delay !== 'none' && delayMs <= maxDelayMs))
  if (!keyed) return canWaitThere ? 'broker' : 'beside'
  if (passes || onFailure === 'overtake')
    return canWaitThere && (nack === 'requeue' || nack === 'either') ? 'passed' : 'beside'
  const canBlockThere = canWaitThere && keepsOrder(promises)
  return canBlockThere && (onFailure === 'park-key' || tooLongForLease) ? 'chain' : 'lane'
}

/** Whether what is given back keeps its place before later ones of its key. */
export function keepsOrder({ nack, order }: Promises): boolean {
  return order !== 'none' && (nack === 'block' || nack === 'either')
}
