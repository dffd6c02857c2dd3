// What classify does around its tables: what it leaves alone, what it wraps, how far it walks, and that nothing hostile gets out of it.
import { runInNewContext } from 'node:vm'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { CODES, classify, createError, FairleadError, verdictOf } from '../../src/errors/index.ts'

const refused = (): Error =>
  Object.assign(new Error('connect ECONNREFUSED 10.0.0.1:80'), { code: 'ECONNREFUSED', syscall: 'connect' })
const here = { service: 'stock', operation: 'get' }

describe('errors that are FairleadErrors already', () => {
  test('are given back, with what they do not say filled in', () => {
    const error = createError({ code: 'NOT_FOUND', attempt: 1 })
    expect(classify(error, { ...here, attempt: 3, endpoint: 'a:1', idempotent: true })).toBe(error)
    expect(error).toMatchObject({ ...here, attempt: 1, endpoint: 'a:1', idempotent: true })
  })

  test('keep their effect, whatever is measured around them', () => {
    const error = createError({ code: 'ATTEMPT_TIMEOUT', ...here })
    expect(classify(error, { ...here, effect: 'none' }).effect).toBe('unknown')
  })

  test('that are frozen are copied', () => {
    const error = Object.freeze(createError({ code: 'NOT_FOUND', attempt: 1 }))
    const found = classify(error, { ...here, attempt: 3, idempotent: true })
    expect(found).not.toBe(error)
    expect(found).toMatchObject({ code: 'NOT_FOUND', ...here, attempt: 1, idempotent: true })
    expect(found.stack).toBe(error.stack)
  })

  test.each([
    { service: 'payments', operation: 'get' },
    { service: 'stock', operation: 'put' },
  ])('of another operation are wrapped, and their word on repeating does not count: %o', (there) => {
    const nested = createError({ code: 'CONNECTION_REFUSED', ...there, idempotent: true, retryAfterMs: 9 })
    expect(nested).toMatchObject({ effect: 'none', retryable: true })
    const found = classify(nested, here)
    expect(found).not.toBe(nested)
    expect(found).toMatchObject({
      ...here,
      code: 'CONNECTION_REFUSED',
      effect: 'unknown',
      retryable: false,
      retryAfterMs: 9,
    })
    expect(found.cause).toBe(nested)
    expect(found.message).toContain(`${there.service}.${there.operation}: Nobody listens`)
    expect(nested).toMatchObject(there)
    expect(classify(nested, { ...here, idempotent: true }).retryable).toBe(true)
    expect(classify(nested, { ...here, effect: 'none' }).effect).toBe('none')
  })

  test('inside a foreign error give the code, and the foreign error stays the cause', () => {
    const nested = createError({ code: 'UNAVAILABLE', service: 'payments', operation: 'charge', effect: 'none' })
    const foreign = new Error('order failed', { cause: nested })
    const found = classify(foreign, here)
    expect(found).toMatchObject({ ...here, code: 'UNAVAILABLE', effect: 'unknown' })
    expect(found.cause).toBe(foreign)
    const own = new Error('order failed', { cause: createError({ code: 'UNAVAILABLE', effect: 'none' }) })
    expect(classify(own, here)).toMatchObject({ ...here, code: 'UNAVAILABLE', effect: 'none', cause: own })
  })

  test('among several errors prove nothing for the others', () => {
    const proven = createError({ code: 'CONNECTION_REFUSED' })
    expect(classify(new AggregateError([proven, refused()]), here)).toMatchObject({
      code: 'CONNECTION_REFUSED',
      effect: 'none',
    })
    expect(classify(new AggregateError([proven, new Error('?')]), here)).toMatchObject({
      code: 'CONNECTION_REFUSED',
      effect: 'unknown',
    })
  })

  test('of a newer copy with a code that this one does not know', () => {
    const newer = createError({ code: 'NOT_FOUND', service: 'payments' }) as { code: string }
    newer.code = 'NEWER_CODE'
    expect(classify(newer, here).code).toBe('CALL_FAILED')
    expect(verdictOf(newer)).toBe('failure')
  })
})

describe('what is no Error', () => {
  const promise = { then: () => expect.unreachable('a thrown thenable must not be run') }
  test.each([
    ['undefined', undefined],
    ['null', null],
    ['the string "boom"', 'boom'],
    ['the number 42', 42],
    ['the number NaN', Number.NaN],
    ['the boolean false', false],
    ['the bigint 7', 7n],
    ['the symbol Symbol(s)', Symbol('s')],
    ['an object', {}],
    ['an object', []],
    ['an object', promise],
    ['a function', () => expect.unreachable('a thrown function must not be run')],
  ])('%s', (words, thrown) => {
    const found = classify(thrown, here)
    expect(found).toMatchObject({ code: 'CALL_FAILED', kind: 'response', effect: 'unknown', ...here })
    expect(found.message).toBe(`[CALL_FAILED] ${words} was thrown`)
    expect('cause' in found).toBe(true)
    expect(found.cause).toBe(thrown)
    expect(() => JSON.stringify(found)).not.toThrow()
  })

  test('a Response, by its status', () => {
    expect(classify(new Response('', { status: 404 })).message).toBe('[NOT_FOUND] the peer answered 404')
    expect(classify({ statusCode: 503 }).message).toBe('[UNAVAILABLE] the peer answered 503')
  })

  test('an object that looks like an error is read like one', () => {
    expect(classify({ code: 'ECONNREFUSED' }).code).toBe('CONNECTION_REFUSED')
    expect(classify({ status: 404 }).code).toBe('NOT_FOUND')
    expect(classify({ statusCode: 302 }).code).toBe('CALL_FAILED')
    expect(classify({ status: '404' }).code).toBe('CALL_FAILED')
  })
})

describe('errors of the program', () => {
  test.each([TypeError, ReferenceError, RangeError, SyntaxError, URIError, EvalError])('%o', (type) => {
    const found = classify(new type('x is not a function'))
    expect(found).toMatchObject({ code: 'PROGRAMMING_ERROR', kind: 'invalid', transient: false })
    expect(verdictOf(found)).toBe('neutral')
  })

  test('of another realm, and failed assertions', () => {
    expect(classify(runInNewContext('new TypeError("x")')).code).toBe('PROGRAMMING_ERROR')
    expect(classify(Object.assign(new Error('x'), { name: 'AssertionError', code: 'ERR_ASSERTION' })).code).toBe(
      'PROGRAMMING_ERROR',
    )
  })

  test('unless the network is behind it', () => {
    expect(classify(new TypeError('could not load', { cause: refused() })).code).toBe('CONNECTION_REFUSED')
  })

  test.each(['<html>', '', '{"a":', '{"a" 1}', '"\n"', '{a}', 'nul', '[1,]'])(
    'but JSON that does not parse is the fault of who sent it: %j',
    (text) => {
      try {
        JSON.parse(text)
        expect.unreachable()
      } catch (error) {
        expect(classify(error)).toMatchObject({ code: 'REPLY_UNDECODABLE', effect: 'unknown' })
      }
    },
  )

  test('any other error is a failed call', () => {
    const error = new Error('out of stock')
    expect(classify(error)).toMatchObject({ code: 'CALL_FAILED', cause: error, message: '[CALL_FAILED] out of stock' })
  })
})

describe('the walk', () => {
  const chain = (length: number, last: unknown): unknown =>
    Array.from({ length }).reduce((cause: unknown, _, at) => new Error(`link ${at}`, { cause }), last)

  test('goes eight causes deep, and no further', () => {
    expect(classify(chain(8, refused())).code).toBe('CONNECTION_REFUSED')
    expect(classify(chain(9, refused())).code).toBe('CALL_FAILED')
  })

  test('ends in circles', () => {
    const a = new Error('a') as { cause?: unknown; errors?: unknown }
    const b = new Error('b', { cause: a })
    a.cause = b
    a.errors = [a, b, a.errors]
    expect(classify(a).code).toBe('CALL_FAILED')
  })

  test('looks at 32 links, and proves nothing of what it did not see', () => {
    const few = new AggregateError(Array.from({ length: 31 }, refused))
    expect(classify(few)).toMatchObject({ code: 'CONNECTION_REFUSED', effect: 'none' })
    const many = new AggregateError(Array.from({ length: 33 }, refused))
    expect(classify(many)).toMatchObject({ code: 'CONNECTION_REFUSED', effect: 'unknown' })
    let looks = 0
    const counted = (): unknown => Object.defineProperty(new Error('x'), 'code', { get: () => void looks++ })
    classify(new AggregateError(Array.from({ length: 100_000 }, counted)))
    expect(looks).toBeLessThanOrEqual(32)
    // A circle that is as wide as it is long.
    looks = 0
    const ring = counted() as { errors?: unknown; cause?: unknown }
    ring.cause = ring
    ring.errors = Array.from({ length: 31 }, () => ring)
    expect(classify(ring).code).toBe('CALL_FAILED')
    // Once to walk, once to put it into words.
    expect(looks).toBeLessThanOrEqual(2)
  })

  test('an answer that came outweighs what happened later', () => {
    const error = Object.assign(new Error('x', { cause: refused() }), { response: { status: 503 } })
    expect(classify(error).code).toBe('UNAVAILABLE')
    expect(classify(error, { effect: 'none' }).effect).toBe('unknown')
  })

  test('the message is that of the link that said most, on one line, bounded', () => {
    expect(classify(new Error('wrapped', { cause: refused() })).message).toBe(
      '[CONNECTION_REFUSED] connect ECONNREFUSED 10.0.0.1:80',
    )
    const long = classify(new Error(`a\r\nSet-Cookie: b\u0000\u2028${'x'.repeat(10_000)}`))
    expect(long.message.length).toBeLessThan(340)
    expect(long.message.slice(0, 32)).toBe('[CALL_FAILED] a Set-Cookie: b xx')
  })
})

describe('hostile things', () => {
  const bomb = (): never => {
    throw new Error('boom')
  }
  const handler = Object.fromEntries(
    ['get', 'has', 'getPrototypeOf', 'ownKeys', 'getOwnPropertyDescriptor', 'apply', 'set', 'defineProperty'].map(
      (trap) => [trap, bomb],
    ),
  )
  const getters = (): Error => {
    const error = new Error('x')
    for (const key of [
      'name',
      'message',
      'code',
      'cause',
      'errors',
      'status',
      'response',
      'headers',
      'toString',
      'toJSON',
    ]) {
      Object.defineProperty(error, key, { get: bomb, configurable: true })
    }
    return error
  }
  const revoked = (): unknown => {
    const { proxy, revoke } = Proxy.revocable({}, {})
    revoke()
    return proxy
  }
  test.each([
    ['a proxy whose traps throw', new Proxy({}, handler)],
    ['a proxy of an error whose traps throw', new Proxy(new Error('x'), handler)],
    ['a proxy of a function whose traps throw', new Proxy(() => undefined, handler)],
    ['a revoked proxy', revoked()],
    ['getters that throw', getters()],
    ['a cause that throws', new Error('x', { cause: new Proxy({}, handler) })],
    ['parts that throw', Object.assign(new Error('x'), { errors: new Proxy([1, 2], handler) })],
    ['headers that throw', { status: 503, headers: new Proxy({}, handler) }],
    ['no prototype', Object.assign(Object.create(null), { message: 'x' })],
    ['names that are no text', { name: {}, message: Symbol('m'), code: { toString: bomb }, syscall: 3 }],
    ['toString that throws', Object.assign(new Error('x'), { toString: bomb, [Symbol.toPrimitive]: bomb })],
  ])('%s', (_, thrown) => {
    const found = classify(thrown, here)
    expect(found).toBeInstanceOf(FairleadError)
    expect(() => JSON.stringify(found)).not.toThrow()
    expect(typeof verdictOf(thrown)).toBe('string')
    const outer = classify(new Error('outer', { cause: thrown }), here)
    expect(() => JSON.stringify(outer)).not.toThrow()
  })

  test('anything at all comes out as a FairleadError of the table', () => {
    const code = fc.oneof(
      fc.string(),
      fc.constantFrom(
        'ECONNRESET',
        'UND_ERR_SOCKET',
        'ERR_HTTP2_STREAM_ERROR',
        'HPE_X',
        'CERT_REVOKED',
        '__proto__',
        'constructor',
        'toString',
      ),
    )
    const node: fc.Arbitrary<unknown> = fc.letrec((tie) => ({
      node: fc.oneof(
        { depthSize: 'small' },
        fc.anything(),
        fc.record(
          {
            name: fc.oneof(
              fc.string(),
              fc.constantFrom('AbortError', 'TimeoutError', 'TypeError', 'HTTPParserError', 'AxiosError'),
            ),
            message: fc.oneof(
              fc.string(),
              fc.constantFrom('fetch failed', 'terminated', 'aborted', 'Stream closed with error code NGHTTP2_X'),
            ),
            code,
            syscall: fc.constantFrom('connect', 'read', 'queryA', 'getaddrinfo'),
            status: fc.integer(),
            cause: tie('node'),
            errors: fc.array(tie('node'), { maxLength: 3 }),
          },
          { requiredKeys: [] },
        ),
      ),
    })).node
    fc.assert(
      fc.property(node, fc.boolean(), (thrown, isError) => {
        const value =
          isError && typeof thrown === 'object' && thrown !== null ? Object.assign(new Error('x'), thrown) : thrown
        const found = classify(value)
        return Object.hasOwn(CODES, found.code) && found.kind === CODES[found.code].kind && found.cause === value
      }),
      { seed: 20261121, numRuns: 2_000 },
    )
  })
})

describe('verdicts', () => {
  test.each([
    [refused(), 'failure'],
    [new Error('x'), 'failure'],
    [undefined, 'failure'],
    [{ status: 404 }, 'success'],
    [{ status: 429 }, 'neutral'],
    [{ status: 503 }, 'failure'],
    [new DOMException('x', 'AbortError'), 'neutral'],
    [new DOMException('x', 'TimeoutError'), 'failure'],
    [new TypeError('x'), 'neutral'],
    [createError({ code: 'DECLARED_FAILURE' }), 'success'],
    [createError({ code: 'CIRCUIT_OPEN' }), 'neutral'],
  ] as const)('%o: %s', (thrown, verdict) => {
    expect(verdictOf(thrown)).toBe(verdict)
  })
})
