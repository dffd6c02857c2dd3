// Messages within one process, from the object that is published to the end of its handler: a bare loop, or the memory transport with the whole consumer.
import { EventEmitter } from 'node:events'
import { setImmediate as turn } from 'node:timers/promises'
import { createContext, deadlineIn, type Envelope, systemClock } from 'fairlead/core'
import { memoryTransport } from 'fairlead/memory'
import { type Channel, createConsumer, createPublisher, queue } from 'fairlead/messaging'
import { z } from 'zod'
import { answering } from '../answering.ts'
import { type Passing, passing } from './passing.ts'

/** A question: for about how long, with so many handlers at once. */
interface Ask {
  readonly ms: number
  readonly concurrency: number
  /** What the handler waits for: nothing, or one turn of the event loop, as it does for any I/O. */
  readonly handler: Work
}

type Work = 'at once' | 'a turn'

interface Answer {
  readonly rate: number
  readonly cpuUs: number
}

interface Order {
  readonly orderId: string
  readonly sku: string
  readonly quantity: number
  readonly note: string
}

interface Placed {
  readonly type: 'order.placed'
  readonly data: Order
}

type Run = (
  messages: readonly Placed[],
  concurrency: number,
  handle: (order: Order) => Promise<void>,
  done: () => Promise<void>,
) => Promise<void>

// How many a publisher gives at a time.
const LIST = 100
const most = 100_000
const all: readonly Placed[] = Array.from({ length: most }, (_, at) => ({
  type: 'order.placed',
  data: { orderId: `order-${at}`, sku: `A-${at % 97}`, quantity: (at % 9) + 1, note: 'leave it at the door, please' },
}))

const schema = z.object({ orderId: z.string(), sku: z.string(), quantity: z.number().int(), note: z.string() })

// Workers that take from an array what an emitter has put there. One that finds nothing waits to be woken.
const bare: Run = async (messages, concurrency, handle) => {
  const emitter = new EventEmitter()
  const waiting: Order[] = []
  const idle: (() => void)[] = []
  let head = 0
  let ended = false
  emitter.on('message', ({ data }: Placed) => {
    waiting.push(data)
    idle.pop()?.()
  })
  const worker = async (): Promise<void> => {
    for (;;) {
      while (head < waiting.length) {
        const order = waiting[head++] as Order
        // An array that is only appended to would grow for ever; `shift()` is slow on a long one.
        if (head === 1_024) {
          waiting.splice(0, head)
          head = 0
        }
        await handle(order)
      }
      if (ended) return
      await new Promise<void>((resolve) => idle.push(resolve))
    }
  }
  const workers = Array.from({ length: concurrency }, worker)
  for (let at = 0; at < messages.length; at += LIST) {
    for (let next = at; next < Math.min(at + LIST, messages.length); next++) emitter.emit('message', messages[next])
    // As whoever awaits a publisher does: the workers have their turn.
    await Promise.resolve()
  }
  ended = true
  for (const wake of idle.splice(0)) wake()
  await Promise.all(workers)
}

type Publish = (messages: readonly Placed[]) => Promise<void>
type Orders = Channel<{ 'order.placed': Passing<Order> }>

function through(
  orders: Orders,
  publishing: (transport: ReturnType<typeof memoryTransport>, orders: Orders) => Publish,
): Run {
  return async (messages, concurrency, handle, done) => {
    const transport = memoryTransport()
    const consumer = createConsumer({
      transport,
      channel: orders,
      concurrency,
      handlers: { 'order.placed': ({ data }) => handle(data) },
    })
    await consumer.start()
    await publishing(transport, orders)(messages)
    await done()
    // Until the last one is acknowledged.
    while (consumer.health().held > 0) await turn()
    await consumer.close()
    await transport.close()
  }
}

const published = (transport: ReturnType<typeof memoryTransport>, orders: Orders): Publish => {
  const publisher = createPublisher({ transport, source: '/bench' })
  return async (messages) => {
    for (let at = 0; at < messages.length; at += LIST) await publisher.publish(orders, messages.slice(at, at + LIST))
  }
}

// Made beforehand, by the same publisher: what is left is the transport and the consumer.
async function makeEnvelopes(orders: Orders): Promise<Envelope[]> {
  const envelopes: Envelope[] = []
  const transport = memoryTransport()
  const receiver = await transport.receive({ channel: orders }, ({ envelope }) => void envelopes.push(envelope))
  receiver.request(most)
  await published(transport, orders)(all)
  while (envelopes.length < most) await turn()
  await transport.close()
  return envelopes
}

const readyMade =
  (envelopes: readonly Envelope[]) =>
  (transport: ReturnType<typeof memoryTransport>, orders: Orders): Publish => {
    return async ({ length }) => {
      for (let at = 0; at < length; at += LIST) {
        const { context } = createContext({
          service: 'bench',
          operation: 'send',
          idempotent: true,
          deadline: deadlineIn(60_000, systemClock),
        })
        await transport.send(orders, envelopes.slice(at, Math.min(at + LIST, length)), context)
      }
    }
  }

const plain: Orders = queue('orders', { 'order.placed': passing<Order>() })
const checked = queue('orders', { 'order.placed': schema }) as unknown as Orders

const candidates: Readonly<Record<string, () => Run | Promise<Run>>> = {
  'bare loop': () => bare,
  'A/A control': () => bare,
  published: () => through(plain, published),
  'published, zod': () => through(checked, published),
  'ready-made': async () => through(plain, readyMade(await makeEnvelopes(plain))),
  'ready-made, zod': async () => through(checked, readyMade(await makeEnvelopes(checked))),
}

const run = await candidates[process.argv[2] ?? '']?.()
if (run === undefined) throw new Error(`no candidate ${process.argv[2]}`)

let left = 0
let onDone: (() => void) | undefined
function handled({ quantity }: Order): void {
  if (quantity > 0 && --left === 0) onDone?.()
}
const handlers: Readonly<Record<Work, (order: Order) => Promise<void>>> = {
  'at once': async (order) => handled(order),
  'a turn': async (order) => {
    await turn()
    handled(order)
  },
}

async function measure(count: number, times: number, { concurrency, handler }: Ask): Promise<Answer> {
  const messages = all.slice(0, count)
  const used = process.cpuUsage()
  const began = process.hrtime.bigint()
  for (let time = 0; time < times; time++) {
    left = count
    const done = new Promise<void>((resolve) => {
      onDone = resolve
    })
    await (run as Run)(messages, concurrency, handlers[handler], () => done)
    if (left !== 0) throw new Error(`${left} of ${count} were not handled`)
  }
  const seconds = Number(process.hrtime.bigint() - began) / 1e9
  const { user, system } = process.cpuUsage(used)
  return { rate: (count * times) / seconds, cpuUs: (user + system) / (count * times) }
}

// As many as fit into the time: candidates that differ in speed should have the machine for the same time, or a busy one favours the quick.
answering<Ask, Answer>(async (ask) => {
  const { cpuUs } = await measure(2_000, 1, ask)
  const wanted = (ask.ms * 1_000) / cpuUs
  const count = Math.min(most, Math.max(LIST, Math.round(wanted)))
  return await measure(count, Math.max(1, Math.round(wanted / count)), ask)
})
