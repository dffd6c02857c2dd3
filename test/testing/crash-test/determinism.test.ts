// A run that goes another way when it is run again cannot be shrunk or seen again: it is told so, and where it begins.
import { describe, expect, it } from 'vitest'
import { type CrashService, type CrashWorld, crashTest } from '../../../src/testing/crash-test/index.ts'

const told = async (start: (own: CrashService) => Promise<void> | void): Promise<string> => {
  const system = (world: CrashWorld): void => world.service('shop', start)
  return crashTest(system, () => {}, { schedules: 20 }).then(
    () => 'nothing',
    (error: { code?: string; message: string }) => error.message.replace(`[${error.code}]`, `${error.code}:`),
  )
}

describe('a system that is not the same when it is run again', () => {
  it('by real chance', async () => {
    const message = await told(async (own) => {
      await own.step('first', () => undefined)
      await own.sleep(Math.random() * 1_000)
      await own.step('second', () => undefined)
    })
    expect(message).toMatch(/^PROGRAMMING_ERROR: crash test is not the same when it is run again/)
    expect(message).toMatch(/step 2 was "shop second 1 at [\d.]+ ms" the first time and "shop second 1 at [\d.]+ ms"/)
    expect(message).toContain('own.random')
  })

  it('by what is kept outside', async () => {
    let runs = 0
    const message = await told(async (own) => {
      if (runs++ === 0) await own.step('only once', () => undefined)
    })
    expect(message).toMatch(/step 1 was "shop only once 1 at 1 ms" the first time and "nothing more" the second time/)
  })

  it('by real time', async () => {
    const message = await told(async (own) => {
      await own.sleep(1 + performance.now())
      await own.step('after a while', () => undefined)
    })
    expect(message).toMatch(/^PROGRAMMING_ERROR: crash test is not the same when it is run again/)
    expect(message).toMatch(/step 1 was "shop after a while 1 at [\d.]+ ms" the first time/)
  })

  it('by an invariant that goes by something else than the facts', async () => {
    let asked = 0
    const system = (world: CrashWorld): void => world.service('shop', () => {})
    const moody = (): void => {
      if (++asked > 1) throw new Error('not today')
    }
    await expect(crashTest(system, moody)).rejects.toThrow(
      /the invariant held the first time only \(Error: not today\)/,
    )
  })

  it('is not one that draws its chance from the run', async () => {
    const message = await told(async (own) => {
      await own.sleep(own.random() * 1_000)
      await own.step(own.newId(), () => undefined)
    })
    expect(message).toBe('nothing')
  })
})
