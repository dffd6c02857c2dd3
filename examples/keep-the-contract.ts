// Recipe: the last released contract lies beside the code, and the build fails where the next one would break its callers.
// `tsx keep-the-contract.ts release` writes it when you release; without a word it compares, and ends with exit code 1 on a break.
import { readFileSync, writeFileSync } from 'node:fs'
import { defineContract, topic } from 'fairlead'
import { assertCompatible, releaseOf } from 'fairlead/testing'
import { z } from 'zod'

export const Inventory = defineContract('inventory', {
  reserve: {
    http: 'POST /reservations',
    idempotent: true,
    input: z.object({ sku: z.string(), quantity: z.number().int().positive(), note: z.string().optional() }),
    output: z.object({ reservationId: z.string() }),
    failures: { outOfStock: z.object({ left: z.number() }) },
  },
})
export const Orders = topic('orders', { 'order.placed': z.object({ orderId: z.string(), total: z.number() }) })

const kept = { inventory: Inventory, orders: Orders }

export function check(folder: URL, now: typeof kept = kept): void {
  for (const [name, part] of Object.entries(now))
    assertCompatible(JSON.parse(readFileSync(new URL(`${name}.json`, folder), 'utf8')), part)
}

export function release(folder: URL): void {
  for (const [name, part] of Object.entries(kept))
    writeFileSync(new URL(`${name}.json`, folder), `${JSON.stringify(releaseOf(part), null, 2)}\n`)
}

if (process.argv[1] === import.meta.filename) {
  const folder = new URL('./released/', import.meta.url)
  process.argv[2] === 'release' ? release(folder) : check(folder)
}
