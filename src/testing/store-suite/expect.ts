// What cases demand of refusals.
import { AssertionError } from 'node:assert'
import { type Code, type FairleadError, isFairleadError } from '../../errors/index.ts'
import { demand, same } from '../assert.ts'

export { demand, same }

/** What the work rejects with; it has to reject, with a FairleadError of one of these codes. */
export async function refused(
  what: string,
  work: () => Promise<unknown>,
  ...codes: readonly Code[]
): Promise<FairleadError> {
  let answer: unknown
  try {
    answer = await work()
  } catch (error) {
    demand(isFairleadError(error), `${what}: refused without a code: ${String(error)}`)
    demand(
      codes.includes(error.code),
      `${what}: refused with ${error.code} instead of ${codes.join(' or ')}: ${error.message}`,
    )
    return error
  }
  throw new AssertionError({
    message: `${what}: it should have been refused (${codes.join(' or ')}), and was answered ${show(answer)}`,
  })
}

/** A value there has to be. */
export function the<T>(value: T | undefined, what: string): T {
  demand(value !== undefined, `${what} is missing`)
  return value
}

function show(value: unknown): string {
  if (typeof value === 'object' && value !== null) return Array.isArray(value) ? `${value.length} answers` : 'an object'
  return String(value)
}
