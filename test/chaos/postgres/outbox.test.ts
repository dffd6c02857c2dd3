// The two-minute form of `npm run chaos`: processes that are killed and stopped, a database that restarts, connections that break; nothing lost, twice or out of order.
import { it } from 'vitest'
import { CHAOS_TIMEOUT_MS, keepsPromises } from '../kit/keeps-promises.ts'

it('outbox, relay, consumer and inbox keep their promises', { timeout: CHAOS_TIMEOUT_MS }, () =>
  keepsPromises({ database: 'postgres', seed: 11, messages: 10_000, minutes: 1.4 }),
)
