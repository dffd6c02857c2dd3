// RFC 3339, strictly: what Date.parse makes of a text differs from engine to engine.
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { formatInstant, instantSource, LAST_INSTANT, parseInstant } from '../../src/core/instant.ts'
import { fakeClock } from '../../src/testing/fake-clock.ts'

test('formats in UTC with milliseconds, and reads it back', () => {
  for (const ms of [0, 1, 1_767_225_600_123, LAST_INSTANT]) expect(parseInstant(formatInstant(ms))).toBe(ms)
  expect(formatInstant(1_767_225_600_123.9)).toBe('2026-01-01T00:00:00.123Z')
  expect(formatInstant(LAST_INSTANT)).toBe('9999-12-31T23:59:59.999Z')
})

test.each([
  ['2026-01-01T01:00:00+01:00', 1_767_225_600_000],
  ['2026-01-01t00:00:00z', 1_767_225_600_000],
  ['2026-01-01T00:00:00.123456789Z', 1_767_225_600_123],
  ['2026-01-01T00:00:00.5-00:00', 1_767_225_600_500],
])('reads %s', (text, ms) => expect(parseInstant(text)).toBe(ms))

test.each([
  '',
  'now',
  '2026',
  '2026-01-01',
  '2026-01-01T00:00:00',
  '2026-13-01T00:00:00Z',
  '2026-01-01 00:00:00Z',
  '1767225600000',
  'Thu, 01 Jan 2026 00:00:00 GMT',
  // In UTC these lie in years that RFC 3339 cannot write.
  '9999-12-31T23:59:59-23:00',
  '0000-01-01T00:00:00+00:01',
])('does not take %s for one', (text) => expect(parseInstant(text)).toBeUndefined())

test('reads the usual form as the general one', () => {
  fc.assert(
    fc.property(
      fc.oneof(
        fc
          .date({ min: new Date('0000-01-01'), max: new Date(LAST_INSTANT), noInvalidDate: true })
          .map((date) => date.toISOString()),
        fc.stringMatching(/^[0-9]{4}-[0-3][0-9]-[0-4][0-9]T[0-3][0-9]:[0-7][0-9]:[0-7][0-9]\.[0-9]{3}Z$/),
        fc.stringMatching(/^[0-9a]{4}[-:][0-9/]{2}-[0-9]{2}[Tt][0-9:]{2}:[0-9]{2}:[0-9]{2}\.[0-9]{3}[Zz]$/),
      ),
      (text) => {
        // One digit more, and it goes the general way.
        expect(parseInstant(text)).toBe(parseInstant(text.replace(/([Zz])$/, '0$1')))
      },
    ),
    { numRuns: 2_000, seed: 11 },
  )
})

test('a source of many follows the clock from millisecond to millisecond', async () => {
  const clock = fakeClock()
  const now = instantSource(clock)
  expect([now(), now()]).toEqual(['2026-01-01T00:00:00.000Z', '2026-01-01T00:00:00.000Z'])
  await clock.advance(1)
  expect(now()).toBe('2026-01-01T00:00:00.001Z')
})
