// Kafka: fairlead over each of its clients, beside that client by hand, and beside Nest.
import { basename } from 'node:path'
import { kafkaHome, startKafka } from '../../services/kafka-instance.ts'
import type { Place } from '../place.ts'
import { KAFKA_PREFETCH } from './serving.ts'
import { compare, type SidesReport } from './sides.ts'

/** Workers of this part, for `place`. */
export const KAFKA_WORKERS: Readonly<Record<string, string>> = { kafka: 'test/bench/brokers/kafka.worker.ts' }

/** Packages that are measured here beside what fairlead depends on. */
export const KAFKA_PEERS: readonly string[] = [
  '@nestjs/common',
  '@nestjs/core',
  '@nestjs/microservices',
  '@platformatic/kafka',
  'kafkajs',
  'reflect-metadata',
  'rxjs',
]

const BARE = 'acks=all, idempotent, manual commits'

/** Measures and prints. */
export async function benchKafka(where: Place, quick: boolean): Promise<SidesReport> {
  const server = await startKafka()
  try {
    return await compare(
      where,
      {
        part: `Kafka ${basename(kafkaHome()).split('-')[1]}, ${where.version}`,
        file: 'kafka',
        address: server.brokers,
        perSecond: 50,
        // A fetch brings several thousand at once.
        quickBacklog: 20_000,
        inHand: `${KAFKA_PREFETCH} (by hand a fetch)`,
        // Nest is over kafkajs.
        pairings: [
          { ours: 'fairlead, kafkajs', bare: 'kafkajs', same: 'kafkajs, event', peers: ['Nest'] },
          {
            ours: 'fairlead, @platformatic/kafka',
            bare: '@platformatic/kafka',
            same: '@platformatic/kafka, event',
            peers: [],
          },
        ],
        safety: {
          kafkajs: BARE,
          'kafkajs, event': BARE,
          '@platformatic/kafka': BARE,
          '@platformatic/kafka, event': BARE,
          'fairlead, kafkajs': BARE,
          'fairlead, @platformatic/kafka': BARE,
          Nest: 'acks=all, idempotent, commits of kafkajs after each batch',
        },
      },
      quick,
    )
  } finally {
    await server.remove()
  }
}
