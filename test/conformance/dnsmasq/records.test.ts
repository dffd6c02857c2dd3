// What a real DNS server's records become, and how much of them there can be.
import { afterEach, describe, expect, it, vi } from 'vitest'
import { type DnsSourceOptions, dnsSource } from '../../../src/adapters/dns/index.ts'
import type { SourceUpdate } from '../../../src/core/contracts/source.ts'
import { type DnsmasqInstance, startDnsmasq } from '../../services/dnsmasq-instance.ts'
import { server } from '../../services/servers.ts'

const ends: (() => Promise<void>)[] = []
afterEach(async () => {
  for (const end of ends.splice(0).reverse()) await end()
})

const own = async (...records: Parameters<typeof startDnsmasq>): Promise<DnsmasqInstance> => {
  const instance = await startDnsmasq(...records)
  ends.push(() => instance.remove())
  return instance
}

const told = (port: number | undefined, service: string, options: DnsSourceOptions = {}): SourceUpdate[] => {
  const updates: SourceUpdate[] = []
  const source = dnsSource({ servers: [`127.0.0.1:${port}`], port: 80, family: 'both', ...options })
  const watch = source.watch(service, (update) => void updates.push(update))
  ends.push(() => watch.close())
  return updates
}

const first = async (updates: readonly SourceUpdate[]): Promise<SourceUpdate> => {
  await vi.waitFor(() => expect(updates.length).toBeGreaterThan(0), { timeout: 20_000 })
  return updates[0] as SourceUpdate
}

describe('records of the server that is up', () => {
  const ask = (service: string, options?: DnsSourceOptions): Promise<SourceUpdate> =>
    first(told(server('dnsmasq')?.port, service, options))

  it('A and AAAA, with their TTL', async () => {
    expect(await ask('api.fairlead.test')).toEqual({
      type: 'snapshot',
      ttlMs: 5_000,
      endpoints: [
        { id: '10.1.0.1:80', addresses: [{ host: '10.1.0.1', port: 80 }], hostname: 'api.fairlead.test' },
        { id: '10.1.0.2:80', addresses: [{ host: '10.1.0.2', port: 80 }], hostname: 'api.fairlead.test' },
      ],
    })
    const one = await ask('one.fairlead.test.')
    expect(one).toMatchObject({
      endpoints: [{ addresses: [{ host: '10.1.0.1' }, { host: 'fd00:1::1' }] }],
      ttlMs: 30_000,
    })
    expect(one).toMatchObject({ note: expect.stringContaining('virtual IP') })
  })

  it('a TTL such as that of Docker is asked for again much sooner', async () => {
    expect(await ask('docker.fairlead.test')).toMatchObject({ ttlMs: 30_000 })
  })

  it('SRV, and the target `.`', async () => {
    expect(await ask('_http._tcp.api.fairlead.test')).toMatchObject({
      ttlMs: 20_000,
      endpoints: [
        { id: '10.1.0.1:8081', priority: 10, weight: 60, hostname: 'api.fairlead.test' },
        { id: '10.1.0.2:8082', priority: 10, weight: 20, hostname: 'api.fairlead.test' },
      ],
    })
    expect(await ask('_closed._tcp.api.fairlead.test')).toEqual({ type: 'absent' })
  })

  it('none of a name, and no such name', async () => {
    expect(await ask('empty.fairlead.test')).toMatchObject({ type: 'snapshot', endpoints: [] })
    expect(await ask('nobody.fairlead.test')).toEqual({ type: 'absent' })
  })

  it('names of others, which it refuses: an error, and no loss', async () => {
    expect(await ask('api.example')).toMatchObject({ type: 'error', error: { code: 'NAME_LOOKUP_FAILED' } })
  })

  it('a short name, by the search list', async () => {
    const search = { search: ['nowhere.fairlead.test', 'fairlead.test'], ndots: 5 }
    expect(await ask('api', search)).toMatchObject({ endpoints: [{ hostname: 'api' }, {}] })
  })
})

describe('how many there can be', () => {
  const many = (count: number): string[] =>
    Array.from({ length: count }, (_, at) => `10.${at >> 16}.${(at >> 8) & 255}.${at & 255} big.fairlead.test`)

  it('2,000 addresses come over TCP, whole', async () => {
    const { port } = await own({ hosts: many(2_000) })
    const update = await first(told(port, 'big.fairlead.test'))
    expect(update.type === 'snapshot' ? [update.endpoints.length, update.note] : update).toEqual([2_000, undefined])
  })

  it('of more than 4,093 DNS carries what fits into 64 KiB, and that is said', async () => {
    const { port } = await own({ hosts: many(4_500) })
    const update = await first(told(port, 'big.fairlead.test'))
    const endpoints = update.type === 'snapshot' ? update.endpoints.length : 0
    expect(endpoints).toBeGreaterThan(4_000)
    expect(endpoints).toBeLessThan(4_100)
    expect(update).toMatchObject({ note: expect.stringContaining('there may be more') })
  })
})

describe('two servers', () => {
  it('one of them dead: the other one answers', async () => {
    const dead = await own()
    await dead.kill()
    const { port } = await own({ hosts: ['10.0.0.1 api.fairlead.test'] })
    const servers = [`127.0.0.1:${dead.port}`, `127.0.0.1:${port}`]
    expect(await first(told(undefined, 'api.fairlead.test', { servers }))).toMatchObject({
      endpoints: [{ id: '10.0.0.1:80' }],
    })
  })

  it('one of them stuck: the other one answers', async () => {
    const stuck = await own()
    stuck.pause()
    const { port } = await own({ hosts: ['10.0.0.1 api.fairlead.test'] })
    const servers = [`127.0.0.1:${stuck.port}`, `127.0.0.1:${port}`]
    expect(await first(told(undefined, 'api.fairlead.test', { servers }))).toMatchObject({
      endpoints: [{ id: '10.0.0.1:80' }],
    })
  })

  it('one of them knows nothing of the name and refuses: the other one answers', async () => {
    const foreign = await own()
    const { port } = await own({ config: ['host-record=api.example,10.0.0.1'] })
    const servers = [`127.0.0.1:${foreign.port}`, `127.0.0.1:${port}`]
    expect(await first(told(undefined, 'api.example', { servers }))).toMatchObject({
      endpoints: [{ id: '10.0.0.1:80' }],
    })
  })
})
