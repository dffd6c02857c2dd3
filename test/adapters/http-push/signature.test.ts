import { createHmac } from 'node:crypto'
import { afterEach, describe, expect, it } from 'vitest'
import { type HttpPushOptions, httpPushTransport, type SigningOptions } from '../../../src/adapters/http-push/index.ts'
import { createSigning } from '../../../src/adapters/http-push/signature.ts'
import { fakeClock } from '../../../src/testing/fake-clock.ts'
import { Closing, envelope, errorOf, inbox, listen, queue, within } from './support.ts'

// The vector that Standard Webhooks publishes with its libraries.
const SECRET = 'whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw'
const VECTOR = {
  id: 'msg_p5jXN8AQM9LWM0D4loKWxJek',
  seconds: 1_614_265_330,
  body: Buffer.from('{"test": 2432232314}'),
  signature: 'v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=',
}
const NOW = VECTOR.seconds * 1_000
const headers = (more: Record<string, string | undefined> = {}) => {
  const all: Record<string, string | undefined> = {
    'webhook-id': VECTOR.id,
    'webhook-timestamp': String(VECTOR.seconds),
    'webhook-signature': VECTOR.signature,
    ...more,
  }
  return (name: string): string | undefined => all[name]
}
const other = `whsec_${Buffer.from('another secret of 24 byte').toString('base64')}`

describe('signatures after Standard Webhooks', () => {
  it('the published vector, signed', () => {
    expect(createSigning({ secrets: SECRET }).sign(VECTOR.id, VECTOR.body, NOW + 999)).toEqual({
      'webhook-id': VECTOR.id,
      'webhook-timestamp': '1614265330',
      'webhook-signature': VECTOR.signature,
    })
  })

  it.each([SECRET, SECRET.slice(6), Buffer.from(SECRET.slice(6), 'base64')])(
    'the published vector, checked (%s)',
    (secret) => {
      expect(createSigning({ secrets: secret }).fault(headers(), VECTOR.body, NOW)).toBeUndefined()
    },
  )

  it('any of several secrets, and any of several signatures; other versions are passed over', () => {
    const signing = createSigning({ secrets: [other, SECRET] })
    expect(signing.fault(headers(), VECTOR.body, NOW)).toBeUndefined()
    const many = `v1a,xyz v1,AAAA ${VECTOR.signature} v2,${VECTOR.signature.slice(3)}`
    expect(signing.fault(headers({ 'webhook-signature': many }), VECTOR.body, NOW)).toBeUndefined()
    expect(signing.sign('1', VECTOR.body, NOW)['webhook-signature']?.split(' ')).toHaveLength(2)
  })

  it.each([
    ['another body', {}, Buffer.from('{"test": 2432232315}'), NOW],
    ['another id', { 'webhook-id': 'msg_2' }, VECTOR.body, NOW],
    ['another time', { 'webhook-timestamp': '1614265331' }, VECTOR.body, NOW],
    ['no signature', { 'webhook-signature': undefined }, VECTOR.body, NOW],
    ['no id', { 'webhook-id': undefined }, VECTOR.body, NOW],
    ['no time', { 'webhook-timestamp': undefined }, VECTOR.body, NOW],
    ['a time that is none', { 'webhook-timestamp': '1614265330.0' }, VECTOR.body, NOW],
    ['an empty signature', { 'webhook-signature': 'v1,' }, VECTOR.body, NOW],
    ['a part of the signature', { 'webhook-signature': VECTOR.signature.slice(0, 20) }, VECTOR.body, NOW],
    ['only another version', { 'webhook-signature': `v2${VECTOR.signature.slice(2)}` }, VECTOR.body, NOW],
    ['too old', {}, VECTOR.body, NOW + 300_001],
    ['too new', {}, VECTOR.body, NOW - 300_001],
  ])('%s is refused', (_, more, body, now) => {
    expect(createSigning({ secrets: SECRET }).fault(headers(more), body, now)).toBeTypeOf('string')
  })

  it('at the edge of the tolerance it is still taken', () => {
    const signing = createSigning({ secrets: SECRET })
    for (const now of [NOW + 300_000, NOW - 300_000]) expect(signing.fault(headers(), VECTOR.body, now)).toBeUndefined()
  })
})

describe('signed messages', () => {
  const closing = new Closing()
  afterEach(() => closing.end())
  const clock = fakeClock()
  const pair = async (sends: SigningOptions | undefined, takes: SigningOptions) => {
    const receiver = httpPushTransport({ signing: takes, clock })
    const url = await listen(closing, receiver.node())
    closing.add(receiver)
    const sender = closing.add(
      httpPushTransport({ subscribers: { mails: url }, clock, signing: sends } as HttpPushOptions),
    )
    return { url, sender, got: await inbox(receiver, { channel: queue('mails') }) }
  }
  const message = envelope('id with ünicode', { key: 'k', headers: { a: 'b' } })
  const send = (sender: ReturnType<typeof httpPushTransport>) =>
    sender.send(queue('mails'), [message], within(5_000, clock).context)

  it('travel in structured mode, so that the signature covers the attributes', async () => {
    const { sender, got } = await pair({ secrets: SECRET }, { secrets: SECRET })
    expect(await send(sender)).toEqual([{ status: 'accepted' }])
    expect(got.deliveries[0]?.envelope).toMatchObject({ id: message.id, key: 'k', headers: { a: 'b' } })
  })

  it('while a secret is changed, old and new senders are both understood', async () => {
    const takes = { secrets: [SECRET, other] }
    for (const secrets of [SECRET, other, [other, SECRET]]) {
      const { sender } = await pair({ secrets }, takes)
      expect(await send(sender)).toEqual([{ status: 'accepted' }])
    }
    const { sender } = await pair({ secrets: [other, SECRET] }, { secrets: SECRET })
    expect(await send(sender)).toEqual([{ status: 'accepted' }])
  })

  it.each([
    ['unsigned', undefined],
    ['with another secret', { secrets: other }],
    ['under other headers', { secrets: SECRET, prefix: 'svix' }],
  ])('%s: 401, failed for good, and nobody has seen it', async (_, signing) => {
    const { sender, got } = await pair(signing, { secrets: SECRET })
    const [result] = await send(sender)
    expect(errorOf(result)).toMatchObject({
      code: 'SIGNATURE_INVALID',
      effect: 'none',
      retryable: false,
      details: { status: 401 },
    })
    expect(got.deliveries).toHaveLength(0)
  })

  it('a signed body with other attributes in headers is refused, unless binary mode is asked for', async () => {
    const body = '{"test": 2432232314}'
    const seconds = String(Math.floor(clock.wallNow() / 1_000))
    const key = Buffer.from(SECRET.slice(6), 'base64')
    const signature = `v1,${createHmac('sha256', key).update(`m1.${seconds}.${body}`).digest('base64')}`
    const post = (url: string) =>
      fetch(`${url}/mails`, {
        method: 'POST',
        headers: {
          'ce-specversion': '1.0',
          'ce-id': 'm1',
          'ce-source': '/forged',
          'ce-type': 'money.wanted',
          'content-type': 'application/json',
          'webhook-id': 'm1',
          'webhook-timestamp': seconds,
          'webhook-signature': signature,
        },
        body,
      })
    expect((await post((await pair(undefined, { secrets: SECRET })).url)).status).toBe(401)
    expect((await post((await pair(undefined, { secrets: SECRET, acceptBinary: true })).url)).status).toBe(204)
  })
})
