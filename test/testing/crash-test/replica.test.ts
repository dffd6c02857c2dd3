// A replica runs on it too: whatever dies, is late, or is lost, in the end the copy is what its source is, and at no moment is it something that the source has never been.
import { describe, expect, it } from 'vitest'
import { z } from 'zod'
import type { Clock } from '../../../src/core/clock.ts'
import {
  createOutbox,
  createRelay,
  memoryReplicaTable,
  replica,
  serveSnapshot,
  snapshotFrom,
  topic,
} from '../../../src/messaging/index.ts'
import {
  type CrashMemoryDatabase,
  type CrashService,
  type CrashTestFailure,
  type CrashWorld,
  crashTest,
} from '../../../src/testing/crash-test/index.ts'

const Customers = topic('customers', {
  changed: z.object({ id: z.string(), version: z.number(), name: z.string() }),
  closed: z.object({ id: z.string(), version: z.number() }),
})

/** As its owner has it: closed where there is no name. */
interface Customer {
  readonly version: number
  readonly name?: string
}

interface Facts {
  readonly owner: CrashMemoryDatabase
  readonly reader: CrashMemoryDatabase
  /** By id and version: every customer that there ever was. */
  readonly ever: Map<string, string | undefined>
  readonly changes: { wanted: number; made: number }
  readonly clock: Clock
  /** Since when the two are the same. */
  same: number
}

const CHANGES = [
  ['ann', 'Ann'],
  ['bob', 'Bob'],
  ['ann', 'Anna'],
  ['cid', 'Cid'],
  ['bob', undefined],
  ['cid', 'Sid'],
] as const

function ownerOf(own: CrashService, facts: Facts): Promise<void> {
  const store = own.store(facts.owner)
  const outbox = createOutbox(store, own.options)
  own.serve('change', (id: string, name: string | undefined) =>
    store.transaction(async (tx) => {
      const { version: last = 0, name: known } = (tx.get(id) ?? {}) as Partial<Customer>
      if (last > 0 && known === name) return
      const version = last + 1
      tx.set(id, name === undefined ? { version } : { version, name })
      facts.ever.set(`${id} ${version}`, name)
      await outbox.publish(
        tx,
        Customers,
        name === undefined
          ? { type: 'closed', key: id, data: { id, version } }
          : { type: 'changed', key: id, data: { id, version, name } },
      )
    }),
  )
  const page = serveSnapshot({
    read: async ({ after = '', limit }) =>
      facts.owner
        .entries()
        .map(([key, value]) => ({ key, ...(value as Customer) }))
        .filter(({ key, name }) => name !== undefined && key > after)
        .sort((one, other) => (one.key < other.key ? -1 : 1))
        .slice(0, limit)
        .map(({ key, version, name }) => ({ key, version, value: name as string })),
    pageSize: 2,
    ...own.options,
  })
  own.serve('page', page)
  return createRelay({ outbox, transport: own.transport, poll: { minMs: 50, maxMs: 500 }, ...own.options }).start()
}

const system =
  (guarded: boolean) =>
  (world: CrashWorld): Facts => {
    const facts: Facts = {
      owner: world.database('owner'),
      reader: world.database('reader'),
      ever: new Map(),
      changes: { wanted: CHANGES.length, made: 0 },
      clock: world.clock,
      same: Infinity,
    }
    world.service('owner', (own) => ownerOf(own, facts))
    world.service('reader', async (own) => {
      const store = own.store(facts.reader)
      const versions = { next: 0 }
      const copy = replica({
        name: 'customers',
        store,
        table: memoryReplicaTable<string>(store, { table: 'copy' }),
        transport: own.transport,
        channel: Customers,
        changes: {
          changed: ({ data: { id, version, name } }) => ({
            key: id,
            // The mistake: whatever comes last is taken for the newest.
            version: guarded ? version : 1_000 + versions.next++,
            value: name,
          }),
          closed: ({ data: { id, version } }) => ({
            key: id,
            version: guarded ? version : 1_000 + versions.next++,
            gone: true,
          }),
        },
        snapshot: snapshotFrom((request) => own.call('owner', 'page', request)),
        lookEveryMs: 500,
        probeEveryMs: 500,
        pageTimeoutMs: 1_000,
        ...own.options,
      })
      await copy.start()
    })
    world.client('office', async (own) => {
      for (const [id, name] of CHANGES) {
        for (;;) {
          try {
            await own.call('owner', 'change', id, name)
            break
          } catch {
            await own.sleep(100)
          }
        }
        facts.changes.made++
        await own.sleep(own.random() * 200)
      }
    })
    return facts
  }

const copyOf = ({ reader }: Facts): Readonly<Record<string, string>> => {
  const store = { entries: () => reader.entries(), read: (key: string) => reader.get(key) }
  const table = memoryReplicaTable<string>(store as never, { table: 'copy' })
  return Object.fromEntries(table.entries().map(({ key, value }) => [key, value] as const))
}
const sourceOf = ({ owner }: Facts): Readonly<Record<string, string>> =>
  Object.fromEntries(
    owner.entries().flatMap(([id, value]) => {
      const { name } = value as Customer
      return name === undefined ? [] : [[id, name] as const]
    }),
  )
const same = (facts: Facts): void => {
  expect(copyOf(facts), 'the copy is its source').toEqual(sourceOf(facts))
  expect(facts.changes.made).toBe(facts.changes.wanted)
}
/** For longer than a lease: what was lost, or late, has come by then. */
const staysSame = (facts: Facts): boolean => {
  try {
    same(facts)
    facts.same = Math.min(facts.same, facts.clock.now())
  } catch {
    facts.same = Infinity
  }
  return facts.clock.now() - facts.same > 2_500
}

describe('a replica', { timeout: 120_000 }, () => {
  it('is its source in the end, and never what the source never was', async () => {
    const report = await crashTest(system(true), same, {
      schedules: 80,
      done: staysSame,
      always: (facts) => {
        const names = new Map<string, Set<string | undefined>>()
        for (const [of, name] of facts.ever) {
          const id = of.split(' ')[0] as string
          names.set(id, (names.get(id) ?? new Set()).add(name))
        }
        for (const [id, name] of Object.entries(copyOf(facts)))
          if (names.get(id)?.has(name) !== true) throw new Error(`${id} was never called ${name}`)
      },
    })
    expect(report.faults).toBeGreaterThan(80)
  })

  it('is not, where versions do not say what is newer: found', async () => {
    const failure = await crashTest(system(false), same, { schedules: 300, done: staysSame, patienceMs: 20_000 }).then(
      () => undefined,
      (error: unknown) => error as CrashTestFailure,
    )
    expect(failure?.message, String(failure)).toContain('the copy is its source')
  })
})
