import { seededRandom } from 'fairlead/testing'
import { describe, expect, it } from 'vitest'
import type { KafkaRecord } from '../../../src/adapters/kafka/driver.ts'
import { type Entry, Lane } from '../../../src/adapters/kafka/lanes/partition.ts'
import { OffsetTracker } from '../../../src/adapters/kafka/offset-tracker.ts'

const record = (offset: number, key?: string, headers: Record<string, string> = {}): KafkaRecord => ({
  offset,
  key: key === undefined ? null : Buffer.from(key),
  value: Buffer.from(String(offset)),
  headers: { ce_type: 't', ce_source: '/s', ...headers },
  timestamp: 0,
})

const laneOf = (rules: { maxUncommitted?: number; readAhead?: number } = {}) => {
  const time = { now: 0 }
  const lane = new Lane({ topic: 't', partition: 0 }, '0', new OffsetTracker(0), {
    maxUncommitted: 1_000,
    readAhead: 100,
    wallNow: () => 1_767_225_600_000 + time.now,
    now: () => time.now,
    ...rules,
  })
  const next = (): Entry | undefined => {
    const entry = lane.peek()
    if (entry !== undefined) lane.hold(entry)
    return entry
  }
  return { lane, time, next, take: (): number | undefined => next()?.offset }
}

describe('one partition', () => {
  it('hands out one of a key at a time, and others meanwhile', () => {
    const { lane, next, take } = laneOf()
    lane.add([record(0, 'a'), record(1, 'a'), record(2, 'b'), record(3), record(4)])
    const first = next() as Entry
    expect([first.offset, take(), take(), take(), take()]).toEqual([0, 2, 3, 4, undefined])
    lane.finish(first)
    expect(take()).toBe(1)
  })

  it('hands out again what was given back, before later ones of its key', () => {
    const { lane, next, take } = laneOf()
    lane.add([record(0, 'a'), record(1, 'a'), record(2, 'b')])
    lane.giveBack(next() as Entry, 0, false)
    expect([take(), take()]).toEqual([0, 2])
  })

  it('lets a key wait for its delayed one, or pass it if asked', () => {
    const { lane, next, take, time } = laneOf()
    lane.add([record(0, 'a'), record(1, 'a'), record(2, 'b'), record(3, 'b')])
    const [a, b] = [next() as Entry, next() as Entry]
    lane.giveBack(a, 100, false)
    lane.giveBack(b, 50, true)
    expect(lane.dueAt).toBe(50)
    const passing = next() as Entry
    expect([passing.offset, take()]).toEqual([3, undefined])
    time.now = 60
    lane.wake()
    expect(take()).toBeUndefined()
    lane.finish(passing)
    expect(take()).toBe(2)
    time.now = 100
    lane.wake()
    expect(take()).toBe(0)
    expect(lane.tracker.base).toBe(0)
  })

  it('takes its place among those that wait when its time comes', () => {
    const { lane, take, time } = laneOf()
    lane.add([record(0, 'a', { ce_notbefore: '2026-01-01T00:00:00.100Z' }), record(1, 'a'), record(2, 'a')])
    time.now = 100
    lane.wake()
    expect([take(), take()]).toEqual([0, undefined])
  })

  it('goes no further than so many from what is not done', () => {
    const { lane, next, take } = laneOf({ maxUncommitted: 3 })
    lane.add([0, 1, 2, 3, 4].map((offset) => record(offset)))
    const stuck = next() as Entry
    for (const offset of [1, 2]) {
      const entry = next() as Entry
      expect(entry.offset).toBe(offset)
      lane.finish(entry)
    }
    expect(take()).toBeUndefined()
    lane.finish(stuck)
    expect([take(), take()]).toEqual([3, 4])
  })

  it('is full when enough is read ahead, until half of it is gone', () => {
    const { lane, take } = laneOf({ readAhead: 4 })
    lane.add([0, 1, 2, 3].map((offset) => record(offset)))
    expect(lane.full).toBe(true)
    lane.paused = true
    take()
    expect(lane.full).toBe(true)
    take()
    expect(lane.full).toBe(false)
  })

  it('hands out nothing while it is given up', () => {
    const { lane, take } = laneOf()
    lane.add([record(0)])
    lane.draining = true
    expect(take()).toBeUndefined()
  })

  it.each(Array.from({ length: 30 }, (_, seed) => seed))(
    'keeps every key in order and ends every record once (seed %i)',
    (seed) => {
      const random = seededRandom(seed)
      const { lane, next, time } = laneOf({ maxUncommitted: 40 })
      const keys = ['a', 'b', 'c', undefined]
      const sent = Array.from({ length: 300 }, (_, offset) => record(offset, keys[Math.floor(random() * 4)]))
      const done: number[] = []
      const held: Entry[] = []
      let fed = 0
      for (let steps = 0; done.length < 300 && steps < 20_000; steps++) {
        if (fed < 300 && random() < 0.2) {
          const more = 1 + Math.floor(random() * 30)
          lane.add(sent.slice(fed, fed + more))
          fed += more
        }
        time.now += 5
        lane.wake()
        const entry = random() < 0.6 ? next() : undefined
        if (entry !== undefined) {
          const { key } = entry.envelope
          if (key !== undefined) expect(held.every((each) => each.envelope.key !== key)).toBe(true)
          expect(entry.offset - lane.tracker.base).toBeLessThan(40)
          held.push(entry)
        }
        if (held.length > 0 && random() < 0.6) {
          const [one] = held.splice(Math.floor(random() * held.length), 1) as [Entry]
          if (random() < 0.3) lane.giveBack(one, random() < 0.5 ? 0 : 30, false)
          else {
            lane.finish(one)
            done.push(one.offset)
          }
        }
      }
      expect([...done].sort((a, b) => a - b)).toEqual(sent.map(({ offset }) => offset))
      for (const key of ['a', 'b', 'c']) {
        const ofKey = done.filter((offset) => Buffer.from(sent[offset]?.key ?? []).toString() === key)
        expect(ofKey).toEqual([...ofKey].sort((a, b) => a - b))
      }
      expect([lane.tracker.base, lane.heldCount]).toEqual([300, 0])
    },
  )
})
