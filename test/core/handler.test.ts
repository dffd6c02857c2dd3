import { describe, expect, test, vi } from 'vitest'
import { described, describe as describeThing } from '../../src/core/describe.ts'
import { compose, type Handler, isRefusal, type Layer, type Refusal, refuse } from '../../src/core/handler.ts'
import { createError } from '../../src/errors/classes.ts'
import { fakeClock } from '../../src/testing/fake-clock.ts'
import { contextOf, plainAsync } from '../policies/kit.ts'

const context = contextOf(fakeClock())
const refusal = (): Refusal => refuse(() => createError({ code: 'CIRCUIT_OPEN' }))

describe('a refusal', () => {
  test('makes its error when it is read, and once', () => {
    const make = vi.fn(() => createError({ code: 'CIRCUIT_OPEN' }))
    const refused = refuse(make)
    expect(make).not.toHaveBeenCalled()
    expect(refused.refused).toBe(refused.refused)
    expect(make).toHaveBeenCalledTimes(1)
  })

  test('awaited, it throws its error, each time', async () => {
    const refused = refusal()
    await expect((async () => await refused)()).rejects.toBe(refused.refused)
    await expect(Promise.resolve(refused)).rejects.toBe(refused.refused)
    expect(await refused.then(undefined, (error) => (error as { code: string }).code)).toBe('CIRCUIT_OPEN')
  })

  test('is told from everything else, also one made by another copy of fairlead', () => {
    expect(isRefusal(refusal())).toBe(true)
    expect(isRefusal({ [Symbol.for('fairlead.refusal')]: true, refused: 1 })).toBe(true)
    for (const other of [Promise.resolve(), undefined, null, 1, 'refused', {}, () => undefined])
      expect(isRefusal(other)).toBe(false)
  })

  test('goes through the plain async layer of a user as a rejection, whatever it does around', async () => {
    const log: string[] = []
    const mine: Layer = (next) => async (request, context) => {
      log.push('before')
      try {
        return await next(request, context)
      } finally {
        log.push('after')
      }
    }
    const refusing: Layer = () => () => refusal()
    const run = compose([mine, refusing], async () => 1)
    await expect(run(undefined, context)).rejects.toMatchObject({ code: 'CIRCUIT_OPEN' })
    expect(log).toEqual(['before', 'after'])
    await expect(compose([plainAsync, plainAsync, refusing], async () => 1)(undefined, context)).rejects.toMatchObject({
      kind: 'rejected',
    })
  })
})

describe('compose', () => {
  const tracing =
    (name: string, log: string[]): Layer =>
    (next) =>
    async (request, context) => {
      log.push(`${name}>`)
      const answer = await next(request, context)
      log.push(`<${name}`)
      return answer
    }

  test('first = outermost', async () => {
    const log: string[] = []
    const run = compose(
      [tracing('a', log), tracing('b', log), tracing('c', log)],
      async (request: number) => request * 2,
    )
    expect(await run(21, context)).toBe(42)
    expect(log).toEqual(['a>', 'b>', 'c>', '<c', '<b', '<a'])
  })

  test('without layers it is the handler', async () => {
    expect(await compose([], async (request: string) => request)('x', context)).toBe('x')
  })

  test('what a handler or a layer throws at once is a rejection for the layers outside', async () => {
    const seen = vi.fn()
    const outside: Layer = (next) => (request, context) => {
      const result = next(request, context)
      if (isRefusal(result)) return result
      return result.catch((error) => {
        seen(error)
        throw error
      })
    }
    const ours = described(outside, 'ours', {})
    const throwing: Handler<undefined, number> = () => {
      throw new Error('at once')
    }
    await expect(compose([ours], throwing)(undefined, context)).rejects.toThrow('at once')
    const throwingLayer: Layer = () => () => {
      throw new Error('in the layer')
    }
    await expect(compose([ours, throwingLayer], async () => 1)(undefined, context)).rejects.toThrow('in the layer')
    expect(seen).toHaveBeenCalledTimes(2)
    expect(describeThing(ours)).toEqual({ layer: 'ours', options: {} })
  })
})
