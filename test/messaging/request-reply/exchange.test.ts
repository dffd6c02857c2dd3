import { describe, expect, test } from 'vitest'
import { createContext } from '../../../src/core/context.ts'
import { deadlineIn } from '../../../src/core/deadline.ts'
import type { Envelope } from '../../../src/core/message.ts'
import { createError } from '../../../src/errors/classes.ts'
import { createExchange, type ExchangeOptions } from '../../../src/messaging/index.ts'
import { errorOf } from '../kit.ts'
import { addressIn, bench, Pricing, replyTo, request } from './kit.ts'

// An exchange, and somebody at the other end who answers by hand.
async function between(options: Partial<ExchangeOptions> = {}) {
  const made = bench()
  const { clock, onEvent } = made
  const asking = made.open()
  const answering = made.open()
  await answering.transport.prepare([Pricing], 'create')
  const exchange = createExchange({ transport: asking.transport, clock, random: () => 0.5, onEvent, ...options })
  const requests: Envelope[] = []
  const receiver = await answering.transport.receive({ channel: Pricing }, (delivery) => {
    requests.push(delivery.envelope)
    void delivery.settle('ack')
  })
  receiver.request(1_000)
  const answer = async (of: Envelope, more: Record<string, string> = {}, to = addressIn(of)) =>
    (await answering.transport.send(to, [replyTo(of, more)], made.context(1_000)))[0]
  const ask = (id: string, ms = 5_000) => exchange.ask(Pricing, request(id), made.context(ms))
  const asked = async (): Promise<Envelope> => {
    await made.settle()
    return requests.at(-1) as Envelope
  }
  return { ...made, exchange, asking, answering, requests, answer, ask, asked }
}

describe('an exchange', () => {
  test('opens one private place with the first request, sends the address, the correlation and the deadline along', async () => {
    const { exchange, asking, requests, answer, ask, settle, clock } = await between()
    expect(asking.log).toEqual([])
    const one = ask('a')
    const two = ask('b', 800)
    await settle()
    expect(asking.froms).toEqual([{ channel: { kind: 'queue', name: 'replies' }, temporary: true }])
    expect(asking.log).toEqual(['receive', 'request 100', 'send pricing', 'send pricing'])
    expect(requests.map(({ expiresAt }) => (expiresAt ?? 0) - clock.wallNow())).toEqual([5_000, 800])
    expect(requests.map(({ attributes }) => attributes['correlationid'])).toEqual(['a', 'b'])
    await answer(requests[1] as Envelope)
    await answer(requests[0] as Envelope)
    expect((await one).id).toBe('re-a')
    expect((await two).id).toBe('re-b')
    expect(exchange.stats()).toEqual({ pending: 0, received: 2, late: 0, unknown: 0 })
  })

  test('leaves no timer behind', async () => {
    const { exchange, ask, asked, answer, clock } = await between()
    const asking = ask('a', 3_600_000)
    await answer(await asked())
    await asking
    await exchange.close()
    // The leases of the broker in memory have theirs.
    await clock.advance(31_000)
    expect(clock.pending).toBe(0)
  })

  test('an expiry of its own that is sooner stays', async () => {
    const { exchange, asked, answer, context, clock } = await between()
    const expiresAt = clock.wallNow() + 300
    const asking = exchange.ask(Pricing, request('a', { expiresAt }), context())
    const seen = await asked()
    expect(seen.expiresAt).toBe(expiresAt)
    await answer(seen)
    await asking
  })

  test('ends with its deadline: effect unknown; the reply that comes then is late, and told', async () => {
    const { exchange, asked, answer, context, clock, of } = await between()
    const call = context(700)
    const asking = errorOf(() => exchange.ask(Pricing, request('a'), call))
    const seen = await asked()
    await clock.advance(699)
    expect(exchange.stats().pending).toBe(1)
    await clock.advance(1)
    expect(await asking).toMatchObject({
      code: 'DEADLINE_EXCEEDED',
      effect: 'unknown',
      service: 'pricing',
      operation: 'price.quote',
      channel: 'pricing',
      details: { id: 'a' },
    })
    expect(call.effect).toBe('unknown')
    await answer(seen)
    await clock.advance(0)
    expect(exchange.stats()).toEqual({ pending: 0, received: 0, late: 1, unknown: 0 })
    expect(of('reply-dropped')).toMatchObject([{ why: 'late', id: 're-a', correlationId: 'a', transport: 'memory' }])
  })

  test('a reply to nothing that is known is counted, and told', async () => {
    const { exchange, asked, answer, ask, settle, of } = await between()
    const asking = ask('a')
    const seen = await asked()
    await answer(seen, { correlationid: 'somebody else', causationid: 'somebody else' })
    await settle()
    expect(exchange.stats()).toMatchObject({ pending: 1, unknown: 1 })
    expect(of('reply-dropped')).toMatchObject([{ why: 'unknown' }])
    await answer(seen)
    await asking
  })

  test('a reply to an earlier request does not answer a later one of the same correlation', async () => {
    const { exchange, requests, answer, context, clock, settle } = await between()
    const attributes = { correlationid: 'basket-7' }
    const first = errorOf(() => exchange.ask(Pricing, request('a', { attributes }), context(100)))
    await clock.advance(100)
    expect(await first).toMatchObject({ code: 'DEADLINE_EXCEEDED' })
    const second = exchange.ask(Pricing, request('b', { attributes }), context())
    await settle()
    await answer(requests[0] as Envelope)
    await settle()
    expect(exchange.stats()).toMatchObject({ pending: 1, received: 0, late: 1 })
    await answer(requests[1] as Envelope)
    expect((await second).id).toBe('re-b')
  })

  test('the same request once more is answered by the reply to the first', async () => {
    const { exchange, requests, answer, context, clock, settle } = await between()
    const first = errorOf(() => exchange.ask(Pricing, request('a'), context(100)))
    await clock.advance(100)
    await first
    const second = exchange.ask(Pricing, request('a'), context())
    await settle()
    await answer(requests[0] as Envelope)
    expect((await second).id).toBe('re-a')
  })

  test('two that wait cannot have one correlation', async () => {
    const { ask, asked, answer } = await between()
    const first = ask('a')
    const seen = await asked()
    expect(await errorOf(() => ask('a'))).toMatchObject({ code: 'IN_PROGRESS', effect: 'none' })
    await answer(seen)
    expect((await first).id).toBe('re-a')
  })

  test('lets so many wait and no more; the next is refused at once, until one is over', async () => {
    const { exchange, ask, asked, answer, requests, settle } = await between({ maxPending: 2 })
    const waiting = [ask('a'), ask('b')]
    expect(await errorOf(() => ask('c'))).toMatchObject({ code: 'OUTSTANDING_LIMIT', effect: 'none', retryable: true })
    const seen = await asked()
    expect(requests).toHaveLength(2)
    await answer(seen)
    await waiting[1]
    const third = ask('d')
    await settle()
    for (const each of requests) await answer(each)
    await Promise.all([waiting[0], third])
    expect(exchange.stats().pending).toBe(0)
  })

  test('asks for replies ahead, never for more than there is room for, and acknowledges each', async () => {
    const { asking, ask, requests, answer, settle } = await between({ prefetch: 8 })
    const all = Array.from({ length: 40 }, (_, at) => ask(`m-${at}`))
    await settle()
    const held: (() => void)[] = []
    asking.settling = () => new Promise((resolve) => held.push(resolve))
    for (const each of requests) await answer(each)
    await settle()
    // What is not acknowledged yet takes up room.
    expect(asking.log.filter((entry) => entry === 'deliver')).toHaveLength(8)
    held.shift()?.()
    await settle()
    expect(asking.log.filter((entry) => entry === 'deliver')).toHaveLength(9)
    while (held.length > 0) {
      held.shift()?.()
      await settle()
    }
    await Promise.all(all)
    await settle()
    expect(asking.credit.most).toBe(8)
    expect(asking.log.filter((entry) => entry === 'ack')).toHaveLength(40)
  })

  test('a private place that is lost takes its requests with it; it is opened again by itself', async () => {
    const { exchange, asking, broker, ask, asked, answer, answering, clock, settle, of, requests } = await between()
    const waiting = [errorOf(() => ask('a')), errorOf(() => ask('b'))]
    await settle()
    broker.cut()
    for (const error of await Promise.all(waiting))
      expect(error).toMatchObject({ code: 'CONNECTION_LOST', effect: 'unknown', retryable: false })
    expect(of('replies-lost')).toMatchObject([{ requests: 2, error: { code: 'CONNECTION_LOST' } }])
    asking.failReceive(createError({ code: 'CONNECTION_REFUSED' }))
    await clock.advance(75)
    expect(of('replies-restored')).toEqual([])
    await clock.advance(150)
    expect(of('replies-restored')).toMatchObject([{ tries: 2, elapsedMs: 225 }])
    const again = await answering.transport.receive({ channel: Pricing }, (delivery) => {
      requests.push(delivery.envelope)
      void delivery.settle('ack')
    })
    again.request(10)
    const next = ask('c')
    await answer(await asked())
    expect((await next).id).toBe('re-c')
    expect(exchange.stats().pending).toBe(0)
  })

  test('on an address of its own that stays, they wait on', async () => {
    const replies = { kind: 'topic', name: 'all-replies' } as const
    const { broker, asking, ask, asked, answer, clock, of, answering } = await between({ replies })
    const waiting = ask('a')
    const seen = await asked()
    expect(addressIn(seen)).toEqual(replies)
    expect(asking.froms).toEqual([{ channel: replies }])
    broker.cut()
    await clock.advance(100)
    expect(of('replies-lost')).toMatchObject([{ requests: 0 }])
    await answering.transport.send(
      replies,
      [replyTo(request('of somebody else'))],
      createContext({
        service: 'x',
        operation: 'y',
        deadline: deadlineIn(100, clock),
        idempotent: true,
      }).context,
    )
    await answer(seen)
    expect((await waiting).id).toBe('re-a')
    // Others take their replies there as well: that is nothing to tell.
    expect(of('reply-dropped')).toEqual([])
  })

  test('a broker that is down is told at once, with nothing sent; asked again in a moment it may be back', async () => {
    const { asking, ask, asked, answer, clock } = await between()
    asking.failReceive(createError({ code: 'CONNECTION_REFUSED' }))
    const down = { code: 'CONNECTION_REFUSED', effect: 'none', retryable: true }
    expect(await errorOf(() => ask('a'))).toMatchObject(down)
    expect(await errorOf(() => ask('b'))).toMatchObject(down)
    expect(asking.log).toEqual(['receive'])
    await clock.advance(100)
    const third = ask('c')
    await answer(await asked())
    expect((await third).id).toBe('re-c')
  })

  test('while the place is being opened the deadline holds: nothing was sent, and nothing will be', async () => {
    const { asking, ask, clock, settle } = await between()
    let open = (): void => undefined
    asking.failReceive(new Promise<void>((resolve) => (open = resolve)))
    const waiting = errorOf(() => ask('a', 300))
    await clock.advance(300)
    expect(await waiting).toMatchObject({ code: 'DEADLINE_EXCEEDED', effect: 'none' })
    open()
    await settle()
    expect(asking.log).toEqual(['receive', 'request 100'])
  })

  test('what the transport says of the sending ends it at once', async () => {
    const { asking, exchange, context, ask } = await between()
    const nowhere = { kind: 'queue', name: 'nowhere' } as const
    const call = context()
    const unroutable = await errorOf(() => exchange.ask(nowhere, request('a'), call))
    expect(unroutable).toMatchObject({
      code: 'UNROUTABLE',
      effect: 'none',
      channel: 'nowhere',
      operation: 'price.quote',
    })
    expect(call.effect).toBe('none')
    asking.failSend('pricing', { status: 'failed', error: createError({ code: 'CONNECTION_LOST' }) })
    expect(await errorOf(() => ask('b'))).toMatchObject({ code: 'CONNECTION_LOST', effect: 'unknown' })
    asking.failSend('pricing', undefined as never)
    expect(await errorOf(() => ask('c'))).toMatchObject({ code: 'PROTOCOL_VIOLATION', effect: 'unknown' })
    expect(exchange.stats().pending).toBe(0)
  })

  test('a reply that is sooner than the verdict of the sending counts', async () => {
    const { asking, ask, answering, settle, context } = await between()
    let say = (): void => undefined
    asking.failSend(
      'pricing',
      new Promise((resolve) => {
        say = () => resolve({ status: 'failed', error: createError({ code: 'CONNECTION_LOST' }) })
      }),
    )
    const waiting = ask('a')
    await settle()
    const { envelope } = asking.sent[0] as { envelope: Envelope }
    await answering.transport.send(addressIn(envelope), [replyTo(envelope)], context())
    expect((await waiting).id).toBe('re-a')
    say()
    await settle()
  })

  test('a caller that gives up ends it; one that has, never begins', async () => {
    const { exchange, asking, clock, settle } = await between()
    const root = createContext({
      service: 'pricing',
      operation: 'price.quote',
      deadline: deadlineIn(1_000, clock),
      idempotent: false,
    })
    const waiting = errorOf(() => exchange.ask(Pricing, request('a'), root.context))
    await settle()
    root.abort('enough of it')
    expect(await waiting).toMatchObject({ code: 'CANCELLED', effect: 'unknown', cause: 'enough of it' })
    expect(await errorOf(() => exchange.ask(Pricing, request('b'), root.context))).toMatchObject({
      code: 'CANCELLED',
      effect: 'none',
    })
    expect(asking.log.filter((entry) => entry.startsWith('send'))).toHaveLength(1)
  })

  test('after its deadline none begins', async () => {
    const { exchange, context, clock, asking } = await between()
    const late = context(10)
    await clock.advance(10)
    expect(await errorOf(() => exchange.ask(Pricing, request('a'), late))).toMatchObject({ code: 'DEADLINE_SPENT' })
    expect(asking.log).toEqual([])
  })

  test('closed, what waits fails, and says what may have been done; the place is given up', async () => {
    const { exchange, asking, ask, settle } = await between()
    const sent = errorOf(() => ask('a'))
    await settle()
    const closing = exchange.close()
    expect(await sent).toMatchObject({ code: 'SHUTDOWN', effect: 'unknown' })
    await closing
    await exchange.close()
    expect(asking.log.filter((entry) => entry === 'close receiver')).toHaveLength(1)
    expect(await errorOf(() => ask('b'))).toMatchObject({ code: 'SHUTDOWN', effect: 'none' })
  })

  test('closed while it opens, nothing stays open', async () => {
    const { exchange, asking, ask, settle } = await between()
    let open = (): void => undefined
    asking.failReceive(new Promise<void>((resolve) => (open = resolve)))
    const waiting = errorOf(() => ask('a'))
    await settle()
    const closing = exchange.close()
    expect(await waiting).toMatchObject({ code: 'SHUTDOWN', effect: 'none' })
    open()
    await closing
    expect(asking.log).toEqual(['receive', 'close receiver'])
  })

  test('a transport that is closed ends what waits, and is not asked again', async () => {
    const { asking, ask, clock, settle } = await between()
    const waiting = errorOf(() => ask('a'))
    await settle()
    await asking.transport.close()
    expect(await waiting).toMatchObject({ code: 'CONNECTION_LOST', effect: 'unknown', cause: { code: 'SHUTDOWN' } })
    await clock.advance(60_000)
    expect(asking.log.filter((entry) => entry === 'receive')).toHaveLength(1)
    expect(await errorOf(() => ask('b'))).toMatchObject({ code: 'SHUTDOWN', effect: 'none' })
  })

  test('what a listener to replies throws is what the request fails with', async () => {
    const { exchange, asked, answer, context } = await between()
    const waiting = errorOf(() =>
      exchange.exchange(Pricing, request('a'), context(), () => {
        throw new RangeError('odd')
      }),
    )
    await answer(await asked())
    expect((await waiting).cause).toBeInstanceOf(RangeError)
  })

  test('says what it cannot do, and what makes no sense', async () => {
    const { asking } = await between()
    const { transport } = asking
    const poor = {
      ...transport,
      capabilities: { ...transport.capabilities, temporary: false, modes: ['queue'] },
    } as const
    expect(await errorOf(() => createExchange({ transport: poor }))).toMatchObject({
      code: 'CAPABILITY_MISSING',
      message: expect.stringContaining("replies: { kind: 'topic'"),
    })
    const onTopic = { transport: poor, replies: { kind: 'topic', name: 'x' } } as const
    expect(await errorOf(() => createExchange(onTopic))).toMatchObject({ code: 'CAPABILITY_MISSING' })
    createExchange({ transport: poor, replies: { kind: 'queue', name: 'mine' } })
    for (const wrong of [
      { replies: { kind: 'queue', name: 'a b' } },
      { maxPending: 0 },
      { prefetch: 0 },
      { name: '' },
      { prepare: 'yes' },
      { maxPendings: 3 },
    ])
      expect(
        await errorOf(() => createExchange({ transport, ...wrong } as ExchangeOptions)),
        JSON.stringify(wrong),
      ).toMatchObject({
        code: 'INVALID_OPTIONS',
      })
    expect(await errorOf(() => createExchange(undefined as never))).toMatchObject({ code: 'INVALID_OPTIONS' })
  })
})
