// Envelopes over HTTP and back, in all three modes; and what others send, strict where it matters and tolerant where it does not.
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import type { Envelope } from '../../../src/core/message.ts'
import { fromHttp, toHttp, toHttpBatch } from '../../../src/messaging/index.ts'
import { envelope, errorOf } from '../kit.ts'

const full = (): Envelope =>
  envelope({
    key: 'käse & "brot" 100%',
    priority: -5,
    notBefore: 1_767_225_600_000,
    expiresAt: 1_767_225_600_001,
    attributes: {
      specversion: '1.0',
      source: '/shop?x=1',
      type: 'order.placed',
      time: '2026-01-01T00:00:00.000Z',
      datacontenttype: 'application/json',
      typeversion: '2',
      replyto: 'queue:answers',
      traceparent: '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01',
      baggage: 'user=7; secret',
      unknown: '€',
    },
    headers: { tenant: 'acme gmbh', note: '😀' },
  })
const text = (body: Uint8Array): string => Buffer.from(body).toString()

test('binary mode, header by header', () => {
  const { headers, body } = toHttp(full())
  expect(headers).toEqual({
    'ce-id': 'm-1',
    'ce-specversion': '1.0',
    'ce-source': '/shop?x=1',
    'ce-type': 'order.placed',
    'ce-time': '2026-01-01T00:00:00.000Z',
    'ce-partitionkey': 'k%C3%A4se%20&%20%22brot%22%20100%25',
    'ce-priority': '-5',
    'ce-notbefore': '2026-01-01T00:00:00.000Z',
    'ce-expirytime': '2026-01-01T00:00:00.001Z',
    'ce-typeversion': '2',
    'ce-replyto': 'queue:answers',
    'ce-traceparent': '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01',
    'ce-baggage': 'user=7;%20secret',
    'ce-unknown': '%E2%82%AC',
    'x-message-tenant': 'acme%20gmbh',
    'x-message-note': '%F0%9F%98%80',
    'content-type': 'application/json',
  })
  expect(body).toEqual(full().body)
})

test('the example of the binding: Euro € 😀 (section 3.1.3.2)', () => {
  const made = toHttp(envelope({ attributes: { ...envelope().attributes, example: 'Euro € 😀' } }))
  expect(made.headers['ce-example']).toBe('Euro%20%E2%82%AC%20%F0%9F%98%80')
})

test('a content type or an encoding that is no header value is never written as one', () => {
  for (const name of ['datacontenttype', 'contentencoding'])
    for (const value of ['text/plain\r\nx-evil: 1', 'text/plain; title=€']) {
      const made = toHttp(envelope({ attributes: { ...envelope().attributes, [name]: value } }))
      expect(made.headers).toEqual({ 'content-type': 'application/cloudevents+json; charset=utf-8' })
    }
})

test('structured mode, member by member', () => {
  const { headers, body } = toHttp(full(), 'structured')
  expect(headers).toEqual({ 'content-type': 'application/cloudevents+json; charset=utf-8' })
  expect(JSON.parse(text(body))).toEqual({
    id: 'm-1',
    specversion: '1.0',
    source: '/shop?x=1',
    type: 'order.placed',
    time: '2026-01-01T00:00:00.000Z',
    datacontenttype: 'application/json',
    partitionkey: 'käse & "brot" 100%',
    priority: -5,
    notbefore: '2026-01-01T00:00:00.000Z',
    expirytime: '2026-01-01T00:00:00.001Z',
    typeversion: '2',
    replyto: 'queue:answers',
    traceparent: '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01',
    baggage: 'user=7; secret',
    unknown: '€',
    messageheaders: '{"tenant":"acme gmbh","note":"😀"}',
    data: { orderId: 'o-1' },
  })
})

describe.each([
  ['binary', (given: Envelope) => toHttp(given)],
  ['structured', (given: Envelope) => toHttp(given, 'structured')],
  ['a batch', (given: Envelope) => toHttpBatch([given])],
])('%s comes back as it was', (_, send) => {
  const back = (given: Envelope): Envelope => {
    const { headers, body } = send(given)
    const got = fromHttp(headers, body)
    expect(got).toHaveLength(1)
    return got[0] as Envelope
  }
  const { datacontenttype, ...without } = envelope().attributes
  test.each([
    ['all of it', full()],
    ['signs that stand for themselves', envelope({ id: '100%25', key: '"quoted"' })],
    ['no data', envelope({ attributes: without, body: new Uint8Array(0) })],
    ['data that are null', envelope({ body: Buffer.from('null') })],
    ['a number of twenty digits', envelope({ body: Buffer.from('"12345678901234567890"') })],
    ['text', envelope({ attributes: { ...without, datacontenttype: 'text/plain' }, body: Buffer.from('grüße') })],
    ['bytes', envelope({ attributes: { ...without, datacontenttype: 'image/png' }, body: Buffer.from([0, 255, 1]) })],
    [
      'an event about an event',
      envelope({ attributes: { ...without, datacontenttype: 'application/cloudevents+json' } }),
    ],
    [
      'a content type that no HTTP header can carry',
      envelope({ attributes: { ...without, datacontenttype: 'text/plain; title=€' }, body: Buffer.from('x') }),
    ],
    ['bytes that say they are JSON', envelope({ body: Buffer.from([0xff, 0xfe]) })],
    ['text that says it is JSON', envelope({ body: Buffer.from('{"broken"') })],
    [
      'gzip',
      envelope({
        attributes: { ...envelope().attributes, contentencoding: 'gzip' },
        body: Buffer.from([0x1f, 0x8b, 8]),
      }),
    ],
  ])('%s', (_, given) => {
    const got = back(given)
    expect({ ...got, body: text(got.body) }).toEqual({ ...given, body: text(given.body) })
  })

  test('whatever is said', () => {
    const value = fc.string({ unit: 'binary', minLength: 1 }).filter((each) => !/[\p{Cc}\p{Cs}\p{NChar}]/u.test(each))
    const name = fc
      .stringMatching(/^[a-z][a-z0-9]{0,10}$/)
      .filter(
        (each) =>
          ![
            'id',
            'priority',
            'partitionkey',
            'notbefore',
            'expirytime',
            'data',
            'contentencoding',
            'datacontenttype',
            'messageheaders',
            'specversion',
          ].includes(each),
      )
    fc.assert(
      fc.property(
        value,
        value,
        fc.dictionary(name, value),
        fc.dictionary(fc.stringMatching(/^[a-z][a-z0-9-]{0,10}$/), value),
        fc.json(),
        (id, key, extensions, headers, json) => {
          const given = envelope({
            id,
            key,
            headers,
            attributes: { ...envelope().attributes, ...extensions },
            body: Buffer.from(JSON.stringify(JSON.parse(json))),
          })
          const sent = send(given)
          for (const each of Object.values(sent.headers)) expect(each).toMatch(/^[\x20-\x7e]*$/)
          const got = back(given)
          expect({ ...got, headers: { ...got.headers }, body: text(got.body) }).toEqual({
            ...given,
            headers: { ...headers },
            body: text(given.body),
          })
        },
      ),
      { numRuns: 300, seed: 4 },
    )
  })
})

test('JSON data stand in the event as they were written', () => {
  const body = Buffer.from('{"n":12345678901234567890,"x":1.0}')
  expect(text(toHttp(envelope({ body }), 'structured').body)).toContain('"data":{"n":12345678901234567890,"x":1.0}')
})

test('a batch has one envelope each, in order; an empty one none', () => {
  const ids = ['a', 'b', 'c']
  const { headers, body } = toHttpBatch(ids.map((id) => envelope({ id })))
  expect(headers).toEqual({ 'content-type': 'application/cloudevents-batch+json; charset=utf-8' })
  expect(fromHttp(headers, body).map(({ id }) => id)).toEqual(ids)
  expect(fromHttp(headers, toHttpBatch([]).body)).toEqual([])
})

describe('reads', () => {
  const least = { 'ce-id': '1', 'ce-source': '/s', 'ce-type': 't', 'ce-specversion': '1.0' }
  const one = (headers: Record<string, string | string[] | undefined>, body = ''): Envelope =>
    fromHttp(headers, Buffer.from(body))[0] as Envelope

  test('names in any case, lists, and a Headers', () => {
    expect(one({ 'CE-ID': '1', 'Ce-Source': '/s', 'ce-Type': 't', 'X-Message-Tenant': ['a', 'b'] })).toMatchObject({
      id: '1',
      headers: { tenant: 'a, b' },
    })
    expect(fromHttp(new Headers(least), new Uint8Array(0))[0]).toMatchObject({ id: '1', attributes: { source: '/s' } })
  })
  test('extensions that we do not know, and leaves other headers alone', () => {
    const { attributes, headers } = one({ ...least, 'ce-sequence': '7', authorization: 'x', 'ce-id2': undefined })
    expect(attributes).toEqual({ specversion: '1.0', source: '/s', type: 't', sequence: '7' })
    expect(headers).toEqual({})
  })
  test('values that are quoted, or not encoded at all', () => {
    expect(one({ ...least, 'ce-subject': '"a \\"b\\" c"' }).attributes['subject']).toBe('a "b" c')
    expect(one({ ...least, 'ce-subject': '100% sure' }).attributes['subject']).toBe('100% sure')
    expect(one({ ...least, 'ce-subject': '%e2%82%ac' }).attributes['subject']).toBe('€')
  })
  test('a priority or an instant that is none as an attribute without meaning', () => {
    const got = one({
      ...least,
      'ce-priority': 'high',
      'ce-expirytime': 'soon',
      'ce-notbefore': '2026-01-01T01:00:00+01:00',
    })
    expect(got).toMatchObject({ priority: undefined, expiresAt: undefined, notBefore: 1_767_225_600_000 })
    expect(got.attributes).toMatchObject({ priority: 'high', expirytime: 'soon' })
  })
  test('a body that a server has unpacked, although the header still says gzip', () => {
    expect(one({ ...least, 'content-encoding': 'gzip' }, '{}').attributes).not.toHaveProperty('contentencoding')
    expect(one({ ...least, 'content-encoding': 'gzip' }, '\x1f').attributes).not.toHaveProperty('contentencoding')
    expect(one({ ...least, 'content-encoding': 'br' }, '{}').attributes['contentencoding']).toBe('br')
  })
  test('an empty key as none', () => expect(one({ ...least, 'ce-partitionkey': '' }).key).toBeUndefined())

  const structured = (event: unknown): Envelope =>
    fromHttp({ 'content-type': 'application/cloudevents+json' }, Buffer.from(JSON.stringify(event)))[0] as Envelope
  const event = { id: '1', source: '/s', type: 't', specversion: '1.0' }
  test('numbers, booleans and null as attributes', () => {
    expect(structured({ ...event, sequence: 7, sampled: true, subject: null }).attributes).toEqual({
      source: '/s',
      type: 't',
      specversion: '1.0',
      sequence: '7',
      sampled: 'true',
    })
  })
  test('Base64 among spaces, with padding or without', () => {
    const body = (data_base64: string): string => text(structured({ ...event, data_base64 }).body)
    expect(['Zm9v', ' Zm\r\n9v ', 'Zm8=', 'Zm8 = ', 'Zm8', 'Zg==', 'Zg\n=\n=\n', 'Zg', '', '  '].map(body)).toEqual([
      ...['foo', 'foo', 'fo', 'fo', 'fo', 'f', 'f', 'f', '', ''],
    ])
    expect(body(`Zm9v${' '.repeat(1_000_000)}`)).toBe('foo')
  })
  test('a tab in a content type as the space that it stands for', () => {
    expect(one({ ...least, 'content-type': 'application/json;\tcharset=utf-8' }).attributes['datacontenttype']).toBe(
      'application/json; charset=utf-8',
    )
  })
  test('whatever unicode allows', () => {
    const odd = 'e\u0301 \u200d \ue000 😀'
    const { id, headers, attributes } = one({
      ...least,
      'ce-id': encodeURIComponent(odd),
      'x-message-a': odd,
      'ce-a': odd,
    })
    expect([id, headers['a'], attributes['a']]).toEqual([odd, odd, odd])
  })
  test("somebody else's messageheaders as what they are", () => {
    expect(structured({ ...event, messageheaders: 'x' })).toMatchObject({
      headers: {},
      attributes: { messageheaders: 'x' },
    })
    expect(structured({ ...event, messageheaders: '{"a b":"1"}' }).headers).toEqual({})
  })
  test('data without a content type as JSON, text of another type as text', () => {
    expect(structured({ ...event, data: 'x' })).toMatchObject({
      attributes: { datacontenttype: 'application/json' },
      body: Buffer.from('"x"'),
    })
    expect(text(structured({ ...event, datacontenttype: 'text/xml', data: '<a/>' }).body)).toBe('<a/>')
  })
})

describe('refuses with MESSAGE_UNDECODABLE', () => {
  const least = { 'ce-id': '1', 'ce-source': '/s', 'ce-type': 't' }
  const structured = { 'content-type': 'application/cloudevents+json' }
  const event = { id: '1', source: '/s', type: 't', specversion: '1.0' }
  const batch = { 'content-type': 'application/cloudevents-batch+json' }
  test.each([
    ['no CloudEvent at all', { 'content-type': 'application/json' }, '{}', 'no CloudEvent'],
    ['no id', { ...least, 'ce-id': undefined }, '', 'no id'],
    ['an empty id', { ...least, 'ce-id': '' }, '', 'no id'],
    ['no source', { ...least, 'ce-source': undefined }, '', 'no source'],
    ['no type', { ...least, 'ce-type': undefined }, '', 'no type'],
    ['CloudEvents 0.3', { ...least, 'ce-specversion': '0.3' }, '', '0.3'],
    ['a name with a dash', { ...least, 'ce-my-name': 'x' }, '', 'my-name'],
    ['a header of the prototype', { ...least, 'ce-__proto__': 'x' }, '', '__proto__'],
    ['a name with a capital', structured, JSON.stringify({ ...event, myName: 1 }), 'myName'],
    ['a name of the prototype', structured, '{"__proto__":"x","id":"1","source":"/s","type":"t"}', '__proto__'],
    ['an object as an attribute', structured, JSON.stringify({ ...event, ext: {} }), 'ext'],
    ['no JSON', structured, '{', 'not JSON'],
    ['a list where an event belongs', structured, '[]', 'no JSON object'],
    ['an event without id', structured, JSON.stringify({ ...event, id: undefined }), 'no id'],
    ['an event where a batch belongs', batch, JSON.stringify(event), 'no JSON array'],
    ['a batch with something else in it', batch, JSON.stringify([event, 5]), 'no JSON object'],
    ['data twice', structured, JSON.stringify({ ...event, data: 1, data_base64: 'AA==' }), 'both'],
    ['a line break in the id', { ...least, 'ce-id': 'a%0D%0Ab' }, '', 'id'],
    ['a NUL in an attribute', { ...least, 'ce-subject': 'a%00' }, '', 'subject'],
    ['a line break in a header', { ...least, 'x-message-tenant': 'a%0Ab' }, '', 'tenant'],
    ['a line break in the content type', { ...least, 'content-type': 'text/plain\r\nx: y' }, '', 'datacontenttype'],
    ['a line break in the encoding', { ...least, 'content-encoding': 'a\nb' }, '', 'contentencoding'],
    ['a NUL in a structured id', structured, JSON.stringify({ ...event, id: 'a\0' }), 'id'],
    ['a line break in a structured type', structured, JSON.stringify({ ...event, type: 'a\nb' }), 'type'],
    [
      'a line break in a structured header',
      structured,
      JSON.stringify({ ...event, messageheaders: JSON.stringify({ tenant: 'a\nb' }) }),
      'tenant',
    ],
    ['half a character', structured, '{"id":"\\ud800","source":"/s","type":"t"}', 'id'],
    [
      'a megabyte of spaces for Base64',
      structured,
      JSON.stringify({ ...event, data_base64: `${' '.repeat(1e6)}!` }),
      'Base64',
    ],
    ['Base64 that is none', structured, JSON.stringify({ ...event, data_base64: '%%' }), 'Base64'],
    ['another format', { 'content-type': 'application/cloudevents+avro' }, '', 'avro'],
    ['another character set', { 'content-type': 'application/cloudevents+json; charset=utf-16' }, '{}', 'utf-16'],
  ])('%s', async (_, headers, body, words) => {
    const error = await errorOf(() => fromHttp(headers as Record<string, string>, Buffer.from(body)))
    expect(error.code).toBe('MESSAGE_UNDECODABLE')
    expect(error.message).toContain(words)
  })
  test.each(['a', 'Zm9vY', 'Zm9=v', 'Zg=', 'Zm8==', 'Zm9v=', '=', '==', 'Zg===', 'Zm-_'])(
    '%s, which is no Base64',
    async (data_base64) => {
      const body = Buffer.from(JSON.stringify({ ...event, data_base64 }))
      const error = await errorOf(() => fromHttp(structured, body))
      expect(error.code).toBe('MESSAGE_UNDECODABLE')
      expect(error.message).toContain('Base64')
    },
  )
  test('bytes that are not UTF-8, and data deeper than the stack', async () => {
    expect((await errorOf(() => fromHttp(structured, Buffer.from([0x22, 0xff])))).message).toContain('UTF-8')
    const deep = `{"id":"1","source":"/s","type":"t","data":${'['.repeat(100_000)}${']'.repeat(100_000)}}`
    expect((await errorOf(() => fromHttp(structured, Buffer.from(deep)))).code).toBe('MESSAGE_UNDECODABLE')
  })
})
