// What the conformance suite cannot see of the memory store: its own transactions of values, processes that crash, operations that are delayed or fail, its options.
import { describe, expect, it } from 'vitest'
import { type MemoryStore, type MemoryTx, memoryDatabase, memoryStore } from '../../../../src/adapters/memory/index.ts'
import type { OutboxRow } from '../../../../src/core/contracts/store.ts'
import { isFairleadError } from '../../../../src/errors/index.ts'
import { fakeClock } from '../../../../src/testing/fake-clock.ts'
import { seededRandom } from '../../../../src/testing/seeded-random.ts'

const row = (id: string, key?: string): OutboxRow => ({
  channel: { kind: 'queue', name: 'q' },
  envelope: { id, ...(key === undefined ? {} : { key }), attributes: {}, headers: {}, body: new Uint8Array() },
})

async function codeOf(work: Promise<unknown> | (() => unknown)): Promise<string> {
  try {
    await (typeof work === 'function' ? work() : work)
  } catch (error) {
    return isFairleadError(error) ? `${error.code} ${error.effect}` : String(error)
  }
  return 'no error'
}

async function idsIn(store: MemoryStore, relay = 'relay'): Promise<readonly string[]> {
  const leases = await store.outbox.lease(relay, 1_000)
  const rows = await store.outbox.pending(leases, 1_000)
  await store.outbox.release(leases)
  return rows.map(({ envelope }) => envelope.id)
}

const add = (store: MemoryStore, key: string, pause: () => Promise<void> = async () => {}): Promise<void> =>
  store.transaction(async (tx) => {
    const before = (tx.get(key) as number | undefined) ?? 0
    await pause()
    tx.set(key, before + 1)
  })

describe('values of a transaction', () => {
  it('are there with its commit and not before, and gone with its rollback', async () => {
    const store = memoryStore()
    await store.transaction(async (tx) => {
      tx.set('a', { n: 1 })
      tx.set('b', 2)
      tx.delete('b')
      expect([tx.get('a'), tx.get('b'), store.read('a')]).toEqual([{ n: 1 }, undefined, undefined])
    })
    expect(store.entries()).toEqual([['a', { n: 1 }]])
    await store
      .transaction(async (tx) => {
        tx.delete('a')
        tx.set('c', 3)
        throw new Error('no')
      })
      .catch(() => {})
    expect(store.database.entries()).toEqual([['a', { n: 1 }]])
    await store.transaction(async (tx) => tx.delete('a'))
    expect([store.read('a'), store.entries()]).toEqual([undefined, []])
  })

  it('are copies: nobody changes what is committed from outside', async () => {
    const store = memoryStore()
    const value = { list: [1] }
    await store.transaction(async (tx) => {
      tx.set('a', value)
      value.list.push(2)
      ;(tx.get('a') as typeof value).list.push(3)
    })
    ;(store.read('a') as typeof value).list.push(4)
    ;(store.entries() as [[string, typeof value]])[0][1].list.push(5)
    await store.transaction(async (tx) => void (tx.get('a') as typeof value).list.push(6))
    expect(store.read('a')).toEqual({ list: [1] })
    await expect(store.transaction(async (tx) => tx.set('a', () => 1))).rejects.toThrow('could not be cloned')
  })

  it('make the commit fail that rests on what another one has changed meanwhile', async () => {
    const store = memoryStore()
    const one = store.begin()
    const two = store.begin()
    one.tx.set('n', ((one.tx.get('n') as number | undefined) ?? 0) + 1)
    two.tx.set('n', ((two.tx.get('n') as number | undefined) ?? 0) + 1)
    await one.commit()
    expect(await codeOf(two.commit())).toBe('TRANSACTION_CONFLICT none')
    expect(store.read('n')).toBe(1)
  })

  it('lose no addition when who is undone tries again', async () => {
    const store = memoryStore()
    const random = seededRandom(7)
    const pause = async (): Promise<void> => {
      for (let turns = random() * 10; turns > 0; turns--) await undefined
    }
    let undone = 0
    const until = async (): Promise<void> => {
      for (;;)
        try {
          return await add(store, 'n', pause)
        } catch (error) {
          expect(isFairleadError(error) && error.code).toBe('TRANSACTION_CONFLICT')
          undone++
        }
    }
    await Promise.all(Array.from({ length: 50 }, until))
    expect(store.read('n')).toBe(50)
    expect(undone).toBeGreaterThan(0)
  })

  it('make a commit fail that only publishes by what it has read', async () => {
    const store = memoryStore()
    await store.transaction(async (tx) => tx.set('stock', 1))
    const seller = store.begin()
    expect(seller.tx.get('stock')).toBe(1)
    await store.outbox.append(seller.tx, [row('sold')])
    await store.transaction(async (tx) => tx.set('stock', 0))
    expect(await codeOf(seller.commit())).toBe('TRANSACTION_CONFLICT none')
    expect(await idsIn(store)).toEqual([])
  })

  it('disturb nobody who only reads, or only writes', async () => {
    const store = memoryStore()
    const reader = store.begin()
    const writer = store.begin()
    expect(reader.tx.get('a')).toBe(undefined)
    writer.tx.set('a', 'last')
    await store.transaction(async (tx) => tx.set('a', 'first'))
    await reader.commit()
    await writer.commit()
    expect(store.read('a')).toBe('last')
  })

  it('notice that something was made and deleted again behind their back', async () => {
    const store = memoryStore()
    await store.transaction(async (tx) => tx.set('a', 1))
    const { tx, commit } = store.begin()
    tx.set('b', tx.get('a'))
    await store.transaction(async (other) => other.delete('a'))
    await store.transaction(async (other) => other.set('a', 1))
    expect(await codeOf(commit())).toBe('TRANSACTION_CONFLICT none')
  })

  it('refuse a transaction that is over, and one of another database', async () => {
    const store = memoryStore()
    let over: MemoryTx | undefined
    await store.transaction(async (tx) => {
      over = tx
    })
    for (const use of [() => over?.get('a'), () => over?.set('a', 1), () => over?.delete('a')])
      expect(await codeOf(use)).toBe('TRANSACTION_REQUIRED none')
    const another = memoryStore().begin()
    expect(store.isTransaction(another.tx)).toBe(false)
    expect(await codeOf(store.outbox.append(another.tx, [row('a')]))).toBe('TRANSACTION_REQUIRED none')
    const shared = memoryStore({ database: store.database }).begin()
    expect(store.isTransaction(shared.tx)).toBe(true)
  })
})

describe('a transaction that its caller ends', () => {
  it('ends once', async () => {
    const store = memoryStore()
    const { tx, commit, rollback } = store.begin()
    tx.set('a', 1)
    await commit()
    await rollback()
    expect(await codeOf(commit())).toBe('TRANSACTION_REQUIRED none')
    const undone = store.begin()
    undone.tx.set('a', 2)
    await undone.rollback()
    await undone.rollback()
    expect(await codeOf(undone.commit())).toBe('TRANSACTION_REQUIRED none')
    expect(store.read('a')).toBe(1)
  })
})

describe('a process that crashes', () => {
  // Found by the simulation: the claim came to its transaction a turn after that was gone, and the message was busy for ever.
  it('leaves nothing held, at whatever moment of an operation it happens', async () => {
    const message = { source: 'shop', id: '1' }
    const claim = (store: MemoryStore, tx: MemoryTx): Promise<unknown> => store.inbox.claim(tx, 'mail', [message])
    const reserve = (store: MemoryStore, tx: MemoryTx): Promise<unknown> =>
      store.idempotency.reserve(tx, 'orders', 'k', 'h')
    for (const operation of [claim, reserve])
      for (let turns = 0; turns < 12; turns++) {
        const database = memoryDatabase()
        const dying = memoryStore({ database })
        const asked = operation(dying, dying.begin().tx).catch(() => undefined)
        for (let turn = 0; turn < turns; turn++) await undefined
        dying.crash()
        await asked
        const next = memoryStore({ database })
        expect(JSON.stringify(await operation(next, next.begin().tx)), `after ${turns} turns`).toContain('first')
      }
  })

  it('loses its open transactions, and nothing that was committed', async () => {
    const database = memoryDatabase()
    const dying = memoryStore({ database })
    const other = memoryStore({ database })
    await dying.transaction(async (tx) => {
      tx.set('kept', true)
      await dying.inbox.claim(tx, 'c', [{ source: '/', id: '1' }])
    })
    const left = other.begin()
    left.tx.set('of another process', true)
    let later: string | undefined
    const lost = dying.transaction(async (tx) => {
      tx.set('lost', true)
      await dying.outbox.append(tx, [row('lost')])
      await dying.inbox.claim(tx, 'c', [{ source: '/', id: '2' }])
      dying.crash()
      later = await codeOf(() => tx.set('later', true))
    })
    expect(await codeOf(lost)).toBe('TRANSACTION_REQUIRED none')
    expect(later).toBe('TRANSACTION_REQUIRED none')
    await left.commit()
    expect(database.entries().map(([key]) => key)).toEqual(['kept', 'of another process'])
    expect(await idsIn(other)).toEqual([])
    const claims = other.transaction((tx) =>
      other.inbox.claim(tx, 'c', [
        { source: '/', id: '1' },
        { source: '/', id: '2' },
      ]),
    )
    expect(await claims).toEqual(['duplicate', 'first'])
  })

  it('is refused everything afterwards', async () => {
    const store = memoryStore()
    store.crash()
    for (const work of [
      () => store.transaction(async () => 1),
      () => store.outbox.lease('r', 1),
      () => store.outbox.stats(),
      () => store.inbox.started('c', { source: '/', id: '1' }),
      () => store.states.due('k', 1, 1),
      () => store.checkpoints.load('c', 'l'),
      () => store.migrate(),
      () => store.begin(),
    ])
      expect(await codeOf(work)).toBe('CONNECTION_LOST none')
  })

  it('keeps its leases until their time is over', async () => {
    const clock = fakeClock()
    const database = memoryDatabase({ clock })
    const dying = memoryStore({ database })
    const other = memoryStore({ database })
    expect(await dying.outbox.lease('a', 1_000)).toHaveLength(64)
    dying.crash()
    expect(await other.outbox.lease('b', 1_000)).toHaveLength(0)
    await clock.advance(1_001)
    expect(await other.outbox.lease('b', 1_000)).toHaveLength(64)
  })

  it('hears no announcements any more', async () => {
    const database = memoryDatabase()
    const dying = memoryStore({ database })
    const other = memoryStore({ database })
    let woken = 0
    await dying.outbox.listen?.(() => woken++)
    await other.outbox.announce?.()
    dying.crash()
    await other.outbox.announce?.()
    expect(woken).toBe(1)
  })

  it.each([
    ['begin', 'CONNECTION_LOST none', false],
    ['outbox.append', 'CONNECTION_LOST none', false],
    ['commit', 'CONNECTION_LOST none', false],
    // It is done, and nobody was told.
    ['committed', 'CONNECTION_LOST done', true],
  ])('at %s: %s', async (at, code, kept) => {
    const database = memoryDatabase()
    let told = 0
    const dying: MemoryStore = memoryStore({
      database,
      before: async (operation) => (operation === at ? dying.crash() : undefined),
    })
    dying.onCommitted(() => told++)
    const work = dying.transaction((tx) => dying.outbox.append(tx, [row('a')]))
    expect(await codeOf(work)).toBe(code)
    expect(told).toBe(0)
    expect(await idsIn(memoryStore({ database }))).toEqual(kept ? ['a'] : [])
  })
})

describe('before an operation', () => {
  it('it is waited for, and what it rejects with is what the operation rejects with', async () => {
    const seen: string[] = []
    let fails = ''
    const store = memoryStore({
      before: async (operation) => {
        seen.push(operation)
        if (operation === fails) throw new Error(`no ${operation}`)
      },
    })
    const publish = (id: string): Promise<void> =>
      store.transaction(async (tx) => {
        tx.set(id, true)
        await store.outbox.append(tx, [row(id)])
      })
    await publish('a')
    expect(seen).toEqual(['begin', 'outbox.append', 'commit', 'committed'])
    for (const [operation, id] of [
      ['begin', 'b'],
      ['outbox.append', 'c'],
      ['commit', 'd'],
      ['committed', 'e'],
    ] as const) {
      fails = operation
      await expect(publish(id)).rejects.toThrow(`no ${operation}`)
    }
    fails = 'outbox.lease'
    await expect(store.outbox.lease('r', 1)).rejects.toThrow('no outbox.lease')
    fails = ''
    expect(store.entries().map(([key]) => key)).toEqual(['a', 'e'])
    expect(await idsIn(store)).toEqual(['a', 'e'])
  })

  it('a commit that fails lets go of what the transaction held', async () => {
    let fails = true
    const store = memoryStore({
      before: async (operation) => {
        if (fails && operation === 'commit') throw new Error('no commit')
      },
    })
    const claim = (): Promise<unknown> =>
      store.transaction((tx) => store.inbox.claim(tx, 'c', [{ source: '/', id: '1' }]))
    await expect(claim()).rejects.toThrow('no commit')
    fails = false
    expect(await claim()).toEqual(['first'])
  })

  it('nothing joins a transaction any more that is being committed', async () => {
    let during = ''
    let mine: MemoryTx | undefined
    const store: MemoryStore = memoryStore({
      before: async (operation) => {
        if (operation === 'commit') during = await codeOf(store.outbox.append(mine as MemoryTx, [row('late')]))
      },
    })
    await store.transaction(async (tx) => {
      mine = tx
    })
    expect(during).toBe('TRANSACTION_REQUIRED none')
  })
})

describe('a closed store', () => {
  it('begins nothing, and lets what is open end', async () => {
    const store = memoryStore()
    const { tx, commit } = store.begin()
    await store.close()
    expect(await codeOf(store.transaction(async () => 1))).toBe('SHUTDOWN none')
    expect(await codeOf(store.outbox.stats())).toBe('SHUTDOWN none')
    await store.outbox.append(tx, [row('a')])
    await commit()
    expect(await idsIn(memoryStore({ database: store.database }))).toEqual(['a'])
  })
})

describe('options', () => {
  it.each([
    [{ database: {} }, 'database'],
    [{ database: memoryDatabase(), clock: fakeClock() }, 'clock'],
    [{ clock: {} }, 'clock'],
    [{ owner: '' }, 'owner'],
    [{ owner: 1 }, 'owner'],
    [{ archive: 'yes' }, 'archive'],
    [{ inboxRetentionMs: 0 }, 'inboxRetentionMs'],
    [{ idempotencyRetentionMs: -1 }, 'idempotencyRetentionMs'],
    [{ before: 1 }, 'before'],
    [{ schema: 'x' }, 'schema'],
  ])('%o are refused', (options, name) => {
    expect(() => memoryStore(options as never)).toThrow(new RegExp(`INVALID_OPTIONS.*${name}`))
  })

  it('of a database are checked too', () => {
    expect(() => memoryDatabase({ clok: 1 } as never)).toThrow('INVALID_OPTIONS')
  })

  it('say how long entries are kept', () => {
    const DAY_MS = 86_400_000
    const { inbox, idempotency } = memoryStore()
    expect([inbox.retentionMs, idempotency.retentionMs]).toEqual([14 * DAY_MS, DAY_MS])
    const own = memoryStore({ inboxRetentionMs: 5, idempotencyRetentionMs: 6 })
    expect([own.inbox.retentionMs, own.idempotency.retentionMs]).toEqual([5, 6])
  })

  it('of operations are checked', async () => {
    const store = memoryStore()
    expect(await codeOf(store.outbox.lease('r', -1))).toBe('INVALID_OPTIONS none')
    expect(await codeOf(store.outbox.purge({ olderThanMs: -1, limit: 1 }))).toBe('INVALID_OPTIONS none')
    expect(await codeOf(store.inbox.purge(1, 0.5))).toBe('INVALID_OPTIONS none')
    const undefinedState = store.transaction((tx) => store.states.save(tx, 'k', 'i', 0, undefined))
    expect(await codeOf(undefinedState)).toBe('INVALID_INPUT none')
    const unreserved = store.transaction((tx) => store.idempotency.complete(tx, 's', 'k', new Uint8Array()))
    expect(await codeOf(unreserved)).toBe('PROGRAMMING_ERROR none')
  })
})
