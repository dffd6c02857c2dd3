// The plot: how many orders are not accepted, and how many of the accepted ones are still open after a while. Plain SVG, for a light page and a dark one.
import { duration, percent } from './report.ts'
import type { Tally } from './tally.ts'

const WIDTH = 860
const HEIGHT = 400
// Two pictures side by side: bars, and curves.
const BARS = { left: 24, right: 316, top: 92, bottom: 330 }
const CURVES = { left: 410, right: 830, top: 76, bottom: 330 }
const MOST_REFUSED = 0.02
const TIMES = [10, 100, 1_000, 10_000, 100_000, 1_000_000] as const
const SHARES = [1, 0.1, 0.01, 0.001, 0.000_1] as const

const STYLE = `
  .page { fill: #ffffff } .ink { fill: #1f2328 } .soft { fill: #59636e } .rule { stroke: #d1d9e0 }
  .tick { stroke: #1f2328; stroke-width: 2 } .curve { fill: none; stroke-width: 2.5 }
  .s0 { stroke: #c2410c } .s1 { stroke: #0369a1 } .s2 { stroke: #047857 } .s3 { stroke: #9333ea }
  .f0 { fill: #c2410c } .f1 { fill: #0369a1 } .f2 { fill: #047857 } .f3 { fill: #9333ea }
  text { font: 13px system-ui, sans-serif } .title { font-weight: 600; font-size: 15px } .small { font-size: 12px }
  @media (prefers-color-scheme: dark) {
    .page { fill: #0d1117 } .ink { fill: #f0f6fc } .soft { fill: #9198a1 } .rule { stroke: #3d444d } .tick { stroke: #f0f6fc }
    .s0 { stroke: #fb923c } .s1 { stroke: #38bdf8 } .s2 { stroke: #34d399 } .s3 { stroke: #c084fc }
    .f0 { fill: #fb923c } .f1 { fill: #38bdf8 } .f2 { fill: #34d399 } .f3 { fill: #c084fc }
  }`
/** Curves that lie on one another are told apart without colour as well. */
const DASHES = ['', '9 5', '', '2 6']

/** The same figures give the same text. */
export function plot(tallies: readonly Tally[]): string {
  return `${[
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${HEIGHT}" role="img" aria-labelledby="title desc">`,
    `<title id="title">Orders not accepted, and the time until accepted ones are complete</title>`,
    `<desc id="desc">${tallies.map((each) => `${each.name}: ${percent(each.accepted.observed)} accepted, complete after ${duration(each.p50)} (half), ${duration(each.longest.ms)} (longest)`).join('; ')}</desc>`,
    `<style>${STYLE}\n</style>`,
    `<rect class="page" width="${WIDTH}" height="${HEIGHT}" rx="8"/>`,
    ...bars(tallies),
    ...curves(tallies),
    `</svg>`,
  ].join('\n')}\n`
}

function bars(tallies: readonly Tally[]): readonly string[] {
  const { left, right, top, bottom } = BARS
  const x = (share: number): number => left + (Math.min(share, MOST_REFUSED) / MOST_REFUSED) * (right - left)
  const step = (bottom - top) / tallies.length
  return [
    text(left, 32, 'title ink', 'Orders not accepted'),
    text(left, 52, 'small soft', 'bar: observed, mark: predicted'),
    ...[0, 0.005, 0.01, 0.015, 0.02].flatMap((share) => [
      line(x(share), top - 14, x(share), bottom, 'rule'),
      text(x(share), bottom + 20, 'small soft', `${+(share * 100).toFixed(1)} %`, 'middle'),
    ]),
    ...tallies.flatMap(({ name, accepted }, index) => {
      const y = top + index * step
      const refused = 1 - accepted.observed
      const mark = x(1 - accepted.predicted)
      return [
        text(left, y + 4, 'ink', `${name}: ${percent(refused)}`),
        `<rect class="f${index}" x="${left}" y="${fixed(y + 12)}" width="${fixed(x(refused) - left)}" height="18"/>`,
        line(mark, y + 8, mark, y + 34, 'tick'),
      ]
    }),
  ]
}

function curves(tallies: readonly Tally[]): readonly string[] {
  const { left, right, top, bottom } = CURVES
  const [first, last] = [TIMES[0], TIMES.at(-1) as number]
  const x = (ms: number): number =>
    left + (Math.log(Math.max(ms, first) / first) / Math.log(last / first)) * (right - left)
  const least = SHARES.at(-1) as number
  const y = (share: number): number => top + (Math.log(Math.max(share, least)) / Math.log(least)) * (bottom - top)
  return [
    text(left, 32, 'title ink', 'Accepted orders that are still open'),
    text(left, 52, 'small soft', 'share of them, by the time since the order; both scales are logarithmic'),
    ...SHARES.flatMap((share) => [
      line(left, y(share), right, y(share), 'rule'),
      text(left - 8, y(share) + 4, 'small soft', `${+(share * 100).toFixed(2)} %`, 'end'),
    ]),
    ...TIMES.flatMap((ms) => [
      line(x(ms), top, x(ms), bottom, 'rule'),
      text(x(ms), bottom + 20, 'small soft', ms < 1_000 ? `${ms} ms` : `${ms / 1_000} s`, 'middle'),
    ]),
    ...tallies.map(({ delays }, index) => {
      const dash = DASHES[index] === '' ? '' : ` stroke-dasharray="${DASHES[index]}"`
      return `<path class="curve s${index}"${dash} d="${stillOpen(delays, x, y)}"/>`
    }),
    ...tallies.flatMap(({ name }, index) => {
      const [at, height] = [index % 2 === 0 ? left - 60 : left + 180, index < 2 ? bottom + 44 : bottom + 62]
      const dash = DASHES[index] === '' ? '' : ` stroke-dasharray="${DASHES[index]}"`
      return [
        `<path class="curve s${index}"${dash} d="M${at} ${height - 4}h34"/>`,
        text(at + 42, height, 'small ink', name),
      ]
    }),
  ]
}

const POINTS = 160

// Looked at on a grid: a path of every order would be as long as the run.
function stillOpen(delays: readonly number[], x: (ms: number) => number, y: (share: number) => number): string {
  const [first, last] = [TIMES[0], TIMES.at(-1) as number]
  let done = 0
  let path = `M${fixed(x(first))} ${fixed(y(1))}`
  for (let point = 1; point <= POINTS; point++) {
    const ms = first * (last / first) ** (point / POINTS)
    while (done < delays.length && (delays[done] as number) <= ms) done++
    path += `L${fixed(x(ms))} ${fixed(y(1 - done / delays.length))}`
    if (done === delays.length) break
  }
  return path
}

function text(x: number, y: number, kind: string, words: string, anchor = 'start'): string {
  return `<text class="${kind}" x="${fixed(x)}" y="${fixed(y)}" text-anchor="${anchor}">${words}</text>`
}

function line(x1: number, y1: number, x2: number, y2: number, kind: string): string {
  return `<line class="${kind}" x1="${fixed(x1)}" y1="${fixed(y1)}" x2="${fixed(x2)}" y2="${fixed(y2)}"/>`
}

const fixed = (coordinate: number): string => String(+coordinate.toFixed(1))
