// Stored requests in memory, on a clock that stands still.
import { expect, test } from 'vitest'
import type { MemoryTx } from '../../../src/adapters/memory/index.ts'
import type { StateStore } from '../../../src/core/contracts/store.ts'
import { createError } from '../../../src/errors/classes.ts'
import { createStoredRequester } from '../../../src/messaging/request-reply/stored-requester.ts'
import type { Lab } from '../lab.ts'
import { memoryLab } from '../memory-lab.ts'
import { sendRaw } from '../raw.ts'
import { pricing, processOf, replyTo, storedCases } from './stored-cases.ts'

storedCases('in memory', async () => memoryLab())

// One process by hand: a store that does what the test says, and a queue that is filled by hand.
async function alone(change: (states: StateStore<MemoryTx>) => Partial<StateStore<MemoryTx>>, scanEveryMs = 200) {
  const memory = memoryLab()
  const lab: Lab = {
    ...memory,
    store: () => {
      const store = memory.store()
      return { ...store, states: { ...store.states, ...change(store.states) } }
    },
    lines: () => memory.counted(),
  }
  const here = await processOf(lab, pricing('pricing'), {
    name: 'alone',
    more: { scanEveryMs },
    relay: { poll: { minMs: 20, maxMs: 1_000 } },
  })
  return { clock: memory.clock, lab, here, replies: { kind: 'queue', name: 'alone-replies' } as const }
}

test('a request that is answered while the scan has it in hand is not timed out', async () => {
  const held: (() => void)[] = []
  const { clock, lab, here, replies } = await alone((states) => ({
    async due(...asked) {
      const ids = await states.due(...asked)
      if (ids.length > 0) await new Promise<void>((resolve) => held.push(resolve))
      return ids
    },
  }))
  const { id } = await here.ask('it', { timeoutMs: 300 })
  await clock.advance(500)
  await sendRaw(clock, here.transport, replies, replyTo(id))
  await clock.advance(500)
  for (const resolve of held) resolve()
  await clock.advance(2_000)
  expect([await lab.lines(), await here.quotes.pending(), here.quotes.stats().late]).toEqual([
    ['it costs 700 x1'],
    [],
    0,
  ])
})

test('a compare-and-set that fails undoes what the handler did, and the reply is handled again', async () => {
  let refused = 0
  const { clock, lab, here, replies } = await alone((states) => ({
    save: async (tx, kind, id, expected, ...rest) =>
      expected > 0 && refused++ === 0 ? false : await states.save(tx, kind, id, expected, ...rest),
  }))
  const { id } = await here.ask('it', { timeoutMs: 5_000 })
  await sendRaw(clock, here.transport, replies, replyTo(id))
  await clock.advance(10_000)
  expect([await lab.lines(), refused, here.quotes.stats().timeouts]).toEqual([['it costs 700 x1'], 2, 0])
})

test('a timeout whose row was changed at that moment is looked for again at once, not with the next regular look', async () => {
  let refused = 0
  const { clock, lab, here } = await alone(
    (states) => ({
      save: async (tx, kind, id, expected, state, ...rest) =>
        (state as { status: string }).status === 'timing-out' && refused++ === 0
          ? false
          : await states.save(tx, kind, id, expected, state, ...rest),
    }),
    600_000,
  )
  await here.ask('it', { timeoutMs: 1_000 })
  await clock.advance(3_000)
  expect([await lab.lines(), refused]).toEqual([['it DEADLINE_EXCEEDED x1'], 2])
})

test('many that run out together are timed out, each once, with a look now and then and not one for each', async () => {
  let looks = 0
  const { clock, lab, here } = await alone(
    (states) => ({
      due: (...asked) => {
        looks++
        return states.due(...asked)
      },
    }),
    5_000,
  )
  const all = Array.from({ length: 250 }, (_, n) => `it-${n}`)
  for (const [n, each] of all.entries()) await here.ask(each, { timeoutMs: 20_000 + (n % 90) })
  await clock.advance(30_000)
  expect(new Set(await lab.lines())).toEqual(new Set(all.map((each) => `${each} DEADLINE_EXCEEDED x1`)))
  // Every 2.5 to 5 s all the time, and a few when it comes to it.
  expect(looks).toBeLessThan(25)
})

test('a store that cannot be asked is asked again, at growing intervals, and it is told', async () => {
  let down = true
  let looks = 0
  const { clock, lab, here } = await alone((states) => ({
    due: async (...asked) => {
      looks++
      if (down) throw createError({ code: 'CONNECTION_LOST' })
      return await states.due(...asked)
    },
  }))
  await here.ask('it', { timeoutMs: 1_000 })
  await clock.advance(5_000)
  const before = looks
  down = false
  await clock.advance(2_000)
  expect(before).toBeLessThan(60)
  expect(here.events.filter(({ type }) => type === 'request-scan-failed').length).toBe(before)
  expect(await lab.lines()).toEqual(['it DEADLINE_EXCEEDED x1'])
})

test('what it is made of is checked, with the place and the fix', async () => {
  const { here, lab } = await alone(() => ({}))
  const given = {
    name: 'x',
    store: here.store,
    outbox: here.outbox,
    transport: here.transport,
    channel: pricing('pricing'),
    replies: 'x-replies',
    handlers: { 'price.quote': { reply: () => {}, failure: () => {}, timeout: () => {} } },
    clock: lab.clock,
  }
  const refused = (change: object): unknown => {
    try {
      createStoredRequester({ ...given, ...change } as never)
    } catch (error) {
      return (error as { details?: { option?: string } }).details?.option
    }
    return undefined
  }
  expect(refused({})).toBeUndefined()
  expect(refused({ name: 'a b' })).toBe('name')
  expect(refused({ store: {} })).toBe('store')
  expect(refused({ outbox: {} })).toBe('outbox')
  expect(refused({ transport: {} })).toBe('transport')
  expect(refused({ channel: {} })).toBe('channel')
  expect(refused({ replies: 'pricing' })).toBe('replies')
  expect(refused({ replies: 'a b' })).toBe('replies')
  expect(refused({ state: 7 })).toBe('state')
  expect(refused({ handlers: {} })).toBe('handlers')
  expect(refused({ handlers: { other: given.handlers['price.quote'] } })).toBe('handlers.other')
  expect(refused({ handlers: { 'price.quote': { reply: () => {}, timeout: () => {} } } })).toBe(
    'handlers.price.quote.failure',
  )
  expect(refused({ handlers: { 'price.quote': { reply: () => {}, failure: () => {} } } })).toBe(
    'handlers.price.quote.timeout',
  )
  expect(refused({ timeoutMs: 0 })).toBe('timeoutMs')
  expect(refused({ scanEveryMs: 1 })).toBe('scanEveryMs')
  expect(refused({ scanEvery: 1 })).toBe('createStoredRequester.scanEvery')
  await expect(here.ask('x', { timeout: 1 })).rejects.toMatchObject({ code: 'INVALID_OPTIONS' })
  const rows = here.quotes.request as (tx: unknown, type: string, data: unknown) => Promise<unknown>
  await expect(
    here.store.transaction((tx: unknown) => rows.call(here.quotes, tx, 'nothing', {})),
  ).rejects.toMatchObject({
    code: 'INVALID_OPTIONS',
  })
  await expect(
    here.quotes.request({} as never, 'price.quote', { sku: 'A' }, { state: { orderId: 'x' } }),
  ).rejects.toMatchObject({
    code: 'TRANSACTION_REQUIRED',
  })
})
