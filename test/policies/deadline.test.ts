import { describe, expect, test, vi } from 'vitest'
import type { CallContext } from '../../src/core/context.ts'
import { describe as describeThing } from '../../src/core/describe.ts'
import { isRefusal, type Layer, refuse } from '../../src/core/handler.ts'
import { createError } from '../../src/errors/classes.ts'
import { attemptTimeout } from '../../src/policies/attempt-timeout.ts'
import { deadline } from '../../src/policies/deadline.ts'
import { fallback } from '../../src/policies/fallback.ts'
import { call as callInstead, value } from '../../src/policies/fallback-entries.ts'
import { retry } from '../../src/policies/retry.ts'
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

describe('the deadline of a call', () => {
  test('answers the caller when it comes, to the millisecond, whatever goes on inside', async () => {
    const clock = fakeClock()
    const call = failure(pipelineOf([deadline({ clock })], never, { clock, deadlineMs: 250, idempotent: false })())
    const seen = watch(call)
    await clock.advance(249)
    expect(seen.now).toBe('pending')
    await clock.advance(1)
    expect(await call).toMatchObject({
      code: 'DEADLINE_EXCEEDED',
      kind: 'timing',
      effect: 'unknown',
      retryable: false,
      service: 'stock',
      operation: 'get',
      elapsedMs: 250,
    })
    expect(clock.pending).toBe(0)
  })

  test('aborts what is still running', async () => {
    const clock = fakeClock()
    let signal: AbortSignal | undefined
    const call = outcome(
      pipelineOf(
        [deadline({ clock })],
        (_, context) => {
          signal = context.signal
          return never()
        },
        { clock, deadlineMs: 250 },
      )(),
    )
    await clock.advance(250)
    expect(await call).toBe('DEADLINE_EXCEEDED')
    expect(signal?.reason).toMatchObject({ code: 'DEADLINE_EXCEEDED' })
  })

  test('that has passed refuses at once, and nothing is sent', async () => {
    const clock = fakeClock()
    const sent = vi.fn(never)
    const result = deadline({ clock })<undefined, number, CallContext>(sent)(
      undefined,
      contextOf(clock, { deadlineAt: 0 }),
    )
    expect(isRefusal(result)).toBe(true)
    await expect(result).rejects.toMatchObject({ code: 'DEADLINE_SPENT', effect: 'none', kind: 'rejected' })
    expect(sent).not.toHaveBeenCalled()
    expect(clock.pending).toBe(0)
  })

  test('knows from a transport that measures that nothing was done', async () => {
    const clock = fakeClock()
    const call = failure(
      pipelineOf(
        [deadline({ clock }), attemptTimeout({ clock })],
        (_, context) => {
          context.effect = 'none'
          return never()
        },
        { clock, deadlineMs: 100, idempotent: false },
      )(),
    )
    await clock.advance(100)
    expect(await call).toMatchObject({ code: 'DEADLINE_EXCEEDED', effect: 'none' })
  })

  test('leaves no timer behind an answer, a failure or a refusal', async () => {
    const clock = fakeClock()
    const refusing: Layer = () => () => refuse(() => createError({ code: 'RATE_LIMITED' }))
    const run = (layers: readonly Layer[], work: () => Promise<number>): Promise<unknown> =>
      outcome(pipelineOf(layers, work, { clock, deadlineMs: 100 })())
    expect(await run([deadline({ clock })], async () => 1)).toBe(1)
    expect(await run([deadline({ clock })], () => fail('SERVER_ERROR'))).toBe('SERVER_ERROR')
    expect(await run([deadline({ clock }), refusing], async () => 1)).toBe('RATE_LIMITED')
    expect(clock.pending).toBe(0)
  })

  test('where there is none, there is no timer', async () => {
    const clock = fakeClock()
    const work = deferred<number>()
    const call = pipelineOf([deadline({ clock })], () => work.promise, { clock })()
    expect(clock.pending).toBe(0)
    work.resolve(1)
    expect(await call).toBe(1)
  })

  test('errors are stamped with whose they are and how long it took; what they say stays', async () => {
    const clock = fakeClock()
    const work = deferred<number>()
    const call = failure(pipelineOf([deadline({ clock })], () => work.promise, { clock, deadlineMs: 100 })())
    await clock.advance(30)
    work.reject(createError({ code: 'SERVER_ERROR', operation: 'mine' }))
    expect(await call).toMatchObject({ code: 'SERVER_ERROR', service: 'stock', operation: 'mine', elapsedMs: 30 })
  })
})

describe('an answer at the deadline itself', () => {
  const settings = { deadlineMs: 100 }

  test.each([
    ['attempt timeout and deadline strike together', [attemptTimeoutOf(100)]],
    ['the attempt timeout is longer', [attemptTimeoutOf(5_000)]],
    ['only the deadline bounds it', []],
  ] as const)('fallback values answer on a tie: %s', async (_, make) => {
    const clock = fakeClock()
    const layers = [
      deadline({ clock }),
      fallback([value(-1)], { clock }),
      retry({ clock }),
      ...make.map((each) => each(clock)),
    ]
    const call = watch(pipelineOf(layers, never, { clock, ...settings })())
    await clock.advance(99)
    expect(call.now).toBe('pending')
    await clock.advance(1)
    expect(call.now).toBe(-1)
    expect(clock.pending).toBe(0)
  })

  test('fallback functions run in a reserve of a fifth, kept from the deadline', async () => {
    const clock = fakeClock()
    const began: number[] = []
    const chain = [
      callInstead(async () => {
        began.push(clock.now())
        return -1
      }),
    ]
    const call = watch(
      pipelineOf([deadline({ clock }), fallback(chain, { clock }), attemptTimeout({ clock })], never, {
        clock,
        ...settings,
      })(),
    )
    await clock.advance(80)
    expect(call.now).toBe(-1)
    expect(began).toEqual([80])
    expect(clock.pending).toBe(0)
  })

  test('nothing outlives the deadline: a fallback function that hangs is left', async () => {
    const clock = fakeClock()
    const call = watch(
      pipelineOf([deadline({ clock }), fallback([callInstead(never)], { clock })], never, { clock, ...settings })(),
    )
    await clock.advance(100)
    expect(call.now).toBe('DEADLINE_EXCEEDED')
    expect(clock.pending).toBe(0)
  })

  test('an error inside that comes in the same turn does not hide that the time was over', async () => {
    const clock = fakeClock()
    const call = failure(
      pipelineOf(
        [deadline({ clock })],
        (_, context) => new Promise((_, reject) => void context.onAbort((reason) => reject(reason))),
        { clock, ...settings },
      )(),
    )
    await clock.advance(100)
    expect(await call).toMatchObject({ code: 'DEADLINE_EXCEEDED' })
  })
})

function attemptTimeoutOf(attemptTimeoutMs: number): (clock: ReturnType<typeof fakeClock>) => Layer {
  return (clock) => attemptTimeout({ attemptTimeoutMs, clock })
}

describe('the caller who gives up', () => {
  test('is answered at once, although the work goes on', async () => {
    const clock = fakeClock()
    const controller = new AbortController()
    const call = failure(
      pipelineOf([deadline({ clock })], never, { clock, deadlineMs: 100 })(undefined, { signal: controller.signal }),
    )
    await clock.advance(10)
    controller.abort('enough')
    expect(await call).toMatchObject({ code: 'CANCELLED', kind: 'cancelled', cause: 'enough', elapsedMs: 10 })
    expect(clock.pending).toBe(0)
  })

  test('gets no fallback', async () => {
    const clock = fakeClock()
    const controller = new AbortController()
    const call = outcome(
      pipelineOf([deadline({ clock }), fallback([value(-1)], { clock })], never, { clock, deadlineMs: 100 })(
        undefined,
        { signal: controller.signal },
      ),
    )
    controller.abort()
    expect(await call).toBe('CANCELLED')
    expect(clock.pending).toBe(0)
  })
})

describe('a deadline of a part', () => {
  test('is its own, and tightens what is inside only', async () => {
    const clock = fakeClock()
    const seen: number[] = []
    const call = watch(
      pipelineOf(
        [deadline({ deadlineMs: 40, clock })],
        (_, context) => {
          seen.push(context.deadline.at)
          return never()
        },
        { clock, deadlineMs: 100 },
      )(),
    )
    await clock.advance(40)
    expect(call.now).toBe('DEADLINE_EXCEEDED')
    expect(seen).toEqual([40])
  })

  test('never moves the deadline of the call further away', async () => {
    const clock = fakeClock()
    const call = watch(
      pipelineOf([deadline({ clock }), deadline({ deadlineMs: 400, clock })], never, { clock, deadlineMs: 100 })(),
    )
    await clock.advance(100)
    expect(call.now).toBe('DEADLINE_EXCEEDED')
    expect(clock.pending).toBe(0)
  })
})

test('is told of, once', async () => {
  const clock = fakeClock()
  const heard = recorder()
  const call = outcome(
    pipelineOf([deadline({ clock, onEvent: heard.onEvent }), plainAsync], never, { clock, deadlineMs: 100 })(),
  )
  await clock.advance(100)
  await call
  expect(heard.events).toEqual([
    { type: 'timeout', what: 'deadline', afterMs: 100, service: 'stock', operation: 'get' },
  ])
})

test('describes itself', () => {
  expect(describeThing(deadline())).toEqual({ layer: 'deadline', options: { deadlineMs: 'of the call' } })
  expect(describeThing(deadline({ deadlineMs: 5 }))).toEqual({ layer: 'deadline', options: { deadlineMs: 5 } })
})

test.each([0, -1, NaN, Infinity])('deadlineMs: %s is refused', (deadlineMs) => {
  expect(thrownBy(() => deadline({ deadlineMs }))).toMatchObject({
    code: 'INVALID_OPTIONS',
    details: { option: 'deadlineMs' },
  })
})
test('an unknown option is refused', () => {
  expect(thrownBy(() => deadline({ ms: 3 } as never)).message).toContain('deadline.ms')
})
