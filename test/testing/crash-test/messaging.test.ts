// What fairlead has besides outbox and inbox runs on it too: processes (sagas) and requests, between services that all may die.
import { describe, expect, it } from 'vitest'
import { z } from 'zod'
import type { MemoryStore } from '../../../src/adapters/memory/index.ts'
import {
  createConsumer,
  createOutbox,
  createProcessRunner,
  createRelay,
  createRequester,
  createResponder,
  defineProcess,
  queue,
  showProcess,
  topic,
} from '../../../src/messaging/index.ts'
import {
  type CrashMemoryDatabase,
  type CrashService,
  type CrashTestFailure,
  type CrashWorld,
  crashTest,
} from '../../../src/testing/crash-test/index.ts'

const Of = z.object({ orderId: z.string() })
const Orders = topic('orders', { created: Of })
const Payments = queue('payments', {
  take: { schema: Of, reply: z.object({}) },
  back: { schema: Of, reply: z.object({}) },
})
const Kitchen = queue('kitchen', { cook: { schema: Of, reply: z.object({}), failures: { CLOSED: z.object({}) } } })

const PlaceOrder = defineProcess('place-order', {
  state: z.object({ status: z.enum(['PENDING', 'VALIDATED', 'REJECTED']) }),
})
  .step('payment', Payments, 'take')
  .undo('payment', Payments, 'back', ({ sent }) => sent)
  .step('ticket', Kitchen, 'cook')
  .starts(Orders, 'created', {
    id: ({ data }) => data.orderId,
    state: () => ({ status: 'PENDING' as const }),
    sends: ['payment', 'ticket'],
    handle: ({ data }, process) => {
      process.send('payment', data)
      process.send('ticket', data)
    },
  })
  .onReply('payment', { reply: (_, process) => finish(process) })
  .onReply('ticket', { reply: (_, process) => finish(process) })
  .onUndone((_why, process) => {
    process.state.status = 'REJECTED'
  })

function finish(process: {
  state: { status: string }
  is(step: 'payment' | 'ticket'): string
  complete(): void
}): void {
  if (process.is('payment') !== 'done' || process.is('ticket') !== 'done') return
  process.state.status = 'VALIDATED'
  process.complete()
}

const retries = { immediate: 1, delayedMs: [100, 200, 400, 800, 1_600, 1_600, 1_600, 1_600] }

async function relaying(own: CrashService, store: MemoryStore) {
  const outbox = createOutbox(store, own.options)
  await createRelay({ outbox, transport: own.transport, ...own.options }).start()
  return outbox
}

interface Facts {
  readonly orders: CrashMemoryDatabase
  readonly payments: CrashMemoryDatabase
  readonly status: Map<string, string>
}

/** `remembers`: the payments have an inbox. */
const saga =
  (remembers: boolean) =>
  (world: CrashWorld): Facts => {
    const orders = world.database('orders')
    const payments = world.database('payments')
    const kitchen = world.database('kitchen')
    const status = new Map<string, string>()
    world.prepare(Orders, 'place-order')
    world.service('orders', async (own) => {
      const store = own.store(orders)
      const outbox = await relaying(own, store)
      const runner = createProcessRunner({
        process: PlaceOrder,
        store,
        outbox,
        transport: own.transport,
        retries,
        redriveWithinMs: 0,
        ...own.options,
      })
      await runner.start()
      own.serve('place', (orderId: string) =>
        store.transaction(async (tx) => {
          if (tx.get(orderId) !== undefined) return
          tx.set(orderId, 'placed')
          await outbox.publish(tx, Orders, { type: 'created', key: orderId, data: { orderId } })
        }),
      )
      own.serve('look', async (orderId: string) => {
        const found = await showProcess(store, PlaceOrder.name, orderId)
        status.set(orderId, (found?.state as { status?: string } | undefined)?.status ?? 'unknown')
      })
    })
    world.service('payments', async (own) => {
      const store = own.store(payments)
      const outbox = await relaying(own, store)
      const count = (name: string, by: number) => async () => {
        await store.transaction(async (tx) => tx.set(name, Number(tx.get(name) ?? 0) + by))
        return {}
      }
      const common = { transport: own.transport, channel: Payments, retries }
      if (remembers)
        await createResponder({
          ...common,
          inbox: store,
          outbox,
          redriveWithinMs: 0,
          handlers: {
            take: ({ data }, { tx }) => {
              tx.set(data.orderId, Number(tx.get(data.orderId) ?? 0) + 1)
              return {}
            },
            back: ({ data }, { tx }) => {
              tx.set(data.orderId, Number(tx.get(data.orderId) ?? 0) - 1)
              return {}
            },
          },
          ...own.options,
        }).start()
      else
        await createResponder({
          ...common,
          source: '/payments',
          handlers: {
            take: ({ data }) => count(data.orderId, 1)(),
            back: ({ data }) => count(data.orderId, -1)(),
          },
          ...own.options,
        }).start()
    })
    world.service('kitchen', async (own) => {
      const store = own.store(kitchen)
      const outbox = await relaying(own, store)
      await createResponder({
        transport: own.transport,
        channel: Kitchen,
        inbox: store,
        outbox,
        retries,
        redriveWithinMs: 0,
        handlers: { cook: ({ data }, { fail }) => (data.orderId.startsWith('late') ? fail('CLOSED', {}) : {}) },
        ...own.options,
      }).start()
    })
    world.client('customer', async (own) => {
      for (const orderId of ['order-1', 'late-2'])
        for (let attempt = 0; attempt < 100; attempt++) {
          try {
            await own.call('orders', 'place', orderId)
            break
          } catch {
            await own.sleep(300)
          }
        }
      for (let attempt = 0; attempt < 300; attempt++) {
        for (const orderId of ['order-1', 'late-2']) await own.call('orders', 'look', orderId).catch(() => undefined)
        if (status.get('order-1') === 'VALIDATED' && status.get('late-2') === 'REJECTED') return
        await own.sleep(300)
      }
    })
    return { orders, payments, status }
  }

function paidOnce({ payments, status }: Facts): void {
  expect([status.get('order-1'), status.get('late-2')]).toEqual(['VALIDATED', 'REJECTED'])
  expect([payments.get('order-1'), payments.get('late-2')]).toEqual([1, 0])
}

describe('a process of three services', () => {
  it('is finished, or undone, whatever happens', { timeout: 120_000 }, async () => {
    const report = await crashTest(saga(true), paidOnce, { schedules: 30, leaseMs: 2_000 })
    expect(report.faults).toBeGreaterThan(30)
  })

  it('takes the money twice where the payments do not remember', { timeout: 120_000 }, async () => {
    const failure = (await crashTest(saga(false), paidOnce, { schedules: 500, shrinks: 60 }).catch(
      (error: unknown) => error,
    )) as CrashTestFailure
    expect(failure.message).toContain('the invariant is broken by schedule')
    expect(failure.schedule.faults.length).toBeLessThan(3)
  })
})

describe('requests', () => {
  it('are answered, or fail with what is known', async () => {
    const effects = new Set<string>()
    const report = await crashTest(
      (world) => {
        const asked = { count: 0, answers: 0 }
        world.service('kitchen', async (own) => {
          await createResponder({
            transport: own.transport,
            channel: Kitchen,
            source: '/kitchen',
            handlers: {
              cook: () => {
                asked.count++
                return {}
              },
            },
            ...own.options,
          }).start()
        })
        world.client('waiter', async (own) => {
          const { transport, clock, random, newId } = own
          const requester = createRequester({ transport, source: '/waiter', clock, random, newId, timeoutMs: 3_000 })
          await requester.request(Kitchen, 'cook', { orderId: 'A-1' }).then(
            () => void asked.answers++,
            (error: { effect: string }) => void effects.add(error.effect),
          )
        })
        return asked
      },
      ({ count, answers }) => {
        if (answers > count) throw new Error('answered, and never asked')
      },
      { schedules: 200 },
    )
    expect(report.schedules).toBe(200)
    expect(effects).toContain('unknown')
  })
})

describe('a consumer without an inbox', () => {
  it('is caught', async () => {
    const failure = crashTest(
      (world) => {
        const shipped: string[] = []
        world.prepare(Orders, 'shipping')
        const shop = world.database('shop')
        world.service('shop', async (own) => {
          const store = own.store(shop)
          const outbox = await relaying(own, store)
          await store.transaction(async (tx) => {
            if (tx.get('sent') !== undefined) return
            tx.set('sent', true)
            await outbox.publish(tx, Orders, { type: 'created', data: { orderId: 'A-1' } })
          })
        })
        world.service('shipping', (own) =>
          createConsumer({
            transport: own.transport,
            channel: Orders,
            group: 'shipping',
            handlers: { created: ({ data }) => own.step('ship', () => void shipped.push(data.orderId)) },
            ...own.options,
          }).start(),
        )
        return shipped
      },
      (shipped) => expect(shipped).toEqual(['A-1']),
    )
    await expect(failure).rejects.toThrow('is broken by schedule')
  })
})
