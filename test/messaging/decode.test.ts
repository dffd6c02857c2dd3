// Whatever a transport brings is a message or fails under one of three names; never a raw error, never a polluted object.
import { gzipSync } from 'node:zlib'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { z } from 'zod'
import type { Envelope } from '../../src/core/message.ts'
import { isFairleadError } from '../../src/errors/index.ts'
import { type Codec, decodeMessage, encodeMessage, queue, topic } from '../../src/messaging/index.ts'
import { envelope, errorOf, fixed, ID, issuesOf, SOURCE } from './kit.ts'

const Orders = topic('orders', { 'order.placed': z.object({ orderId: z.string() }) })
const decode = (over: Partial<Envelope> = {}, options = {}): unknown => decodeMessage(Orders, envelope(over), options)
const attributes = (over: Record<string, string | undefined>): Record<string, string> => {
  const all = { ...envelope().attributes, ...over }
  return Object.fromEntries(Object.entries(all).filter((each): each is [string, string] => each[1] !== undefined))
}

test('what was encoded comes back, at once', () => {
  const message = {
    type: 'order.placed',
    data: { orderId: 'o-1' },
    key: 'o-1',
    subject: 's',
    priority: 2,
    notBefore: 1_000,
    expiresAt: 2_000,
    correlationId: 'c',
    causationId: 'b',
    replyTo: { kind: 'topic', name: 'answers' },
    headers: { tenant: 'acme' },
  } as const
  const options = fixed()
  const decoded = decodeMessage(Orders, encodeMessage(Orders, message, options) as Envelope)
  expect(decoded).toEqual({ ...message, id: ID, source: SOURCE, version: 1, time: options.clock.wallNow() })
})

describe('foreign events', () => {
  test('without time have the one that is given', () => {
    expect(decode({}, { timeIfNone: 7 })).toMatchObject({ time: 7 })
    expect(decode({ attributes: attributes({ time: 'yesterday' }) }, { timeIfNone: 7 })).toMatchObject({ time: 7 })
    expect(decode()).toMatchObject({ time: 0 })
  })
  test.each([undefined, '1.0', '1.0.2', '1', '1.1'])('of specversion %s are read', (specversion) => {
    expect(decode({ attributes: attributes({ specversion }) })).toMatchObject({ data: { orderId: 'o-1' } })
  })
  test.each(['application/json; charset=utf-8', 'application/vnd.shop+json', undefined])(
    'of content type %s are read',
    (datacontenttype) => {
      expect(decode({ attributes: attributes({ datacontenttype }) })).toMatchObject({ data: { orderId: 'o-1' } })
    },
  )
  test('with fields that we do not know are read, and the schema says what becomes of them', () => {
    const body = Buffer.from('{"orderId":"o-1","more":1}')
    expect(decode({ body, attributes: attributes({ unknown: 'x' }) })).toMatchObject({ data: { orderId: 'o-1' } })
    const Loose = topic('orders', { 'order.placed': z.looseObject({ orderId: z.string() }) })
    expect(decodeMessage(Loose, envelope({ body }))).toMatchObject({ data: { orderId: 'o-1', more: 1 } })
  })
  test('with a reply address that is none are read without it', () => {
    expect(decode({ attributes: attributes({ replyto: 'https://elsewhere' }) })).toMatchObject({ replyTo: undefined })
  })
  test('of a newer version are read if the schema takes them', () => {
    expect(decode({ attributes: attributes({ typeversion: '9' }) })).toMatchObject({ version: 9 })
  })
})

describe('refuses', () => {
  test.each([
    ['no type', { attributes: attributes({ type: undefined }) }, 'MESSAGE_UNDECODABLE', 'type'],
    ['no source', { attributes: attributes({ source: undefined }) }, 'MESSAGE_UNDECODABLE', 'source'],
    ['CloudEvents 0.3', { attributes: attributes({ specversion: '0.3' }) }, 'MESSAGE_UNDECODABLE', '0.3'],
    ['a type of somebody else', { attributes: attributes({ type: 'x' }) }, 'MESSAGE_UNHANDLED', 'order.placed'],
    [
      'a type of the prototype',
      { attributes: attributes({ type: 'constructor' }) },
      'MESSAGE_UNHANDLED',
      'constructor',
    ],
    [
      'another codec',
      { attributes: attributes({ datacontenttype: 'application/avro' }) },
      'MESSAGE_UNDECODABLE',
      'avro',
    ],
    ['no JSON', { body: Buffer.from('{') }, 'MESSAGE_UNDECODABLE', 'JSON'],
    ['no body where data are needed', { body: Buffer.alloc(0) }, 'MESSAGE_INVALID', 'data'],
    ['data that the schema refuses', { body: Buffer.from('{"orderId":5}') }, 'MESSAGE_INVALID', 'data.orderId'],
    ['version 0', { attributes: attributes({ typeversion: '0' }) }, 'MESSAGE_UNDECODABLE', 'typeversion'],
    ['version x', { attributes: attributes({ typeversion: 'x' }) }, 'MESSAGE_UNDECODABLE', 'typeversion'],
    ['a version in sixteens', { attributes: attributes({ typeversion: '0x2' }) }, 'MESSAGE_UNDECODABLE', 'typeversion'],
    [
      'a version among spaces',
      { attributes: attributes({ typeversion: ' 2 ' }) },
      'MESSAGE_UNDECODABLE',
      'typeversion',
    ],
    ['a version with an exponent', { attributes: attributes({ typeversion: '1e0' }) }, 'MESSAGE_UNDECODABLE', '1e0'],
    ['an unknown encoding', { attributes: attributes({ contentencoding: 'br' }) }, 'MESSAGE_UNDECODABLE', 'br'],
    ['gzip that is none', { attributes: attributes({ contentencoding: 'gzip' }) }, 'MESSAGE_UNDECODABLE', 'gzip'],
  ] as const)('%s', async (_, over, code, words) => {
    const error = await errorOf(() => decode(over))
    expect(error).toMatchObject({ code, channel: 'orders', effect: 'none', transient: false })
    expect(error.details).toMatchObject({ id: ID })
    expect(error.message).toContain(words)
  })

  test('data of a newer version that the schema refuses, saying so', async () => {
    const body = Buffer.from('{"order":{"id":"o-1"}}')
    const error = await errorOf(() => decode({ body, attributes: attributes({ typeversion: '2' }) }))
    expect(error.code).toBe('MESSAGE_INVALID')
    expect(error.message).toContain('version 2, and 1 is the newest')
    expect(issuesOf(error)[0]?.path).toBe('data.orderId')
    expect(error.details).toMatchObject({ version: '2', type: 'order.placed', source: SOURCE })
  })

  test('what a schema or a codec throws or rejects with', async () => {
    const failing = (validate: () => never): unknown => {
      const schema = { '~standard': { version: 1, vendor: 'mine', validate } } as const
      return decodeMessage(topic('orders', { 'order.placed': schema }), envelope())
    }
    const raw = new RangeError('oops')
    const thrown = await errorOf(() =>
      failing(() => {
        throw raw
      }),
    )
    expect(thrown).toMatchObject({ code: 'MESSAGE_INVALID', cause: raw })
    const rejected = await errorOf(() => failing(() => Promise.reject(raw) as never))
    expect(rejected).toMatchObject({ code: 'MESSAGE_INVALID', cause: raw })
    const codec: Codec = {
      contentType: 'x/y',
      encode: () => Buffer.alloc(0),
      decode: () => {
        throw raw
      },
    }
    const Odd = topic('orders', { 'order.placed': z.any() }, { codec })
    const odd = await errorOf(() =>
      decodeMessage(Odd, envelope({ attributes: attributes({ datacontenttype: 'X/Y; v=1' }) })),
    )
    expect(odd).toMatchObject({ code: 'MESSAGE_UNDECODABLE', cause: raw })
  })
})

describe('compressed bodies', () => {
  const packed = (body: Uint8Array): Partial<Envelope> => ({
    body: gzipSync(body),
    attributes: attributes({ contentencoding: 'gzip' }),
  })
  test('are unpacked', async () => {
    expect(await decode(packed(Buffer.from('{"orderId":"o-1"}')))).toMatchObject({ data: { orderId: 'o-1' } })
  })
  test('that unpack to more than 64 MiB are refused and not unpacked', async () => {
    const bomb = packed(Buffer.alloc(64 * 1024 * 1024 + 1, 0x20))
    expect((bomb.body as Uint8Array).byteLength).toBeLessThan(100_000)
    const error = await errorOf(() => decode(bomb))
    expect(error).toMatchObject({ code: 'MESSAGE_UNDECODABLE', details: { id: ID, type: 'order.placed' } })
    expect(error.message).toContain('67108864')
  })
  test('may be bounded more tightly, to the byte', async () => {
    const body = Buffer.from('{"orderId":"o-1"}')
    expect(await decode(packed(body), { mostBytes: body.byteLength })).toMatchObject({ id: ID })
    expect((await errorOf(() => decode(packed(body), { mostBytes: body.byteLength - 1 }))).code).toBe(
      'MESSAGE_UNDECODABLE',
    )
  })
  test('that are cut off are refused', async () => {
    const whole = packed(Buffer.from('{"orderId":"o-1"}'))
    const error = await errorOf(() => decode({ ...whole, body: (whole.body as Uint8Array).subarray(0, 20) }))
    expect(error.code).toBe('MESSAGE_UNDECODABLE')
  })
})

describe('old versions', () => {
  const Versioned = queue('people', {
    'person.moved': {
      schema: z.object({ name: z.object({ first: z.string(), last: z.string() }), city: z.string() }),
      version: 3,
      upcasters: {
        1: ({ name, ...rest }: { name: string }) => {
          const [first, last] = name.split(' ')
          return { ...rest, name: { first, last } }
        },
        2: (data: object) => ({ city: 'unknown', ...data }),
      },
    },
  })
  const moved = (version: string | undefined, data: unknown): Envelope =>
    envelope({
      attributes: attributes({ type: 'person.moved', typeversion: version }),
      body: Buffer.from(JSON.stringify(data)),
    })

  test('go up step by step and are validated as the newest', () => {
    const newest = { name: { first: 'Ada', last: 'L' }, city: 'unknown' }
    expect(decodeMessage(Versioned, moved(undefined, { name: 'Ada L' }))).toMatchObject({ version: 3, data: newest })
    expect(decodeMessage(Versioned, moved('1', { name: 'Ada L', city: 'London' }))).toMatchObject({
      data: { city: 'London' },
    })
    expect(decodeMessage(Versioned, moved('2', { name: newest.name }))).toMatchObject({ version: 3, data: newest })
    expect(decodeMessage(Versioned, moved('3', newest))).toMatchObject({ version: 3, data: newest })
  })
  test('whose upcaster throws are invalid, and the step is named', async () => {
    const error = await errorOf(() => decodeMessage(Versioned, moved('1', { name: 5 })))
    expect(error).toMatchObject({ code: 'MESSAGE_INVALID', details: { step: 1, id: ID, version: '1' } })
    expect(error.message).toContain('from version 1 to 2')
    expect(error.cause).toBeInstanceOf(TypeError)
  })
  test('whose upcaster gives a promise are invalid', async () => {
    const Late = queue('q', {
      a: {
        schema: z.any(),
        version: 2,
        upcasters: {
          1: async () => {
            throw new Error('nobody waits')
          },
        },
      },
    })
    const error = await errorOf(() => decodeMessage(Late, envelope({ attributes: attributes({ type: 'a' }) })))
    expect(error).toMatchObject({ code: 'MESSAGE_INVALID', details: { step: 1 } })
  })
  test('that are not what the schema needs after all the steps are invalid', async () => {
    const error = await errorOf(() => decodeMessage(Versioned, moved('2', { name: {} })))
    expect(issuesOf(error)[0]?.path).toBe('data.name.first')
  })
})

test('members named __proto__ reach neither the data nor any object', () => {
  const Loose = topic('orders', { 'order.placed': z.looseObject({ tags: z.record(z.string(), z.any()) }) })
  const body = Buffer.from('{"tags":{"__proto__":{"admin":true},"a":1},"__proto__":{"admin":true}}')
  const { data } = decodeMessage(Loose, envelope({ body })) as {
    data: { tags: Record<string, unknown>; admin?: unknown }
  }
  expect(data.admin).toBeUndefined()
  expect(data.tags['admin']).toBeUndefined()
  expect(({} as { admin?: unknown }).admin).toBeUndefined()
})

test('whatever comes, it is a message or one of the three errors', async () => {
  const text = fc.oneof(fc.string(), fc.constantFrom('1.0', 'order.placed', 'gzip', 'application/json', '2'))
  const names = [
    'specversion',
    'source',
    'type',
    'time',
    'datacontenttype',
    'typeversion',
    'contentencoding',
    'replyto',
    'traceparent',
    '__proto__',
  ]
  const bodies = fc.oneof(
    fc.uint8Array(),
    fc.json().map((json) => Buffer.from(json)),
    fc.json().map((json) => gzipSync(json)),
  )
  await fc.assert(
    fc.asyncProperty(
      fc.dictionary(fc.constantFrom(...names), text),
      bodies,
      fc.boolean(),
      async (random, body, sound) => {
        try {
          await decode({
            attributes: sound ? { ...envelope().attributes, ...random, type: 'order.placed' } : random,
            body,
          })
        } catch (error) {
          if (!isFairleadError(error, 'MESSAGE_UNDECODABLE', 'MESSAGE_UNHANDLED', 'MESSAGE_INVALID')) throw error
        }
      },
    ),
    { numRuns: 1_000, seed: 4 },
  )
})
