// npm run demo [-- --database postgres://... --registry consul=http://... --transport kafka=127.0.0.1:9092 --steps 1,6]: starts the shop for real (seven processes), breaks it one way
// after another, and counts at the servers and in the databases what happened.
import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { createProxy, type FairleadError, httpTransport, isFailure } from 'fairlead'
import { createPublisher } from 'fairlead/messaging'
import { dropChannels, openCarrier, readBroker } from './carrier.ts'
import { OrderEvents, Orders } from './contracts.ts'
import { type Database, type Databases, dropDatabases, openDatabase } from './database.ts'
import { hostOf, platform } from './platform.ts'
import { alive, ask, end, killAll, type Running, seen, setMood, start, sum } from './processes.ts'
import { readRegistry } from './registry.ts'
import { paced, type Seen } from './service.ts'
import { bar, check, step, verdict } from './show.ts'

const ledger = mkdtempSync(join(tmpdir(), 'order-flow-'))
const { values } = parseArgs({
  options: {
    database: { type: 'string' },
    registry: { type: 'string' },
    transport: { type: 'string' },
    steps: { type: 'string' },
  },
})
const registry = values.registry === undefined ? undefined : readRegistry(values.registry)
const broker = values.transport === undefined ? undefined : readBroker(values.transport)
const databases: Databases = {
  folder: ledger,
  postgres: values.database === undefined ? undefined : { url: values.database, prefix: `order_flow_${process.pid}` },
}
// However it ends, also when a service does not start.
process.on('exit', () => rmSync(ledger, { recursive: true, force: true }))

type Outcome = { readonly ms: number; readonly ok: boolean; readonly error?: FairleadError }

let orderNumber = 0
async function place(card = 'good'): Promise<Outcome> {
  const began = performance.now()
  const result = await shop.place.result(
    { orderId: `order-${++orderNumber}`, sku: 'A-1', quantity: 1, card },
    { deadlineMs: DEADLINE_MS },
  )
  const ms = performance.now() - began
  return result.ok ? { ms, ok: true } : { ms, ok: false, error: result.error as FairleadError }
}

/** So many orders, so many at a time. */
async function orders(count: number, atOnce: number, during?: (done: number) => void): Promise<Outcome[]> {
  const outcomes: Outcome[] = []
  let left = count
  const worker = async (): Promise<void> => {
    while (left-- > 0) {
      outcomes.push(await place())
      bar(outcomes.length, count)
      during?.(outcomes.length)
    }
  }
  await Promise.all(Array.from({ length: Math.min(atOnce, count) }, worker))
  return outcomes
}
const accepted = (outcomes: readonly Outcome[]): number => outcomes.filter((one) => one.ok).length
const slowest = (outcomes: readonly Outcome[]): number => Math.round(Math.max(...outcomes.map((one) => one.ms)))
const codes = (outcomes: readonly Outcome[]): string => {
  const count = new Map<string, number>()
  for (const { error } of outcomes) if (error) count.set(error.code, (count.get(error.code) ?? 0) + 1)
  return [...count].map(([code, times]) => `${times} ${code}`).join(', ') || 'no error'
}

const DEADLINE_MS = paced(1_500)
// Loaded machines answer late; a deadline that is not held is late by much more.
const SLACK_MS = paced(750)

console.log(
  'Starting the shop: an order service, two inventories, two payments, a warehouse, a notification service ...',
)
const at = ({ host, port }: Running): string => `${host}:${port}`
async function two(service: string): Promise<readonly [Running, Running]> {
  const first = await start(service, { ledger, registry, host: hostOf(registry, 0) })
  // Behind a name of DNS all have the same port.
  const port = registry?.kind === 'dns' ? first.port : undefined
  const second = await start(service, { ledger, registry, host: hostOf(registry, 1), port })
  for (const instance of [first, second]) await platform(registry, service, at(instance), 'there')
  return [first, second]
}
const [[inventoryA, inventoryB], [paymentA, paymentB], firstWarehouse, notification] = await Promise.all([
  two('inventory'),
  two('payment'),
  start('warehouse', { databases, broker }),
  start('notification', { databases, broker }),
])
let warehouse = firstWarehouse
const orderService = (port?: number): Promise<Running> =>
  start('order', {
    registry,
    instances: { inventory: [at(inventoryA), at(inventoryB)], payment: [at(paymentA), at(paymentB)] },
    subscribers: { warehouse: `http://${at(warehouse)}`, notification: `http://${at(notification)}` },
    databases,
    broker,
    port,
  })
let order = await orderService()
const [shipped, mailed, ordered] = await Promise.all([
  openDatabase(databases, 'warehouse'),
  openDatabase(databases, 'notification'),
  openDatabase(databases, 'order'),
])
const inventories = [inventoryA.child, inventoryB.child]
const payments = [paymentA.child, paymentB.child]
const transport = httpTransport({ baseUrl: `http://${at(order)}` })
// The customer: no policies of its own but the deadline, so that what is seen is the order service's doing.
const shop = createProxy(Orders, {
  transport,
  retry: false,
  circuitBreaker: false,
  maxOutstanding: false,
  attemptTimeoutMs: false,
})

const calm = async (): Promise<void> => {
  await Promise.all([setMood([...inventories, ...payments], {}), setMood([order.child], { reset: true })])
  await Promise.all([seen(inventories), seen(payments)])
}

/** Waits until the order service has heard of all instances; Eureka takes its time. */
async function found(): Promise<void> {
  for (let tries = 0; ; tries++) {
    const { inventories: one, payments: other } = await ask<Seen>(order.child, { seen: 'and keep' })
    if (one === 2 && other === 2) return console.log(`Found in ${values.registry}: two inventories, two payments.`)
    if (tries === 1_200) throw new Error(`not found in ${values.registry}: ${one} inventories, ${other} payments`)
    await pause(100)
  }
}

async function allWell(): Promise<void> {
  step('1. All is well', '40 orders are accepted; every order costs one call of each service')
  const outcomes = await orders(40, 4)
  const [stock, money] = [await seen(inventories), await seen(payments)]
  check(`${accepted(outcomes)} of 40 accepted, ${codes(outcomes)}`, accepted(outcomes) === 40)
  check(
    `the inventories saw ${stock.requests} calls, the payments ${money.requests}`,
    stock.requests === 40 && money.requests === 40,
  )
}

async function slowPayment(): Promise<void> {
  step(
    `2. Payment is slow (${paced(2)} s)`,
    `callers are answered within their ${DEADLINE_MS} ms; an order causes at most 3 attempts, retries stay in their budget`,
  )
  await setMood(payments, { delayMs: paced(2_000) })
  const outcomes = await orders(8, 8)
  const money = await seen(payments)
  check(`0 of 8 accepted (${accepted(outcomes)}): ${codes(outcomes)}`, accepted(outcomes) === 0)
  check(`the slowest answer took ${slowest(outcomes)} ms`, slowest(outcomes) <= DEADLINE_MS + SLACK_MS)
  check(
    `every error is of kind timing`,
    outcomes.every(({ error }) => error?.kind === 'timing'),
  )
  check(`the payments saw ${money.requests} attempts`, money.requests >= 8 && money.requests <= 24)
}

async function failingPayment(): Promise<void> {
  step(
    '3. Payment fails',
    'the circuit opens; then callers are answered at once and payment is left alone; it closes by itself',
  )
  await setMood(payments, { failing: true })
  const first = await orders(40, 2)
  const before = await seen(payments)
  check(
    `40 orders failed: ${codes(first)}; the payments saw ${before.requests} calls`,
    accepted(first) === 0 && before.requests < 60,
  )
  const refused = await orders(20, 4)
  const during = await seen(payments)
  check(
    `20 more were refused: ${codes(refused)}; the payments saw ${during.requests} of them`,
    refused.every(({ error }) => error?.code === 'CIRCUIT_OPEN') && during.requests === 0,
  )
  await setMood(payments, {})
  let tries = 0
  for (; tries < 200; tries++) {
    await new Promise((wake) => setTimeout(wake, 50))
    if (
      accepted(await orders(1, 1)) === 1 &&
      (await ask<Seen>(order.child, { seen: 'and keep' }))['paymentCircuitOpen'] === 0
    )
      break
  }
  await new Promise((wake) => setTimeout(wake, paced(600)))
  const well = await orders(20, 2)
  check(
    `payment recovered, and the circuit closed by itself: ${accepted(well)} of 20 accepted`,
    tries < 200 && accepted(well) === 20,
  )
}

async function refusedPayment(): Promise<void> {
  step(
    '4. Payment is refused',
    'a declared failure is an answer: it is not retried, it does not open the circuit, and the inventory is released',
  )
  const releasedBefore = (await seen(inventories))['released'] ?? 0
  await seen(payments)
  const { error } = await place('expired')
  const [stock, money] = [await seen(inventories), await seen(payments)]
  const reason = isFailure(error, Orders, 'place', 'declined') ? error.details.reason : 'no reason'
  check(`the customer is told: ${reason}`, reason === 'the card has expired')
  check(
    `the payments saw ${money.requests} call, the inventories released ${(stock['released'] ?? 0) - releasedBefore}`,
    money.requests === 1 && (stock['released'] ?? 0) - releasedBefore === 1,
  )
}

async function staleStock(): Promise<void> {
  step('5. Inventory is down', 'the stock comes from the last good answer, and says so')
  const fresh = await shop.quote({ sku: 'A-1' })
  check(`before: ${fresh.level} in stock, from ${fresh.from}`, fresh.from === 'call')
  await setMood(inventories, { down: true })
  const stale = await shop.quote({ sku: 'A-1' })
  check(
    `now: ${stale.level} in stock, from ${stale.from}, ${stale.ageMs} ms old`,
    stale.from === 'lastGood' && stale.level === fresh.level,
  )
  await setMood(inventories, {})
}

async function killed(): Promise<void> {
  step('6. One payment instance is killed (kill -9) under load', 'no order fails, and no money is taken twice')
  const before = (await seen(payments))['taken'] ?? 0
  const outcomes = await orders(200, 8, (done) => {
    if (done === 60) paymentA.child.kill('SIGKILL')
  })
  // In the end the platform sees it as well; nobody has waited for that.
  await platform(registry, 'payment', at(paymentA), 'gone')
  const taken = ((await seen(payments))['taken'] ?? 0) - before
  check(`${accepted(outcomes)} of 200 accepted, ${codes(outcomes)}`, accepted(outcomes) === 200)
  check(`the money of ${taken} orders was taken, each once`, taken === 200)
}

async function burst(): Promise<void> {
  step(
    `7. A burst of 200 orders at once, inventory takes ${paced(400)} ms, the cap is 20`,
    'the cap is held, the rest is refused at once, nothing queues',
  )
  await setMood(inventories, { delayMs: paced(400) })
  const outcomes = await orders(200, 200)
  const stock = await seen(inventories)
  const refused = outcomes.filter(({ error }) => error?.code === 'OUTSTANDING_LIMIT')
  const wait = median(refused)
  check(
    `${accepted(outcomes)} accepted; ${codes(outcomes)}`,
    accepted(outcomes) >= 20 && accepted(outcomes) + refused.length === 200,
  )
  check(
    `the inventories saw ${stock.requests} calls, at most ${stock.peak} at a time`,
    stock.requests === accepted(outcomes) && stock.peak <= 20,
  )
  check(
    `half of the refused had their answer after ${wait} ms, while the others waited for theirs ${median(outcomes.filter(({ ok }) => ok))} ms`,
    wait < paced(400),
  )
}
const median = (outcomes: readonly Outcome[]): number =>
  Math.round(outcomes.map(({ ms }) => ms).sort((a, b) => a - b)[outcomes.length >> 1] ?? 0)

/** How often each order stands in a table. */
async function counted(database: Database, table: string): Promise<ReadonlyMap<string, number>> {
  const rows = await database.read(`select order_id from {${table}}`)
  const times = new Map<string, number>()
  for (const { order_id } of rows) times.set(order_id as string, (times.get(order_id as string) ?? 0) + 1)
  return times
}
const times = (of: ReadonlyMap<string, number>): number => sum([...of.values()])
/** Waits until so many rows are there, then a little: one too many would come now. */
async function until(database: Database, table: string, rows: number): Promise<ReadonlyMap<string, number>> {
  for (let tries = 0; tries < 300 && times(await counted(database, table)) < rows; tries++) await pause(100)
  await pause(300)
  return counted(database, table)
}
const pause = (ms: number): Promise<void> => new Promise((wake) => setTimeout(wake, ms))
/** The orders that the order service has committed: the others must have each once. */
const everyOrderOnce = async (of: ReadonlyMap<string, number>): Promise<boolean> => {
  const placed = await counted(ordered, 'placed')
  return of.size === placed.size && [...of].every(([orderId, often]) => often === 1 && placed.has(orderId))
}
const known = async (): Promise<number> => (await counted(ordered, 'placed')).size

async function caughtUp(): Promise<void> {
  step('8. What the others were told meanwhile', 'each order that was accepted so far: shipped once, mailed once')
  const all = await known()
  const [shipments, mails] = [await until(shipped, 'shipment', all), await until(mailed, 'mail', all)]
  check(`${all} orders, ${times(shipments)} shipments, each once`, await everyOrderOnce(shipments))
  check(`${times(mails)} mails, each once`, await everyOrderOnce(mails))
}

async function notificationDown(): Promise<void> {
  step('9. Notification is down', 'orders are accepted and shipped all the same; the mails go out later, each once')
  const before = times(await counted(mailed, 'mail'))
  await setMood([notification.child], { down: true })
  const outcomes = await orders(10, 2)
  check(`${accepted(outcomes)} of 10 accepted, ${codes(outcomes)}`, accepted(outcomes) === 10)
  const shipments = await until(shipped, 'shipment', await known())
  check(`shipped: ${times(shipments)} of ${await known()}`, await everyOrderOnce(shipments))
  check(
    `mails since: ${times(await counted(mailed, 'mail')) - before}`,
    times(await counted(mailed, 'mail')) === before,
  )
  await setMood([notification.child], {})
  const mails = await until(mailed, 'mail', await known())
  check(`notification is back: ${times(mails) - before} mails went out`, await everyOrderOnce(mails))
}

async function warehouseKilled(): Promise<void> {
  step(
    '10. The warehouse is killed (kill -9) while it writes a shipment',
    'after its restart everything is shipped, once',
  )
  await setMood([warehouse.child], { dieAfter: 3 })
  const dead = once(warehouse.child, 'exit')
  const outcomes = await orders(10, 2)
  await dead
  const meanwhile = times(await counted(shipped, 'shipment'))
  check(
    `${accepted(outcomes)} of 10 accepted; the warehouse died, ${(await known()) - meanwhile} not shipped`,
    accepted(outcomes) === 10 && meanwhile < (await known()),
  )
  warehouse = await start('warehouse', { databases, broker, port: warehouse.port })
  const shipments = await until(shipped, 'shipment', await known())
  check(`it is back: ${times(shipments)} of ${await known()} shipped, each once`, await everyOrderOnce(shipments))
}

async function orderKilled(): Promise<void> {
  step(
    '11. The order service is killed (kill -9) between commit and relay',
    'what it has committed is told after its restart',
  )
  await setMood([order.child], { holdRelay: true })
  const outcomes = await orders(10, 2)
  const dead = once(order.child, 'exit')
  order.child.kill('SIGKILL')
  await dead
  const { backlog } = await ordered.store.outbox.stats()
  check(
    `${accepted(outcomes)} of 10 accepted; ${backlog} messages in its outbox when it died`,
    accepted(outcomes) === 10 && backlog === 10,
  )
  order = await orderService(order.port)
  const shipments = await until(shipped, 'shipment', await known())
  const mails = await until(mailed, 'mail', await known())
  check(
    `it is back: ${times(shipments)} of ${await known()} shipped, ${times(mails)} mailed, each once`,
    (await everyOrderOnce(shipments)) && (await everyOrderOnce(mails)),
  )
  check(`its outbox is empty`, (await ordered.store.outbox.stats()).backlog === 0)
}

async function duplicates(): Promise<void> {
  step('12. The same message is delivered ten times over', 'it is applied once')
  const before = times(await counted(shipped, 'shipment'))
  const direct = openCarrier(broker, { 'order-events': { warehouse: `http://${at(warehouse)}` } })
  const publisher = createPublisher({ transport: direct.transport, source: '/demo' })
  const message = {
    type: 'order.placed',
    id: 'again-and-again',
    key: 'demo',
    data: { orderId: 'from-the-demo', sku: 'A-1', quantity: 1 },
  } as const
  const results = await Promise.all(
    Array.from({ length: 10 }, () => publisher.result(OrderEvents, message, { deadlineMs: 10_000 })),
  )
  await publisher.close()
  await direct.close()
  const handled = results.filter(({ status }) => status !== 'failed').length
  const more = times(await until(shipped, 'shipment', before + 1)) - before
  check(
    `${handled} of 10 deliveries were answered with success, ${more} shipment was written`,
    handled === 10 && more === 1,
  )
}

const steps = [
  allWell,
  slowPayment,
  failingPayment,
  refusedPayment,
  staleStock,
  killed,
  burst,
  caughtUp,
  notificationDown,
  warehouseKilled,
  orderKilled,
  duplicates,
]
const wanted = values.steps?.split(',').map(Number) ?? steps.map((_, index) => index + 1)

try {
  if (registry !== undefined) await found()
  for (const number of wanted) {
    await calm()
    await steps[number - 1]?.()
  }
} finally {
  if (registry !== undefined) await end(alive([...inventories, ...payments]))
  killAll()
  for (const one of [inventoryA, inventoryB]) await platform(registry, 'inventory', at(one), 'gone')
  for (const one of [paymentA, paymentB]) await platform(registry, 'payment', at(one), 'gone')
  await transport.close()
  await Promise.all([shipped.close(), mailed.close(), ordered.close()])
  await dropDatabases(databases)
  if (broker !== undefined) await dropChannels(broker)
}
verdict()
