// The log in files: what was accepted is there again, whatever happened to the process; what was not is cut off; what is damaged is said.
import { spawn } from 'node:child_process'
import { appendFile, readdir, readFile, stat, truncate, writeFile } from 'node:fs/promises'
import { createRequire } from 'node:module'
import { join } from 'node:path'
import { fileURLToPath, pathToFileURL } from 'node:url'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { createFeed, type FeedLog, fileFeedLog } from '../../../src/adapters/http-feed/index.ts'
import { fakeClock } from '../../../src/testing/fake-clock.ts'
import { seededRandom } from '../../../src/testing/seeded-random.ts'
import { failure, messages, temporaryFolder } from './lab.ts'

let folder = ''
let remove: () => Promise<void>
const logs: FeedLog[] = []
beforeEach(async () => {
  const made = await temporaryFolder()
  folder = made.path
  remove = made.remove
})
afterEach(async () => {
  for (const log of logs.splice(0)) await log.close()
  await remove()
})

const open = async (more: Partial<Parameters<typeof fileFeedLog>[0]> = {}): Promise<FeedLog> => {
  const log = await fileFeedLog({ folder, ...more })
  logs.push(log)
  return log
}
const files = async (topic = 'orders'): Promise<readonly string[]> => {
  const names = (await readdir(join(folder, 'topics', topic))).sort()
  return names.map((name) => join(folder, 'topics', topic, name))
}
const all = async (log: FeedLog, topic = 'orders'): Promise<readonly string[]> => {
  const { first, next } = log.bounds(topic) ?? { first: 1, next: 1 }
  const events: string[] = []
  for (let from = first; from < next; ) {
    const page = await log.read(topic, from, 37, 10_000)
    expect(page.map(({ sequence }) => sequence)).toEqual(page.map((_, index) => from + index))
    events.push(...page.map(({ event }) => event))
    from += page.length
  }
  return events
}
const numbered = (count: number, from = 0): readonly string[] =>
  Array.from({ length: count }, (_, index) => JSON.stringify({ n: from + index }))

describe('a log in files', () => {
  it('gives back what it was given, also after it was opened anew, over many files', async () => {
    const log = await open({ segmentBytes: 500 })
    for (let at = 0; at < 100; at += 10) await log.append('orders', numbered(10, at))
    await log.append('stock', ['{"text":"späß\\n🚢"}'])
    expect((await files()).length).toBeGreaterThan(5)
    const before = log.generation
    await log.close()
    const again = await open({ segmentBytes: 500 })
    expect(again.generation).toBe(before)
    expect(await all(again)).toEqual(numbered(100))
    expect(await all(again, 'stock')).toEqual(['{"text":"späß\\n🚢"}'])
    await again.append('orders', numbered(1, 100))
    expect(await all(again)).toEqual(numbered(101))
  })

  it('writes a JSON line an event', async () => {
    const clock = fakeClock()
    const log = await open({ clock })
    await log.append('orders', numbered(2))
    const [path = ''] = await files()
    const lines = (await readFile(path, 'utf8')).trimEnd().split('\n')
    expect(lines.map((line) => JSON.parse(line))).toEqual([
      { at: clock.wallNow(), crc: expect.stringMatching(/^[0-9a-f]{8}$/), event: { n: 0 } },
      { at: clock.wallNow(), crc: expect.stringMatching(/^[0-9a-f]{8}$/), event: { n: 1 } },
    ])
  })

  it('keeps the order of calls that come at once, and syncs them together', async () => {
    const log = await open()
    await log.append('orders', numbered(1))
    await Promise.all(Array.from({ length: 500 }, (_, index) => log.append('orders', numbered(1, index + 1))))
    expect(await all(log)).toEqual(numbered(501))
  })

  it('loses nothing that was accepted in six kills, and does not invent anything', { timeout: 120_000 }, async () => {
    const random = seededRandom(7)
    const accepted: string[] = []
    const tsx = pathToFileURL(createRequire(import.meta.url).resolve('tsx')).href
    for (let round = 0; round < 6; round++) {
      const writer = spawn(process.execPath, [
        '--import',
        tsx,
        fileURLToPath(new URL('./file-log-writer.ts', import.meta.url)),
        folder,
      ])
      let text = ''
      let errors = ''
      writer.stderr.on('data', (chunk) => (errors += chunk))
      const most = 20 + Math.floor(random() * 200)
      await new Promise<void>((ended) => {
        writer.stdout.on('data', (chunk) => {
          text += chunk
          // In the midst of writing, wherever that is.
          if (text.split('\n').length > most) writer.kill('SIGKILL')
        })
        writer.on('close', () => ended())
      })
      expect(errors).toBe('')
      accepted.push(...text.split('\n').slice(0, -1))
    }
    const log = await open()
    const ids = (await all(log)).map((event) => (JSON.parse(event) as { id: string }).id)
    expect(new Set(ids).size).toBe(ids.length)
    const there = new Set(ids)
    expect(accepted.filter((id) => !there.has(id))).toEqual([])
    expect(accepted.length).toBeGreaterThan(300)
  })

  it.each([1, 5, 30, 60])(
    'cuts off a line of which %i bytes are missing, and goes on behind the last whole one',
    async (bytes) => {
      const log = await open()
      await log.append('orders', numbered(3))
      await log.close()
      const [path = ''] = await files()
      await truncate(path, (await stat(path)).size - Math.min(bytes, 50))
      const again = await open()
      expect(await all(again)).toEqual(numbered(2))
      await again.append('orders', numbered(1, 7))
      expect(await all(again)).toEqual([...numbered(2), ...numbered(1, 7)])
    },
  )

  it('cuts off what a power cut has left: zeros, and lines whose bytes never came', async () => {
    const log = await open()
    await log.append('orders', numbered(2))
    await log.close()
    const [path = ''] = await files()
    await appendFile(
      path,
      Buffer.concat([Buffer.alloc(600), Buffer.from('\n{"at":1,"crc":"00000000","event":{}}\n{"at')]),
    )
    expect(await all(await open())).toEqual(numbered(2))
  })

  it('does not go on over damage in its middle', async () => {
    const log = await open()
    await log.append('orders', numbered(5))
    await log.close()
    const [path = ''] = await files()
    const bytes = await readFile(path)
    bytes[bytes.indexOf('"n":1') + 4] = '9'.charCodeAt(0)
    await writeFile(path, bytes)
    expect(await failure(open())).toMatchObject({ code: 'MESSAGE_UNDECODABLE', details: { path } })
    // And keeps nobody out for it.
    expect(await failure(open())).toMatchObject({ code: 'MESSAGE_UNDECODABLE' })
  })

  it('does not go on where a file is missing', async () => {
    const log = await open({ segmentBytes: 100 })
    for (let at = 0; at < 9; at++) await log.append('orders', numbered(1, at))
    await log.close()
    const [, second = ''] = await files()
    await (await import('node:fs/promises')).unlink(second)
    expect(await failure(open())).toMatchObject({ code: 'MESSAGE_UNDECODABLE' })
  })

  it('lets in one at a time, and takes over from one that is gone', async () => {
    const log = await open()
    expect(await failure(open())).toMatchObject({ code: 'INVALID_OPTIONS' })
    await log.close()
    await (await open()).close()
    // Of a process that was killed; our own number is that of an earlier process in a container.
    for (const pid of ['', '999999999', String(process.pid)]) {
      await writeFile(join(folder, 'lock'), pid)
      await (await open()).close()
    }
    await writeFile(join(folder, 'lock'), String(process.ppid))
    expect(await failure(open())).toMatchObject({ code: 'INVALID_OPTIONS' })
  })

  it('forgets by number and by age, and deletes files of which nothing is left', async () => {
    const clock = fakeClock()
    const settings = { clock, segmentBytes: 300, maxCount: 20, maxAgeMs: 60_000 }
    const log = await open(settings)
    for (let at = 0; at < 50; at++) await log.append('orders', numbered(1, at))
    expect(log.bounds('orders')).toEqual({ first: 31, next: 51 })
    expect(await all(log)).toEqual(numbered(20, 30))
    expect((await files()).length).toBeLessThan(8)
    await clock.advance(61_000)
    expect(log.bounds('orders')).toEqual({ first: 51, next: 51 })
    await log.close()
    const again = await open(settings)
    expect(again.bounds('orders')).toEqual({ first: 51, next: 51 })
    await again.append('orders', numbered(1, 50))
    expect(await all(again)).toEqual(numbered(1, 50))
    expect(again.bounds('orders')).toEqual({ first: 51, next: 52 })
  })

  it('keeps positions of readers over a restart of the feed', async () => {
    const log = await open()
    await createFeed({ log }).append('orders', messages(3))
    const { next } = await createFeed({ log }).page('orders', { after: 'earliest', limit: 2 })
    await log.close()
    const again = createFeed({ log: await open() })
    expect((await again.page('orders', { after: next })).records.map(({ sequence }) => sequence)).toEqual([3])
  })

  it('refuses what comes after it was closed', async () => {
    const log = await open()
    await log.append('orders', numbered(1))
    const last = log.append('orders', numbered(1, 1))
    await log.close()
    await last
    expect(await failure(log.append('orders', numbered(1)))).toMatchObject({ code: 'SHUTDOWN', effect: 'none' })
    expect(await all(await open())).toEqual(numbered(2))
  })
})
