// A whole history at once, and the words in which it fails.
import { AssertionError } from 'node:assert'
import { historyChecker } from './checker.ts'
import type { HistoryEvent, HistoryOptions, HistoryReport } from './types.ts'

/**
 * Judges a history: nothing lost, nothing applied twice, in order per key, nothing before its cause, nothing invented.
 * For what comes bit by bit from a database there is `historyChecker`.
 * @throws FairleadError `INVALID_OPTIONS`; `INVALID_INPUT` for a history that contradicts itself
 * @example
 * const { ok, violations } = checkHistory([...sent, ...applied], { consumers: ['warehouse', 'mail'] })
 */
export function checkHistory(events: Iterable<HistoryEvent>, options: HistoryOptions = {}): HistoryReport {
  const checker = historyChecker(options)
  for (const event of events) checker.add(event)
  return checker.report()
}

/** As `checkHistory`. @throws AssertionError in the words of `historyText` unless all is well */
export function assertHistory(events: Iterable<HistoryEvent>, options: HistoryOptions = {}): HistoryReport {
  const report = checkHistory(events, options)
  if (!report.ok) throw new AssertionError({ message: historyText(report) })
  return report
}

/** A report for people: the numbers, then the first violations of each rule. */
export function historyText(report: HistoryReport): string {
  const { sent, maybe, maybeCommitted, applied, broken, violations } = report
  const unsure = maybe === 0 ? '' : ` and ${maybeCommitted} of ${maybe} of unknown outcome`
  const rules = Object.entries(broken).map(([rule, count]) => `${count} ${rule}`)
  const lines = violations.map(({ rule, message }) => `  ${rule}: ${message}`)
  const all = Object.values(broken).reduce((sum, count) => sum + count, 0)
  if (all > violations.length) lines.push(`  ... and ${all - violations.length} more`)
  return [`${sent} sent${unsure}, ${applied} applied: ${rules.join(', ')}`, ...lines].join('\n')
}
