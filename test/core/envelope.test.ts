// The size that a publisher checks is the size that a transport carries.
import { expect, test } from 'vitest'
import { bytesAbove, envelopeBytes } from '../../src/core/envelope.ts'

const bare = { id: 'i', attributes: {}, headers: {}, body: new Uint8Array(10) }

test('counts id, attributes, headers and body in bytes, not characters', () => {
  expect(envelopeBytes(bare)).toBe(10 + 2 + 1)
  expect(envelopeBytes({ ...bare, attributes: { type: '€' }, headers: { a: 'ä' } })).toBe(13 + 4 + 3 + 1 + 2)
  expect(envelopeBytes({ ...bare, key: 'kü' })).toBe(13 + 'partitionkey'.length + 3)
})

test('counts priority and instants by their longest form', () => {
  const said = { priority: -32_768, notBefore: 0, expiresAt: 253_402_300_799_999 }
  expect(envelopeBytes({ ...bare, ...said })).toBe(
    13 + 'priority-32768'.length + 'notbefore'.length + 24 + 'expirytime'.length + 24,
  )
  expect(new Date(said.expiresAt).toISOString()).toHaveLength(24)
})

test('a view counts its own bytes, not those of its buffer', () => {
  expect(envelopeBytes({ ...bare, body: new Uint8Array(1_000).subarray(5, 15) })).toBe(13)
})

test.each([
  ['ASCII', 'abc'],
  ['two bytes', 'äöü'],
  ['three bytes', '€€€'],
  ['a surrogate pair, which is four', '😀😀'],
  ['half of one, which is three', '\ud83d'],
])('says of what is above a limit how much it is, to the byte: %s', (_, text) => {
  const envelope = { ...bare, id: text, key: text, attributes: { type: text }, headers: { a: text }, priority: 1 }
  const bytes = envelopeBytes(envelope)
  expect(bytesAbove(bytes, envelope)).toBeUndefined()
  expect(bytesAbove(bytes - 1, envelope)).toBe(bytes)
  expect(bytesAbove(0, envelope)).toBe(bytes)
  expect(bytesAbove(bytes * 10, envelope)).toBeUndefined()
})
