// What processes cost that are open and wait for their time: a look for those whose time has come, with 100,000 of them and with 1,000.
import { Client } from 'pg'
import { type Line, line, short, table } from '../lines.ts'
import type { Database, Site } from '../outbox/site.ts'
import { median, quotients, shuffler } from '../statistics.ts'
import type { Worker } from '../worker.ts'
import type { OpenAnswer } from './open.worker.ts'

/** Workers of this part, for `place`. */
export const OPEN_WORKERS: Readonly<Record<string, string>> = { open: 'test/bench/process/open.worker.ts' }

/** What a look costs. */
export interface OpenRow {
  readonly open: number
  /** Statements of the whole runner for each look. */
  readonly statements: number
  /** What the database reads them by. */
  readonly plan: readonly string[]
  /** Of one look, where nothing is due, and where a hundred are. */
  readonly idleUs: number
  readonly dueUs: number
  /** Of one, where all of them are: the first hundred are answered. */
  readonly allUs: number
}

/** What was measured. */
export interface OpenReport {
  readonly lines: readonly Line[]
  readonly rows: readonly OpenRow[]
}

const FEW = 1_000
const MANY = 100_000
const DUE = 100
// Of the first one; the others follow in seconds.
const FIRST_AT = 4_000_000_000_000

interface Side {
  readonly open: number
  readonly database: Database
  readonly worker: Worker<object, OpenAnswer>
  readonly idle: number[]
  readonly due: number[]
  readonly all: number[]
}

/** Measures and prints. */
export async function benchOpen(site: Site, quick: boolean): Promise<OpenReport> {
  const sides: Side[] = []
  for (const open of [FEW, MANY]) {
    const database = await site.database(`bench_open_${open}`)
    await database.migrate()
    await fill(database, open)
    await database.settle()
    const worker = await site.worker<OpenAnswer>('open', String(open), database.url)
    sides.push({ open, database, worker, idle: [], due: [], all: [] })
  }
  const rows: OpenRow[] = []
  const times = quick ? 500 : 2_000
  const shuffle = shuffler(3)
  for (let round = -1; round < (quick ? 3 : 9); round++)
    for (const { open, worker, idle, due, all } of shuffle(sides)) {
      const nothing = await worker.ask({ ask: 'look', times, at: FIRST_AT - 1 })
      const some = await worker.ask({ ask: 'look', times, at: FIRST_AT + (DUE - 1) * 1_000 })
      const every = await worker.ask({ ask: 'look', times: times / 50, at: FIRST_AT + open * 1_000 })
      if (nothing.due !== 0 || some.due !== DUE || every.due !== DUE)
        throw new Error(`${nothing.due}, ${some.due} and ${every.due} were due`)
      if (round < 0) continue
      idle.push(nothing.us)
      due.push(some.us)
      all.push(every.us)
    }
  for (const { open, database, worker, idle, due, all } of sides) {
    const { looks, statements, text, params } = await worker.ask({ ask: 'stand', ms: quick ? 1_000 : 3_000 })
    if (looks < 10) throw new Error(`the runner has looked ${looks} times`)
    rows.push({
      open,
      statements: statements / looks,
      plan: await planOf(database, text, params),
      idleUs: median(idle),
      dueUs: median(due),
      allUs: median(all),
    })
  }
  console.log(`\n${site.name}: processes that are open, each with a timeout, and as many that are over`)
  table(
    ['open', 'statements a look', 'us, nothing due', `us, ${DUE} due`, 'us, all due', 'plan'],
    rows.map(({ open, statements, idleUs, dueUs, allUs, plan }) => [
      open.toLocaleString('en'),
      short(statements),
      short(idleUs),
      short(dueUs),
      short(allUs),
      plan.join(', '),
    ]),
  )
  const [few, many] = sides as [Side, Side]
  const part = `open processes, ${site.name}`
  const large = rows[1] as OpenRow
  return {
    rows,
    lines: [
      line(part, 'statements a look, 100,000 open', 'at most', 1, [large.statements]),
      line(part, 'tables read in full for it', 'at most', 0, [
        large.plan.filter((node) => node.startsWith('Seq')).length,
      ]),
      line(part, 'us a look, nothing due: 100,000 open / 1,000', 'at most', 1.5, quotients(many.idle, few.idle)),
      line(part, 'us a look, 100 due: 100,000 open / 1,000', 'at most', 1.5, quotients(many.due, few.due)),
    ],
  }
}

// As a runner leaves them: an order whose first command was sent, and its timeout. Those that are over have no time.
async function fill(database: Database, open: number): Promise<void> {
  await database.run(
    `insert into fairlead.state (kind, name, id, version, state, wake_at, done)
    select 'process:bench-order', decode(md5(g.n::text), 'hex'), 'order-' || g.n, 1,
      json_build_object('v', 1, 'version', 1, 'status', case when g.n <= $1 then 'running' else 'completed' end,
        'state', json_build_object('orderId', 'order-' || g.n, 'text', repeat('x', 200), 'answers', 0), 'startedAt', 1700000000000, 'changedAt', 1700000000000, 'next', 3,
        'steps', json_build_object('one', json_build_object('step', 'one', 'is', 'open', 'n', 2, 'at', 1700000000000, 'asks', 0)), 'undo', '[]'::json,
        'timers', json_build_object('timeout:patience', json_build_object('at', $2::bigint + g.n * 1000, 'tick', 1)), 'correlations', '[]'::json)::text,
      case when g.n <= $1 then $2::bigint + (g.n - 1) * 1000 end, g.n > $1
    from generate_series(1, 2 * $1::int) g(n)`,
    [open, FIRST_AT],
  )
}

interface Plan {
  readonly 'Node Type': string
  readonly 'Index Name'?: string
  readonly 'Relation Name'?: string
  readonly Plans?: readonly Plan[]
}

// With the parameters in it, as the statement goes without a name.
async function planOf(database: Database, text: string, params: readonly unknown[]): Promise<readonly string[]> {
  const client = new Client({ connectionString: database.url })
  await client.connect()
  try {
    const { rows } = await client.query<{ 'QUERY PLAN': readonly [{ readonly Plan: Plan }] }>(
      `explain (format json) ${text}`,
      [...params],
    )
    const found: string[] = []
    const walk = (plan: Plan): void => {
      const of = plan['Index Name'] ?? plan['Relation Name']
      found.push(`${plan['Node Type']}${of === undefined ? '' : ` ${of}`}`)
      for (const each of plan.Plans ?? []) walk(each)
    }
    const plan = rows[0]?.['QUERY PLAN'][0].Plan
    if (plan === undefined) throw new Error('the database does not explain')
    walk(plan)
    return found
  } finally {
    await client.end()
  }
}
