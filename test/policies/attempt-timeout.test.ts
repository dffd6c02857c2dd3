import { describe, expect, test, vi } from 'vitest'
import type { CallContext } from '../../src/core/context.ts'
import { describe as describeThing } from '../../src/core/describe.ts'
import { isRefusal, refuse } from '../../src/core/handler.ts'
import { createError } from '../../src/errors/classes.ts'
import { attemptTimeout } from '../../src/policies/attempt-timeout.ts'
import { fakeClock } from '../../src/testing/fake-clock.ts'
import {
  contextOf,
  deferred,
  fail,
  failure,
  never,
  outcome,
  pipelineOf,
  plainAsync,
  recorder,
  thrownBy,
  watch,
} from './kit.ts'

describe('an attempt', () => {
  test('ends after its own time, to the millisecond (M10)', async () => {
    for (const attemptTimeoutMs of [50, 300, 900, 1_500]) {
      const clock = fakeClock()
      const call = watch(pipelineOf([attemptTimeout({ attemptTimeoutMs, clock })], never, { clock })())
      await clock.advance(attemptTimeoutMs - 1)
      expect(call.now).toBe('pending')
      await clock.advance(1)
      expect(call.now).toBe('ATTEMPT_TIMEOUT')
      expect(clock.pending).toBe(0)
    }
  })

  test('settles by its own bound, whatever the client does with the abort (M9)', async () => {
    const clock = fakeClock()
    const stubborn = vi.fn(never)
    const call = watch(pipelineOf([attemptTimeout({ attemptTimeoutMs: 100, clock })], stubborn, { clock })())
    await clock.advance(100)
    expect(call.now).toBe('ATTEMPT_TIMEOUT')
  })

  test('names service, operation, attempt and endpoint, and knows the effect only where it was measured', async () => {
    const clock = fakeClock()
    const run = pipelineOf(
      [attemptTimeout({ attemptTimeoutMs: 10, clock })],
      (effect: 'none' | 'unknown', context) => {
        context.effect = effect
        context.endpoint = { id: 'a:1', addresses: [] }
        return never()
      },
      { clock, idempotent: false },
    )
    for (const effect of ['none', 'unknown'] as const) {
      const call = failure(run(effect))
      await clock.advance(10)
      expect(await call).toMatchObject({
        code: 'ATTEMPT_TIMEOUT',
        kind: 'timing',
        effect,
        transient: true,
        retryable: effect === 'none',
        service: 'stock',
        operation: 'get',
        attempt: 1,
        endpoint: 'a:1',
      })
    }
  })

  test('that is answered in time leaves no timer', async () => {
    const clock = fakeClock()
    const run = pipelineOf(
      [attemptTimeout({ clock })],
      async (request: boolean) => (request ? 1 : fail('SERVER_ERROR')),
      { clock },
    )
    expect([await outcome(run(true)), await outcome(run(false))]).toEqual([1, 'SERVER_ERROR'])
    expect(clock.pending).toBe(0)
  })

  test('passes a refusal on untouched, and at once', () => {
    const clock = fakeClock()
    const refusal = refuse(() => createError({ code: 'OUTSTANDING_LIMIT' }))
    const result = attemptTimeout({ clock })<undefined, number, CallContext>(() => refusal)(undefined, contextOf(clock))
    expect(result).toBe(refusal)
    expect(isRefusal(result)).toBe(true)
    expect(clock.pending).toBe(0)
  })

  test('stamps errors with which attempt it was and against whom, but not over what they say', async () => {
    const clock = fakeClock()
    const run = pipelineOf(
      [attemptTimeout({ clock })],
      (attempt: number | undefined, context) => {
        context.endpoint = { id: 'a:1', addresses: [] }
        return fail('SERVER_ERROR', { attempt })
      },
      { clock },
    )
    expect(await failure(run())).toMatchObject({ attempt: 1, endpoint: 'a:1' })
    expect(await failure(run(7))).toMatchObject({ attempt: 7, endpoint: 'a:1' })
    const frozen = Object.freeze(createError({ code: 'SERVER_ERROR' }))
    expect(await failure(pipelineOf([attemptTimeout({ clock })], () => Promise.reject(frozen), { clock })())).toBe(
      frozen,
    )
  })
})

describe('a timeout aborts the attempt it belongs to and nothing else (M5)', () => {
  test('neighbours and later calls run on, each on a signal of its own', async () => {
    const clock = fakeClock()
    const signals: AbortSignal[] = []
    const work = [deferred<number>(), deferred<number>(), deferred<number>()]
    const run = pipelineOf(
      [attemptTimeout({ attemptTimeoutMs: 100, clock })],
      (at: number, { signal }) => {
        signals.push(signal)
        return (work[at] as { promise: Promise<number> }).promise
      },
      { clock },
    )
    const slow = outcome(run(0))
    await clock.advance(60)
    const neighbour = outcome(run(1))
    await clock.advance(40)
    expect(await slow).toBe('ATTEMPT_TIMEOUT')
    const later = outcome(run(2))
    expect(signals.map(({ aborted }) => aborted)).toEqual([true, false, false])
    expect((signals[0] as AbortSignal).reason).toMatchObject({ code: 'ATTEMPT_TIMEOUT' })
    work[1]?.resolve(1)
    work[2]?.resolve(2)
    expect(await Promise.all([neighbour, later])).toEqual([1, 2])
    expect(signals[1]?.aborted).toBe(false)
  })

  test('the call itself is not aborted: a retry may follow', async () => {
    const clock = fakeClock()
    const root = contextOf(clock)
    const call = outcome(
      attemptTimeout({ attemptTimeoutMs: 10, clock })<undefined, number, CallContext>(never)(undefined, root),
    )
    await clock.advance(10)
    expect(await call).toBe('ATTEMPT_TIMEOUT')
    expect(root.aborted).toBeUndefined()
  })

  test('an answer does not abort: a body may be read afterwards', async () => {
    const clock = fakeClock()
    let signal: AbortSignal | undefined
    const run = pipelineOf(
      [attemptTimeout({ attemptTimeoutMs: 10, clock })],
      async (_, context) => {
        signal = context.signal
        return 1
      },
      { clock },
    )
    await run()
    await clock.advance(1_000)
    expect(signal?.aborted).toBe(false)
  })
})

describe('what comes late', () => {
  test('answers nobody, and is no unhandled rejection', async () => {
    const clock = fakeClock()
    const rejections = vi.fn()
    process.on('unhandledRejection', rejections)
    const work = [deferred<number>(), deferred<number>()]
    const run = pipelineOf(
      [attemptTimeout({ attemptTimeoutMs: 10, clock })],
      (at: number) => (work[at] as { promise: Promise<number> }).promise,
      { clock },
    )
    const calls = [outcome(run(0)), outcome(run(1))]
    await clock.advance(10)
    work[0]?.resolve(1)
    work[1]?.reject(new Error('late'))
    await clock.advance(0)
    expect(await Promise.all(calls)).toEqual(['ATTEMPT_TIMEOUT', 'ATTEMPT_TIMEOUT'])
    process.off('unhandledRejection', rejections)
    expect(rejections).not.toHaveBeenCalled()
  })

  test('is tracked until it is over', async () => {
    const clock = fakeClock()
    const root = contextOf(clock)
    const work = deferred<number>()
    const call = outcome(
      attemptTimeout({ attemptTimeoutMs: 10, clock })<undefined, number, CallContext>(() => work.promise)(
        undefined,
        root,
      ),
    )
    await clock.advance(10)
    await call
    const over = watch(root.tracked as Promise<unknown>)
    await clock.advance(0)
    expect(over.now).toBe('pending')
    work.reject(new Error('late'))
    await clock.advance(0)
    expect(over.now).toBeUndefined()
  })
})

describe('the deadline', () => {
  test('bounds an attempt where it comes first, and says so', async () => {
    const clock = fakeClock()
    const call = failure(
      pipelineOf([attemptTimeout({ attemptTimeoutMs: 100, clock })], never, { clock, deadlineMs: 40 })(),
    )
    await clock.advance(40)
    expect(await call).toMatchObject({ code: 'DEADLINE_EXCEEDED' })
    expect(clock.pending).toBe(0)
  })

  test('that ends the call from outside settles the attempt with its reason, at once', async () => {
    const clock = fakeClock()
    const root = contextOf(clock)
    const { context, abort } = root.fork({})
    const call = outcome(attemptTimeout({ clock })<undefined, number, CallContext>(never)(undefined, context))
    const reason = createError({ code: 'CANCELLED' })
    abort(reason)
    expect(await call).toBe('CANCELLED')
    expect(clock.pending).toBe(0)
  })
})

describe('events', () => {
  test('tell of each attempt once, when it is over for its caller', async () => {
    const clock = fakeClock()
    const heard = recorder()
    const late = deferred<number>()
    const run = pipelineOf(
      [attemptTimeout({ attemptTimeoutMs: 100, clock, onEvent: heard.onEvent })],
      async (request: string, context) => {
        context.endpoint = { id: 'a:1', addresses: [] }
        if (request === 'hang') return late.promise
        if (request === 'throw') throw new TypeError('x is not a function')
        return 1
      },
      { clock },
    )
    await run('well')
    await outcome(run('throw'))
    const slow = outcome(run('hang'))
    await clock.advance(100)
    await slow
    late.resolve(1)
    await clock.advance(0)
    expect(heard.of('attempt')).toMatchObject([
      { attempt: 1, elapsedMs: 0, endpoint: 'a:1', service: 'stock', operation: 'get' },
      { error: { code: 'PROGRAMMING_ERROR' } },
      { elapsedMs: 100, error: { code: 'ATTEMPT_TIMEOUT' } },
    ])
    expect(heard.of('attempt')[0]).not.toHaveProperty('error')
    expect(heard.of('attempt')).toHaveLength(3)
    expect(heard.of('timeout')).toEqual([
      { type: 'timeout', what: 'attempt', afterMs: 100, service: 'stock', operation: 'get' },
    ])
  })

  test('a timeout by the deadline says after how long', async () => {
    const clock = fakeClock()
    const heard = recorder()
    const call = outcome(
      pipelineOf([attemptTimeout({ attemptTimeoutMs: 100, clock, onEvent: heard.onEvent })], never, {
        clock,
        deadlineMs: 40,
      })(),
    )
    await clock.advance(40)
    await call
    expect(heard.of('timeout')).toMatchObject([{ what: 'deadline', afterMs: 40 }])
  })
})

test('a plain async layer inside makes no difference', async () => {
  const clock = fakeClock()
  const call = watch(
    pipelineOf([plainAsync, attemptTimeout({ attemptTimeoutMs: 10, clock }), plainAsync], never, { clock })(),
  )
  await clock.advance(10)
  expect(call.now).toBe('ATTEMPT_TIMEOUT')
})

test('describes itself', () => {
  expect(describeThing(attemptTimeout())).toEqual({ layer: 'attempt-timeout', options: { attemptTimeoutMs: 2_000 } })
})

test.each([0, -5, NaN, Infinity, '100'])('attemptTimeoutMs: %s is refused', (attemptTimeoutMs) => {
  expect(thrownBy(() => attemptTimeout({ attemptTimeoutMs: attemptTimeoutMs as number }))).toMatchObject({
    code: 'INVALID_OPTIONS',
    details: { option: 'attemptTimeoutMs' },
  })
})
test('an unknown option is refused', () => {
  expect(thrownBy(() => attemptTimeout({ timeoutMs: 3 } as never)).message).toContain('attemptTimeout.timeoutMs')
})
