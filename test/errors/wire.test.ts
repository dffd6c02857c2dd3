// Errors over the wire: what survives, what stays behind, and that nothing a peer sends can do harm.
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import {
  CODES,
  type Code,
  createError,
  FairleadError,
  fromProblem,
  isProblemType,
  PROBLEM_TYPE,
  type ProblemOptions,
  statusOf,
  toProblem,
} from '../../src/errors/index.ts'

const codes = Object.keys(CODES) as Code[]
const here = { service: 'stock', operation: 'get' }

/** There and back, through JSON. */
function travel(
  error: unknown,
  options: ProblemOptions = {},
  hints: Parameters<typeof fromProblem>[2] = {},
): FairleadError {
  const { status, headers, body } = toProblem(error, options)
  return fromProblem(JSON.stringify(body), status, { headers, ...hints })
}

describe('what survives', () => {
  test.each(codes)('%s: kind and code', (code) => {
    const sent = createError({ code })
    const { status, headers, body } = toProblem(sent)
    expect(headers['content-type']).toBe('application/problem+json')
    expect(body).toMatchObject({
      type: `urn:fairlead:${code}`,
      title: CODES[code].meaning,
      status,
      kind: CODES[code].kind,
    })
    expect(status).toBe(statusOf(code))
    const arrived = travel(sent)
    expect(arrived).toMatchObject({ code, kind: sent.kind, transient: sent.transient })
    expect(arrived.name).toBe(sent.name)
    // What the handler's own calls did, or did not do, says nothing of the handler.
    expect(arrived.effect).toBe(code === 'DECLARED_FAILURE' ? 'none' : 'unknown')
    expect(travel(sent, { effect: 'none' }).effect).toBe('none')
  })

  test('service, operation, Retry-After, failures and issues', () => {
    const declared = createError({ code: 'DECLARED_FAILURE', failure: 'outOfStock', details: { left: 2 }, ...here })
    expect(travel(declared)).toMatchObject({ ...here, failure: 'outOfStock', details: { left: 2 }, effect: 'none' })
    const invalid = createError({
      code: 'INVALID_INPUT',
      details: { issues: [{ path: ['sku'], message: 'too short' }] },
    })
    expect(travel(invalid).details).toEqual({ issues: [{ path: ['sku'], message: 'too short' }] })
    const busy = createError({ code: 'UNAVAILABLE', retryAfterMs: 1_500, transient: false })
    expect(toProblem(busy).headers['retry-after']).toBe('2')
    expect(travel(busy)).toMatchObject({ retryAfterMs: 1_500, transient: false })
    expect(toProblem(createError({ code: 'UNAVAILABLE', retryAfterMs: 0 })).headers['retry-after']).toBe('0')
    // Of a server that has the header only.
    const plain = fromProblem({ type: 'urn:fairlead:UNAVAILABLE' }, 503, { headers: { 'retry-after': '7' } })
    expect(plain.retryAfterMs).toBe(7_000)
  })

  test("what the client knows is the client's own", () => {
    const error = createError({ code: 'CONNECTION_REFUSED', service: 'payments', operation: 'charge' })
    const arrived = travel(error, here, { ...here, idempotent: true, endpoint: 'a:1', attempt: 2, cause: 'response' })
    expect(arrived).toMatchObject({
      ...here,
      idempotent: true,
      endpoint: 'a:1',
      attempt: 2,
      cause: 'response',
      retryable: true,
    })
    expect(arrived.message).toBe('[CONNECTION_REFUSED] payments.charge: Nobody listens at that address.')
    expect(arrived.details).toEqual({ status: 502 })
  })

  test('a 503 was not processed where the contract says so', () => {
    const { status, body } = toProblem(createError({ code: 'UNAVAILABLE' }))
    expect(fromProblem(body, status, { unavailableMeansNotProcessed: true }).effect).toBe('none')
  })

  test('over a real connection', async () => {
    const server = createServer((_, response) => {
      const { status, headers, body } = toProblem(createError({ code: 'CONFLICT', ...here }), { effect: 'none' })
      response.writeHead(status, headers).end(JSON.stringify(body))
    })
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
    const response = await fetch(`http://127.0.0.1:${(server.address() as AddressInfo).port}`)
    expect(isProblemType(response.headers.get('content-type') ?? undefined)).toBe(true)
    const arrived = fromProblem(new Uint8Array(await response.arrayBuffer()), response.status, {
      headers: response.headers,
    })
    expect(arrived).toMatchObject({ code: 'CONFLICT', kind: 'response', effect: 'none', ...here })
    server.close()
  })
})

describe('what stays behind', () => {
  const secret = 'password=hunter2'
  const everything = (problem: unknown): string => JSON.stringify(problem)

  test.each([
    new Error(secret, { cause: new Error(secret) }),
    new TypeError(secret),
    Object.assign(new Error(secret), { code: 'ECONNREFUSED', details: secret, status: 404, retryAfterMs: 5 }),
    secret,
    { message: secret, toJSON: () => secret },
    undefined,
  ])('of an unknown error everything: %#', (error) => {
    const problem = toProblem(error)
    expect(problem).toMatchObject({ status: 500, body: { type: 'urn:fairlead:SERVER_ERROR', effect: 'unknown' } })
    expect(everything(problem)).not.toContain('hunter2')
    expect(everything(problem)).not.toContain('wire.test')
  })

  test('of a FairleadError its message, cause, stack, endpoint and details', () => {
    const error = createError({
      code: 'CONNECTION_REFUSED',
      message: secret,
      cause: new Error(secret),
      endpoint: secret,
      details: secret,
      ...here,
    })
    const problem = toProblem(error, here)
    expect(everything(problem)).not.toContain('hunter2')
    expect(problem.body).not.toHaveProperty('detail')
  })

  test('details that belong to another service', () => {
    for (const code of ['INVALID_INPUT', 'DECLARED_FAILURE'] as const) {
      const error = createError({ code, service: 'payments', failure: secret, details: { secret } })
      const problem = toProblem(error, here)
      expect(everything(problem)).not.toContain('hunter2')
      expect(problem.body.effect).toBe('unknown')
      // For whoever speaks plain HTTP, somebody else's refusal is a bad gateway.
      expect(problem.status).toBe(502)
      expect(travel(error, here).code).toBe(code)
    }
  })

  test('unless it is asked for: the message, never the stack', () => {
    const error = Object.assign(new Error('no such table\nstocks'), { name: 'DbError' })
    const problem = toProblem(error, { expose: true })
    expect(problem.body.detail).toBe('DbError: no such table stocks')
    expect(everything(problem)).not.toContain('wire.test')
    expect(toProblem(createError({ code: 'CONFLICT', message: 'version 3' }), { expose: true }).body.detail).toBe(
      'version 3',
    )
    expect(travel(createError({ code: 'CONFLICT', message: 'version 3' }), { expose: true }).message).toBe(
      '[CONFLICT] version 3',
    )
  })
})

describe('what a peer may send', () => {
  test.each([
    ['nothing', undefined],
    ['null', 'null'],
    ['text', '"urn:fairlead:CONFLICT"'],
    ['a list', '[{"type":"urn:fairlead:CONFLICT"}]'],
    ['no JSON', '{"type":"urn:fairlead:CONFLICT"'],
    ['a code that is not known', '{"type":"urn:fairlead:NOPE"}'],
    ['a code named like a member of objects', '{"type":"urn:fairlead:constructor"}'],
    ['another type', '{"type":"https://example.com/out-of-credit"}'],
    ['a type that is no text', '{"type":["urn:fairlead:CONFLICT"]}'],
    ['a type behind __proto__', '{"__proto__":{"type":"urn:fairlead:CONFLICT"}}'],
    ['too much', JSON.stringify({ type: 'urn:fairlead:CONFLICT', padding: 'x'.repeat(70_000) })],
    [
      'too many bytes',
      new TextEncoder().encode(JSON.stringify({ type: 'urn:fairlead:CONFLICT', padding: 'x'.repeat(70_000) })),
    ],
  ])('%s: then the status decides', (_, problem) => {
    expect(fromProblem(problem, 429, { headers: { 'retry-after': '1' } })).toMatchObject({
      code: 'TOO_MANY_REQUESTS',
      effect: 'none',
      retryAfterMs: 1_000,
      details: { status: 429 },
    })
  })

  test('a prototype that somebody else has poisoned is not read', () => {
    Object.defineProperty(Object.prototype, 'type', { value: 'urn:fairlead:CONFLICT', configurable: true })
    try {
      expect(fromProblem('{}', 429).code).toBe('TOO_MANY_REQUESTS')
    } finally {
      delete (Object.prototype as { type?: unknown }).type
    }
  })

  test('members of the wrong type, or without bound, are dropped', () => {
    const error = fromProblem(
      {
        type: 'urn:fairlead:UNAVAILABLE',
        effect: 'nothing',
        transient: 'yes',
        retryAfterMs: -1,
        service: 'x'.repeat(201),
        operation: { toString: 'x' },
        detail: `a\r\nb${'x'.repeat(100_000)}`,
        kind: 'invalid',
        stack: 'at evil',
        idempotent: true,
        attempt: 99,
      },
      503,
    )
    expect(error).toMatchObject({
      kind: 'response',
      effect: 'unknown',
      transient: true,
      retryAfterMs: undefined,
      service: undefined,
      operation: undefined,
      idempotent: false,
      attempt: undefined,
    })
    expect(error.message.length).toBeLessThan(350)
    expect(error.message).not.toContain('\n')
    expect(error.stack).not.toContain('evil')
  })

  test('details cannot poison what they are merged into, and are bounded', () => {
    const poison = '{"a":1,"__proto__":{"admin":true},"nested":{"constructor":{"prototype":{"admin":true}}}}'
    const { details } = fromProblem(`{"type":"urn:fairlead:INVALID_INPUT","details":${poison}}`, 400)
    expect(details).toEqual({ a: 1, nested: {} })
    expect(Object.hasOwn(details as object, '__proto__')).toBe(false)
    const deep = `${'['.repeat(40)}${']'.repeat(40)}`
    expect(fromProblem(`{"type":"urn:fairlead:INVALID_INPUT","details":${deep}}`, 400).details).toBeUndefined()
    const wide = JSON.stringify(Array.from({ length: 20_000 }, () => 1))
    expect(fromProblem(`{"type":"urn:fairlead:INVALID_INPUT","details":${wide}}`, 400).details).toBeUndefined()
    expect(({} as { admin?: boolean }).admin).toBeUndefined()
  })

  test('anything at all comes out as a FairleadError of the table', () => {
    const type = fc.constantFrom(...codes.map((code) => `urn:fairlead:${code}`))
    const body = fc.oneof(
      fc.anything(),
      fc.string(),
      fc.record(
        { type, details: fc.anything(), effect: fc.anything(), retryAfterMs: fc.double(), detail: fc.string() },
        { requiredKeys: ['type'] },
      ),
    )
    fc.assert(
      fc.property(body, fc.integer({ min: 300, max: 599 }), (problem, status) => {
        const error = fromProblem(problem, status)
        return error instanceof FairleadError && Object.hasOwn(CODES, error.code) && JSON.stringify(error) !== ''
      }),
      { seed: 20261121, numRuns: 1_000 },
    )
  })

  test.each([
    [PROBLEM_TYPE, true],
    ['Application/Problem+JSON; charset=utf-8', true],
    ['application/json', false],
    ['application/problem+jsonp', false],
    [undefined, false],
  ])('content type %s: %s', (type, is) => {
    expect(isProblemType(type)).toBe(is)
  })
})
