// What a chaos run stands on: a server of its own, the ways to it through Toxiproxy and a pooler, its tables, and the history that can be read from them.
import { migrate, pgDriver, postgresTransport } from 'fairlead/postgres'
import { createConnection } from 'mysql2/promise'
import { Pool } from 'pg'
import type { Store } from '../../../src/core/contracts/store.ts'
import { freePort } from '../../services/free-port.ts'
import { startMariadb } from '../../services/mariadb-instance.ts'
import { startPgBouncer } from '../../services/pgbouncer-instance.ts'
import { startPostgres } from '../../services/postgres-instance.ts'
import { type ServerAddress, server } from '../../services/servers.ts'
import { proxyTo, type ToxicProxy } from '../../services/toxiproxy.ts'
import { type BrokerGround, startBroker } from './broker.ts'
import { type Opened, openDatabase, SCHEMA, WIRE_SCHEMA } from './open.ts'
import { createTables, say } from './sql.ts'
import type { BrokerName, DatabaseName, Told } from './words.ts'

export interface Ground {
  readonly database: DatabaseName
  /** Straight to the server. */
  readonly store: Store<object>
  /** Ways to the server for workers; each worker keeps to one. */
  readonly ways: readonly { readonly at: ServerAddress; readonly pooled: boolean }[]
  /** Before the ways; empty where no Toxiproxy is up. */
  readonly proxies: readonly ToxicProxy[]
  /** Where consumers listen, for messages that travel by HTTP push. */
  readonly push: Pick<NonNullable<Told['push']>, 'subscribers'> | undefined
  readonly ports: readonly number[]
  /** Between relays and consumers, where messages go through one. */
  readonly broker: BrokerGround | undefined
  restart(hard: boolean): Promise<void>
  /** Tries until the database answers. */
  ask(text: string, params?: readonly unknown[]): Promise<readonly Record<string, unknown>[]>
  /** Messages that wait at the transport. */
  waiting(): Promise<number>
  remove(): Promise<void>
}

const PLACES = [
  { kind: 'topic', name: 'orders', group: 'warehouse' },
  { kind: 'topic', name: 'shipments', group: 'mail' },
] as const

/**
 * @param consumers how many consumers listen for HTTP push; 0: messages travel through the database
 * @param pooled no worker goes to the database but through the pooler
 */
export async function startGround(
  database: DatabaseName,
  consumers: number,
  broker: BrokerName | undefined,
  pooled = false,
): Promise<Ground> {
  const ground = await (database === 'postgres' ? onPostgres(pooled) : onMariadb(consumers))
  if (broker === undefined) return ground
  const between = await startBroker(broker, PLACES)
  return {
    ...ground,
    broker: between,
    push: undefined,
    proxies: between.proxy === undefined ? ground.proxies : [...ground.proxies, between.proxy],
    waiting: () => between.waiting(),
    async remove() {
      await between.remove()
      await ground.remove()
    },
  }
}

async function onPostgres(allPooled: boolean): Promise<Ground> {
  const instance = await startPostgres({ max_connections: '200', deadlock_timeout: '200ms' })
  const opened = openDatabase({ database: 'postgres', at: instance })
  const pool = new Pool({ ...instance, user: 'postgres', database: 'postgres', max: 2 })
  pool.on('error', () => undefined)
  const driver = pgDriver(pool)
  await opened.store.migrate()
  await migrate(driver, { schema: WIRE_SCHEMA })
  await createTables(driver)
  const wire = postgresTransport(driver, { schema: WIRE_SCHEMA, notify: false })
  await wire.prepare(PLACES, 'create')
  const pooler = await startPgBouncer(instance, {
    default_pool_size: '30',
    max_client_conn: '500',
    query_wait_timeout: '10',
  })
  const proxies = server('toxiproxy') === undefined ? [] : [await proxyTo(instance), await proxyTo(pooler)]
  const [direct = instance, pooled = pooler] = proxies
  const ask = asking(opened)
  return {
    database: 'postgres',
    store: opened.store,
    ways: [{ at: pooled, pooled: true }, ...(allPooled ? [] : [{ at: direct, pooled: false }])],
    proxies,
    push: undefined,
    ports: [],
    broker: undefined,
    restart: (hard) => instance.restart(hard ? 'immediate' : 'fast'),
    ask,
    async waiting() {
      let waiting = 0
      for (const { group, ...channel } of PLACES) waiting += (await wire.inspect?.({ channel, group }))?.waiting ?? 0
      return waiting
    },
    async remove() {
      for (const proxy of proxies) await proxy.remove().catch(() => undefined)
      await wire.close()
      await opened.close()
      await pool.end()
      await pooler.remove()
      await instance.remove()
    },
  }
}

async function onMariadb(consumers: number): Promise<Ground> {
  // 2: what is committed outlives a kill of the server; only a crash of the machine could take it.
  const instance = await startMariadb({ 'innodb-flush-log-at-trx-commit': '2', 'innodb-lock-wait-timeout': '5' })
  const first = await createConnection({ host: instance.host, port: instance.port, user: 'root' })
  await first.query(`create database ${SCHEMA}`)
  await first.end()
  const opened = openDatabase({ database: 'mariadb', at: instance })
  await opened.store.migrate()
  await createTables(opened.driver)
  const ports: number[] = []
  while (ports.length < consumers) ports.push(await freePort())
  const urls = ports.map((port) => `http://127.0.0.1:${port}`)
  const proxies = server('toxiproxy') === undefined ? [] : [await proxyTo(instance)]
  return {
    database: 'mariadb',
    store: opened.store,
    ways: [{ at: proxies[0] ?? instance, pooled: false }],
    proxies,
    push: { subscribers: { orders: { warehouse: urls }, shipments: { mail: urls } } },
    ports,
    broker: undefined,
    restart: (hard) => instance.restart(hard ? 'kill' : 'fast'),
    ask: asking(opened),
    // Nothing lies between outbox and consumer.
    waiting: async () => 0,
    async remove() {
      for (const proxy of proxies) await proxy.remove().catch(() => undefined)
      await opened.close()
      await instance.remove()
    },
  }
}

function asking({ driver }: Opened): Ground['ask'] {
  return async (text, params = []) => {
    for (let tries = 0; ; tries++)
      try {
        return (await driver.execute(say(driver.dialect, text), params)).rows
      } catch (error) {
        if (tries === 100) throw error
        await new Promise((resolve) => setTimeout(resolve, 200))
      }
  }
}
