// The bench of the brokers: fairlead over RabbitMQ and Kafka beside their clients by hand and beside Nest, and the outbox relayed to each.
import { type PartsOptions, type PartsReport, runParts } from '../parts.ts'
import { place } from '../place.ts'
import { benchKafka, KAFKA_PEERS, KAFKA_WORKERS } from './kafka.ts'
import { benchRabbitmq, RABBITMQ_PEERS, RABBITMQ_WORKERS } from './rabbitmq.ts'
import { BROKER_RELAY_WORKERS, benchBrokerRelay } from './relay.ts'

const PARTS = { rabbitmq: benchRabbitmq, kafka: benchKafka, relay: benchBrokerRelay }

/** Runs the bench of the brokers. `only`: `rabbitmq`, `kafka`, `relay`, or all. */
export async function benchBrokers(options: PartsOptions): Promise<PartsReport> {
  const where = await place(
    '24',
    [...new Set([...RABBITMQ_PEERS, ...KAFKA_PEERS, 'pg'])],
    { ...RABBITMQ_WORKERS, ...KAFKA_WORKERS, ...BROKER_RELAY_WORKERS },
    // The last version that runs on Node 20, as our driver is for.
    { area: 'brokers', versions: { '@platformatic/kafka': '1' } },
  )
  return runParts(where, PARTS, options)
}
