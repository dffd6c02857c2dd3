// A queue on a PostgreSQL that waits for the disk: fairlead beside graphile-worker and pg-boss, each set up as its own documentation has it for speed.
import { join } from 'node:path'
import { Client } from 'pg'
import { startPostgres } from '../../services/postgres-instance.ts'
import { type Line, line, short, table } from '../lines.ts'
import type { Place } from '../place.ts'
import { median, quotients, shuffler } from '../statistics.ts'
import { startWorker, type Worker } from '../worker.ts'

/** Workers of this part, for `place`. */
export const POSTGRES_WORKERS: Readonly<Record<string, string>> = {
  postgres: 'test/bench/messaging/postgres.worker.ts',
}

/** Packages that are measured here beside what fairlead depends on. */
export const POSTGRES_PEERS: readonly string[] = ['graphile-worker', 'pg', 'pg-boss']

interface Answer {
  readonly perSecond?: number
  readonly cpuUs?: number
  readonly latenciesMs?: readonly number[]
}

/** How fast a backlog goes, and came in. */
export interface RateRow {
  readonly queue: string
  readonly rounds: number
  readonly consumedPerSecond: number
  /** CPU time of the consuming process for each message; that of the database is not in it. */
  readonly cpuUs: number
  readonly filledPerSecond: number
}

/** How long a message takes at a low steady rate. */
export interface LatencyRow {
  readonly queue: string
  /** Where the sender is. */
  readonly sender: 'same process' | 'another process'
  readonly messages: number
  readonly p50Ms: number
  readonly p99Ms: number
}

/** What was measured. */
export interface PostgresReport {
  readonly lines: readonly Line[]
  readonly rates: readonly RateRow[]
  readonly latencies: readonly LatencyRow[]
}

const OURS = 'fairlead'
const DURABLE = 'fairlead, durable settles'
const PEERS = ['graphile-worker', 'pg-boss', 'pg-boss, fetch']
// Without its local queue graphile-worker is slower by far with a backlog, but may be quicker without one.
const PLAIN = 'graphile-worker, defaults'
const LATENCY_QUEUES = [OURS, 'graphile-worker', PLAIN, 'pg-boss']
const BACKLOG = 20_000
const PER_SECOND = 20

// The fsync of a write that was answered, of every page, of every commit: as a server is run that must lose nothing.
const SERVER = {
  fsync: 'on',
  full_page_writes: 'on',
  synchronous_commit: 'on',
  shared_buffers: '256MB',
  max_wal_size: '2GB',
  checkpoint_timeout: '30min',
  max_connections: '300',
}

type Pair = { readonly taker: Worker<object, Answer>; readonly sender: Worker<object, Answer> | undefined }

/** Measures and prints. */
export async function benchPostgres(where: Place, quick: boolean): Promise<PostgresReport> {
  const server = await startPostgres(SERVER)
  const stops: (() => Promise<void>)[] = [() => server.remove()]
  try {
    const at = (database: string): string => `postgres://postgres@127.0.0.1:${server.port}/${database}`
    const admin = new Client({ connectionString: at('postgres') })
    await admin.connect()
    const version = (await admin.query<{ v: string }>(`select current_setting('server_version') v`)).rows[0]?.v
    const part = `PostgreSQL ${version?.split(' ')[0]}, fsync on, ${where.version}`
    const start = async (name: string, database: string, role: string): Promise<Worker<object, Answer>> => {
      const worker = await startWorker<object, Answer>(name, {
        file: join(where.folder, 'postgres.js'),
        node: where.node,
        args: [name, at(database), role],
      })
      stops.push(() => worker.stop())
      return worker
    }
    const pairs = new Map<string, Pair>()
    for (const [index, name] of [OURS, DURABLE, ...PEERS, PLAIN].entries()) {
      await admin.query(`create database bench_${index}`)
      const taker = await start(name, `bench_${index}`, 'first')
      pairs.set(name, {
        taker,
        sender: LATENCY_QUEUES.includes(name) ? await start(name, `bench_${index}`, 'second') : undefined,
      })
    }
    await admin.end()
    const drainers = new Map([...pairs].filter(([name]) => name !== PLAIN))
    const { rows: rates, lines: rateLines } = await benchRates(part, drainers, quick)
    const { rows: latencies, lines: latencyLines } = await benchLatencies(part, pairs, quick)
    return { lines: [...rateLines, ...latencyLines], rates, latencies }
  } finally {
    for (const stop of stops.reverse()) await stop()
  }
}

async function benchRates(
  part: string,
  pairs: ReadonlyMap<string, Pair>,
  quick: boolean,
): Promise<{ readonly rows: readonly RateRow[]; readonly lines: readonly Line[] }> {
  const consumed = new Map<string, number[]>([...pairs.keys()].map((name) => [name, []]))
  const filled = new Map<string, number[]>([...pairs.keys()].map((name) => [name, []]))
  const used = new Map<string, number[]>([...pairs.keys()].map((name) => [name, []]))
  const shuffle = shuffler(pairs.size)
  // A run of each first, for what is compiled and planned on the way.
  for (const [, { taker }] of pairs)
    for (const ask of ['fill', 'drain']) await taker.ask({ ask, messages: quick ? 2_000 : 10_000 })
  for (let round = 0; round < (quick ? 3 : 5); round++)
    for (const [name, { taker }] of shuffle([...pairs])) {
      const put = await taker.ask({ ask: 'fill', messages: BACKLOG })
      const taken = await taker.ask({ ask: 'drain', messages: BACKLOG })
      filled.get(name)?.push(put.perSecond ?? Number.NaN)
      consumed.get(name)?.push(taken.perSecond ?? Number.NaN)
      used.get(name)?.push(taken.cpuUs ?? Number.NaN)
    }
  const rows = [...pairs.keys()].map(
    (queue): RateRow => ({
      queue,
      rounds: consumed.get(queue)?.length ?? 0,
      consumedPerSecond: median(consumed.get(queue) ?? []),
      cpuUs: median(used.get(queue) ?? []),
      filledPerSecond: median(filled.get(queue) ?? []),
    }),
  )
  const best = PEERS.reduce((a, b) => (median(consumed.get(b) ?? []) > median(consumed.get(a) ?? []) ? b : a))
  console.log(`\n${part}: a backlog of ${BACKLOG.toLocaleString('en')} messages of 1 KiB, 24 handlers at once`)
  const of = (name: string): string => short(median(quotients(consumed.get(name) ?? [], consumed.get(best) ?? [])))
  table(
    ['queue', 'consumed/s', `of ${best}`, 'CPU us/message', 'put in/s (lists of 1,000)', 'rounds'],
    rows.map(({ queue, consumedPerSecond, cpuUs, filledPerSecond, rounds }) => [
      queue,
      consumedPerSecond.toFixed(0),
      of(queue),
      short(cpuUs),
      filledPerSecond.toFixed(0),
      String(rounds),
    ]),
  )
  const lines = [OURS, DURABLE].map((ours) =>
    line(
      part,
      `consumed/s: ${ours} / ${best}`,
      'at least',
      2,
      quotients(consumed.get(ours) ?? [], consumed.get(best) ?? []),
    ),
  )
  return { rows, lines }
}

const SENDERS = ['another process', 'same process'] as const

async function benchLatencies(
  part: string,
  pairs: ReadonlyMap<string, Pair>,
  quick: boolean,
): Promise<{ readonly rows: readonly LatencyRow[]; readonly lines: readonly Line[] }> {
  const messages = quick ? 20 : 40
  const found = new Map<string, number[][]>()
  const shuffle = shuffler(7)
  const runs = LATENCY_QUEUES.flatMap((queue) => SENDERS.map((sender) => ({ queue, sender })))
  for (let round = -1; round < (quick ? 2 : 4); round++)
    for (const { queue, sender } of shuffle(runs)) {
      const { taker, sender: other } = pairs.get(queue) as Pair
      await taker.ask({ ask: 'take' })
      await (sender === 'same process' ? taker : (other as Pair['taker'])).ask({
        ask: 'send',
        perSecond: PER_SECOND,
        messages: round < 0 ? 5 : messages,
      })
      const { latenciesMs = [] } = await taker.ask({ ask: 'taken', messages: round < 0 ? 5 : messages })
      if (round < 0) continue
      const name = `${queue}, ${sender}`
      found.set(name, [...(found.get(name) ?? []), [...latenciesMs]])
    }
  const medians = (queue: string, sender: string): readonly number[] =>
    (found.get(`${queue}, ${sender}`) ?? []).map((round) => median(round))
  const rows = runs.map(({ queue, sender }): LatencyRow => {
    const all = (found.get(`${queue}, ${sender}`) ?? []).flat().sort((a, b) => a - b)
    return {
      queue,
      sender,
      messages: all.length,
      p50Ms: median(all),
      p99Ms: all[Math.ceil(all.length * 0.99) - 1] ?? Number.NaN,
    }
  })
  console.log(`\n${part}: ${PER_SECOND} messages a second, one at a time, from just before the send to the handler`)
  table(
    ['queue', 'sender', 'p50 ms', 'p99 ms', 'messages'],
    rows.map(({ queue, sender, p50Ms, p99Ms, messages: count }) => [
      queue,
      sender,
      short(p50Ms),
      short(p99Ms),
      String(count),
    ]),
  )
  const lines = SENDERS.map((sender) => {
    const [fast, plain] = LATENCY_QUEUES.slice(1, 3) as [string, string]
    const theirs = median(medians(fast, sender)) <= median(medians(plain, sender)) ? fast : plain
    return line(
      part,
      `p50, sender in ${sender}: ${OURS} / ${theirs}`,
      'at most',
      0.5,
      quotients(medians(OURS, sender), medians(theirs, sender)),
    )
  })
  return { rows, lines }
}
