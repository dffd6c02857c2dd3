import { AsyncLocalStorage } from 'node:async_hooks'
import { describe, expect, test } from 'vitest'
import { inherited, withInherited } from '../../src/core/async-context.ts'
import { deadlineIn } from '../../src/core/deadline.ts'
import { describe as describeThing } from '../../src/core/describe.ts'
import { compose, type Handler, refuse } from '../../src/core/handler.ts'
import { attemptTimeout } from '../../src/policies/attempt-timeout.ts'
import { coalesce } from '../../src/policies/coalesce.ts'
import { deadline } from '../../src/policies/deadline.ts'
import { fakeClock } from '../../src/testing/fake-clock.ts'
import { contextOf, failure, from, heard, Script, state, unhandledDuring } from './call-bench.ts'

function bench() {
  const clock = fakeClock()
  const script = new Script()
  const { events, onEvent } = heard()
  const layer = coalesce({ key: (sku: string) => sku, clock, onEvent })
  const handler = layer(script.handler)
  const start = (request: unknown = 'A', deadlineMs = Infinity, idempotencyKey?: string) => {
    const own = contextOf({ clock, deadlineMs, ...(idempotencyKey === undefined ? {} : { idempotencyKey }) })
    const result = handler(request, own.context) as Promise<unknown>
    result.catch(() => {})
    return { ...own, result }
  }
  const flights = (): unknown => (describeThing(layer) as { state?: { flights?: unknown } }).state?.flights
  return { clock, script, events, layer, handler, start, flights }
}

test('calls with an equal key share one flight and its answer; joiners are told', async () => {
  const { script, start, events, flights } = bench()
  const [first, second, third, other] = [start('A'), start('A'), start('A'), start('B')]
  expect(script.calls.map(({ request }) => request)).toEqual(['A', 'B'])
  expect(flights()).toBe(2)
  const answer = { level: 1 }
  script.calls[0]?.resolve(answer)
  expect(await Promise.all([first.result, second.result, third.result])).toEqual([answer, answer, answer])
  expect(await second.result).toBe(answer)
  expect([first, second, third].map(({ context }) => from(context)?.from)).toEqual([
    undefined,
    'coalesced',
    'coalesced',
  ])
  expect(events).toMatchObject([{ outcome: 'coalesced' }, { outcome: 'coalesced' }])
  expect((await state(other.result)).is).toBe('open')
  expect(flights()).toBe(1)
})

test('the key is free again when callers hear of the result', async () => {
  const { script, start } = bench()
  const first = start()
  const again = first.result.then(() => start())
  script.last().resolve(1)
  await again
  expect(script.calls.length).toBe(2)
})

test('an error is shared, the same one, and frees the key', async () => {
  const { script, start, flights } = bench()
  const error = failure('UNAVAILABLE')
  const [first, second] = [start(), start()]
  script.last().reject(error)
  await expect(first.result).rejects.toBe(error)
  await expect(second.result).rejects.toBe(error)
  expect(flights()).toBe(0)
})

test('a refusal passes untouched and keeps no flight', () => {
  const { layer, clock, flights } = bench()
  const refusal = refuse(() => failure('CIRCUIT_OPEN'))
  expect(layer(() => refusal)('A', contextOf({ clock }).context)).toBe(refusal)
  expect(flights()).toBe(0)
})

test('a handler that throws fails the call and frees the key', async () => {
  const { layer, clock, flights } = bench()
  const handler = layer(() => {
    throw new Error('boom')
  })
  await expect(handler('A', contextOf({ clock }).context)).rejects.toThrow('boom')
  expect(flights()).toBe(0)
})

test('a call with an idempotency key of its own is never shared', () => {
  const { script, start } = bench()
  start('A')
  start('A', Infinity, 'order-1')
  start('A', Infinity, 'order-2')
  expect(script.calls.length).toBe(3)
})

describe('each caller keeps its own end', () => {
  test('one who leaves is answered alone, the first one too; the flight goes on', async () => {
    const { script, start } = bench()
    const [first, second] = [start(), start()]
    const gone = failure('CANCELLED')
    first.abort(gone)
    await expect(first.result).rejects.toBe(gone)
    expect(script.last().context.aborted).toBeUndefined()
    script.last().resolve('answer')
    expect(await second.result).toBe('answer')
  })

  test('the flight is aborted when all have left, and who asks then gets a new one', async () => {
    const { script, start, flights } = bench()
    const [first, second] = [start(), start()]
    const flight = script.last().context
    const { signal } = flight
    first.abort(failure('CANCELLED'))
    expect(signal.aborted).toBe(false)
    const last = failure('DEADLINE_EXCEEDED')
    second.abort(last)
    expect(signal.reason).toBe(last)
    expect(flights()).toBe(0)
    start()
    expect(script.calls.length).toBe(2)
    expect(script.last().context.aborted).toBeUndefined()
  })

  test('the late end of an aborted flight does not free the key of the next one', async () => {
    const { script, start } = bench()
    const { abort } = start()
    const old = script.last()
    abort(failure('CANCELLED'))
    const next = start()
    old.resolve('old')
    await state(next.result)
    start()
    expect(script.calls.length).toBe(2)
    script.last().resolve('new')
    expect(await next.result).toBe('new')
  })

  test('deadlines strike one by one', async () => {
    const clock = fakeClock()
    const script = new Script()
    const handler = compose([deadline({ clock }), coalesce({ key: String, clock })], script.handler)
    const start = (deadlineMs: number): Promise<unknown> => {
      const result = Promise.resolve(handler('A', contextOf({ clock, deadlineMs }).context))
      result.catch(() => {})
      return result
    }
    const [short, long] = [start(100), start(200)]
    expect(script.calls.length).toBe(1)
    await clock.advance(100)
    expect(await state(short)).toMatchObject({ is: 'failed', with: { code: 'DEADLINE_EXCEEDED' } })
    expect((await state(long)).is).toBe('open')
    expect(script.last().context.aborted).toBeUndefined()
    await clock.advance(100)
    expect(await state(long)).toMatchObject({ is: 'failed', with: { code: 'DEADLINE_EXCEEDED' } })
    expect(script.last().context.aborted).toBeDefined()
  })

  test('the deadline of the flight is the longest on board, and moves out, never in', () => {
    const { script, start, clock } = bench()
    start('A', 100)
    const { deadline: own } = script.last().context
    expect([own.at, own.remainingMs()]).toEqual([100, 100])
    start('A', 50)
    expect(own.remainingMs()).toBe(100)
    start('A', 5_000)
    expect([own.at, own.remainingMs()]).toEqual([5_000, 5_000])
    expect(clock.pending).toBe(0)
  })

  test('a caller with more time is not ended by the deadline of the one it joined', async () => {
    const clock = fakeClock()
    const script = new Script()
    const layers = [
      deadline({ clock }),
      coalesce({ key: String, clock }),
      attemptTimeout({ clock, attemptTimeoutMs: 2_000 }),
    ]
    const handler = compose(layers, script.handler)
    const start = (deadlineMs: number): Promise<unknown> => {
      const result = Promise.resolve(handler('A', contextOf({ clock, deadlineMs }).context))
      result.catch(() => {})
      return result
    }
    const [short, long] = [start(100), start(5_000)]
    await clock.advance(100)
    expect((await state(short)).is).toBe('failed')
    expect((await state(long)).is).toBe('open')
    await clock.advance(1_000)
    script.last().resolve('answer')
    expect(await long).toBe('answer')
  })
})

test('the flight runs outside the async context of its callers, with the headers of the first', async () => {
  const own = new AsyncLocalStorage<string>()
  const clock = fakeClock()
  const seen: unknown[] = []
  const handler = coalesce({ key: String, clock })(async (_request, context) => {
    seen.push(own.getStore(), inherited(), context.service, context.idempotent)
  }) as Handler<unknown, unknown>
  await own.run('caller', () =>
    withInherited({ deadline: deadlineIn(5, clock) }, () => handler('A', contextOf({ clock }).context)),
  )
  expect(seen).toEqual([undefined, undefined, 'stock', true])
})

test('a caller who is gone before it begins does not keep a flight', async () => {
  const { handler, clock, script, flights } = bench()
  const { context, abort } = contextOf({ clock })
  const gone = failure('CANCELLED')
  abort(gone)
  await expect(handler('A', context)).rejects.toBe(gone)
  expect(flights()).toBe(0)
  expect(script.last().context.aborted).toBeDefined()
})

test('a result that reaches nobody leaves no unhandled rejection', async () => {
  const unhandled = await unhandledDuring(async () => {
    const { script, start } = bench()
    const { abort } = start()
    abort(failure('CANCELLED'))
    script.last().reject(new Error('late'))
  })
  expect(unhandled).toEqual([])
})

test('many keys leave nothing behind', async () => {
  const { layer, clock, flights } = bench()
  const handler = layer(async () => 1)
  for (let round = 0; round < 100; round++) {
    const { context } = contextOf({ clock })
    await Promise.all(Array.from({ length: 1_000 }, (_, index) => handler(`key-${round}-${index}`, context)))
  }
  expect(flights()).toBe(0)
})

test('a key that throws, or is no string, is the fault of the caller', async () => {
  const handler = coalesce({
    key: () => {
      throw new Error('no key')
    },
  })(async () => 1)
  await expect(handler('A', contextOf({ clock: fakeClock() }).context)).rejects.toMatchObject({
    code: 'PROGRAMMING_ERROR',
  })
})

test.each([
  ['coalesce.key', {}],
  ['coalesce.keys', { key: String, keys: 1 }],
])('%s', (message, options) => {
  expect(() => coalesce(options as never)).toThrow(message)
})
