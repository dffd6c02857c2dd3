import { getEventListeners } from 'node:events'
import { describe, expect, test, vi } from 'vitest'
import {
  abortContext,
  type CallContext,
  createContext,
  effectSoFar,
  hasTried,
  triesOnce,
} from '../../src/core/context.ts'
import { deadlineAt } from '../../src/core/deadline.ts'
import { fakeClock } from '../../src/testing/fake-clock.ts'

const clock = fakeClock()
const begin = (): { context: CallContext; abort(reason: unknown): void } =>
  createContext({
    service: 'stock',
    operation: 'get',
    deadline: deadlineAt(1_000, clock),
    idempotent: false,
    headers: { a: '1' },
  })

describe('abort', () => {
  test('the signal is made when it is read, and once', () => {
    const root = begin()
    const { signal } = root.context
    expect(root.context.signal).toBe(signal)
    expect(signal.aborted).toBe(false)
    root.abort('why')
    expect([signal.aborted, signal.reason]).toEqual([true, 'why'])
  })

  test('a signal that is read after the abort is aborted', () => {
    const root = begin()
    const fork = root.context.fork({})
    root.abort('why')
    expect(fork.context.signal.aborted).toBe(true)
    expect(fork.context.signal.reason).toBe('why')
    expect(root.context.signal.reason).toBe('why')
  })

  test('ends the forks, and theirs; a fork ends itself alone', () => {
    const root = begin()
    const [one, two] = [root.context.fork({}), root.context.fork({})]
    const grandchild = one.context.fork({})
    const heard = [root, one, two, grandchild].map(({ context }) => {
      const listener = vi.fn()
      context.onAbort(listener)
      return listener
    })
    one.abort('first')
    expect(heard.map((each) => each.mock.calls)).toEqual([[], [['first']], [], [['first']]])
    expect([root, one, two, grandchild].map(({ context }) => context.aborted?.reason)).toEqual([
      undefined,
      'first',
      undefined,
      'first',
    ])
    root.abort('second')
    expect(heard.map((each) => each.mock.calls)).toEqual([[['second']], [['first']], [['second']], [['first']]])
    expect(grandchild.context.aborted?.reason).toBe('first')
  })

  test('is seen by a fork to which nobody listens', () => {
    const root = begin()
    const fork = root.context.fork({})
    root.abort('why')
    expect(fork.context.aborted).toEqual({ reason: 'why' })
  })

  test('counts once, and a late listener is called at once', () => {
    const root = begin()
    const listener = vi.fn()
    root.abort('first')
    root.abort('second')
    root.context.onAbort(listener)
    expect(listener).toHaveBeenCalledExactlyOnceWith('first')
  })

  test('a listener that has left hears nothing', () => {
    const root = begin()
    const [stays, leaves] = [vi.fn(), vi.fn()]
    root.context.onAbort(stays)
    const leave = root.context.onAbort(leaves)
    leave()
    leave()
    root.abort('why')
    expect(stays).toHaveBeenCalledTimes(1)
    expect(leaves).not.toHaveBeenCalled()
  })

  test('a listener that throws keeps it from nobody', () => {
    const root = begin()
    const after = vi.fn()
    root.context.onAbort(() => {
      throw new Error('mine')
    })
    root.context.onAbort(after)
    const { signal } = root.context
    root.abort('why')
    expect(after).toHaveBeenCalledExactlyOnceWith('why')
    expect(signal.aborted).toBe(true)
  })

  test('a reason may be undefined', () => {
    const root = begin()
    const listener = vi.fn()
    root.context.onAbort(listener)
    root.abort(undefined)
    expect(root.context.aborted).toEqual({ reason: undefined })
    expect(listener).toHaveBeenCalledTimes(1)
    expect(root.context.signal.aborted).toBe(true)
  })

  test('abortContext ends a context from outside, and leaves a foreign one alone', () => {
    const root = begin()
    abortContext(root.context, 'why')
    expect(root.context.aborted?.reason).toBe('why')
    expect(() => abortContext({} as CallContext, 'why')).not.toThrow()
  })

  test('each attempt has a signal of its own: ending one leaves the next usable (M5)', () => {
    const root = begin()
    const first = root.context.fork({ attempt: 1 })
    const second = root.context.fork({ attempt: 2 })
    expect(first.context.signal).not.toBe(second.context.signal)
    first.abort('timeout')
    expect(second.context.signal.aborted).toBe(false)
    expect(root.context.signal.aborted).toBe(false)
    expect(root.context.fork({ attempt: 3 }).context.signal.aborted).toBe(false)
    expect(getEventListeners(root.context.signal, 'abort')).toHaveLength(0)
  })
})

describe('fork', () => {
  test('has what it came with, but for what changes', () => {
    const { context } = begin()
    const tighter = deadlineAt(10, clock)
    const fork = context.fork({ attempt: 2, deadline: tighter, headers: { b: '2' } }).context
    expect(fork).toMatchObject({
      service: 'stock',
      operation: 'get',
      attempt: 2,
      idempotent: false,
      headers: { b: '2' },
    })
    expect(fork.deadline).toBe(tighter)
    expect(context.fork({}).context).toMatchObject({ attempt: 1, headers: { a: '1' } })
    expect(fork.fork({}).context).toMatchObject({ attempt: 2, headers: { b: '2' } })
  })

  test('shows what is tried to whoever took the set before', () => {
    const { context } = begin()
    const seen = context.fork({}).context.tried
    context.fork({}).context.markTried('a')
    expect([...seen]).toEqual(['a'])
  })

  test('a part that tries nobody twice begins with nobody, and the call knows that somebody was tried', () => {
    const { context } = begin()
    const part = context.fork({ ownTried: true }).context
    const deeper = part.fork({}).context
    expect([context, part, deeper].map(triesOnce)).toEqual([false, true, true])
    expect(hasTried(context)).toBe(false)
    deeper.markTried('a')
    expect([context, part].map((each) => [...each.tried])).toEqual([[], ['a']])
    expect([context, part, deeper].map(hasTried)).toEqual([true, true, true])
  })

  test('shares what was tried and the locals of the call, and has endpoint and effect of its own', () => {
    const { context } = begin()
    const fork = context.fork({}).context
    const deeper = fork.fork({}).context
    expect(context.tried.size).toBe(0)
    deeper.markTried('a')
    fork.markTried('b')
    expect([...context.tried]).toEqual(['a', 'b'])
    expect(context.tried).toBe(deeper.tried)
    expect(begin().context.tried).not.toBe(begin().context.tried)
    const key = Symbol('mine')
    deeper.locals.set(key, 1)
    expect(context.locals.get(key)).toBe(1)
    deeper.effect = 'none'
    deeper.endpoint = { id: 'a', addresses: [] }
    expect([context.effect, context.endpoint]).toEqual(['unknown', undefined])
  })
})

describe('effectSoFar', () => {
  test('is the effect of the innermost attempt', () => {
    const { context } = begin()
    expect(effectSoFar(context)).toBe('unknown')
    const attempt = context.fork({}).context.fork({}).context
    attempt.effect = 'none'
    expect(effectSoFar(context)).toBe('none')
    attempt.effect = 'done'
    expect(effectSoFar(context)).toBe('done')
  })

  test('does not forget what an earlier attempt may have done', () => {
    const { context } = begin()
    const first = context.fork({ attempt: 1 }).context
    first.effect = 'unknown'
    const second = context.fork({ attempt: 2 }).context
    second.effect = 'none'
    expect(effectSoFar(context)).toBe('unknown')
    expect(effectSoFar(second)).toBe('none')
  })

  test('is none while every attempt is known to have done nothing', () => {
    const { context } = begin()
    for (let attempt = 1; attempt <= 3; attempt++) context.fork({ attempt }).context.fork({}).context.effect = 'none'
    expect(effectSoFar(context)).toBe('none')
  })

  test('goes by the word of a context that is not ours', () => {
    expect(effectSoFar({ effect: 'none' } as CallContext)).toBe('none')
  })
})

describe('track', () => {
  const settled = async (context: CallContext): Promise<boolean> => {
    let done = false
    context.tracked?.then(() => {
      done = true
    })
    await new Promise((resolve) => setImmediate(resolve))
    return done
  }

  test('is seen outside the fork, and over when all of it is over, well or not', async () => {
    const { context } = begin()
    const fork = context.fork({}).context
    expect(context.tracked).toBeUndefined()
    let resolve!: () => void
    let reject!: (error: Error) => void
    fork.track(new Promise<void>((done) => (resolve = done)))
    fork.track(new Promise((_, no) => (reject = no)))
    expect(await settled(context)).toBe(false)
    resolve()
    expect(await settled(fork)).toBe(false)
    reject(new Error('of the work'))
    expect(await settled(fork)).toBe(true)
    expect(await settled(context)).toBe(true)
  })

  test('of one fork is no matter of another', () => {
    const { context } = begin()
    context.fork({}).context.track(new Promise(() => undefined))
    expect(context.fork({}).context.tracked).toBeUndefined()
  })
})

describe('of several listeners', () => {
  for (const left of [0, 1, 2, 3]) {
    test(`number ${left} can stop, and the others are told in their order, a later one too`, () => {
      const { context, abort } = createContext({
        service: 'a',
        operation: 'b',
        deadline: deadlineAt(Infinity, fakeClock()),
        idempotent: false,
      })
      const told: number[] = []
      const stops = [0, 1, 2, 3].map((number) => context.onAbort(() => told.push(number)))
      stops[left]?.()
      stops[left]?.()
      context.onAbort(() => told.push(4))
      abort(new Error('over'))
      expect(told).toEqual([0, 1, 2, 3, 4].filter((number) => number !== left))
    })
  }
})
