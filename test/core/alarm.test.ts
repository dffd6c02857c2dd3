import { expect, test } from 'vitest'
import { Alarm, type Bound } from '../../src/core/alarm.ts'
import type { Clock } from '../../src/core/clock.ts'
import { fakeClock } from '../../src/testing/fake-clock.ts'

function bound(name: string, told: string[], then: () => void = () => {}): Bound {
  return {
    nextBound: undefined,
    dueAt: Infinity,
    expire() {
      told.push(name)
      then()
    },
  }
}

function counted(clock: Clock): { readonly clock: Clock; set: number; cleared: number } {
  const counts = {
    set: 0,
    cleared: 0,
    clock: {
      ...clock,
      now: () => clock.now(),
      setTimer: (callback, ms, arg) => {
        counts.set++
        return clock.setTimer(callback, ms, arg)
      },
      clearTimer: (timer) => {
        counts.cleared++
        clock.clearTimer(timer)
      },
    } satisfies Clock as Clock,
  }
  return counts
}

function addIn(alarm: Alarm, clock: Clock, each: Bound, ms: number): void {
  alarm.add(each, clock.now() + ms, ms)
}

test('tells each bound at its time, whatever the order in which they were added', async () => {
  const clock = fakeClock()
  const told: string[] = []
  const alarm = new Alarm(clock)
  addIn(alarm, clock, bound('late', told), 300)
  addIn(alarm, clock, bound('early', told), 100)
  addIn(alarm, clock, bound('between', told), 200)
  await clock.advance(99)
  expect(told).toEqual([])
  await clock.advance(1)
  expect(told).toEqual(['early'])
  await clock.advance(100)
  expect(told).toEqual(['early', 'between'])
  await clock.advance(100)
  expect(told).toEqual(['early', 'between', 'late'])
})

test('sets one timer for an attempt and the deadline behind it, and clears it with the last of them', () => {
  const counts = counted(fakeClock())
  const alarm = new Alarm(counts.clock)
  const [attempt, deadline] = [bound('attempt', []), bound('deadline', [])]
  addIn(alarm, counts.clock, attempt, 2_000)
  addIn(alarm, counts.clock, deadline, 5_000)
  alarm.remove(attempt)
  expect(counts).toMatchObject({ set: 1, cleared: 0 })
  alarm.remove(deadline)
  expect(counts).toMatchObject({ set: 1, cleared: 1 })
})

test('a timer that rings for what is over is set anew for the rest', async () => {
  const clock = fakeClock()
  const told: string[] = []
  const alarm = new Alarm(clock)
  const attempt = bound('attempt', told)
  addIn(alarm, clock, attempt, 100)
  addIn(alarm, clock, bound('deadline', told), 250)
  alarm.remove(attempt)
  await clock.advance(249)
  expect(told).toEqual([])
  await clock.advance(1)
  expect(told).toEqual(['deadline'])
})

test('of two at one instant the one that was added first is told first, and can take the other off', async () => {
  const clock = fakeClock()
  const told: string[] = []
  const alarm = new Alarm(clock)
  const outer = bound('outer', told)
  addIn(
    alarm,
    clock,
    bound('inner', told, () => Promise.resolve().then(() => alarm.remove(outer))),
    100,
  )
  addIn(alarm, clock, outer, 100)
  await clock.advance(1_000)
  expect(told).toEqual(['inner'])
})

test('what was told is told once, and may be added again', async () => {
  const clock = fakeClock()
  const told: string[] = []
  const alarm = new Alarm(clock)
  let rounds = 0
  const each: Bound = bound('round', told, () => {
    if (++rounds < 3) addIn(alarm, clock, each, 10)
  })
  addIn(alarm, clock, each, 10)
  await clock.advance(1_000)
  expect(told).toEqual(['round', 'round', 'round'])
})

test('to take off what is not waiting does nothing', () => {
  const counts = counted(fakeClock())
  const alarm = new Alarm(counts.clock)
  alarm.remove(bound('never added', []))
  const waiting = bound('waiting', [])
  addIn(alarm, counts.clock, waiting, 10)
  alarm.remove(bound('another', []))
  expect(counts).toMatchObject({ set: 1, cleared: 0 })
  alarm.remove(waiting)
  alarm.remove(waiting)
  expect(counts).toMatchObject({ set: 1, cleared: 1 })
})
