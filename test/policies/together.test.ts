// What goes wrong only where policies meet: each of these once did.
import { describe, expect, it } from 'vitest'
import { inherited, withInherited } from '../../src/core/async-context.ts'
import type { CallContext } from '../../src/core/context.ts'
import { createError } from '../../src/errors/classes.ts'
import { verdictOf } from '../../src/errors/verdict.ts'
import { fromProblem, toProblem } from '../../src/errors/wire.ts'
import { circuitBreaker } from '../../src/policies/circuit-breaker.ts'
import { deadline } from '../../src/policies/deadline.ts'
import { fallback, lastGood, value } from '../../src/policies/fallback.ts'
import { retry } from '../../src/policies/retry.ts'
import { standard } from '../../src/policies/standard.ts'
import { resilient } from '../../src/rpi/index.ts'
import { fakeClock } from '../../src/testing/fake-clock.ts'
import { deferred, failure, outcome, pipelineOf } from './kit.ts'

const wait = (clock: ReturnType<typeof fakeClock>, ms: number): Promise<void> =>
  new Promise((resolve) => clock.setTimer(resolve, ms, undefined))

describe('a circuit in front of a slow but healthy peer', () => {
  it.each([
    ['without an attempt timeout', { attemptTimeoutMs: false }],
    ['with a breaker made elsewhere', { attemptTimeoutMs: 9_000, circuitBreaker: 'own' }],
  ] as const)('closes again %s', async (_, options) => {
    const clock = fakeClock()
    let well = false
    const breaker = circuitBreaker({ clock, minimumCalls: 2, rampMs: 0 })
    const stock = resilient(
      'stock.get',
      async () => {
        await wait(clock, 3_000)
        if (!well) throw createError({ code: 'SERVER_ERROR' })
      },
      { clock, deadlineMs: 10_000, attemptTimeoutMs: options.attemptTimeoutMs, circuitBreaker: breaker },
    )
    const failing = [stock.result(), stock.result()]
    await clock.advance(3_000)
    await Promise.all(failing)
    expect(breaker.state).toBe('open')
    well = true
    await clock.advance(10_000)
    for (let second = 0; second < 20 && breaker.state !== 'closed'; second++) {
      void stock.result()
      await clock.advance(1_000)
    }
    expect(breaker.state).toBe('closed')
  })
})

describe('an abort that nobody of ours asked for', () => {
  const impatient = async (): Promise<never> => {
    throw new DOMException('This operation was aborted', 'AbortError')
  }

  it('is a timeout of the work: it is answered, tried again, and counts', async () => {
    let calls = 0
    const options = { idempotent: true, retry: { attempts: 3, backoffMs: 0 } }
    const stock = resilient(
      'stock.get',
      () => {
        calls++
        return impatient()
      },
      options,
    )
    expect(await failure(stock())).toMatchObject({ code: 'TIMED_OUT', kind: 'timing', effect: 'unknown' })
    expect(calls).toBe(3)
    expect(await resilient('stock.get', impatient as () => Promise<number>, { fallback: [value(7)] })()).toBe(7)
  })

  it('is the caller’s where the caller did abort', async () => {
    const gone = new AbortController()
    const stock = resilient('stock.get', async ({ signal }) => {
      gone.abort(new Error('left'))
      signal.throwIfAborted()
    })
    expect(await failure(stock.with({ signal: gone.signal })())).toMatchObject({ code: 'CANCELLED' })
  })
})

describe('what earlier attempts may have done', () => {
  it('is not forgotten where retry stands right around a transport that measures', async () => {
    const clock = fakeClock()
    const hung = deferred<number>()
    const transport = (_: unknown, context: CallContext): Promise<number> => {
      context.effect = context.attempt === 1 ? 'unknown' : 'none'
      return context.attempt === 1 ? Promise.reject(createError({ code: 'CONNECTION_LOST' })) : hung.promise
    }
    const call = pipelineOf([deadline({ clock }), retry({ clock, random: () => 0 })], transport, {
      clock,
      deadlineMs: 500,
    })
    const error = failure(call())
    await clock.advance(600)
    expect(await error).toMatchObject({ code: 'DEADLINE_EXCEEDED', effect: 'unknown' })
  })
})

describe('a mistake of the peer', () => {
  const arrived = (code: 'PROGRAMMING_ERROR' | 'INVALID_OPTIONS' | 'CANCELLED' | 'INVALID_INPUT') => {
    const { status, body } = toProblem(createError({ code }))
    return fromProblem(body, status)
  }

  it.each(['PROGRAMMING_ERROR', 'INVALID_OPTIONS', 'CANCELLED'] as const)(
    '%s over the wire counts against it, and is answered',
    async (code) => {
      const error = arrived(code)
      expect(error).toMatchObject({ code, refusedBy: 'peer' })
      expect(verdictOf(error)).toBe('failure')
      const clock = fakeClock()
      const call = pipelineOf([fallback([value('other')], { clock })], () => Promise.reject(error), { clock })
      expect(await outcome(call())).toBe('other')
    },
  )

  it('a mistake of ours that the peer finds does not', () => {
    expect(verdictOf(arrived('INVALID_INPUT'))).toBe('neutral')
    expect(verdictOf(createError({ code: 'PROGRAMMING_ERROR' }))).toBe('neutral')
  })
})

describe('at the deadline', () => {
  it('a stale answer of the cache comes before a fixed value, for all who wait for it', async () => {
    const clock = fakeClock()
    let hang = false
    const options = { clock, deadlineMs: 800, random: () => 0 }
    const key = (): string => 'k'
    const pipeline = standard('stock', options).pipeline(
      {
        fallback: [value('fixed')],
        cache: { key, ttlMs: 10, staleIfErrorMs: 60_000 },
        coalesce: { key },
      },
      async () => (hang ? new Promise<string>(() => {}) : 'from the peer'),
    )
    const call = pipelineOf([], pipeline, { clock, deadlineMs: 800 })
    expect(await call()).toBe('from the peer')
    hang = true
    await clock.advance(100)
    const both = Promise.all([outcome(call()), outcome(call())])
    await clock.advance(900)
    expect(await both).toEqual(['from the peer', 'from the peer'])
    expect(clock.pending).toBe(0)
  })
})

describe('lastGood', () => {
  it('keeps a late answer as young as it is, whatever was answered meanwhile', async () => {
    const clock = fakeClock()
    const late = deferred<string>()
    const answers = [Promise.resolve('old'), late.promise, new Promise<string>(() => {})]
    const layers = [deadline({ clock }), fallback([lastGood({ maxAgeMs: 1_000 })], { clock })]
    const call = pipelineOf(layers, () => answers.shift() as Promise<string>, { clock, deadlineMs: 500 })
    await call()
    await clock.advance(400)
    const second = outcome(call())
    await clock.advance(600)
    expect(await second).toBe('old') // 900 ms old when it stood in
    late.resolve('late')
    await clock.advance(300)
    const third = outcome(call())
    await clock.advance(600)
    expect(await third).toBe('late')
  })
})

describe('a shared rate limit', () => {
  it('has a connection, so it is made and closed by whoever gives it', () => {
    const shared = { client: {}, id: 'stock' } as never
    expect(() => standard('stock', { rateLimit: { limit: 1, perMs: 1, shared } })).toThrow(
      /rateLimit\.shared .*rateLimit\(\)/,
    )
  })
})

describe('what is inherited', () => {
  it('adds up: headers of both, and either signal ends the work', () => {
    const outer = new AbortController()
    const inner = new AbortController()
    withInherited({ headers: { traceparent: 't' }, signal: outer.signal }, () =>
      withInherited({ headers: { baggage: 'b' }, signal: inner.signal }, () => {
        const seen = inherited()
        expect(seen?.headers).toEqual({ traceparent: 't', baggage: 'b' })
        expect(seen?.signal?.aborted).toBe(false)
        outer.abort(new Error('gone'))
        expect(seen?.signal?.reason).toMatchObject({ message: 'gone' })
      }),
    )
  })
})
