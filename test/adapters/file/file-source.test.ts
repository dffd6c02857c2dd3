import { mkdir, readdir, rename, rm, symlink, unlink, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { type FileSourceOptions, fileSource } from '../../../src/adapters/file/index.ts'
import { type FakeClock, fakeClock } from '../../../src/testing/fake-clock.ts'
import { seededRandom } from '../../../src/testing/seeded-random.ts'
import { folder, replace, until, type Watched, watched } from './lab.ts'

const HOUR = 3_600_000
const services = (...stock: unknown[]): object => ({ services: { stock } })
// Time that may pass besides the poll, which is an hour away: what is seen is seen by the watch on the folder.
const STEP = 100

async function begun(
  content: unknown,
  options: Partial<FileSourceOptions> = {},
): Promise<{
  readonly clock: FakeClock
  readonly path: string
  readonly watch: Watched
  readonly dir: string
}> {
  const dir = await folder()
  const path = join(dir, 'services.json')
  if (content !== undefined) await replace(path, content)
  const clock = fakeClock()
  const watch = watched(fileSource({ path, pollMs: HOUR, clock, random: seededRandom(1), ...options }))
  return { clock, path, watch, dir }
}

describe('fileSource', () => {
  it('tells who is there, and absent of what the file does not name', async () => {
    const { clock, path, watch } = await begun(services('a:80', 'b:80'))
    await until(() => watch.heard.length > 0, clock)
    expect(watch.heard).toEqual([
      {
        type: 'snapshot',
        endpoints: [
          { id: 'a:80', addresses: [{ host: 'a', port: 80 }] },
          { id: 'b:80', addresses: [{ host: 'b', port: 80 }] },
        ],
      },
    ])
    const other = watched(fileSource({ path, clock }), 'other')
    await until(() => other.last === 'absent', clock)
  })

  it('sees a file that is replaced, and tells each word once', async () => {
    const { clock, path, watch } = await begun(services('a:80'))
    await until(() => watch.last === 'a:80', clock)
    await replace(path, services('a:80', 'b:80'))
    await until(() => watch.last === 'a:80 b:80', clock, STEP)
    await replace(path, { services: { stock: ['a:80', 'b:80'], other: [] } })
    await replace(path, services())
    await until(() => watch.last === '', clock, STEP)
    await replace(path, { services: {} })
    await until(() => watch.last === 'absent', clock, STEP)
    expect(watch.heard.map(({ type }) => type)).toEqual(['snapshot', 'snapshot', 'snapshot', 'absent'])
  })

  it('sees a file that is written in place', async () => {
    const { clock, path, watch } = await begun(services('a:80'))
    await until(() => watch.last === 'a:80', clock)
    await writeFile(path, JSON.stringify(services('b:80')))
    await until(() => watch.last === 'b:80', clock, STEP)
  })

  it('sees the link swap of a config map', async () => {
    const dir = await folder()
    const version = async (name: string, content: object): Promise<void> => {
      await mkdir(join(dir, name))
      await writeFile(join(dir, name, 'services.json'), JSON.stringify(content))
      await symlink(name, join(dir, '..data_tmp'))
      await rename(join(dir, '..data_tmp'), join(dir, '..data'))
    }
    await version('..2026_1', services('a:80'))
    await symlink(join('..data', 'services.json'), join(dir, 'services.json'))
    const clock = fakeClock()
    const watch = watched(fileSource({ path: join(dir, 'services.json'), pollMs: HOUR, clock }))
    await until(() => watch.last === 'a:80', clock)
    await version('..2026_2', services('b:80'))
    await rm(join(dir, '..2026_1'), { recursive: true })
    await until(() => watch.last === 'b:80', clock, STEP)
    await version('..2026_3', services('c:80'))
    await until(() => watch.last === 'c:80', clock, STEP)
  })

  it('sees a change of what a link elsewhere leads to', async () => {
    const dir = await folder()
    const clock = fakeClock()
    const target = join(await folder(), 'real.json')
    await replace(target, services('a:80'))
    await symlink(target, join(dir, 'link.json'))
    const watch = watched(fileSource({ path: join(dir, 'link.json'), pollMs: HOUR, clock }))
    await until(() => watch.last === 'a:80', clock)
    await replace(target, services('b:80'))
    await until(() => watch.last === 'b:80', clock, STEP)
  })

  it('looks by itself where no change is told', async () => {
    const { clock, path, watch } = await begun(services('a:80'), { pollMs: 5_000, debounceMs: 2_000_000 })
    await until(() => watch.last === 'a:80', clock)
    await replace(path, services('b:80'))
    await until(() => watch.last === 'b:80', clock, 500)
    expect(clock.now()).toBeGreaterThanOrEqual(5_000)
    expect(clock.now()).toBeLessThan(2_000_000)
  })

  it('asks again when told to', async () => {
    const { clock, path, watch } = await begun(services('a:80'), { debounceMs: HOUR })
    await until(() => watch.last === 'a:80', clock)
    await replace(path, services('b:80'))
    watch.refresh()
    await until(() => watch.last === 'b:80', clock, STEP)
  })

  it.each([
    ['half-written', '{"services":{"stock":["b:80"'],
    ['empty', ''],
    ['of another kind', '{"hello":1}'],
  ])('keeps the last good when the file is %s, and says so again when it is mended', async (_what, text) => {
    const { clock, path, watch } = await begun(services('a:80'))
    await until(() => watch.last === 'a:80', clock)
    await writeFile(path, text)
    await until(() => watch.last === 'error', clock, STEP)
    expect(watch.errors[0]).toMatchObject({ code: 'REPLY_UNDECODABLE', message: expect.stringContaining(path) })
    expect(watch.heard.filter(({ type }) => type !== 'error')).toHaveLength(1)
    await writeFile(path, JSON.stringify(services('a:80')))
    await until(() => watch.last === 'a:80', clock, STEP)
  })

  it('keeps the last good when the file is gone, and sees it come back', async () => {
    const { clock, path, watch } = await begun(services('a:80'))
    await until(() => watch.last === 'a:80', clock)
    await unlink(path)
    await until(() => watch.last === 'error', clock, STEP)
    expect(watch.errors[0]).toMatchObject({ code: 'UNAVAILABLE', cause: { code: 'ENOENT' } })
    await replace(path, services('b:80'))
    await until(() => watch.last === 'b:80', clock, STEP)
  })

  it('waits for a file and a folder that are not there yet', async () => {
    const { clock, dir } = await begun(undefined)
    const path = join(dir, 'later', 'services.json')
    const watch = watched(fileSource({ path, pollMs: 1_000, clock }))
    await until(() => watch.last === 'error', clock)
    expect(watch.heard[0]).toMatchObject({ retryInMs: expect.any(Number) })
    await mkdir(join(dir, 'later'))
    await replace(path, services('a:80'))
    await until(() => watch.last === 'a:80', clock, STEP)
  })

  it('takes several files together; one that is broken does not hold up the others', async () => {
    const dir = await folder()
    const paths = ['a.json', 'b.json'].map((name) => join(dir, name))
    const [first, second] = paths as [string, string]
    await replace(first, services('a:80'))
    const clock = fakeClock()
    const source = fileSource({ paths, pollMs: HOUR, clock })
    const watch = watched(source)
    const other = watched(source, 'other')
    await until(() => watch.last === 'error', clock)
    expect(watch.heard[0]).toMatchObject({ type: 'snapshot', endpoints: [{ id: 'a:80' }] })
    // It may be in the file that could not be read.
    expect(other.heard.map(({ type }) => type)).not.toContain('absent')
    await replace(second, [{ targets: ['b:80', 'a:80'], labels: { job: 'stock' } }])
    await until(() => watch.last === 'a:80 b:80', clock, STEP)
    await until(() => other.last === 'absent', clock, STEP)
    await replace(second, '{')
    await replace(first, services('c:80'))
    await until(
      () => watch.heard.some((update) => update.type === 'snapshot' && update.endpoints[0]?.id === 'c:80'),
      clock,
      STEP,
    )
    const last = watch.heard.findLast(({ type }) => type === 'snapshot')
    expect(last).toMatchObject({ endpoints: [{ id: 'c:80' }, { id: 'b:80' }, { id: 'a:80' }] })
  })

  it('leaves out what is no endpoint, and says so', async () => {
    const { clock, watch } = await begun(
      services('a:80', 'nonsense', { id: 'a:80', addresses: [{ host: 'z', port: 1 }] }),
    )
    await until(() => watch.last === 'a:80', clock)
    expect(watch.heard[0]).toMatchObject({
      note: 'entries left out or mended: no address, another entry has the same id',
    })
  })

  it('leaves out entries when their lease runs out', async () => {
    const clock = fakeClock()
    const lease = (id: string, inMs: number): object => ({
      id,
      addresses: [{ host: 'a', port: 80 }],
      lease: { owner: 'x', until: clock.wallNow() + inMs },
    })
    const { watch } = await begun(
      services(lease('long', 60_000), lease('short', 10_000), lease('over', -1), 'hand:80'),
      { clock },
    )
    await until(() => watch.last === 'hand:80 long short', clock)
    await until(() => watch.last === 'hand:80 long', clock, 500)
    expect(clock.now()).toBeGreaterThanOrEqual(10_000)
    expect(clock.now()).toBeLessThan(15_000)
    await until(() => watch.last === 'hand:80', clock, 2_000)
  })

  it.each(['{ broken', undefined])('keeps leases while the file cannot be read: %s', async (broken) => {
    const clock = fakeClock()
    const at = (id: string, inMs: number): object => ({
      id,
      addresses: [{ host: 'a', port: 80 }],
      lease: { owner: 'x', until: clock.wallNow() + inMs },
    })
    const { watch, path } = await begun(services(at('long', 20_000), at('short', 10_000)), { clock, pollMs: 1_000 })
    await until(() => watch.last === 'long short', clock)
    if (broken === undefined) await rm(path)
    else await replace(path, broken)
    await until(() => clock.now() > 60_000, clock, 500)
    expect(watch.errors.length).toBeGreaterThan(1)
    const counts = watch.heard.flatMap((each) => (each.type === 'snapshot' ? [each.endpoints.length] : []))
    expect(new Set(counts)).toEqual(new Set([2]))
    await replace(path, services(at('long', 20_000), at('short', -50_000)))
    await until(() => watch.last === 'long', clock, 500)
  })

  it('takes a list in which nothing can be read for an error, not for nobody', async () => {
    const { watch, path, clock } = await begun(services('a:80'), { pollMs: 1_000 })
    await until(() => watch.last === 'a:80', clock)
    await replace(path, services({ foo: 1 }, 'a:99999'))
    await until(() => watch.last === 'error', clock, 200)
    expect(watch.errors[0]).toMatchObject({ code: 'REPLY_INVALID' })
    await replace(path, services())
    await until(() => watch.last === '', clock, 200)
  })

  it('refuses what is too large, and what is no file', async () => {
    const { clock, watch } = await begun(services('a:80'), { maxBytes: 10 })
    await until(() => watch.last === 'error', clock)
    expect(watch.errors[0]).toMatchObject({ message: expect.stringContaining('more than maxBytes (10)') })
    const dir = watched(fileSource({ path: await folder(), clock }))
    await until(() => dir.last === 'error', clock)
  })

  it('reads once for many, tells who comes later at once, and goes on when one of them throws', async () => {
    const { clock, path } = await begun(services('a:80'))
    const source = fileSource({ path, pollMs: HOUR, clock })
    source.watch('stock', () => {
      throw new Error('mine')
    })
    const first = watched(source)
    await until(() => first.last === 'a:80', clock)
    const second = watched(source)
    expect(second.last).toBe('a:80')
    await first.close()
    await replace(path, services('b:80'))
    await until(() => second.last === 'b:80', clock, STEP)
    expect(first.last).toBe('a:80')
  })

  it('leaves nothing open, and begins anew', async () => {
    const { clock, path, watch, dir } = await begun(services('a:80'))
    await watch.close()
    const source = fileSource({ path, clock })
    const openBefore = await openFiles()
    for (let round = 0; round < 3; round++) {
      const again = watched(source)
      await until(() => again.last === 'a:80', clock)
      await replace(path, services('a:80'))
      await again.close()
      await again.close()
      again.refresh()
      expect(clock.pending).toBe(0)
    }
    const closing = watched(source)
    await closing.close()
    await until(() => true, clock, 60_000)
    expect(closing.heard).toEqual([])
    expect(clock.pending).toBe(0)
    expect(await openFiles()).toBe(openBefore)
    expect(await readdir(dir)).toEqual(['services.json'])
  })

  it.each([
    {},
    { path: 'a', paths: ['b'] },
    { paths: [] },
    { paths: 'a' },
    { path: '' },
    { path: 7 },
    { path: 'a', format: 'yaml' },
    { path: 'a', pollMs: 0 },
    { path: 'a', serviceLabel: '' },
    { path: 'a', interval: 1 },
  ])('checks its options: %j', (options) => {
    expect(() => fileSource(options as never)).toThrow(expect.objectContaining({ code: 'INVALID_OPTIONS' }))
  })
})

// Where the system tells; elsewhere the count is always equal.
async function openFiles(): Promise<number> {
  try {
    return (await readdir('/proc/self/fd')).length
  } catch {
    return 0
  }
}
