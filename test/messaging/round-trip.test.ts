// Publisher, a real transport, and decoding: what goes in comes out, also compressed, foreign and of an old version.
import { expect, test } from 'vitest'
import { z } from 'zod'
import { memoryTransport } from '../../src/adapters/memory/index.ts'
import type { Delivery } from '../../src/core/contracts/transport.ts'
import { createPublisher, decodeMessage, fromHttp, queue, toHttp } from '../../src/messaging/index.ts'
import { fakeClock } from '../../src/testing/fake-clock.ts'

const Jobs = queue('jobs', {
  job: {
    schema: z.object({ name: z.string(), size: z.number() }),
    version: 2,
    upcasters: { 1: (data) => ({ size: 0, ...data }) },
  },
})

test('over the memory transport', async () => {
  const clock = fakeClock()
  const transport = memoryTransport({ clock })
  const publisher = createPublisher({ transport, source: '/tests', clock })
  const sent = [
    { type: 'job', id: 'small', data: { name: 'a', size: 1 }, key: 'k', headers: { tenant: 'acme' } },
    { type: 'job', id: 'large', data: { name: 'x'.repeat(100_000), size: 2 }, correlationId: 'c' },
  ] as const
  expect(await publisher.publish(Jobs, sent)).toMatchObject([{ status: 'accepted' }, { status: 'accepted' }])

  const deliveries: Delivery[] = []
  const receiver = await transport.receive({ channel: Jobs }, (delivery) => deliveries.push(delivery))
  receiver.request(10)
  await clock.advance(0)
  const got = await Promise.all(deliveries.map(({ envelope }) => decodeMessage(Jobs, envelope)))
  expect(got).toMatchObject(sent.map((each) => ({ ...each, source: '/tests', version: 2, time: clock.wallNow() })))
  expect(deliveries[1]?.envelope.body.byteLength).toBeLessThan(1_000)

  // The same envelopes over HTTP and back are the same messages.
  for (const [at, { envelope }] of deliveries.entries()) {
    const { headers, body } = toHttp(envelope)
    expect(await decodeMessage(Jobs, fromHttp(headers, body)[0] as Delivery['envelope'])).toEqual(got[at])
  }
  for (const delivery of deliveries) await delivery.settle('ack')
  await transport.close()
})

test('a message too large for the transport is not sent, and after compression it may not be', async () => {
  const clock = fakeClock()
  const transport = memoryTransport({ clock, maxPayloadBytes: 20_000 })
  const publisher = createPublisher({ transport, source: '/tests', clock })
  expect(await publisher.publish(Jobs, { type: 'job', data: { name: 'x'.repeat(100_000), size: 2 } })).toMatchObject({
    status: 'accepted',
  })
  const Plain = queue('jobs', { job: z.object({ name: z.string() }) }, { compressAboveBytes: Infinity })
  const result = await publisher.result(Plain, { type: 'job', data: { name: 'x'.repeat(100_000) } })
  expect(result).toMatchObject({ status: 'failed', error: { code: 'PAYLOAD_TOO_LARGE', effect: 'none' } })
  await transport.close()
})
