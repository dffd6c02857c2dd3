import { execFileSync } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { describe as describeThing } from '../../src/core/describe.ts'
import { isRefusal, refuse } from '../../src/core/handler.ts'
import type { FairleadError } from '../../src/errors/base.ts'
import { type RateLimitOptions, rateLimit } from '../../src/policies/rate-limit.ts'
import { fakeClock } from '../../src/testing/fake-clock.ts'
import { contextOf, failure, heard, state, unhandledDuring } from './call-bench.ts'

function bench(options: Partial<RateLimitOptions<string>> = {}) {
  const clock = fakeClock({ now: 10 })
  const admitted: { readonly at: number; readonly request: unknown }[] = []
  const limit = rateLimit({ limit: 2, perMs: 1_000, clock, ...options })
  const handler = limit(async (request: unknown) => void admitted.push({ at: clock.now(), request }))
  const start = (request: unknown = 'A', deadlineMs = Infinity) => {
    const own = contextOf({ clock, deadlineMs })
    const result = handler(request, own.context)
    if (!isRefusal(result)) result.catch(() => {})
    return { ...own, result }
  }
  /** The error of a call that is refused at once. */
  const refused = (request?: unknown): FairleadError => {
    const { result } = start(request)
    if (!isRefusal(result)) throw new Error('it was not refused')
    return result.refused as FairleadError
  }
  return { clock, limit, handler, admitted, start, refused }
}

describe('a local limit', () => {
  test('lets so many out, refuses the rest at once, and says when to come again', async () => {
    const { clock, admitted, start, refused } = bench()
    start()
    await clock.advance(400)
    start()
    await clock.advance(100)
    expect(refused()).toMatchObject({
      code: 'RATE_LIMITED',
      kind: 'rejected',
      refusedBy: 'self',
      effect: 'none',
      retryAfterMs: 500,
      service: 'stock',
      operation: 'get',
    })
    await clock.advance(499)
    expect(refused().retryAfterMs).toBe(1)
    await clock.advance(1)
    start()
    expect(refused().retryAfterMs).toBe(400)
    expect(admitted.map(({ at }) => at)).toEqual([10, 410, 1_010])
    expect(clock.pending).toBe(0)
  })

  test('what is refused does not count, and a refusal from inside does', () => {
    const { clock, refused, start } = bench()
    start()
    start()
    for (let index = 0; index < 100; index++) refused()
    expect(refused().retryAfterMs).toBe(1_000)
    const inner = refuse(() => failure('CIRCUIT_OPEN'))
    const layer = rateLimit({ limit: 1, perMs: 1_000, clock })
    const handler = layer(() => inner)
    expect(handler('A', contextOf({ clock }).context)).toBe(inner)
    expect(handler('A', contextOf({ clock }).context)).not.toBe(inner)
  })

  test('never lets out more than the limit in any stretch of the window, and wastes no place', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.integer({ min: 1, max: 6 }),
        fc.integer({ min: 1, max: 50 }),
        fc.array(fc.nat({ max: 30 }), { maxLength: 120 }),
        fc.boolean(),
        async (limit, perMs, gaps, waits) => {
          const clock = fakeClock()
          const out: number[] = []
          const layer = rateLimit({ limit, perMs, clock, ...(waits ? { wait: { maxMs: 40 } } : {}) })
          const handler = layer(async () => void out.push(clock.now()))
          const naive: number[] = []
          for (const gap of gaps) {
            await clock.advance(gap)
            const now = clock.now()
            const result = handler('A', contextOf({ clock }).context)
            const counted = naive.filter((at) => at > now - perMs)
            // The naive reference: the earliest instant at which fewer than `limit` of the last ones count.
            const at = counted.length < limit ? now : Math.max(now, (naive.at(-limit) as number) + perMs)
            const goes = at - now <= (waits ? 40 : 0)
            if (goes) naive.push(at)
            expect(isRefusal(result)).toBe(!goes)
          }
          await clock.runAll()
          expect(out).toEqual(naive)
          for (const begin of out)
            expect(out.filter((at) => at >= begin && at < begin + perMs).length).toBeLessThanOrEqual(limit)
        },
      ),
      { numRuns: 150, seed: 5 },
    )
  })

  test('one limit given to two pipelines is shared', () => {
    const clock = fakeClock()
    const limit = rateLimit({ limit: 1, perMs: 1_000, clock })
    const [one, other] = [limit(async () => 1), limit(async () => 2)]
    expect(isRefusal(one('A', contextOf({ clock }).context))).toBe(false)
    expect(isRefusal(other('A', contextOf({ clock }).context))).toBe(true)
  })
})

describe('waiting', () => {
  test('calls go in turn, as early as the limit allows', async () => {
    const { clock, admitted, start } = bench({ wait: { maxMs: 5_000 } })
    for (const request of ['a', 'b', 'c', 'd', 'e']) start(request)
    await clock.advance(2_000)
    expect(admitted).toEqual([
      { request: 'a', at: 10 },
      { request: 'b', at: 10 },
      { request: 'c', at: 1_010 },
      { request: 'd', at: 1_010 },
      { request: 'e', at: 2_010 },
    ])
    expect(clock.pending).toBe(0)
  })

  test('nobody waits longer than maxMs, nor up to the own deadline', () => {
    const { start, refused } = bench({ wait: { maxMs: 1_000 } })
    start()
    start()
    const inTime = start('c', 1_001)
    expect(isRefusal(inTime.result)).toBe(false)
    expect(isRefusal(start('d', 1_000).result)).toBe(true)
    start('e')
    expect(refused('f').retryAfterMs).toBe(2_000)
  })

  test('who leaves while waiting is answered at once and lets nothing out', async () => {
    const { clock, admitted, start, limit } = bench({ wait: { maxMs: 5_000 } })
    start('a')
    start('b')
    const { result, abort } = start('c')
    expect(describeThing(limit)).toMatchObject({ state: { waiting: 1 } })
    const gone = failure('CANCELLED')
    abort(gone)
    expect(await state(result)).toEqual({ is: 'failed', with: gone })
    expect(clock.pending).toBe(0)
    expect(describeThing(limit)).toMatchObject({ state: { waiting: 0 } })
    await clock.advance(5_000)
    expect(admitted.length).toBe(2)
  })

  test('a refusal from inside reaches who waited as its error', async () => {
    const clock = fakeClock()
    const handler = rateLimit({ limit: 1, perMs: 100, wait: { maxMs: 100 }, clock })(() =>
      refuse(() => failure('CIRCUIT_OPEN')),
    )
    handler('a', contextOf({ clock }).context)
    const result = handler('b', contextOf({ clock }).context)
    Promise.resolve(result).catch(() => {})
    await clock.advance(100)
    expect(await state(result)).toMatchObject({ is: 'failed', with: { code: 'CIRCUIT_OPEN' } })
  })
})

describe('keys', () => {
  test('each has a limit of its own', () => {
    const { start, refused } = bench({ key: (tenant) => tenant })
    start('a')
    start('a')
    refused('a')
    start('b')
    start('b')
    refused('b')
  })

  test('they are bounded: an idle one goes, one that counts stays, and the surplus shares one limit', async () => {
    const { clock, limit, start, refused } = bench({ key: (tenant) => tenant, maxKeys: 2 })
    start('a')
    start('a')
    start('b')
    start('c')
    start('d')
    refused('e')
    refused('a')
    expect(describeThing(limit)).toMatchObject({ state: { keys: 2 } })
    await clock.advance(1_000)
    start('e')
    start('f')
    start('e')
    refused('e')
    expect(describeThing(limit)).toMatchObject({ state: { keys: 2 } })
  })

  test('a million keys keep no more than maxKeys', () => {
    const { limit, handler, clock } = bench({ key: (tenant) => tenant, maxKeys: 100 })
    const { context } = contextOf({ clock })
    for (let index = 0; index < 1_000_000; index++) handler(`tenant-${index}`, context)
    expect(describeThing(limit)).toMatchObject({ state: { keys: 100 } })
  })

  test('a key that throws, or is no string, is the fault of the caller', async () => {
    const { handler, clock } = bench({ key: () => 5 as never })
    await expect(handler('A', contextOf({ clock }).context)).rejects.toMatchObject({ code: 'PROGRAMMING_ERROR' })
  })
})

describe('close', () => {
  test('refuses from then on, and ends those that wait', async () => {
    const unhandled = await unhandledDuring(async () => {
      const { clock, limit, start, refused } = bench({ wait: { maxMs: 5_000 } })
      start()
      start()
      const { result } = start('waiting')
      await limit.close()
      await limit.close()
      expect(await state(result)).toMatchObject({ is: 'failed', with: { code: 'SHUTDOWN' } })
      expect(refused().code).toBe('SHUTDOWN')
      expect(clock.pending).toBe(0)
    })
    expect(unhandled).toEqual([])
  })
})

describe('a shared limit without Redis', () => {
  // As an ioredis client that never gets through.
  function deadClient(): { duplicate(): unknown; readonly made: { disconnected: boolean }[] } {
    const made: { disconnected: boolean }[] = []
    return {
      made,
      duplicate: () => {
        const own = {
          status: 'connecting',
          disconnected: false,
          setMaxListeners() {},
          on() {},
          once() {},
          disconnect() {
            own.disconnected = true
          },
        }
        made.push(own)
        return own
      },
    }
  }

  test("local, the default: after the timeout each process keeps to the limit for itself, and doesn't ask for a second", async () => {
    const { events, onEvent } = heard()
    const client = deadClient()
    const { clock, start, limit } = bench({ shared: { client, id: 'payment', timeoutMs: 100 }, onEvent })
    const [first, second, third] = [start(), start(), start()]
    await clock.advance(99)
    expect((await state(first.result)).is).toBe('open')
    await clock.advance(1)
    expect((await state(first.result)).is).toBe('answered')
    expect((await state(second.result)).is).toBe('answered')
    expect(await state(third.result)).toMatchObject({ is: 'failed', with: { code: 'RATE_LIMITED' } })
    expect(events).toMatchObject([{ type: 'rate-limit', id: 'payment', state: 'unavailable' }])
    expect(describeThing(limit)).toMatchObject({
      options: { shared: { whenUnavailable: 'local' } },
      state: { available: false },
    })
    await clock.advance(900)
    const fourth = start()
    expect(await state(fourth.result)).toMatchObject({ is: 'failed', with: { code: 'RATE_LIMITED' } })
    await clock.advance(100)
    const fifth = start()
    expect((await state(fifth.result)).is).toBe('open')
    await clock.advance(100)
    expect((await state(fifth.result)).is).toBe('answered')
    expect(events.length).toBe(1)
    await limit.close()
    expect(client.made).toMatchObject([{ disconnected: true }])
    expect(clock.pending).toBe(0)
  })

  test('refuse: calls are refused, with the reason', async () => {
    const { clock, start } = bench({ shared: { client: deadClient(), id: 'payment', whenUnavailable: 'refuse' } })
    const { result } = start()
    await clock.advance(250)
    expect(await state(result)).toMatchObject({
      is: 'failed',
      with: { code: 'RATE_LIMITED', details: { reason: 'unavailable' } },
    })
  })

  test('a client that cannot be duplicated is no Redis either', async () => {
    const client = {
      duplicate(): never {
        throw new Error('closed')
      },
    }
    const { start, admitted } = bench({ shared: { client, id: 'payment' } })
    expect((await state(start().result)).is).toBe('answered')
    expect(admitted.length).toBe(1)
  })

  test('who leaves, or finds it closed, while Redis is asked is answered at once', async () => {
    const unhandled = await unhandledDuring(async () => {
      const { start, limit } = bench({ shared: { client: deadClient(), id: 'payment' } })
      const [first, second] = [start(), start()]
      const gone = failure('CANCELLED')
      first.abort(gone)
      expect(await state(first.result)).toEqual({ is: 'failed', with: gone })
      await limit.close()
      expect(await state(second.result)).toMatchObject({ is: 'failed', with: { code: 'SHUTDOWN' } })
    })
    expect(unhandled).toEqual([])
  })
})

test('bottleneck is loaded by the first shared call and by nothing before', () => {
  const source = (path: string): string => JSON.stringify(fileURLToPath(new URL(`../../src/${path}`, import.meta.url)))
  const script = `
    const { createRequire } = await import('node:module')
    const { rateLimit } = await import(${source('policies/rate-limit.ts')})
    const { createContext } = await import(${source('core/context.ts')})
    const { deadlineAt } = await import(${source('core/deadline.ts')})
    const { systemClock } = await import(${source('core/clock.ts')})
    const loaded = () => Object.keys(createRequire(${source('core/lazy.ts')}).cache).some((path) => path.includes('bottleneck'))
    const { context } = createContext({ service: 's', operation: 'o', deadline: deadlineAt(Infinity, systemClock), idempotent: true })
    await rateLimit({ limit: 1, perMs: 10 })(async () => 1)('A', context)
    const own = { status: '', setMaxListeners() {}, on() {}, once() {}, disconnect() {} }
    const shared = rateLimit({ limit: 1, perMs: 10, shared: { client: { duplicate: () => own }, id: 'a', timeoutMs: 1 } })
    const before = loaded()
    await shared(async () => 1)('A', context)
    console.log(before, loaded())`
  const out = execFileSync(process.execPath, ['--import', 'tsx', '--input-type=module', '--eval', script], {
    encoding: 'utf8',
  })
  expect(out.trim()).toBe('false true')
})

describe('options', () => {
  const good = { limit: 1, perMs: 1_000 }
  const client = { duplicate: () => undefined }
  test.each([
    ['rateLimit.limit is undefined', { perMs: 1 }],
    ['rateLimit.perMs is undefined', { limit: 1 }],
    ['rateLimit.limit is 0', { ...good, limit: 0 }],
    ['rateLimit.limit is 1.5', { ...good, limit: 1.5 }],
    ['rateLimit.limit is Infinity', { ...good, limit: Infinity }],
    ['rateLimit.perMs is -1', { ...good, perMs: -1 }],
    ['rateLimit.perMs is NaN', { ...good, perMs: Number.NaN }],
    ['rateLimit.key', { ...good, key: 'tenant' }],
    ['rateLimit.maxKeys is 0', { ...good, maxKeys: 0 }],
    ['rateLimit.wait is true', { ...good, wait: true }],
    ['rateLimit.wait.ms', { ...good, wait: { ms: 5 } }],
    ['rateLimit.wait.maxMs is Infinity', { ...good, wait: { maxMs: Infinity } }],
    ['rateLimit.shared.client is', { ...good, shared: { id: 'a' } }],
    ['rateLimit.shared.id is ""', { ...good, shared: { id: '', client } }],
    ['rateLimit.shared.timeoutMs is 0', { ...good, shared: { id: 'a', client, timeoutMs: 0 } }],
    ['rateLimit.shared.whenUnavailable is "allow"', { ...good, shared: { id: 'a', client, whenUnavailable: 'allow' } }],
    ['rateLimit.perMs is 0.5: give whole', { ...good, perMs: 0.5, shared: { id: 'a', client } }],
    ['rateLimit.rate ', { ...good, rate: 5 }],
  ])('%s', (message, options) => {
    expect(() => rateLimit(options as never)).toThrow(message)
  })

  test('it says how it is built', () => {
    expect(describeThing(rateLimit(good))).toEqual({
      layer: 'rate-limit',
      options: { limit: 1, perMs: 1_000, maxKeys: 1_000, maxWaitMs: 0 },
      state: { keys: 1, waiting: 0 },
    })
  })
})
