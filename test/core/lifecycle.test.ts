import { describe, expect, it, test, vi } from 'vitest'
import { closable, closeWithin } from '../../src/core/lifecycle.ts'

test('what has to be done at the end is done once, and all who close wait for it', async () => {
  let finish!: () => void
  const end = vi.fn(() => new Promise<void>((resolve) => (finish = resolve)))
  const thing = closable(end)
  const log: string[] = []
  const closings = [
    thing.close().then(() => log.push('close')),
    thing.close().then(() => log.push('again')),
    thing[Symbol.asyncDispose]().then(() => log.push('dispose')),
  ]
  await new Promise((resolve) => setImmediate(resolve))
  expect(log).toEqual([])
  finish()
  await Promise.all(closings)
  expect(log).toHaveLength(3)
  await thing.close()
  expect(end).toHaveBeenCalledTimes(1)
})

test('an end that fails fails for all who close', async () => {
  const thing = closable(async () => {
    throw new Error('stuck')
  })
  await expect(thing.close()).rejects.toThrow('stuck')
  await expect(thing[Symbol.asyncDispose]()).rejects.toThrow('stuck')
})

describe('closing within a time', () => {
  it('has one by default, and takes what is given', async () => {
    const within: number[] = []
    const close = async (ms: number): Promise<void> => void within.push(ms)
    await closeWithin({}, 30_000, close)
    await closeWithin({ withinMs: 0 }, 30_000, close)
    expect(within).toEqual([30_000, 0])
  })

  it.each([{ withinMs: -1 }, { withinMs: Number.NaN }, { within: 5 }])(
    'refuses %j, and closes nothing',
    async (wrong) => {
      let closed = false
      const closing = closeWithin(wrong, 30_000, async () => {
        closed = true
      })
      await expect(closing).rejects.toMatchObject({ code: 'INVALID_OPTIONS' })
      expect(closed).toBe(false)
    },
  )
})
