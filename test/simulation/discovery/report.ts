// The whole simulation: every balancer in every scenario, seed by seed, as a table, and what was promised of it.
import { CONTESTANTS } from './contestants.ts'
import { SCENARIOS } from './scenarios.ts'
import { type Run, type RunOptions, simulate } from './simulate.ts'

/** The default's name in the table, and the one that nobody may be worse than. */
export const DEFAULT = 'p2c-ewma (default)'
const YARDSTICK = 'round-robin'
// Two balancers that do the same differ by chance: so much more (in calls, per run, and as a share) is no more than that.
const NOISE_SHARE = 0.1
const NOISE_CALLS = 6
// These give evenness away for what they are there for: where arrivals come by chance, queues are longer than where they come in turn,
// and a key that sticks stays with a slow server.
const UNEVEN: Readonly<Record<string, number>> = { random: 0.3, sticky: 0.3 }

/** One balancer in one scenario: the medians of its runs. */
export interface Result extends Run {
  readonly scenario: string
  readonly clients: number
  readonly balancer: string
}

/** Runs one balancer over the seeds. */
export async function measure(
  balancer: string,
  scenario: RunOptions['scenario'],
  clients: number,
  seeds: readonly number[],
  broken: Pick<RunOptions, 'balancer' | 'options'> = { balancer: CONTESTANTS[balancer] },
): Promise<Result> {
  const runs: Run[] = []
  for (const seed of seeds) runs.push(await simulate({ scenario, clients, seed, ...broken }))
  const middle = (figure: keyof Run): number => {
    const sorted = runs.map((run) => run[figure]).sort((a, b) => a - b)
    return sorted[sorted.length >> 1] as number
  }
  return {
    scenario: scenario.name,
    clients,
    balancer,
    calls: middle('calls'),
    errors: middle('errors'),
    late: middle('late'),
    bad: middle('bad'),
    p50: middle('p50'),
    p99: middle('p99'),
    p999: middle('p999'),
  }
}

/** Everything. */
export async function simulateAll(
  seeds: readonly number[],
  told: (result: Result) => void,
): Promise<readonly Result[]> {
  const results: Result[] = []
  for (const scenario of SCENARIOS)
    for (const clients of scenario.clients)
      for (const balancer of Object.keys(CONTESTANTS)) {
        const result = await measure(balancer, scenario, clients, seeds)
        told(result)
        results.push(result)
      }
  return results
}

/** What was promised and not kept, in words; empty when all is well. */
export function missed(results: readonly Result[]): readonly string[] {
  const found: string[] = []
  for (const { scenario, clients, balancer, bad, calls } of results) {
    const where = `${scenario}, ${clients === 1 ? '1 client' : `${clients} clients`}`
    const gate = SCENARIOS.find(({ name }) => name === scenario)?.gate[clients]
    if (balancer === DEFAULT && gate !== undefined && bad > gate)
      found.push(`${where}: ${percent(bad)} of the calls of the default are bad, at most ${percent(gate)} may be`)
    const yardstick = results.find(
      (each) => each.scenario === scenario && each.clients === clients && each.balancer === YARDSTICK,
    )
    if (yardstick !== undefined && bad > yardstick.bad * (1 + (UNEVEN[balancer] ?? NOISE_SHARE)) + NOISE_CALLS / calls)
      found.push(`${where}: ${balancer} is worse than round-robin, ${percent(bad)} against ${percent(yardstick.bad)}`)
  }
  return found
}

/** Markdown: a row a balancer, a column a scenario; share of calls that failed or were late, and the 99th percentile. */
export function markdown(results: readonly Result[]): string {
  const columns = SCENARIOS.flatMap(({ name, clients, gate }) =>
    clients.map((count) => ({ name, count, gate: gate[count] })),
  )
  const rows = [
    ['balancer', ...columns.map(({ name, count }) => `${name}, ${count}`)],
    columns.map(() => '---:'),
    ...Object.keys(CONTESTANTS).map((balancer) => [
      balancer,
      ...columns.map(({ name, count }) => {
        const found = results.find(
          (each) => each.scenario === name && each.clients === count && each.balancer === balancer,
        )
        return found === undefined ? '' : `${percent(found.bad)} (${Math.round(found.p99)})`
      }),
    ]),
    ['at most, default', ...columns.map(({ gate }) => (gate === undefined ? '' : percent(gate)))],
  ]
  ;(rows[1] as string[]).unshift('---')
  return rows.map((row) => `| ${row.join(' | ')} |`).join('\n')
}

/** A share in percent, with the digits that say something. */
export function percent(share: number): string {
  return `${Number((share * 100).toPrecision(2))} %`
}
