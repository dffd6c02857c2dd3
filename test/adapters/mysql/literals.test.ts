import { describe, expect, it } from 'vitest'
import { literal, render } from '../../../src/adapters/mysql/literals.ts'

describe('literals', () => {
  it('holds what is plain as it is, and all else as digits that no mode of the server reads differently', () => {
    expect(literal('plain {"a": [1]} text')).toBe(`_utf8mb4'plain {"a": [1]} text'`)
    for (const text of ["'", '\\', '\0', '\n', 'ä', '😀', "x' or 1=1 -- ", ''])
      expect(literal(text)).toBe(`_utf8mb4 X'${Buffer.from(text).toString('hex')}'`)
    expect(literal(new TextEncoder().encode('{"a":1}'))).toBe(`_binary'{"a":1}'`)
    expect(literal(new Uint8Array([0, 39, 255]))).toBe(`_binary X'0027ff'`)
    expect(literal(Buffer.from('xxab').subarray(2))).toBe(`_binary'ab'`)
    expect([literal(null), literal(-1.5), literal(2n ** 64n), literal(true), literal(false)]).toEqual([
      'null',
      '-1.5',
      '18446744073709551616',
      '1',
      '0',
    ])
  })
  it('puts them where no quotes and no comments are', () => {
    expect(render(`select ?, '?', "?", \`?\`, 'it''s ?', 'a\\'?' -- ?\n, ? # ?\n /* ? */ , ?`, [1, 2, 3])).toBe(
      `select 1, '?', "?", \`?\`, 'it''s ?', 'a\\'?' -- ?\n, 2 # ?\n /* ? */ , 3`,
    )
    expect(render('select 5--?', [1])).toBe('select 5--1')
    expect(render('select ?', ['? $1 $& ?'])).toBe(`select _utf8mb4'? $1 $& ?'`)
  })
  it('refuses what does not fit', () => {
    expect(() => render('select ?', [1, 2])).toThrow(/PROGRAMMING_ERROR/)
    expect(() => render('select ?, ?', [1])).toThrow(/PROGRAMMING_ERROR/)
    for (const value of [undefined, Number.NaN, Number.POSITIVE_INFINITY, {}, [], new Date(0), Symbol('x')])
      expect(() => literal(value)).toThrow(/PROGRAMMING_ERROR/)
  })
})
