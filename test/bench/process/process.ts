// The bench of processes on a real PostgreSQL, beside what one would write by hand and beside DBOS.
import type { Line } from '../lines.ts'
import { startSite } from '../outbox/site.ts'
import { place } from '../place.ts'
import { benchOpen, OPEN_WORKERS } from './open.ts'
import { benchSteps, STEPS_PEERS, STEPS_WORKERS } from './steps.ts'

/** What to run. */
export interface ProcessBenchOptions {
  readonly quick: boolean
  /** `steps`, `open`, or both. */
  readonly only: string | undefined
}

const PARTS = { steps: benchSteps, open: benchOpen }

/** Runs the bench of processes. */
export async function benchProcess({
  quick,
  only,
}: ProcessBenchOptions): Promise<{ readonly lines: readonly Line[]; readonly [more: string]: unknown }> {
  const where = await place('24', [...STEPS_PEERS], { ...STEPS_WORKERS, ...OPEN_WORKERS }, { area: 'process' })
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
