import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { FailureAnswer } from '../../src/core/answer.ts'
import { describe as describeThing } from '../../src/core/describe.ts'
import { compose, refuse } from '../../src/core/handler.ts'
import { CODES, type Code } from '../../src/errors/codes.ts'
import { type CacheOptions, cache } from '../../src/policies/cache.ts'
import { deadline } from '../../src/policies/deadline.ts'
import { fakeClock } from '../../src/testing/fake-clock.ts'
import { contextOf, failure, from, heard, Script, state, unhandledDuring } from './call-bench.ts'

function bench(options: Partial<CacheOptions<string>> = {}) {
  const clock = fakeClock({ now: 50 })
  const script = new Script()
  const { events, onEvent } = heard()
  const layer = cache({ key: (sku: string) => sku, ttlMs: 1_000, clock, onEvent, ...options })
  const handler = layer(script.handler)
  const start = (request: unknown = 'A') => {
    const own = contextOf({ clock })
    const result = handler(request, own.context) as Promise<unknown>
    result.catch(() => {})
    return { ...own, result }
  }
  const fill = async (answer: unknown, request: unknown = 'A'): Promise<void> => {
    const { result } = start(request)
    script.last().resolve(answer)
    await result
  }
  const outcomes = (): readonly unknown[] => events.map((event) => event.type === 'cache' && event.outcome)
  return { clock, script, layer, handler, start, fill, outcomes }
}

test('an answer is given again while it is fresh, the very one, with its age', async () => {
  const { clock, script, start, fill, outcomes } = bench()
  const answer = { level: 3 }
  await fill(answer)
  await clock.advance(999)
  const { result, context } = start()
  expect(await result).toBe(answer)
  expect(from(context)).toEqual({ from: 'cache', ageMs: 999 })
  await clock.advance(1)
  start()
  expect(script.calls.length).toBe(2)
  expect(outcomes()).toEqual(['miss', 'hit', 'miss'])
})

test('undefined is an answer too', async () => {
  const { start, fill, script } = bench()
  await fill(undefined)
  expect(await start().result).toBe(undefined)
  expect(script.calls.length).toBe(1)
})

test('keys are kept apart; failures, refusals and declared failures are not kept', async () => {
  const { start, fill, script, layer } = bench()
  await fill('a', 'A')
  await fill('b', 'B')
  expect(await start('A').result).toBe('a')
  expect(await start('B').result).toBe('b')
  await fill(new FailureAnswer('outOfStock', {}), 'C')
  const failed = start('D')
  script.last().reject(failure('SERVER_ERROR'))
  await state(failed.result)
  expect(describeThing(layer)).toMatchObject({ state: { kept: 2 } })
  const refusal = refuse(() => failure('CIRCUIT_OPEN'))
  expect(layer(() => refusal)('E', contextOf({ clock: fakeClock() }).context)).toBe(refusal)
})

test('of two answers the one that was asked for later stays, whichever came first', async () => {
  const { start, script, clock } = bench({ ttlMs: 100 })
  const first = start()
  await clock.advance(1)
  const second = start()
  script.calls[1]?.resolve('new')
  await second.result
  script.calls[0]?.resolve('old')
  expect(await first.result).toBe('old')
  expect(await start().result).toBe('new')
})

test('calls at one time are not joined: that is coalesce', () => {
  const { start, script } = bench()
  start()
  start()
  expect(script.calls.length).toBe(2)
})

describe('stale-if-error', () => {
  const codes = Object.keys(CODES) as Code[]
  const bridged = codes.filter(
    (code) => CODES[code].breaker !== 'success' && CODES[code].kind !== 'cancelled' && CODES[code].kind !== 'invalid',
  )

  test.each(bridged)('%s is bridged', async (code) => {
    const { clock, script, start, fill, outcomes } = bench({ staleIfErrorMs: 500 })
    await fill('kept')
    await clock.advance(1_499)
    const { result, context } = start()
    script.last().reject(failure(code))
    expect(await result).toBe('kept')
    expect(from(context)).toEqual({ from: 'cache', ageMs: 1_499 })
    expect(outcomes().at(-1)).toBe('stale')
  })

  test.each(codes.filter((code) => !bridged.includes(code)))('%s is not', async (code) => {
    const { clock, script, start, fill } = bench({ staleIfErrorMs: 500 })
    await fill('kept')
    await clock.advance(1_000)
    const error = failure(code)
    const { result } = start()
    script.last().reject(error)
    await expect(result).rejects.toBe(error)
  })

  test('a sound no of the peer drops the stale answer', async () => {
    const { clock, script, start, fill } = bench({ staleIfErrorMs: 500 })
    await fill('kept')
    await clock.advance(1_000)
    const gone = start()
    script.last().reject(failure('NOT_FOUND'))
    await state(gone.result)
    const after = start()
    script.last().reject(failure('SERVER_ERROR'))
    await expect(after.result).rejects.toMatchObject({ code: 'SERVER_ERROR' })
  })

  test('it ends: after ttl and bridge, and without the option at once', async () => {
    const on = bench({ staleIfErrorMs: 500 })
    await on.fill('kept')
    await on.clock.advance(1_500)
    const late = on.start()
    on.script.last().reject(failure('SERVER_ERROR'))
    await expect(late.result).rejects.toMatchObject({ code: 'SERVER_ERROR' })
    const off = bench()
    await off.fill('kept')
    await off.clock.advance(1_000)
    const without = off.start()
    off.script.last().reject(failure('SERVER_ERROR'))
    await expect(without.result).rejects.toMatchObject({ code: 'SERVER_ERROR' })
  })

  test('a refusal is bridged', async () => {
    const clock = fakeClock()
    let open = false
    const handler = cache({ key: String, ttlMs: 10, staleIfErrorMs: 100, clock })(() =>
      open ? refuse(() => failure('CIRCUIT_OPEN')) : Promise.resolve('kept'),
    )
    await handler('A', contextOf({ clock }).context)
    open = true
    await clock.advance(10)
    const { context } = contextOf({ clock })
    expect(await handler('A', context)).toBe('kept')
    expect(from(context)).toEqual({ from: 'cache', ageMs: 10 })
  })

  test('at the deadline of the layer outside the stale answer is given, and what comes later is kept', async () => {
    const clock = fakeClock()
    const script = new Script()
    const layers = [deadline({ clock }), cache({ key: String, ttlMs: 10, staleIfErrorMs: 10_000, clock })]
    const handler = compose(layers, script.handler)
    const filled = handler('A', contextOf({ clock, deadlineMs: 100 }).context)
    script.last().resolve('kept')
    await filled
    await clock.advance(20)
    const { context } = contextOf({ clock, deadlineMs: 100 })
    const result = handler('A', context)
    await clock.advance(100)
    expect(await state(result)).toEqual({ is: 'answered', with: 'kept' })
    script.last().resolve('newer')
    await state(result)
    expect(await handler('A', contextOf({ clock, deadlineMs: 100 }).context)).toBe('newer')
  })

  test('nor where the call fails because the caller left', async () => {
    const { clock, script, start, fill } = bench({ staleIfErrorMs: 500 })
    await fill('kept')
    await clock.advance(1_000)
    const { result, abort } = start()
    abort(failure('CANCELLED'))
    const lost = failure('CONNECTION_LOST')
    script.last().reject(lost)
    await expect(result).rejects.toBe(lost)
  })

  test('the caller who leaves gets no stale answer, and no rejection is left unhandled', async () => {
    const unhandled = await unhandledDuring(async () => {
      const { clock, script, start, fill } = bench({ staleIfErrorMs: 500 })
      await fill('kept')
      await clock.advance(1_000)
      const { result, abort } = start()
      const gone = failure('CANCELLED')
      abort(gone)
      script.last().reject(gone)
      await expect(result).rejects.toBe(gone)
    })
    expect(unhandled).toEqual([])
  })
})

test('a key that throws, or is no string, is the fault of the caller', async () => {
  const { handler, clock } = bench({
    key: (sku) => {
      if (sku === 'bad') throw new TypeError('no sku')
      return undefined as never
    },
  })
  await expect(handler('bad', contextOf({ clock }).context)).rejects.toMatchObject({
    code: 'PROGRAMMING_ERROR',
    cause: { message: 'no sku' },
  })
  await expect(handler('good', contextOf({ clock }).context)).rejects.toThrow('gave undefined: give a string')
})

test('agrees with a naive model under random calls, and never keeps more than max', async () => {
  const step = fc.record({ key: fc.constantFrom('a', 'b', 'c', 'd', '__proto__'), advance: fc.nat({ max: 8 }) })
  await fc.assert(
    fc.asyncProperty(fc.array(step, { maxLength: 60 }), async (steps) => {
      const clock = fakeClock()
      const max = 3
      let calls = 0
      const layer = cache({ key: String, ttlMs: 10, max, clock })
      const handler = layer(() => Promise.resolve(++calls))
      // Oldest use first.
      let model: { key: string; value: number; at: number }[] = []
      let asked = 0
      for (const { key, advance } of steps) {
        await clock.advance(advance)
        const known = model.find((each) => each.key === key)
        model = model.filter((each) => each !== known)
        const fresh = known !== undefined && clock.now() - known.at < 10
        const expected = fresh ? known : { key, value: ++asked, at: clock.now() }
        if (known === undefined && model.length === max) model.shift()
        model.push(expected)
        expect(await handler(key, contextOf({ clock }).context)).toBe(expected.value)
        expect(calls).toBe(asked)
        expect(describeThing(layer)).toMatchObject({ state: { kept: model.length } })
      }
    }),
    { numRuns: 60, seed: 3 },
  )
})

test('a million keys keep no more than max', () => {
  const { layer, clock } = bench({ max: 100 })
  const handler = layer(() => refuse(() => failure('CIRCUIT_OPEN')))
  const { context } = contextOf({ clock })
  for (let index = 0; index < 1_000_000; index++) handler(`key-${index}`, context)
  expect(describeThing(layer)).toMatchObject({ state: { kept: 0 } })
})

test.each([
  ['cache.key', { ttlMs: 1 }],
  ['cache.ttlMs is undefined', { key: String }],
  ['cache.ttlMs is NaN', { key: String, ttlMs: Number.NaN }],
  ['cache.ttlMs is -5', { key: String, ttlMs: -5 }],
  ['cache.ttlMs is Infinity', { key: String, ttlMs: Infinity }],
  ['cache.staleIfErrorMs is -1', { key: String, ttlMs: 1, staleIfErrorMs: -1 }],
  ['cache.max is 0.5', { key: String, ttlMs: 1, max: 0.5 }],
  ['cache.ttl ', { key: String, ttlMs: 1, ttl: 5 }],
])('%s', (message, options) => {
  expect(() => cache(options as never)).toThrow(message)
})

test('it says how it is built', () => {
  expect(describeThing(cache({ key: String, ttlMs: 7 }))).toEqual({
    layer: 'cache',
    options: { ttlMs: 7, staleIfErrorMs: 0, max: 1_000 },
    state: { kept: 0 },
  })
})
