// Whatever handlers answer and whenever rights are lost: nothing is lost, and within a key no message is begun before all earlier ones are done.
import * as fc from 'fast-check'
import { expect, test } from 'vitest'
import { memoryBroker, memoryTransport } from '../../../src/adapters/memory/index.ts'
import { createContext } from '../../../src/core/context.ts'
import type { Delivery, MessageTransport } from '../../../src/core/contracts/transport.ts'
import { deadlineAt } from '../../../src/core/deadline.ts'
import { createError } from '../../../src/errors/classes.ts'
import { createConsumer, dead, type OnFailure, retry } from '../../../src/messaging/index.ts'
import { fakeClock } from '../../../src/testing/fake-clock.ts'
import { seededRandom } from '../../../src/testing/seeded-random.ts'
import { Orders } from './kit.ts'

interface World {
  readonly keys: readonly number[]
  readonly seed: number
  readonly onFailure: OnFailure
  readonly concurrency: number
  readonly prefetch: number
  readonly consumers: number
  readonly batch: boolean
}

const LEASE_MS = 3_000

async function play({ keys, seed, onFailure, concurrency, prefetch, consumers, batch }: World): Promise<void> {
  const clock = fakeClock()
  const random = seededRandom(seed)
  const broker = memoryBroker({ clock })
  const done = new Map<string, string>()
  const runningHere = new Map<string, number>()
  // What a handler throws is the consumer's to deal with: it would fail no test.
  const wrong: string[] = []
  const keyOf = (id: string): number => keys[Number(id)] as number

  // A broker whose renewals and settlements fail now and then.
  const faulty = (): MessageTransport => {
    const inner = memoryTransport({ broker, leaseMs: LEASE_MS })
    const wrap = (delivery: Delivery): Delivery => ({
      ...delivery,
      envelope: delivery.envelope,
      redeliveries: delivery.redeliveries,
      leaseMs: delivery.leaseMs,
      onLost: (listener) => delivery.onLost(listener),
      extend: async (ms) => {
        if (random() < 0.1) throw createError({ code: 'CONNECTION_LOST' })
        await delivery.extend?.(ms)
      },
      settle: async (verdict, options) => {
        if (random() < 0.05) throw createError({ code: 'CONNECTION_LOST' })
        await delivery.settle(verdict, options)
        if (verdict !== 'retry') done.set(delivery.envelope.id, verdict)
      },
    })
    return {
      name: inner.name,
      // Held here, so that leases are lost while a trigger or a key waits.
      capabilities: { ...inner.capabilities, waiting: 'leased' },
      prepare: (...given) => inner.prepare(...given),
      send: (...given) => inner.send(...given),
      receive: (from, sink) => inner.receive(from, (delivery) => sink(wrap(delivery))),
      close: () => inner.close(),
    }
  }

  const begin = (consumer: number, ids: readonly string[]): void => {
    for (const id of ids) {
      const key = keyOf(id)
      keys.forEach((other, at) => {
        if (other === key && at < Number(id) && !ids.includes(String(at)))
          if (!done.has(String(at))) wrong.push(`${id} begun before ${at} of its key ${key} was done`)
      })
    }
    for (const key of new Set(ids.map(keyOf))) {
      const here = `${consumer}/${key}`
      if (runningHere.get(here) === 1) wrong.push(`two handlers of key ${key} at once`)
      runningHere.set(here, 1)
    }
  }
  const end = (consumer: number, ids: readonly string[]): void => {
    for (const key of new Set(ids.map(keyOf))) runningHere.set(`${consumer}/${key}`, 0)
  }
  const handle = async (consumer: number, ids: readonly string[]): Promise<unknown> => {
    begin(consumer, ids)
    const takes = random() < 0.1 ? LEASE_MS * 2 : random() * 300
    await new Promise<void>((resolve) => void clock.setTimer(resolve, takes, undefined))
    end(consumer, ids)
    const chance = random()
    if (chance < 0.15) throw new Error('transient')
    if (chance < 0.2) return retry({ afterMs: random() * 5_000 })
    if (chance < 0.25) return dead('bad')
    return undefined
  }

  const all = Array.from({ length: consumers }, (_, at) =>
    createConsumer({
      transport: faulty(),
      channel: Orders,
      group: 'g',
      clock,
      random,
      concurrency,
      prefetch,
      onFailure,
      maxDeliveries: 1_000,
      retries: { immediate: 1, delayedMs: [500, 2_000, 5_000] },
      throttle: false,
      ...(batch
        ? {
            batch: (messages: readonly { id: string }[]) =>
              handle(
                at,
                messages.map(({ id }) => id),
              ),
          }
        : { handlers: { placed: ({ id }: { id: string }) => handle(at, [id]) } }),
    } as Parameters<typeof createConsumer<NonNullable<(typeof Orders)['definitions']>>>[0]),
  )
  for (const consumer of all) await consumer.start()
  const { context } = createContext({
    service: 't',
    operation: 'send',
    deadline: deadlineAt(Infinity, clock),
    idempotent: true,
  })
  const publisher = memoryTransport({ broker })
  await publisher.send(
    { kind: 'topic', name: 'orders' },
    keys.map((key, at) => ({
      id: String(at),
      key: `k${key}`,
      attributes: { specversion: '1.0', source: 'test', type: 'placed' },
      headers: {},
      body: Buffer.from('{"n":1}'),
    })),
    context,
  )
  for (let round = 0; round < 400 && done.size < keys.length; round++) await clock.advance(1_000)
  expect(done.size, 'all of them are done').toBe(keys.length)
  // Handlers whose message was lost may still be running.
  await clock.advance(10_000)
  for (const consumer of all) expect(consumer.health()).toMatchObject({ inFlight: 0, abandoned: 0 })
  const closing = Promise.all(all.map((consumer) => consumer.close({ withinMs: 1_000 })))
  await clock.advance(5_000)
  await closing
  expect(wrong).toEqual([])
}

test('order per key, under failures, wishes, lost leases and brokers that cannot be told', async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.record({
        keys: fc.array(fc.integer({ min: 0, max: 3 }), { minLength: 1, maxLength: 25 }),
        seed: fc.integer(),
        onFailure: fc.constantFrom<OnFailure>('block-key', 'park-key'),
        concurrency: fc.integer({ min: 1, max: 5 }),
        prefetch: fc.integer({ min: 1, max: 12 }),
        consumers: fc.integer({ min: 1, max: 3 }),
        batch: fc.boolean(),
      }),
      play,
    ),
    { numRuns: Number(process.env['RUNS'] ?? 300) },
  )
}, 300_000)
