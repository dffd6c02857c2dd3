// One of the processes that fight over lanes: leases, saves what it holds as fast as it can, and at times is slower than its lease.
import { Pool } from 'pg'
import { pgDriver, postgresCheckpoints } from '../../../src/adapters/postgres/index.ts'
import { isFairleadError } from '../../../src/errors/index.ts'
import { seededRandom } from '../../../src/testing/seeded-random.ts'

interface Told {
  readonly host: string
  readonly port: number
  readonly schema: string
  readonly member: string
  readonly seed: number
  readonly lanes: readonly string[]
  readonly leaseMs: number
}

const { host, port, schema, member, seed, lanes, leaseMs } = JSON.parse(process.argv[2] as string) as Told
const pool = new Pool({ host, port, user: 'postgres', database: 'postgres', max: 4 })
const store = postgresCheckpoints(pgDriver(pool), { schema })
const random = seededRandom(seed)
const wait = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms))

let stopped = false
process.stdin.once('data', () => {
  stopped = true
})
const seen = { saved: 0, fenced: 0, conflicts: 0 }
while (!stopped) {
  try {
    const held = await store.lease('fight', member, lanes, leaseMs)
    await Promise.all(
      held.map(async (lease) => {
        for (let n = 0; n < 10 && !stopped; n++) {
          // Past its lease at times, as after a long pause of the process.
          await wait(random() < 0.1 ? leaseMs * 1.5 : random() * 5)
          const before = await store.load('fight', lease.lane)
          if (await store.save('fight', lease, String(Number(before ?? 0) + 1))) seen.saved++
          else {
            seen.fenced++
            break
          }
        }
      }),
    )
    if (random() < 0.3) await store.release('fight', held)
  } catch (error) {
    if (!isFairleadError(error, 'TRANSACTION_CONFLICT')) throw error
    seen.conflicts++
  }
}
await pool.end()
console.log(JSON.stringify(seen))
process.exit()
