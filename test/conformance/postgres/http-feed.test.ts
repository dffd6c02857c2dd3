// Readers of a feed that keep their positions in PostgreSQL: members of one group in several processes' stead, some of which die.
import { afterAll, beforeAll, expect, it } from 'vitest'
import { migrate, pgDriver, postgresCheckpoints } from '../../../src/adapters/postgres/index.ts'
import type { CheckpointStore } from '../../../src/core/contracts/store.ts'
import {
  collect,
  type FeedServer,
  feedServer,
  fileLog,
  messages,
  reader,
  temporaryFolder,
  troubled,
  until,
} from '../../adapters/http-feed/lab.ts'
import { dropSchema, freshSchema, poolOf } from './ground.ts'

const schema = freshSchema('feed')
const pool = poolOf('postgres', { max: 8 })
const folder = await temporaryFolder()
let feed: FeedServer

beforeAll(async () => {
  await migrate(pgDriver(pool), { schema })
  feed = await feedServer({ openLog: fileLog(folder.path) })
})
afterAll(async () => {
  await feed.close()
  await folder.remove()
  await dropSchema(pool, schema)
  await pool.end()
})

it('every event is handled, in order, by whoever reads; what was settled never comes again', async () => {
  const checkpoints = postgresCheckpoints(pgDriver(pool), { schema })
  const handled: string[] = []
  let sent = 0
  for (let round = 0; round < 6; round++) {
    // Every second one dies: nothing of it reaches the database any more.
    const store: CheckpointStore & { down?: boolean } = round % 2 === 0 ? checkpoints : troubled(checkpoints)
    const transport = reader(feed.url, { checkpoints: store, leaseMs: 3_000, takeOverMs: 50 })
    const got = await collect(transport, { group: 'billing', hold: true })
    const before = handled.length
    await feed.feed.append('orders', messages(20, sent))
    sent += 20
    await until(() => got.deliveries.length >= sent - before)
    expect(got.ids).toEqual(messages(sent - before, before).map(({ id }) => id))
    for (const delivery of got.deliveries.slice(0, 15)) {
      await delivery.settle('ack')
      handled.push(delivery.envelope.id)
    }
    if ('down' in store) store.down = true
    await transport.close()
  }
  expect(handled).toEqual(messages(90).map(({ id }) => id))
  const { rows } = await pool.query(`select position from "${schema}".lane`)
  const text = `${feed.feed.log.generation}-90`
  expect(rows.map(({ position }) => String(position).split(' ')[0])).toEqual([text])
})
