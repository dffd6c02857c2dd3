import { expect, test } from 'vitest'
import { lazy } from '../../src/core/lazy.ts'

test('loads a package at once, CommonJS and ES modules alike, and the same one each time', () => {
  expect(lazy<unknown>('opossum')).toBeTypeOf('function')
  expect(lazy<{ default: unknown }>('p-retry').default).toBeTypeOf('function')
  expect(lazy('opossum')).toBe(lazy('opossum'))
})

test('a package that is not there is an error that names it', () => {
  expect(() => lazy('fairlead-has-no-such-package')).toThrow(/fairlead-has-no-such-package/)
})
