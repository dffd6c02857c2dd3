// UUIDs of version 7: of the clock's time, and never the same twice.
import { expect, test } from 'vitest'
import { uuidSource, uuidV7 } from '../../src/core/uuid.ts'
import { fakeClock } from '../../src/testing/fake-clock.ts'

test('has the form of RFC 9562 and the time of the clock', () => {
  const clock = fakeClock({ wall: 0x0123_4567_89ab })
  expect(uuidV7(clock)).toMatch(/^01234567-89ab-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/)
})

test('sorts by time', async () => {
  const clock = fakeClock()
  const made: string[] = []
  for (let i = 0; i < 100; i++) {
    made.push(uuidV7(clock))
    await clock.advance(1)
  }
  expect([...made].sort()).toEqual(made)
})

test('is never made twice within one millisecond', () => {
  const clock = fakeClock()
  expect(new Set(Array.from({ length: 50_000 }, () => uuidV7(clock))).size).toBe(50_000)
})

test('a source of many follows the clock from millisecond to millisecond', async () => {
  const clock = fakeClock({ wall: 0x0123_4567_89ab })
  const next = uuidSource(clock)
  expect(next().slice(0, 15)).toBe('01234567-89ab-7')
  expect(next().slice(0, 15)).toBe('01234567-89ab-7')
  await clock.advance(1)
  expect(next().slice(0, 15)).toBe('01234567-89ac-7')
  expect(new Set(Array.from({ length: 1_000 }, next)).size).toBe(1_000)
})
