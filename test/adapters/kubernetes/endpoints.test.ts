// Slices become endpoints: states, families, ports, moves, hints, and what others write that is none.
import { describe, expect, test } from 'vitest'
import { endpointsOf, type Taken, type Taking } from '../../../src/adapters/kubernetes/endpoints.ts'
import { readSlice, type Slice } from '../../../src/adapters/kubernetes/slices.ts'
import { type Entry, pod, sliceOf } from './kit/slice-book.ts'

const settings: Taking = {
  port: undefined,
  secure: undefined,
  families: [4, 6],
  zone: undefined,
  node: undefined,
  hostname: 'orders.shop.svc',
}

const http = [{ name: 'http', port: 8_080, protocol: 'TCP' }]

const slice = (name: string, entries: readonly Entry[], ports: unknown = http, type = 'IPv4'): Slice => {
  const read = readSlice(sliceOf('orders', name, entries, ports, type))
  if (read === undefined) throw new Error('no slice')
  return read
}

const take = (slices: readonly Slice[], more: Partial<Taking> = {}): Taken =>
  endpointsOf(slices, { ...settings, ...more })

const shown = (taken: Taken): readonly string[] =>
  taken.endpoints.map(
    ({ id, addresses, state = 'ready', priority = 0 }) =>
      `${id} ${addresses.map(({ host, port }) => `${host}:${port}`).join(' ')} ${state} ${priority}`,
  )

const is = (ready?: unknown, serving?: unknown, terminating?: unknown): Entry => ({
  conditions: { ready, serving, terminating },
})

describe('states', () => {
  test.each([
    ['ready', is(true, true, false)],
    ['ready', is(undefined, undefined, undefined)],
    ['ready', is(null, null, null)],
    ['ready', { conditions: null }],
    // publishNotReadyAddresses: the controller writes ready, whatever the pod is.
    ['ready', is(true, false, true)],
    ['draining', is(false, true, true)],
    ['down', is(false, false, true)],
    ['down', is(false, undefined, true)],
    ['down', is(false, false, false)],
    ['down', is(false)],
  ])('%s: %j', (state, conditions) => {
    expect(take([slice('a', [pod('u1', '10.0.0.1', conditions)])]).endpoints[0]?.state ?? 'ready').toBe(state)
  })
})

describe('the union of slices', () => {
  test('holds every address once, with the best state, while it moves from one slice to another', () => {
    const moving = [
      slice('a', [pod('u1', '10.0.0.1', is(false, false, false)), pod('u2', '10.0.0.2')]),
      slice('b', [pod('u1', '10.0.0.1', is(true, true, false))]),
    ]
    expect(shown(take(moving))).toEqual(['u1 10.0.0.1:8080 ready 0', 'u2 10.0.0.2:8080 ready 0'])
    expect(shown(take([...moving].reverse()))).toEqual(shown(take(moving)))
  })

  test('is one endpoint for the two families of a pod, in the order that is wanted', () => {
    const dual = [slice('six', [pod('u1', 'fd00::1')], http, 'IPv6'), slice('ten', [pod('u1', '10.0.0.1')])]
    expect(shown(take(dual))).toEqual(['u1 10.0.0.1:8080 fd00::1:8080 ready 0'])
    expect(shown(take(dual, { families: [6, 4] }))).toEqual(['u1 fd00::1:8080 10.0.0.1:8080 ready 0'])
    expect(shown(take(dual, { families: [6] }))).toEqual(['u1 fd00::1:8080 ready 0'])
  })

  test('is another endpoint where another pod took the address over', () => {
    const [before] = take([slice('a', [pod('u1', '10.0.0.1')])]).endpoints
    const [after] = take([slice('a', [pod('u2', '10.0.0.1')])]).endpoints
    expect([before?.id, after?.id]).toEqual(['u1', 'u2'])
  })

  test('without pods has one endpoint a host and port', () => {
    const at = (port: number): object[] => [{ name: '', port }]
    const outside = [
      slice('a', [{ addresses: ['10.0.0.5'] }, { addresses: ['10.0.0.6'] }], at(8_080)),
      slice('b', [{ addresses: ['10.0.0.5'] }], at(8_081)),
      slice('c', [{ addresses: ['fd00::5'] }], at(8_080), 'IPv6'),
      slice('d', [{ addresses: ['old.example.com'] }], at(443), 'FQDN'),
    ]
    expect(shown(take(outside))).toEqual([
      '10.0.0.5:8080 10.0.0.5:8080 ready 0',
      '10.0.0.5:8081 10.0.0.5:8081 ready 0',
      '10.0.0.6:8080 10.0.0.6:8080 ready 0',
      '[fd00::5]:8080 fd00::5:8080 ready 0',
      'old.example.com:443 old.example.com:443 ready 0',
    ])
    expect(
      take(outside)
        .endpoints.map(({ hostname }) => hostname)
        .slice(-2),
    ).toEqual(['orders.shop.svc', 'old.example.com'])
  })

  test('is the same list whatever order the slices came in', () => {
    const slices = ['c', 'a', 'b'].map((name, index) => slice(name, [pod(`u${index}`, `10.0.0.${index + 1}`)]))
    expect(take(slices).endpoints).toEqual(take([...slices].reverse()).endpoints)
  })

  test('takes ten thousand entries of one pod for one endpoint, without trying them all against each other', () => {
    const entries = Array.from({ length: 10_000 }, (_, n) => pod('same', `10.1.${n >> 8}.${n & 255}`))
    expect(take([slice('a', entries)]).endpoints.map(({ addresses }) => addresses.length)).toEqual([10_000])
  })
})

describe('ports', () => {
  const ports = [
    { name: 'metrics', port: 9_100, protocol: 'TCP' },
    { name: 'grpc', port: 9_000, appProtocol: 'kubernetes.io/h2c' },
    { name: 'dns', port: 53, protocol: 'UDP' },
  ]
  const one = (all: unknown, more?: Partial<Taking>): Taken => take([slice('a', [pod('u1', '10.0.0.1')], all)], more)

  test('the named one is called, and all TCP ports are told', () => {
    const { endpoints, note } = one(ports, { port: 'grpc' })
    expect(endpoints[0]?.addresses).toEqual([{ host: '10.0.0.1', port: 9_000 }])
    expect({ ...endpoints[0]?.ports }).toEqual({ metrics: 9_100, grpc: 9_000 })
    expect(note).toBeUndefined()
  })

  test('one that is not there leaves the endpoint out, and says so', () => {
    const { endpoints, note } = one(ports, { port: 'http' })
    expect(endpoints).toEqual([])
    expect(note).toBe('1 without a TCP port "http" left out')
    expect(one(ports, { port: 'dns' }).endpoints).toEqual([])
  })

  test('by number is called wherever it is, also where a slice means all ports', () => {
    expect(shown(one(ports, { port: 7_000 }))).toEqual(['u1 10.0.0.1:7000 ready 0'])
    expect(shown(one(null, { port: 7_000 }))).toEqual(['u1 10.0.0.1:7000 ready 0'])
    expect(one(null).note).toBe('1 without a TCP port left out')
  })

  test.each([
    [[{ name: 'only', port: 1 }], 1],
    [[{ name: 'a', port: 1 }, { port: 2 }], 2],
    [
      [
        { name: 'a', port: 1 },
        { name: 'http', port: 2 },
        { name: 'https', port: 3 },
      ],
      2,
    ],
    [
      [
        { name: 'a', port: 1 },
        { name: 'https', port: 3 },
      ],
      3,
    ],
  ])('of %j it is %i by custom', (all, port) => {
    expect(one(all).endpoints[0]?.addresses[0]?.port).toBe(port)
    expect(one(all).note).toBeUndefined()
  })

  test('are guessed aloud', () => {
    expect(one(ports).endpoints[0]?.addresses[0]?.port).toBe(9_100)
    expect(one(ports).note).toContain('option port')
  })

  test('of several slices of a pod come together, and the one to call is looked for in all of them', () => {
    const apart = [
      slice('a', [pod('u1', '10.0.0.1')], [{ name: 'metrics', port: 9_100 }]),
      slice('b', [pod('u1', '10.0.0.1')], http),
    ]
    expect(shown(take(apart))).toEqual(['u1 10.0.0.1:8080 ready 0'])
    expect({ ...take(apart).endpoints[0]?.ports }).toEqual({ metrics: 9_100, http: 8_080 })
  })

  test('that change number are both ways to the pod while they do, the ready one first', () => {
    const changing = [
      slice('a', [pod('u1', '10.0.0.1', is(false))], http),
      slice('b', [pod('u1', '10.0.0.1')], [{ name: 'http', port: 9_090 }]),
    ]
    expect(shown(take(changing))).toEqual(['u1 10.0.0.1:9090 10.0.0.1:8080 ready 0'])
  })

  test.each([
    [true, { name: 'web', port: 1, appProtocol: 'https' }],
    [true, { name: 'https', port: 1 }],
    [true, { name: 'https-admin', port: 1 }],
    [undefined, { name: 'web', port: 443 }],
  ])('speak TLS: %s for %j', (secure, port) => {
    expect(one([port]).endpoints[0]?.secure).toBe(secure)
    expect(one([port], { secure: true }).endpoints[0]?.secure).toBe(true)
    expect(one([port], { secure: false }).endpoints[0]?.secure).toBeUndefined()
  })
})

describe('hints', () => {
  const zone = (...names: readonly string[]): Entry => ({ hints: { forZones: names.map((name) => ({ name })) } })
  const node = (...names: readonly string[]): Entry => ({ hints: { forNodes: names.map((name) => ({ name })) } })
  const priorities = (entries: readonly Entry[], more: Partial<Taking>): readonly number[] =>
    take([slice('a', entries)], more).endpoints.map(({ priority = 0 }) => priority)
  const here = pod('u1', '10.0.0.1', zone('a'))
  const there = pod('u2', '10.0.0.2', zone('b'))

  test('put those of our zone first', () => expect(priorities([here, there], { zone: 'a' })).toEqual([0, 1]))
  test('are void without a zone of ours', () => expect(priorities([here, there], {})).toEqual([0, 0]))
  test('are void where one ready endpoint has none', () =>
    expect(priorities([here, there, pod('u3', '10.0.0.3')], { zone: 'a' })).toEqual([0, 0, 0]))
  test('are void where nobody is for our zone', () => expect(priorities([here, there], { zone: 'c' })).toEqual([0, 0]))
  test('need not be on those that are not ready', () =>
    expect(priorities([here, there, pod('u3', '10.0.0.3', is(false, true, true))], { zone: 'a' })).toEqual([0, 1, 1]))
  test('on one that is not ready make no zone ours', () =>
    expect(
      priorities([there, pod('u3', '10.0.0.3', { ...is(false, true, true), ...zone('a') })], { zone: 'a' }),
    ).toEqual([0, 0]))
  test('for our node come before those for our zone', () => {
    const both = (uid: string, host: string, ofNode: string, ofZone: string): Entry =>
      pod(uid, host, { hints: { forNodes: [{ name: ofNode }], forZones: [{ name: ofZone }] } })
    const all = [
      both('u1', '10.0.0.1', 'n1', 'b'),
      both('u2', '10.0.0.2', 'n2', 'a'),
      both('u3', '10.0.0.3', 'n3', 'c'),
    ]
    expect(priorities(all, { node: 'n1', zone: 'a' })).toEqual([0, 1, 2])
    expect(priorities([pod('u1', '10.0.0.1', node('n2'))], { node: 'n1' })).toEqual([0])
  })
})

describe('what is no endpoint', () => {
  test.each([
    ['no addresses', {}],
    ['an empty list', { addresses: [] }],
    ['a name in a slice of addresses', { addresses: ['evil.example.com'] }],
    ['an address of the other family', { addresses: ['fd00::1'] }],
    ['something injected', { addresses: ['10.0.0.1/../admin'] }],
    ['a number', { addresses: [1] }],
    ['nothing', null],
  ])('is left out and told: %s', (_, entry) => {
    const taken = take([slice('a', [entry as Entry, pod('u2', '10.0.0.2')])])
    expect(shown(taken)).toEqual(['u2 10.0.0.2:8080 ready 0'])
    expect(taken.note).toBe('1 without a usable address left out')
  })

  test.each([[0], [65_536], [-1], ['x'], [null], [1.5]])('a port of %j is none', (port) => {
    expect(take([slice('a', [pod('u1', '10.0.0.1')], [{ name: 'http', port }])]).endpoints).toEqual([])
  })

  test.each([[null], ['<html>'], [[]], [{}], [{ metadata: { name: 7 } }]])('%j is no slice', (object) => {
    expect(readSlice(object)).toBeUndefined()
  })

  test('only the first address of an entry counts', () => {
    expect(shown(take([slice('a', [{ ...pod('u1', '10.0.0.1'), addresses: ['10.0.0.1', '10.0.0.9'] }])]))).toEqual([
      'u1 10.0.0.1:8080 ready 0',
    ])
  })

  test('names that objects have by themselves are ports like others', () => {
    const { endpoints } = take([
      slice(
        'a',
        [pod('u1', '10.0.0.1')],
        [
          { name: '__proto__', port: 81 },
          { name: 'constructor', port: 82 },
        ],
      ),
    ])
    expect(Object.entries(endpoints[0]?.ports ?? {})).toEqual([
      ['__proto__', 81],
      ['constructor', 82],
    ])
  })
})
