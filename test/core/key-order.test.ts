import { expect, it } from 'vitest'
import type { SendResult } from '../../src/core/contracts/transport.ts'
import { inKeyOrder } from '../../src/core/key-order.ts'
import type { Envelope } from '../../src/core/message.ts'

const envelope = (id: string, key?: string): Envelope => ({
  id,
  ...(key === undefined ? {} : { key }),
  attributes: {},
  headers: {},
  body: Buffer.of(),
})

it('sends none that stands behind one of its key that could not be sent, and all others', () => {
  const asked: string[] = []
  const results = inKeyOrder(
    [
      envelope('a1', 'a'),
      envelope('a2 no', 'a'),
      envelope('b1', 'b'),
      envelope('a3', 'a'),
      envelope('1 no'),
      envelope('2'),
      envelope('a4 no', 'a'),
      envelope('b2', 'b'),
    ],
    ({ id }, at): SendResult => {
      asked.push(`${at} ${id}`)
      return id.endsWith('no') ? { status: 'failed', error: `not ${id}` } : { status: 'accepted' }
    },
    (message, { ahead }) => `${ahead}: ${message}`,
  )
  expect(asked).toEqual(['0 a1', '1 a2 no', '2 b1', '4 1 no', '5 2', '7 b2'])
  const behind = { status: 'failed', error: 'a2 no: it is of key a, behind a2 no, which could not be sent' }
  expect(results).toEqual([
    { status: 'accepted' },
    { status: 'failed', error: 'not a2 no' },
    { status: 'accepted' },
    behind,
    { status: 'failed', error: 'not 1 no' },
    { status: 'accepted' },
    behind,
    { status: 'accepted' },
  ])
})
