// One of the processes that share a limit: calls as fast as it can, and says what was let out.
import { Redis } from 'ioredis'
import { systemClock } from '../../../src/core/clock.ts'
import { createContext } from '../../../src/core/context.ts'
import { deadlineAt } from '../../../src/core/deadline.ts'
import { isFairleadError } from '../../../src/errors/base.ts'
import { rateLimit } from '../../../src/policies/rate-limit.ts'

interface Told {
  readonly host: string
  readonly port: number
  readonly id: string
  readonly limit: number
  readonly perMs: number
  readonly calls: number
  readonly forMs: number
}

const { host, port, id, limit, perMs, calls, forMs } = JSON.parse(process.argv[2] as string) as Told

const client = new Redis({ host, port })
const shared = rateLimit({ limit, perMs, shared: { client, id, timeoutMs: 5_000, whenUnavailable: 'refuse' } })
const seen = { admitted: 0, refused: 0, unavailable: 0 }
const handler = shared(async () => void seen.admitted++)

async function one(): Promise<void> {
  const { context } = createContext({
    service: 's',
    operation: 'o',
    deadline: deadlineAt(Infinity, systemClock),
    idempotent: true,
  })
  try {
    await handler('A', context)
  } catch (error) {
    if (!isFairleadError(error, 'RATE_LIMITED')) throw error
    if (error.details === undefined) seen.refused++
    else seen.unavailable++
  }
}

// Both begin together, connected: the first call is made before, and the parent says when to go on.
await one()
console.log('ready')
await new Promise((resolve) => process.stdin.once('data', resolve))
const end = performance.now() + forMs
const workers = Array.from({ length: 8 }, async () => {
  for (let made = 0; made < calls && performance.now() < end; made++) await one()
})
await Promise.all(workers)
await shared.close()
client.disconnect()
console.log(JSON.stringify(seen))
process.exit()
