// A lab of the transport suite on a PostgreSQL server: a schema of its own, a pool for each transport that is opened.
import { randomUUID } from 'node:crypto'
import { migrate, type PgDriver, type PostgresTransportOptions, pgDriver, postgresTransport } from 'fairlead/postgres'
import type { TransportLab } from 'fairlead/testing'
import { Pool } from 'pg'
import { startPgBouncer } from '../../services/pgbouncer-instance.ts'
import { startPostgres } from '../../services/postgres-instance.ts'
import { server } from '../../services/servers.ts'
import { proxyTo } from '../../services/toxiproxy.ts'

interface Address {
  readonly host: string
  readonly port: number
}

/** What a lab of PostgreSQL can do besides. */
export interface PostgresLabOptions extends Pick<TransportLab, 'restart' | 'stop' | 'cut' | 'freeze' | 'heavy'> {
  /** Where the schema is made and dropped, if not where the transports go. */
  readonly direct?: Address | undefined
  readonly transport?: PostgresTransportOptions | undefined
  readonly answerWithinMs?: number | undefined
}

/** Makes the schema, and drops it at the end. */
export async function postgresLab(address: Address, options: PostgresLabOptions = {}): Promise<TransportLab> {
  const { direct = address, transport, answerWithinMs, ...can } = options
  const schema = `lab_${randomUUID().replaceAll('-', '')}`
  const ending: Promise<unknown>[] = []
  const poolAt = ({ host, port }: Address, max: number): Pool => {
    const pool = new Pool({ host, port, user: 'postgres', database: 'postgres', max, connectionTimeoutMillis: 3_000 })
    // Idle connections are lost when the server is.
    pool.on('error', () => undefined)
    return pool
  }
  const own = poolAt(direct, 1)
  const ownDriver = pgDriver(own)
  await migrate(ownDriver, { schema })
  return {
    ...can,
    leaseMs: 3_000,
    delayMs: 3_000,
    heavy: can.heavy ?? 1_000,
    patienceMs: 60_000,
    open({ leaseMs } = {}) {
      const pool = poolAt(address, 4)
      const driver = pgDriver(pool, { answerWithinMs: answerWithinMs ?? 10_000 })
      const opened = postgresTransport(driver, { ...transport, schema, leaseMs })
      const close = opened.close.bind(opened)
      // The pool is the caller's: here that is us. Connections that hang are not waited for.
      opened.close = async () => {
        await close()
        ending.push(endOf(driver, pool))
      }
      return opened
    },
    async close() {
      await Promise.all(ending)
      await own.query(`drop schema if exists "${schema}" cascade`)
      await ownDriver.close()
      await own.end()
    },
  }
}

const endings = new WeakMap<Pool, Promise<void>>()
const endOf = (driver: PgDriver<object>, pool: Pool): Promise<void> => {
  const known = endings.get(pool)
  if (known !== undefined) return known
  const end = driver.close().then(() => pool.end())
  endings.set(pool, end)
  return end
}

/** A lab on a server of its own, which is killed, stopped, cut off and silenced; `pooled`: through a PgBouncer of its own in transaction mode. */
export async function troubledLab(pooled: boolean): Promise<TransportLab> {
  // Safe against a crash, because `restart` is one.
  const instance = await startPostgres({ fsync: 'on', full_page_writes: 'on', max_connections: '200' })
  const bouncer = pooled
    ? await startPgBouncer(instance, { server_login_retry: '1', max_client_conn: '400' })
    : undefined
  const entrance = bouncer ?? instance
  const proxy = server('toxiproxy') === undefined ? undefined : await proxyTo(entrance)
  const lab = await postgresLab(proxy ?? entrance, {
    direct: instance,
    answerWithinMs: 3_000,
    restart: () => instance.restart('immediate'),
    async stop() {
      await instance.stop('fast')
      return () => instance.start()
    },
    ...(proxy === undefined
      ? undefined
      : {
          async cut() {
            await proxy.refuse()
            await proxy.mend()
          },
          async freeze() {
            await proxy.toxic('timeout', { timeout: 0 }, 'upstream')
            await proxy.toxic('timeout', { timeout: 0 }, 'downstream')
            return () => proxy.mend()
          },
        }),
  })
  return {
    ...lab,
    async close() {
      await lab.close()
      await proxy?.remove()
      await bouncer?.remove()
      await instance.remove()
    },
  }
}
