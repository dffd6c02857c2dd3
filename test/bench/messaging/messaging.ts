// The bench of messaging: memory beside a bare loop, a million waiting messages, PostgreSQL beside pg-boss and graphile-worker.
import type { Line } from '../lines.ts'
import { type Place, place } from '../place.ts'
import { benchMemory, MEMORY_WORKERS } from './memory.ts'
import { benchPostgres, POSTGRES_PEERS, POSTGRES_WORKERS } from './postgres.ts'
import { benchWaiting, WAITING_WORKERS } from './waiting.ts'

/** What to run. */
export interface MessagingOptions {
  readonly quick: boolean
  /** `memory`, `waiting`, `postgres`, or all. */
  readonly only: string | undefined
}

/** Runs the bench of messaging. */
export async function benchMessaging({
  quick,
  only,
}: MessagingOptions): Promise<{ readonly lines: readonly Line[]; readonly [more: string]: unknown }> {
  const wanted = (part: string): boolean => only === undefined || only === part
  const workers = { ...MEMORY_WORKERS, ...WAITING_WORKERS, ...POSTGRES_WORKERS }
  const peers = ['zod', ...POSTGRES_PEERS]
  // The newest versions of the peers need Node 22 or later, so that PostgreSQL is measured on 24 alone. What pg-boss reads recurrence rules with is no part of
  // what is measured: any version of it will do where a registry has not the newest.
  const newest = await place('24', peers, workers, { area: 'messaging', overrides: { 'rrule-temporal': '>=0' } })
  const places: Place[] = [newest]
  if (wanted('memory')) places.unshift(await place('20', ['zod'], { ...MEMORY_WORKERS }, { area: 'messaging' }))
  const lines: Line[] = []
  const report: Record<string, unknown> = {
    nodes: Object.fromEntries(places.map(({ version, picked }) => [version, picked])),
  }
  if (wanted('memory')) {
    for (const where of places) {
      const { lines: found, rows } = await benchMemory(where, quick)
      lines.push(...found)
      report[`memory ${where.version}`] = rows
    }
  }
  if (wanted('waiting')) {
    const { lines: found, ...rest } = await benchWaiting(newest, quick)
    lines.push(...found)
    report['waiting'] = rest
  }
  if (wanted('postgres')) {
    const { lines: found, ...rest } = await benchPostgres(newest, quick)
    lines.push(...found)
    report['postgres'] = rest
  }
  return { lines, ...report }
}
