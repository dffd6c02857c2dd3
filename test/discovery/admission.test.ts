import { describe, expect, it } from 'vitest'
import { admit } from '../../src/discovery/admission.ts'
import { type IntakeOptions, readIntakeOptions } from '../../src/discovery/intake-options.ts'

const good = (id: string, extra: object = {}): object => ({ id, addresses: [{ host: '10.0.0.1', port: 80 }], ...extra })
const admitted = (entries: readonly unknown[], options: IntakeOptions = {}, remote = false): ReturnType<typeof admit> =>
  admit(entries, readIntakeOptions(options), remote)

describe('admission', () => {
  it.each([
    ['no object', 7, 'no endpoint'],
    ['null', null, 'no endpoint'],
    ['a list', [], 'no endpoint'],
    ['no id', { addresses: [{ host: 'a', port: 1 }] }, 'no id'],
    ['an empty id', good(''), 'no id'],
    ['a huge id', good('x'.repeat(2_000)), 'no id'],
    ['no addresses', { id: 'a' }, 'no address'],
    ['an empty list of addresses', { id: 'a', addresses: [] }, 'no address'],
    ['one address for a list', { id: 'a', addresses: { host: 'a', port: 1 } }, 'no address'],
    ['port 0', { id: 'a', addresses: [{ host: 'a', port: 0 }] }, 'no address'],
    ['port 65536', { id: 'a', addresses: [{ host: 'a', port: 65_536 }] }, 'no address'],
    ['a fraction for a port', { id: 'a', addresses: [{ host: 'a', port: 80.5 }] }, 'no address'],
    ['a host with a path', { id: 'a', addresses: [{ host: 'a/b', port: 80 }] }, 'no address'],
    ['a host with a line end', { id: 'a', addresses: [{ host: 'a\r\nx', port: 80 }] }, 'no address'],
    ['a host with credentials', { id: 'a', addresses: [{ host: 'me@a', port: 80 }] }, 'no address'],
    ['a hostname with a line end', good('a', { hostname: 'a\r\nEvil: 1' }), 'bad hostname'],
    ['a hostname that no URL takes', good('a', { hostname: 'web.1' }), 'bad hostname'],
    ['an address with a zone', { id: 'a', addresses: [{ host: 'fd00::1%lo', port: 80 }] }, 'bad host'],
    ['a name that ends in a number', { id: 'a', addresses: [{ host: 'web.1', port: 80 }] }, 'bad host'],
    ['a state that is none', good('a', { state: 'UP' }), 'no such state'],
  ])('leaves out %s', (_what, entry, reason) => {
    const { endpoints, refused, reasons } = admitted([entry, good('b')])
    expect([...endpoints.keys()]).toEqual(['b'])
    expect(refused).toBe(1)
    expect(reasons.join()).toContain(reason)
  })

  it.each([
    '127.0.0.1',
    '169.254.169.254',
    '0x7f.1',
    '2130706433',
    '0177.0.0.1',
    '127.1.',
    '::1',
    '[::1]',
    'fe80::1%lo',
  ])('leaves out the hostname %s: a connection would go there, past the address that is allowed', (hostname) => {
    const { endpoints, reasons } = admitted([good('a', { hostname })], {}, true)
    expect(endpoints.get('a')).toEqual(good('a'))
    expect(reasons).toEqual(['the hostname is an address, left out: "a"'])
  })

  it('keeps a hostname that is a name', () => {
    for (const hostname of ['Orders.example', 'orders_1.svc', 'localhost.', '0x7f.example', '1.2.3.4.example'])
      expect(admitted([good('a', { hostname })]).endpoints.get('a')).toEqual(good('a', { hostname }))
  })

  it('mends a port that is text, and brackets', () => {
    const { endpoints } = admitted([{ id: 'a', addresses: [{ host: '[2001:db8::1]', port: '8080' }] }])
    expect(endpoints.get('a')?.addresses).toEqual([{ host: '2001:db8::1', port: 8080 }])
  })

  it('takes a bad weight or priority as none, and says so: the instance is alive all the same', () => {
    const { endpoints, refused, reasons } = admitted([
      good('a', { weight: -3 }),
      good('b', { weight: Number.NaN, priority: 'first' }),
      good('c', { weight: 1e300 }),
    ])
    expect(endpoints.get('a')).toEqual(good('a'))
    expect(endpoints.get('b')).toEqual(good('b'))
    expect(endpoints.get('c')).toEqual(good('c', { weight: 1_000_000 }))
    expect(refused).toBe(0)
    expect(reasons).toEqual(['bad weight, taken as 1, 2 times, first "a"', 'bad priority, taken as 0: "b"'])
  })

  it('keeps only what an endpoint has, and only text in metadata', () => {
    const { endpoints } = admitted([
      good('a', { extra: 1, zone: 'z', metadata: { version: '2', n: 1, o: {} }, ports: { grpc: '9090', bad: 0 } }),
    ])
    expect(endpoints.get('a')).toEqual(good('a', { zone: 'z', metadata: { version: '2' }, ports: { grpc: 9090 } }))
  })

  it('keeps the good addresses of an endpoint', () => {
    const addresses = [
      { host: 'a b', port: 1 },
      { host: 'b', port: 80 },
      { host: 'c', port: -1 },
    ]
    expect(admitted([{ id: 'a', addresses }]).endpoints.get('a')?.addresses).toEqual([{ host: 'b', port: 80 }])
  })

  it('keeps the first of an id; an equal one is no complaint, another address is one', () => {
    const other = { id: 'a', addresses: [{ host: '10.0.0.2', port: 80 }] }
    expect(admitted([good('a'), good('a')])).toMatchObject({ refused: 0, reasons: [] })
    const { endpoints, refused, reasons } = admitted([good('a'), other])
    expect(endpoints.get('a')).toEqual(good('a'))
    expect(refused).toBe(1)
    expect(reasons).toEqual(['another entry has the same id: "a"'])
  })

  it('takes a named port, of every address, and leaves out who has none', () => {
    const addresses = [
      { host: 'a', port: 80 },
      { host: 'b', port: 80 },
      { host: 'a', port: 81 },
    ]
    const { endpoints, reasons } = admitted(
      [{ id: 'a', addresses, ports: { grpc: 9090 } }, good('b', { ports: { http: 1 } }), good('c')],
      { port: 'grpc' },
    )
    expect([...endpoints.values()].map((each) => each.addresses)).toEqual([
      [
        { host: 'a', port: 9090 },
        { host: 'b', port: 9090 },
      ],
    ])
    expect(reasons).toEqual(['no port named "grpc", 2 times, first "b"'])
  })

  it('knows no port that every object has', () => {
    expect(admitted([good('a', { ports: {} })], { port: 'constructor' }).endpoints.size).toBe(0)
  })

  it('refuses addresses of this machine from a remote source, one by one', () => {
    const entries = [
      { id: 'a', addresses: [{ host: '127.0.0.1', port: 80 }] },
      {
        id: 'b',
        addresses: [
          { host: '0x7f.1', port: 80 },
          { host: '10.0.0.1', port: 80 },
        ],
      },
    ]
    const { endpoints, refused, reasons } = admitted(entries, {}, true)
    expect(endpoints.get('b')?.addresses).toEqual([{ host: '10.0.0.1', port: 80 }])
    expect([...endpoints.keys()]).toEqual(['b'])
    expect(refused).toBe(1)
    expect(reasons).toEqual([
      'an address of this machine, not allowed from a remote registry: "a"',
      'one of its addresses is left out: an address of this machine, not allowed from a remote registry: "b"',
    ])
    expect(admitted(entries, {}, false).endpoints.size).toBe(2)
    expect(admitted(entries, { allow: ['127.0.0.0/8'] }, true).endpoints.size).toBe(2)
  })

  it('keeps the first ones of too many', () => {
    const { endpoints, refused, reasons } = admitted([good('a'), good('b'), good('c')], { maxEndpoints: 2 })
    expect([...endpoints.keys()]).toEqual(['a', 'b'])
    expect(refused).toBe(1)
    expect(reasons).toEqual(['more than maxEndpoints (2): the first are kept'])
  })

  it('looks at no more than twice the most, of a million', () => {
    let looked = 0
    const entries = new Proxy(new Array<unknown>(1_000_000), {
      get(target, key) {
        if (key === 'length') return target.length
        looked++
        return {}
      },
    })
    const { refused } = admitted(entries, { maxEndpoints: 100 })
    expect(looked).toBeLessThanOrEqual(200)
    expect(refused).toBe(1_000_000)
  })

  it('says little, on one line each, whatever is wrong', () => {
    const evil = Array.from({ length: 500 }, (_, at) => good(`x\n${'y'.repeat(500)}${at}`, { state: 'no' }))
    const { reasons } = admitted(evil)
    expect(reasons).toHaveLength(1)
    expect(reasons[0]).not.toContain('\n')
    expect(reasons[0]?.length).toBeLessThan(200)
  })
})
