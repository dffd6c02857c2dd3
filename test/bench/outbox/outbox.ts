// The bench of outbox and inbox on a real PostgreSQL, beside what one would write by hand and beside other outboxes.

import { POSTGRES_PEERS, POSTGRES_WORKERS } from '../messaging/postgres.ts'
import { type PartsOptions, type PartsReport, runPartsOnSites } from '../parts.ts'
import { place } from '../place.ts'
import { APPEND_WORKERS, benchAppend } from './append.ts'
import { benchBacklog } from './backlog.ts'
import { benchInbox, INBOX_WORKERS } from './inbox.ts'
import { benchLatency, LATENCY_WORKERS } from './latency.ts'
import { benchRelay, RELAY_PEERS, RELAY_WORKERS } from './relay.ts'
import { startSite } from './site.ts'

const PARTS = {
  relay: benchRelay,
  append: benchAppend,
  latency: benchLatency,
  inbox: benchInbox,
  backlog: benchBacklog,
}

/** Runs the bench of outbox and inbox. `only`: `relay`, `append`, `latency`, `inbox`, `backlog`, or all. */
export async function benchOutbox(options: PartsOptions): Promise<PartsReport> {
  // The newest versions of the peers need Node 22 or later. What pg-boss reads recurrence rules with is no part of what is measured.
  const where = await place(
    '24',
    [...POSTGRES_PEERS, ...RELAY_PEERS],
    { ...POSTGRES_WORKERS, ...RELAY_WORKERS, ...APPEND_WORKERS, ...LATENCY_WORKERS, ...INBOX_WORKERS },
    { area: 'outbox', overrides: { 'rrule-temporal': '>=0' } },
  )
  return runPartsOnSites(where, PARTS, options, startSite)
}
