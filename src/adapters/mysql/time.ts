// The time of the database, whatever time zone its sessions have.

/** Milliseconds since 1970, when the statement began: an expression of SQL. */
export const NOW_MS = `(timestampdiff(microsecond, '1970-01-01', utc_timestamp(6)) div 1000)`

/**
 * Whether something that was to end at `until`, `wait` after it was noted, is still to come: an expression of SQL. Not where more than `wait` is left of it:
 * then the clock was set back since, and it is over. A second is for clocks that are only put right.
 */
export function isAhead(until: string, wait: string): string {
  return `(${until} > ${NOW_MS} and ${until} <= ${NOW_MS} + ${wait} + 1000)`
}
