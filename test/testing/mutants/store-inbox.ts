// Stores that apply messages twice or never, and answer requests wrongly.
import type { MemoryTx } from '../../../src/adapters/memory/index.ts'
import type { MessageIdentity } from '../../../src/core/contracts/store.ts'
import { apart, type MakeStoreChange, type StoreMutant } from './store-kit.ts'

type Claim = 'first' | 'duplicate' | 'busy'

// Other answers than those of the claim.
const answering =
  (change: (claims: readonly Claim[], messages: readonly MessageIdentity[]) => readonly Claim[]): MakeStoreChange =>
  () =>
  (real) => ({
    inbox: {
      claim: async (tx, consumer, messages) => change(await real.inbox.claim(tx, consumer, messages), messages),
    },
  })

// Messages that are taken for one another.
const naming =
  (name: (consumer: string, message: MessageIdentity) => readonly [string, MessageIdentity]): MakeStoreChange =>
  () =>
  (real) => ({
    inbox: {
      async claim(tx, consumer, messages) {
        const claims: Claim[] = []
        for (const message of messages) {
          const [by, named] = name(consumer, message)
          claims.push(...(await real.inbox.claim(tx, by, [named])))
        }
        return claims
      },
    },
  })

const purging = (part: 'inbox' | 'idempotency', name: string): readonly StoreMutant[] => [
  {
    what: `purges ${part} whatever its age`,
    caught: [name],
    make: () => (real) => ({ [part]: { purge: (_: number, limit: number) => real[part].purge(0, limit) } }),
  },
  {
    what: `purges ${part} without a bound`,
    caught: [name],
    make: () => (real) => ({ [part]: { purge: (olderThanMs: number) => real[part].purge(olderThanMs, 10_000) } }),
  },
  {
    what: `purges nothing of ${part}`,
    caught: [name],
    make: () => () => ({ [part]: { purge: async () => 0 } }),
  },
]

export const inboxMutants: readonly StoreMutant[] = [
  {
    what: 'answers first whatever was applied',
    caught: [
      'answers first once, and duplicate ever after its commit',
      'keeps what was applied over the death of the database',
    ],
    make: answering((claims) => claims.map(() => 'first')),
  },
  {
    what: 'keeps claims that were rolled back',
    caught: [
      'answers first again when the first one was rolled back',
      'lets the next one be first when the one that was at it is rolled back',
      'counts attempts whose transaction was rolled back',
      'claims in a transaction that it did not begin',
    ],
    make: () => (real) => ({
      inbox: {
        async claim(tx, consumer, messages) {
          await real.inbox.claim(tx, consumer, [])
          return apart(real, (own) => real.inbox.claim(own, consumer, messages))
        },
      },
    }),
  },
  {
    what: 'answers in an order of its own',
    caught: ['answers for each message in order, and for one that is named twice first once'],
    make: answering((claims) => claims.toSorted()),
  },
  {
    what: 'answers first twice where a message is named twice',
    caught: ['answers for each message in order, and for one that is named twice first once'],
    make: answering((claims, messages) =>
      messages.map(({ id }, at) => claims[messages.findIndex((each) => each.id === id)] ?? (claims[at] as Claim)),
    ),
  },
  {
    what: 'answers first again to the transaction that has it',
    caught: ['answers duplicate to a transaction that claims again what it has'],
    make: () => {
      const mine = new WeakMap<MemoryTx, Set<string>>()
      return (real) => ({
        inbox: {
          async claim(tx, consumer, messages) {
            const known = mine.get(tx) ?? new Set()
            mine.set(tx, known)
            const claims = await real.inbox.claim(tx, consumer, messages)
            const answers = claims.map((claim, at) => (known.has(messages[at]?.id ?? '') ? 'first' : claim))
            for (const { id } of messages) known.add(id)
            return answers
          },
        },
      })
    },
  },
  {
    what: 'answers busy to the transaction that has it',
    caught: ['answers duplicate to a transaction that claims again what it has'],
    make: () => {
      const mine = new WeakMap<MemoryTx, Set<string>>()
      return (real) => ({
        inbox: {
          async claim(tx, consumer, messages) {
            const known = mine.get(tx) ?? new Set()
            mine.set(tx, known)
            const claims = await real.inbox.claim(tx, consumer, messages)
            const answers = claims.map((claim, at) => (known.has(messages[at]?.id ?? '') ? 'busy' : claim))
            for (const { id } of messages) known.add(id)
            return answers
          },
        },
      })
    },
  },
  ...(
    [
      ['without their consumer', (_, message) => ['one', message]],
      ['without their source', (consumer, { id }) => [consumer, { source: '/', id }]],
      ['without their id', (consumer, { source }) => [consumer, { source, id: '1' }]],
      [
        'without regard to case',
        (consumer, { source, id }) => [consumer.toLowerCase(), { source: source.toLowerCase(), id }],
      ],
      ['without spaces', (consumer, { source, id }) => [consumer.trim(), { source, id: id.trim() }]],
      ['by one text made of all', (consumer, { source, id }) => ['', { source: '', id: consumer + source + id }]],
      ['by composed letters', (consumer, { source, id }) => [consumer, { source, id: id.normalize('NFC') }]],
      ['by the first 255 characters', (consumer, { source, id }) => [consumer, { source, id: id.slice(0, 255) }]],
    ] as readonly (readonly [string, Parameters<typeof naming>[0]])[]
  ).map(([how, name]) => ({
    what: `knows messages ${how}`,
    caught: ['tells messages apart by consumer, source and id'],
    make: naming(name),
  })),
  {
    what: 'answers first to two at once',
    caught: [
      'never answers first to two at once: the second is busy, or waits and is a duplicate',
      'lets the next one be first when the one that was at it is rolled back',
      'is first exactly once among many at the same time',
    ],
    make: answering((claims) => claims.map((claim) => (claim === 'busy' ? 'first' : claim))),
  },
  {
    what: 'answers duplicate while the first one is at it',
    caught: [
      'never answers first to two at once: the second is busy, or waits and is a duplicate',
      'lets the next one be first when the one that was at it is rolled back',
    ],
    make: answering((claims) => claims.map((claim) => (claim === 'busy' ? 'duplicate' : claim))),
  },
  {
    what: 'makes a transaction useless that was told busy',
    caught: ['leaves a transaction usable that was told busy'],
    make: () => {
      const useless = new WeakSet<MemoryTx>()
      return (real) => ({
        inbox: {
          async claim(tx, consumer, messages) {
            const claims = await real.inbox.claim(tx, consumer, messages)
            if (claims.includes('busy')) useless.add(tx)
            return claims
          },
        },
        outbox: {
          append: (tx, rows) => (useless.has(tx) ? Promise.reject(new Error('aborted')) : real.outbox.append(tx, rows)),
        },
      })
    },
  },
  {
    what: 'answers busy for all where one is',
    caught: ['leaves a transaction usable that was told busy'],
    make: answering((claims) => (claims.includes('busy') ? claims.map(() => 'busy') : claims)),
  },
  {
    what: 'waits without end for who is at it',
    caught: ['leaves a transaction usable that was told busy'],
    make: () => (real) => ({
      inbox: {
        async claim(tx, consumer, messages) {
          const claims = await real.inbox.claim(tx, consumer, messages)
          return claims.includes('busy') ? new Promise(() => {}) : claims
        },
      },
    }),
  },
  {
    what: 'does not count attempts that end',
    caught: ['counts attempts that were started and not finished, in their own commits'],
    make: () => () => ({ inbox: { finished: async () => undefined } }),
  },
  {
    what: 'forgets all attempts when one ends',
    caught: ['counts attempts that were started and not finished, in their own commits'],
    make: () => (real) => ({
      inbox: {
        async finished(consumer, message) {
          for (let count = 0; count < 10; count++) await real.inbox.finished(consumer, message)
        },
      },
    }),
  },
  {
    what: 'counts below zero',
    caught: ['counts attempts that were started and not finished, in their own commits'],
    make: () => {
      const open = new Map<string, number>()
      const add = (consumer: string, { source, id }: MessageIdentity, by: number): number => {
        const name = JSON.stringify([consumer, source, id])
        open.set(name, (open.get(name) ?? 0) + by)
        return open.get(name) as number
      }
      return () => ({
        inbox: {
          started: async (consumer, message) => add(consumer, message, 1),
          finished: async (consumer, message) => void add(consumer, message, -1),
        },
      })
    },
  },
  {
    what: 'counts attempts that were committed only',
    caught: ['counts attempts whose transaction was rolled back'],
    make: () => {
      let last: readonly [string, MessageIdentity] | undefined
      return (real) => ({
        transaction: (work) =>
          real.transaction(work).catch(async (error: unknown) => {
            if (last !== undefined) await real.inbox.finished(...last)
            throw error
          }),
        inbox: {
          started(consumer, message) {
            last = [consumer, message]
            return real.inbox.started(consumer, message)
          },
        },
      })
    },
  },
  {
    what: 'sets keys aside in one process only',
    caught: ['sets keys aside for every process, until they are taken back'],
    make: () => (real) => {
      const mine = new Set<string>()
      return {
        inbox: {
          park(consumer, key, forMs) {
            mine.add(key)
            return real.inbox.park(consumer, key, forMs)
          },
          parked: async (consumer, keys) => (await real.inbox.parked(consumer, keys)).filter((key) => mine.has(key)),
        },
      }
    },
  },
  {
    what: 'takes no key back',
    caught: ['sets keys aside for every process, until they are taken back'],
    make: () => () => ({ inbox: { unpark: async () => undefined } }),
  },
  {
    what: 'sets keys aside for ever',
    caught: ['lets keys go that were set aside when their time is over'],
    make: () => (real) => ({
      inbox: { park: (consumer, key, forMs) => real.inbox.park(consumer, key, forMs * 1_000) },
    }),
  },
  {
    what: 'keeps the first time of a key that is set aside twice',
    caught: ['lets keys go that were set aside when their time is over'],
    make: () => (real) => ({
      inbox: {
        async park(consumer, key, forMs) {
          if ((await real.inbox.parked(consumer, [key])).length === 0) await real.inbox.park(consumer, key, forMs)
        },
      },
    }),
  },
  {
    what: 'does not say how long it keeps entries',
    caught: ['says how long it keeps entries'],
    make: () => () => ({ inbox: { retentionMs: 0 } }),
  },
  ...purging('inbox', 'purges entries that are old enough, oldest first and a bounded number'),
  ...purging('idempotency', 'purges answers that are old enough, a bounded number'),
  {
    what: 'keeps no answers',
    caught: ['keeps the answer to a request, and gives it to each one of that key'],
    make: () => () => ({ idempotency: { reserve: async () => ({ state: 'first' }), complete: async () => undefined } }),
  },
  {
    what: 'takes answers for text',
    caught: ['keeps the answer to a request, and gives it to each one of that key'],
    make: () => (real) => ({
      idempotency: {
        complete: (tx, scope, key, response) =>
          real.idempotency.complete(tx, scope, key, new TextEncoder().encode(new TextDecoder().decode(response))),
      },
    }),
  },
  {
    what: 'takes an empty answer for none',
    caught: ['keeps answers of every length'],
    make: () => (real) => ({
      idempotency: {
        async reserve(...args) {
          const reserved = await real.idempotency.reserve(...args)
          return reserved.state === 'stored' && reserved.response.length === 0 ? { state: 'running' } : reserved
        },
      },
    }),
  },
  {
    what: 'gives an answer to whatever body',
    caught: ['refuses a key that comes with another body'],
    make: () => (real) => ({
      idempotency: { reserve: (tx, scope, key) => real.idempotency.reserve(tx, scope, key, '') },
    }),
  },
  {
    what: 'keeps keys that were rolled back',
    caught: ['frees a key whose transaction was rolled back'],
    make: () => {
      const known = new Set<string>()
      return (real) => ({
        idempotency: {
          async reserve(tx, scope, key, hash) {
            const reserved = await real.idempotency.reserve(tx, scope, key, hash)
            const name = JSON.stringify([scope, key])
            if (reserved.state !== 'first') return reserved
            if (known.has(name)) return { state: 'running' }
            known.add(name)
            return reserved
          },
        },
      })
    },
  },
  {
    what: 'answers first to two requests at once',
    caught: ['answers running while another one is at it, or waits for its answer, and leaves the transaction usable'],
    make: () => (real) => ({
      idempotency: {
        async reserve(...args) {
          const reserved = await real.idempotency.reserve(...args)
          return reserved.state === 'running' ? { state: 'first' } : reserved
        },
      },
    }),
  },
  {
    what: 'knows keys without their scope',
    caught: ['tells keys apart by scope and by every letter'],
    make: () => (real) => ({
      idempotency: {
        reserve: (tx, _, key, hash) => real.idempotency.reserve(tx, '', key, hash),
        complete: (tx, _, key, response) => real.idempotency.complete(tx, '', key, response),
      },
    }),
  },
]
