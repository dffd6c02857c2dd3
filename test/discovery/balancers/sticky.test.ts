// Keys that stay where they were.
import { describe, expect, it } from 'vitest'
import { roundRobin } from '../../../src/discovery/balancers/round-robin.ts'
import { sticky } from '../../../src/discovery/balancers/sticky.ts'
import { balancing, counts, type View, views } from './views.ts'

describe('sticky', () => {
  const all = (): View[] => views(5)

  it('gives a key the endpoint it had, and the others theirs', () => {
    const { balancer } = balancing(sticky({ inner: roundRobin() }), all())
    const keys = ['a', 'b', 'c', 'd', 'e']
    const first = keys.map((key) => balancer.pick({ key }))
    expect(new Set(first).size).toBe(5)
    for (let again = 0; again < 10; again++) expect(keys.map((key) => balancer.pick({ key }))).toEqual(first)
    expect(counts(balancer, 50).size).toBe(5)
  })

  it('chooses anew when the endpoint is gone, and stays there', () => {
    const some = all()
    const { balancer } = balancing(sticky(), some)
    const first = balancer.pick({ key: 'k' }) as View
    balancer.update(some.filter((each) => each !== first))
    const second = balancer.pick({ key: 'k' })
    expect(second).not.toBe(first)
    balancer.update(some)
    expect(balancer.pick({ key: 'k' })).toBe(second)
  })

  it('chooses anew when it fails, and stays there', () => {
    const { balancer } = balancing(sticky(), all())
    const first = balancer.pick({ key: 'k' }) as View
    first.suspect = true
    const second = balancer.pick({ key: 'k' })
    expect(second).not.toBe(first)
    first.suspect = false
    expect(balancer.pick({ key: 'k' })).toBe(second)
  })

  it('lets a retry or hedge go elsewhere without moving the key', () => {
    const { balancer } = balancing(sticky(), all())
    const first = balancer.pick({ key: 'k' }) as View
    const avoid = new Set([first.endpoint.id])
    expect(counts(balancer, 20, { key: 'k', avoid }).has(first.endpoint.id)).toBe(false)
    expect(balancer.pick({ key: 'k' })).toBe(first)
    expect(balancer.pick({ key: 'k', avoid: new Set(['e0', 'e1', 'e2', 'e3', 'e4']) })).toBeUndefined()
  })

  it('forgets the key that was used least lately', () => {
    const { balancer } = balancing(sticky({ inner: roundRobin(), maxKeys: 2 }), all())
    const [a, b] = [balancer.pick({ key: 'a' }), balancer.pick({ key: 'b' })]
    expect(balancer.pick({ key: 'a' })).toBe(a)
    balancer.pick({ key: 'c' })
    expect(balancer.pick({ key: 'a' })).toBe(a)
    // The turn has gone on: a key that is not remembered gets another one.
    expect(balancer.pick({ key: 'b' })).not.toBe(b)
    expect(balancer.pick({ key: 'a' })).toBe(a)
  })

  it('refuses options that it does not have', () => {
    expect(() => sticky({ maxKeys: 0 })).toThrowError(/maxKeys/)
    expect(() => sticky({ max: 1 } as never)).toThrowError(/no such option/)
  })
})
