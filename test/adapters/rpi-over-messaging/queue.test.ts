// What is different on a queue: who is asked at most once, what expires, what is not there, and how it ends.
import { afterEach, expect, test } from 'vitest'
import { z } from 'zod'
import { memoryStore, memoryTransport } from '../../../src/adapters/memory/index.ts'
import { messagingRpiTransport, serveOverMessaging } from '../../../src/adapters/rpi-over-messaging/index.ts'
import { createContext } from '../../../src/core/context.ts'
import type { MessageTransport } from '../../../src/core/contracts/transport.ts'
import { deadlineIn } from '../../../src/core/deadline.ts'
import type { Envelope } from '../../../src/core/message.ts'
import { createProxy, createServerAdapter, defineContract } from '../../../src/rpi/index.ts'
import { fakeClock } from '../../../src/testing/fake-clock.ts'

const Shop = defineContract('shop', {
  take: { input: z.object({ n: z.number() }), output: z.object({ n: z.number() }) },
  read: { idempotent: true, input: z.object({ n: z.number() }), output: z.object({ n: z.number() }) },
  watch: { streaming: 'server', output: z.object({ n: z.number() }) },
})

const ending: (() => Promise<unknown> | unknown)[] = []
afterEach(async () => {
  for (const end of ending.splice(0).reverse()) await end()
})

async function rejection(promise: Promise<unknown>): Promise<any> {
  try {
    await promise
  } catch (error) {
    return error
  }
  throw new Error('it did not reject')
}

// A clock that stands still ends nothing by itself.
const ended = async (clock: ReturnType<typeof fakeClock>, work: Promise<unknown>): Promise<void> => {
  let over = false
  work.then(
    () => (over = true),
    () => (over = true),
  )
  while (!over) await clock.advance(50)
}

function lab(
  options: { readonly wrap?: (inner: MessageTransport) => MessageTransport; readonly broker?: object } = {},
) {
  const clock = fakeClock()
  const broker = memoryTransport({ clock, leaseMs: 2_000, ...options.broker })
  const transport = options.wrap?.(broker) ?? broker
  const rpi = messagingRpiTransport({ transport: broker, clock })
  const shop = (more: object = {}) =>
    createProxy(Shop, {
      transport: rpi,
      clock,
      retry: false,
      attemptTimeoutMs: false,
      deadlineMs: 20_000,
      ...more,
    } as never)
  ending.push(
    () => ended(clock, rpi.close()),
    () => ended(clock, broker.close()),
  )
  const calls: string[] = []
  const serve = async (own: object = {}, more: object = {}, adapterOptions: object = {}) => {
    const handlers = {
      take: ({ n }: { n: number }) => {
        calls.push(`take ${n}`)
        return { n }
      },
      read: ({ n }: { n: number }) => {
        calls.push(`read ${n}`)
        return { n }
      },
      watch: async function* () {},
      ...own,
    }
    const adapter = createServerAdapter(Shop, handlers as never, { clock, ...adapterOptions } as never)
    const served = await serveOverMessaging(adapter, { transport, clock, ...more })
    ending.push(() => ended(clock, served.close({ withinMs: 10 })))
    return served
  }
  return { clock, broker, rpi, shop, serve, calls }
}

// Hands each message out again as if its acknowledgement, and whoever took it, had been lost.
const forgetful =
  (settled: string[]) =>
  (inner: MessageTransport): MessageTransport => ({
    name: inner.name,
    capabilities: inner.capabilities,
    prepare: (channels, mode) => inner.prepare(channels, mode),
    send: (channel, envelopes, context) => inner.send(channel, envelopes, context),
    receive: (from, sink) =>
      inner.receive(from, (delivery) =>
        sink({
          envelope: delivery.envelope,
          redeliveries: delivery.redeliveries ?? 0,
          onLost: (listener) => delivery.onLost(listener),
          async settle(verdict) {
            settled.push(verdict)
            if (settled.length === 1) await delivery.settle('retry')
            else await delivery.settle(verdict)
          },
        }),
      ),
    close: () => inner.close(),
  })

test('an operation that is not idempotent is acknowledged before it is worked on, any other after its answer', async () => {
  const order: string[] = []
  const { clock, shop, serve } = lab({
    wrap: (inner) => ({
      name: inner.name,
      capabilities: inner.capabilities,
      prepare: (channels, mode) => inner.prepare(channels, mode),
      send: (channel, envelopes, context) => {
        order.push('answer')
        return inner.send(channel, envelopes, context)
      },
      receive: (from, sink) =>
        inner.receive(from, (delivery) => {
          const settle = delivery.settle.bind(delivery)
          sink(
            Object.assign(Object.create(delivery), {
              envelope: delivery.envelope,
              onLost: (listener: () => void) => delivery.onLost(listener),
              extend: undefined,
              settle: (...verdict: Parameters<typeof settle>) => {
                order.push(verdict[0])
                return settle(...verdict)
              },
            }),
          )
        }),
      close: () => inner.close(),
    }),
  })
  const work = (name: string) => (input: { n: number }) => {
    order.push(name)
    return input
  }
  await serve({ take: work('take'), read: work('read') })
  expect(await shop().take({ n: 1 })).toEqual({ n: 1 })
  await clock.advance(10)
  expect(order.splice(0)).toEqual(['ack', 'take', 'answer'])
  expect(await shop().read({ n: 2 })).toEqual({ n: 2 })
  await clock.advance(10)
  expect(order).toEqual(['read', 'answer', 'ack'])
})

test('handed out again, an idempotent operation is done again and answered', async () => {
  const settled: string[] = []
  const { clock, shop, serve, calls } = lab({ wrap: forgetful(settled) })
  await serve()
  expect(await shop().read({ n: 1 })).toEqual({ n: 1 })
  await clock.advance(5_000)
  expect(calls).toEqual(['read 1', 'read 1'])
})

test('one that is not is never begun where its acknowledgement did not get through', async () => {
  let tries = 0
  const { clock, shop, serve, calls } = lab({
    wrap: (inner) => ({
      ...forgetful(['', ''])(inner),
      receive: (from, sink) =>
        inner.receive(from, (delivery) =>
          sink({
            envelope: delivery.envelope,
            onLost: (listener) => delivery.onLost(listener),
            async settle(verdict, options) {
              if (verdict === 'ack' && tries++ === 0) throw new Error('the broker is away')
              await delivery.settle(verdict, options)
            },
          }),
        ),
    }),
  })
  await serve()
  const call = shop().take({ n: 1 })
  await clock.advance(15_000)
  expect(await call).toEqual({ n: 1 })
  expect([calls, tries]).toEqual([['take 1'], 2])
})

test('with answers that are kept, what comes with a key is done once and may be asked for twice', async () => {
  const settled: string[] = []
  const { clock, shop, serve, calls } = lab({ wrap: forgetful(settled) })
  const store = memoryStore({ clock })
  await serve({}, {}, { idempotency: store })
  expect(await shop().take({ n: 1 }, { idempotencyKey: 'k' })).toEqual({ n: 1 })
  await clock.advance(5_000)
  expect([calls, settled]).toEqual([['take 1'], ['ack', 'ack']])
})

test('a request that has expired is not worked on, and is no letter that somebody has to read', async () => {
  const { clock, broker, shop, serve, calls } = lab()
  const call = rejection(shop().take({ n: 1 }, { deadlineMs: 300 }))
  await clock.advance(400)
  expect(await call).toMatchObject({ code: 'DEADLINE_EXCEEDED', effect: 'unknown', transport: 'memory' })
  const served = await serve()
  expect(await shop().take({ n: 2 })).toEqual({ n: 2 })
  expect([calls, served.stats()]).toEqual([['take 2'], { served: 1, answered: 1, unanswered: 0 }])
  const dead = broker.deadLetters?.list({ kind: 'queue', name: 'rpi.shop' }, { limit: 5 })
  for await (const letter of dead ?? []) expect(letter).toBeUndefined()
})

test('what waited in the queue has only the rest of its time', async () => {
  const { clock, shop, serve } = lab()
  const call = shop().read({ n: 1 }, { deadlineMs: 1_000 })
  await clock.advance(600)
  const left: number[] = []
  await serve({
    read: ({ n }: { n: number }, { deadline }: { deadline: { remainingMs(): number } }) => {
      left.push(deadline.remainingMs())
      return { n }
    },
  })
  await call
  expect(left).toEqual([400])
})

test('where there is no such queue nothing was done', async () => {
  const { shop } = lab({ broker: { autoCreate: false } })
  expect(await rejection(shop().take({ n: 1 }))).toMatchObject({
    code: expect.stringMatching(/UNROUTABLE|CHANNEL_NOT_FOUND/),
    effect: 'none',
    service: 'shop',
    operation: 'take',
  })
})

test('a stream is refused, and nothing is sent', async () => {
  const { rpi, shop } = lab()
  const watching = async () => {
    for await (const each of (await shop().watch()) as AsyncIterable<unknown>) void each
  }
  expect(await rejection(watching())).toMatchObject({ code: 'CAPABILITY_MISSING', effect: 'none', operation: 'watch' })
  expect(rpi.stats().pending).toBe(0)
})

test('a header that no message carries is refused, and nothing is sent', async () => {
  const { shop, serve, calls } = lab()
  await serve()
  expect(await rejection(shop().take({ n: 1 }, { headers: { x_y: '1' } }))).toMatchObject({
    code: 'INVALID_REQUEST',
    effect: 'none',
  })
  expect(calls).toEqual([])
})

test('an answer that no message carries is told as such: the work is done', async () => {
  const { clock, rpi, broker } = lab({ broker: { maxPayloadBytes: 20_000 } })
  const Text = defineContract('text', {
    write: { input: z.object({ n: z.number() }), output: z.object({ text: z.string() }) },
  })
  const adapter = createServerAdapter(Text, { write: ({ n }) => ({ text: 'x'.repeat(n) }) }, { clock })
  const served = await serveOverMessaging(adapter, { transport: broker, clock })
  ending.push(() => ended(clock, served.close({ withinMs: 10 })))
  const text = createProxy(Text, { transport: rpi, clock, retry: false })
  expect((await text.write({ n: 10_000 })).text).toHaveLength(10_000)
  expect(await rejection(text.write({ n: 20_000 }))).toMatchObject({ code: 'REPLY_TOO_LARGE', effect: 'done' })
})

test('closing lets what runs end and answer, and takes nothing more', async () => {
  const { clock, shop, serve } = lab()
  let finish: (value: { n: number }) => void = () => {}
  const served = await serve({ take: () => new Promise((resolve) => (finish = resolve)) })
  const first = shop().take({ n: 1 })
  await clock.advance(10)
  const closing = served.close()
  await clock.advance(10)
  const second = rejection(shop().take({ n: 2 }, { deadlineMs: 500 }))
  finish({ n: 7 })
  await ended(clock, closing)
  expect(await first).toEqual({ n: 7 })
  await clock.advance(500)
  expect(await second).toMatchObject({ code: 'DEADLINE_EXCEEDED', effect: 'unknown' })
})

test('a server that does not heed its end is answered for, and what is idempotent is not lost with it', async () => {
  const { clock, rpi, broker } = lab()
  const calls: string[] = []
  const hanging = {
    fetch(request: Request): Promise<Response> {
      calls.push(new URL(request.url).pathname)
      return new Promise(() => {})
    },
  }
  const served = await serveOverMessaging(hanging, {
    transport: broker,
    service: 'shop',
    clock,
    handlerTimeoutMs: 1_000,
  })
  ending.push(() => ended(clock, served.close({ withinMs: 10 })))
  const shop = createProxy(Shop, { transport: rpi, clock, retry: false, attemptTimeoutMs: false, deadlineMs: false })
  const call = rejection(shop.take({ n: 1 }))
  await clock.advance(3_000)
  expect(await call).toMatchObject({ code: 'DEADLINE_EXCEEDED', effect: 'unknown' })
  expect(calls).toEqual(['/shop/take'])
})

test('what is no request becomes a dead letter', async () => {
  const { clock, broker, serve } = lab()
  await serve()
  const envelope: Envelope = {
    id: 'x',
    attributes: { specversion: '1.0', source: '/x', type: 'fairlead.rpi.request' },
    headers: {},
    body: new Uint8Array(0),
  }
  const { context } = createContext({
    service: 'x',
    operation: 'y',
    deadline: deadlineIn(1_000, clock),
    idempotent: true,
  })
  await broker.send({ kind: 'queue', name: 'rpi.shop' }, [envelope], context)
  await clock.advance(100)
  const dead: string[] = []
  for await (const letter of broker.deadLetters?.list({ kind: 'queue', name: 'rpi.shop' }, { limit: 5 }) ?? [])
    dead.push(letter.reason)
  expect(dead).toEqual([expect.stringContaining('fairlead-method')])
})

test('closed, it refuses; options that make no sense are named', async () => {
  const { clock, rpi, broker, shop } = lab()
  await ended(clock, rpi.close())
  expect(await rejection(shop().take({ n: 1 }))).toMatchObject({ code: 'SHUTDOWN', effect: 'none' })
  const invalid = async (work: () => unknown): Promise<unknown> =>
    (await rejection((async () => work())())).details.option
  expect(await invalid(() => messagingRpiTransport({ transport: broker, queue: 'x' } as never))).toBe('queue')
  expect(await invalid(() => messagingRpiTransport({ transport: broker, sauce: 'x' } as never))).toBe(
    'messagingRpiTransport.sauce',
  )
  expect(await invalid(() => messagingRpiTransport({} as never))).toBe('transport')
  const server = { fetch: async () => new Response('') }
  expect(await invalid(() => serveOverMessaging(server, { transport: broker }))).toBe('service')
  expect(await invalid(() => serveOverMessaging(server, { transport: broker, service: 'a b' }))).toBe('queue')
  expect(await invalid(() => serveOverMessaging({} as never, { transport: broker }))).toBe('server')
  expect(
    await invalid(() => serveOverMessaging(server, { transport: broker, service: 'x', keepsAnswers: 1 } as never)),
  ).toBe('keepsAnswers')
})
