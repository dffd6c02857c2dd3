// Over real sockets, with Node's own resolver: what each answer on the wire means.
import { afterEach, describe, expect, it, vi } from 'vitest'
import { type DnsSourceOptions, dnsSource } from '../../../src/adapters/dns/index.ts'
import type { SourceUpdate, SourceWatch } from '../../../src/core/contracts/source.ts'
import {
  connectedTo,
  type DnsAnswer,
  type DnsQuestion,
  type DnsRecord,
  type DnsServer,
  dnsServer,
} from './dns-server.ts'

const ends: (() => Promise<void>)[] = []
afterEach(async () => {
  for (const end of ends.splice(0).reverse()) await end()
})

const a = (...values: readonly string[]): DnsRecord[] => values.map((value) => ({ type: 'A', ttl: 7, value }))

const serve = async (answer: (question: DnsQuestion) => DnsAnswer): Promise<DnsServer> => {
  const server = await dnsServer(answer)
  ends.push(() => server.close())
  return server
}

const watch = (
  servers: readonly string[],
  service: string,
  options: DnsSourceOptions = {},
): { readonly told: SourceUpdate[]; readonly watched: SourceWatch } => {
  const told: SourceUpdate[] = []
  const source = dnsSource({ servers, port: 80, family: 4, minTtlMs: 50, ...options })
  const watched = source.watch(service, (update) => void told.push(update))
  ends.push(() => watched.close())
  return { told, watched }
}

const first = async (told: readonly SourceUpdate[]): Promise<SourceUpdate> => {
  await vi.waitFor(() => expect(told.length).toBeGreaterThan(0), { timeout: 15_000 })
  return told[0] as SourceUpdate
}

const sees = (told: readonly SourceUpdate[], ids: readonly string[]): Promise<void> =>
  vi.waitFor(() => expect(told.at(-1)).toMatchObject({ type: 'snapshot', endpoints: ids.map((id) => ({ id })) }), {
    timeout: 15_000,
  })

describe('what a DNS server says', () => {
  it('NOERROR with records: endpoints, with the TTL of the wire', async () => {
    const server = await serve(() => ({ records: a('10.0.0.2', '10.0.0.1') }))
    const { told } = watch([server.address], 'api.example')
    expect(await first(told)).toMatchObject({
      type: 'snapshot',
      ttlMs: 7_000,
      endpoints: [{ id: '10.0.0.1:80' }, { id: '10.0.0.2:80' }],
    })
    expect(server.questions).toEqual([{ name: 'api.example', type: 'A', over: 'udp' }])
  })

  it.each([
    ['NXDOMAIN', { rcode: 3 }, { type: 'absent' }],
    ['NODATA', {}, { type: 'snapshot', endpoints: [] }],
    ['SERVFAIL', { rcode: 2 }, { type: 'error', error: { code: 'NAME_LOOKUP_FAILED' } }],
    ['REFUSED', { rcode: 5 }, { type: 'error', error: { code: 'NAME_LOOKUP_FAILED' } }],
    ['NOTIMP', { rcode: 4 }, { type: 'error', error: { code: 'NAME_LOOKUP_FAILED' } }],
    ['nothing', 'nothing', { type: 'error', error: { code: 'NAME_LOOKUP_TIMEOUT' } }],
    ['noise', Buffer.from('HTTP/1.1 400 Bad Request\r\n\r\n'), { type: 'error' }],
  ] as const)('%s', async (_, answer, update) => {
    const server = await serve(() => answer)
    const { told } = watch([server.address], 'api.example', { timeoutMs: 400 })
    expect(await first(told)).toMatchObject(update)
  })

  it.each([
    ['SERVFAIL', { rcode: 2 }],
    ['REFUSED', { rcode: 5 }],
    ['nothing', 'nothing'],
  ] as const)('%s of one server: the next one is asked', async (_, answer) => {
    const bad = await serve(() => answer)
    const good = await serve(() => ({ records: a('10.0.0.1') }))
    const { told } = watch([bad.address, good.address], 'api.example')
    expect(await first(told)).toMatchObject({ type: 'snapshot' })
    expect(bad.questions).not.toHaveLength(0)
  })

  it('an answer cut at the length of a packet: the rest is had over TCP', async () => {
    const all = a(...Array.from({ length: 1_000 }, (_, at) => `10.1.${at >> 8}.${at & 255}`))
    const server = await serve(({ over }) => (over === 'udp' ? { truncated: true } : { records: all }))
    const { told, watched } = watch([server.address], 'api.example')
    const update = await first(told)
    expect(update.type === 'snapshot' ? update.endpoints : []).toHaveLength(1_000)
    expect(server.questions.map((each) => each.over)).toEqual(['udp', 'tcp'])
    await watched.close()
    await vi.waitFor(() => expect(server.open).toBe(0), { timeout: 15_000 })
  })

  it('SRV records, and the target `.`', async () => {
    const records: Record<string, DnsRecord[]> = {
      'SRV _http._tcp.api.example': [{ type: 'SRV', ttl: 60, value: '10 5 8080 n1.example' }],
      'A n1.example': a('10.0.0.1'),
      'AAAA n1.example': [{ type: 'AAAA', ttl: 3, value: 'fd00::1' }],
      'SRV _none._tcp.api.example': [{ type: 'SRV', ttl: 60, value: '0 0 0 .' }],
    }
    const server = await serve(({ name, type }) => ({ records: records[`${type} ${name}`] ?? [] }))
    const { told } = watch([server.address], '_http._tcp.api.example', { family: 'both', port: undefined })
    expect(await first(told)).toMatchObject({
      ttlMs: 3_000,
      endpoints: [{ id: '10.0.0.1:8080', priority: 10, weight: 5, addresses: [{}, { host: 'fd00::1', port: 8080 }] }],
    })
    expect(await first(watch([server.address], '_none._tcp.api.example').told)).toEqual({ type: 'absent' })
  })

  it('a new answer after the old one: it is not kept by anybody in between', async () => {
    let records = a('10.0.0.1').map((each) => ({ ...each, ttl: 0 }))
    const server = await serve(() => ({ records }))
    const { told } = watch([server.address], 'api.example')
    await sees(told, ['10.0.0.1:80'])
    records = a('10.0.0.2').map((each) => ({ ...each, ttl: 0 }))
    await sees(told, ['10.0.0.2:80'])
  })

  it('a server that has come back is asked again, in a new life', async () => {
    const server = await dnsServer(() => ({ records: a('10.0.0.1') }))
    const { told } = watch([server.address], 'api.example', { timeoutMs: 300, minTtlMs: 50, maxTtlMs: 50 })
    await sees(told, ['10.0.0.1:80'])
    server.answer = () => 'nothing'
    await vi.waitFor(() => expect(told.at(-1)?.type).toBe('error'), { timeout: 15_000 })
    server.answer = () => ({ records: a('10.0.0.2') })
    await sees(told, ['10.0.0.2:80'])
    await server.close()
  })
})

describe('close', () => {
  it('breaks off what is under way, and leaves others at theirs', async () => {
    const server = await serve(({ name }) => (name === 'slow.example' ? 'nothing' : { records: a('10.0.0.1') }))
    const source = dnsSource({ servers: [server.address], port: 80, family: 4, timeoutMs: 600_000 })
    const told: SourceUpdate[] = []
    const one = source.watch('slow.example', (update) => void told.push(update))
    const two = source.watch('slow.example', (update) => void told.push(update))
    await vi.waitFor(() => expect(server.questions).toHaveLength(1), { timeout: 15_000 })
    await one.close()
    const three = source.watch('api.example', (update) => void told.push(update))
    await vi.waitFor(() => expect(told).toMatchObject([{ type: 'snapshot' }]), { timeout: 15_000 })
    const open = (): number | undefined => connectedTo(Number(server.address.split(':')[1]))
    expect(open() ?? 1).toBe(1)
    await two.close()
    await three.close()
    expect(told).toHaveLength(1)
    await vi.waitFor(() => expect(open() ?? 0).toBe(0), { timeout: 15_000 })
  })
})
