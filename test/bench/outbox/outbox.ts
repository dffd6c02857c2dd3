// The bench of outbox and inbox on a real PostgreSQL, beside what one would write by hand and beside other outboxes.
import type { Line } from '../lines.ts'
import { POSTGRES_PEERS, POSTGRES_WORKERS } from '../messaging/postgres.ts'
import { place } from '../place.ts'
import { APPEND_WORKERS, benchAppend } from './append.ts'
import { benchBacklog } from './backlog.ts'
import { benchInbox, INBOX_WORKERS } from './inbox.ts'
import { benchLatency, LATENCY_WORKERS } from './latency.ts'
import { benchRelay, RELAY_PEERS, RELAY_WORKERS } from './relay.ts'
import { startSite } from './site.ts'

/** What to run. */
export interface OutboxBenchOptions {
  readonly quick: boolean
  /** `relay`, `append`, `latency`, `inbox`, `backlog`, or all. */
  readonly only: string | undefined
}

const PARTS = {
  relay: benchRelay,
  append: benchAppend,
  latency: benchLatency,
  inbox: benchInbox,
  backlog: benchBacklog,
}

/** Runs the bench of outbox and inbox. */
export async function benchOutbox({
  quick,
  only,
}: OutboxBenchOptions): Promise<{ readonly lines: readonly Line[]; readonly [more: string]: unknown }> {
  // The newest versions of the peers need Node 22 or later. What pg-boss reads recurrence rules with is no part of what is measured.
  const where = await place(
    '24',
    [...POSTGRES_PEERS, ...RELAY_PEERS],
    { ...POSTGRES_WORKERS, ...RELAY_WORKERS, ...APPEND_WORKERS, ...LATENCY_WORKERS, ...INBOX_WORKERS },
    { area: 'outbox', overrides: { 'rrule-temporal': '>=0' } },
  )
  const lines: Line[] = []
  const report: Record<string, unknown> = { nodes: { [where.version]: where.picked } }
  for (const [part, bench] of Object.entries(PARTS)) {
    if (only !== undefined && only !== part) continue
    // A server of its own for each part: what one leaves to be cleaned up is nobody else's.
    const site = await startSite(where)
    try {
      const { lines: found, ...rest } = await bench(site, quick)
      lines.push(...found)
      report[part] = rest
    } finally {
      await site.close()
    }
  }
  return { lines, ...report }
}
