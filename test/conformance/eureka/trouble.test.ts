// Several real servers, real deaths: fail-over of source and registrar, a server that comes back empty, an operator's hand in the registry.
import { afterAll, expect, test } from 'vitest'
import { eurekaRegistrar, eurekaSource } from '../../../src/adapters/eureka/index.ts'
import type { Endpoint, SourceUpdate } from '../../../src/core/contracts/source.ts'
import { type EurekaInstance, startEureka } from '../../services/eureka-instance.ts'
import { freePort } from '../../services/free-port.ts'
import { foreign } from './foreign.ts'

const ports = [await freePort(), await freePort()] as const
// `localhost`: a server takes a peer of its own host name for itself.
const urlOf = (port: number): string => `http://localhost:${port}/eureka/`
const servers = await Promise.all(
  ports.map((port, at) => startEureka({ port, peers: [urlOf(ports[1 - at] as number)] })),
)
const [one, two] = servers as [EurekaInstance, EurekaInstance]
const urls = servers.map(({ url }) => url)
afterAll(() => Promise.all(servers.map((server) => server.remove())))

const until = async (what: string, condition: () => boolean | Promise<boolean>): Promise<void> => {
  for (let tries = 0; tries < 600; tries++) {
    if (await condition()) return
    await new Promise((resolve) => setTimeout(resolve, 50))
  }
  throw new Error(`waited in vain: ${what}`)
}
// Keeps to the first server, the one that dies.
const firstFirst = (): number => 0.999
const endpoint = (id: string, more: Partial<Endpoint> = {}): Endpoint => ({
  id,
  addresses: [{ host: '10.0.0.7', port: 8080 }],
  ...more,
})
const stateAt = async (server: EurekaInstance, service: string, id: string): Promise<string | undefined> =>
  (await foreign(server.url).read(service)).find((each) => each.id === id)?.state

test.each(['app', 'registry'] as const)(
  'by %s: a server dies, its peer is asked, and nobody is lost',
  { timeout: 180_000 },
  async (by) => {
    const service = `failover-${by}`
    const registrar = eurekaRegistrar({ urls, timeoutMs: 20_000, random: firstFirst })
    const registration = await registrar.register(service, endpoint('e-1'), { ttlMs: 9_000 })
    const told: SourceUpdate[] = []
    const source = eurekaSource({ urls, by, intervalMs: 200, timeoutMs: 20_000, random: firstFirst })
    await until('both servers know it', async () =>
      (await Promise.all(servers.map((server) => stateAt(server, service, 'e-1')))).every((state) => state === 'ready'),
    )
    const watch = source.watch(service, (update) => void told.push(update))
    try {
      await until('a first word', () => told.length > 0)
      const from = told.length
      await one.kill()
      await registration.setState('draining')
      expect(await stateAt(two, service, 'e-1')).toBe('draining')
      await registration.setState('ready')
      await until('ten more words', () => told.length > from + 10)
      const words = told.slice(from).filter(({ type }) => type !== 'error')
      expect(words.every((update) => update.type === 'snapshot' && update.endpoints.length === 1)).toBe(true)
      await one.start()
      // A server that is back copies its peer's registry, or hears of it with the next signs of life.
      await until('it is known there again', async () => (await stateAt(one, service, 'e-1')) === 'ready')
    } finally {
      await watch.close()
      await registration.deregister()
    }
  },
)

test('a server that is back and empty hears of who is there, each in its state', { timeout: 180_000 }, async () => {
  const registrar = eurekaRegistrar({ urls: one.url, timeoutMs: 20_000 })
  const states = ['ready', 'draining', 'starting', 'down'] as const
  const registrations = await Promise.all(
    states.map((state) => registrar.register('reborn', endpoint(state, { state }), { ttlMs: 9_000 })),
  )
  try {
    await Promise.all(servers.map((server) => server.kill()))
    await one.start()
    for (const state of states)
      await until(`the ${state} one`, async () => (await stateAt(one, 'reborn', state)) === state)
    await two.start()
  } finally {
    await Promise.all(registrations.map((registration) => registration.deregister()))
  }
})

test('what an operator puts over a status stays, but keeps nobody in traffic who leaves', {
  timeout: 180_000,
}, async () => {
  const hand = foreign(one.url)
  const registrar = eurekaRegistrar({ urls: one.url })
  const registration = await registrar.register('operated', endpoint('o-1'), { ttlMs: 9_000 })
  const state = (): Promise<string | undefined> => stateAt(one, 'operated', 'o-1')
  try {
    await hand.override('operated', 'o-1', 'OUT_OF_SERVICE')
    await new Promise((resolve) => setTimeout(resolve, 3_500))
    expect(await state()).toBe('draining')
    // Not by a new registration either.
    await registration.setState('starting')
    await registration.setState('ready')
    expect(await state()).toBe('draining')
    await hand.override('operated', 'o-1', 'UP')
    expect(await state()).toBe('ready')
    await registration.setState('draining')
    expect(await state()).toBe('draining')
    await registration.setState('ready')
    expect(await state()).toBe('ready')
  } finally {
    await registration.deregister()
  }
})

test('no override is left behind, and one process may follow another under its id', { timeout: 180_000 }, async () => {
  const hand = foreign(one.url)
  const registrar = eurekaRegistrar({ urls: one.url })
  const first = await registrar.register('followed', endpoint('f-1'), { ttlMs: 9_000 })
  await first.setState('draining')
  expect((await hand.instances('followed'))[0]?.overriddenStatus).toBe('UNKNOWN')
  // The first one's process has crashed while it drained, with its clock ahead.
  await hand.post('followed', 'f-1', { status: 'OUT_OF_SERVICE', lastDirtyTimestamp: String(Date.now() + 3_600_000) })
  const second = await registrar.register('followed', endpoint('f-1', { metadata: { version: '2' } }), { ttlMs: 9_000 })
  expect(await hand.read('followed')).toMatchObject([{ state: 'ready', metadata: { version: '2' } }])
  await second.setState('draining')
  await second.setState('ready')
  expect(await stateAt(one, 'followed', 'f-1')).toBe('ready')
  expect((await hand.instances('followed'))[0]?.overriddenStatus).toBe('UNKNOWN')
  await second.deregister()
  await first.deregister()
  expect(await hand.read('followed')).toEqual([])
})
