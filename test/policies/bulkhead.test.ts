import { describe, expect, test } from 'vitest'
import type { CallContext } from '../../src/core/context.ts'
import { describe as describeThing } from '../../src/core/describe.ts'
import { isRefusal, refuse } from '../../src/core/handler.ts'
import { createError } from '../../src/errors/classes.ts'
import { attemptTimeout } from '../../src/policies/attempt-timeout.ts'
import { bulkhead } from '../../src/policies/bulkhead.ts'
import { fakeClock } from '../../src/testing/fake-clock.ts'
import { contextOf, type Deferred, deferred, outcome, pipelineOf, recorder, thrownBy } from './kit.ts'

const clock = fakeClock()
const turn = (): Promise<void> => clock.advance(0)

describe('the cap', () => {
  test('refuses a call beyond it at once, and lets the next in when one is over', async () => {
    const slots = bulkhead({ maxOutstanding: 2 })
    const work: Deferred<number>[] = []
    const run = pipelineOf(
      [slots],
      () => {
        const one = deferred<number>()
        work.push(one)
        return one.promise
      },
      { clock },
    )
    const first = [run(), run()]
    expect(await outcome(run())).toBe('OUTSTANDING_LIMIT')
    expect(work).toHaveLength(2)
    expect(slots.outstanding).toBe(2)
    work[0]?.resolve(1)
    expect(await first[0]).toBe(1)
    const third = run()
    expect(work).toHaveLength(3)
    work[1]?.reject(createError({ code: 'SERVER_ERROR' }))
    work[2]?.resolve(3)
    expect(await outcome(first[1] as Promise<number>)).toBe('SERVER_ERROR')
    expect(await third).toBe(3)
    await turn()
    expect([slots.outstanding, slots.abandoned]).toEqual([0, 0])
  })

  test('the refusal is neutral, harmless, and says so', async () => {
    const run = bulkhead({ maxOutstanding: 1 })<undefined, number, never>(() => deferred<number>().promise)
    const context = contextOf(clock) as never
    run(undefined, context)
    const refused = run(undefined, context)
    expect(isRefusal(refused)).toBe(true)
    await expect(refused).rejects.toMatchObject({
      code: 'OUTSTANDING_LIMIT',
      kind: 'rejected',
      refusedBy: 'self',
      effect: 'none',
      service: 'stock',
      operation: 'get',
    })
  })

  test('a refusal from inside, or an error thrown at once, takes no slot', async () => {
    const slots = bulkhead({ maxOutstanding: 1 })
    const refusing = pipelineOf(
      [slots, () => () => refuse(() => createError({ code: 'RATE_LIMITED' }))],
      async () => 1,
      { clock },
    )
    const throwing = slots<undefined, number, never>(() => {
      throw createError({ code: 'PROGRAMMING_ERROR' })
    })
    for (let turns = 0; turns < 3; turns++) {
      expect(await outcome(refusing())).toBe('RATE_LIMITED')
      expect(await outcome(throwing(undefined, contextOf(clock) as never))).toBe('PROGRAMMING_ERROR')
    }
    expect(slots.outstanding).toBe(0)
  })

  test('work that settles twice gives back one slot', async () => {
    const slots = bulkhead({ maxOutstanding: 2 })
    const run = slots<() => PromiseLike<number>, number, CallContext>((work) => work() as Promise<number>)
    run(() => deferred<number>().promise, contextOf(clock))
    run(
      () =>
        ({
          then: (yes: (value: number) => void, no: (error: unknown) => void) => void [yes(1), yes(2), no(3)],
        }) as never,
      contextOf(clock),
    )
    await turn()
    expect(slots.outstanding).toBe(1)
  })

  test('is shared by the pipelines that it is given to', async () => {
    const slots = bulkhead({ maxOutstanding: 1 })
    const one = pipelineOf([slots], () => deferred<number>().promise, { clock })
    const other = pipelineOf([slots], async () => 1, { clock })
    one()
    expect(await outcome(other())).toBe('OUTSTANDING_LIMIT')
  })
})

describe('a slot is held until the work is over', () => {
  test('although a timeout has answered the caller: never more than the cap in flight (M1)', async () => {
    const slots = bulkhead({ maxOutstanding: 2 })
    const work: Deferred<number>[] = []
    let inFlight = 0
    let most = 0
    const run = pipelineOf(
      [attemptTimeout({ attemptTimeoutMs: 50, clock }), slots],
      () => {
        most = Math.max(most, ++inFlight)
        const one = deferred<number>()
        work.push(one)
        return one.promise.finally(() => inFlight--)
      },
      { clock },
    )
    const seen: unknown[] = []
    for (let round = 0; round < 6; round++) {
      const calls = [outcome(run()), outcome(run())]
      await clock.advance(60)
      seen.push(...(await Promise.all(calls)))
    }
    expect(most).toBe(2)
    expect(seen).toEqual(['ATTEMPT_TIMEOUT', 'ATTEMPT_TIMEOUT', ...Array(10).fill('OUTSTANDING_LIMIT')])
    expect([slots.outstanding, slots.abandoned]).toEqual([2, 2])
    for (const one of work) one.resolve(1)
    await turn()
    expect([slots.outstanding, slots.abandoned, clock.pending]).toEqual([0, 0, 0])
    const next = run()
    await turn()
    expect(work).toHaveLength(3)
    work[2]?.resolve(7)
    expect(await next).toBe(7)
  })

  test('and until all that was tracked is over: a body that still streams', async () => {
    const slots = bulkhead({ maxOutstanding: 1 })
    const bodies: Deferred<void>[] = []
    const run = pipelineOf(
      [attemptTimeout({ clock }), slots],
      async (_, context) => {
        const [body, trailer] = [deferred<void>(), deferred<void>()]
        bodies.push(body, trailer)
        context.track(body.promise)
        // Tracked by something tracked: known only once the first is over.
        body.promise.then(
          () => context.track(trailer.promise),
          () => undefined,
        )
        return 'head'
      },
      { clock },
    )
    expect(await run()).toBe('head')
    await turn()
    expect([slots.outstanding, slots.abandoned]).toEqual([1, 0])
    bodies[0]?.resolve()
    await turn()
    expect(slots.outstanding).toBe(1)
    expect(await outcome(run())).toBe('OUTSTANDING_LIMIT')
    bodies[1]?.reject(new Error('cut'))
    await turn()
    expect(slots.outstanding).toBe(0)
  })

  test('work left behind by the caller is told of, and counted until it is over', async () => {
    const heard = recorder()
    const slots = bulkhead({ maxOutstanding: 3, clock, onEvent: heard.onEvent })
    const one = deferred<number>()
    const controller = new AbortController()
    const run = pipelineOf([attemptTimeout({ clock }), slots], () => one.promise, { clock })
    const call = outcome(run(undefined, { signal: controller.signal }))
    controller.abort()
    expect(await call).toBe('CANCELLED')
    expect([slots.outstanding, slots.abandoned]).toEqual([1, 1])
    expect(heard.events).toEqual([{ type: 'abandoned', running: 1, service: 'stock', operation: 'get' }])
    one.resolve(1)
    await turn()
    expect([slots.outstanding, slots.abandoned]).toEqual([0, 0])
  })

  test('an abort after the work is over abandons nothing', async () => {
    const slots = bulkhead({ maxOutstanding: 1 })
    const context = contextOf(clock)
    const { context: fork, abort } = context.fork({})
    await slots<undefined, number, typeof fork>(async () => 1)(undefined, fork)
    await turn()
    abort('late')
    expect([slots.outstanding, slots.abandoned]).toEqual([0, 0])
  })
})

test('describes itself', () => {
  expect(describeThing(bulkhead({ maxOutstanding: 7 }))).toEqual({
    layer: 'bulkhead',
    options: { maxOutstanding: 7 },
    state: { outstanding: 0, abandoned: 0 },
  })
  expect(bulkhead().maxOutstanding).toBe(100)
})

test.each([0, -1, 1.5, NaN, Infinity])('maxOutstanding: %s is refused', (maxOutstanding) => {
  expect(thrownBy(() => bulkhead({ maxOutstanding }))).toMatchObject({
    code: 'INVALID_OPTIONS',
    details: { option: 'maxOutstanding' },
  })
})
test('an unknown option is refused', () => {
  expect(thrownBy(() => bulkhead({ max: 3 } as never)).message).toContain('bulkhead.max')
})
