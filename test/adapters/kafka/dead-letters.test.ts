// What is given up and put back is the record that it was: null and empty are not the same, for a compacted topic.
import { expect, it } from 'vitest'
import { deadRecord, type KeptLetter, redriven } from '../../../src/adapters/kafka/dead-letters.ts'
import type { KafkaRecord } from '../../../src/adapters/kafka/driver.ts'
import type { Entry } from '../../../src/adapters/kafka/lanes/partition.ts'
import { envelopeOf } from '../../../src/adapters/kafka/wire.ts'
import { at } from './fake-driver.ts'

const event = { ce_specversion: '1.0', ce_id: '1', ce_type: 't', ce_source: '/s' }

it.each([
  ['null', null, event],
  ['empty, without a content type', Buffer.alloc(0), event],
  ['empty, of a type', Buffer.alloc(0), { ...event, 'content-type': 'text/plain' }],
  ['not empty', Buffer.from('x'), event],
])('a value that is %s', (_, value, headers) => {
  const record: KafkaRecord = { offset: 3, key: Buffer.from('k'), value, headers, timestamp: 0 }
  const entry = {
    lane: { at: at(0) },
    offset: 3,
    record,
    envelope: envelopeOf(record, 'orders', 0),
  } as unknown as Entry
  const dead = deadRecord('orders.g.dead', entry, 'why', 1)
  // A letter without a value would be the end of it.
  expect(dead.value).not.toBeNull()
  const kept: KafkaRecord = { ...dead, offset: 0, timestamp: 1 }
  const back = redriven({ record: kept, envelope: entry.envelope } as KeptLetter)
  expect(back.value === null).toBe(value === null)
  expect(Buffer.from(back.value ?? [])).toEqual(Buffer.from(value ?? []))
  expect(back.headers).toEqual({ ...headers, ce_partitionkey: 'k', 'fairlead-redriven': '1' })
})
