// A wait for a server that may never answer: half-open connections look like slow ones.
import { type Code, createError } from '../errors/index.ts'
import type { Clock } from './clock.ts'

/** `work`, or an error of `code` when it takes longer than `ms`. What is given up goes on, and its failure is nobody's any more. */
export function boundedBy<T>(
  clock: Clock,
  ms: number,
  work: Promise<T>,
  code: Code,
  what: string,
  transport?: string | undefined,
): Promise<T> {
  return new Promise<T>((resolve, reject) => {
    const timer = clock.setTimer(
      () => reject(createError({ code, message: `${what} within ${ms} ms`, transport })),
      ms,
      undefined,
    )
    work.then(
      (value) => {
        clock.clearTimer(timer)
        resolve(value)
      },
      (error: unknown) => {
        clock.clearTimer(timer)
        reject(error)
      },
    )
  })
}
