// Consume, process, produce in one transaction of Kafka, on the real broker: what was read and what came of it stand together or not at all.
import { fork } from 'node:child_process'
import { type KafkaTransport, kafkaTransactions, kafkaTransport } from 'fairlead/kafka'
import { createConsumer, createPublisher, topic } from 'fairlead/messaging'
import { Kafka, logLevel } from 'kafkajs'
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest'
import { z } from 'zod'
import type { KafkaDriver, KafkaTransactor } from '../../../src/adapters/kafka/driver.ts'
import { createError } from '../../../src/errors/index.ts'
import { type KafkaInstance, startKafka } from '../../services/kafka-instance.ts'
import { CLIENTS, driverOf } from './kafka-lab.ts'
import { PATIENCE, topicNamed } from './kit.ts'

let kafka: KafkaInstance
const open: { close(): Promise<void> }[] = []
const opened = <T extends { close(): Promise<void> }>(one: T): T => {
  open.push(one)
  return one
}

beforeAll(async () => {
  kafka = await startKafka()
})
afterEach(async () => {
  for (const each of open.splice(0).reverse()) await each.close()
})
afterAll(() => kafka.remove())

const count = z.object({ n: z.number() })

describe.each(CLIENTS)('transactions, by %s', (client) => {
  const transport = (driver: KafkaDriver = driverOf(client, [kafka.brokers])): KafkaTransport =>
    opened(kafkaTransport(driver, { partitions: 2, requestTimeoutMs: 10_000 }))

  const channels = async () => {
    const [one, two] = [topicNamed('orders').name, topicNamed('invoices').name]
    const Orders = topic(one, { placed: count })
    const Invoices = topic(two, { made: count })
    const plain = transport()
    await plain.prepare(
      [
        { kind: 'topic', name: one, group: 'g' },
        { kind: 'topic', name: two },
      ],
      'create',
    )
    return { Orders, Invoices, plain, publisher: createPublisher({ transport: plain, source: '/test' }) }
  }

  /** All that readers of committed messages see, in the order of seeing. */
  const seenOf = async (Invoices: Awaited<ReturnType<typeof channels>>['Invoices'], by = client) => {
    const seen: number[] = []
    const reader = createConsumer({
      transport: transport(driverOf(by, [kafka.brokers])),
      channel: Invoices,
      from: 'earliest',
      deadLetter: 'drop',
      handlers: { made: ({ data }) => void seen.push(data.n) },
    })
    opened(reader)
    await reader.start()
    return seen
  }

  it('writes what a handler published with the offset, many handlers at once, and nothing of one that fails', async () => {
    const { Orders, Invoices, plain, publisher } = await channels()
    const one = transport()
    const transactions = kafkaTransactions(one, { source: '/billing' })
    const failed = new Set<number>()
    let most = 0
    let now = 0
    const consumer = opened(
      createConsumer({
        transport: one,
        channel: Orders,
        group: 'g',
        inbox: transactions,
        retries: { immediate: 1, delayedMs: [] },
        handlers: {
          placed: async ({ data, key }, { tx }) => {
            most = Math.max(most, ++now)
            await transactions.publish(tx, Invoices, { type: 'made', key: key as string, data })
            await new Promise((resolve) => setTimeout(resolve, 20))
            now--
            if (data.n % 10 === 3 && !failed.has(data.n)) {
              failed.add(data.n)
              throw new Error('in the middle')
            }
          },
        },
      }),
    )
    await consumer.start()
    const seen = await seenOf(Invoices)
    await publisher.publish(
      Orders,
      Array.from({ length: 60 }, (_, n) => ({ type: 'placed' as const, key: `k${n % 20}`, data: { n } })),
    )
    await expect.poll(() => seen.length, PATIENCE).toBe(60)
    expect([...seen].sort((a, b) => a - b)).toEqual(Array.from({ length: 60 }, (_, n) => n))
    // Of each key in its order.
    for (let key = 0; key < 20; key++) expect(seen.filter((n) => n % 20 === key)).toEqual([key, key + 20, key + 40])
    expect(failed.size).toBe(6)
    expect(most).toBeGreaterThan(2)
    await expect
      .poll(async () => (await plain.lag({ kind: 'topic', name: Orders.name, group: 'g' })).total, PATIENCE)
      .toBe(0)
  }, 300_000)

  /** One consumer that passes on what it gets. */
  const passing = async (
    one: KafkaTransport,
    { Orders, Invoices }: Pick<Awaited<ReturnType<typeof channels>>, 'Orders' | 'Invoices'>,
  ) => {
    const transactions = kafkaTransactions(one, { source: '/billing' })
    const handled: number[] = []
    const consumer = opened(
      createConsumer({
        transport: one,
        channel: Orders,
        group: 'g',
        inbox: transactions,
        handlers: {
          placed: async ({ data, key }, { tx }) => {
            handled.push(data.n)
            await transactions.publish(tx, Invoices, { type: 'made', key: key as string, data })
          },
        },
      }),
    )
    await consumer.start()
    return { handled, consumer }
  }

  /** What stands in a topic, committed or not, in any partition. */
  const writtenIn = async (name: string): Promise<number[]> => {
    const written: number[] = []
    const reader = new Kafka({ brokers: [kafka.brokers], logLevel: logLevel.NOTHING }).consumer({
      groupId: `raw-${name}`,
      readUncommitted: true,
    })
    await reader.connect()
    await reader.subscribe({ topics: [name], fromBeginning: true })
    await reader.run({
      eachMessage: async ({ message }) => void written.push((JSON.parse(String(message.value)) as { n: number }).n),
    })
    open.push({ close: () => reader.disconnect() })
    return written
  }

  it('a process that is killed between writing and committing: nobody sees it, another does it again, and it is seen once', async () => {
    const { Orders, Invoices, publisher } = await channels()
    const child = fork(new URL('./transaction-process.ts', import.meta.url), {
      execArgv: ['--import', 'tsx'],
      env: {
        ...process.env,
        SAID: JSON.stringify({ client, brokers: kafka.brokers, from: Orders.name, to: Invoices.name }),
      },
    })
    const said: unknown[] = []
    child.on('message', (what) => said.push(what))
    await expect.poll(() => said, PATIENCE).toContain('ready')
    await publisher.publish(Orders, { type: 'placed', key: 'k', data: { n: 7 } })
    // Its records and offsets are at the broker, and its transaction is open.
    await expect.poll(() => said, PATIENCE).toContain('written')
    child.kill('SIGKILL')
    const [seen, written] = [await seenOf(Invoices), await writtenIn(Invoices.name)]
    await expect.poll(() => written, PATIENCE).toEqual([7])
    expect(seen).toEqual([])
    const { handled } = await passing(transport(), { Orders, Invoices })
    await expect.poll(() => seen, PATIENCE).toEqual([7])
    expect(handled).toEqual([7])
    await publisher.publish(Orders, { type: 'placed', key: 'k', data: { n: 8 } })
    await expect.poll(() => seen, PATIENCE).toEqual([7, 8])
    await expect.poll(() => written, PATIENCE).toEqual([7, 7, 8])
  }, 300_000)

  /** A driver whose transactions a test has a word in. */
  const steered = (steer: (transact: () => Promise<void>) => Promise<void>): KafkaDriver => {
    const driver = driverOf(client, [kafka.brokers])
    const { transactor } = driver
    driver.transactor = async (...given): Promise<KafkaTransactor> => {
      const inner = await (transactor as NonNullable<typeof transactor>).apply(driver, given)
      return { transact: (...parts) => steer(() => inner.transact(...parts)), close: () => inner.close() }
    }
    return driver
  }

  it('an answer to a commit that is lost is found out: nothing is done twice', async () => {
    const { Orders, Invoices, publisher } = await channels()
    let lost = 0
    const one = transport(
      steered(async (transact) => {
        await transact()
        if (lost++ < 2) throw createError({ code: 'CONNECTION_LOST', effect: 'unknown', transport: 'kafka' })
      }),
    )
    const { handled } = await passing(one, { Orders, Invoices })
    const seen = await seenOf(Invoices)
    for (const n of [1, 2, 3]) {
      await publisher.publish(Orders, { type: 'placed', key: 'k', data: { n } })
      await expect.poll(() => seen.at(-1), PATIENCE).toBe(n)
    }
    expect([handled, seen, lost >= 3]).toEqual([[1, 2, 3], [1, 2, 3], true])
  }, 300_000)

  it('one that believes to have the partition still cannot commit, and takes no part in it until it has joined again', async () => {
    const { Orders, Invoices, publisher } = await channels()
    let go = (): void => {}
    const gate = new Promise<void>((resolve) => {
      go = resolve
    })
    let came = 0
    const results: string[] = []
    const one = transport(
      steered(async (transact) => {
        if (came++ === 0) await gate
        await transact().then(
          () => results.push('committed'),
          (error) => {
            results.push(error.details.kafka)
            throw error
          },
        )
      }),
    )
    const { handled, consumer } = await passing(one, { Orders, Invoices })
    const seen = await seenOf(Invoices)
    await publisher.publish(Orders, { type: 'placed', key: 'k', data: { n: 1 } })
    await expect.poll(() => came, PATIENCE).toBe(1)
    // Somebody else takes the partitions meanwhile, as after a rebalance that it has slept through.
    const driver = opened(driverOf(client, [kafka.brokers]))
    const group = `${Orders.name}.g`
    for (const partition of [0, 1])
      opened(
        await (driver.transactor as NonNullable<typeof driver.transactor>)(
          `${group}.${Orders.name}.${partition}`,
          15_000,
        ),
      )
    go()
    await expect.poll(() => results[0], PATIENCE).toMatch(/^(PRODUCER_FENCED|INVALID_PRODUCER_EPOCH)$/)
    await expect.poll(() => seen, PATIENCE).toEqual([1])
    await expect.poll(() => consumer.health().state, PATIENCE).toBe('running')
    expect(results.slice(1)).toEqual(['committed'])
    expect(handled).toEqual([1, 1])
  }, 300_000)

  it('what can never be written fails alone, and those beside it are committed', async () => {
    const { Orders, publisher, plain } = await channels()
    const Small = topic(topicNamed('small').name, { made: z.object({ text: z.string() }) })
    const maker = opened(
      kafkaTransport(driverOf(client, [kafka.brokers]), {
        partitions: 1,
        topicConfig: { 'max.message.bytes': '2000' },
      }),
    )
    await maker.prepare([{ kind: 'topic', name: Small.name }], 'create')
    const one = transport()
    const transactions = kafkaTransactions(one)
    let begin = (): void => {}
    const all = new Promise<void>((resolve) => {
      begin = resolve
    })
    let begun = 0
    const consumer = opened(
      createConsumer({
        transport: one,
        channel: Orders,
        group: 'g',
        inbox: transactions,
        handlers: {
          placed: async ({ data }, { tx }) => {
            await transactions.publish(tx, Small, {
              type: 'made',
              data: { text: 'x'.repeat(data.n === 2 ? 5_000 : data.n) },
            })
            if (++begun === 5) begin()
            await all
          },
        },
      }),
    )
    await consumer.start()
    const seen: number[] = []
    const reader = opened(
      createConsumer({
        transport: transport(),
        channel: Small,
        from: 'earliest',
        deadLetter: 'drop',
        handlers: { made: ({ data }) => void seen.push(data.text.length) },
      }),
    )
    await reader.start()
    // Of one partition: they go in one transaction.
    await publisher.publish(
      Orders,
      [0, 1, 2, 3, 4].map((n) => ({ type: 'placed' as const, key: `k${n}`, data: { n } })),
    )
    await expect.poll(() => [...seen].sort(), PATIENCE).toEqual([0, 1, 3, 4])
    const dead: string[] = []
    await expect
      .poll(async () => {
        dead.length = 0
        for await (const { reason } of plain.deadLetters.list(
          { kind: 'topic', name: Orders.name, group: 'g' },
          { limit: 9 },
        ))
          dead.push(reason)
        return dead.length
      }, PATIENCE)
      .toBe(1)
    expect(dead[0]).toMatch(/PAYLOAD_TOO_LARGE/)
  }, 300_000)
})
