// What only the PostgreSQL store has: locks by stripe, sequences that become visible late, isolation levels of the database, keys and ids of every length.
import { Client } from 'pg'
import { expect, it } from 'vitest'
import { seededRandom } from '../../../src/testing/seeded-random.ts'
import { at, drain, ownStore, row } from './own-store.ts'

if (at === undefined) throw new Error('PostgreSQL is not up: test/services/up postgres')
const own = ownStore(24)
const { store } = own

it('keeps the order of commits per key, without a deadlock, for 16 writers of 3 messages each on 10 keys', async () => {
  const random = seededRandom(7)
  const committed = new Map<string, string[]>()
  const seen = new Map<string, string[]>()
  const inversions: string[] = []
  let writing = true
  // Sees what is committed, as it is committed: a lower sequence of a key that appears after a higher one is an inversion.
  const highest = new Map<string, bigint>()
  const known = new Set<string>()
  const reader = (async () => {
    for (let last = false; ; last = !writing) {
      const rows = await own.run('select o.seq::text, o.key, o.id from @.outbox o order by o.seq')
      for (const { seq, key, id } of rows as { seq: string; key: string; id: string }[]) {
        if (known.has(id)) continue
        known.add(id)
        if (BigInt(seq) < (highest.get(key) ?? 0n)) inversions.push(id)
        highest.set(key, BigInt(seq))
        seen.set(key, [...(seen.get(key) ?? []), id])
      }
      if (last) return
    }
  })()
  const writer = async (w: number): Promise<void> => {
    for (let n = 0; n < 40; n++) {
      const keys = [0, 1, 2].map(() => `k${Math.floor(random() * 10)}`)
      await store.transaction(async (tx) => {
        await store.outbox.append(
          tx,
          keys.map((key, i) => row(`${w}-${n}-${i}`, key)),
        )
        await tx.query('select pg_sleep($1)', [random() * 0.004])
      })
      keys.forEach((key, i) => {
        committed.set(key, [...(committed.get(key) ?? []), `${w}-${n}-${i}`])
      })
    }
  }
  await Promise.all(Array.from({ length: 16 }, (_, w) => writer(w)))
  writing = false
  await reader
  expect(inversions).toEqual([])
  expect(known.size).toBe(16 * 40 * 3)
  // Rows of one transaction keep the order in which they were given.
  for (const [key, ids] of seen) {
    expect(new Set(ids)).toEqual(new Set(committed.get(key)))
    const places = new Map<string, number>()
    for (const id of ids) {
      const [w, n, i] = id.split('-') as [string, string, string]
      const place = Number(n) * 10 + Number(i)
      expect(place).toBeGreaterThan(places.get(w) ?? -1)
      places.set(w, place)
    }
  }
  const relay = await store.outbox.lease('relay', 60_000)
  expect((await drain(store, relay)).length).toBe(16 * 40 * 3)
  await store.outbox.release(relay)
}, 60_000)

it('takes 30,000 keys in one transaction, in the order given', async () => {
  const rows = Array.from({ length: 30_000 }, (_, n) => row(String(n), `key ${(n * 7_919) % 30_000}`))
  await store.transaction((tx) => store.outbox.append(tx, rows))
  const found = await own.run('select id from @.outbox order by seq')
  expect(found.map(({ id }) => Number(id))).toEqual(rows.map((_, n) => n))
  await own.run('truncate @.outbox')
}, 60_000)

it('gives a row that commits late before later ones of its key, also to a relay that has read before', async () => {
  const relay = await store.outbox.lease('relay', 60_000)
  const slow = await own.pool.connect()
  await slow.query('begin')
  await store.outbox.append(slow, [row('slow', 'a')])
  await store.transaction((tx) => store.outbox.append(tx, [row('other', 'b')]))
  const first = await store.outbox.pending(relay, 10)
  expect(first.map(({ envelope }) => envelope.id)).toEqual(['other'])
  await slow.query('commit')
  slow.release()
  await store.transaction((tx) => store.outbox.append(tx, [row('later', 'a')]))
  const next = await store.outbox.pending(relay, 10)
  expect(next.map(({ envelope }) => envelope.id).filter((id) => id !== 'other')).toEqual(['slow', 'later'])
  await drain(store, relay)
  await store.outbox.release(relay)
})

it('gives a failed row that is due again before later ones of its key, also to a relay that has read before', async () => {
  const relay = await store.outbox.lease('relay', 60_000)
  await store.transaction((tx) => store.outbox.append(tx, [row('1', 'a'), row('2', 'b')]))
  const [failed] = await store.outbox.pending(relay, 10)
  await store.outbox.settle(relay, [{ sequence: failed?.sequence ?? 0n, verdict: 'retry', delayMs: 0, reason: 'x' }])
  await store.transaction((tx) => store.outbox.append(tx, [row('3', 'a')]))
  const next = await store.outbox.pending(relay, 10)
  expect(next.map(({ envelope, attempts }) => [envelope.id, attempts])).toEqual([
    ['1', 1],
    ['2', 0],
    ['3', 0],
  ])
  await drain(store, relay)
  await store.outbox.release(relay)
})

it('lets publishers of one key wait for one another, and no others', async () => {
  const first = await own.pool.connect()
  await first.query('begin')
  await store.outbox.append(first, [row('1', 'same')])
  let second = 'waits'
  const waiting = store.transaction((tx) => store.outbox.append(tx, [row('2', 'same')])).then(() => (second = 'done'))
  await store.transaction((tx) => store.outbox.append(tx, [row('3', 'another'), row('4')]))
  expect(second).toBe('waits')
  await first.query('commit')
  first.release()
  await waiting
  const ids = await own.run('select id from @.outbox order by seq')
  expect(ids.map(({ id }) => id).filter((id) => id === '1' || id === '2')).toEqual(['1', '2'])
  await own.run('truncate @.outbox')
})

it('takes keys, ids and reasons of every length, and refuses what no text can hold', async () => {
  const relay = await store.outbox.lease('relay', 60_000)
  const long = 'k'.repeat(10_000)
  const id = 'ü'.repeat(5_000)
  await store.transaction((tx) => store.outbox.append(tx, [row(id, long), row('2', long)]))
  const [first] = await store.outbox.pending(relay, 10)
  expect(first?.envelope).toMatchObject({ id, key: long })
  await store.outbox.settle(relay, [
    { sequence: first?.sequence ?? 0n, verdict: 'dead', reason: `a\0${'r'.repeat(100_000)}`, blocksKey: true },
  ])
  expect(await store.outbox.pending(relay, 10)).toEqual([])
  expect(await store.outbox.redrive([id, '\0'])).toBe(1)
  expect(await drain(store, relay)).toEqual([id, '2'])
  for (const bad of [row('a\0'), row('a', 'b\0c'), row('\ud800'), row('a', 'b\udc00')])
    await expect(store.transaction((tx) => store.outbox.append(tx, [bad]))).rejects.toMatchObject({
      code: 'INVALID_INPUT',
      effect: 'none',
    })
  const name = { source: 's'.repeat(5_000), id }
  expect(await store.transaction((tx) => store.inbox.claim(tx, long, [name, name]))).toEqual(['first', 'duplicate'])
  expect(await store.inbox.started(long, name)).toBe(1)
  await store.inbox.park(long, `${long}\0`, 60_000)
  expect(await store.inbox.parked(long, [long, `${long}\0`])).toEqual([`${long}\0`])
  expect(
    await store.transaction((tx) => store.states.save(tx, 'kind', id, 0, { a: '\0' }, { correlations: [id] })),
  ).toBe(true)
  expect(await store.transaction((tx) => store.states.find(tx, 'kind', id))).toBe(id)
  expect(await store.transaction((tx) => store.states.load(tx, 'kind', id))).toEqual({ version: 1, state: { a: '\0' } })
  await store.outbox.release(relay)
})

it('takes a payload of 50 MB, and many that are more than a statement should carry, in order', async () => {
  const relay = await store.outbox.lease('relay', 60_000)
  const big = { ...row('big', 'k'), envelope: { ...row('big', 'k').envelope, body: Buffer.alloc(50_000_000, 7) } }
  const some = Array.from({ length: 9 }, (_, n) => ({
    ...row(`s${n}`, 'k'),
    envelope: { ...row(`s${n}`, 'k').envelope, body: Buffer.alloc(4_000_000, n) },
  }))
  await store.transaction((tx) => store.outbox.append(tx, [big, ...some]))
  const [first] = await store.outbox.pending(relay, 1)
  expect(Buffer.compare(first?.envelope.body ?? Buffer.alloc(0), big.envelope.body)).toBe(0)
  const [, ...rest] = await store.outbox.pending(relay, 20)
  expect(rest.map(({ envelope }) => [envelope.id, envelope.body.byteLength, envelope.body[0]])).toEqual(
    some.map(({ envelope }, n) => [envelope.id, 4_000_000, n]),
  )
  await drain(store, relay)
  await store.outbox.release(relay)
}, 60_000)

it('says that a transaction is over, and that a pool is none', async () => {
  const client = await own.pool.connect()
  await client.query('begin')
  await client.query('commit')
  for (const none of [client, own.pool as never])
    for (const work of [
      () => store.outbox.append(none, [row('1')]),
      () => store.inbox.claim(none, 'c', [{ source: 's', id: '1' }]),
      () => store.idempotency.reserve(none, 's', 'k', 'h'),
      () => store.states.load(none, 'k', '1'),
    ])
      await expect(work()).rejects.toMatchObject({ code: 'TRANSACTION_REQUIRED', effect: 'none' })
  client.release()
})

it('does not answer wrongly where the isolation hides what another one has committed', async () => {
  const message = { source: '/s', id: 'isolated' }
  for (const level of ['repeatable read', 'serializable']) {
    const late = await own.pool.connect()
    await late.query(`begin isolation level ${level}`)
    await late.query('select 1')
    await store.transaction((tx) => store.inbox.claim(tx, level, [message]))
    await store.transaction(async (tx) => {
      await store.idempotency.reserve(tx, level, 'k', 'h')
      await store.idempotency.complete(tx, level, 'k', Buffer.from('answer'))
    })
    await expect(store.inbox.claim(late, level, [message])).rejects.toMatchObject({ code: 'TRANSACTION_CONFLICT' })
    await late.query('rollback')
    await late.query(`begin isolation level ${level}`)
    expect(await store.inbox.claim(late, level, [message])).toEqual(['duplicate'])
    expect(await store.idempotency.reserve(late, level, 'k', 'h')).toMatchObject({ state: 'stored' })
    await late.query('rollback')
    late.release()
  }
})

it('holds no message for anybody once a savepoint was rolled back', async () => {
  const message = { source: '/s', id: 'savepoint' }
  const client = await own.pool.connect()
  await client.query('begin')
  await client.query('savepoint a')
  expect(await store.inbox.claim(client, 'c', [message])).toEqual(['first'])
  await client.query('rollback to a')
  expect(await store.transaction((tx) => store.inbox.claim(tx, 'c', [message]))).toEqual(['first'])
  expect(await store.inbox.claim(client, 'c', [message])).toEqual(['duplicate'])
  await client.query('rollback')
  client.release()
})

it('claims thousands at once, while others do', async () => {
  const messages = Array.from({ length: 3_000 }, (_, n) => ({ source: '/s', id: `many ${n}` }))
  const claims = await Promise.all(
    [0, 1, 2, 3].map((n) => store.transaction((tx) => store.inbox.claim(tx, `many ${n % 2}`, messages))),
  )
  for (const consumer of [0, 1]) {
    const answers = messages.map((_, n) => [claims[consumer]?.[n], claims[consumer + 2]?.[n]].sort())
    for (const pair of answers) expect(pair.filter((answer) => answer === 'first')).toHaveLength(1)
  }
}, 60_000)

it('moves what waits behind a dead row out of the way, and puts it back at its place', async () => {
  const relay = await store.outbox.lease('relay', 60_000)
  const ids = Array.from({ length: 6_000 }, (_, n) => `d${n}`)
  await store.transaction((tx) =>
    store.outbox.append(tx, [...ids.map((id) => row(id, 'stuck')), row('free', 'free'), row('last', 'stuck')]),
  )
  const [head, second] = await store.outbox.pending(relay, 2)
  const dead = async (sequence = 0n): Promise<void> => {
    await store.outbox.settle(relay, [{ sequence, verdict: 'dead', reason: 'x', blocksKey: true }])
  }
  await dead(head?.sequence)
  // Sent while the first one died.
  await dead(second?.sequence)
  expect(await store.outbox.lease('relay', 60_000)).toHaveLength(64)
  const moved = async (): Promise<unknown> =>
    (await own.run('select count(*)::int as n from @.outbox_behind'))[0]?.['n']
  expect(await moved()).toBe(5_999)
  await store.transaction((tx) => store.outbox.append(tx, [row('new', 'stuck')]))
  expect((await store.outbox.pending(relay, 10)).map(({ envelope }) => envelope.id)).toEqual(['free'])
  expect(await store.outbox.stats()).toMatchObject({ backlog: 6_001, dead: 2, blockedKeys: 1 })
  expect((await store.outbox.stats()).oldestMs).toBeGreaterThan(0)
  // One that was out as well was published: it is settled wherever it is now.
  const [out] = await own.run('select b.seq::text from @.outbox_behind b order by b.seq limit 1')
  expect(await store.outbox.settle(relay, [{ sequence: BigInt(String(out?.['seq'])), verdict: 'published' }])).toBe(1)
  expect(await store.outbox.skip(['d3'])).toBe(1)
  // Behind the second one they still wait.
  expect(await store.outbox.redrive(['d0'])).toBe(1)
  expect((await store.outbox.pending(relay, 10)).map(({ envelope }) => envelope.id)).toEqual(['d0', 'free'])
  expect(await moved()).toBe(5_997)
  expect(await store.outbox.skip(['d1'])).toBe(1)
  expect(await moved()).toBe(0)
  expect(await drain(store, relay)).toEqual(['d0', ...ids.slice(4), 'free', 'last', 'new'])
  await store.outbox.release(relay)
}, 60_000)

it('loses no row that is moved while its key is let go', async () => {
  const relay = await store.outbox.lease('relay', 60_000)
  const random = seededRandom(3)
  const ids = Array.from({ length: 300 }, (_, n) => `r${n}`)
  await store.transaction((tx) =>
    store.outbox.append(
      tx,
      ids.map((id) => row(id, 'k')),
    ),
  )
  const published: string[] = []
  for (let round = 0; published.length < ids.length; round++) {
    const [first] = await store.outbox.pending(relay, 10)
    if (first === undefined) throw new Error(`round ${round}: nothing is there`)
    await store.outbox.settle(relay, [{ sequence: first.sequence, verdict: 'dead', reason: 'x', blocksKey: true }])
    await Promise.all([
      store.outbox.lease('relay', 60_000),
      store.outbox.lease('relay', 60_000),
      random() < 0.5 ? store.outbox.redrive('all') : store.outbox.purge({ olderThanMs: 0, limit: 10, dead: true }),
    ])
    const rows = (await store.outbox.pending(relay, 10)).filter(({ envelope }) => envelope.id !== first.envelope.id)
    // At most one went: what comes next is there.
    if (published.length + round < ids.length - 12) expect(rows.length).toBeGreaterThan(0)
    const more = await store.outbox.pending(relay, 5)
    published.push(
      ...more.map(({ envelope }) => envelope.id),
      ...(more[0]?.envelope.id === first.envelope.id ? [] : [first.envelope.id]),
    )
    await store.outbox.settle(
      relay,
      more.map(({ sequence }) => ({ sequence, verdict: 'published' })),
    )
  }
  expect(new Set(published)).toEqual(new Set(ids))
  expect(await store.outbox.stats()).toMatchObject({ backlog: 0, dead: 0, blockedKeys: 0 })
  await store.outbox.release(relay)
}, 60_000)

it('reads and settles a batch of a large backlog without touching more than the batch', async () => {
  const relay = await store.outbox.lease('relay', 60_000)
  await own.run(`insert into @.outbox (part, digest, channel, id, key, head, body)
    select (d & 63)::smallint, d, 'topic:orders', i::text, k, '{"a":{}}', convert_to(repeat('x', 300), 'UTF8')
    from (select i, 'key ' || i % 1000 as k, @.outbox_digest('topic:orders', 'key ' || i % 1000) as d from generate_series(1, 200000) i) x`)
  await own.run('analyze @.outbox')
  // One that fails: what waits is looked up as well.
  const [first] = await store.outbox.pending(relay, 1)
  await store.outbox.settle(relay, [
    { sequence: first?.sequence ?? 0n, verdict: 'retry', delayMs: 60_000, reason: 'x' },
  ])
  const parts = [relay.map(({ partition }) => partition), relay.map(({ epoch }) => String(epoch))]
  const counted = async (
    call: string,
    params: readonly unknown[],
  ): Promise<{ scans: number; rows: number; answered: { seq: string }[] }> => {
    // A session of its own has planned nothing yet.
    const client = new Client({ ...at, user: 'postgres', database: 'postgres' })
    await client.connect()
    try {
      // What a database may be set to.
      await client.query(
        'begin; set local jit_above_cost = 0; set local parallel_setup_cost = 0; set local parallel_tuple_cost = 0; set local random_page_cost = 100',
      )
      const { rows } = await client.query(
        call.replace('@', () => own.schema),
        [...params],
      )
      const touched = await client.query(
        'select seq_scan::int as scans, idx_tup_fetch::int as rows from pg_stat_xact_user_tables where relid = $1::regclass',
        [`${own.schema}.outbox`],
      )
      await client.query('commit')
      return { ...touched.rows[0], answered: rows }
    } finally {
      await client.end()
    }
  }
  const read = await counted('select seq from @.outbox_pending($1::smallint[], $2::bigint[], 500)', parts)
  expect(read).toMatchObject({ scans: 0 })
  expect(read.answered).toHaveLength(500)
  // The failed one has later ones of its key behind it, one in a thousand.
  expect(read.rows).toBeGreaterThanOrEqual(501)
  expect(read.rows).toBeLessThan(510)
  expect(
    await counted('select @.outbox_published($1::smallint[], $2::bigint[], $3::bigint[], false) as count', [
      ...parts,
      read.answered.map(({ seq }) => seq),
    ]),
  ).toEqual({ scans: 0, rows: 500, answered: [{ count: 500 }] })
  await own.run('truncate @.outbox, @.outbox_wait')
  await store.outbox.release(relay)
}, 60_000)

it('settles all verdicts of a batch or none, so that what is told again counts once', async () => {
  const relay = await store.outbox.lease('relay', 60_000)
  await store.transaction((tx) => store.outbox.append(tx, [row('fails'), row('sent')]))
  const [fails, sent] = await store.outbox.pending(relay, 10)
  const verdicts = [
    { sequence: fails?.sequence ?? 0n, verdict: 'retry', delayMs: 0, reason: 'x' },
    { sequence: sent?.sequence ?? 0n, verdict: 'published' },
  ] as const
  await own.run(`create function @.refuse() returns trigger language plpgsql as $$ begin raise 'not now'; end $$`)
  await own.run('create trigger refuse before delete on @.outbox for each row execute function @.refuse()')
  await expect(store.outbox.settle(relay, verdicts)).rejects.toThrow()
  await own.run('drop trigger refuse on @.outbox')
  expect(await store.outbox.settle(relay, verdicts)).toBe(2)
  const rows = await store.outbox.pending(relay, 10)
  expect(rows.map(({ envelope, attempts }) => [envelope.id, attempts])).toEqual([['fails', 1]])
  await drain(store, relay)
  await store.outbox.release(relay)
})

it('puts all dead rows back in pieces, in their order', async () => {
  const relay = await store.outbox.lease('relay', 60_000)
  const ids = Array.from({ length: 2_500 }, (_, n) => String(n))
  await store.transaction((tx) =>
    store.outbox.append(
      tx,
      ids.map((id) => row(id, `key ${Number(id) % 7}`)),
    ),
  )
  const rows = await store.outbox.pending(relay, 3_000)
  await store.outbox.settle(
    relay,
    rows.map(({ sequence }) => ({ sequence, verdict: 'dead', reason: 'x', blocksKey: true })),
  )
  const commits = async () => (await own.run('select distinct xmin::text from @.outbox')).length
  expect(await store.outbox.redrive('all')).toBe(2_500)
  expect(await commits()).toBe(3)
  expect((await store.outbox.stats()).blockedKeys).toBe(0)
  expect(await drain(store, relay)).toEqual(ids)
  await store.outbox.release(relay)
})

it('purges no more attempts and parked keys than it was asked for', async () => {
  await own.run('truncate @.inbox_attempt, @.inbox_parked')
  for (let n = 0; n < 5; n++) {
    await store.inbox.started('consumer', { source: '/own', id: `purge ${n}` })
    await store.inbox.park('consumer', `purge ${n}`, 0.001)
  }
  const left = async () =>
    (
      await own.run(
        'select (select count(*)::int from @.inbox_attempt) as attempts, (select count(*)::int from @.inbox_parked) as parked',
      )
    )[0]
  await store.inbox.purge(0, 2)
  expect(await left()).toEqual({ attempts: 3, parked: 3 })
  await store.inbox.purge(0, 10)
  expect(await left()).toEqual({ attempts: 0, parked: 0 })
})

it('purges what is done by its index, and does not wait for those who are at one of them', async () => {
  await store.transaction(async (tx) => {
    for (const id of ['a', 'b', 'c']) await store.states.save(tx, 'purging', id, 0, {}, { done: true })
  })
  const held = await own.pool.connect()
  // Who waited for it would wait for ever.
  held.on('error', () => undefined)
  await held.query(`begin; set local idle_in_transaction_session_timeout = '20s'`)
  await store.states.save(held, 'purging', 'a', 1, { again: true })
  expect(await store.states.purge('purging', 0, 10)).toBe(2)
  await held.query('commit')
  expect(await store.states.purge('purging', 0, 10)).toBe(0)
  expect(await store.transaction((tx) => store.states.load(tx, 'purging', 'a'))).toMatchObject({ version: 2 })
  await held.query('begin; set local enable_seqscan = off; set local enable_bitmapscan = off')
  const { rows } = await held.query(
    `explain (format json) select o.ctid from ${own.schema}.state o where o.kind = 'purging' and o.done and o.done_at <= now() order by o.done_at limit 10 for update skip locked`,
  )
  await held.query('rollback')
  held.release()
  const plan = JSON.stringify(rows)
  expect(plan).toContain('"Index Name":"state_done"')
  expect(plan).not.toContain('"Node Type":"Sort"')
})
