// The inbox of consumers and the answers of server adapters, on PostgreSQL itself.
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'
import type { Pool } from 'pg'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { z } from 'zod'
import { pgDriver, postgresStore, postgresTransport } from '../../../src/adapters/postgres/index.ts'
import type { PipelineEvent } from '../../../src/core/events.ts'
import { createConsumer, createPublisher, queue } from '../../../src/messaging/index.ts'
import { createServerAdapter, defineContract } from '../../../src/rpi/index.ts'
import { server } from '../../services/servers.ts'
import { dropSchema, freshSchema, poolOf } from './ground.ts'

const script = fileURLToPath(new URL('inbox-process.ts', import.meta.url))
const wait = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms))

const schema = freshSchema('inbox')
const quoted = `"${schema}"`
let pool: Pool
let channels = 0

beforeAll(async () => {
  // Deadlocks are looked for at once: by default a second goes by.
  pool = poolOf('postgres', { max: 20, options: '-c deadlock_timeout=20ms' })
  await postgresStore(pgDriver(pool), { schema }).migrate()
  await pool.query(`create table ${quoted}.effect (id text not null, n int not null)`)
  await pool.query(`create table ${quoted}.account (name text primary key, sum int not null)`)
})
afterAll(async () => {
  await dropSchema(pool, schema)
  await pool.end()
})

const rows = async (sql: string, params: unknown[] = []): Promise<any[]> => (await pool.query(sql, params)).rows

async function until(what: () => Promise<boolean>, ms = 20_000): Promise<void> {
  const end = Date.now() + ms
  while (!(await what())) {
    if (Date.now() > end) throw new Error('it took too long')
    await wait(20)
  }
}

// A queue of its own, and the means to work on it.
const ground = () => {
  const driver = pgDriver(pool)
  return {
    Jobs: queue(`jobs-${++channels}`, { job: z.object({ n: z.number() }) }),
    store: postgresStore(driver, { schema }),
    transport: postgresTransport(driver, { schema }),
    events: [] as PipelineEvent[],
  }
}

describe('consumers with an inbox', () => {
  it('a duplicate that comes meanwhile waits, and is none the wiser: one effect', async () => {
    const { Jobs, store, transport, events } = ground()
    let handled = 0
    const consumer = createConsumer({
      transport,
      channel: Jobs,
      inbox: store,
      redriveWithinMs: 0,
      random: () => 0,
      onEvent: (event) => void events.push(event),
      handlers: {
        job: async ({ id, data }, { tx }) => {
          handled++
          await tx.query(`insert into ${quoted}.effect values ($1, $2)`, [id, data.n])
          // Until the duplicate has met it.
          await until(async () => events.some((event) => event.type === 'message-retried'))
        },
      },
    })
    await consumer.start()
    const publisher = createPublisher({ transport, source: '/test' })
    const message = { type: 'job' as const, data: { n: 1 }, id: `dup ${channels}` }
    await publisher.publish(Jobs, message)
    await publisher.publish(Jobs, message)
    const ended = (): readonly string[] =>
      events.flatMap((event) => (event.type === 'message-handled' ? [event.outcome] : []))
    await until(async () => ended().length === 2)
    expect(ended()).toEqual(['ack', 'duplicate'])
    expect(handled).toBe(1)
    expect(await rows(`select n from ${quoted}.effect where id = $1`, [message.id])).toEqual([{ n: 1 }])
    expect(events.some((event) => event.type === 'message-retried' && event.reason.startsWith('IN_PROGRESS'))).toBe(
      true,
    )
    await consumer.close()
    await transport.close()
  })

  it('handlers that deadlock one another are run again, and lose nothing', async () => {
    const { Jobs, store, transport, events } = ground()
    const names = ['a', 'b']
    const firsts = new Set<string>()
    let both: () => void = () => undefined
    const met = new Promise<void>((resolve) => {
      both = resolve
    })
    await pool.query(`insert into ${quoted}.account values ('a', 0), ('b', 0)`)
    const consumer = createConsumer({
      transport,
      channel: Jobs,
      inbox: store,
      redriveWithinMs: 0,
      concurrency: 8,
      throttle: false,
      onEvent: (event) => void events.push(event),
      handlers: {
        job: async ({ data }, { tx }) => {
          const order = data.n % 2 === 0 ? names : [...names].reverse()
          for (const name of order) {
            await tx.query(`update ${quoted}.account set sum = sum + 1 where name = $1`, [name])
            // The first two of opposite order have one each before either wants the other.
            if (firsts.add(name).size === 2) both()
            await met
          }
        },
      },
    })
    await consumer.start()
    const publisher = createPublisher({ transport, source: '/test' })
    await publisher.publish(
      Jobs,
      Array.from({ length: 8 }, (_, n) => ({ type: 'job' as const, data: { n } })),
    )
    await until(async () => events.filter((event) => event.type === 'message-handled').length === 8)
    expect(await rows(`select sum from ${quoted}.account order by name`)).toEqual([{ sum: 8 }, { sum: 8 }])
    const again = events.flatMap((event) => (event.type === 'message-retried' ? [event.reason] : []))
    expect(again.filter((reason) => reason.startsWith('TRANSACTION_CONFLICT')).length).toBeGreaterThan(0)
    await consumer.close()
    await transport.close()
  })

  it('a handler that does not heed its end writes into no transaction but its own, which is undone', async () => {
    const { Jobs, store, transport, events } = ground()
    let calls = 0
    const consumer = createConsumer({
      transport,
      channel: Jobs,
      inbox: store,
      redriveWithinMs: 0,
      handlerTimeoutMs: 2_000,
      throttle: false,
      random: () => 0,
      retries: { immediate: 0, delayedMs: [50, 50, 50] },
      onEvent: (event) => void events.push(event),
      handlers: {
        job: async ({ id }, { tx }) => {
          const call = ++calls
          await tx.query(`insert into ${quoted}.effect values ($1, $2)`, [id, call])
          if (call > 1) return
          // It goes on after it was given up.
          await until(async () => events.some((event) => event.type === 'handler-abandoned'))
          await tx.query(`insert into ${quoted}.effect values ($1, $2)`, [id, call])
        },
      },
    })
    await consumer.start()
    const message = { type: 'job' as const, data: { n: 1 }, id: `left ${channels}` }
    await createPublisher({ transport, source: '/test' }).publish(Jobs, message)
    await until(async () => events.some((event) => event.type === 'message-handled' && event.outcome === 'ack'))
    expect(events.some((event) => event.type === 'handler-abandoned')).toBe(true)
    expect(await rows(`select n from ${quoted}.effect where id = $1`, [message.id])).toEqual([{ n: calls }])
    expect(calls).toBeGreaterThan(1)
    expect(consumer.health().abandoned).toBe(0)
    await consumer.close()
    await transport.close()
  })

  it('a batch is claimed, applied and committed at once', async () => {
    const { Jobs, store, transport } = ground()
    const batches: number[] = []
    const consumer = createConsumer({
      transport,
      channel: Jobs,
      inbox: store,
      redriveWithinMs: 0,
      batch: async (messages, { tx }) => {
        batches.push(messages.length)
        for (const { id, data } of messages)
          await tx.query(`insert into ${quoted}.effect values ($1, $2)`, [id, data.n])
      },
    })
    const publisher = createPublisher({ transport, source: '/test' })
    await transport.prepare([{ kind: 'queue', name: Jobs.name }], 'create')
    const sent = Array.from({ length: 50 }, (_, n) => ({ type: 'job' as const, data: { n }, id: `batch ${n % 40}` }))
    await publisher.publish(Jobs, sent)
    await consumer.start()
    // What is on its way from the database to the consumer neither waits nor is held: the rows themselves say when it is done.
    const effects = () => rows(`select id from ${quoted}.effect where id like 'batch %'`)
    await until(async () => (await effects()).length >= 40)
    await until(async () => (await consumer.lag())?.waiting === 0 && consumer.health().held === 0)
    expect(await effects()).toHaveLength(40)
    expect(batches.reduce((sum, n) => sum + n, 0)).toBe(40)
    await consumer.close()
    await transport.close()
  })

  it('processes that are killed, also between commit and acknowledgement, and messages sent twice: each effect once', async () => {
    const { Jobs, transport } = ground()
    const at = server('postgres')
    const children: ChildProcess[] = []
    const start = (diesAt: number, diesAfterMs: number): ChildProcess => {
      const told = { ...at, schema, channel: Jobs.name, table: `${quoted}.killed`, diesAt, diesAfterMs }
      const child = spawn(process.execPath, ['--import', 'tsx', script, JSON.stringify(told)], {
        stdio: ['pipe', 'pipe', 'inherit'],
      })
      children.push(child)
      return child
    }
    await pool.query(`create table ${quoted}.killed (id text not null, n int not null)`)
    await transport.prepare([{ kind: 'queue', name: Jobs.name }], 'create')
    const publisher = createPublisher({ transport, source: '/test' })
    const sent = Array.from({ length: 150 }, (_, n) => ({ type: 'job' as const, data: { n }, id: `kill ${n}` }))
    await publisher.publish(Jobs, sent)
    await publisher.publish(Jobs, sent)
    // Two that die, one at an acknowledgement and one in mid-handling; then two that finish the work.
    const first = start(20, 0)
    const second = start(0, 150)
    const ends = await Promise.all([once(first, 'exit'), once(second, 'exit')])
    expect(ends.map(([, signal]) => signal)).toEqual(['SIGKILL', 'SIGKILL'])
    const last = [start(0, 0), start(0, 0)]
    await until(async () => {
      const backlog = await transport.inspect?.({ channel: { kind: 'queue', name: Jobs.name } })
      const [{ n }] = await rows(`select count(*)::int as n from ${quoted}.killed`)
      return backlog?.waiting === 0 && n >= 150
    }, 60_000)
    await wait(1_500)
    const applied = await rows(`select n, count(*)::int as times from ${quoted}.killed group by n order by n`)
    expect(applied).toEqual(sent.map(({ data }) => ({ n: data.n, times: 1 })))
    for (const child of last) {
      child.stdin?.write('\n')
      await once(child, 'exit')
    }
    await transport.close()
  }, 90_000)
})

describe('a server adapter that keeps answers', () => {
  const Payments = defineContract('payments', {
    pay: { input: z.object({ amount: z.number() }), output: z.object({ id: z.number() }) },
  })

  it('of requests with one key that come at once, one pays; the others are told to wait, or get its answer', async () => {
    const { store } = ground()
    await pool.query(`create table ${quoted}.payment (id serial, amount int)`)
    const adapter = createServerAdapter(
      Payments,
      {
        pay: async ({ amount }, { tx }) => {
          const paid = await tx.query(`insert into ${quoted}.payment (amount) values ($1) returning id`, [amount])
          await wait(100)
          return { id: (paid.rows[0] as { id: number }).id }
        },
      },
      { idempotency: store },
    )
    const pay = async (): Promise<[number, string]> => {
      const response = await adapter.fetch(
        new Request('http://bank/payments/pay', {
          method: 'POST',
          headers: { 'content-type': 'application/json', 'idempotency-key': 'one' },
          body: '{"amount":5}',
        }),
      )
      return [response.status, await response.text()]
    }
    const answers = await Promise.all([pay(), pay(), pay(), pay()])
    expect(answers.filter(([status]) => status === 200).length).toBeGreaterThanOrEqual(1)
    expect(answers.every(([status]) => status === 200 || status === 409)).toBe(true)
    expect(await pay()).toEqual([200, '{"id":1}'])
    expect(await rows(`select amount from ${quoted}.payment`)).toEqual([{ amount: 5 }])
  })
})
