// A chaos run: producers, relays and consumers as processes on a real database, faults after a seeded plan, and a history that is read from the database at the end.
import { type HistoryReport, historyChecker, historyText } from 'fairlead/testing'
import { Faults } from './faults.ts'
import { Fleet } from './fleet.ts'
import { type Ground, startGround } from './ground.ts'
import { drawPlan } from './plan.ts'
import type { BreakageName, BrokerName, DatabaseName, Told } from './words.ts'

export interface ChaosOptions {
  readonly database: DatabaseName
  /** Every worker goes through the pooler, PgBouncer in transaction mode: for PostgreSQL. Default: every second one. */
  readonly pooled?: boolean | undefined
  /** Messages travel through it. Default: through the database, or by HTTP push. */
  readonly broker?: BrokerName | undefined
  readonly seed: number
  /** Of producers, at least; what consumers publish comes on top. */
  readonly messages: number
  /** About how long messages are produced. */
  readonly minutes: number
  /** Default: one for each five seconds or so, and each kind at least once. */
  readonly faults?: number | undefined
  /** Only faults whose name has this in it. */
  readonly only?: string | undefined
  readonly broken?: BreakageName | undefined
  /** Ends the wait for what does not come, milliseconds without any progress. Default 60,000. */
  readonly stallMs?: number | undefined
  readonly log?: ((line: string) => void) | undefined
}

export interface ChaosResult {
  readonly report: HistoryReport
  /** Marks of relays that held their partitions no longer, in words. */
  readonly fencing: readonly string[]
  /** Inside `store.transaction` of producers, and elsewhere. */
  readonly deadlocks: { readonly transaction: number; readonly elsewhere: number }
  /** How often each fault came about. */
  readonly faults: Readonly<Record<string, number>>
  /** Those that did not: nobody came to the place in time. */
  readonly missed: number
  readonly starts: number
  readonly seconds: number
  readonly text: string
}

const PRODUCERS = 2
const RELAYS = 3
const CONSUMERS = 3

export async function runChaos(options: ChaosOptions): Promise<ChaosResult> {
  const { database, seed, messages, minutes, broken, stallMs = 60_000, log = () => undefined } = options
  const began = performance.now()
  const ground = await startGround(database, CONSUMERS, options.broker, options.pooled)
  const count = options.faults ?? Math.max(13, Math.round(minutes * 13))
  const plan = drawPlan(seed, count, ground.proxies.length > 0, ground.broker !== undefined, options.only)
  const watch = { deadlocks: { transaction: 0, elsewhere: 0 }, troubles: new Map<string, number>() }
  let heard: Faults | undefined
  const fleet = new Fleet((name, what) => {
    heard?.hear(name, what)
    if (what.is === 'deadlock') {
      watch.deadlocks[what.where]++
      log(`deadlock in ${name}: ${what.words}`)
    }
    if (what.is === 'state') log(`  ${name}: ${what.words}`)
    if (what.is === 'trouble') watch.troubles.set(what.words, (watch.troubles.get(what.words) ?? 0) + 1)
  })
  const faults = new Faults(fleet, ground, log)
  heard = faults
  log(
    `seed ${seed}, ${database}${options.pooled === true ? ' through PgBouncer' : ''}${options.broker === undefined ? '' : `, ${options.broker}`}${broken === undefined ? '' : `, broken: ${broken}`}: ${count} faults`,
  )
  if (ground.proxies.length === 0) log('no Toxiproxy is up: faults of the network are left out')
  try {
    for (const told of crew(options, ground)) fleet.add(told)
    await faults.until(() => faults.ready >= PRODUCERS + RELAYS + CONSUMERS, 120_000)
    for (const [at, planned] of plan.entries()) {
      await sentUpTo(ground, (messages * at) / plan.length, Math.max(stallMs, 30_000))
      await faults.strike(planned)
      log(`${String(at + 1).padStart(4)}. ${planned.fault}  (${await ordersOf(ground)} sent)`)
    }
    await sentUpTo(ground, messages, Math.max(stallMs, 30_000))
    for (const name of fleet.names('producer')) await fleet.leave(name)
    await faults.mend()
    if (!(await drained(ground, stallMs, log))) await standstill(fleet)
    // For what comes late: longer than the leases, and again until nothing is on its way.
    await new Promise((resolve) => setTimeout(resolve, 5_000))
    await drained(ground, stallMs, () => undefined)
  } finally {
    await fleet.end()
  }
  try {
    const report = await judge(ground)
    const around = await surroundings(ground, report)
    const seconds = Math.round((performance.now() - began) / 1000)
    const { deadlocks } = watch
    const text = [
      historyText(report),
      ...around,
      ...faults.fencing.map((words) => `  fencing: ${words}`),
      `${deadlocks.transaction} deadlocks inside store.transaction, ${deadlocks.elsewhere} elsewhere`,
      `${plan.length - faults.missed} faults (${faults.missed} more found nobody), ${fleet.starts} starts of processes, ${seconds} s, seed ${seed}`,
      ...[...watch.troubles].slice(0, 5).map(([words, times]) => `  ${times} times: ${words}`),
    ].join('\n')
    const { fencing, counts, missed } = faults
    return { report, fencing, deadlocks, faults: counts, missed, starts: fleet.starts, seconds, text }
  } finally {
    await ground.remove()
  }
}

function crew({ database, seed, messages, minutes, broken }: ChaosOptions, ground: Ground): readonly Told[] {
  const rate = messages / 3 / PRODUCERS / (minutes * 60 * 0.65)
  const told = (role: Told['role'], name: string, at: number): Told => ({
    role,
    name,
    database,
    ...(ground.ways[at % ground.ways.length] as Ground['ways'][number]),
    broker: ground.broker?.way,
    push: ground.push === undefined ? undefined : { ...ground.push, port: ground.ports[at] ?? 0 },
    seed: seed * 1_000,
    rate,
    broken,
  })
  const many = (role: Told['role'], count: number): readonly Told[] =>
    Array.from({ length: count }, (_, at) => told(role, `${role}-${at + 1}`, at))
  return [...many('relay', RELAYS), ...many('consumer', CONSUMERS), ...many('producer', PRODUCERS)]
}

async function numberOf(ground: Ground, text: string): Promise<number> {
  return Number((await ground.ask(text))[0]?.['count'])
}

function ordersOf(ground: Ground): Promise<number> {
  return numberOf(ground, "select count(*) as count from chaos.sent where `key` like 'orders/%'")
}

// However slow the machine is, as long as there is any progress.
async function sentUpTo(ground: Ground, count: number, stallMs: number): Promise<void> {
  let last = -1
  let since = performance.now()
  for (;;) {
    const sent = await ordersOf(ground)
    if (sent >= count) return
    if (sent !== last) since = performance.now()
    last = sent
    if (performance.now() - since > stallMs) return
    await new Promise((resolve) => setTimeout(resolve, 100))
  }
}

// Until all that was sent has arrived, or nothing moves any more.
async function drained(ground: Ground, stallMs: number, log: (line: string) => void): Promise<boolean> {
  let last = ''
  let since = performance.now()
  for (;;) {
    const sent = await numberOf(ground, 'select count(*) as count from chaos.sent')
    const applied = await numberOf(
      ground,
      'select count(*) as count from (select distinct consumer, id from chaos.applied) as once',
    )
    const { backlog, dead } = await ground.store.outbox.stats().catch(() => ({ backlog: -1, dead: -1 }))
    const waiting = await ground.waiting().catch(() => -1)
    if (applied >= sent && backlog === 0 && waiting === 0) return true
    const now = `${sent} sent, ${applied} applied, ${backlog} in the outbox, ${dead} dead, ${waiting} waiting`
    if (now !== last) since = performance.now()
    last = now
    if (performance.now() - since > stallMs) {
      log(`nothing moves any more: ${now}`)
      return false
    }
    await new Promise((resolve) => setTimeout(resolve, 500))
  }
}

// What everybody holds, for whoever looks for the cause.
async function standstill(fleet: Fleet): Promise<void> {
  for (const name of fleet.names('consumer')) fleet.ask(name, { do: 'tell' })
  await new Promise((resolve) => setTimeout(resolve, 2_000))
}

// What was applied of the keys of the first violations of order.
async function surroundings(ground: Ground, { violations }: HistoryReport): Promise<readonly string[]> {
  const lines: string[] = []
  for (const { key, id, consumer } of violations.filter(({ rule }) => rule === 'order').slice(0, 3)) {
    const rows = await ground.ask(
      'select a.n, a.id, a.worker, a.at, s.n as place from chaos.applied a left join chaos.sent s on s.id = a.id where a.`key` = ? and a.consumer = ? order by a.n',
      [key, consumer],
    )
    const at = rows.findIndex((row) => row['id'] === id)
    lines.push(`  applied of ${key} by ${consumer}:`)
    for (const row of rows.slice(Math.max(0, at - 6), at + 3))
      lines.push(
        `    ${row['n']}: n ${row['place']}  ${row['id']}  ${row['worker']}  ${new Date(String(row['at'])).toISOString()}`,
      )
  }
  return lines
}

const PAGE = 20_000

async function judge(ground: Ground): Promise<HistoryReport> {
  const checker = historyChecker({
    consumers: ['warehouse', 'mail'],
    applies: (consumer, { key }) => key.startsWith(consumer === 'mail' ? 'shipments/' : 'orders/'),
  })
  const places = new Map<string, number>()
  for await (const { n, key, id, cause } of pages(ground, 'select n, `key`, id, cause from chaos.sent')) {
    places.set(String(id), Number(n))
    const causes = cause === null ? {} : { causes: [String(cause)], by: 'warehouse' }
    checker.add({ event: 'sent', key: String(key), n: Number(n), id: String(id), ...causes })
  }
  for await (const { n, consumer, key, id } of pages(ground, 'select n, consumer, `key`, id from chaos.applied')) {
    const place = places.get(String(id)) ?? -1
    checker.add({
      event: 'applied',
      consumer: String(consumer),
      key: String(key),
      n: place,
      id: String(id),
      at: Number(n),
    })
  }
  return checker.report()
}

async function* pages(ground: Ground, select: string): AsyncGenerator<Record<string, unknown>> {
  for (let after = -1; ; ) {
    const rows = await ground.ask(`${select} where n > ? order by n limit ${PAGE}`, [after])
    yield* rows
    if (rows.length < PAGE) return
    after = Number(rows.at(-1)?.['n'])
  }
}
