// States that are done: how long they are kept is for whoever purges to say.
import { type StoreCase, storeCase } from '../case.ts'
import { type AnyStore, gather } from '../desk.ts'
import { refused, same } from '../expect.ts'
import { find, load, save } from './states.ts'

const idsIn = async (store: AnyStore, kind = 'order'): Promise<readonly string[]> =>
  (await gather(store.states.list(kind, 1_000))).map(({ id }) => id)

export const doneStateCases: readonly StoreCase[] = [
  storeCase(
    'purges states of a kind that are done for long enough, the first ones first and a bounded number',
    async ({ store, other, leaseMs, pass }) => {
      same(await store.states.purge('order', 0, 10), 0, 'where there are none')
      await save(store, 'x', 0, {}, { done: true }, 'refund')
      // Neither by id nor in the order of making.
      for (const id of ['a', 'b', 'c', 'young']) await save(store, id, 0, { id })
      for (const id of ['c', 'a', 'b']) {
        await save(store, id, 1, { id, over: true }, { done: true })
        await pass(10)
      }
      await pass(leaseMs * 2)
      await save(store, 'young', 1, {}, { done: true })
      const purge = (limit: number): Promise<number> => other.states.purge('order', leaseMs * 1.5, limit)
      same(await purge(0), 0, 'none of them')
      same(await purge(1), 1, 'the first')
      same(await idsIn(store), ['a', 'b', 'young'], 'what is left')
      same(await purge(10), 2, 'the others that are old enough')
      same(await idsIn(store), ['young'], 'what is left then')
      same(await purge(10), 0, 'once more')
      same(await other.states.purge('order', leaseMs * 1_000, 10), 0, 'those that are very old')
      same(await idsIn(store, 'refund'), ['x'], 'those of another kind')
      await pass(10)
      same(await other.states.purge('order', 0, 10), 1, 'the one that was young')
      await refused('a negative age', () => store.states.purge('order', -1, 10), 'INVALID_OPTIONS')
      await refused('half a state', () => store.states.purge('order', 0, 0.5), 'INVALID_OPTIONS')
    },
  ),

  storeCase('purges no state that is not done, whatever its age', async ({ store, other, leaseMs, pass }) => {
    await save(store, 'open', 0, { n: 1 }, { correlations: ['payment 1'], wakeAt: 1_000 })
    await save(store, 'again', 0, {}, { done: true })
    await save(store, 'again', 1, { n: 2 }, { correlations: ['payment 2'] })
    await pass(leaseMs)
    same(await other.states.purge('order', 0, 10), 0, 'what is over')
    same(
      [await load(store, 'open'), await load(store, 'again')],
      [
        { version: 1, state: { n: 1 } },
        { version: 2, state: { n: 2 } },
      ],
      'what is there',
    )
    same([await find(store, 'payment 1'), await find(store, 'payment 2')], ['open', 'again'], 'who waits')
    same(await store.states.due('order', 1_000, 10), ['open'], 'what is due')
  }),

  storeCase(
    'counts from when a state was done, and not from when it was made, changed, or done before',
    async ({ store, other, leaseMs, pass }) => {
      for (const id of ['made', 'changed', 'reopened']) await save(store, id, 0, {}, { done: id !== 'made' })
      await pass(leaseMs * 2)
      await save(store, 'made', 1, {}, { done: true })
      await save(store, 'changed', 1, { n: 2 }, { done: true })
      await save(store, 'reopened', 1, {})
      await save(store, 'reopened', 2, {}, { done: true })
      same(await other.states.purge('order', leaseMs * 1.5, 10), 1, 'those done for so long')
      same(await idsIn(store), ['made', 'reopened'], 'what is left')
    },
  ),

  storeCase('has the id of a state that was purged free for another one', async ({ store, other, pass }) => {
    await save(store, 'a', 0, { n: 1 }, { correlations: ['payment 1'] })
    await save(store, 'a', 1, { n: 2 }, { done: true })
    await pass(10)
    same(await other.states.purge('order', 0, 10), 1, 'what is over')
    same([await load(store, 'a'), await find(store, 'payment 1')], [undefined, undefined], 'what is left of it')
    same(await save(store, 'a', 2, {}), false, 'changing it')
    same(await save(store, 'a', 0, { n: 3 }, { correlations: ['payment 1'] }), true, 'making another one')
    same(await load(other, 'a'), { version: 1, state: { n: 3 } }, 'the other one')
    same(await find(other, 'payment 1'), 'a', 'who waits')
    await pass(10)
    same(await other.states.purge('order', 0, 10), 0, 'what is over then')
  }),

  storeCase('counts each state once when several purge at the same time', async ({ store, other, pass }) => {
    await store.transaction(async (tx) => {
      for (let n = 0; n < 40; n++) await store.states.save(tx, 'order', `s${n}`, 0, {}, { done: true })
    })
    await pass(10)
    const counts = await Promise.all([store, other, store, other].map((by) => by.states.purge('order', 0, 15)))
    let gone = counts.reduce((sum, count) => sum + count, 0)
    same((await idsIn(store)).length, 40 - gone, 'what is left')
    for (let more = 1; more > 0; gone += more) more = await store.states.purge('order', 0, 15)
    same([gone, (await idsIn(store)).length], [40, 0], 'how many there were, and what is left in the end')
  }),
]
