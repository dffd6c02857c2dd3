// Wait queues: never too short, a little too long at most, and few of them.
import { expect, it } from 'vitest'
import { waitFor } from '../../../src/adapters/rabbitmq/waiting.ts'

it('rounds short delays up by an eighth at most', () => {
  for (let ms = 1; ms <= 8_000; ms += 7) {
    const { ttlMs, early } = waitFor(ms)
    expect(early).toBe(false)
    expect(ttlMs).toBeGreaterThanOrEqual(ms)
    expect(ttlMs).toBeLessThanOrEqual(Math.max(ms * 1.125, 16) + 1)
  }
})

it('rounds long delays down, so that the rest is waited for again', () => {
  for (const ms of [8_001, 10_000, 3_600_000, 86_400_000, 2 ** 31 - 1]) {
    const { ttlMs, early } = waitFor(ms)
    expect(ttlMs).toBeLessThanOrEqual(ms)
    expect(ttlMs).toBeGreaterThan(ms * 0.66)
    expect(early).toBe(ttlMs < ms)
  }
})

it('comes to an end within a second of the time, in few steps', () => {
  for (const delay of [9_999, 123_456, 86_400_001, 2 ** 31 - 1]) {
    let waited = 0
    let steps = 0
    while (waited < delay) {
      waited += waitFor(delay - waited).ttlMs
      steps++
    }
    expect(waited - delay).toBeLessThanOrEqual(1_000)
    expect(steps).toBeLessThan(20)
  }
})

it('uses few queues for all delays', () => {
  const queues = new Set<number>()
  for (let ms = 1; ms < 2 ** 31; ms = Math.ceil(ms * 1.01)) queues.add(waitFor(ms).ttlMs)
  expect(queues.size).toBeLessThan(120)
})
