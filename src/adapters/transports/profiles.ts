// The transports that fairlead has, as one chooses among them. Figures are orders of magnitude of one service on two cores, payloads of 1 KiB.
import type { TransportProfile } from '../../messaging/choose.ts'
import { httpFeedCapabilities } from '../http-feed/capabilities.ts'
import { httpPushCapabilities } from '../http-push/capabilities.ts'
import { memoryCapabilities } from '../memory/memory-capabilities.ts'
import { postgresCapabilities } from '../postgres/transport/postgres-capabilities.ts'

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
])
