// Tables: made once by whoever comes first, looked at before work begins, and of one owner.
import { bare, datable, type StoreCase, storeCase } from '../case.ts'
import { demand, refused, same } from '../expect.ts'

export const migratingCases: readonly StoreCase[] = [
  storeCase('migrates what is migrated without doing anything', async ({ store, other, publish, relay }) => {
    await publish(['k:1'])
    same(await store.migrate(), { applied: [] }, 'once more')
    same(await other.migrate(), { applied: [] }, 'in another process')
    await store.check()
    same(await (await relay()).ids(), ['k:1'], 'rows')
  }),

  storeCase(
    'says of tables that are not there that they do not fit, and makes them',
    async (desk) => {
      const store = await desk.openUnmigrated()
      await refused('looking', () => store.check(), 'INCOMPATIBLE', 'CHANNEL_NOT_FOUND')
      await refused('working', () => store.outbox.stats(), 'INCOMPATIBLE', 'CHANNEL_NOT_FOUND')
      await refused(
        'a transaction',
        () => store.transaction((tx) => store.outbox.append(tx, [desk.row('a')])),
        'INCOMPATIBLE',
        'CHANNEL_NOT_FOUND',
      )
      const { applied } = await store.migrate()
      demand(applied.length > 0 && applied.every((name) => typeof name === 'string'), 'no step was run')
      same(await store.migrate(), { applied: [] }, 'once more')
      await store.check()
      await desk.publish(['k:1'], store)
      same(await (await desk.relay('relay', { store })).ids(), ['k:1'], 'rows')
    },
    [bare],
  ),

  storeCase(
    'makes tables once when several do it at once',
    async (desk) => {
      const stores = await Promise.all(Array.from({ length: 5 }, () => desk.openUnmigrated()))
      const done = await Promise.all(stores.map((store) => store.migrate()))
      const steps = done.flatMap(({ applied }) => applied)
      demand(steps.length > 0, 'no step was run')
      same(steps.length, new Set(steps).size, 'steps that were run twice')
      for (const store of stores) await store.check()
    },
    [bare],
    60_000,
  ),

  storeCase('refuses tables of another owner', async ({ open, publish, relay }) => {
    const mine = await open({ owner: 'shop' })
    same(mine.owner, 'shop', 'the owner')
    await mine.migrate()
    await mine.check()
    const theirs = await open({ owner: 'Shop' })
    await refused('looking', () => theirs.check(), 'INCOMPATIBLE')
    await refused('migrating', () => theirs.migrate(), 'INCOMPATIBLE')
    await mine.check()
    const again = await open({ owner: 'shop' })
    same(await again.migrate(), { applied: [] }, 'of the same owner')
    await publish(['k:1'], again)
    same(await (await relay('relay', { store: mine })).ids(), ['k:1'], 'rows')
  }),

  storeCase('closes twice, and leaves other stores alone', async ({ open, publish, relay }) => {
    const one = await open()
    await one.close()
    await one.close()
    await publish(['k:1'])
    same(await (await relay()).ids(), ['k:1'], 'rows')
  }),

  storeCase(
    'is not put off by a date that is set back an hour, or forward',
    async ({ lab, store, publish, relay, other, leaseMs, pass }) => {
      for (const ms of [-3_600_000, 3_600_000]) {
        const name = String(ms)
        await publish([`${name}:1`, `${name}:2`])
        const held = await relay(`before ${name}`, { forMs: leaseMs * 100 })
        await held.ids()
        const back = await lab.shiftDate?.(ms)
        await publish([`${name}:3`])
        same(await held.ids(), [`${name}:1`, `${name}:2`, `${name}:3`], 'rows of a relay that goes on')
        const next = await relay(`after ${name}`, { store: other, forMs: leaseMs })
        same(next.leases.length, 0, 'what another one finds free')
        await held.settle({ [`${name}:1`]: { verdict: 'retry', delayMs: leaseMs, reason: 'suite' } })
        same(await held.ids(), [], 'rows while the first waits')
        await pass(leaseMs * 1.1)
        same(await held.ids(), [`${name}:1`, `${name}:2`, `${name}:3`], 'rows after its time')
        await back?.()
        await held.settle({
          [`${name}:1`]: { verdict: 'published' },
          [`${name}:2`]: { verdict: 'published' },
          [`${name}:3`]: { verdict: 'published' },
        })
        await held.release()
        await pass(leaseMs * 1.2)
        await next.release()
        demand((await store.outbox.stats()).oldestMs >= 0, 'the oldest has an age below zero')
      }
    },
    [datable],
    60_000,
  ),
]
