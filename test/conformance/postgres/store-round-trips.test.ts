// What goes out together with BEGIN and COMMIT: the claim of an inbox and the state of a process, and a few messages of an outbox. Nothing may be different but the number of round trips.
import { randomBytes, randomUUID } from 'node:crypto'
import { createOutbox, queue } from 'fairlead/messaging'
import { pgDriver, postgresStore } from 'fairlead/postgres'
import { Client, Pool, type PoolClient } from 'pg'
import { afterAll, beforeEach, describe, expect, it } from 'vitest'
import { z } from 'zod'
import type { StateKey } from '../../../src/core/contracts/store.ts'
import { at, drain, ownStore } from './own-store.ts'

if (at === undefined) throw new Error('PostgreSQL is not up: test/services/up postgres')
const own = ownStore()

// Says what is sent, on one connection.
const seen: string[] = []
class Told extends Client {
  override query(...args: any[]): any {
    seen.push(String(args[0]?.text ?? args[0]).replace(own.schema, '@'))
    return (super.query as (...all: any[]) => unknown)(...args)
  }
}
const pool = new Pool({ ...at, user: 'postgres', database: 'postgres', max: 1, Client: Told } as never)
const store = postgresStore(pgDriver(pool, { answerWithinMs: 9_000 }), { schema: own.name })
const Orders = queue('orders', { placed: z.object({ text: z.string() }) })
const outbox = createOutbox(store, { source: '/one' })
const other = createOutbox(store, { source: '/other' })
const placed = (id: string, key: string, text = id) => ({ type: 'placed', id, key, data: { text } }) as const

// As it cannot be compressed.
const large = randomBytes(12_000).toString('base64')

const waiting = async (): Promise<readonly string[]> => {
  const leases = await own.store.outbox.lease('reader', 60_000)
  const ids = await drain(own.store, leases)
  await own.store.outbox.release(leases)
  return ids
}

beforeEach(() => {
  seen.length = 0
})

afterAll(async () => {
  await pool.end()
})

describe('a single message', () => {
  it('goes out with COMMIT, in three statements with the one of the business', async () => {
    await store.transaction(async (tx) => {
      await tx.query('select 1')
      await outbox.publish(tx, Orders, placed('m1', 'k'))
    })
    expect(seen).toHaveLength(3)
    expect(seen[0]).toBe('begin')
    expect(seen[2]).toMatch(/^set local lock_timeout = 6000; select @\.outbox_append_one\(.*\); commit$/)
    expect(await waiting()).toEqual(['m1'])
  })

  it.each(['on', 'off'])('is what it was, with standard_conforming_strings %s', async (setting) => {
    const key = `it's \\' a "key" \\x41 $1 ; drop -- ö 漢 😀`
    await store.transaction(async (tx) => {
      await tx.query(`set local standard_conforming_strings = ${setting}`)
      await outbox.publish(tx, Orders, { ...placed(`i'd \\ ${setting}`, key, `${key}\n\t`), headers: { h: `a'b\\c` } })
    })
    const leases = await own.store.outbox.lease('reader', 60_000)
    const [first] = await own.store.outbox.pending(leases, 1)
    expect(first?.envelope).toMatchObject({ id: `i'd \\ ${setting}`, key, headers: { h: `a'b\\c` } })
    expect(JSON.parse(Buffer.from(first?.envelope.body ?? []).toString())).toEqual({ text: `${key}\n\t` })
    await drain(own.store, leases)
    await own.store.outbox.release(leases)
  })

  it('does not come back with the next transaction of the same connection', async () => {
    const work = async (tx: PoolClient, id: string, fail: boolean): Promise<void> => {
      await outbox.publish(tx, Orders, placed(id, 'k'))
      // The last hook: what is published stands ready to go out.
      store.beforeCommit(
        tx,
        async () => {
          if (fail) throw new Error('no')
        },
        'last',
      )
    }
    await expect(store.transaction((tx) => work(tx, 'undone', true))).rejects.toThrow('no')
    await store.transaction((tx) => work(tx, 'kept', false))
    await store.transaction(async () => undefined)
    expect(await waiting()).toEqual(['kept'])
  })

  it('keeps its place before what is published later, by a hook or by another outbox', async () => {
    await store.transaction(async (tx) => {
      await outbox.publish(tx, Orders, placed('a', 'k'))
      store.beforeCommit(tx, async () => {
        store.beforeCommit(tx, async () => {
          store.beforeCommit(tx, async () => void (await other.publish(tx, Orders, placed('b', 'k'))))
        })
      })
    })
    await store.transaction(async (tx) => {
      await outbox.publish(tx, Orders, placed('c', 'k'))
      await other.publish(tx, Orders, placed('d', 'k', large))
    })
    expect(await waiting()).toEqual(['a', 'b', 'c', 'd'])
  })

  it('goes out before COMMIT where it is large', async () => {
    await store.transaction((tx) => outbox.publish(tx, Orders, placed('large', 'k', large)))
    expect(seen.at(-1)).toBe('commit')
    expect(await waiting()).toEqual(['large'])
  })

  it('that waits for its key for too long is refused, and surely not committed', async () => {
    const client = await own.pool.connect()
    try {
      await client.query('begin')
      await own.store.outbox.append(client, [
        {
          channel: { kind: 'queue', name: 'orders' },
          envelope: {
            id: 'slow',
            key: 'k',
            attributes: { specversion: '1.0', source: '/', type: 'placed' },
            headers: {},
            body: Buffer.of(),
          },
        },
      ])
      const refused = store.transaction((tx) => outbox.publish(tx, Orders, placed('late', 'k')))
      await expect(refused).rejects.toMatchObject({ code: 'TRANSACTION_CONFLICT', effect: 'none' })
    } finally {
      await client.query('commit')
      client.release()
    }
    await store.transaction((tx) => outbox.publish(tx, Orders, placed('again', 'k')))
    expect(await waiting()).toEqual(['slow', 'again'])
  })

  it('into a schema that is not there says how to make it', async () => {
    const nowhere = postgresStore(pgDriver(pool), { schema: `none_${randomUUID().slice(0, 8)}` })
    const lost = createOutbox(nowhere)
    const publish = nowhere.transaction((tx) => lost.publish(tx, Orders, placed('x', 'k')))
    await expect(publish).rejects.toMatchObject({ code: 'CHANNEL_NOT_FOUND', effect: 'none' })
    // What the work itself asked for is no business of ours.
    const theirs = nowhere.transaction((tx) => tx.query('select * from not_there'))
    await expect(theirs).rejects.not.toMatchObject({ code: 'CHANNEL_NOT_FOUND' })
  })
})

describe('several messages', () => {
  it('go out with COMMIT, each as it was and in the order of the calls', async () => {
    const odd = `it's \\' a "key" {\\x41,NULL} $1 ; drop -- ö 漢 😀`
    const all = [
      placed('s1', odd, ''),
      { ...placed('s2', 'k', odd), headers: { h: `a'b\\c, {"d"}` } },
      { type: 'placed', id: 's3', data: { text: 'no key' } } as const,
      placed('NULL', '=', 'the key of none'),
    ]
    await store.transaction(async (tx) => {
      await outbox.publish(tx, Orders, all.slice(0, 2))
      await other.publish(tx, Orders, all[2] as (typeof all)[2])
      await outbox.publish(tx, Orders, all[3] as (typeof all)[3])
      all.push(...all.splice(2, 1))
    })
    expect(seen).toHaveLength(2)
    expect(seen[1]).toMatch(/^set local lock_timeout = 6000; select @\.outbox_append\(.*\); commit$/s)
    const leases = await own.store.outbox.lease('reader', 60_000)
    const found = await own.store.outbox.pending(leases, 10)
    expect(found.map(({ envelope: { id, key } }) => [id, key])).toEqual([
      ['s1', odd],
      ['s2', 'k'],
      ['NULL', '='],
      // Outbox by outbox.
      ['s3', undefined],
    ])
    expect(found[1]?.envelope.headers).toEqual({ h: `a'b\\c, {"d"}` })
    expect(found.map(({ envelope }) => JSON.parse(Buffer.from(envelope.body).toString()).text)).toEqual(
      all.map(({ data }) => data.text),
    )
    await drain(own.store, leases)
    await own.store.outbox.release(leases)
  })

  it('that are large together, or many, go out before COMMIT', async () => {
    await store.transaction((tx) => outbox.publish(tx, Orders, [placed('l1', 'k', large), placed('l2', 'k')]))
    expect(seen.at(-1)).toBe('commit')
    const many = Array.from({ length: 17 }, (_, at) => placed(`m${at}`, 'k'))
    await store.transaction((tx) => outbox.publish(tx, Orders, many))
    expect(seen.at(-1)).toBe('commit')
    await store.transaction((tx) =>
      outbox.publish(
        tx,
        Orders,
        many.slice(1).map((each) => ({ ...each, id: `n${each.id}` })),
      ),
    )
    expect(seen.at(-1)).toMatch(/outbox_append/)
    expect(await waiting()).toEqual([
      'l1',
      'l2',
      ...many.map(({ id }) => id),
      ...many.slice(1).map(({ id }) => `n${id}`),
    ])
  })

  it('lock their keys in one order, whatever the order of the messages', async () => {
    const keys = Array.from({ length: 8 }, (_, at) => `key ${at}`)
    const publish = (name: string, of: readonly string[]) =>
      own.store.transaction((tx) =>
        ordered.publish(
          tx,
          Orders,
          of.map((key) => placed(`${name} ${key}`, key)),
        ),
      )
    const ordered = createOutbox(own.store)
    for (let round = 0; round < 10; round++)
      await Promise.all([
        publish(`a${round}`, keys),
        publish(`b${round}`, keys.toReversed()),
        publish(`c${round}`, keys),
      ])
    expect(await waiting()).toHaveLength(10 * 3 * 8)
  })
})

describe('a claim with a state', () => {
  const message = (id: string) => ({ source: "/o'clock\\", id })
  const open = (id: string, key: StateKey, kind = `it's \\ a kind`) => {
    const opening = store.states.claiming?.('shop', message(id), kind, key)
    return store.transaction(
      async (_, opened) =>
        opened === undefined || opening === undefined ? undefined : [opening.answers(opened)[0], opening.found(opened)],
      { opening: opening?.statement },
    )
  }
  const save = (id: string, expected: number, state: unknown, correlations: readonly string[]) =>
    store.transaction((tx) => store.states.save(tx, `it's \\ a kind`, id, expected, state, { correlations }))

  it('goes out with BEGIN, and finds what load and find do', async () => {
    await save("id ' \\", 0, { text: `"it's" \\ \u0000` }, ["waits ' \\"])
    await save('other', 0, null, ['more'])
    seen.length = 0
    const found = { id: "id ' \\", version: 1, state: { text: `"it's" \\ \u0000` } }
    expect(await open('1', { id: "id ' \\" })).toEqual(['first', found])
    expect(seen).toHaveLength(2)
    expect(await open('2', { correlation: "waits ' \\" })).toEqual(['first', found])
    expect(await open('3', { id: 'other' })).toEqual(['first', { id: 'other', version: 1, state: null }])
    expect(await open('4', { id: 'nobody' })).toEqual(['first', undefined])
    expect(await open('5', { correlation: 'other' })).toEqual(['first', undefined])
    expect(await open('6', { id: 'other' }, 'another kind')).toEqual(['first', undefined])
  })

  it('claims once, whatever it finds, and nothing that is rolled back', async () => {
    await save('twice', 0, {}, [])
    const claim = store.states.claiming?.('shop', message('t'), `it's \\ a kind`, { id: 'twice' })
    await expect(
      store.transaction(
        async () => {
          throw new Error('undone')
        },
        { opening: claim?.statement },
      ),
    ).rejects.toThrow('undone')
    expect(await open('t', { id: 'twice' })).toEqual(['first', { id: 'twice', version: 1, state: {} }])
    expect(await open('t', { id: 'twice' })).toEqual(['duplicate', undefined])
    await own.store.transaction(async (tx) => {
      await own.store.inbox.claim(tx, 'shop', [message('b')])
      expect(await open('b', { id: 'twice' })).toEqual(['busy', undefined])
    })
    expect(await store.transaction((tx) => store.inbox.claim(tx, 'shop', [message('1'), message('new')]))).toEqual([
      'duplicate',
      'first',
    ])
  })
})

describe('a claim', () => {
  const messages = ['1', '2', '1'].map((id) => ({ source: "/o'clock\\", id: `${id} ' \\` }))

  it('goes out with BEGIN, and is answered as a claim of its own', async () => {
    const opening = store.inbox.claiming?.('shop', messages)
    const answers = await store.transaction(
      async (_, opened) => (opened === undefined ? undefined : opening?.answers(opened)),
      { opening: opening?.statement },
    )
    expect(answers).toEqual(['first', 'first', 'duplicate'])
    expect(seen).toHaveLength(2)
    expect(seen[0]).toMatch(/^begin; select /)
    const again = await store.transaction((tx) => store.inbox.claim(tx, 'shop', messages))
    expect(again).toEqual(['duplicate', 'duplicate', 'duplicate'])
  })

  it('of what is handled now is busy, and what is rolled back is free again', async () => {
    const message = [{ source: '/s', id: 'busy' }]
    const opening = store.inbox.claiming?.('shop', message)
    const ask = () =>
      store.transaction(async (_, opened) => (opened === undefined ? undefined : opening?.answers(opened)), {
        opening: opening?.statement,
      })
    await expect(
      own.store.transaction(async (tx) => {
        expect(await own.store.inbox.claim(tx, 'shop', message)).toEqual(['first'])
        expect(await ask()).toEqual(['busy'])
        throw new Error('undone')
      }),
    ).rejects.toThrow('undone')
    expect(await ask()).toEqual(['first'])
    expect(await ask()).toEqual(['duplicate'])
  })
})
