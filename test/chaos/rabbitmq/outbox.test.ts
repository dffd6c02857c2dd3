// The short form of `npm run chaos -- --transport rabbitmq`: the broker between relays and consumers is restarted, killed, cut off and silenced as well; nothing lost, twice or out of order.
import { it } from 'vitest'
import { CHAOS_TIMEOUT_MS, keepsPromises } from '../kit/keeps-promises.ts'

it(
  'outbox, relay, consumer and inbox keep their promises with RabbitMQ between them',
  {
    timeout: CHAOS_TIMEOUT_MS,
  },
  () =>
    keepsPromises({
      database: 'postgres',
      broker: 'rabbitmq',
      seed: 11,
      messages: 2_000,
      minutes: 0.7,
      // Each kind once.
      faults: 15,
    }),
)
