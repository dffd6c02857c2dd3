// Tells a statement that was refused for what it carried from one that could not be run: the first is the fault of one message or verdict alone.
import { isFairleadError } from '../../../errors/index.ts'

const OF_DATA: readonly string[] = ['UNPROCESSABLE', 'PAYLOAD_TOO_LARGE', 'CONFLICT']

/** Whether the database refused it for good, for its values, and nothing of it was done. */
export function refusesData(error: unknown): boolean {
  return isFairleadError(error) && !error.transient && error.effect === 'none' && OF_DATA.includes(error.code)
}
