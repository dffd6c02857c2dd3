import { describe, expect, it } from 'vitest'
import { againOnConflict } from '../../src/core/conflicts.ts'
import { createError } from '../../src/errors/classes.ts'
import { fakeClock } from '../../src/testing/fake-clock.ts'

const own = { service: 'billing', operation: 'placed' }

async function runs(error: unknown): Promise<number> {
  let count = 0
  const work = async (): Promise<void> => {
    if (++count === 1) throw error
  }
  const clock = fakeClock()
  const done = againOnConflict(work, { clock, random: () => 0, endsAt: Infinity, own }).catch((thrown) => {
    expect(thrown).toBe(error)
  })
  await clock.advance(0)
  await done
  return count
}

describe('a transaction is run again', () => {
  it.each([
    ['after a conflict', createError({ code: 'TRANSACTION_CONFLICT' })],
    ['after one that was given our names on its way', createError({ code: 'TRANSACTION_CONFLICT', ...own })],
    ['after what a driver says', Object.assign(new Error('deadlock'), { code: '40P01' })],
    ['with a wrapper around it', new Error('query failed', { cause: Object.assign(new Error(), { errno: 1213 }) })],
  ])('%s', async (_, error) => {
    expect(await runs(error)).toBe(2)
  })

  it.each([
    ['a conflict of another service', createError({ code: 'TRANSACTION_CONFLICT', service: 'payment' })],
    ['one of another operation', createError({ code: 'TRANSACTION_CONFLICT', ...own, operation: 'charge' })],
    ['one of which nobody knows what it did', createError({ code: 'TRANSACTION_CONFLICT', effect: 'unknown' })],
    [
      'what lies below a failure of another service',
      createError({ code: 'CALL_FAILED', service: 'payment', cause: Object.assign(new Error(), { code: '40001' }) }),
    ],
    [
      'also inside a wrapper',
      new Error('charging failed', { cause: createError({ code: 'TRANSACTION_CONFLICT', service: 'payment' }) }),
    ],
    ['anything else', new Error('no')],
  ])('not after %s', async (_, error) => {
    expect(await runs(error)).toBe(1)
  })
})
