// The search for the first record's time, on a log that the test has written: what is asked, and when nobody can say.
import { describe, expect, it } from 'vitest'
import type { KafkaDriver } from '../../../src/adapters/kafka/driver.ts'
import { retainedSince } from '../../../src/adapters/kafka/retained.ts'
import { createError } from '../../../src/errors/index.ts'
import { fakeClock } from '../../../src/testing/fake-clock.ts'
import { fakeDriver } from './fake-driver.ts'

const DAY_MS = 86_400_000
const NOW = Date.parse('2026-11-22T12:00:00Z')
const channel = { kind: 'topic', name: 'orders' } as const

/** A partition that begins at an offset, and the times of the records from there. */
interface Log {
  first: number
  times: readonly number[]
}

const driverOf = (logs: readonly Log[], config: Record<string, string> = {}) => {
  const driver: KafkaDriver & { asked: number } = {
    ...fakeDriver(logs.length),
    asked: 0,
    config: async () => ({
      'cleanup.policy': 'delete',
      'retention.ms': String(7 * DAY_MS),
      'retention.bytes': '-1',
      ...config,
    }),
    offsets: async (_, at) => {
      driver.asked++
      return logs.map(({ first, times }) => {
        if (at === 'earliest') return first
        if (at === 'latest') return first + times.length
        const found = times.findIndex((time) => time >= at.time)
        return first + (found < 0 ? times.length : found)
      })
    },
  }
  return driver
}

const since = (driver: KafkaDriver): Promise<number | undefined> =>
  retainedSince(driver, channel, fakeClock({ wall: NOW }))

describe('since when all is kept', () => {
  it.each([1, 20, 999, 60_000, DAY_MS, 30 * DAY_MS, 4_000 * DAY_MS])(
    'is found for a record of %d ms ago, a little late, by few questions',
    async (ago) => {
      const driver = driverOf([
        { first: 0, times: [NOW - 9_000 * DAY_MS] },
        { first: 5, times: [NOW - ago, NOW] },
        { first: 5, times: [NOW - 2 * ago - 1] },
      ])
      const found = (await since(driver)) as number
      expect(found).toBeGreaterThan(NOW - ago)
      expect(found - (NOW - ago)).toBeLessThanOrEqual(1 + (ago + 60_000) / 9_000)
      expect(driver.asked).toBeLessThan(30)
    },
  )

  it('nobody can say where the records have no times, or those of a clock far ahead', async () => {
    expect(await since(driverOf([{ first: 1, times: [-1, -1] }]))).toBeUndefined()
    expect(await since(driverOf([{ first: 1, times: [NOW + DAY_MS] }]))).toBeUndefined()
  })

  it('nobody can say who is not told how the topic is kept; other failures are told', async () => {
    const driver = driverOf([{ first: 0, times: [] }])
    expect(await since(driver)).toBe(-Infinity)
    const { config: _, ...without } = driver
    expect(await since(without)).toBeUndefined()
    const refusing = (code: 'FORBIDDEN' | 'CONNECTION_LOST') => ({
      ...driver,
      config: () => Promise.reject(createError({ code, transport: 'kafka' })),
    })
    expect(await since(refusing('FORBIDDEN'))).toBeUndefined()
    await expect(since(refusing('CONNECTION_LOST'))).rejects.toMatchObject({ code: 'CONNECTION_LOST' })
  })

  it('is looked for again where more is deleted meanwhile', async () => {
    const logs = [{ first: 1, times: [NOW - 3 * DAY_MS, NOW - 2 * DAY_MS, NOW] }]
    const driver = driverOf(logs)
    const { offsets } = driver
    let asked = 0
    driver.offsets = (topic, at) => {
      // The record that it began with is deleted between two questions.
      if (++asked === 9) logs[0] = { first: 2, times: [NOW - 2 * DAY_MS, NOW] }
      return offsets(topic, at)
    }
    const found = (await since(driver)) as number
    expect(found).toBeGreaterThan(NOW - 2 * DAY_MS)
    expect(found).toBeLessThan(NOW - 2 * DAY_MS + 60_000)
  })
})
