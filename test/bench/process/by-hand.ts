// The contest as one would write it without fairlead's processes: an inbox, a row with a version, and an outbox, in one transaction each, by plain `pg`. Consumers and relay are the same.
import { randomUUID } from 'node:crypto'
import type { MessageTransport } from 'fairlead/core'
import { createConsumer, createOutbox, createRelay } from 'fairlead/messaging'
import { pgDriver, postgresStore } from 'fairlead/postgres'
import type { Pool, PoolClient } from 'pg'
import {
  Answers,
  COMMANDS,
  CONCURRENCY,
  type Contest,
  Orders,
  PATIENCE_MS,
  placing,
  type Said,
  startOthers,
} from './contest.ts'

interface Came {
  readonly id: string
  readonly data: Said
}

interface State {
  readonly orderId: string
  readonly text: string
  answers: number
}

/** Its tables. Those of fairlead are there as well, for the outbox. */
export const HAND_TABLES = `
  create table seen (id text primary key, at timestamptz not null default clock_timestamp());
  create table bench_order (id text primary key, version int not null, state text not null, due_at timestamptz);
  create index on bench_order (due_at) where due_at is not null`

/** Starts it. */
export async function byHand(pool: Pool, transport: MessageTransport): Promise<Contest> {
  const told = new Set<() => void>()
  const made = createOutbox(postgresStore(pgDriver(pool)))
  // It hears of commits that fairlead knows nothing of: by hand one would wake the relay as well.
  const outbox = {
    source: made.source,
    maxPayloadBytes: made.maxPayloadBytes,
    place: made.place,
    publish: made.publish,
    onAppended(listener: () => void) {
      told.add(listener)
      return () => void told.delete(listener)
    },
  }
  let done = 0
  let digest = 0

  // A row as the outbox has them. Neither lock nor digest of the key: an order is never in two transactions at once here.
  const send = async (client: PoolClient, command: number, data: Said): Promise<void> => {
    const head = {
      a: {
        specversion: '1.0',
        source: '/outbox',
        type: `do-${command}`,
        time: new Date().toISOString(),
        datacontenttype: 'application/json',
      },
    }
    await client.query(
      'insert into fairlead.outbox (part, digest, channel, id, key, head, body) values ($1, $2, $3, $4, $5, $6, $7)',
      [
        ++digest & 63,
        1_234_567_890_123 + digest,
        'queue:bench-commands',
        randomUUID(),
        data.orderId,
        JSON.stringify(head),
        Buffer.from(JSON.stringify(data)),
      ],
    )
  }

  const once = async (id: string, work: (client: PoolClient) => Promise<void>): Promise<void> => {
    const client = await pool.connect()
    try {
      await client.query('begin')
      const { rowCount } = await client.query('insert into seen (id) values ($1) on conflict do nothing', [id])
      if (rowCount === 1) await work(client)
      await client.query('commit')
      client.release()
    } catch (error) {
      client.release(true)
      throw error
    }
  }

  const placed = async ({ id, data }: Came): Promise<void> => {
    await once(id, async (client) => {
      const state: State = { ...data, answers: 0 }
      await client.query('insert into bench_order (id, version, state, due_at) values ($1, 1, $2, $3)', [
        data.orderId,
        JSON.stringify(state),
        new Date(Date.now() + PATIENCE_MS),
      ])
      await send(client, 1, data)
    })
    for (const tell of told) tell()
  }

  const answered =
    (command: number) =>
    async ({ id, data }: Came): Promise<void> => {
      const last = command === COMMANDS
      await once(id, async (client) => {
        const found = await client.query<{ version: number; state: string }>(
          'select version, state from bench_order where id = $1',
          [data.orderId],
        )
        const row = found.rows[0]
        if (row === undefined) throw new Error(`there is no order ${data.orderId}`)
        const state = JSON.parse(row.state) as State
        state.answers++
        const { rowCount } = await client.query(
          `update bench_order set version = version + 1, state = $3${last ? ', due_at = null' : ''} where id = $1 and version = $2`,
          [data.orderId, row.version, JSON.stringify(state)],
        )
        if (rowCount !== 1) throw new Error(`the order ${data.orderId} was changed meanwhile`)
        if (!last) await send(client, command + 1, data)
      })
      if (last) done++
      else for (const tell of told) tell()
    }

  const shared = { transport, concurrency: CONCURRENCY }
  const relay = createRelay({ outbox: outbox as never, transport })
  await relay.start()
  await createConsumer({ ...shared, channel: Orders, handlers: { placed } }).start()
  await createConsumer({
    ...shared,
    channel: Answers,
    handlers: { 'done-1': answered(1), 'done-2': answered(2), 'done-3': answered(3) },
  }).start()
  await startOthers(transport)
  return { start: placing(transport), done: () => done, async settle() {} }
}
