// One entry of Consul, as an endpoint: addresses, health, weights, zones, and what people write into them.
import { describe, expect, it } from 'vitest'
import { type ReadingRules, readEntries } from '../../../src/adapters/consul/read-entries.ts'
import { entry } from './scripted-agent.ts'

const rules: ReadingRules = { passing: true, taggedAddress: undefined, zoneMeta: 'zone' }
const read = (service: object, checks: readonly object[] = [], node: object = {}, more: Partial<ReadingRules> = {}) =>
  readEntries([entry('a', service, checks, node)], { ...rules, ...more }).endpoints[0]
const ours = { 'fairlead-id': 'a', 'fairlead-process': 'p' }
const check = (Status: string, Output = '') => ({ CheckID: 'service:a', Status, Output })

describe('the address', () => {
  it.each([
    [{}, {}, {}, [['10.1.0.1', 8080]]],
    [{ Address: '' }, {}, {}, [['10.0.0.1', 8080]]],
    [{ Address: undefined }, {}, {}, [['10.0.0.1', 8080]]],
    [{ Port: '8081' }, {}, {}, [['10.1.0.1', 8081]]],
    [{ Address: '[fd00::1]' }, {}, {}, [['fd00::1', 8080]]],
    [
      {
        TaggedAddresses: {
          lan_ipv4: { Address: '10.1.0.1', Port: 8080 },
          lan_ipv6: { Address: 'fd00::1', Port: 8080 },
        },
      },
      {},
      {},
      [
        ['10.1.0.1', 8080],
        ['fd00::1', 8080],
      ],
    ],
    [
      { TaggedAddresses: { 'fairlead-1': { Address: '10.2.0.1', Port: 9 }, wan: { Address: '1.2.3.4', Port: 80 } } },
      {},
      {},
      [
        ['10.1.0.1', 8080],
        ['10.2.0.1', 9],
      ],
    ],
    [{ TaggedAddresses: { wan: { Address: '1.2.3.4', Port: 80 } } }, {}, { taggedAddress: 'wan' }, [['1.2.3.4', 80]]],
    [{}, {}, { taggedAddress: 'wan' }, [['10.1.0.1', 8080]]],
    [{ Address: '' }, { TaggedAddresses: { wan: '1.2.3.4' } }, { taggedAddress: 'wan' }, [['1.2.3.4', 8080]]],
  ])('of %j on %j by %j is %j', (service, node, more, expected) => {
    expect(read(service, [], node, more)?.addresses.map(({ host, port }) => [host, port])).toEqual(expected)
  })

  it.each([
    [{ Port: 0 }, 'no port'],
    [{ Port: 65_536 }, 'no port'],
    [{ Port: '80; rm' }, 'no port'],
    [{ Address: 'user@host' }, 'no address'],
    [{ Address: 'a/b' }, 'no address'],
    [{ Address: 'a\r\nHost: b' }, 'no address'],
    [{ ID: '', Service: '' }, 'no id'],
  ])('of %j is none', (service, why) => {
    const { endpoints, leftOut } = readEntries([entry('a', service)], rules)
    expect([endpoints, [...leftOut]]).toEqual([[], [[why, 1]]])
  })
})

describe('the id', () => {
  it('is of its node, for Consul has them unique there only; or what it was announced with', () => {
    const both = [entry('web', {}, [], { Node: 'n1' }), entry('web', { Address: '10.1.0.2' }, [], { Node: 'n2' })]
    expect(readEntries(both, rules).endpoints.map(({ id }) => id)).toEqual(['n1/web', 'n2/web'])
    expect(read({ Meta: { 'fairlead-id': 'mine' } })?.id).toBe('mine')
  })

  it('gives the order, whatever the order of the answer', () => {
    const [a, b, c] = [entry('a'), entry('b'), entry('c')]
    expect(readEntries([c, a, b], rules)).toEqual(readEntries([b, c, a], rules))
  })
})

describe('health', () => {
  it.each([
    ['nothing but passing', [], {}, true, 'ready'],
    ['a warning', [{ CheckID: 'x', Status: 'warning' }], {}, true, undefined],
    ['a warning where that will do', [{ CheckID: 'x', Status: 'warning' }], {}, false, 'ready'],
    ['a critical check', [{ CheckID: 'x', Status: 'critical' }], {}, false, undefined],
    ['a status that is none', [{ CheckID: 'x', Status: 'great' }], {}, true, undefined],
    ['maintenance', [{ CheckID: '_service_maintenance:a', Status: 'critical' }], {}, true, 'down'],
    ['maintenance of its node', [{ CheckID: '_node_maintenance', Status: 'critical' }], {}, true, 'down'],
    ['ours, starting', [check('warning')], { ...ours, 'fairlead-state': 'starting' }, true, 'starting'],
    ['ours, draining', [check('critical', 'draining')], { ...ours, 'fairlead-state': 'draining' }, true, 'draining'],
    ['ours, down', [check('critical', 'down')], { ...ours, 'fairlead-state': 'down' }, true, 'down'],
    [
      'ours, silent',
      [check('critical', 'TTL expired (last output before timeout follows): ready')],
      ours,
      true,
      undefined,
    ],
    [
      'ours, silent while draining',
      [check('critical', 'TTL expired (last output before timeout follows): draining')],
      { ...ours, 'fairlead-state': 'draining' },
      true,
      undefined,
    ],
    [
      'ours, draining, and its node is lost',
      [check('critical', 'draining'), { CheckID: 'serfHealth', Status: 'critical' }],
      { ...ours, 'fairlead-state': 'draining' },
      true,
      undefined,
    ],
    ['a state that somebody else wrote', [], { 'fairlead-state': 'draining' }, true, 'ready'],
    ['a state that is none', [], { ...ours, 'fairlead-state': 'great' }, true, 'ready'],
  ])('%s', (_, checks, Meta, passing, expected) => {
    const endpoint = read({ Meta }, checks, {}, { passing })
    expect(endpoint === undefined ? undefined : (endpoint.state ?? 'ready')).toBe(expected)
  })
})

describe('the rest', () => {
  it.each([
    [{ Weights: { Passing: 5, Warning: 2 } }, [], 5],
    [{ Weights: { Passing: 5, Warning: 2 } }, [{ CheckID: 'x', Status: 'warning' }], 2],
    [{ Weights: { Passing: '5' } }, [], 5],
    [{ Weights: { Passing: -5 } }, [], undefined],
    [{ Weights: null }, [], undefined],
    [{ Weights: { Passing: 1 }, Meta: { 'fairlead-weight': '0.5' } }, [], 0.5],
  ])('takes of %j and %j the weight %j', (service, checks, weight) => {
    expect(read(service, checks, {}, { passing: false })?.weight).toBe(weight)
  })

  it('knows the zone: its locality, its meta, that of its node', () => {
    const node = { Meta: { zone: 'c' }, Locality: { Region: 'r', Zone: 'b' } }
    expect(read({ Locality: { Zone: 'a' }, Meta: { zone: 'm' } }, [], node)?.zone).toBe('a')
    expect(read({ Meta: { zone: 'm' } }, [], node)?.zone).toBe('m')
    expect(read({}, [], node)?.zone).toBe('b')
    expect(read({}, [], { Meta: { zone: 'c' } })?.zone).toBe('c')
    expect(read({ Meta: { az: 'x', zone: 'm' } }, [], {}, { zoneMeta: 'az' })?.zone).toBe('x')
  })

  it('brings meta and tags, and what our registrar wrote where it belongs', () => {
    const Meta = {
      version: '2',
      secure: 'true',
      'fairlead-hostname': 'web.example',
      'fairlead-ports': '{"metrics":9090,"bad":0}',
      'fairlead-priority': '2',
    }
    expect(read({ Tags: ['blue', 'version=1', 'lane=a=b'], Meta })).toEqual({
      id: 'node-1/a',
      addresses: [{ host: '10.1.0.1', port: 8080 }],
      hostname: 'web.example',
      ports: { metrics: 9090 },
      priority: 2,
      secure: true,
      metadata: {
        node: 'node-1',
        datacenter: 'dc1',
        tags: 'blue,version=1,lane=a=b',
        version: '2',
        lane: 'a=b',
        secure: 'true',
      },
    })
  })

  it('says that nothing can be read only where something is there that cannot', () => {
    const nothing = (...entries: readonly unknown[]): boolean => readEntries(entries, rules).nothing
    expect(nothing()).toBe(false)
    expect(nothing(entry('a', { Port: 0 }))).toBe(false)
    expect(nothing(entry('a', {}, [check('critical')]))).toBe(false)
    expect(nothing({ foo: 1 }, null)).toBe(true)
    expect(nothing({ foo: 1 }, entry('a'))).toBe(false)
  })

  it('takes one check that is no list for a list of one, and what is no check for none that passes', () => {
    const one = (Checks: unknown) => readEntries([{ ...(entry('a') as object), Checks }], rules).endpoints.length
    expect(one(check('critical'))).toBe(0)
    expect(one(check('passing'))).toBe(1)
    expect(one('passing')).toBe(0)
    expect(one(null)).toBe(1)
  })

  it('bears whatever stands there', () => {
    const odd = [
      null,
      7,
      'x',
      [],
      {},
      { Service: null, Node: [], Checks: 'all' },
      { Service: { ID: 'a', Port: 1, Meta: 'm', Tags: {}, Weights: [] } },
    ]
    const reading = readEntries(odd, rules)
    expect(reading.endpoints).toEqual([])
    expect(reading.nothing).toBe(true)
    expect([...reading.leftOut.values()].reduce((sum, count) => sum + count, 0)).toBe(odd.length)
    const meta = JSON.parse('{"__proto__":"x","fairlead-ports":"{","fairlead-priority":"-1","fairlead-hostname":"a b"}')
    const endpoint = read({ Meta: meta, Tags: ['__proto__=y'] })
    expect(endpoint).not.toHaveProperty('ports')
    expect(endpoint).not.toHaveProperty('priority')
    expect(endpoint).not.toHaveProperty('hostname')
    expect(Object.getPrototypeOf(endpoint?.metadata)).toBe(Object.prototype)
  })
})
