// The runtime over a whole transport: nothing played.
import { expect, test } from 'vitest'
import { z } from 'zod'
import { memoryBroker, memoryTransport } from '../../../src/adapters/memory/index.ts'
import { type Consumer, createConsumer, createPublisher, queue, retry, topic } from '../../../src/messaging/index.ts'
import { fakeClock } from '../../../src/testing/fake-clock.ts'

const Orders = topic('orders', { 'order.placed': z.object({ n: z.number() }) })
const Mails = queue('mails', { mail: z.object({ n: z.number() }) })

test('groups each get everything; members of one compete; failures end as dead letters and can be redriven', async () => {
  const clock = fakeClock()
  const broker = memoryBroker({ clock })
  const transport = memoryTransport({ broker })
  const seen: Record<string, number[]> = { billing: [], shipping: [] }
  let broken = true
  const make = (group: 'billing' | 'shipping'): Consumer =>
    createConsumer({
      transport: memoryTransport({ broker }),
      channel: Orders,
      group,
      clock,
      random: () => 0,
      throttle: false,
      retries: { delayedMs: [1_000] },
      handlers: {
        'order.placed': ({ data }) => {
          if (group === 'billing' && data.n % 10 === 0 && broken) throw new Error('no')
          seen[group]?.push(data.n)
        },
      },
    })
  const consumers = [make('billing'), make('billing'), make('shipping')]
  for (const consumer of consumers) await consumer.start()
  const publisher = createPublisher({ transport, source: '/shop', clock })
  await publisher.publish(
    Orders,
    Array.from({ length: 100 }, (_, n) => ({ type: 'order.placed' as const, data: { n }, key: `k${n % 7}` })),
  )
  await clock.advance(0)
  expect(seen['shipping']).toHaveLength(100)
  await clock.advance(10_000)
  expect([...(seen['billing'] ?? [])].sort((a, b) => a - b)).toEqual(
    Array.from({ length: 100 }, (_, n) => n).filter((n) => n % 10 !== 0),
  )
  for (let key = 0; key < 7; key++) {
    const ofKey = (seen['billing'] ?? []).filter((n) => n % 7 === key)
    expect(ofKey).toEqual([...ofKey].sort((a, b) => a - b))
  }
  const letters: string[] = []
  for await (const letter of transport.deadLetters?.list(
    { kind: 'topic', name: 'orders', group: 'billing' },
    { limit: 100 },
  ) ?? [])
    letters.push(letter.reason)
  expect(letters).toHaveLength(10)
  expect(letters[0]).toMatch(/^CALL_FAILED: no/)
  broken = false
  await transport.deadLetters?.redrive({ kind: 'topic', name: 'orders', group: 'billing' }, 'all')
  await clock.advance(0)
  expect(seen['billing']).toHaveLength(100)
  await Promise.all(consumers.map((consumer) => consumer.close()))
})

test('a consumer that closes hands over what it had: nothing is lost, nothing is done twice', async () => {
  const clock = fakeClock()
  const broker = memoryBroker({ clock })
  const transport = memoryTransport({ broker })
  const seen: number[] = []
  const make = (): Consumer =>
    createConsumer({
      transport: memoryTransport({ broker }),
      channel: Mails,
      clock,
      concurrency: 3,
      handlers: {
        mail: ({ data }) =>
          new Promise<void>((resolve) => {
            clock.setTimer(
              () => {
                seen.push(data.n)
                resolve()
              },
              10,
              undefined,
            )
          }),
      },
    })
  const publisher = createPublisher({ transport, source: '/shop', clock })
  await publisher.publish(
    Mails,
    Array.from({ length: 50 }, (_, n) => ({ type: 'mail' as const, data: { n } })),
  )
  for (let round = 0; round < 5; round++) {
    const consumer = make()
    await consumer.start()
    await clock.advance(25)
    const closing = consumer.close()
    await clock.advance(50)
    await closing
  }
  const last = make()
  await last.start()
  await clock.advance(1_000)
  expect([...seen].sort((a, b) => a - b)).toEqual(Array.from({ length: 50 }, (_, n) => n))
  expect(await last.lag()).toMatchObject({ waiting: 0 })
  await last.close()
})

test('the rule decides, and what waits meanwhile was never handed out', async () => {
  const { batchOf } = await import('../../../src/messaging/triggers/index.ts')
  const clock = fakeClock()
  const transport = memoryTransport({ clock })
  const batches: { n: number; redeliveries: number }[] = []
  const consumer = createConsumer({
    transport,
    channel: Mails,
    clock,
    trigger: batchOf(10),
    batch: (messages, { redeliveries }) => void batches.push({ n: messages.length, redeliveries }),
  })
  await consumer.start()
  const publisher = createPublisher({ transport, source: '/shop', clock })
  for (let n = 0; n < 25; n++) {
    await publisher.publish(Mails, { type: 'mail', data: { n } })
    await clock.advance(2_000)
    if (n < 9) expect(await consumer.lag()).toMatchObject({ waiting: n + 1 })
  }
  expect(batches).toEqual([
    { n: 10, redeliveries: 0 },
    { n: 10, redeliveries: 0 },
  ])
  expect(await consumer.lag()).toMatchObject({ waiting: 5 })
  await consumer.close()
})

test.each(['block-key', 'park-key'] as const)(
  'one that goes back does not have all later ones of its key delivered twice: %s',
  async (onFailure) => {
    const clock = fakeClock()
    const transport = memoryTransport({ broker: memoryBroker({ clock }) })
    const done: number[] = []
    let received = 0
    let asked = false
    const consumer = createConsumer({
      transport,
      channel: Orders,
      group: 'billing',
      clock,
      random: () => 0,
      onFailure,
      onEvent: ({ type }) => {
        if (type === 'message-received') received++
      },
      handlers: {
        'order.placed': async ({ data: { n } }) => {
          await Promise.resolve()
          if (n === 5 && !asked) {
            asked = true
            return retry({ afterMs: 1_000 })
          }
          done.push(n)
          return undefined
        },
      },
    })
    await consumer.start()
    const publisher = createPublisher({ transport, source: '/shop', clock })
    await publisher.publish(
      Orders,
      Array.from({ length: 300 }, (_, n) => ({ type: 'order.placed' as const, data: { n }, key: 'k' })),
    )
    for (let n = 0; n < 10; n++) await clock.advance(1_000)
    expect(done).toEqual(Array.from({ length: 300 }, (_, n) => n))
    expect(received).toBeLessThan(330)
    await publisher.close()
    await consumer.close()
  },
)
