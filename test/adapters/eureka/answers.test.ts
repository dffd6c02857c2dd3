// A corpus of answers: as the server writes them, as its older codecs and other servers do, and as no Eureka ever would.
import { describe, expect, test } from 'vitest'
import { readEndpoints } from '../../../src/adapters/eureka/instance.ts'
import { readApplication, readApplications } from '../../../src/adapters/eureka/wire.ts'
import type { Endpoint } from '../../../src/core/contracts/source.ts'

const answer = (body: unknown, status = 200) => ({
  status,
  headers: { 'content-type': 'application/json' },
  text: typeof body === 'string' ? body : JSON.stringify(body),
})

// As the server of Spring Cloud 2025.0 wrote it.
const RECORDED = {
  instanceId: 'i1',
  hostName: 'orders-1.internal',
  app: 'ORDERS',
  ipAddr: '10.0.0.1',
  status: 'UP',
  overriddenStatus: 'UNKNOWN',
  port: { $: 8081, '@enabled': 'true' },
  securePort: { $: 7002, '@enabled': 'false' },
  countryId: 1,
  dataCenterInfo: { '@class': 'com.netflix.appinfo.InstanceInfo$DefaultDataCenterInfo', name: 'MyOwn' },
  leaseInfo: { renewalIntervalInSecs: 30, durationInSecs: 90, registrationTimestamp: 1795296420681 },
  metadata: { '@class': 'java.util.Collections$EmptyMap' },
  vipAddress: 'orders',
  isCoordinatingDiscoveryServer: 'false',
  lastUpdatedTimestamp: '1795296420681',
  lastDirtyTimestamp: '6000',
  actionType: 'ADDED',
}

const read = (
  instance: unknown,
  choices: { readonly secure?: boolean; readonly prefer?: 'host' | 'ip' } = {},
): { readonly endpoints: readonly Endpoint[]; readonly note: string | undefined } => {
  const application = readApplication(answer({ application: { name: 'ORDERS', instance } }))
  return readEndpoints(
    (application?.instances ?? []).map((each) => ({ instance: each, prefix: '' })),
    { secure: choices.secure, prefer: choices.prefer ?? 'host' },
  )
}
const one = (more: object, choices = {}): Endpoint => {
  const { endpoints, note } = read([{ ...RECORDED, ...more }], choices)
  expect(note).toBeUndefined()
  return endpoints[0] as Endpoint
}
// Beside one that is well: where nothing can be read at all, that is an error.
const refused = (more: object, choices = {}): string | undefined => {
  const { endpoints, note } = read(
    [
      { ...RECORDED, ...more },
      { ...RECORDED, instanceId: 'well', ...WELL },
    ],
    choices,
  )
  expect(endpoints.map(({ id }) => id)).toEqual(['well'])
  return note
}
const WELL = { port: { $: 8081, '@enabled': 'true' }, securePort: { $: 7002, '@enabled': 'true' } }

describe('an instance', () => {
  test('as the server writes it', () => {
    expect(read([RECORDED])).toEqual({
      endpoints: [
        {
          id: 'i1',
          addresses: [
            { host: 'orders-1.internal', port: 8081 },
            { host: '10.0.0.1', port: 8081 },
          ],
          hostname: 'orders-1.internal',
          state: 'ready',
        },
      ],
      note: undefined,
    })
  })

  test('alone, where a list is due', () => {
    expect(read(RECORDED)).toEqual(read([RECORDED]))
  })

  test.each([
    ['UP', 'ready'],
    ['STARTING', 'starting'],
    ['OUT_OF_SERVICE', 'draining'],
    ['DOWN', 'down'],
    ['UNKNOWN', 'down'],
    ['SOMETHING_NEW', 'down'],
    [undefined, 'down'],
  ])('with the status %s is %s', (status, state) => {
    expect(one({ status }).state).toBe(state)
  })

  test.each([
    ['a number', { $: 8081, '@enabled': 'true' }],
    ['a text', { $: '8081', '@enabled': 'true' }],
    ['enabled as a boolean', { $: 8081, '@enabled': true }],
    ['without a word on being enabled', { $: 8081 }],
    ['bare', 8081],
    ['bare, as a text', '8081'],
  ])('with its port as %s', (_, port) => {
    expect(one({ port }).addresses[0]?.port).toBe(8081)
  })

  test.each([
    ['0', { $: 0, '@enabled': 'true' }],
    ['too large', { $: 70_000, '@enabled': 'true' }],
    ['negative', { $: -1, '@enabled': 'true' }],
    ['no number', { $: '80; rm', '@enabled': 'true' }],
    ['null', null],
    ['off', { $: 8081, '@enabled': 'false' }],
  ])('with a port that is %s is left out and told', (_, port) => {
    expect(refused({ port })).toBe('left out, as no endpoints: no port: i1')
  })

  test('with a secure port, by choice and where there is no other', () => {
    const both = { securePort: { $: 8443, '@enabled': 'true' } }
    expect(one(both)).toMatchObject({ addresses: [{ port: 8081 }, { port: 8081 }] })
    expect(one(both).secure).toBeUndefined()
    expect(one(both, { secure: true })).toMatchObject({ addresses: [{ port: 8443 }, { port: 8443 }], secure: true })
    const only = { ...both, port: { $: 8081, '@enabled': 'false' } }
    expect(one(only)).toMatchObject({ addresses: [{ port: 8443 }, { port: 8443 }], secure: true })
    expect(refused(only, { secure: false })).toContain('no plain port')
    expect(refused({}, { secure: true })).toContain('no secure port')
  })

  test('has its host name for an id where it has none, and that of its machine before', () => {
    expect(one({ instanceId: undefined }).id).toBe('orders-1.internal')
    expect(one({ instanceId: ' ' }).id).toBe('orders-1.internal')
    const dataCenterInfo = { name: 'Amazon', metadata: { 'instance-id': 'i-0abc', 'availability-zone': 'eu-1b' } }
    expect(one({ instanceId: undefined, dataCenterInfo })).toMatchObject({ id: 'i-0abc', zone: 'eu-1b' })
    expect(refused({ instanceId: undefined, hostName: undefined })).toContain('no id')
  })

  test.each([
    ['a path', '10.0.0.1/../admin'],
    ['credentials', 'user@10.0.0.1'],
    ['a line end', 'a\r\nHost: b'],
    ['a blank', 'a b'],
    ['nothing', ''],
  ])('with %s in its hosts has none', (_, host) => {
    expect(refused({ hostName: host, ipAddr: host })).toContain('no host')
    expect(one({ hostName: host }).addresses).toEqual([{ host: '10.0.0.1', port: 8081 }])
  })

  test('is an error where not one can be read, and nobody where there is only no port', () => {
    expect(() => read([{ foo: 1 }, { instanceId: 'a', hostName: 'a b', port: { $: 80 } }])).toThrow(
      /REPLY_INVALID.*no id/,
    )
    expect(read([{ ...RECORDED, port: { $: 80, '@enabled': 'false' } }]).endpoints).toEqual([])
    expect(read([]).endpoints).toEqual([])
  })

  test.each(['2130706433', '0x7f.1', '127.0.0.1', '::1', 'web.1'])('has no hostname of %s', (hostName) => {
    expect(one({ hostName }).hostname).toBeUndefined()
    expect(one({ metadata: { 'fairlead-hostname': hostName } }).hostname).toBe('orders-1.internal')
  })

  test('is reached by its address first where that is preferred, and keeps its name for Host and SNI', () => {
    expect(one({}, { prefer: 'ip' })).toMatchObject({
      addresses: [{ host: '10.0.0.1' }, { host: 'orders-1.internal' }],
      hostname: 'orders-1.internal',
    })
    expect(one({ hostName: '10.0.0.1' }).addresses).toHaveLength(1)
  })

  test('with zone, weight, named ports and metadata of its own', () => {
    const metadata = {
      '@class': 'x',
      zone: 'eu-1a',
      weight: '2.5',
      'management.port': 9090,
      version: 3,
      deep: { a: 1 },
    }
    expect(one({ metadata })).toMatchObject({
      zone: 'eu-1a',
      weight: 2.5,
      ports: { management: 9090 },
      metadata: { zone: 'eu-1a', weight: '2.5', 'management.port': '9090', version: '3' },
    })
    expect(Object.keys(one({ metadata }).metadata ?? {})).not.toContain('@class')
  })

  test.each(['-1', 'NaN', 'heavy', ''])('with the weight %j has none', (weight) => {
    expect(one({ metadata: { weight } }).weight).toBeUndefined()
  })

  test('does not hand a prototype on', () => {
    const { endpoints } = read(
      JSON.parse(JSON.stringify(RECORDED).replace('"@class":"java.util', '"__proto__":"x","a":"')),
    )
    expect(Object.getPrototypeOf(endpoints[0]?.metadata)).toBe(Object.prototype)
    expect(Object.hasOwn(endpoints[0]?.metadata ?? {}, '__proto__')).toBe(true)
  })

  test('twice under one id is there once, and told', () => {
    const { endpoints, note } = read([RECORDED, { ...RECORDED, ipAddr: '10.0.0.2' }])
    expect(endpoints).toHaveLength(1)
    expect(note).toContain('twice there: i1')
  })
})

describe('an answer', () => {
  test('404 of the registry is a word, 404 of a gateway is none', () => {
    expect(readApplication(answer({ status: 404, error: 'Not Found' }, 404))).toBeUndefined()
    expect(readApplication(answer('', 404))).toBeUndefined()
    expect(() => readApplication(answer('<html>nginx</html>', 404))).toThrow(/404/)
    expect(() => readApplication(answer('404 page not found\n', 404))).toThrow(/404/)
    expect(() => readApplications(answer('404 page not found\n', 404))).toThrow(/404/)
  })

  test.each([
    ['nothing', ''],
    ['blanks', '  \n'],
    ['XML', '<application><name>ORDERS</name></application>'],
    ['HTML', '<!doctype html><h1>Sign in</h1>'],
    ['half of it', '{"application":{"name":"ORDERS","instance":[{"inst'],
    ['null', 'null'],
    ['a list', '[]'],
    ['something else', '{"status":"UP"}'],
    ['an empty object', '{"application":{}}'],
    ['text for instances', '{"application":{"name":"ORDERS","instance":"none"}}'],
    ['null among instances', '{"application":{"name":"ORDERS","instance":[null]}}'],
  ])('that is %s is an error, never nobody', (_, text) => {
    expect(() => readApplication(answer(text))).toThrow(/REPLY_UNDECODABLE|REPLY_INVALID/)
    expect(() => readApplications(answer(text.replaceAll('"application"', '"applications"')))).toThrow(
      /REPLY_UNDECODABLE|REPLY_INVALID/,
    )
  })

  test('without instances is nobody', () => {
    expect(readApplication(answer({ application: { name: 'ORDERS' } }))?.instances).toEqual([])
    expect(readApplications(answer({ applications: { versions__delta: '1', apps__hashcode: '' } }))).toEqual({
      hash: '',
      applications: [],
    })
  })

  test('of one application may be no list', () => {
    const all = { apps__hashcode: 'UP_1_', application: { name: 'orders', instance: RECORDED } }
    expect(readApplications(answer({ applications: all }))).toMatchObject({
      hash: 'UP_1_',
      applications: [{ name: 'ORDERS', instances: [{ instanceId: 'i1' }] }],
    })
  })

  test('401 and 500 are errors of their status', () => {
    expect(() => readApplication(answer('', 401))).toThrow(/401/)
    expect(() => readApplications(answer('{}', 500))).toThrow(/500/)
  })
})
