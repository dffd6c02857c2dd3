// Empties an outbox, in a process of its own: fairlead's relay, a bare loop on the same table, or pg-transactional-outbox on its own.
import { setTimeout as wait } from 'node:timers/promises'
import { createOutbox, createRelay } from 'fairlead/messaging'
import { pgDriver, postgresStore } from 'fairlead/postgres'
import pg from 'pg'
import { answering } from '../answering.ts'
import { acceptingTransport } from './accepting.ts'

/** What is asked: to put so many in (only of pg-transactional-outbox, whose table is its own), or to send so many. */
type Ask =
  | { readonly ask: 'fill'; readonly messages: number; readonly textLength: number }
  | { readonly ask: 'drain'; readonly messages: number }

/** What came of `drain`. */
export interface DrainAnswer {
  readonly perSecond: number
  /** CPU time of this process for each message; that of the database is not in it. */
  readonly cpuUs: number
  /** So many were sent: some more than asked for, where more are there. */
  readonly sent: number
}

interface Outcome {
  readonly sent: number
  readonly ms: number
}

interface Candidate {
  fill?(messages: number, textLength: number): Promise<void>
  drain(messages: number): Promise<Outcome>
}

const BATCH = 500

const [, , name = '', connectionString = ''] = process.argv
const pool = new pg.Pool({ connectionString, idleTimeoutMillis: 0 })
const now = (): number => Number(process.hrtime.bigint()) / 1e6

// What anyone would write: one statement takes a batch and commits. (A crash would lose the batch.)
function bare(): Candidate {
  const take = {
    text: `delete from fairlead.outbox where seq = any(array(select seq from fairlead.outbox order by seq limit ${BATCH}))
      returning seq, channel, id, key, head, body`,
  }
  let handed = 0
  const handle = (rows: readonly unknown[]): void => {
    handed += rows.length
  }
  return {
    async drain(messages) {
      handed = 0
      const began = now()
      while (handed < messages) {
        const { rows } = await pool.query(take)
        if (rows.length === 0) break
        handle(rows)
      }
      return { sent: handed, ms: now() - began }
    },
  }
}

// From `start` to the end of `close`: leasing, reading, settling and giving back are all in it.
function relay(archive: boolean): Candidate {
  const outbox = createOutbox(postgresStore(pgDriver(pool), { archive }))
  return {
    async drain(messages) {
      let sent = 0
      let done = (): void => {}
      const all = new Promise<void>((resolve) => {
        done = resolve
      })
      const transport = acceptingTransport((envelopes) => {
        sent += envelopes.length
        if (sent >= messages) done()
      })
      const began = now()
      const mine = createRelay({ outbox, transport, batch: BATCH })
      await mine.start()
      await all
      await mine.close()
      const ms = now() - began
      const { state, published, lastError } = mine.health()
      if (lastError !== undefined || state !== 'closed' || published !== sent)
        throw lastError ?? new Error(`the relay is ${state}, published ${published} of ${sent}`)
      return { sent, ms }
    },
  }
}

// It is installed for the bench only, and has no types here.
const peer = (module: string): Promise<any> => import(module)

// Its README: a larger batch and a shorter interval, no protection of an outbox against poison, `parallel` for messages without an order; and a strategy for the size of
// the batch, as its default takes one message at a time for the first fifty polls.
const PTX_BATCH = 50
const PTX_POLL_MS = 10
// A row that two polls wanted at once stays locked for as long as this: the last of a hundred are waited for, but not counted.
const PTX_LOCK_MS = 5_000
const PTX_COUNTED = 0.99

async function pgTransactionalOutbox(): Promise<Candidate> {
  const { DatabaseSetupExporter, getDisabledLogger, initializePollingMessageListener } =
    await peer('pg-transactional-outbox')
  const script: string = DatabaseSetupExporter.createPollingScript(
    {
      outboxOrInbox: 'outbox',
      database: 'ptx',
      schema: 'ptx',
      table: 'outbox',
      listenerRole: 'postgres',
      nextMessagesName: 'next_outbox_messages',
    },
    true,
  )
  await pool.query(script)
  const config = {
    outboxOrInbox: 'outbox',
    dbListenerConfig: { connectionString, max: 10 },
    dbHandlerConfig: { connectionString, max: PTX_BATCH },
    settings: {
      dbSchema: 'ptx',
      dbTable: 'outbox',
      enableMaxAttemptsProtection: false,
      enablePoisonousMessageProtection: false,
      messageCleanupIntervalInMs: 0,
      nextMessagesFunctionSchema: 'ptx',
      nextMessagesFunctionName: 'next_outbox_messages',
      nextMessagesBatchSize: PTX_BATCH,
      nextMessagesPollingIntervalInMs: PTX_POLL_MS,
      nextMessagesLockInMs: PTX_LOCK_MS,
    },
  }
  return {
    async fill(messages, textLength) {
      await pool.query('truncate ptx.outbox')
      await pool.query(
        `insert into ptx.outbox (id, aggregate_type, aggregate_id, message_type, concurrency, payload)
        select gen_random_uuid(), 'order', 'order-' || g.n, 'order.placed', 'parallel',
          jsonb_build_object('orderId', 'order-' || g.n, 'sentAt', 1234567.8, 'text', repeat('x', $2))
        from generate_series(1, $1::int) g(n)`,
        [messages, textLength],
      )
    },
    async drain(messages) {
      const counted = Math.floor(messages * PTX_COUNTED)
      let handled = 0
      let first = 0
      let last = 0
      const handle = async (): Promise<void> => {
        if (handled === 0) first = now()
        if (++handled === counted) last = now()
      }
      const [shutdown] = initializePollingMessageListener(config, { handle }, getDisabledLogger(), {
        batchSizeStrategy: () => Promise.resolve(PTX_BATCH),
      })
      const left = async (): Promise<number> =>
        Number((await pool.query('select count(*) n from ptx.outbox where processed_at is null')).rows[0]?.n)
      while (handled < messages) await wait(5)
      // The last ones are still being marked.
      for (let tries = 0; (await left()) > 0 && tries < 500; tries++) await wait(10)
      await shutdown()
      if ((await left()) > 0) throw new Error(`${name}: some were not marked`)
      return { sent: counted, ms: last - first }
    },
  }
}

const candidates: Readonly<Record<string, () => Candidate | Promise<Candidate>>> = {
  bare,
  relay: () => relay(false),
  'relay, archive': () => relay(true),
  'pg-transactional-outbox': pgTransactionalOutbox,
}

const made = await candidates[name]?.()
if (made === undefined) throw new Error(`no candidate ${name}`)

answering<Ask, DrainAnswer | object>(async (question) => {
  if (question.ask === 'fill') {
    await made.fill?.(question.messages, question.textLength)
    return {}
  }
  const used = process.cpuUsage()
  const { sent, ms } = await made.drain(question.messages)
  const { user, system } = process.cpuUsage(used)
  return { perSecond: (sent * 1_000) / ms, cpuUs: (user + system) / sent, sent }
})
