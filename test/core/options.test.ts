import { describe, expect, test } from 'vitest'
import { countOption, durationOption, invalidOption, knownOptions, shareOption } from '../../src/core/options.ts'
import { thrownBy } from '../policies/kit.ts'

const complaint = (work: () => unknown): { code: string; message: string; option: unknown } => {
  const { code, message, details } = thrownBy(work)
  return { code, message, option: (details as { option: unknown }).option }
}

describe('a complaint', () => {
  test('names the option, its value and the fix', () => {
    const error = invalidOption('retry.attempts', -1, 'give a whole number') as never
    expect(error).toMatchObject({
      code: 'INVALID_OPTIONS',
      kind: 'invalid',
      message: '[INVALID_OPTIONS] retry.attempts is -1: give a whole number',
      details: { option: 'retry.attempts' },
    })
  })

  test.each([
    ['text', '"text"'],
    [() => 1, 'a function'],
    [{}, 'an object'],
    [[1], 'an array'],
    [null, 'null'],
    [undefined, 'undefined'],
    [NaN, 'NaN'],
    [10n, '10'],
    [Symbol('x'), 'Symbol(x)'],
  ])('shows %s without spilling it', (value, shown) => {
    expect(invalidOption('x', value, 'fix').message).toContain(`x is ${shown}: fix`)
  })
})

describe('durations', () => {
  test.each([-1, 0, NaN, Infinity, -Infinity, 2 ** 31, '5', null, {}, 1n])('refuses %s', (given) => {
    expect(complaint(() => durationOption('deadlineMs', given as number, 5))).toMatchObject({
      code: 'INVALID_OPTIONS',
      option: 'deadlineMs',
    })
    expect(complaint(() => durationOption('deadlineMs', given as number, 5)).message).toContain('milliseconds above 0')
  })
  test.each([0.001, 1, 2 ** 31 - 1])('takes %s', (given) => expect(durationOption('deadlineMs', given, 5)).toBe(given))
  test('takes the default where there is none, and 0 where 0 makes sense', () => {
    expect(durationOption('deadlineMs', undefined, 5)).toBe(5)
    expect(durationOption('rampMs', 0, 5, 0)).toBe(0)
    expect(complaint(() => durationOption('rampMs', -1, 5, 0)).message).toContain('from 0')
  })
})

describe('counts', () => {
  test.each([0, -1, 1.5, NaN, Infinity, 2 ** 53, '3', null, true])('refuses %s', (given) => {
    expect(complaint(() => countOption('probes', given as number, 3))).toMatchObject({
      code: 'INVALID_OPTIONS',
      option: 'probes',
    })
  })
  test('takes whole numbers from the least on', () => {
    expect([countOption('x', 1, 3), countOption('x', undefined, 3), countOption('x', 0, 3, 0)]).toEqual([1, 3, 0])
  })
})

describe('shares', () => {
  test.each([0, -0.1, 1.1, 50, NaN, Infinity, '0.5', null])('refuses %s', (given) => {
    const said = complaint(() => shareOption('errorRate', given as number, 0.5))
    expect(said).toMatchObject({ code: 'INVALID_OPTIONS', option: 'errorRate' })
    expect(said.message).toContain('50 % is 0.5')
  })
  test('takes what is above 0 up to 1, and 0 where 0 makes sense', () => {
    expect([
      shareOption('x', 1, 0.5),
      shareOption('x', 1e-9, 0.5),
      shareOption('x', undefined, 0.5),
      shareOption('x', 0, 0.5, true),
    ]).toEqual([1, 1e-9, 0.5, 0])
  })
})

describe('names', () => {
  test('a misspelt name is refused with the names there are', () => {
    const said = complaint(() => knownOptions('retry', { attempt: 3 }, ['attempts', 'budget']))
    expect(said).toMatchObject({ code: 'INVALID_OPTIONS', option: 'retry.attempt' })
    expect(said.message).toContain('retry has no such option; it has attempts, budget')
  })
  test('known ones pass, also when they are undefined', () => {
    expect(() => knownOptions('retry', { attempts: undefined }, ['attempts'])).not.toThrow()
  })
  test.each([null, 5, true, 'attempts', [3]])('what is no object is refused: %s', (given) => {
    expect(complaint(() => knownOptions('retry', given as never, ['attempts']))).toMatchObject({
      code: 'INVALID_OPTIONS',
      option: 'retry',
    })
  })
})
