import { describe, expect, it, vi } from 'vitest'
import { systemClock } from '../../src/core/clock.ts'
import { type AbortableContext, type CallContext, createContext } from '../../src/core/context.ts'
import type { Lease, Outcome, Resolver } from '../../src/core/contracts/balancer.ts'
import { deadlineAt } from '../../src/core/deadline.ts'
import { type Handler, isRefusal, refuse } from '../../src/core/handler.ts'
import { createError } from '../../src/errors/classes.ts'
import type { Code, Effect } from '../../src/errors/codes.ts'
import { attemptTimeout } from '../../src/policies/attempt-timeout.ts'
import { circuitBreaker } from '../../src/policies/circuit-breaker.ts'
import { pick } from '../../src/policies/pick.ts'
import { fakeClock } from '../../src/testing/fake-clock.ts'
import { deferred, failure, outcome, pipelineOf } from './kit.ts'

interface TestResolver extends Resolver {
  readonly reports: (Outcome & { readonly id: string })[]
  readonly taken: string[]
}

/** Gives the first endpoint that was not tried; the last one again when all were. */
function resolverOf(...ids: readonly string[]): TestResolver {
  const reports: (Outcome & { readonly id: string })[] = []
  const taken: string[] = []
  return {
    service: 'stock',
    reports,
    taken,
    acquire(context) {
      const id = ids.find((each) => !context?.avoid?.has(each)) ?? ids.at(-1)
      if (id === undefined) throw createError({ code: 'NO_ENDPOINT' })
      taken.push(id)
      return {
        endpoint: { id, addresses: [{ host: 'h', port: 1 }] },
        report: (outcome) => void reports.push({ id, ...outcome }),
      }
    },
    untried: (avoid) => ids.filter((id) => !avoid.has(id)).length,
    refresh() {},
    async close() {},
  }
}

const start = (): AbortableContext =>
  createContext({ service: 'stock', operation: 'get', deadline: deadlineAt(Infinity, systemClock), idempotent: false })

const run = (
  resolver: Resolver,
  handler: Handler<unknown, unknown>,
  context: CallContext = start().context,
): Promise<unknown> => Promise.resolve(pick(resolver)(handler)(undefined, context))

const failing = (code: Code, effect?: Effect, retryAfterMs?: number) => async (): Promise<never> => {
  throw createError({ code, effect, retryAfterMs })
}

describe('pick', () => {
  it('sets the endpoint, marks it tried, and reports a success once', async () => {
    const clock = fakeClock()
    const resolver = resolverOf('a')
    const { context } = start()
    const handler = pick(resolver, { clock })(async (_request: unknown, inner) => {
      expect(inner.endpoint?.id).toBe('a')
      await clock.advance(20)
      return 'answer'
    })
    expect(await handler(undefined, context)).toBe('answer')
    expect([...context.tried]).toEqual(['a'])
    expect(resolver.reports).toEqual([{ id: 'a', kind: 'success', latencyMs: 20 }])
  })

  it.each<[Code, Effect | undefined, Outcome['kind']]>([
    ['CONNECTION_LOST', undefined, 'failure'],
    ['ATTEMPT_TIMEOUT', undefined, 'failure'],
    ['SERVER_ERROR', undefined, 'failure'],
    ['REPLY_INVALID', undefined, 'failure'],
    ['CONNECTION_REFUSED', undefined, 'not-sent'],
    ['CONNECTION_LOST', 'none', 'not-sent'],
    ['CERTIFICATE_INVALID', undefined, 'not-sent'],
    ['UNAVAILABLE', undefined, 'overload'],
    ['TOO_MANY_REQUESTS', undefined, 'overload'],
    ['STREAM_REFUSED', undefined, 'overload'],
    ['NOT_FOUND', undefined, 'success'],
    ['DECLARED_FAILURE', undefined, 'success'],
    ['CANCELLED', undefined, 'cancelled'],
    ['SELF_EXHAUSTED', undefined, 'cancelled'],
    ['INVALID_REQUEST', undefined, 'cancelled'],
  ])('reports %s (effect %s) as %s', async (code, effect, kind) => {
    const resolver = resolverOf('a')
    await expect(run(resolver, failing(code, effect))).rejects.toMatchObject({ code })
    expect(resolver.reports).toMatchObject([{ id: 'a', kind }])
  })

  it('hands on when to come again', async () => {
    const resolver = resolverOf('a')
    await expect(run(resolver, failing('UNAVAILABLE', undefined, 700))).rejects.toThrow()
    expect(resolver.reports).toMatchObject([{ kind: 'overload', retryAfterMs: 700 }])
  })

  it('reports what is no error of ours, thrown or rejected', async () => {
    const resolver = resolverOf('a')
    await expect(
      run(resolver, () => Promise.reject(Object.assign(new Error('read'), { code: 'ECONNRESET', syscall: 'read' }))),
    ).rejects.toThrow('read')
    const thrown = (): never => {
      throw new Error('at once')
    }
    expect(() => pick(resolver)(thrown)(undefined, start().context)).toThrow('at once')
    expect(resolver.reports.map((each) => each.kind)).toEqual(['failure', 'failure'])
  })

  it('lets a refusal through as it is, and gives the lease back', () => {
    const resolver = resolverOf('a')
    const refusal = refuse(() => createError({ code: 'RATE_LIMITED' }))
    const result = pick(resolver)(() => refusal)(undefined, start().context)
    expect(isRefusal(result)).toBe(true)
    expect(result).toBe(refusal)
    expect(resolver.reports).toMatchObject([{ kind: 'cancelled' }])
  })

  it('rejects with NO_ENDPOINT where there is none', async () => {
    await expect(run(resolverOf(), async () => 1)).rejects.toMatchObject({ code: 'NO_ENDPOINT' })
  })

  it('waits for what the work tracks, and for what that tracks', async () => {
    const resolver = resolverOf('a')
    const { context } = start()
    let first = (): void => {}
    let second = (): void => {}
    await run(
      resolver,
      async (_request, inner) => {
        inner.track(new Promise<void>((resolve) => (first = resolve)))
        return 'head'
      },
      context,
    )
    const settle = async (): Promise<void> => {
      for (let n = 0; n < 20; n++) await Promise.resolve()
    }
    await settle()
    context.track(new Promise<void>((resolve) => (second = resolve)))
    first()
    await settle()
    expect(resolver.reports).toEqual([])
    second()
    await settle()
    expect(resolver.reports).toMatchObject([{ kind: 'success' }])
  })
})

describe('a lease that is told of the answer', () => {
  const leasing = () => {
    const told: unknown[] = []
    const resolver: Resolver = {
      ...resolverOf('a'),
      acquire: () => ({
        endpoint: { id: 'a', addresses: [] },
        answered: (latencyMs) => void told.push(latencyMs),
        report: ({ kind }) => void told.push(kind),
      }),
    }
    return { told, resolver, clock: fakeClock() }
  }

  it.each<[string, () => Promise<unknown>, string]>([
    ['answer', async () => 'head', 'success'],
    ['error', failing('SERVER_ERROR'), 'failure'],
  ])('hears of the %s while what is tracked goes on', async (_what, end, kind) => {
    const { told, resolver, clock } = leasing()
    let read = (): void => {}
    const call = pipelineOf(
      [pick(resolver, { clock })],
      async (_, context) => {
        context.track(new Promise<void>((resolve) => (read = resolve)))
        await clock.advance(20)
        return end()
      },
      { clock },
    )
    await outcome(call())
    expect(told).toEqual([20])
    read()
    await clock.advance(0)
    expect(told).toEqual([20, kind])
  })

  it('hears of the end of the attempt where the work goes on regardless', async () => {
    const { told, resolver, clock } = leasing()
    const work = deferred<number>()
    const layers = [attemptTimeout({ clock, attemptTimeoutMs: 50 }), pick(resolver, { clock })]
    const result = outcome(pipelineOf(layers, () => work.promise, { clock })())
    await clock.advance(60)
    expect([await result, told]).toEqual(['ATTEMPT_TIMEOUT', [50]])
    work.resolve(1)
    await clock.advance(0)
    expect(told).toEqual([50, 'success'])
  })

  it('hears only the report where that says the same', async () => {
    const { told, resolver } = leasing()
    const { context, abort } = start()
    await run(resolver, async () => 1, context)
    abort('later')
    expect(told).toEqual(['success'])
  })
})

describe('an endpoint that cannot be reached', () => {
  it('is passed over for an untried one in the same attempt', async () => {
    const resolver = resolverOf('a', 'b')
    const { context } = start()
    const attempts: number[] = []
    const answer = await run(
      resolver,
      async (_request, inner) => {
        attempts.push(inner.attempt)
        if (inner.endpoint?.id === 'a') throw createError({ code: 'CONNECTION_REFUSED' })
        return 'b answered'
      },
      context,
    )
    expect(answer).toBe('b answered')
    expect(attempts).toEqual([1, 1])
    expect(resolver.reports).toMatchObject([
      { id: 'a', kind: 'not-sent' },
      { id: 'b', kind: 'success' },
    ])
  })

  it('is what the call fails with when no other is left', async () => {
    const resolver = resolverOf('a', 'b')
    await expect(run(resolver, failing('CONNECTION_REFUSED'))).rejects.toMatchObject({ code: 'CONNECTION_REFUSED' })
    expect(resolver.taken).toEqual(['a', 'b'])
  })

  it('does not lead the call through a hundred dead ones', async () => {
    const resolver = resolverOf(...Array.from({ length: 100 }, (_, n) => `dead-${n}`))
    await expect(run(resolver, failing('CONNECTION_REFUSED'))).rejects.toMatchObject({ code: 'CONNECTION_REFUSED' })
    expect(resolver.taken).toHaveLength(4)
  })

  it.each<[Code, Effect | undefined]>([
    ['CONNECTION_LOST', 'unknown'],
    ['CERTIFICATE_INVALID', 'none'],
    ['TOO_MANY_REQUESTS', 'none'],
    ['STREAM_REFUSED', 'none'],
    ['SELF_EXHAUSTED', 'none'],
    ['NOT_FOUND', 'none'],
  ])('is not what %s (effect %s) means', async (code, effect) => {
    const resolver = resolverOf('a', 'b')
    await expect(run(resolver, failing(code, effect))).rejects.toMatchObject({ code })
    expect(resolver.taken).toEqual(['a'])
  })

  it('is not passed over once the attempt was aborted', async () => {
    const resolver = resolverOf('a', 'b')
    const { context, abort } = start()
    const work = run(
      resolver,
      async () => {
        abort(createError({ code: 'CANCELLED' }))
        throw createError({ code: 'CONNECTION_REFUSED' })
      },
      context,
    )
    await expect(work).rejects.toMatchObject({ code: 'CONNECTION_REFUSED' })
    expect(resolver.taken).toEqual(['a'])
  })
})

describe('before the first word of discovery', () => {
  function late(): { resolver: Resolver; arrive(lease: Lease): void; fail(error: unknown): void } {
    let arrive: (lease: Lease) => void = () => {}
    let fail: (error: unknown) => void = () => {}
    const pending = new Promise<Lease>((resolve, reject) => {
      arrive = resolve
      fail = reject
    })
    return {
      resolver: { ...resolverOf(), acquire: () => pending },
      arrive: (lease) => arrive(lease),
      fail: (error) => fail(error),
    }
  }
  const endpoint = { id: 'a', addresses: [{ host: 'h', port: 1 }] }

  it('waits', async () => {
    const { resolver, arrive } = late()
    const report = vi.fn()
    const work = run(resolver, async (_request, inner) => inner.endpoint?.id)
    arrive({ endpoint, report })
    expect(await work).toBe('a')
    expect(report).toHaveBeenCalledOnce()
  })

  it('leaves at once when the attempt is aborted, and gives back what comes too late', async () => {
    const { resolver, arrive } = late()
    const handler = vi.fn(async () => 1)
    const { context, abort } = start()
    const work = run(resolver, handler, context)
    const reason = createError({ code: 'ATTEMPT_TIMEOUT' })
    abort(reason)
    await expect(work).rejects.toBe(reason)
    const report = vi.fn()
    arrive({ endpoint, report })
    await Promise.resolve()
    await Promise.resolve()
    expect(report).toHaveBeenCalledExactlyOnceWith({ kind: 'cancelled', latencyMs: 0 })
    expect(handler).not.toHaveBeenCalled()
  })

  it('has sent nothing until then', async () => {
    const { resolver, arrive } = late()
    const { context } = start()
    const work = run(resolver, async (_request, inner) => inner.effect, context)
    expect(context.effect).toBe('none')
    arrive({ endpoint, report: vi.fn() })
    expect(await work).toBe('unknown')
  })

  it('a timeout while it waits has effect none, and does not trip the circuit', async () => {
    const clock = fakeClock()
    const resolver: Resolver = { ...late().resolver, untried: () => 0 }
    const breaker = circuitBreaker({ clock, minimumCalls: 2 })
    const layers = [breaker, attemptTimeout({ clock, attemptTimeoutMs: 2_000 }), pick(resolver, { clock })]
    const call = pipelineOf(layers, async () => 1, { clock, resolver, idempotent: false })
    const errors = Array.from({ length: 5 }, () => failure(call()))
    await clock.advance(2_000)
    for (const error of errors)
      expect(await error).toMatchObject({ code: 'ATTEMPT_TIMEOUT', effect: 'none', retryable: true })
    expect(breaker.state).toBe('closed')
  })

  it('fails with what discovery says', async () => {
    const { resolver, fail } = late()
    const work = run(resolver, async () => 1)
    fail(createError({ code: 'NO_ENDPOINT' }))
    await expect(work).rejects.toMatchObject({ code: 'NO_ENDPOINT' })
  })
})

describe('sticky key', () => {
  it('is asked of each call and given to the resolver; none by default', async () => {
    const keys: unknown[] = []
    const resolver = resolverOf('a')
    const acquire = resolver.acquire.bind(resolver)
    resolver.acquire = (context) => {
      keys.push(context?.key)
      return acquire(context)
    }
    const stickyKey = (request: unknown): string | undefined => (request as { readonly customer?: string }).customer
    const handler = async (): Promise<number> => 1
    for (const request of [{ customer: 'c-1' }, {}])
      await pick(resolver, { stickyKey })(handler)(request, start().context)
    await pick(resolver)(handler)({ customer: 'c-1' }, start().context)
    expect(keys).toEqual(['c-1', undefined, undefined])
  })

  it('that is no string counts as its text; null is none', async () => {
    const keys: unknown[] = []
    const resolver = resolverOf('a')
    const acquire = resolver.acquire.bind(resolver)
    resolver.acquire = (context) => {
      keys.push(context?.key)
      return acquire(context)
    }
    const stickyKey = (request: unknown): string => request as string
    for (const key of [42, 7n, false, null, ''])
      await pick(resolver, { stickyKey })(async () => 1)(key, start().context)
    expect(keys).toEqual(['42', '7', 'false', undefined, ''])
  })

  it('that cannot be told rejects the call, and nothing is taken', async () => {
    const resolver = resolverOf('a')
    const stickyKey = (): never => {
      throw new Error('no customer')
    }
    const call = Promise.resolve(pick(resolver, { stickyKey })(async () => 1)(undefined, start().context))
    await expect(call).rejects.toThrow('no customer')
    expect(resolver.taken).toEqual([])
  })

  it('has to be a function', () => {
    expect(() => pick(resolverOf('a'), { stickyKey: 'customer' as never })).toThrow(
      expect.objectContaining({ code: 'INVALID_OPTIONS', message: expect.stringContaining('stickyKey') }),
    )
  })
})
