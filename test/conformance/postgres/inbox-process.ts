// One process of a consumer with an inbox. It may be told to die between the commit of a message and its acknowledgement.
import { Pool } from 'pg'
import { z } from 'zod'
import { pgDriver, postgresStore, postgresTransport } from '../../../src/adapters/postgres/index.ts'
import type { MessageTransport } from '../../../src/core/contracts/transport.ts'
import { createConsumer, queue } from '../../../src/messaging/index.ts'

interface Told {
  readonly host: string
  readonly port: number
  readonly schema: string
  readonly channel: string
  /** Where handlers write, quoted. */
  readonly table: string
  /** Dies at so many acknowledgements; 0: never. */
  readonly diesAt: number
  /** Dies so long after its first message, milliseconds; 0: never. */
  readonly diesAfterMs: number
}

const { host, port, schema, channel, table, diesAt, diesAfterMs } = JSON.parse(process.argv[2] as string) as Told
const Jobs = queue(channel, { job: z.object({ n: z.number() }) })
const pool = new Pool({ host, port, user: 'postgres', database: 'postgres', max: 12 })
const driver = pgDriver(pool)
const store = postgresStore(driver, { schema })
const transport = postgresTransport(driver, { schema, leaseMs: 1_000 })

let acks = 0
const mortal: MessageTransport = {
  ...transport,
  name: transport.name,
  capabilities: transport.capabilities,
  prepare: (...given) => transport.prepare(...given),
  send: (...given) => transport.send(...given),
  close: () => transport.close(),
  receive: (from, sink) =>
    transport.receive(from, (delivery) => {
      const settle = delivery.settle.bind(delivery)
      sink(
        Object.assign(delivery, {
          settle: async (...given: Parameters<typeof settle>) => {
            // Committed, and nobody will ever hear of it.
            if (given[0] === 'ack' && ++acks === diesAt) process.kill(process.pid, 'SIGKILL')
            await settle(...given)
          },
        }),
      )
    }),
}

let dying = false
const consumer = createConsumer({
  transport: mortal,
  channel: Jobs,
  name: 'workers',
  concurrency: 8,
  prepare: false,
  throttle: false,
  retries: { delayedMs: [100, 100, 100, 100] },
  redriveWithinMs: 0,
  inbox: store,
  handlers: {
    job: async ({ id, data }, { tx }) => {
      if (diesAfterMs > 0 && !dying) {
        dying = true
        setTimeout(() => process.kill(process.pid, 'SIGKILL'), diesAfterMs)
      }
      await tx.query(`insert into ${table} (id, n) values ($1, $2)`, [id, data.n])
      await new Promise((resolve) => setTimeout(resolve, data.n % 20))
      if (Math.random() < 0.05) throw new Error('now and then')
    },
  },
})
process.stdin.once('data', () => {
  void consumer
    .close()
    .then(() => transport.close())
    .then(() => process.exit())
})
await consumer.start()
console.log('started')
