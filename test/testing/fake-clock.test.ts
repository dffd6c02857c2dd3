import fc from 'fast-check'
import { describe, expect, test, vi } from 'vitest'
import { sleep } from '../../src/core/clock.ts'
import { fakeClock } from '../../src/testing/fake-clock.ts'

describe('fakeClock', () => {
  test('stands still until it is moved', async () => {
    const clock = fakeClock({ now: 100, wall: 5_000 })
    expect([clock.now(), clock.wallNow()]).toEqual([100, 5_000])
    await clock.advance(2.5)
    expect([clock.now(), clock.wallNow()]).toEqual([102.5, 5_002.5])
  })

  test('fires in order of time, then in order of setting, each at its own instant', async () => {
    const clock = fakeClock()
    const fired: string[] = []
    const note = (what: string): void => void fired.push(`${what}@${clock.now()}`)
    clock.setTimer(note, 30, 'c')
    clock.setTimer(note, 10, 'a')
    clock.setTimer(note, 10, 'b')
    clock.setTimer(note, 31, 'late')
    await clock.advance(30)
    expect(fired).toEqual(['a@10', 'b@10', 'c@30'])
    expect(clock.pending).toBe(1)
    await clock.advance(1)
    expect(fired.at(-1)).toBe('late@31')
    expect(clock.pending).toBe(0)
  })

  test('promises settle between timers, however long the chain, and what they set fires on the way', async () => {
    const clock = fakeClock()
    const seen: number[] = []
    const worker = async (): Promise<void> => {
      for (let round = 0; round < 3; round++) {
        await sleep(clock, 10)
        for (let turn = 0; turn < 200; turn++) await undefined
        seen.push(clock.now())
      }
    }
    const done = worker()
    clock.setTimer((): void => void seen.push(-clock.now()), 15, undefined)
    await clock.advance(30)
    await done
    expect(seen).toEqual([10, -15, 20, 30])
  })

  test('a timer of 0 ms does not fire by itself, and fires in advance(0)', async () => {
    const clock = fakeClock({ now: 7 })
    const fire = vi.fn()
    clock.setTimer(fire, 0, 'x')
    await new Promise((resolve) => setImmediate(resolve))
    expect(fire).not.toHaveBeenCalled()
    await clock.advance(0)
    expect(fire).toHaveBeenCalledExactlyOnceWith('x')
    expect(clock.now()).toBe(7)
  })

  test('a cleared timer does not fire; clearing twice, or after it fired, does nothing', async () => {
    const clock = fakeClock()
    const fire = vi.fn()
    const cleared = clock.setTimer(fire, 5, undefined)
    const fired = clock.setTimer(() => {}, 5, undefined)
    clock.clearTimer(cleared)
    clock.clearTimer(cleared)
    clock.clearTimer(undefined)
    expect(clock.pending).toBe(1)
    await clock.advance(5)
    clock.clearTimer(fired)
    expect(fire).not.toHaveBeenCalled()
    expect(clock.pending).toBe(0)
  })

  test('one timer may clear another that is due at the same instant', async () => {
    const clock = fakeClock()
    const fire = vi.fn()
    clock.setTimer(() => clock.clearTimer(second), 5, undefined)
    const second = clock.setTimer(fire, 5, undefined)
    await clock.advance(5)
    expect(fire).not.toHaveBeenCalled()
  })

  test('runAll runs to the end, leaves housekeeping, and gives up where there is no end', async () => {
    const clock = fakeClock()
    const fire = vi.fn()
    clock.setTimer(() => clock.setTimer(fire, 60_000, undefined), 1_000, undefined)
    clock.unref(clock.setTimer(() => {}, 1e6, undefined))
    await clock.runAll()
    expect(fire).toHaveBeenCalledOnce()
    expect([clock.now(), clock.pending]).toEqual([61_000, 1])
    const again = (): void => void clock.setTimer(again, 1, undefined)
    again()
    await expect(clock.runAll(50)).rejects.toThrow('50 timers fired')
  })

  test('complains of times that are none, and hands on what a callback throws', async () => {
    const clock = fakeClock()
    expect(() => clock.setTimer(() => {}, Number.NaN, undefined)).toThrow(RangeError)
    await expect(clock.advance(-1)).rejects.toThrow(RangeError)
    await expect(clock.advance(Infinity)).rejects.toThrow(RangeError)
    clock.setTimer(
      () => {
        throw new Error('boom')
      },
      1,
      undefined,
    )
    await expect(clock.advance(1)).rejects.toThrow('boom')
  })

  test('a longer timer than Node has is cut as by the real clock', async () => {
    const clock = fakeClock()
    const fire = vi.fn()
    clock.setTimer(fire, Infinity, undefined)
    await clock.advance(2 ** 31 - 1)
    expect(fire).toHaveBeenCalledOnce()
  })

  test('agrees with sorting, under random setting and clearing', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.record({ ms: fc.nat({ max: 20 }), clear: fc.boolean() }), { maxLength: 300 }),
        async (plan) => {
          const clock = fakeClock()
          const fired: number[] = []
          const timers = plan.map(({ ms }, index) =>
            clock.setTimer((which: number) => void fired.push(which), ms, index),
          )
          plan.forEach(({ clear }, index) => {
            if (clear) clock.clearTimer(timers[index])
          })
          await clock.advance(20)
          const expected = plan
            .map((timer, index) => ({ ...timer, index }))
            .filter(({ clear }) => !clear)
            .sort((a, b) => a.ms - b.ms || a.index - b.index)
            .map(({ index }) => index)
          expect(fired).toEqual(expected)
          expect(clock.pending).toBe(0)
        },
      ),
      { numRuns: 40, seed: 1 },
    )
  })
})
