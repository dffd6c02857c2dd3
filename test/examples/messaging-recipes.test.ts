// The recipes for messages, on the memory transport and a clock that stands still.
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { memoryTransport } from 'fairlead/memory'
import { createPublisher } from 'fairlead/messaging'
import { fakeClock } from 'fairlead/testing'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { Imports, importJob, urgentImportJob } from '../../examples/batch-job.ts'
import { Emails, emailRequests, emailWorker } from '../../examples/email-workers.ts'
import { after, before, type Services } from '../../examples/fraud-check.ts'
import { Orders, type Warehouse, warehouseConsumer } from '../../examples/process-orders.ts'

const until = async (condition: () => boolean): Promise<void> => {
  while (!condition()) await new Promise((resolve) => setTimeout(resolve, 2))
}

describe('competing e-mail workers', () => {
  test('each mail is sent by one of them; a bad address is a dead letter, a busy provider is asked again', async () => {
    const clock = fakeClock()
    const transport = memoryTransport({ clock })
    const sent: string[][] = [[], []]
    let busy = true
    const worker = (mine: string[]) =>
      emailWorker(transport, async ({ to }) => {
        if (to.startsWith('nobody')) return 550
        if (to.startsWith('later') && busy) return 429
        mine.push(to)
        return 250
      })
    const workers = sent.map(worker)
    // A worker has the clock of the transport only through its options: the recipe is for production, so real time serves here.
    for (const one of workers) await one.start()
    const mails = emailRequests(transport)
    for (let n = 0; n < 20; n++) await mails.welcome(`user${n}@example.org`)
    await mails.welcome('nobody@example.org')
    await mails.welcome('later@example.org')
    await until(() => sent.flat().length === 20)
    expect(new Set(sent.flat()).size).toBe(20)
    busy = false
    await clock.advance(5_000)
    await until(() => sent.flat().includes('later@example.org'))
    const dead = []
    for await (const letter of transport.deadLetters?.list(Emails, { limit: 10 }) ?? []) dead.push(letter.reason)
    expect(dead).toEqual([expect.stringContaining('nobody lives at nobody@example.org')])
    for (const one of workers) await one.close()
  })
})

describe('order processing', () => {
  test('in order for each order, whatever fails in between', async () => {
    const transport = memoryTransport()
    const steps: string[] = []
    let failures = 3
    const step =
      (name: string) =>
      async (orderId: string): Promise<void> => {
        if (orderId === 'o-1' && failures-- > 1) throw new Error('the shelf is locked')
        steps.push(`${orderId} ${name}`)
      }
    const warehouse: Warehouse = { pick: step('pick'), release: step('release'), archive: step('archive') }
    const consumer = warehouseConsumer(transport, warehouse)
    await consumer.start()
    const publisher = createPublisher({ transport, source: '/shop/orders' })
    for (const orderId of ['o-1', 'o-2', 'o-3']) {
      await publisher.publish(Orders, { type: 'order.placed', key: orderId, data: { orderId, sku: 'A-1' } })
      await publisher.publish(Orders, { type: 'order.paid', key: orderId, data: { orderId, cents: 100 } })
      await publisher.publish(Orders, { type: 'order.shipped', key: orderId, data: { orderId } })
    }
    await until(() => steps.length === 9)
    for (const orderId of ['o-1', 'o-2', 'o-3'])
      expect(steps.filter((line) => line.startsWith(orderId))).toEqual(
        ['pick', 'release', 'archive'].map((name) => `${orderId} ${name}`),
      )
    await consumer.close()
  })
})

describe('the batch job', () => {
  let folder: string
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), 'fairlead-'))
  })
  afterEach(() => rmSync(folder, { recursive: true }))

  // Writes a line for each time it runs: how many messages it was given.
  const script = () => {
    const path = join(folder, 'import.cjs')
    writeFileSync(
      path,
      `const { appendFileSync, readFileSync } = require('node:fs')
       const lines = readFileSync(0, 'utf8').trim().split('\\n').map((line) => JSON.parse(line).data.path)
       appendFileSync(${JSON.stringify(join(folder, 'runs'))}, lines.join(' ') + '\\n')`,
    )
    return path
  }
  const runs = () => {
    try {
      return readFileSync(join(folder, 'runs'), 'utf8').trim().split('\n')
    } catch {
      return []
    }
  }

  test('starts no program for nine messages, and one for ten', async () => {
    const transport = memoryTransport()
    const job = importJob(transport, script())
    await job.start()
    const publisher = createPublisher({ transport, source: '/uploads' })
    const upload = (n: number) => publisher.publish(Imports, { type: 'file.uploaded', data: { path: `f${n}` } })
    for (let n = 0; n < 9; n++) await upload(n)
    // Longer than the broker is asked at: nothing may have begun by then.
    await new Promise((resolve) => setTimeout(resolve, 1_200))
    expect(runs()).toEqual([])
    await upload(9)
    await until(() => runs().length === 1)
    expect(runs()).toEqual(['f0 f1 f2 f3 f4 f5 f6 f7 f8 f9'])
    await job.close()
    expect(await transport.inspect?.({ channel: Imports })).toMatchObject({ waiting: 0 })
  })

  test('or for two urgent ones', async () => {
    const transport = memoryTransport()
    const job = urgentImportJob(transport, script())
    await job.start()
    const publisher = createPublisher({ transport, source: '/uploads' })
    const upload = (path: string, priority: number) =>
      publisher.publish(Imports, { type: 'file.uploaded', priority, data: { path } })
    await upload('slow', 0)
    await upload('fast', 5)
    await upload('faster', 9)
    await until(() => runs().length === 1)
    expect(runs()[0]?.split(' ').sort()).toEqual(['fast', 'faster', 'slow'])
    await job.close()
  })
})

describe('the fraud check leaves the chain', () => {
  // The pools of four services: how many calls each has under way, and how long each waits for those behind it.
  const shop = () => {
    const clock = fakeClock()
    const pools: Record<string, { now: number; most: number }> = {}
    const work = (name: string, ms: number) => async (): Promise<void> => {
      const pool = (pools[name] ??= { now: 0, most: 0 })
      pool.most = Math.max(pool.most, ++pool.now)
      await new Promise<void>((resolve) => void clock.setTimer(resolve, ms, undefined))
      pool.now--
    }
    const heldBack: string[] = []
    const charge = work('charge', 50)
    const customer = work('customer', 100)
    const score = work('score', 850)
    const services: Services = {
      charge,
      customer: async () => {
        await customer()
        return { country: 'nl' }
      },
      score: async ({ cents }) => {
        await score()
        return cents > 100_000 ? 95 : 5
      },
      holdBack: async (orderId) => void heldBack.push(orderId),
    }
    return { clock, pools, services, heldBack }
  }
  const RATE = 20
  const SECONDS = 5
  const order = (n: number) => ({ orderId: `o-${n}`, customerId: `c-${n}`, cents: n % 50 === 0 ? 200_000 : 1_000 })

  // Offers orders at a steady rate and counts those under way, which is what the pools of `order` and `payment` hold.
  const offer = async (clock: ReturnType<typeof fakeClock>, place: (n: number) => Promise<unknown>) => {
    let under = 0
    let most = 0
    for (let n = 0; n < RATE * SECONDS; n++) {
      under++
      most = Math.max(most, under)
      void place(n).finally(() => under--)
      await clock.advance(1_000 / RATE)
    }
    await clock.advance(1_500)
    expect(under).toBe(0)
    return most
  }

  test('before: order and payment hold a slot for as long as the fraud check takes; after: for the payment alone', async () => {
    const chain = shop()
    const placeBefore = before(chain.services)
    const slotsBefore = await offer(chain.clock, (n) => placeBefore(order(n)))

    const parted = shop()
    const transport = memoryTransport({ clock: parted.clock })
    const { fraud, placeOrder } = after(parted.services, transport)
    await fraud.start()
    const slotsAfter = await offer(parted.clock, (n) => placeOrder(order(n)))
    // Ten at a time: the fraud check takes its own time, and nobody waits for it.
    while (parted.heldBack.length < 2) await parted.clock.advance(100)

    // Little's law: 20 orders a second, 1,000 ms and 50 ms. The guide names these numbers.
    expect([slotsBefore, slotsAfter]).toEqual([20, 1])
    expect(parted.heldBack.sort()).toEqual(['o-0', 'o-50'])
    const closing = fraud.close()
    await parted.clock.advance(1_000)
    await closing
  })
})
