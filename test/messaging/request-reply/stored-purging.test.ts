// Rows of requests that are over: kept for as long as a late reply may come, and then deleted.
import { expect, test } from 'vitest'
import { memoryStore } from '../../../src/adapters/memory/index.ts'
import { DESCRIBE } from '../../../src/core/describe.ts'
import { createError } from '../../../src/errors/classes.ts'
import { createStoredRequester } from '../../../src/messaging/request-reply/stored-requester.ts'
import type { Lab } from '../lab.ts'
import { memoryLab } from '../memory-lab.ts'
import { sendRaw } from '../raw.ts'
import { pricing, processOf, replyTo } from './stored-cases.ts'

const RETENTION_MS = 60_000

/** A requester whose store says how it was told to purge, and does what the test says then. */
const setUp = async (more: object, answer?: () => number) => {
  const memory = memoryLab()
  const { clock } = memory
  const asked: [kind: string, olderThanMs: number, limit: number][] = []
  const lab: Lab = {
    ...memory,
    store: () => {
      const store = memoryStore({ database: memory.database, inboxRetentionMs: RETENTION_MS })
      const purge: typeof store.states.purge = async (...given) => {
        asked.push(given)
        return answer === undefined ? await store.states.purge(...given) : answer()
      }
      return { ...store, states: { ...store.states, purge } }
    },
  }
  const here = await processOf(lab, pricing('pricing'), {
    name: 'purging',
    more: {
      handlerTimeoutMs: 1_000,
      retries: { immediate: 0, delayedMs: [] },
      purgeEveryMs: 10_000,
      random: () => 0.5,
      ...more,
    },
  })
  const send = (id: string, ...over: Parameters<typeof replyTo> extends [string, ...infer R] ? R : never) =>
    sendRaw(clock, here.transport, { kind: 'queue', name: 'purging-replies' }, replyTo(id, ...over))
  const rows = async (): Promise<readonly string[]> => {
    const ids: string[] = []
    for await (const { id } of here.store.states.list('request:purging', 100)) ids.push(id)
    return ids
  }
  const of = (type: string) => here.events.filter((event) => event.type === type)
  return { clock, memory, here, asked, send, rows, of }
}

test('a row of a request that is over is deleted when the inbox forgets messages too; one that waits is not', async () => {
  const { clock, here, send, rows, of } = await setUp({})
  // Between two turns of the purger.
  await clock.advance(5_000)
  const answered = await here.ask('answered', { timeoutMs: 3_600_000 })
  await here.ask('timed out', { timeoutMs: 100 })
  const cancelled = await here.ask('cancelled', { timeoutMs: 3_600_000 })
  const waits = await here.ask('waits', { timeoutMs: 3_600_000 })
  await send(answered.id)
  await here.store.transaction((tx: unknown) => here.quotes.cancel(tx, cancelled.id))
  await clock.advance(RETENTION_MS - 5_000)
  expect(here.quotes.stats()).toMatchObject({ replies: 1, timeouts: 1, purged: 0 })
  expect([(await rows()).length, of('request-purged')]).toEqual([4, []])
  await clock.advance(20_000)
  expect(await rows()).toEqual([waits.id])
  expect(of('request-purged')).toEqual([{ type: 'request-purged', requester: 'purging', count: 3 }])
  expect(here.quotes.stats().purged).toBe(3)
  await clock.advance(RETENTION_MS * 5)
  expect(await here.quotes.pending()).toMatchObject([{ id: waits.id, state: { orderId: 'waits' } }])
  await here.stop()
})

test('within that time a late reply is counted as late; after it as one to nobody; dropped both times', async () => {
  const { clock, memory, here, send, rows, of } = await setUp({ keepDoneMs: RETENTION_MS + 30_000 })
  const { id } = await here.ask('it', { timeoutMs: 1_000 })
  await clock.advance(RETENTION_MS + 20_000)
  expect(await memory.counted()).toEqual(['it DEADLINE_EXCEEDED x1'])
  await send(id, { id: 'late' })
  await clock.advance(100)
  expect(here.quotes.stats()).toMatchObject({ timeouts: 1, late: 1, unknown: 0, purged: 0 })
  await clock.advance(30_000)
  expect([await rows(), here.quotes.stats().purged]).toEqual([[], 1])
  await send(id, { id: 'later' })
  await clock.advance(100)
  expect(here.quotes.stats()).toMatchObject({ timeouts: 1, replies: 0, late: 1, unknown: 1 })
  expect(of('reply-dropped')).toMatchObject([
    { why: 'late', id: 'late', correlationId: id },
    { why: 'unknown', id: 'later', correlationId: id },
  ])
  expect(await memory.counted()).toEqual(['it DEADLINE_EXCEEDED x1'])
  await here.stop()
})

test('nothing is deleted where somebody wants it for ever', async () => {
  const { clock, here, asked, rows } = await setUp({ keepDoneMs: false })
  await here.ask('it', { timeoutMs: 100 })
  await clock.advance(RETENTION_MS * 5)
  expect([(await rows()).length, asked]).toEqual([1, []])
  expect(here.quotes[DESCRIBE]()).toMatchObject({ options: { keepDoneMs: false } })
  await here.stop()
})

test('in batches, a bounded number of them in a turn, and not after it is closed', async () => {
  const left = [1_000, 1_000, 7]
  const { clock, here, asked, of } = await setUp({}, () => left.shift() ?? 0)
  expect(here.quotes[DESCRIBE]()).toMatchObject({ options: { keepDoneMs: RETENTION_MS } })
  await clock.advance(9_999)
  expect(asked).toEqual([])
  await clock.advance(1)
  expect(asked).toEqual(new Array(3).fill(['request:purging', RETENTION_MS, 1_000]))
  expect(of('request-purged')).toMatchObject([{ count: 2_007 }])
  left.push(...new Array<number>(30).fill(1_000))
  await clock.advance(10_000)
  expect(asked).toHaveLength(23)
  await clock.advance(1_000)
  expect(asked).toHaveLength(34)
  const closing = here.quotes.close()
  await clock.advance(60_000)
  await closing
  expect(asked).toHaveLength(34)
  await here.stop()
})

test('a failure is an event, and it is tried again; also where something else looks after the inbox', async () => {
  let tries = 0
  const { clock, here, of } = await setUp({ purgeEveryMs: false }, () => {
    if (++tries === 1) throw createError({ code: 'CONNECTION_REFUSED' })
    return 3
  })
  await clock.advance(600_000)
  expect(of('request-purge-failed')).toMatchObject([{ requester: 'purging', error: { code: 'CONNECTION_REFUSED' } }])
  expect(of('request-purged')).toEqual([])
  await clock.advance(600_000)
  expect(of('request-purged')).toMatchObject([{ count: 3 }])
  await here.stop()
})

test('a time that is shorter than the inbox remembers messages is refused, and it is said why', async () => {
  const { here } = await setUp({})
  const fault = (change: object): unknown => {
    try {
      createStoredRequester({
        name: 'refusing',
        store: here.store,
        outbox: here.outbox,
        transport: here.transport,
        channel: pricing('pricing'),
        replies: 'refusing-replies',
        handlerTimeoutMs: 1_000,
        retries: { immediate: 0, delayedMs: [] },
        redriveWithinMs: 0,
        handlers: { 'price.quote': { reply: () => {}, failure: () => {}, timeout: () => {} } },
        ...change,
      } as never)
    } catch (error) {
      return error
    }
    return undefined
  }
  for (const keepDoneMs of [0, RETENTION_MS - 1])
    expect(fault({ keepDoneMs })).toMatchObject({
      code: 'INVALID_OPTIONS',
      details: { option: 'keepDoneMs' },
      message: expect.stringMatching(/keepDoneMs is \d+: .*comes late.* at least the 60000 ms/),
    })
  for (const keepDoneMs of [-1, Number.NaN, Infinity, '30d', true])
    expect(fault({ keepDoneMs }), String(keepDoneMs)).toMatchObject({ code: 'INVALID_OPTIONS' })
  const { purge: _, ...states } = here.store.states
  const store = { ...here.store, states }
  expect(fault({ store })).toMatchObject({ code: 'INVALID_OPTIONS', details: { option: 'store' } })
  expect(fault({ store, keepDoneMs: false })).toBeUndefined()
  expect(fault({ keepDoneMs: RETENTION_MS })).toBeUndefined()
  await here.stop()
})
