import { describe, expect, it } from 'vitest'
import type { KafkaRecord } from '../../../src/adapters/kafka/driver.ts'
import { envelopeOf, recordOf } from '../../../src/adapters/kafka/wire.ts'
import type { Envelope } from '../../../src/core/message.ts'

const envelope: Envelope = {
  id: 'e-1',
  key: 'customer späß',
  notBefore: 1_767_225_600_000,
  expiresAt: 4_102_444_800_123,
  attributes: { specversion: '1.0', type: 'orders.placed', source: '/orders', datacontenttype: 'application/json' },
  headers: { 'x-tenant-id': 'späß' },
  body: Buffer.from('{"amount":1}'),
}
const read = (record: Partial<KafkaRecord>): Envelope =>
  envelopeOf({ offset: 7, key: null, value: null, headers: {}, timestamp: 0, ...record }, 'orders', 3)

describe('a message as a record', () => {
  it('is the CloudEvents binding in binary mode', () => {
    const { key, value, headers } = recordOf(envelope)
    expect(Buffer.from(key as Uint8Array).toString()).toBe('customer späß')
    expect(value).toBe(envelope.body)
    expect(headers).toEqual({
      ce_id: 'e-1',
      ce_specversion: '1.0',
      ce_type: 'orders.placed',
      ce_source: '/orders',
      ce_partitionkey: 'customer späß',
      ce_notbefore: '2026-01-01T00:00:00.000Z',
      ce_expirytime: '2100-01-01T00:00:00.123Z',
      'content-type': 'application/json',
      'x-message-x-tenant-id': 'späß',
    })
  })

  it('comes back as it went', () => {
    expect(read(recordOf(envelope))).toEqual({ ...envelope, priority: undefined })
  })

  it('without data is a tombstone of its key, and comes back without data', () => {
    const { datacontenttype: _, ...attributes } = envelope.attributes
    const gone = { ...envelope, attributes, body: new Uint8Array(0) }
    const record = recordOf(gone)
    expect([record.value, Buffer.from(record.key as Uint8Array).toString()]).toEqual([null, 'customer späß'])
    expect(read(record)).toEqual({ ...gone, priority: undefined })
    // Empty data of a type are data.
    expect(recordOf({ ...envelope, body: new Uint8Array(0) }).value).toHaveLength(0)
  })

  it('goes in structured mode where its content would be read as an event', () => {
    const odd = { ...envelope, attributes: { ...envelope.attributes, datacontenttype: 'application/cloudevents+json' } }
    const record = recordOf(odd)
    expect(record.headers).toEqual({ 'content-type': 'application/cloudevents+json; charset=UTF-8' })
    const back = read(record)
    expect([back.id, back.key, Buffer.from(back.body).toString()]).toEqual(['e-1', 'customer späß', '{"amount":1}'])
  })
})

describe('records of others', () => {
  const event = { specversion: '1.0', type: 't', source: '/s', data: { a: 1 } }

  it('in structured mode are read, with the key of the record and an id of their place', () => {
    const found = read({
      key: Buffer.from('k'),
      value: Buffer.from(JSON.stringify(event)),
      headers: { 'Content-Type': 'application/cloudevents+json' },
    })
    expect(found).toMatchObject({ id: 'orders/3/7', key: 'k', attributes: { type: 't' } })
    expect(JSON.parse(Buffer.from(found.body).toString())).toEqual({ a: 1 })
  })

  it('in binary mode without an id get one of their place', () => {
    expect(read({ headers: { ce_type: 't', ce_source: '/s' }, value: Buffer.from('x') }).id).toBe('orders/3/7')
  })

  it('that are no events come as what cannot be decoded, and stop nothing', () => {
    for (const record of [
      { value: Buffer.from('plain') },
      { value: null, key: Buffer.from('gone') },
      { value: Buffer.from('{'), headers: { 'content-type': 'application/cloudevents+json' } },
      { value: Buffer.from('null'), headers: { 'content-type': 'application/cloudevents+json' } },
      { headers: { ce_id: '1', ce_type: 't', ce_source: '/s', ce_specversion: '2.0' } },
    ])
      expect(read(record)).toMatchObject({ id: 'orders/3/7', attributes: {} })
  })

  it('keep headers that mean nothing to us', () => {
    expect(read({ headers: { ce_type: 't', ce_source: '/s', 'X-Trace': 'a' } }).headers).toEqual({ 'x-trace': 'a' })
  })
})
