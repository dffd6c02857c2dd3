// What a publisher says becomes an envelope, or is refused with every place that is wrong.
import { gunzipSync } from 'node:zlib'
import { describe, expect, test } from 'vitest'
import { z } from 'zod'
import { withInherited } from '../../src/core/async-context.ts'
import type { Envelope } from '../../src/core/message.ts'
import { createError } from '../../src/errors/index.ts'
import { type Codec, decodeMessage, encodeMessage, queue, topic } from '../../src/messaging/index.ts'
import { errorOf, fixed, ID, issuesOf, SOURCE } from './kit.ts'

const Orders = topic('orders', {
  'order.placed': z.object({ orderId: z.string(), total: z.number().optional(), note: z.string().optional() }),
  'order.paid': { schema: z.object({ cents: z.number() }), version: 3, upcasters: { 1: (d) => d, 2: (d) => d } },
  ping: z.undefined(),
})
const placed = { type: 'order.placed', data: { orderId: 'o-1' } } as const
const encode = (message: unknown, channel: unknown = Orders): Envelope | Promise<Envelope> =>
  encodeMessage(channel as typeof Orders, message as typeof placed, fixed())

test('the least: a CloudEvent, at once, without a promise', () => {
  expect(encode(placed)).toEqual({
    id: ID,
    attributes: {
      specversion: '1.0',
      source: SOURCE,
      type: 'order.placed',
      time: '2026-01-01T00:00:00.000Z',
      datacontenttype: 'application/json',
    },
    headers: {},
    body: Buffer.from('{"orderId":"o-1"}'),
  })
})

test('everything that can be said, by its wire name', () => {
  const envelope = encode({
    type: 'order.paid',
    data: { cents: 5 },
    id: 'mine',
    key: 'o-1',
    subject: 'orders/1',
    priority: -3,
    notBefore: 1_000.2,
    expiresAt: 2_000.9,
    correlationId: 'c',
    causationId: 'b',
    replyTo: { kind: 'queue', name: 'answers' },
    headers: { 'X-Tenant': 'acme' },
  }) as Envelope
  expect(envelope).toMatchObject({ id: 'mine', key: 'o-1', priority: -3, notBefore: 1_001, expiresAt: 2_000 })
  expect(envelope.headers).toEqual({ 'x-tenant': 'acme' })
  expect(envelope.attributes).toMatchObject({
    typeversion: '3',
    subject: 'orders/1',
    correlationid: 'c',
    causationid: 'b',
    replyto: 'queue:answers',
  })
  for (const name of ['id', 'key', 'partitionkey', 'priority', 'notbefore', 'expirytime'])
    expect(envelope.attributes).not.toHaveProperty(name)
})

test('an id of its own is a UUID of version 7 on the clock', () => {
  const { source, clock } = fixed()
  const { id } = encodeMessage(Orders, placed, { source, clock }) as Envelope
  expect(id).toMatch(/^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/)
  expect(Number.parseInt(id.replace('-', '').slice(0, 12), 16)).toBe(clock.wallNow())
})

describe('an id that newId gives is checked like any other', () => {
  test.each([
    ['an empty one', () => ''],
    ['one with control characters', () => 'a\r\nb\0'],
    ['a number', () => 5],
    ['none', () => undefined],
    ['one that is too long', () => 'x'.repeat(257)],
    [
      'an error',
      () => {
        throw new TypeError('oops')
      },
    ],
  ])('%s', async (_, newId) => {
    const error = await errorOf(() => encodeMessage(Orders, placed, { ...fixed(), newId: newId as () => string }))
    expect(error).toMatchObject({ code: 'INVALID_INPUT', effect: 'none', channel: 'orders' })
    expect(issuesOf(error)).toEqual([{ path: 'id', message: expect.stringContaining('newId') }])
  })
  test('and is not asked for where the message has one', () => {
    const newId = (): string => ''
    expect((encodeMessage(Orders, { ...placed, id: 'mine' }, { ...fixed(), newId }) as Envelope).id).toBe('mine')
  })
})

test('no data have no body and no content type', () => {
  const envelope = encode({ type: 'ping', data: undefined }) as Envelope
  expect(envelope.body).toHaveLength(0)
  expect(envelope.attributes).not.toHaveProperty('datacontenttype')
  expect(decodeMessage(Orders, envelope)).toMatchObject({ type: 'ping', data: undefined })
})

test('sends what was given, not what the schema makes of it', () => {
  const At = queue('q', { a: z.object({ at: z.string().transform((text) => new Date(text)) }) })
  const given = { at: '2026-01-01T00:00:00.000Z', unknown: 'kept' }
  const envelope = encodeMessage(At, { type: 'a', data: given }, fixed()) as Envelope
  expect(JSON.parse(Buffer.from(envelope.body).toString())).toEqual(given)
})

describe('refuses with INVALID_INPUT and the path', () => {
  test.each([
    ['wrong data', { ...placed, data: { orderId: 5 } }, ['data.orderId']],
    ['data that are missing', { type: 'order.placed' }, ['data']],
    ['a type that the channel has not', { ...placed, type: 'order.lost' }, ['type']],
    ['a type of the prototype', { ...placed, type: 'constructor' }, ['type']],
    ['an unknown field', { ...placed, kye: 'x' }, ['kye']],
    ['an empty id', { ...placed, id: '' }, ['id']],
    ['a key with a line break', { ...placed, key: 'a\nb' }, ['key']],
    ['half a character in a key', { ...placed, key: '\ud800' }, ['key']],
    ['a priority of a half', { ...placed, priority: 0.5 }, ['priority']],
    ['a priority that is too high', { ...placed, priority: 32_768 }, ['priority']],
    ['a date where an instant belongs', { ...placed, notBefore: new Date(0) }, ['notBefore']],
    ['an instant after the year 9999', { ...placed, expiresAt: 1e15 }, ['expiresAt']],
    ['a message that could never be handled', { ...placed, notBefore: 5, expiresAt: 5 }, ['expiresAt']],
    ['a reply to nowhere', { ...placed, replyTo: { kind: 'mailbox', name: 'x' } }, ['replyTo']],
    ['a header with a space', { ...placed, headers: { 'a b': 'x' } }, ['headers.a b']],
    ['a header that is no text', { ...placed, headers: { a: 5 } }, ['headers.a']],
    ['a header twice', { ...placed, headers: { a: '1', A: '2' } }, ['headers.A']],
    ['a Headers', { ...placed, headers: new Headers() }, ['headers']],
    ['all at once', { type: 'order.placed', id: 5, key: '', data: { orderId: 1 } }, ['id', 'key', 'data.orderId']],
  ])('%s', async (_, message, paths) => {
    const error = await errorOf(() => encode(message))
    expect(error).toMatchObject({ code: 'INVALID_INPUT', effect: 'none', channel: 'orders' })
    expect(issuesOf(error).map(({ path }) => path)).toEqual(paths)
    expect(error.message).toContain('orders')
  })

  test.each([null, undefined, 'text', 5])('%s instead of a message', async (message) => {
    expect((await errorOf(() => encode(message))).code).toBe('INVALID_INPUT')
  })

  test('what JSON cannot carry, although the schema takes it', async () => {
    const Any = queue('q', { a: z.any() })
    const error = await errorOf(() => encode({ type: 'a', data: { lines: [0, 0, { at: new Date(0) }] } }, Any))
    expect(issuesOf(error)).toEqual([{ path: 'data.lines.2.at', message: expect.stringContaining('Date') }])
  })

  test('what a schema or a codec throws', async () => {
    const throwing = (error: unknown): never => {
      throw error
    }
    const raw = new TypeError('oops')
    const schema = { '~standard': { version: 1, vendor: 'mine', validate: () => throwing(raw) } } as const
    expect(await errorOf(() => encode({ type: 'a', data: 1 }, queue('q', { a: schema })))).toMatchObject({
      code: 'INVALID_INPUT',
      cause: raw,
    })
    const codec: Codec = { contentType: 'x/y', encode: () => throwing(raw), decode: () => 0 }
    expect(await errorOf(() => encode({ type: 'a', data: 1 }, queue('q', { a: z.any() }, { codec })))).toMatchObject({
      code: 'INVALID_INPUT',
      cause: raw,
    })
    const own = createError({ code: 'INVALID_INPUT', details: { issues: [{ path: 'data.x', message: 'no' }] } })
    const named: Codec = { ...codec, encode: () => throwing(own) }
    const error = await errorOf(() => encode({ type: 'a', data: 1 }, queue('q', { a: z.any() }, { codec: named })))
    expect(issuesOf(error)).toEqual([{ path: 'data.x', message: 'no' }])
  })
})

test('an asynchronous schema makes it a promise, and refuses in the same words', async () => {
  const Late = queue('q', { a: z.string().refine(async (text) => text === 'yes', 'say yes') })
  expect((await encode({ type: 'a', data: 'yes' }, Late)).body).toEqual(Buffer.from('"yes"'))
  expect(issuesOf(await errorOf(() => encode({ type: 'a', data: 'no', key: '' }, Late)))).toEqual([
    { path: 'key', message: expect.any(String) },
    { path: 'data', message: 'say yes' },
  ])
})

describe('compression', () => {
  const long = (length: number): unknown => ({ ...placed, data: { orderId: 'o', note: 'x'.repeat(length) } })
  test('above 16 KiB, and not at it', async () => {
    const overhead = '{"orderId":"o","note":""}'.length
    const at = await encode(long(16_384 - overhead))
    expect(at.body).toHaveLength(16_384)
    expect(at.attributes).not.toHaveProperty('contentencoding')
    const above = await encode(long(16_385 - overhead))
    expect(above.attributes['contentencoding']).toBe('gzip')
    expect(gunzipSync(above.body)).toHaveLength(16_385)
    expect(above.body.byteLength).toBeLessThan(1_000)
  })
  test('only where the body gets smaller', async () => {
    const codec: Codec = { contentType: 'x/y', encode: (data) => data as Uint8Array, decode: (body) => body }
    const Raw = queue('q', { a: z.any() }, { codec, compressAboveBytes: 0 })
    const noise = Uint8Array.from({ length: 400 }, (_, i) => (i * i * 7919 + i * 104_729) >>> 5)
    const short = await encode({ type: 'a', data: noise.subarray(0, 10) }, Raw)
    expect(short.attributes).not.toHaveProperty('contentencoding')
    expect(short.body).toHaveLength(10)
  })
  test('never where it is switched off', async () => {
    const Off = topic('orders', { 'order.placed': z.any() }, { compressAboveBytes: Infinity })
    expect((await encode(long(100_000), Off)).attributes).not.toHaveProperty('contentencoding')
  })
})

describe('trace context', () => {
  const traceparent = '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01'
  const other = '00-11111111111111111111111111111111-2222222222222222-00'
  test('is inherited, and goes as attributes', () => {
    const { attributes, headers } = withInherited(
      { headers: { traceparent, tracestate: 'a=1', baggage: 'user=7', authorization: 'secret' } },
      () => encode(placed) as Envelope,
    )
    expect(attributes).toMatchObject({ traceparent, tracestate: 'a=1', baggage: 'user=7' })
    expect(headers).toEqual({})
  })
  test('of the message comes first, with its own state only', () => {
    const { attributes, headers } = withInherited(
      { headers: { traceparent, tracestate: 'a=1', baggage: 'user=7' } },
      () => encode({ ...placed, headers: { Traceparent: other, mine: 'x' } }) as Envelope,
    )
    expect(attributes).toMatchObject({ traceparent: other, baggage: 'user=7' })
    expect(attributes).not.toHaveProperty('tracestate')
    expect(headers).toEqual({ mine: 'x' })
  })
  test('that is damaged is left out and keeps nothing from being sent', () => {
    const { attributes } = withInherited(
      { headers: { traceparent: 'a\nb', baggage: '' } },
      () => encode(placed) as Envelope,
    )
    expect(attributes).not.toHaveProperty('traceparent')
    expect(attributes).not.toHaveProperty('baggage')
  })
  test('is among the headers of the message that a handler gets', async () => {
    const envelope = encode({ ...placed, headers: { traceparent, baggage: 'a=1', mine: 'x' } }) as Envelope
    expect((await decodeMessage(Orders, envelope)).headers).toEqual({ traceparent, baggage: 'a=1', mine: 'x' })
  })
  test('of the caller is taken although the schema is asynchronous', async () => {
    const Late = queue('q', { a: z.string().refine(async () => true) })
    const envelope = await withInherited({ headers: { traceparent } }, () => encode({ type: 'a', data: 'x' }, Late))
    expect(envelope.attributes['traceparent']).toBe(traceparent)
  })
})
