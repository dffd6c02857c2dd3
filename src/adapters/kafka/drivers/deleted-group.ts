// What clients say of a group that is to be deleted.
import type { FairleadError } from '../../../errors/index.ts'
import { kafkaErrorOf } from '../classify-kafka.ts'

/** Those of kafkajs's form keep the broker's error with the group that it is of. */
export async function ofItsGroup<T>(work: Promise<T>): Promise<T> {
  try {
    return await work
  } catch (thrown) {
    const { groups } = thrown as { readonly groups?: readonly { readonly error?: unknown }[] }
    throw groups?.find(({ error }) => error !== undefined && error !== null)?.error ?? thrown
  }
}

/** One that is not there is deleted already. */
export async function unlessGone(work: Promise<unknown>): Promise<void> {
  try {
    await work
  } catch (error) {
    if (kafkaErrorOf(error as FairleadError) !== 'GROUP_ID_NOT_FOUND') throw error
  }
}
