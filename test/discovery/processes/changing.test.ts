// Instances that come and go as they are meant to, as real processes under load that announce themselves in a file: nobody notices.
import { renameSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, it } from 'vitest'
import { fileSource } from '../../../src/adapters/file/index.ts'
import { createFleet, type Fleet } from './fleet.ts'
import { startLoad, until } from './load.ts'

let fleet: Fleet
let path: string
beforeEach(() => {
  fleet = createFleet()
  path = join(fleet.folder, 'services.json')
})
afterEach(() => fleet.end())

// As configuration management does it.
function announceAll(): void {
  writeFileSync(
    `${path}.new`,
    JSON.stringify({ services: { parcels: fleet.instances.map(({ endpoint }) => endpoint) } }),
  )
  renameSync(`${path}.new`, path)
}

it('a rolling restart of all five fails no call, of those that must not be sent twice, and each is worked off once', async () => {
  // Readers of a file look at a second change within a second of the first.
  const told = { file: path, drainMs: 8_000 }
  const first = await fleet.startMany(5, told)
  const load = startLoad(3, { source: fileSource({ path }), operation: 'order' })
  await load.more(30)
  for (const old of first) {
    const fresh = await fleet.start(told)
    await until(() => load.clients.every((client) => client.servedBy(fresh.id)))
    old.signal('SIGTERM')
  }
  // Each by itself: nobody has called exit.
  expect(await Promise.all(first.map(({ ended }) => ended))).toEqual([0, 0, 0, 0, 0])
  await load.more(30)
  await load.stop()

  for (const { attempts, failures } of load.clients) {
    expect(failures).toEqual([])
    // Nor was anybody called in vain, which a call that could not be sent gets over: all had seen in time who leaves.
    expect(attempts.filter(({ outcome }) => outcome !== 'success')).toEqual([])
  }
  const answered = load.clients.flatMap(({ answers }) => [...answers.keys()])
  expect(fleet.instances.flatMap((each) => each.got()).sort()).toEqual(answered.sort())
  for (const old of first) expect(old.did().length).toBeGreaterThan(0)
}, 60_000)

it('scale-up is seen while every connection is well', async () => {
  await fleet.startMany(2)
  announceAll()
  // What is seen is seen by watching.
  const load = startLoad(3, { source: fileSource({ path, pollMs: 600_000 }) })
  await load.more(30)
  const added = await fleet.startMany(2)
  announceAll()
  await until(() => load.clients.every((client) => added.every(({ id }) => client.servedBy(id))))
  await load.stop()

  for (const { attempts, failures } of load.clients) {
    expect(failures).toEqual([])
    expect(attempts.every(({ outcome }) => outcome === 'success')).toBe(true)
  }
  for (const each of added) expect(each.did().length).toBeGreaterThan(0)
}, 60_000)
