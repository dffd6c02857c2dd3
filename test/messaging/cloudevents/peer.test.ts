// The wire against the SDK of the CloudEvents project: what we write it reads, and what it writes we read.
import { CloudEvent, HTTP, type Message } from 'cloudevents'
import { describe, expect, test } from 'vitest'
import { z } from 'zod'
import type { Envelope } from '../../../src/core/message.ts'
import { decodeMessage, encodeMessage, fromHttp, toHttp, toHttpBatch, topic } from '../../../src/messaging/index.ts'
import { envelope, fixed, ID, SOURCE } from '../kit.ts'

const Orders = topic('orders', { 'order.placed': z.object({ orderId: z.string(), note: z.string().optional() }) })
const message = {
  type: 'order.placed',
  data: { orderId: 'o-1', note: 'grüße €' },
  key: 'o-1',
  subject: 'orders/o-1',
  priority: 3,
  notBefore: 1_767_225_600_000,
  correlationId: 'c-1',
  replyTo: { kind: 'queue', name: 'answers' },
  headers: { tenant: 'acme' },
} as const
const ours = (): Envelope => encodeMessage(Orders, message, fixed()) as Envelope
const asPeer = ({ headers, body }: { readonly headers: object; readonly body: Uint8Array }): Message => ({
  headers: { ...headers },
  body: Buffer.from(body).toString(),
})
const wire = {
  id: ID,
  source: SOURCE,
  type: 'order.placed',
  specversion: '1.0',
  datacontenttype: 'application/json',
  time: '2026-01-01T00:00:00.000Z',
  subject: 'orders/o-1',
  partitionkey: 'o-1',
  notbefore: '2026-01-01T00:00:00.000Z',
  correlationid: 'c-1',
  replyto: 'queue:answers',
  data: message.data,
}

describe('the SDK reads', () => {
  test('our binary mode', () => {
    const event = HTTP.toEvent(asPeer(toHttp(ours()))) as CloudEvent
    expect(event).toMatchObject({ ...wire, priority: '3' })
    expect(event.validate()).toBe(true)
  })
  test('our structured mode', () => {
    const event = HTTP.toEvent(asPeer(toHttp(ours(), 'structured'))) as CloudEvent
    expect(event).toMatchObject({ ...wire, priority: 3, messageheaders: '{"tenant":"acme"}' })
    expect(event.validate()).toBe(true)
  })
  test('our batch', () => {
    const events = HTTP.toEvent(asPeer(toHttpBatch([ours(), envelope({ id: 'two' })]))) as CloudEvent[]
    expect(events.map(({ id }) => id)).toEqual([ID, 'two'])
    expect(events[0]).toMatchObject(wire)
  })
  test('our bytes', () => {
    const attributes = { ...envelope().attributes, datacontenttype: 'image/png' }
    const event = HTTP.toEvent(
      asPeer(toHttp(envelope({ attributes, body: Buffer.from([0, 255, 7]) }), 'structured')),
    ) as CloudEvent
    expect(Array.from(event.data as unknown as Uint32Array)).toEqual([0, 255, 7])
  })
})

describe('the SDK writes, and we read', () => {
  const event = new CloudEvent({
    id: 'theirs',
    source: 'https://example.com/shop',
    type: 'order.placed',
    time: '2026-01-02T03:04:05.678Z',
    subject: 'a b',
    datacontenttype: 'application/json',
    dataschema: 'https://example.com/schema',
    partitionkey: 'k',
    expirytime: '2026-01-03T00:00:00Z',
    sequence: 7,
    data: { orderId: 'o-2', note: 'grüße €' },
  })
  const back = (sent: Message): Envelope =>
    fromHttp(
      Object.fromEntries(Object.entries(sent.headers).map(([name, value]) => [name, String(value)])),
      Buffer.from(sent.body as string),
    )[0] as Envelope
  test.each([
    ['binary', HTTP.binary(event)],
    ['structured', HTTP.structured(event)],
  ])('%s mode', (_, sent) => {
    const got = back(sent)
    expect(got).toMatchObject({ id: 'theirs', key: 'k', expiresAt: Date.parse('2026-01-03T00:00:00Z') })
    expect(got.attributes).toMatchObject({ sequence: '7', dataschema: 'https://example.com/schema' })
    expect(decodeMessage(Orders, got)).toMatchObject({
      id: 'theirs',
      source: 'https://example.com/shop',
      subject: 'a b',
      time: Date.parse('2026-01-02T03:04:05.678Z'),
      data: { orderId: 'o-2', note: 'grüße €' },
    })
  })
  test('without a content type', () => {
    const bare = new CloudEvent({ id: '1', source: '/s', type: 'order.placed', data: { orderId: 'o-3' } })
    expect(decodeMessage(Orders, back(HTTP.binary(bare)))).toMatchObject({ data: { orderId: 'o-3' } })
    expect(decodeMessage(Orders, back(HTTP.structured(bare)))).toMatchObject({ data: { orderId: 'o-3' } })
  })
  test('bytes', () => {
    const bytes = new CloudEvent({
      id: '1',
      source: '/s',
      type: 't',
      datacontenttype: 'image/png',
      data: new Uint8Array([0, 255, 7]),
    })
    expect(Array.from(back(HTTP.structured(bytes)).body)).toEqual([0, 255, 7])
  })
})

test('through the SDK and back nothing is lost', () => {
  for (const mode of ['binary', 'structured'] as const) {
    const event = HTTP.toEvent(asPeer(toHttp(ours(), mode))) as CloudEvent
    const sent = HTTP.structured(event)
    const got = fromHttp(
      { 'content-type': 'application/cloudevents+json' },
      Buffer.from(sent.body as string),
    )[0] as Envelope
    expect(got).toMatchObject({ id: ID, key: 'o-1', priority: 3, notBefore: message.notBefore })
    expect(decodeMessage(Orders, got)).toMatchObject({
      data: message.data,
      replyTo: message.replyTo,
      correlationId: 'c-1',
    })
  }
})
