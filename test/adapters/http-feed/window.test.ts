// The stretch between settled and fetched against a simple model, over thousands of random steps, with its text read back by a new holder again and again.
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { isPosition } from '../../../src/adapters/http-feed/position.ts'
import { formatProgress, freshProgress, parseProgress } from '../../../src/adapters/http-feed/progress.ts'
import { type Slot, Window } from '../../../src/adapters/http-feed/window.ts'
import type { FeedEntry } from '../../../src/adapters/http-feed/wire.ts'

const entry = (number: number): FeedEntry => ({
  position: `g-${number}`,
  envelope: { id: String(number), attributes: {}, headers: {}, body: new Uint8Array(0) },
})
const idOf = ({ entry: found }: Slot): number => Number(found?.envelope.id)

type Step =
  | { readonly do: 'fetch'; readonly count: number }
  | { readonly do: 'take' }
  | { readonly do: 'done' | 'back'; readonly which: number }
  | { readonly do: 'takeOver' }

const steps: fc.Arbitrary<readonly Step[]> = fc.array(
  fc.oneof(
    { weight: 2, arbitrary: fc.record({ do: fc.constant('fetch' as const), count: fc.nat(5) }) },
    { weight: 6, arbitrary: fc.record({ do: fc.constant('take' as const) }) },
    { weight: 4, arbitrary: fc.record({ do: fc.constant('done' as const), which: fc.nat(50) }) },
    { weight: 1, arbitrary: fc.record({ do: fc.constant('back' as const), which: fc.nat(50) }) },
    { weight: 1, arbitrary: fc.record({ do: fc.constant('takeOver' as const) }) },
  ),
  { maxLength: 300 },
)

describe('the window', () => {
  it('hands out in order, nothing twice that is settled, and knows how often, also over changes of its holder', () => {
    fc.assert(
      fc.property(steps, (all) => {
        let window = new Window(freshProgress('g-0'))
        let fetched = 0
        let held: Slot[] = []
        const done = new Set<number>()
        const handed = new Map<number, number>()
        for (const step of all) {
          if (step.do === 'fetch') {
            const from = Number(window.tail.slice(2))
            expect(from).toBe(fetched)
            const entries = Array.from({ length: step.count }, (_, index) => entry(from + index + 1))
            fetched += step.count
            window.add(entries, `g-${fetched}`)
          } else if (step.do === 'take') {
            const next = window.next(0)
            const open = Array.from({ length: fetched }, (_, index) => index + 1).find(
              (number) => !done.has(number) && !held.some((slot) => idOf(slot) === number),
            )
            if (next === undefined || 'until' in next) {
              expect(open).toBeUndefined()
              continue
            }
            const id = idOf(next.slot)
            expect(id).toBe(open)
            expect(next.slot.handed).toBe(handed.get(id) ?? 0)
            window.hold(next.slot)
            handed.set(id, (handed.get(id) ?? 0) + 1)
            held.push(next.slot)
          } else if (step.do === 'takeOver') {
            const text = formatProgress(window.progress())
            expect(isPosition(text.split(' ')[0])).toBe(true)
            window = new Window(parseProgress(text))
            fetched = Number(window.tail.slice(2))
            held = []
          } else {
            const slot = held[step.which % Math.max(held.length, 1)]
            if (slot === undefined) continue
            held = held.filter((each) => each !== slot)
            if (step.do === 'done') {
              done.add(idOf(slot))
              window.done(slot)
            } else window.back(slot, 0)
          }
          const { after, done: behind } = window.progress()
          const prefix = Number(after.slice(2))
          // Everything before it is settled, and all that is settled is before it or named.
          for (let number = 1; number <= prefix; number++) expect(done.has(number)).toBe(true)
          expect(new Set([...behind].map((number) => prefix + number))).toEqual(
            new Set([...done].filter((number) => number > prefix)),
          )
        }
      }),
      { numRuns: 300 },
    )
  })

  it('lets nothing pass one whose time has not come', () => {
    const window = new Window(freshProgress('g-0'))
    window.add([entry(1), entry(2)], 'g-2')
    const { slot } = window.next(0) as { slot: Slot }
    window.hold(slot)
    window.back(slot, 500)
    expect(window.next(499)).toEqual({ until: 500 })
    expect(window.ready(499)).toBeUndefined()
    expect((window.next(500) as { slot: Slot }).slot).toBe(slot)
  })

  it('stays small however much goes through it', () => {
    const window = new Window(freshProgress('g-0'))
    for (let number = 1; number <= 100_000; number++) {
      window.add([entry(number)], `g-${number}`)
      const { slot } = window.next(0) as { slot: Slot }
      window.hold(slot)
      window.done(slot)
    }
    expect(window.length).toBe(0)
    expect((window as unknown as { slots: readonly unknown[] }).slots.length).toBeLessThan(3_000)
    expect(formatProgress(window.progress())).toBe('g-100000')
  })
})

describe('progress as text', () => {
  it('is the position alone where that says it all', () => {
    expect(formatProgress(freshProgress('abc-7'))).toBe('abc-7')
    expect(parseProgress('abc-7')).toEqual(freshProgress('abc-7'))
  })

  it('can be read back', () => {
    const progress = { after: 'abc-7', done: new Set([2, 3, 4, 8]), handed: new Map([[1, 2]]), held: new Set([1]) }
    expect(formatProgress(progress)).toBe('abc-7 done=2-4,8 handed=1:2 held=1')
    expect(parseProgress(formatProgress(progress))).toEqual(progress)
  })

  it.each(['abc-7 done=x,5-', 'abc-7 nonsense', 'abc-7 handed=1', 'abc-7  '])(
    'leaves out what it cannot read: %j',
    (text) => {
      expect(parseProgress(text)).toEqual(freshProgress('abc-7'))
    },
  )

  it('does not fill memory for a text that is not one of its own', () => {
    expect(parseProgress('abc-7 done=1-9999999').done.size).toBeLessThanOrEqual(1_000_000)
  })
})
