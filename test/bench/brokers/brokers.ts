// The bench of the brokers: fairlead over RabbitMQ and Kafka beside their clients by hand and beside Nest, and the outbox relayed to each.
import type { Line } from '../lines.ts'
import { place } from '../place.ts'
import { benchKafka, KAFKA_PEERS, KAFKA_WORKERS } from './kafka.ts'
import { benchRabbitmq, RABBITMQ_PEERS, RABBITMQ_WORKERS } from './rabbitmq.ts'
import { BROKER_RELAY_WORKERS, benchBrokerRelay } from './relay.ts'

/** What to run. */
export interface BrokersBenchOptions {
  readonly quick: boolean
  /** `rabbitmq`, `kafka`, `relay`, or all. */
  readonly only: string | undefined
}

const PARTS = { rabbitmq: benchRabbitmq, kafka: benchKafka, relay: benchBrokerRelay }

/** Runs the bench of the brokers. */
export async function benchBrokers({
  quick,
  only,
}: BrokersBenchOptions): Promise<{ readonly lines: readonly Line[]; readonly [more: string]: unknown }> {
  const where = await place(
    '24',
    [...new Set([...RABBITMQ_PEERS, ...KAFKA_PEERS, 'pg'])],
    { ...RABBITMQ_WORKERS, ...KAFKA_WORKERS, ...BROKER_RELAY_WORKERS },
    // The last version that runs on Node 20, as our driver is for.
    { area: 'brokers', versions: { '@platformatic/kafka': '1' } },
  )
  const lines: Line[] = []
  const report: Record<string, unknown> = { nodes: { [where.version]: where.picked } }
  for (const [part, bench] of Object.entries(PARTS)) {
    if (only !== undefined && only !== part) continue
    // Servers of its own for each part: what one leaves to be cleaned up is nobody else's.
    const { lines: found, ...rest } = await bench(where, quick)
    lines.push(...found)
    report[part] = rest
  }
  return { lines, ...report }
}
