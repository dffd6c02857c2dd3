import { expect, test, vi } from 'vitest'
import { closable } from '../../src/core/lifecycle.ts'

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
