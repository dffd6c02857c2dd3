import { describe, expect, test } from 'vitest'
import type { Waiting } from '../../../src/messaging/consumer/trigger.ts'
import { batchOf, byPriority, every } from '../../../src/messaging/triggers/index.ts'

const waiting = (over: Partial<Waiting> & { urgent?: number } = {}): Waiting => ({
  count: 0,
  atOrAbove: () => over.urgent ?? 0,
  waitedMs: 0,
  sinceReleaseMs: 0,
  ...over,
})

describe('batchOf', () => {
  test('releases its number, neither fewer nor more', () => {
    const trigger = batchOf(10)
    expect(trigger.decide(waiting({ count: 9, waitedMs: 1e9 }))).toEqual({})
    expect(trigger.decide(waiting({ count: 10 }))).toEqual({ release: 10 })
    expect(trigger.decide(waiting({ count: 25 }))).toEqual({ release: 10 })
    expect(trigger.sees).toBe(10)
  })

  test('a smaller batch once the oldest has waited long enough', () => {
    const trigger = batchOf(10, { maxWaitMs: 500 })
    expect(trigger.decide(waiting())).toEqual({})
    expect(trigger.decide(waiting({ count: 1, waitedMs: 200 }))).toEqual({ askAgainMs: 300 })
    expect(trigger.decide(waiting({ count: 3, waitedMs: 500 }))).toEqual({ release: 3 })
  })
})

describe('byPriority', () => {
  const trigger = byPriority({ urgent: 2, priority: 5, any: 50, maxWaitMs: 1_000 })

  test('enough urgent ones, or enough of any, or too long a wait', () => {
    expect(trigger.decide(waiting({ count: 49, urgent: 1, waitedMs: 400 }))).toEqual({ askAgainMs: 600 })
    expect(trigger.decide(waiting({ count: 2, urgent: 2 }))).toEqual({ release: 2 })
    expect(trigger.decide(waiting({ count: 50 }))).toEqual({ release: 50 })
    expect(trigger.decide(waiting({ count: 1, waitedMs: 1_000 }))).toEqual({ release: 1 })
    expect(trigger.decide(waiting())).toEqual({})
  })

  test('asks for its own priority, and takes at most what it can see', () => {
    const asked: number[] = []
    trigger.decide({ ...waiting({ count: 1 }), atOrAbove: (priority) => asked.push(priority) })
    expect(asked).toEqual([5])
    expect(trigger.priorities).toEqual([5])
    expect(trigger.sees).toBe(100)
    expect(byPriority({ urgent: 2, priority: 5, any: 500 }).sees).toBe(500)
    expect(trigger.decide(waiting({ count: 300 }))).toEqual({ release: 100 })
  })

  test('without `any` and a longest wait only urgent ones count', () => {
    const urgentOnly = byPriority({ urgent: 1, priority: 9 })
    expect(urgentOnly.decide(waiting({ count: 1_000, waitedMs: 1e9 }))).toEqual({})
    expect(urgentOnly.decide(waiting({ count: 1_000, urgent: 1 }))).toEqual({ release: 100 })
  })
})

describe('every', () => {
  test('by the clock, and only if there is something', () => {
    const trigger = every(60_000, { atLeast: 2, atMost: 5 })
    expect(trigger.decide(waiting({ count: 3, sinceReleaseMs: 20_000 }))).toEqual({ askAgainMs: 40_000 })
    expect(trigger.decide(waiting({ count: 3, sinceReleaseMs: 60_000 }))).toEqual({ release: 3 })
    expect(trigger.decide(waiting({ count: 9, sinceReleaseMs: 60_000 }))).toEqual({ release: 5 })
    expect(trigger.decide(waiting({ count: 1, sinceReleaseMs: 60_000 }))).toEqual({})
  })
})

describe('bad options name the option', () => {
  test.each<[() => unknown, RegExp]>([
    [() => batchOf(0), /batchOf\.count/],
    [() => batchOf(10, { maxWaitMs: -1 }), /batchOf\.maxWaitMs/],
    [() => batchOf(10, { maxWait: 1 } as never), /batchOf\.maxWait.*no such option/],
    [() => byPriority({ priority: 1 } as never), /byPriority\.urgent/],
    [() => byPriority({ urgent: 1, priority: 1.5 }), /byPriority\.priority/],
    [() => byPriority({ urgent: 1, priority: 1, any: 9, atMost: 8 }), /byPriority\.atMost/],
    [() => every(0), /every\.intervalMs/],
    [() => every(5, { atLeast: 5, atMost: 4 }), /every\.atMost/],
  ])('%s', (make, message) => {
    expect(make).toThrow(message)
  })
})
