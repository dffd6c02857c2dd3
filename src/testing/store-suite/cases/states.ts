// States of processes: compared and set, found by what they wait for, woken in time.
import { isFairleadError } from '../../../errors/base.ts'
import { type StoreCase, storeCase } from '../case.ts'
import { type AnyStore, gather } from '../desk.ts'
import { demand, same } from '../expect.ts'

type Options = NonNullable<Parameters<AnyStore['states']['save']>[5]>

/** Saves one in a transaction of its own. */
export const save = (
  store: AnyStore,
  id: string,
  expected: number,
  state: unknown,
  options?: Options,
  kind = 'order',
): Promise<boolean> => store.transaction((tx) => store.states.save(tx, kind, id, expected, state, options))
/** What is there. */
export const load = (store: AnyStore, id: string, kind = 'order'): Promise<unknown> =>
  store.transaction((tx) => store.states.load(tx, kind, id))
/** Who waits for it. */
export const find = (store: AnyStore, correlation: string, kind = 'order'): Promise<string | undefined> =>
  store.transaction((tx) => store.states.find(tx, kind, correlation))

export const stateCases: readonly StoreCase[] = [
  storeCase('makes a state, and changes it from the version that is expected only', async ({ store, other }) => {
    same(await load(store, 'a'), undefined, 'before there is one')
    same(await save(store, 'a', 1, { n: 0 }), false, 'changing what is not there')
    same(await save(store, 'a', 0, { n: 1 }), true, 'making it')
    same(await load(other, 'a'), { version: 1, state: { n: 1 } }, 'what is there')
    same(await save(other, 'a', 0, { n: 2 }), false, 'making it again')
    same(await save(other, 'a', 2, { n: 2 }), false, 'expecting a later version')
    same(await save(other, 'a', 1, { n: 2 }), true, 'changing it')
    same(await save(store, 'a', 1, { n: 3 }), false, 'expecting the version of before')
    same(await load(store, 'a'), { version: 2, state: { n: 2 } }, 'what is there in the end')
  }),

  storeCase('tells states apart by kind and id', async ({ store }) => {
    const names = [
      ['order', 'a'],
      ['payment', 'a'],
      ['order', 'A'],
      ['order', 'a '],
      ['Order', 'a'],
      ['order', '\u{1F41F}'],
      ['order', 'i'.repeat(1_000)],
    ] as const
    for (const [kind, id] of names)
      same(await save(store, id, 0, { kind, id }, {}, kind), true, `${kind} ${id.slice(0, 9)}`)
    for (const [kind, id] of names)
      same(await load(store, id, kind), { version: 1, state: { kind, id } }, `${kind} ${id.slice(0, 9)}`)
  }),

  storeCase('gives a state out as the JSON that it was', async ({ store }) => {
    const states: readonly unknown[] = [
      null,
      true,
      0,
      -1.5e-9,
      9_007_199_254_740_991,
      '',
      'zwölf \u{1F41F} \u0628 "\'\\ \n \u2028 \u0000',
      [],
      [1, [2, [3]], null],
      {},
      { b: 1, a: { 'odd name \u{1F41F}': [{ deep: { deeper: null } }] }, '': '', '1': 'a number as a name' },
      { text: 'x'.repeat(200_000) },
      { '1.10': '2026-01-01T00:00:00.000Z', e: 1e21, small: 5e-324 },
    ]
    for (const [at, state] of states.entries()) {
      await save(store, `s${at}`, 0, state)
      same(await load(store, `s${at}`), { version: 1, state }, `state ${at}`)
    }
    await save(store, 'order', 0, { z: 1, a: 2, m: 3 })
    const { state } = (await load(store, 'order')) as { readonly state: object }
    same(Object.keys(state), ['z', 'a', 'm'], 'the order of names')
  }),

  storeCase('lets exactly one of many that change a state at once have its way', async ({ store, other, pause }) => {
    await save(store, 'a', 0, { by: 'nobody' })
    for (let version = 1; version <= 4; version++) {
      const won: string[] = []
      const change = async (by: AnyStore, name: string): Promise<void> => {
        try {
          const mine = await by.transaction(async (tx) => {
            const found = await by.states.load(tx, 'order', 'a')
            await pause()
            if (found?.version !== version) return false
            const saved = await by.states.save(tx, 'order', 'a', version, { by: name })
            await pause()
            return saved
          })
          if (mine) won.push(name)
        } catch (error) {
          // Undone by the database because of another one: lost as well.
          if (!isFairleadError(error) || error.code !== 'TRANSACTION_CONFLICT') throw error
        }
      }
      await Promise.all(Array.from({ length: 6 }, (_, at) => change(at % 2 === 0 ? store : other, `writer ${at}`)))
      same(won.length, 1, `winners of version ${version + 1}`)
      same(await load(store, 'a'), { version: version + 1, state: { by: won[0] } }, 'what is there')
    }
  }),

  storeCase('lets exactly one of many that make a state at once have its way', async ({ store, other, pause }) => {
    for (const id of ['a', 'b', 'c', 'd']) {
      let won = 0
      const make = async (by: AnyStore): Promise<void> => {
        try {
          const mine = await by.transaction(async (tx) => {
            await pause()
            const saved = await by.states.save(tx, 'order', id, 0, {})
            await pause()
            return saved
          })
          if (mine) won++
        } catch (error) {
          if (!isFairleadError(error) || error.code !== 'TRANSACTION_CONFLICT') throw error
        }
      }
      await Promise.all([store, other, store, other, store].map(make))
      same(won, 1, `winners of ${id}`)
      same(await load(store, id), { version: 1, state: {} }, 'what is there')
    }
  }),

  storeCase('keeps nothing of a save that was rolled back', async ({ store }) => {
    await save(store, 'a', 0, 1, { correlations: ['old'], wakeAt: 10 })
    await store
      .transaction(async (tx) => {
        await store.states.save(tx, 'order', 'a', 1, 2, { correlations: ['new'], wakeAt: 20 })
        await store.states.save(tx, 'order', 'b', 0, 2, { correlations: ['new'], wakeAt: 20 })
        throw new Error('rolled back')
      })
      .catch(() => {})
    same([await load(store, 'a'), await load(store, 'b')], [{ version: 1, state: 1 }, undefined], 'states')
    same([await find(store, 'old'), await find(store, 'new')], ['a', undefined], 'by correlation')
    same(await store.states.due('order', 100, 10), ['a'], 'due')
  }),

  storeCase(
    'finds a state by what it waits for, until it waits for something else or is done',
    async ({ store, other }) => {
      const long = 'c'.repeat(2_000)
      await save(store, 'a', 0, {}, { correlations: ['payment 1', 'shipment 1', long] })
      await save(store, 'b', 0, {}, { correlations: ['payment 2'] })
      await save(store, 'a', 0, {}, { correlations: ['payment 1'] }, 'refund')
      same(
        [
          await find(other, 'payment 1'),
          await find(other, 'shipment 1'),
          await find(other, 'payment 2'),
          await find(other, long),
        ],
        ['a', 'a', 'b', 'a'],
        'who waits',
      )
      same(
        [await find(other, 'payment 3'), await find(other, 'Payment 1'), await find(other, 'payment 1 ')],
        [undefined, undefined, undefined],
        'for what nobody waits',
      )
      await save(store, 'a', 1, {}, { correlations: ['shipment 1', 'return 1'] })
      same(
        [await find(other, 'payment 1'), await find(other, 'shipment 1'), await find(other, 'return 1')],
        [undefined, 'a', 'a'],
        'who waits after a change',
      )
      same(await find(other, 'payment 1', 'refund'), 'a', 'of another kind')
      await save(store, 'a', 2, {})
      same(
        [await find(other, 'shipment 1'), await find(other, 'return 1')],
        [undefined, undefined],
        'who waits when nothing was said',
      )
      await save(store, 'b', 1, { over: true }, { correlations: ['payment 2'], done: true })
      same(await find(other, 'payment 2'), undefined, 'who waits when it is done')
      same(await load(other, 'b'), { version: 2, state: { over: true } }, 'the one that is done')
    },
  ),

  storeCase('keeps what a state waits for where it is told to, until it is done', async ({ store, other }) => {
    same(await save(store, 'a', 0, {}, { correlations: 'kept' }), true, 'making one of which nothing is known')
    same(await find(other, 'kept'), undefined, 'who waits for a word of the contract')
    await save(store, 'a', 1, {}, { correlations: ['payment 1', 'shipment 1'], wakeAt: 1_000 })
    await save(store, 'b', 0, {}, { correlations: ['payment 2'] })
    same(await save(store, 'a', 2, { n: 3 }, { correlations: 'kept', wakeAt: 2_000 }), true, 'changing it')
    same(await save(store, 'a', 1, {}, { correlations: 'kept' }), false, 'expecting the version of before')
    same(
      [await find(other, 'payment 1'), await find(other, 'shipment 1'), await find(other, 'payment 2')],
      ['a', 'a', 'b'],
      'who waits',
    )
    same(await load(other, 'a'), { version: 3, state: { n: 3 } }, 'the state')
    same(
      [await other.states.due('order', 1_999, 10), await other.states.due('order', 2_000, 10)],
      [[], ['a']],
      'when it is due',
    )
    await store.transaction(async (tx) => {
      await store.states.save(tx, 'order', 'a', 3, {}, { correlations: ['return 1'] })
      await store.states.save(tx, 'order', 'a', 4, {}, { correlations: 'kept' })
    })
    same([await find(other, 'payment 1'), await find(other, 'return 1')], [undefined, 'a'], 'twice in a transaction')
    await save(store, 'a', 5, {}, { correlations: 'kept', done: true })
    same(await find(other, 'return 1'), undefined, 'who waits when it is done')
  }),

  storeCase('gives what is due, earliest first', async ({ store, other }) => {
    const wakeAts: Readonly<Record<string, number | undefined>> = {
      a: 3_000,
      b: 1_000,
      c: undefined,
      d: 2_000,
      e: 9_000,
      f: 1_767_225_600_123,
    }
    for (const [id, wakeAt] of Object.entries(wakeAts)) await save(store, id, 0, {}, { wakeAt })
    await save(store, 'g', 0, {}, { wakeAt: 500 }, 'refund')
    same(await other.states.due('order', 999, 10), [], 'before the first')
    same(await other.states.due('order', 1_000, 10), ['b'], 'at its time')
    same(await other.states.due('order', 5_000, 10), ['b', 'd', 'a'], 'later')
    same(await other.states.due('order', 5_000, 2), ['b', 'd'], 'two of them')
    same(await other.states.due('refund', 5_000, 10), ['g'], 'of another kind')
    same(
      [
        (await other.states.due('order', 1_767_225_600_122, 10)).length,
        (await other.states.due('order', 1_767_225_600_123, 10)).length,
      ],
      [4, 5],
      'to the millisecond',
    )
    await save(store, 'b', 1, {}, { wakeAt: 8_000 })
    await save(store, 'd', 1, {})
    await save(store, 'a', 1, {}, { wakeAt: 1, done: true })
    same(await other.states.due('order', 10_000, 10), ['b', 'e'], 'when they were moved, forgotten and done')
  }),

  storeCase('lists states of a kind by id, page by page', async ({ store, other }) => {
    const ids = Array.from({ length: 25 }, (_, at) => `id-${String(at).padStart(3, '0')}`)
    for (const id of ids.toReversed()) await save(store, id, 0, { id }, { done: id.endsWith('7') })
    await save(store, 'another', 0, {}, {}, 'refund')
    const all = await gather(other.states.list('order', 100))
    same(
      all.map(({ id }) => id),
      ids,
      'ids of all',
    )
    same(all[7], { id: 'id-007', version: 1, state: { id: 'id-007' }, done: true }, 'one that is done')
    same(all[8], { id: 'id-008', version: 1, state: { id: 'id-008' }, done: false }, 'one that is not')
    const pages: (readonly string[])[] = []
    for (
      let after: string | undefined, page: readonly string[] = [];
      pages.length === 0 || (page.length > 0 && pages.length < 9);
    ) {
      page = (await gather(other.states.list('order', 10, after))).map(({ id }) => id)
      pages.push(page)
      after = page.at(-1)
    }
    same(pages, [ids.slice(0, 10), ids.slice(10, 20), ids.slice(20), []], 'pages')
    same((await gather(other.states.list('nothing', 10))).length, 0, 'of a kind without any')
    let looked = 0
    for await (const _ of other.states.list('order', 10)) if (++looked === 2) break
    demand(looked === 2, 'leaving off after the second')
  }),
]
