// The figures as a table, for the terminal and for the guide; and whether they are what was predicted.
import { SERVICES } from './flow.ts'
import type { Setting } from './simulate.ts'
import { LATE_MS, type Tally } from './tally.ts'

/** How far an observed share may be from its prediction: 0.1 points. */
export const TOLERANCE = 0.001
/** How far the schedule of a service may be from the share of down-time that was asked for: 0.02 points. */
const SCHEDULE_TOLERANCE = 0.000_2
/** A wait is explained by outages, but for the work itself and the turn among what has queued up. */
const UNEXPLAINED_MS = 2_000

/** What is not as predicted; nothing where all is well. */
export function deviations(tallies: readonly Tally[], { downShare }: Setting): readonly string[] {
  return tallies.flatMap(({ name, accepted, late, down, unexplainedMs, lost, twice, longest }) => [
    ...off(`${name}: accepted`, accepted, TOLERANCE),
    ...off(`${name}: late`, late, TOLERANCE),
    ...SERVICES.flatMap((service) =>
      off(`${name}: ${service} down`, { predicted: downShare, observed: down[service] }, SCHEDULE_TOLERANCE),
    ),
    ...(lost === 0 ? [] : [`${name}: ${lost} orders were accepted and never complete`]),
    ...(twice === 0 ? [] : [`${name}: ${twice} orders were completed twice`]),
    ...(unexplainedMs <= UNEXPLAINED_MS
      ? []
      : [
          `${name}: somebody waited for ${duration(unexplainedMs)} while all services were up; the longest wait: ${longest.why}`,
        ]),
  ])
}

function off(what: string, { predicted, observed }: Tally['accepted'], within: number): readonly string[] {
  return Math.abs(observed - predicted) <= within
    ? []
    : [
        `${what}: predicted ${percent(predicted)}, observed ${percent(observed)}: more than ${(within * 100).toFixed(2)} points apart`,
      ]
}

const HEAD = [
  'flow',
  'has to be up',
  'accepted: predicted',
  'observed',
  'late: predicted',
  'observed',
  'complete after: p50',
  'p99',
  'longest',
]

function rows(tallies: readonly Tally[]): readonly (readonly string[])[] {
  return tallies.map(({ name, needs, accepted, late, p50, p99, longest }) => [
    name,
    needs.length === SERVICES.length ? 'all three' : needs.join(', '),
    percent(accepted.predicted),
    percent(accepted.observed),
    percent(late.predicted),
    percent(late.observed),
    duration(p50),
    duration(p99),
    duration(longest.ms),
  ])
}

/** For the terminal. */
export function textTable(tallies: readonly Tally[]): string {
  const lines = [HEAD, ...rows(tallies)]
  const widths = HEAD.map((_, column) => Math.max(...lines.map((line) => (line[column] as string).length)))
  return lines
    .map((line) =>
      line
        .map((cell, column) => cell.padEnd(widths[column] as number))
        .join('  ')
        .trimEnd(),
    )
    .join('\n')
}

/** For the guide. */
export function markdown(tallies: readonly Tally[], setting: Setting): string {
  const line = (cells: readonly string[]): string => `| ${cells.join(' | ')} |`
  return [
    described(setting),
    '',
    line(HEAD),
    line(HEAD.map((_, column) => (column < 2 ? '---' : '---:'))),
    ...rows(tallies).map(line),
    '',
    line(['flow', 'what the customer was told instead', 'who was down', 'the longest wait']),
    line(['---', '---', '---', '---']),
    ...tallies.map(({ name, refusals, because, longest }) => line([name, told(refusals), told(because), longest.why])),
  ].join('\n')
}

/** What was run. */
export function described({ seed, orders, everyMs, downShare, meanDownMs }: Setting): string {
  const hours = ((orders * everyMs) / 3_600_000).toFixed(0)
  return (
    `Seed ${seed}: ${orders.toLocaleString('en')} orders, one every ${everyMs / 1_000} s (${hours} hours of virtual time); each service is down ${percent(downShare)} of the time, ` +
    `${meanDownMs / 1_000} s at a time on average. Late: not complete after ${LATE_MS / 1_000} s.`
  )
}

/** What was counted: `33 crash CONNECTION_REFUSED, 4 ...`. */
export function told(counts: Readonly<Record<string, number>>): string {
  return Object.entries(counts)
    .map(([what, count]) => `${count} ${what}`)
    .join(', ')
}

export const percent = (share: number): string => `${(share * 100).toFixed(2)} %`

/** `31 ms`, `4.2 s`, `2 min 31 s`. */
export function duration(ms: number): string {
  if (ms < 1_000) return `${ms.toFixed(0)} ms`
  if (ms < 60_000) return `${(ms / 1_000).toFixed(1)} s`
  const whole = Math.round(ms / 1_000)
  return `${Math.floor(whole / 60)} min ${whole % 60} s`
}
