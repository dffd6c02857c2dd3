// Appending, and the order that it promises: per channel and key, order by sequence is order of commit.
import type { OutboxRow } from '../../../core/contracts/store.ts'
import { isFairleadError } from '../../../errors/base.ts'
import { foreign, type StoreCase, storeCase } from '../case.ts'
import type { AnyStore, Desk, DeskRelay } from '../desk.ts'
import { demand, same, the } from '../expect.ts'
import { holding } from '../holding.ts'

// What the reader of an outbox may rely on: it never meets a row of a key that stands before one it has met.
class Oracle {
  readonly met = new Set<bigint>()
  private readonly last = new Map<string, { readonly sequence: bigint; readonly id: string }>()

  async look(reader: DeskRelay): Promise<void> {
    for (const { sequence, channel, envelope } of await reader.pending()) {
      if (this.met.has(sequence)) continue
      this.met.add(sequence)
      const key = `${channel.name} ${envelope.key}`
      const before = this.last.get(key)
      demand(
        before === undefined || before.sequence < sequence,
        `order of ${key} broken: ${envelope.id} (${sequence}) came after ${before?.id} (${before?.sequence}) could be read`,
      )
      this.last.set(key, { sequence, id: envelope.id })
    }
  }
}

interface Writers {
  readonly stores: readonly AnyStore[]
  readonly writers: number
  readonly each: number
  /** Appends these in a transaction that it begins and ends, with pauses in it. */
  write(store: AnyStore, rows: readonly OutboxRow[]): Promise<void>
}

// Writers and a reader at the same time. Answers how many transactions the database undid because of another one.
async function writeAndRead(desk: Desk, { stores, writers, each, write }: Writers): Promise<number> {
  const { random, row, relay, other, pause } = desk
  const reader = await relay('reader', { store: other })
  const oracle = new Oracle()
  let conflicts = 0
  let going = writers
  const writer = async (number: number): Promise<void> => {
    try {
      for (let count = 0; count < each; count++) {
        // Each in an order of its own, the same key twice among them.
        const keys = [1, 2, 3].map(() => `k${Math.floor(random() * 4)}`)
        const rows = keys.map((key, at) => row(`${key}:${number}/${count}/${at}`))
        for (let done = false; !done; ) {
          try {
            await write(stores[number % stores.length] as AnyStore, rows)
            done = true
          } catch (error) {
            if (!isFairleadError(error) || error.code !== 'TRANSACTION_CONFLICT') throw error
            demand(++conflicts < 10_000, 'the database undoes transactions without end')
          }
          await pause()
        }
      }
    } finally {
      going--
    }
  }
  const reading = async (): Promise<void> => {
    while (going > 0) {
      await oracle.look(reader)
      await pause()
    }
  }
  await Promise.all([reading(), ...Array.from({ length: writers }, (_, number) => writer(number))])
  await oracle.look(reader)
  same(oracle.met.size, writers * each * 3, 'rows that were read in the end')
  // The order within one call is part of it.
  const places = new Map<string, number>()
  for (const { envelope } of await reader.pending()) {
    const [, call, at] = /^.*:(\d+\/\d+)\/(\d)$/.exec(envelope.id) as unknown as [string, string, string]
    const name = `${envelope.key} of ${call}`
    demand((places.get(name) ?? -1) < Number(at), `the order of one call is broken: ${envelope.id} comes too late`)
    places.set(name, Number(at))
  }
  return conflicts
}

export const orderCases: readonly StoreCase[] = [
  storeCase('shows rows once they are committed, and not before', async ({ store, other, row, relay }) => {
    const reader = await relay('reader', { store: other })
    await store.transaction(async (tx) => {
      await store.outbox.append(tx, [row('k:1'), row('k:2')])
      same(await reader.ids(), [], 'before the commit')
    })
    same(await reader.ids(), ['k:1', 'k:2'], 'after it')
    for (const { attempts, sequence, partition } of await reader.pending()) {
      same(
        [attempts, typeof sequence, reader.partitions.includes(partition)],
        [0, 'bigint', true],
        'what is known of a new row',
      )
    }
  }),

  storeCase('shows nothing of what was rolled back', async ({ store, publish, row, relay }) => {
    await store
      .transaction(async (tx) => {
        await store.outbox.append(tx, [row('k:1')])
        throw new Error('rolled back')
      })
      .catch(() => {})
    await publish(['k:2'])
    same(await (await relay()).ids(), ['k:2'], 'rows')
    same((await store.outbox.stats()).backlog, 1, 'the backlog')
  }),

  storeCase(
    'keeps the order of rows in one call, of calls in one transaction, and of transactions',
    async ({ store, row, relay, publish, other }) => {
      const numbers = Array.from({ length: 40 }, (_, at) => `k${at % 3}:${at}`)
      await store.transaction(async (tx) => {
        await store.outbox.append(
          tx,
          numbers.slice(0, 10).map((id) => row(id)),
        )
        await store.outbox.append(tx, [])
        await store.outbox.append(
          tx,
          numbers.slice(10, 12).map((id) => row(id)),
        )
        for (const id of numbers.slice(12, 20)) await store.outbox.append(tx, [row(id)])
      })
      for (const id of numbers.slice(20, 30)) await publish([id], Number(id.split(':')[1]) % 2 === 0 ? store : other)
      await publish(numbers.slice(30))
      const ids = await (await relay()).ids()
      for (const key of ['k0', 'k1', 'k2'])
        same(
          ids.filter((id) => id.startsWith(`${key}:`)),
          numbers.filter((id) => id.startsWith(`${key}:`)),
          `the order of ${key}`,
        )
      same(ids.length, numbers.length, 'how many there are')
    },
  ),

  storeCase('appends many rows in one call', async ({ store, row, relay, heavy }) => {
    const rows = Array.from({ length: heavy }, (_, at) => row(`k${at % 50}:${at}`))
    await store.transaction((tx) => store.outbox.append(tx, rows))
    const pending = await (await relay()).pending(heavy + 1)
    same(pending.length, heavy, 'how many there are')
    same(new Set(pending.map(({ sequence }) => sequence)).size, heavy, 'how many sequences')
    for (let key = 0; key < 50; key++) {
      const numbers = pending.flatMap(({ envelope }) =>
        envelope.key === `k${key}` ? [Number(envelope.id.split(':')[1])] : [],
      )
      same(
        numbers,
        numbers.toSorted((a, b) => a - b),
        `the order of k${key}`,
      )
    }
  }),

  storeCase('keeps the order of a key when a transaction that began first commits last', async (desk) => {
    const { store, other, row, relay, quiet, done } = desk
    const reader = await relay('reader', { store: other })
    const oracle = new Oracle()
    const slow = await holding(desk, store, (tx) => store.outbox.append(tx, [row('k:slow')]))
    const fast = other.transaction((tx) => other.outbox.append(tx, [row('k:fast')]))
    fast.catch(() => {})
    await quiet()
    await oracle.look(reader)
    await slow.end()
    await oracle.look(reader)
    await done('the second', fast)
    await oracle.look(reader)
    same(oracle.met.size, 2, 'rows')
  }),

  storeCase(
    'keeps the order of each key among transactions at the same time, and undoes none of them',
    async (desk) => {
      const conflicts = await writeAndRead(desk, {
        stores: [desk.store, desk.other, await desk.open()],
        writers: 8,
        each: 12,
        write: (store, rows) =>
          store.transaction(async (tx) => {
            await desk.pause()
            await store.outbox.append(tx, rows)
            await desk.pause()
          }),
      })
      same(conflicts, 0, 'transactions that were undone')
    },
    [],
    60_000,
  ),

  storeCase(
    'keeps the order of each key among transactions that note what they append',
    async (desk) => {
      const conflicts = await writeAndRead(desk, {
        stores: [desk.store, desk.other],
        writers: 6,
        each: 12,
        write: (store, rows) =>
          store.transaction(async (tx) => {
            store.beforeCommit(tx, (same) => store.outbox.append(same, rows))
            await desk.pause()
          }),
      })
      same(conflicts, 0, 'transactions that were undone')
    },
    [],
    60_000,
  ),

  storeCase(
    'keeps the order of each key among transactions that it did not begin',
    async (desk) => {
      await writeAndRead(desk, {
        stores: [desk.store, desk.other],
        writers: 6,
        each: 10,
        async write(store, rows) {
          const { tx, commit, rollback } = the(await desk.lab.begin?.(store), 'the transaction')
          try {
            await desk.pause()
            await store.outbox.append(tx, rows)
            await desk.pause()
          } catch (error) {
            await rollback()
            throw error
          }
          await commit()
        },
      })
    },
    [foreign],
    60_000,
  ),

  storeCase(
    'keeps the order of each key at every isolation level',
    async (desk) => {
      for (const level of desk.lab.levels ?? []) {
        const stores = [await desk.open({ level }), await desk.open({ level })]
        const reader = await desk.relay('reader')
        await writeAndRead(desk, {
          stores,
          writers: 4,
          each: 8,
          write: (store, rows) =>
            store.transaction(async (tx) => {
              await desk.pause()
              await store.outbox.append(tx, rows)
              await desk.pause()
            }),
        })
        await reader.renew()
        const rows = await reader.pending()
        await reader.settle(Object.fromEntries(rows.map(({ envelope }) => [envelope.id, { verdict: 'published' }])))
        await reader.release()
      }
    },
    [({ levels }) => (levels === undefined ? 'the lab names no isolation levels' : undefined)],
    120_000,
  ),
]
