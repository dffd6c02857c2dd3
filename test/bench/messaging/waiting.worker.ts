// What a million waiting messages weigh in the memory transport, and how many of them a slow consumer has in hand. Run with --expose-gc.
import { setImmediate as turn } from 'node:timers/promises'
import { memoryTransport } from 'fairlead/memory'
import { type Channel, createConsumer, createPublisher, queue } from 'fairlead/messaging'
import { answering } from '../answering.ts'
import { type Passing, passing } from './passing.ts'

interface Ask {
  readonly messages: number
  readonly prefetch: number
}

/** Bytes are for each waiting message. */
interface Answer {
  readonly publishedBytes: number
  readonly bareBytes: number
  readonly residentBytes: number
  /** While a consumer whose handlers do not end is at work. */
  readonly heldMost: number
  readonly leftWaiting: number
  /** After all were handled. */
  readonly afterBytes: number
  readonly seconds: number
}

const { gc } = globalThis
if (gc === undefined) throw new Error('needs --expose-gc')

// Bodies lie outside the heap of JavaScript: both are counted.
function weight(): number {
  for (let i = 0; i < 4; i++) (gc as () => void)()
  const { heapUsed, external } = process.memoryUsage()
  return heapUsed + external
}

interface Order {
  readonly orderId: string
  readonly quantity: number
  readonly note: string
}

const Orders: Channel<{ 'order.placed': Passing<Order> }> = queue('orders', { 'order.placed': passing<Order>() })
// With it the JSON of a message is 100 bytes.
const note = 'x'.repeat(56)
const order = (at: number): Order => ({ orderId: String(1_000_000 + at), quantity: 1, note })

answering<Ask, Answer>(async ({ messages, prefetch }) => {
  if (JSON.stringify(order(7)).length !== 100) throw new Error(`the body has ${JSON.stringify(order(7)).length} bytes`)
  const began = process.hrtime.bigint()
  // The same objects in an array, as text: what the data alone weighs.
  const start = weight()
  const bare: unknown[] = new Array(messages)
  for (let at = 0; at < messages; at++) bare[at] = Buffer.from(JSON.stringify(order(at)))
  const bareBytes = (weight() - start) / messages
  bare.length = 0

  const transport = memoryTransport()
  const publisher = createPublisher({ transport, source: '/bench' })
  const before = weight()
  const resident = process.memoryUsage.rss()
  for (let at = 0; at < messages; at += 100)
    await publisher.publish(
      Orders,
      Array.from({ length: 100 }, (_, next) => ({ type: 'order.placed' as const, data: order(at + next) })),
    )
  const publishedBytes = (weight() - before) / messages
  const residentBytes = (process.memoryUsage.rss() - resident) / messages

  let slow = true
  const release: (() => void)[] = []
  let handled = 0
  const consumer = createConsumer({
    transport,
    channel: Orders,
    concurrency: 10,
    prefetch,
    handlers: {
      'order.placed': async () => {
        if (slow) await new Promise<void>((resolve) => release.push(resolve))
        handled++
      },
    },
  })
  await consumer.start()
  let heldMost = 0
  let leftWaiting = 0
  for (let step = 0; step < 2_000; step++) {
    await turn()
    heldMost = Math.max(heldMost, consumer.health().held)
    leftWaiting = (await consumer.lag())?.waiting ?? Number.NaN
    // One ends now and then, and its place is taken.
    if (step % 10 === 0) release.shift()?.()
  }
  if (leftWaiting + consumer.health().held + handled !== messages) throw new Error('messages were lost')
  slow = false
  for (const end of release.splice(0)) end()
  while (handled < messages || consumer.health().held > 0) await turn()
  const afterBytes = (weight() - before) / messages
  await consumer.close()
  await transport.close()
  const seconds = Number(process.hrtime.bigint() - began) / 1e9
  return { publishedBytes, bareBytes, residentBytes, heldMost, leftWaiting, afterBytes, seconds }
})
