// What users get from `kafkaTransport`.
import type {
  Backlog,
  ChannelPlace,
  DeadLetters,
  MessageTransport,
  ReceiveFrom,
  TransportCapabilities,
} from '../../core/contracts/transport.ts'
import type { ChannelAddress } from '../../core/message.ts'
import type { KafkaLag } from './topics.ts'

/** `kafkaTransport` as made. */
export interface KafkaTransport extends MessageTransport {
  readonly name: string
  readonly capabilities: TransportCapabilities
  readonly deadLetters: DeadLetters
  /**
   * How many messages a group could be handed out, the redriven ones among them. What this transport holds, or keeps until its time, is not counted. Of other
   * processes the broker knows only what they have done: what they hold or keep counts as waiting, and so do the markers of transactions and what was compacted away
   * where nobody has read past them. So it is never too low.
   * @throws FairleadError `CHANNEL_NOT_FOUND`, `CAPABILITY_MISSING` with `minPriority`
   */
  inspect(from: ReceiveFrom, minPriority?: number | undefined): Promise<Backlog>
  /**
   * As of every transport. A group that has members is in the way, its own or another process's; places of its consumer group in other topics (a `groupId` that they share)
   * are as well. Absent where the driver cannot: then `kafka-consumer-groups --delete` does it.
   * @throws FairleadError `CONFLICT`, `FORBIDDEN`, `INVALID_OPTIONS`
   */
  readonly dropGroup?: (place: ChannelPlace) => Promise<void>
  /**
   * As of every transport, to the ten-thousandth of how long ago it was. By the times of the records: those that producers set are only as good as their clocks.
   * Undefined for a compacted topic, one that is not there, where the right to describe its configuration or the driver's way to ask is missing, and where a partition has
   * nothing left and may have lost it for its size.
   */
  retainedSince(channel: ChannelAddress): Promise<number | undefined>
  /**
   * How far a group of a topic (or the group of a queue) is behind, as the broker knows it.
   * @throws FairleadError `CHANNEL_NOT_FOUND`
   */
  lag(channel: ChannelPlace): Promise<KafkaLag>
}
