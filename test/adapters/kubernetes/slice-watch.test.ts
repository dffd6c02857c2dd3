// What a watch asks for, what it makes of changes, how it ends and begins again: over a scripted API server.
import { describe, expect, test } from 'vitest'
import { seededRandom } from '../../../src/testing/seeded-random.ts'
import { status } from './kit/fake-api.ts'
import {
  api,
  asked,
  begin,
  clock,
  quiet,
  shown,
  tells,
  told,
  until,
  updates,
  useScene,
  watch,
  watching,
  write,
} from './kit/scene.ts'
import { pod, sliceOf } from './kit/slice-book.ts'

useScene()

describe('what it asks for', () => {
  test('one service, by label, in its namespace: what is at hand at first, and every change from there on', async () => {
    begin()
    await tells('u1')
    await watching()
    expect(asked()).toEqual(['list 0', 'watch 101'])
    const [list, changes] = api.asked
    expect(list?.path).toBe('/apis/discovery.k8s.io/v1/namespaces/shop/endpointslices')
    expect(list?.query.get('labelSelector')).toBe('kubernetes.io/service-name=orders')
    expect(changes?.query.get('labelSelector')).toBe('kubernetes.io/service-name=orders')
    expect(changes?.query.get('allowWatchBookmarks')).toBe('true')
  })

  test('watches that do not all end at once', async () => {
    const seconds = new Set<number>()
    const random = seededRandom(3)
    for (let each = 0; each < 20; each++) {
      begin({ random })
      await until('a watch', () => api.asked.length === 2)
      seconds.add(Number(api.asked[1]?.query.get('timeoutSeconds')))
      await watch?.close()
      api.asked.length = 0
    }
    expect(seconds.size).toBeGreaterThan(10)
    for (const each of seconds) expect(Number.isInteger(each) && each >= 240 && each <= 600).toBe(true)
  })
})

describe('changes', () => {
  test.each([1, 7, 100])('are put together of pieces of %i bytes', async (pieces) => {
    api.pieces = pieces
    begin()
    await tells('u1')
    await watching()
    await write('b', 'u2')
    await tells('u1 u2')
    await api.remove('shop', 'a')
    await tells('u2')
    await api.remove('shop', 'b')
    await tells('absent')
  })

  test('that come together are told once', async () => {
    begin()
    await tells('u1')
    await watching()
    const lines = [2, 3, 4].map((n) => {
      const slice = sliceOf('orders', `s${n}`, [pod(`u${n}`, `10.0.0.${n}`)])
      return JSON.stringify({ type: 'ADDED', object: { ...slice, metadata: { name: `s${n}`, uid: `x${n}` } } })
    })
    api.say(lines.join('\n'))
    await tells('u1 u2 u3 u4')
    expect(told()).toEqual(['u1', 'u1 u2 u3 u4'])
  })

  test('of an older slice do not take the newer one of the same name away', async () => {
    begin()
    await tells('u1')
    await watching()
    api.say({ type: 'DELETED', object: { metadata: { name: 'a', uid: 'of-another' } } })
    api.say({ type: 'SOMETHING-NEW', object: { metadata: { name: 'a' } } })
    await write('b', 'u2')
    await tells('u1 u2')
    expect(told()).toEqual(['u1', 'u1 u2'])
  })

  test('that change nothing are not told', async () => {
    begin()
    await tells('u1')
    await watching()
    api.bookmark()
    await quiet()
    expect(told()).toEqual(['u1'])
  })

  test('of a slice that cannot be read are told as a note, and the rest as it is', async () => {
    begin()
    await tells('u1')
    await watching()
    api.say({ type: 'ADDED', object: { metadata: {} } })
    await until('a note', () => JSON.stringify(updates.at(-1)).includes('1 unreadable slices'))
    expect(shown(updates.at(-1))).toBe('u1')
  })
})

describe('where nothing can be read', () => {
  test.each([
    ['slices', { ...sliceOf('orders', 'a', [pod('u2', '10.0.0.2')]), addressType: 'IPv9' }],
    ['addresses', sliceOf('orders', 'a', [{ addresses: ['web/1'] }])],
  ])('of its %s is an error, not an empty list', async (_, slice) => {
    begin()
    await tells('u1')
    await watching()
    await api.put('shop', 'a', slice)
    await until('an error', () => updates.at(-1)?.type === 'error')
    expect(updates.at(-1)).toMatchObject({ error: { code: 'REPLY_INVALID' } })
    await write('a', 'u2')
    await tells('u2')
    expect(told().every((each) => each !== '')).toBe(true)
  })

  test('one endpoint that is no list is a list of one', async () => {
    begin()
    await tells('u1')
    await watching()
    await api.put('shop', 'a', { ...sliceOf('orders', 'a', []), endpoints: pod('u3', '10.0.0.3') })
    await tells('u3')
  })
})

describe('a watch that ends', () => {
  test('in good time goes on where it was, bookmarks included, without a list', async () => {
    begin()
    await tells('u1')
    await watching()
    api.bookmark()
    await quiet()
    await clock.advance(80_000)
    api.bookmark()
    const version = api.version
    for (let each = 0; each < 10; each++) {
      await quiet()
      await clock.advance(60_000)
      if (each < 9) api.say({ type: 'BOOKMARK', object: { metadata: { resourceVersion: String(version) } } })
    }
    // Ten minutes: longer than the longest watch that it asks for.
    api.finish()
    await until('another watch', () => asked().length === 3)
    expect(asked()[2]).toBe(`watch ${version}`)
    await write('b', 'u2')
    await tells('u1 u2')
    expect(told()).toEqual(['u1', 'u1 u2'])
  })

  test('by a reset asks whether anything was missed, never for something older than it has, and says nothing of it', async () => {
    begin()
    await tells('u1')
    await watching()
    api.bookmark()
    await quiet()
    const version = api.version
    api.cut()
    await until('a list', () => asked().length >= 3, 50)
    expect(asked()[2]).toBe(`list ${version} or newer`)
    await watching()
    expect(told()).toEqual(['u1'])
  })

  test('before its time, in good order, does so as well: the server has gone', async () => {
    begin()
    await tells('u1')
    await watching()
    api.bookmark()
    await quiet()
    api.finish()
    await until('a list', () => asked().length >= 3, 50)
    expect(asked()[2]).toContain('or newer')
  })

  test('as soon as it begins, again and again, is told and not hurried', async () => {
    for (let each = 0; each < 30; each++) api.script.push({ for: 'watch', lines: [], end: true })
    begin()
    await until('five errors', () => told().filter((each) => each.startsWith('error')).length === 5, 100)
    const pauses = updates.flatMap((update) => (update.type === 'error' ? [update.retryInMs ?? 0] : []))
    expect(pauses[4]).toBeGreaterThan(4 * (pauses[0] as number))
    expect(asked().length).toBeLessThan(14)
  })

  test('with silence is given up, and what was missed is found', async () => {
    begin({ idleMs: 30_000, timeoutMs: 2_000 })
    await tells('u1')
    await watching()
    api.frozen = true
    await write('b', 'u2')
    await clock.advance(29_000)
    await quiet()
    expect(asked().length).toBe(2)
    await clock.advance(1_500)
    await until('a list', () => asked().length === 3, 50)
    api.frozen = false
    await tells('u1 u2', 100)
    expect(told()).not.toContain('empty')
    expect(told()).not.toContain('absent')
  })
})

describe('refresh', () => {
  test('shortens a pause, to a second at least', async () => {
    for (let each = 0; each < 6; each++)
      api.script.push({ for: 'list', status: 500, body: status(500, 'InternalError') })
    begin()
    await until('five errors', () => updates.length === 5, 200)
    const { retryInMs = 0 } = updates.at(-1) as { retryInMs?: number }
    expect(retryInMs).toBeGreaterThan(4_000)
    const before = asked().length
    for (let each = 0; each < 100; each++) watch?.refresh()
    await clock.advance(900)
    await quiet()
    expect(asked().length).toBe(before)
    await clock.advance(101)
    await until('a question', () => asked().length === before + 1)
  })

  test('leaves a watch alone that was heard of a moment ago, and begins one anew that is quiet', async () => {
    begin()
    await tells('u1')
    await watching()
    for (let each = 0; each < 100; each++) watch?.refresh()
    await quiet()
    expect(asked().length).toBe(2)
    await clock.advance(10_000)
    for (let each = 0; each < 100; each++) watch?.refresh()
    await until('a watch', () => asked().length === 3)
    await quiet()
    expect(asked()).toEqual(['list 0', 'watch 101', 'watch 101'])
    expect(told()).toEqual(['u1'])
  })
})

test('close ends everything at once, whatever it is at', async () => {
  for (const state of ['list', 'watch', 'pause'] as const) {
    if (state === 'list') api.script.push({ for: 'list', hang: true })
    if (state === 'pause') api.script.push({ for: 'list', status: 500, body: status(500, 'InternalError') })
    const before = api.asked.length
    begin()
    if (state === 'list') await until('a list', () => api.asked.length > before)
    if (state === 'watch') await watching()
    if (state === 'pause') await tells('error SERVER_ERROR')
    const heard = updates.length
    await watch?.close()
    await until('no connection', () => api.open === 0)
    expect(clock.pending).toBe(0)
    expect(updates.length).toBe(heard)
  }
})
