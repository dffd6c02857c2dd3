// What a process asks of PostgreSQL: so many statements for a message, and one, by an index, for a look at what is due, however many are open.
import { memoryTransport } from 'fairlead/memory'
import { createOutbox, createProcessRunner, createPublisher, defineProcess, queue } from 'fairlead/messaging'
import { pgDriver, postgresStore } from 'fairlead/postgres'
import { Client, Pool, type PoolClient } from 'pg'
import { afterAll, afterEach, beforeEach, describe, expect, it } from 'vitest'
import { z } from 'zod'
import { digestOf } from '../../../src/core/digest.ts'
import { at, drain, ownStore } from './own-store.ts'

if (at === undefined) throw new Error('PostgreSQL is not up: test/services/up postgres')
const own = ownStore()

// Says what is sent by the runner, and with which parameters.
const seen: { readonly text: string; readonly values: readonly unknown[] }[] = []
class Told extends Client {
  override query(...args: any[]): any {
    seen.push({ text: String(args[0]?.text ?? args[0]), values: args[0]?.values ?? [] })
    return (super.query as (...all: any[]) => unknown)(...args)
  }
}
const pool = new Pool({ ...at, user: 'postgres', database: 'postgres', max: 4, Client: Told } as never)
const store = postgresStore(pgDriver(pool), { schema: own.name })

// So often another one changes the process while its handler is at work.
const lost = { left: 0 }
const faster = async (orderId: string): Promise<void> => {
  const { states, transaction } = own.store
  await transaction(async (tx) => {
    const found = await states.load(tx, 'process:order', orderId)
    await states.save(tx, 'process:order', orderId, found?.version ?? 0, found?.state, { correlations: 'kept' })
  })
}

const Of = z.object({ orderId: z.string() })
const Orders = queue('orders', { placed: Of, paid: Of, called: Of, packed: Of, cancelled: Of })
const Commands = queue('commands', { pay: Of, pack: Of, call: Of })
const Order = defineProcess('order', { state: Of })
  .using<PoolClient>()
  .step('payment', Commands, 'pay')
  .step('parcel', Commands, 'pack')
  .step('customer', Commands, 'call')
  .onTimeout('patience', (process) => process.complete())
  .starts(Orders, 'placed', {
    id: ({ data }) => data.orderId,
    state: ({ data }) => data,
    handle: ({ data }, process) => {
      process.correlate(`call of ${data.orderId}`)
      process.send('payment', data)
    },
  })
  .on(Orders, 'paid', {
    id: ({ data }) => data.orderId,
    answers: 'payment',
    handle: async ({ data }, process) => {
      if (lost.left > 0 && lost.left-- > 0) await faster(data.orderId)
      process.send('parcel', data)
      process.send('customer', data)
    },
  })
  .on(Orders, 'called', { correlation: ({ data }) => `call of ${data.orderId}`, answers: 'customer' })
  .on(Orders, 'packed', {
    id: ({ data }) => data.orderId,
    answers: 'parcel',
    handle: (_, process) => process.complete(),
  })
  .on(Orders, 'cancelled', {
    id: ({ data }) => data.orderId,
    handle: (_, process) => process.timeout('patience', 0),
  })

const transport = memoryTransport()
const publisher = createPublisher({ transport, source: '/customers' })
const runner = createProcessRunner({
  process: Order,
  store,
  outbox: createOutbox(store),
  transport,
  scanEveryMs: false,
  purgeEveryMs: false,
})
const counted = (): number => runner.stats().handled + runner.stats().dropped

/** What became of a message, in short. */
const asked = async (type: 'placed' | 'paid' | 'called' | 'packed' | 'cancelled', orderId: string, id?: string) => {
  const before = counted()
  seen.length = 0
  await publisher.publish(Orders, { type, key: orderId, data: { orderId }, ...(id === undefined ? {} : { id }) })
  await until(() => counted() > before)
  return seen.map(({ text }) => shortOf(text))
}

const shortOf = (text: string): string =>
  text
    .split(';')
    .map((part) => part.trim())
    .filter((part) => part !== '' && !part.startsWith('set local'))
    .map(
      (part) => /\.(inbox_claim|state_open|state_save|state_correlation|state|outbox_append)/.exec(part)?.[1] ?? part,
    )
    .join('; ')

beforeEach(async () => {
  await runner.start()
})

afterEach(async () => {
  const leases = await own.store.outbox.lease('reader', 60_000)
  await drain(own.store, leases)
  await own.store.outbox.release(leases)
})

afterAll(async () => {
  await runner.close()
  await publisher.close?.()
  await transport.close()
  await pool.end()
})

describe('a message of a process', () => {
  it('takes three statements, however many messages follow', async () => {
    expect(await asked('placed', 'A')).toEqual(['begin; state_open', 'state_save', 'outbox_append; commit'])
    expect(await asked('paid', 'A')).toEqual(['begin; state_open', 'state_save', 'outbox_append; commit'])
    expect(await asked('packed', 'A')).toEqual(['begin; state_open', 'state_save', 'commit'])
    expect(await asked('packed', 'A')).toEqual(['begin; state_open', 'commit'])
  })

  it('takes no more where its process is to be found by a correlation', async () => {
    await asked('placed', 'B')
    await asked('paid', 'B')
    expect(await asked('called', 'B')).toEqual(['begin; state_open', 'state_save', 'commit'])
    expect((await runner.show('B'))?.row.steps).toMatchObject({ customer: { is: 'done' }, parcel: { is: 'open' } })
  })

  it('writes what a process waits for only when that changes', async () => {
    const written = () => own.run('select xmin::text from @.state_correlation where name = $1', [digestOf('D')])
    await asked('placed', 'D')
    const before = await written()
    expect(before).toHaveLength(1)
    await asked('paid', 'D')
    expect(seen.find(({ text }) => text.includes('state_save'))?.values[6]).toBeNull()
    expect(await written()).toEqual(before)
    await asked('packed', 'D')
    expect(await written()).toEqual([])
  })

  it('reads anew when another one was faster', async () => {
    await asked('placed', 'E')
    lost.left = 3
    const statements = await asked('paid', 'E')
    expect(statements.filter((each) => each === 'begin; state_open')).toHaveLength(4)
    const row = (await runner.show('E'))?.row
    expect(row?.steps).toMatchObject({ payment: { is: 'done' }, parcel: { is: 'open' }, customer: { is: 'open' } })
    const sent = await own.run(`select count(*)::int as n from @.outbox where key = 'E'`)
    expect(sent).toEqual([{ n: 3 }])
  })

  it('comes to nothing when it comes again', async () => {
    await asked('placed', 'F', 'once')
    const before = await runner.show('F')
    seen.length = 0
    await publisher.publish(Orders, { type: 'placed', id: 'once', key: 'F', data: { orderId: 'F' } })
    await until(() => seen.length >= 2)
    expect(seen.map(({ text }) => shortOf(text))).toEqual(['begin; state_open', 'commit'])
    expect(await runner.show('F')).toEqual(before)
  })
})

describe('a look at what is due', () => {
  // What one that looks asks of the database, until that has come about.
  const scanned = async (scanEveryMs: number, seenEnough: () => boolean): Promise<void> => {
    const scanning = createProcessRunner({
      process: Order,
      store,
      outbox: createOutbox(store),
      transport,
      scanEveryMs,
      purgeEveryMs: false,
    })
    seen.length = 0
    await scanning.start()
    await until(seenEnough)
    await scanning.close()
  }

  const OPEN = 20_000
  const DUE_AT = 4_000_000_000_000

  it('is one statement that reads one index, however many are open', async () => {
    await own.run(
      `insert into @.state (kind, name, id, version, state, wake_at, done)
      select 'process:order', decode(md5(g.n::text), 'hex'), 'open-' || g.n, 1, '{}', case when g.n <= ${OPEN} then ${DUE_AT} + g.n end, g.n > ${OPEN}
      from generate_series(1, ${2 * OPEN}) g(n)`,
    )
    await own.run('analyze @.state')
    await scanned(20, () => seen.length >= 5)
    const looks = seen.splice(0)
    expect(new Set(looks.map(({ text }) => text)).size).toBe(1)
    const [look] = looks
    expect(look?.text).toMatch(/^select id from .*state where kind = .* and wake_at <= /)
    const [explained] = await own.run(`explain (format json) ${look?.text}`, look?.values)
    const plan = JSON.stringify(explained)
    expect(plan).toContain('"Index Name":"state_wake"')
    expect(plan).not.toContain('Seq Scan')
  })

  it('takes four more for each that is due, and has it woken by a message', async () => {
    await asked('placed', 'C')
    expect(await asked('cancelled', 'C')).toEqual(['begin; state_open', 'state_save', 'commit'])
    // It looks once when it has started.
    await scanned(1_000, () => seen.some(({ text }) => /commit$/.test(text)))
    const statements = seen.map(({ text }) => shortOf(text))
    expect(statements.slice(1, 5)).toEqual(['begin', 'state', 'state_save', 'outbox_append; commit'])
  })
})

async function until(what: () => boolean): Promise<void> {
  for (const end = Date.now() + 10_000; !what() && Date.now() < end; )
    await new Promise((resolve) => setTimeout(resolve, 5))
}
