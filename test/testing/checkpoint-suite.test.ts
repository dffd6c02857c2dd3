// The suite for checkpoint stores, over the one in memory; and broken copies of it, each of which must fail the case that is meant for it.
import { describe, expect, it, test } from 'vitest'
import { memoryCheckpoints } from '../../src/adapters/memory/index.ts'
import type { CheckpointStore, LaneLease } from '../../src/core/contracts/store.ts'
import { type CheckpointLab, runCheckpointSuite, testCheckpointStore } from '../../src/testing/checkpoint-suite.ts'
import { fakeClock } from '../../src/testing/fake-clock.ts'

type Change = (store: CheckpointStore) => Partial<CheckpointStore>

const labOf =
  (change: Change = () => ({})) =>
  (): CheckpointLab => {
    const clock = fakeClock()
    const store = memoryCheckpoints({ clock })
    const changed: CheckpointStore = {
      lease: (...args) => store.lease(...args),
      release: (...args) => store.release(...args),
      load: (...args) => store.load(...args),
      save: (...args) => store.save(...args),
      ...change(store),
    }
    return { open: () => changed, clock, pass: (ms) => clock.advance(ms) }
  }

testCheckpointStore('memory', labOf(), { describe, test })

const LATER = 1_000_000
const mutants: readonly (readonly [what: string, caught: string, change: Change])[] = [
  [
    'it does not fence',
    'who was replaced saves nothing',
    () => {
      const positions = new Map<string, string>()
      return {
        save: async (consumer, { lane }, position) => !!positions.set(`${consumer} ${lane}`, position),
        load: async (consumer, lane) => positions.get(`${consumer} ${lane}`),
      }
    },
  ],
  [
    'leases never run out',
    'the lanes of a member that is gone are taken over when its lease is over, and not before',
    (store) => ({ lease: (consumer, member, lanes, forMs) => store.lease(consumer, member, lanes, forMs + LATER) }),
  ],
  [
    'leases run out at half time',
    'who asks again in time keeps its lanes and epochs, for as long as it does',
    (store) => ({ lease: (consumer, member, lanes, forMs) => store.lease(consumer, member, lanes, forMs / 2) }),
  ],
  [
    'the first one keeps all',
    'members share fairly: who has too many gives them up when it asks again',
    (store) => {
      const only = new Map<string, string>()
      return {
        lease: async (consumer, member, lanes, forMs) => {
          if (!only.has(consumer)) only.set(consumer, member)
          return only.get(consumer) === member ? store.lease(consumer, member, lanes, forMs) : []
        },
      }
    },
  ],
  [
    'everybody gets everything',
    'members that ask at once never hold a lane together',
    () => ({
      lease: async (_consumer, _member, lanes, forMs) =>
        lanes.map((lane): LaneLease => ({ lane, epoch: 1n, until: forMs })),
    }),
  ],
  [
    'nothing is released',
    'released lanes are free at once, with another epoch',
    () => ({ release: async () => undefined }),
  ],
  [
    'whoever releases, releases for all',
    'releasing what is not held any more takes it from nobody',
    (store) => {
      const last = new Map<string, LaneLease>()
      return {
        lease: async (...args) => {
          const leases = await store.lease(...args)
          for (const lease of leases) last.set(lease.lane, lease)
          return leases
        },
        release: (consumer, leases) =>
          store.release(
            consumer,
            leases.map((lease) => last.get(lease.lane) ?? lease),
          ),
      }
    },
  ],
  [
    'consumers are mixed up',
    'consumers and lanes are apart',
    (store) => ({
      lease: (_, ...rest) => store.lease('all', ...rest),
      save: (_, ...rest) => store.save('all', ...rest),
      load: (_, lane) => store.load('all', lane),
    }),
  ],
  [
    'positions are read as numbers',
    'a saved position is loaded as it was, over every connection',
    (store) => ({
      save: (consumer, lease, position) =>
        store.save(consumer, lease, String(Number(position) || position.trim().slice(0, 99))),
    }),
  ],
]

describe('broken checkpoint stores fail by the name of the case', () => {
  it.each(mutants)('%s: "%s"', async (_what, caught, change) => {
    const failed = (await runCheckpointSuite(labOf(change))).map(({ name }) => name)
    expect(failed).toContain(caught)
  })

  it('and the right one fails none', async () => {
    expect(await runCheckpointSuite(labOf())).toEqual([])
  })
})
