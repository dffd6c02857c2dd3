// The order example as three processes whose messages go through PostgreSQL: one line is changed, and what is promised stays.
import { randomUUID } from 'node:crypto'
import { migrate, pgDriver } from 'fairlead/postgres'
import { Pool } from 'pg'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { childrenOf, validatedOnce } from '../../examples/create-order-children.ts'
import { type Lab, ORDER, openLab } from '../../examples/create-order-lab.ts'
import { type ServerAddress, server } from '../../services/servers.ts'

const { host, port } = server('postgres') as ServerAddress
const url = `postgres://postgres@${host}:${port}/postgres`
const schema = `create_order_${randomUUID().replaceAll('-', '')}`
const pool = new Pool({ connectionString: url, max: 1 })
let it: Lab
let children: ReturnType<typeof childrenOf>
beforeAll(() => migrate(pgDriver(pool), { schema }))
afterAll(async () => {
  await pool.query(`drop schema if exists "${schema}" cascade`)
  await pool.end()
})
beforeEach(() => {
  it = openLab()
  children = childrenOf(it, { url, schema })
})
afterEach(async () => {
  await children.end()
  await it.end()
})

describe('over PostgreSQL', () => {
  test('the consumer service is killed and comes back, and its client is told of each state once', async () => {
    await children.start('orders')
    const child = await children.start('consumers', { at: 'handled', channel: 'consumers' })
    const orderId = await it.place()
    const told = fetch(`${it.at.orders}/orders/${orderId}/events`).then((response) => response.text())
    told.catch(() => undefined)
    await children.dies('consumers', child)
    await children.start('consumers')
    await it.until(orderId, 'CONSUMER_VALIDATED')
    await children.start('restaurants')
    await validatedOnce(it, orderId)
    const states = [...(await told).matchAll(/^id: (\d)$|"status":"(\w+)"/gm)].map(([, id, status]) => id ?? status)
    expect(states).toEqual(['1', 'PENDING', '2', 'CONSUMER_VALIDATED', '3', 'VALIDATED'])
  }, 90_000)

  test('the order service is killed and comes back', async () => {
    await children.start('consumers')
    await children.start('restaurants')
    const child = await children.start('orders', { at: 'handled', channel: 'process.create-order' })
    await it.post(ORDER, 'k-1').catch(() => undefined)
    await children.dies('orders', child)
    await children.start('orders')
    const again = await it.post(ORDER, 'k-1')
    const { orderId } = (await again.json()) as { orderId: string }
    await validatedOnce(it, orderId)
  }, 90_000)
})
