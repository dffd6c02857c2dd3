// What goes back to the broker must not be overtaken by what was on its way here already. Found by the simulation (test/simulation).
import { describe, expect, it } from 'vitest'
import type { Delivery } from '../../../src/core/contracts/transport.ts'
import { Held } from '../../../src/messaging/consumer/held.ts'
import { Lanes } from '../../../src/messaging/consumer/lanes.ts'

let arrived = 0
const held = (id: string, redeliveries?: number): Held =>
  new Held(
    { envelope: { id, key: 'k' }, ...(redeliveries === undefined ? {} : { redeliveries }) } as Delivery,
    1,
    0,
    ++arrived,
  )
const arrives = (lanes: Lanes, id: string): boolean => lanes.passes(held(id), 'k')

describe('lanes', () => {
  it('let nothing wait where nothing went back', () => {
    const lanes = new Lanes()
    expect(arrives(lanes, 'a')).toBe(false)
    expect(arrives(lanes, 'b')).toBe(false)
  })

  it('send back what comes before one that went back is here again', () => {
    const lanes = new Lanes()
    lanes.goesBack(held('a'))
    expect(arrives(lanes, 'b')).toBe(true)
    lanes.goesBack(held('b'))
    expect(['a', 'b', 'c'].map((id) => arrives(lanes, id))).toEqual([false, false, false])
  })

  it('send a message back only once for one that another consumer has handled', () => {
    const lanes = new Lanes()
    lanes.goesBack(held('a'))
    expect(arrives(lanes, 'b')).toBe(true)
    lanes.goesBack(held('b'))
    expect(arrives(lanes, 'b')).toBe(false)
    lanes.done(held('b'))
    expect(arrives(lanes, 'c')).toBe(false)
  })

  it('know the order when one goes back a second time', () => {
    const lanes = new Lanes()
    for (const id of ['a', 'b']) lanes.goesBack(held(id))
    expect(arrives(lanes, 'a')).toBe(false)
    lanes.goesBack(held('a'))
    // Handed out before that.
    expect(arrives(lanes, 'b')).toBe(true)
    lanes.goesBack(held('b'))
    expect(['a', 'b'].map((id) => arrives(lanes, id))).toEqual([false, false])
  })

  it('send no more back once all that went back are here', () => {
    const lanes = new Lanes()
    lanes.goesBack(held('a'))
    expect(arrives(lanes, 'a')).toBe(false)
    // Each arrives while the one before it is still in hand.
    const back = Array.from({ length: 100 }, (_, n) => {
      const passes = arrives(lanes, `n${n}`)
      lanes.done(held(n === 0 ? 'a' : `n${n - 1}`))
      return passes
    })
    expect(back.filter(Boolean)).toEqual([])
  })

  it('take a second copy of one that went back for none that came again', () => {
    const lanes = new Lanes()
    for (const id of ['a', 'b', 'c']) lanes.goesBack(held(id, 0))
    // Two relays sent it: its place is behind them all.
    expect(lanes.passes(held('b', 0), 'k')).toBe(true)
    lanes.goesBack(held('b', 0))
    expect(['a', 'b', 'c'].map((id) => lanes.passes(held(id, 1), 'k'))).toEqual([false, false, false])
    for (const id of ['a', 'b', 'c']) lanes.done(held(id, 1))
    expect(lanes.passes(held('b', 1), 'k')).toBe(false)
  })

  it('know the order where rights end in another one', () => {
    const lanes = new Lanes()
    const ids = ['a', 'b', 'c', 'd']
    const [a, b, c, d] = ids.map((id) => held(id, 0)) as [Held, Held, Held, Held]
    for (const each of [b, c, a, d]) lanes.goesBack(each)
    // Those that went before it may come before it: they go back once more.
    const passed = ids.map((id) => {
      const one = held(id, 1)
      const passes = lanes.passes(one, 'k')
      if (passes) lanes.goesBack(one)
      return passes
    })
    expect(passed).toEqual([false, true, true, true])
    expect(['b', 'c', 'd'].map((id) => lanes.passes(held(id, 2), 'k'))).toEqual([false, false, false])
  })

  it('know the place of one that comes again while the broker is still being told of its first coming', () => {
    const lanes = new Lanes()
    const [a, b, c] = ['a', 'b', 'c'].map((id) => held(id, 0)) as [Held, Held, Held]
    lanes.enter(a, 'k')
    lanes.goesBack(b)
    lanes.goesBack(c)
    const again = ['a', 'b', 'c'].map((id) => held(id, 1))
    const passed = again.map((one) => {
      const passes = lanes.passes(one, 'k')
      if (passes) lanes.goesBack(one)
      return passes
    })
    // The broker refuses what it was told of the first.
    lanes.goesBack(a)
    expect(passed).toEqual([true, true, true])
    expect(['a', 'b', 'c'].map((id) => lanes.passes(held(id, 2), 'k'))).toEqual([false, false, false])
  })

  it('know the place of one that the broker is told of late, when one behind it is here again before', () => {
    const lanes = new Lanes()
    for (const id of ['a', 'b']) lanes.goesBack(held(id, 0))
    const [a, b] = [held('a', 1), held('b', 1)]
    for (const one of [a, b]) {
      expect(lanes.passes(one, 'k')).toBe(false)
      lanes.enter(one, 'k')
    }
    for (const one of [a, b]) lanes.goesBack(one)
    lanes.leave(b)
    // a is refused, and said again: it stands in the lane meanwhile.
    const early = held('b', 2)
    expect(lanes.passes(early, 'k')).toBe(false)
    lanes.enter(early, 'k')
    lanes.leave(a)
    for (const one of [a, early]) lanes.goesBack(one)
    lanes.leave(early)
    expect(['a', 'b'].map((id) => lanes.passes(held(id, id === 'a' ? 2 : 3), 'k'))).toEqual([false, false])
  })

  it('let nothing by as long as the broker takes one before it for ours', async () => {
    const lanes = new Lanes()
    const [a, b] = [held('a', 0), held('b', 0)]
    let tell = (_: unknown): void => {}
    lanes.goesBack(
      a,
      new Promise((resolve) => {
        tell = resolve
      }),
    )
    lanes.goesBack(b)
    expect(lanes.untold('k')).toBeInstanceOf(Promise)
    const early = held('b', 1)
    expect(lanes.passes(early, 'k')).toBe(true)
    lanes.goesBack(early)
    tell(undefined)
    await Promise.resolve()
    expect(lanes.untold('k')).toBeUndefined()
    expect([lanes.passes(held('a', 1), 'k'), lanes.passes(held('b', 2), 'k')]).toEqual([false, false])
  })

  it('forget all that when it is settled for good', () => {
    const lanes = new Lanes()
    lanes.goesBack(held('a'))
    expect(arrives(lanes, 'a')).toBe(false)
    lanes.done(held('a'))
    expect(arrives(lanes, 'b')).toBe(false)
  })
})
