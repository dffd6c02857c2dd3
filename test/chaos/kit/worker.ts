// One of the processes of a chaos run: a producer, a relay or a consumer, which the run starts, kills, stops and starts again.
import { createServer } from 'node:http'
import { httpPushTransport } from 'fairlead/http-push'
import { type Consumer, createConsumer, createOutbox, createRelay, topic } from 'fairlead/messaging'
import { z } from 'zod'
import type { SqlDriver, Store } from '../../../src/core/contracts/store.ts'
import type { MessageTransport } from '../../../src/core/contracts/transport.ts'
import { seededRandom } from '../../../src/testing/seeded-random.ts'
import { brokenStore, brokenTransport } from '../broken/index.ts'
import { openBroker } from './broker.ts'
import { Hooks, hookedStore, hookedTransport, report } from './hooks.ts'
import { openDatabase } from './open.ts'
import { portrait } from './portrait.ts'
import { type Ledger, ledger } from './sql.ts'
import { type Asked, LEASE_MS, type Told } from './words.ts'

const told = JSON.parse(process.argv[2] as string) as Told

const Orders = topic('orders', { placed: z.object({ key: z.string() }) })
const Shipments = topic('shipments', { shipped: z.object({ key: z.string() }) })

const random = seededRandom(told.seed)
const hooks = new Hooks()
let ending = false
process.on('message', (asked: Asked) => {
  if (asked.do === 'end') ending = true
  else if (asked.do === 'tell') void tell()
  else hooks.hear(asked)
})
// Nobody is left who would end it.
process.on('disconnect', () => process.exit(0))
process.on('unhandledRejection', (error) => trouble(error))

const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms))
const trouble = (error: unknown): void => report({ is: 'trouble', words: String(error) })

interface Place<Tx> {
  readonly store: Store<Tx>
  readonly driver: SqlDriver<Tx>
  readonly book: Ledger<Tx>
}

const shape = ({ store: raw, driver }: { store: Store<object>; driver: SqlDriver<object> }): Place<object> => {
  const broken = told.broken === undefined ? raw : brokenStore(raw, driver, told.broken)
  return { store: hookedStore(broken, hooks), driver, book: ledger(driver) }
}

const consuming = {
  concurrency: 10,
  handlerTimeoutMs: 10_000,
  maxDeliveries: 10_000,
  retries: { immediate: 1, delayedMs: new Array<number>(200).fill(300) },
  redriveWithinMs: 0,
  onEvent: (event: unknown) => {
    if (process.env['CHAOS_EVENTS'] !== undefined)
      console.error(Date.now(), told.name, JSON.stringify(event).slice(0, 400))
  },
} as const

function wire(transport: MessageTransport): MessageTransport {
  return hookedTransport(told.broken === undefined ? transport : brokenTransport(transport, told.broken), hooks)
}

function pushing(): MessageTransport | undefined {
  if (told.push === undefined) return undefined
  const { subscribers, port } = told.push
  const transport = httpPushTransport({ subscribers, attemptTimeoutMs: LEASE_MS, retryMaxMs: 500 })
  if (told.role === 'consumer') createServer(transport.node()).listen(port, '127.0.0.1')
  return transport
}

function produce({ store, book }: Place<object>): void {
  const outbox = createOutbox(store, { source: '/chaos' })
  const WRITERS = 8
  let count = 0
  const write = async (): Promise<void> => {
    while (!ending) {
      await pause((WRITERS / told.rate) * 1_000 * (0.5 + random()))
      const slow = random() < 0.03
      const messages = Array.from({ length: 3 }, () => {
        // Ten keys that everybody wants, and some that make company in their partitions.
        const key = random() < 0.7 ? `hot-${Math.floor(random() * 10)}` : `key-${Math.floor(random() * 200)}`
        return { key, id: `${told.name}/${process.pid}/${++count}` }
      })
      try {
        await store.transaction(async (tx) => {
          for (const { key, id } of messages)
            await outbox.publish(tx, Orders, { type: 'placed', id, key, data: { key } })
          const noted = messages.map(({ key, id }) => ({ key: `orders/${key}`, id }))
          lastInTransaction(store, tx, () =>
            book.sentWithCommit(store, tx, noted, slow ? 20 + random() * 300 : undefined),
          )
          if (random() < 0.02) throw new Error('the customer went away')
        })
      } catch (error) {
        // Rolled back, or nobody knows: what is written down has the same fate.
        if (/deadlock/i.test(messagesOf(error)))
          report({ is: 'deadlock', where: 'transaction', words: messagesOf(error) })
      }
    }
  }
  void Promise.all(Array.from({ length: WRITERS }, write)).then(() => process.disconnect())
}

// The outbox appends in a hook that the hooks of its calls give: behind those is behind the append.
function lastInTransaction(store: Store<object>, tx: object, work: () => Promise<void>): void {
  store.beforeCommit(tx, async () => void store.beforeCommit(tx, work))
}

const who = (redeliveries: number): string => `${told.name}/${process.pid}, delivery ${redeliveries + 1}`

async function relay({ store }: Place<object>, transport: MessageTransport): Promise<void> {
  const relaying = createRelay({
    outbox: createOutbox(store, { source: '/chaos' }),
    transport,
    name: `${told.name}-${process.pid}`,
    batch: 50,
    leaseMs: LEASE_MS,
    sendTimeoutMs: LEASE_MS / 2,
    poll: { minMs: 20, maxMs: 300 },
    backoff: { minMs: 50, maxMs: 1_000 },
    maxAttempts: 10_000,
    onEvent: (event) => {
      const { type, error } = event as { type: string; error?: unknown }
      if (process.env['CHAOS_EVENTS'] !== undefined) console.error(told.name, type, String(error ?? '').slice(0, 300))
    },
  })
  await again(() => relaying.start())
}

const consumers: Consumer[] = []

async function tell(): Promise<void> {
  const lines = consumers.map((consumer) => {
    const { state, inFlight, held, lastError } = consumer.health()
    return `${state}, ${inFlight} in flight, ${held} held${lastError === undefined ? '' : `, last error ${lastError.message}`}`
  })
  report({ is: 'state', words: [...lines, ...(await portrait(bare))].join('\n    ') })
}

async function consume({ store, book }: Place<object>, transport: MessageTransport): Promise<void> {
  const outbox = createOutbox(store, { source: '/chaos/warehouse' })
  const common = { ...consuming, transport, inbox: store, prepare: false as const }
  const warehouse = createConsumer({
    ...common,
    channel: Orders,
    group: 'warehouse',
    handlers: {
      placed: async ({ id, key = '' }, { tx, redeliveries }) => {
        await book.applied(tx, 'warehouse', `orders/${key}`, id, who(redeliveries))
        await hooks.at(['stop-in-handler'])
        if (!id.endsWith('0')) return
        const shipped = { key: `shipments/${key}`, id: `shipped/${id}`, cause: id }
        await outbox.publish(tx, Shipments, { type: 'shipped', id: shipped.id, key, causationId: id, data: { key } })
        lastInTransaction(store, tx, () => book.sentWithCommit(store, tx, [shipped]))
      },
    },
  })
  const mail = createConsumer({
    ...common,
    channel: Shipments,
    group: 'mail',
    handlers: {
      shipped: ({ id, key = '' }, { tx, redeliveries }) =>
        book.applied(tx, 'mail', `shipments/${key}`, id, who(redeliveries)),
    },
  })
  consumers.push(warehouse, mail)
  await again(() => warehouse.start())
  await again(() => mail.start())
}

// The database may be away just now.
async function again(start: () => Promise<void>): Promise<void> {
  for (;;)
    try {
      return await start()
    } catch (error) {
      trouble(error)
      await pause(200)
    }
}

function messagesOf(error: unknown): string {
  const words: string[] = []
  for (let each = error; each instanceof Error && words.length < 10; each = each.cause) words.push(each.message)
  return words.join(': ')
}

const opened = openDatabase(told, (error) => {
  if (/deadlock/i.test(messagesOf(error))) report({ is: 'deadlock', where: 'elsewhere', words: messagesOf(error) })
})
const place = shape(opened)
const bare = told.broker === undefined ? (pushing() ?? opened.transport()) : openBroker(told.broker)
const transport = wire(bare)
if (told.role === 'producer') produce(place)
else if (told.role === 'relay') await relay(place, transport)
else await consume(place, transport)
report({ is: 'ready' })
