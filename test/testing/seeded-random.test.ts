import { expect, test } from 'vitest'
import { seededRandom } from '../../src/testing/seeded-random.ts'

test('the same seed gives the same numbers, another seed others', () => {
  const [a, b, c] = [seededRandom(7), seededRandom(7), seededRandom(8)]
  const first = Array.from({ length: 100 }, a)
  expect(Array.from({ length: 100 }, b)).toEqual(first)
  expect(Array.from({ length: 100 }, c)).not.toEqual(first)
})

test('numbers are from 0 to less than 1 and spread evenly', () => {
  const random = seededRandom(1)
  const counts = new Array<number>(10).fill(0)
  for (let i = 0; i < 20_000; i++) {
    const number = random()
    expect(number >= 0 && number < 1).toBe(true)
    counts[Math.floor(number * 10)]!++
  }
  for (const count of counts) expect(Math.abs(count - 2_000)).toBeLessThan(200)
})
