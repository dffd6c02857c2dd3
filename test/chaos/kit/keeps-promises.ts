// The promises of outbox, relay, consumer and inbox, as the short suites hold a run of chaos to them.
import { expect } from 'vitest'
import { runChaos } from './run.ts'

/** How long a suite may take: its faults are real ones. */
export const CHAOS_TIMEOUT_MS = 900_000

/** Runs it, and fails where something was lost, came twice or out of order, or where the run proves little. */
export async function keepsPromises(
  options: Omit<Parameters<typeof runChaos>[0], 'log'> & { readonly messages: number },
): Promise<void> {
  const { report, fencing, deadlocks, faults, text } = await runChaos({ ...options, log: (line) => console.log(line) })
  console.log(text)
  expect(report.broken, text).toEqual({ lost: 0, twice: 0, order: 0, cause: 0, invented: 0 })
  expect(fencing).toEqual([])
  expect(deadlocks.transaction).toBe(0)
  expect(report.sent).toBeGreaterThanOrEqual(options.messages)
  // Most faults found somebody, or the run proves little.
  expect(Object.keys(faults).length).toBeGreaterThan(8)
}
