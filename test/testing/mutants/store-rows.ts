// Stores that change what they carry, take keys for one another, or read otherwise than they should.
import type { OutboxRow, PartitionLease, PendingRow } from '../../../src/core/contracts/store.ts'
import type { Envelope } from '../../../src/core/message.ts'
import { disguised, keysBy, type StoreMutant } from './store-kit.ts'

// What comes out is what was made of it on the way in.
const mangled = (mangle: (envelope: Envelope) => Envelope): StoreMutant['make'] =>
  disguised(
    ({ channel, envelope }) => ({ channel, envelope: mangle(envelope) }),
    (row) => row,
  )

const confusing: readonly (readonly [what: string, difference: string, name: (key: string) => string])[] = [
  ['takes keys without regard to case', 'case', (key) => key.toLowerCase()],
  ['takes keys without spaces behind', 'a space behind', (key) => key.replace(/ +$/, '')],
  ['takes keys without spaces before', 'a space before', (key) => key.replace(/^ +/, '')],
  ['takes keys without accents', 'accents', (key) => key.normalize('NFD').replace(/\p{M}/gu, '')],
  ['takes composed letters for decomposed ones', 'composed and decomposed letters', (key) => key.normalize('NFC')],
  ['takes letters by a collation', '\u00DF and ss', (key) => key.replaceAll('\u00DF', 'ss')],
  ['takes the first 2,000 characters of a key', 'the last of 10,000 characters', (key) => key.slice(0, 2_000)],
  ['takes keys without line breaks', 'a line break', (key) => key.replaceAll('\n', '')],
  [
    'takes letters beyond the basic plane for ?',
    'letters beyond the basic plane',
    (key) => key.replace(/[^\0-\uFFFF]/gu, '?'),
  ],
  ['takes blank keys for empty ones', 'an empty one', (key) => key.trim()],
]

export const rowMutants: readonly StoreMutant[] = [
  ...confusing.map(([what, difference, name]) => ({
    what,
    caught: [`tells keys apart that differ in ${difference}`],
    make: keysBy(name),
  })),
  {
    what: 'takes keys of all channels for one',
    caught: ['blocks a key on its own channel only'],
    make: disguised(({ envelope }) => ({ channel: { kind: 'queue', name: 'one' }, envelope })),
  },
  {
    what: 'takes a body for text',
    caught: ['gives envelopes out as they came in'],
    make: mangled((envelope) => ({
      ...envelope,
      body: new TextEncoder().encode(new TextDecoder().decode(envelope.body)),
    })),
  },
  {
    what: 'takes priority 0 for none',
    caught: ['gives envelopes out as they came in'],
    make: mangled(({ priority, ...envelope }) => ({ ...envelope, ...(priority ? { priority } : {}) })),
  },
  {
    what: 'takes an empty key for none',
    caught: ['gives envelopes out as they came in'],
    make: mangled(({ key, ...envelope }) => ({ ...envelope, ...(key ? { key } : {}) })),
  },
  {
    what: 'rounds times to seconds',
    caught: ['gives envelopes out as they came in'],
    make: mangled((envelope) =>
      envelope.notBefore === undefined
        ? envelope
        : { ...envelope, notBefore: Math.floor(envelope.notBefore / 1_000) * 1_000 },
    ),
  },
  {
    what: 'takes topics for queues',
    caught: ['gives queues and topics out as what they are'],
    make: disguised(
      ({ channel, envelope }) => ({ channel: { ...channel, kind: 'queue' }, envelope }),
      (row) => row,
    ),
  },
  {
    what: 'cuts bodies at 64 KiB',
    caught: ['takes a body of 1 MiB'],
    make: mangled((envelope) => ({ ...envelope, body: envelope.body.slice(0, 65_535) })),
  },
  {
    what: 'cuts ids at 255 characters',
    caught: ['takes ids of 1,000 characters, and settles by them'],
    make: mangled((envelope) => ({ ...envelope, id: envelope.id.slice(0, 255) })),
  },
  {
    what: 'cuts texts at a NUL',
    caught: ['refuses keys and ids with a NUL, or gives them out whole'],
    make: mangled((envelope) => ({ ...envelope, key: envelope.key?.split('\0')[0] as string })),
  },
  {
    what: 'keeps what belongs to the caller',
    caught: ['keeps what it was given, whatever becomes of that afterwards'],
    make: () => {
      const originals = new Map<string, OutboxRow>()
      return (real) => ({
        outbox: {
          append(tx, rows) {
            for (const row of rows) originals.set(row.envelope.id, row)
            return real.outbox.append(tx, rows)
          },
          pending: async (...args) =>
            (await real.outbox.pending(...args)).map((row) => ({ ...row, ...originals.get(row.envelope.id) })),
        },
      })
    },
  },
  {
    what: 'has one partition for all rows without a key',
    caught: ['puts rows of one key in one partition, and spreads rows without a key'],
    make: disguised(({ channel, envelope }) => ({ channel, envelope: { key: '', ...envelope } })),
  },
  {
    what: 'chooses partitions by id',
    caught: ['puts rows of one key in one partition, and spreads rows without a key'],
    make: disguised(({ channel, envelope: { key: _, ...envelope } }) => ({ channel, envelope })),
  },
  {
    what: 'reads all partitions',
    caught: [
      'gives each relay the rows of the partitions that it holds, and no others',
      'gives rows of the leases that are given, and nothing without leases',
    ],
    make: () => {
      const held = new Map<number, PartitionLease>()
      return (real) => ({
        outbox: {
          async lease(...args) {
            const leases = await real.outbox.lease(...args)
            for (const lease of leases) held.set(lease.partition, lease)
            return leases
          },
          pending: (_, ...rest) => real.outbox.pending([...held.values()], ...rest),
        },
      })
    },
  },
  {
    what: 'reads the first partition only',
    caught: [
      'gives each relay the rows of the partitions that it holds, and no others',
      'gives rows by sequence, as many as are asked for',
    ],
    make: () => (real) => ({
      outbox: { pending: (leases, ...rest) => real.outbox.pending(leases.slice(0, 1), ...rest) },
    }),
  },
  {
    what: 'reads partition by partition',
    caught: ['gives rows by sequence, as many as are asked for'],
    make: () => (real) => ({
      outbox: {
        pending: async (...args) => (await real.outbox.pending(...args)).toSorted((a, b) => a.partition - b.partition),
      },
    }),
  },
  {
    what: 'reads what is urgent first',
    caught: ['gives rows by sequence whatever their priority and their time'],
    make: () => (real) => ({
      outbox: {
        pending: async (...args) =>
          (await real.outbox.pending(...args)).toSorted(
            (a, b) => (b.envelope.priority ?? 0) - (a.envelope.priority ?? 0),
          ),
      },
    }),
  },
  {
    what: 'leaves out what is not due',
    caught: ['gives rows by sequence whatever their priority and their time'],
    make: (clock) => (real) => ({
      outbox: {
        pending: async (...args) =>
          (await real.outbox.pending(...args)).filter(({ envelope }) => (envelope.notBefore ?? 0) <= clock.wallNow()),
      },
    }),
  },
  {
    what: 'reads more than it is asked for',
    caught: ['gives rows by sequence, as many as are asked for'],
    make: () => (real) => ({
      outbox: { pending: (leases, limit) => real.outbox.pending(leases, limit + 1) },
    }),
  },
  {
    what: 'reads on behind the last row that was read',
    caught: [
      'reads again from the beginning, in order, what was read and is not settled',
      'gives rows again as long as they are not settled',
    ],
    make: () => {
      let last = -1n
      return (real) => ({
        outbox: {
          pending: async (leases, limit) => {
            const rows = (await real.outbox.pending(leases, 10_000)).filter(({ sequence }) => sequence > last)
            const read = rows.slice(0, limit)
            last = read.at(-1)?.sequence ?? last
            return read
          },
        },
      })
    },
  },
  {
    what: 'reads nothing that became visible behind what was read',
    caught: ['gives first what became visible late, behind rows that were read before'],
    make: () => {
      const drawn = new Map<string, bigint>()
      let sequence = 0n
      let most = -1n
      return (real) => ({
        outbox: {
          append(tx, rows) {
            for (const { envelope } of rows) drawn.set(envelope.id, ++sequence)
            return real.outbox.append(tx, rows)
          },
          pending: async (leases, limit) => {
            const seen = most
            const rows = (await real.outbox.pending(leases, 10_000))
              .map((row): PendingRow => ({ ...row, sequence: drawn.get(row.envelope.id) as bigint }))
              .filter((row) => row.sequence > seen)
              .toSorted((a, b) => Number(a.sequence - b.sequence))
              .slice(0, limit)
            most = rows.at(-1)?.sequence ?? most
            return rows
          },
        },
      })
    },
  },
  {
    what: 'reads each row once',
    caught: [
      'gives rows again as long as they are not settled',
      'gives rows of a batch whose relay died to the next one, in order',
    ],
    make: () => {
      const read = new Set<bigint>()
      return (real) => ({
        outbox: {
          pending: async (...args) => {
            const rows = (await real.outbox.pending(...args)).filter(({ sequence }) => !read.has(sequence))
            for (const { sequence } of rows) read.add(sequence)
            return rows
          },
        },
      })
    },
  },
  {
    what: 'looks no further than at as many rows as it is asked for',
    caught: ['reads to its end what stands behind many rows of a blocked key'],
    make: () => {
      const all: string[] = []
      return (real) => ({
        outbox: {
          append(tx, rows) {
            all.push(...rows.map(({ envelope }) => envelope.id))
            return real.outbox.append(tx, rows)
          },
          async pending(leases, limit) {
            const seen = new Set(all.slice(0, limit))
            return (await real.outbox.pending(leases, 10_000)).filter(({ envelope }): boolean => seen.has(envelope.id))
          },
        },
      })
    },
  },
  {
    what: 'says that a new row has failed before',
    caught: ['shows rows once they are committed, and not before'],
    make: () => (real) => ({
      outbox: {
        pending: async (...args) =>
          (await real.outbox.pending(...args)).map((row): PendingRow => ({ ...row, attempts: row.attempts + 1 })),
      },
    }),
  },
  {
    what: 'forgets everything when it is started again',
    caught: [
      'keeps what was committed, and nothing else, over the death of the database',
      'keeps what was applied over the death of the database',
    ],
    lab: { restart: 'forgets' },
  },
  {
    what: 'commits what was open when it died',
    caught: ['keeps what was committed, and nothing else, over the death of the database'],
    lab: { restart: 'commits' },
  },
]
