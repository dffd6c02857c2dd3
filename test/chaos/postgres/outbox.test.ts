// The two-minute form of `npm run chaos`: processes that are killed and stopped, a database that restarts, connections that break; nothing lost, twice or out of order.
import { expect, it } from 'vitest'
import { runChaos } from '../kit/run.ts'

it('outbox, relay, consumer and inbox keep their promises', { timeout: 900_000 }, async () => {
  const { report, fencing, deadlocks, faults, text } = await runChaos({
    database: 'postgres',
    seed: 11,
    messages: 10_000,
    minutes: 1.4,
    log: (line) => console.log(line),
  })
  console.log(text)
  expect(report.broken, text).toEqual({ lost: 0, twice: 0, order: 0, cause: 0, invented: 0 })
  expect(fencing).toEqual([])
  expect(deadlocks.transaction).toBe(0)
  expect(report.sent).toBeGreaterThanOrEqual(10_000)
  // Most faults found somebody, or the run proves little.
  expect(Object.keys(faults).length).toBeGreaterThan(8)
})
