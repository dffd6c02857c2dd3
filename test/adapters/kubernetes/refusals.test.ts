// What a watch does when an API server refuses, forgets, is behind or talks nonsense.
import { describe, expect, test } from 'vitest'
import { expiredEvent, status } from './kit/fake-api.ts'
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
  watching,
  write,
} from './kit/scene.ts'
import { pod, sliceOf } from './kit/slice-book.ts'

useScene()

describe('a version that is forgotten', () => {
  test('as an answer of 410: everything is listed anew, and who has gone is gone', async () => {
    await write('b', 'u2')
    api.script.push({ for: 'watch', status: 410, body: status(410, 'Expired') })
    begin()
    await tells('u1 u2')
    await api.remove('shop', 'a')
    await tells('u2', 20)
    expect(asked().slice(0, 3)).toEqual(['list 0', 'watch 102', 'list latest'])
    expect(told()).toEqual(['u1 u2', 'u2'])
  })

  test('as an event of an answer that began with 200: the same, and what came before it counts', async () => {
    begin()
    await tells('u1')
    await watching()
    const slice = sliceOf('orders', 'b', [pod('u2', '10.0.0.2')])
    const added = { type: 'ADDED', object: { ...slice, metadata: { name: 'b', uid: 'x', resourceVersion: '7' } } }
    api.say(`${JSON.stringify(added)}\n${JSON.stringify(expiredEvent())}`)
    await until('the list', () => updates.length === 3, 20)
    expect(told()).toEqual(['u1', 'u1 u2', 'u1'])
    expect(asked()[2]).toBe('list latest')
    await watching()
    await write('c', 'u3')
    await tells('u1 u3')
  })

  test('by a server that has lost its history', async () => {
    begin()
    await tells('u1')
    await watching()
    await write('b', 'u2')
    await tells('u1 u2')
    const missed = (): Promise<void> => api.remove('shop', 'a')
    await api.kill()
    await missed()
    api.compact()
    await api.listen()
    await tells('u2', 50)
    expect(told()).not.toContain('absent')
  })

  test('again and again is told, and not hurried', async () => {
    for (let each = 0; each < 30; each++) api.script.push({ for: 'watch', lines: [expiredEvent()], end: true })
    begin()
    await until('three errors', () => told().filter((each) => each.startsWith('error')).length === 3, 100)
    expect(asked().length).toBeLessThan(12)
    expect(shown(updates[0])).toBe('u1')
  })
})

describe('a server that is behind', () => {
  test('and does not know our version yet is asked for the truth, not for what it has', async () => {
    begin()
    await tells('u1')
    await watching()
    api.bookmark()
    await quiet()
    api.script.push({
      for: 'list',
      status: 504,
      body: status(504, 'Timeout', 'Too large resource version', { causes: [{ reason: 'ResourceVersionTooLarge' }] }),
    })
    api.cut()
    await until('the latest', () => asked().includes('list latest'), 50)
    expect(asked()[2]).toContain('or newer')
    await watching()
    expect(told()).toEqual(['u1'])
  })

  test('and only keeps us waiting, too', async () => {
    begin({ timeoutMs: 1_000 })
    await tells('u1')
    await watching()
    api.bookmark()
    await quiet()
    api.script.push({ for: 'list', hang: true })
    api.cut()
    await until('the latest', () => asked().includes('list latest'), 100)
    await tells('u1')
    expect(told()).toEqual(['u1', 'error ATTEMPT_TIMEOUT', 'u1'])
  })
})

describe('a server that refuses', () => {
  test('for being overloaded is left alone as long as it asks for, and goes on where we were', async () => {
    api.script.push({
      for: 'watch',
      status: 429,
      headers: { 'retry-after': '17' },
      body: status(429, 'TooManyRequests'),
    })
    begin()
    await tells('error TOO_MANY_REQUESTS')
    expect((updates.at(-1) as { retryInMs: number }).retryInMs).toBeGreaterThanOrEqual(17_000)
    await clock.advance(16_900)
    await quiet()
    expect(asked()).toEqual(['list 0', 'watch 101'])
    // That it works again is told, changed or not.
    await tells('u1', 100)
    expect(asked()).toEqual(['list 0', 'watch 101', 'watch 101'])
  })

  test('in the middle of a watch is asked again from the same version, and after a while for everything', async () => {
    const failure = {
      type: 'ERROR',
      object: status(500, 'InternalError', 'etcd event received with no previous value'),
    }
    for (let each = 0; each < 3; each++) api.script.push({ for: 'watch', lines: [failure], end: true })
    begin()
    await until('a list', () => asked().length >= 5, 100)
    expect(asked().slice(0, 5)).toEqual(['list 0', 'watch 101', 'watch 101', 'watch 101', 'list latest'])
    await tells('u1', 50)
    expect(told()).not.toContain('absent')
  })

  test('our token gets the next one at once', async () => {
    api.token = 'two'
    const tokens = ['one', 'two']
    begin({ token: () => tokens.shift() ?? 'none' })
    await tells('u1')
    expect(told()).toEqual(['u1'])
    expect(api.asked.map(({ authorization }) => authorization)).toEqual(
      ['Bearer one', 'Bearer two', 'Bearer two'].slice(0, api.asked.length),
    )
  })

  test('our token, and the next one, is told', async () => {
    api.token = 'right'
    let token = 'wrong'
    begin({ token: () => token })
    await tells('error UNAUTHENTICATED')
    expect(asked()).toEqual(['list 0', 'list 0'])
    token = 'right'
    await tells('u1', 100)
  })

  test('with its own words', async () => {
    api.script.push({
      status: 403,
      body: status(403, 'Forbidden', 'endpointslices is forbidden: User "x" cannot list'),
    })
    begin()
    await tells('error FORBIDDEN')
    expect(String((updates[0] as { error: unknown }).error)).toContain('User "x" cannot list')
    await tells('u1', 100)
  })
})

describe('what cannot be read', () => {
  test.each<[string, unknown]>([
    ['HTML', '<html>'],
    ['nothing', ''],
    ['half of it', '{"kind":"EndpointSliceList","items":['],
    ['no list', {}],
    ['null', null],
    ['a Status', status(200, 'fine')],
    ['no items', { metadata: { resourceVersion: '1' }, items: null }],
    ['items that are none', { kind: 'EndpointSliceList', metadata: { resourceVersion: '1' }, items: {} }],
    ['no version', { kind: 'EndpointSliceList', metadata: {}, items: [] }],
  ])('is an error, and never nobody: %s', async (_, body) => {
    api.script.push({ for: 'list', body: body === null ? 'null' : body })
    begin()
    await tells('error REPLY_UNDECODABLE')
    await tells('u1', 100)
    expect(told()).toEqual(['error REPLY_UNDECODABLE', 'u1'])
  })

  test('null for an empty list of the right kind is one', async () => {
    api.script.push({ body: { kind: 'EndpointSliceList', metadata: { resourceVersion: '101' }, items: null } })
    begin()
    await tells('absent')
  })

  test.each([['not json'], ['null'], ['[]'], ['{"object":{}}']])('a line of a watch: %s', async (line) => {
    begin()
    await tells('u1')
    await watching()
    api.say(line)
    await tells('error REPLY_UNDECODABLE')
    await write('b', 'u2')
    await tells('u1 u2', 100)
    expect(told()).not.toContain('absent')
  })
})
