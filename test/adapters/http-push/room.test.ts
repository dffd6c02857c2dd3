// How many may wait at the receiving half, counted when they are there.
import { request as httpRequest, type RequestListener } from 'node:http'
import { afterEach, describe, expect, it } from 'vitest'
import { httpPushTransport } from '../../../src/adapters/http-push/index.ts'
import { Closing, inbox, listen, queue, serverOf, topic, turns, until } from './support.ts'

const closing = new Closing()
afterEach(() => closing.end())

describe.each(['node', 'fetch'] as const)('room, as a server of %s', (form) => {
  it('bodies that come late find no more room than there is', async () => {
    const transport = closing.add(httpPushTransport({ maxWaiting: 5 }))
    let arrived = 0
    const carry = serverOf(transport, form) as RequestListener
    const url = await listen(closing, (request, response) => {
      arrived++
      carry(request, response)
    })
    const { receiver, deliveries } = await inbox(
      transport,
      { channel: queue('mails') },
      (each) => each.settle('ack'),
      0,
    )
    const body = JSON.stringify({ specversion: '1.0', id: '1', source: '/test', type: 'mail.wanted' })
    const headers = { 'content-type': 'application/cloudevents+json', 'content-length': body.length }
    const answers: (number | undefined)[] = []
    const requests = Array.from({ length: 20 }, () => {
      const pushed = httpRequest(`${url}/mails`, { method: 'POST', headers }, (response) => {
        answers.push(response.statusCode)
        expect(response.statusCode === 204 || response.headers['retry-after'] === '1').toBe(true)
        response.resume()
      })
      pushed.flushHeaders()
      return pushed
    })
    await until(() => arrived === 20)
    for (const pushed of requests) pushed.end(body)
    await until(() => answers.length === 15)
    await turns()
    expect(answers).toEqual(Array.from({ length: 15 }, () => 503))
    receiver.request(20)
    await until(() => answers.length === 20)
    expect(answers.slice(15)).toEqual([204, 204, 204, 204, 204])
    expect(deliveries).toHaveLength(5)
  })

  it('a batch counts as what it brings: come again where it does not fit now, too large where it never does', async () => {
    const transport = closing.add(httpPushTransport({ maxWaiting: 2 }))
    const url = await listen(closing, serverOf(transport, form))
    const billing = await inbox(transport, { channel: topic('orders'), group: 'billing' }, () => {}, 1)
    const stock = await inbox(transport, { channel: topic('orders'), group: 'stock' }, (each) => each.settle('ack'))
    const batch = (count: number) => {
      const event = (_: unknown, n: number) => ({ specversion: '1.0', id: `${n}`, source: '/t', type: 'order.placed' })
      const headers = { 'content-type': 'application/cloudevents-batch+json', 'fairlead-channel': 'topic:orders' }
      return fetch(url, { method: 'POST', headers, body: JSON.stringify(Array.from({ length: count }, event)) })
    }
    const never = await batch(4)
    expect(never.status).toBe(413)
    expect(await never.json()).toMatchObject({ type: 'urn:fairlead:PAYLOAD_TOO_LARGE', effect: 'none' })
    const first = batch(1)
    await until(() => billing.deliveries.length === 1)
    const notNow = await batch(3)
    expect([notNow.status, notNow.headers.get('retry-after')]).toEqual([503, '1'])
    expect(await notNow.json()).toMatchObject({ effect: 'none' })
    expect(stock.deliveries).toHaveLength(1)
    const second = batch(2)
    await until(() => stock.deliveries.length === 3)
    expect((await batch(1)).status).toBe(503)
    billing.receiver.request(2)
    await until(() => billing.deliveries.length === 3)
    for (const delivery of billing.deliveries) void delivery.settle('ack')
    expect([(await first).status, (await second).status]).toEqual([204, 204])
    billing.receiver.request(1)
    const fits = batch(3)
    await until(() => billing.deliveries.length === 4)
    billing.receiver.request(2)
    await until(() => billing.deliveries.length === 6)
    for (const delivery of billing.deliveries) void delivery.settle('ack')
    expect((await fits).status).toBe(204)
  })
})
