// Answers to requests that name themselves: given once, replayed ever after, and never to another request.
import { type StoreCase, storeCase } from '../case.ts'
import type { AnyStore } from '../desk.ts'
import { demand, same } from '../expect.ts'
import { holding } from '../holding.ts'

const ROLLED_BACK = new Error('rolled back')

async function answer(
  store: AnyStore,
  key: string,
  response: Uint8Array,
  scope = 'POST /orders',
  hash = 'hash',
): Promise<string> {
  return store.transaction(async (tx) => {
    const { state } = await store.idempotency.reserve(tx, scope, key, hash)
    if (state === 'first') await store.idempotency.complete(tx, scope, key, response)
    return state
  })
}

async function look(store: AnyStore, key: string, scope = 'POST /orders', hash = 'hash'): Promise<unknown> {
  let found: unknown
  await store
    .transaction(async (tx) => {
      const reserved = await store.idempotency.reserve(tx, scope, key, hash)
      found = reserved.state === 'stored' ? [...reserved.response] : reserved.state
      throw ROLLED_BACK
    })
    .catch((error: unknown) => {
      if (error !== ROLLED_BACK) throw error
    })
  return found
}

export const idempotencyCases: readonly StoreCase[] = [
  storeCase('keeps the answer to a request, and gives it to each one of that key', async ({ store, other }) => {
    same(await answer(store, '1', new Uint8Array([0, 255, 10])), 'first', 'the first time')
    same(await look(store, '1'), [0, 255, 10], 'the second time')
    same(await look(other, '1'), [0, 255, 10], 'in another process')
    same(await answer(other, '1', new Uint8Array([9])), 'stored', 'answering it again')
    same(await look(store, '1'), [0, 255, 10], 'after that')
  }),

  storeCase('keeps answers of every length', async ({ store }) => {
    const large = Uint8Array.from({ length: 300_000 }, (_, at) => at % 251)
    await answer(store, 'empty', new Uint8Array())
    await answer(store, 'large', large)
    same(await look(store, 'empty'), [], 'an empty one')
    demand(Buffer.from((await look(store, 'large')) as number[]).equals(large), 'a large one came out otherwise')
  }),

  storeCase('refuses a key that comes with another body', async ({ store, other }) => {
    await answer(store, '1', new Uint8Array([1]))
    same(await look(other, '1', 'POST /orders', 'another hash'), 'mismatch', 'another body')
    same(await look(other, '1'), [1], 'the same body')
  }),

  storeCase('frees a key whose transaction was rolled back', async ({ store, other }) => {
    same(await look(store, '1'), 'first', 'the first time')
    same(await look(other, '1', 'POST /orders', 'another hash'), 'first', 'with another body, after it was rolled back')
    await other
      .transaction(async (tx) => {
        await other.idempotency.reserve(tx, 'POST /orders', '1', 'hash')
        await other.idempotency.complete(tx, 'POST /orders', '1', new Uint8Array([1]))
        throw ROLLED_BACK
      })
      .catch(() => {})
    same(await answer(store, '1', new Uint8Array([2])), 'first', 'after an answer that was rolled back')
    same(await look(store, '1'), [2], 'the answer')
  }),

  storeCase(
    'answers running while another one is at it, or waits for its answer, and leaves the transaction usable',
    async (desk) => {
      const { store, other, done, quiet, row, relay } = desk
      const first = await holding(desk, store, async (tx) => {
        await store.idempotency.reserve(tx, 'POST /orders', '1', 'hash')
        await store.idempotency.complete(tx, 'POST /orders', '1', new Uint8Array([1]))
      })
      let state: string | undefined
      const second = other.transaction(async (tx) => {
        ;({ state } = await other.idempotency.reserve(tx, 'POST /orders', '1', 'hash'))
        await other.outbox.append(tx, [row('written')])
      })
      second.catch(() => {})
      await quiet()
      demand(state === undefined || state === 'running', `the second is told ${state} while the first is at it`)
      await first.end()
      await done('the second', second)
      demand(state === 'running' || state === 'stored', `the second is told ${state}`)
      same(await look(other, '1'), [1], 'the answer in the end')
      same(await (await relay()).ids(), ['written'], 'what the second wrote')
    },
  ),

  storeCase('tells keys apart by scope and by every letter', async ({ store }) => {
    const names = [
      ['a', 'k'],
      ['b', 'k'],
      ['A', 'k'],
      ['a', 'K'],
      ['a', 'k '],
      ['a ', 'k'],
      ['ak', ''],
      ['', 'ak'],
      ['a', '\u{1F41F}'],
      ['a', `${'k'.repeat(2_000)}a`],
      ['a', `${'k'.repeat(2_000)}b`],
    ] as const
    for (const [at, [scope, key]] of names.entries())
      same(await answer(store, key, new Uint8Array([at]), scope), 'first', `${scope} ${key.slice(-9)}`)
    for (const [at, [scope, key]] of names.entries())
      same(await look(store, key, scope), [at], `${scope} ${key.slice(-9)}`)
  }),

  storeCase('purges answers that are old enough, a bounded number', async ({ store, leaseMs, pass }) => {
    for (const key of ['1', '2', '3']) await answer(store, key, new Uint8Array([1]))
    await pass(leaseMs * 2)
    await answer(store, '4', new Uint8Array([4]))
    same(await store.idempotency.purge(leaseMs * 1_000, 10), 0, 'those that are very old')
    same(await store.idempotency.purge(leaseMs * 1.5, 2), 2, 'two of three')
    same(await store.idempotency.purge(leaseMs * 1.5, 10), 1, 'the third')
    same(
      [await look(store, '1'), await look(store, '3'), await look(store, '4')],
      ['first', 'first', [4]],
      'what is known',
    )
  }),
]
