// One service of the order example as a process that kills itself at a chosen point: folder, name, addresses of the others, and where it ends.
import { type Addresses, type Carrier, type Name, overHttp } from '../../examples/create-order/carrier.ts'
import { createShop } from '../../examples/create-order/shop.ts'
import { over, SECRET } from './create-order-lab.ts'

/**
 * `handled`: a message was handled and committed, and whoever sent it was not told. `sending`: it was committed, and nobody has it.
 * `sent`: somebody has it, and the outbox does not know.
 */
export interface Death {
  readonly at: 'handled' | 'sending' | 'sent'
  readonly channel: string
}

/** PostgreSQL in place of HTTP push. */
export interface Through {
  readonly url: string
  readonly schema: string
}

const { folder, name, at, death, through } = JSON.parse(process.argv[2] as string) as {
  folder: string
  name: Name
  at: Addresses
  death?: Death
  through?: Through
}

// The one line that changes.
const carry = through === undefined ? overHttp(SECRET) : await overPostgres(through)

async function overPostgres({ url, schema }: Through): Promise<() => Carrier> {
  const [{ pgDriver, postgresTransport }, { Pool }] = await Promise.all([import('fairlead/postgres'), import('pg')])
  const driver = pgDriver(new Pool({ connectionString: url, max: 4 }))
  return () => ({ transport: postgresTransport(driver, { schema, leaseMs: 2_000 }) })
}

const die = (): Promise<never> => {
  process.kill(process.pid, 'SIGKILL')
  return new Promise(() => {})
}

function dying({ transport, listener }: Carrier, { at, channel }: Death): Carrier {
  return {
    listener,
    transport: over(transport, {
      send: async (to, envelopes, context) => {
        if (to.name === channel && at === 'sending') return die()
        const results = await transport.send(to, envelopes, context)
        return to.name === channel && at === 'sent' ? die() : results
      },
      receive: (from, sink) =>
        transport.receive(from, (delivery) => {
          if (from.channel.name !== channel) return sink(delivery)
          sink(at === 'handled' ? over(delivery, { settle: die }) : delivery)
        }),
    }),
  }
}

const shop = createShop({
  folder,
  at,
  carrier: (where) => (death === undefined ? carry(where) : dying(carry(where), death)),
})
await shop.start(name)
process.send?.(shop.at[name])
process.on('disconnect', () => process.exit())
