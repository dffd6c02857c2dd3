// Silence is told by several looks: what came while the process stood still is seen before it is called silence.
import { fakeClock } from 'fairlead/testing'
import { expect, it } from 'vitest'
import type { Clock } from '../../src/core/clock.ts'
import { afterSilence } from '../../src/core/silence.ts'

it('rings when the time is over, and not before', async () => {
  const clock = fakeClock()
  let rang = 0
  afterSilence(clock, 5_000, () => rang++)
  await clock.advance(4_999)
  expect(rang).toBe(0)
  await clock.advance(1)
  expect(rang).toBe(1)
  await clock.advance(20_000)
  expect(rang).toBe(1)
})

it('does not ring once it was ended, at whatever look', async () => {
  for (const afterMs of [0, 1_300, 4_900]) {
    const clock = fakeClock()
    let rang = 0
    const end = afterSilence(clock, 5_000, () => rang++)
    await clock.advance(afterMs)
    end()
    await clock.advance(20_000)
    expect(rang).toBe(0)
  }
})

it('takes a process that stood still for a quarter of the time at most', () => {
  // Each timer is called back by hand, as late as the process stood still.
  const due: (() => void)[] = []
  const delays: number[] = []
  const clock = {
    setTimer: (callback: (arg: undefined) => void, ms: number) => {
      delays.push(ms)
      due.push(() => callback(undefined))
    },
    clearTimer: () => undefined,
  } as unknown as Clock
  let rang = 0
  afterSilence(clock, 4_000, () => rang++)
  // An hour late: still three looks are to come.
  for (let look = 1; look <= 4; look++) {
    expect(rang).toBe(0)
    due.shift()?.()
  }
  expect(rang).toBe(1)
  expect(delays).toEqual([1_000, 1_000, 1_000, 1_000])
})
