import { describe, expect, test } from 'vitest'
import { describe as describeBuilt } from '../../../src/core/describe.ts'
import { retry, windowDedupe } from '../../../src/messaging/index.ts'
import { fakeClock } from '../../../src/testing/fake-clock.ts'
import { bench, gate } from '../consumer/kit.ts'

describe('windowDedupe', () => {
  test('a message that was handled a moment ago is not handled again; after the window it is', async () => {
    const clock = fakeClock()
    const seen: string[] = []
    const { broker, settle } = await bench({
      clock,
      layers: [windowDedupe({ windowMs: 1_000, clock })],
      handlers: { placed: ({ id, source }) => void seen.push(`${source} ${id}`) },
    })
    broker.deliver({ id: 'a' })
    await settle()
    const again = broker.deliver({ id: 'a' })
    broker.deliver({ id: 'a', attributes: { source: 'another' } })
    await settle()
    expect([again.verdict, seen]).toEqual(['ack', ['test a', 'another a']])
    await clock.advance(1_000)
    broker.deliver({ id: 'a' })
    await settle()
    expect(seen).toHaveLength(3)
  })

  test('only what went well is remembered', async () => {
    const clock = fakeClock()
    let calls = 0
    const { broker, settle } = await bench({
      clock,
      retries: { immediate: 0 },
      layers: [windowDedupe({ clock })],
      handlers: {
        placed: () => {
          calls++
          if (calls === 1) throw new Error('no')
          return calls === 2 ? retry() : undefined
        },
      },
    })
    const verdicts: string[] = []
    for (let n = 0; n < 4; n++) {
      const handed = broker.deliver({ id: 'a' })
      await settle()
      verdicts.push(handed.verdict)
    }
    expect([verdicts, calls]).toEqual([['retry', 'retry', 'ack', 'ack'], 3])
  })

  test('a duplicate that comes meanwhile waits for the first, and is handled if that one fails', async () => {
    const clock = fakeClock()
    const one = gate()
    let calls = 0
    const { broker, settle } = await bench({
      clock,
      retries: { immediate: 0 },
      layers: [windowDedupe({ clock })],
      handlers: { placed: () => (++calls === 1 ? one.promise : undefined) },
    })
    const handed = [1, 2, 3].map(() => broker.deliver({ id: 'a' }))
    await settle()
    expect(calls).toBe(1)
    one.reject(new Error('no'))
    await settle()
    expect(handed.map(({ verdict }) => verdict)).toEqual(['retry', 'ack', 'ack'])
    expect(calls).toBe(2)
  })

  test('a handler that never ends holds its message no longer than it may', async () => {
    const clock = fakeClock()
    let calls = 0
    const { broker, settle } = await bench({
      clock,
      handlerTimeoutMs: 1_000,
      layers: [windowDedupe({ clock })],
      handlers: { placed: () => (++calls === 1 ? new Promise<void>(() => {}) : undefined) },
    })
    const first = broker.deliver({ id: 'a' })
    await settle()
    await clock.advance(2_000)
    const again = broker.deliver({ id: 'a' })
    await clock.advance(10)
    expect([first.verdict, again.verdict, calls]).toEqual(['retry', 'ack', 2])
  })

  test('it waits no longer than its own time', async () => {
    const clock = fakeClock()
    let calls = 0
    const { broker, settle } = await bench({
      clock,
      handlerTimeoutMs: 5_000,
      layers: [windowDedupe({ clock })],
      handlers: { placed: () => (++calls === 1 ? new Promise(() => {}) : undefined) },
    })
    broker.deliver({ id: 'a' })
    await clock.advance(1_000)
    const second = broker.deliver({ id: 'a', expiresAt: clock.wallNow() + 2_000 })
    await settle()
    expect(second.verdict).toBe('open')
    await clock.advance(2_000)
    expect(second.verdict).toBe('retry')
    expect(calls).toBe(1)
  })

  test('of a batch those that are new are handled, each once, and its outcomes are theirs', async () => {
    const clock = fakeClock()
    const batches: string[][] = []
    const { broker, settle } = await bench({
      clock,
      layers: [windowDedupe({ clock })],
      batch: (messages) => {
        batches.push(messages.map(({ id }) => id))
        return messages.map(({ id }) => (id === 'c' && batches.length === 2 ? retry() : undefined))
      },
    })
    broker.deliver({ id: 'a' })
    await settle()
    const handed = ['a', 'b', 'c', 'b'].map((id) => broker.deliver({ id }))
    await settle()
    expect(handed.map(({ verdict }) => verdict)).toEqual(['ack', 'ack', 'retry', 'ack'])
    broker.deliver({ id: 'c' })
    await settle()
    expect(batches).toEqual([['a'], ['b', 'c'], ['c']])
  })

  test('no more are remembered than so many, the oldest go first; and it says how many', async () => {
    const clock = fakeClock()
    const seen: string[] = []
    const layer = windowDedupe({ windowMs: 10_000, max: 2, clock })
    const { broker, settle } = await bench({
      clock,
      layers: [layer],
      handlers: { placed: ({ id }) => void seen.push(id) },
    })
    for (const id of ['a', 'b', 'c', 'b', 'a']) {
      broker.deliver({ id })
      await settle()
    }
    expect(seen).toEqual(['a', 'b', 'c', 'a'])
    expect(describeBuilt(layer)).toEqual({
      layer: 'window-dedupe',
      options: { windowMs: 10_000, max: 2 },
      state: { remembered: 2, running: 0 },
    })
  })

  test('options are checked', () => {
    expect(() => windowDedupe({ windowMs: 0 })).toThrow(/windowMs is 0/)
    expect(() => windowDedupe({ max: 0 })).toThrow(/max is 0/)
    expect(() => windowDedupe({ ttl: 1 } as never)).toThrow(/no such option/)
  })
})
