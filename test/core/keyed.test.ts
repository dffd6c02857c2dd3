import fc from 'fast-check'
import { describe, expect, test, vi } from 'vitest'
import { keyed } from '../../src/core/keyed.ts'

describe('keyed', () => {
  test('makes a value once for a key', () => {
    const make = vi.fn((key: string) => ({ key }))
    const map = keyed(3, make)
    expect(map.get('a')).toBe(map.get('a'))
    expect(make).toHaveBeenCalledTimes(1)
    expect([...map.values()]).toEqual([{ key: 'a' }])
  })

  test('forgets the longest unused', () => {
    const made: string[] = []
    const map = keyed(2, (key) => {
      made.push(key)
      return { key }
    })
    for (const key of ['a', 'b', 'a', 'c', 'a', 'b']) map.get(key)
    expect(made).toEqual(['a', 'b', 'c', 'b'])
    expect(map.size).toBe(2)
  })

  test('keys that name parts of objects are keys like any other', () => {
    const map = keyed(10, (key) => ({ key }))
    for (const key of ['__proto__', 'constructor', 'toString', '']) expect(map.get(key)).toEqual({ key })
    expect(map.size).toBe(4)
  })

  test('an open one is never forgotten, and comes back the same, over a million keys', () => {
    const map = keyed(
      1_000,
      () => ({ open: false }),
      (value) => !value.open,
    )
    const open = Array.from({ length: 300 }, (_, index) => {
      const value = map.get(`open-${index}`)
      value.open = true
      return value
    })
    for (let index = 0; index < 1_000_000; index++) map.get(`key-${index}`)
    expect(map.size).toBe(1_000)
    for (const [index, value] of open.entries()) expect(map.get(`open-${index}`)).toBe(value)
  })

  test('where all are open, a new key gets a value that is not kept', () => {
    const map = keyed(
      100,
      () => ({ open: true }),
      (value) => !value.open,
    )
    const first = map.get('key-0')
    for (let index = 1; index < 10_000; index++) map.get(`key-${index}`)
    expect(map.size).toBe(100)
    expect(map.get('key-0')).toBe(first)
    expect(map.get('new')).not.toBe(map.get('new'))
  })

  test('old open ones that nobody asks for any more do not keep new keys out for ever', () => {
    const map = keyed(
      200,
      (key) => ({ open: key.startsWith('dead') }),
      (value) => !value.open,
    )
    for (let index = 0; index < 150; index++) map.get(`dead-${index}`)
    for (let index = 0; index < 50; index++) map.get(`good-${index}`)
    for (let round = 0; round < 10; round++) map.get(`new-${round}`)
    expect(map.get('latest')).toBe(map.get('latest'))
  })

  test('agrees with a list by last use, on any sequence of keys', () => {
    fc.assert(
      fc.property(
        fc.array(fc.integer({ min: 0, max: 9 }), { maxLength: 200 }),
        fc.integer({ min: 1, max: 6 }),
        (keys, max) => {
          const map = keyed(max, (key) => ({ key }))
          const list: { key: string; value: object }[] = []
          for (const key of keys.map(String)) {
            const at = list.findIndex((each) => each.key === key)
            const value = map.get(key)
            if (at >= 0) expect(value).toBe(list.splice(at, 1)[0]?.value)
            else if (list.length === max) list.shift()
            list.push({ key, value })
          }
          expect([...map.values()]).toEqual(list.map(({ key }) => ({ key })))
        },
      ),
      { numRuns: 300 },
    )
  })
})
