// Deliveries that are done with one transaction: they stay held until it ends, and what is said of them meanwhile waits for that.
import { type FairleadError, isFairleadError } from '../../../errors/index.ts'
import type { KafkaDelivery } from '../delivery.ts'
import type { Lane } from '../lanes/partition.ts'

/** What a place does of it. */
export interface Together {
  /** Resolves with the commit. Undefined: it has no transactions. */
  write(lane: Lane): Promise<void> | undefined
  /** It is committed. */
  done(delivery: KafkaDelivery): void
  /** It is not, and nobody may hold it any more. */
  failed(delivery: KafkaDelivery): void
  errorOf(error: unknown): FairleadError
}

/**
 * Resolves once they are committed with what came of them. They are of one partition.
 * @throws FairleadError `LEASE_LOST`; what the broker says of records that cannot be written: they are still held then
 */
export async function endTogether(deliveries: readonly KafkaDelivery[], by: Together): Promise<void> {
  const first = deliveries[0] as KafkaDelivery
  const gone = deliveries.find(({ state }) => state !== 'held')
  const writing = gone === undefined ? by.write(first.entry.lane) : undefined
  if (writing === undefined) throw (gone ?? first).lostError()
  const work = writing.then(() => {
    for (const delivery of deliveries) by.done(delivery)
  })
  const committed = work.then(
    () => true,
    () => false,
  )
  for (const delivery of deliveries) delivery.endsWith(committed)
  try {
    await work
  } catch (error) {
    for (const delivery of deliveries) by.failed(delivery)
    throw isFairleadError(error, 'LEASE_LOST') ? error : by.errorOf(error)
  }
}
