// The two clients of RabbitMQ that the transport is proven with, opened in the same way.
import { connect } from 'amqplib'
import { Connection } from 'rabbitmq-client'
import type { AmqpDriver } from '../../../src/adapters/rabbitmq/driver.ts'
import { amqplibDriver } from '../../../src/adapters/rabbitmq/drivers/amqplib.ts'
import { rabbitmqClientDriver } from '../../../src/adapters/rabbitmq/drivers/rabbitmq-client.ts'

/** Where to connect, and as whom. */
export interface Entrance {
  readonly host: string
  readonly port: number
  readonly vhost?: string | undefined
  readonly user?: string | undefined
  readonly password?: string | undefined
  /** In seconds. Default 4. */
  readonly heartbeat?: number | undefined
  /** How long to try to connect before it is said why that failed. Default 5,000. */
  readonly connectMs?: number | undefined
}

/** A driver, and the way to end what it was given. */
export interface Opened {
  readonly driver: AmqpDriver
  end(): Promise<void>
}

/** One of the clients. */
export interface Client {
  readonly name: 'rabbitmq-client' | 'amqplib'
  open(entrance: Entrance): Opened
}

const urlOf = ({ host, port, vhost = '/', user = 'guest', password = 'guest', heartbeat = 4 }: Entrance): string =>
  `amqp://${encodeURIComponent(user)}:${encodeURIComponent(password)}@${host}:${port}/${encodeURIComponent(vhost)}?heartbeat=${heartbeat}`

const rabbitmqClient: Client = {
  name: 'rabbitmq-client',
  open(entrance) {
    const connection = new Connection({
      hostname: entrance.host,
      port: entrance.port,
      vhost: entrance.vhost ?? '/',
      username: entrance.user ?? 'guest',
      password: entrance.password ?? 'guest',
      heartbeat: entrance.heartbeat ?? 4,
      retryLow: 100,
      retryHigh: 500,
      connectionTimeout: entrance.connectMs ?? 5_000,
      acquireTimeout: entrance.connectMs ?? 5_000,
    })
    // What it says while a server is away is nobody's failure here.
    connection.on('error', () => undefined)
    const driver = rabbitmqClientDriver(connection)
    return {
      driver,
      async end() {
        await driver.close()
        // Its own `close` waits for a server that may be away.
        connection.unsafeDestroy()
      },
    }
  },
}

const amqplib: Client = {
  name: 'amqplib',
  open(entrance) {
    const driver = amqplibDriver(() => connect(urlOf(entrance)), { connectWithinMs: entrance.connectMs ?? 5_000 })
    return { driver, end: () => driver.close() }
  },
}

/** Both. */
export const clients: readonly Client[] = [rabbitmqClient, amqplib]

/** One by its name. */
export const clientNamed = (name: Client['name']): Client =>
  clients.find((each) => each.name === name) ?? rabbitmqClient
