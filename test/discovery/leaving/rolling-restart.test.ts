// The promise of leaving: real processes, SIGTERM under load, calls that must not be sent twice, and none of them fails.
import { type ChildProcess, fork } from 'node:child_process'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { afterEach, expect, it } from 'vitest'
import { fileSource } from '../../../src/adapters/file/index.ts'
import { httpTransport } from '../../../src/adapters/http/index.ts'
import { createDiscovery } from '../../../src/discovery/index.ts'
import { createProxy } from '../../../src/rpi/index.ts'
import { Shop } from './shop.ts'

const script = fileURLToPath(new URL('./server-process.ts', import.meta.url))
const ends: (() => unknown)[] = []
afterEach(async () => {
  for (const end of ends.splice(0).reverse()) await end()
})

interface Instance {
  readonly child: ChildProcess
  readonly ended: Promise<number | string | null>
}

async function start(told: object): Promise<Instance> {
  const child = fork(script, [JSON.stringify(told)], {
    execArgv: ['--import', 'tsx'],
    stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
  })
  const ended = new Promise<number | string | null>((resolve) =>
    child.once('exit', (code, signal) => resolve(code ?? signal)),
  )
  ends.push(() => child.kill('SIGKILL'))
  await new Promise<void>((ready, failed) => {
    child.once('message', () => ready())
    child.once('exit', (code) => failed(new Error(`it ended with ${code} before it listened`)))
  })
  return { child, ended }
}

it('fails no call while every instance is replaced, one after the other', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'fairlead-leaving-'))
  ends.push(() => rm(folder, { recursive: true, force: true }))
  // Readers of a file look at a second change within a second.
  const told = { path: join(folder, 'services.json'), drainMs: 2_500 }
  const first = await Promise.all([start(told), start(told)])

  const discovery = createDiscovery({ source: fileSource({ path: told.path, pollMs: 100 }) })
  ends.push(() => discovery.close())
  const transport = httpTransport({ discovery })
  ends.push(() => transport.close())
  const shop = createProxy(Shop, { transport, deadlineMs: 10_000, attemptTimeoutMs: 5_000, retry: false })
  const failures: unknown[] = []
  const served = new Map<number, number>()
  let running = true
  const client = async (): Promise<void> => {
    for (let n = 0; running; n++) {
      await shop.order({ n }).then(
        ({ by }) => served.set(by, (served.get(by) ?? 0) + 1),
        (error: unknown) => failures.push(error),
      )
    }
  }
  const clients = Array.from({ length: 8 }, client)
  await sleep(300)

  for (const old of first) {
    const fresh = await start(told)
    await servedBy(served, fresh.child.pid as number)
    old.child.kill('SIGTERM')
    // Ended by itself: nobody has called exit.
    expect(await old.ended).toBe(0)
  }
  await sleep(200)
  running = false
  await Promise.all(clients)

  expect(failures).toEqual([])
  expect(served.size).toBe(4)
  expect([...served.values()].reduce((sum, each) => sum + each, 0)).toBeGreaterThan(100)
}, 60_000)

async function servedBy(served: ReadonlyMap<number, number>, pid: number): Promise<void> {
  while (!served.has(pid)) await sleep(10)
}
