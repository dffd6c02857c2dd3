import { describe, expect, test } from 'vitest'
import type { CallContext } from '../../src/core/context.ts'
import type { Outcome, Resolver } from '../../src/core/contracts/balancer.ts'
import { describe as describeThing } from '../../src/core/describe.ts'
import { type Layer, refuse } from '../../src/core/handler.ts'
import { createError } from '../../src/errors/classes.ts'
import { circuitBreaker } from '../../src/policies/circuit-breaker.ts'
import { type HedgeOptions, hedge } from '../../src/policies/hedge.ts'
import { pick } from '../../src/policies/pick.ts'
import { retry } from '../../src/policies/retry.ts'
import { retryBudget } from '../../src/policies/retry-budget.ts'
import { standard } from '../../src/policies/standard.ts'
import { fakeClock } from '../../src/testing/fake-clock.ts'
import { type Deferred, deferred, outcome, pipelineOf, recorder, thrownBy, watch } from './kit.ts'

/** A peer whose every call waits for the test. */
function peer(): {
  readonly calls: (Deferred<unknown> & { readonly context: CallContext; readonly aborted: unknown[] })[]
  readonly handler: (request: unknown, context: CallContext) => Promise<any>
} {
  const calls: (Deferred<unknown> & { readonly context: CallContext; readonly aborted: unknown[] })[] = []
  return {
    calls,
    handler: (_, context) => {
      const call = { ...deferred(), context, aborted: [] as unknown[] }
      calls.push(call)
      context.onAbort((reason) => {
        call.aborted.push(reason)
        call.reject(reason)
      })
      return call.promise
    },
  }
}

function bench(options: HedgeOptions, layers: readonly Layer[] = [], setting: object = {}) {
  const clock = fakeClock()
  const server = peer()
  const told = recorder()
  const layer = hedge({ clock, onEvent: told.onEvent, ...options })
  const call = pipelineOf([layer, ...layers], server.handler, { clock, ...setting })
  return { clock, told, layer, call, calls: server.calls }
}

const hedged = (resolver: Resolver) => {
  const clock = fakeClock()
  const server = peer()
  const layers = [hedge({ clock, delayMs: 50 }), pick(resolver, { clock })]
  return { clock, call: pipelineOf(layers, server.handler, { clock, resolver }), calls: server.calls }
}

const endpoints = (...ids: readonly string[]): Resolver & { readonly reports: (Outcome & { id: string })[] } => {
  const reports: (Outcome & { id: string })[] = []
  return {
    service: 'stock',
    reports,
    acquire(context) {
      const id = ids.find((each) => !context?.avoid?.has(each)) ?? (ids[0] as string)
      return { endpoint: { id, addresses: [] }, report: (how) => void reports.push({ id, ...how }) }
    },
    untried: (avoid) => ids.filter((id) => !avoid.has(id)).length,
    refresh: () => undefined,
    close: async () => undefined,
  }
}

describe('hedge', () => {
  test('asks again after the delay, answers with whoever is first, and ends the other', async () => {
    const { clock, call, calls, told } = bench({ delayMs: 50 })
    const answer = watch(call())
    await clock.advance(49)
    expect(calls).toHaveLength(1)
    await clock.advance(1)
    expect(calls).toHaveLength(2)
    calls[1]?.resolve('second')
    await clock.advance(0)
    expect(answer.now).toBe('second')
    expect(calls[0]?.aborted).toMatchObject([{ code: 'CANCELLED' }])
    expect(calls[1]?.aborted).toEqual([])
    expect(told.of('hedge')).toMatchObject([{ service: 'stock', operation: 'get', attempt: 1, afterMs: 50 }])
    expect(clock.pending).toBe(0)
  })

  test('leaves no timer, and asks nobody else, where the answer comes in time', async () => {
    const { clock, call, calls } = bench({ delayMs: 50 })
    const answer = watch(call())
    calls[0]?.resolve('first')
    await clock.advance(0)
    expect(answer.now).toBe('first')
    expect(clock.pending).toBe(0)
    await clock.advance(100)
    expect(calls).toHaveLength(1)
    expect(calls[0]?.aborted).toEqual([])
  })

  test('leaves what is not idempotent alone', async () => {
    const { clock, call, calls } = bench({ delayMs: 50 }, [], { idempotent: false })
    void outcome(call())
    await clock.advance(1_000)
    expect(calls).toHaveLength(1)
    expect(clock.pending).toBe(0)
  })

  test('a quick failure is for retry; a late one waits for the hedge', async () => {
    const { clock, call, calls } = bench({ delayMs: 50 })
    const quick = watch(call())
    calls[0]?.reject(createError({ code: 'CONNECTION_LOST' }))
    await clock.advance(60)
    expect([quick.now, calls.length]).toEqual(['CONNECTION_LOST', 1])
    const late = watch(call())
    await clock.advance(60)
    calls[1]?.reject(createError({ code: 'CONNECTION_LOST' }))
    await clock.advance(10)
    expect(late.now).toBe('pending')
    calls[2]?.resolve('well')
    await clock.advance(0)
    expect(late.now).toBe('well')
  })

  test('where all fail, the first error goes out, with what all of them may have done', async () => {
    const { clock, call, calls } = bench({ delayMs: 50 })
    const result = call().catch((error: unknown) => error)
    await clock.advance(50)
    calls[1]?.reject(createError({ code: 'CONNECTION_REFUSED' }))
    await clock.advance(0)
    calls[0]?.reject(createError({ code: 'ATTEMPT_TIMEOUT' }))
    expect(await result).toMatchObject({ code: 'CONNECTION_REFUSED', effect: 'unknown' })
    expect(clock.pending).toBe(0)
  })

  test('a hedge that is refused is as if it had not been', async () => {
    let made = 0
    const second: Layer = (next) => (request, context) =>
      ++made === 2 ? refuse(() => createError({ code: 'OUTSTANDING_LIMIT' })) : next(request, context)
    const { clock, call, calls, told } = bench({ delayMs: 50 }, [second])
    const answer = watch(call())
    await clock.advance(200)
    expect([answer.now, made]).toEqual(['pending', 2])
    expect(told.of('hedge')).toEqual([])
    calls[0]?.reject(createError({ code: 'CONNECTION_LOST' }))
    await clock.advance(0)
    expect(answer.now).toBe('CONNECTION_LOST')
  })

  test('a refusal of the first goes through as it is', async () => {
    const breaker = circuitBreaker({ clock: fakeClock() })
    breaker.forceOpen()
    const { clock, call } = bench({ delayMs: 50 }, [breaker])
    expect(await outcome(call())).toBe('CIRCUIT_ISOLATED')
    expect(clock.pending).toBe(0)
  })

  test('asks so many, each after another delay', async () => {
    const { clock, call, calls } = bench({ delayMs: 50, hedges: 2 })
    void outcome(call())
    await clock.advance(100)
    expect(calls).toHaveLength(3)
    await clock.advance(500)
    expect(calls).toHaveLength(3)
    calls[2]?.resolve(1)
    await clock.advance(0)
    expect(calls.map(({ aborted }) => aborted.length)).toEqual([1, 1, 0])
  })

  test('the caller and the deadline end all of them', async () => {
    const { clock, call, calls } = bench({ delayMs: 50 })
    const leaving = new AbortController()
    const answer = watch(call(undefined, { signal: leaving.signal }))
    await clock.advance(60)
    leaving.abort('enough')
    await clock.advance(0)
    expect(answer.now).toBe('CANCELLED')
    expect(calls.map(({ aborted }) => aborted.length)).toEqual([1, 1])
    expect(clock.pending).toBe(0)
  })

  test('begins nothing when the time is over', async () => {
    const { clock, call, calls } = bench({ delayMs: 50 }, [], { deadlineMs: 50.5 })
    void outcome(call())
    await clock.advance(50.2)
    expect(calls).toHaveLength(1)
  })

  test('goes to an endpoint that was not tried, and nowhere where there is none', async () => {
    for (const [ids, taken] of [
      [
        ['a', 'b'],
        ['a', 'b'],
      ],
      [['a'], ['a']],
    ] as const) {
      const resolver = endpoints(...ids)
      const { clock, call, calls } = hedged(resolver)
      const answer = watch(call())
      await clock.advance(80)
      expect(calls.map(({ context }) => context.endpoint?.id)).toEqual(taken)
      calls.at(-1)?.resolve('there')
      await clock.advance(0)
      expect(answer.now).toBe('there')
      // The one that was too slow has taken at least so long: that is what its balancer hears.
      if (ids.length === 2) expect(resolver.reports).toContainEqual({ id: 'a', kind: 'cancelled', latencyMs: 80 })
    }
  })

  test('keeps to its budget: one in ten, ten in the bank, three a second', async () => {
    const { clock, call, calls } = bench({ delayMs: 50, budget: { ratio: 0.1, banked: 2, floorPerSecond: 0 } })
    for (let n = 0; n < 5; n++) void outcome(call())
    await clock.advance(60)
    expect(calls).toHaveLength(5 + 2)
  })

  test('shares one budget with retry, which feeds it', () => {
    const built = standard('stock', { retry: { budget: { banked: 7 } }, hedge: { delayMs: 5 } })
    const layers = built.layers({})
    const budgets = layers.filter(({ layer }) => layer === 'retry' || layer === 'hedge').map(({ options }) => options)
    expect(budgets).toMatchObject([{ budget: { banked: 7 } }, { budget: { banked: 7 }, delayMs: 5 }])
    expect(layers.map(({ layer }) => layer)).toEqual([
      'telemetry',
      'deadline',
      'retry',
      'hedge',
      'circuit-breaker',
      'attempt-timeout',
      'bulkhead',
    ])
  })

  test('what one of them takes, the other has not', async () => {
    const clock = fakeClock()
    const server = peer()
    const budget = retryBudget({ clock, banked: 1, floorPerSecond: 0, ratio: 0 })
    const call = pipelineOf(
      [retry({ clock, budget, backoffMs: 0 }), hedge({ clock, budget, delayMs: 50 })],
      server.handler,
      {
        clock,
      },
    )
    const answer = watch(call())
    await clock.advance(60)
    expect(server.calls).toHaveLength(2)
    for (const each of server.calls) each.reject(createError({ code: 'CONNECTION_LOST' }))
    await clock.advance(10)
    expect(answer.now).toBe('CONNECTION_LOST')
    expect(server.calls).toHaveLength(2)
  })

  test('learns its delay: nothing for the first 20 answers, then the percentile of the latest', async () => {
    const { clock, call, calls, layer } = bench({ percentile: 0.9, minDelayMs: 5 })
    const take = async (ms: number): Promise<void> => {
      void outcome(call())
      await clock.advance(ms)
      calls.at(-1)?.resolve(1)
      await clock.advance(0)
    }
    for (let n = 1; n < 20; n++) await take(n)
    const state = () => describeThing(layer) as unknown as { state: { delayMs: number | undefined } }
    expect(state().state.delayMs).toBeUndefined()
    await take(20)
    expect(state().state.delayMs).toBe(19)
    const before = calls.length
    void outcome(call())
    await clock.advance(18)
    expect(calls).toHaveLength(before + 1)
    await clock.advance(1)
    expect(calls).toHaveLength(before + 2)
    calls.at(-1)?.resolve(1)
    await clock.advance(0)
    // Only the latest count.
    for (let n = 0; n < 220; n++) await take(1)
    expect(state().state.delayMs).toBe(5)
  })

  test('refuses options that make no sense', () => {
    expect(thrownBy(() => hedge({ delayMs: -1 })).message).toContain('hedge.delayMs')
    expect(thrownBy(() => hedge({ percentile: 1 })).message).toContain('hedge.percentile')
    expect(thrownBy(() => hedge({ percentile: 0.9, delayMs: 5 })).message).toContain('one of them decides')
    expect(thrownBy(() => hedge({ hedges: 0 })).message).toContain('hedge.hedges')
    expect(thrownBy(() => hedge({ after: 5 } as never)).message).toContain('after')
    expect(thrownBy(() => standard('stock', { hedge: true as never })).message).toContain('hedge')
  })

  test('an error that is none of ours is waited for in the same way', async () => {
    const { clock, call, calls } = bench({ delayMs: 50 })
    const answer = watch(call())
    await clock.advance(50)
    calls[0]?.reject(new Error('odd'))
    await clock.advance(0)
    expect(answer.now).toBe('pending')
    calls[1]?.resolve(2)
    await clock.advance(0)
    expect(answer.now).toBe(2)
  })
})
