// What goes back to the broker must not be overtaken by what was on its way here already. Found by the simulation (test/simulation).
import { describe, expect, it } from 'vitest'
import type { Delivery } from '../../../src/core/contracts/transport.ts'
import { Held } from '../../../src/messaging/consumer/held.ts'
import { Lanes } from '../../../src/messaging/consumer/lanes.ts'

const held = (id: string): Held => new Held({ envelope: { id, key: 'k' } } as Delivery, 1, 0)
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

  it('forget all that when it is settled for good', () => {
    const lanes = new Lanes()
    lanes.goesBack(held('a'))
    expect(arrives(lanes, 'a')).toBe(false)
    lanes.done(held('a'))
    expect(arrives(lanes, 'b')).toBe(false)
  })
})
