// The recipe for deploys with real processes: each is replaced under load, and no call fails. The callers try nothing again.
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as pause } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { createDiscovery, createProxy, httpTransport } from 'fairlead'
import { fileSource } from 'fairlead/file'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { Inventory } from '../../examples/zero-downtime-deploy.ts'

let folder: string
let path: string
const children: ChildProcess[] = []
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'fairlead-deploy-'))
  path = join(folder, 'services.json')
})
afterEach(() => {
  for (const child of children.splice(0)) child.kill('SIGKILL')
  rmSync(folder, { recursive: true, force: true })
})

const start = async (version: string): Promise<ChildProcess> => {
  const program = fileURLToPath(new URL('zero-downtime-process.ts', import.meta.url))
  const child = spawn(process.execPath, ['--import', 'tsx', program, path, version], {
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  children.push(child)
  const [said] = (await once(child.stdout, 'data')) as [Buffer]
  expect(String(said).trim()).toBe('announced')
  return child
}

test('every instance is replaced under load, and no call fails', { timeout: 90_000 }, async () => {
  const old = [await start('1'), await start('1')]
  const discovery = createDiscovery({ source: fileSource({ path }) })
  const transport = httpTransport({ discovery })
  const inventory = createProxy(Inventory, { transport, retry: false, deadlineMs: 20_000, attemptTimeoutMs: false })
  const versions: string[] = []
  const failures: unknown[] = []
  let busy = true
  const caller = async (): Promise<void> => {
    for (; busy; await pause(5)) {
      const result = await inventory.stock.result({ sku: 'A-1' })
      if (result.ok) versions.push(result.value.version)
      else failures.push(result.error)
    }
  }
  const callers = Array.from({ length: 4 }, caller)

  for (const before of old) {
    await start('2')
    const ended = once(before, 'exit')
    before.kill('SIGTERM')
    // By itself and in good order: nothing kept the process up, and nothing broke it.
    expect(await ended).toEqual([0, null])
  }
  const from = versions.length
  await expect.poll(() => versions.length, { timeout: 10_000 }).toBeGreaterThan(from + 40)
  busy = false
  await Promise.all(callers)
  await transport.close()
  await discovery.close()

  expect(failures).toEqual([])
  expect(new Set(versions)).toEqual(new Set(['1', '2']))
  expect(new Set(versions.slice(from + 8))).toEqual(new Set(['2']))
  const { services } = JSON.parse(readFileSync(path, 'utf8')) as { services: { inventory: unknown[] } }
  expect(services.inventory).toHaveLength(2)
})
