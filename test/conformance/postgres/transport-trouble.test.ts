// What the PostgreSQL transport does about what the database refuses for good, about what is gone, and about what is late when it closes.
import { postgresTransport } from 'fairlead/postgres'
import { fakeClock } from 'fairlead/testing'
import { describe, expect, it } from 'vitest'
import { createContext } from '../../../src/core/context.ts'
import { deadlineIn } from '../../../src/core/deadline.ts'
import { createError } from '../../../src/errors/classes.ts'
import { collect, context, envelope, ownLab, sendAll } from './own-lab.ts'

describe('the PostgreSQL transport in trouble', () => {
  const { transport, made, run, pool, driver, schema: quoted } = ownLab('trouble')

  it('is not ended by a NUL in a reason, nor by a verdict that the database refuses for good', async () => {
    const one = transport({ notify: false, leaseMs: 60_000 })
    const channel = await made('queue', one)
    await sendAll(one, channel, [envelope('nul'), envelope('refused'), envelope('fine'), envelope('behind')])
    const { receiver, got } = await collect(one, { channel }, 3)
    await expect.poll(() => got.length).toBe(3)
    await run(`alter table @.dead add constraint test_refuses check (reason <> 'refused')`)
    const verdicts = await Promise.allSettled([
      got[0]?.settle('dead', { reason: 'a\0b' }),
      got[1]?.settle('dead', { reason: 'refused' }),
      got[2]?.settle('dead', { reason: 'fine' }),
    ])
    await run('alter table @.dead drop constraint test_refuses')
    expect(verdicts.map(({ status }) => status)).toEqual(['fulfilled', 'rejected', 'fulfilled'])
    expect(verdicts[1]).toMatchObject({ reason: { code: 'UNPROCESSABLE', effect: 'none' } })
    const dead = one.deadLetters?.list(channel, { limit: 10 }) ?? []
    const reasons: string[] = []
    for await (const { reason } of dead) reasons.push(reason)
    expect(reasons).toEqual(['a\uFFFDb', 'fine'])
    // The subscription goes on. What had no verdict comes again at once, before what stands behind it, and counts as handed out.
    receiver.request(2)
    await expect.poll(() => got.slice(3).map(({ envelope: { id } }) => id)).toEqual(['refused', 'behind'])
    expect(got[3]?.redeliveries).toBe(1)
    await got[3]?.settle('ack')
    await got[4]?.settle('ack')
    await receiver.close()
  })

  it('counts what the sink got as handed out also when its verdict could not be told', async () => {
    let refuse = false
    const broken = {
      dialect: 'postgres' as const,
      execute: (text: string, params: readonly unknown[]) =>
        refuse && text.includes('message_turn')
          ? Promise.reject(createError({ code: 'FORBIDDEN', effect: 'none', message: 'test' }))
          : driver.execute(text, params),
    }
    const one = transport({ notify: false, leaseMs: 60_000 }, broken)
    const channel = await made('queue', one)
    await sendAll(one, channel, [envelope('0'), envelope('1'), envelope('2')])
    const { receiver, got } = await collect(one, { channel }, 2)
    await expect.poll(() => got.length).toBe(2)
    refuse = true
    await expect(got[0]?.settle('ack')).rejects.toMatchObject({ code: 'FORBIDDEN' })
    await expect(receiver.ended).rejects.toMatchObject({ code: 'FORBIDDEN' })
    refuse = false
    const again = await collect(one, { channel }, 10)
    await expect.poll(() => again.got.length).toBe(3)
    expect(again.got.map(({ envelope: { id }, redeliveries }) => [id, redeliveries])).toEqual([
      ['0', 1],
      ['1', 1],
      ['2', 0],
    ])
  })

  it('purges nothing that a group or a redrive under way is about to refer to', async () => {
    const one = transport({ retentionMs: 0, notify: false })
    const tidied = async (): Promise<unknown> => (await run('select @.message_tidy(60000, 100) as count'))[0]?.['count']
    // Topics of other tests are none of this one's concern.
    while ((await tidied()) !== 0);
    const channel = await made('topic', one)
    const session = await pool.connect()
    try {
      await sendAll(one, channel, [envelope('0'), envelope('1')])
      await session.query('begin')
      const join = `select place from ${quoted}.message_join('topic', $1, 'g', false, false, 'earliest', null, null)`
      const { place } = (await session.query(join, [channel.name])).rows[0] as { place: number }
      expect(await tidied()).toBe(0)
      await session.query('commit')
      const { receiver, got } = await collect(one, { channel, group: 'g' }, 2)
      await expect.poll(() => got.map(({ envelope: { id } }) => id)).toEqual(['0', '1'])
      await got[0]?.settle('ack')
      await got[1]?.settle('dead', { reason: 'test' })
      await receiver.close()
      await session.query('begin')
      const redrive = `select ${quoted}.message_redrive($1, null) as count`
      expect((await session.query(redrive, [place])).rows).toEqual([{ count: 1 }])
      expect(await tidied()).toBe(0)
      await session.query('commit')
      expect(await tidied()).toBe(1)
      const again = await collect(one, { channel, group: 'g' }, 2)
      await expect.poll(() => again.got.map(({ envelope: { id } }) => id)).toEqual(['1'])
    } finally {
      session.release(true)
    }
  })

  it('drops what refers to a message that is gone, instead of holding it for ever', async () => {
    const one = transport({ notify: false, pollMs: 50 })
    const channel = await made('queue', one)
    await sendAll(one, channel, [envelope('gone', { key: 'k' }), envelope('there', { key: 'k' })])
    await run(`delete from @.message where id = 'gone'`)
    const { got } = await collect(one, { channel }, 2)
    await expect.poll(() => got.map(({ envelope: { id } }) => id)).toEqual(['there'])
    await got[0]?.settle('ack')
    const left = `select seq from @.taken t where not exists (select from @.message m where m.seq = t.seq)`
    expect(await run(left)).toEqual([])
  })

  it('lets nothing leave once it is closed, and answers all who wait', async () => {
    const clock = fakeClock()
    const left: unknown[] = []
    let answer: (() => void) | undefined
    const silent = {
      dialect: 'postgres',
      execute: (_: string, params: readonly unknown[]) =>
        new Promise<never>((resolve) => {
          left.push(params[2])
          answer = () => resolve({ rows: [{ places: 1 }], rowCount: 1 } as never)
        }),
    }
    const one = postgresTransport(silent, { clock })
    const channel = { kind: 'queue' as const, name: 'q' }
    const forEver = createContext({
      service: 's',
      operation: 'o',
      deadline: deadlineIn(600_000, clock),
      idempotent: true,
    }).context
    const first = one.send(channel, [envelope('first')], forEver)
    await clock.advance(1)
    const second = one.send(channel, [envelope('second')], forEver)
    const closing = one.close()
    let closed = false
    void closing.then(() => {
      closed = true
    })
    await clock.advance(4_000)
    expect(closed).toBe(false)
    await clock.advance(2_000)
    await closing
    expect(await first).toMatchObject([{ status: 'failed', error: { code: 'SHUTDOWN', effect: 'unknown' } }])
    expect(await second).toMatchObject([{ status: 'failed', error: { code: 'SHUTDOWN', effect: 'none' } }])
    answer?.()
    await clock.advance(60_000)
    expect(left).toEqual([['first']])
  })

  it('takes an instant before 1970 as past, and lets no send fail for another in its statement', async () => {
    const one = transport({ notify: false })
    const channel = await made('queue', one)
    const long = `${process.pid} ${'x'.repeat(10)}`
    await run(`alter table @.message add constraint test_refuses check (id <> '${long}')`)
    const verdicts = await Promise.all([
      one.send(channel, [envelope('early', { notBefore: -8e15 })], context()),
      one.send(channel, [envelope(long)], context()),
      one.send(channel, [envelope('good')], context()),
    ])
    await run('alter table @.message drop constraint test_refuses')
    expect(verdicts).toMatchObject([
      [{ status: 'accepted' }],
      [{ status: 'failed', error: { code: 'UNPROCESSABLE', effect: 'none' } }],
      [{ status: 'accepted' }],
    ])
    const { got } = await collect(one, { channel }, 10)
    await expect.poll(() => got.map(({ envelope: { id } }) => id)).toEqual(['early', 'good'])
    expect(got[0]?.envelope.notBefore).toBe(-8e15)
  })
})
