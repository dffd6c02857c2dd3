// CloudEvents as messages of AMQP 0-9-1: what is written, and what is made of messages of others.
import { describe, expect, it } from 'vitest'
import type { AmqpMessage, AmqpProperties } from '../../../src/adapters/rabbitmq/driver.ts'
import { again, countOf, deathOf, dueOf, fromAmqp, toAmqp, unwritable } from '../../../src/adapters/rabbitmq/wire.ts'
import type { Envelope } from '../../../src/core/message.ts'
import { toStructured } from '../../../src/messaging/cloudevents/index.ts'

const envelope: Envelope = {
  id: 'id-1',
  key: 'späß',
  priority: 3,
  notBefore: 1_800_000_000_000,
  expiresAt: 1_900_000_000_000,
  attributes: {
    specversion: '1.0',
    type: 'order.placed',
    source: '/orders',
    time: '2026-01-01T00:00:00.000Z',
    datacontenttype: 'application/json',
  },
  headers: { 'x-tenant-id': 'späß' },
  body: Buffer.from('{"a":12345678901234567890}'),
}

const message = (
  properties: AmqpProperties,
  body: Uint8Array = Buffer.from('x'),
  redelivered = false,
): AmqpMessage => ({
  deliveryTag: 1,
  redelivered,
  exchange: '',
  routingKey: 'q',
  properties,
  body,
})

describe('a message of AMQP', () => {
  it('carries an envelope there and back', () => {
    const { properties, body } = toAmqp(envelope)
    expect(fromAmqp(message(properties, body), 'q')).toEqual(envelope)
  })

  it('has attributes, type, id and content type where others look for them', () => {
    const { properties } = toAmqp(envelope)
    expect(properties).toMatchObject({
      contentType: 'application/json',
      // Without it some clients parse the body, and lose the long number.
      contentEncoding: 'utf-8',
      messageId: 'id-1',
      type: 'order.placed',
      persistent: true,
    })
    expect(properties.headers).toMatchObject({
      'cloudEvents:id': 'id-1',
      'cloudEvents:source': '/orders',
      'cloudEvents:partitionkey': 'späß',
      'cloudEvents:notbefore': '2027-01-15T08:00:00.000Z',
      'x-message-x-tenant-id': 'späß',
    })
    expect(properties.headers).not.toHaveProperty('cloudEvents:datacontenttype')
  })

  it('keeps what does not fit into a short string', () => {
    const long = {
      ...envelope,
      id: 'i'.repeat(300),
      attributes: { ...envelope.attributes, datacontenttype: `text/${'x'.repeat(300)}` },
    }
    const { properties, body } = toAmqp(long)
    expect(properties.messageId?.length).toBeLessThan(256)
    expect(properties.contentType).toBeUndefined()
    expect(fromAmqp(message(properties, body), 'q')).toEqual(long)
  })

  it('keeps compression apart from character sets', () => {
    const packed = { ...envelope, attributes: { ...envelope.attributes, contentencoding: 'gzip' } }
    const { properties, body } = toAmqp(packed)
    expect(properties.contentEncoding).toBe('gzip')
    expect(fromAmqp(message(properties, body), 'q').attributes['contentencoding']).toBe('gzip')
    expect(fromAmqp(message({ ...properties, contentEncoding: 'UTF-8' }, body), 'q').attributes).not.toHaveProperty(
      'contentencoding',
    )
    expect(
      toAmqp({
        ...envelope,
        attributes: { ...envelope.attributes, datacontenttype: 'text/plain' },
        body: Buffer.from([0xff]),
      }).properties.contentEncoding,
    ).toBe('binary')
  })

  it('refuses headers that fit into no frame', () => {
    expect(unwritable(envelope)).toBeUndefined()
    expect(unwritable({ ...envelope, headers: { large: 'x'.repeat(130_000) } })).toMatch(/one frame/)
    expect(unwritable({ ...envelope, headers: { ['n'.repeat(250)]: '' } })).toMatch(/too long/)
  })
})

describe('a message of somebody else', () => {
  it('is read with the other prefix, and with values that are no text', () => {
    const headers = {
      cloudEvents_id: 'a',
      cloudEvents_type: 't',
      cloudEvents_source: 's',
      cloudEvents_size: 7,
      cloudEvents_raw: Buffer.from('b'),
    }
    expect(fromAmqp(message({ headers }), 'q')).toMatchObject({
      id: 'a',
      attributes: { type: 't', source: 's', size: '7', raw: 'b' },
    })
  })

  it('is read in structured mode', () => {
    const body = Buffer.from(toStructured(envelope))
    const read = fromAmqp(message({ contentType: 'application/cloudevents+json; charset=utf-8' }, body), 'q')
    expect(read).toMatchObject({ id: 'id-1', key: 'späß', attributes: { type: 'order.placed' } })
    expect(Buffer.from(read.body).toString()).toBe('{"a":12345678901234567000}')
  })

  it('becomes an event of its properties where it says its type', () => {
    const properties = {
      type: 'order.placed',
      messageId: 'm',
      appId: 'shop',
      timestamp: 1_700_000_000,
      contentType: 'application/json',
      headers: { Tenant: 'a', 'x-death': [] },
    }
    expect(fromAmqp(message(properties), 'q')).toMatchObject({
      id: 'm',
      attributes: {
        specversion: '1.0',
        type: 'order.placed',
        source: 'shop',
        time: '2023-11-14T22:13:20.000Z',
        datacontenttype: 'application/json',
      },
      headers: { tenant: 'a' },
    })
    expect(fromAmqp(message({ type: 't' }), 'a queue').attributes['source']).toBe('/queues/a%20queue')
  })

  it('is handed on without attributes where it is no event, and never throws', () => {
    expect(fromAmqp(message({ messageId: 'm' }), 'q')).toMatchObject({ id: 'm', attributes: {} })
    expect(fromAmqp(message({ headers: { 'cloudEvents:id': 'a' } }), 'q').attributes).toEqual({})
    expect(
      fromAmqp(message({ headers: { 'cloudEvents:__proto__': 'a', 'cloudEvents:id': 'b' } }), 'q').attributes,
    ).toEqual({})
    expect(
      fromAmqp(message({ contentType: 'application/cloudevents+json' }, Buffer.from('{')), 'q').attributes,
    ).toEqual({})
  })
})

describe('a message that moves on', () => {
  it('says what is known of it, and no more of where it was', () => {
    const { properties, body } = toAmqp(envelope)
    const headers = {
      ...properties.headers,
      'x-delivery-count': 4,
      'x-death': [{ reason: 'rejected' }],
      'x-first-death-queue': 'q',
      'x-fairlead-due': '1',
      other: 'kept',
    }
    const moved = again(message({ ...properties, headers }, body), { 'x-fairlead-redeliveries': '5' })
    expect(moved.properties.headers).toEqual({ ...properties.headers, other: 'kept', 'x-fairlead-redeliveries': '5' })
    expect(countOf(message(moved.properties), true)).toBe(5)
    expect(countOf(message({ headers: { 'x-fairlead-redeliveries': '5', 'x-delivery-count': 2 } }), true)).toBe(7)
    // A queue that does not count says only that it was handed out before.
    expect(
      countOf(message({ headers: { 'x-fairlead-redeliveries': '5', 'x-delivery-count': 2 } }, undefined, true), false),
    ).toBe(6)
    expect(dueOf(message({ headers: { 'x-fairlead-due': '17' } }))).toBe(17)
  })

  it('keeps the reason of a verdict, and says that of the broker', () => {
    expect(deathOf(message({ headers: { 'x-fairlead-dead-reason': 'bad', 'x-fairlead-dead-at': '17' } }))).toEqual({
      reason: 'bad',
      at: 17,
    })
    const byBroker = { headers: { 'x-death': [{ reason: 'delivery_limit', time: 1_700_000_000 }] } }
    expect(deathOf(message(byBroker))).toEqual({
      reason: 'DELIVERY_LIMIT: it came back too often',
      at: 1_700_000_000_000,
    })
    expect(deathOf(message({})).reason).toMatch(/UNKNOWN/)
  })
})
