// Which of two pieces of code that fill one replica is the newer: during a rolling deploy both run, and what one writes the other must not take for its own.

/** Which way of filling a table is meant, as the user names it; undefined: none was named, which is older than any. */
export type Revision = string | undefined

/** Above 0 where `one` is newer than `other`, 0 where they are the same. Runs of digits count as numbers: `v10` is newer than `v9`, `2026-11-22` than `2026-02-03`. */
export function compareRevisions(one: Revision, other: Revision): number {
  if (one === undefined || other === undefined) return Number(one !== undefined) - Number(other !== undefined)
  const ours = partsOf(one)
  const theirs = partsOf(other)
  for (let at = 0; at < Math.max(ours.length, theirs.length); at++) {
    const difference = compareParts(ours[at] ?? '', theirs[at] ?? '')
    if (difference !== 0) return difference
  }
  return 0
}

/** Whether both mean the same. */
export function sameRevision(one: Revision, other: Revision): boolean {
  return compareRevisions(one, other) === 0
}

function partsOf(revision: string): readonly string[] {
  return revision.match(/\d+|\D+/g) ?? []
}

function compareParts(one: string, other: string): number {
  if (/^\d/.test(one) && /^\d/.test(other)) {
    const difference = BigInt(one) - BigInt(other)
    return difference === 0n ? 0 : difference > 0n ? 1 : -1
  }
  return one === other ? 0 : one > other ? 1 : -1
}
