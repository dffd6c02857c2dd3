import { expect, it } from 'vitest'
import { endsWithin } from '../../src/core/patience.ts'
import { fakeClock } from '../../src/testing/fake-clock.ts'

it('says that it ended, and leaves no timer', async () => {
  const clock = fakeClock()
  expect(await endsWithin(Promise.resolve('anything'), 1_000, clock)).toBe(true)
  await clock.advance(0)
  expect(clock.pending).toBe(0)
})

it('gives up at the bound and not before, on the injected clock', async () => {
  const clock = fakeClock()
  let ended: boolean | undefined
  void endsWithin(new Promise(() => {}), 1_000, clock).then((value) => {
    ended = value
  })
  await clock.advance(999)
  expect(ended).toBeUndefined()
  await clock.advance(1)
  expect(ended).toBe(false)
  expect(clock.pending).toBe(0)
})

it('rejects as the work does, and swallows what fails after it was given up', async () => {
  const clock = fakeClock()
  await expect(endsWithin(Promise.reject(new Error('no')), 1_000, clock)).rejects.toThrow('no')
  let fail = (_: Error): void => {}
  const late = endsWithin(new Promise((_, reject) => (fail = reject)), 1_000, clock)
  await clock.advance(1_000)
  expect(await late).toBe(false)
  fail(new Error('too late to matter'))
  await clock.advance(0)
})
