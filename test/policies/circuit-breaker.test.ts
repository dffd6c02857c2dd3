import { describe, expect, test } from 'vitest'
import type { CallContext } from '../../src/core/context.ts'
import type { Resolver } from '../../src/core/contracts/balancer.ts'
import { describe as describeThing } from '../../src/core/describe.ts'
import { isRefusal, type Layer, refuse } from '../../src/core/handler.ts'
import { createError } from '../../src/errors/classes.ts'
import type { Code } from '../../src/errors/codes.ts'
import { attemptTimeout } from '../../src/policies/attempt-timeout.ts'
import { bulkhead } from '../../src/policies/bulkhead.ts'
import { type CircuitBreakerOptions, circuitBreaker } from '../../src/policies/circuit-breaker.ts'
import { type MakeWindow, opossumWindow, ringWindow } from '../../src/policies/window.ts'
import { type FakeClock, fakeClock } from '../../src/testing/fake-clock.ts'
import { seededRandom } from '../../src/testing/seeded-random.ts'
import {
  contextOf,
  type Deferred,
  deferred,
  fail,
  failure,
  outcome,
  pipelineOf,
  plainAsync,
  recorder,
  thrownBy,
} from './kit.ts'

const OK = async (): Promise<number> => 1
const BAD = (): Promise<never> => fail('SERVER_ERROR')

type Work = () => Promise<unknown>

function bench(
  options: CircuitBreakerOptions = {},
  more: { readonly resolver?: Resolver; readonly inside?: readonly Layer[] } = {},
) {
  const clock = fakeClock()
  const breaker = circuitBreaker({ clock, random: () => 0.5, ...options })
  const asking = (work: Work, context: CallContext): Promise<unknown> => {
    if (more.resolver !== undefined) context.markTried('a:1')
    return work()
  }
  const run = pipelineOf([breaker, ...(more.inside ?? [])], asking, {
    clock,
    ...(more.resolver === undefined ? {} : { resolver: more.resolver }),
  })
  const call = (work: Work): Promise<unknown> => outcome(run(work))
  return {
    clock,
    breaker,
    call,
    async times(count: number, work: Work): Promise<void> {
      for (let at = 0; at < count; at++) await call(work)
    },
    /** A call that stays in flight. */
    flying(): { readonly work: Deferred<unknown>; readonly result: Promise<unknown> } {
      const work = deferred<unknown>()
      return { work, result: call(() => work.promise) }
    },
  }
}

/** Open, with the clock at the moment when it may be tried again. */
async function reopened(
  options: CircuitBreakerOptions = {},
  more: Parameters<typeof bench>[1] = {},
): Promise<ReturnType<typeof bench>> {
  const one = bench({ minimumCalls: 1, ...options }, more)
  await one.call(BAD)
  expect(one.breaker.state).toBe('open')
  await one.clock.advance(options.openMs ?? 5_000)
  return one
}

describe.each<[string, MakeWindow]>([
  ['opossumWindow', opossumWindow],
  ['ringWindow', ringWindow],
])('it opens (%s)', (_, window) => {
  test('at half of at least twenty calls in ten seconds, inclusive', async () => {
    const { breaker, call, times } = bench({ window })
    await times(10, OK)
    await times(9, BAD)
    expect(breaker.state).toBe('closed')
    await call(BAD)
    expect(breaker.state).toBe('open')
    expect(await call(OK)).toBe('CIRCUIT_OPEN')
  })

  test.each([
    [40, 'closed'],
    [50, 'open'],
    [60, 'open'],
  ])('with %s %% of 200 calls at once failing: %s', async (failing, state) => {
    const { breaker, call } = bench({ window })
    const work = Array.from({ length: 200 }, () => deferred<number>())
    const calls = work.map(({ promise }) => call(() => promise))
    // Good ones first, so that the share grows to its end and not beyond.
    for (const { resolve } of work.slice(failing * 2)) resolve(1)
    await Promise.all(calls.slice(failing * 2))
    for (const { reject } of work.slice(0, failing * 2)) reject(createError({ code: 'SERVER_ERROR' }))
    await Promise.all(calls)
    expect(breaker.state).toBe(state)
  })

  test('although many calls are still in flight: they do not dilute the rate', async () => {
    const { breaker, flying, times } = bench({ window })
    for (let at = 0; at < 100; at++) flying()
    await times(20, BAD)
    expect(breaker.state).toBe('open')
  })

  test('not on the first failure, and not below the minimum', async () => {
    const { breaker, times } = bench({ window })
    await times(19, BAD)
    expect(breaker.state).toBe('closed')
  })

  test('by what happened in the window only', async () => {
    const { breaker, clock, times } = bench({ window })
    await times(19, BAD)
    await clock.advance(10_000)
    await times(1, BAD)
    expect(breaker.state).toBe('closed')
  })

  test('also where each failure takes longer than the window: it counts when it fails', async () => {
    const { breaker, clock, flying } = bench({ window })
    const calls = Array.from({ length: 20 }, flying)
    await clock.advance(60_000)
    for (const { work } of calls) work.reject(createError({ code: 'ATTEMPT_TIMEOUT' }))
    await Promise.all(calls.map(({ result }) => result))
    expect(breaker.state).toBe('open')
  })

  test('by slow calls, good and bad', async () => {
    const { breaker, clock, flying, times } = bench({ window, slowCallMs: 500, slowCallRate: 0.5, minimumCalls: 4 })
    await times(2, OK)
    const slow = [flying(), flying()]
    await clock.advance(499)
    slow[0]?.work.resolve(1)
    await slow[0]?.result
    await clock.advance(1)
    slow[1]?.work.resolve(1)
    await slow[1]?.result
    expect(breaker.state).toBe('closed')
    const more = flying()
    await clock.advance(500)
    more.work.resolve(1)
    await more.result
    expect(breaker.state).toBe('closed')
    const last = flying()
    await clock.advance(500)
    last.work.resolve(1)
    await last.result
    expect(breaker.state).toBe('open')
  })

  test('one failure soon after recovery does not open it again', async () => {
    const { breaker, call, clock, times } = bench({ window, rampMs: 0 })
    await times(20, BAD)
    await clock.advance(5_000)
    await times(3, OK)
    expect(breaker.state).toBe('closed')
    await call(BAD)
    expect(breaker.state).toBe('closed')
  })
})

describe('what does not count', () => {
  test.each<Code>([
    'CIRCUIT_OPEN',
    'OUTSTANDING_LIMIT',
    'RATE_LIMITED',
    'DEADLINE_SPENT',
    'SHUTDOWN',
    'SELF_EXHAUSTED',
    'CANCELLED',
    'INVALID_INPUT',
    'TOO_MANY_REQUESTS',
    'NO_ENDPOINT',
  ])('is %s: neither for nor against', async (code) => {
    const { breaker, times } = bench({ minimumCalls: 2 })
    await times(100, () => fail(code))
    expect(breaker.state).toBe('closed')
    await times(1, BAD)
    expect(breaker.state).toBe('closed')
    await times(1, BAD)
    expect(breaker.state).toBe('open')
  })

  test.each<Code>(['DECLARED_FAILURE', 'NOT_FOUND', 'UNPROCESSABLE', 'CONFLICT'])(
    '%s is an answer: it counts for the peer',
    async (code) => {
      const { breaker, times } = bench({ minimumCalls: 2 })
      await times(10, () => fail(code))
      await times(9, BAD)
      expect(breaker.state).toBe('closed')
      await times(1, BAD)
      expect(breaker.state).toBe('open')
    },
  )

  test('refusals of the cap inside do not open it, as returned and through a plain async layer (M2)', async () => {
    for (const inside of [[bulkhead({ maxOutstanding: 2 })], [plainAsync, bulkhead({ maxOutstanding: 2 })]]) {
      const { breaker, flying, call } = bench({ minimumCalls: 1 }, { inside })
      const healthy = [flying(), flying()]
      for (let at = 0; at < 6; at++) expect(await call(OK)).toBe('OUTSTANDING_LIMIT')
      expect(breaker.state).toBe('closed')
      for (const { work, result } of healthy) {
        work.resolve(1)
        expect(await result).toBe(1)
      }
    }
  })

  test("the caller's own cancellation does not open it", async () => {
    const clock = fakeClock()
    const breaker = circuitBreaker({ clock, minimumCalls: 1 })
    const run = pipelineOf([breaker, attemptTimeout({ clock })], () => new Promise<number>(() => undefined), { clock })
    for (let at = 0; at < 30; at++) {
      const controller = new AbortController()
      const call = outcome(run(undefined, { signal: controller.signal }))
      controller.abort()
      expect(await call).toBe('CANCELLED')
    }
    expect(breaker.state).toBe('closed')
  })

  test('an error that is not ours is classified: a refused connection counts, an abort does not', async () => {
    const { breaker, times } = bench({ minimumCalls: 1 })
    await times(3, () => Promise.reject(new DOMException('aborted', 'AbortError')))
    expect(breaker.state).toBe('closed')
    await times(1, () => Promise.reject(Object.assign(new Error(), { code: 'ECONNREFUSED', syscall: 'connect' })))
    expect(breaker.state).toBe('open')
  })
})

describe('behind a resolver', () => {
  const resolverWith = (untried: number): Resolver => ({
    service: 'stock',
    untried: () => untried,
    acquire: () => {
      throw new Error('not asked')
    },
    refresh: () => undefined,
    close: async () => undefined,
  })

  test('while an untried endpoint remains, a failure says nothing of the service: one dead instance of two does not trip it', async () => {
    const { breaker, times } = bench({ minimumCalls: 1 }, { resolver: resolverWith(1) })
    await times(100, BAD)
    expect(breaker.state).toBe('closed')
  })

  test('where all were tried, it counts', async () => {
    const { breaker, times } = bench({ minimumCalls: 2 }, { resolver: resolverWith(0) })
    await times(2, BAD)
    expect(breaker.state).toBe('open')
  })

  test('is asked with what this call has tried', async () => {
    const clock = fakeClock()
    const asked: string[][] = []
    const resolver: Resolver = { ...resolverWith(0), untried: (avoid) => asked.push([...avoid]) && 1 }
    const run = pipelineOf(
      [circuitBreaker({ clock }), attemptTimeout({ clock })],
      (_, context) => {
        context.markTried('a:1')
        return BAD()
      },
      { clock, resolver },
    )
    await outcome(run())
    expect(asked).toEqual([['a:1']])
  })

  test('until somebody was asked, a failure says nothing of the service; what a part of the call has tried counts', async () => {
    for (const [ask, state] of [
      [() => undefined, 'closed'],
      [(context: CallContext) => context.fork({ ownTried: true }).context.markTried('a:1'), 'open'],
    ] as const) {
      const clock = fakeClock()
      const breaker = circuitBreaker({ clock, minimumCalls: 2 })
      const failing = (_: unknown, context: CallContext): Promise<never> => {
        ask(context)
        return BAD()
      }
      const run = pipelineOf([breaker], failing, { clock, resolver: resolverWith(0) })
      for (let call = 0; call < 5; call++) await outcome(run())
      expect(breaker.state).toBe(state)
    }
  })

  test('a neutral probe gives its place back', async () => {
    const { breaker, call } = await reopened({ probes: 1 }, {})
    const neutral = await reopened({ probes: 1 }, { resolver: { ...resolverWith(0), untried: () => untried } })
    untried = 1
    expect(await neutral.call(BAD)).toBe('SERVER_ERROR')
    expect(neutral.breaker.state).toBe('half-open')
    await neutral.call(OK)
    expect(neutral.breaker.state).toBe('closed')
    await call(OK)
    expect(breaker.state).toBe('closed')
  })
  let untried = 0
})

describe('open', () => {
  test('refuses at once, without asking anyone, and says when to come again', async () => {
    const { clock } = bench()
    const breaker = circuitBreaker({ clock, minimumCalls: 1, random: () => 0.5 })
    let asked = 0
    const run = breaker<Work, unknown, CallContext>((work) => {
      asked++
      return work()
    })
    await outcome(run(BAD, contextOf(clock)))
    await clock.advance(1_000)
    const refused = run(OK, contextOf(clock))
    expect(isRefusal(refused)).toBe(true)
    await expect(refused).rejects.toMatchObject({
      code: 'CIRCUIT_OPEN',
      effect: 'none',
      retryAfterMs: 4_000,
      service: 'stock',
      operation: 'get',
    })
    expect(asked).toBe(1)
    expect(clock.pending).toBe(0)
  })

  test('for 5 s, doubling with each trip in a row up to 60 s', async () => {
    const { breaker, call, clock } = bench({ minimumCalls: 1, probes: 1 })
    await call(BAD)
    const seen: number[] = []
    for (let trip = 0; trip < 6; trip++) {
      const error = await failure(pipelineOf([breaker], OK, { clock })())
      seen.push(error.retryAfterMs as number)
      await clock.advance(error.retryAfterMs as number)
      expect(await call(BAD)).toBe('SERVER_ERROR')
      expect(breaker.state).toBe('open')
    }
    expect(seen).toEqual([5_000, 10_000, 20_000, 40_000, 60_000, 60_000])
    await clock.advance(60_000)
    await call(OK)
    await clock.advance(5_000)
    await call(BAD)
    expect((await failure(pipelineOf([breaker], OK, { clock })())).retryAfterMs).toBe(5_000)
  })

  test('jittered by a quarter both ways: a fleet does not come back at one instant', async () => {
    const random = seededRandom(3)
    const times: number[] = []
    for (let at = 0; at < 200; at++) {
      const { breaker, call, clock } = bench({ minimumCalls: 1, random })
      await call(BAD)
      times.push((await failure(pipelineOf([breaker], OK, { clock })())).retryAfterMs as number)
    }
    expect(Math.min(...times)).toBeGreaterThanOrEqual(3_750)
    expect(Math.max(...times)).toBeLessThanOrEqual(6_250)
    expect(Math.min(...times)).toBeLessThan(3_850)
    expect(Math.max(...times)).toBeGreaterThan(6_150)
  })
})

describe('half-open', () => {
  test('lets out its probes and refuses everyone else at once (M6)', async () => {
    const { breaker, call, clock, flying } = await reopened()
    const probes = [flying(), flying(), flying()]
    expect(breaker.state).toBe('half-open')
    const others = await Promise.all(Array.from({ length: 50 }, () => call(OK)))
    expect(others).toEqual(Array(50).fill('CIRCUIT_OPEN'))
    expect(clock.now()).toBe(5_000)
    for (const { work } of probes) work.resolve(1)
    expect(await Promise.all(probes.map(({ result }) => result))).toEqual([1, 1, 1])
    expect(breaker.state).toBe('closed')
  })

  test('all probes have to go well, and no more than those are let through before it decides', async () => {
    const { breaker, call, flying } = await reopened({ probes: 3, rampMs: 0 })
    const hanging = flying()
    expect([await call(OK), await call(OK)]).toEqual([1, 1])
    expect(await call(OK)).toBe('CIRCUIT_OPEN')
    expect(breaker.state).toBe('half-open')
    hanging.work.resolve(1)
    await hanging.result
    expect(breaker.state).toBe('closed')
  })

  test('one failed probe opens it again', async () => {
    const { breaker, call, clock } = await reopened()
    await call(OK)
    await call(BAD)
    expect(breaker.state).toBe('open')
    await clock.advance(9_999)
    expect(await call(OK)).toBe('CIRCUIT_OPEN')
    await clock.advance(1)
    expect(await call(OK)).toBe(1)
  })

  test('a slow probe opens it again', async () => {
    const { breaker, clock, flying } = await reopened({ slowCallMs: 100 })
    const probe = flying()
    await clock.advance(100)
    probe.work.resolve(1)
    await probe.result
    expect(breaker.state).toBe('open')
  })

  test('a probe that never comes back counts as failed after its time, and it is tried again later (M3)', async () => {
    const { breaker, call, clock, flying } = await reopened({ probes: 1, probeTimeoutMs: 2_000 })
    const hung = flying()
    await clock.advance(1_999)
    expect(await call(OK)).toBe('CIRCUIT_OPEN')
    expect(breaker.state).toBe('half-open')
    await clock.advance(1)
    expect(await call(OK)).toBe('CIRCUIT_OPEN')
    expect(breaker.state).toBe('open')
    await clock.advance(10_000)
    expect(await call(OK)).toBe(1)
    expect(breaker.state).toBe('closed')
    hung.work.reject(createError({ code: 'SERVER_ERROR' }))
    await hung.result
    expect(breaker.state).toBe('closed')
  })

  test('a refused or cancelled probe gives its place back: it does not stick', async () => {
    for (const neutral of [() => fail('CANCELLED'), () => fail('OUTSTANDING_LIMIT')] as Work[]) {
      const { breaker, call, times } = await reopened({ probes: 2 })
      await times(10, neutral)
      expect(breaker.state).toBe('half-open')
      expect([await call(OK), await call(OK)]).toEqual([1, 1])
      expect(breaker.state).toBe('closed')
    }
    const refusing = await reopened(
      { probes: 1 },
      {
        inside: [
          (next) => (request, context) =>
            gate ? refuse(() => createError({ code: 'OUTSTANDING_LIMIT' })) : next(request, context),
        ],
      },
    )
    gate = true
    for (let at = 0; at < 5; at++) expect(await refusing.call(OK)).toBe('OUTSTANDING_LIMIT')
    gate = false
    expect(await refusing.call(OK)).toBe(1)
  })
  let gate = false

  test('something thrown at once by a probe counts', async () => {
    const clock = fakeClock()
    const breaker = circuitBreaker({ clock, minimumCalls: 1, random: () => 0.5 })
    const run = breaker<undefined, number, CallContext>(() => {
      throw createError({ code: 'SERVER_ERROR' })
    })
    expect(() => run(undefined, contextOf(clock))).toThrow()
    expect(breaker.state).toBe('open')
  })
})

describe('late results of calls begun before the last change of state decide nothing (M4)', () => {
  test('an old success does not close it, an old failure does not open it again', async () => {
    const { breaker, call, clock, flying } = bench({ minimumCalls: 1, probes: 1, rampMs: 0 })
    const [good, bad, late] = [flying(), flying(), flying()]
    await call(BAD)
    expect(breaker.state).toBe('open')
    good.work.resolve(1)
    expect(await good.result).toBe(1)
    expect(breaker.state).toBe('open')
    await clock.advance(5_000)
    const probe = flying()
    expect(breaker.state).toBe('half-open')
    late.work.resolve(1)
    await late.result
    expect(breaker.state).toBe('half-open')
    bad.work.reject(createError({ code: 'SERVER_ERROR' }))
    await bad.result
    expect(breaker.state).toBe('half-open')
    probe.work.resolve(1)
    await probe.result
    expect(breaker.state).toBe('closed')
  })

  test('old failures do not count in the window after recovery', async () => {
    const { breaker, call, clock, flying } = bench({ minimumCalls: 2, probes: 1, rampMs: 0 })
    const old = Array.from({ length: 10 }, flying)
    await call(BAD)
    await call(BAD)
    await clock.advance(5_000)
    await call(OK)
    for (const { work } of old) work.reject(createError({ code: 'SERVER_ERROR' }))
    await Promise.all(old.map(({ result }) => result))
    expect(breaker.state).toBe('closed')
  })

  test('an old neutral result does not give a place to another probe', async () => {
    const { breaker, call, clock, flying } = bench({ minimumCalls: 1, probes: 1 })
    const old = flying()
    await call(BAD)
    await clock.advance(5_000)
    flying()
    old.work.reject(createError({ code: 'CANCELLED' }))
    await old.result
    expect(await call(OK)).toBe('CIRCUIT_OPEN')
    expect(breaker.state).toBe('half-open')
  })
})

describe('after closing', () => {
  const share = async (clock: FakeClock, call: (work: Work) => Promise<unknown>, ms: number): Promise<number> => {
    let let_in = 0
    for (let at = 0; at < ms; at++) {
      if ((await call(OK)) === 1) let_in++
      await clock.advance(1)
    }
    return let_in / ms
  }

  test('calls are let in gradually, from a tenth on', async () => {
    const { breaker, call, clock, times } = await reopened({ rampMs: 2_000 })
    await times(3, OK)
    expect(breaker.state).toBe('closed')
    expect(await share(clock, call, 200)).toBeCloseTo(0.1, 1)
    expect(await share(clock, call, 800)).toBeCloseTo(0.3, 1)
    expect(await share(clock, call, 1_000)).toBeCloseTo(0.75, 1)
    expect(await share(clock, call, 100)).toBe(1)
  })

  test('a refusal then says that it has just closed', async () => {
    const { breaker, clock, times } = await reopened()
    await times(3, OK)
    const error = await failure(pipelineOf([breaker], OK, { clock })())
    expect(error).toMatchObject({ code: 'CIRCUIT_OPEN' })
    expect(error.message).toContain('gradually')
  })

  test('rampMs: 0 lets all in at once', async () => {
    const { breaker, call, times } = await reopened({ rampMs: 0 })
    await times(3, OK)
    expect(breaker.state).toBe('closed')
    for (let at = 0; at < 20; at++) expect(await call(OK)).toBe(1)
  })

  test('it goes on measuring during the ramp', async () => {
    const { breaker, clock, times } = await reopened({ rampMs: 5_000 })
    await times(3, OK)
    await clock.advance(2_500)
    await times(20, BAD)
    expect(breaker.state).toBe('open')
  })
})

describe('by hand', () => {
  test('forced open it refuses, without a promise of when, until it is closed by hand', async () => {
    const { breaker, call, clock } = bench()
    breaker.forceOpen()
    expect(breaker.state).toBe('isolated')
    const error = await failure(pipelineOf([breaker], OK, { clock })())
    expect(error).toMatchObject({ code: 'CIRCUIT_ISOLATED', transient: false, retryAfterMs: undefined })
    await clock.advance(1e9)
    expect(await call(OK)).toBe('CIRCUIT_ISOLATED')
    breaker.forceClose()
    expect(await call(OK)).toBe(1)
  })

  test.each(['forceClose', 'reset'] as const)(
    '%s closes it now, with an empty window and no ramp, from any state',
    async (lever) => {
      for (const prepare of [
        async () => bench({ minimumCalls: 2 }),
        () => reopened(),
        async () => {
          const one = await reopened()
          one.flying()
          expect(one.breaker.state).toBe('half-open')
          return one
        },
      ]) {
        const { breaker, call } = await prepare()
        breaker[lever]()
        expect(breaker.state).toBe('closed')
        for (let at = 0; at < 20; at++) expect(await call(OK)).toBe(1)
      }
      const { breaker, call } = bench({ minimumCalls: 2 })
      await call(BAD)
      breaker[lever]()
      await call(BAD)
      expect(breaker.state).toBe('closed')
      await call(BAD)
      expect(breaker.state).toBe('open')
    },
  )

  test('reset forgets earlier trips, forceClose does not', async () => {
    for (const [lever, ms] of [
      ['reset', 5_000],
      ['forceClose', 10_000],
    ] as const) {
      const { breaker, call, clock } = bench({ minimumCalls: 1 })
      await call(BAD)
      breaker[lever]()
      await call(BAD)
      expect((await failure(pipelineOf([breaker], OK, { clock })())).retryAfterMs).toBe(ms)
    }
  })

  test('results of before do not count afterwards', async () => {
    const { breaker, flying } = bench({ minimumCalls: 1 })
    const old = flying()
    breaker.reset()
    old.work.reject(createError({ code: 'SERVER_ERROR' }))
    await old.result
    expect(breaker.state).toBe('closed')
  })
})

test('tells of each change, with the reason and for how long', async () => {
  const heard = recorder()
  const { call, clock, times } = bench({ name: 'stock', minimumCalls: 1, probes: 1, onEvent: heard.onEvent })
  await call(BAD)
  await clock.advance(5_000)
  await times(1, OK)
  expect(heard.events).toEqual([
    {
      type: 'circuit',
      name: 'stock',
      was: 'closed',
      state: 'open',
      reason: 'the error rate was reached',
      openMs: 5_000,
    },
    { type: 'circuit', name: 'stock', was: 'open', state: 'half-open', reason: 'time to try again' },
    { type: 'circuit', name: 'stock', was: 'half-open', state: 'closed', reason: 'the probes went well' },
  ])
})

test('the caller who sees the failure that opens it finds it open already', async () => {
  const clock = fakeClock()
  const breaker = circuitBreaker({ clock, minimumCalls: 1 })
  const run = pipelineOf([breaker], BAD, { clock })
  const seen = await run().catch(() => breaker.state)
  expect(seen).toBe('open')
})

test('is shared by the pipelines that it is given to', async () => {
  const clock = fakeClock()
  const breaker = circuitBreaker({ clock, minimumCalls: 1 })
  await outcome(pipelineOf([breaker], BAD, { clock })())
  expect(await outcome(pipelineOf([breaker], OK, { clock })())).toBe('CIRCUIT_OPEN')
})

test('describes itself with the figures that decide (M8)', async () => {
  const { breaker, call } = bench({ minimumCalls: 1 })
  await call(BAD)
  expect(describeThing(breaker)).toEqual({
    layer: 'circuit-breaker',
    options: {
      name: 'circuit',
      errorRate: 0.5,
      minimumCalls: 1,
      windowMs: 10_000,
      slowCallMs: Infinity,
      slowCallRate: 1,
      openMs: 5_000,
      maxOpenMs: 60_000,
      probes: 3,
      probeTimeoutMs: 'that of the call',
      rampMs: 5_000,
      window: 'opossumWindow',
    },
    state: { state: 'open', trips: 1 },
  })
  expect(describeThing(circuitBreaker())).toMatchObject({ options: { minimumCalls: 20 } })
})

test.each([
  ['errorRate', 0],
  ['errorRate', 50],
  ['errorRate', NaN],
  ['minimumCalls', 0],
  ['windowMs', -1],
  ['slowCallMs', NaN],
  ['slowCallRate', 0.5],
  ['openMs', Infinity],
  ['openMs', 0],
  ['maxOpenMs', 10],
  ['probes', 1.5],
  ['probeTimeoutMs', -1],
  ['rampMs', -1],
  ['window', 'ring'],
  ['name', 5],
])('%s: %s is refused', (option, given) => {
  expect(thrownBy(() => circuitBreaker({ [option]: given }))).toMatchObject({
    code: 'INVALID_OPTIONS',
    details: { option: `circuitBreaker.${option}` },
  })
})
test('an unknown option is refused', () => {
  expect(thrownBy(() => circuitBreaker({ timeout: 3 } as never)).message).toContain('circuitBreaker.timeout')
})
