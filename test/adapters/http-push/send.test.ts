import { afterEach, describe, expect, it } from 'vitest'
import type { DispatchHandler } from '../../../src/adapters/http/undici.ts'
import { type HttpPushEvent, type HttpPushOptions, httpPushTransport } from '../../../src/adapters/http-push/index.ts'
import type { Clock } from '../../../src/core/clock.ts'
import type { DeadLetter } from '../../../src/core/contracts/transport.ts'
import { fakeClock } from '../../../src/testing/fake-clock.ts'
import { refusedPort } from '../../../src/testing/fault-server/index.ts'
import { Closing, envelope, errorOf, inbox, listen, queue, stub, topic, turns, until, within } from './support.ts'

const closing = new Closing()
afterEach(() => closing.end())

const sender = (options: HttpPushOptions) => closing.add(httpPushTransport({ random: () => 0, ...options }))
const listed = async (list: AsyncIterable<DeadLetter>): Promise<readonly DeadLetter[]> => {
  const all: DeadLetter[] = []
  for await (const each of list) all.push(each)
  return all
}

describe('what is sent', () => {
  it('is a CloudEvent in binary mode, with where it goes and how long the sender waits', async () => {
    const clock = fakeClock()
    const { url, requests } = await stub(closing, () => ({ status: 200, body: 'thanks' }))
    const transport = sender({
      subscribers: { orders: { billing: `${url}/in?tenant=7` } },
      headers: { 'X-Api-Key': 'k' },
      clock,
    })
    const message = envelope('1', { key: 'order 7', headers: { 'tenant-id': 'ä' } })
    expect(await transport.send(topic('orders'), [message], within(4_000, clock).context)).toEqual([
      { status: 'accepted' },
    ])
    expect(requests).toHaveLength(1)
    expect(requests[0]).toMatchObject({
      path: '/in?tenant=7',
      body: '{"id":"1"}',
      headers: {
        'ce-id': '1',
        'ce-source': '/test',
        'ce-type': 'mail.wanted',
        'ce-partitionkey': 'order%207',
        'content-type': 'application/json',
        'x-message-tenant-id': '%C3%A4',
        'x-api-key': 'k',
        'fairlead-channel': 'topic:orders',
        'fairlead-group': 'billing',
        'fairlead-redeliveries': '0',
        'x-request-timeout-ms': '4000',
      },
    })
  })

  it('goes in structured mode where its names and values would be too many for headers', async () => {
    const { url, requests } = await stub(closing, () => ({ status: 204 }))
    const transport = sender({ subscribers: { mails: url } })
    const message = envelope('1', { headers: { long: 'x'.repeat(20_000) } })
    expect(await transport.send(queue('mails'), [message], within().context)).toEqual([{ status: 'accepted' }])
    expect(requests[0]?.headers['content-type']).toMatch(/^application\/cloudevents\+json/)
    expect(requests[0]?.body).toContain('x'.repeat(20_000))
  })
})

describe('verdicts', () => {
  it.each([
    [503, { 'retry-after': '2' }, 2_000],
    [429, { 'retry-after': 'Thu, 01 Jan 2026 00:00:03 GMT' }, 3_000],
    [503, {}, 0],
    [500, {}, 0],
    [408, {}, 0],
  ])('%i %o is tried again, when it says so', async (status, headers, afterMs) => {
    const clock = fakeClock({ wall: Date.UTC(2026, 0, 1) })
    const { url, requests } = await stub(closing, (_, count) => (count === 1 ? { status, headers } : { status: 204 }))
    const transport = sender({ subscribers: { mails: url }, clock })
    const sent = transport.send(queue('mails'), [envelope('1')], within(10_000, clock).context)
    await until(() => requests.length === 1)
    await turns()
    if (afterMs > 0) {
      await until(() => clock.pending >= 2)
      await clock.advance(afterMs - 1)
      await turns()
      expect(requests).toHaveLength(1)
      await clock.advance(1)
    }
    expect(await sent).toEqual([{ status: 'accepted' }])
    expect(requests).toHaveLength(2)
    expect(clock.pending).toBe(0)
  })

  it('a pause that would outlive the deadline is not begun: the real error is told at once, with when to come again', async () => {
    const clock = fakeClock()
    const { url, requests } = await stub(closing, () => ({ status: 503, headers: { 'retry-after': '60' } }))
    const transport = sender({ subscribers: { mails: url }, clock })
    const [result] = await transport.send(queue('mails'), [envelope('1')], within(5_000, clock).context)
    expect(errorOf(result)).toMatchObject({
      code: 'UNAVAILABLE',
      effect: 'unknown',
      retryable: true,
      retryAfterMs: 60_000,
      channel: 'mails',
      transport: 'http-push',
      endpoint: url,
    })
    expect(requests).toHaveLength(1)
  })

  it('full jitter between tries, doubling to its bound, and the last real error at the end', async () => {
    const fake = fakeClock()
    const pauses: number[] = []
    const clock: Clock = {
      ...fake,
      setTimer(callback, ms, arg) {
        const timer = fake.setTimer(callback, ms, arg)
        // Neither the deadline nor the attempt timeout: a pause, and it passes at once.
        if (ms < 1_000) {
          pauses.push(ms)
          void fake.advance(ms)
        }
        return timer
      },
    }
    const { url, requests } = await stub(closing, () => ({ status: 500 }))
    const transport = sender({
      subscribers: { mails: url },
      clock,
      random: () => 0.5,
      retryBaseMs: 100,
      retryMaxMs: 400,
    })
    const [result] = await transport.send(queue('mails'), [envelope('1')], within(1_000, clock).context)
    expect(pauses).toEqual([50, 100, 200, 200, 200, 200])
    expect(requests).toHaveLength(7)
    expect(errorOf(result)).toMatchObject({ code: 'SERVER_ERROR', effect: 'unknown', transient: true })
  })

  it('another 4xx is the end: failed, not to be sent again, and kept with its reason', async () => {
    const events: HttpPushEvent[] = []
    const { url, requests } = await stub(closing, () => ({ status: 400 }))
    const transport = sender({ subscribers: { mails: url }, onEvent: (event) => events.push(event) })
    const [result] = await transport.send(queue('mails'), [envelope('1')], within().context)
    expect(errorOf(result)).toMatchObject({ code: 'BAD_REQUEST', effect: 'none', retryable: false })
    expect(requests).toHaveLength(1)
    const kept = await listed(transport.deadLetters?.list(queue('mails'), { limit: 10 }) as AsyncIterable<DeadLetter>)
    expect(kept).toMatchObject([{ envelope: { id: '1' }, reason: 'the peer answered 400' }])
    expect(events).toMatchObject([{ type: 'dead-letter', id: '1', kept: true }])
  })

  it('one that was tried in vain before it was refused may have had an effect', async () => {
    const { url } = await stub(closing, (_, count) => ({ status: count === 1 ? 500 : 422 }))
    const transport = sender({ subscribers: { mails: url } })
    const [result] = await transport.send(queue('mails'), [envelope('1')], within().context)
    expect(errorOf(result)).toMatchObject({ code: 'UNPROCESSABLE', effect: 'unknown', retryable: false })
  })

  it('dead letters are bounded, oldest first, listed by place, and kept by nobody where a relay keeps its own', async () => {
    const events: HttpPushEvent[] = []
    const { url } = await stub(closing, () => ({ status: 422 }))
    const transport = sender({
      subscribers: { mails: url, other: url },
      deadLetters: 2,
      onEvent: (event) => events.push(event),
    })
    for (const id of ['1', '2', '3']) await transport.send(queue('mails'), [envelope(id)], within().context)
    const ids = async (name: string, limit: number) =>
      (await listed(transport.deadLetters?.list(queue(name), { limit }) as AsyncIterable<DeadLetter>)).map(
        ({ envelope: { id } }) => id,
      )
    expect(await ids('mails', 10)).toEqual(['2', '3'])
    expect(await ids('mails', 1)).toEqual(['2'])
    expect(await ids('other', 10)).toEqual([])
    expect(events.at(-1)).toMatchObject({ type: 'dead-letter', id: '3' })
    expect(events.at(-2)).toMatchObject({ type: 'dead-letter-dropped', id: '1' })
    const relay = sender({ subscribers: { mails: url }, deadLetters: false, onEvent: (event) => events.push(event) })
    expect(relay.capabilities.deadLetters).toBe('none')
    expect(relay.deadLetters).toBeUndefined()
    expect(errorOf((await relay.send(queue('mails'), [envelope('4')], within().context))[0]).code).toBe('UNPROCESSABLE')
    expect(events.at(-1)).toMatchObject({ type: 'dead-letter', id: '4', kept: false })
  })

  it('a dead letter that is put back is sent as if for the first time; refused again, it is a dead letter again', async () => {
    let status = 422
    const { url, requests } = await stub(closing, () => ({ status }))
    const transport = sender({ subscribers: { mails: url } })
    await transport.send(queue('mails'), [envelope('1'), envelope('2')], within().context)
    const dead = async () =>
      (await listed(transport.deadLetters?.list(queue('mails'), { limit: 9 }) as AsyncIterable<DeadLetter>)).map(
        ({ envelope: { id } }) => id,
      )
    expect(await transport.deadLetters?.redrive(queue('mails'), ['2', 'unknown'])).toBe(1)
    expect(await dead()).toEqual(['1'])
    await until(() => requests.length === 3)
    expect(requests[2]?.headers).toMatchObject({ 'ce-id': '2', 'fairlead-redeliveries': '0' })
    while ((await dead()).length < 2) await turns(1)
    expect(await dead()).toEqual(['1', '2'])
    status = 204
    expect(await transport.deadLetters?.redrive(queue('mails'), 'all')).toBe(2)
    await until(() => requests.length === 5)
    await turns()
    expect(await dead()).toEqual([])
  })

  it('410 ends the subscription: told once, never asked again, and no fault of the message', async () => {
    const events: HttpPushEvent[] = []
    const gone = await stub(closing, () => ({ status: 410 }))
    const here = await stub(closing, () => ({ status: 204 }))
    const transport = sender({
      subscribers: { orders: [gone.url, here.url], mails: [gone.url, here.url], lost: gone.url },
      onEvent: (event) => events.push(event),
    })
    for (const id of ['1', '2'])
      expect(await transport.send(topic('orders'), [envelope(id)], within().context)).toEqual([{ status: 'accepted' }])
    expect(gone.requests).toHaveLength(1)
    expect(here.requests).toHaveLength(2)
    expect(events).toEqual([{ type: 'subscription-over', place: topic('orders'), url: `${gone.url}/` }])
    for (const id of ['3', '4', '5'])
      expect(await transport.send(queue('mails'), [envelope(id)], within().context)).toEqual([{ status: 'accepted' }])
    expect(gone.requests).toHaveLength(2)
    const [result] = await transport.send(queue('lost'), [envelope('6')], within().context)
    expect(errorOf(result)).toMatchObject({ code: 'CHANNEL_NOT_FOUND', effect: 'none' })
  })

  it('a channel without subscribers is not found; a topic that nobody wants is', async () => {
    const transport = sender({ subscribers: { nobody: {} } })
    expect(errorOf((await transport.send(queue('mails'), [envelope('1')], within().context))[0])).toMatchObject({
      code: 'CHANNEL_NOT_FOUND',
      effect: 'none',
    })
    expect(await transport.send(topic('nobody'), [envelope('1')], within().context)).toEqual([{ status: 'accepted' }])
    await expect(transport.prepare([queue('mails'), topic('nobody')], 'check')).rejects.toMatchObject({
      code: 'CHANNEL_NOT_FOUND',
      details: { missing: [queue('mails')] },
    })
  })

  it('too large, before its time, after close, deadline spent, aborted: failed, and nothing was sent', async () => {
    const clock = fakeClock()
    const { url, requests } = await stub(closing, () => ({ status: 204 }))
    const transport = sender({ subscribers: { mails: url }, maxPayloadBytes: 300, clock })
    const large = envelope('1', { text: 'x'.repeat(300) })
    const early = envelope('2', { notBefore: clock.wallNow() + 1 })
    const due = envelope('3', { notBefore: clock.wallNow() })
    const results = await transport.send(queue('mails'), [large, early, due], within(100, clock).context)
    expect(errorOf(results[0])).toMatchObject({ code: 'PAYLOAD_TOO_LARGE', effect: 'none' })
    expect(errorOf(results[1])).toMatchObject({ code: 'CAPABILITY_MISSING', effect: 'none' })
    expect(results[2]).toEqual({ status: 'accepted' })
    const spent = within(1, clock)
    await clock.advance(1)
    expect(errorOf((await transport.send(queue('mails'), [due], spent.context))[0])).toMatchObject({
      code: 'DEADLINE_SPENT',
      effect: 'none',
    })
    const aborted = within()
    aborted.abort(new Error('changed my mind'))
    expect(errorOf((await transport.send(queue('mails'), [due], aborted.context))[0])).toMatchObject({
      code: 'CANCELLED',
      effect: 'none',
    })
    await transport.close()
    expect(errorOf((await transport.send(queue('mails'), [due], within().context))[0])).toMatchObject({
      code: 'SHUTDOWN',
      effect: 'none',
    })
    expect(requests).toHaveLength(1)
  })

  it('a function that finds subscribers may fail, or never answer: the send does not', async () => {
    const clock = fakeClock()
    const broken = sender({ subscribers: () => Promise.reject(new Error('registry down')) })
    expect(errorOf((await broken.send(queue('mails'), [envelope('1')], within().context))[0])).toMatchObject({
      code: 'CALL_FAILED',
      effect: 'none',
    })
    const silent = sender({ subscribers: () => new Promise<undefined>(() => {}), clock })
    const sent = silent.send(queue('mails'), [envelope('1')], within(100, clock).context)
    await clock.advance(100)
    expect(errorOf((await sent)[0])).toMatchObject({ code: 'DEADLINE_EXCEEDED', effect: 'none' })
  })
})

describe('an answer that does not come', () => {
  it('ends with the deadline, whatever the connection does; nobody knows what happened', async () => {
    const clock = fakeClock()
    let asked = 0
    const url = await listen(closing, () => void asked++)
    const transport = sender({ subscribers: { mails: url }, clock })
    const sent = transport.send(queue('mails'), [envelope('1')], within(1_000, clock).context)
    await until(() => asked === 1)
    await clock.advance(1_000)
    expect(errorOf((await sent)[0])).toMatchObject({ code: 'DEADLINE_EXCEEDED', effect: 'unknown', transient: true })
    expect(clock.pending).toBe(0)
  })

  it('or with the attempt timeout: the next try says that it may have been handed out', async () => {
    const clock = fakeClock()
    const { url, requests } = await stub(closing, () => ({ status: 204 }))
    let asked = 0
    const silent = await listen(closing, () => void asked++)
    const transport = sender({ subscribers: { mails: [silent, url] }, attemptTimeoutMs: 200, clock })
    const sent = transport.send(queue('mails'), [envelope('1')], within(1_000, clock).context)
    await until(() => asked === 1)
    await clock.advance(200)
    expect(await sent).toEqual([{ status: 'accepted' }])
    expect(requests[0]?.headers).toMatchObject({ 'fairlead-redeliveries': '1', 'x-request-timeout-ms': '200' })
  })

  it('an abort ends it at once', async () => {
    let asked = 0
    const url = await listen(closing, () => void asked++)
    const transport = sender({ subscribers: { mails: url } })
    const { context, abort } = within()
    const sent = transport.send(queue('mails'), [envelope('1')], context)
    await until(() => asked === 1)
    abort(new Error('enough'))
    expect(errorOf((await sent)[0])).toMatchObject({ code: 'CANCELLED', effect: 'unknown' })
  })

  it('close waits for what is on its way, so long and no longer', async () => {
    const clock = fakeClock()
    let asked = 0
    const url = await listen(closing, () => void asked++)
    const transport = sender({ subscribers: { mails: url }, drainMs: 500, clock })
    const sent = transport.send(queue('mails'), [envelope('1')], within(60_000, clock).context)
    await until(() => asked === 1)
    const closed = transport.close()
    await clock.advance(499)
    expect(await Promise.race([sent, turns().then(() => 'pending')])).toBe('pending')
    await clock.advance(1)
    expect(errorOf((await sent)[0])).toMatchObject({ code: 'SHUTDOWN', effect: 'unknown' })
    await closed
    expect(clock.pending).toBe(0)
  })

  it('close begins no further try', async () => {
    const clock = fakeClock()
    const { url, requests } = await stub(closing, () => ({ status: 503, headers: { 'retry-after': '10' } }))
    const transport = sender({ subscribers: { mails: url }, clock })
    const sent = transport.send(queue('mails'), [envelope('1')], within(60_000, clock).context)
    await until(() => requests.length === 1)
    await turns()
    await transport.close()
    expect(errorOf((await sent)[0])).toMatchObject({ code: 'UNAVAILABLE', effect: 'unknown', retryAfterMs: 10_000 })
    expect(requests).toHaveLength(1)
  })
})

describe('competing URLs of a queue', () => {
  it('take turns; where one fails another is asked at once, and an idle one is not punished for it', async () => {
    const first = await stub(closing, () => ({ status: 204 }))
    const second = await stub(closing, () => ({ status: 503, headers: { 'retry-after': '3600' } }))
    const down = await refusedPort()
    closing.later(() => down.close())
    const clock = fakeClock()
    const transport = sender({
      subscribers: { mails: [first.url, second.url, `http://127.0.0.1:${down.port}`] },
      clock,
    })
    for (let n = 0; n < 6; n++)
      expect(await transport.send(queue('mails'), [envelope(`${n}`)], within(1_000, clock).context)).toEqual([
        { status: 'accepted' },
      ])
    expect(first.requests).toHaveLength(6)
    expect(second.requests).toHaveLength(2)
  })

  it('404 of one is not the word of all; 404 of all is', async () => {
    const missing = await stub(closing, () => ({ status: 404 }))
    const busy = await stub(closing, (_, count) => ({ status: count < 3 ? 500 : 204 }))
    const transport = sender({ subscribers: { mails: [missing.url, busy.url], none: [missing.url] } })
    expect(await transport.send(queue('mails'), [envelope('1')], within().context)).toEqual([{ status: 'accepted' }])
    expect(errorOf((await transport.send(queue('none'), [envelope('2')], within().context))[0])).toMatchObject({
      code: 'NOT_FOUND',
      effect: 'none',
      retryable: false,
    })
  })

  it('down, all of them: the effect is none, because nothing was ever sent', async () => {
    const down = await refusedPort()
    closing.later(() => down.close())
    const clock = fakeClock()
    const transport = sender({
      subscribers: { mails: `http://127.0.0.1:${down.port}` },
      random: () => 1,
      retryBaseMs: 10_000,
      retryMaxMs: 10_000,
      clock,
    })
    const [result] = await transport.send(queue('mails'), [envelope('1')], within(5_000, clock).context)
    expect(errorOf(result)).toMatchObject({ code: 'CONNECTION_REFUSED', effect: 'none', retryable: true })
  })
})

describe('groups of a topic', () => {
  it('each get every message, and one of each has to take it', async () => {
    const billing = [await stub(closing, () => ({ status: 204 })), await stub(closing, () => ({ status: 204 }))]
    const stock = await stub(closing, () => ({ status: 204 }))
    const all = await stub(closing, () => ({ status: 204 }))
    const transport = sender({
      subscribers: { orders: { billing: billing.map(({ url }) => url), stock: stock.url, '*': all.url } },
    })
    const messages = ['1', '2', '3', '4'].map((id) => envelope(id))
    expect(await transport.send(topic('orders'), messages, within().context)).toEqual(
      messages.map(() => ({ status: 'accepted' })),
    )
    expect(billing.map(({ requests }) => requests.length)).toEqual([2, 2])
    expect(stock.requests).toHaveLength(4)
    expect(all.requests.map(({ headers }) => headers['fairlead-group'])).toEqual(['*', '*', '*', '*'])
  })

  it('a second send goes only to those that have it not, and goes on counting', async () => {
    let down = true
    const billing = await stub(closing, () => ({ status: 204 }))
    const stock = await stub(closing, () =>
      down ? { status: 503, headers: { 'retry-after': '60' } } : { status: 204 },
    )
    const transport = sender({ subscribers: { orders: { billing: billing.url, stock: stock.url } } })
    const send = () => transport.send(topic('orders'), [envelope('1')], within().context)
    expect(errorOf((await send())[0])).toMatchObject({ code: 'UNAVAILABLE', retryable: true })
    expect(errorOf((await send())[0])).toMatchObject({ code: 'UNAVAILABLE', retryable: true })
    down = false
    expect(await send()).toEqual([{ status: 'accepted' }])
    expect(billing.requests).toHaveLength(1)
    expect(stock.requests.map(({ headers }) => headers['fairlead-redeliveries'])).toEqual(['0', '1', '2'])
    expect(await send()).toEqual([{ status: 'accepted' }])
    expect(billing.requests).toHaveLength(2)
  })

  it('while one can still get it, the verdict says so, although another refused it for good', async () => {
    let status = 503
    const billing = await stub(closing, () => ({ status: 422 }))
    const stock = await stub(closing, () => ({ status, headers: { 'retry-after': '60' } }))
    const transport = sender({ subscribers: { orders: { billing: billing.url, stock: stock.url } } })
    const send = () => transport.send(topic('orders'), [envelope('1')], within().context)
    expect(errorOf((await send())[0])).toMatchObject({ code: 'UNAVAILABLE', retryable: true })
    status = 204
    expect(await send()).toEqual([{ status: 'accepted' }])
    expect(billing.requests).toHaveLength(1)
    const dead = { kind: 'topic', name: 'orders', group: 'billing' } as const
    expect(await listed(transport.deadLetters?.list(dead, { limit: 9 }) as AsyncIterable<DeadLetter>)).toHaveLength(1)
  })
})

describe('order and bounds', () => {
  const slow = async () => {
    const held: (() => void)[] = []
    const begun: string[] = []
    const url = await listen(closing, (request, response) => {
      request.resume()
      begun.push(request.headers['ce-id'] as string)
      held.push(() => void (response.writableEnded || response.writeHead(204).end()))
    })
    return { url, begun, held }
  }

  it('messages of a key go one after the other, over all sends; other keys do not wait', async () => {
    const { url, begun, held } = await slow()
    const transport = sender({ subscribers: { mails: url } })
    const one = transport.send(
      queue('mails'),
      [envelope('a1', { key: 'a' }), envelope('a2', { key: 'a' }), envelope('b1', { key: 'b' })],
      within().context,
    )
    const two = transport.send(queue('mails'), [envelope('a3', { key: 'a' }), envelope('c')], within().context)
    await until(() => begun.length === 3)
    await turns()
    expect([...begun].sort()).toEqual(['a1', 'b1', 'c'])
    for (const next of ['a2', 'a3']) {
      held[begun.findIndex((id) => id === (next === 'a2' ? 'a1' : 'a2'))]?.()
      await until(() => begun.includes(next))
      await turns()
      expect(begun.at(-1)).toBe(next)
    }
    for (const answer of held) answer()
    expect((await Promise.all([one, two])).flat().every(({ status }) => status === 'accepted')).toBe(true)
  })

  it.each([
    ['tried in vain', 503, undefined, 'TOO_EARLY'],
    ['refused, and kept by the sender', 422, false, 'TOO_EARLY'],
    ['refused, and kept here: out of the way', 422, undefined, undefined],
  ] as const)('those of a key behind a failed one of the same send (%s)', async (_, status, deadLetters, code) => {
    const { url, requests } = await stub(closing, ({ headers }) =>
      headers['ce-id'] === 'a1' ? { status, headers: { 'retry-after': '60' } } : { status: 204 },
    )
    const transport = sender({ subscribers: { mails: url }, deadLetters })
    const messages = ['a1', 'a2', 'b1'].map((id) => envelope(id, { key: id[0] }))
    const first = transport.send(queue('mails'), messages, within().context)
    const later = transport.send(queue('mails'), [envelope('a3', { key: 'a' })], within().context)
    const results = await first
    expect(results.map(({ status }) => status)).toEqual([
      'failed',
      code === undefined ? 'accepted' : 'failed',
      'accepted',
    ])
    if (code !== undefined)
      expect(errorOf(results[1])).toMatchObject({ code, effect: 'none', retryable: true, details: { ahead: 'a1' } })
    expect(await later).toEqual([{ status: 'accepted' }])
    const sent = requests.map(({ headers }) => headers['ce-id']).sort()
    expect(sent).toEqual(code === undefined ? ['a1', 'a2', 'a3', 'b1'] : ['a1', 'a3', 'b1'])
  })

  it('one that gives up while it waits for its key does not let the next pass', async () => {
    const { url, begun, held } = await slow()
    const transport = sender({ subscribers: { mails: url } })
    const send = (id: string, context = within()) =>
      transport.send(queue('mails'), [envelope(id, { key: 'a' })], context.context)
    const first = send('1')
    const given = within()
    const second = send('2', given)
    const third = send('3')
    await until(() => begun.length === 1)
    given.abort(new Error('enough'))
    expect(errorOf((await second)[0])).toMatchObject({ code: 'CANCELLED', effect: 'none' })
    await turns()
    expect(begun).toEqual(['1'])
    held[0]?.()
    await first
    await until(() => begun.length === 2)
    held[1]?.()
    expect(await third).toEqual([{ status: 'accepted' }])
  })

  it('so many requests at once to a place, and no more; a pause holds no place', async () => {
    const { url, begun, held } = await slow()
    const transport = sender({ subscribers: { mails: url }, maxOutstanding: 3 })
    const sent = transport.send(
      queue('mails'),
      Array.from({ length: 10 }, (_, n) => envelope(`${n}`)),
      within().context,
    )
    for (let done = 0; done < 10; done++) {
      await until(() => begun.length > done)
      await turns()
      expect(begun.length - done).toBeLessThanOrEqual(3)
      held[done]?.()
    }
    expect((await sent).every(({ status }) => status === 'accepted')).toBe(true)
  })

  it('a send without a deadline goes on until it is handled', async () => {
    const { url } = await stub(closing, (_, count) => ({ status: count < 20 ? 500 : 204 }))
    const transport = sender({ subscribers: { mails: url } })
    expect(await transport.send(queue('mails'), [envelope('1')], within(Infinity).context)).toEqual([
      { status: 'accepted' },
    ])
  })
})

describe('a function that finds subscribers', () => {
  it('is asked again before a further try: whoever failed may have been replaced', async () => {
    const clock = fakeClock()
    const old = await stub(closing, () => ({ status: 503, headers: { 'retry-after': '1' } }))
    const fresh = await stub(closing, () => ({ status: 204 }))
    let urls = [old.url]
    const transport = sender({ subscribers: async () => urls, clock })
    const sent = transport.send(queue('mails'), [envelope('1')], within(10_000, clock).context)
    await until(() => old.requests.length === 1)
    await turns()
    urls = [fresh.url]
    await clock.advance(1_000)
    expect(await sent).toEqual([{ status: 'accepted' }])
    expect([old.requests.length, fresh.requests.length]).toEqual([1, 1])
  })

  it('is asked again after each round, however short the pauses: stale URLs are not tried for ever', async () => {
    const clock = fakeClock()
    const fresh = await stub(closing, () => ({ status: 204 }))
    let urls: string[] = []
    const old = await stub(closing, (_, count) => {
      if (count === 3) urls = [fresh.url]
      return { status: 503 }
    })
    urls = [`${old.url}/1`, `${old.url}/2`]
    const transport = sender({ subscribers: () => urls, clock, random: () => 0 })
    expect(await transport.send(queue('mails'), [envelope('1')], within(1_000, clock).context)).toEqual([
      { status: 'accepted' },
    ])
    expect(old.requests.length).toBeLessThanOrEqual(4)
  })

  it('nobody at the moment is worth another try, and no reason to take the message for handled', async () => {
    const clock = fakeClock()
    const { url } = await stub(closing, () => ({ status: 204 }))
    let urls: string[] = []
    const transport = sender({ subscribers: () => ({ billing: urls }), clock, random: () => 1, retryBaseMs: 400 })
    const send = (ms: number) => transport.send(topic('orders'), [envelope('1')], within(ms, clock).context)
    expect(errorOf((await send(400))[0])).toMatchObject({ code: 'NO_ENDPOINT', effect: 'none', retryable: true })
    const sent = send(1_000)
    await turns()
    urls = [url]
    await clock.advance(400)
    expect(await sent).toEqual([{ status: 'accepted' }])
  })
})

it('what was given up while it waited for a connection is never sent', async () => {
  let handler: DispatchHandler | undefined
  const dispatch = (_: object, given: object): boolean => {
    handler = given as DispatchHandler
    return true
  }
  const transport = sender({ subscribers: { mails: 'http://mailer' }, dispatcher: { dispatch } })
  const { context, abort } = within()
  const sent = transport.send(queue('mails'), [envelope('1')], context)
  await until(() => handler !== undefined)
  abort(new Error('enough'))
  expect(errorOf((await sent)[0])).toMatchObject({ code: 'CANCELLED', effect: 'none' })
  const aborts: unknown[] = []
  handler?.onRequestStart({ abort: (reason) => void aborts.push(reason), pause() {}, resume() {} }, undefined)
  expect(aborts).toHaveLength(1)
})

describe('options', () => {
  it.each([
    ['subscribers', { subscribers: { mails: 'ftp://x' } }],
    ['subscribers', { subscribers: { mails: 'http://user:secret@x' } }],
    ['subscribers', { subscribers: { orders: { billing: [1] } } }],
    ['basePath', { basePath: 'messages/' }],
    ['signing.secrets', { signing: { secrets: 'short' } }],
    ['signing.secrets', { signing: { secrets: [] } }],
    ['attemptTimeoutMs', { attemptTimeoutMs: 0 }],
    ['maxOutstanding', { maxOutstanding: 0 }],
    ['httpPushTransport.timeout', { timeout: 1 }],
    ['headers', { headers: { 'x-a': 'b\r\nx-evil: 1' } }],
  ])('%s %o is refused', (_, options) => {
    expect(() => httpPushTransport(options as unknown as HttpPushOptions)).toThrow(/INVALID_(OPTIONS|REQUEST)/)
  })

  it('an error tells neither secret nor credentials', () => {
    const secret = 'whsec_c2hvcnQ='
    for (const options of [{ signing: { secrets: secret } }, { subscribers: { mails: 'http://user:hunter2@x' } }])
      expect(() => httpPushTransport(options)).toThrow(
        expect.not.objectContaining({ message: expect.stringMatching(/c2hvcnQ|hunter2/) }),
      )
  })

  it('a receiver of its own answers over the same transport', async () => {
    const own: { url: string } = { url: '' }
    const transport = sender({ subscribers: () => own.url })
    own.url = await listen(closing, transport.node())
    const { ids } = await inbox(transport, { channel: queue('mails') })
    expect(await transport.send(queue('mails'), [envelope('1')], within().context)).toEqual([{ status: 'accepted' }])
    expect(ids()).toEqual(['1'])
  })
})
