import { assertHistory, checkHistory, type HistoryEvent, type HistoryRule, historyChecker } from 'fairlead/testing'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'

type Sent = Extract<HistoryEvent, { event: 'sent' | 'maybe' }>
type Applied = Extract<HistoryEvent, { event: 'applied' }>

const sent = (key: string, n: number, more: Partial<Sent> = {}): Sent => ({
  event: 'sent',
  key,
  n,
  id: `${key}/${n}`,
  ...more,
})
const applied = (consumer: string, key: string, n: number, more: Partial<Applied> = {}): Applied => ({
  event: 'applied',
  consumer,
  key,
  n,
  id: `${key}/${n}`,
  ...more,
})
const broken = (events: readonly HistoryEvent[], options = {}): Partial<Record<HistoryRule, number>> =>
  Object.fromEntries(Object.entries(checkHistory(events, options).broken).filter(([, count]) => count > 0))

describe('the checker of histories', () => {
  it('finds nothing in a history that keeps every promise', () => {
    const events = [
      applied('a', 'k', 1),
      sent('k', 1),
      sent('k', 3),
      sent('l', 1),
      applied('b', 'k', 1),
      applied('a', 'l', 1),
      applied('a', 'k', 3),
      applied('b', 'k', 3),
      applied('b', 'l', 1),
    ]
    expect(checkHistory(events, { consumers: ['a', 'b'] })).toEqual({
      ok: true,
      sent: 3,
      maybe: 0,
      maybeCommitted: 0,
      applied: 6,
      broken: { lost: 0, twice: 0, order: 0, cause: 0, invented: 0 },
      violations: [],
    })
  })

  it('finds what is lost to one of two consumers', () => {
    const events = [sent('k', 1), sent('k', 2), applied('a', 'k', 1), applied('b', 'k', 1), applied('b', 'k', 2)]
    const { violations } = checkHistory(events)
    expect(violations).toEqual([
      {
        rule: 'lost',
        consumer: 'a',
        key: 'k',
        n: 2,
        id: 'k/2',
        message: 'a never applied key "k" n 2 (id k/2): the furthest that it applied of this key is n 1',
      },
    ])
  })

  it('finds what is lost to a consumer that did nothing, and to nobody in particular', () => {
    expect(broken([sent('k', 1), applied('a', 'k', 1)], { consumers: ['a', 'b'] })).toEqual({ lost: 1 })
    expect(broken([sent('k', 1)])).toEqual({ lost: 1 })
  })

  it('finds what is applied twice, and does not call it out of order as well', () => {
    const { violations } = checkHistory([sent('k', 1), sent('k', 2), ...[1, 2, 1].map((n) => applied('a', 'k', n))])
    expect(violations.map(({ message }) => message)).toEqual([
      'a applied key "k" n 1 (id k/1) again, 1 other messages after the first',
    ])
  })

  it('finds what is applied after a later one of its key', () => {
    const { violations } = checkHistory([sent('k', 1), sent('k', 2), ...[2, 1].map((n) => applied('a', 'k', n))])
    expect(violations.map(({ message }) => message)).toEqual([
      'a applied key "k" in a wrong order: expected an n above 2 (id k/2), saw n 1 (id k/1)',
    ])
  })

  it('finds two messages that claim the same place', () => {
    const events = [
      sent('k', 1),
      sent('k', 1, { id: 'other' }),
      applied('a', 'k', 1),
      applied('a', 'k', 1, { id: 'other' }),
    ]
    expect(broken(events)).toEqual({ order: 1 })
  })

  it('finds effects of messages that nobody published, or published otherwise', () => {
    expect(broken([applied('a', 'k', 1)])).toEqual({ invented: 1 })
    expect(broken([sent('k', 1), applied('a', 'k', 2, { id: 'k/1' })])).toEqual({ invented: 1 })
    expect(broken([sent('k', 1), applied('a', 'l', 1, { id: 'k/1' })])).toEqual({ invented: 1 })
  })

  it('finds effects before their cause: never applied, later by the same consumer, later on a common scale', () => {
    const shipped = sent('s', 1, { causes: ['k/1'], by: 'a' })
    expect(broken([sent('k', 1), shipped, applied('b', 's', 1), applied('b', 'k', 1)], { consumers: ['b'] })).toEqual({
      cause: 1,
    })
    expect(broken([sent('k', 1), shipped, applied('a', 's', 1), applied('a', 'k', 1)])).toEqual({ cause: 1 })
    const scale = (first: number, second: number): readonly HistoryEvent[] => [
      sent('k', 1),
      shipped,
      applied('a', 'k', 1, { at: first }),
      applied('b', 's', 1, { at: second }),
    ]
    const options = { applies: (consumer: string, { key }: Sent) => (consumer === 'a') === (key === 'k') }
    expect(broken(scale(2, 1), options)).toEqual({ cause: 1 })
    expect(broken(scale(1, 2), options)).toEqual({})
  })

  it('lets a commit of unknown outcome be there or not, but for all or for none', () => {
    const maybe = sent('k', 1, { event: 'maybe' })
    expect(checkHistory([maybe], { consumers: ['a'] })).toMatchObject({
      ok: true,
      sent: 0,
      maybe: 1,
      maybeCommitted: 0,
    })
    expect(checkHistory([maybe, applied('a', 'k', 1)])).toMatchObject({
      ok: true,
      sent: 0,
      maybe: 1,
      maybeCommitted: 1,
    })
    expect(broken([maybe, applied('a', 'k', 1)], { consumers: ['a', 'b'] })).toEqual({ lost: 1 })
    expect(broken([maybe, sent('l', 1, { causes: ['k/1'] }), applied('a', 'l', 1)])).toEqual({ lost: 1, cause: 1 })
    expect(broken([maybe, sent('k', 1)], { consumers: ['a'] })).toEqual({ lost: 1 })
  })

  it('counts all violations, and words the first of each rule', () => {
    const events = Array.from({ length: 50 }, (_, n) => sent('k', n))
    const report = checkHistory([...events, applied('a', 'x', 1)], { limit: 3 })
    expect(report.broken).toMatchObject({ lost: 50, invented: 1 })
    expect(report.violations.map(({ rule }) => rule)).toEqual(['lost', 'lost', 'lost', 'invented'])
    expect(() => assertHistory(events, { consumers: ['a'], limit: 1 })).toThrow(
      /^50 sent, 0 applied: 50 lost, 0 twice, 0 order, 0 cause, 0 invented\n {2}lost: a never applied key "k" n 0 .*\n {2}\.\.\. and 49 more$/,
    )
  })

  it('refuses a history that contradicts itself', () => {
    expect(() => checkHistory([sent('k', 1), sent('k', 1)])).toThrow(/recorded twice/)
    expect(() => checkHistory([sent('k', Number.NaN)])).toThrow(/give a number/)
    expect(() => historyChecker({ limit: -1 })).toThrow(/limit/)
  })

  it('may be asked in between', () => {
    const checker = historyChecker({ consumers: ['a'] })
    checker.add(sent('k', 1))
    expect(checker.report().broken.lost).toBe(1)
    checker.add(applied('a', 'k', 1))
    expect(checker.report().ok).toBe(true)
  })

  it('takes hundreds of thousands of lines', () => {
    const checker = historyChecker({ consumers: ['a', 'b'] })
    for (let n = 0; n < 100_000; n++) checker.add(sent(`k${n % 100}`, n))
    for (const consumer of ['a', 'b'])
      for (let n = 0; n < 100_000; n++) checker.add(applied(consumer, `k${n % 100}`, n))
    expect(checker.report()).toMatchObject({ ok: true, sent: 100_000, applied: 200_000 })
  })
})

describe('any history', () => {
  const KEYS = ['x', 'y', 'z']
  const CONSUMERS = ['a', 'b']
  const keys = fc.array(fc.constantFrom(...KEYS), { minLength: 2, maxLength: 30 })

  // Consumers apply in different orders across keys, each in the order of each key.
  const historyOf = (order: readonly string[], picks: readonly number[]): { sent: Sent[]; applied: Applied[] } => {
    const counts = new Map<string, number>()
    const all = order.map((key) => {
      const n = (counts.get(key) ?? 0) + 1
      counts.set(key, n)
      return sent(key, n)
    })
    let pick = 0
    const effects = CONSUMERS.flatMap((consumer) => {
      const waiting = KEYS.map((key) => all.filter((one) => one.key === key))
      const mine: Applied[] = []
      while (mine.length < all.length) {
        const open = waiting.filter(({ length }) => length > 0)
        const next = open[(picks[pick++ % picks.length] ?? 0) % open.length]?.shift()
        if (next !== undefined) mine.push(applied(consumer, next.key, next.n))
      }
      return mine
    })
    return { sent: all, applied: effects }
  }
  const cases = fc.record({ keys, picks: fc.array(fc.nat(100), { minLength: 1, maxLength: 60 }), at: fc.nat(1_000) })

  it('is well as long as nothing is changed, and names the rule that one change breaks', () => {
    fc.assert(
      fc.property(cases, ({ keys, picks, at }) => {
        const { sent: all, applied: effects } = historyOf(keys, picks)
        const judge = (events: readonly HistoryEvent[]): Partial<Record<HistoryRule, number>> =>
          broken([...all, ...events], { consumers: CONSUMERS })
        expect(judge(effects)).toEqual({})
        const index = at % effects.length
        const victim = effects[index] as Applied
        expect(judge(effects.toSpliced(index, 1))).toEqual({ lost: 1 })
        expect(judge([...effects, victim])).toEqual({ twice: 1 })
        expect(judge(effects.toSpliced(index, 1, { ...victim, id: 'strange' }))).toEqual({ lost: 1, invented: 1 })
        const after = effects.findIndex(
          ({ consumer, key }, i) => i > index && consumer === victim.consumer && key === victim.key,
        )
        // Behind the next one of its key.
        if (after !== -1)
          expect(judge(effects.toSpliced(after + 1, 0, victim).toSpliced(index, 1))).toEqual({ order: 1 })
      }),
      { numRuns: 300, seed: 7 },
    )
  })
})
