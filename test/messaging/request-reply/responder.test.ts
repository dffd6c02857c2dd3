import { describe, expect, test } from 'vitest'
import { inherited } from '../../../src/core/async-context.ts'
import { describe as described } from '../../../src/core/describe.ts'
import type { Envelope } from '../../../src/core/message.ts'
import { createError } from '../../../src/errors/classes.ts'
import {
  createRequester,
  createResponder,
  dead,
  encodeMessage,
  type RequestOptions,
  type ResponderOptions,
  retry,
} from '../../../src/messaging/index.ts'
import { errorOf } from '../kit.ts'
import { bench, Pricing } from './kit.ts'

type Options = ResponderOptions<NonNullable<(typeof Pricing)['definitions']>>
type Handle = NonNullable<Options['handlers']['price.quote']>

// A responder and a requester on one broker and one clock.
async function pair(handle: Handle, options: Partial<Options> = {}) {
  const made = bench()
  const { clock, onEvent } = made
  const [asking, answering] = [made.open(), made.open()]
  const told: unknown[] = []
  const responder = createResponder({
    transport: answering.transport,
    channel: Pricing,
    source: '/pricing',
    clock,
    random: () => 0,
    onEvent,
    onError: (error) => told.push(error),
    ...options,
    handlers: { 'price.quote': handle, ...options.handlers },
  })
  await responder.start()
  const requester = createRequester({ transport: asking.transport, source: '/asking', clock, onEvent })
  const quote = (options?: RequestOptions) => requester.result(Pricing, 'price.quote', { sku: 'A-1' }, options)
  /** As `quote`, and time passes until it is over. */
  const quoted = async (options?: RequestOptions) => {
    const asking = quote(options)
    for (let step = 0; step < 200; step++) await clock.advance(50)
    return asking
  }
  const replies = (): Envelope[] =>
    answering.sent.filter(({ channel }) => channel.name.includes('replies')).map(({ envelope }) => envelope)
  const deadLetters = async () => {
    const letters = []
    for await (const letter of answering.transport.deadLetters?.list(Pricing, { limit: 10 }) ?? []) letters.push(letter)
    return letters
  }
  const send = async (over: Partial<Envelope> = {}, attributes: Record<string, string> = {}) => {
    const envelope = await encodeMessage(Pricing, { type: 'price.quote', data: { sku: 'A' } }, { source: '/x', clock })
    const sent = { ...envelope, ...over, attributes: { ...envelope.attributes, ...attributes } }
    await asking.transport.send(Pricing, [sent], made.context())
    await clock.advance(0)
  }
  return { ...made, asking, answering, responder, requester, told, quote, quoted, replies, deadLetters, send }
}

const refused = (): Error => Object.assign(new Error('no'), { code: 'ECONNREFUSED' })

describe('a responder', () => {
  test('sends what its handler returns, and acknowledges then', async () => {
    const { quote, answering, clock, replies, responder } = await pair(() => ({ cents: 9 }))
    const asking = quote({ id: 'ask-1', timeoutMs: 800 })
    await clock.advance(0)
    expect(await asking).toEqual({ ok: true, value: { cents: 9 } })
    expect(answering.log.filter((entry) => !entry.startsWith('request'))).toEqual([
      'receive',
      'deliver',
      expect.stringContaining('send ~temporary/replies'),
      'ack',
    ])
    expect(replies()).toMatchObject([
      {
        id: expect.stringMatching(/^[0-9a-f]{32}$/),
        expiresAt: clock.wallNow() + 800,
        attributes: {
          source: '/pricing',
          type: 'price.quote.reply',
          correlationid: 'ask-1',
          causationid: 'ask-1',
          datacontenttype: 'application/json',
        },
      },
    ])
    expect(responder.stats()).toEqual({ replies: 1, failures: 0, errors: 0, silent: 0, gone: 0, late: 0, failed: 0 })
  })

  test('is not acknowledged before the broker has the reply', async () => {
    const { quote, answering, clock } = await pair(() => ({ cents: 9 }))
    let say = (): void => undefined
    answering.failSend('replies', new Promise((resolve) => (say = () => resolve({ status: 'accepted' }))))
    void quote()
    await clock.advance(100)
    expect(answering.log).not.toContain('ack')
    say()
    await clock.advance(0)
    expect(answering.log).toContain('ack')
  })

  test('deadline, signal, cause and trace of the request are those of the handler', async () => {
    const seen: unknown[] = []
    const traceparent = '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01'
    const { quote, clock, replies } = await pair((_, { deadline, headers, signal, ids, attempt, channel }) => {
      seen.push(deadline.remainingMs(), headers, signal.aborted, ids, attempt, channel, inherited()?.cause)
      return { cents: 1 }
    })
    const asking = quote({ id: 'ask-1', timeoutMs: 700, headers: { traceparent } })
    await clock.advance(0)
    await asking
    expect(seen).toEqual([
      700,
      { traceparent },
      false,
      ['ask-1'],
      1,
      { kind: 'queue', name: 'pricing' },
      { id: 'ask-1', correlationId: 'ask-1' },
    ])
    expect(replies()[0]?.attributes['traceparent']).toBe(traceparent)
  })

  test('a declared failure is an answer: sent, acknowledged, and no error', async () => {
    const { quoted, answering, told, replies, responder } = await pair((_, { fail }) =>
      fail('UNKNOWN_SKU', { sku: 'A' }),
    )
    expect(await quoted()).toMatchObject({
      error: { code: 'DECLARED_FAILURE', failure: 'UNKNOWN_SKU', details: { sku: 'A' } },
    })
    expect(replies()[0]?.attributes).toMatchObject({ failure: 'UNKNOWN_SKU', type: 'price.quote.reply' })
    expect(answering.log.filter((entry) => entry === 'ack')).toHaveLength(1)
    expect(told).toEqual([])
    expect(responder.stats()).toMatchObject({ failures: 1, errors: 0 })
  })

  test('what may pass is tried again while somebody waits, at once and later', async () => {
    let attempts = 0
    const { quoted, told } = await pair(() => {
      if (++attempts < 5) throw refused()
      return { cents: 5 }
    })
    expect(await quoted()).toEqual({ ok: true, value: { cents: 5 } })
    expect([attempts, told]).toEqual([5, []])
  })

  test('no longer than that: the error is told before its asker has gone', async () => {
    let attempts = 0
    const { quote, clock, told, answering } = await pair(() => {
      attempts++
      throw refused()
    })
    const asking = quote({ timeoutMs: 1_000 })
    await clock.advance(300)
    // 3 at once, 3 after 250 ms; the next would be a second later.
    expect(await asking).toMatchObject({ error: { code: 'SERVER_ERROR', effect: 'unknown', transient: true } })
    expect(attempts).toBe(6)
    expect(told).toHaveLength(1)
    expect(answering.log.at(-1)).toMatch(/ack|request/)
    await clock.advance(10_000)
    expect(attempts).toBe(6)
  })

  test('after its retries it is told as well', async () => {
    let attempts = 0
    const { quoted } = await pair(
      () => {
        attempts++
        throw createError({ code: 'TOO_MANY_REQUESTS', retryAfterMs: 200 })
      },
      { retries: { immediate: 3, delayedMs: [10] } },
    )
    // One that says when to come again is not tried at once.
    expect(await quoted()).toMatchObject({ error: { code: 'TOO_MANY_REQUESTS', retryAfterMs: 200 } })
    expect(attempts).toBe(2)
  })

  test('what cannot pass is told at once, without stack, message or what others said', async () => {
    const nested = createError({
      code: 'DECLARED_FAILURE',
      service: 'other',
      operation: 'x',
      failure: 'SECRET',
      details: 1,
    })
    for (const [thrown, code] of [
      [createError({ code: 'CONFLICT', message: 'hidden' }), 'CONFLICT'],
      [new TypeError('hidden'), 'SERVER_ERROR'],
      [nested, 'SERVER_ERROR'],
      ['hidden', 'SERVER_ERROR'],
    ] as const) {
      const { quoted, told, replies } = await pair(
        () => {
          throw thrown
        },
        { retries: { immediate: 0, delayedMs: [] } },
      )
      expect(await quoted()).toMatchObject({ error: { code } })
      expect(told).toEqual([thrown])
      const body = Buffer.from(replies()[0]?.body ?? []).toString()
      expect(body).not.toMatch(/hidden|SECRET|stack/)
    }
    const open = await pair(
      () => {
        throw createError({ code: 'CONFLICT', message: 'in the open' })
      },
      { exposeErrors: true },
    )
    expect(await open.quoted()).toMatchObject({ error: { message: expect.stringContaining('in the open') } })
  })

  test('a reply or a failure that breaks the channel is our fault, and no hang', async () => {
    for (const handle of [
      () => ({ cents: 'nine' }),
      (_: unknown, { fail }: { fail(name: string, data: unknown): never }) => fail('UNKNOWN_SKU', {}),
      (_: unknown, { fail }: { fail(name: string, data: unknown): never }) => fail('NEVER_HEARD', {}),
    ]) {
      const { quoted, told, answering } = await pair(handle as never)
      expect(await quoted()).toMatchObject({ error: { code: 'REPLY_INVALID' } })
      expect(told).toMatchObject([{ code: 'REPLY_INVALID' }])
      expect(answering.log.filter((entry) => entry === 'ack')).toHaveLength(1)
    }
  })

  test('a reply that the broker cannot take just now is sent again; its handler is not called again', async () => {
    let calls = 0
    const { quote, clock, answering, replies } = await pair(() => ({ cents: ++calls }))
    const failure = { status: 'failed', error: createError({ code: 'CONNECTION_LOST' }) } as const
    answering.failSend('replies', failure, failure, failure, failure)
    const asking = quote()
    await clock.advance(2_000)
    expect(await asking).toEqual({ ok: true, value: { cents: 1 } })
    expect(calls).toBe(1)
    expect(replies()).toHaveLength(5)
    expect(new Set(replies().map(({ id }) => id)).size).toBe(1)
  })

  test('one that it never will is told instead, or counted', async () => {
    const { quote, clock, answering, responder, of } = await pair(() => ({ cents: 1 }))
    answering.failSend('replies', { status: 'failed', error: createError({ code: 'FORBIDDEN' }) })
    const asking = quote({ timeoutMs: 100 })
    await clock.advance(100)
    expect(await asking).toMatchObject({ error: { code: 'DEADLINE_EXCEEDED' } })
    expect(responder.stats()).toMatchObject({ failed: 1 })
    expect(of('reply-undelivered')).toMatchObject([{ why: 'failed', error: { code: 'FORBIDDEN' }, channel: 'pricing' }])
    expect(answering.log.filter((entry) => entry === 'ack')).toHaveLength(1)
  })

  test('an address that is gone is counted, and its request done', async () => {
    let go = (): void => undefined
    const { quote, requester, clock, answering, responder, of, deadLetters } = await pair(async () => {
      await new Promise<void>((resolve) => (go = resolve))
      return { cents: 1 }
    })
    void quote()
    await clock.advance(0)
    await requester.close()
    go()
    await clock.advance(60_000)
    expect(responder.stats()).toMatchObject({ replies: 1, gone: 1 })
    expect(of('reply-undelivered')).toMatchObject([{ why: 'gone', messageType: 'price.quote' }])
    expect(answering.log.filter((entry) => entry === 'ack')).toHaveLength(1)
    expect(answering.log.filter((entry) => entry.startsWith('send'))).toHaveLength(1)
    expect(await deadLetters()).toEqual([])
  })

  test('a handler that ends after its asker has gone sends nothing', async () => {
    const { quote, clock, responder, replies } = await pair(async () => {
      await new Promise<void>((resolve) => void clock.setTimer(() => resolve(), 150, undefined))
      return { cents: 1 }
    })
    const asking = quote({ timeoutMs: 100 })
    await clock.advance(200)
    expect((await asking).ok).toBe(false)
    expect(responder.stats()).toMatchObject({ late: 1 })
    expect(replies()).toEqual([])
  })

  test('what has expired is not begun', async () => {
    let calls = 0
    const { send, clock, answering, of } = await pair(() => ({ cents: ++calls }))
    await send({ expiresAt: clock.wallNow() }, { replyto: 'queue:anywhere' })
    await clock.advance(1_000)
    expect(calls).toBe(0)
    expect(answering.log.at(-1)).toMatch(/ack|request/)
    expect(of('message-handled')).toMatchObject([{ outcome: 'expired' }])
    expect(answering.sent).toEqual([])
  })

  test('what nobody can read, and what was handed out too often, is answered and done', async () => {
    const { send, answering, asking, clock, deadLetters } = await pair(() => ({ cents: 1 }), { maxDeliveries: 1 })
    await asking.transport.prepare([{ kind: 'queue', name: 'mine' }], 'create')
    const replyto = 'queue:mine'
    await send({ body: Buffer.from('{"sku":7}') }, { replyto })
    await send({ body: Buffer.from('{') }, { replyto })
    await send({}, { replyto, type: 'price.unknown' })
    await send({}, { replyto, type: 'price.note' })
    const problems = answering.sent.map(({ envelope }) => JSON.parse(Buffer.from(envelope.body).toString()))
    expect(problems.map(({ type, effect }) => [type, effect])).toEqual([
      ['urn:fairlead:INVALID_INPUT', 'none'],
      ['urn:fairlead:MESSAGE_UNDECODABLE', 'none'],
      ['urn:fairlead:MESSAGE_UNHANDLED', 'none'],
      ['urn:fairlead:MESSAGE_UNHANDLED', 'none'],
    ])
    expect(problems[0].details.issues).toMatchObject([{ path: 'data.sku' }])
    await clock.advance(0)
    expect(await deadLetters()).toEqual([])
  })

  test('what is poison, and what a handler gives up, is told', async () => {
    for (const [options, handle, code] of [
      [{ maxDeliveries: 2 }, () => retry({ afterMs: 10 }), 'SERVER_ERROR'],
      [{}, () => dead('never'), 'UNPROCESSABLE'],
    ] as const) {
      const { quoted } = await pair(handle, options)
      expect(await quoted()).toMatchObject({ error: { code, effect: 'unknown' } })
    }
  })

  test('without somebody who asks a failure is a dead letter, as of any message', async () => {
    const { send, deadLetters, answering, responder } = await pair(
      () => {
        throw createError({ code: 'CONFLICT' })
      },
      { handlers: { 'price.note': () => dead('no notes') } },
    )
    await send()
    await send({ body: Buffer.from('{"text":"x"}') }, { type: 'price.note' })
    expect((await deadLetters()).map(({ reason }) => reason)).toEqual([expect.stringContaining('CONFLICT'), 'no notes'])
    expect(answering.sent).toEqual([])
    expect(responder.stats()).toMatchObject({ errors: 0, silent: 0 })
  })

  test('without somebody who asks a reply and a declared failure go nowhere', async () => {
    let calls = 0
    const { send, deadLetters, answering, responder } = await pair((_, { fail }) =>
      ++calls === 1 ? { cents: 1 } : fail('UNKNOWN_SKU', { sku: 'A' }),
    )
    await send()
    await send()
    expect(await deadLetters()).toEqual([])
    expect(answering.sent).toEqual([])
    expect(responder.stats()).toMatchObject({ silent: 2 })
  })

  test('dead letters of its own are those that nobody was told of; `drop` drops them', async () => {
    const broken = { body: Buffer.from('{') }
    const other = bench()
    const place = other.open()
    await place.transport.prepare([{ kind: 'queue', name: 'dead' }], 'create')
    const letters = { transport: place.transport, channel: { kind: 'queue', name: 'dead' } } as const
    const one = await pair(() => ({ cents: 1 }), { deadLetter: letters })
    await one.asking.transport.prepare([{ kind: 'queue', name: 'mine' }], 'create')
    await one.send(broken, { replyto: 'queue:mine' })
    expect([one.answering.sent.length, place.sent.length]).toEqual([1, 0])
    await one.send(broken)
    expect([one.answering.sent.length, place.sent.length]).toEqual([1, 1])
    const two = await pair(() => ({ cents: 1 }), { deadLetter: 'drop' })
    await two.asking.transport.prepare([{ kind: 'queue', name: 'mine' }], 'create')
    await two.send(broken)
    await two.send(broken, { replyto: 'queue:mine' })
    expect(two.answering.sent).toHaveLength(1)
    expect(two.answering.log.filter((entry) => entry === 'ack')).toHaveLength(2)
    expect(await two.deadLetters()).toEqual([])
  })

  test('a handler that takes too long is asked to end; its asker is told', async () => {
    const { quoted } = await pair(
      (_, { signal }) =>
        new Promise((_, reject) => signal.addEventListener('abort', () => reject(signal.reason), { once: true })),
      { handlerTimeoutMs: 100, retries: { immediate: 0, delayedMs: [] } },
    )
    expect(await quoted()).toMatchObject({ error: { code: 'DEADLINE_EXCEEDED', effect: 'unknown', elapsedMs: 100 } })
  })

  test('closed, what runs ends and is answered first', async () => {
    let go = (): void => undefined
    const { quote, clock, responder } = await pair(async () => {
      await new Promise<void>((resolve) => (go = resolve))
      return { cents: 1 }
    })
    const asking = quote()
    await clock.advance(0)
    const closing = responder.close()
    await clock.advance(0)
    go()
    await clock.advance(0)
    await closing
    expect(await asking).toMatchObject({ ok: true })
    expect(responder.health().state).toBe('closed')
  })

  test('a request whose responder goes in the middle is answered by another', async () => {
    const { quote, clock, responder, open } = await pair(() => new Promise(() => undefined))
    const asking = quote({ timeoutMs: 60_000 })
    await clock.advance(0)
    const closing = responder.close({ withinMs: 10 })
    await clock.advance(5_000)
    await closing
    const other = createResponder({
      transport: open().transport,
      channel: Pricing,
      source: '/pricing',
      clock,
      handlers: { 'price.quote': () => ({ cents: 2 }) },
    })
    await other.start()
    await clock.advance(1_000)
    expect(await asking).toEqual({ ok: true, value: { cents: 2 } })
  })

  test('a listener that throws changes nothing', async () => {
    const { quoted } = await pair(
      () => {
        throw createError({ code: 'CONFLICT' })
      },
      {
        onError: () => {
          throw new Error('odd')
        },
      },
    )
    expect(await quoted()).toMatchObject({ error: { code: 'CONFLICT' } })
  })

  test('is a consumer in all else', async () => {
    const { responder, clock } = await pair(() => ({ cents: 1 }))
    expect(described(responder)).toMatchObject({
      what: 'responder',
      name: '/pricing',
      channel: { name: 'pricing' },
      options: { expired: 'drop', retries: { immediate: 2, delayedMs: [250, 1_000, 4_000], jitter: 0.2 } },
    })
    responder.pause()
    expect(responder.health().state).toBe('paused')
    responder.resume()
    expect(await responder.lag()).toMatchObject({ waiting: 0 })
    await responder[Symbol.asyncDispose]()
    await clock.advance(0)
    expect(await errorOf(() => responder.start())).toMatchObject({ code: 'SHUTDOWN' })
  })

  test('options that make no sense are refused', async () => {
    const { answering } = await pair(() => ({ cents: 1 }))
    const good = {
      transport: answering.transport,
      channel: Pricing,
      source: '/x',
      handlers: { 'price.quote': () => ({ cents: 1 }) },
    }
    for (const wrong of [
      { transport: undefined },
      { channel: {} },
      { source: undefined },
      { source: 'a b' },
      { handlers: undefined },
      { handlers: {} },
      { handlers: { 'price.other': () => ({}) } },
      { handlers: { 'price.quote': 7 } },
      { exposeErrors: 'yes' },
      { onError: 7 },
      { retries: { immediate: -1 } },
      { retries: { delayed: 1 } },
      { retries: { delayedMs: 7 } },
      { outbox: { publish: () => undefined } },
      { inbox: {} },
      { trigger: {} },
      { batch: () => undefined },
      { expired: 'dead' },
    ])
      expect(await errorOf(() => createResponder({ ...good, ...wrong } as never)), JSON.stringify(wrong)).toMatchObject(
        {
          code: 'INVALID_OPTIONS',
        },
      )
    expect(await errorOf(() => createResponder(undefined as never))).toMatchObject({ code: 'INVALID_OPTIONS' })
  })
})
