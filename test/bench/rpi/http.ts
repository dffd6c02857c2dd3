// Over loopback HTTP: the typed proxy, and a wrapped `undici.request`, beside `undici.request(url)` and other clients.
import { join } from 'node:path'
import type { LoopAnswer as Answer, LoopAsk as Ask } from '../closed-loop.ts'
import { type Line, line, short, table } from '../lines.ts'
import type { Place } from '../place.ts'
import { startCrew } from '../rounds.ts'
import { estimate, median, quotients } from '../statistics.ts'
import { type Start, startWorker } from '../worker.ts'

/** Workers of this part, for `place`. */
export const HTTP_WORKERS: Readonly<Record<string, string>> = {
  server: 'test/bench/rpi/server.worker.ts',
  http: 'test/bench/rpi/http.worker.ts',
}

/** Packages that are measured here beside what fairlead depends on. */
export const HTTP_PEERS: readonly string[] = ['axios', 'axios-retry', 'cockatiel', 'got', 'ky', 'zod']

/** One client at one number of calls in flight. */
export interface HttpRow {
  readonly client: string
  readonly inFlight: number
  readonly rounds: number
  readonly callsPerSecond: number
  /** Of the rate of `undici.request(url)` in the same rounds. */
  readonly ofBare: number
  readonly cpuUs: number
  readonly cpuOfBare: number
  readonly p50Us: number
  readonly p99Us: number
}

/** What was measured on one Node. */
export interface HttpReport {
  readonly lines: readonly Line[]
  readonly rows: readonly HttpRow[]
}

const IN_FLIGHT = [1, 64]
const BARE = 'undici.request'
const FAST = [BARE, 'A/A control', 'proxy', 'proxy, zod', 'resilient(request)', 'undici.request, own signal']
const SLOW = [
  'undici + cockatiel',
  'undici + p-retry(opossum(p-timeout))',
  'undici + the four packages',
  'got',
  'ky',
  'axios + axios-retry + opossum',
]

/** Measures and prints. */
export async function benchHttp(where: Place, quick: boolean): Promise<HttpReport> {
  const part = `HTTP, ${where.version}, undici ${where.picked['undici']}`
  const start = (file: string, ...args: string[]): Start => ({
    file: join(where.folder, `${file}.js`),
    node: where.node,
    args,
  })
  const server = await startWorker<object, { readonly url: string }>('server', start('server'))
  try {
    const { url } = await server.ask({})
    // One crew after the other: what the slow clients leave to be done (connections that close, garbage) must not disturb the fast.
    const measure = async (
      clients: readonly string[],
      warmUpMs: number,
      rounds: number,
    ): Promise<readonly ReadonlyMap<string, readonly Answer[]>[]> => {
      const crew = await startCrew<Ask, Answer>(
        clients,
        (client) => start('http', client, url),
        () => IN_FLIGHT.map((inFlight) => ({ inFlight, ms: warmUpMs })).reverse(),
      )
      try {
        const found: ReadonlyMap<string, readonly Answer[]>[] = []
        for (const inFlight of IN_FLIGHT)
          found.push(await crew.rounds(clients, { inFlight, ms: quick ? 120 : 250 }, rounds))
        return found
      } finally {
        await crew.stop()
      }
    }
    const fastRounds = await measure(FAST, quick ? 400 : 1_500, quick ? 9 : 25)
    const slowRounds = await measure([BARE, ...SLOW], quick ? 150 : 400, quick ? 1 : 3)
    const lines: Line[] = []
    const rows: HttpRow[] = []
    for (const [index, inFlight] of IN_FLIGHT.entries()) {
      const fast = fastRounds[index] as ReadonlyMap<string, readonly Answer[]>
      const slow = slowRounds[index] as ReadonlyMap<string, readonly Answer[]>
      const at = `${part}, ${inFlight} in flight`
      const hold = (client: string, what: 'rate' | 'cpuUs', promise: Line['promise'], limit: number): void => {
        lines.push(
          line(
            at,
            `${what === 'rate' ? 'throughput' : 'client CPU'}: ${client}`,
            promise,
            limit,
            ratios(fast, client, what),
          ),
        )
      }
      hold('proxy', 'rate', 'at least', inFlight === 1 ? 1 : 1.25)
      hold('proxy', 'cpuUs', 'at most', 1)
      hold('resilient(request)', 'rate', 'at least', 0.85)
      const found = [
        ...FAST.map((client) => rowOf(fast, client, inFlight)),
        ...SLOW.map((client) => rowOf(slow, client, inFlight)),
      ]
      rows.push(...found)
      const control = estimate(ratios(fast, 'A/A control', 'rate'))
      console.log(`\n${at}; the control's 95 % interval is ${short(control.low)} .. ${short(control.high)}`)
      table(
        ['client', 'calls/s', 'of bare', 'CPU us/call', 'of bare', 'p50 us', 'p99 us', 'rounds'],
        found.map((row) => [
          row.client,
          row.callsPerSecond.toFixed(0),
          short(row.ofBare),
          short(row.cpuUs),
          short(row.cpuOfBare),
          row.p50Us.toFixed(0),
          row.p99Us.toFixed(0),
          String(row.rounds),
        ]),
      )
    }
    return { lines, rows }
  } finally {
    await server.stop()
  }
}

function ratios(
  answers: ReadonlyMap<string, readonly Answer[]>,
  client: string,
  what: keyof Answer,
): readonly number[] {
  const values = (name: string): readonly number[] => (answers.get(name) ?? []).map((answer) => answer[what])
  return quotients(values(client), values(BARE))
}

function rowOf(answers: ReadonlyMap<string, readonly Answer[]>, client: string, inFlight: number): HttpRow {
  const own = answers.get(client) ?? []
  const middle = (what: keyof Answer): number => median(own.map((answer) => answer[what]))
  return {
    client,
    inFlight,
    rounds: own.length,
    callsPerSecond: middle('rate'),
    ofBare: median(ratios(answers, client, 'rate')),
    cpuUs: middle('cpuUs'),
    cpuOfBare: median(ratios(answers, client, 'cpuUs')),
    p50Us: middle('p50Us'),
    p99Us: middle('p99Us'),
  }
}
