import { describe, expect, test, vi } from 'vitest'
import type { CallContext } from '../../src/core/context.ts'
import { describe as describeThing } from '../../src/core/describe.ts'
import { isRefusal, type Layer, refuse } from '../../src/core/handler.ts'
import { createError } from '../../src/errors/classes.ts'
import type { Code } from '../../src/errors/codes.ts'
import { attemptTimeout } from '../../src/policies/attempt-timeout.ts'
import { bulkhead } from '../../src/policies/bulkhead.ts'
import { circuitBreaker } from '../../src/policies/circuit-breaker.ts'
import { deadline } from '../../src/policies/deadline.ts'
import { type RetryOptions, retry } from '../../src/policies/retry.ts'
import { retryBudget } from '../../src/policies/retry-budget.ts'
import { type FakeClock, fakeClock } from '../../src/testing/fake-clock.ts'
import { seededRandom } from '../../src/testing/seeded-random.ts'
import {
  contextOf,
  deferred,
  fail,
  failure,
  outcome,
  pipelineOf,
  plainAsync,
  recorder,
  thrownBy,
  watch,
} from './kit.ts'

type Step = unknown | (() => unknown)

/** A peer that does one thing after another; the last for ever. Notes when it was asked. */
function peer(
  clock: FakeClock,
  ...steps: Step[]
): {
  readonly handler: (request: unknown, context: CallContext) => Promise<any>
  readonly at: number[]
  readonly contexts: CallContext[]
} {
  const at: number[] = []
  const contexts: CallContext[] = []
  return {
    at,
    contexts,
    handler: async (_, context) => {
      at.push(clock.now())
      contexts.push(context)
      const step = steps[Math.min(at.length, steps.length) - 1]
      return typeof step === 'function' ? step() : step
    },
  }
}

const lost = (): Promise<never> => fail('CONNECTION_LOST')
const refused = (): Promise<never> => fail('CONNECTION_REFUSED')

/** Runs a call to its end. */
async function ended(clock: FakeClock, call: Promise<unknown>): Promise<unknown> {
  const result = outcome(call)
  await clock.runAll()
  return result
}

describe('what is tried again', () => {
  test.each<[Code, boolean, number]>([
    ['CONNECTION_LOST', true, 3],
    ['CONNECTION_LOST', false, 1],
    ['ATTEMPT_TIMEOUT', false, 1],
    ['SERVER_ERROR', false, 1],
    ['SERVER_ERROR', true, 3],
    ['CONNECTION_REFUSED', false, 3],
    ['STREAM_REFUSED', false, 3],
    ['TOO_MANY_REQUESTS', false, 3],
    ['NOT_FOUND', true, 1],
    ['CERTIFICATE_INVALID', true, 1],
    ['REPLY_INVALID', true, 1],
    ['DECLARED_FAILURE', true, 1],
    ['CANCELLED', true, 1],
    ['INVALID_INPUT', true, 1],
    ['CIRCUIT_OPEN', true, 1],
    ['OUTSTANDING_LIMIT', true, 1],
  ])('%s, idempotent %s: %s attempts', async (code, idempotent, attempts) => {
    const clock = fakeClock()
    const { handler, at } = peer(clock, () => fail(code))
    expect(await ended(clock, pipelineOf([retry({ clock })], handler, { clock, idempotent })())).toBe(code)
    expect(at).toHaveLength(attempts)
    expect(clock.pending).toBe(0)
  })

  test('a lost reply after the request was read is repeated only where that is declared harmless (M13)', async () => {
    const clock = fakeClock()
    const reset = Object.assign(new Error('read ECONNRESET'), { code: 'ECONNRESET', syscall: 'read' })
    for (const [idempotent, attempts] of [
      [false, 1],
      [true, 3],
    ] as const) {
      const { handler, at } = peer(clock, () => Promise.reject(reset))
      expect(await ended(clock, pipelineOf([retry({ clock })], handler, { clock, idempotent })())).toBe(
        'CONNECTION_LOST',
      )
      expect(at).toHaveLength(attempts)
    }
  })

  test('a raw error of a client is classified first: a refused connection is tried again, a mistake of the program is not', async () => {
    const clock = fakeClock()
    const connect = Object.assign(new Error('connect ECONNREFUSED'), { code: 'ECONNREFUSED', syscall: 'connect' })
    const refusing = peer(clock, () => Promise.reject(connect))
    expect(await ended(clock, pipelineOf([retry({ clock })], refusing.handler, { clock, idempotent: false })())).toBe(
      'CONNECTION_REFUSED',
    )
    expect(refusing.at).toHaveLength(3)
    const wrong = peer(clock, () => {
      throw new TypeError('x is not a function')
    })
    expect(await ended(clock, pipelineOf([retry({ clock })], wrong.handler, { clock })())).toBe('PROGRAMMING_ERROR')
    expect(wrong.at).toHaveLength(1)
  })

  test('fetch failures, which are TypeErrors, are tried again like any other', async () => {
    const clock = fakeClock()
    const cause = Object.assign(new Error('connect ECONNREFUSED'), { code: 'ECONNREFUSED', syscall: 'connect' })
    const { handler, at } = peer(clock, () => Promise.reject(new TypeError('fetch failed', { cause })), 1)
    expect(await ended(clock, pipelineOf([retry({ clock })], handler, { clock, idempotent: false })())).toBe(1)
    expect(at).toHaveLength(2)
  })

  test('what a nested call says of itself does not leak upward: this call may have done more', async () => {
    const clock = fakeClock()
    const { handler, at } = peer(clock, () => fail('CONNECTION_REFUSED', { service: 'payment', operation: 'charge' }))
    const call = failure(pipelineOf([retry({ clock })], handler, { clock, idempotent: false })())
    await clock.runAll()
    expect(await call).toMatchObject({ service: 'stock', effect: 'unknown', retryable: false })
    expect(at).toHaveLength(1)
  })

  test('`when` can only forbid', async () => {
    const clock = fakeClock()
    const forbids = peer(clock, lost)
    await ended(clock, pipelineOf([retry({ clock, when: () => false })], forbids.handler, { clock })())
    expect(forbids.at).toHaveLength(1)
    const cannotAllow = peer(clock, lost)
    await ended(
      clock,
      pipelineOf([retry({ clock, when: () => true })], cannotAllow.handler, { clock, idempotent: false })(),
    )
    expect(cannotAllow.at).toHaveLength(1)
    const throws = peer(clock, lost)
    const call = pipelineOf(
      [
        retry({
          clock,
          when: () => {
            throw new Error('mine')
          },
        }),
      ],
      throws.handler,
      { clock },
    )()
    expect(await ended(clock, call)).toBe('CONNECTION_LOST')
  })

  test('a success costs nothing: no attempt more, no timer', async () => {
    const clock = fakeClock()
    const { handler, at, contexts } = peer(clock, 1)
    const context = contextOf(clock)
    expect(await retry({ clock })<unknown, number, CallContext>(handler)(undefined, context)).toBe(1)
    expect([at.length, clock.pending]).toEqual([1, 0])
    expect(contexts[0]).toBe(context)
  })

  test('attempts are numbered, each with a context of its own that shares what was tried', async () => {
    const clock = fakeClock()
    const { handler, contexts } = peer(clock, lost, lost, 1)
    expect(await ended(clock, pipelineOf([retry({ clock })], handler, { clock })())).toBe(1)
    expect(contexts.map(({ attempt }) => attempt)).toEqual([1, 2, 3])
    expect(new Set(contexts).size).toBe(3)
    contexts[0]?.markTried('a:1')
    expect(contexts[2]?.tried.has('a:1')).toBe(true)
  })

  test('one attempt in all is no retry', async () => {
    const clock = fakeClock()
    const { handler, at } = peer(clock, lost)
    await ended(clock, pipelineOf([retry({ clock, attempts: 1 })], handler, { clock })())
    expect(at).toHaveLength(1)
  })
})

describe('the backoff', () => {
  const gaps = async (options: RetryOptions, ...steps: Step[]): Promise<number[]> => {
    const clock = fakeClock()
    const { handler, at } = peer(clock, ...(steps.length === 0 ? [lost] : steps))
    await ended(clock, pipelineOf([retry({ clock, budget: false, ...options })], handler, { clock })())
    return at.slice(1).map((time, index) => time - (at[index] as number))
  }

  test('doubles from 50 ms to 1 s', async () => {
    expect(await gaps({ attempts: 8, random: () => 0.999999 })).toEqual(
      [50, 100, 200, 400, 800, 1_000, 1_000].map((ms) => expect.closeTo(ms, 1)),
    )
  })

  test('has full jitter: from nothing to the whole step', async () => {
    expect(await gaps({ attempts: 3, random: () => 0 })).toEqual([0, 0])
    expect(await gaps({ attempts: 3, random: () => 0.5 })).toEqual([25, 50])
    const drawn: number[] = []
    const random = seededRandom(7)
    for (let call = 0; call < 500; call++) drawn.push(...(await gaps({ attempts: 2, random })))
    expect(Math.min(...drawn)).toBeLessThan(2)
    expect(Math.max(...drawn)).toBeGreaterThan(48)
    expect(drawn.reduce((sum, each) => sum + each, 0) / drawn.length).toBeCloseTo(25, -1)
  })

  test('Retry-After is obeyed: never sooner than the peer asked', async () => {
    expect(
      await gaps(
        { attempts: 3, random: () => 0.5 },
        () => fail('UNAVAILABLE', { retryAfterMs: 2_000 }),
        () => fail('UNAVAILABLE', { retryAfterMs: 10 }),
        1,
      ),
    ).toEqual([2_000, 50])
  })

  test.each([[5_000], [4_999.5], [60_000]])(
    'Retry-After of %s ms that the deadline does not leave: given up at once, not clamped',
    async (retryAfterMs) => {
      const clock = fakeClock()
      const { handler, at } = peer(clock, () => fail('UNAVAILABLE', { retryAfterMs }), 1)
      const call = failure(pipelineOf([retry({ clock })], handler, { clock, deadlineMs: 5_000 })())
      await clock.advance(0)
      expect(await call).toMatchObject({ code: 'UNAVAILABLE', retryAfterMs, details: { stoppedBy: 'DEADLINE' } })
      expect(at).toEqual([0])
      expect(clock.pending).toBe(0)
    },
  )

  test('a Retry-After longer than any timer is given up as well', async () => {
    const clock = fakeClock()
    const { handler, at } = peer(clock, () => fail('UNAVAILABLE', { retryAfterMs: 2 ** 32 }), 1)
    expect(await ended(clock, pipelineOf([retry({ clock })], handler, { clock })())).toBe('UNAVAILABLE')
    expect(at).toHaveLength(1)
  })

  test('none is begun that would outlive the deadline: the error goes out at once', async () => {
    const clock = fakeClock()
    const budget = retryBudget({ clock })
    const { handler, at } = peer(clock, lost)
    const call = watch(
      pipelineOf([deadline({ clock }), retry({ clock, random: () => 0.999, backoffMs: 400, budget })], handler, {
        clock,
        deadlineMs: 1_000,
      })(),
    )
    await clock.advance(400)
    expect(at).toEqual([0, expect.closeTo(400, 0)])
    expect(call.now).toBe('CONNECTION_LOST')
    expect(clock.pending).toBe(0)
    expect(budget.balance).toBeCloseTo(9)
  })

  test('an attempt that has less than a millisecond left is not worth its budget: real timers strike early', async () => {
    const clock = fakeClock()
    const budget = retryBudget({ clock })
    const { handler, at } = peer(clock, async () => {
      await clock.advance(99.5)
      return fail('DEADLINE_EXCEEDED')
    })
    expect(
      await outcome(pipelineOf([retry({ clock, random: () => 0, budget })], handler, { clock, deadlineMs: 100 })()),
    ).toBe('DEADLINE_EXCEEDED')
    expect([at.length, budget.balance]).toEqual([1, 10])
  })

  test('is cut short by an abort, at once (M7)', async () => {
    const clock = fakeClock()
    const controller = new AbortController()
    const { handler, at } = peer(clock, lost)
    const run = pipelineOf([retry({ clock, random: () => 0.999, backoffMs: 500 })], handler, { clock })
    const call = watch(run(undefined, { signal: controller.signal }))
    await clock.advance(100)
    expect([call.now, clock.pending]).toEqual(['pending', 1])
    controller.abort()
    await clock.advance(0)
    expect(call.now).toBe('CANCELLED')
    expect([at.length, clock.pending]).toEqual([1, 0])
    await clock.advance(10_000)
    expect(at).toHaveLength(1)
  })

  test('is cut short by the deadline, and what went wrong before is its cause', async () => {
    const clock = fakeClock()
    const { handler } = peer(clock, lost, () => new Promise(() => undefined))
    const call = failure(
      pipelineOf([deadline({ clock }), retry({ clock, random: () => 0.5 }), attemptTimeout({ clock })], handler, {
        clock,
        deadlineMs: 100,
      })(),
    )
    await clock.advance(100)
    expect(await call).toMatchObject({ code: 'DEADLINE_EXCEEDED' })
    expect(clock.pending).toBe(0)
  })

  test('the deadline during a backoff names the error before as cause', async () => {
    const clock = fakeClock()
    const { handler } = peer(clock, lost)
    const slow: Layer = (next) => (request, context) => next(request, context)
    const outer = contextOf(clock)
    const { context, abort } = outer.fork({})
    const call = failure(
      Promise.resolve(
        retry({ clock, random: () => 0.5 })<unknown, number, CallContext>(slow(handler))(undefined, context),
      ),
    )
    await clock.advance(1)
    abort(createError({ code: 'DEADLINE_EXCEEDED' }))
    expect(await call).toMatchObject({ code: 'DEADLINE_EXCEEDED', cause: { code: 'CONNECTION_LOST' } })
    expect(clock.pending).toBe(0)
  })
})

describe('retries do not pile up', () => {
  test('an attempt that timed out is told to stop before the next begins: never two at once that may go on', async () => {
    const clock = fakeClock()
    const signals: AbortSignal[] = []
    let most = 0
    const run = pipelineOf(
      [retry({ clock }), attemptTimeout({ clock, attemptTimeoutMs: 100 })],
      (_, { signal }) => {
        signals.push(signal)
        most = Math.max(most, signals.filter(({ aborted }) => !aborted).length)
        return new Promise<number>(() => undefined)
      },
      { clock },
    )
    expect(await ended(clock, run())).toBe('ATTEMPT_TIMEOUT')
    expect([signals.length, most, signals.filter(({ aborted }) => aborted).length]).toEqual([3, 1, 3])
  })

  test('the caller who gives up during a later attempt is answered at once, and that attempt is aborted', async () => {
    const clock = fakeClock()
    const controller = new AbortController()
    const { handler, contexts } = peer(clock, lost, () => new Promise(() => undefined))
    const run = pipelineOf(
      [retry({ clock, random: () => 0.5 }), attemptTimeout({ clock, attemptTimeoutMs: 800 })],
      handler,
      { clock },
    )
    const call = watch(run(undefined, { signal: controller.signal }))
    await clock.advance(100)
    expect([contexts.length, call.now]).toEqual([2, 'pending'])
    controller.abort()
    await clock.advance(0)
    expect(call.now).toBe('CANCELLED')
    expect(contexts[1]?.signal.aborted).toBe(true)
    expect([contexts.length, clock.pending]).toEqual([2, 0])
  })
})

describe('where it stops, the last real error goes out', () => {
  test('the budget is spent', async () => {
    const clock = fakeClock()
    const budget = retryBudget({ clock, banked: 1, ratio: 0, floorPerSecond: 0 })
    const { handler, at } = peer(clock, refused, lost)
    const call = failure(pipelineOf([retry({ clock, budget })], handler, { clock })())
    await clock.runAll()
    expect(await call).toMatchObject({ code: 'CONNECTION_LOST', details: { stoppedBy: 'RETRY_BUDGET_EXHAUSTED' } })
    expect(at).toHaveLength(2)
  })

  test.each<[string, readonly Layer[]]>([
    ['refused', []],
    ['refused through a plain async layer', [plainAsync]],
  ])('the circuit opened in between: %s', async (_, between) => {
    const clock = fakeClock()
    const breaker = circuitBreaker({ clock, minimumCalls: 1, random: () => 0.5 })
    const { handler, at } = peer(clock, lost)
    const run = pipelineOf([retry({ clock, random: () => 0.5 }), ...between, breaker], handler, { clock })
    const call = failure(run())
    await clock.runAll()
    expect(await call).toMatchObject({ code: 'CONNECTION_LOST', details: { stoppedBy: 'CIRCUIT_OPEN' } })
    expect(at).toHaveLength(1)
    const direct = failure(run())
    await clock.advance(0)
    expect(await direct).toMatchObject({ code: 'CIRCUIT_OPEN' })
  })

  test('the cap is reached in between', async () => {
    const clock = fakeClock()
    const slots = bulkhead({ maxOutstanding: 1 })
    const other = deferred<number>()
    const { handler } = peer(clock, lost, () => other.promise)
    const run = pipelineOf([retry({ clock, random: () => 0.5 }), slots], handler, { clock })
    const first = failure(run())
    await clock.advance(1)
    const second = run()
    await clock.advance(100)
    expect(await first).toMatchObject({ code: 'CONNECTION_LOST', details: { stoppedBy: 'OUTSTANDING_LIMIT' } })
    other.resolve(1)
    expect(await second).toBe(1)
  })

  test('the details that the error has stay beside the note', async () => {
    const clock = fakeClock()
    const budget = retryBudget({ clock, banked: 0, floorPerSecond: 0 })
    const { handler } = peer(clock, () => fail('UNAVAILABLE', { details: { status: 503 } }))
    const call = failure(pipelineOf([retry({ clock, budget })], handler, { clock })())
    await clock.runAll()
    expect(await call).toMatchObject({ details: { status: 503, stoppedBy: 'RETRY_BUDGET_EXHAUSTED' } })
  })

  test('all attempts are made: the error is that of the last, untouched', async () => {
    const clock = fakeClock()
    const last = createError({ code: 'SERVER_ERROR' })
    const { handler } = peer(clock, lost, lost, () => Promise.reject(last))
    const call = failure(pipelineOf([retry({ clock })], handler, { clock })())
    await clock.runAll()
    expect(await call).toBe(last)
    expect(last.details).toBeUndefined()
  })
})

describe('the effect', () => {
  test('of an earlier attempt is not hidden by a later one that did nothing', async () => {
    const clock = fakeClock()
    const { handler } = peer(clock, () => fail('ATTEMPT_TIMEOUT'), refused)
    const call = failure(pipelineOf([retry({ clock })], handler, { clock })())
    await clock.runAll()
    expect(await call).toMatchObject({ code: 'CONNECTION_REFUSED', effect: 'unknown' })
  })

  test('is none where every attempt is known to have done nothing', async () => {
    const clock = fakeClock()
    const { handler, at } = peer(clock, refused)
    const call = failure(pipelineOf([retry({ clock })], handler, { clock, idempotent: false })())
    await clock.runAll()
    expect(await call).toMatchObject({ code: 'CONNECTION_REFUSED', effect: 'none', retryable: true })
    expect(at).toHaveLength(3)
  })

  test('is not hidden either where the caller is refused after it', async () => {
    const clock = fakeClock()
    let refuseNow = false
    const gate: Layer = (next) => (request, context) =>
      refuseNow ? refuse(() => createError({ code: 'RATE_LIMITED' })) : next(request, context)
    const { handler } = peer(clock, () => {
      refuseNow = true
      return fail('ATTEMPT_TIMEOUT')
    })
    const call = failure(pipelineOf([retry({ clock }), gate], handler, { clock })())
    await clock.runAll()
    expect(await call).toMatchObject({
      code: 'ATTEMPT_TIMEOUT',
      effect: 'unknown',
      details: { stoppedBy: 'RATE_LIMITED' },
    })
  })
})

describe('the budget', () => {
  test('is one for all who share it', async () => {
    const clock = fakeClock()
    const budget = retryBudget({ clock, banked: 2, ratio: 0, floorPerSecond: 0 })
    const [one, other] = [peer(clock, lost), peer(clock, lost)]
    await ended(clock, pipelineOf([retry({ clock, budget })], one.handler, { clock })())
    await ended(clock, pipelineOf([retry({ clock, budget })], other.handler, { clock })())
    expect([one.at.length, other.at.length]).toEqual([3, 1])
  })

  test('is earned by every call that is let out, not by a refused one; a final error takes nothing', async () => {
    const clock = fakeClock()
    const budget = retryBudget({ clock, banked: 5, ratio: 0.5, floorPerSecond: 0 })
    while (budget.withdraw());
    await pipelineOf([retry({ clock, budget })], async () => 1, { clock })()
    await ended(
      clock,
      pipelineOf([retry({ clock, budget })], peer(clock, () => fail('NOT_FOUND')).handler, { clock })(),
    )
    await ended(
      clock,
      pipelineOf(
        [retry({ clock, budget }), () => () => refuse(() => createError({ code: 'CIRCUIT_OPEN' }))],
        async () => 1,
        { clock },
      )(),
    )
    expect(budget.balance).toBeCloseTo(1)
  })

  test('false is none', async () => {
    const clock = fakeClock()
    const { handler, at } = peer(clock, lost)
    await ended(clock, pipelineOf([retry({ clock, budget: false, attempts: 50 })], handler, { clock })())
    expect(at).toHaveLength(50)
  })
})

test('a refusal goes through untouched: no retry, no promise', () => {
  const clock = fakeClock()
  const refusal = refuse(() => createError({ code: 'CIRCUIT_OPEN' }))
  const result = retry({ clock })<undefined, number, CallContext>(() => refusal)(undefined, contextOf(clock))
  expect(result).toBe(refusal)
  expect(isRefusal(result)).toBe(true)
})

test('retries and why they stopped are told of', async () => {
  const clock = fakeClock()
  const heard = recorder()
  const budget = retryBudget({ clock, banked: 1, ratio: 0, floorPerSecond: 0 })
  const { handler } = peer(clock, lost)
  await ended(
    clock,
    pipelineOf([retry({ clock, budget, random: () => 0.5, onEvent: heard.onEvent })], handler, { clock })(),
  )
  expect(heard.events).toMatchObject([
    { type: 'retry', service: 'stock', operation: 'get', attempt: 1, delayMs: 25, error: { code: 'CONNECTION_LOST' } },
    { type: 'retry-stopped', reason: 'RETRY_BUDGET_EXHAUSTED', attempt: 2, error: { code: 'CONNECTION_LOST' } },
  ])
})

test('its own waits are on the clock that it is given, and on no other', async () => {
  const real = vi.spyOn(globalThis, 'setTimeout')
  const clock = fakeClock()
  await ended(clock, pipelineOf([retry({ clock })], peer(clock, lost).handler, { clock })())
  expect(real).not.toHaveBeenCalled()
  real.mockRestore()
})

test('describes itself', () => {
  const { options, state } = describeThing<{ options: unknown; state: unknown }>(retry())
  expect(options).toEqual({
    attempts: 3,
    backoffMs: 50,
    maxBackoffMs: 1_000,
    budget: { ratio: 0.1, banked: 10, floorPerSecond: 3 },
  })
  expect(state).toEqual({ balance: 10 })
  expect(describeThing(retry({ budget: false }))).toMatchObject({ options: { budget: false } })
})

test.each([
  ['attempts', 0],
  ['attempts', NaN],
  ['attempts', Infinity],
  ['backoffMs', -1],
  ['backoffMs', NaN],
  ['backoffMs', Infinity],
  ['maxBackoffMs', -1],
  ['budget', 5],
  ['budget', null],
  ['when', 'always'],
])('%s: %s is refused', (option, given) => {
  expect(thrownBy(() => retry({ [option]: given }))).toMatchObject({
    code: 'INVALID_OPTIONS',
    details: { option: `retry.${option}` },
  })
})
test('an unknown option is refused', () => {
  expect(thrownBy(() => retry({ retries: 3 } as never)).message).toContain('retry.retries')
})
