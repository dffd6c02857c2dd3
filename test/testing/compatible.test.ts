import { type } from 'arktype'
import * as v from 'valibot'
import { describe, expect, test } from 'vitest'
import { z } from 'zod'
import type { AnySchema } from '../../src/core/schema.ts'
import { FairleadError } from '../../src/errors/index.ts'
import { queue } from '../../src/messaging/index.ts'
import { defineContract } from '../../src/rpi/index.ts'
import {
  assertCompatible,
  type ChannelRelease,
  compareReleases,
  type JsonSchema,
  releaseOf,
} from '../../src/testing/compatible/index.ts'

const channel = (
  schema: AnySchema | object,
  over: Partial<ChannelRelease> & { version?: number } = {},
): ChannelRelease => {
  const { version = 1, ...rest } = over
  const json = '~standard' in schema ? operation({ input: schema as AnySchema }).operations['op']?.input : schema
  return {
    kind: 'topic',
    name: 'orders',
    contentType: 'application/json',
    types: { placed: { version, schema: json as JsonSchema } },
    ...rest,
  }
}

const operation = (definition: { input?: AnySchema; output?: AnySchema; failures?: Record<string, AnySchema> }) => {
  const made = releaseOf(defineContract('shop', { op: definition }))
  if (made.kind !== 'contract') throw new Error('not a contract')
  return made
}

// `path kind` of each break, without the common beginning.
const input = (older: AnySchema, newer: AnySchema): readonly string[] =>
  compareReleases(operation({ input: older }), operation({ input: newer })).breaks.map(
    ({ path, kind }) => `${path.replace('operations.op.input', '$')} ${kind}`,
  )
const output = (older: AnySchema, newer: AnySchema): readonly string[] =>
  compareReleases(operation({ output: older }), operation({ output: newer })).breaks.map(
    ({ path, kind }) => `${path.replace('operations.op.output', '$')} ${kind}`,
  )
const message = (older: AnySchema | object, newer: AnySchema | object): readonly string[] =>
  compareReleases(channel(older), channel(newer)).breaks.map(
    ({ path, kind }) => `${path.replace('types.placed', '$')} ${kind}`,
  )

const o = (shape: Record<string, z.ZodType>) => z.object(shape)
const s = z.string()
const n = z.number()
// As a program may write it, and JSON Schema may not.
const ODD = String.raw`^a\_b$`

describe('what is the same, or only more tolerant, breaks nothing', () => {
  test.each<[string, AnySchema, AnySchema]>([
    ['the same', o({ a: s, b: n.optional() }), o({ a: s, b: n.optional() })],
    ['another order', o({ a: s, b: n }), o({ b: n, a: s })],
    ['a recursive one', tree(), tree()],
    ['other words', o({ a: s.describe('x') }), o({ a: s.describe('y') })],
  ])('%s', (_, older, newer) => {
    expect([input(older, newer), output(older, newer), message(older, newer)]).toEqual([[], [], []])
  })

  test.each<[string, AnySchema, AnySchema]>([
    ['a new field that may be left out', o({ a: s }), o({ a: s, b: n.optional() })],
    ['a field that may be left out now', o({ a: s }), o({ a: s.optional() })],
    ['one more value', o({ a: z.enum(['x']) }), o({ a: z.enum(['x', 'y']) })],
    ['one more type', o({ a: s }), o({ a: z.union([s, n]) })],
    ['null as well', o({ a: s }), o({ a: s.nullable() })],
    ['a looser bound', o({ a: s.min(3).max(5), b: n.min(2) }), o({ a: s.min(2).max(6), b: n.min(1) })],
    ['any number', o({ a: n.int() }), o({ a: n })],
    ['a looser list', z.array(n).min(2), z.array(z.union([n, s])).min(1)],
    ['a record', z.record(s, n), z.record(s, z.union([n, s]))],
    ['a value of an enum as text', o({ a: z.enum(['x', 'y']) }), o({ a: s })],
  ])('a request: %s', (_, older, newer) => {
    expect(input(older, newer)).toEqual([])
    // Read the other way it is a break: the comparison is not blind.
    expect(input(newer, older)).not.toEqual([])
  })

  test.each<[string, AnySchema, AnySchema]>([
    ['a new field', o({ a: s }), o({ a: s, b: n })],
    ['a field that is always there now', o({ a: s.optional() }), o({ a: s })],
    ['fewer values', o({ a: z.enum(['x', 'y']) }), o({ a: z.enum(['x']) })],
    ['never null any more', o({ a: s.nullable() }), o({ a: s })],
    ['a tighter bound', o({ a: s.max(6) }), o({ a: s.max(5) })],
  ])('a reply: %s', (_, older, newer) => {
    expect(output(older, newer)).toEqual([])
    expect(output(newer, older)).not.toEqual([])
  })
})

describe('a request that is refused, or loses something, breaks', () => {
  test.each<[string, AnySchema, AnySchema, string[]]>([
    ['removed', o({ a: s, b: n }), o({ a: s }), ['$.b removed']],
    ['required', o({ a: s.optional() }), o({ a: s }), ['$.a required']],
    ['new and required', o({ a: s }), o({ a: s, b: n }), ['$.b required']],
    ['renamed', o({ first: s, b: n }), o({ given: s, b: n }), ['$.first renamed']],
    ['renamed and of another type', o({ a: s }), o({ b: n }), ['$.a removed', '$.b required']],
    ['narrowed values', o({ a: z.enum(['x', 'y']) }), o({ a: z.enum(['x']) }), ['$.a narrowed']],
    ['narrowed to values', o({ a: s }), o({ a: z.enum(['x']) }), ['$.a narrowed']],
    ['narrowed length', o({ a: s }), o({ a: s.max(3) }), ['$.a narrowed']],
    ['narrowed range', o({ a: n.min(0) }), o({ a: n.min(1) }), ['$.a narrowed']],
    ['above instead of from', o({ a: n.min(0) }), o({ a: n.gt(0) }), ['$.a narrowed']],
    ['whole numbers only', o({ a: n }), o({ a: z.int() }), ['$.a narrowed']],
    ['a format', o({ a: s }), o({ a: z.uuid() }), ['$.a narrowed']],
    ['another type', o({ a: s }), o({ a: n }), ['$.a changed']],
    ['no null any more', o({ a: s.nullable() }), o({ a: s }), ['$.a changed']],
    ['one alternative less', o({ a: z.union([s, n]) }), o({ a: s }), ['$.a changed']],
    [
      'deep',
      o({ lines: z.array(o({ sku: s })) }),
      o({ lines: z.array(o({ sku: s.max(3) })) }),
      ['$.lines[].sku narrowed'],
    ],
    ['in a tuple', z.tuple([s, n]), z.tuple([s, s]), ['$[1] changed']],
    ['in a record', z.record(s, n), z.record(s, z.int()), ['$.* narrowed']],
    ['strict', z.object({ a: s }), z.strictObject({ a: s }), ['$ narrowed']],
    ['checks what it ignored', z.object({ a: s }), z.object({ a: s }).catchall(n), ['$ narrowed']],
    ['a field of a record', z.record(s, n), o({ a: s.optional() }), ['$.a changed']],
    ['at least one', z.array(s), z.array(s).min(1), ['$ narrowed']],
    [
      'in an alternative',
      o({ a: z.union([o({ x: s }), n]) }),
      o({ a: z.union([o({ x: s, y: s }), n]) }),
      ['$.a.y required'],
    ],
    ['in a recursive one', tree(), tree(s.max(3)), ['$.name narrowed']],
  ])('%s', (_, older, newer, breaks) => {
    expect(input(older, newer)).toEqual(breaks)
  })
})

describe('a reply that older callers do not understand breaks', () => {
  test.each<[string, AnySchema, AnySchema, string[]]>([
    ['removed', o({ a: s, b: n }), o({ a: s }), ['$.b removed']],
    ['removed, though it was optional', o({ a: s, b: n.optional() }), o({ a: s }), ['$.b removed']],
    ['optional', o({ a: s }), o({ a: s.optional() }), ['$.a optional']],
    ['renamed', o({ a: s }), o({ b: s }), ['$.a renamed']],
    ['widened values', o({ a: z.enum(['x']) }), o({ a: z.enum(['x', 'y']) }), ['$.a widened']],
    ['widened range', o({ a: n.max(9) }), o({ a: n.max(10) }), ['$.a widened']],
    ['null now', o({ a: s }), o({ a: s.nullable() }), ['$.a changed']],
    ['a required field is one of a record now', o({ a: n }), z.record(s, n), ['$.a optional']],
    ['and may be of another type', o({ a: s }), z.record(s, n), ['$.a optional', '$.a changed']],
    ['an optional field as well', o({ a: s.optional() }), z.record(s, n), ['$.a changed']],
    ['a field that strict readers refuse', z.strictObject({ a: s }), z.strictObject({ a: s, b: s }), ['$.b widened']],
  ])('%s', (_, older, newer, breaks) => {
    expect(output(older, newer)).toEqual(breaks)
  })
})

describe('a message goes both ways', () => {
  test.each<[string, AnySchema, AnySchema, string[]]>([
    ['new and required: older ones wait in the queue', o({ a: s }), o({ a: s, b: n }), ['$.b required']],
    ['optional: older consumers rely on it', o({ a: s }), o({ a: s.optional() }), ['$.a optional']],
    ['narrowed', o({ a: z.enum(['x', 'y']) }), o({ a: z.enum(['x']) }), ['$.a narrowed']],
    ['widened', o({ a: z.enum(['x']) }), o({ a: z.enum(['x', 'y']) }), ['$.a widened']],
    ['removed is told once', o({ a: s, b: n }), o({ a: s }), ['$.b removed']],
    ['a record instead of a field', o({ a: n }), z.record(s, n), ['$ narrowed', '$.a optional']],
    ['a new optional field is fine', o({ a: s }), o({ a: s, b: n.optional() }), []],
  ])('%s', (_, older, newer, breaks) => {
    expect(message(older, newer)).toEqual(breaks)
  })

  test('a newer version reads older ones through its upcasters: only older consumers are asked', () => {
    const older = channel(o({ a: s }))
    expect(compareReleases(older, channel(o({ a: s, b: n }), { version: 2 })).breaks).toEqual([])
    expect(compareReleases(older, channel(o({ b: n }), { version: 2 })).breaks).toMatchObject([
      { path: 'types.placed.a', kind: 'removed' },
    ])
    expect(compareReleases(channel(o({ a: s }), { version: 2 }), older).breaks).toMatchObject([
      { path: 'types.placed.version', kind: 'changed' },
    ])
  })

  test('what answers a request: older requesters have to understand it', () => {
    const of = (definition: object) => releaseOf(queue('q', { ask: { schema: s, ...definition } as never }))
    const older = of({ reply: o({ a: s }), failures: { GONE: o({ b: n }) } })
    const found = (newer: object, from = older) =>
      compareReleases(from, of(newer)).breaks.map(({ path, kind }) => `${path} ${kind}`)
    expect(JSON.parse(JSON.stringify(older)).types.ask).toMatchObject({
      reply: { type: 'object' },
      failures: { GONE: { type: 'object' } },
    })
    expect(found({ reply: o({ a: s, more: n }), failures: { GONE: o({ b: n }) } })).toEqual([])
    // Fewer failures are no harm, and neither is an answer where there was none.
    expect(found({ reply: o({ a: s }) })).toEqual([])
    expect(found({ reply: o({ a: s }) }, of({}))).toEqual([])
    expect(found({ reply: o({ a: s.optional() }) })).toEqual(['types.ask.reply.a optional'])
    expect(found({ reply: o({ a: n }), failures: { GONE: o({ b: s }), NEW: s } })).toEqual([
      'types.ask.reply.a changed',
      'types.ask.failures.GONE.b changed',
      'types.ask.failures.NEW widened',
    ])
    expect(found({})).toEqual(['types.ask.reply removed'])
  })

  test('types, name, kind and content type', () => {
    const older = channel(o({ a: s }))
    const types = { other: older.types['placed'] as never }
    const found = (newer: Partial<ChannelRelease>) =>
      compareReleases(older, { ...older, ...newer }).breaks.map(({ path, kind }) => `${path} ${kind}`)
    expect(found({ types: {} })).toEqual(['types.placed removed'])
    expect(found({ types })).toEqual(['types.placed renamed'])
    // It goes to the dead letters of consumers that do not know it.
    const both = { ...older.types, ...types }
    expect(found({ types: both })).toEqual(['types.other widened'])
    expect(compareReleases(older, { ...older, types: both }, { reviewed: ['types.other'] }).breaks).toEqual([])
    // A channel that is called like the new type hides nothing.
    expect(found({ types: both, name: 'other' })).toEqual(['name renamed', 'types.other widened'])
    expect(found({ name: 'bookings' })).toEqual(['name renamed'])
    expect(found({ kind: 'queue' })).toEqual(['kind changed'])
    expect(found({ contentType: 'application/cbor' })).toEqual(['contentType changed'])
  })
})

describe('operations', () => {
  const shop = (operations: Record<string, object>) => releaseOf(defineContract('shop', operations as never))
  const found = (older: Record<string, object>, newer: Record<string, object>) =>
    compareReleases(shop(older), shop(newer)).breaks.map(({ path, kind }) => `${path} ${kind}`)

  test('gone, renamed, moved, streaming, not idempotent any more', () => {
    const op = { http: 'GET /stock', output: o({ a: s }) }
    const other = { http: 'GET /other' }
    expect(found({ op, other }, { other })).toEqual(['operations.op removed'])
    expect(found({ op, other }, { stock: op, other })).toEqual(['operations.op renamed'])
    expect(found({ op }, { op: { ...op, http: 'GET /stocks' } })).toEqual(['operations.op.http changed'])
    expect(found({ op }, { op: { ...op, streaming: 'server' } })).toEqual(['operations.op.streaming changed'])
    expect(found({ op }, { op: { ...op, idempotent: false } })).toEqual(['operations.op.idempotent narrowed'])
    expect(found({ op }, { op, other })).toEqual([])
    expect(found({ op }, { op: { http: 'GET /stock' } })).toEqual(['operations.op.output removed'])
  })

  test('an input that comes where there was none', () => {
    expect(found({ op: {} }, { op: { input: o({ a: s }) } })).toEqual(['operations.op.input required'])
    expect(found({ op: { input: o({ a: s }) } }, { op: {} })).toEqual(['operations.op.input removed'])
  })

  test('failures: a new one older callers do not know; the data of one', () => {
    const failures = { soldOut: o({ left: n }) }
    expect(found({ op: {} }, { op: { failures } })).toEqual(['operations.op.failures.soldOut widened'])
    expect(found({ op: { failures } }, { op: {} })).toEqual([])
    expect(found({ op: { failures } }, { op: { failures: { soldOut: { schema: o({}), status: 409 } } } })).toEqual([
      'operations.op.failures.soldOut.left removed',
    ])
  })

  test('the service itself', () => {
    const op = { op: { http: 'GET /op' } } as const
    expect(compareReleases(defineContract('a', op), defineContract('b', op)).breaks).toMatchObject([
      { path: 'service', kind: 'renamed' },
    ])
    expect(compareReleases(defineContract('a', op), channel(o({}))).breaks).toMatchObject([{ path: 'kind' }])
  })
})

describe('what cannot be compared is said', () => {
  const parts = (older: AnySchema, newer = older) =>
    compareReleases(operation({ input: older }), operation({ input: newer })).notComparable.map(
      ({ path, why }) => `${path.replace('operations.op.input', '$')} ${why}`,
    )

  test.each<[string, AnySchema, RegExp]>([
    ['a transform', o({ a: s.transform(Number) }), /^\$\.a a transform$/],
    ['a preprocess', o({ a: z.preprocess(String, s) }), /^\$\.a a transform$/],
    ['a refinement', o({ a: s.refine((value) => value !== 'x') }), /^\$\.a a refinement$/],
    ['a refinement of the whole', o({ a: s }).refine(() => true), /^\$ a refinement$/],
    ['custom', o({ a: z.custom(() => true) }), /^\$\.a of type custom$/],
    ['a date', o({ a: z.date() }), /^\$\.a of type date$/],
    ['coerced', o({ a: z.coerce.number() }), /^\$\.a coerced$/],
    ['valibot', v.object({ a: v.string() }), /^\$ valibot gives no JSON Schema/],
    ['a narrow of arktype', type('string').narrow(() => true), /^\$ /],
    ['a pipe', o({ a: s.pipe(s.min(5)) }), /^\$\.a a pipe$/],
    ['a codec', o({ a: z.codec(s, n, { decode: Number, encode: String }) }), /^\$\.a a pipe$/],
    ['stringbool', o({ a: z.stringbool() }), /^\$\.a a pipe$/],
    ['a default that hides what is refused', o({ a: s.catch('x') }), /^\$\.a of type catch$/],
    ['a property', o({ a: s.check(z.property('length', n.min(2))) }), /^\$\.a a check of property$/],
    ['a mime type', o({ a: z.file().mime('image/png') }), /^\$\.a a check of mime type$/],
    ['a format that is a function', o({ a: z.stringFormat('even', () => true) }), /^\$\.a the format even/],
    ['a pattern with a flag', o({ a: s.regex(/^a/i) }), /^\$\.a a pattern with the flags i$/],
    ['only some URLs', o({ a: z.url({ hostname: /^x$/ }) }), /^\$\.a a url of some only$/],
  ])('%s', (_, schema, line) => {
    expect(parts(schema)).toEqual([expect.stringMatching(line)])
    // On either side.
    const plain = o({ a: s })
    if (schema instanceof z.ZodObject && schema.def.checks === undefined) {
      expect(parts(plain, schema)).toEqual([expect.stringMatching(line)])
      expect(parts(schema, plain)).toEqual([expect.stringMatching(line)])
    }
  })

  test.each<[string, z.ZodType, z.ZodType]>([
    ['two patterns', s.regex(/^a/), s.regex(/^b/)],
    ['two patterns', z.email(), z.email({ pattern: /^[a-z]+@example\.com$/ })],
    ['two patterns', z.iso.datetime(), z.iso.datetime({ offset: true })],
    ['two patterns', z.iso.datetime(), z.iso.datetime({ precision: 3 })],
    ['two patterns', z.uuidv4(), z.uuidv7()],
    ['the pattern ^a\\_b$ cannot be tried', z.literal('a_b'), s.regex(new RegExp(ODD))],
    ['whether "x" is of the format uri', z.literal('x'), z.url()],
    ['what changes a value before it is checked differs', s.min(3), s.trim().min(3)],
    ['what changes a value before it is checked differs', s.trim().min(3), s.toLowerCase().min(3)],
  ])('%s', (why, older, newer) => {
    expect(parts(o({ a: older }), o({ a: newer }))).toEqual([`$.a ${why}`])
  })

  test('a pattern besides a format, where the older has the format only', () => {
    const email = { type: 'string', format: 'email' }
    expect(compareReleases(channel(email), channel({ ...email, pattern: '@' })).notComparable).toEqual([
      { path: 'types.placed', why: 'a pattern besides the format' },
    ])
  })

  test.each<[string, z.ZodType, z.ZodType]>([
    ['the same format', z.email(), z.email()],
    ['what changes a value refuses none', s, s.trim().toLowerCase()],
    ['the same before the same check', s.trim().min(1), s.trim().min(1)],
    ['checks that JSON Schema has', s.min(1).max(2).startsWith('a'), s.min(1).max(2).startsWith('a')],
    ['numbers', z.int().positive().multipleOf(2), z.int().positive().multipleOf(2)],
    ['lists', z.array(s).min(1).max(2), z.array(s).min(1).max(2)],
  ])('comparable: %s', (_, older, newer) => {
    expect(parts(o({ a: older }), o({ a: newer }))).toEqual([])
  })

  test('the rest of it is compared all the same', () => {
    const older = o({ a: s.transform(Number), b: n })
    const { breaks, notComparable } = compareReleases(
      operation({ input: older }),
      operation({ input: o({ a: s.transform(Number) }) }),
    )
    expect([breaks.length, notComparable.length]).toEqual([1, 1])
  })

  test('arktype gives its own JSON Schema; a converter serves the others', () => {
    expect(input(type({ a: 'string' }), type({ a: 'string', b: 'number' }))).toEqual(['$.b required'])
    const toJsonSchema = (schema: AnySchema) =>
      'entries' in schema ? { type: 'object', required: Object.keys(schema.entries as object) } : undefined
    const contract = (fields: Record<string, v.GenericSchema>) =>
      defineContract('shop', { op: { input: v.object(fields) } })
    const { breaks, notComparable } = compareReleases(
      contract({ a: v.string() }),
      contract({ a: v.string(), b: v.string() }),
      { toJsonSchema },
    )
    expect([breaks.map(({ path }) => path), notComparable]).toEqual([['operations.op.input.b'], []])
  })

  test('a keyword that the comparison does not know counts only where it differs', () => {
    const one = { type: 'object', minProperties: 1 }
    expect(compareReleases(channel(one), channel(one)).notComparable).toEqual([])
    expect(compareReleases(channel(one), channel({ ...one, minProperties: 2 })).notComparable).toEqual([
      { path: 'types.placed', why: 'minProperties differs' },
    ])
  })
})

describe('assertCompatible', () => {
  const older = o({ a: s, b: n })
  const newer = o({ a: s.refine(() => true), c: n.int() })

  test('is silent where nothing breaks, also with what was kept as JSON', () => {
    const kept = JSON.parse(JSON.stringify(releaseOf(defineContract('shop', { op: { input: older } }))))
    expect(assertCompatible(kept, defineContract('shop', { op: { input: older } }))).toBeUndefined()
  })

  test('names every break and every part that cannot be compared', () => {
    const fails = (): void => assertCompatible(operation({ input: older }), operation({ input: newer }))
    expect(fails).toThrow(FairleadError)
    try {
      fails()
    } catch (error) {
      expect((error as FairleadError).message.split('\n')).toEqual([
        '[INCOMPATIBLE] 2 broken, 1 not comparable:',
        '  operations.op.input.b: removed: is there no more',
        '  operations.op.input.c: required: is new and must be given',
        '  operations.op.input.a: not comparable: a refinement',
        'What is not comparable: look at it, then name its path in `reviewed`.',
      ])
      expect((error as FairleadError).details).toMatchObject({ changes: [{ kind: 'removed' }, { kind: 'required' }] })
    }
  })

  test('only something that cannot be compared fails as well, until it is reviewed', () => {
    const refined = operation({ input: o({ a: s.refine(() => true) }) })
    expect(() => assertCompatible(refined, refined)).toThrow(/0 broken, 1 not comparable/)
    expect(assertCompatible(refined, refined, { reviewed: ['operations.op.input.a'] })).toBeUndefined()
    expect(assertCompatible(refined, refined, { reviewed: ['operations.op'] })).toBeUndefined()
    expect(() => assertCompatible(refined, refined, { reviewed: ['operations.o'] })).toThrow(
      /not comparable[\s\S]*operations\.o: reviewed, but nothing is found there/,
    )
  })

  test('a reviewed path at which nothing is found is refused: it would hide the next change', () => {
    const same = operation({ input: o({ a: s }) })
    const options = { reviewed: ['operations.op.input.a', 'operations.op.input.typo'] }
    expect(() => assertCompatible(same, same, options)).toThrow(
      /INVALID_OPTIONS.*operations\.op\.input\.a, operations\.op\.input\.typo/,
    )
    const narrowed = operation({ input: o({ a: s.min(3) }) })
    expect(compareReleases(same, narrowed, options)).toEqual({
      breaks: [],
      notComparable: [],
      reviewedForNothing: ['operations.op.input.typo'],
    })
    expect(() => compareReleases(same, same, { reviewed: 'operations' } as never)).toThrow(/reviewed.*list of paths/)
  })

  test('what is neither a contract nor a channel is refused', () => {
    expect(() => assertCompatible({} as never, operation({}))).toThrow(/older.*give a contract/)
    expect(() => assertCompatible(operation({}), null as never)).toThrow(/newer/)
    expect(() => assertCompatible(operation({}), operation({}), { review: [] } as never)).toThrow(/options\.review/)
  })
})

function tree(name: z.ZodType = s): z.ZodType {
  const node: z.ZodType = z.object({
    name,
    get children() {
      return z.array(node)
    },
  })
  return node
}
