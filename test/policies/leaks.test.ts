// A million calls through the standard pipeline: what they leave behind is nothing. Heap after garbage collection, timers, listeners.
import { getEventListeners } from 'node:events'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { describe, expect, test } from 'vitest'
import { withInherited } from '../../src/core/async-context.ts'
import type { Handler } from '../../src/core/handler.ts'
import { createError } from '../../src/errors/classes.ts'
import { type CallOptions, startResult } from '../../src/policies/call.ts'
import { lastGood, value } from '../../src/policies/fallback.ts'
import { type OperationPolicies, type Standard, type StandardOptions, standard } from '../../src/policies/standard.ts'
import { fakeClock } from '../../src/testing/fake-clock.ts'

setFlagsFromString('--expose-gc')
const collect = runInNewContext('gc') as () => void

/** Bytes in use once nothing more can be collected. */
async function heap(): Promise<number> {
  for (let round = 0; round < 3; round++) {
    await new Promise((resolve) => setImmediate(resolve))
    collect()
  }
  return process.memoryUsage().heapUsed
}

const MB = 2 ** 20
const failed = createError({ code: 'SERVER_ERROR' })

function bench(options: StandardOptions, handler: Handler<any, any>, own: OperationPolicies = {}) {
  const clock = fakeClock()
  const built: Standard = standard('stock', { clock, random: () => 0.5, ...options })
  const run = built.pipeline<unknown, unknown>(own, handler)
  const template = { service: 'stock', operation: 'get', idempotent: true, deadlineMs: built.deadlineMs, clock }
  return {
    clock,
    built,
    call: (request?: unknown, callOptions?: CallOptions) => startResult(run, template, request, callOptions),
  }
}

/** Grows by less than a byte a call between the first tenth and the end. */
async function flat(calls: number, one: (at: number) => Promise<unknown>): Promise<void> {
  const warm = calls / 10
  for (let at = 0; at < warm; at++) await one(at)
  const before = await heap()
  for (let at = warm; at < calls; at++) await one(at)
  const grown = (await heap()) - before
  expect(grown).toBeLessThan(Math.max(0.9 * calls, MB / 2))
}

describe('a million calls leave nothing', () => {
  test('700,000 that are answered', async () => {
    const { clock, built, call } = bench({ retry: {} }, async () => 1, { fallback: [value(2)] })
    await flat(700_000, () => call())
    expect([clock.pending, built.bulkhead?.outstanding, built.bulkhead?.abandoned]).toEqual([0, 0, 0])
  }, 180_000)

  test('150,000 under one signal of the caller and one inherited', async () => {
    const { clock, call } = bench({ retry: {} }, async () => 1)
    const [own, above] = [new AbortController(), new AbortController()]
    await withInherited({ signal: above.signal }, () => flat(150_000, () => call(undefined, { signal: own.signal })))
    expect([
      clock.pending,
      getEventListeners(own.signal, 'abort').length,
      getEventListeners(above.signal, 'abort').length,
    ]).toEqual([0, 0, 0])
  }, 180_000)

  test('50,000 that read their signal', async () => {
    const { clock, call } = bench({}, async (_, { signal }) => signal.aborted)
    await flat(50_000, () => call())
    expect(clock.pending).toBe(0)
  }, 180_000)

  test('50,000 that fail, without a breaker', async () => {
    const { clock, call } = bench(
      { circuitBreaker: false, retry: { attempts: 2, backoffMs: 0, maxBackoffMs: 0 } },
      () => Promise.reject(failed),
    )
    await flat(50_000, () => call())
    expect(clock.pending).toBe(0)
  }, 180_000)

  test('100,000 that are refused by an open circuit', async () => {
    const { clock, built, call } = bench({ retry: {} }, async () => 1)
    built.circuitBreaker?.forceOpen()
    await flat(100_000, () => call())
    expect([clock.pending, built.bulkhead?.outstanding]).toEqual([0, 0])
  }, 180_000)

  test('50,000 with a key of their own to remember: bounded', async () => {
    const { clock, built, call } = bench({}, async (request) => request, { fallback: [lastGood({ max: 100 })] })
    await flat(50_000, (at) => call(`key-${at}`))
    expect(clock.pending).toBe(0)
    expect(built.bulkhead?.outstanding).toBe(0)
  }, 180_000)

  test('2,000 that time out, once their work is over', async () => {
    const { clock, built, call } = bench(
      { attemptTimeoutMs: 10, circuitBreaker: false },
      () => new Promise((resolve) => void clockOf().setTimer(resolve, 15, 1)),
    )
    const clockOf = (): ReturnType<typeof fakeClock> => clock
    await flat(2_000, async () => {
      const result = call()
      await clock.advance(20)
      expect(await result).toMatchObject({ ok: false, error: { code: 'ATTEMPT_TIMEOUT' } })
    })
    expect([clock.pending, built.bulkhead?.outstanding, built.bulkhead?.abandoned]).toEqual([0, 0, 0])
  }, 180_000)
})

test('the measure sees a leak: a listener kept for each call fails it', async () => {
  const kept: unknown[] = []
  const { call } = bench({}, async (_, context) => kept.push(context))
  await expect(flat(20_000, () => call())).rejects.toThrow()
}, 180_000)
