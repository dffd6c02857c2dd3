import { createServer } from 'node:http'
import { connect } from 'node:net'
import { Pool } from 'undici'
import { afterEach, describe, expect, it } from 'vitest'
import {
  type HttpPushOptions,
  type HttpPushTransport,
  httpPushTransport,
} from '../../../src/adapters/http-push/index.ts'
import type { Delivery } from '../../../src/core/contracts/transport.ts'
import { fakeClock } from '../../../src/testing/fake-clock.ts'
import {
  Closing,
  envelope,
  errorOf,
  inbox,
  listen,
  listening,
  queue,
  serverOf,
  shut,
  topic,
  turns,
  until,
  url as urlOf,
  within,
} from './support.ts'

const closing = new Closing()
afterEach(() => closing.end())

describe.each(['node', 'fetch'] as const)('the receiving half, as a server of %s', (form) => {
  const serving = async (options: HttpPushOptions = {}): Promise<{ transport: HttpPushTransport; url: string }> => {
    const transport = httpPushTransport(options)
    const url = await listen(closing, serverOf(transport, form))
    closing.add(transport)
    return { transport, url }
  }
  const push = (url: string, headers: Record<string, string> = {}, body: string = '{}', init: RequestInit = {}) =>
    fetch(url, {
      method: 'POST',
      headers: {
        'ce-specversion': '1.0',
        'ce-id': '1',
        'ce-source': '/test',
        'ce-type': 'mail.wanted',
        'content-type': 'application/json',
        ...headers,
      },
      body,
      ...init,
    })

  it('answers 204 once the message is acked, and gives all that it is', async () => {
    const { transport, url } = await serving()
    const { deliveries } = await inbox(transport, { channel: topic('orders'), group: 'billing' })
    const response = await push(
      url,
      {
        'fairlead-channel': 'topic:orders',
        'fairlead-group': 'billing',
        'fairlead-redeliveries': '3',
        'x-request-timeout-ms': '1500',
        'ce-partitionkey': 'order%207',
        'x-message-tenant-id': '%C3%A4',
      },
      '{"total":1}',
    )
    expect(response.status).toBe(204)
    expect(deliveries).toHaveLength(1)
    expect(deliveries[0]).toMatchObject({ redeliveries: 3, leaseMs: 1_500 })
    expect(deliveries[0]?.envelope).toMatchObject({ id: '1', key: 'order 7', headers: { 'tenant-id': 'ä' } })
    expect(Buffer.from(deliveries[0]?.envelope.body ?? []).toString()).toBe('{"total":1}')
  })

  it('retry: 503 with Retry-After, and the exact pause for those who read problem details', async () => {
    const { transport, url } = await serving()
    await inbox(transport, { channel: queue('mails') }, (delivery) =>
      delivery.settle('retry', { delayMs: 1_200, reason: 'no paper' }),
    )
    const response = await push(url, { 'fairlead-channel': 'queue:mails' })
    expect(response.status).toBe(503)
    expect(response.headers.get('retry-after')).toBe('2')
    expect(await response.json()).toMatchObject({
      type: 'urn:fairlead:UNAVAILABLE',
      detail: 'no paper',
      effect: 'unknown',
      retryAfterMs: 1_200,
    })
  })

  it('dead: 422 with the reason', async () => {
    const { transport, url } = await serving()
    await inbox(transport, { channel: queue('mails') }, (delivery) =>
      delivery.settle('dead', { reason: 'no such address' }),
    )
    const response = await push(url, { 'fairlead-channel': 'queue:mails' })
    expect(response.status).toBe(422)
    expect(response.headers.get('content-type')).toBe('application/problem+json')
    expect(await response.json()).toMatchObject({
      type: 'urn:fairlead:UNPROCESSABLE',
      detail: 'no such address',
      status: 422,
    })
  })

  it('nobody receives the channel: 404; somebody did and may again: 503', async () => {
    const { transport, url } = await serving()
    const group = { channel: topic('orders'), group: 'billing' }
    const to = { 'fairlead-channel': 'topic:orders', 'fairlead-group': 'billing' }
    const missing = await push(url, to)
    expect(missing.status).toBe(404)
    expect(await missing.json()).toMatchObject({ type: 'urn:fairlead:CHANNEL_NOT_FOUND', effect: 'none' })
    const { receiver } = await inbox(transport, group)
    expect((await push(url, to)).status).toBe(204)
    expect((await push(url, { ...to, 'fairlead-group': 'stock' })).status).toBe(404)
    expect((await push(url, { 'fairlead-channel': 'queue:orders' })).status).toBe(404)
    await receiver.close()
    const later = await push(url, to)
    expect(later.status).toBe(503)
    expect(await later.json()).toMatchObject({ effect: 'none' })
    expect((await push(url, { 'fairlead-channel': 'mails' })).status).toBe(404)
    expect((await push(url)).status).toBe(404)
  })

  it('refused unread, a request leaves its connection fit for the next', async () => {
    const { transport, url } = await serving()
    const pool = closing.add(new Pool(url, { connections: 1 }))
    const headers = { 'content-type': 'application/json', 'ce-id': '1', 'ce-source': '/t', 'ce-type': 't' }
    const post = async (body: string) => {
      const { statusCode, body: answer } = await pool.request({ path: '/mails', method: 'POST', headers, body })
      await answer.dump()
      return statusCode
    }
    for (let n = 0; n < 3; n++) expect(await post('x'.repeat(200_000))).toBe(404)
    await inbox(transport, { channel: queue('mails') })
    expect(await post('{}')).toBe(204)
  })

  it('prepared, but not yet received: come again', async () => {
    const { transport, url } = await serving()
    await transport.prepare([queue('mails')], 'create')
    await transport.prepare([queue('mails')], 'check')
    expect((await push(url, { 'fairlead-channel': 'queue:mails' })).status).toBe(503)
  })

  it('the path says channel and group where no header does', async () => {
    const { transport, url } = await serving({ basePath: '/in' })
    const billing = await inbox(transport, { channel: topic('orders'), group: 'billing' })
    const mails = await inbox(transport, { channel: queue('mails') })
    expect((await push(`${url}/in/orders/billing?x=1`)).status).toBe(204)
    expect((await push(`${url}/in/mails`)).status).toBe(204)
    expect((await push(`${url}/in/orders/stock`)).status).toBe(404)
    expect((await push(`${url}/in/none`)).status).toBe(404)
    expect((await push(`${url}/in`)).status).toBe(404)
    expect((await push(`${url}/mails`)).status).toBe(404)
    expect((await push(`${url}/in/%E0%A4%A`)).status).toBe(404)
    expect([billing.deliveries.length, mails.deliveries.length]).toEqual([1, 1])
  })

  it('without a group every subscription gets it, and the answer waits for all; `*` means live ones only', async () => {
    const { transport, url } = await serving()
    const billing = await inbox(transport, { channel: topic('orders'), group: 'billing' })
    const live = [
      await inbox(transport, { channel: topic('orders') }),
      await inbox(transport, { channel: topic('orders') }, (delivery) =>
        delivery.settle(delivery.redeliveries === 0 ? 'retry' : 'ack'),
      ),
    ]
    expect((await push(url, { 'fairlead-channel': 'topic:orders' })).status).toBe(503)
    expect((await push(url, { 'fairlead-channel': 'topic:orders', 'fairlead-redeliveries': '1' })).status).toBe(204)
    expect(
      (
        await push(url, {
          'fairlead-channel': 'topic:orders',
          'fairlead-group': '*',
          'ce-id': '2',
          'fairlead-redeliveries': '1',
        })
      ).status,
    ).toBe(204)
    expect(billing.ids()).toEqual(['1', '1'])
    expect(live.map(({ ids }) => ids())).toEqual([
      ['1', '1', '2'],
      ['1', '1', '2'],
    ])
    for (const { receiver } of live) await receiver.close()
    expect((await push(url, { 'fairlead-channel': 'topic:orders', 'fairlead-group': '*' })).status).toBe(503)
  })

  it('structured mode and batches are taken; a batch is answered as a whole', async () => {
    const { transport, url } = await serving()
    const { ids } = await inbox(transport, { channel: queue('mails') }, (delivery) =>
      delivery.settle(delivery.envelope.id === 'bad' ? 'dead' : 'ack'),
    )
    const event = (id: string) => ({ specversion: '1.0', id, source: '/test', type: 'mail.wanted', data: { a: 1 } })
    const post = (type: string, body: unknown) =>
      fetch(`${url}/mails`, { method: 'POST', headers: { 'content-type': type }, body: JSON.stringify(body) })
    expect((await post('application/cloudevents+json', event('1'))).status).toBe(204)
    expect((await post('application/cloudevents-batch+json', [event('2'), event('3')])).status).toBe(204)
    expect((await post('application/cloudevents-batch+json', [event('4'), event('bad')])).status).toBe(422)
    expect((await post('application/cloudevents-batch+json', [])).status).toBe(204)
    expect(ids()).toEqual(['1', '2', '3', '4', 'bad'])
  })

  it('what is no CloudEvent, no POST, or too large is refused', async () => {
    const { transport, url } = await serving({ maxPayloadBytes: 1_000 })
    const { deliveries } = await inbox(transport, { channel: queue('mails') })
    const plain = await fetch(`${url}/mails`, { method: 'POST', body: 'hello' })
    expect(plain.status).toBe(400)
    expect(await plain.json()).toMatchObject({ type: 'urn:fairlead:MESSAGE_UNDECODABLE', effect: 'none' })
    const got = await fetch(`${url}/mails`)
    expect([got.status, got.headers.get('allow')]).toEqual([405, 'POST'])
    for (const bytes of [1_000, 200_000]) {
      const large = await push(`${url}/mails`, {}, 'x'.repeat(bytes))
      expect(large.status).toBe(413)
      expect(await large.json()).toMatchObject({ type: 'urn:fairlead:PAYLOAD_TOO_LARGE', effect: 'none' })
    }
    expect(deliveries).toHaveLength(0)
  })

  it('credit: nothing is handed out beyond what was asked for; so many wait, the next are sent away at once', async () => {
    const { transport, url } = await serving({ maxWaiting: 2 })
    const { receiver, deliveries } = await inbox(transport, { channel: queue('mails') }, () => {}, 1)
    const answers: number[] = []
    for (const id of ['1', '2', '3', '4', '5']) {
      void push(`${url}/mails`, { 'ce-id': id }).then(({ status }) => answers.push(status))
      await until(() => deliveries.length === 1)
      await turns(40)
    }
    await until(() => answers.length === 2)
    expect(answers).toEqual([503, 503])
    expect(deliveries).toHaveLength(1)
    let within = true
    receiver.request(2)
    within = deliveries.length > 1
    expect(within).toBe(false)
    await until(() => deliveries.length === 3)
    for (const delivery of deliveries) await delivery.settle('ack')
    await until(() => answers.length === 5)
    expect(answers).toEqual([503, 503, 204, 204, 204])
    expect(deliveries.map(({ envelope: { id } }) => id)).toEqual(['1', '2', '3'])
  })

  it('receivers of a group compete; what is of a key that one holds waits for that one', async () => {
    const { transport, url } = await serving()
    const one = await inbox(transport, { channel: queue('mails') }, () => {}, 2)
    const two = await inbox(transport, { channel: queue('mails') }, () => {}, 2)
    const answers = ['a', 'b', 'a', 'a'].map((key, n) =>
      push(`${url}/mails`, { 'ce-id': `${n}`, 'ce-partitionkey': key }),
    )
    await until(() => one.deliveries.length + two.deliveries.length === 3)
    await turns()
    const holder = [one, two].find(({ deliveries }) => deliveries[0]?.envelope.key === 'a') as typeof one
    expect(holder.deliveries.map(({ envelope: { key } }) => key)).toEqual(['a', 'a'])
    await holder.deliveries[0]?.settle('ack')
    await turns()
    expect(one.deliveries.length + two.deliveries.length).toBe(3)
    holder.receiver.request(1)
    await until(() => holder.deliveries.length === 3)
    for (const delivery of [...one.deliveries, ...two.deliveries]) await delivery.settle('ack')
    expect((await Promise.all(answers)).map(({ status }) => status)).toEqual([204, 204, 204, 204])
  })

  it('settling twice is settling once; closed with messages in hand, they are given back and the right is lost', async () => {
    const { transport, url } = await serving()
    const { receiver, deliveries } = await inbox(transport, { channel: queue('mails') }, () => {})
    const first = push(`${url}/mails`)
    await until(() => deliveries.length === 1)
    const [settled] = deliveries as [Delivery]
    await Promise.all([settled.settle('ack'), settled.settle('dead')])
    expect((await first).status).toBe(204)
    const lost: string[] = []
    const second = push(`${url}/mails`)
    await until(() => deliveries.length === 2)
    const [, held] = deliveries as [Delivery, Delivery]
    held.onLost(() => lost.push('told'))
    const stop = held.onLost(() => lost.push('not any more'))
    stop()
    await receiver.stop()
    expect(lost).toEqual([])
    await Promise.all([receiver.close(), receiver.close()])
    await receiver.ended
    expect(lost).toEqual(['told'])
    held.onLost(() => lost.push('at once'))
    expect(lost).toEqual(['told', 'at once'])
    await expect(held.settle('ack')).rejects.toMatchObject({ code: 'LEASE_LOST' })
    const answer = await second
    expect(answer.status).toBe(503)
    expect(await answer.json()).toMatchObject({ effect: 'unknown' })
  })

  it('the right ends when the sender stops waiting, and so does the place in the queue', async () => {
    const clock = fakeClock()
    const { transport, url } = await serving({ clock })
    const { receiver, deliveries } = await inbox(transport, { channel: queue('mails') }, () => {}, 1)
    const lost: string[] = []
    const answers = ['1', '2'].map((id) => push(`${url}/mails`, { 'ce-id': id, 'x-request-timeout-ms': '400' }))
    await until(() => deliveries.length === 1 && clock.pending === 2)
    const [held] = deliveries as [Delivery]
    held.onLost(() => lost.push(held.envelope.id))
    await clock.advance(399)
    expect(lost).toEqual([])
    await clock.advance(1)
    expect(lost).toHaveLength(1)
    await expect(held.settle('ack')).rejects.toMatchObject({ code: 'LEASE_LOST', channel: 'mails' })
    const effects = await Promise.all(
      answers.map(async (answer) => ((await (await answer).json()) as { effect: string }).effect),
    )
    expect([...effects].sort()).toEqual(['none', 'unknown'])
    receiver.request(5)
    await turns()
    expect(deliveries).toHaveLength(1)
    expect(clock.pending).toBe(0)
  })

  it('a sender that hangs up takes the right with it', async () => {
    const { transport, url } = await serving()
    const { deliveries } = await inbox(transport, { channel: queue('mails') }, () => {})
    const hangUp = new AbortController()
    const pushed = push(`${url}/mails`, {}, '{}', { signal: hangUp.signal }).catch(() => 'gone')
    await until(() => deliveries.length === 1)
    const [held] = deliveries as [Delivery]
    const lost = new Promise<void>((resolve) => void held.onLost(resolve))
    hangUp.abort()
    expect(await pushed).toBe('gone')
    await lost
    await expect(held.settle('ack')).rejects.toMatchObject({ code: 'LEASE_LOST' })
  })

  it('closing: what is in hand is given back, what comes is told to come again', async () => {
    const { transport, url } = await serving()
    const { deliveries } = await inbox(transport, { channel: queue('mails') }, () => {})
    const held = push(`${url}/mails`)
    await until(() => deliveries.length === 1)
    await transport.close()
    expect((await held).status).toBe(503)
    const after = await push(`${url}/mails`)
    expect([after.status, after.headers.get('retry-after')]).toEqual([503, '1'])
    await expect(transport.receive({ channel: queue('mails') }, () => {})).rejects.toMatchObject({ code: 'SHUTDOWN' })
    await expect(transport.prepare([queue('mails')], 'check')).rejects.toMatchObject({ code: 'SHUTDOWN' })
  })

  it('what it has not is refused at once', async () => {
    const { transport } = await serving()
    const receive = (from: object) => transport.receive({ channel: topic('orders'), ...from }, () => {})
    await expect(receive({ temporary: true })).rejects.toMatchObject({ code: 'CAPABILITY_MISSING' })
    for (const from of ['earliest', { time: 1 }, { positions: {} }])
      await expect(receive({ from, group: 'g' })).rejects.toMatchObject({ code: 'CAPABILITY_MISSING' })
    await expect(receive({ group: '*' })).rejects.toMatchObject({ code: 'INVALID_OPTIONS' })
    await expect(receive({ channel: queue('mails'), group: 'g' })).rejects.toMatchObject({ code: 'INVALID_OPTIONS' })
  })

  it('says what is received', async () => {
    const { transport } = await serving()
    const { receiver } = await inbox(transport, { channel: topic('orders'), group: 'billing' })
    await inbox(transport, { channel: topic('orders') })
    expect(transport.subscriptions()).toEqual([{ kind: 'topic', name: 'orders', group: 'billing' }, topic('orders')])
    await receiver.close()
    expect(transport.subscriptions()).toEqual([topic('orders')])
  })

  it('from sender to receiver: retry with a pause, to nobody else meanwhile, and the count goes up', async () => {
    const clock = fakeClock()
    const one = await serving()
    const two = await serving()
    const counts: unknown[] = []
    const work = (delivery: Delivery) => {
      counts.push(delivery.redeliveries)
      return counts.length < 3 ? delivery.settle('retry', { delayMs: 250 }) : delivery.settle('ack')
    }
    await inbox(one.transport, { channel: queue('mails') }, work)
    await inbox(two.transport, { channel: queue('mails') }, work)
    const sender = closing.add(httpPushTransport({ subscribers: { mails: [one.url, two.url] }, clock }))
    const sent = sender.send(queue('mails'), [envelope('1')], within(10_000, clock).context)
    for (let n = 1; n < 3; n++) {
      await until(() => counts.length === n)
      await turns(60)
      await clock.advance(249)
      await turns()
      expect(counts).toHaveLength(n)
      await clock.advance(1)
    }
    expect(await sent).toEqual([{ status: 'accepted' }])
    expect(counts).toEqual([0, 1, 2])
  })

  it('from sender to receiver: given up with a reason, which the dead letter has', async () => {
    const { transport, url } = await serving()
    await inbox(transport, { channel: queue('mails') }, (delivery) =>
      delivery.settle('dead', { reason: 'no such address' }),
    )
    const sender = closing.add(httpPushTransport({ subscribers: { mails: url } }))
    const [result] = await sender.send(queue('mails'), [envelope('1')], within().context)
    expect(errorOf(result)).toMatchObject({ code: 'UNPROCESSABLE', effect: 'none', retryable: false })
    for await (const { reason } of sender.deadLetters?.list(queue('mails'), { limit: 1 }) ?? [])
      expect(reason).toBe('no such address')
  })

  it('no credit anywhere: another of the competing receivers gets it', async () => {
    const full = await serving({ maxWaiting: 0 })
    const free = await serving()
    const stuck = await inbox(full.transport, { channel: queue('mails') }, () => {}, 0)
    const { ids } = await inbox(free.transport, { channel: queue('mails') })
    const sender = closing.add(httpPushTransport({ subscribers: { mails: [full.url, free.url] } }))
    const messages = Array.from({ length: 6 }, (_, n) => envelope(`${n}`))
    const results = await sender.send(queue('mails'), messages, within().context)
    expect(results.every(({ status }) => status === 'accepted')).toBe(true)
    expect(stuck.deliveries).toHaveLength(0)
    expect(ids()).toHaveLength(6)
  })
})

it('an ack that could not be told is not taken for one: the message comes again', async () => {
  const transport = closing.add(httpPushTransport())
  const server = createServer(transport.node())
  await listening(server)
  closing.later(() => shut(server))
  const { deliveries } = await inbox(transport, { channel: queue('mails') }, () => {})
  const socket = connect(Number(new URL(urlOf(server)).port), '127.0.0.1')
  const body = JSON.stringify({ specversion: '1.0', id: '1', source: '/test', type: 'mail.wanted' })
  socket.write(
    `POST /mails HTTP/1.1\r\nhost: x\r\ncontent-type: application/cloudevents+json\r\ncontent-length: ${body.length}\r\n\r\n${body}`,
  )
  await until(() => deliveries.length === 1)
  const settling = (deliveries[0] as Delivery).settle('ack')
  server.closeAllConnections()
  await expect(settling).rejects.toMatchObject({ code: 'LEASE_LOST' })
})
