// What an inbox answers for messages that it did not give to their handler.
import type { FairleadError } from '../../errors/base.ts'

/** Its effects stand: nothing was done this time. */
export const DUPLICATE: unique symbol = Symbol('duplicate')

/** Another delivery of it is being handled now. */
export const BUSY: unique symbol = Symbol('busy')

/** The inbox could not be asked, so the handler was not called: no fault of the message, whatever the error. */
export class Unasked {
  readonly error: FairleadError

  constructor(error: FairleadError) {
    this.error = error
  }
}

/** An answer for each message of a call, in order: `DUPLICATE`, `BUSY`, an `Unasked`, an outcome, or anything else for those that are done. */
export class Judged {
  readonly answers: readonly unknown[]

  constructor(answers: readonly unknown[]) {
    this.answers = answers
  }
}
