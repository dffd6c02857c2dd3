// One queue on PostgreSQL, in a process of its own and on a database of its own: puts messages in, takes them out, says how fast.
import { setImmediate as turn, setTimeout as wait } from 'node:timers/promises'
import { createConsumer, createPublisher, queue } from 'fairlead/messaging'
import { migrate, type PostgresTransportOptions, pgDriver, postgresTransport } from 'fairlead/postgres'
import pg from 'pg'
import { answering } from '../answering.ts'
import { passing } from './passing.ts'

/** What is asked of a queue. `send` goes at a steady rate, one message at a time, while another process, or this one, does `take`. */
type Ask =
  | { readonly ask: 'fill'; readonly messages: number }
  | { readonly ask: 'drain'; readonly messages: number }
  | { readonly ask: 'take' }
  | { readonly ask: 'send'; readonly perSecond: number; readonly messages: number }
  | { readonly ask: 'taken'; readonly messages: number }

interface Answer {
  /** Of `fill` and `drain`. */
  readonly perSecond?: number
  /** CPU time of this process for each message, of `drain`. */
  readonly cpuUs?: number
  /** Of `taken`: milliseconds from just before the send to the handler. */
  readonly latenciesMs?: readonly number[]
}

/** Of all processes of the machine: `process.hrtime` counts from its start. */
const now = (): number => Number(process.hrtime.bigint()) / 1e6

interface Order {
  readonly orderId: string
  readonly sentAt: number
  readonly text: string
}

// As JSON about 1 KiB.
const text = 'x'.repeat(950)
const order = (at: number): Order => ({ orderId: `order-${at}`, sentAt: now(), text })

interface Queue {
  /** Puts in a list, by the quickest way there is. */
  fill(orders: readonly Order[]): Promise<void>
  send(order: Order): Promise<void>
  /** Begins to take; resolves once it does. The answer stops it, with all that was handled completed. */
  take(handle: (order: Order) => Promise<void>): Promise<() => Promise<void>>
  /** How many are left. */
  left(): Promise<number>
}

const CONCURRENCY = 24
const CONNECTIONS = CONCURRENCY + 1
// How many are taken from the database at a time: what graphile-worker's guide to performance has as the size of its local queue.
const AHEAD = 500

const [, , name = '', connectionString = '', role = ''] = process.argv
const pool = new pg.Pool({ connectionString, max: CONNECTIONS })
const count = async (sql: string): Promise<number> => Number((await pool.query<{ n: string }>(sql)).rows[0]?.n)

async function fairlead(options: PostgresTransportOptions): Promise<Queue> {
  const Orders = queue('orders', { 'order.placed': passing<Order>() })
  const driver = pgDriver(pool)
  const transport = postgresTransport(driver, options)
  if (role === 'first') {
    await migrate(driver)
    await transport.prepare([Orders], 'create')
  }
  const publisher = createPublisher({ transport, source: '/bench', deadlineMs: 60_000 })
  const message = (data: Order) => ({ type: 'order.placed' as const, data })
  return {
    async fill(orders) {
      await publisher.publish(Orders, orders.map(message))
    },
    async send(data) {
      await publisher.publish(Orders, message(data))
    },
    async take(handle) {
      const consumer = createConsumer({
        transport,
        channel: Orders,
        concurrency: CONCURRENCY,
        prefetch: AHEAD,
        handlers: { 'order.placed': ({ data }) => handle(data) },
      })
      await consumer.start()
      return () => consumer.close()
    },
    async left() {
      return (await transport.inspect?.({ channel: Orders }))?.waiting ?? Number.NaN
    },
  }
}

// graphile-worker asks for them.
pool.on('error', (error) => console.error(error))
pool.on('connect', (client) => client.on('error', (error) => console.error(error)))

// They are installed for the bench only, and have no types here.
const peer = (module: string): Promise<any> => import(module)

// https://worker.graphile.org/docs/performance: the settings of its "quick stats".
async function graphile(fast: boolean): Promise<Queue> {
  const { run, makeWorkerUtils, Logger } = await peer('graphile-worker')
  const logger = new Logger(() => () => {})
  const preset = {
    worker: {
      connectionString,
      concurrentJobs: CONCURRENCY,
      maxPoolSize: CONNECTIONS,
      ...(fast ? { localQueue: { size: AHEAD }, completeJobBatchDelay: 0, failJobBatchDelay: 0 } : {}),
    },
  }
  const utils = await makeWorkerUtils({ pgPool: pool, logger })
  if (role === 'first') await utils.migrate()
  return {
    async fill(orders) {
      await utils.addJobs(orders.map((payload) => ({ identifier: 'order', payload })))
    },
    async send(payload) {
      await utils.addJob('order', payload)
    },
    async take(handle) {
      const runner = await run({
        preset,
        logger,
        noHandleSignals: true,
        parsedCronItems: [],
        taskList: { order: handle },
      })
      return () => runner.stop()
    },
    left: () => count('select count(*) n from graphile_worker._private_jobs'),
  }
}

// docs/api/workers.md of pg-boss: LISTEN/NOTIFY for latency, `burstWhenBatchFull` for a backlog. `fetch` and `complete` in a loop are the same without its worker.
async function pgBoss(how: 'work' | 'fetch'): Promise<Queue> {
  const { PgBoss } = await peer('pg-boss')
  const boss = new PgBoss({
    connectionString,
    max: CONNECTIONS,
    useListenNotify: true,
    schedule: false,
    migrate: role === 'first',
  })
  boss.on('error', (error: Error) => console.error(error))
  await boss.start()
  if (role === 'first') await boss.createQueue('orders', { notify: true })
  type Job = { readonly id: string; readonly data: Order }
  const handleAll = async (jobs: readonly Job[], handle: (order: Order) => Promise<void>): Promise<void> => {
    let next = 0
    const worker = async (): Promise<void> => {
      while (next < jobs.length) await handle((jobs[next++] as Job).data)
    }
    await Promise.all(Array.from({ length: CONCURRENCY }, worker))
  }
  return {
    async fill(orders) {
      await boss.insert(
        'orders',
        orders.map((data) => ({ data })),
      )
    },
    async send(data) {
      await boss.send('orders', data)
    },
    async take(handle) {
      if (how === 'work') {
        const options = { batchSize: AHEAD, localConcurrency: 2, burstWhenBatchFull: true, pollingIntervalSeconds: 0.5 }
        await boss.work('orders', options, (jobs: readonly Job[]) => handleAll(jobs, handle))
        return () => boss.offWork('orders', { wait: true })
      }
      let on = true
      const loop = async (): Promise<void> => {
        while (on) {
          const jobs: readonly Job[] = await boss.fetch('orders', { batchSize: AHEAD })
          await handleAll(jobs, handle)
          if (jobs.length > 0)
            await boss.complete(
              'orders',
              jobs.map(({ id }) => id),
            )
        }
      }
      const loops = [loop(), loop()]
      return async () => {
        on = false
        await Promise.all(loops)
      }
    },
    left: () => count(`select count(*) n from pgboss.job where state < 'completed'`),
  }
}

const candidates: Readonly<Record<string, () => Promise<Queue>>> = {
  fairlead: () => fairlead({}),
  'fairlead, durable settles': () => fairlead({ durableSettles: true }),
  'graphile-worker': () => graphile(true),
  'graphile-worker, defaults': () => graphile(false),
  'pg-boss': () => pgBoss('work'),
  'pg-boss, fetch': () => pgBoss('fetch'),
}

const made = await candidates[name]?.()
if (made === undefined) throw new Error(`no candidate ${name}`)
const { fill, send, take, left } = made

async function filled(messages: number): Promise<number> {
  const began = now()
  for (let at = 0; at < messages; at += 1_000)
    await fill(Array.from({ length: Math.min(1_000, messages - at) }, (_, next) => order(at + next)))
  const perSecond = (messages * 1_000) / (now() - began)
  // What the writing has left to be done should not fall into another's time.
  await pool.query('vacuum analyze')
  await pool.query('checkpoint')
  return perSecond
}

// From the first call of the handler to the last: starting up is not what is compared.
async function drained(messages: number): Promise<Answer> {
  let handled = 0
  let first = 0
  let last = 0
  const used = process.cpuUsage()
  const stop = await take(async () => {
    if (handled === 0) first = now()
    if (++handled === messages) last = now()
  })
  while (handled < messages) await wait(2)
  await stop()
  const rest = await left()
  if (handled !== messages || rest !== 0)
    throw new Error(`${name}: handled ${handled} of ${messages}, ${rest} are left`)
  const { user, system } = process.cpuUsage(used)
  return { perSecond: (messages * 1_000) / (last - first), cpuUs: (user + system) / messages }
}

async function sent(messages: number, perSecond: number): Promise<void> {
  const every = 1_000 / perSecond
  for (let at = 0; at < messages; at++) {
    // Not in step with anybody's poll.
    await wait(every * (0.5 + Math.random()))
    await send(order(at))
  }
}

let latencies: number[] = []
let stopTaking: (() => Promise<void>) | undefined

answering<Ask, Answer>(async (question) => {
  switch (question.ask) {
    case 'fill':
      return { perSecond: await filled(question.messages) }
    case 'drain':
      return await drained(question.messages)
    case 'take':
      latencies = []
      stopTaking = await take(async ({ sentAt }) => {
        latencies.push(now() - sentAt)
      })
      // Let it come to rest.
      await wait(300)
      return {}
    case 'send':
      await sent(question.messages, question.perSecond)
      return {}
    case 'taken':
      for (let tries = 0; latencies.length < question.messages && tries < 2_500; tries++) await wait(2)
      if (latencies.length !== question.messages)
        throw new Error(`${name}: ${latencies.length} of ${question.messages} came`)
      await stopTaking?.()
      await turn()
      return { latenciesMs: latencies }
  }
})
