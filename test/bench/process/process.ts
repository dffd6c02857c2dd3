// The bench of processes on a real PostgreSQL, beside what one would write by hand and beside DBOS.

import { startSite } from '../outbox/site.ts'
import { type PartsOptions, type PartsReport, runPartsOnSites } from '../parts.ts'
import { place } from '../place.ts'
import { benchOpen, OPEN_WORKERS } from './open.ts'
import { benchSteps, STEPS_PEERS, STEPS_WORKERS } from './steps.ts'

const PARTS = { steps: benchSteps, open: benchOpen }

/** Runs the bench of processes. `only`: `steps`, `open`, or both. */
export async function benchProcess(options: PartsOptions): Promise<PartsReport> {
  const where = await place('24', [...STEPS_PEERS], { ...STEPS_WORKERS, ...OPEN_WORKERS }, { area: 'process' })
  return runPartsOnSites(where, PARTS, options, startSite)
}
