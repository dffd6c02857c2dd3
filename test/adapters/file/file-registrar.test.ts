import { chmod, readdir, readFile, stat, symlink, utimes, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { type FileRegistrarOptions, fileRegistrar, fileSource } from '../../../src/adapters/file/index.ts'
import type { Endpoint, Registration } from '../../../src/core/contracts/source.ts'
import type { PipelineEvent } from '../../../src/core/events.ts'
import { type FakeClock, fakeClock } from '../../../src/testing/fake-clock.ts'
import { seededRandom } from '../../../src/testing/seeded-random.ts'
import { atEnd, folder, replace, until, watched } from './lab.ts'

const at = (id: string): Endpoint => ({ id, addresses: [{ host: '10.0.0.1', port: 80 }] })

async function shared(): Promise<{
  readonly path: string
  readonly dir: string
  readonly clock: FakeClock
  registrar(options?: Partial<FileRegistrarOptions>): ReturnType<typeof fileRegistrar>
  entries(service?: string): Promise<{ id: string; state: string; lease: { owner: string; until: number } }[]>
}> {
  const dir = await folder()
  const path = join(dir, 'services.json')
  const clock = fakeClock()
  let seed = 1
  return {
    path,
    dir,
    clock,
    registrar: (options = {}) => fileRegistrar({ path, clock, random: seededRandom(seed++), ...options }),
    entries: async (service = 'stock') => JSON.parse(await readFile(path, 'utf8')).services[service] ?? [],
  }
}

// Fake time has to move for retries and locks, real time has to pass for the disk.
async function done<T>(clock: FakeClock, promise: Promise<T>, stepMs = 10): Promise<T> {
  let over = false
  promise.then(
    () => (over = true),
    () => (over = true),
  )
  await until(() => over, clock, stepMs)
  return promise
}

async function kept(clock: FakeClock, registering: Promise<Registration>): Promise<Registration> {
  const registration = await done(clock, registering)
  atEnd(() => done(clock, registration.deregister()))
  return registration
}

describe('fileRegistrar', () => {
  it('announces, changes the state, and takes back; a source sees each', async () => {
    const { path, clock, registrar, entries, dir } = await shared()
    const watch = watched(fileSource({ path, clock, pollMs: 100 }))
    const registration = await done(
      clock,
      registrar().register('stock', { ...at('a'), zone: 'z', metadata: { v: '1' } }),
    )
    await until(() => watch.last === 'a', clock, 10)
    expect(watch.heard.at(-1)).toMatchObject({
      endpoints: [{ ...at('a'), zone: 'z', metadata: { v: '1' }, state: 'ready' }],
    })
    await done(clock, registration.setState('draining'))
    await until(() => JSON.stringify(watch.heard.at(-1)).includes('draining'), clock, 10)
    await done(clock, registration.deregister())
    await until(() => watch.last === '', clock, 10)
    expect(await entries()).toEqual([])
    expect(await readdir(dir)).toEqual(['services.json'])
    await watch.close()
    expect(clock.pending).toBe(0)
  })

  it('keeps its entry alive by signs of life, and another drops it when they end', async () => {
    const { clock, registrar, entries } = await shared()
    const events: PipelineEvent[] = []
    await kept(
      clock,
      registrar({ ttlMs: 3_000, onEvent: (event) => void events.push(event) }).register('stock', at('alive')),
    )
    // A process that is killed: its clock stands still.
    const stopped = fakeClock()
    await done(stopped, registrar({ ttlMs: 3_000, clock: stopped }).register('stock', at('dead')))
    expect((await entries()).map(({ id }) => id)).toEqual(['alive', 'dead'])
    const first = (await entries())[0]?.lease.until as number
    // Real turns for the disk in between, as signs of life are written one after another.
    await until(async () => (await entries()).length === 1, clock, 100)
    expect(clock.now()).toBeGreaterThanOrEqual(2_000)
    const [left] = await entries()
    expect(left?.id).toBe('alive')
    expect(left?.lease.until).toBeGreaterThan(first)
    expect(events.map(({ type }) => type)).toEqual(['registered'])
  })

  it('registers again, with the state it had, what was lost', async () => {
    const { path, clock, registrar, entries } = await shared()
    const events: string[] = []
    const registration = await kept(
      clock,
      registrar({ ttlMs: 3_000, onEvent: ({ type }) => void events.push(type) }).register('stock', at('a')),
    )
    await done(clock, registration.setState('draining'))
    await replace(path, { services: { other: ['x:1'] } })
    await until(async () => (await entries()).length === 1, clock, 50)
    expect(await entries()).toMatchObject([{ id: 'a', state: 'draining' }])
    expect(await entries('other')).toEqual(['x:1'])
    expect(events).toEqual(['registered', 'registered-again'])
  })

  it('gives the id to who announces it last, and tells the one before', async () => {
    const { clock, registrar, entries } = await shared()
    const first = await done(clock, registrar().register('stock', at('a')))
    const reasons: unknown[] = []
    first.onLost((reason) => void reasons.push(reason))
    await kept(clock, registrar().register('stock', at('a')))
    const mine = (await entries())[0]?.lease.owner
    await until(() => reasons.length > 0, clock, 200)
    await done(clock, first.setState('down'))
    await done(clock, first.deregister())
    expect((await entries()).map(({ id, state, lease }) => [id, state, lease.owner])).toEqual([['a', 'ready', mine]])
  })

  it('leaves alone what was written by hand, and what it does not know', async () => {
    const { path, clock, registrar } = await shared()
    const hand = { about: 'ours', services: { stock: ['hand:80', { id: 'odd', x: 1 }], other: [7] }, more: [1] }
    await replace(path, hand)
    const registration = await done(clock, registrar().register('stock', at('a')))
    await expect(done(clock, registrar().register('stock', at('hand:80')))).rejects.toMatchObject({ code: 'CONFLICT' })
    await expect(done(clock, registrar().register('stock', at('odd')))).rejects.toMatchObject({ code: 'CONFLICT' })
    await done(clock, registration.deregister())
    expect(JSON.parse(await readFile(path, 'utf8'))).toEqual(hand)
  })

  it('knows services and ids of every name', async () => {
    const { clock, registrar, entries, path } = await shared()
    await kept(clock, registrar().register('__proto__', at('a')))
    expect(Object.getOwnPropertyNames(JSON.parse(await readFile(path, 'utf8')).services)).toEqual(['__proto__'])
    await kept(clock, registrar().register('constructor', at('__proto__')))
    expect(await entries('constructor')).toMatchObject([{ id: '__proto__' }])
  })

  it.each([
    '',
    '\n',
    '{"services":{"stock":["a:80"',
    '[{"targets":["a:80"]}]',
    '{"services":{"stock":"a:80"}}',
    '<html>',
  ])('does not write over what it cannot read: %s', async (text) => {
    const { path, dir, clock, registrar } = await shared()
    await writeFile(path, text)
    await expect(done(clock, registrar().register('stock', at('a')))).rejects.toMatchObject({
      code: 'REPLY_UNDECODABLE',
    })
    expect(await readFile(path, 'utf8')).toBe(text)
    expect(await readdir(dir)).toEqual(['services.json'])
    expect(clock.pending).toBe(0)
  })

  it('keeps the mode of the file: who may not read it still may not', async () => {
    const { path, clock, registrar, entries } = await shared()
    await writeFile(path, '{"services":{}}')
    await chmod(path, 0o640)
    await kept(clock, registrar().register('stock', at('a')))
    expect(await entries()).toHaveLength(1)
    expect((await stat(path)).mode & 0o777).toBe(0o640)
    await chmod(path, 0o600)
    await kept(clock, registrar().register('stock', at('b')))
    expect((await stat(path)).mode & 0o777).toBe(0o600)
  })

  it('keeps a link, and replaces what it leads to', async () => {
    const { path, dir, clock, registrar, entries } = await shared()
    await replace(path, { services: {} })
    await symlink(path, join(dir, 'link.json'))
    await kept(clock, registrar({ path: join(dir, 'link.json') }).register('stock', at('a')))
    expect(await entries()).toHaveLength(1)
  })

  it('loses nobody when many announce themselves at once', async () => {
    const { clock, registrar, entries, dir } = await shared()
    const all = Array.from({ length: 12 }, (_, index) => registrar().register('stock', at(`e${index}`)))
    const registrations = await done(clock, Promise.all(all))
    expect((await entries()).map(({ id }) => id).sort()).toEqual(Array.from({ length: 12 }, (_, n) => `e${n}`).sort())
    await done(clock, Promise.all(registrations.map((each) => each.deregister())))
    expect(await entries()).toEqual([])
    expect(await readdir(dir)).toEqual(['services.json'])
  })

  it('breaks the lock of a process that died with it, however old or new its date, but not sooner', async () => {
    const { path, clock, registrar, entries } = await shared()
    await writeFile(`${path}.lock`, 'somebody')
    await utimes(`${path}.lock`, 1, 1)
    let over = false
    const registering = registrar().register('stock', at('a'))
    registering.then(() => (over = true))
    await until(() => clock.now() >= 2_500, clock, 50)
    expect(over).toBe(false)
    const registration = await done(clock, registering, 50)
    expect(clock.now()).toBeGreaterThanOrEqual(3_000)
    expect(await entries()).toHaveLength(1)
    await done(clock, registration.deregister())
  })

  it('gives up on a lock that changes hands all the time', async () => {
    const { path, clock, registrar, dir } = await shared()
    // Before anybody else could have it.
    await writeFile(`${path}.lock`, 'the first holder')
    const failing = registrar({ timeoutMs: 5_000 }).register('stock', at('a'))
    const seen = failing.catch((error: unknown) => error)
    let over = false
    seen.then(() => (over = true))
    for (let turn = 0; !over && turn < 500; turn++) {
      await writeFile(`${path}.lock`, `holder ${turn}`)
      await clock.advance(20)
    }
    expect(String(await seen)).toContain('no answer within 5000 ms')
    expect(await readdir(dir)).toEqual(['services.json.lock'])
    expect(clock.pending).toBe(0)
  })

  it.each([
    ['no path', {}],
    ['a lease of nothing', { path: 'a', ttlMs: 0 }],
    ['an unknown option', { path: 'a', ttl: 1 }],
  ])('checks its options: %s', (_what, options) => {
    expect(() => fileRegistrar(options as never)).toThrow(expect.objectContaining({ code: 'INVALID_OPTIONS' }))
  })

  it('checks what it is to announce', async () => {
    const { registrar } = await shared()
    for (const [service, endpoint] of [
      ['', at('a')],
      ['stock', { id: 'a', addresses: [] }],
      ['stock', { ...at('a'), state: 'UP' }],
    ] as const)
      await expect(registrar().register(service, endpoint as Endpoint)).rejects.toMatchObject({
        code: 'INVALID_OPTIONS',
      })
  })
})
