// JSON says what it cannot carry, and where; what it carries comes back as it was.
import { runInNewContext } from 'node:vm'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { isFairleadError } from '../../src/errors/index.ts'
import { jsonCodec } from '../../src/messaging/index.ts'

const codec = jsonCodec()
const text = (data: unknown, own = codec): string => Buffer.from(own.encode(data)).toString()
const issues = (data: unknown, own = codec): readonly { readonly path: string; readonly message: string }[] => {
  try {
    own.encode(data)
  } catch (error) {
    if (!isFairleadError(error, 'INVALID_INPUT')) throw error
    return (error.details as { issues: readonly { path: string; message: string }[] }).issues
  }
  throw new Error('it was encoded')
}

class Money {
  readonly cents: number
  constructor(cents: number) {
    this.cents = cents
  }
  toJSON(): unknown {
    return { cents: this.cents }
  }
}
class Lines extends Array<number> {
  toJSON(): unknown {
    return { sum: this.reduce((sum, each) => sum + each, 0) }
  }
}
const hidden = <T extends object>(value: T, gives: unknown): T =>
  Object.defineProperty(value, 'toJSON', { value: () => gives, enumerable: false })
class Bare {
  x = 1
}

describe('refuses with the path', () => {
  test.each([
    ['BigInt', { lines: [{}, {}, { at: 5n }] }, 'data.lines.2.at', 'BigInt'],
    ['Date', { at: new Date(0) }, 'data.at', 'Date'],
    ['Map', { a: new Map() }, 'data.a', 'Map'],
    ['Set', { a: new Set() }, 'data.a', 'Set'],
    ['a typed array', { a: new Uint8Array(1) }, 'data.a', 'Uint8Array'],
    ['a RegExp', { a: /x/ }, 'data.a', 'RegExp'],
    ['an Error', { a: new Error('x') }, 'data.a', 'Error'],
    ['an instance of a class', { a: new Bare() }, 'data.a', 'Bare'],
    ['an instance that has toJSON', { a: new Money(1) }, 'data.a', 'Money'],
    ['a boxed string', { a: Object('x') }, 'data.a', 'String'],
    ['NaN', { a: [1, Number.NaN] }, 'data.a.1', 'NaN'],
    ['Infinity', { a: -Infinity }, 'data.a', '-Infinity'],
    ['undefined in an array', { a: [undefined] }, 'data.a.0', 'undefined'],
    // biome-ignore lint/suspicious/noSparseArray: this is what is tested
    ['a hole in an array', { a: [1, , 2] }, 'data.a.1', 'undefined'],
    ['a function', { a: () => 1 }, 'data.a', 'function'],
    ['a symbol', { a: Symbol('x') }, 'data.a', 'symbol'],
    ['a function named toJSON', { toJSON: () => 1 }, 'data.toJSON', 'function'],
    ['a list that has toJSON', { a: Lines.from([1, 2]) }, 'data.a', 'toJSON'],
    ['a list with a toJSON of its own', { a: hidden([1, 2], 'lost') }, 'data.a', 'toJSON'],
    ['an object with a hidden toJSON', { a: hidden({ b: 1 }, undefined) }, 'data.a', 'toJSON'],
    ['a hidden toJSON without a prototype', { a: hidden(Object.create(null), 1) }, 'data.a', 'toJSON'],
    ['a member named __proto__', { a: JSON.parse('{"__proto__":1}') }, 'data.a.__proto__', '__proto__'],
    ['undefined as the whole', undefined, 'data', 'undefined'],
  ])('%s', (_, data, path, words) => {
    const [issue] = issues(data)
    expect(issue?.path).toBe(path)
    expect(issue?.message).toContain(words)
  })

  test('every place, not only the first', () => {
    expect(issues({ a: 1n, b: [new Date(), Number.NaN], c: { d: () => 1 } }).map(({ path }) => path)).toEqual([
      'data.a',
      'data.b.0',
      'data.b.1',
      'data.c.d',
    ])
  })

  test('no more than twenty places of a thousand', () => {
    expect(issues(Array.from({ length: 1_000 }, () => 1n))).toHaveLength(20)
  })

  test('what contains itself, at the place where it does', () => {
    const order: Record<string, unknown> = { id: 1, lines: [{}] }
    ;(order['lines'] as Record<string, unknown>[])[0]!['order'] = order
    expect(issues(order)).toEqual([{ path: 'data.lines.0.order', message: 'it contains itself' }])
  })

  test('wide cycles at once, not after walking them to the bottom', () => {
    const root: { children: unknown[] } = { children: [] }
    for (let i = 0; i < 200; i++) root.children.push({ parent: root })
    expect(issues(root)).toHaveLength(20)
  })

  test('what is nested too deep', () => {
    const nested = (levels: number): unknown => (levels === 0 ? 1 : [nested(levels - 1)])
    expect(text(nested(64))).toContain('1')
    expect(issues(nested(65))[0]?.message).toContain('64 levels')
    expect(issues([[1]], jsonCodec({ maxDepth: 1 }))[0]?.path).toBe('data.0')
  })
})

describe('takes', () => {
  test('an undefined member by leaving it out', () => expect(text({ a: undefined, b: 1 })).toBe('{"b":1}'))
  test('the same object twice', () => {
    const shared = { a: 1 }
    expect(text([shared, shared, { shared }])).toBe('[{"a":1},{"a":1},{"shared":{"a":1}}]')
  })
  test('an object without a prototype', () =>
    expect(text(Object.assign(Object.create(null), { a: 1 }))).toBe('{"a":1}'))
  test('an object of another realm', () =>
    expect(text(runInNewContext('({ a: [1, { b: 2 }] })'))).toBe('{"a":[1,{"b":2}]}'))
  test('null, and empty things', () => expect(text([null, {}, [], '', 0, false])).toBe('[null,{},[],"",0,false]'))
  test('a lone surrogate, as its escape', () => expect(codec.decode(codec.encode('\ud800'))).toBe('\ud800'))
})

describe('carries what is declared', () => {
  const all = jsonCodec({ dates: 'iso', bigints: 'string', classes: 'toJSON' })
  test('dates, big integers, classes', () => {
    const data = { at: new Date(0), n: 2n ** 70n, price: new Money(5), list: [1n, { at: new Date(1) }], same: 'x' }
    expect(JSON.parse(text(data, all))).toEqual({
      at: '1970-01-01T00:00:00.000Z',
      n: '1180591620717411303424',
      price: { cents: 5 },
      list: ['1', { at: '1970-01-01T00:00:00.001Z' }],
      same: 'x',
    })
    // What was given is as it was.
    expect(data.list[0]).toBe(1n)
  })
  test('but no invalid date, and no toJSON that throws or gives another instance', () => {
    expect(issues({ a: new Date(Number.NaN) }, all)[0]?.message).toContain('invalid')
    const throws = {
      a: new (class Odd {
        toJSON(): never {
          throw new Error('no')
        }
      })(),
    }
    expect(issues(throws, all)[0]).toMatchObject({ path: 'data.a', message: expect.stringContaining('no') })
    const other = {
      a: new (class Odd {
        toJSON(): unknown {
          return new Map()
        }
      })(),
    }
    expect(issues(other, all)[0]?.path).toBe('data.a')
    const endless = {
      a: new (class Odd {
        toJSON(): unknown {
          return { again: this }
        }
      })(),
    }
    expect(issues(endless, all)[0]).toEqual({ path: 'data.a.again', message: 'it contains itself' })
  })
  test('a class without toJSON is refused all the same', () => expect(issues({ a: new Bare() }, all)).toHaveLength(1))
  test('what toJSON gives is checked as well', () => {
    const bad = {
      a: new (class Odd {
        toJSON(): unknown {
          return { b: Number.NaN }
        }
      })(),
    }
    expect(issues(bad, all)[0]?.path).toBe('data.a.b')
  })
  test('a list, or a plain object, that has toJSON as what that gives, asked once', () => {
    expect(text({ a: Lines.from([1, 2]), b: hidden({ c: 1 }, [3]) }, all)).toBe('{"a":{"sum":3},"b":[3]}')
    expect(issues({ a: hidden([1], hidden([2], 'asked twice')) }, all)[0]).toMatchObject({
      path: 'data.a',
      message: expect.stringContaining('no plain data'),
    })
    expect(issues({ a: hidden([1], Lines.from([1])) }, all)[0]?.path).toBe('data.a')
  })
  test('refuses other words', () => {
    expect(() => jsonCodec({ dates: 'unix' as never })).toThrow(/jsonCodec.dates/)
    expect(() => jsonCodec({ date: 'iso' } as never)).toThrow(/no such option/)
  })
})

test('whatever it takes comes back the same', () => {
  fc.assert(
    fc.property(fc.jsonValue({ maxDepth: 6 }), (value) => {
      const carried = JSON.parse(JSON.stringify(value)) as unknown
      fc.pre(!JSON.stringify(carried).includes('__proto__'))
      expect(codec.decode(codec.encode(carried))).toEqual(carried)
    }),
    { numRuns: 500, seed: 4 },
  )
})

test('whatever else it is given, it never changes it silently: it comes back the same or is refused', () => {
  const odd = fc.anything({
    withBigInt: true,
    withDate: true,
    withMap: true,
    withSet: true,
    withTypedArray: true,
    withNullPrototype: true,
  })
  const lossless = (value: unknown): boolean => {
    if (Object.is(value, -0)) return true
    if (typeof value === 'number') return Number.isFinite(value)
    if (typeof value !== 'object' || value === null)
      return typeof value === 'string' || typeof value === 'boolean' || value === null
    if (Array.isArray(value)) return Array.from(value).every(lossless)
    const proto = Object.getPrototypeOf(value)
    if (proto !== Object.prototype && proto !== null) return false
    return Object.entries(value).every(
      ([name, member]) => name !== '__proto__' && (member === undefined || lossless(member)),
    )
  }
  fc.assert(
    fc.property(odd, (value) => {
      if (lossless(value)) expect(text(value)).toBe(JSON.stringify(value))
      else expect(issues(value).length).toBeGreaterThan(0)
    }),
    { numRuns: 2_000, seed: 4 },
  )
})

describe('decodes', () => {
  const failing = (body: Uint8Array): string => {
    try {
      codec.decode(body)
    } catch (error) {
      if (isFairleadError(error, 'MESSAGE_UNDECODABLE')) return error.message
      throw error
    }
    throw new Error('it was decoded')
  }
  test('no bytes that are not UTF-8, rather than replacing them', () => {
    expect(failing(Buffer.from([0x22, 0xff, 0x22]))).toContain('UTF-8')
  })
  test('nothing that is not JSON', () => expect(failing(Buffer.from('{a:1}'))).toContain('not JSON'))
  test('with or without a byte order mark', () => expect(codec.decode(Buffer.from('\ufeff{"a":1}'))).toEqual({ a: 1 }))
  test('a view into a larger buffer', () => {
    const whole = new TextEncoder().encode('xx{"a":1}xx')
    expect(codec.decode(whole.subarray(2, 9))).toEqual({ a: 1 })
  })
  test.each(['{"a":1,"__proto__":{"admin":true}}', '{"a":1,"\\u005f\\u005fpr\\u006fto__":{"admin":true}}'])(
    '%s without the prototype in it',
    (body) => {
      const data = codec.decode(Buffer.from(`{"list":[${body}]}`)) as { list: [Record<string, unknown>] }
      expect(Object.getOwnPropertyNames(data.list[0])).toEqual(['a'])
      expect(Object.assign({}, data.list[0])).not.toHaveProperty('admin')
      expect(({} as Record<string, unknown>)['admin']).toBeUndefined()
    },
  )
  test('what is nested deeper than the stack, with a __proto__ at its bottom', () => {
    const deep = `${'['.repeat(200_000)}{"__proto__":1}${']'.repeat(200_000)}`
    expect(Array.isArray(codec.decode(Buffer.from(deep)))).toBe(true)
  })
})

test.each([
  ['application/json', true],
  ['application/json; charset=utf-8', true],
  ['Application/JSON;Charset="UTF-8"', true],
  ['application/vnd.shop.v1+json', true],
  ['text/json', true],
  ['application/json; charset=utf-16', false],
  ['application/avro', false],
  ['text/plain', false],
])('%s: %s', (contentType, taken) => {
  expect(codec.accepts?.(contentType)).toBe(taken)
})
