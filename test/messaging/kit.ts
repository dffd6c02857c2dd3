// What the tests of messages share.
import type { Envelope } from '../../src/core/message.ts'
import { type FairleadError, isFairleadError } from '../../src/errors/index.ts'
import { fakeClock } from '../../src/testing/fake-clock.ts'

export const SOURCE = '/tests'
export const ID = 'm-1'

/** Options of `encodeMessage` with nothing left to chance. */
export const fixed = (): { source: string; clock: ReturnType<typeof fakeClock>; newId: () => string } => ({
  source: SOURCE,
  clock: fakeClock(),
  newId: () => ID,
})

/** An envelope with what a CloudEvent must have. */
export const envelope = (over: Partial<Envelope> = {}): Envelope => ({
  id: ID,
  attributes: { specversion: '1.0', source: SOURCE, type: 'order.placed', datacontenttype: 'application/json' },
  headers: {},
  body: Buffer.from('{"orderId":"o-1"}'),
  ...over,
})

/** The FairleadError that some work ends with, thrown or as a rejection. Anything else fails the test. */
export const errorOf = async (work: () => unknown): Promise<FairleadError> => {
  try {
    await work()
  } catch (error) {
    if (!isFairleadError(error)) throw new Error('not a FairleadError', { cause: error })
    return error
  }
  throw new Error('nothing was thrown')
}

export const issuesOf = (error: FairleadError): readonly { readonly path: string; readonly message: string }[] =>
  (error.details as { readonly issues: readonly { readonly path: string; readonly message: string }[] }).issues
