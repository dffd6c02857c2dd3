// The recipe for a shared file: found, spread, left; and a file written by hand.
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { inventoryClient, startInventory } from '../../examples/discover-with-file.ts'
import { knows, tally } from './discovered.ts'

let folder: string
const ends: (() => Promise<unknown>)[] = []
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'fairlead-recipe-'))
})
afterEach(async () => {
  for (const end of ends.splice(0).reverse()) await end()
  rmSync(folder, { recursive: true, force: true })
})

test('instances are found, share the calls, and leave', async () => {
  const path = join(folder, 'services.json')
  const { levelOf, of, spread } = tally(2)
  const first = await startInventory(path, levelOf(0))
  ends.push(() => first.close())
  const second = await startInventory(path, levelOf(1))
  const { inventory, discovery, close } = inventoryClient(path)
  ends.push(close)
  const call = () => inventory.stock({ sku: 'A-1' })
  await call()
  await knows(discovery, 2)
  await spread(call)

  await second.close()
  await knows(discovery, 1)
  expect(await of(10, call)).toEqual([10, 0])
})

test('a file written by hand is read, and so is what is written over it', async () => {
  const { levelOf, of, spread } = tally(2)
  const registered = join(folder, 'registered.json')
  const servers = [await startInventory(registered, levelOf(0)), await startInventory(registered, levelOf(1))]
  ends.push(() => Promise.all(servers.map((server) => server.close())))
  const [first, second] = servers.map(({ port }) => `127.0.0.1:${port}`)

  const path = join(folder, 'by-hand.json')
  writeFileSync(path, JSON.stringify({ services: { inventory: [first] } }))
  const { inventory, discovery, close } = inventoryClient(path)
  ends.push(close)
  const call = () => inventory.stock({ sku: 'A-1' })
  expect(await of(10, call)).toEqual([10, 0])
  writeFileSync(path, JSON.stringify([{ targets: [first, second], labels: { job: 'inventory' } }]))
  await knows(discovery, 2)
  await spread(call)
})
