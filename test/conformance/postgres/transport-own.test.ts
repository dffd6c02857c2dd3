// What the suite of the contract cannot see of the PostgreSQL transport: how often it asks, who wakes whom, what is cleaned up, and which plans are run.
import { migrate, pgDriver, postgresTransport } from 'fairlead/postgres'
import { Pool } from 'pg'
import { describe, expect, it } from 'vitest'
import type { Delivery } from '../../../src/core/contracts/transport.ts'
import { at, collect, context, envelope, ownLab, sendAll } from './own-lab.ts'

describe('the PostgreSQL transport', () => {
  const lab = ownLab('own')
  const { transport, made, run, statements, pool, schema: quoted } = lab

  it('wakes receivers of another process by a notification, which many sends share', async () => {
    const sender = transport()
    const channel = await made('queue', sender)
    const { got } = await collect(transport({ pollMs: 600_000 }), { channel }, 1_000)
    // So long after the last message that only a poll, ten minutes later, would find it.
    await expect.poll(() => statements.at(-1), { timeout: 5_000 }).toBe('turn')
    await new Promise((resolve) => setTimeout(resolve, 3_000))
    lab.notified = 0
    await sendAll(sender, channel, [envelope('first')])
    await expect.poll(() => got.length, { timeout: 20_000, interval: 5 }).toBe(1)
    await Promise.all(Array.from({ length: 50 }, (_, count) => sendAll(sender, channel, [envelope(`${count}`)])))
    await expect.poll(() => got.length, { timeout: 20_000 }).toBe(51)
    expect(lab.notified).toBeGreaterThan(0)
    expect(lab.notified).toBeLessThan(20)
  })

  it('asks twice a second when nothing comes, for all places and receivers together', async () => {
    const one = transport()
    for (let count = 0; count < 5; count++) {
      const channel = await made('queue', one)
      await collect(one, { channel }, 10)
      await collect(one, { channel }, 10)
    }
    await new Promise((resolve) => setTimeout(resolve, 3_000))
    // Never more; and as many, in a stretch in which the machine did not stand still.
    for (let asked = 0; asked <= 2; ) {
      const before = statements.length
      await new Promise((resolve) => setTimeout(resolve, 3_000))
      asked = statements.length - before
      expect(statements.slice(before).filter((name) => name !== 'poll')).toEqual([])
      expect(asked).toBeLessThanOrEqual(7)
    }
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

  it('leaves nothing of a group that is dropped, and its receivers end', async () => {
    const one = transport({ pollMs: 100 })
    const channel = await made('topic', one)
    const left = { ...channel, group: 'left' }
    await one.prepare([left], 'create')
    const { receiver, got } = await collect(one, { channel, group: 'left' }, 2)
    await sendAll(
      one,
      channel,
      Array.from({ length: 20 }, (_, index) => envelope(String(index))),
    )
    await expect.poll(() => got.length, { timeout: 5_000 }).toBe(2)
    await got[0]?.settle('dead', { reason: 'bad' })
    const rows = async (): Promise<unknown> =>
      (
        await run(`select (select count(*)::int from @.ready r where r.place = p.id) as ready,
          (select count(*)::int from @.taken t where t.place = p.id) as taken,
          (select count(*)::int from @.dead d where d.place = p.id) as dead
          from @.place p join @.channel c on c.id = p.channel where c.name = '${channel.name}' and p.name = 'left'`)
      )[0]
    expect(await rows()).toEqual({ ready: 18, taken: 1, dead: 1 })
    await transport().dropGroup?.(left)
    expect(await rows()).toBeUndefined()
    const gone = await run(
      `select count(*)::int as count from @.ready r where not exists (select from @.place p where p.id = r.place)`,
    )
    expect(gone).toEqual([{ count: 0 }])
    receiver.request(10)
    await expect(receiver.ended).rejects.toMatchObject({ code: 'CHANNEL_NOT_FOUND' })
    await expect(one.dropGroup?.({ kind: 'queue', name: 'q' })).rejects.toMatchObject({ code: 'INVALID_OPTIONS' })
    await expect(one.dropGroup?.(channel)).rejects.toMatchObject({ code: 'INVALID_OPTIONS' })
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
