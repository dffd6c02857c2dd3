// From just before a transaction begins to the handler of its message, in one process at a steady rate: outbox and relay, or a NOTIFY by hand.
import { randomUUID } from 'node:crypto'
import { setTimeout as wait } from 'node:timers/promises'
import { type Channel, createOutbox, createRelay, queue } from 'fairlead/messaging'
import { pgDriver, postgresStore } from 'fairlead/postgres'
import pg from 'pg'
import { answering } from '../answering.ts'
import { type Passing, passing } from '../messaging/passing.ts'
import { acceptingTransport } from './accepting.ts'

interface Ask {
  readonly messages: number
  readonly perSecond: number
  readonly textLength: number
}

/** What came of it. */
export interface LatencyAnswer {
  /** Milliseconds, one for each message. */
  readonly latenciesMs: readonly number[]
}

interface Order {
  readonly orderId: string
  readonly sentAt: number
  readonly text: string
}

interface Candidate {
  commit(order: Order): Promise<void>
  /** Begins to take; what it answers stops that. */
  take(handle: (order: Order) => void): Promise<() => Promise<void>>
}

const [, , name = '', connectionString = ''] = process.argv
const pool = new pg.Pool({ connectionString, idleTimeoutMillis: 0 })
const now = (): number => Number(process.hrtime.bigint()) / 1e6
const business = 'insert into orders (id, quantity, note) values ($1, $2, $3)'
const decoder = new TextDecoder()
const orderOf = (body: Uint8Array): Order => JSON.parse(decoder.decode(body)) as Order

function fairlead(): Candidate {
  const store = postgresStore(pgDriver(pool))
  const outbox = createOutbox(store)
  const Orders: Channel<{ 'order.placed': Passing<Order> }> = queue('orders', { 'order.placed': passing<Order>() })
  return {
    commit: (data) =>
      store.transaction(async (tx) => {
        await tx.query(business, [data.orderId, 1, 'leave it at the door'])
        await outbox.publish(tx, Orders, { type: 'order.placed', key: data.orderId, data })
      }),
    async take(handle) {
      const transport = acceptingTransport((envelopes) => {
        for (const { body } of envelopes) handle(orderOf(body))
      })
      const relay = createRelay({ outbox, transport })
      await relay.start()
      return async () => {
        await relay.close()
        const { lastError } = relay.health()
        if (lastError !== undefined) throw lastError
      }
    },
  }
}

// A connection that listens, and on each notification takes what there is in one statement that commits. One that comes meanwhile makes it look once more.
function byHand(): Candidate {
  return {
    async commit(order) {
      const client = await pool.connect()
      try {
        await client.query('begin')
        await client.query(business, [order.orderId, 1, 'leave it at the door'])
        const head = JSON.stringify({
          a: {
            specversion: '1.0',
            source: '/outbox',
            type: 'order.placed',
            time: new Date().toISOString(),
            datacontenttype: 'application/json',
          },
        })
        await client.query(
          'insert into fairlead.outbox (part, digest, channel, id, key, head, body) values ($1, $2, $3, $4, $5, $6, $7)',
          [1, 1, 'queue:orders', randomUUID(), order.orderId, head, Buffer.from(JSON.stringify(order))],
        )
        await client.query("select pg_notify('by_hand', '')")
        await client.query('commit')
        client.release()
      } catch (error) {
        client.release(true)
        throw error
      }
    },
    async take(handle) {
      const client = new pg.Client({ connectionString })
      await client.connect()
      let looking: Promise<void> | undefined
      let again = false
      const look = async (): Promise<void> => {
        while (again) {
          again = false
          const { rows } = await client.query<{ body: Buffer }>(
            `delete from fairlead.outbox where seq = any(array(select seq from fairlead.outbox order by seq limit 500))
            returning seq, channel, id, key, head, body`,
          )
          for (const { body } of rows) handle(orderOf(body))
        }
        looking = undefined
      }
      client.on('notification', () => {
        again = true
        looking ??= look()
      })
      await client.query('listen by_hand')
      return async () => {
        client.removeAllListeners('notification')
        await looking
        await client.end()
      }
    },
  }
}

const candidates: Readonly<Record<string, () => Candidate>> = { fairlead, 'NOTIFY by hand': byHand }
const made = candidates[name]?.()
if (made === undefined) throw new Error(`no candidate ${name}`)

let run = 0

answering<Ask, LatencyAnswer>(async ({ messages, perSecond, textLength }) => {
  const text = 'x'.repeat(textLength)
  const latenciesMs: number[] = []
  const stop = await made.take(({ sentAt }) => {
    latenciesMs.push(now() - sentAt)
  })
  // Let it come to rest.
  await wait(300)
  run++
  const commits: Promise<void>[] = []
  let at = now()
  for (let sent = 0; sent < messages; sent++) {
    // A steady rate, whatever the commits take, but not in step with anybody's timers.
    at += (1_000 / perSecond) * (0.5 + Math.random())
    const early = at - now()
    if (early > 0) await wait(early)
    commits.push(made.commit({ orderId: `${name} ${run} ${sent}`, sentAt: now(), text }))
  }
  await Promise.all(commits)
  for (let tries = 0; latenciesMs.length < messages && tries < 2_500; tries++) await wait(2)
  await stop()
  if (latenciesMs.length !== messages) throw new Error(`${name}: ${latenciesMs.length} of ${messages} came`)
  return { latenciesMs }
})
