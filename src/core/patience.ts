// Waits for the end of something that takes no signal (a drain, a close, somebody else's acknowledgement), but not for ever.
// p-timeout is right here, where nothing can be cancelled and nothing is hot; on the call path it would double the cost.
import type { Clock, Timer } from './clock.ts'
import { lazy } from './lazy.ts'

type PTimeout = (
  promise: Promise<boolean>,
  options: {
    readonly milliseconds: number
    readonly fallback: () => boolean
    readonly customTimers: {
      readonly setTimeout: (callback: () => void, ms: number) => Timer
      readonly clearTimeout: (timer: Timer) => void
    }
  },
) => Promise<boolean>

/** Whether `work` ended within `ms`. Rejects as it does. What is given up goes on, and its failure is nobody's any more. */
export function endsWithin(work: Promise<unknown>, ms: number, clock: Clock): Promise<boolean> {
  const { default: pTimeout } = lazy<{ default: PTimeout }>('p-timeout')
  return pTimeout(
    work.then(() => true),
    {
      milliseconds: ms,
      fallback: () => false,
      customTimers: {
        setTimeout: (callback, after) => clock.setTimer(callback, after, undefined),
        // p-timeout also clears a timer that it never set.
        clearTimeout: (timer) => (timer === undefined ? undefined : clock.clearTimer(timer)),
      },
    },
  )
}
