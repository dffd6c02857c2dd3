// How the conformance suites fail: without a test runner, with words that say what was wrong.
import { AssertionError, deepStrictEqual } from 'node:assert'

/** @throws AssertionError with the message unless it is true. */
export function demand(holds: boolean, message: string): asserts holds {
  if (!holds) throw new AssertionError({ message })
}

/** @throws AssertionError with the message and both values unless they are deeply equal. */
export function same(actual: unknown, expected: unknown, message: string): void {
  try {
    deepStrictEqual(actual, expected)
  } catch (error) {
    throw new AssertionError({ message: `${message}\n${(error as Error).message}`, actual, expected })
  }
}
