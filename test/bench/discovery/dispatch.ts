// What the way through discovery costs a request: our dispatcher with one endpoint beside a bare Pool of undici to the same server.
import { join } from 'node:path'
import type { LoopAnswer, LoopAsk } from '../closed-loop.ts'
import { type Line, line, short, table } from '../lines.ts'
import type { Place } from '../place.ts'
import { startCrew } from '../rounds.ts'
import { estimate, median, quotients } from '../statistics.ts'
import { type Start, startWorker } from '../worker.ts'

/** Workers of this part, for `place`. */
export const DISPATCH_WORKERS: Readonly<Record<string, string>> = {
  dispatch: 'test/bench/discovery/dispatch.worker.ts',
  server: 'test/bench/rpi/server.worker.ts',
}

/** One client at one number of requests in flight. */
export interface DispatchRow {
  readonly client: string
  readonly inFlight: number
  readonly rounds: number
  readonly requestsPerSecond: number
  /** Of the rate of the bare Pool in the same rounds. */
  readonly ofBare: number
  readonly cpuUs: number
  readonly cpuOfBare: number
  readonly p50Us: number
  readonly p99Us: number
}

/** What was measured. */
export interface DispatchReport {
  readonly lines: readonly Line[]
  readonly rows: readonly DispatchRow[]
}

const IN_FLIGHT = [1, 64]
const BARE = 'undici Pool'
const CONTROL = 'A/A control'
const OURS = 'discoveryDispatcher'
const CLIENTS = [BARE, CONTROL, OURS]

/** Measures and prints. */
export async function benchDispatch(where: Place, quick: boolean): Promise<DispatchReport> {
  const start = (file: string, ...args: string[]): Start => ({
    file: join(where.folder, `${file}.js`),
    node: where.node,
    args,
  })
  const server = await startWorker<object, { readonly url: string }>('server', start('server'))
  const lines: Line[] = []
  const rows: DispatchRow[] = []
  try {
    const { url } = await server.ask({})
    const crew = await startCrew<LoopAsk, LoopAnswer>(
      CLIENTS,
      (client) => start('dispatch', client, url),
      () => IN_FLIGHT.map((inFlight) => ({ inFlight, ms: quick ? 600 : 1_500 })).reverse(),
    )
    try {
      for (const inFlight of IN_FLIGHT) {
        // Many short rounds: neighbours on the machine come and go within a second.
        const answers = await crew.rounds(CLIENTS, { inFlight, ms: quick ? 60 : 120 }, quick ? 41 : 101)
        const of = (client: string, what: keyof LoopAnswer): readonly number[] =>
          (answers.get(client) ?? []).map((answer) => answer[what])
        const ratios = (client: string, what: keyof LoopAnswer): readonly number[] =>
          quotients(of(client, what), of(BARE, what))
        const at = `dispatch, ${where.version}, undici ${where.picked['undici']}, ${inFlight} in flight`
        lines.push(line(at, `throughput: ${OURS} / ${BARE}`, 'at least', 0.95, ratios(OURS, 'rate')))
        const found = CLIENTS.map((client) => ({
          client,
          inFlight,
          rounds: of(client, 'rate').length,
          requestsPerSecond: median(of(client, 'rate')),
          ofBare: median(ratios(client, 'rate')),
          cpuUs: median(of(client, 'cpuUs')),
          cpuOfBare: median(ratios(client, 'cpuUs')),
          p50Us: median(of(client, 'p50Us')),
          p99Us: median(of(client, 'p99Us')),
        }))
        rows.push(...found)
        const control = estimate(ratios(CONTROL, 'rate'))
        console.log(`\n${at}; the control's 95 % interval is ${short(control.low)} .. ${short(control.high)}`)
        table(
          ['client', 'requests/s', 'of bare', 'CPU us/request', 'of bare', 'p50 us', 'p99 us', 'rounds'],
          found.map((row) => [
            row.client,
            row.requestsPerSecond.toFixed(0),
            short(row.ofBare),
            short(row.cpuUs),
            short(row.cpuOfBare),
            row.p50Us.toFixed(0),
            row.p99Us.toFixed(0),
            String(row.rounds),
          ]),
        )
      }
    } finally {
      await crew.stop()
    }
  } finally {
    await server.stop()
  }
  return { lines, rows }
}
