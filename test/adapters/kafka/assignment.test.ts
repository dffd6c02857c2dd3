import { seededRandom } from 'fairlead/testing'
import { describe, expect, it } from 'vitest'
import {
  assign,
  type Claim,
  type Claimant,
  decodeSubscription,
  encodeAssignment,
  encodeSubscription,
  fairShare,
} from '../../../src/adapters/kafka/assignment.ts'

const none: Claim = { owned: {}, held: {} }
const all = (count: number): number[] => Array.from({ length: count }, (_, partition) => partition)
const sizes = (result: Map<string, Record<string, number[]>>): number[] =>
  [...result.values()].map((mine) => Object.values(mine).flat().length)

describe('who gets which partitions', () => {
  it('an even share for each', () => {
    expect(
      sizes(
        assign({ t: all(6) }, [
          { id: 'a', claim: none },
          { id: 'b', claim: none },
        ]),
      ),
    ).toEqual([3, 3])
    expect(
      sizes(
        assign(
          { t: all(3) },
          ['a', 'b', 'c', 'd'].map((id) => ({ id, claim: none })),
        ),
      ),
    ).toEqual([1, 1, 1, 0])
  })

  it('what a member has stays where it is, as far as that is even', () => {
    const result = assign({ t: all(4) }, [
      { id: 'a', claim: { owned: { t: [0, 1, 2, 3] }, held: {} } },
      { id: 'b', claim: none },
    ])
    expect(result.get('a')).toEqual({ t: [0, 1] })
    expect(result.get('b')).toEqual({ t: [2, 3] })
  })

  it('what a member is at work on stays, though it be uneven', () => {
    const result = assign({ t: all(4) }, [
      { id: 'a', claim: { owned: { t: [3] }, held: { t: [0, 1, 2] } } },
      { id: 'b', claim: none },
    ])
    expect(result.get('a')).toEqual({ t: [0, 1, 2] })
    expect(result.get('b')).toEqual({ t: [3] })
  })

  it('gives a fourth member its part where three have two each', () => {
    const having = (id: string, owned: number[]): Claimant => ({ id, claim: { owned: { t: owned }, held: {} } })
    const result = assign({ t: all(6) }, [
      having('a', [0, 1]),
      having('b', [2, 3]),
      having('c', [4, 5]),
      { id: 'd', claim: none },
    ])
    expect(sizes(result)).toEqual([2, 2, 1, 1])
  })

  it('a topic only to those that are subscribed to it', () => {
    const result = assign({ t: all(2), u: [0] }, [
      { id: 'a', topics: ['t'], claim: none },
      { id: 'b', topics: ['t', 'u'], claim: none },
    ])
    expect(result.get('b')?.['u']).toEqual([0])
  })

  it.each(all(40))('every partition once, and nothing held moves (seed %i)', (seed) => {
    const random = seededRandom(seed)
    const partitions = { t: all(1 + Math.floor(random() * 12)), u: all(Math.floor(random() * 4)) }
    const owners = 1 + Math.floor(random() * 5)
    const members = all(1 + Math.floor(random() * 5)).map((number): Claimant => {
      const claim = { owned: { t: [] as number[] }, held: { t: [] as number[] } }
      for (const partition of partitions.t)
        if (partition % owners === number) claim[random() < 0.5 ? 'owned' : 'held'].t.push(partition)
      return { id: `m${number}`, claim }
    })
    const result = assign(partitions, members)
    for (const topic of ['t', 'u'] as const)
      expect([...result.values()].flatMap((mine) => mine[topic] ?? []).sort((a, b) => a - b)).toEqual(partitions[topic])
    for (const { id, claim } of members)
      for (const partition of claim.held['t'] ?? []) expect(result.get(id)?.['t']).toContain(partition)
    if (members.every(({ claim }) => claim.held['t']?.length === 0))
      expect(Math.max(...sizes(result)) - Math.min(...sizes(result))).toBeLessThanOrEqual(1)
    expect(Math.max(...sizes(result))).toBeGreaterThanOrEqual(
      fairShare(partitions.t.length + partitions.u.length, members.length),
    )
  })
})

describe('what stands in a subscription', () => {
  it('is read as it was written', () => {
    const claim: Claim = { owned: { orders: [1, 2] }, held: { 'orders.späß': [3] } }
    expect(decodeSubscription(encodeSubscription(['orders', 'orders.retry'], claim))).toEqual({
      topics: ['orders', 'orders.retry'],
      claim,
    })
  })
  it('of another library is no claim', () => {
    expect(decodeSubscription(encodeSubscription(['orders'], none).subarray(0, -8))).toEqual({
      topics: ['orders'],
      claim: none,
    })
    expect(decodeSubscription(Buffer.alloc(0))).toEqual({ topics: [], claim: none })
  })
  it('and an assignment has the bytes of the protocol', () => {
    expect(encodeAssignment({ ab: [1] }).toString('hex')).toBe('00000000000100026162000000010000000100000000')
  })
})
