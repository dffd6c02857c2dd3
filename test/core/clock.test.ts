import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest'
import { nextTurn, sleep, systemClock, systemRandom } from '../../src/core/clock.ts'
import { fakeClock } from '../../src/testing/fake-clock.ts'

describe('systemClock', () => {
  beforeEach(() => void vi.useFakeTimers())
  afterEach(() => void vi.useRealTimers())

  test('calls back once with the argument that it was given', () => {
    const fire = vi.fn()
    systemClock.setTimer(fire, 50, 'argument')
    vi.advanceTimersByTime(49)
    expect(fire).not.toHaveBeenCalled()
    vi.advanceTimersByTime(1_000)
    expect(fire).toHaveBeenCalledExactlyOnceWith('argument')
  })

  test('a cleared timer does not fire', () => {
    const fire = vi.fn()
    systemClock.clearTimer(systemClock.setTimer(fire, 50, undefined))
    vi.advanceTimersByTime(100)
    expect(fire).not.toHaveBeenCalled()
  })

  test('a timer longer than Node can hold is not run at once', () => {
    const fire = vi.fn()
    systemClock.setTimer(fire, 2 ** 40, undefined)
    vi.advanceTimersByTime(1_000)
    expect(fire).not.toHaveBeenCalled()
  })

  test('measures on a scale of its own, and tells the date by the wall', () => {
    vi.setSystemTime(1_767_225_600_000)
    const began = systemClock.now()
    vi.advanceTimersByTime(250)
    expect(systemClock.now() - began).toBe(250)
    expect(systemClock.wallNow()).toBe(1_767_225_600_250)
  })
})

test('a timer that is let go does not keep the process up', () => {
  const timer = systemClock.setTimer(() => undefined, 60_000, undefined)
  expect((timer as NodeJS.Timeout).hasRef()).toBe(true)
  systemClock.unref(timer)
  expect((timer as NodeJS.Timeout).hasRef()).toBe(false)
  systemClock.clearTimer(timer)
})

test('systemRandom gives numbers from 0 to less than 1', () => {
  for (let turn = 0; turn < 1_000; turn++) {
    const drawn = systemRandom()
    expect(drawn >= 0 && drawn < 1).toBe(true)
  }
})

describe('nextTurn', () => {
  test('goes on after promises have settled, with the argument that it was given', async () => {
    const seen: string[] = []
    const ended = new Promise<void>((resolve) => {
      nextTurn((what) => {
        seen.push(what)
        resolve()
      }, 'the next turn')
    })
    await Promise.resolve().then(() => seen.push('a promise'))
    await ended
    expect(seen).toEqual(['a promise', 'the next turn'])
  })
})

describe('sleep', () => {
  test('waits on the clock that it is given', async () => {
    const clock = fakeClock()
    let awake = false
    sleep(clock, 100).then(() => {
      awake = true
    })
    await clock.advance(99)
    expect(awake).toBe(false)
    await clock.advance(1)
    expect(awake).toBe(true)
  })

  test('is over at once when its signal is aborted, and leaves neither timer nor listener', async () => {
    const clock = fakeClock()
    const controller = new AbortController()
    const remove = vi.spyOn(controller.signal, 'removeEventListener')
    const asleep = sleep(clock, 100, controller.signal)
    controller.abort('enough')
    await expect(asleep).rejects.toBe('enough')
    expect(clock.pending).toBe(0)
    await expect(sleep(clock, 100, controller.signal)).rejects.toBe('enough')
    expect(clock.pending).toBe(0)

    const other = new AbortController()
    const off = vi.spyOn(other.signal, 'removeEventListener')
    const whole = sleep(clock, 10, other.signal)
    await clock.advance(10)
    await whole
    expect(off).toHaveBeenCalledTimes(1)
    expect(remove).not.toHaveBeenCalled()
  })
})
