// `npm run bench -- <area> [--check] [--quick]`: measures an area beside its peers, prints tables, and as last line JSON.
// `--check` ends with 1 where a line is missed; `--quick` is for a look, with fewer rounds.
import { availableParallelism, cpus, loadavg } from 'node:os'
import { benchBrokers } from './brokers/brokers.ts'
import { benchDiscovery } from './discovery/discovery.ts'
import type { Line } from './lines.ts'
import { printLines } from './lines.ts'
import { benchMessaging } from './messaging/messaging.ts'
import { benchOutbox } from './outbox/outbox.ts'
import { benchProcess } from './process/process.ts'
import { benchRpi } from './rpi/rpi.ts'

/** What an area gives: its lines, and whatever else belongs into the JSON. */
interface Report {
  readonly lines: readonly Line[]
  readonly [more: string]: unknown
}

const AREAS: Readonly<
  Record<string, (options: { readonly quick: boolean; readonly only: string | undefined }) => Promise<Report>>
> = {
  rpi: benchRpi,
  messaging: benchMessaging,
  outbox: benchOutbox,
  discovery: benchDiscovery,
  brokers: benchBrokers,
  process: benchProcess,
}

const [area = '', ...rest] = process.argv.slice(2)
const only = rest.find((word) => word.startsWith('--only='))?.slice('--only='.length)
const unknown = rest.filter((word) => !['--check', '--quick'].includes(word) && !word.startsWith('--only='))
const bench = AREAS[area]
if (bench === undefined || unknown.length > 0) {
  console.error(`usage: npm run bench -- ${Object.keys(AREAS).join('|')} [--check] [--quick] [--only=<part>]`)
  console.error(
    'parts: calls, http (rpi); memory, waiting, postgres (messaging); relay, append, latency, inbox, backlog (outbox); pick, dispatch, trouble (discovery); rabbitmq, kafka, relay (brokers); steps, open (process)',
  )
  process.exit(2)
}

const began = process.hrtime.bigint()
const load = loadavg()
const report = await bench({ quick: rest.includes('--quick'), only })
const missed = report.lines.filter(({ verdict }) => verdict === 'missed')
console.log('')
printLines(report.lines)
const seconds = Math.round(Number(process.hrtime.bigint() - began) / 1e9)
console.log(`\n${report.lines.length - missed.length} of ${report.lines.length} lines kept, ${seconds} s`)
if (rest.includes('--check') && missed.length > 0) process.exitCode = 1
const machine = {
  cpu: cpus()[0]?.model.trim(),
  cores: availableParallelism(),
  load: load.map((value) => +value.toFixed(2)),
}
const rounded = (_: string, value: unknown): unknown =>
  typeof value === 'number' && Number.isFinite(value) ? Number(value.toPrecision(4)) : value
console.log(JSON.stringify({ bench: area, seconds, missed: missed.length, machine, ...report }, rounded))
