// RabbitMQ with quorum queues: fairlead over each of its clients, beside that client by hand, and beside Nest.
import { startRabbitmq } from '../../services/rabbitmq-instance.ts'
import type { Place } from '../place.ts'
import { CONCURRENCY } from './serving.ts'
import { compare, type SidesReport } from './sides.ts'

/** Workers of this part, for `place`. */
export const RABBITMQ_WORKERS: Readonly<Record<string, string>> = {
  rabbitmq: 'test/bench/brokers/rabbitmq.worker.ts',
}

/** Packages that are measured here beside what fairlead depends on. */
export const RABBITMQ_PEERS: readonly string[] = [
  '@nestjs/common',
  '@nestjs/core',
  '@nestjs/microservices',
  'amqp-connection-manager',
  'amqplib',
  'rabbitmq-client',
  'reflect-metadata',
  'rxjs',
]

/** The log of the queues as a server has it by default: the tests' own make a new segment every 32 MB. */
export const RABBITMQ_CONFIG: readonly string[] = ['raft.wal_max_size_bytes = 536870912']

const BARE = 'confirms, mandatory, manual acks'

/** Measures and prints. */
export async function benchRabbitmq(where: Place, quick: boolean): Promise<SidesReport> {
  const server = await startRabbitmq({ config: RABBITMQ_CONFIG })
  try {
    const version = (await server.control('version')).trim()
    return await compare(
      where,
      {
        part: `RabbitMQ ${version}, ${where.version}`,
        file: 'rabbitmq',
        address: `amqp://guest:guest@127.0.0.1:${server.port}`,
        perSecond: 50,
        quickBacklog: 5_000,
        inHand: `${CONCURRENCY}`,
        // Nest is over amqplib.
        pairings: [
          { ours: 'fairlead, rabbitmq-client', bare: 'rabbitmq-client', same: 'rabbitmq-client, event', peers: [] },
          { ours: 'fairlead, amqplib', bare: 'amqplib', same: 'amqplib, event', peers: ['Nest'] },
        ],
        safety: {
          'rabbitmq-client': BARE,
          'rabbitmq-client, event': BARE,
          amqplib: BARE,
          'amqplib, event': BARE,
          'fairlead, rabbitmq-client': BARE,
          'fairlead, amqplib': BARE,
          Nest: 'confirms, not mandatory, manual acks',
        },
      },
      quick,
    )
  } finally {
    await server.remove()
  }
}
