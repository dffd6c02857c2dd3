// What a worker does with one way to a broker: publishes, drains, and waits for what another process sends. The ways are in the workers.
import { randomUUID } from 'node:crypto'
import { setTimeout as wait } from 'node:timers/promises'
import { answering } from '../answering.ts'

/** As JSON about 1 KiB. */
export interface Order {
  readonly orderId: string
  readonly key: string
  /** `process.hrtime` of the sender, in ms: it counts from the start of the machine, for all processes. */
  readonly sentAt: number
  readonly text: string
}

/** Of a list that is published at once. */
export const LIST = 100
/** Lists whose confirms are waited for at the same time: 1,000 messages. */
export const LISTS = 10
/** Messages that a consumer handles at once; of RabbitMQ also those that it holds at most. */
export const CONCURRENCY = 200
/** Messages of Kafka that our consumer holds at most: their acknowledgements wait for the next commit. By hand a whole fetch is held, several thousand. */
export const KAFKA_PREFETCH = 1_000
/** Of a Kafka topic. */
export const PARTITIONS = 6

/** What the message of an order says besides its data, as CloudEvents have it: by hand the same message needs it as well. */
export function attributesOf({ key }: Order): Readonly<Record<string, string>> {
  return {
    id: randomUUID(),
    specversion: '1.0',
    source: '/bench',
    type: 'order.placed',
    time: new Date().toISOString(),
    partitionkey: key,
  }
}

/** One way to put messages in a queue and to take them out. */
export interface Way {
  /** Resolves once the broker has confirmed all of them. */
  publish(orders: readonly Order[]): Promise<void>
  /** Begins to take; resolves once it does. What it answers stops that, with all that was handled settled. */
  take(handle: (order: Order) => Promise<void>): Promise<() => Promise<void>>
  /** How many are left, as the broker says. */
  left(): Promise<number>
}

/** What is asked. `send` goes at a steady rate, one message at a time, while another process does `take`. */
export type Ask =
  | { readonly ask: 'publish'; readonly messages: number }
  | { readonly ask: 'drain'; readonly messages: number }
  | { readonly ask: 'take' }
  | { readonly ask: 'send'; readonly messages: number; readonly perSecond: number }
  | { readonly ask: 'taken'; readonly messages: number }

/** What came of it. */
export interface Answer {
  /** Of `publish` and `drain`. */
  readonly perSecond?: number
  /** CPU time of this process for each message, of `publish` and `drain`; that of the broker is not in it. */
  readonly cpuUs?: number
  /** Of `taken`: from just before the send to the handler. */
  readonly latenciesMs?: readonly number[]
}

const now = (): number => Number(process.hrtime.bigint()) / 1e6
const text = 'x'.repeat(940)
const order = (at: number): Order => ({ orderId: `order-${at}`, key: `key-${at % 1_000}`, sentAt: now(), text })

/** Serves the questions of the parent. */
export function serve({ publish, take, left }: Way): void {
  let latencies: number[] = []
  let stopTaking: (() => Promise<void>) | undefined

  const measured = async (messages: number, work: () => Promise<number>): Promise<Answer> => {
    const used = process.cpuUsage()
    const ms = await work()
    const { user, system } = process.cpuUsage(used)
    return { perSecond: (messages * 1_000) / ms, cpuUs: (user + system) / messages }
  }

  const published = async (messages: number): Promise<number> => {
    const began = now()
    let next = 0
    const lane = async (): Promise<void> => {
      while (next < messages) {
        const at = next
        next = Math.min(at + LIST, messages)
        await publish(Array.from({ length: next - at }, (_, each) => order(at + each)))
      }
    }
    await Promise.all(Array.from({ length: LISTS }, lane))
    return now() - began
  }

  // From the first call of the handler to the last: starting up is not what is compared.
  const drained = async (messages: number): Promise<number> => {
    let handled = 0
    let first = 0
    let last = 0
    const stop = await take(async () => {
      if (handled === 0) first = now()
      if (++handled === messages) last = now()
    })
    while (handled < messages) await wait(2)
    await stop()
    // A broker may say so a little later.
    let rest = await left()
    for (let tries = 0; rest > 0 && tries < 100; tries++) {
      await wait(50)
      rest = await left()
    }
    if (handled !== messages || rest !== 0) throw new Error(`handled ${handled} of ${messages}, ${rest} are left`)
    return last - first
  }

  answering<Ask, Answer>(async (question) => {
    switch (question.ask) {
      case 'publish':
        return await measured(question.messages, () => published(question.messages))
      case 'drain':
        return await measured(question.messages, () => drained(question.messages))
      case 'take':
        latencies = []
        stopTaking = await take(async ({ sentAt }) => {
          latencies.push(now() - sentAt)
        })
        // Let it come to rest.
        await wait(500)
        return {}
      case 'send': {
        const every = 1_000 / question.perSecond
        for (let at = 0; at < question.messages; at++) {
          // Not in step with anybody's timers.
          await wait(every * (0.5 + Math.random()))
          await publish([order(at)])
        }
        return {}
      }
      case 'taken':
        for (let tries = 0; latencies.length < question.messages && tries < 2_500; tries++) await wait(2)
        if (latencies.length !== question.messages) throw new Error(`${latencies.length} of ${question.messages} came`)
        await stopTaking?.()
        return { latenciesMs: latencies }
    }
  })
}
