// How long after a commit its message is there, in one process: beside a NOTIFY in each transaction and a connection that listens, by hand.
import { type Line, line, short, table } from '../lines.ts'
import { median, quotients, shuffler } from '../statistics.ts'
import type { LatencyAnswer } from './latency.worker.ts'
import { KIB_TEXT, type Site } from './site.ts'

/** Workers of this part, for `place`. */
export const LATENCY_WORKERS: Readonly<Record<string, string>> = { latency: 'test/bench/outbox/latency.worker.ts' }

/** How long a message takes. */
export interface OutboxLatencyRow {
  readonly name: string
  readonly messages: number
  readonly p50Ms: number
  readonly p99Ms: number
}

/** What was measured. */
export interface LatencyReport {
  readonly lines: readonly Line[]
  readonly rows: readonly OutboxLatencyRow[]
}

const PER_SECOND = 200
const OURS = 'fairlead'
const HAND = 'NOTIFY by hand'

/** Measures and prints. */
export async function benchLatency(site: Site, quick: boolean): Promise<LatencyReport> {
  const messages = quick ? 600 : 2_000
  const database = await site.database('bench_latency')
  await database.migrate()
  const workers = []
  for (const name of [OURS, HAND]) workers.push(await site.worker<LatencyAnswer>('latency', name, database.url))
  const found = new Map<string, (readonly number[])[]>([
    [OURS, []],
    [HAND, []],
  ])
  const shuffle = shuffler(11)
  for (let round = -1; round < (quick ? 3 : 5); round++)
    for (const worker of shuffle(workers)) {
      await database.settle()
      const count = round < 0 ? 400 : messages
      const { latenciesMs } = await worker.ask({ messages: count, perSecond: PER_SECOND, textLength: KIB_TEXT })
      const left = await database.count('select count(*) n from fairlead.outbox')
      if (left !== 0) throw new Error(`${worker.name}: ${left} are left`)
      if (round >= 0) found.get(worker.name)?.push(latenciesMs)
    }
  const each = (name: string, share: number): readonly number[] =>
    (found.get(name) ?? []).map((latencies) => at(latencies, share))
  const rows = [OURS, HAND].map((name): OutboxLatencyRow => {
    const all = (found.get(name) ?? []).flat()
    return { name, messages: all.length, p50Ms: at(all, 0.5), p99Ms: at(all, 0.99) }
  })
  console.log(
    `\n${site.name}: ${PER_SECOND} transactions a second in one process, from just before BEGIN to the handler, messages of 1 KiB`,
  )
  table(
    ['wake', 'p50 ms', 'p99 ms', 'p99 ms, median of rounds', 'messages'],
    rows.map(({ name, p50Ms, p99Ms, messages: count }) => [
      name,
      short(p50Ms),
      short(p99Ms),
      short(median(each(name, 0.99))),
      String(count),
    ]),
  )
  const part = `latency, ${site.name}`
  return {
    rows,
    lines: [
      line(part, `p50: ${OURS} / ${HAND}`, 'at most', 2, quotients(each(OURS, 0.5), each(HAND, 0.5))),
      line(part, `p99: ${OURS} / ${HAND}`, 'at most', 3, quotients(each(OURS, 0.99), each(HAND, 0.99))),
    ],
  }
}

function at(values: readonly number[], share: number): number {
  const sorted = [...values].sort((a, b) => a - b)
  return sorted[Math.max(0, Math.ceil(sorted.length * share) - 1)] ?? Number.NaN
}
