// What goes out together with BEGIN and COMMIT: the claim of an inbox, and a single message of an outbox. Nothing may be different but the number of round trips.
import { randomBytes, randomUUID } from 'node:crypto'
import { createOutbox, queue } from 'fairlead/messaging'
import { pgDriver, postgresStore } from 'fairlead/postgres'
import { Client, Pool, type PoolClient } from 'pg'
import { afterAll, beforeEach, describe, expect, it } from 'vitest'
import { z } from 'zod'
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
const store = postgresStore(pgDriver(pool, { answerWithinMs: 1_500 }), { schema: own.name })
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
    expect(seen[2]).toMatch(/^set local lock_timeout = 1000; select @\.outbox_append_one\(.*\); commit$/)
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
