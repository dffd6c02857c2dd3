import { subscribe, unsubscribe } from 'node:diagnostics_channel'
import { describe, expect, test, vi } from 'vitest'
import type { CallContext } from '../../src/core/context.ts'
import { describe as describeThing } from '../../src/core/describe.ts'
import type { Events } from '../../src/core/events.ts'
import { refuse } from '../../src/core/handler.ts'
import { createError } from '../../src/errors/classes.ts'
import { attemptTimeout } from '../../src/policies/attempt-timeout.ts'
import { bulkhead } from '../../src/policies/bulkhead.ts'
import { circuitBreaker } from '../../src/policies/circuit-breaker.ts'
import { deadline } from '../../src/policies/deadline.ts'
import { retry } from '../../src/policies/retry.ts'
import { telemetry, telemetryLayer } from '../../src/policies/telemetry.ts'
import { fakeClock } from '../../src/testing/fake-clock.ts'
import { contextOf, deferred, fail, outcome, pipelineOf, recorder } from './kit.ts'

describe('a call is told of', () => {
  test('with how long it took, and the error if there was one', async () => {
    const clock = fakeClock()
    const heard = recorder()
    const work = [deferred<number>(), deferred<number>()]
    const run = pipelineOf(
      [telemetry({ clock, onEvent: heard.onEvent })],
      (at: number) => (work[at] as { promise: Promise<number> }).promise,
      { clock },
    )
    const calls = [run(0), outcome(run(1))]
    await clock.advance(40)
    work[0]?.resolve(1)
    await clock.advance(2)
    const error = createError({ code: 'SERVER_ERROR' })
    work[1]?.reject(error)
    await Promise.all(calls)
    expect(heard.events).toEqual([
      { type: 'call', service: 'stock', operation: 'get', elapsedMs: 40 },
      { type: 'call', service: 'stock', operation: 'get', elapsedMs: 42, error },
    ])
  })

  test('one that was refused is no call, and says by what', async () => {
    const clock = fakeClock()
    const heard = recorder()
    const run = pipelineOf(
      [telemetry({ clock, onEvent: heard.onEvent }), () => () => refuse(() => createError({ code: 'CIRCUIT_OPEN' }))],
      async () => 1,
      { clock },
    )
    expect(await outcome(run())).toBe('CIRCUIT_OPEN')
    expect(heard.events).toEqual([{ type: 'refused', service: 'stock', operation: 'get', code: 'CIRCUIT_OPEN' }])
  })
})

describe('where nobody listens', () => {
  test('it costs one check: the result itself goes through, and no time is read', () => {
    const clock = { ...fakeClock(), now: vi.fn(() => 0) }
    const heard = vi.fn(() => false)
    const emit = vi.fn()
    const events: Events = {
      get heard() {
        return heard()
      },
      emit,
    }
    const answer = Promise.resolve(1)
    const run = telemetryLayer({ clock, random: Math.random, events })<undefined, number, CallContext>(() => answer)
    expect(run(undefined, contextOf(clock))).toBe(answer)
    expect(heard).toHaveBeenCalledTimes(1)
    expect(emit).not.toHaveBeenCalled()
    expect(clock.now).not.toHaveBeenCalled()
  })

  test('somebody who comes later hears what begins later', async () => {
    const clock = fakeClock()
    const run = pipelineOf([telemetry({ clock })], async () => 1, { clock })
    const seen: unknown[] = []
    const subscriber = (event: unknown): void => void seen.push(event)
    await run()
    subscribe('fairlead:event', subscriber)
    await run()
    unsubscribe('fairlead:event', subscriber)
    await run()
    expect(seen).toMatchObject([{ type: 'call', service: 'stock' }])
  })
})

test('a listener that throws never breaks a call, in any layer', async () => {
  const clock = fakeClock()
  const heard: string[] = []
  const onEvent = (event: { type: string }): void => {
    heard.push(event.type)
    throw new Error('of the listener')
  }
  const seams = { clock, onEvent, random: () => 0.5 }
  const breaker = circuitBreaker({ ...seams, minimumCalls: 2, openMs: 100, rampMs: 0, probes: 1 })
  const layers = [
    telemetry(seams),
    deadline(seams),
    retry({ ...seams, attempts: 2 }),
    breaker,
    attemptTimeout({ ...seams, attemptTimeoutMs: 10 }),
    bulkhead({ ...seams }),
  ]
  let fails = 2
  const hang = new Promise<number>(() => undefined)
  const run = pipelineOf(
    layers,
    (request: string) => (request === 'hang' ? hang : fails-- > 0 ? fail('SERVER_ERROR') : Promise.resolve(1)),
    { clock, deadlineMs: 5_000 },
  )
  const first = outcome(run('fail'))
  await clock.advance(50)
  expect(await first).toBe('SERVER_ERROR')
  expect(await outcome(run('open'))).toBe('CIRCUIT_OPEN')
  await clock.advance(150)
  expect(await run('well')).toBe(1)
  const slow = outcome(run('hang'))
  await clock.advance(100)
  expect(await slow).toBe('ATTEMPT_TIMEOUT')
  expect(new Set(heard)).toEqual(new Set(['retry', 'attempt', 'circuit', 'call', 'refused', 'timeout', 'abandoned']))
  expect(clock.pending).toBe(0)
})

test('describes itself', () => {
  expect(describeThing(telemetry())).toEqual({ layer: 'telemetry', options: { channel: 'fairlead:event' } })
})
