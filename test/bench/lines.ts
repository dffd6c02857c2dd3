// A line is a promise about a ratio. It is missed only if the whole 95 % interval lies beyond it.
import { type Estimate, estimate } from './statistics.ts'

/** A promise, with what was measured. */
export interface Line {
  readonly part: string
  /** What is divided by what. */
  readonly ratio: string
  readonly promise: 'at most' | 'at least'
  readonly limit: number
  readonly measured: Estimate
  readonly rounds: number
  /** `kept`, `kept within noise` (the interval touches the line, the median does not), or `missed`. */
  readonly verdict: 'kept' | 'kept within noise' | 'missed'
}

/** Holds the ratios of all rounds against a limit. */
export function line(
  part: string,
  ratio: string,
  promise: Line['promise'],
  limit: number,
  ratios: readonly number[],
): Line {
  const measured = estimate(ratios)
  const good = promise === 'at most' ? measured.median <= limit : measured.median >= limit
  const touches = promise === 'at most' ? measured.low <= limit : measured.high >= limit
  return {
    part,
    ratio,
    promise,
    limit,
    measured,
    rounds: ratios.length,
    verdict: good ? 'kept' : touches ? 'kept within noise' : 'missed',
  }
}

/** Prints the lines as a table. */
export function printLines(lines: readonly Line[]): void {
  table(
    ['part', 'ratio', 'line', 'median', '95 % interval', 'rounds', ''],
    lines.map(({ part, ratio, promise, limit, measured, rounds, verdict }) => [
      part,
      ratio,
      `${promise === 'at most' ? '<=' : '>='} ${short(limit)}`,
      short(measured.median),
      `${short(measured.low)} .. ${short(measured.high)}`,
      String(rounds),
      verdict === 'missed' ? 'MISSED' : verdict,
    ]),
  )
}

/** Prints rows below a head, columns aligned. */
export function table(head: readonly string[], rows: readonly (readonly string[])[]): void {
  const widths = head.map((name, column) => Math.max(name.length, ...rows.map((row) => row[column]?.length ?? 0)))
  const show = (row: readonly string[]): string =>
    row
      .map((cell, column) => (column === 0 ? cell.padEnd(widths[0] ?? 0) : cell.padStart(widths[column] ?? 0)))
      .join('  ')
  console.log([show(head), widths.map((width) => '-'.repeat(width)).join('  '), ...rows.map(show)].join('\n'))
}

/** A number with three digits that say something. */
export function short(value: number): string {
  if (!Number.isFinite(value)) return '-'
  const size = Math.abs(value)
  return size >= 100
    ? value.toFixed(0)
    : size >= 10
      ? value.toFixed(1)
      : size >= 1
        ? value.toFixed(2)
        : value.toFixed(3)
}
