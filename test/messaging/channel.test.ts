// Channels are checked when they are made: a wrong name must not wait for a broker to be found.
import { type } from 'arktype'
import * as v from 'valibot'
import { describe, expect, test } from 'vitest'
import { z } from 'zod'
import { isFairleadError } from '../../src/errors/index.ts'
import { jsonCodec, queue, topic } from '../../src/messaging/index.ts'

const types = { 'order.placed': z.object({ orderId: z.string() }) }
const untyped = topic as unknown as (...args: unknown[]) => unknown

const complaint = (work: () => unknown): string => {
  try {
    work()
  } catch (error) {
    expect(isFairleadError(error, 'INVALID_OPTIONS')).toBe(true)
    return (error as Error).message
  }
  throw new Error('nothing was thrown')
}

test('a queue and a topic are data, and frozen', () => {
  const Orders = topic('orders', types)
  expect(Orders).toMatchObject({ kind: 'topic', name: 'orders', compressAboveBytes: 16_384 })
  expect(Orders.codec.contentType).toBe('application/json')
  expect(queue('emails', types).kind).toBe('queue')
  expect(
    Object.isFrozen(Orders) && Object.isFrozen(Orders.types) && Object.isFrozen(Orders.types['order.placed']),
  ).toBe(true)
  expect(Orders.types['order.placed']).toEqual({ schema: types['order.placed'], version: 1, upcasters: {} })
})

test.each([
  ['zod', z.object({ a: z.string() })],
  ['valibot', v.object({ a: v.string() })],
  ['arktype, whose schemas are functions', type({ a: 'string' })],
])('takes schemas of %s', (_, schema) => {
  expect(topic('t', { a: schema }).types.a.schema).toBe(schema)
})

describe('refuses', () => {
  test.each([
    ['an empty name', ''],
    ['a space', 'my orders'],
    ['a slash', 'shop/orders'],
    ['a star', 'orders.*'],
    ['201 letters', 'x'.repeat(201)],
    ['no text', 5],
    ['a letter outside ASCII', 'aufträge'],
  ])('a name with %s', (_, name) => {
    expect(complaint(() => untyped(name, types))).toContain('topic name')
  })

  test('200 letters are a name, and so are dots, dashes and underscores', () => {
    expect(queue('x'.repeat(200), types).name).toHaveLength(200)
    expect(queue('shop.eu-1_orders', types).name).toBe('shop.eu-1_orders')
  })

  test.each([
    ['no types', {}, 'at least one'],
    ['a list', [], 'give an object'],
    ['nothing', undefined, 'give an object'],
    ['a type with a space', { 'order placed': types['order.placed'] }, 'visible ASCII'],
    ['a type without a schema', { a: {} }, 'give a schema'],
    ['a type that is null', { a: null }, 'types.a'],
    ['a misspelt field', { a: { schema: types['order.placed'], versoin: 2 } }, 'versoin'],
    ['version 0', { a: { schema: types['order.placed'], version: 0 } }, 'types.a.version'],
    ['a type named __proto__', JSON.parse('{"__proto__":{}}'), '__proto__'],
    ['__proto__ in a literal', { __proto__: types }, '__proto__'],
  ])('%s', (_, given, words) => {
    expect(complaint(() => untyped('t', given))).toContain(words)
  })

  test.each([
    ['one is missing', 3, { 1: (d: unknown) => d }, 'upcasters.2'],
    ['there are none', 2, undefined, 'upcasters.1'],
    ['one leads from the newest', 2, { 1: (d: unknown) => d, 2: (d: unknown) => d }, 'upcasters.2'],
    ['one is no function', 2, { 1: 'x' }, 'upcasters.1'],
    ['one is no version', 2, { 1: (d: unknown) => d, one: (d: unknown) => d }, 'upcasters.one'],
    ['it has a second spelling', 2, { 1: (d: unknown) => d, '01': (d: unknown) => d }, 'upcasters.01'],
  ])('a chain of upcasters where %s', (_, version, upcasters, words) => {
    expect(complaint(() => untyped('t', { a: { schema: types['order.placed'], version, upcasters } }))).toContain(words)
  })

  test('unknown options and what is no codec', () => {
    expect(complaint(() => untyped('t', types, { compress: 1 }))).toContain('compress')
    expect(complaint(() => untyped('t', types, { codec: {} }))).toContain('codec')
    for (const contentType of ['', 'a/b\r\nx: y', 'a/ü'])
      expect(complaint(() => untyped('t', types, { codec: { ...jsonCodec(), contentType } }))).toContain('contentType')
    expect(complaint(() => untyped('t', types, { compressAboveBytes: -1 }))).toContain('compressAboveBytes')
  })
})

test('a type is never found on the prototype', () => {
  expect((topic('t', types).types as Record<string, unknown>)['constructor']).toBeUndefined()
  expect(topic('t', { constructor: types['order.placed'] }).types.constructor.version).toBe(1)
})

test('compression can be switched off and the codec chosen', () => {
  const codec = jsonCodec({ dates: 'iso' })
  const made = queue('q', types, { codec, compressAboveBytes: Infinity })
  expect(made.codec).toBe(codec)
  expect(made.compressAboveBytes).toBe(Infinity)
})

describe('a type that is answered', () => {
  const schema = z.string()
  const reply = z.number()

  test('has the schemas of its reply and of its failures', () => {
    const made = queue('q', {
      ask: { schema, reply, failures: { GONE: z.object({}) }, version: 2, upcasters: { 1: String } },
    })
    expect(made.types.ask).toMatchObject({ schema, reply, version: 2 })
    expect(Object.keys(made.types.ask.failures ?? {})).toEqual(['GONE'])
    expect(Object.isFrozen(made.types.ask) && Object.isFrozen(made.types.ask.failures)).toBe(true)
    expect(queue('q', { ask: { schema, reply } }).types.ask).toEqual({ schema, version: 1, upcasters: {}, reply })
  })

  test.each([
    ['failures without a reply', { schema, failures: { GONE: schema } }, 'types.ask.failures'],
    ['a reply that is no schema', { schema, reply: { a: 1 } }, 'types.ask.reply'],
    ['failures that are no object', { schema, reply, failures: [schema] }, 'types.ask.failures'],
    ['a failure that is no schema', { schema, reply, failures: { GONE: 1 } }, 'types.ask.failures.GONE'],
    ['a failure with a space in its name', { schema, reply, failures: { 'a b': schema } }, 'types.ask.failures.a b'],
    ['replies', { schema, replies: reply }, 'replies'],
  ])('refuses %s', (_, ask, place) => {
    expect(complaint(() => untyped('t', { ask }))).toContain(place)
  })
})
