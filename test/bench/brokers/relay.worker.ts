// From the outbox to a broker, in a process of its own: the relay with the transport, and the transport alone with the same envelopes.
import type { Envelope, MessageTransport } from 'fairlead/core'
import { createContext, deadlineIn, systemClock } from 'fairlead/core'
import { kafkaJsDriver, kafkaTransport } from 'fairlead/kafka'
import { createOutbox, createPublisher, createRelay } from 'fairlead/messaging'
import { pgDriver, postgresStore } from 'fairlead/postgres'
import { rabbitmqClientDriver, rabbitmqTransport } from 'fairlead/rabbitmq'
import kafkajs from 'kafkajs'
import pg from 'pg'
import { Connection } from 'rabbitmq-client'
import { answering } from '../answering.ts'
import { acceptingTransport } from '../outbox/accepting.ts'
import { ordersOf } from './fairlead.ts'
import { PARTITIONS } from './serving.ts'

/** What is asked: to relay what waits, or to send so many. */
interface Ask {
  readonly ask: 'relay' | 'send'
  readonly messages: number
}

/** What came of it. */
export interface RelayAnswer {
  readonly perSecond: number
  /** CPU time of this process for each message; that of database and broker is not in it. */
  readonly cpuUs: number
  /** Messages of one send. */
  readonly each: number
}

/** What the relay takes at once, and what is sent at once. */
const BATCH = 500
/** Sends under way at the same time: the default of a relay. */
const AT_ONCE = 4
// As `fillOutbox` names it.
const NAME = 'orders'

// kafkajs asks a timer for what is a little before now.
process.removeAllListeners('warning')

const [, , broker = '', connectionString = '', address = ''] = process.argv
const now = (): number => Number(process.hrtime.bigint()) / 1e6
const pool = new pg.Pool({ connectionString, idleTimeoutMillis: 0 })
const outbox = createOutbox(postgresStore(pgDriver(pool)))
const channel = ordersOf(NAME)

interface Side {
  readonly transport: MessageTransport
  /** How many the broker has. */
  count(): Promise<number>
  /** Throws them away. */
  empty(): Promise<void>
}

async function rabbitmq(): Promise<Side> {
  const connection = new Connection(address)
  const transport = rabbitmqTransport(rabbitmqClientDriver(connection))
  await transport.prepare([channel], 'create')
  const checks = await connection.acquire()
  return {
    transport,
    count: async () => (await checks.queueDeclare({ queue: NAME, passive: true })).messageCount,
    async empty() {
      await checks.queuePurge({ queue: NAME })
    },
  }
}

async function kafka(): Promise<Side> {
  const { Kafka, logLevel } = kafkajs
  const client = new Kafka({ clientId: 'bench', brokers: [address], logLevel: logLevel.NOTHING })
  const transport = kafkaTransport(kafkaJsDriver(client), { partitions: PARTITIONS })
  await transport.prepare([channel], 'create')
  const admin = client.admin()
  await admin.connect()
  let before = 0
  const all = async (): Promise<number> =>
    (await admin.fetchTopicOffsets(NAME)).reduce((sum, { high }) => sum + Number(high), 0)
  return {
    transport,
    count: async () => (await all()) - before,
    async empty() {
      before = await all()
    },
  }
}

const sides: Readonly<Record<string, () => Promise<Side>>> = { rabbitmq, kafka }
const side = await sides[broker]?.()
if (side === undefined) throw new Error(`no broker ${broker}`)
const { transport, count, empty } = side

// Made beforehand, as rows of the outbox are.
const envelopes: Envelope[] = []
const maker = createPublisher({
  transport: acceptingTransport((made) => void envelopes.push(...made)),
  source: '/outbox',
})
const text = 'x'.repeat(950)
const make = async (messages: number): Promise<void> => {
  for (let at = envelopes.length; at < messages; at += BATCH)
    await maker.publish(
      channel,
      Array.from({ length: BATCH }, (_, each) => {
        const key = `key-${at + each}`
        return {
          type: 'order.placed' as const,
          key,
          data: { orderId: `order-${at + each}`, key, sentAt: 1_234_567.8, text },
        }
      }),
    )
}

async function send(messages: number): Promise<number> {
  let next = 0
  const lane = async (): Promise<void> => {
    while (next < messages) {
      const at = next
      next = Math.min(at + BATCH, messages)
      const deadline = deadlineIn(60_000, systemClock)
      const { context } = createContext({ service: 'bench', operation: 'send', idempotent: true, deadline })
      const results = await transport.send(channel, envelopes.slice(at, next), context)
      const refused = results.find(({ status }) => status !== 'accepted')
      if (refused !== undefined) throw new Error(JSON.stringify(refused))
    }
  }
  await Promise.all(Array.from({ length: AT_ONCE }, lane))
  return BATCH
}

// From `start` to the end of `close`. What the relay has is told by how it stands, as the transport is a real one.
async function relay(messages: number): Promise<number> {
  let sent = 0
  let sends = 0
  let done = (): void => {}
  const all = new Promise<void>((resolve) => {
    done = resolve
  })
  const counted: MessageTransport = {
    name: transport.name,
    capabilities: transport.capabilities,
    prepare: transport.prepare.bind(transport),
    receive: transport.receive.bind(transport),
    async send(to, batch, context) {
      sends++
      const results = await transport.send(to, batch, context)
      sent += results.filter(({ status }) => status === 'accepted').length
      if (sent >= messages) done()
      return results
    },
    async close() {},
  }
  const mine = createRelay({ outbox, transport: counted, batch: BATCH })
  await mine.start()
  await all
  await mine.close()
  const { state, published, lastError } = mine.health()
  if (lastError !== undefined || state !== 'closed' || published !== messages)
    throw lastError ?? new Error(`the relay is ${state}, published ${published} of ${messages}`)
  return messages / sends
}

answering<Ask, RelayAnswer>(async ({ ask, messages }) => {
  if (ask === 'send') await make(messages)
  const used = process.cpuUsage()
  const began = now()
  const each = await (ask === 'relay' ? relay(messages) : send(messages))
  const ms = now() - began
  const { user, system } = process.cpuUsage(used)
  // A broker may say so a little later.
  let counted = await count()
  for (let tries = 0; counted !== messages && tries < 100; tries++) {
    await new Promise((resolve) => setTimeout(resolve, 50))
    counted = await count()
  }
  if (counted !== messages) throw new Error(`${broker} has ${counted} of ${messages}`)
  await empty()
  return { perSecond: (messages * 1_000) / ms, cpuUs: (user + system) / messages, each }
})
