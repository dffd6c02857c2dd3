// Publishing from SQL: a function that triggers and other languages call, and whose messages are read as all others are.
import { expect, it } from 'vitest'
import { z } from 'zod'
import { decodeMessage } from '../../../src/messaging/decode.ts'
import { topic } from '../../../src/messaging/index.ts'
import { at, drain, ownStore, row } from './own-store.ts'

if (at === undefined) throw new Error('PostgreSQL is not up: test/services/up postgres')
const own = ownStore()
const { store } = own
const Orders = topic('orders', { 'order.placed': z.object({ orderId: z.string(), total: z.number() }) })

it('publishes from a trigger, as part of the commit, in order per key', async () => {
  await own.run('create table @.orders (id text primary key, total int)')
  await own.run(`create function @.on_order() returns trigger language plpgsql as $body$
    begin
      perform @.publish('topic', 'orders', 'order.placed', jsonb_build_object('orderId', new.id, 'total', new.total), key => new.id, source => '/shop',
        headers => '{"Tenant":"ä\\"1"}');
      return new;
    end $body$`)
  await own.run('create trigger placed after insert or update on @.orders for each row execute function @.on_order()')
  await store.transaction(async (tx) => {
    await tx.query(`insert into ${own.schema}.orders values ('o1', 1), ('o2', 2)`)
    await store.outbox.append(tx, [row('by hand', 'o1')])
    await tx.query(`update ${own.schema}.orders set total = 3 where id = 'o1'`)
  })
  await store
    .transaction(async (tx) => {
      await tx.query(`update ${own.schema}.orders set total = 9`)
      throw new Error('no')
    })
    .catch(() => undefined)
  const relay = await store.outbox.lease('relay', 60_000)
  const rows = await store.outbox.pending(relay, 10)
  expect(rows.map(({ envelope }) => envelope.key)).toEqual(['o1', 'o2', 'o1', 'o1'])
  // One key is in one part, whoever published.
  expect(new Set([0, 2, 3].map((n) => rows[n]?.partition)).size).toBe(1)
  const read = rows.filter(({ envelope }) => envelope.id !== 'by hand')
  expect(read.every(({ channel }) => channel.kind === 'topic' && channel.name === 'orders')).toBe(true)
  const messages = await Promise.all(read.map(({ envelope }) => decodeMessage(Orders, envelope)))
  expect(messages.map(({ data }) => data)).toEqual([
    { orderId: 'o1', total: 1 },
    { orderId: 'o2', total: 2 },
    { orderId: 'o1', total: 3 },
  ])
  expect(messages[0]).toMatchObject({ type: 'order.placed', source: '/shop', version: 1, headers: { tenant: 'ä"1' } })
  expect(Math.abs((messages[0]?.time ?? 0) - Date.now())).toBeLessThan(60_000)
  await drain(store, relay)
  await store.outbox.release(relay)
})

it('takes all that a message may say', async () => {
  const relay = await store.outbox.lease('relay', 60_000)
  await own.run(`select @.publish('queue', 'mail:box', 'mail', null, id => 'm1', version => 2, priority => 7,
    not_before => timestamptz '2026-01-01 00:00:00.0005Z', expires_at => timestamptz '2036-01-01Z', attributes => '{"subject":"s","correlationid":"c","n":5}')`)
  const [{ channel, envelope } = row('none')] = await store.outbox.pending(relay, 10)
  expect(channel).toEqual({ kind: 'queue', name: 'mail:box' })
  expect(envelope).toMatchObject({
    id: 'm1',
    priority: 7,
    notBefore: Date.UTC(2026, 0, 1) + 1,
    expiresAt: Date.UTC(2036, 0, 1),
    attributes: { specversion: '1.0', source: '/outbox', type: 'mail', typeversion: '2', subject: 's', n: '5' },
    headers: {},
  })
  expect(envelope).not.toHaveProperty('key')
  expect(envelope.attributes).not.toHaveProperty('datacontenttype')
  expect(envelope.body.byteLength).toBe(0)
  await drain(store, relay)
  await store.outbox.release(relay)
})

it('waits for publishers of the same key, whatever they are written in', async () => {
  const hand = await own.pool.connect()
  await hand.query('begin')
  await hand.query(`select ${own.schema}.publish('topic', 'orders', 'order.placed', '{}', key => 'k', id => 'sql')`)
  let state = 'waits'
  const ours = store.transaction((tx) => store.outbox.append(tx, [row('ours', 'k')])).then(() => (state = 'done'))
  await store.transaction((tx) => store.outbox.append(tx, [row('other', 'another')]))
  expect(state).toBe('waits')
  await hand.query('commit')
  hand.release()
  await ours
  const ids = (await own.run('select id from @.outbox order by seq')).map(({ id }) => id)
  expect(ids.indexOf('sql')).toBeLessThan(ids.indexOf('ours'))
  await own.run('truncate @.outbox')
})

it.each([
  [`'stream', 'orders', 't', '{}'`, /queue or topic/],
  [`'topic', '', 't', '{}'`, /channel and a type/],
  [`'topic', 'orders', null, '{}'`, /channel and a type/],
  [`'topic', 'orders', 't', '{}', key => ''`, /key must not be empty/],
  [`'topic', 'orders', 't', '{}', id => ''`, /an id has/],
])('refuses publish(%s)', async (args, message) => {
  await expect(own.run(`select @.publish(${args})`)).rejects.toThrow(message)
})

it('says who publishes by the mark of the owner', async () => {
  await own.open({ owner: `sh'op` }).migrate()
  await own.run(`select @.publish('topic', 'orders', 't', '{}')`)
  const rows = await own.run('select head::jsonb as head from @.outbox')
  expect(rows[0]?.['head']).toMatchObject({ a: { source: `/sh'op` } })
  await own.run('truncate @.outbox')
})
