// Chaos finds what is broken on purpose; these need no fault to show. The others: `npm run chaos -- --broken <name>`.
import { expect, it } from 'vitest'
import { runChaos } from '../kit/run.ts'

it.each(['skip-locked', 'lock-after-sequence'] as const)('%s is caught', { timeout: 600_000 }, async (broken) => {
  const { report, text } = await runChaos({
    database: 'postgres',
    seed: 3,
    messages: 1_500,
    minutes: 0.2,
    faults: 0,
    broken,
    stallMs: 10_000,
  })
  expect(report.broken.order, text).toBeGreaterThan(0)
})
