// `npm run sim -- discovery`: balancers and ejection against servers that are slow, fail, hang, queue; in virtual time, a few minutes of this machine's.
//   npm run sim -- discovery [--seeds 7] [--broken "blind to suspects"]
// Prints a table, and as last line JSON. Ends with 1 where a gate is missed; with --broken, where none is.
import { parseArgs } from 'node:util'
import { MUTANTS } from '../simulation/discovery/contestants.ts'
import {
  DEFAULT,
  markdown,
  measure,
  missed,
  percent,
  type Result,
  simulateAll,
} from '../simulation/discovery/report.ts'
import { SCENARIOS } from '../simulation/discovery/scenarios.ts'

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: { seeds: { type: 'string', default: '7' }, broken: { type: 'string' } },
})
const count = Number(values.seeds)
if (positionals.length !== 1 || positionals[0] !== 'discovery' || !(count >= 1)) {
  console.error('usage: npm run sim -- discovery [--seeds <count>] [--broken <mutant>]')
  process.exit(2)
}
const seeds = Array.from({ length: count }, (_, index) => index + 1)
const tell = ({ scenario, clients, balancer, bad, errors, p50, p99, p999 }: Result): void => {
  const times = [p50, p99, p999].map((ms) => Math.round(ms)).join(' / ')
  console.log(`${scenario}, ${clients}: ${balancer}: ${percent(bad)} bad (${errors} errors), ${times} ms`)
}

if (values.broken === undefined) {
  const results = await simulateAll(seeds, tell)
  const complaints = missed(results)
  console.log(
    `\nshare of calls that fail or take more than 1 s (99th percentile, ms); scenario, clients; median of ${count} seeds\n`,
  )
  console.log(markdown(results))
  console.log(complaints.length === 0 ? '\nevery gate is kept' : `\n${complaints.join('\n')}`)
  console.log(JSON.stringify({ simulation: 'discovery', seeds: count, missed: complaints, results }))
  process.exitCode = complaints.length === 0 ? 0 : 1
} else {
  const mutant = MUTANTS[values.broken]
  if (mutant === undefined) throw new Error(`--broken ${values.broken}: give one of ${Object.keys(MUTANTS).join(', ')}`)
  const results: Result[] = []
  for (const scenario of SCENARIOS)
    for (const clients of scenario.clients) {
      const result = await measure(DEFAULT, scenario, clients, seeds, mutant)
      tell(result)
      results.push(result)
    }
  const complaints = missed(results)
  console.log(complaints.length === 0 ? 'IT WAS NOT CAUGHT' : `it was caught: ${complaints.join('; ')}`)
  process.exitCode = complaints.length === 0 ? 1 : 0
}
