// Names, options, lines and access by themselves.
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, afterEach, describe, expect, test, vi } from 'vitest'
import { access } from '../../../src/adapters/kubernetes/access.ts'
import { lineReader } from '../../../src/adapters/kubernetes/lines.ts'
import { type KubernetesSourceOptions, kubernetesSettings } from '../../../src/adapters/kubernetes/options.ts'
import { readServiceName } from '../../../src/adapters/kubernetes/service-name.ts'
import { kubernetesSource } from '../../../src/adapters/kubernetes/source.ts'
import { fakeClock } from '../../../src/testing/fake-clock.ts'

const folder = mkdtempSync(join(tmpdir(), 'fairlead-kubernetes-'))
afterAll(() => rmSync(folder, { recursive: true, force: true }))
afterEach(() => vi.unstubAllEnvs())

const server = 'https://api.test:6443'
const invalid = expect.objectContaining({ code: 'INVALID_OPTIONS' })

describe('names of services', () => {
  test.each([
    ['orders', 'orders', undefined],
    ['orders.shop', 'orders', 'shop'],
    ['orders.shop.svc', 'orders', 'shop'],
    ['orders.shop.svc.cluster.local', 'orders', 'shop'],
    ['orders.shop.svc.cluster.local.', 'orders', 'shop'],
  ])('%s', (text, name, namespace) => expect(readServiceName(text)).toEqual({ name, namespace }))

  test.each([
    '',
    '.',
    'Orders',
    'a b',
    'orders,x=y',
    'orders/../x',
    'orders.',
    'orders..svc',
    'a.b.pod',
    `${'a'.repeat(64)}`,
    'a.b%2f',
  ])('refused: %j', (text) => {
    if (text === 'orders.') return expect(readServiceName(text).name).toBe('orders')
    const source = kubernetesSource({ server })
    expect(() => source.watch(text, () => {})).toThrow(invalid)
  })
})

describe('options', () => {
  test.each<[string, KubernetesSourceOptions]>([
    ['unknown', { sever: server } as KubernetesSourceOptions],
    ['no address', { server: 'api.test' }],
    ['credentials in the address', { server: 'https://u:p@api.test' }],
    ['a query in the address', { server: 'https://api.test/?a=1' }],
    ['a token in plain text', { server: 'http://api.test', token: 't' }],
    ['two tokens', { server, token: 't', tokenFile: 'f' }],
    ['two authorities', { server, ca: 't', caFile: 'f' }],
    ['a namespace that is none', { server, namespace: 'a/b' }],
    ['a port that is none', { server, port: 0 }],
    ['an empty port', { server, port: '' }],
    ['no families', { server, families: [] }],
    ['another family', { server, families: [5 as 4] }],
    ['a duration that is none', { server, idleMs: 0 }],
  ])('refused: %s', (_, options) => expect(() => kubernetesSource(options)).toThrow(invalid))

  test('a token is let out in plain text on this machine only', () => {
    for (const plain of ['http://127.0.0.1:8001', 'http://localhost:8001', 'http://[::1]:8001'])
      expect(() => kubernetesSource({ server: plain, token: 't' })).not.toThrow()
  })

  test.each([
    'https://u:s3cret@host:99999',
    'https://u:s3cret@host',
    'https://host/?token=s3cret',
    'https://s3cret@host:x',
  ])('are not shown where they may hold a secret: %s', (address) => {
    expect(() => kubernetesSource({ server: address })).toThrow(invalid)
    expect(() => kubernetesSource({ server: address })).not.toThrow(/s3cret/)
  })

  test('outside a cluster an address is needed', () => {
    vi.stubEnv('KUBERNETES_SERVICE_HOST', undefined)
    expect(() => kubernetesSource()).toThrow(/this is not a pod/)
  })

  test.each([
    ['10.0.0.1', '443', undefined, 'https://10.0.0.1'],
    ['10.0.0.1', '6443', undefined, 'https://10.0.0.1:6443'],
    ['10.0.0.1', '80', '6443', 'https://10.0.0.1:6443'],
    ['fd00::1', '6443', undefined, 'https://[fd00::1]:6443'],
  ])('in a cluster it is that of the environment: %s %s', (host, port, https, url) => {
    vi.stubEnv('KUBERNETES_SERVICE_HOST', host)
    vi.stubEnv('KUBERNETES_SERVICE_PORT', port)
    vi.stubEnv('KUBERNETES_SERVICE_PORT_HTTPS', https)
    const settings = kubernetesSettings({})
    expect(settings.server).toBe(url)
    expect(settings.tokenFile).toBe('/var/run/secrets/kubernetes.io/serviceaccount/token')
    expect(settings.caFile).toBe('/var/run/secrets/kubernetes.io/serviceaccount/ca.crt')
  })
})

describe('lines', () => {
  const lines = ['{"a":"é 日本 😀"}', '{}', '{"b":1}']
  const bytes = Buffer.from(`${lines.join('\n')}\n\n\r\n`)

  test('are put together wherever they are cut, also within a letter', () => {
    for (let size = 1; size <= bytes.length; size++) {
      const reader = lineReader()
      const found: string[] = []
      for (let at = 0; at < bytes.length; at += size) found.push(...reader.push(bytes.subarray(at, at + size)))
      expect(found).toEqual(lines)
    }
  })

  test('wait for their end', () => {
    const reader = lineReader()
    expect(reader.push(Buffer.from('{"a"'))).toEqual([])
    expect(reader.push(Buffer.from(':1}\n{'))).toEqual(['{"a":1}'])
  })

  test('that do not end are refused', () => {
    const reader = lineReader(100)
    expect(() => {
      for (let each = 0; each < 20; each++) reader.push(Buffer.from('a'.repeat(10)))
    }).toThrow(expect.objectContaining({ code: 'REPLY_TOO_LARGE' }))
  })
})

describe('access', () => {
  test('reads a token once a minute, and at once after it was refused', async () => {
    const clock = fakeClock()
    const file = join(folder, 'token')
    writeFileSync(file, 'one\n')
    const of = access(kubernetesSettings({ server, tokenFile: file, clock }))
    const token = async (): Promise<unknown> => (await of.headers()).authorization
    expect(await token()).toBe('Bearer one')
    writeFileSync(file, 'two')
    expect(await token()).toBe('Bearer one')
    await clock.advance(59_000)
    expect(await token()).toBe('Bearer one')
    await clock.advance(1_000)
    expect(await token()).toBe('Bearer two')
    writeFileSync(file, 'three')
    of.renew()
    expect(await token()).toBe('Bearer three')
  })

  test('keeps the token that it has while the file cannot be read, and never puts what it read into a message', async () => {
    const clock = fakeClock()
    const file = join(folder, 'token')
    writeFileSync(file, 'one')
    const of = access(kubernetesSettings({ server, tokenFile: file, clock }))
    await of.headers()
    for (const bad of ['', 'se cret\r\nx: y']) {
      writeFileSync(file, bad)
      of.renew()
      expect((await of.headers()).authorization).toBe('Bearer one')
      const fresh = access(kubernetesSettings({ server, tokenFile: file, clock }))
      const error = await fresh.headers().catch((reason: unknown) => String(reason))
      expect(error).toContain('holds no token')
      expect(error).not.toContain('cret')
    }
    rmSync(file)
    of.renew()
    expect((await of.headers()).authorization).toBe('Bearer one')
  })

  test('asks a function for the token, sends none without one, and knows the namespace', async () => {
    let asked = 0
    const clock = fakeClock()
    const of = access(kubernetesSettings({ server, token: async () => `t${++asked}`, clock }))
    expect(await of.headers()).toEqual({ authorization: 'Bearer t1' })
    expect(await of.headers()).toEqual({ authorization: 'Bearer t1' })
    of.renew()
    expect(await of.headers()).toEqual({ authorization: 'Bearer t2' })
    expect(await access(kubernetesSettings({ server })).headers()).toEqual({})
    expect(await of.namespace()).toBe('default')
    writeFileSync(join(folder, 'namespace'), 'shop\n')
    vi.stubEnv('KUBERNETES_SERVICE_HOST', '10.0.0.1')
    expect(await access(kubernetesSettings({ serviceAccount: folder })).namespace()).toBe('shop')
  })
})
