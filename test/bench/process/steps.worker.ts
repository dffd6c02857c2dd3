// Orders, so many under way at once, by one way to run them, in a process of its own.
import { setTimeout as wait } from 'node:timers/promises'
import { memoryTransport } from 'fairlead/memory'
import { pgDriver, postgresTransport } from 'fairlead/postgres'
import pg from 'pg'
import { answering } from '../answering.ts'
import { byHand } from './by-hand.ts'
import { Answers, CONCURRENCY, Commands, type Contest, IN_FLIGHT, Orders, STEPS } from './contest.ts'
import { dbosMessages, dbosSteps, dbosWorkflows } from './dbos.ts'
import { saga } from './saga.ts'

interface Ask {
  readonly orders: number
}

/** What came of it. */
export interface StepsAnswer {
  readonly perSecond: number
  /** CPU time of this process for each step; that of the database is not in it. */
  readonly cpuUs: number
}

const [, , name = '', url = '', wire = 'memory'] = process.argv
const now = (): number => Number(process.hrtime.bigint()) / 1e6
const pool = new pg.Pool({ connectionString: url, max: CONCURRENCY, idleTimeoutMillis: 0 })
// The wire has connections of its own.
const transport =
  wire === 'memory'
    ? memoryTransport()
    : postgresTransport(pgDriver(new pg.Pool({ connectionString: url, max: 8, idleTimeoutMillis: 0 })))
if (wire !== 'memory') await transport.prepare([Orders, Commands, Answers], 'create')

const candidates: Readonly<Record<string, () => Promise<Contest>>> = {
  fairlead: () => saga(pool, transport),
  'by hand': () => byHand(pool, transport),
  'DBOS, send and recv': () => dbosMessages(url, transport),
  'DBOS, workflows': () => dbosWorkflows(url),
  'DBOS, steps alone': () => dbosSteps(url),
}

const contest = await candidates[name]?.()
if (contest === undefined) throw new Error(`no candidate ${name}`)
let placed = 0

answering<Ask, StepsAnswer>(async ({ orders }) => {
  const before = contest.done()
  const done = (): number => contest.done() - before
  const used = process.cpuUsage()
  const began = now()
  let started = 0
  while (done() < orders) {
    const room = Math.min(IN_FLIGHT - (started - done()), orders - started)
    if (room > 0) {
      started += room
      await contest.start(Array.from({ length: room }, () => `order-${++placed}`))
    }
    await wait(1)
    if (now() - began > 300_000) throw new Error(`${name}: ${done()} of ${orders} orders in 300 s`)
  }
  const ms = now() - began
  const { user, system } = process.cpuUsage(used)
  await contest.settle()
  const steps = orders * STEPS
  return { perSecond: (steps * 1_000) / ms, cpuUs: (user + system) / steps }
})
