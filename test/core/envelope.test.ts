// The size that a publisher checks is the size that a transport carries.
import { expect, test } from 'vitest'
import { envelopeBytes } from '../../src/core/envelope.ts'

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
