// What every CheckpointStore has to do, as cases: who may move a position, and that nobody else can.
import { AssertionError } from 'node:assert'
import { type Clock, sleep, systemClock, systemRandom } from '../core/clock.ts'
import type { CheckpointStore, LaneLease } from '../core/contracts/store.ts'
import { same } from './assert.ts'
import type { TestRunner } from './test-runner.ts'

/** A store under test, and the time by which its leases run out. */
export interface CheckpointLab {
  /** One more connection to the same data, as another process would have it. */
  open(): CheckpointStore | Promise<CheckpointStore>
  /** The clock that `until` of the leases is on. Default: real time. */
  readonly clock?: Clock | undefined
  /** Lets time pass for the store. Default: really waits. */
  pass?(ms: number): Promise<void>
  /** How long leases last. Default 1,000; less where time is real and the store is quick. */
  readonly leaseMs?: number | undefined
  /** Ends it. */
  close?(): Promise<void>
}

/** One check. */
export interface CheckpointCase {
  readonly name: string
  /** Throws what is wrong. */
  run(lab: CheckpointLab): Promise<void>
}

interface Desk {
  readonly store: CheckpointStore
  /** Another connection to the same. */
  readonly other: CheckpointStore
  /** Of this case alone. */
  readonly consumer: string
  readonly leaseMs: number
  readonly clock: Clock
  pass(ms: number): Promise<void>
  /** A lease of a member by name; `from` is the connection. */
  lease(member: string, lanes: readonly string[], from?: CheckpointStore): Promise<readonly LaneLease[]>
}

const FOUR: readonly string[] = ['a', 'b', 'c', 'd']
const lanesOf = (leases: readonly LaneLease[]): readonly string[] => leases.map(({ lane }) => lane)

function the<T>(value: T | undefined, what: string): T {
  if (value === undefined) throw new AssertionError({ message: `${what} is missing` })
  return value
}

// Where no time is to pass no lease may end, however long the machine stands still.
const LONG_MS = 60_000

const toCase = (name: string, work: (desk: Desk) => Promise<void>): CheckpointCase => caseOf(name, work, LONG_MS)

/** One in which leases end. */
const timedCase = (name: string, work: (desk: Desk) => Promise<void>): CheckpointCase => caseOf(name, work)

const caseOf = (name: string, work: (desk: Desk) => Promise<void>, lasts?: number): CheckpointCase => ({
  name,
  async run(lab) {
    const { clock = systemClock } = lab
    const leaseMs = lasts ?? lab.leaseMs ?? 1_000
    // Of this run alone: leases of the one before may still stand in a database that is used again.
    const consumer = `suite: ${name} ${Math.floor(systemRandom() * 1e9)}`
    const store = await lab.open()
    await work({
      store,
      other: await lab.open(),
      consumer,
      leaseMs,
      clock,
      pass: (ms) => lab.pass?.(ms) ?? sleep(clock, ms),
      lease: (member, lanes, from = store) => from.lease(consumer, member, lanes, leaseMs),
    })
  },
})

/** All cases. Each uses consumers of its own, so that they may share one database. */
export const checkpointCases: readonly CheckpointCase[] = [
  toCase('a lane that was never saved has no position', async ({ store, consumer, lease }) => {
    same(await store.load(consumer, 'a'), undefined, 'before it was leased')
    await lease('m', ['a'])
    same(await store.load(consumer, 'a'), undefined, 'after it was leased')
  }),

  toCase('a saved position is loaded as it was, over every connection', async ({ store, other, consumer, lease }) => {
    const [held] = await lease('m', ['a'])
    for (const position of ['1', '', '0/16B3748', 'zwölf \u{1F41F}', 'x'.repeat(10_000), '2']) {
      same(await store.save(consumer, the(held, 'the lease'), position), true, 'the holder may save')
      same(await other.load(consumer, 'a'), position, 'what was saved')
    }
  }),

  toCase('consumers and lanes are apart', async ({ store, consumer, lease, leaseMs }) => {
    const [a] = await lease('m', ['a', 'b'])
    const [same1] = await store.lease(`${consumer} 2`, 'm', ['a'], leaseMs)
    await store.save(consumer, the(a, 'the lease'), '1')
    await store.save(`${consumer} 2`, the(same1, 'the lease of the other consumer'), '2')
    same(await store.load(consumer, 'a'), '1', 'of the one consumer')
    same(await store.load(`${consumer} 2`, 'a'), '2', 'of the other')
    same(await store.load(consumer, 'b'), undefined, 'of another lane')
  }),

  toCase('a member that is alone gets every lane, once, in the order asked for', async (desk) => {
    const before = desk.clock.now()
    const leases = await desk.lease('m', ['c', 'a', 'b', 'a'])
    same(lanesOf(leases), ['c', 'a', 'b'], 'its lanes')
    for (const { until } of leases)
      same(
        until > before && until <= desk.clock.now() + desk.leaseMs,
        true,
        `until is ${until}: it should be between ${before} and ${desk.clock.now() + desk.leaseMs}`,
      )
  }),

  timedCase('who asks again in time keeps its lanes and epochs, for as long as it does', async (desk) => {
    const first = await desk.lease('m', FOUR)
    let last = first
    for (let round = 0; round < 4; round++) {
      await desk.pass(desk.leaseMs * 0.6)
      const before = last
      last = await desk.lease('m', FOUR)
      same(lanesOf(last), FOUR, `its lanes in round ${round}`)
      same(
        last.map(({ epoch }) => epoch),
        first.map(({ epoch }) => epoch),
        'its epochs',
      )
      same((last[0]?.until ?? 0) > (before[0]?.until ?? 0), true, 'the lease lasts longer than the one before')
    }
    same(await desk.store.save(desk.consumer, the(first[0], 'the first lease'), '1'), true, 'the epoch still holds')
  }),

  toCase('members share fairly: who has too many gives them up when it asks again', async (desk) => {
    same(lanesOf(await desk.lease('m1', FOUR)), FOUR, 'the first, while alone')
    same(lanesOf(await desk.lease('m2', FOUR, desk.other)), [], 'the second, while the first has all')
    const kept = await desk.lease('m1', FOUR)
    const taken = await desk.lease('m2', FOUR, desk.other)
    same([kept.length, taken.length], [2, 2], 'how many each has')
    same([...lanesOf(kept), ...lanesOf(taken)].sort(), FOUR, 'every lane has one holder')
    same([(await desk.lease('m1', FOUR)).length, (await desk.lease('m2', FOUR)).length], [2, 2], 'and it stays so')
  }),

  toCase('where it does not come out even, nobody has more than one above another', async (desk) => {
    const lanes = ['a', 'b', 'c', 'd', 'e', 'f', 'g']
    const members = ['m1', 'm2', 'm3']
    let held: readonly (readonly LaneLease[])[] = []
    for (let round = 0; round < 3; round++) {
      held = []
      for (const member of members) held = [...held, await desk.lease(member, lanes)]
    }
    same(held.map(({ length }) => length).sort(), [2, 2, 3], 'how many each has')
    same(held.flatMap(lanesOf).sort(), lanes, 'every lane has one holder')
  }),

  toCase('more members than lanes: some have none', async (desk) => {
    const held: string[] = []
    for (const member of ['m1', 'm2', 'm3']) held.push(...lanesOf(await desk.lease(member, ['a'])))
    same(held, ['a'], 'all together')
  }),

  timedCase(
    'the lanes of a member that is gone are taken over when its lease is over, and not before',
    async (desk) => {
      const old = await desk.lease('m1', FOUR)
      await desk.pass(desk.leaseMs * 0.5)
      same(lanesOf(await desk.lease('m2', FOUR, desk.other)), [], 'while the lease lasts')
      await desk.pass(desk.leaseMs * 0.7)
      const taken = await desk.lease('m2', FOUR, desk.other)
      same(lanesOf(taken), FOUR, 'once it is over')
      for (const [at, lease] of taken.entries())
        same(lease.epoch > (old[at]?.epoch ?? 0n), true, `the epoch of ${lease.lane} has grown`)
    },
  ),

  timedCase('who was replaced saves nothing', async (desk) => {
    const { store, other, consumer } = desk
    const [old] = await desk.lease('m1', ['a'])
    await store.save(consumer, the(old, 'the lease'), '5')
    await desk.pass(desk.leaseMs * 1.2)
    const [taken] = await desk.lease('m2', ['a'], other)
    same(await store.save(consumer, the(old, 'the lease'), '6'), false, 'the old holder, before the new one saved')
    same(await other.load(consumer, 'a'), '5', 'the position')
    same(await other.save(consumer, the(taken, 'the lease of the new one'), '7'), true, 'the new holder')
    same(await store.save(consumer, the(old, 'the lease'), '6'), false, 'the old holder, after the new one saved')
    same(await store.load(consumer, 'a'), '7', 'the position at last')
  }),

  timedCase('a member of the same name that comes back too late is another one', async (desk) => {
    const [old] = await desk.lease('m', ['a'])
    await desk.pass(desk.leaseMs * 1.2)
    const [later] = await desk.lease('m', ['a'])
    same(the(later, 'the lease').epoch > the(old, 'the first lease').epoch, true, 'the epoch has grown')
    same(await desk.store.save(desk.consumer, the(old, 'the first lease'), '1'), false, 'the first one may not save')
    same(await desk.store.save(desk.consumer, the(later, 'the lease'), '2'), true, 'the later one may')
  }),

  toCase('released lanes are free at once, with another epoch', async (desk) => {
    const held = await desk.lease('m1', FOUR)
    await desk.store.save(desk.consumer, the(held[0], 'the lease'), '3')
    await desk.store.release(desk.consumer, held)
    same(await desk.store.save(desk.consumer, the(held[0], 'the lease'), '4'), false, 'saving after release')
    const taken = await desk.lease('m2', FOUR, desk.other)
    same(lanesOf(taken), FOUR, 'the lanes of the next one')
    same(the(taken[0], 'its lease').epoch > the(held[0], 'the old lease').epoch, true, 'the epoch has grown')
    same(await desk.store.load(desk.consumer, 'a'), '3', 'the position is kept')
  }),

  timedCase('releasing what is not held any more takes it from nobody', async (desk) => {
    const old = await desk.lease('m1', FOUR)
    await desk.pass(desk.leaseMs * 1.2)
    const [taken] = await desk.lease('m2', FOUR, desk.other)
    await desk.store.release(desk.consumer, old)
    await desk.store.release(desk.consumer, [])
    same(await desk.other.save(desk.consumer, the(taken, 'the lease'), '1'), true, 'the holder may still save')
    same(lanesOf(await desk.lease('m2', FOUR, desk.other)), FOUR, 'and has its lanes')
  }),

  toCase('members that ask at once never hold a lane together', async (desk) => {
    const members = ['m1', 'm2', 'm3', 'm4', 'm5', 'm6']
    for (let round = 0; round < 3; round++) {
      const asked = await Promise.all(
        members.map((member, at) => desk.lease(member, FOUR, at % 2 === 0 ? desk.store : desk.other)),
      )
      const answers = asked.flat().map(({ lane, epoch }) => `${lane} epoch ${epoch}`)
      same(answers.length, new Set(answers).size, `lane and epoch of each are its own: ${answers.join(', ')}`)
      const may = await Promise.all(asked.flat().map((lease) => desk.store.save(desk.consumer, lease, 'x')))
      same(may.filter(Boolean).length <= FOUR.length, true, 'no more may save than there are lanes')
    }
    const held: string[] = []
    for (const member of members) held.push(...lanesOf(await desk.lease(member, FOUR)))
    for (const member of members) held.push(...lanesOf(await desk.lease(member, FOUR)))
    same([...new Set(held)].sort(), FOUR, 'every lane has a holder in the end')
  }),
]

/** Which cases fail, and with what. Each has a lab of its own. */
export async function runCheckpointSuite(
  makeLab: () => CheckpointLab | Promise<CheckpointLab>,
): Promise<readonly { readonly name: string; readonly error: unknown }[]> {
  const failed: { readonly name: string; readonly error: unknown }[] = []
  for (const each of checkpointCases) {
    try {
      await runOne(each, makeLab)
    } catch (error) {
      failed.push({ name: each.name, error })
    }
  }
  return failed
}

/**
 * Binds the suite to a test runner: one test for each case.
 * @example testCheckpointStore('memory', () => ({ ...lab }), { describe, test })
 */
export function testCheckpointStore(
  name: string,
  makeLab: () => CheckpointLab | Promise<CheckpointLab>,
  { describe, test }: TestRunner,
): void {
  describe(`CheckpointStore: ${name}`, () => {
    for (const each of checkpointCases) test(each.name, () => runOne(each, makeLab))
  })
}

async function runOne(each: CheckpointCase, makeLab: () => CheckpointLab | Promise<CheckpointLab>): Promise<void> {
  const lab = await makeLab()
  try {
    await each.run(lab)
  } finally {
    await lab.close?.()
  }
}
