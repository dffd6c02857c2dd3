// What the transactions of a group are made with: apart from them, because a place has it before it has them.
import type { Committed, KafkaTransactor, TopicPartition } from '../driver.ts'

/** What the transactions of a place are made with. */
export interface TransactionParts {
  /** The consumer group at the broker. */
  readonly group: string
  /** Takes the name of a partition. */
  open(at: TopicPartition): Promise<KafkaTransactor>
  /** Where the group is. */
  placeOf(at: TopicPartition): Promise<Committed>
}
