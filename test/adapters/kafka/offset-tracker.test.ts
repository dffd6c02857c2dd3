import { seededRandom } from 'fairlead/testing'
import { describe, expect, it } from 'vitest'
import { type Mark, OffsetTracker } from '../../../src/adapters/kafka/offset-tracker.ts'

describe('what may be committed of a partition', () => {
  it('is the first that is open, whatever is done behind it', () => {
    const tracker = new OffsetTracker(10)
    const marks = [10, 11, 12, 13].map((offset) => tracker.add(offset) as Mark)
    expect(tracker.base).toBe(10)
    tracker.done(marks[1] as Mark)
    tracker.done(marks[3] as Mark)
    expect(tracker.base).toBe(10)
    tracker.done(marks[0] as Mark)
    expect(tracker.base).toBe(12)
    tracker.done(marks[2] as Mark)
    expect([tracker.base, tracker.next]).toEqual([14, 14])
  })

  it('passes over gaps of a compacted log', () => {
    const tracker = new OffsetTracker(0)
    const [first, second] = [tracker.add(3) as Mark, tracker.add(90) as Mark]
    expect(tracker.base).toBe(3)
    tracker.done(first)
    expect(tracker.base).toBe(90)
    tracker.done(second)
    expect(tracker.base).toBe(91)
  })

  it('is told once, and again when telling failed', () => {
    const tracker = new OffsetTracker(0)
    expect(tracker.dirty).toBe(false)
    tracker.done(tracker.add(0) as Mark)
    expect(tracker.dirty).toBe(true)
    expect(tracker.take()).toEqual({ offset: 1, note: '' })
    expect(tracker.dirty).toBe(false)
    tracker.undo()
    expect(tracker.dirty).toBe(true)
  })

  it('takes notes of somebody else for none', () => {
    for (const note of ['{"x":1}', 'f1:', 'f1:@@', 'NO_METADATA']) {
      const tracker = new OffsetTracker(5, note)
      expect([tracker.add(5)?.offset, tracker.add(6)?.offset]).toEqual([5, 6])
    }
  })

  it('fits what the broker takes beside an offset', () => {
    const tracker = new OffsetTracker(0)
    const marks = Array.from({ length: 30_000 }, (_, offset) => tracker.add(offset) as Mark)
    for (const mark of marks.slice(1)) tracker.done(mark)
    expect(tracker.take().note.length).toBeLessThan(4_096)
  })
})

describe.each(Array.from({ length: 25 }, (_, seed) => seed + 1))(
  'with seed %i, partitions change hands at any time',
  (seed) => {
    it('and what was done is never read again, what was not is', () => {
      const random = seededRandom(seed)
      const log: number[] = []
      for (
        let offset = Math.floor(random() * 50);
        log.length < 600;
        offset += random() < 0.1 ? 1 + Math.floor(random() * 40) : 1
      )
        log.push(offset)
      const done = new Set<number>()
      let committed: { offset: number; note: string } = { offset: log[0] as number, note: '' }
      // What is done when it is committed: the rest of a holder's work is lost with it.
      let kept = new Set<number>()
      for (let holder = 0; holder < 40; holder++) {
        const tracker = new OffsetTracker(committed.offset, committed.note)
        const open: Mark[] = []
        const mine = new Set(kept)
        for (const offset of log.filter((each) => each >= committed.offset).slice(0, 20 + Math.floor(random() * 200))) {
          const mark = tracker.add(offset)
          expect(mark === undefined, `record ${offset} given to holder ${holder}`).toBe(kept.has(offset))
          if (mark !== undefined) open.push(mark)
        }
        for (let steps = Math.floor(random() * 80); steps > 0 && open.length > 0; steps--) {
          const [mark] = open.splice(Math.floor(random() * open.length), 1) as [Mark]
          tracker.done(mark)
          tracker.done(mark)
          mine.add(mark.offset)
          const least = Math.min(...open.map(({ offset }) => offset), tracker.next)
          expect(tracker.base).toBe(least)
          if (random() < 0.3) {
            committed = tracker.take()
            kept = new Set(mine)
          }
        }
        for (const offset of kept) done.add(offset)
        expect(log.filter((offset) => offset < committed.offset).every((offset) => done.has(offset))).toBe(true)
      }
      expect(done.size).toBeGreaterThan(100)
    })
  },
)
