// What the fates of all orders add up to, beside what simple arithmetic says of it.
import type { Fate } from './customers.ts'
import { SERVICES, type ServiceName } from './flow.ts'
import { downWithin, type Outage, outageAt } from './outages.ts'
import type { Run, Setting } from './simulate.ts'

/** The figures of one flow. Shares are of 1, times milliseconds. */
export interface Tally {
  readonly name: string
  readonly needs: readonly ServiceName[]
  /** Of the orders: those that the customer was told are taken. */
  readonly accepted: { readonly predicted: number; readonly observed: number }
  /** Of the accepted ones: those that were not complete after `LATE_MS`. */
  readonly late: { readonly predicted: number; readonly observed: number }
  /** What customers were told instead, by kind and code. */
  readonly refusals: Readonly<Record<string, number>>
  /** Which service was down when an order was refused. */
  readonly because: Readonly<Record<string, number>>
  readonly p50: number
  readonly p99: number
  readonly longest: { readonly ms: number; readonly why: string }
  /** The longest part of a wait in which every service was up: what is not explained by outages. */
  readonly unexplainedMs: number
  /** Accepted and never complete; completed twice; refused in the eyes of the customer, and done. */
  readonly lost: number
  readonly twice: number
  readonly unheard: number
  /** Of each service: the share of the run that it was down. */
  readonly down: { readonly [name in ServiceName]: number }
  /** Until they were complete, ascending. */
  readonly delays: readonly number[]
}

/** An order that takes longer has waited for somebody. */
export const LATE_MS = 1_000

export function tally({ flow, outages, runMs, fates }: Run, { downShare }: Setting): Tally {
  const up = 1 - downShare
  const accepted = fates.filter(({ acceptedAt }) => acceptedAt !== undefined)
  const complete = accepted.filter(({ completeAt }) => completeAt !== undefined)
  const delays = complete.map(delayOf).sort((a, b) => a - b)
  const refused = fates.filter(({ refusal }) => refusal !== undefined)
  const slowest = complete.reduce((most, each) => (delayOf(each) > delayOf(most) ? each : most))
  const all = SERVICES.flatMap((name) => outages[name])
  return {
    name: flow.name,
    needs: flow.needs,
    accepted: { predicted: up ** flow.needs.length, observed: accepted.length / fates.length },
    late: {
      predicted: 1 - up ** flow.waitsFor.length,
      observed: delays.filter((ms) => ms > LATE_MS).length / accepted.length,
    },
    refusals: counted(refused.map(({ refusal }) => refusal as string)),
    because: counted(refused.map(({ placedAt }) => whoWasDown(outages, placedAt))),
    p50: quantile(delays, 0.5),
    p99: quantile(delays, 0.99),
    longest: { ms: delayOf(slowest), why: explain(slowest, outages) },
    unexplainedMs: Math.max(
      ...complete.map((fate) => delayOf(fate) - downWithin(all, fate.placedAt, fate.placedAt + delayOf(fate))),
    ),
    lost: accepted.length - complete.length,
    twice: fates.filter(({ times }) => times > 1).length,
    unheard: refused.filter(({ times }) => times > 0).length,
    down: Object.fromEntries(
      SERVICES.map((name) => [name, downWithin(outages[name], 0, runMs) / runMs]),
    ) as Tally['down'],
    delays,
  }
}

const delayOf = ({ placedAt, completeAt = Infinity }: Fate): number => completeAt - placedAt

/** Of ascending numbers. */
function quantile(sorted: readonly number[], share: number): number {
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? 0
}

function counted(words: readonly string[]): Readonly<Record<string, number>> {
  const counts = new Map<string, number>()
  for (const word of words) counts.set(word, (counts.get(word) ?? 0) + 1)
  return Object.fromEntries([...counts].sort(([a], [b]) => (a < b ? -1 : 1)))
}

/** What an order had under way with a service when that died is lost too: it looks a moment further. */
const MOMENT_MS = 100

function whoWasDown(outages: Run['outages'], at: number): string {
  const down = SERVICES.filter((name) => outageAt(outages[name], at) ?? outageAt(outages[name], at + MOMENT_MS))
  return down.join(' and ') || 'nobody'
}

function explain(fate: Fate, outages: Run['outages']): string {
  const ms = delayOf(fate)
  if (ms <= LATE_MS) return 'nobody waited: what could not be answered at once was refused'
  const until = fate.placedAt + ms
  const parts = SERVICES.flatMap((name) => {
    const down = downWithin(outages[name], fate.placedAt, until)
    const outage = outages[name].find((each) => each.until > fate.placedAt && each.from < until)
    return down === 0 || outage === undefined
      ? []
      : [`the ${name} service was down for ${seconds(down)} of it (${told(outage)})`]
  })
  return `${fate.orderId}: ${parts.join(', and ') || 'no service was down'}; the rest is its turn among what had queued up`
}

const told = ({ from, until }: Outage): string =>
  `an outage of ${seconds(until - from)}, ${(from / 3_600_000).toFixed(1)} h into the run`
const seconds = (ms: number): string => `${(ms / 1_000).toFixed(1)} s`
