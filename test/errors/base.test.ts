// The base class: brands that hold across copies, fields from the table, retryable, and a plain form that never throws.
import { inspect } from 'node:util'
import { describe, expect, test, vi } from 'vitest'
import {
  CODES,
  type Code,
  CrashError,
  createError,
  FairleadError,
  InvalidError,
  isCode,
  isFairleadError,
  type Kind,
  ResponseError,
  stamp,
  TimingError,
  withFields,
} from '../../src/errors/index.ts'

const codes = Object.keys(CODES) as Code[]

describe('codes', () => {
  test.each(codes)('%s makes an error of its kind with what the table says', (code) => {
    const facts = CODES[code]
    const error = createError({ code })
    expect(error).toMatchObject({
      code,
      kind: facts.kind,
      effect: facts.effect,
      transient: facts.transient,
      message: `[${code}] ${facts.meaning}`,
    })
    expect(error.name.toLowerCase()).toBe(`${facts.kind}error`)
    expect(error).toBeInstanceOf(Error)
    expect(String(error)).toBe(`${error.name}: [${code}] ${facts.meaning}`)
    expect(isCode(code)).toBe(true)
    expect(Object.isFrozen(facts)).toBe(true)
  })

  test.each(['toString', '__proto__', 'constructor', '', 'NOPE', 7, null])('%j is no code', (code) => {
    expect(isCode(code)).toBe(false)
  })

  test('what would be a contradiction is not in the table', () => {
    for (const [code, { kind, effect, transient, breaker, status }] of Object.entries(CODES)) {
      // Refused means surely not processed, and invalid that it never left.
      if (kind === 'rejected') expect([code, effect]).toEqual([code, 'none'])
      if (kind === 'invalid' && code !== 'PROGRAMMING_ERROR') expect([code, effect]).toEqual([code, 'none'])
      if (kind === 'invalid' || kind === 'cancelled') expect([code, transient]).toEqual([code, false])
      // What was done can only be repeated by who knows better.
      if (effect === 'done') expect([code, transient]).toEqual([code, false])
      if (kind === 'crash' || kind === 'omission') expect([code, transient]).toEqual([code, true])
      if (breaker === 'success') expect([code, kind]).toEqual([code, 'response'])
      if (status !== undefined) expect(status >= 400 && status <= 599).toBe(true)
    }
  })
})

describe('retryable', () => {
  test.each([
    [true, 'none', false, true],
    [true, 'unknown', false, false],
    [true, 'unknown', true, true],
    [true, 'done', false, false],
    [false, 'none', true, false],
    [false, 'unknown', true, false],
  ] as const)('transient %s, effect %s, idempotent %s: %s', (transient, effect, idempotent, retryable) => {
    expect(createError({ code: 'CALL_FAILED', transient, effect, idempotent }).retryable).toBe(retryable)
  })
})

describe('brands', () => {
  test('hold for the base, the class of the kind, and no other', () => {
    const error = createError({ code: 'CONNECTION_REFUSED' })
    expect(error instanceof FairleadError).toBe(true)
    expect(error instanceof CrashError).toBe(true)
    expect(error instanceof ResponseError).toBe(false)
    expect(new FairleadError({ code: 'CONNECTION_REFUSED' }) instanceof CrashError).toBe(true)
  })

  test('hold across two copies of the package', async () => {
    vi.resetModules()
    const other = await import('../../src/errors/index.ts')
    expect(other.FairleadError).not.toBe(FairleadError)
    const theirs = other.createError({ code: 'ATTEMPT_TIMEOUT', service: 'a', operation: 'b' })
    expect(theirs instanceof FairleadError).toBe(true)
    expect(theirs instanceof TimingError).toBe(true)
    expect(theirs instanceof CrashError).toBe(false)
    expect(isFairleadError(theirs)).toBe(true)
    expect(isFairleadError(theirs, 'ATTEMPT_TIMEOUT')).toBe(true)
    expect(other.classify(createError({ code: 'CONFLICT' }), {}).code).toBe('CONFLICT')
  })

  test('do not make every error of a kind one of a subclass of a user', () => {
    class OutOfStock extends ResponseError {}
    class Own extends FairleadError {}
    expect(new OutOfStock({ code: 'CONFLICT' }) instanceof OutOfStock).toBe(true)
    expect(new OutOfStock({ code: 'CONFLICT' }) instanceof ResponseError).toBe(true)
    expect(createError({ code: 'CONFLICT' }) instanceof OutOfStock).toBe(false)
    expect(createError({ code: 'CONFLICT' }) instanceof Own).toBe(false)
  })

  test.each([null, undefined, 1, 'x', {}, new Error('x'), () => undefined])('%o has none', (value) => {
    expect((value as unknown) instanceof FairleadError).toBe(false)
    expect(isFairleadError(value)).toBe(false)
  })

  test('isFairleadError goes by any of the codes', () => {
    const error = createError({ code: 'CIRCUIT_OPEN' })
    expect(isFairleadError(error, 'SHUTDOWN', 'CIRCUIT_OPEN')).toBe(true)
    expect(isFairleadError(error, 'SHUTDOWN')).toBe(false)
  })
})

describe('toJSON', () => {
  test('tells all that is set, the cause in short, and no stack', () => {
    const cause = Object.assign(new Error('low level'), { code: 'ECONNRESET', secret: 'x' })
    const error = createError({
      code: 'UNAVAILABLE',
      cause,
      retryAfterMs: 5,
      service: 's',
      operation: 'o',
      attempt: 2,
      details: { status: 503 },
    })
    expect(JSON.parse(JSON.stringify(error))).toEqual({
      name: 'ResponseError',
      message: `[UNAVAILABLE] ${CODES.UNAVAILABLE.meaning}`,
      code: 'UNAVAILABLE',
      kind: 'response',
      effect: 'unknown',
      transient: true,
      retryable: false,
      retryAfterMs: 5,
      service: 's',
      operation: 'o',
      attempt: 2,
      details: { status: 503 },
      overload: true,
      cause: { name: 'Error', message: 'low level', code: 'ECONNRESET' },
    })
  })

  test.each([
    [1n, '1'],
    [Symbol('s'), 'the symbol Symbol(s)'],
    [{ a: 1 }, 'an object'],
    ['text', 'text'],
    [null, null],
  ])('a cause that is no error: %o', (cause, short) => {
    expect(createError({ code: 'CALL_FAILED', cause }).toJSON()['cause']).toEqual(short)
    expect(() => JSON.stringify(createError({ code: 'CALL_FAILED', cause }))).not.toThrow()
  })
})

describe('stacks and copies', () => {
  test('a refusal costs no stack, and the limit is put back', () => {
    const limit = Error.stackTraceLimit
    expect(createError({ code: 'CIRCUIT_OPEN', stack: false }).stack).not.toContain('at ')
    expect(Error.stackTraceLimit).toBe(limit)
    expect(createError({ code: 'CIRCUIT_OPEN' }).stack).toContain('at ')
  })

  test('withFields copies everything, and changes what it is told', () => {
    const cause = new Error('x')
    const error = createError({
      code: 'RATE_LIMITED',
      refusedBy: 'peer',
      cause,
      effect: 'unknown',
      transient: false,
      retryAfterMs: 1,
      service: 's',
      operation: 'o',
      endpoint: 'e',
      transport: 't',
      channel: 'c',
      attempt: 1,
      elapsedMs: 2,
      details: 3,
      idempotent: true,
      message: 'm',
    })
    const copy = withFields(error, { attempt: 7 })
    expect(copy.toJSON()).toEqual({ ...error.toJSON(), attempt: 7 })
    expect(copy).toMatchObject({ cause, stack: error.stack, idempotent: true, refusedBy: 'peer' })
    const declared = createError({ code: 'DECLARED_FAILURE', failure: 'outOfStock', details: { left: 1 } })
    expect(withFields(declared, {})).toMatchObject({ failure: 'outOfStock', details: { left: 1 } })
  })

  test('stamp fills in and never overwrites, but for idempotent', () => {
    const error = stamp(createError({ code: 'CONFLICT', service: 'inner' }), {
      service: 'outer',
      operation: 'o',
      idempotent: true,
      endpoint: undefined,
    })
    expect(error).toMatchObject({ service: 'inner', operation: 'o', idempotent: true, endpoint: undefined })
  })

  test('who refused is only said of refusals', () => {
    expect(createError({ code: 'CONFLICT', refusedBy: 'peer' }).refusedBy).toBeUndefined()
    expect(createError({ code: 'STREAM_REFUSED' }).refusedBy).toBe('peer')
  })

  test('all kinds have a class', () => {
    const kinds: readonly Kind[] = [
      'crash',
      'omission',
      'timing',
      'response',
      'arbitrary',
      'rejected',
      'cancelled',
      'invalid',
    ]
    expect([...new Set(codes.map((code) => CODES[code].kind))].sort()).toEqual([...kinds].sort())
    expect(createError({ code: 'INVALID_INPUT' })).toBeInstanceOf(InvalidError)
  })
})

describe('printed', () => {
  test('shows what it says, and no empty fields', () => {
    const text = inspect(createError({ code: 'CONNECTION_LOST', service: 'stock', cause: new Error('reset') }))
    expect(text).toMatch(/^OmissionError: \[CONNECTION_LOST\]/)
    expect(text).toContain("service: 'stock'")
    expect(text).toContain('reset')
    expect(text).not.toContain('undefined')
  })
})
