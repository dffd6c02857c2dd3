import { describe, expect, test, vi } from 'vitest'
import { FailureAnswer } from '../../src/core/answer.ts'
import { describe as describeThing } from '../../src/core/describe.ts'
import { compose, isRefusal, refuse } from '../../src/core/handler.ts'
import { isFairleadError } from '../../src/errors/base.ts'
import { CODES, type Code } from '../../src/errors/codes.ts'
import { attemptTimeout } from '../../src/policies/attempt-timeout.ts'
import { deadline } from '../../src/policies/deadline.ts'
import { call, type Fallback, fallback, lastGood, value } from '../../src/policies/fallback.ts'
import { fakeClock } from '../../src/testing/fake-clock.ts'
import { contextOf, failure, from, heard, Script, state, unhandledDuring } from './call-bench.ts'

function bench(chain: readonly Fallback<unknown>[], deadlineMs = Infinity) {
  const clock = fakeClock({ now: 1_000 })
  const script = new Script()
  const { events, onEvent } = heard()
  const layer = fallback(chain, { clock, onEvent })
  const handler = layer(script.handler)
  const start = (request: unknown = 'A-1', ms = deadlineMs) => {
    const own = contextOf({ clock, deadlineMs: ms })
    const result = handler(request, own.context) as Promise<unknown>
    // A test may look at it only after it has failed.
    result.catch(() => {})
    return { ...own, result }
  }
  return { clock, script, events, start, layer, handler }
}

/** One good answer to `request`, for `lastGood` to keep. */
async function answered(
  { script, start }: ReturnType<typeof bench>,
  answer: unknown,
  request: unknown = 'A-1',
): Promise<void> {
  const { result } = start(request)
  script.last().resolve(answer)
  await result
}

describe('which failures are answered', () => {
  const answers = (Object.keys(CODES) as Code[]).filter(
    (code) => !['cancelled', 'invalid'].includes(CODES[code].kind) && code !== 'DECLARED_FAILURE',
  )

  test.each(answers)('%s is answered', async (code) => {
    const { script, start } = bench([value('unknown')])
    const { result, context } = start()
    const error = failure(code)
    script.last().reject(error)
    expect(await result).toBe('unknown')
    expect(from(context)).toEqual({ from: 'value', ageMs: undefined, error })
  })

  test.each((Object.keys(CODES) as Code[]).filter((code) => !answers.includes(code)))('%s is not', async (code) => {
    const { script, start } = bench([value('unknown'), call(() => 'called')])
    const { result, context } = start()
    const error = failure(code)
    script.last().reject(error)
    await expect(result).rejects.toBe(error)
    expect(from(context)).toBeUndefined()
  })

  test('a declared failure passes as the answer that it is, and is never the last good one', async () => {
    const on = bench([lastGood(), value('unknown')])
    const declared = new FailureAnswer('outOfStock', { left: 0 })
    await answered(on, 'good')
    const { result } = on.start()
    on.script.last().resolve(declared)
    expect(await result).toBe(declared)
    const after = on.start()
    on.script.last().reject(failure('SERVER_ERROR'))
    expect(await after.result).toBe('good')
  })

  test('an error that is none of ours counts as a failed call, and goes out as it came where nothing answers', async () => {
    const seen: unknown[] = []
    const { script, start } = bench([value('unknown', { when: (error) => seen.push(error.code) === 1 })])
    const first = start()
    script.last().reject('boom')
    expect(await first.result).toBe('unknown')
    expect(seen).toEqual(['CALL_FAILED'])
    const second = start()
    script.last().reject(undefined)
    await expect(second.result).rejects.toSatisfy((error) => isFairleadError(error, 'CALL_FAILED'))
  })

  test('a refusal is answered at once, and passes untouched where nothing answers', async () => {
    const refusal = refuse(() => failure('CIRCUIT_OPEN'))
    const { clock } = bench([])
    const { context } = contextOf({ clock })
    const { events, onEvent } = heard()
    const answered = fallback([value(undefined)], { clock, onEvent })(() => refusal)('A-1', context)
    expect(isRefusal(answered)).toBe(false)
    expect(await answered).toBe(undefined)
    expect(from(context)?.from).toBe('value')
    expect(events).toMatchObject([{ type: 'fallback', from: 'value', service: 'stock', operation: 'get' }])
    expect(fallback([value(1, { when: () => false }), lastGood()], { clock })(() => refusal)('A-1', context)).toBe(
      refusal,
    )
    const shut = refuse(() => failure('CANCELLED'))
    expect(fallback([value(1)], { clock })(() => shut)('A-1', context)).toBe(shut)
  })

  test('a refusal is answered by a call too', async () => {
    const { clock } = bench([])
    const { context } = contextOf({ clock, deadlineMs: 1_000 })
    const layer = fallback([call(async (request: string) => `other ${request}`)], { clock })
    expect(await layer(() => refuse(() => failure('CIRCUIT_OPEN')))('A-1', context)).toBe('other A-1')
    expect(clock.pending).toBe(0)
  })
})

describe('the chain', () => {
  test('the first entry that has an answer wins', async () => {
    const on = bench([value('never', { when: (error) => error.kind === 'timing' }), lastGood(), value('unknown')])
    const before = on.start()
    on.script.last().reject(failure('CONNECTION_REFUSED'))
    expect(await before.result).toBe('unknown')
    await answered(on, 'good')
    const after = on.start()
    on.script.last().reject(failure('CONNECTION_REFUSED'))
    expect(await after.result).toBe('good')
    const late = on.start()
    on.script.last().reject(failure('ATTEMPT_TIMEOUT'))
    expect(await late.result).toBe('never')
  })

  test('a call gets request, context and error; what it throws leads on to the next entry', async () => {
    const error = failure('UNAVAILABLE')
    const failing = vi.fn(() => {
      throw new Error('also down')
    })
    const { script, start } = bench([
      call(failing),
      call(async () => Promise.reject(new Error('down as well'))),
      value('unknown'),
    ])
    const { result, context } = start()
    script.last().reject(error)
    expect(await result).toBe('unknown')
    expect(failing).toHaveBeenCalledExactlyOnceWith('A-1', expect.objectContaining({ service: 'stock' }), error)
    expect(from(context)?.from).toBe('value')
  })

  test('where no entry answers the original error goes out and names what the chain threw', async () => {
    const [one, two] = [new Error('one'), new Error('two')]
    const { script, start } = bench([
      call(() => Promise.reject(one)),
      lastGood(),
      value('x', {
        when: () => {
          throw two
        },
      }),
    ])
    const { result } = start()
    script.last().reject(failure('UNAVAILABLE', { details: { status: 503 } }))
    await expect(result).rejects.toMatchObject({
      code: 'UNAVAILABLE',
      details: { status: 503, fallbackErrors: [one, two] },
    })
  })

  test('where no entry has anything to say the very error goes out', async () => {
    const { script, start } = bench([lastGood()])
    const { result } = start()
    const error = failure('UNAVAILABLE')
    script.last().reject(error)
    await expect(result).rejects.toBe(error)
  })

  test('a good answer passes, whatever it is', async () => {
    const { script, start, clock } = bench([value('unknown'), call(() => 'called')], 1_000)
    const { result, context } = start()
    script.last().resolve(undefined)
    expect(await result).toBe(undefined)
    expect(from(context)).toBeUndefined()
    expect(clock.pending).toBe(0)
  })

  test('an empty chain answers nothing', async () => {
    const { script, start } = bench([])
    const { result } = start()
    script.last().reject(failure('UNAVAILABLE'))
    await expect(result).rejects.toMatchObject({ code: 'UNAVAILABLE' })
  })
})

describe('lastGood', () => {
  async function recalled(on: ReturnType<typeof bench>, request: unknown = 'A-1') {
    const { result, context } = on.start(request)
    on.script.last().reject(failure('CONNECTION_REFUSED'))
    return { result: await state(result), from: from(context) }
  }

  test('says how old it is, by the injected clock, up to maxAgeMs', async () => {
    const on = bench([lastGood({ maxAgeMs: 500 })])
    await answered(on, 'good')
    await on.clock.advance(500)
    expect(await recalled(on)).toMatchObject({
      result: { is: 'answered', with: 'good' },
      from: { from: 'lastGood', ageMs: 500 },
    })
    await on.clock.advance(1)
    expect(await recalled(on)).toMatchObject({ result: { is: 'failed' }, from: undefined })
    expect(describeThing(on.layer)).toMatchObject({ state: { kept: 0 } })
  })

  test('keeps the answer of each request apart, by plain data', async () => {
    const on = bench([lastGood()])
    await answered(on, 'a', ['A', { x: 1, y: 2 }])
    await answered(on, 'b', ['B', { x: 1, y: 2 }])
    expect((await recalled(on, ['A', { y: 2, x: 1 }])).result.with).toBe('a')
    expect((await recalled(on, ['B', { x: 1, y: 2 }])).result.with).toBe('b')
    expect((await recalled(on, ['A', { x: 1, y: 3 }])).result.is).toBe('failed')
  })

  test('what is more than plain data is not kept: two of them could look alike', async () => {
    const on = bench([lastGood()])
    await answered(on, 'a', new Map([['sku', 'A']]))
    expect((await recalled(on, new Map([['sku', 'B']]))).result.is).toBe('failed')
    expect((await recalled(on, new Map([['sku', 'A']]))).result.is).toBe('failed')
  })

  test('goes by its own key; a key that throws costs the memory and not the answer', async () => {
    const on = bench([
      lastGood({
        key: ({ sku }: { sku: string }) => {
          if (sku === '') throw new Error('no sku')
          return sku
        },
      }),
    ])
    await answered(on, 'a', { sku: 'A', at: 1 })
    expect((await recalled(on, { sku: 'A', at: 2 })).result.with).toBe('a')
    await answered(on, 'b', { sku: '' })
    const lost = await recalled(on, { sku: '' })
    expect(lost.result.with).toMatchObject({
      code: 'CONNECTION_REFUSED',
      details: { fallbackErrors: [{ message: 'no sku' }] },
    })
  })

  test('is bounded, and the longest unused goes first', async () => {
    const on = bench([lastGood({ max: 2 })])
    await answered(on, 'a', 'A')
    await answered(on, 'b', 'B')
    await recalled(on, 'A')
    await answered(on, 'c', 'C')
    expect((await recalled(on, 'B')).result.is).toBe('failed')
    expect((await recalled(on, 'A')).result.with).toBe('a')
    expect((await recalled(on, 'C')).result.with).toBe('c')
    expect(describeThing(on.layer)).toMatchObject({ state: { kept: 2 } })
  })

  test('an answer that a cache inside kept is as old as it is there', async () => {
    const on = bench([lastGood()])
    const { result, context } = on.start()
    const { FROM } = await import('../../src/core/answer.ts')
    context.locals.set(FROM, { from: 'cache', ageMs: 300 })
    on.script.last().resolve('kept')
    await result
    expect((await recalled(on)).from?.ageMs).toBe(300)
  })

  test('two layers made of one entry do not share what they kept', async () => {
    const entry = lastGood()
    const [one, other] = [bench([entry]), bench([entry])]
    await answered(one, 'good')
    expect((await recalled(other)).result.is).toBe('failed')
  })

  test('a result that comes after the fallback answered updates it and answers nobody', async () => {
    const on = bench([lastGood(), call(async () => 'elsewhere')], 1_000)
    const slow = on.start()
    await on.clock.advance(800)
    expect(await slow.result).toBe('elsewhere')
    on.script.last().resolve('late')
    await state(slow.result)
    expect(from(slow.context)?.from).toBe('fallback')
    expect((await recalled(on)).result.with).toBe('late')
  })
})

describe('the deadline', () => {
  test('values keep nothing back and set no timer', async () => {
    const { script, start, clock } = bench([lastGood(), value('unknown')], 1_000)
    start()
    expect(script.last().context.deadline.remainingMs()).toBe(1_000)
    expect(clock.pending).toBe(0)
  })

  test('a call has a fifth kept back: the call itself ends at 80 %, and the fallback answers in the rest', async () => {
    const asked: number[] = []
    const { script, start, clock } = bench(
      [
        call(async (_request, context) => {
          asked.push(clock.now() - 1_000, context.deadline.remainingMs())
          return 'elsewhere'
        }),
      ],
      1_000,
    )
    const { result, context } = start()
    const inner = script.last().context
    expect(inner.deadline.remainingMs()).toBe(800)
    await clock.advance(799)
    expect((await state(result)).is).toBe('open')
    await clock.advance(1)
    expect(await result).toBe('elsewhere')
    expect(asked).toEqual([800, 200])
    expect(inner.aborted?.reason).toMatchObject({ code: 'DEADLINE_EXCEEDED' })
    expect(context.aborted).toBeUndefined()
    expect(from(context)).toMatchObject({ from: 'fallback', error: { code: 'DEADLINE_EXCEEDED' } })
    expect(clock.pending).toBe(0)
  })

  test('a fallback that hangs is ended at the deadline, and the next entry answers', async () => {
    let signal: AbortSignal | undefined
    const { script, start, clock } = bench(
      [
        call((_request, context) => {
          signal = context.signal
          return new Promise(() => {})
        }),
        value('unknown'),
      ],
      1_000,
    )
    const { result } = start()
    await clock.advance(100)
    script.last().reject(failure('CONNECTION_LOST'))
    await clock.advance(899)
    expect((await state(result)).is).toBe('open')
    expect(signal?.aborted).toBe(false)
    await clock.advance(1)
    expect(await result).toBe('unknown')
    expect(signal?.aborted).toBe(true)
    expect(clock.pending).toBe(0)
  })

  test('a fallback that hangs and has nothing after it gives the original error at the deadline', async () => {
    const { script, start, clock } = bench([call(() => new Promise(() => {}))], 1_000)
    const { result } = start()
    script.last().reject(failure('CONNECTION_LOST'))
    await clock.advance(1_000)
    expect(await state(result)).toMatchObject({
      is: 'failed',
      with: { code: 'CONNECTION_LOST', details: { fallbackErrors: [{ code: 'DEADLINE_EXCEEDED' }] } },
    })
  })

  test('a fallback that answers too late answers nobody, and breaks nothing', async () => {
    const unhandled = await unhandledDuring(async () => {
      let late: (value: string) => void = () => {}
      const slow = call(() => new Promise<string>((resolve) => (late = resolve)))
      const { script, start, clock, events } = bench([slow, value('unknown')], 1_000)
      const { result, context } = start()
      script.last().reject(failure('CONNECTION_LOST'))
      await clock.advance(1_000)
      late('too late')
      expect(await state(result)).toEqual({ is: 'answered', with: 'unknown' })
      expect(from(context)?.from).toBe('value')
      expect(events.length).toBe(1)
    })
    expect(unhandled).toEqual([])
  })

  test('values answer at the deadline of the layer outside, although what is inside hangs', async () => {
    const clock = fakeClock()
    const handler = compose(
      [deadline({ clock }), fallback([value('unknown')], { clock })],
      () => new Promise<string>(() => {}),
    )
    const { context } = contextOf({ clock, deadlineMs: 300 })
    const result = handler('A-1', context)
    await clock.advance(299)
    expect((await state(result)).is).toBe('open')
    await clock.advance(1)
    expect(await state(result)).toEqual({ is: 'answered', with: 'unknown' })
    expect(from(context)).toMatchObject({ from: 'value', error: { code: 'DEADLINE_EXCEEDED' } })
  })

  test('in the standard order, with an attempt that hangs: values at the deadline, calls at 80 % of it', async () => {
    for (const [chain, at] of [
      [[value('answer')], 300],
      [[call(async () => 'answer')], 240],
    ] as const) {
      const clock = fakeClock()
      const layers = [
        deadline({ clock }),
        fallback(chain, { clock }),
        attemptTimeout({ clock, attemptTimeoutMs: 2_000 }),
      ]
      const { context } = contextOf({ clock, deadlineMs: 300 })
      const result = compose(layers, () => new Promise<string>(() => {}))('A-1', context)
      await clock.advance(at - 1)
      expect((await state(result)).is).toBe('open')
      await clock.advance(1)
      expect(await state(result)).toEqual({ is: 'answered', with: 'answer' })
      expect(clock.pending).toBe(0)
    }
  })

  test('the caller who leaves is not answered, from inside the call and from inside a fallback', async () => {
    const gone = failure('CANCELLED')
    const inside = bench([value('unknown')], 1_000)
    const first = inside.start()
    first.abort(gone)
    await expect(first.result).rejects.toBe(gone)

    let signal: AbortSignal | undefined
    const within = bench(
      [
        call((_request, context) => {
          signal = context.signal
          return new Promise(() => {})
        }),
        value('unknown'),
      ],
      1_000,
    )
    const second = within.start()
    within.script.last().reject(failure('CONNECTION_LOST'))
    await state(second.result)
    second.abort(gone)
    await expect(second.result).rejects.toBe(gone)
    expect(signal?.aborted).toBe(true)
    expect(within.clock.pending).toBe(0)
  })

  test('no function is begun once the deadline has passed', async () => {
    const run = vi.fn()
    const { script, start, clock } = bench([call(run), value('unknown')], 100)
    const { result, abort } = start()
    clock.setTimer(() => abort(failure('DEADLINE_EXCEEDED')), 79, undefined)
    await clock.advance(79)
    expect(await state(result)).toEqual({ is: 'answered', with: 'unknown' })
    script.last().reject(new Error('late'))
    expect(run).not.toHaveBeenCalled()
    expect(clock.pending).toBe(0)
  })

  test('what goes on inside after the answer leaves no unhandled rejection', async () => {
    const unhandled = await unhandledDuring(async () => {
      const { script, start, clock } = bench([call(async () => 'elsewhere')], 1_000)
      const { result } = start()
      await clock.advance(800)
      expect(await result).toBe('elsewhere')
      script.last().reject(new Error('late'))
    })
    expect(unhandled).toEqual([])
  })
})

describe('options', () => {
  test.each([
    ['fallback[0] is null', () => fallback([null as never])],
    ['fallback is', () => fallback('x' as never)],
    ['fallback.clocks', () => fallback([], { clocks: 1 } as never)],
    ['lastGood.maxAgeMs is -1', () => lastGood({ maxAgeMs: -1 })],
    ['lastGood.maxAgeMs is NaN', () => lastGood({ maxAgeMs: Number.NaN })],
    ['lastGood.max is 0', () => lastGood({ max: 0 })],
    ['lastGood.maxAge ', () => lastGood({ maxAge: 1 } as never)],
    ['lastGood.key', () => lastGood({ key: 'sku' as never })],
    ['value.when', () => value(1, { when: true as never })],
    ['call is an object', () => call({} as never)],
  ])('%s', (message, make) => {
    expect(make).toThrow(message)
  })

  test('it says how it is built', () => {
    expect(describeThing(fallback([lastGood({ maxAgeMs: 5 }), value(1)]))).toEqual({
      layer: 'fallback',
      options: { chain: [{ from: 'lastGood', maxAgeMs: 5, max: 1_000 }, { from: 'value' }], reserve: 0 },
      state: { kept: 0 },
    })
    expect(describeThing(fallback([call(() => 1)]))).toMatchObject({ options: { reserve: 0.2 } })
  })
})
