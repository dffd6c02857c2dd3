// Errors that a crash test makes itself, by the thousand: a stack would cost more than all the rest, and would lead into this folder only.
import { createError } from '../../errors/classes.ts'

/** The same without a stack. */
export const bareError: typeof createError = (fields) => {
  const limit = Error.stackTraceLimit
  Error.stackTraceLimit = 0
  try {
    return createError(fields)
  } finally {
    Error.stackTraceLimit = limit
  }
}
