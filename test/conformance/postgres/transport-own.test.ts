// What the suite of the contract cannot see of the PostgreSQL transport: how often it asks, who wakes whom, what is cleaned up, and which plans are run.
import { migrate, type PgDriver, type PostgresTransportOptions, pgDriver, postgresTransport } from 'fairlead/postgres'
import { Pool } from 'pg'
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest'
import { systemClock } from '../../../src/core/clock.ts'
import { type CallContext, createContext } from '../../../src/core/context.ts'
import type { Delivery, MessageTransport, Receiver } from '../../../src/core/contracts/transport.ts'
import { deadlineIn } from '../../../src/core/deadline.ts'
import type { ChannelAddress, Envelope } from '../../../src/core/message.ts'
import { server } from '../../services/servers.ts'

const at = server('postgres')
// A name that has to be quoted, and quoted right.
const schema = `own "x" 'y' \\ $1 ${process.pid}`
const quoted = `"${schema.replaceAll('"', '""')}"`

describe('the PostgreSQL transport', () => {
  let pool: Pool
  let driver: PgDriver<object>
  const statements: string[] = []
  let notified = 0
  const open: MessageTransport[] = []
  let channels = 0

  const transport = (options: PostgresTransportOptions = {}): MessageTransport => {
    const counted = {
      dialect: 'postgres',
      execute(text: string, params: readonly unknown[]) {
        const name = /message_(\w+)/.exec(text)?.[1] ?? text
        statements.push(name)
        // A send may notify as well: its last parameter.
        if (name === 'wake' || (name === 'send' && params.at(-1) === true)) notified++
        return driver.execute(text, params)
      },
      listen: driver.listen,
    }
    const made = postgresTransport(counted, { schema, ...options })
    open.push(made)
    return made
  }
  const context = (): CallContext =>
    createContext({
      service: 's',
      operation: 'o',
      deadline: deadlineIn(10_000, systemClock),
      idempotent: true,
    }).context
  const envelope = (id: string, more: Partial<Envelope> = {}): Envelope => ({
    id,
    attributes: {},
    headers: {},
    body: Buffer.from(id),
    ...more,
  })
  const made = async (kind: 'queue' | 'topic', by: MessageTransport): Promise<ChannelAddress> => {
    const channel = { kind, name: `channel ${++channels}` }
    await by.prepare([channel], 'create')
    return channel
  }
  const sendAll = async (by: MessageTransport, channel: ChannelAddress, envelopes: readonly Envelope[]) => {
    for (const verdict of await by.send(channel, envelopes, context())) expect(verdict).toEqual({ status: 'accepted' })
  }
  const collect = async (
    by: MessageTransport,
    from: Parameters<MessageTransport['receive']>[0],
    credit: number,
  ): Promise<{ readonly receiver: Receiver; readonly got: Delivery[] }> => {
    const got: Delivery[] = []
    const receiver = await by.receive(from, (delivery) => got.push(delivery))
    receiver.request(credit)
    return { receiver, got }
  }
  const run = async (sql: string): Promise<readonly Record<string, unknown>[]> =>
    (await pool.query(sql.replaceAll('@', quoted))).rows

  beforeAll(async () => {
    if (at === undefined) throw new Error('PostgreSQL is not up')
    pool = new Pool({ ...at, user: 'postgres', database: 'postgres', max: 5 })
    driver = pgDriver(pool)
    await migrate(driver, { schema })
  })
  afterEach(async () => {
    await Promise.all(open.splice(0).map((each) => each.close()))
  })
  afterAll(async () => {
    await pool.query(`drop schema if exists ${quoted} cascade`)
    await driver.close()
    await pool.end()
  })

  it('wakes receivers of another process by a notification, which many sends share', async () => {
    const sender = transport()
    const channel = await made('queue', sender)
    const { got } = await collect(transport({ pollMs: 600_000 }), { channel }, 1_000)
    // So long after the last message that polling would not find it in time.
    await expect.poll(() => statements.at(-1), { timeout: 5_000 }).toBe('turn')
    await new Promise((resolve) => setTimeout(resolve, 3_000))
    notified = 0
    await sendAll(sender, channel, [envelope('first')])
    await expect.poll(() => got.length, { timeout: 500, interval: 5 }).toBe(1)
    for (let count = 0; count < 50; count++) await sendAll(sender, channel, [envelope(`${count}`)])
    await expect.poll(() => got.length, { timeout: 2_000 }).toBe(51)
    expect(notified).toBeGreaterThan(0)
    expect(notified).toBeLessThan(20)
  })

  it('asks twice a second when nothing comes, for all places and receivers together', async () => {
    const one = transport()
    for (let count = 0; count < 5; count++) {
      const channel = await made('queue', one)
      await collect(one, { channel }, 10)
      await collect(one, { channel }, 10)
    }
    await new Promise((resolve) => setTimeout(resolve, 3_000))
    const before = statements.length
    await new Promise((resolve) => setTimeout(resolve, 3_000))
    expect(statements.slice(before).filter((name) => name !== 'poll')).toEqual([])
    expect(statements.length - before).toBeLessThanOrEqual(7)
    expect(statements.length - before).toBeGreaterThan(2)
  })

  it('finds by looking what came from elsewhere, with one receiver and with several', async () => {
    const sender = transport({ notify: false })
    for (const receivers of [1, 2]) {
      const channel = await made('queue', sender)
      const receiver = transport({ notify: false, pollMs: 100 })
      const all = [] as (readonly Delivery[])[]
      for (let count = 0; count < receivers; count++) all.push((await collect(receiver, { channel }, 10)).got)
      await new Promise((resolve) => setTimeout(resolve, 500))
      await sendAll(sender, channel, [envelope('late')])
      await expect.poll(() => all.flat().length, { timeout: 5_000 }).toBe(1)
    }
  })

  it('tells of settlements of one moment, and asks for more, in one statement', async () => {
    const one = transport({ pollMs: 600_000, notify: false })
    const channel = await made('queue', one)
    await sendAll(
      one,
      channel,
      Array.from({ length: 200 }, (_, index) => envelope(String(index))),
    )
    const { receiver, got } = await collect(one, { channel }, 100)
    await expect.poll(() => got.length).toBe(100)
    const before = statements.length
    const settled = got.slice(0, 100).map((delivery) => delivery.settle('ack'))
    receiver.request(100)
    await Promise.all(settled)
    expect(statements.slice(before)).toEqual(['turn'])
    expect(got.length).toBe(200)
  })

  it('collects sends while one is on its way, in order', async () => {
    const one = transport({ notify: false })
    const channel = await made('queue', one)
    const before = statements.length
    await Promise.all(
      Array.from({ length: 100 }, (_, index) => sendAll(one, channel, [envelope(String(index), { key: 'k' })])),
    )
    expect(statements.slice(before).filter((name) => name === 'send').length).toBeLessThanOrEqual(2)
    const { got } = await collect(one, { channel }, 200)
    await expect.poll(() => got.length).toBe(100)
    expect(got.map(({ envelope: { id } }) => Number(id))).toEqual(Array.from({ length: 100 }, (_, index) => index))
  })

  it('lets claims of one place wait for each other, so that none misses what another takes', async () => {
    const one = transport({ notify: false })
    const channel = await made('queue', one)
    await sendAll(one, channel, [envelope('0', { key: 'k' }), envelope('1', { key: 'k' }), envelope('2')])
    const [place] = await run(
      `select p.id, c.name from @.place p join @.channel c on c.id = p.channel where c.name = '${channel.name}'`,
    )
    const first = await pool.connect()
    const claim = `select id from ${quoted}.message_turn($1, gen_random_uuid(), 30000, '{}', '{}', true, 1, false, false) where seq is not null`
    try {
      await first.query('begin')
      expect((await first.query(claim, [place?.['id']])).rows).toEqual([{ id: '0' }])
      let answered = false
      const second = pool.query(claim, [place?.['id']]).finally(() => {
        answered = true
      })
      await expect
        .poll(async () => (await run(`select from pg_stat_activity where wait_event = 'advisory'`)).length)
        .toBeGreaterThan(0)
      expect(answered).toBe(false)
      await first.query('commit')
      // Its key is held by the first.
      expect((await second).rows).toEqual([{ id: '2' }])
    } finally {
      first.release(true)
    }
  })

  it('keeps a topic for its retention and for groups that lag, and says what is out of reach', async () => {
    const one = transport({ retentionMs: 0 })
    const channel = await made('topic', one)
    const { receiver, got } = await collect(one, { channel, group: 'quick' }, 10)
    await one.prepare([{ ...channel, group: 'slow' }], 'create')
    await sendAll(one, channel, [envelope('0'), envelope('1'), envelope('2')])
    await expect.poll(() => got.length).toBe(3)
    for (const delivery of got) await delivery.settle('ack')
    const tidied = async (): Promise<unknown> => (await run('select @.message_tidy(60000, 100) as count'))[0]?.['count']
    expect(await tidied()).toBe(0)
    const slow = await collect(one, { channel, group: 'slow' }, 2)
    await expect.poll(() => slow.got.length).toBe(2)
    await slow.got[0]?.settle('ack')
    expect(await tidied()).toBe(1)
    await slow.got[1]?.settle('ack')
    expect(await tidied()).toBe(1)
    const [first, second, third] = got.map(({ position }) => position as string)
    await expect(
      one.receive({ channel, group: 'late', from: { positions: { 0: first as string } } }, () => {}),
    ).rejects.toMatchObject({ code: 'POSITION_EXPIRED', details: { earliest: second } })
    const rest = await collect(one, { channel, group: 'in time', from: { positions: { 0: second as string } } }, 10)
    await expect.poll(() => rest.got.map(({ position }) => position)).toEqual([third])
    await receiver.close()
  })

  it('removes the place of a live subscriber that was not heard of, and tells it', async () => {
    const one = transport()
    const channel = await made('topic', one)
    const { receiver } = await collect(one, { channel }, 10)
    await sendAll(one, channel, [envelope('0')])
    await run(`update @.place set seen_at = now() - interval '2 minutes' where seen_at is not null`)
    await run('select @.message_tidy(60000, 100)')
    expect(await run('select from @.place where seen_at is not null')).toEqual([])
    await sendAll(one, channel, [envelope('1')])
    await expect(receiver.ended).rejects.toMatchObject({ code: 'CHANNEL_NOT_FOUND', transient: true })
    expect(
      await run(`select r.seq from @.ready r where not exists (select from @.place p where p.id = r.place)`),
    ).toEqual([])
  })

  it('leaves nothing of a private place behind', async () => {
    const one = transport()
    const count = async () => (await run('select count(*)::int as count from @.message'))[0]?.['count']
    const before = await count()
    const { receiver, got } = await collect(one, { channel: { kind: 'queue', name: 'replies' }, temporary: true }, 1)
    await sendAll(transport(), receiver.address, [
      envelope('0'),
      envelope('1'),
      envelope('2', { notBefore: Date.now() + 60_000 }),
    ])
    await expect.poll(() => got.length).toBe(1)
    await expect(transport().receive({ channel: receiver.address }, () => {})).rejects.toMatchObject({
      code: 'FORBIDDEN',
    })
    await receiver.close()
    expect(await count()).toBe(before)
    const [verdict] = await one.send(receiver.address, [envelope('3')], context())
    expect(verdict).toMatchObject({ status: 'failed', error: { code: 'UNROUTABLE', effect: 'none' } })
  })

  it('refuses what the tables cannot hold before sending it', async () => {
    const one = transport()
    const channel = await made('queue', one)
    const verdicts = await one.send(
      channel,
      [
        envelope('a\0b'),
        envelope('c', { key: '\0' }),
        envelope('d', { priority: 1.5 }),
        envelope('fine', { headers: { nul: '\0' } }),
      ],
      context(),
    )
    expect(
      verdicts.map((verdict) => (verdict.status === 'failed' ? (verdict.error as { code: string }).code : 'accepted')),
    ).toEqual(['INVALID_INPUT', 'INVALID_INPUT', 'INVALID_INPUT', 'accepted'])
    const { got } = await collect(one, { channel }, 1)
    await expect.poll(() => got[0]?.envelope.headers).toEqual({ nul: '\0' })
  })

  it('reads no table from end to end, with a backlog, delayed heads and blocked keys', async () => {
    // Sessions report what they did when they end: tables and sessions of its own.
    const name = `scans ${process.pid}`
    const session = () => new Pool({ ...at, user: 'postgres', database: 'postgres', max: 1 })
    const first = session()
    await migrate(pgDriver(first), { schema: name })
    await first.end()
    const second = session()
    const one = postgresTransport(pgDriver(second), { schema: name, notify: false })
    const channel = await made('queue', one)
    const later = Date.now() + 3_600_000
    for (let batch = 0; batch < 20; batch++)
      await sendAll(
        one,
        channel,
        Array.from({ length: 500 }, (_, index) =>
          envelope(`${batch}/${index}`, {
            ...(index % 3 === 0 ? { key: `k${index % 50}` } : {}),
            ...(index % 5 === 0 ? { notBefore: later } : {}),
            priority: index % 2,
          }),
        ),
      )
    await pool.query(`analyze "${name}".ready; analyze "${name}".taken; analyze "${name}".message`)
    const scans = async () =>
      (
        await pool.query(
          `select relname, seq_scan::int as scans from pg_stat_user_tables where schemaname = $1 and relname in ('ready', 'taken', 'message') order by 1`,
          [name],
        )
      ).rows
    const before = await scans()
    const { receiver, got } = await collect(one, { channel }, 500)
    await expect.poll(() => got.length).toBe(500)
    await Promise.all(
      got.map((delivery, index) => delivery.settle(index % 10 === 0 ? 'retry' : 'ack', { delayMs: 60_000 })),
    )
    receiver.request(500)
    await expect.poll(() => got.length).toBe(1_000)
    await Promise.all(got.slice(500).map((delivery) => delivery.settle('dead', { reason: 'test' })))
    await receiver.close()
    await one.inspect?.({ channel }, 1)
    await one.close()
    await second.end()
    await new Promise((resolve) => setTimeout(resolve, 500))
    expect(await scans()).toEqual(before)
    await pool.query(`drop schema "${name}" cascade`)
  })
})
