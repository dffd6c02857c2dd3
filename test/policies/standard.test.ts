import { describe, expect, test } from 'vitest'
import type { Resolver } from '../../src/core/contracts/balancer.ts'
import { compose, type Handler, isRefusal, type Layer } from '../../src/core/handler.ts'
import { createError } from '../../src/errors/classes.ts'
import { attemptTimeout } from '../../src/policies/attempt-timeout.ts'
import { bulkhead } from '../../src/policies/bulkhead.ts'
import { type CallOptions, startCall } from '../../src/policies/call.ts'
import { circuitBreaker } from '../../src/policies/circuit-breaker.ts'
import { deadline } from '../../src/policies/deadline.ts'
import { lastGood, value } from '../../src/policies/fallback.ts'
import { pick } from '../../src/policies/pick.ts'
import { rateLimit } from '../../src/policies/rate-limit.ts'
import { retry } from '../../src/policies/retry.ts'
import { type OperationPolicies, type Standard, type StandardOptions, standard } from '../../src/policies/standard.ts'
import { telemetry } from '../../src/policies/telemetry.ts'
import { ringWindow } from '../../src/policies/window.ts'
import { type FakeClock, fakeClock } from '../../src/testing/fake-clock.ts'
import {
  contextOf,
  type Deferred,
  deferred,
  fail,
  failure,
  outcome,
  plainAsync,
  recorder,
  thrownBy,
  watch,
} from './kit.ts'

interface Built {
  readonly clock: FakeClock
  readonly built: Standard
  call(request?: unknown, options?: CallOptions): Promise<unknown>
}

function bench(
  options: StandardOptions,
  handler: Handler<any, any>,
  own: OperationPolicies = {},
  idempotent = true,
): Built {
  const clock = fakeClock()
  const built = standard('stock', { clock, random: () => 0.5, ...options })
  const run = built.pipeline<unknown, unknown>(own, handler)
  const template = { service: 'stock', operation: 'get', idempotent, deadlineMs: built.deadlineMs, clock: built.clock }
  return { clock, built, call: (request, callOptions) => startCall(run, template, request, callOptions) }
}

const hang = (): Promise<never> => new Promise(() => undefined)
const resolver: Resolver = {
  service: 'stock',
  acquire: () => ({ endpoint: { id: 'a:1', addresses: [] }, report: () => undefined }),
  untried: () => 0,
  refresh: () => undefined,
  close: async () => undefined,
}

describe('the order', () => {
  test('is the one that is written down, with everything on', () => {
    const built = standard('stock', { retry: {}, rateLimit: { limit: 10, perMs: 1_000 } }, pick(resolver))
    const key = (): string => ''
    expect(
      built.layers({ fallback: [value(1)], cache: { key, ttlMs: 1 }, coalesce: { key } }).map(({ layer }) => layer),
    ).toEqual([
      'telemetry',
      'deadline',
      'fallback',
      'cache',
      'coalesce',
      'retry',
      'rate-limit',
      'circuit-breaker',
      'attempt-timeout',
      'bulkhead',
      'pick',
    ])
  })

  test('as it is used: by default no retry, no fallback, no rate limit', () => {
    expect(
      standard('stock', {})
        .layers({})
        .map(({ layer }) => layer),
    ).toEqual(['telemetry', 'deadline', 'circuit-breaker', 'attempt-timeout', 'bulkhead'])
  })

  test('false switches a policy off; the attempt stays, bounded by the deadline alone', () => {
    const built = standard('stock', {
      circuitBreaker: false,
      maxOutstanding: false,
      attemptTimeoutMs: false,
      deadlineMs: false,
      retry: false,
      rateLimit: false,
    })
    expect(built.layers({})).toEqual([
      { layer: 'telemetry', options: { channel: 'fairlead:event' } },
      { layer: 'deadline', options: { deadlineMs: 'of the call' } },
      { layer: 'attempt-timeout', options: { attemptTimeoutMs: Infinity } },
    ])
    expect([built.deadlineMs, built.circuitBreaker, built.bulkhead]).toEqual([Infinity, undefined, undefined])
  })

  test('a timeout is retried, and each attempt is timed: retry stands outside the attempt timeout', async () => {
    const { clock, call } = bench({ retry: {}, attemptTimeoutMs: 100 }, hang)
    const seen = failure(call())
    await clock.advance(100 + 25 + 100 + 50 + 100)
    expect(await seen).toMatchObject({ code: 'ATTEMPT_TIMEOUT', attempt: 3 })
    expect(clock.pending).toBe(0)
  })

  test('a retry asks the breaker again, and the fallback answers what comes out of all of it', async () => {
    let asked = 0
    const { clock, built, call } = bench(
      { retry: { attempts: 5 }, circuitBreaker: { minimumCalls: 2 } },
      () => {
        asked++
        return fail('SERVER_ERROR')
      },
      { fallback: [value('instead')] },
    )
    const seen = watch(call())
    await clock.runAll()
    expect([seen.now, asked, built.circuitBreaker?.state]).toEqual(['instead', 2, 'open'])
    expect(await call()).toBe('instead')
    expect(asked).toBe(2)
  })
})

describe('the defaults', () => {
  test('are those of the table', () => {
    const built = standard('stock', { retry: {} })
    expect(built.deadlineMs).toBe(5_000)
    expect(Object.fromEntries(built.layers({}).map(({ layer, options }) => [layer, options]))).toMatchObject({
      'attempt-timeout': { attemptTimeoutMs: 2_000 },
      bulkhead: { maxOutstanding: 100 },
      retry: { attempts: 3, backoffMs: 50, maxBackoffMs: 1_000, budget: { ratio: 0.1, banked: 10, floorPerSecond: 3 } },
      'circuit-breaker': {
        name: 'stock',
        errorRate: 0.5,
        minimumCalls: 20,
        windowMs: 10_000,
        openMs: 5_000,
        maxOpenMs: 60_000,
        probes: 3,
        probeTimeoutMs: 2_000,
        rampMs: 5_000,
        window: 'opossumWindow',
      },
    })
  })

  test('a probe has the attempt timeout, unless it has its own', () => {
    const of = (options: StandardOptions): unknown =>
      standard('stock', options)
        .layers({})
        .find(({ layer }) => layer === 'circuit-breaker')?.options['probeTimeoutMs']
    expect(of({ attemptTimeoutMs: 300 })).toBe(300)
    expect(of({ attemptTimeoutMs: 300, circuitBreaker: { probeTimeoutMs: 50 } })).toBe(50)
    expect(of({ attemptTimeoutMs: false })).toBe('that of the call')
  })
})

describe('never more outstanding than the cap', () => {
  test('although timeouts and retries go on: the work holds its slot (M1)', async () => {
    let inFlight = 0
    let most = 0
    const work: Deferred<number>[] = []
    const { clock, built, call } = bench(
      { maxOutstanding: 5, attemptTimeoutMs: 50, retry: {}, circuitBreaker: false },
      () => {
        most = Math.max(most, ++inFlight)
        const one = deferred<number>()
        work.push(one)
        return one.promise.finally(() => inFlight--)
      },
    )
    for (let round = 0; round < 20; round++) {
      void outcome(call())
      await clock.advance(60)
    }
    expect(most).toBe(5)
    expect(built.bulkhead?.abandoned).toBe(5)
    for (const one of work) one.resolve(1)
    await clock.runAll()
    expect([built.bulkhead?.outstanding, built.bulkhead?.abandoned, clock.pending]).toEqual([0, 0, 0])
  })

  test('a refusal of the cap is no failure of the peer (M2)', async () => {
    const { built, call } = bench({ maxOutstanding: 1, circuitBreaker: { minimumCalls: 1 } }, hang)
    void outcome(call())
    for (let at = 0; at < 30; at++) expect(await outcome(call())).toBe('OUTSTANDING_LIMIT')
    expect(built.circuitBreaker?.state).toBe('closed')
  })
})

describe('shared parts', () => {
  test('all pipelines of one standard share breaker, cap and budget', async () => {
    const clock = fakeClock()
    const built = standard('stock', { clock, circuitBreaker: { minimumCalls: 1 } })
    const template = { service: 'stock', operation: 'get', idempotent: true, deadlineMs: 1_000, clock }
    const one = built.pipeline({}, () => fail('SERVER_ERROR'))
    const other = built.pipeline({}, async () => 1)
    await outcome(startCall(one, template, undefined, undefined))
    expect(await outcome(startCall(other, template, undefined, undefined))).toBe('CIRCUIT_OPEN')
  })

  test('operations do not share what they remember, even where they are given one object of options', async () => {
    const clock = fakeClock()
    const built = standard('stock', { clock })
    const template = { service: 'stock', operation: 'get', idempotent: true, deadlineMs: 1_000, clock }
    const own = { fallback: [lastGood()], cache: { key: () => 'k', ttlMs: 1_000 } }
    const one = built.pipeline(own, async () => 'of one')
    const other = built.pipeline(own, async () => 'of the other')
    expect([
      await startCall(one, template, undefined, undefined),
      await startCall(other, template, undefined, undefined),
    ]).toEqual(['of one', 'of the other'])
  })

  test('a breaker, a cap and a rate limit may be given ready made, and are then common to several services', async () => {
    const clock = fakeClock()
    const shared = {
      circuitBreaker: circuitBreaker({ clock, window: ringWindow }),
      maxOutstanding: bulkhead({ maxOutstanding: 3 }),
      rateLimit: rateLimit({ clock, limit: 2, perMs: 1_000 }),
    }
    const [one, other] = [bench({ ...shared, clock }, async () => 1), bench({ ...shared, clock }, async () => 2)]
    expect(one.built.circuitBreaker).toBe(shared.circuitBreaker)
    expect(other.built.bulkhead).toBe(shared.maxOutstanding)
    expect([await one.call(), await other.call(), await outcome(one.call()), await outcome(other.call())]).toEqual([
      1,
      2,
      'RATE_LIMITED',
      'RATE_LIMITED',
    ])
    await shared.rateLimit.close()
  })

  test('a description shows the state of the layers that run', async () => {
    const own = { fallback: [lastGood()] }
    const { built, call } = bench({}, async () => 1, own)
    await call('a')
    await call('b')
    expect(built.layers(own).find(({ layer }) => layer === 'fallback')?.state).toEqual({ kept: 2 })
  })
})

describe('after a call nothing is left, however it ended', () => {
  const cases: readonly [string, StandardOptions, Handler<any, any>, unknown, number][] = [
    ['answered', { retry: {} }, async () => 1, 1, 0],
    ['failed', { retry: {} }, () => fail('NOT_FOUND'), 'NOT_FOUND', 0],
    ['failed after retries', { retry: {} }, () => fail('SERVER_ERROR'), 'SERVER_ERROR', 1_000],
    ['an attempt timed out', {}, hang, 'ATTEMPT_TIMEOUT', 2_000],
    ['the deadline came', { attemptTimeoutMs: false }, hang, 'DEADLINE_EXCEEDED', 5_000],
    [
      'the deadline came between retries',
      { retry: { backoffMs: 600, maxBackoffMs: 600 }, deadlineMs: 500 },
      () => fail('SERVER_ERROR'),
      'SERVER_ERROR',
      500,
    ],
    ['forced open', { circuitBreaker: openBreaker() }, async () => 1, 'CIRCUIT_ISOLATED', 0],
    [
      'thrown at once',
      {},
      () => {
        throw createError({ code: 'PROGRAMMING_ERROR' })
      },
      'PROGRAMMING_ERROR',
      0,
    ],
    [
      'thrown at once, no cap',
      { maxOutstanding: false, circuitBreaker: false },
      () => {
        throw createError({ code: 'SERVER_ERROR' })
      },
      'SERVER_ERROR',
      0,
    ],
  ]

  test.each(cases)('%s', async (_, options, handler, expected, ms) => {
    const { clock, call } = bench(options, handler)
    const seen = watch(call())
    await clock.advance(ms)
    expect(seen.now).toBe(expected)
    expect(clock.pending).toBe(0)
  })

  test('the caller gave up', async () => {
    const { clock, call } = bench({ retry: {} }, hang)
    const controller = new AbortController()
    const seen = watch(call(undefined, { signal: controller.signal }))
    await clock.advance(10)
    controller.abort()
    await clock.advance(0)
    expect([seen.now, clock.pending]).toEqual(['CANCELLED', 0])
  })
})

function openBreaker(): ReturnType<typeof circuitBreaker> {
  const breaker = circuitBreaker({ window: ringWindow })
  breaker.forceOpen()
  return breaker
}

describe("a user's plain async layer", () => {
  // Between any two layers, and around all: every outcome stays what it was.
  const handlers: Readonly<Record<string, Handler<any, any>>> = {
    answers: async () => 1,
    fails: () => fail('SERVER_ERROR'),
    refuses: () => fail('NOT_FOUND'),
    hangs: hang,
  }
  const settings = { attemptTimeoutMs: 50, maxOutstanding: 2 }

  async function outcomes(handler: Handler<any, any>, between: boolean): Promise<unknown[]> {
    const clock = fakeClock()
    const seams = { clock, random: () => 0.5 }
    const ours: Layer[] = [
      telemetry(seams),
      deadline(seams),
      retry({ ...seams, attempts: 2 }),
      circuitBreaker({ ...seams, minimumCalls: 4, window: ringWindow }),
      attemptTimeout({ ...seams, attemptTimeoutMs: settings.attemptTimeoutMs }),
      bulkhead({ ...seams, maxOutstanding: settings.maxOutstanding }),
    ]
    const layers = between ? [plainAsync, ...ours.flatMap((layer) => [layer, plainAsync])] : ours
    const run = compose(layers, handler)
    const template = { service: 'stock', operation: 'get', idempotent: true, deadlineMs: 1_000, clock }
    const seen: unknown[] = []
    for (let at = 0; at < 4; at++) {
      const calls = [1, 2, 3].map(() => failureOrAnswer(startCall(run, template, undefined, undefined)))
      await clock.advance(200)
      seen.push(...(await Promise.all(calls)))
    }
    expect(clock.pending).toBe(0)
    return seen
  }

  async function failureOrAnswer(call: Promise<unknown>): Promise<unknown> {
    return call.catch((error) => [
      error.code,
      error.effect,
      (error.details as { stoppedBy?: unknown } | undefined)?.stoppedBy,
    ])
  }

  test.each(Object.keys(handlers))('changes nothing where the peer %s', async (name) => {
    const handler = handlers[name] as Handler<any, any>
    expect(await outcomes(handler, true)).toEqual(await outcomes(handler, false))
  })

  test('of all outcomes that there are: the sample has answers, failures, timeouts, and refusals by cap and circuit', async () => {
    const all = new Set(
      (await Promise.all(Object.values(handlers).map((handler) => outcomes(handler, true))))
        .flat()
        .map((each) => (Array.isArray(each) ? `${each[0]} ${each[2] ?? ''}`.trim() : each)),
    )
    expect([...all]).toEqual(
      expect.arrayContaining([
        1,
        'NOT_FOUND',
        'ATTEMPT_TIMEOUT OUTSTANDING_LIMIT',
        'OUTSTANDING_LIMIT',
        'CIRCUIT_OPEN',
      ]),
    )
  })
})

test.each([[undefined], [null], ['text'], [0], [{}], [Symbol('x')]])(
  'what is thrown need not be an Error: %s',
  async (thrown) => {
    const heard = recorder()
    const { clock, call } = bench({ retry: { attempts: 2 }, onEvent: heard.onEvent }, () => Promise.reject(thrown))
    const seen = watch(call())
    await clock.runAll()
    expect(seen.now).toBe('CALL_FAILED')
    expect(heard.of('attempt')).toMatchObject([{ error: { code: 'CALL_FAILED' } }, { error: { code: 'CALL_FAILED' } }])
    expect(clock.pending).toBe(0)
  },
)

test('a refusal comes out as a refusal, through all layers, without a promise', () => {
  const clock = fakeClock()
  const built = standard('stock', { clock, retry: {} })
  built.circuitBreaker?.forceOpen()
  const run = built.pipeline({}, async () => 1)
  expect(isRefusal(run(undefined, contextOf(clock)))).toBe(true)
})

test('events tell the whole story of a call', async () => {
  const heard = recorder()
  let failing = 2
  const { clock, call } = bench({ retry: {}, onEvent: heard.onEvent }, () =>
    failing-- > 0 ? fail('SERVER_ERROR') : Promise.resolve(1),
  )
  const seen = watch(call())
  await clock.runAll()
  expect(seen.now).toBe(1)
  expect(heard.events.map(({ type }) => type)).toEqual(['attempt', 'retry', 'attempt', 'retry', 'attempt', 'call'])
})

describe('what makes no sense is refused', () => {
  test.each<[string, unknown]>([
    ['deadlineMs', 0],
    ['deadlineMs', -1],
    ['deadlineMs', NaN],
    ['deadlineMs', Infinity],
    ['attemptTimeoutMs', NaN],
    ['maxOutstanding', 0],
    ['maxOutstanding', Infinity],
    ['circuitBreaker', 5],
    ['circuitBreaker', null],
    ['circuitBreaker', true],
    ['retry', true],
    ['retry', 3],
    ['retry', null],
    ['rateLimit', 100],
    ['clock', Date],
    ['random', 0.5],
    ['onEvent', 'log'],
  ])('%s: %s', (option, given) => {
    expect(thrownBy(() => standard('stock', { [option]: given } as never))).toMatchObject({
      code: 'INVALID_OPTIONS',
      details: { option },
    })
  })

  test('an option of a policy names the policy', () => {
    expect(thrownBy(() => standard('stock', { retry: { attempts: -1 } })).details).toEqual({ option: 'retry.attempts' })
    expect(thrownBy(() => standard('stock', { retry: { budget: { ratio: -1 } } })).details).toEqual({
      option: 'retry.budget.ratio',
    })
    expect(thrownBy(() => standard('stock', { circuitBreaker: { errorRate: 50 } })).message).toContain('50 % is 0.5')
  })

  test('an option that there is not', () => {
    const error = thrownBy(() => standard('stock', { timeoutMs: 5 } as never))
    expect(error.code).toBe('INVALID_OPTIONS')
    expect(error.message).toContain('timeoutMs')
    expect(error.message).toContain('attemptTimeoutMs')
  })
})
