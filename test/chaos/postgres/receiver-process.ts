// One of the processes that share a queue and are killed: two receivers that write down what they handle, one message at a time each, and acknowledge it.
import { Pool } from 'pg'
import { pgDriver } from '../../../src/adapters/postgres/driver.ts'
import { postgresTransport } from '../../../src/adapters/postgres/transport/transport.ts'
import type { Delivery } from '../../../src/core/contracts/transport.ts'

interface Told {
  readonly host: string
  readonly port: number
  readonly schema: string
  readonly queue: string
  readonly leaseMs: number
}

const { host, port, schema, queue, leaseMs } = JSON.parse(process.argv[2] as string) as Told

const pool = new Pool({ host, port, user: 'postgres', database: 'postgres', max: 4 })
pool.on('error', () => undefined)
const transport = postgresTransport(pgDriver(pool), { schema, leaseMs })

for (let at = 0; at < 2; at++) {
  let turn: Promise<void> = Promise.resolve()
  const handle = async (delivery: Delivery): Promise<void> => {
    let lost = false
    delivery.onLost(() => {
      lost = true
    })
    const { key = '', body } = delivery.envelope
    if (!lost)
      await pool.query(`insert into "${schema}".handled (key, n, holder) values ($1, $2, $3)`, [
        key,
        Number(Buffer.from(body).toString()),
        process.pid,
      ])
    await delivery.settle('ack').catch(() => undefined)
    receiver.request(1)
  }
  const receiver = await transport.receive({ channel: { kind: 'queue', name: queue } }, (delivery) => {
    turn = turn.then(() => handle(delivery)).catch(() => undefined)
  })
  receiver.request(5)
}
process.send?.('ready')
