// What was given up: rows that are dead, what becomes of their keys, and how they are skipped, put back and purged.
import { type StoreCase, storeCase } from '../case.ts'
import { type Desk, idsOf, type Verdict } from '../desk.ts'
import { demand, same } from '../expect.ts'

const dead = (blocksKey = true, reason = 'it is broken'): Verdict => ({ verdict: 'dead', reason, blocksKey })
const published: Verdict = { verdict: 'published' }

// Archived rows are out of sight but for how many are purged.
async function publishedInTurn({
  relay,
  publish,
  open,
  pass,
  leaseMs,
}: Desk): Promise<Awaited<ReturnType<Desk['open']>>> {
  const store = await open({ archive: true })
  const held = await relay('archiving', { store })
  for (const ids of [
    ['a:1', 'a:2', 'a:3'],
    ['b:1', 'b:2'],
  ]) {
    await publish(ids)
    await held.ids()
    await held.settle(Object.fromEntries(ids.map((id) => [id, published])))
    await pass(leaseMs)
  }
  await held.release()
  return store
}

export const deadCases: readonly StoreCase[] = [
  storeCase(
    'sets a dead row aside with its reason, and lets its key wait',
    async ({ relay, publish, row, store, clock, dead: given }) => {
      await publish([row('k:1', { headers: { a: 'b' }, priority: 2 }), 'k:2', 'j:1'])
      const held = await relay()
      const [first] = await held.pending()
      await held.settle({ 'k:1': { verdict: 'retry', delayMs: 0, reason: 'once' } })
      await held.ids()
      same(await held.settle({ 'k:1': dead(true, 'zwölf \u{1F41F}') }), 1, 'how many were settled')
      same(await held.ids(), ['j:1'], 'what may be published')
      const [found] = await given()
      same(
        [
          found?.envelope.id,
          found?.envelope.key,
          found?.envelope.headers,
          found?.envelope.priority,
          found?.channel.name,
        ],
        ['k:1', 'k', { a: 'b' }, 2, 'orders'],
        'the dead row',
      )
      same(
        [found?.reason, found?.sequence, found?.partition],
        ['zwölf \u{1F41F}', first?.sequence, first?.partition],
        'what is known of it',
      )
      demand((found?.attempts ?? 0) >= 1, 'its attempts are forgotten')
      demand(Math.abs((found?.at ?? 0) - clock.wallNow()) < 3_600_000, `it is said to have died at ${found?.at}`)
      const { backlog, dead: count, blockedKeys } = await store.outbox.stats()
      same([backlog, count, blockedKeys], [2, 1, 1], 'the figures')
      await publish(['k:3'])
      same(await held.ids(), ['j:1'], 'what may be published when another one of the key came')
    },
  ),

  storeCase('lets the key of a dead row go on where that is said', async ({ relay, publish, store, dead: given }) => {
    await publish(['k:1', 'k:2'])
    const held = await relay()
    await held.ids()
    await held.settle({ 'k:1': dead(false) })
    same(await held.ids(), ['k:2'], 'what may be published')
    same([idsOf(await given()), (await store.outbox.stats()).blockedKeys], [['k:1'], 0], 'dead rows and blocked keys')
  }),

  storeCase('lets an earlier row of the key go its way, and only later ones wait', async ({ relay, publish, pass }) => {
    await publish(['k:1', 'k:2', 'k:3', 'j:1'])
    const held = await relay()
    await held.ids()
    await held.settle({ 'k:1': { verdict: 'hold', delayMs: 200 }, 'k:2': dead() })
    await pass(300)
    same(await held.ids(), ['k:1', 'j:1'], 'what may be published once the earlier one is due')
  }),

  storeCase(
    'lists dead rows oldest first, as many as are asked for',
    async ({ relay, publish, store, pass, dead: given }) => {
      const ids = ['c:1', 'a:1', 'b:1', 'd']
      await publish([...ids].reverse())
      const held = await relay()
      await held.ids()
      for (const id of ids) {
        await held.settle({ [id]: dead() })
        await pass(10)
      }
      same(idsOf(await given()), ids, 'all of them')
      same(idsOf(await given(2)), ids.slice(0, 2), 'the first two')
      let looked = 0
      for await (const _ of store.outbox.dead(10)) if (++looked === 1) break
      same(looked, 1, 'leaving off after the first')
    },
  ),

  storeCase('skips dead rows: they are gone, and their keys go on', async ({ relay, publish, store, dead: given }) => {
    await publish(['k:1', 'k:2', 'j:1', 'j:2'])
    const held = await relay()
    await held.ids()
    await held.settle({ 'k:1': dead(), 'j:1': dead() })
    same(await held.ids(), [], 'what may be published')
    same(await store.outbox.skip(['k:1', 'nobody']), 1, 'how many were skipped')
    same(await held.ids(), ['k:2'], 'what may be published then')
    same(idsOf(await given()), ['j:1'], 'dead rows')
    same(await store.outbox.skip(['k:1']), 0, 'skipping it again')
    same(await store.outbox.skip([]), 0, 'skipping nothing')
    same(await store.outbox.redrive('all'), 1, 'what can be put back')
    same(await held.ids(), ['k:2', 'j:1', 'j:2'], 'what may be published in the end')
  }),

  storeCase('skips pending rows, a failed one that blocks its key among them', async ({ relay, publish, store }) => {
    await publish(['k:1', 'k:2', 'k:3', 'a'])
    const held = await relay()
    await held.ids()
    await held.settle({ 'k:1': { verdict: 'retry', delayMs: 100_000, reason: 'suite' } })
    same(await held.ids(), ['a'], 'what may be published')
    same(await store.outbox.skip(['k:1', 'k:2', 'a']), 3, 'how many were skipped')
    same(await held.ids(), ['k:3'], 'what may be published then')
    const { backlog, blockedKeys, dead: count } = await store.outbox.stats()
    same([backlog, blockedKeys, count], [1, 0, 0], 'the figures')
    same(await held.settle({ 'k:2': published }), 0, 'settling one that was skipped meanwhile')
  }),

  storeCase(
    'puts a dead row back at its old place, before later ones of its key',
    async ({ relay, publish, store, dead: given }) => {
      await publish(['k:1', 'k:2', 'j:1', 'k:3', 'z:1'])
      const held = await relay()
      const before = await held.pending()
      await held.settle({ 'k:1': published, 'k:2': dead(), 'z:1': dead() })
      await publish(['k:4'])
      same(await held.ids(), ['j:1'], 'what may be published')
      same(await store.outbox.redrive(['k:2', 'nobody']), 1, 'how many were put back')
      const rows = await held.pending()
      same(idsOf(rows), ['k:2', 'j:1', 'k:3', 'k:4'], 'what may be published then')
      same(rows[0]?.sequence, before[1]?.sequence, 'its sequence')
      same(
        [idsOf(await given()), (await store.outbox.stats()).blockedKeys],
        [['z:1'], 1],
        'dead rows and blocked keys that are left',
      )
      same(await store.outbox.redrive(['k:2']), 0, 'putting it back again')
      same(await held.settle(Object.fromEntries(idsOf(rows).map((id) => [id, published]))), 4, 'how many were settled')
    },
  ),

  storeCase('puts all dead rows back, each at its place', async ({ relay, publish, store, dead: given }) => {
    const ids = ['k:1', 'j:1', 'k:2', 'a', 'j:2', 'k:3']
    await publish(ids)
    const held = await relay()
    await held.ids()
    for (const id of ['k:2', 'a', 'j:1', 'k:1']) await held.settle({ [id]: dead(id !== 'a') })
    same(await held.ids(), [], 'what may be published')
    same(await store.outbox.redrive('all'), 4, 'how many were put back')
    same(await held.ids(), ids, 'what may be published then')
    same(await given(), [], 'dead rows')
    same(await store.outbox.redrive('all'), 0, 'putting all back again')
    await held.settle({ 'k:1': dead() })
    same(await held.ids(), ['j:1', 'a', 'j:2'], 'what may be published when one dies again')
  }),

  storeCase('puts a dead row back without what it failed before', async ({ relay, publish, store }) => {
    await publish(['k:1'])
    const held = await relay()
    await held.ids()
    for (let failures = 0; failures < 3; failures++)
      await held.settle({ 'k:1': { verdict: 'retry', delayMs: 0, reason: 'suite' } })
    await held.settle({ 'k:1': { verdict: 'retry', delayMs: 100_000, reason: 'suite' } })
    await held.settle({ 'k:1': dead() })
    await store.outbox.redrive('all')
    same(
      (await held.pending()).map(({ attempts }) => attempts),
      [0],
      'its attempts: it would die of the first failure otherwise',
    )
  }),

  storeCase(
    'purges dead rows that are old enough, oldest first and a bounded number, and their keys go on',
    async ({ relay, publish, store, pass, leaseMs, dead: given }) => {
      await publish(['a:1', 'b:1', 'c:1', 'd:1', 'a:2', 'b:2', 'd:2'])
      const held = await relay()
      await held.ids()
      for (const id of ['a:1', 'b:1', 'c:1']) {
        await held.settle({ [id]: dead() })
        await pass(10)
      }
      await pass(leaseMs * 2)
      await held.settle({ 'd:1': dead() })
      const purge = (limit: number): Promise<number> =>
        store.outbox.purge({ olderThanMs: leaseMs * 1.5, limit, dead: true })
      same(await store.outbox.purge({ olderThanMs: 1_000_000, limit: 10, dead: true }), 0, 'those that are very old')
      same(await store.outbox.purge({ olderThanMs: 0, limit: 10 }), 0, 'what is over, without the dead')
      same(await purge(1), 1, 'the first')
      same(idsOf(await given()), ['b:1', 'c:1', 'd:1'], 'what is left')
      same(await purge(10), 2, 'the others that are old enough')
      same(idsOf(await given()), ['d:1'], 'what is left then')
      same(await purge(10), 0, 'once more')
      same(await held.ids(), ['a:2', 'b:2'], 'what may be published: one key still waits')
    },
  ),

  storeCase('keeps what is published only where that is asked for', async ({ relay, publish, store, pass }) => {
    await publish(['k:1'])
    const held = await relay()
    await held.ids()
    await held.settle({ 'k:1': published })
    await pass(10)
    same(await store.outbox.purge({ olderThanMs: 0, limit: 10 }), 0, 'what can be purged')
  }),

  storeCase('purges archived rows that are old enough, a bounded number', async (desk) => {
    const store = await publishedInTurn(desk)
    const purge = (olderThanMs: number, limit: number): Promise<number> => store.outbox.purge({ olderThanMs, limit })
    same((await store.outbox.stats()).backlog, 0, 'the backlog')
    same(await purge(1_000_000, 10), 0, 'those that are very old')
    same(await purge(desk.leaseMs * 1.5, 2), 2, 'two of the first three')
    same(await purge(desk.leaseMs * 1.5, 10), 1, 'the third')
    same(await purge(desk.leaseMs * 1.5, 10), 0, 'while the others are young')
    same(await store.outbox.purge({ olderThanMs: 0, limit: 10, dead: true }), 0, 'dead ones')
    same(await purge(0, 10), 2, 'the others in the end')
    same(await store.outbox.redrive('all'), 0, 'what can be put back of archived ones')
  }),
]
