import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import type { Envelope } from '../../src/core/message.ts'
import { packHead, unpackEnvelope } from '../../src/core/packed-envelope.ts'

const text = fc.string({ unit: 'binary' })
const envelopes: fc.Arbitrary<Envelope> = fc
  .record(
    {
      id: text,
      key: text,
      priority: fc.integer({ min: -32_768, max: 32_767 }),
      notBefore: fc.nat(),
      expiresAt: fc.nat(),
      attributes: fc.dictionary(text, text),
      headers: fc.dictionary(text, text),
      body: fc.uint8Array(),
    },
    { requiredKeys: ['id', 'attributes', 'headers', 'body'] },
  )
  .map((made) => made as Envelope)

describe('packed envelopes', () => {
  it('come out as they went in', () => {
    fc.assert(
      fc.property(envelopes, (envelope) => {
        const { id, key, body } = envelope
        const back = unpackEnvelope(id, key, packHead(envelope), body)
        expect(JSON.stringify(sorted(back))).toBe(JSON.stringify(sorted(envelope)))
        expect(back.body).toBe(body)
      }),
    )
  })

  it('take a missing key from a database as none', () => {
    const envelope: Envelope = { id: '1', attributes: {}, headers: {}, body: new Uint8Array() }
    expect(unpackEnvelope('1', null, packHead(envelope), envelope.body)).toEqual(envelope)
    expect('key' in unpackEnvelope('1', null, packHead(envelope), envelope.body)).toBe(false)
  })

  it('are small where there is nothing to say', () => {
    expect(packHead({ id: '1', attributes: {}, headers: {}, body: new Uint8Array() })).toBe('{"a":{}}')
  })
})

const sorted = (envelope: Envelope): unknown => ({
  ...Object.fromEntries(Object.entries(envelope).sort(([a], [b]) => (a < b ? -1 : 1))),
  attributes: Object.entries(envelope.attributes).sort(),
  headers: Object.entries(envelope.headers).sort(),
  body: [...envelope.body],
})
