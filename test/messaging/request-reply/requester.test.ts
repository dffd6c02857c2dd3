import { describe, expect, test } from 'vitest'
import { z } from 'zod'
import { withInherited } from '../../../src/core/async-context.ts'
import { deadlineIn } from '../../../src/core/deadline.ts'
import { describe as described } from '../../../src/core/describe.ts'
import type { Envelope } from '../../../src/core/message.ts'
import { createError } from '../../../src/errors/classes.ts'
import {
  createRequester,
  encodeMessage,
  isRequestFailure,
  queue,
  type RequesterOptions,
  type RequestOptions,
  topic,
} from '../../../src/messaging/index.ts'
import { errorOf } from '../kit.ts'
import { addressIn, bench, Pricing, replyTo } from './kit.ts'

const json = (data: unknown): Uint8Array => Buffer.from(JSON.stringify(data))

// A requester, and somebody at the other end who says whatever a test says.
async function asker(options: Partial<RequesterOptions> = {}, channel = Pricing) {
  const made = bench()
  const { clock, onEvent } = made
  const asking = made.open()
  const answering = made.open()
  await answering.transport.prepare([channel], 'create')
  let ids = 0
  const newId = (): string => `q-${++ids}`
  const requester = createRequester({
    transport: asking.transport,
    source: '/asking',
    clock,
    onEvent,
    newId,
    ...options,
  })
  const requests: Envelope[] = []
  const receiver = await answering.transport.receive({ channel }, (delivery) => {
    requests.push(delivery.envelope)
    void delivery.settle('ack')
  })
  receiver.request(1_000)
  const say = async (of: Envelope, data: unknown, more: Record<string, string> = {}, over: Partial<Envelope> = {}) => {
    const reply = {
      ...replyTo(of, { datacontenttype: 'application/json', ...more }),
      body: data instanceof Uint8Array ? data : json(data),
      ...over,
    }
    await answering.transport.send(addressIn(of), [reply], made.context(1_000))
    await made.settle()
  }
  const asked = async (): Promise<Envelope> => {
    await made.settle()
    return requests.at(-1) as Envelope
  }
  const quote = (options?: RequestOptions) => requester.request(Pricing, 'price.quote', { sku: 'A-1' }, options)
  return { ...made, requester, asking, requests, say, asked, quote }
}

describe('a requester', () => {
  test('sends a message of its channel, and resolves with the data of the reply', async () => {
    const { quote, asked, say, clock } = await asker()
    const traceparent = '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01'
    const asking = withInherited(
      { headers: { traceparent }, cause: { id: 'above', correlationId: 'conversation' } },
      () => quote({ key: 'k', subject: 's', priority: 3, headers: { tenant: 't' }, timeoutMs: 900 }),
    )
    const seen = await asked()
    expect(seen).toMatchObject({
      id: 'q-1',
      key: 'k',
      priority: 3,
      expiresAt: clock.wallNow() + 900,
      headers: { tenant: 't' },
      attributes: {
        source: '/asking',
        type: 'price.quote',
        subject: 's',
        // Its own: two requests of one conversation must not get each other's replies.
        correlationid: 'q-1',
        causationid: 'above',
        traceparent,
      },
    })
    await say(seen, { cents: 7 })
    expect(await asking).toEqual({ cents: 7 })
  })

  test('a deadline that is inherited and sooner wins', async () => {
    const { quote, clock } = await asker()
    const asking = withInherited({ deadline: deadlineIn(300, clock) }, () => errorOf(() => quote({ timeoutMs: 900 })))
    await clock.advance(300)
    expect(await asking).toMatchObject({ code: 'DEADLINE_EXCEEDED', effect: 'unknown', elapsedMs: 300 })
  })

  test('so does a signal that is inherited; of one of its own the reason is the cause', async () => {
    const { quote, asked, requester } = await asker()
    const [above, own] = [new AbortController(), new AbortController()]
    const one = withInherited({ signal: above.signal }, () => errorOf(() => quote()))
    const two = errorOf(() => quote({ signal: own.signal }))
    await asked()
    above.abort('shop closed')
    own.abort('changed my mind')
    expect(await one).toMatchObject({ code: 'CANCELLED', effect: 'unknown', cause: 'shop closed' })
    expect(await two).toMatchObject({ code: 'CANCELLED', cause: 'changed my mind' })
    expect(requester.stats().pending).toBe(0)
  })

  test.each([
    ['data that break the schema', { cents: 'seven' }, {}, 'REPLY_INVALID', 'done'],
    ['no JSON', Buffer.from('{'), {}, 'REPLY_UNDECODABLE', 'done'],
    ['another content', { cents: 7 }, { datacontenttype: 'text/plain' }, 'REPLY_UNDECODABLE', 'done'],
    ['another type', { cents: 7 }, { type: 'order.placed' }, 'REPLY_INVALID', 'done'],
    ['a failure that is not declared', {}, { failure: 'ODD' }, 'REPLY_INVALID', 'done'],
    ['a failure whose data break its schema', { sku: 7 }, { failure: 'UNKNOWN_SKU' }, 'REPLY_INVALID', 'done'],
    [
      'a problem that is none',
      Buffer.from('oops'),
      { datacontenttype: 'application/problem+json' },
      'SERVER_ERROR',
      'unknown',
    ],
    [
      'a problem that calls itself a declared failure',
      { type: 'urn:fairlead:DECLARED_FAILURE', status: 422, failure: 'UNKNOWN_SKU' },
      { datacontenttype: 'application/problem+json' },
      'REPLY_INVALID',
      'done',
    ],
    [
      'a problem',
      { type: 'urn:fairlead:CONFLICT', status: 409, effect: 'none', detail: 'sold' },
      { datacontenttype: 'application/problem+json' },
      'CONFLICT',
      'none',
    ],
  ] as const)('a reply with %s is an error of its own', async (_, data, attributes, code, effect) => {
    const { quote, asked, say } = await asker()
    const asking = errorOf(() => quote())
    await say(await asked(), data, attributes as unknown as Record<string, string>)
    expect(await asking).toMatchObject({
      code,
      effect,
      service: 'pricing',
      operation: 'price.quote',
      transport: 'memory',
    })
  })

  test('a declared failure is an error with its name and data, and is told from others', async () => {
    const { quote, asked, say } = await asker()
    const asking = errorOf(() => quote())
    await say(await asked(), { sku: 'A-1', more: 1 }, { failure: 'UNKNOWN_SKU' })
    const error = await asking
    expect(error).toMatchObject({
      code: 'DECLARED_FAILURE',
      failure: 'UNKNOWN_SKU',
      details: { sku: 'A-1' },
      effect: 'none',
    })
    expect(isRequestFailure(error, Pricing, 'price.quote', 'UNKNOWN_SKU')).toBe(true)
    const other = queue('other', {
      'price.quote': { schema: z.any(), reply: z.any(), failures: { UNKNOWN_SKU: z.any() } },
    })
    expect(isRequestFailure(error, other, 'price.quote', 'UNKNOWN_SKU')).toBe(false)
    const wrapped = createError({ code: 'DECLARED_FAILURE', service: 'mine', cause: error })
    expect(isRequestFailure(wrapped, Pricing, 'price.quote', 'UNKNOWN_SKU')).toBe(true)
    expect(isRequestFailure(new Error('no'), Pricing, 'price.quote', 'UNKNOWN_SKU')).toBe(false)
  })

  test('what makes no sense is refused before anything is sent', async () => {
    const { requester, asking, quote } = await asker()
    const bad = (work: () => unknown, code = 'INVALID_OPTIONS') =>
      expect(errorOf(work)).resolves.toMatchObject({ code, effect: 'none' })
    await bad(() => requester.request(Pricing, 'price.quote', { sku: 7 } as never), 'INVALID_INPUT')
    await bad(() => requester.request(Pricing, 'price.note' as never, { text: '' } as never))
    await bad(() => requester.request({} as never, 'price.quote' as never, {} as never))
    await bad(() => quote({ timeoutMs: 0 }))
    await bad(() => quote({ timeOut: 3 } as never))
    await bad(() => quote({ signal: 'stop' } as never))
    await bad(() => quote({ id: '' }), 'INVALID_INPUT')
    await bad(() => quote({ headers: { a: 'x'.repeat(2_000_000) } }), 'PAYLOAD_TOO_LARGE')
    await bad(() => requester.gather(Pricing, 'price.quote', { sku: 'A' }, {} as never))
    await bad(() => requester.gather(Pricing, 'price.quote', { sku: 'A' }, { enough: 0 }))
    expect(await requester.result(Pricing, 'price.quote', { sku: 7 } as never)).toMatchObject({
      ok: false,
      error: { code: 'INVALID_INPUT' },
    })
    for (const wrong of [{ source: 'a b' }, { source: undefined }, { newId: 7 }, { timeoutMs: -1 }, { layers: [] }])
      await bad(() => createRequester({ transport: asking.transport, source: '/x', ...wrong } as RequesterOptions))
    expect(asking.log).toEqual([])
  })

  test('says how it was built', async () => {
    const { requester } = await asker()
    expect(described(requester)).toEqual({
      what: 'requester',
      name: '/asking',
      transport: 'memory',
      timeoutMs: 5_000,
      options: { replies: 'private', prepare: 'create', maxPending: 100, prefetch: 100 },
      layers: [],
    })
  })

  test('tells of each request as of a call', async () => {
    const { quote, asked, say, of } = await asker()
    const asking = quote()
    await say(await asked(), { cents: 1 })
    await asking
    expect(of('call')).toMatchObject([{ service: 'pricing', operation: 'price.quote' }])
  })
})

describe('a request to many', () => {
  const gather = async (
    enough: Parameters<Awaited<ReturnType<typeof asker>>['requester']['gather']>[3]['enough'],
    more = {},
  ) => {
    const made = await asker()
    const asking = made.requester.gather(Pricing, 'price.quote', { sku: 'A' }, { enough: enough as never, ...more })
    const seen = await made.asked()
    const reply = (by: string, data: unknown, attributes: Record<string, string> = {}) =>
      made.say(seen, data, { source: by, ...attributes }, { id: `re-${by}` })
    return { ...made, asking, seen, reply }
  }

  test('resolves as soon as it is enough; what comes then is late', async () => {
    const { asking, reply, requester } = await gather(2)
    await reply('/a', { cents: 1 })
    expect(requester.stats().pending).toBe(1)
    await reply('/b', { cents: 2 })
    const { replies, failures, complete, ended } = await asking
    expect(replies.map(({ source, data }) => [source, data])).toEqual([
      ['/a', { cents: 1 }],
      ['/b', { cents: 2 }],
    ])
    expect([failures, complete, ended]).toEqual([[], true, undefined])
    await reply('/c', { cents: 3 })
    expect(requester.stats()).toMatchObject({ received: 2, late: 1, pending: 0 })
  })

  test('one that is delivered twice counts once', async () => {
    const { asking, reply, clock } = await gather(2)
    await reply('/a', { cents: 1 })
    await reply('/a', { cents: 1 })
    await clock.advance(5_000)
    expect(await asking).toMatchObject({ complete: false, replies: [{ source: '/a' }] })
  })

  test('at the deadline what came is there, failures and unreadable ones beside it', async () => {
    const { asking, reply, clock } = await gather(3, { timeoutMs: 400 })
    await reply('/a', { cents: 1 })
    await reply('/b', { sku: 'A' }, { failure: 'UNKNOWN_SKU' })
    await reply('/c', { cents: 'odd' })
    await clock.advance(400)
    const { replies, failures, complete, ended } = await asking
    expect(replies).toHaveLength(1)
    expect(failures.map(({ code }) => code)).toEqual(['DECLARED_FAILURE', 'REPLY_INVALID'])
    expect(complete).toBe(false)
    expect(ended).toMatchObject({ code: 'DEADLINE_EXCEEDED' })
  })

  test('a rule sees replies and failures', async () => {
    const { asking, reply } = await gather(
      (replies: readonly unknown[], failures: readonly unknown[]) => replies.length + failures.length >= 2,
    )
    await reply('/b', { sku: 'A' }, { failure: 'UNKNOWN_SKU' })
    await reply('/a', { cents: 1 })
    expect(await asking).toMatchObject({ complete: true, replies: [{}], failures: [{}] })
  })

  test('what its rule throws is what it fails with', async () => {
    const { asking, reply } = await gather(() => {
      throw new RangeError('odd')
    })
    const failing = errorOf(() => asking)
    await reply('/a', { cents: 1 })
    expect((await failing).cause).toBeInstanceOf(RangeError)
  })

  test('a place of replies that is lost, and a close, leave what came', async () => {
    const lost = await gather(2)
    await lost.reply('/a', { cents: 1 })
    lost.broker.cut()
    expect(await lost.asking).toMatchObject({ complete: false, replies: [{}], ended: { code: 'CONNECTION_LOST' } })
    const closed = await gather(2)
    await closed.reply('/a', { cents: 1 })
    await closed.requester.close()
    expect(await closed.asking).toMatchObject({ complete: false, replies: [{}], ended: { code: 'SHUTDOWN' } })
  })

  test('rejects where nothing was sent, and for its own caller', async () => {
    const made = await asker()
    const controller = new AbortController()
    const asking = errorOf(() =>
      made.requester.gather(Pricing, 'price.quote', { sku: 'A' }, { enough: 1, signal: controller.signal }),
    )
    await made.asked()
    controller.abort()
    expect(await asking).toMatchObject({ code: 'CANCELLED' })
    const nowhere = queue('nowhere', { ask: { schema: z.string(), reply: z.string() } })
    expect(await errorOf(() => made.requester.gather(nowhere, 'ask', 'x', { enough: 1 }))).toMatchObject({
      code: 'UNROUTABLE',
    })
  })

  test('replies that take a while to be read are in the result, if they came in time', async () => {
    let go = (): void => undefined
    const slow = topic('slow', {
      ask: {
        schema: z.string(),
        reply: z.string().refine(async () => {
          await new Promise<void>((resolve) => (go = resolve))
          return true
        }),
      },
    })
    const made = await asker({}, slow as never)
    const asking = made.requester.gather(slow, 'ask', 'x', { enough: 2, timeoutMs: 100 })
    await made.say(await made.asked(), 'y', { type: 'ask.reply' })
    await made.clock.advance(100)
    go()
    expect(await asking).toMatchObject({ complete: false, replies: [{ data: 'y' }] })
  })
})

test('an envelope of a request is one that anybody can read', async () => {
  const { clock } = bench()
  const envelope = await encodeMessage(
    Pricing,
    { type: 'price.quote', data: { sku: 'A' }, replyTo: { kind: 'queue', name: 'replies/0190-a~b' } },
    { source: '/asking', clock },
  )
  expect(envelope.attributes['replyto']).toBe('queue:replies/0190-a~b')
})
