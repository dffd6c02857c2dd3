// The hash by which Kafka's own clients place a key on a partition: foreign producers of the same key meet ours.
// org.apache.kafka.common.utils.Utils.murmur2 of Apache Kafka, after Austin Appleby's MurmurHash2.

const SEED = 0x9747b28c
const M = 0x5bd1e995

/** The hash of some bytes, a signed 32-bit number. */
export function murmur2(data: Uint8Array): number {
  const { length } = data
  let hash = SEED ^ length
  const whole = length & ~3
  for (let at = 0; at < whole; at += 4) {
    let k =
      (data[at] as number) |
      ((data[at + 1] as number) << 8) |
      ((data[at + 2] as number) << 16) |
      ((data[at + 3] as number) << 24)
    k = Math.imul(k, M)
    k ^= k >>> 24
    k = Math.imul(k, M)
    hash = Math.imul(hash, M) ^ k
  }
  const rest = length - whole
  if (rest > 0) {
    if (rest === 3) hash ^= (data[whole + 2] as number) << 16
    if (rest >= 2) hash ^= (data[whole + 1] as number) << 8
    hash = Math.imul(hash ^ (data[whole] as number), M)
  }
  hash ^= hash >>> 13
  hash = Math.imul(hash, M)
  return hash ^ (hash >>> 15)
}

/** The partition of a key: as the default partitioner of the Java client. */
export function partitionOf(key: Uint8Array, partitions: number): number {
  return (murmur2(key) & 0x7fffffff) % partitions
}
