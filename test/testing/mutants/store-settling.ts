// Stores that count, block, put back and purge wrongly.
import type { OutboxRow, PartitionLease, PendingRow, RowVerdict } from '../../../src/core/contracts/store.ts'
import { apart, disguised, type MakeStoreChange, type StoreMutant } from './store-kit.ts'

// Other verdicts than those given.
const judging =
  (change: (verdict: RowVerdict) => RowVerdict): MakeStoreChange =>
  () =>
  (real) => ({ outbox: { settle: (leases, verdicts) => real.outbox.settle(leases, verdicts.map(change)) } })

const retry = (sequence: bigint, delayMs: number): RowVerdict => ({
  sequence,
  verdict: 'retry',
  delayMs,
  reason: 'suite',
})

export const settlingStoreMutants: readonly StoreMutant[] = [
  {
    what: 'blocks no key',
    caught: [
      'counts a failure, and lets its key wait until it is tried again',
      'sets a dead row aside with its reason, and lets its key wait',
      'puts a dead row back at its old place, before later ones of its key',
      'skips dead rows: they are gone, and their keys go on',
    ],
    make: disguised(({ channel, envelope: { key: _, ...envelope } }) => ({ channel, envelope })),
  },
  {
    what: 'lets earlier rows of a dead one wait as well',
    caught: ['lets an earlier row of the key go its way, and only later ones wait'],
    make: () => (real) => ({
      outbox: {
        async pending(...args) {
          const keys = new Set<string | undefined>()
          for await (const { envelope } of real.outbox.dead(100)) keys.add(envelope.key)
          return (await real.outbox.pending(...args)).filter(({ envelope }) => !keys.has(envelope.key))
        },
      },
    }),
  },
  {
    what: 'does not count failures',
    caught: [
      'counts a failure, and lets its key wait until it is tried again',
      'keeps attempts and waits over a change of holder',
    ],
    make: () => (real) => ({
      outbox: {
        pending: async (...args) =>
          (await real.outbox.pending(...args)).map((row): PendingRow => ({ ...row, attempts: 0 })),
      },
    }),
  },
  {
    what: 'counts a failure that says nothing of the message',
    caught: ['counts no attempt where the failure says nothing of the message, and lets its key wait all the same'],
    make: judging((verdict) => (verdict.verdict === 'retry' ? { ...verdict, counts: true } : verdict)),
  },
  {
    what: 'lets the key go on where the failure says nothing of the message',
    caught: ['counts no attempt where the failure says nothing of the message, and lets its key wait all the same'],
    make: judging((verdict) =>
      verdict.verdict === 'retry' && verdict.counts === false
        ? { sequence: verdict.sequence, verdict: 'hold', delayMs: verdict.delayMs }
        : verdict,
    ),
  },
  {
    what: 'never tries a failed row again',
    caught: [
      'counts a failure, and lets its key wait until it is tried again',
      'tries a failed row again at once where there is no delay, before later ones of its key',
      'lets a failed row without a key hold up nothing but itself',
    ],
    make: judging((verdict) => (verdict.verdict === 'retry' ? { ...verdict, delayMs: 2_000_000 } : verdict)),
  },
  {
    what: 'tries a failed row again at once',
    caught: [
      'counts a failure, and lets its key wait until it is tried again',
      'lets a failed row without a key hold up nothing but itself',
    ],
    make: judging((verdict) => (verdict.verdict === 'retry' ? { ...verdict, delayMs: 0 } : verdict)),
  },
  {
    what: 'waits for a while at least',
    caught: ['tries a failed row again at once where there is no delay, before later ones of its key'],
    make: judging((verdict) =>
      verdict.verdict === 'retry' ? { ...verdict, delayMs: Math.max(verdict.delayMs, 100) } : verdict,
    ),
  },
  {
    what: 'takes rows without a key for rows of one key',
    caught: ['lets a failed row without a key hold up nothing but itself'],
    make: disguised(({ channel, envelope }) => ({ channel, envelope: { key: 'none', ...envelope } })),
  },
  {
    what: 'takes a row that is held for one that failed',
    caught: ['holds a row until its time, without counting it and without its key'],
    make: judging((verdict) => (verdict.verdict === 'hold' ? retry(verdict.sequence, verdict.delayMs) : verdict)),
  },
  {
    what: 'holds nothing',
    caught: [
      'holds a row until its time, without counting it and without its key',
      'settles many at once, with verdicts of every kind',
    ],
    make: judging((verdict) => (verdict.verdict === 'hold' ? { ...verdict, delayMs: 0 } : verdict)),
  },
  {
    what: 'remembers waits for one holder only',
    caught: ['keeps attempts and waits over a change of holder'],
    make: (clock) => {
      const waits = new Map<bigint, { readonly epoch: bigint; readonly until: number }>()
      return (real) => {
        const epochOf = (leases: readonly PartitionLease[]): bigint => leases[0]?.epoch ?? 0n
        return {
          outbox: {
            settle(leases, verdicts) {
              for (const verdict of verdicts)
                if (verdict.verdict === 'hold')
                  waits.set(verdict.sequence, { epoch: epochOf(leases), until: clock.now() + verdict.delayMs })
              return real.outbox.settle(
                leases,
                verdicts.map((verdict) => (verdict.verdict === 'hold' ? { ...verdict, delayMs: 0 } : verdict)),
              )
            },
            pending: async (leases, ...rest) =>
              (await real.outbox.pending(leases, ...rest)).filter(({ sequence }) => {
                const wait = waits.get(sequence)
                return wait === undefined || wait.epoch !== epochOf(leases) || wait.until <= clock.now()
              }),
          },
        }
      }
    },
  },
  ...(['backlog', 'dead', 'blockedKeys', 'oldestMs'] as const).map((figure) => ({
    what: `says nothing of ${figure}`,
    caught: ['tells how many wait, are dead and blocked, and how old the oldest is'],
    make: (): ReturnType<MakeStoreChange> => (real) => ({
      outbox: { stats: async () => ({ ...(await real.outbox.stats()), [figure]: 0 }) },
    }),
  })),
  {
    what: 'announces to nobody',
    caught: ['wakes those who listen when there is an announcement, until they stop'],
    make: () => () => ({ outbox: { announce: async () => undefined } }),
  },
  {
    what: 'wakes those who have stopped listening',
    caught: ['wakes those who listen when there is an announcement, until they stop'],
    make: () => (real) => ({
      outbox: {
        async listen(wake) {
          await real.outbox.listen?.(wake)
          return async () => undefined
        },
      },
    }),
  },
  {
    what: 'forgets why a row is dead',
    caught: ['sets a dead row aside with its reason, and lets its key wait'],
    make: judging((verdict) => (verdict.verdict === 'dead' ? { ...verdict, reason: '' } : verdict)),
  },
  {
    what: 'drops dead rows',
    caught: [
      'sets a dead row aside with its reason, and lets its key wait',
      'lists dead rows oldest first, as many as are asked for',
      'takes ids of 1,000 characters, and settles by them',
    ],
    make: judging((verdict) =>
      verdict.verdict === 'dead' ? { sequence: verdict.sequence, verdict: 'published' } : verdict,
    ),
  },
  {
    what: 'lets every key go on behind a dead row',
    caught: [
      'sets a dead row aside with its reason, and lets its key wait',
      'skips dead rows: they are gone, and their keys go on',
    ],
    make: judging((verdict) => (verdict.verdict === 'dead' ? { ...verdict, blocksKey: false } : verdict)),
  },
  {
    what: 'lets no key go on behind a dead row',
    caught: [
      'lets the key of a dead row go on where that is said',
      'settles many at once, with verdicts of every kind',
    ].slice(0, 1),
    make: judging((verdict) => (verdict.verdict === 'dead' ? { ...verdict, blocksKey: true } : verdict)),
  },
  {
    what: 'lists dead rows by sequence',
    caught: ['lists dead rows oldest first, as many as are asked for'],
    make: () => (real) => ({
      outbox: {
        async *dead(limit) {
          const rows = []
          for await (const row of real.outbox.dead(10_000)) rows.push(row)
          yield* rows.sort((a, b) => Number(a.sequence - b.sequence)).slice(0, limit)
        },
      },
    }),
  },
  {
    what: 'lists all dead rows, however many are asked for',
    caught: ['lists dead rows oldest first, as many as are asked for'],
    make: () => (real) => ({ outbox: { dead: () => real.outbox.dead(10_000) } }),
  },
  {
    what: 'lets a key wait for ever behind a row that was skipped',
    caught: [
      'skips dead rows: they are gone, and their keys go on',
      'skips pending rows, a failed one that blocks its key among them',
    ],
    make: () => {
      const hidden = new Set<string>()
      return (real) => ({
        outbox: {
          async skip(ids) {
            for (const id of ids) hidden.add(id)
            return ids.length
          },
          pending: async (...args) =>
            (await real.outbox.pending(...args)).filter(({ envelope }) => !hidden.has(envelope.id)),
        },
      })
    },
  },
  {
    what: 'skips dead rows only',
    caught: ['skips pending rows, a failed one that blocks its key among them'],
    make: () => (real) => ({
      outbox: {
        async skip(ids) {
          const given = new Set<string>()
          for await (const { envelope } of real.outbox.dead(10_000)) given.add(envelope.id)
          return real.outbox.skip(ids.filter((id) => given.has(id)))
        },
      },
    }),
  },
  {
    what: 'puts dead rows back at the end of the order',
    caught: [
      'puts a dead row back at its old place, before later ones of its key',
      'puts all dead rows back, each at its place',
    ],
    make: () => (real) => ({
      outbox: {
        async redrive(ids) {
          const rows: OutboxRow[] = []
          for await (const row of real.outbox.dead(10_000))
            if (ids === 'all' || ids.includes(row.envelope.id)) rows.push(row)
          await real.outbox.skip(rows.map(({ envelope }) => envelope.id))
          await apart(real, (tx) => real.outbox.append(tx, rows))
          return rows.length
        },
      },
    }),
  },
  {
    what: 'puts one row back where all are asked for',
    caught: ['puts all dead rows back, each at its place'],
    make: () => (real) => ({
      outbox: {
        async redrive(ids) {
          if (ids !== 'all') return real.outbox.redrive(ids)
          for await (const { envelope } of real.outbox.dead(1)) return real.outbox.redrive([envelope.id])
          return 0
        },
      },
    }),
  },
  {
    what: 'puts all back where one is asked for',
    caught: ['puts a dead row back at its old place, before later ones of its key'],
    make: () => (real) => ({ outbox: { redrive: () => real.outbox.redrive('all') } }),
  },
  {
    what: 'remembers how often a row failed before it was put back',
    caught: ['puts a dead row back without what it failed before'],
    make: () => {
      const attempts = new Map<bigint, number>()
      return (real) => ({
        outbox: {
          settle(leases, verdicts) {
            for (const { sequence, verdict } of verdicts)
              if (verdict === 'retry') attempts.set(sequence, (attempts.get(sequence) ?? 0) + 1)
            return real.outbox.settle(leases, verdicts)
          },
          pending: async (...args) =>
            (await real.outbox.pending(...args)).map(
              (row): PendingRow => ({ ...row, attempts: attempts.get(row.sequence) ?? 0 }),
            ),
        },
      })
    },
  },
  {
    what: 'purges whatever its age',
    caught: [
      'purges dead rows that are old enough, oldest first and a bounded number, and their keys go on',
      'purges archived rows that are old enough, a bounded number',
    ],
    make: () => (real) => ({ outbox: { purge: (options) => real.outbox.purge({ ...options, olderThanMs: 0 }) } }),
  },
  {
    what: 'purges without a bound',
    caught: [
      'purges dead rows that are old enough, oldest first and a bounded number, and their keys go on',
      'purges archived rows that are old enough, a bounded number',
    ],
    make: () => (real) => ({ outbox: { purge: (options) => real.outbox.purge({ ...options, limit: 10_000 }) } }),
  },
  {
    what: 'purges dead rows without being asked',
    caught: ['purges dead rows that are old enough, oldest first and a bounded number, and their keys go on'],
    make: () => (real) => ({
      outbox: {
        purge: async (options) =>
          (await real.outbox.purge({ ...options, dead: true })) + (await real.outbox.purge(options)),
      },
    }),
  },
  {
    what: 'keeps what is published without being asked',
    caught: ['keeps what is published only where that is asked for'],
    lab: { archive: true },
  },
  {
    what: 'lets keys wait for rows that were purged',
    caught: ['purges dead rows that are old enough, oldest first and a bounded number, and their keys go on'],
    make: () => {
      const purged = new Set<string>()
      return (real) => ({
        outbox: {
          async purge(options) {
            if (options.dead !== true) return real.outbox.purge(options)
            const before = purged.size
            for await (const { envelope, at } of real.outbox.dead(options.limit)) if (at <= 0) purged.add(envelope.id)
            return purged.size - before
          },
        },
      })
    },
  },
]
