// What a relay reads: rows of the partitions that it holds, by sequence.
import type { PendingRow } from '../../../core/contracts/store.ts'
import { restartable, type StoreCase, storeCase } from '../case.ts'
import { idsOf } from '../desk.ts'
import { demand, same, the } from '../expect.ts'
import { holding } from '../holding.ts'

const spread = (count: number): readonly string[] => Array.from({ length: count }, (_, at) => `k${at}:${at}`)

function bySequence(rows: readonly PendingRow[]): void {
  for (const [at, { sequence }] of rows.entries())
    demand(at === 0 || sequence > (rows[at - 1] as PendingRow).sequence, 'rows are not in the order of their sequence')
}

export const pendingCases: readonly StoreCase[] = [
  storeCase(
    'gives each relay the rows of the partitions that it holds, and no others',
    async ({ relay, other, publish }) => {
      const first = await relay('first')
      const second = await relay('second', { store: other })
      await first.renew()
      await second.renew()
      await publish(spread(200))
      const rows = [await first.pending(), await second.pending()]
      for (const [at, { partitions }] of [first, second].entries())
        for (const { partition, envelope } of rows[at] ?? [])
          demand(
            partitions.includes(partition),
            `${envelope.id} of partition ${partition} went to a relay that does not hold it`,
          )
      same(idsOf(rows.flat()).toSorted(), spread(200).toSorted(), 'what both have together')
      demand(
        rows.every((each) => each.length > 20),
        'one of them has nearly nothing',
      )
    },
  ),

  storeCase(
    'gives rows of the leases that are given, and nothing without leases',
    async ({ relay, store, publish }) => {
      await publish(spread(100))
      const held = await relay()
      same(await store.outbox.pending([], 1_000), [], 'without leases')
      const [one] = await held.pending(1)
      const lease = the(
        held.leases.find(({ partition }) => partition === one?.partition),
        'the lease of the first row',
      )
      const rows = await store.outbox.pending([lease], 1_000)
      demand(rows.length > 0 && rows.length < 100, `${rows.length} of 100 rows are in one partition`)
      for (const { partition } of rows) same(partition, lease.partition, 'the partition of a row')
    },
  ),

  storeCase('gives rows by sequence, as many as are asked for', async ({ relay, publish }) => {
    await publish(spread(60))
    const held = await relay()
    const all = await held.pending()
    same(all.length, 60, 'how many there are')
    bySequence(all)
    for (const limit of [1, 7, 59, 60, 61])
      same(await held.ids(limit), idsOf(all.slice(0, limit)), `the first ${limit}`)
  }),

  storeCase('gives rows by sequence whatever their priority and their time', async ({ relay, publish, row, clock }) => {
    const later = clock.wallNow() + 1_000_000
    await publish([
      row('k:1', { priority: 1 }),
      row('k:2', { priority: 9 }),
      row('k:3', { notBefore: later }),
      row('k:4', { expiresAt: 1 }),
    ])
    same(await (await relay()).ids(), ['k:1', 'k:2', 'k:3', 'k:4'], 'rows')
  }),

  storeCase(
    'reads again from the beginning, in order, what was read and is not settled',
    async ({ relay, publish }) => {
      await publish(spread(30))
      const held = await relay()
      const all = await held.ids()
      same([await held.ids(10), await held.ids(10)], [all.slice(0, 10), all.slice(0, 10)], 'the first ten, read twice')
      await held.settle(Object.fromEntries(all.slice(3, 10).map((id) => [id, { verdict: 'published' }])))
      same(
        await held.ids(10),
        [...all.slice(0, 3), ...all.slice(10, 17)],
        'the first ten, when some of them are settled',
      )
      const left = await held.pending()
      bySequence(left)
      same(idsOf(left), [...all.slice(0, 3), ...all.slice(10)], 'all that is left')
    },
  ),

  storeCase('gives first what became visible late, behind rows that were read before', async (desk) => {
    const { store, other, relay, row, quiet, done, publish } = desk
    const held = await relay('relay', { store: other })
    const slow = await holding(desk, store, (tx) => store.outbox.append(tx, [row('slow:1')]))
    const fast = other.transaction((tx) => other.outbox.append(tx, [row('fast:1')]))
    fast.catch(() => {})
    await quiet()
    // Where writers wait for each other nothing is there yet.
    await held.ids()
    await slow.end()
    await done('the second transaction', fast)
    await publish(['slow:2'])
    same(
      (await held.ids()).filter((id) => id.startsWith('slow')),
      ['slow:1', 'slow:2'],
      'rows of the key whose first one became visible late',
    )
  }),

  storeCase('gives rows again as long as they are not settled', async ({ relay, publish }) => {
    await publish(['k:1', 'k:2'])
    const held = await relay()
    same(
      [await held.ids(), await held.ids()],
      [
        ['k:1', 'k:2'],
        ['k:1', 'k:2'],
      ],
      'looking twice',
    )
    await held.release()
    same(await (await relay('next')).ids(), ['k:1', 'k:2'], 'for the next holder')
    for (const { attempts } of await (await relay('next')).pending()) same(attempts, 0, 'attempts')
  }),

  storeCase('reads to its end what stands behind many rows of a blocked key', async ({ relay, publish, heavy }) => {
    await publish(Array.from({ length: Math.min(heavy, 300) }, (_, at) => `blocked:${at}`))
    await publish(['free:1', 'free:2'])
    const held = await relay()
    await held.ids()
    await held.settle({ 'blocked:0': { verdict: 'dead', reason: 'suite', blocksKey: true } })
    same(await held.ids(10), ['free:1', 'free:2'], 'rows')
  }),

  storeCase(
    'keeps what was committed, and nothing else, over the death of the database',
    async (desk) => {
      const { store, lab, relay, publish, row, until, dead } = desk
      await publish(['k:1', 'k:2', 'j:1'])
      const held = await relay()
      await held.ids()
      await held.settle({
        'k:1': { verdict: 'published' },
        'j:1': { verdict: 'dead', reason: 'suite', blocksKey: true },
      })
      const lost = await holding(desk, store, (tx) => store.outbox.append(tx, [row('k:lost')]))
      await lab.restart?.()
      let committed = true
      await lost.end().catch(() => {
        committed = false
      })
      demand(!committed, 'a transaction that was open while the database died was committed')
      let back: readonly string[] = []
      await until('the store to be back', async () => {
        try {
          await held.renew()
          back = await held.ids()
          return true
        } catch {
          return false
        }
      })
      same(back, ['k:2'], 'rows')
      same(idsOf(await dead()), ['j:1'], 'dead rows')
      await publish(['k:3'])
      same(await held.ids(), ['k:2', 'k:3'], 'rows, with one that came later')
    },
    [restartable],
    120_000,
  ),
]
