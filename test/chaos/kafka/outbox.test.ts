// The short form of `npm run chaos -- --transport kafka`: the broker between relays and consumers is restarted, killed, cut off and silenced as well; nothing lost, twice or out of order.
import { expect, it } from 'vitest'
import { runChaos } from '../kit/run.ts'

it('outbox, relay, consumer and inbox keep their promises with Kafka between them', { timeout: 900_000 }, async () => {
  const { report, fencing, deadlocks, faults, text } = await runChaos({
    database: 'postgres',
    broker: 'kafka',
    seed: 11,
    messages: 2_000,
    minutes: 0.7,
    // Each kind once.
    faults: 15,
    log: (line) => console.log(line),
  })
  console.log(text)
  expect(report.broken, text).toEqual({ lost: 0, twice: 0, order: 0, cause: 0, invented: 0 })
  expect(fencing).toEqual([])
  expect(deadlocks.transaction).toBe(0)
  expect(report.sent).toBeGreaterThanOrEqual(2_000)
  // Most faults found somebody, or the run proves little.
  expect(Object.keys(faults).length).toBeGreaterThan(8)
})
