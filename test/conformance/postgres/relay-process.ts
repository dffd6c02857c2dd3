// One process with a relay. What it sends goes into a table, so that everybody can see in which order it arrived.
import { Pool } from 'pg'
import { memoryCapabilities } from '../../../src/adapters/memory/index.ts'
import { pgDriver, postgresStore } from '../../../src/adapters/postgres/index.ts'
import type { MessageTransport } from '../../../src/core/contracts/transport.ts'
import { createOutbox, createRelay } from '../../../src/messaging/outbox/index.ts'

interface Told {
  readonly host: string
  readonly port: number
  readonly schema: string
  readonly leaseMs: number
  /** Dies after so many messages, between their sending and their settling; 0: never. */
  readonly diesAfter: number
}

const { host, port, schema, leaseMs, diesAfter } = JSON.parse(process.argv[2] as string) as Told
const pool = new Pool({ host, port, user: 'postgres', database: 'postgres', max: 6 })
pool.on('error', () => undefined)
const store = postgresStore(pgDriver(pool), { schema })
let sent = 0
const transport: MessageTransport = {
  name: 'table',
  capabilities: memoryCapabilities,
  prepare: async () => {},
  async send(_, envelopes) {
    const ids = envelopes.map(({ id }) => id)
    const keys = envelopes.map(({ key }) => key ?? null)
    await pool.query(
      `insert into "${schema}".arrived (id, key, relay) select id, key, $3 from unnest($1::text[], $2::text[]) with ordinality u(id, key, n) order by n`,
      [ids, keys, process.pid],
    )
    sent += envelopes.length
    if (diesAfter > 0 && sent >= diesAfter) process.kill(process.pid, 'SIGKILL')
    return envelopes.map(() => ({ status: 'accepted' }) as const)
  },
  receive: () => Promise.reject(new Error('not here')),
  close: async () => {},
}
const relay = createRelay({ outbox: createOutbox(store), transport, leaseMs, batch: 50, poll: { maxMs: 100 } })
await relay.start()
process.send?.('started')
process.on('message', async () => {
  await relay.close()
  await pool.end()
  process.disconnect()
})
