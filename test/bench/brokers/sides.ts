// The comparison that both brokers are put to: each way to it in a process of its own, with a queue of its own on the same server.
import { join } from 'node:path'
import { type Line, line, short, table } from '../lines.ts'
import type { Place } from '../place.ts'
import { type Estimate, estimate, median, quotients, shuffler } from '../statistics.ts'
import { startWorker, type Worker } from '../worker.ts'
import { type Answer, type Ask, LIST, LISTS } from './serving.ts'

/** One of ours, and what it is held against. */
export interface Pairing {
  readonly ours: string
  /** The client that ours is over, by hand. */
  readonly bare: string
  /** The client by hand with the message that ours writes, a CloudEvent: what is left then is our own. No line is held against it. */
  readonly same: string
  /** Others that ours is to be ahead of. */
  readonly peers: readonly string[]
}

/** What is compared on one server. */
export interface Comparison {
  readonly part: string
  /** File of the worker. */
  readonly file: string
  /** What a worker is told of the server. */
  readonly address: string
  readonly pairings: readonly Pairing[]
  /** Names to what they promise, for the table. */
  readonly safety: Readonly<Record<string, string>>
  readonly perSecond: number
  /** Of a backlog in a quick run; 20,000 otherwise. */
  readonly quickBacklog: number
  /** In words: what a consumer holds. */
  readonly inHand: string
}

/** How fast messages go in and out. */
export interface RateRow {
  readonly name: string
  readonly rounds: number
  readonly publishedPerSecond: number
  readonly publishCpuUs: number
  readonly consumedPerSecond: number
  readonly consumeCpuUs: number
  readonly safety: string
}

/** How long a message takes at a low steady rate. */
export interface LatencyRow {
  readonly name: string
  readonly messages: number
  readonly p50Ms: number
  readonly p99Ms: number
}

/** A ratio that nothing is promised of. */
export interface Beside {
  readonly ratio: string
  readonly measured: Estimate
}

/** What was measured. */
export interface SidesReport {
  readonly lines: readonly Line[]
  readonly beside: readonly Beside[]
  readonly rates: readonly RateRow[]
  readonly latencies: readonly LatencyRow[]
}

type Processes = { readonly taker: Worker<Ask, Answer>; readonly sender: Worker<Ask, Answer> }

/** Measures and prints. */
export async function compare(where: Place, comparison: Comparison, quick: boolean): Promise<SidesReport> {
  const { pairings, file, address } = comparison
  const names = [...new Set(pairings.flatMap(({ ours, bare, same, peers }) => [bare, same, ours, ...peers]))]
  const stops: (() => Promise<void>)[] = []
  try {
    const sides = new Map<string, Processes>()
    for (const [index, name] of names.entries()) {
      const start = async (role: string): Promise<Worker<Ask, Answer>> => {
        const worker = await startWorker<Ask, Answer>(name, {
          file: join(where.folder, `${file}.js`),
          node: where.node,
          args: [name, address, role, `bench-${index}`],
          // What kafkajs asks of a timer is a little before now.
          flags: ['--disable-warning=TimeoutNegativeWarning'],
        })
        stops.push(() => worker.stop())
        return worker
      }
      sides.set(name, { taker: await start('first'), sender: await start('second') })
    }
    const rates = await compareRates(comparison, sides, quick)
    const latencies = await compareLatencies(comparison, sides, quick)
    const beside = [...rates.beside, ...latencies.beside]
    console.log(`\n${comparison.part}: beside the client by hand with the same message, a CloudEvent (no line)`)
    table(
      ['ratio', 'median', '95 % interval'],
      beside.map(({ ratio, measured: { median: middle, low, high } }) => [
        ratio,
        short(middle),
        `${short(low)} .. ${short(high)}`,
      ]),
    )
    return { lines: [...rates.lines, ...latencies.lines], beside, rates: rates.rows, latencies: latencies.rows }
  } finally {
    for (const stop of stops.reverse()) await stop()
  }
}

interface Part<Row> {
  readonly lines: readonly Line[]
  readonly beside: readonly Beside[]
  readonly rows: readonly Row[]
}

const WHATS = ['publish', 'drain'] as const
const WORDS = { publish: 'published/s', drain: 'consumed/s' } as const

async function compareRates(
  { part, pairings, safety, quickBacklog, inHand }: Comparison,
  sides: ReadonlyMap<string, Processes>,
  quick: boolean,
): Promise<Part<RateRow>> {
  const messages = quick ? quickBacklog : 20_000
  const found = { publish: new Map<string, Answer[]>(), drain: new Map<string, Answer[]>() }
  const shuffle = shuffler(sides.size)
  // Two rounds first, for what is compiled and connected on the way.
  for (let round = -2; round < (quick ? 3 : 7); round++)
    for (const [name, { taker }] of shuffle([...sides]))
      for (const ask of WHATS) {
        const answer = await taker.ask({ ask, messages })
        if (round >= 0) found[ask].set(name, [...(found[ask].get(name) ?? []), answer])
      }
  const values = (what: (typeof WHATS)[number], name: string, of: 'perSecond' | 'cpuUs'): readonly number[] =>
    (found[what].get(name) ?? []).map((answer) => answer[of] ?? Number.NaN)
  const rows = [...sides.keys()].map(
    (name): RateRow => ({
      name,
      rounds: values('drain', name, 'perSecond').length,
      publishedPerSecond: median(values('publish', name, 'perSecond')),
      publishCpuUs: median(values('publish', name, 'cpuUs')),
      consumedPerSecond: median(values('drain', name, 'perSecond')),
      consumeCpuUs: median(values('drain', name, 'cpuUs')),
      safety: safety[name] ?? '',
    }),
  )
  console.log(
    `\n${part}: ${messages.toLocaleString('en')} messages of 1 KiB, published in lists of ${LIST}, ${LIST * LISTS} unconfirmed at most; then drained, in hand at most ${inHand}`,
  )
  table(
    ['way', 'published/s', 'CPU us/message', 'consumed/s', 'CPU us/message', 'rounds', 'safety'],
    rows.map((row) => [
      row.name,
      row.publishedPerSecond.toFixed(0),
      short(row.publishCpuUs),
      row.consumedPerSecond.toFixed(0),
      short(row.consumeCpuUs),
      String(row.rounds),
      row.safety,
    ]),
  )
  const lines = WHATS.flatMap((what) =>
    pairings.flatMap(({ ours, bare, peers }) =>
      [bare, ...peers].map((theirs) =>
        line(
          part,
          `${WORDS[what]}: ${ours} / ${theirs}`,
          'at least',
          theirs === bare ? 0.85 : 1,
          quotients(values(what, ours, 'perSecond'), values(what, theirs, 'perSecond')),
        ),
      ),
    ),
  )
  const beside = WHATS.flatMap((what) =>
    pairings.map(({ ours, same }) => ({
      ratio: `${WORDS[what]}: ${ours} / ${same}`,
      measured: estimate(quotients(values(what, ours, 'perSecond'), values(what, same, 'perSecond'))),
    })),
  )
  return { lines, beside, rows }
}

async function compareLatencies(
  { part, pairings, perSecond }: Comparison,
  sides: ReadonlyMap<string, Processes>,
  quick: boolean,
): Promise<Part<LatencyRow>> {
  const messages = quick ? 60 : 200
  const found = new Map<string, (readonly number[])[]>([...sides.keys()].map((name) => [name, []]))
  const shuffle = shuffler(7)
  for (let round = -1; round < (quick ? 3 : 5); round++)
    for (const [name, { taker, sender }] of shuffle([...sides])) {
      await taker.ask({ ask: 'take' })
      await sender.ask({ ask: 'send', messages, perSecond })
      const { latenciesMs = [] } = await taker.ask({ ask: 'taken', messages })
      if (round >= 0) found.get(name)?.push(latenciesMs)
    }
  const medians = (name: string): readonly number[] => (found.get(name) ?? []).map((round) => median(round))
  const rows = [...sides.keys()].map((name): LatencyRow => {
    const all = (found.get(name) ?? []).flat().sort((a, b) => a - b)
    return {
      name,
      messages: all.length,
      p50Ms: median(all),
      p99Ms: all[Math.ceil(all.length * 0.99) - 1] ?? Number.NaN,
    }
  })
  console.log(
    `\n${part}: ${perSecond} messages a second, one at a time, from just before the send to the handler in another process`,
  )
  table(
    ['way', 'p50 ms', 'p99 ms', 'messages'],
    rows.map(({ name, p50Ms, p99Ms, messages: count }) => [name, short(p50Ms), short(p99Ms), String(count)]),
  )
  const lines = pairings.flatMap(({ ours, bare, peers }) =>
    [bare, ...peers].map((theirs) =>
      line(
        part,
        `p50: ${ours} / ${theirs}`,
        'at most',
        theirs === bare ? 1.25 : 1,
        quotients(medians(ours), medians(theirs)),
      ),
    ),
  )
  const beside = pairings.map(({ ours, same }) => ({
    ratio: `p50: ${ours} / ${same}`,
    measured: estimate(quotients(medians(ours), medians(same))),
  }))
  return { lines, beside, rows }
}
