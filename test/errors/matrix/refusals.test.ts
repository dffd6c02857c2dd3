// What fairlead refuses by itself: never a failure of the peer, never proof of anything but that nothing was done.
import { describe, expect, test } from 'vitest'
import { CODES, classify, createError, fromProblem, toProblem, verdictOf } from '../../../src/errors/index.ts'
import { type Expected, expectError } from './rows.ts'

const refusal = (code: Expected['code'], retry: Expected['retry']): Expected => ({
  kind: 'rejected',
  code,
  effect: 'none',
  retry,
})

// `always` says that the same call could go well later; whether this pipeline tries again is the retry policy's word, and it does not.
const refusals: readonly Expected[] = [
  refusal('CIRCUIT_OPEN', 'always'),
  refusal('CIRCUIT_ISOLATED', 'never'),
  refusal('OUTSTANDING_LIMIT', 'always'),
  refusal('RATE_LIMITED', 'always'),
  refusal('RETRY_BUDGET_EXHAUSTED', 'always'),
  refusal('DEADLINE_SPENT', 'never'),
  refusal('SHUTDOWN', 'never'),
  refusal('SELF_EXHAUSTED', 'always'),
  refusal('IN_PROGRESS', 'always'),
]

describe('refusals', () => {
  test.each(refusals.map((expected) => [expected.code, expected] as const))('%s', (code, expected) => {
    const error = createError({ code, stack: false })
    expectError(error, expected)
    expect(error.refusedBy).toBe('self')
    expect(error.overload).toBe(false)
    expect(verdictOf(error)).toBe('neutral')
  })

  test('they are all of the kind, but the one of the peer', () => {
    const rejected = Object.entries(CODES).filter(([, facts]) => facts.kind === 'rejected')
    expect(rejected.map(([code]) => code).sort()).toEqual(
      [...refusals.map(({ code }) => code), 'STREAM_REFUSED'].sort(),
    )
    for (const [code, facts] of rejected) expect(facts.refusedBy).toBe(code === 'STREAM_REFUSED' ? 'peer' : 'self')
    for (const [code, facts] of Object.entries(CODES))
      if (facts.kind !== 'rejected') expect([code, facts.refusedBy]).toEqual([code, undefined])
  })

  test('the caller, and his own mistakes, say nothing of the peer', () => {
    for (const [code, facts] of Object.entries(CODES)) {
      if (facts.kind === 'cancelled' || facts.kind === 'invalid')
        expect([code, facts.breaker]).toEqual([code, 'neutral'])
      if (facts.kind === 'rejected') expect([code, facts.breaker]).toEqual([code, 'neutral'])
    }
  })

  test('a peer that says the same of itself is a peer that cannot', () => {
    for (const code of ['CIRCUIT_OPEN', 'OUTSTANDING_LIMIT', 'SHUTDOWN'] as const) {
      const { status, body } = toProblem(createError({ code }))
      const error = classify(fromProblem(body, status))
      expect(error).toMatchObject({ code, kind: 'rejected', refusedBy: 'peer' })
      expect(verdictOf(error)).toBe('failure')
    }
    const limited = toProblem(createError({ code: 'RATE_LIMITED' }))
    expect(limited.status).toBe(429)
    expect(verdictOf(fromProblem(limited.body, 429))).toBe('neutral')
    expect(fromProblem(limited.body, 429).overload).toBe(true)
  })
})
