// Partitions of an outbox: shared fairly among relays, never held by two, and taken over with a higher epoch.
import type { PartitionLease } from '../../../core/contracts/store.ts'
import { type StoreCase, storeCase } from '../case.ts'
import type { Desk, DeskRelay } from '../desk.ts'
import { demand, same } from '../expect.ts'

const sorted = (numbers: readonly number[]): readonly number[] => numbers.toSorted((a, b) => a - b)
const counts = (relays: readonly DeskRelay[]): readonly number[] => sorted(relays.map(({ leases }) => leases.length))

// How many partitions there are: who is alone has them all.
async function countIn(desk: Desk): Promise<number> {
  const alone = await desk.relay('counting')
  await alone.release()
  return alone.leases.length
}

async function renewAll(relays: readonly DeskRelay[], rounds = 3): Promise<void> {
  for (let round = 0; round < rounds; round++) for (const relay of relays) await relay.renew()
}

function eachOnce(relays: readonly DeskRelay[], total: number): void {
  const all = relays.flatMap(({ partitions }) => partitions)
  same(new Set(all).size, all.length, 'partitions that two have')
  same(all.length, total, 'partitions that somebody has')
}

export const leaseCases: readonly StoreCase[] = [
  storeCase(
    'leases every partition to a relay that is alone, for as long as it asks',
    async ({ relay, clock, leaseMs }) => {
      const before = clock.now()
      const { leases, partitions } = await relay('alone', { forMs: leaseMs })
      const after = clock.now()
      demand(leases.length > 1, `there are ${leases.length} partitions`)
      same(new Set(partitions).size, leases.length, 'different ones')
      for (const { partition, epoch, until } of leases) {
        demand(Number.isSafeInteger(partition) && partition >= 0, `a partition is called ${partition}`)
        demand(typeof epoch === 'bigint' && epoch > 0n, `the epoch of ${partition} is ${epoch}`)
        demand(
          until > before && until <= after + leaseMs,
          `until is ${until}, and has to be after ${before} and not after ${after + leaseMs}`,
        )
      }
    },
  ),

  storeCase('lets a relay that asks again in time keep partitions and epochs', async ({ relay, leaseMs, pass }) => {
    const held = await relay('alone', { forMs: leaseMs })
    const first = held.leases
    let last = first
    for (let round = 0; round < 4; round++) {
      await pass(leaseMs * 0.5)
      const before = last
      last = await held.renew()
      same(last.map(epochOf), first.map(epochOf), `partitions and epochs in round ${round}`)
      demand((last[0]?.until ?? 0) > (before[0]?.until ?? 0), 'a lease that is asked for again lasts longer')
    }
  }),

  storeCase('shares partitions fairly when relays join', async (desk) => {
    const { relay, other } = desk
    const total = await countIn(desk)
    const first = await relay('first')
    const second = await relay('second', { store: other })
    same([first.leases.length, second.leases.length], [total, 0], 'while the first one has all')
    await first.renew()
    await second.renew()
    same(counts([first, second]), [Math.floor(total / 2), Math.ceil(total / 2)], 'for two')
    eachOnce([first, second], total)
    const third = await relay('third', { store: other })
    await renewAll([first, second, third])
    for (const each of counts([first, second, third]))
      demand(each === Math.floor(total / 3) || each === Math.ceil(total / 3), `${each} of ${total} for one of three`)
    eachOnce([first, second, third], total)
  }),

  storeCase(
    'leaves what is beyond its share to a relay until it has settled what it sent and gives it back, and to no other meanwhile',
    async (desk) => {
      const { relay, other, publish } = desk
      const total = await countIn(desk)
      const first = await relay('first')
      const ids = Array.from({ length: 40 }, (_, at) => `k${at}:m${at}`)
      await publish(ids)
      same((await first.ids()).length, ids.length, 'what it sends')
      const second = await relay('second', { store: other })
      await first.renew('keep')
      const surplus = first.leases.filter((lease) => lease.surplus === true)
      same(first.leases.length, total, 'what the first one still has')
      demand(surplus.length === Math.floor(total / 2) || surplus.length === Math.ceil(total / 2), 'half is beyond it')
      same((await second.renew()).length, 0, 'what the second one has before it is given back')
      const published = Object.fromEntries(ids.map((id) => [id, { verdict: 'published' as const }]))
      same(await first.settle(published), ids.length, 'what is settled')
      await desk.store.outbox.release(surplus)
      await second.renew()
      same(sorted(second.partitions), sorted(surplus.map(({ partition }) => partition)), 'what the second one has then')
      risen(surplus, second.leases)
    },
  ),

  storeCase(
    'does not extend what is beyond its share for a relay that asks again and again, and never gives it back',
    async ({ relay, other, leaseMs, pass }) => {
      const first = await relay('first', { forMs: leaseMs })
      const second = await relay('second', { store: other })
      for (let looks = 0; second.leases.length === 0; looks++) {
        demand(looks < 60, 'what is beyond its share never ends')
        await first.renew('keep')
        await pass(leaseMs / 4)
        await second.renew()
      }
    },
  ),

  storeCase('shares without a relay that leaves before it has held anything', async (desk) => {
    const { relay, other } = desk
    const total = await countIn(desk)
    const first = await relay('first')
    const second = await relay('second', { store: other })
    same(second.leases.length, 0, 'what the second one has')
    await second.release()
    same((await first.renew()).length, total, 'what the first one has afterwards')
  }),

  storeCase('leaves partitions where they are once they are shared', async (desk) => {
    const { relay, other } = desk
    const relays = [await relay('first'), await relay('second', { store: other }), await relay('third')]
    await renewAll(relays)
    const before = relays.map(({ leases }) => leases.map(epochOf))
    await renewAll(relays)
    same(
      relays.map(({ leases }) => leases.map(epochOf)),
      before,
      'who has what, and at which epoch',
    )
  }),

  storeCase('shares again when a relay leaves', async (desk) => {
    const { relay, other } = desk
    const total = await countIn(desk)
    const first = await relay('first')
    const second = await relay('second', { store: other })
    await renewAll([first, second])
    await first.release()
    await second.renew()
    same(second.leases.length, total, 'what the one that stays has')
  }),

  storeCase(
    'gives the partitions of a relay that died to others when its lease is over, and not before',
    async (desk) => {
      const { relay, other, leaseMs, pass } = desk
      const dead = await relay('dead', { forMs: leaseMs })
      const next = await relay('next', { store: other, forMs: leaseMs })
      same(next.leases.length, 0, 'while the lease lasts')
      await pass(leaseMs * 1.2)
      await next.renew()
      same(sorted(next.partitions), sorted(dead.partitions), 'once it is over')
      risen(dead.leases, next.leases)
    },
  ),

  storeCase('does not lease a partition to another one before the holder knows that its time is over', async (desk) => {
    const { relay, other, leaseMs, clock, pass } = desk
    const held = await relay('holder', { forMs: leaseMs })
    const until = Math.max(...held.leases.map((lease) => lease.until))
    const next = await relay('next', { store: other, forMs: leaseMs })
    for (let looks = 0; next.leases.length === 0; looks++) {
      demand(looks < 60, 'a lease that is over is never given to another one')
      await pass(leaseMs / 20)
      const asked = await next.renew()
      // Read after the answer: that it was given later than this says nothing.
      const now = clock.now()
      demand(
        asked.length === 0 || now >= until,
        `given to another one at ${now}, and the holder may count on it until ${until}`,
      )
    }
  }),

  storeCase('takes a relay that comes back too late for a new holder', async ({ relay, leaseMs, pass }) => {
    const held = await relay('same', { forMs: leaseMs })
    const before = held.leases
    await pass(leaseMs * 1.2)
    risen(before, await held.renew())
  }),

  storeCase('gives released partitions to others at once, at a higher epoch', async ({ relay, other }) => {
    const held = await relay('first')
    await held.release()
    const next = await relay('next', { store: other })
    same(next.leases.length, held.leases.length, 'how many it has')
    risen(held.leases, next.leases)
  }),

  storeCase(
    'releases only what is asked for, and what is still held',
    async ({ relay, store, other, leaseMs, pass }) => {
      const held = await relay('first', { forMs: leaseMs })
      const old = held.leases
      await pass(leaseMs * 1.2)
      const next = await relay('next', { store: other })
      await store.outbox.release(old)
      await store.outbox.release([])
      const before = next.leases.map(epochOf)
      same((await next.renew()).map(epochOf), before, 'what the later holder has')
      const third = await relay('third')
      same(third.leases.length, 0, 'what a third one finds free')
      const part = next.leases.slice(0, 3)
      await other.outbox.release(part)
      await third.renew()
      same(
        sorted(third.partitions),
        sorted(part.map(({ partition }) => partition)),
        'what a third one gets of those that were released',
      )
    },
  ),

  storeCase('never leases a partition to two relays that ask at once', async (desk) => {
    const { store, other, leaseMs } = desk
    const total = await countIn(desk)
    const stores = [store, other, await desk.open()]
    const names = Array.from({ length: 9 }, (_, at) => `relay ${at}`)
    for (let round = 0; round < 3; round++) {
      const asked = await Promise.all(
        names.map((name, at) => (stores[at % 3] as typeof store).outbox.lease(name, leaseMs * 100)),
      )
      const held = asked.flat().map(epochOf)
      same(new Set(held).size, held.length, `partition and epoch of each are its own in round ${round}`)
    }
    const relays = await Promise.all(names.map((name) => desk.relay(name)))
    await renewAll(relays)
    eachOnce(relays, total)
  }),

  storeCase(
    'has relays beside consumers that keep positions under the same names',
    async ({ store, relay, leaseMs }) => {
      const held = await relay('same')
      const lanes = held.partitions.map(String)
      const leases = await store.checkpoints.lease('same', 'another', lanes, leaseMs)
      same(leases.length, lanes.length, 'lanes of the consumer')
      const before = held.leases.map(epochOf)
      same((await held.renew()).map(epochOf), before, 'partitions of the relay')
    },
  ),
]

function epochOf({ partition, epoch }: PartitionLease): string {
  return `${partition} at ${epoch}`
}

function risen(before: readonly PartitionLease[], after: readonly PartitionLease[]): void {
  const old = new Map(before.map(({ partition, epoch }) => [partition, epoch]))
  for (const { partition, epoch } of after) {
    const was = old.get(partition)
    demand(was === undefined || epoch > was, `the epoch of ${partition} was ${was} and is ${epoch}`)
  }
}
