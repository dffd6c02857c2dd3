// npx tsx examples/create-order/run.ts: an order while the restaurant is down, its client told by events; one that is refused, its client asking again and again.
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as pause } from 'node:timers/promises'
import { createShop } from './shop.ts'

const folder = mkdtempSync(join(tmpdir(), 'create-order-'))
const shop = createShop({ folder })
await shop.start('orders')
await shop.start('consumers')

async function place(consumerId: string, portions: number): Promise<string> {
  const response = await fetch(`${shop.at.orders}/orders`, {
    method: 'POST',
    headers: { 'content-type': 'application/json', 'idempotency-key': crypto.randomUUID() },
    body: JSON.stringify({ consumerId, restaurantId: 'corner', dish: 'pie', portions, cents: portions * 900 }),
  })
  console.log(`${consumerId}: ${response.status} ${((await response.json()) as { status: string }).status}`)
  return `${shop.at.orders}${response.headers.get('location')}`
}

const told = await fetch(`${await place('alice', 2)}/events`)
let text = ''
for await (const chunk of told.body ?? []) {
  text += Buffer.from(chunk).toString()
  for (let end = text.indexOf('\n\n'); end >= 0; end = text.indexOf('\n\n')) {
    const status = /"status":"(\w+)"/.exec(text.slice(0, end))?.[1]
    if (status !== undefined) console.log(`alice is told: ${status}`)
    // Now there is nothing that goes on without the restaurant.
    if (status === 'CONSUMER_VALIDATED') await shop.start('restaurants')
    text = text.slice(end + 2)
  }
}

const asked = await place('bob', 1)
for (let etag = '', again: string | null = '0'; again !== null; ) {
  await pause(Number(again) * 1_000)
  const response = await fetch(asked, { headers: etag === '' ? {} : { 'if-none-match': etag } })
  etag = response.headers.get('etag') ?? ''
  again = response.headers.get('retry-after')
  console.log(`bob asks: ${response.status} ${await response.text()}`)
}

await shop.close()
rmSync(folder, { recursive: true, force: true })
