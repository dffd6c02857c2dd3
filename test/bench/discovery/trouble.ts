// One of five servers is killed, or answers after 2 s: what clients notice of it, through our dispatcher, undici's BalancedPool and its dns interceptor.
import { join } from 'node:path'
import { type Line, line, short, table } from '../lines.ts'
import type { Place } from '../place.ts'
import { median, quotients } from '../statistics.ts'
import { startWorker, type Worker } from '../worker.ts'
import type { TroubleAnswer, TroubleAsk } from './trouble.worker.ts'

/** Workers of this part, for `place`. */
export const TROUBLE_WORKERS: Readonly<Record<string, string>> = {
  instance: 'test/bench/discovery/instance.worker.ts',
  trouble: 'test/bench/discovery/trouble.worker.ts',
}

/** One client in one scenario: medians of all rounds. */
export interface TroubleRow extends TroubleAnswer {
  readonly scenario: string
  readonly client: string
  readonly rounds: number
}

/** What was measured. */
export interface TroubleReport {
  readonly lines: readonly Line[]
  readonly rows: readonly TroubleRow[]
  /** Rounds that were made again, because a client could not keep its rate. */
  readonly starved: number
}

type Instance = Worker<{ readonly delayMs?: number }, { readonly pid: number; readonly port: number }>

interface Server {
  worker: Instance
  pid: number
}

// Addresses of one loopback: a name has one port, so DNS needs servers that differ by address.
const HOSTS = [1, 2, 3, 4, 5].map((last) => `127.0.0.${last}`)
const OURS = 'discoveryDispatcher'
const THEIRS = ['BalancedPool', 'dns interceptor']
const CLIENTS = [OURS, ...THEIRS]
const USUAL_MS = 5
const SLOW_MS = 2_000
const PER_SECOND = 100
const HEALTHY_MS = 1_000

/** Measures and prints. */
export async function benchTrouble(where: Place, quick: boolean): Promise<TroubleReport> {
  const start = async <Ask extends object, Answer>(file: string, ...args: string[]): Promise<Worker<Ask, Answer>> =>
    await startWorker<Ask, Answer>(args[0] ?? file, { file: join(where.folder, `${file}.js`), node: where.node, args })
  const serve = async (host: string, port: number): Promise<Server & { readonly port: number }> => {
    const worker = (await start('instance', host, String(port), String(USUAL_MS))) as Instance
    return { worker, ...(await worker.ask({})) }
  }
  const first = await serve(HOSTS[0] as string, 0)
  const { port } = first
  const servers: Server[] = [first]
  const rounds = quick ? 3 : 9
  const ask: TroubleAsk = { perSecond: PER_SECOND, ms: HEALTHY_MS + (quick ? 4_000 : 6_000), usefulMs: 500 }

  const scenarios: Readonly<Record<string, (victim: number) => Promise<() => Promise<unknown>>>> = {
    'kill -9': async (victim) => {
      process.kill((servers[victim] as Server).pid, 'SIGKILL')
      return async () => {
        servers[victim] = await serve(HOSTS[victim] as string, port)
      }
    },
    slow: async (victim) => {
      const { worker } = servers[victim] as Server
      await worker.ask({ delayMs: SLOW_MS })
      return async () => await worker.ask({ delayMs: USUAL_MS })
    },
  }
  // All clients at once, so that what disturbs one disturbs all; new processes each time, so that nothing is remembered.
  const round = async (strike: () => Promise<() => Promise<unknown>>): Promise<readonly TroubleAnswer[]> => {
    const clients = await Promise.all(
      CLIENTS.map((client) => start<TroubleAsk, TroubleAnswer>('trouble', client, String(port), ...HOSTS)),
    )
    try {
      await Promise.all(clients.map((client) => client.ask({ ...ask, ms: 500 })))
      const answers = Promise.all(clients.map((client) => client.ask(ask)))
      await new Promise((resolve) => setTimeout(resolve, HEALTHY_MS))
      const mend = await strike()
      const found = await answers
      await mend()
      return found
    } finally {
      await Promise.all(clients.map((client) => client.stop()))
    }
  }

  const due = (ask.perSecond * ask.ms) / 1_000
  let starved = 0
  const lines: Line[] = []
  const rows: TroubleRow[] = []
  try {
    for (const host of HOSTS.slice(1)) servers.push(await serve(host, port))
    for (const [scenario, strike] of Object.entries(scenarios)) {
      const found: (readonly TroubleAnswer[])[] = []
      // Where a client cannot keep its rate, the machine is what is slow. Such a round is made again, and told.
      for (let turn = 0; found.length < rounds && turn < 3 * rounds; turn++) {
        const answers = await round(() => strike(turn % HOSTS.length))
        if (answers.every(({ sent }) => sent >= 0.98 * due)) found.push(answers)
        else {
          starved++
          console.error(`${scenario}: round again, sent ${answers.map(({ sent }) => sent).join(', ')} of ${due}`)
        }
      }
      if (found.length === 0) throw new Error(`${scenario}: the machine was too slow in each of ${3 * rounds} rounds`)
      const of = (client: string, what: keyof TroubleAnswer): readonly number[] =>
        found.map((answers) => answers[CLIENTS.indexOf(client)]?.[what] ?? Number.NaN)
      for (const peer of THEIRS) {
        const at = `trouble, ${scenario}, undici ${where.picked['undici']}`
        lines.push(
          line(at, `goodput: ours / ${peer}`, 'at least', 1, quotients(of(OURS, 'goodput'), of(peer, 'goodput'))),
        )
        lines.push(line(at, `p99: ours / ${peer}`, 'at most', 1, quotients(of(OURS, 'p99Ms'), of(peer, 'p99Ms'))))
        const more = of(OURS, 'failures').map((count, index) => count - (of(peer, 'failures')[index] as number))
        lines.push(line(at, `failures: ours - ${peer}`, 'at most', 0, more))
      }
      for (const client of CLIENTS) {
        const middle = (what: keyof TroubleAnswer): number => median(of(client, what))
        rows.push({
          scenario,
          client,
          rounds,
          sent: middle('sent'),
          goodput: middle('goodput'),
          p50Ms: middle('p50Ms'),
          p99Ms: middle('p99Ms'),
          failures: middle('failures'),
        })
      }
    }
  } finally {
    await Promise.all(servers.map(({ worker }) => worker.stop()))
  }
  console.log(
    `\none of five servers is killed, or answers after ${SLOW_MS} ms in place of ${USUAL_MS}, for ${ask.ms - HEALTHY_MS} of ${ask.ms} ms; ${PER_SECOND} requests/s a client, no retries; goodput: answered within ${ask.usefulMs} ms; ${starved} rounds made again; ${where.version}`,
  )
  table(
    ['scenario', 'client', 'sent', 'goodput/s', 'p50 ms', 'p99 ms', 'failures', 'rounds'],
    rows.map((row) => [
      row.scenario,
      row.client,
      row.sent.toFixed(0),
      short(row.goodput),
      short(row.p50Ms),
      short(row.p99Ms),
      row.failures.toFixed(0),
      String(row.rounds),
    ]),
  )
  return { lines, rows, starved }
}
