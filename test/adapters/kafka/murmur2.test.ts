import { describe, expect, it } from 'vitest'
import { murmur2, partitionOf } from '../../../src/adapters/kafka/murmur2.ts'

// Of UtilsTest.testMurmur2 of Apache Kafka.
const KNOWN: readonly (readonly [string, number])[] = [
  ['21', -973932308],
  ['foobar', -790332482],
  ['a-little-bit-long-string', -985981536],
  ['a-little-bit-longer-string', -1486304829],
  ['lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8', -58897971],
]

describe('the place of a key', () => {
  it.each(KNOWN)('%s is hashed as by the Java client', (key, hash) => {
    expect(murmur2(Buffer.from(key))).toBe(hash)
  })
  it('of three bytes, and of none', () => {
    expect(murmur2(Buffer.from('abc'))).toBe(479470107)
    expect(murmur2(new Uint8Array(0))).toBe(275646681)
  })
  it('is a partition that is there', () => {
    for (let key = 0; key < 1_000; key++) {
      const partition = partitionOf(Buffer.from(`order ${key}`), 7)
      expect(partition).toBeGreaterThanOrEqual(0)
      expect(partition).toBeLessThan(7)
    }
  })
})
