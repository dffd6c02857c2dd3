// After a crash: one message at a time, and more as they prove harmless.
import { expect, it } from 'vitest'
import { Caution } from '../../../src/adapters/rabbitmq/caution.ts'
import { fakeClock } from '../../../src/testing/index.ts'

const make = (wanted = true) => {
  const clock = fakeClock()
  let told = 0
  const caution = new Caution(clock, wanted, () => void told++)
  caution.begin()
  return { clock, caution, told: () => told }
}

it('takes one at first, and all once that one is new', () => {
  const { caution, told } = make()
  expect(caution.room(0)).toBe(1)
  expect(caution.room(1)).toBe(0)
  caution.saw(false)
  expect(caution.room(1_000)).toBe(Infinity)
  expect(told()).toBe(1)
})

it('takes one at a time as long as what comes has come back', () => {
  const { caution, clock } = make()
  for (let times = 0; times < 5; times++) {
    caution.saw(true)
    expect(caution.room(1)).toBe(0)
    caution.survived()
    expect(caution.room(0)).toBe(1)
  }
  caution.saw(false)
  expect(caution.room(1_000)).toBe(Infinity)
  expect(clock.pending).toBe(0)
})

it('takes a process that lives on for one that survived', async () => {
  const { caution, clock } = make()
  caution.saw(true)
  await clock.advance(999)
  expect(caution.room(1)).toBe(0)
  await clock.advance(1)
  expect(caution.room(1)).toBe(1)
  caution.end()
  expect(clock.pending).toBe(0)
})

it('takes all where it is not wanted', () => {
  expect(make(false).caution.room(5)).toBe(Infinity)
})
