import { expect, test } from 'vitest'
import { DESCRIBE, described, describe as describeThing } from '../../src/core/describe.ts'

test('gives name and options, and reads the state each time', () => {
  let open = 0
  const thing = described(
    () => 1,
    'mine',
    { max: 3 },
    () => ({ open }),
  )
  expect(describeThing(thing)).toEqual({ layer: 'mine', options: { max: 3 }, state: { open: 0 } })
  open = 2
  expect(describeThing(thing)).toEqual({ layer: 'mine', options: { max: 3 }, state: { open: 2 } })
  expect(thing()).toBe(1)
  expect(describeThing(described({}, 'bare', {}))).toEqual({ layer: 'bare', options: {} })
})

test('does not show among the fields of the thing', () => {
  const thing = described({ own: 1 }, 'mine', {})
  expect(Object.keys(thing)).toEqual(['own'])
  expect(DESCRIBE in { ...thing }).toBe(false)
})

test('a thing that cannot be described is named so', () => {
  expect(() => describeThing({})).toThrow(TypeError)
  expect(() => describeThing({})).toThrow(/what fairlead built/)
})
