// The order example as its tests see it: a shop in a folder of its own, and what a client does over HTTP.
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { openSqlite } from 'fairlead/sqlite'
import { type Addresses, type Name, overHttp } from '../../examples/create-order/carrier.ts'
import { createShop, type ShopOptions } from '../../examples/create-order/shop.ts'

/** Of the services of one shop, also of those that are processes of their own. */
export const SECRET = 'whsec_dGhlIHRocmVlIG9mIHRoZW0ga25vdyBpdA=='

/** Long enough for a busy machine; nobody waits so long unless something is broken. */
const PATIENCE_MS = 25_000

/** Waits until it is so. */
export async function until(what: string, so: () => boolean | Promise<boolean>): Promise<void> {
  for (const ends = Date.now() + PATIENCE_MS; !(await so()); ) {
    if (Date.now() > ends) throw new Error(`it did not come to that: ${what}`)
    await new Promise((resolve) => setTimeout(resolve, 10))
  }
}

/** One that is validated. */
export const ORDER = { consumerId: 'alice', restaurantId: 'corner', dish: 'soup', portions: 2, cents: 800 }

/** A shop, and a client of it. */
export function openLab(options: Partial<ShopOptions> = {}) {
  const folder = mkdtempSync(join(tmpdir(), 'create-order-'))
  const at: Addresses = {}
  const shop = createShop({ folder, at, carrier: overHttp(SECRET), ...options })

  const post = (order: object, key: string | undefined): Promise<Response> =>
    fetch(`${at.orders}/orders`, {
      method: 'POST',
      headers: { 'content-type': 'application/json', ...(key === undefined ? {} : { 'idempotency-key': key }) },
      body: JSON.stringify(order),
    })
  const ask = (orderId: string, headers: Record<string, string> = {}): Promise<Response> =>
    fetch(`${at.orders}/orders/${orderId}`, { headers })
  const stateOf = async (orderId: string): Promise<{ status: string; reason?: string }> =>
    (await (await ask(orderId)).json()) as { status: string; reason?: string }
  /** From the file of a service, whoever has it open. */
  const rows = async (name: Name, text: string): Promise<readonly unknown[][]> => {
    const file = await openSqlite(join(folder, `${name}.db`))
    try {
      return (await file.execute(text, [])).rows.map((row) => Object.values(row))
    } finally {
      await file.close()
    }
  }
  return {
    ...shop,
    folder,
    post,
    ask,
    stateOf,
    rows,
    /** Places one, and says its id. */
    async place(order: Partial<typeof ORDER> = {}): Promise<string> {
      const response = await post({ ...ORDER, ...order }, crypto.randomUUID())
      const body = (await response.json()) as { orderId: string }
      if (response.status !== 202) throw new Error(`${response.status} ${JSON.stringify(body)}`)
      return body.orderId
    },
    until: (orderId: string, status: string): Promise<void> =>
      until(`${orderId} is ${status}`, async () => (await stateOf(orderId)).status === status),
    /** All states that an order was in, in order. */
    history: async (orderId: string): Promise<readonly unknown[]> =>
      (await rows('orders', `select status from order_states where order_id = '${orderId}' order by version`)).flat(),
    held: async (): Promise<number> => (await rows('consumers', 'select 1 from held')).length,
    setAside: async (): Promise<number> => (await rows('restaurants', 'select 1 from set_aside')).length,
    async end(): Promise<void> {
      await shop.close()
      rmSync(folder, { recursive: true, force: true })
    },
  }
}

/** What `openLab` gives. */
export type Lab = ReturnType<typeof openLab>

/** An object with some members replaced. */
export function over<T extends object>(target: T, own: Partial<T>): T {
  return new Proxy(target, {
    get(_, key) {
      const value = Reflect.get(Object.hasOwn(own, key) ? own : target, key)
      return typeof value === 'function' ? value.bind(target) : value
    },
  })
}
