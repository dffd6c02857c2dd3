// Transactions: all or nothing, what runs before a commit, who is told after it, and what is no transaction.
import { nextTurn } from '../../../core/clock.ts'
import { foreign, type StoreCase, storeCase, userEffects } from '../case.ts'
import type { AnyStore, Desk } from '../desk.ts'
import { demand, refused, same, the } from '../expect.ts'

class OfTheUser extends Error {}

// Everything that can be written in a transaction, under one name.
async function writeAll({ row, lab }: Desk, store: AnyStore, tx: unknown, name: string): Promise<void> {
  await lab.effect?.(tx, name)
  await store.outbox.append(tx, [row(name)])
  same(await store.inbox.claim(tx, 'suite', [{ source: '/suite', id: name }]), ['first'], `the message ${name}`)
  await store.idempotency.reserve(tx, 'suite', name, 'hash')
  await store.idempotency.complete(tx, 'suite', name, new Uint8Array([1]))
  same(await store.states.save(tx, 'suite', name, 0, { name }), true, `the state ${name}`)
}

// Which parts have it.
async function written({ other, relay, lab }: Desk, name: string): Promise<readonly string[]> {
  const reader = await relay(`reader of ${name}`, { store: other })
  const found: string[] = []
  if ((await lab.effects?.())?.includes(name) === true) found.push('effect')
  if ((await reader.ids()).includes(name)) found.push('outbox')
  await reader.release()
  await other
    .transaction(async (tx) => {
      const [claim] = await other.inbox.claim(tx, 'suite', [{ source: '/suite', id: name }])
      if (claim === 'duplicate') found.push('inbox')
      const { state } = await other.idempotency.reserve(tx, 'suite', name, 'hash')
      if (state === 'stored') found.push('idempotency')
      if ((await other.states.load(tx, 'suite', name)) !== undefined) found.push('states')
      throw new OfTheUser()
    })
    .catch((error: unknown) => {
      if (!(error instanceof OfTheUser)) throw error
    })
  return found
}

const partsOf = ({ lab }: Desk): readonly string[] => [
  ...(lab.effects === undefined ? [] : ['effect']),
  'outbox',
  'inbox',
  'idempotency',
  'states',
]

export const transactionCases: readonly StoreCase[] = [
  storeCase('commits all parts of a transaction together, and answers what its work answered', async (desk) => {
    const answer = await desk.store.transaction(async (tx) => {
      await writeAll(desk, desk.store, tx, 'a')
      return { answer: 42 }
    })
    same(answer, { answer: 42 }, 'the answer')
    same(await written(desk, 'a'), partsOf(desk), 'what is there')
  }),

  storeCase('undoes all parts when the work throws, and rejects with the very same error', async (desk) => {
    const thrown = new OfTheUser('no')
    let told = 0
    desk.store.onCommitted(() => told++)
    const error = await desk.store
      .transaction(async (tx) => {
        await writeAll(desk, desk.store, tx, 'a')
        throw thrown
      })
      .then(
        () => undefined,
        (reason: unknown) => reason,
      )
    demand(error === thrown, `it rejected with ${String(error)}`)
    same(await written(desk, 'a'), [], 'what is there')
    await desk.store.transaction((tx) => writeAll(desk, desk.store, tx, 'b'))
    same(await written(desk, 'b'), partsOf(desk), 'what a later transaction wrote')
    same(told, 1, 'commits that were told of')
  }),

  storeCase('rejects with what the work throws, whatever it is', async ({ store }) => {
    for (const thrown of [undefined, null, 'text', 0, { plain: true }]) {
      let rejected: unknown = 'nothing'
      await store
        .transaction(async () => Promise.reject(thrown))
        .catch((error: unknown) => {
          rejected = error
        })
      demand(rejected === thrown, `${String(rejected)} instead of ${String(thrown)}`)
    }
  }),

  storeCase('lets a transaction see what it has written itself', async ({ store }) => {
    await store.transaction(async (tx) => {
      await store.states.save(tx, 'suite', 'a', 0, 1, { correlations: ['c'] })
      same(await store.states.load(tx, 'suite', 'a'), { version: 1, state: 1 }, 'the state')
      same(await store.states.find(tx, 'suite', 'c'), 'a', 'by its correlation')
      same(await store.states.save(tx, 'suite', 'a', 1, 2), true, 'saving it again')
      same(await store.states.load(tx, 'suite', 'a'), { version: 2, state: 2 }, 'the state after that')
      same(await store.states.find(tx, 'suite', 'c'), undefined, 'by the correlation that it has no more')
    })
  }),

  storeCase('runs what was noted after the work and before the commit, in the order given', async (desk) => {
    const { store, row, publish, relay } = desk
    const done: string[] = []
    await store.transaction(async (tx) => {
      const note = (name: string): boolean =>
        store.beforeCommit(tx, async (given) => {
          demand(given === tx, 'it was given another transaction')
          done.push(`${name} begins`)
          await desk.pause()
          await store.outbox.append(given, [row(`k:${name}`)])
          done.push(`${name} ends`)
        })
      same([note('1'), note('2'), note('3')], [true, true, true], 'what noting answers')
      await desk.pause()
      done.push('work ends')
    })
    same(
      done,
      ['work ends', '1 begins', '1 ends', '2 begins', '2 ends', '3 begins', '3 ends'],
      'what was done in which order',
    )
    await publish(['k:4'])
    same(await (await relay()).ids(), ['k:1', 'k:2', 'k:3', 'k:4'], 'the rows')
  }),

  storeCase('runs what is noted by what was noted', async ({ store }) => {
    const done: string[] = []
    await store.transaction(async (tx) => {
      store.beforeCommit(tx, async () => {
        done.push('1')
        store.beforeCommit(tx, async () => void done.push('3'))
      })
      store.beforeCommit(tx, async () => void done.push('2'))
    })
    same(done, ['1', '2', '3'], 'what was run')
  }),

  storeCase('runs what was noted as the last when there is no other any more', async ({ store }) => {
    const done: string[] = []
    await store.transaction(async (tx) => {
      store.beforeCommit(tx, async () => void done.push('last'), 'last')
      store.beforeCommit(tx, async () => {
        done.push('1')
        store.beforeCommit(tx, async () => {
          done.push('2')
          store.beforeCommit(tx, async () => void done.push('3'))
        })
      })
    })
    same(done, ['1', '2', '3', 'last'], 'what was run')
  }),

  storeCase('runs nothing that was noted when the work throws', async ({ store }) => {
    let ran = 0
    await store
      .transaction(async (tx) => {
        store.beforeCommit(tx, async () => void ran++)
        throw new OfTheUser()
      })
      .catch(() => {})
    same(ran, 0, 'what was run')
  }),

  storeCase('undoes everything when something noted throws', async (desk) => {
    const thrown = new OfTheUser('no')
    let after = 0
    const error = await desk.store
      .transaction(async (tx) => {
        await writeAll(desk, desk.store, tx, 'a')
        desk.store.beforeCommit(tx, async () => Promise.reject(thrown))
        desk.store.beforeCommit(tx, async () => void after++)
      })
      .then(
        () => undefined,
        (reason: unknown) => reason,
      )
    demand(error === thrown, `it rejected with ${String(error)}`)
    same(after, 0, 'what was noted behind it and run')
    same(await written(desk, 'a'), [], 'what is there')
  }),

  storeCase('never takes a note that it does not run: once it is late, noting is refused', async ({ store }) => {
    let taken = 0
    let ran = 0
    const note = (tx: unknown): void => {
      try {
        if (store.beforeCommit(tx, async () => void ran++)) taken++
      } catch (error) {
        same((error as { code?: unknown }).code, 'TRANSACTION_REQUIRED', 'the code of the refusal')
      }
    }
    let over = false
    let noting: Promise<void> | undefined
    await store.transaction(async (tx) => {
      note(tx)
      store.beforeCommit(tx, async () => {
        noting = (async () => {
          // From just behind the last one to well after the end.
          for (let gap = 0; gap < 12; gap++) {
            for (let turns = 0; turns < gap; turns++) await undefined
            note(tx)
          }
          for (let turns = 0; turns < 200 && !over; turns++) {
            await new Promise<void>((resolve) => nextTurn(resolve, undefined))
            note(tx)
          }
        })()
      })
    })
    over = true
    await noting
    same(ran, taken, 'notes that were run, against those that were taken')
  }),

  storeCase(
    'takes no note for a transaction that it did not begin',
    async ({ store, lab }) => {
      const { tx, commit } = the(await lab.begin?.(), 'the transaction')
      let ran = 0
      same(
        store.beforeCommit(tx, async () => void ran++),
        false,
        'the answer',
      )
      await commit()
      same(ran, 0, 'what was run')
    },
    [foreign],
  ),

  storeCase(
    'tells of each commit once it can be seen, until it is told to stop',
    async ({ store, other, publish, relay, until }) => {
      const reader = await relay('reader', { store: other })
      const seen: Promise<readonly string[]>[] = []
      let second = 0
      const stop = store.onCommitted(() => seen.push(reader.ids()))
      store.onCommitted(() => second++)
      await publish(['a'])
      same(await Promise.all(seen), [['a']], 'what could be seen when it was told of the first')
      await publish(['b'])
      same((await Promise.all(seen))[1]?.length, 2, 'what could be seen when it was told of the second')
      stop()
      stop()
      await publish(['c'])
      await until('the other listener', () => second === 3)
      same(seen.length, 2, 'how often it was told before it was stopped')
    },
  ),

  storeCase('tells which transaction it was that was committed', async ({ store }) => {
    const told: unknown[] = []
    store.onCommitted((tx) => void told.push(tx))
    for (let round = 0; round < 2; round++) {
      let mine: unknown
      await store.transaction(async (tx) => {
        mine = tx
      })
      demand(told.length === round + 1 && told.at(-1) === mine, 'it told of another one')
    }
  }),

  storeCase(
    'refuses a transaction inside another one, and leaves that one usable',
    async ({ store, publish, relay, row }) => {
      await store.transaction(async (tx) => {
        await refused('the inner one', () => store.transaction(async () => 'inner'), 'PROGRAMMING_ERROR')
        await store.outbox.append(tx, [row('outer')])
        store.beforeCommit(tx, async () => {
          await refused('one inside what was noted', () => store.transaction(async () => 'inner'), 'PROGRAMMING_ERROR')
        })
      })
      await Promise.all([publish(['a']), publish(['b']), publish(['c'])])
      same(
        [...(await (await relay()).ids())].sort(),
        ['a', 'b', 'c', 'outer'],
        'the rows of all, those at the same time too',
      )
    },
  ),

  storeCase('knows an open transaction from what is none', async ({ store, lab }) => {
    let over: unknown
    await store.transaction(async (tx) => {
      over = tx
      same(store.isTransaction(tx), true, 'an open one')
    })
    same(store.isTransaction(over), false, 'one that is committed')
    await store
      .transaction(async (tx) => {
        over = tx
        throw new OfTheUser()
      })
      .catch(() => {})
    same(store.isTransaction(over), false, 'one that was rolled back')
    for (const each of [undefined, null, 0, 'tx', true, {}, [], () => {}, store, ...(lab.notTransactions ?? [])])
      same(store.isTransaction(each), false, `something that is none (${typeof each})`)
  }),

  storeCase(
    'knows a transaction that it did not begin, while it is open',
    async ({ store, lab }) => {
      const { tx, rollback } = the(await lab.begin?.(), 'the transaction')
      same(store.isTransaction(tx), true, 'while it is open')
      await rollback()
    },
    [foreign],
  ),

  storeCase(
    'refuses to write in a transaction that is over, or in something that is none',
    async ({ store, row, lab, relay }) => {
      let over: unknown
      await store.transaction(async (tx) => {
        over = tx
      })
      const none = { query: () => Promise.resolve({ rows: [] }) }
      for (const [what, tx] of [
        ['one that is over', over],
        ['something that is none', none],
        ['nothing', undefined],
        ...(lab.notTransactions ?? []).map((each) => ['something that looks like one', each] as const),
      ] as const) {
        const requires = (part: string, work: () => Promise<unknown>): Promise<unknown> =>
          refused(`${part} with ${what}`, work, 'TRANSACTION_REQUIRED')
        await requires('append', () => store.outbox.append(tx, [row('late')]))
        await requires('claim', () => store.inbox.claim(tx, 'suite', [{ source: '/suite', id: 'late' }]))
        await requires('reserve', () => store.idempotency.reserve(tx, 'suite', 'late', 'hash'))
        await requires('save', () => store.states.save(tx, 'suite', 'late', 0, 1))
      }
      same(await (await relay()).ids(), [], 'rows')
    },
  ),

  storeCase(
    'writes in a transaction that it did not begin: there with its commit, gone with its rollback',
    async (desk) => {
      for (const [name, end] of [
        ['committed', 'commit'],
        ['undone', 'rollback'],
      ] as const) {
        const transaction = the(await desk.lab.begin?.(), 'the transaction')
        await writeAll(desk, desk.store, transaction.tx, name)
        await transaction[end]()
        same(await written(desk, name), end === 'commit' ? partsOf(desk) : [], `what is there of the one ${name}`)
      }
    },
    [foreign],
  ),

  storeCase(
    'commits what users write with what it writes, or neither',
    async ({ store, lab, publish, row, relay }) => {
      const write = lab.effect as NonNullable<typeof lab.effect>
      for (const name of ['a', 'b', 'c', 'd'])
        await store
          .transaction(async (tx) => {
            await write(tx, name)
            // At once, or just before the commit.
            if (name < 'c') await store.outbox.append(tx, [row(name)])
            else store.beforeCommit(tx, (same) => store.outbox.append(same, [row(name)]))
            if (name === 'b' || name === 'd') throw new OfTheUser()
          })
          .catch(() => {})
      await publish([])
      same([...((await lab.effects?.()) ?? [])].sort(), ['a', 'c'], 'what the user wrote')
      same([...(await (await relay()).ids())].sort(), ['a', 'c'], 'rows')
    },
    [userEffects],
  ),
]
