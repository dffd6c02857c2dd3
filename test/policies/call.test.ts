import { getEventListeners } from 'node:events'
import { describe, expect, test, vi } from 'vitest'
import { withInherited } from '../../src/core/async-context.ts'
import type { CallContext } from '../../src/core/context.ts'
import { deadlineAt } from '../../src/core/deadline.ts'
import { type Handler, isRefusal, refuse } from '../../src/core/handler.ts'
import { createError } from '../../src/errors/classes.ts'
import { begin, type CallOptions, type CallTemplate, startCall, startResult } from '../../src/policies/call.ts'
import { deadline } from '../../src/policies/deadline.ts'
import { fakeClock } from '../../src/testing/fake-clock.ts'
import { deferred, fail, failure, outcome, pipelineOf } from './kit.ts'

const clock = fakeClock()
const template: CallTemplate = { service: 'stock', operation: 'get', idempotent: false, deadlineMs: 1_000, clock }
const echo: Handler<undefined, CallContext> = async (_, context) => context
const contextWith = (options?: CallOptions): Promise<CallContext> => startCall(echo, template, undefined, options)

describe('the context of a call', () => {
  test('has what the operation says', async () => {
    expect(await contextWith()).toMatchObject({
      service: 'stock',
      operation: 'get',
      attempt: 1,
      idempotent: false,
      headers: {},
    })
    expect((await contextWith()).deadline.at).toBe(1_000)
    expect((await startCall(echo, { ...template, deadlineMs: Infinity }, undefined, undefined)).deadline.at).toBe(
      Infinity,
    )
  })

  test('and what the caller says of this one', async () => {
    const context = await contextWith({ deadlineMs: 300, headers: { a: '1' }, idempotencyKey: 'k' })
    expect(context).toMatchObject({ idempotencyKey: 'k', idempotent: true, headers: { a: '1' } })
    expect(context.deadline.at).toBe(300)
    expect((await contextWith({ idempotent: true })).idempotent).toBe(true)
    expect((await contextWith({ idempotencyKey: 'k', idempotent: false })).idempotent).toBe(false)
    expect(
      (await startCall(echo, { ...template, deadlineMs: Infinity }, undefined, { deadlineMs: 5 })).deadline.at,
    ).toBe(5)
  })

  test('and what it inherits: the sooner deadline, headers under its own, the signal', async () => {
    const controller = new AbortController()
    await withInherited(
      { deadline: deadlineAt(200, clock), headers: { a: 'up', b: 'up' }, signal: controller.signal },
      async () => {
        const context = await contextWith({ headers: { a: 'own' } })
        expect(context.headers).toEqual({ a: 'own', b: 'up' })
        expect(context.deadline.at).toBe(200)
        expect((await contextWith({ deadlineMs: 50 })).deadline.at).toBe(50)
        expect((await startCall(echo, { ...template, deadlineMs: Infinity }, undefined, undefined)).deadline.at).toBe(
          200,
        )
        const call = outcome(pipelineOf([deadline({ clock })], () => deferred<number>().promise, { clock })())
        controller.abort('upstream left')
        expect(await call).toBe('CANCELLED')
      },
    )
  })
})

describe('the signal of the caller', () => {
  test('that is aborted already: nothing is sent', async () => {
    const handler = vi.fn(echo)
    const call = failure(startCall(handler, template, undefined, { signal: AbortSignal.abort('early') }))
    expect(await call).toMatchObject({
      code: 'CANCELLED',
      effect: 'none',
      cause: 'early',
      service: 'stock',
      operation: 'get',
    })
    expect(handler).not.toHaveBeenCalled()
  })

  test('ends the attempt, with the reason of the caller as cause', async () => {
    const controller = new AbortController()
    const call = failure(
      startCall(
        (_, { signal }) =>
          new Promise((_, reject) => void signal.addEventListener('abort', () => reject(signal.reason))),
        template,
        undefined,
        { signal: controller.signal },
      ),
    )
    const mine = new Error('closing the page')
    controller.abort(mine)
    expect(await call).toMatchObject({ code: 'CANCELLED', effect: 'unknown', cause: mine, retryable: false })
  })

  test('a transport that measured that nothing was sent: effect none', async () => {
    const controller = new AbortController()
    const call = failure(
      startCall(
        (_, context) => {
          context.effect = 'none'
          return new Promise((_, reject) => void context.onAbort(reject))
        },
        template,
        undefined,
        { signal: controller.signal },
      ),
    )
    controller.abort()
    expect(await call).toMatchObject({ code: 'CANCELLED', effect: 'none' })
  })

  test.each<[string, Handler<undefined, number>]>([
    ['an answer', async () => 1],
    ['a failure', () => fail('SERVER_ERROR')],
    ['a refusal', () => refuse(() => createError({ code: 'CIRCUIT_OPEN' }))],
    [
      'something thrown at once',
      () => {
        throw createError({ code: 'SERVER_ERROR' })
      },
    ],
  ])('collects no listeners: after %s there is none', async (_, handler) => {
    const [own, above] = [new AbortController(), new AbortController()]
    await withInherited({ signal: above.signal }, async () => {
      for (let call = 0; call < 20; call++)
        await outcome(startCall(handler, template, undefined, { signal: own.signal }))
    })
    expect([getEventListeners(own.signal, 'abort').length, getEventListeners(above.signal, 'abort').length]).toEqual([
      0, 0,
    ])
  })

  test('shared by many calls at once draws no warning', async () => {
    const warned = vi.fn()
    process.on('warning', warned)
    const controller = new AbortController()
    const work = deferred<number>()
    const calls = Array.from({ length: 50 }, () =>
      startCall(() => work.promise, template, undefined, { signal: controller.signal }),
    )
    await new Promise((resolve) => setImmediate(resolve))
    work.resolve(1)
    await Promise.all(calls)
    process.off('warning', warned)
    expect(warned).not.toHaveBeenCalled()
    expect(getEventListeners(controller.signal, 'abort')).toHaveLength(0)
  })
})

describe('what makes no sense is refused', () => {
  test.each([0, -1, NaN, Infinity, '5', 2 ** 31])('deadlineMs: %s', async (deadlineMs) => {
    const handler = vi.fn(echo)
    const error = await failure(startCall(handler, template, undefined, { deadlineMs: deadlineMs as number }))
    expect(error).toMatchObject({ code: 'INVALID_OPTIONS', kind: 'invalid', details: { option: 'deadlineMs' } })
    expect(handler).not.toHaveBeenCalled()
  })

  test.each([{}, 'signal', new AbortController(), 5])('signal: %s', async (signal) => {
    expect(await failure(contextWith({ signal: signal as AbortSignal }))).toMatchObject({
      code: 'INVALID_OPTIONS',
      details: { option: 'signal' },
    })
  })
})

describe('what comes back', () => {
  const refusing: Handler<undefined, number> = () => refuse(() => createError({ code: 'CIRCUIT_OPEN' }))

  test('of startCall: an answer or a rejection, never a throw', async () => {
    expect(await startCall(async () => 1, template, undefined, undefined)).toBe(1)
    const refused = startCall(refusing, template, undefined, undefined)
    expect(refused).toBeInstanceOf(Promise)
    expect(await outcome(refused)).toBe('CIRCUIT_OPEN')
    const thrown = startCall(
      () => {
        throw new Error('at once')
      },
      template,
      undefined,
      undefined,
    )
    await expect(thrown).rejects.toThrow('at once')
  })

  test('of startResult: never a rejection', async () => {
    const of = (handler: Handler<undefined, number>): Promise<unknown> =>
      startResult(handler, template, undefined, undefined)
    expect(await of(async () => 1)).toEqual({ ok: true, value: 1 })
    expect(await of(refusing)).toMatchObject({ ok: false, error: { code: 'CIRCUIT_OPEN' } })
    expect(await of(() => fail('SERVER_ERROR'))).toMatchObject({ ok: false, error: { code: 'SERVER_ERROR' } })
    expect(
      await of(() => {
        throw new Error('at once')
      }),
    ).toMatchObject({ ok: false, error: { message: 'at once' } })
    expect(await startResult(refusing, template, undefined, { deadlineMs: -1 })).toMatchObject({
      ok: false,
      error: { code: 'INVALID_OPTIONS' },
    })
  })

  test('of begin: the refusal itself, and a look at the context', async () => {
    const see = vi.fn()
    expect(isRefusal(begin(refusing, template, undefined, undefined, see))).toBe(true)
    expect(see).toHaveBeenCalledTimes(1)
    begin(refusing, template, undefined, { deadlineMs: 5 }, see)
    expect(see.mock.calls[1]?.[0].deadline.at).toBe(5)
  })
})
