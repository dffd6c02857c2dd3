import { describe, expect, it } from 'vitest'
import { dnsSource } from '../../../src/adapters/dns/index.ts'
import { candidatesFor } from '../../../src/adapters/dns/names.ts'
import { parseResolvConf, systemSearchList } from '../../../src/adapters/dns/resolv-conf.ts'
import { watching } from './watching.ts'

const invalid = (option: string): unknown => expect.objectContaining({ code: 'INVALID_OPTIONS', details: { option } })

describe('options of dnsSource', () => {
  it.each([
    ['resolver', { resolver: {} as never }],
    ['servers', { servers: [] }],
    ['servers', { servers: ['ns.example'] }],
    ['servers', { servers: ['10.0.0.2:99999'] }],
    ['servers', { servers: '10.0.0.2' as never }],
    ['names', { names: 7 as never }],
    ['type', { type: 'a' as never }],
    ['family', { family: 5 as never }],
    ['port', { port: 0 }],
    ['port', { port: 65_536 }],
    ['search', { search: ['a b'] }],
    ['search', { search: 'a' as never }],
    ['ndots', { ndots: -1 }],
    ['lookup', { lookup: true as never }],
    ['minTtlMs', { minTtlMs: 0 }],
    ['maxTtlMs', { minTtlMs: 5_000, maxTtlMs: 4_000 }],
    ['timeoutMs', { timeoutMs: Number.NaN }],
    ['absentAfter', { absentAfter: 0 }],
    ['dnsSource.ttl', { ttl: 5 } as never],
  ])('refuses %s', (option, options) => {
    expect(() => dnsSource(options)).toThrow(invalid(option) as Error)
  })

  it('takes servers with and without a port, of both families', () => {
    expect(() => dnsSource({ servers: ['10.0.0.2', '10.0.0.2:5353', 'fd00::2', '[fd00::2]:5353'] })).not.toThrow()
  })

  it('is remote: others can write what DNS says', () => {
    expect(dnsSource()).toMatchObject({ name: 'dns', remote: true })
  })

  it.each([
    '',
    ' ',
    'a b',
    'a..b',
    '-',
    'a/b',
    'user@a',
    'a\r\nb',
    'x'.repeat(64),
    `${'x.'.repeat(130)}x`,
    'a:0',
    'a:70000',
  ])('cannot ask for %j, and says so at once', (service) => {
    expect(() => dnsSource({ port: 80 }).watch(service, () => {})).toThrow(invalid('service') as Error)
  })

  it('needs a port where the records have none', () => {
    expect(() => dnsSource({ type: 'address' }).watch('api', () => {})).toThrow(invalid('port') as Error)
    expect(() => dnsSource().watch('10.0.0.1', () => {})).toThrow(invalid('port') as Error)
  })
})

describe('what is asked for a service', () => {
  const asks = async (service: string, options: Parameters<typeof dnsSource>[0]): Promise<readonly string[]> => {
    const { zone, watch } = await watching(service, { family: 4, ...options }, () => {})
    await watch.close()
    return zone.asked
  }

  it('is the name of the service, unless something else is said', async () => {
    expect(await asks('api.example', { port: 80 })).toEqual(['A api.example'])
    expect(await asks('api.example:80', {})).toEqual(['A api.example'])
    expect(await asks('api', { port: 80, names: '{service}.prod.svc.cluster.local' })).toEqual([
      'A api.prod.svc.cluster.local',
    ])
    expect(await asks('api', { names: { api: 'one.example:8080' } })).toEqual(['A one.example'])
    expect(await asks('constructor', { port: 80, names: {} })).toEqual(['A constructor'])
    expect(await asks('api', { names: (service) => `${service}.example:8080` })).toEqual(['A api.example'])
    expect(await asks('$&', { port: 80, names: () => 'safe' })).toEqual(['A safe'])
  })

  it('is SRV for `_port._proto` names, and where no port is known', async () => {
    expect(await asks('api', { port: 80, names: '_http._tcp.{service}.example' })).toEqual([
      'SRV _http._tcp.api.example',
    ])
    expect(await asks('web.service.consul', {})).toEqual(['SRV web.service.consul'])
    expect(await asks('api', { port: 80, type: 'srv' })).toEqual(['SRV api'])
    expect(await asks('_api._tcp.x', { port: 80, type: 'address' })).toEqual(['A _api._tcp.x'])
  })

  it('says that a port is missing where a name has no SRV records, and does not call it empty', async () => {
    const { told } = await watching('api.example', {}, ({ a }) => a('api.example', ['10.0.0.1']))
    expect(told).toMatchObject([{ type: 'error', error: { message: expect.stringContaining('no port is given') } }])
  })

  it('is nothing where the name is an address', async () => {
    const { zone, last } = await watching('api', { names: { api: '[fd00::1]:81' } }, () => {})
    expect(zone.asked).toEqual([])
    expect(last()).toMatchObject({
      type: 'snapshot',
      endpoints: [{ id: '[fd00::1]:81', addresses: [{ host: 'fd00::1', port: 81 }] }],
    })
  })
})

describe('the search list', () => {
  it('comes first for a name with fewer dots than ndots, after it for others, and never for one that ends in a dot', () => {
    const search = ['prod.svc.cluster.local', 'svc.cluster.local.']
    expect(candidatesFor('api', search, 5)).toEqual(['api.prod.svc.cluster.local', 'api.svc.cluster.local', 'api'])
    expect(candidatesFor('api', search, 0)).toEqual(['api', 'api.prod.svc.cluster.local', 'api.svc.cluster.local'])
    expect(candidatesFor('a.b', search, 1)).toEqual(['a.b', 'a.b.prod.svc.cluster.local', 'a.b.svc.cluster.local'])
    expect(candidatesFor('api.', search, 5)).toEqual(['api'])
    expect(candidatesFor('api', ['x'.repeat(60).concat('.').repeat(5)], 1)).toEqual(['api'])
  })

  it('is read from resolv.conf: the last list counts, comments and nonsense do not', () => {
    const text =
      'nameserver 10.0.0.2\nsearch old.example\nsearch a.example  b.example. # why\n;search no\noptions timeout:1 ndots:5 x\r\n'
    expect(parseResolvConf(text)).toEqual({ search: ['a.example', 'b.example.'], ndots: 5 })
    expect(parseResolvConf('domain one.example two.example\noptions ndots:99')).toEqual({
      search: ['one.example'],
      ndots: 15,
    })
    expect(parseResolvConf('search . a/b\noptions ndots:x')).toEqual({ search: [], ndots: 1 })
    expect(parseResolvConf('')).toEqual({ search: [], ndots: 1 })
  })

  it('is empty where there is no such file', async () => {
    expect(await systemSearchList('/nowhere/resolv.conf')).toEqual({ search: [], ndots: 1 })
  })

  const kubernetes = { port: 80, family: 4, search: ['prod.svc.cluster.local', 'corp.example'], ndots: 5 } as const

  it('is walked until a name answers; then only that one is asked', async () => {
    const { zone, clock, who } = await watching('api', kubernetes, ({ a }) => a('api.corp.example', ['10.0.0.1']))
    expect(zone.asked).toEqual(['A api.prod.svc.cluster.local', 'A api.corp.example'])
    expect(who()).toEqual(['10.0.0.1:80'])
    zone.asked.length = 0
    await clock.advance(6_000)
    expect(zone.asked).toEqual(['A api.corp.example'])
  })

  it('is not walked on past an error: the next suffix is another service', async () => {
    const { zone, who } = await watching('api', kubernetes, ({ a }) => {
      a('api.prod.svc.cluster.local', 'ESERVFAIL')
      a('api.corp.example', ['10.9.9.9'])
    })
    expect(zone.asked).toEqual(['A api.prod.svc.cluster.local'])
    expect(who()).toMatch(/^error: A of api.prod.svc.cluster.local: ESERVFAIL$/)
  })

  it('is not walked on for a blip either: a wildcard further on must not take the calls', async () => {
    const { zone, clock, told, who } = await watching('api', kubernetes, ({ a }) => {
      a('api.prod.svc.cluster.local', ['10.0.0.1'])
      a('api.corp.example', ['10.9.9.9'])
    })
    zone.drop('api.prod.svc.cluster.local')
    zone.asked.length = 0
    await clock.advance(7_000)
    expect(who()).toMatch(/NXDOMAIN.*[12] of the 3/)
    expect(zone.asked).not.toContain('A api.corp.example')
    zone.a('api.prod.svc.cluster.local', ['10.0.0.1'])
    await clock.advance(10_000)
    expect(who()).toEqual(['10.0.0.1:80'])
    expect(JSON.stringify(told)).not.toContain('10.9.9.9')

    zone.drop('api.prod.svc.cluster.local')
    await clock.advance(30_000)
    expect(who()).toEqual(['10.9.9.9:80'])
  })
})
