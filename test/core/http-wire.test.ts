import { describe, expect, it } from 'vitest'
import {
  checkHeader,
  failedLine,
  failureProblem,
  isJsonType,
  isNdjsonType,
  itemLine,
  layOut,
  lines,
  parseJson,
  parseRoute,
  readDeadline,
  readFailure,
  readLine,
  readQuery,
  routeOf,
  writeDeadline,
} from '../../src/core/http-wire.ts'

const descriptor = {
  service: 'inventory',
  name: 'stock',
  idempotent: true,
  streaming: 'none',
  failures: ['gone'],
  bindings: {},
} as const

describe('a binding', () => {
  it('names method, path, fields of the path and of the query', () => {
    expect(parseRoute('POST /reservations/:id/lines?expand&dry-run')).toEqual({
      method: 'POST',
      path: '/reservations/:id/lines',
      segments: [{ literal: 'reservations' }, { param: 'id' }, { literal: 'lines' }],
      params: ['id'],
      query: ['expand', 'dry-run'],
      rest: 'body',
    })
    expect(parseRoute('GET /')).toMatchObject({ segments: [], rest: 'query' })
  })

  it.each([
    ['FETCH /x', 'METHOD'],
    ['get /x', 'METHOD'],
    ['GET x', 'begins with /'],
    ['GET', 'METHOD'],
    ['GET /a//b', 'part of a path'],
    ['GET /a/../b', 'part of a path'],
    ['GET /a b', 'METHOD'],
    ['GET /:', 'name of a field'],
    ['GET /:__proto__', 'name of a field'],
    ['GET /x?constructor', 'name of a field'],
    ['GET /:id/:id', 'named twice'],
    ['GET /:id?id', 'named twice'],
    ['GET /a\r\nHost:x', 'METHOD'],
    ['GET /%zz', 'encoded'],
    ['GET /:id.json', 'name of a field'],
  ])('%j is refused', (binding, why) => {
    expect(() => parseRoute(binding)).toThrow(why)
  })

  it('is POST /service/operation where there is none', () => {
    expect(routeOf(descriptor)).toMatchObject({ method: 'POST', path: '/inventory/stock' })
    expect(routeOf({ ...descriptor, bindings: { http: { method: 'GET', path: '/s/:id' } } })).toMatchObject({
      params: ['id'],
    })
  })
})

describe('an input', () => {
  it('is encoded into the path', () => {
    expect(layOut(parseRoute('GET /stock/:sku'), { sku: 'a/b?c#d e%\r\n' })).toEqual({
      method: 'GET',
      target: '/stock/a%2Fb%3Fc%23d%20e%25%0D%0A',
      body: undefined,
    })
  })

  it.each([
    [{ sku: '' }],
    [{ sku: '.' }],
    [{ sku: '..' }],
    [{}],
    [{ sku: null }],
    [{ sku: {} }],
    [{ sku: '\ud800' }],
    ['text'],
    [undefined],
    [[1]],
  ])('%j does not fit into a path', (input) => {
    expect(() => layOut(parseRoute('GET /stock/:sku'), input)).toThrow('[INVALID_REQUEST]')
  })

  it('goes to the query for GET and DELETE', () => {
    const { target } = layOut(parseRoute('GET /find'), {
      text: 'a&b=c',
      count: 3,
      deep: { a: 1 },
      ids: ['x', 'y'],
      none: [],
      no: null,
      left: undefined,
      when: new Date(0),
    })
    expect(target).toBe(
      '/find?text=a%26b%3Dc&count=3&deep=%7B%22a%22%3A1%7D&ids=x&ids=y&none=%5B%5D&no=null&when=1970-01-01T00%3A00%3A00.000Z',
    )
    expect(layOut(parseRoute('DELETE /r/:id'), { id: 7, why: 'x' }).target).toBe('/r/7?why=x')
    expect(layOut(parseRoute('GET /find'), undefined).target).toBe('/find')
  })

  it('goes to the body otherwise, but for the fields that are named', () => {
    expect(layOut(parseRoute('PUT /r/:id?dry'), { id: 7, dry: true, a: 1, b: 2 })).toEqual({
      method: 'PUT',
      target: '/r/7?dry=true',
      body: { a: 1, b: 2 },
    })
    expect(layOut(parseRoute('POST /r/:id'), { id: 7 }).body).toBeUndefined()
    expect(layOut(parseRoute('POST /r'), ['any', 'thing']).body).toEqual(['any', 'thing'])
  })
})

describe('a query', () => {
  it('gives text, and arrays of text', () => {
    expect(readQuery('a=1&b=x&b=y&b=z&c=')).toEqual({ a: '1', b: ['x', 'y', 'z'], c: '' })
  })

  it('cannot reach a prototype', () => {
    const read = readQuery('__proto__=x&constructor=y&prototype=z&toString=w')
    expect(Object.keys(read)).toEqual(['toString'])
    expect(read['toString']).toBe('w')
    expect(Object.getPrototypeOf(read)).toBe(Object.prototype)
  })
})

describe('JSON', () => {
  it('loses what would poison a prototype, however it is written', () => {
    const poisoned = [
      '{"a":1,"__proto__":{"admin":true}}',
      '{"a":1,"\\u005f_proto__":{"admin":true}}',
      '{"a":1,"constructor":{"prototype":{"admin":true}}}',
      '{"a":1,"c\\u006fnstructor":{"\\u0070rototype":{"admin":true}}}',
    ]
    for (const text of poisoned) expect(Reflect.ownKeys(parseJson(text) as object)).toEqual(['a'])
    expect(parseJson('[[{"x":{"__proto__":1}}],null]')).toEqual([[{ x: {} }], null])
  })

  it('keeps what is harmless', () => {
    expect(parseJson('{"constructor":"Brunel","prototype":"v1","text":"__proto__"}')).toEqual({
      constructor: 'Brunel',
      prototype: 'v1',
      text: '__proto__',
    })
    expect(parseJson('"__proto__"')).toBe('__proto__')
    expect(() => parseJson('{')).toThrow(SyntaxError)
  })

  it.each([
    ['application/json', true],
    ['application/json; charset=utf-8', true],
    ['application/problem+json', true],
    ['text/json', true],
    ['application/jsonp', false],
    ['text/html', false],
    ['application/x-ndjson', false],
    [undefined, false],
  ])('is said by %s: %s', (type, is) => {
    expect(isJsonType(type)).toBe(is)
  })

  it('in lines has its own type', () => {
    expect(isNdjsonType('application/x-ndjson; charset=utf-8')).toBe(true)
    expect(isNdjsonType('application/json')).toBe(false)
  })
})

describe('a deadline header', () => {
  it('is written in whole milliseconds, never above what is left', () => {
    expect([writeDeadline(12.9), writeDeadline(0.4), writeDeadline(-3), writeDeadline(Infinity)]).toEqual([
      '12',
      '0',
      '0',
      undefined,
    ])
  })

  it.each([
    ['250', 250],
    ['0', 0],
    ['-5', -5],
    [' 7 ', 7],
    ['1e3', undefined],
    ['', undefined],
    ['soon', undefined],
    ['NaN', undefined],
    ['Infinity', undefined],
    ['9'.repeat(400), undefined],
    [undefined, undefined],
  ])('%j says %s', (value, read) => {
    expect(readDeadline(value)).toBe(read)
  })
})

describe('a header', () => {
  it.each([
    ['x-a', 'b\r\nx-evil: 1'],
    ['x-a', 'b\n'],
    ['x-a', 'b\0'],
    ['x-a', 'ż'],
    ['x a', 'b'],
    ['x-a\r\n', 'b'],
    ['', 'b'],
    ['x-a', 5 as never],
  ])('%j: %j is refused', (name, value) => {
    expect(() => checkHeader(name, value)).toThrow('[INVALID_REQUEST]')
  })

  it('may be Latin-1', () => {
    expect(checkHeader('x-a', 'caf\u00e9\tau lait')).toBe('caf\u00e9\tau lait')
  })
})

it('a failure is one only if the operation declares it', () => {
  const problem = failureProblem('gone', { left: 1 }, 410)
  expect(problem).toEqual({
    type: 'urn:fairlead:failure:gone',
    title: 'gone',
    status: 410,
    failure: 'gone',
    data: { left: 1 },
  })
  expect(readFailure(descriptor, 'gone', problem)).toEqual({ failure: 'gone', data: { left: 1 } })
  expect(readFailure(descriptor, 'other', problem)).toBeUndefined()
  expect(readFailure(descriptor, undefined, problem)).toBeUndefined()
  expect(readFailure(descriptor, 'gone', 'text')).toEqual({ failure: 'gone', data: undefined })
})

describe('a stream', () => {
  it('has lines for items and for how it failed', () => {
    expect(readLine(itemLine({ a: 'x\ny' }).trimEnd())).toEqual({ type: 'item', value: { a: 'x\ny' } })
    expect(itemLine(undefined)).toBe('null\n')
    expect(readLine(failedLine(failureProblem('gone', 1)).trimEnd())).toEqual({
      type: 'failure',
      failure: 'gone',
      data: 1,
    })
    expect(readLine(failedLine({ status: 500 }).trimEnd())).toEqual({ type: 'problem', problem: { status: 500 } })
    expect(readLine('  ')).toBeUndefined()
    expect(() => readLine('{')).toThrow(SyntaxError)
  })

  it('is cut into lines wherever the chunks are cut', async () => {
    const text = 'é\n\n"b"\nlast'
    const bytes = Buffer.from(text)
    for (let size = 1; size <= bytes.length; size++) {
      const chunks = async function* (): AsyncGenerator<Uint8Array> {
        for (let at = 0; at < bytes.length; at += size) yield bytes.subarray(at, at + size)
      }
      const read: string[] = []
      for await (const line of lines(chunks(), 100, () => new Error('too long'))) read.push(line)
      expect(read).toEqual(['é', '', '"b"', 'last'])
    }
  })

  it('with a line that does not end is given up', async () => {
    const endless = async function* (): AsyncGenerator<Uint8Array> {
      for (;;) yield Buffer.alloc(10, 97)
    }
    await expect(lines(endless(), 25, () => new Error('too long')).next()).rejects.toThrow('too long')
  })
})
