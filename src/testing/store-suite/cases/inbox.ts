// The inbox: a message is first once, for good with the commit of whoever had it first, and never first twice.
import type { MessageIdentity } from '../../../core/contracts/store.ts'
import { isFairleadError } from '../../../errors/base.ts'
import { foreign, restartable, type StoreCase, storeCase } from '../case.ts'
import type { AnyStore, Desk } from '../desk.ts'
import { demand, same, the } from '../expect.ts'
import { type Held, holding } from '../holding.ts'

type Claim = 'first' | 'duplicate' | 'busy'

const named = (id: string, source = '/suite'): MessageIdentity => ({ source, id })
const claimed = (store: AnyStore, ids: readonly string[], consumer = 'suite'): Promise<readonly Claim[]> =>
  store.transaction((tx) =>
    store.inbox.claim(
      tx,
      consumer,
      ids.map((id) => named(id)),
    ),
  )

const ROLLED_BACK = new Error('rolled back')

const claiming = (desk: Desk, store: AnyStore, id: string): Promise<Held<readonly Claim[]>> =>
  holding(desk, store, (tx) => store.inbox.claim(tx, 'suite', [named(id)]))

export const inboxCases: readonly StoreCase[] = [
  storeCase('answers first once, and duplicate ever after its commit', async ({ store, other }) => {
    same(await claimed(store, ['1']), ['first'], 'the first time')
    same(await claimed(store, ['1']), ['duplicate'], 'the second time')
    same(await claimed(other, ['1', '2']), ['duplicate', 'first'], 'in another process, with a new one')
  }),

  storeCase('answers first again when the first one was rolled back', async ({ store, other }) => {
    for (const by of [store, other]) {
      await by
        .transaction(async (tx) => {
          same(
            await by.inbox.claim(tx, 'suite', [named('1'), named('2')]),
            ['first', 'first'],
            'before it is rolled back',
          )
          throw ROLLED_BACK
        })
        .catch((error: unknown) => {
          if (error !== ROLLED_BACK) throw error
        })
    }
    same(await claimed(other, ['1', '2', '1']), ['first', 'first', 'duplicate'], 'after it')
  }),

  storeCase('answers for each message in order, and for one that is named twice first once', async ({ store }) => {
    same(await claimed(store, []), [], 'for none')
    same(await claimed(store, ['b']), ['first'], 'for one')
    same(
      await claimed(store, ['a', 'b', 'c', 'a', 'b', 'd']),
      ['first', 'duplicate', 'first', 'duplicate', 'duplicate', 'first'],
      'for several',
    )
    same(
      await claimed(store, ['d', 'c', 'e', 'a']),
      ['duplicate', 'duplicate', 'first', 'duplicate'],
      'in another order',
    )
  }),

  storeCase('answers duplicate to a transaction that claims again what it has', async ({ store }) => {
    await store.transaction(async (tx) => {
      same(await store.inbox.claim(tx, 'suite', [named('1')]), ['first'], 'the first time')
      same(await store.inbox.claim(tx, 'suite', [named('1')]), ['duplicate'], 'the second time')
    })
  }),

  storeCase('tells messages apart by consumer, source and id', async ({ store }) => {
    const claim = (consumer: string, source: string, id: string): Promise<readonly Claim[]> =>
      store.transaction((tx) => store.inbox.claim(tx, consumer, [{ source, id }]))
    const names = [
      ['a', '/s', '1'],
      ['b', '/s', '1'],
      ['a', '/t', '1'],
      ['a', '/s', '2'],
      ['A', '/s', '1'],
      ['a', '/S', '1'],
      ['a', '/s', '1 '],
      ['a ', '/s', '1'],
      ['a/s', '', '1'],
      ['a', '/s1', ''],
      ['a', '', '/s1'],
      ['a', '/s', '\u00E9'],
      ['a', '/s', 'e\u0301'],
      ['a', `/${'s'.repeat(2_000)}`, `${'i'.repeat(2_000)}a`],
      ['a', `/${'s'.repeat(2_000)}`, `${'i'.repeat(2_000)}b`],
      ['a', '/s', '\u{1F41F}'],
    ] as const
    for (const name of names)
      same(
        await claim(name[0], name[1], name[2]),
        ['first'],
        `the first of ${name.map((part) => part.slice(-20)).join(' ')}`,
      )
    for (const name of names)
      same(
        await claim(name[0], name[1], name[2]),
        ['duplicate'],
        `the second of ${name.map((part) => part.slice(-20)).join(' ')}`,
      )
  }),

  storeCase('never answers first to two at once: the second is busy, or waits and is a duplicate', async (desk) => {
    const { store, other, done, quiet } = desk
    const first = await claiming(desk, store, '1')
    same(first.value, ['first'], 'the first')
    let answer: readonly Claim[] | undefined
    const second = other.transaction(async (tx) => {
      answer = await other.inbox.claim(tx, 'suite', [named('1')])
    })
    second.catch(() => {})
    await quiet()
    demand(answer === undefined || answer[0] === 'busy', `the second is ${answer?.join()} while the first is at it`)
    await first.end('commit')
    await done('the second', second)
    demand(answer?.[0] === 'busy' || answer?.[0] === 'duplicate', `the second is ${answer?.join()} after the first`)
    same(await claimed(other, ['1']), ['duplicate'], 'in the end')
  }),

  storeCase('lets the next one be first when the one that was at it is rolled back', async (desk) => {
    const { store, other, done, quiet } = desk
    const first = await claiming(desk, store, '1')
    let answer: readonly Claim[] | undefined
    const second = other
      .transaction(async (tx) => {
        answer = await other.inbox.claim(tx, 'suite', [named('1')])
        throw ROLLED_BACK
      })
      .catch(() => {})
    await quiet()
    demand(answer === undefined || answer[0] === 'busy', `the second is ${answer?.join()} while the first is at it`)
    await first.end('rollback')
    await done('the second', second)
    demand(
      answer?.[0] === 'busy' || answer?.[0] === 'first',
      `the second is ${answer?.join()} after the first was rolled back`,
    )
    same(await claimed(other, ['1']), ['first'], 'in the end')
  }),

  storeCase('leaves a transaction usable that was told busy', async (desk) => {
    const { store, other, done, row, relay, lab, quiet, until } = desk
    const first = await claiming(desk, store, '1')
    let answer: readonly Claim[] | undefined
    const second = other.transaction(async (tx) => {
      answer = await other.inbox.claim(tx, 'suite', [named('0'), named('1'), named('2')])
      await other.outbox.append(tx, [row('written')])
      same(await other.inbox.claim(tx, 'suite', [named('3')]), ['first'], 'another one')
    })
    second.catch(() => {})
    // Where writers wait for each other it is told only when the first is out of the way.
    if (lab.serial === true) await quiet()
    else {
      await until('the answer to the second', () => answer !== undefined)
      same(answer, ['first', 'busy', 'first'], 'what the second is told')
      await done('the second', second)
    }
    await first.end()
    await done('the second', second)
    same([answer?.[0], answer?.[2]], ['first', 'first'], 'those that nobody else has')
    same(await claimed(other, ['0', '2', '3', '1']), ['duplicate', 'duplicate', 'duplicate', 'duplicate'], 'in the end')
    same(await (await relay()).ids(), ['written'], 'what the second wrote')
  }),

  storeCase(
    'is first exactly once among many at the same time',
    async ({ store, other, pause, random }) => {
      const applied = new Map<string, number>()
      const deliver = async (by: AnyStore, ids: readonly string[]): Promise<void> => {
        for (let done = false; !done; ) {
          await pause()
          try {
            const claims = await by.transaction(async (tx) => {
              const answer = await by.inbox.claim(
                tx,
                'suite',
                ids.map((id) => named(id)),
              )
              await pause()
              // Busy or unlucky: to be delivered again, as a broker would.
              if (answer.includes('busy') || random() < 0.2) throw ROLLED_BACK
              return answer
            })
            for (const [at, id] of ids.entries())
              if (claims[at] === 'first') applied.set(id, (applied.get(id) ?? 0) + 1)
            done = true
          } catch (error) {
            if (error !== ROLLED_BACK && !(isFairleadError(error) && error.code === 'TRANSACTION_CONFLICT')) throw error
          }
        }
      }
      await Promise.all(
        Array.from({ length: 24 }, (_, at) =>
          deliver(
            at % 2 === 0 ? store : other,
            at % 3 === 0 ? [`m${at % 8}`, `m${(at + 1) % 8}`].sort() : [`m${at % 8}`],
          ),
        ),
      )
      same(
        [...applied].sort(),
        Array.from({ length: 8 }, (_, at) => [`m${at}`, 1]),
        'how often each was applied',
      )
    },
    [],
    60_000,
  ),

  storeCase(
    'claims in a transaction that it did not begin',
    async ({ store, lab }) => {
      const rolledBack = the(await lab.begin?.(), 'the transaction')
      same(await store.inbox.claim(rolledBack.tx, 'suite', [named('1')]), ['first'], 'in the first')
      await rolledBack.rollback()
      const committed = the(await lab.begin?.(), 'the transaction')
      same(await store.inbox.claim(committed.tx, 'suite', [named('1')]), ['first'], 'in the second')
      await committed.commit()
      same(await claimed(store, ['1']), ['duplicate'], 'in the end')
    },
    [foreign],
  ),

  storeCase('counts attempts that were started and not finished, in their own commits', async ({ store, other }) => {
    const one = named('1')
    same(await store.inbox.started('suite', one), 1, 'the first')
    same(await other.inbox.started('suite', one), 2, 'the second, in another process')
    await other.inbox.finished('suite', one)
    same(await store.inbox.started('suite', one), 2, 'the next, when one of two is finished')
    same(
      [await store.inbox.started('suite', named('2')), await store.inbox.started('other', one)],
      [1, 1],
      'of other messages and consumers',
    )
    await store.inbox.finished('suite', one)
    await store.inbox.finished('suite', one)
    same(await store.inbox.started('suite', one), 1, 'when all are finished')
    await store.inbox.finished('suite', named('never started'))
    same(
      await store.inbox.started('suite', named('never started')),
      1,
      'of one that was finished before it was started',
    )
  }),

  storeCase('counts attempts whose transaction was rolled back', async ({ store }) => {
    for (let attempt = 1; attempt < 4; attempt++) {
      same(await store.inbox.started('suite', named('1')), attempt, `attempt ${attempt}`)
      await store
        .transaction(async (tx) => {
          await store.inbox.claim(tx, 'suite', [named('1')])
          throw ROLLED_BACK
        })
        .catch(() => {})
    }
    same(await claimed(store, ['1']), ['first'], 'to be applied it is as new')
  }),

  storeCase('sets keys aside for every process, until they are taken back', async ({ store, other, leaseMs }) => {
    const long = 'k'.repeat(10_000)
    await store.inbox.park('suite', 'a', leaseMs * 100)
    await store.inbox.park('suite', long, leaseMs * 100)
    same(
      [...(await other.inbox.parked('suite', ['b', 'a', 'A', 'a ', long, `${long}k`]))].sort(),
      ['a', long],
      'parked keys',
    )
    same(await other.inbox.parked('other', ['a']), [], 'of another consumer')
    same(await other.inbox.parked('suite', []), [], 'of none')
    await other.inbox.unpark('suite', 'a')
    same(await store.inbox.parked('suite', ['a', long]), [long], 'when one is taken back')
    await store.inbox.unpark('suite', 'never parked')
    await store.inbox.park('suite', 'a', leaseMs * 100)
    same(await other.inbox.parked('suite', ['a']), ['a'], 'when it is parked again')
  }),

  storeCase('lets keys go that were set aside when their time is over', async ({ store, leaseMs, pass }) => {
    await store.inbox.park('suite', 'a', leaseMs)
    await store.inbox.park('suite', 'b', leaseMs * 100)
    await store.inbox.park('suite', 'c', leaseMs)
    await store.inbox.park('suite', 'c', leaseMs * 100)
    await pass(leaseMs * 1.2)
    same([...(await store.inbox.parked('suite', ['a', 'b', 'c']))].sort(), ['b', 'c'], 'after the time of the first')
  }),

  storeCase(
    'purges entries that are old enough, oldest first and a bounded number',
    async ({ store, leaseMs, pass }) => {
      await claimed(store, ['1', '2', '3'])
      await pass(leaseMs * 2)
      await claimed(store, ['4'])
      same(await store.inbox.purge(leaseMs * 1_000, 10), 0, 'those that are very old')
      same(await store.inbox.purge(leaseMs * 1.5, 2), 2, 'two of three')
      same(await store.inbox.purge(leaseMs * 1.5, 10), 1, 'the third')
      same(await store.inbox.purge(leaseMs * 1.5, 10), 0, 'while the other is young')
      same(await claimed(store, ['1', '2', '3', '4']), ['first', 'first', 'first', 'duplicate'], 'what is known')
    },
  ),

  storeCase('says how long it keeps entries', async ({ store }) => {
    for (const [what, ms] of [
      ['of messages', store.inbox.retentionMs],
      ['of answers', store.idempotency.retentionMs],
    ] as const)
      demand(typeof ms === 'number' && ms > 0, `the retention ${what} is ${ms}`)
  }),

  storeCase(
    'keeps what was applied over the death of the database',
    async ({ store, lab, until }) => {
      await claimed(store, ['1'])
      await store.inbox.started('suite', named('2'))
      await lab.restart?.()
      let claims: readonly Claim[] = []
      await until('the store to be back', async () => {
        try {
          claims = await claimed(store, ['1'])
          return true
        } catch {
          return false
        }
      })
      same(claims, ['duplicate'], 'the message')
      same(await store.inbox.started('suite', named('2')), 2, 'attempts')
    },
    [restartable],
    120_000,
  ),
]
