// Which partition a record goes to: that of its key, and each in turn where it has none.
import type { Random } from '../../core/clock.ts'
import { partitionOf } from './murmur2.ts'

/** Of one transport. */
export function spreading(random: Random): (key: Uint8Array | null, partitions: number) => number {
  let turn = Math.floor(random() * 1_000)
  return (key, partitions) => {
    if (key !== null) return partitionOf(key, partitions)
    turn = (turn + 1) % Number.MAX_SAFE_INTEGER
    return turn % partitions
  }
}
