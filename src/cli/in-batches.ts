// Deleting in batches, so that no statement holds locks for long.

const BATCH = 1_000

/** Deletes until nothing is left, or `limit` are gone. `purge` is told how many at most. Returns how many there were. */
export async function inBatches(limit: number, purge: (limit: number) => Promise<number>): Promise<number> {
  let sum = 0
  while (sum < limit) {
    const batch = Math.min(BATCH, limit - sum)
    const count = await purge(batch)
    sum += count
    if (count < batch) break
  }
  return sum
}
