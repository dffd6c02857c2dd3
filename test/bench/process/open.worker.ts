// A runner beside so many processes that are open: what it asks the database when nothing happens, and how long one look takes.
import { setTimeout as wait } from 'node:timers/promises'
import { memoryTransport } from 'fairlead/memory'
import { createOutbox, createProcessRunner } from 'fairlead/messaging'
import { type PgDriver, pgDriver, postgresStore } from 'fairlead/postgres'
import pg from 'pg'
import { answering } from '../answering.ts'
import { Order } from './saga.ts'

/** What is asked: to let a runner stand for a while, or to look so many times. */
type Ask =
  | { readonly ask: 'stand'; readonly ms: number }
  | { readonly ask: 'look'; readonly times: number; readonly at: number }

/** What came of it. */
export interface OpenAnswer {
  /** Of `stand`: looks, statements of the whole runner, and the last one. */
  readonly looks: number
  readonly statements: number
  readonly text: string
  readonly params: readonly unknown[]
  /** Of `look`: how long one took, and how many were due. */
  readonly us: number
  readonly due: number
}

const [, , , connectionString = ''] = process.argv
const pool = new pg.Pool({ connectionString, max: 4, idleTimeoutMillis: 0 })
const now = (): number => Number(process.hrtime.bigint()) / 1e3

let statements = 0
let last: { readonly text: string; readonly params: readonly unknown[] } = { text: '', params: [] }
const driver = pgDriver(pool)
// Every statement passes here, BEGIN and COMMIT of a transaction as one each.
const counted: PgDriver<pg.PoolClient> = {
  ...driver,
  transaction(work, options) {
    statements += 2
    return driver.transaction(work, options)
  },
  query(tx, text, params) {
    statements++
    return driver.query(tx, text, params)
  },
  execute(text, params) {
    statements++
    last = { text, params }
    return driver.execute(text, params)
  },
}
const kind = `process:${Order.name}`
const whole = postgresStore(counted)
let looks = 0
const store = {
  ...whole,
  states: {
    ...whole.states,
    due(...asked: Parameters<typeof whole.states.due>) {
      looks++
      return whole.states.due(...asked)
    },
  },
}
const NOTHING: OpenAnswer = { looks: 0, statements: 0, text: '', params: [], us: 0, due: 0 }

answering<Ask, OpenAnswer>(async (question) => {
  if (question.ask === 'look') {
    let due = 0
    const began = now()
    for (let time = 0; time < question.times; time++) due = (await whole.states.due(kind, question.at, 100)).length
    return { ...NOTHING, us: (now() - began) / question.times, due }
  }
  const transport = memoryTransport()
  const outbox = createOutbox(store)
  const runner = createProcessRunner({ process: Order, store, outbox, transport, scanEveryMs: 20 })
  looks = 0
  statements = 0
  await runner.start()
  await wait(question.ms)
  await runner.close()
  await transport.close()
  return { ...NOTHING, looks, statements, ...last }
})
