// A business transaction of two inserts, over and over, by so many writers at once: with the outbox, or by hand.
import { randomUUID } from 'node:crypto'
import { type Channel, createOutbox, queue } from 'fairlead/messaging'
import { pgDriver, postgresStore } from 'fairlead/postgres'
import pg from 'pg'
import { answering } from '../answering.ts'
import { type Passing, passing } from '../messaging/passing.ts'

interface Ask {
  readonly transactions: number
  readonly writers: number
  readonly keys: number
  readonly textLength: number
}

/** What came of it. */
export interface AppendAnswer {
  readonly perSecond: number
  /** CPU time of this process for each transaction; that of the database is not in it. */
  readonly cpuUs: number
}

interface Order {
  readonly orderId: string
  readonly sentAt: number
  readonly text: string
}

/** What a transaction writes: the order, and the message of its key. */
interface Unit {
  readonly id: string
  readonly key: string
  readonly data: Order
}

const CONNECTIONS = 32
const [, , name = '', connectionString = ''] = process.argv
const pool = new pg.Pool({ connectionString, max: CONNECTIONS, idleTimeoutMillis: 0 })
const now = (): number => Number(process.hrtime.bigint()) / 1e6
const business = 'insert into orders (id, quantity, note) values ($1, $2, $3)'

type Write = (unit: Unit) => Promise<void>

function published(): Write {
  const store = postgresStore(pgDriver(pool))
  const outbox = createOutbox(store)
  const Orders: Channel<{ 'order.placed': Passing<Order> }> = queue('orders', { 'order.placed': passing<Order>() })
  return ({ id, key, data }) =>
    store.transaction(async (tx) => {
      await tx.query(business, [id, 1, 'leave it at the door'])
      await outbox.publish(tx, Orders, { type: 'order.placed', key, data })
    })
}

// What the row of the outbox has, made as anybody would make it.
const headOf = (): string =>
  JSON.stringify({
    a: {
      specversion: '1.0',
      source: '/outbox',
      type: 'order.placed',
      time: new Date().toISOString(),
      datacontenttype: 'application/json',
    },
  })

function byHand(append: (unit: Unit) => readonly [text: string, values: unknown[]]): Write {
  return async (unit) => {
    const client = await pool.connect()
    try {
      await client.query('begin')
      await client.query(business, [unit.id, 1, 'leave it at the door'])
      await client.query(...(append(unit) as [string, unknown[]]))
      await client.query('commit')
      client.release()
    } catch (error) {
      client.release(true)
      throw error
    }
  }
}

const candidates: Readonly<Record<string, () => Write>> = {
  fairlead: published,
  // An equal row. Its digest is a number that says nothing: to work it out is part of what the outbox costs.
  'by hand': () => {
    let digest = 0
    return byHand(({ key, data }) => [
      'insert into fairlead.outbox (part, digest, channel, id, key, head, body) values ($1, $2, $3, $4, $5, $6, $7)',
      [
        ++digest & 63,
        1_234_567_890_123 + digest,
        'queue:orders',
        randomUUID(),
        key,
        headOf(),
        Buffer.from(JSON.stringify(data)),
      ],
    ])
  },
  'by hand, with the lock': () =>
    byHand(({ key, data }) => [
      'select fairlead.outbox_append_one($1, $2, $3, $4, $5)',
      ['queue:orders', randomUUID(), key, headOf(), Buffer.from(JSON.stringify(data))],
    ]),
}

const write = candidates[name]?.()
if (write === undefined) throw new Error(`no candidate ${name}`)

let units = 0

answering<Ask, AppendAnswer>(async ({ transactions, writers, keys, textLength }) => {
  const text = 'x'.repeat(textLength)
  let next = 0
  const began = now()
  const used = process.cpuUsage()
  const writer = async (): Promise<void> => {
    while (next < transactions) {
      next++
      const orderId = `order-${++units}`
      await write({
        id: `${name} ${orderId}`,
        key: `key-${Math.floor(Math.random() * keys)}`,
        data: { orderId, sentAt: began, text },
      })
    }
  }
  await Promise.all(Array.from({ length: writers }, writer))
  const ms = now() - began
  const { user, system } = process.cpuUsage(used)
  return { perSecond: (transactions * 1_000) / ms, cpuUs: (user + system) / transactions }
})
