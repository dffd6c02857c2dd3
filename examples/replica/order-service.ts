// Recipe: two synchronous calls become two local reads. The order service keeps a copy of all products, and of the customers of its own country only.
import type { MessageTransport, RpiTransport } from 'fairlead/core'
import { type SqliteFile, sqliteStore } from 'fairlead/sqlite'
import { copyOf } from './copy.ts'

export async function orderService(file: SqliteFile, transport: MessageTransport, rpi: (name: string) => RpiTransport) {
  await sqliteStore(file).migrate()
  const from = (name: string) => ({ transport, rpi: rpi(name) })
  // Too large to keep as a whole: customers of other countries are misses, and asked for.
  const customers = await copyOf('customers', file, from('customers'), ({ country }) => country === 'NL')
  const products = await copyOf('products', file, from('products'))
  for (const { copy } of [customers, products]) await copy.start()

  // Before: two calls, and an order is refused while either owner is down.
  const accept = async (customerId: string, productId: string, maxAgeMs = 60_000) => {
    const [customer, product] = await Promise.all([
      customers.read(customerId, maxAgeMs),
      products.read(productId, maxAgeMs),
    ])
    const fits = (customer.value?.cents ?? 0) >= (product.value?.cents ?? Infinity)
    return { fits, from: [customer.from, product.from] }
  }
  return { accept, customers: customers.copy, products: products.copy }
}
