// The source, on a clock that is turned by hand, against servers that answer as they are told to.
import { gzipSync } from 'node:zlib'
import { afterEach, describe, expect, test } from 'vitest'
import { type EurekaSourceOptions, eurekaSource } from '../../../src/adapters/eureka/index.ts'
import type { SourceUpdate, SourceWatch } from '../../../src/core/contracts/source.ts'
import { type FakeClock, fakeClock } from '../../../src/testing/fake-clock.ts'
import { type Reply, type Scripted, scripted } from './scripted.ts'

const ends: (() => Promise<unknown>)[] = []
afterEach(async () => {
  for (const end of ends.splice(0).reverse()) await end()
})

const instance = (id: string, more: object = {}): object => ({
  instanceId: id,
  app: 'ORDERS',
  hostName: `10.0.0.${id}`,
  ipAddr: `10.0.0.${id}`,
  status: 'UP',
  port: { $: 8080, '@enabled': 'true' },
  ...more,
})
const application = (...ids: readonly string[]): Reply => ({
  body: { application: { name: 'ORDERS', instance: ids.map((id) => instance(id)) } },
})
const applications = (hash: string, ...instances: readonly object[]): Reply => ({
  body: {
    applications: {
      versions__delta: '1',
      apps__hashcode: hash,
      application: [{ name: 'ORDERS', instance: instances }],
    },
  },
})
const server = async (answer: Scripted['answer']): Promise<Scripted> => {
  const started = await scripted(answer)
  ends.push(() => started.close())
  return started
}

interface Watching {
  readonly clock: FakeClock
  readonly watch: SourceWatch
  readonly told: readonly SourceUpdate[]
  /** The next word; time passes only when `ms` says so. */
  next(ms?: number): Promise<string>
}

const watching = (
  servers: readonly Scripted[],
  options: Partial<EurekaSourceOptions> = {},
  service = 'orders',
): Watching => {
  const clock = fakeClock()
  const told: SourceUpdate[] = []
  let wake = (): void => {}
  const source = eurekaSource({ urls: servers.map(({ url }) => url), clock, random: () => 0.5, ...options })
  const watch = source.watch(service, (update) => {
    told.push(update)
    wake()
  })
  ends.push(() => watch.close())
  let read = 0
  return {
    clock,
    watch,
    told,
    async next(ms = 0) {
      if (ms > 0) await clock.advance(ms)
      while (told.length <= read) await new Promise<void>((resolve) => (wake = resolve))
      const update = told[read++] as SourceUpdate
      if (update.type === 'snapshot') return update.endpoints.map(({ id, state }) => `${id} ${state}`).join(', ')
      return update.type === 'error' ? `error: ${(update.error as Error).message}` : update.type
    },
  }
}

describe('asking', () => {
  test('asks for JSON, packed, by the name in upper case, with the credentials of the URL', async () => {
    const packed = gzipSync(JSON.stringify(application('1').body))
    const eureka = await server(() => ({ body: packed, headers: { 'content-encoding': 'gzip' } }))
    const url = eureka.url.replace('http://', 'http://me:p%40ss@')
    const { next } = watching([{ ...eureka, url }], { headers: () => ({ 'x-token': 't' }) })
    expect(await next()).toBe('1 ready')
    expect(eureka.asked[0]).toMatchObject({
      path: '/eureka/apps/ORDERS',
      headers: {
        accept: 'application/json',
        'accept-encoding': 'gzip',
        authorization: `Basic ${Buffer.from('me:p@ss').toString('base64')}`,
        'x-token': 't',
      },
    })
  })

  test('asks again after the interval, less up to a tenth', async () => {
    const eureka = await server(() => application('1'))
    const { next, clock, told } = watching([eureka], { random: () => 0.999 })
    await next()
    await clock.advance(26_000)
    expect(told).toHaveLength(1)
    expect(await next(1_100)).toBe('1 ready')
  })

  test.each(['', '.', '..', 'a/b', '../x', 'a?b', 'a#b', 'a%2fb', 'a;b', 'a\r\nb', 'a b', '\ud800', 'x'.repeat(256)])(
    'refuses the name %j before anything is sent',
    async (name) => {
      const eureka = await server(() => application('1'))
      expect(() => eurekaSource({ urls: eureka.url }).watch(name, () => {})).toThrow(/INVALID_OPTIONS/)
      expect(eureka.asked).toEqual([])
    },
  )

  test('writes other names so that they stay one', async () => {
    const eureka = await server(() => ({ status: 404 }))
    const { next } = watching([eureka], {}, 'größe:1')
    await next()
    expect(eureka.asked[0]?.path).toBe('/eureka/apps/GR%C3%96SSE%3A1')
  })

  test('does not take the answer about somebody else', async () => {
    const eureka = await server(() => ({ body: { application: { name: 'BILLING', instance: [instance('1')] } } }))
    expect(await watching([eureka]).next()).toContain('answered BILLING')
  })

  test('takes 404 for absent only from a server that has proved to be a Eureka', async () => {
    const wrong = await server(() => ({ status: 404, body: { status: 404 } }))
    expect(await watching([wrong]).next()).toContain('is that the base URL')
    const right = await server((path) => (path.endsWith('/delta') ? applications('') : { status: 404 }))
    const { next } = watching([right])
    expect(await next()).toBe('absent')
    expect(await next(30_000)).toBe('absent')
    expect(right.asked.map(({ path }) => path.split('/').at(-1))).toEqual(['ORDERS', 'delta', 'ORDERS'])
  })

  test('goes on to the next server where one says 404 and is no Eureka', async () => {
    const wrong = await server(() => ({ status: 404 }))
    const good = await server(() => application('1'))
    const { next } = watching([wrong, good], { random: () => 0.999 })
    expect(await next()).toBe('1 ready')
    expect(await next(30_000)).toBe('1 ready')
    expect([wrong.asked.length, good.asked.length]).toEqual([2, 2])
  })

  test('has it proved again when what was there is gone: a proxy may have lost its way', async () => {
    let delta: Reply = { status: 404 }
    let app: Reply = application('1')
    const eureka = await server((path) => (path.endsWith('/delta') ? delta : app))
    const { next } = watching([eureka], { intervalMs: 1_000 })
    expect(await next()).toBe('1 ready')
    app = { status: 404 }
    expect(await next(1_000)).toContain('is that the base URL')
    expect(await next(760)).toContain('is that the base URL')
    delta = applications('')
    expect(await next(1_510)).toBe('absent')
    app = application('1')
    expect(await next(1_000)).toBe('1 ready')
    delta = { status: 404 }
    app = { status: 404 }
    expect(await next(1_000)).toContain('is that the base URL')
  })

  test.each(['app', 'registry'] as const)('tells an error where nothing can be read, by %s', async (by) => {
    const broken = { instanceId: '1', hostName: 'a b', port: { $: 80 }, status: 'UP' }
    const eureka = await server((path) =>
      path.endsWith('/apps')
        ? applications('UP_1_', broken)
        : { body: { application: { name: 'ORDERS', instance: broken } } },
    )
    expect(await watching([eureka], { by }).next()).toContain('REPLY_INVALID')
  })

  test('gives ids of other applications behind a VIP their name', async () => {
    const eureka = await server(() => ({
      body: {
        applications: {
          apps__hashcode: 'UP_2_',
          application: [
            { name: 'ORDERS', instance: instance('1') },
            { name: 'ORDERS-CANARY', instance: instance('1') },
          ],
        },
      },
    }))
    const { next } = watching([eureka], { by: 'vip', secure: false })
    expect(await next()).toBe('1 ready, ORDERS-CANARY/1 ready')
    expect(eureka.asked[0]?.path).toBe('/eureka/vips/orders')
  })
})

describe('several servers', () => {
  test.each([
    ['500', { status: 500, body: 'oops' }],
    ['503', { status: 503 }],
    ['403, as one that has just started', { status: 403 }],
    ['HTML', { body: '<html></html>' }],
    ['nothing', { body: '' }],
    ['401', { status: 401 }],
    ['302', { status: 302, headers: { location: '/login' } }],
    ['404 in words', { status: 404, body: '404 page not found' }],
  ])('goes on to the next where one answers %s, and stays there', async (_, reply) => {
    const bad = await server(() => reply)
    const good = await server(() => application('1'))
    // Drawn so that the bad one comes first.
    const { next } = watching([bad, good], { random: () => 0.999 })
    expect(await next()).toBe('1 ready')
    expect(await next(30_000)).toBe('1 ready')
    expect([bad.asked.length, good.asked.length]).toEqual([1, 2])
  })

  test('goes on where nobody listens', async () => {
    const dead = await server(() => ({}))
    await dead.close()
    const good = await server(() => application('1'))
    expect(await watching([dead, good], { random: () => 0.999 }).next()).toBe('1 ready')
  })

  test('does not go on with what would be the same everywhere', async () => {
    const one = await server(() => ({ status: 400 }))
    const two = await server(() => ({ status: 400 }))
    expect(await watching([one, two]).next()).toContain('400')
    expect(one.asked.length + two.asked.length).toBe(1)
  })

  test('draws anew after a session', async () => {
    const one = await server(() => application('1'))
    const two = await server(() => application('2'))
    let chance = 0.999
    const { next, clock } = watching([one, two], { random: () => chance, intervalMs: 60_000 })
    expect(await next()).toBe('1 ready')
    chance = 0
    await clock.advance(31 * 60_000)
    for (let times = 0; times < 40 && two.asked.length === 0; times++) await next(60_000)
    expect(two.asked.length).toBeGreaterThan(0)
  })
})

describe('the whole registry', () => {
  const changes = (...instances: readonly object[]) => instances
  const paths = ({ asked }: Scripted): readonly string[] => asked.map(({ path }) => path.replace('/eureka/', ''))

  test('asks for everything once, then for what has changed', async () => {
    let hash = 'UP_2_'
    let delta: readonly object[] = []
    const eureka = await server((path) =>
      path.endsWith('delta') ? applications(hash, ...delta) : applications('UP_2_', instance('1'), instance('2')),
    )
    const { next } = watching([eureka], { by: 'registry' })
    expect(await next()).toBe('1 ready, 2 ready')
    hash = 'DOWN_1_UP_1_'
    delta = changes(
      instance('1', { status: 'DOWN', actionType: 'MODIFIED' }),
      instance('2', { actionType: 'DELETED' }),
      instance('3', { actionType: 'ADDED' }),
    )
    expect(await next(30_000)).toBe('1 down, 3 ready')
    expect(await next(30_000)).toBe('1 down, 3 ready')
    expect(paths(eureka)).toEqual(['apps', 'apps/delta', 'apps/delta'])
  })

  test.each([
    ['lead to another count', applications('UP_7_')],
    ['have no count', { body: { applications: { application: [] } } }],
    ['are switched off', { status: 403 }],
    ['are not known', { status: 404 }],
    ['cannot be read', { body: '<html>' }],
  ])('asks for everything where changes %s', async (_, reply) => {
    const eureka = await server((path) => (path.endsWith('delta') ? reply : applications('UP_1_', instance('1'))))
    const { next } = watching([eureka], { by: 'registry' })
    await next()
    expect(await next(30_000)).toBe('1 ready')
    expect(paths(eureka)).toEqual(['apps', 'apps/delta', 'apps'])
  })

  test('asks for everything when it has heard nothing for longer than changes are kept', async () => {
    let answers = true
    const eureka = await server((path) => {
      if (!answers) return { status: 500 }
      return path.endsWith('delta') ? applications('UP_1_') : applications('UP_1_', instance('1'))
    })
    const { next, clock, told } = watching([eureka], { by: 'registry' })
    await next()
    // In steps that leave a real answer the time to come.
    const pass = async (): Promise<void> => {
      await clock.advance(1_000)
      await new Promise((resolve) => setTimeout(resolve, 2))
    }
    answers = false
    for (let seconds = 0; seconds < 125; seconds++) await pass()
    answers = true
    const [asked, heard] = [eureka.asked.length, told.length]
    while (told.slice(heard).every(({ type }) => type === 'error')) await pass()
    expect(told.at(-1)).toMatchObject({ type: 'snapshot' })
    expect(paths(eureka).slice(asked)).toEqual(['apps'])
  })

  test('asks for everything now and then, and at once from another server', async () => {
    const answer: Scripted['answer'] = (path) =>
      path.endsWith('delta') ? applications('UP_1_') : applications('UP_1_', instance('1'))
    const one = await server(answer)
    const two = await server(answer)
    const { next } = watching([one, two], { by: 'registry', random: () => 0.999 })
    await next()
    for (let times = 0; times < 23; times++) await next(30_000)
    expect(paths(one).filter((path) => path === 'apps')).toHaveLength(2)
    await one.close()
    expect(await next(30_000)).toBe('1 ready')
    expect(paths(two).slice(0, 2)).toEqual(['apps/delta', 'apps'])
  })

  test('is one poll for all services, and ends with the last watch', async () => {
    const eureka = await server((path) =>
      path.endsWith('delta') ? applications('UP_1_') : applications('UP_1_', instance('1')),
    )
    const clock = fakeClock()
    const source = eurekaSource({ urls: eureka.url, by: 'registry', clock })
    const told: string[] = []
    let wake = (): void => {}
    const heard = async (count: number): Promise<void> => {
      while (told.length < count) await new Promise<void>((resolve) => (wake = resolve))
    }
    const watch = (service: string): SourceWatch =>
      source.watch(service, ({ type }) => {
        told.push(`${service} ${type}`)
        wake()
      })
    const orders = watch('orders')
    const billing = watch('billing')
    await heard(2)
    const late = watch('Orders')
    await heard(3)
    expect(told).toEqual(['orders snapshot', 'billing absent', 'Orders snapshot'])
    expect(eureka.asked).toHaveLength(1)
    await orders.close()
    await billing.close()
    expect(clock.pending).toBe(1)
    await late.close()
    expect(clock.pending).toBe(0)
    await clock.advance(60_000)
    expect(told).toHaveLength(3)
    const again = watch('orders')
    await heard(4)
    await again.close()
  })
})

test.each([
  [{ urls: [] }, 'urls'],
  [{ urls: 'ftp://x' }, 'http'],
  [{ urls: 'http://x?y' }, '\\?'],
  [{ urls: 'http://x', by: 'name' }, 'by'],
  [{ urls: 'http://x', intervalMs: 0 }, 'intervalMs'],
  [{ urls: 'http://x', url: 'y' }, 'url'],
])('refuses the options %j', (options, word) => {
  expect(() => eurekaSource(options as EurekaSourceOptions)).toThrow(new RegExp(word))
})

test('shows no password of a URL in its complaint', () => {
  expect(() => eurekaSource({ urls: 'http://me:secret@[x' })).toThrow(/^(?!.*secret)/s)
})
