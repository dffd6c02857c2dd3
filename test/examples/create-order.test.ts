// The order example: what a client sees from the answer to the end, in every order of replies and refusals, over HTTP push and over a transport put in its place.
import { spawn } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { httpPushTransport } from 'fairlead/http-push'
import { memoryBroker, memoryTransport } from 'fairlead/memory'
import { createPublisher } from 'fairlead/messaging'
import { afterEach, describe, expect, test } from 'vitest'
import { type Carrier, listen, overHttp } from '../../examples/create-order/carrier.ts'
import { Consumers, OrderEvents, Orders, Restaurants } from '../../examples/create-order/channels.ts'
import { createNotifier } from '../../examples/create-order/notify.ts'
import type { OrderState } from '../../examples/create-order/order-states.ts'
import type { ShopOptions } from '../../examples/create-order/shop.ts'
import { type Lab, ORDER, openLab, over, SECRET, until } from './create-order-lab.ts'

const labs: Lab[] = []
const lab = (options?: Partial<ShopOptions>): Lab => {
  const opened = openLab(options)
  labs.push(opened)
  return opened
}
afterEach(async () => {
  for (const each of labs.splice(0)) await each.end()
})

const CARRIERS: Readonly<Record<string, () => ShopOptions['carrier']>> = {
  'HTTP push': () => overHttp(SECRET),
  'a broker': () => {
    const broker = memoryBroker({ autoCreate: false })
    return (): Carrier => ({ transport: memoryTransport({ broker }) })
  },
}

describe.for(Object.keys(CARRIERS))('over %s', (name) => {
  const shop = (): Lab => lab({ carrier: CARRIERS[name]?.() })
  const OTHER = { consumers: 'restaurants', restaurants: 'consumers' } as const
  const ALONE = { consumers: 'CONSUMER_VALIDATED', restaurants: 'ORDER_DETAILS_VALIDATED' } as const

  test.for(['consumers', 'restaurants'] as const)('%s answer first, the others when they are up', async (first) => {
    const it = shop()
    const { runner } = await it.start('orders')
    // Nobody else is there, and the order is taken.
    const orderId = await it.place()
    expect(await it.stateOf(orderId)).toEqual({ orderId, status: 'PENDING' })
    await it.start(first)
    await it.until(orderId, ALONE[first])
    await it.start(OTHER[first])
    await it.until(orderId, 'VALIDATED')
    expect(await it.history(orderId)).toEqual(['PENDING', ALONE[first], 'VALIDATED'])
    expect(await runner?.show(orderId)).toMatchObject({ status: 'completed' })
    expect([await it.held(), await it.setAside()]).toEqual([1, 1])
  })

  const REFUSED = {
    consumers: { order: { consumerId: 'mallory' }, reason: 'nobody is called mallory' },
    restaurants: { order: { dish: 'pizza' }, reason: 'corner does not make pizza' },
  } as const
  const HELD = { consumers: 'held', restaurants: 'set_aside' } as const

  test.for([
    ['consumers', 'first'],
    ['consumers', 'last'],
    ['restaurants', 'first'],
    ['restaurants', 'last'],
  ] as const)('%s refuse %s: the order is rejected, and the others release what they set aside', async ([by, when]) => {
    const it = shop()
    const other = OTHER[by]
    const { file } = await it.start(other)
    await file.execute('create table released (order_id text)', [])
    const note = 'insert into released values (old.order_id)'
    await file.execute(`create trigger gone after delete on ${HELD[other]} begin ${note}; end`, [])
    if (when === 'first') await it.stop(other)
    const { runner } = await it.start('orders')
    const orderId = await it.place(REFUSED[by].order)
    if (when === 'last') await it.until(orderId, ALONE[other])
    await it.start(by)
    await it.until(orderId, 'REJECTED')
    if (when === 'first') {
      // Told at once, although the others were not heard yet: nothing is released blindly.
      expect(await runner?.show(orderId)).toMatchObject({ status: 'undoing', stuck: undefined })
      await it.start(other)
    }
    await until('it is released', async () => (await it.rows(other, 'select * from released')).length > 0)
    await until('it is over', async () => (await runner?.show(orderId))?.status === 'failed')
    expect(await it.stateOf(orderId)).toEqual({ orderId, status: 'REJECTED', reason: REFUSED[by].reason })
    expect(await it.history(orderId)).toEqual(['PENDING', ...(when === 'last' ? [ALONE[other]] : []), 'REJECTED'])
    expect(await it.rows(other, 'select * from released')).toEqual([[orderId]])
    expect([await it.held(), await it.setAside()]).toEqual([0, 0])
  })

  test.for(['consumers', 'restaurants'] as const)(
    'both refuse, %s first: rejected once, and nothing is released',
    async (first) => {
      const it = shop()
      const { runner } = await it.start('orders')
      const orderId = await it.place({ ...REFUSED.consumers.order, ...REFUSED.restaurants.order })
      const services = [await it.start(first)]
      await it.until(orderId, 'REJECTED')
      expect(await runner?.show(orderId)).toMatchObject({ status: 'undoing', stuck: undefined })
      services.push(await it.start(OTHER[first]))
      await until('it is over', async () => (await runner?.show(orderId))?.status === 'failed')
      for (const name of ['orders', first, OTHER[first]] as const)
        await until(
          `${name} have sent all`,
          async () => (await it.rows(name, 'select 1 from fairlead_outbox')).length === 0,
        )
      // The reason is the one that was heard first.
      expect(await it.stateOf(orderId)).toEqual({ orderId, status: 'REJECTED', reason: REFUSED[first].reason })
      expect(await it.history(orderId)).toEqual(['PENDING', 'REJECTED'])
      // What was never set aside is not released: an inbox row is the question, and nothing else.
      for (const name of [first, OTHER[first]] as const)
        expect(await it.rows(name, 'select 1 from fairlead_inbox'), name).toHaveLength(1)
      expect([await it.held(), await it.setAside()]).toEqual([0, 0])
    },
  )

  test('what was released can be ordered again; what is held cannot', async () => {
    const it = shop()
    for (const each of ['orders', 'consumers', 'restaurants'] as const) await it.start(each)
    const pies = { dish: 'pie', portions: 2, cents: 1_800 }
    const poor = await it.place({ ...pies, consumerId: 'bob' }) // 1,000 cents are all that bob has
    await it.until(poor, 'REJECTED')
    await until('the pies are released', async () => (await it.setAside()) === 0)
    const rich = await it.place(pies)
    await it.until(rich, 'VALIDATED')
    const late = await it.place({ dish: 'pie', portions: 1, cents: 900 })
    await it.until(late, 'REJECTED')
    expect(await it.stateOf(late)).toMatchObject({ reason: '0 portions of pie are left' })
  })

  test('each state is told once, in order', async () => {
    const it = shop()
    await it.start('orders')
    const orderId = await it.place()
    const told = watch(await fetch(`${it.at.orders}/orders/${orderId}/events`))
    await told.until(1)
    await it.start('restaurants')
    await told.until(2)
    await it.start('consumers')
    await told.end
    expect(told.states()).toEqual(['1 PENDING', '2 ORDER_DETAILS_VALIDATED', '3 VALIDATED'])
  })
})

test('the queues of the others are made, as they may never have been there', async () => {
  const broker = memoryBroker({ autoCreate: false })
  const it = lab({ carrier: () => ({ transport: memoryTransport({ broker }) }) })
  await it.start('orders')
  await memoryTransport({ broker }).prepare([Consumers, Restaurants], 'check')
})

describe('somebody who is no service', () => {
  // The port is the one that clients know.
  test.for(['whsec_c29tZWJvZHkgZWxzZSdzIHNlY3JldCEh', undefined])(
    'can say nothing that only a service may (%s)',
    async (secret) => {
      const it = lab()
      const { runner } = await it.start('orders')
      const orderId = await it.place()
      const urls = { 'create-order': [`${it.at.orders}/messages`] }
      const transport = httpPushTransport({ subscribers: urls, ...(secret && { signing: { secrets: secret } }) })
      const publisher = createPublisher({ transport, source: '/consumers' })
      const forged = { ...ORDER, orderId: 'forged' }
      const result = await publisher.result(Orders, { type: 'order.create', key: 'forged', data: forged })
      expect(result).toMatchObject({ status: 'failed', error: { code: 'SIGNATURE_INVALID' } })
      expect(await runner?.show('forged')).toBeUndefined()
      expect(await it.stateOf(orderId)).toEqual({ orderId, status: 'PENDING' })
      await publisher.close()
      await transport.close()
    },
  )
})

describe('an operator', () => {
  test('cancels an order that waits: it is rejected with the reason, and released', async () => {
    const it = lab()
    const { runner } = await it.start('orders')
    await it.start('consumers')
    const orderId = await it.place()
    await it.until(orderId, 'CONSUMER_VALIDATED')
    expect(await runner?.cancel(orderId, 'the customer rang up')).toBe(true)
    // What the restaurant made of it has to be known first.
    await it.start('restaurants')
    await it.until(orderId, 'REJECTED')
    expect(await it.stateOf(orderId)).toMatchObject({ reason: 'the customer rang up' })
    await until('both released', async () => (await it.held()) + (await it.setAside()) === 0)
  })
})

describe('createOrder', () => {
  test('asked again with the same Idempotency-Key is one order, and the same answer', async () => {
    const it = lab()
    await it.start('orders')
    const first = await it.post(ORDER, 'k-1')
    expect([first.status, first.headers.get('idempotency-replayed')]).toEqual([202, null])
    const { orderId } = (await first.json()) as { orderId: string }
    expect(first.headers.get('location')).toBe(`/orders/${orderId}`)
    const again = await it.post(ORDER, 'k-1')
    expect([again.status, again.headers.get('idempotency-replayed')]).toEqual([202, 'true'])
    expect(again.headers.get('location')).toBe(`/orders/${orderId}`)
    expect(await again.json()).toEqual({ orderId, status: 'PENDING' })
    expect(await it.rows('orders', 'select id from orders')).toEqual([[orderId]])

    const other = await it.post({ ...ORDER, portions: 3, cents: 1_200 }, 'k-1')
    expect([other.status, other.headers.get('content-type')]).toEqual([422, 'application/problem+json'])
    const many = await Promise.all([1, 2, 3].map(() => it.post(ORDER, 'k-2')))
    // Those that came while the first was being written may have been told to come again.
    expect(many.filter(({ status }) => status !== 202).every(({ status }) => status === 409)).toBe(true)
    expect(many.some(({ status }) => status === 202)).toBe(true)
    expect(await it.rows('orders', 'select id from orders')).toHaveLength(2)
  })

  test('writes nothing for what is no order, or has no key', async () => {
    const it = lab()
    await it.start('orders')
    const bad = await it.post({ ...ORDER, portions: 0 }, 'k-1')
    expect([bad.status, bad.headers.get('content-type')]).toEqual([400, 'application/problem+json'])
    expect((await it.post(ORDER, undefined)).status).toBe(400)
    for (const table of ['orders', 'order_states', 'fairlead_outbox'])
      expect(await it.rows('orders', `select 1 from ${table}`), table).toEqual([])
  })
})

describe('a client that asks again and again', () => {
  test('is told how soon, reads nothing twice, and is told when it is over', async () => {
    const it = lab()
    await it.start('orders')
    const orderId = await it.place()
    const seen = async (headers?: Record<string, string>) => {
      const response = await it.ask(orderId, headers)
      const { status } = response
      return {
        status,
        etag: response.headers.get('etag'),
        again: response.headers.get('retry-after'),
        body: await response.text(),
      }
    }
    expect(await seen()).toEqual({
      status: 200,
      etag: '"1"',
      again: '1',
      body: JSON.stringify({ orderId, status: 'PENDING' }),
    })
    for (const tag of ['"1"', 'W/"1"', '"7", "1"', '*'])
      expect(await seen({ 'if-none-match': tag }), tag).toEqual({ status: 304, etag: '"1"', again: '1', body: '' })

    await it.start('consumers')
    await it.until(orderId, 'CONSUMER_VALIDATED')
    expect(await seen({ 'if-none-match': '"1"' })).toMatchObject({ status: 200, etag: '"2"', again: '1' })
    await it.start('restaurants')
    await it.until(orderId, 'VALIDATED')
    const last = await seen({ 'if-none-match': '"2"' })
    expect(last).toMatchObject({ status: 200, etag: '"3"', again: null })
    expect(JSON.parse(last.body)).toEqual({ orderId, status: 'VALIDATED' })
    expect(await seen({ 'if-none-match': '"3"' })).toMatchObject({ status: 304, again: null })
  })

  test.for(['', '/events'])('asks for an order that is not there: 404, problem+json (%s)', async (path) => {
    const it = lab()
    await it.start('orders')
    const response = await fetch(`${it.at.orders}/orders/nowhere${path}`)
    expect([response.status, response.headers.get('content-type')]).toEqual([404, 'application/problem+json'])
    expect(await response.json()).toMatchObject({ status: 404, detail: 'there is no order nowhere' })
  })
})

describe('a client that is told', () => {
  test('comes back with the id of the last event, and is told what came after it; after the end there is nothing', async () => {
    const it = lab()
    await it.start('orders')
    const orderId = await it.place()
    const events = (after?: string) =>
      fetch(`${it.at.orders}/orders/${orderId}/events`, {
        headers: after === undefined ? {} : { 'last-event-id': after },
      })
    const first = await events()
    expect([first.status, first.headers.get('content-type')]).toEqual([200, 'text/event-stream'])
    const told = watch(first)
    await told.until(1)
    await told.leave()
    // While nobody listens.
    await it.start('consumers')
    await it.until(orderId, 'CONSUMER_VALIDATED')
    const back = watch(await events('1'))
    await back.until(1)
    await it.start('restaurants')
    await back.end
    expect([...told.states(), ...back.states()]).toEqual(['1 PENDING', '2 CONSUMER_VALIDATED', '3 VALIDATED'])
    expect((await events('3')).status).toBe(204)
    const late = watch(await events('2'))
    await late.end
    expect(late.states()).toEqual(['3 VALIDATED'])
    // An id that was never given: all of it.
    for (const id of ['4', 'x']) {
      const all = watch(await events(id))
      await all.end
      expect(all.states(), id).toHaveLength(3)
    }
  })

  test('holds nothing once it is gone, and hears heartbeats until then', async () => {
    const it = lab({ heartbeatMs: 20 })
    const { watched } = await it.start('orders')
    const orderId = await it.place()
    const events = `${it.at.orders}/orders/${orderId}/events`
    const all = await Promise.all([1, 2, 3].map(async () => watch(await fetch(events))))
    expect(watched?.()).toBe(3)
    for (const told of all) await until('a heartbeat', () => told.text().includes(': still here'))
    for (const told of all) await told.leave()
    await until('nobody is told', () => watched?.() === 0)
    // What ends with the service ends for its clients.
    const last = watch(await fetch(events))
    await last.until(1)
    await it.stop('orders')
    await last.end
  })

  test('misses nothing when the news of it is lost, and hears nothing twice when it comes again', async () => {
    for (const [times, heartbeatMs] of [
      [0, 20],
      [3, 60_000],
    ] as const) {
      const it = lab({ heartbeatMs, carrier: (at) => stuttering(overHttp(SECRET)(at), times) })
      await it.start('orders')
      const orderId = await it.place()
      const told = watch(await fetch(`${it.at.orders}/orders/${orderId}/events`))
      await told.until(1)
      await it.start('consumers')
      await told.until(2)
      await it.start('restaurants')
      await told.end
      expect(told.states()).toEqual(['1 PENDING', '2 CONSUMER_VALIDATED', '3 VALIDATED'])
    }
  })
})

test('as a program it prints what the guide says', { timeout: 60_000 }, async () => {
  const program = fileURLToPath(new URL('../../examples/create-order/run.ts', import.meta.url))
  const child = spawn(process.execPath, ['--import', 'tsx', program], { stdio: ['ignore', 'pipe', 'inherit'] })
  let printed = ''
  child.stdout.on('data', (chunk) => {
    printed += chunk
  })
  const code = await new Promise((ended) => child.once('close', ended))
  const lines = printed.trim().split('\n')
  expect(lines.slice(0, 5)).toEqual([
    'alice: 202 PENDING',
    'alice is told: PENDING',
    'alice is told: CONSUMER_VALIDATED',
    'alice is told: VALIDATED',
    'bob: 202 PENDING',
  ])
  // How often bob asks is a matter of speed.
  for (const line of lines.slice(5, -1))
    expect(line).toMatch(/^bob asks: (200 \{.*"(PENDING|CONSUMER_VALIDATED)"\}|304 )$/)
  expect(lines.at(-1)).toMatch(/^bob asks: 200 .*"status":"REJECTED","reason":"0 portions of pie are left"/)
  expect(code).toBe(0)
})

test('news that comes while the states are being read is read after it, and nothing is told twice', async () => {
  const transport = memoryTransport()
  const states: OrderState[] = [{ version: 1, status: 'PENDING' }]
  const notifier = await createNotifier(transport, async (_, after) => {
    const known = states.filter(({ version }) => version > after)
    await new Promise((resolve) => setTimeout(resolve, 20))
    return known
  })
  const server = await listen(undefined, (request, response) => void notifier.answerEvents('o-1', request, response))
  const publisher = createPublisher({ transport, source: '/orders' })
  const move = async (version: number, status: OrderState['status']): Promise<void> => {
    states.push({ version, status })
    const news = { type: 'order.moved', data: { orderId: 'o-1', version, status } } as const
    await Promise.all([1, 2, 3].map(() => publisher.publish(OrderEvents, news)))
  }
  const told = watch(await fetch(server.url))
  await move(2, 'CONSUMER_VALIDATED')
  await told.until(2)
  await move(3, 'VALIDATED')
  await told.end
  expect(told.states()).toEqual(['1 PENDING', '2 CONSUMER_VALIDATED', '3 VALIDATED'])
  await notifier.close()
  await publisher.close()
  await server.close()
})

// News travels so many times.
function stuttering({ transport, listener }: Carrier, times: number): Carrier {
  const send: typeof transport.send = async (channel, envelopes, context) => {
    if (channel.name !== 'order-events') return transport.send(channel, envelopes, context)
    let results = envelopes.map(() => ({ status: 'accepted' as const })) as Awaited<ReturnType<typeof transport.send>>
    for (let n = 0; n < times; n++) results = await transport.send(channel, envelopes, context)
    return results
  }
  return { listener, transport: over(transport, { send }) }
}

// What a client has read of a stream of events so far.
function watch(response: Response) {
  let text = ''
  let left = false
  const reader = response.body?.getReader()
  const end = (async (): Promise<void> => {
    for (;;) {
      const chunk = await reader?.read()
      if (chunk === undefined || chunk.done) return
      text += Buffer.from(chunk.value).toString()
    }
  })().catch((error) => {
    if (!left) throw error
  })
  const states = (): readonly string[] =>
    [...text.matchAll(/id: (\d+)\nevent: status\ndata: (.+)\n\n/g)].map(
      ([, id, data]) => `${id} ${(JSON.parse(data as string) as { status: string }).status}`,
    )
  return {
    end,
    states,
    text: () => text,
    until: (count: number) => until(`${count} states are told`, () => states().length >= count),
    async leave() {
      left = true
      await reader?.cancel()
    },
  }
}
