// A consumer whose handler inserts a row: with the inbox, or in a transaction of its own.
import { setImmediate as turn } from 'node:timers/promises'
import { memoryTransport } from 'fairlead/memory'
import { type Channel, createConsumer, createPublisher, queue } from 'fairlead/messaging'
import { pgDriver, postgresStore } from 'fairlead/postgres'
import pg from 'pg'
import { answering } from '../answering.ts'
import { type Passing, passing } from '../messaging/passing.ts'

interface Ask {
  readonly messages: number
  readonly textLength: number
}

/** What came of it. */
export interface InboxAnswer {
  readonly perSecond: number
  /** CPU time of this process for each message; that of the database is not in it. */
  readonly cpuUs: number
}

interface Order {
  readonly orderId: string
  readonly text: string
}

const CONCURRENCY = 32
const PUBLISHED_AT_ONCE = 500

const [, , name = '', connectionString = ''] = process.argv
const pool = new pg.Pool({ connectionString, max: CONCURRENCY, idleTimeoutMillis: 0 })
const now = (): number => Number(process.hrtime.bigint()) / 1e6
const business = 'insert into orders (id, quantity, note) values ($1, $2, $3)'
const valuesOf = ({ orderId }: Order): unknown[] => [orderId, 1, 'leave it at the door']

const Orders: Channel<{ 'order.placed': Passing<Order> }> = queue('orders', { 'order.placed': passing<Order>() })

async function byHand(order: Order): Promise<void> {
  const client = await pool.connect()
  try {
    await client.query('begin')
    await client.query(business, valuesOf(order))
    await client.query('commit')
    client.release()
  } catch (error) {
    client.release(true)
    throw error
  }
}

const store = postgresStore(pgDriver(pool))
let run = 0

answering<Ask, InboxAnswer>(async ({ messages, textLength }) => {
  run++
  const text = 'x'.repeat(textLength)
  const transport = memoryTransport()
  const publisher = createPublisher({ transport, source: '/bench' })
  // All of them wait already: what is measured is the consumer.
  for (let at = 0; at < messages; at += PUBLISHED_AT_ONCE)
    await publisher.publish(
      Orders,
      Array.from({ length: Math.min(PUBLISHED_AT_ONCE, messages - at) }, (_, next) => ({
        type: 'order.placed' as const,
        data: { orderId: `${name} ${run} ${at + next}`, text },
      })),
    )
  let handled = 0
  const shared = { transport, channel: Orders, concurrency: CONCURRENCY, prefetch: 2 * CONCURRENCY }
  const consumer =
    name === 'without an inbox'
      ? createConsumer({
          ...shared,
          handlers: {
            'order.placed': async ({ data }) => {
              await byHand(data)
              handled++
            },
          },
        })
      : createConsumer({
          ...shared,
          inbox: store,
          handlers: {
            'order.placed': async ({ data }, { tx }) => {
              await tx.query(business, valuesOf(data))
              handled++
            },
          },
        })
  const began = now()
  const used = process.cpuUsage()
  await consumer.start()
  while (handled < messages || consumer.health().held > 0) await turn()
  const ms = now() - began
  const { user, system } = process.cpuUsage(used)
  await consumer.close()
  await publisher.close?.()
  await transport.close()
  if (handled !== messages) throw new Error(`${name}: handled ${handled} of ${messages}`)
  return { perSecond: (messages * 1_000) / ms, cpuUs: (user + system) / messages }
})
