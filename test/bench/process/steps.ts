// How fast processes go: beside a handler that is written by hand on the same database, and beside DBOS.
import { type Line, line, short, table } from '../lines.ts'
import type { Database, Site } from '../outbox/site.ts'
import { median, quotients, shuffler } from '../statistics.ts'
import type { Worker } from '../worker.ts'
import { HAND_TABLES } from './by-hand.ts'
import { COMMANDS, CONCURRENCY, IN_FLIGHT, STEPS } from './contest.ts'
import type { StepsAnswer } from './steps.worker.ts'

/** Workers of this part, for `place`. */
export const STEPS_WORKERS: Readonly<Record<string, string>> = { steps: 'test/bench/process/steps.worker.ts' }

/** Packages that are measured here beside what fairlead depends on. */
export const STEPS_PEERS: readonly string[] = ['@dbos-inc/dbos-sdk', 'pg']

/** How fast steps go. */
export interface StepsRow {
  readonly name: string
  /** Where messages are on their way. */
  readonly wire: string
  readonly rounds: number
  readonly perSecond: number
  readonly cpuUs: number
}

/** What was measured. */
export interface StepsReport {
  readonly lines: readonly Line[]
  readonly rows: readonly StepsRow[]
}

const OURS = 'fairlead'
const HAND = 'by hand'
const DBOS = 'DBOS, send and recv'
const DBOS_OWN = 'DBOS, workflows'
const DBOS_ALONE = 'DBOS, steps alone'

/** What a candidate leaves behind, and how many of its orders have come to their end. */
interface Kept {
  readonly tables: string
  readonly over: string
}

const FAIRLEAD: Kept = {
  tables: 'fairlead.state, fairlead.inbox',
  over: `select count(*) n from fairlead.state where done and state like '%"status":"completed"%'`,
}
const BY_HAND: Kept = {
  tables: 'bench_order, seen',
  over: `select count(*) n from bench_order where due_at is null and version = ${STEPS}`,
}
const OF_DBOS: Kept = {
  tables: 'dbos.workflow_status, dbos.operation_outputs, dbos.notifications',
  over: `select count(*) n from dbos.workflow_status where status = 'SUCCESS' and name = 'order'`,
}

interface Candidate {
  readonly name: string
  readonly wire: 'memory' | 'postgres' | 'none'
  readonly kept: Kept
}

const CANDIDATES: readonly Candidate[] = [
  { name: HAND, wire: 'memory', kept: BY_HAND },
  { name: OURS, wire: 'memory', kept: FAIRLEAD },
  { name: DBOS, wire: 'memory', kept: OF_DBOS },
  { name: HAND, wire: 'postgres', kept: BY_HAND },
  { name: OURS, wire: 'postgres', kept: FAIRLEAD },
  { name: DBOS, wire: 'postgres', kept: OF_DBOS },
  { name: DBOS_OWN, wire: 'none', kept: OF_DBOS },
  { name: DBOS_ALONE, wire: 'none', kept: OF_DBOS },
]

interface Runner extends Candidate {
  readonly database: Database
  readonly worker: Worker<object, StepsAnswer>
  readonly found: StepsAnswer[]
}

// The two ways of DBOS with messages take most of it. On a slow machine there are fewer rounds, and wider intervals: the table says how many.
const MOST_MS = 540_000
const LEAST_ROUNDS = 3

/** Measures and prints. */
export async function benchSteps(site: Site, quick: boolean): Promise<StepsReport> {
  const began = performance.now()
  const enough = (round: number): boolean =>
    round >= (quick ? LEAST_ROUNDS : 7) || (round >= LEAST_ROUNDS && performance.now() - began > MOST_MS)
  const runners: Runner[] = []
  for (const [index, candidate] of CANDIDATES.entries()) {
    const database = await site.database(`bench_steps_${index}`)
    await database.migrate()
    await database.run(HAND_TABLES)
    const worker = await site.worker<StepsAnswer>('steps', candidate.name, database.url, [
      candidate.wire === 'none' ? 'memory' : candidate.wire,
    ])
    runners.push({ ...candidate, database, worker, found: [] })
  }
  const shuffle = shuffler(runners.length)
  // Two short rounds first for what is compiled and planned on the way.
  for (let round = -2; !enough(round); round++)
    for (const { name, kept, database, worker, found } of shuffle(runners)) {
      const orders = quick || round < 0 ? 300 : 600
      await database.run(`truncate ${kept.tables} cascade`)
      await database.settle()
      const answer = await worker.ask({ orders })
      const over = await database.count(kept.over)
      if (over !== orders) throw new Error(`${name}: ${over} of ${orders} orders have come to their end`)
      await emptied(name, database)
      if (round >= 0) found.push(answer)
    }
  const rates = (name: string, wire: string): readonly number[] =>
    (runners.find((each) => each.name === name && each.wire === wire)?.found ?? []).map(({ perSecond }) => perSecond)
  const rows = runners.map(
    ({ name, wire, found }): StepsRow => ({
      name,
      wire,
      rounds: found.length,
      perSecond: median(found.map(({ perSecond }) => perSecond)),
      cpuUs: median(found.map(({ cpuUs }) => cpuUs)),
    }),
  )
  console.log(
    `\n${site.name}: orders of ${COMMANDS} commands and so ${STEPS} steps, ${IN_FLIGHT} under way at once; ${CONCURRENCY} handlers at once of each consumer, ${CONCURRENCY} connections`,
  )
  table(
    ['way', 'messages by', 'steps/s', `of ${HAND}`, 'CPU us/step', 'rounds'],
    rows.map(({ name, wire, perSecond, cpuUs, rounds }, at) => [
      name,
      wire,
      perSecond.toFixed(0),
      short(
        median(
          quotients(
            runners[at]?.found.map((each) => each.perSecond) ?? [],
            rates(HAND, wire === 'none' ? 'memory' : wire),
          ),
        ),
      ),
      short(cpuUs),
      String(rounds),
    ]),
  )
  const against = (theirs: string, wire: 'memory' | 'postgres', limit: number, theirWire: string = wire): Line =>
    line(
      `steps, messages by ${wire}, ${site.name}`,
      `steps/s: ${OURS} / ${theirs}`,
      'at least',
      limit,
      quotients(rates(OURS, wire), rates(theirs, theirWire)),
    )
  return {
    rows,
    lines: [
      against(HAND, 'memory', 0.6),
      against(DBOS, 'memory', 1),
      against(DBOS_OWN, 'memory', 1, 'none'),
      against(HAND, 'postgres', 0.6),
      against(DBOS, 'postgres', 1),
      against(DBOS_OWN, 'postgres', 1, 'none'),
    ],
  }
}

// The last commands may not have been taken out of the outbox yet when their answers are there.
async function emptied(name: string, database: Database): Promise<void> {
  for (let tries = 0; tries < 200; tries++) {
    if ((await database.count('select count(*) n from fairlead.outbox')) === 0) return
    await new Promise((resolve) => setTimeout(resolve, 25))
  }
  throw new Error(`${name}: the outbox is not empty`)
}
