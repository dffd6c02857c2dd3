// The transports that fairlead has, as one chooses among them. Figures are orders of magnitude of one service on two cores, payloads of 1 KiB.
import type { TransportProfile } from '../../messaging/choose.ts'
import { httpFeedCapabilities } from '../http-feed/capabilities.ts'
import { httpPushCapabilities } from '../http-push/capabilities.ts'
import { kafkaCapabilities } from '../kafka/capabilities.ts'
import { memoryCapabilities } from '../memory/memory-capabilities.ts'
import { postgresCapabilities } from '../postgres/transport/postgres-capabilities.ts'
import { rabbitmqCapabilities } from '../rabbitmq/capabilities.ts'

/** Every transport of fairlead. */
export const transports: readonly TransportProfile[] = Object.freeze([
  {
    name: 'memory',
    from: 'fairlead/memory',
    capabilities: memoryCapabilities,
    languages: ['javascript', 'typescript'],
    standards: [],
    messagesPerSecond: 100_000,
    note: 'within one process, for tests and for work that may be lost with the process',
  },
  {
    name: 'HTTP push',
    from: 'fairlead/http-push',
    capabilities: httpPushCapabilities,
    languages: 'any',
    standards: ['HTTP', 'CloudEvents', 'Standard Webhooks'],
    messagesPerSecond: 1_000,
    note: 'a request for each message, answered once it is handled; whoever must lose nothing publishes through an outbox',
  },
  {
    name: 'HTTP feed',
    from: 'fairlead/http-feed',
    capabilities: httpFeedCapabilities,
    languages: 'any',
    standards: ['HTTP', 'CloudEvents'],
    messagesPerSecond: 1_000,
    note: 'readers come for the events and keep their own position; the owner needs to know none of them',
  },
  {
    name: 'HTTP feed on files',
    from: 'fairlead/http-feed',
    // As the transport itself says of a feed whose log is `fileFeedLog`.
    capabilities: { ...httpFeedCapabilities, persistent: true, acknowledged: 'disk' },
    languages: 'any',
    standards: ['HTTP', 'CloudEvents'],
    messagesPerSecond: 1_000,
    note: 'the same with its events in files of the owner: nothing accepted is lost with the process',
  },
  {
    name: 'PostgreSQL',
    from: 'fairlead/postgres',
    capabilities: postgresCapabilities,
    server: 'PostgreSQL 13 or newer',
    languages: 'any',
    standards: ['SQL'],
    messagesPerSecond: 10_000,
    note: 'queues and topics in the database that is there already',
  },
  {
    name: 'Kafka',
    from: 'fairlead/kafka',
    capabilities: kafkaCapabilities,
    server: 'Apache Kafka 2.4 or newer',
    languages: 'any',
    standards: ['Kafka', 'CloudEvents'],
    messagesPerSecond: 10_000,
    note: 'a log that many groups read at their own pace and may read again; members of a group share partitions, so make enough of them',
  },
  {
    name: 'RabbitMQ',
    from: 'fairlead/rabbitmq',
    capabilities: rabbitmqCapabilities,
    server: 'RabbitMQ 3.10 or newer',
    languages: 'any',
    standards: ['AMQP 0-9-1', 'CloudEvents'],
    messagesPerSecond: 10_000,
    note: 'quorum queues; with options also one order for a channel, or priorities: then the capabilities are others',
  },
])
