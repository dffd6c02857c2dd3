// Retry-After: both forms, garbage, and every shape in which clients keep headers.
import { AxiosHeaders } from 'axios'
import { describe, expect, test } from 'vitest'
import { classify, headerOf, parseRetryAfter } from '../../src/errors/index.ts'

const now = Date.UTC(2026, 10, 21, 12, 0, 0)

describe('parseRetryAfter', () => {
  test.each([
    ['0', 0],
    ['120', 120_000],
    [' 7 ', 7_000],
    [3, 3_000],
    [0.5, 500],
    ['999999999999999', 999_999_999_999_999_000],
    ['Sat, 21 Nov 2026 12:00:30 GMT', 30_000],
    ['Saturday, 21-Nov-26 12:00:30 GMT', 30_000],
    ['Sat Nov 21 12:00:30 2026', 30_000],
    ['Tue Dec  1 12:00:00 2026', 10 * 86_400_000],
    // It has passed: come at once.
    ['Sun, 06 Nov 1994 08:49:37 GMT', 0],
    // RFC 9110: two digits that seem more than 50 years ahead are in the past.
    ['Sunday, 06-Nov-94 08:49:37 GMT', 0],
    ['Friday, 21-Nov-75 12:00:00 GMT', Date.UTC(2075, 10, 21, 12) - now],
    ['Thu, 29 Feb 2028 00:00:00 GMT', Date.UTC(2028, 1, 29) - now],
  ])('%j is %d ms', (value, ms) => {
    expect(parseRetryAfter(value, now)).toBe(ms)
  })

  test.each([
    '-1',
    '+1',
    '1.5',
    '1e3',
    '0x10',
    '',
    ' ',
    'soon',
    'NaN',
    'Infinity',
    '1, 2',
    '9999999999999999',
    'Sat, 31 Feb 2026 12:00:30 GMT',
    'Sat, 29 Feb 2027 12:00:30 GMT',
    'Sat, 00 Nov 2026 12:00:30 GMT',
    'Sat, 21 Nov 2026 25:00:30 GMT',
    'Sat, 21 Nov 2026 12:00:30',
    'Sat, 21 Nov 2026 12:00:30 +0100',
    '2026-11-21T12:00:30Z',
    'Sat, 21 Foo 2026 12:00:30 GMT',
    Number.NaN,
    -1,
    Number.POSITIVE_INFINITY,
    undefined,
    null,
    {},
    [],
    true,
  ])('%j is nothing', (value) => {
    expect(parseRetryAfter(value, now)).toBeUndefined()
  })

  test('a date needs a clock', () => {
    expect(parseRetryAfter('Sat, 21 Nov 2026 12:00:30 GMT')).toBeUndefined()
    expect(parseRetryAfter('Sat, 21 Nov 2026 12:00:30 GMT', Number.NaN)).toBeUndefined()
    expect(parseRetryAfter('30')).toBe(30_000)
  })
})

describe('where clients keep it', () => {
  const bytes = (text: string): Uint8Array => new TextEncoder().encode(text)
  test.each([
    ['Headers', new Headers({ 'Retry-After': '2' })],
    ['AxiosHeaders', new AxiosHeaders({ 'Retry-After': '2' })],
    ['a Map', new Map([['retry-after', '2']])],
    ['an object', { 'retry-after': '2' }],
    ['an object in another case', { 'Retry-After': '2' }],
    ['an object with lists', { 'retry-after': ['2', '9'] }],
    ['an object with a number', { 'retry-after': 2 }],
    ['raw headers', ['Date', 'x', 'Retry-After', '2']],
    ['raw headers as bytes', [bytes('date'), bytes('x'), bytes('retry-after'), bytes('2')]],
    [
      'pairs',
      [
        ['date', 'x'],
        ['Retry-After', '2'],
      ],
    ],
    ['no prototype', Object.assign(Object.create(null), { 'retry-after': '2' })],
  ])('%s', (_, headers) => {
    expect(headerOf(headers, 'retry-after')).toBe('2')
    expect(classify({ status: 503, headers }).retryAfterMs).toBe(2_000)
    expect(classify({ response: { statusCode: 429, headers } }).retryAfterMs).toBe(2_000)
  })

  test.each([undefined, null, 'retry-after: 2', 7, {}, [], ['retry-after'], { get: 3 }, { get: () => null }, [[]]])(
    '%o has none',
    (headers) => {
      expect(headerOf(headers, 'retry-after')).toBeUndefined()
    },
  )

  test('a header named like a member of objects is no header', () => {
    expect(headerOf({}, 'constructor')).toBeUndefined()
    expect(headerOf({ constructor: 'x' }, 'constructor')).toBe('x')
  })
})
