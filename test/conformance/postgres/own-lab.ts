// What tests of the PostgreSQL transport's own ways share: a schema of its own, transports whose statements are counted, and short ways to send and receive.
import { migrate, type PgDriver, type PostgresTransportOptions, pgDriver, postgresTransport } from 'fairlead/postgres'
import { Pool } from 'pg'
import { afterAll, afterEach, beforeAll, expect } from 'vitest'
import { systemClock } from '../../../src/core/clock.ts'
import { type CallContext, createContext } from '../../../src/core/context.ts'
import type { Delivery, MessageTransport, Receiver } from '../../../src/core/contracts/transport.ts'
import { deadlineIn } from '../../../src/core/deadline.ts'
import type { ChannelAddress, Envelope } from '../../../src/core/message.ts'
import { server } from '../../services/servers.ts'

/** The server under test. */
export const at = server('postgres')

/** What `ownLab` gives. */
export interface OwnLab {
  /** Quoted. */
  readonly schema: string
  readonly pool: Pool
  readonly driver: PgDriver<object>
  /** Names of the statements that its transports ran. */
  readonly statements: string[]
  /** How often receivers elsewhere were notified. */
  notified: number
  transport(
    options?: PostgresTransportOptions,
    through?: Pick<PgDriver<object>, 'dialect' | 'execute'>,
  ): MessageTransport
  made(kind: 'queue' | 'topic', by: MessageTransport): Promise<ChannelAddress>
  /** Rows of a statement in which `@` is the schema. */
  run(sql: string): Promise<readonly Record<string, unknown>[]>
}

export const context = (): CallContext =>
  createContext({
    service: 's',
    operation: 'o',
    deadline: deadlineIn(10_000, systemClock),
    idempotent: true,
  }).context

export const envelope = (id: string, more: Partial<Envelope> = {}): Envelope => ({
  id,
  attributes: {},
  headers: {},
  body: Buffer.from(id),
  ...more,
})

export const sendAll = async (
  by: MessageTransport,
  channel: ChannelAddress,
  envelopes: readonly Envelope[],
): Promise<void> => {
  for (const verdict of await by.send(channel, envelopes, context())) expect(verdict).toEqual({ status: 'accepted' })
}

export const collect = async (
  by: MessageTransport,
  from: Parameters<MessageTransport['receive']>[0],
  credit: number,
): Promise<{ readonly receiver: Receiver; readonly got: Delivery[] }> => {
  const got: Delivery[] = []
  const receiver = await by.receive(from, (delivery) => got.push(delivery))
  receiver.request(credit)
  return { receiver, got }
}

/** Makes the schema before the tests of a `describe`, closes transports after each, and drops the schema at the end. */
export const ownLab = (label: string): OwnLab => {
  // A name that has to be quoted, and quoted right.
  const schema = `${label} "x" 'y' \\ $1 ${process.pid}`
  const quoted = `"${schema.replaceAll('"', '""')}"`
  const open: MessageTransport[] = []
  const pool = new Pool({ ...at, user: 'postgres', database: 'postgres', max: 5 })
  const driver = pgDriver(pool)
  let channels = 0
  const lab: OwnLab = {
    schema: quoted,
    pool,
    driver,
    statements: [],
    notified: 0,
    transport(options = {}, through = driver) {
      const counted = {
        dialect: 'postgres',
        execute(text: string, params: readonly unknown[]) {
          const name = /message_(\w+)/.exec(text)?.[1] ?? text
          lab.statements.push(name)
          // A send may notify as well: its last parameter.
          if (name === 'wake' || (name === 'send' && params.at(-1) === true)) lab.notified++
          return through.execute(text, params)
        },
        listen: driver.listen,
      }
      const made = postgresTransport(counted, { schema, ...options })
      open.push(made)
      return made
    },
    async made(kind, by) {
      const channel = { kind, name: `channel ${++channels}` }
      await by.prepare([channel], 'create')
      return channel
    },
    run: async (sql) => (await pool.query(sql.replaceAll('@', quoted))).rows,
  }
  beforeAll(async () => {
    if (at === undefined) throw new Error('PostgreSQL is not up')
    await migrate(driver, { schema })
  })
  afterEach(async () => {
    await Promise.all(open.splice(0).map((each) => each.close()))
  })
  afterAll(async () => {
    await pool.query(`drop schema if exists ${quoted} cascade`)
    await driver.close()
    await pool.end()
  })
  return lab
}
