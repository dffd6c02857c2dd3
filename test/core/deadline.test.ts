import { expect, test } from 'vitest'
import { deadlineAt, deadlineIn } from '../../src/core/deadline.ts'
import { fakeClock } from '../../src/testing/fake-clock.ts'

test('a deadline is an instant: what remains of it shrinks, and goes below 0', async () => {
  const clock = fakeClock({ now: 1_000 })
  const deadline = deadlineIn(300, clock)
  expect([deadline.at, deadline.remainingMs()]).toEqual([1_300, 300])
  await clock.advance(400)
  expect([deadline.at, deadline.remainingMs()]).toEqual([1_300, -100])
})

test('an inherited deadline that is sooner wins; a later one does not', () => {
  const clock = fakeClock()
  const inherited = deadlineAt(500, clock)
  expect(deadlineIn(2_000, clock, inherited)).toBe(inherited)
  expect(deadlineIn(500, clock, inherited)).toBe(inherited)
  expect(deadlineIn(100, clock, inherited).at).toBe(100)
})

test('no deadline never comes', async () => {
  const clock = fakeClock()
  const never = deadlineAt(Infinity, clock)
  await clock.advance(1e9)
  expect(never.remainingMs()).toBe(Infinity)
  expect(deadlineIn(100, clock, never).at).toBe(1e9 + 100)
})
