// A broker that a test plays by hand: it delivers what the test says, and remembers how each delivery was settled.
import { z } from 'zod'
import type {
  Delivery,
  MessageTransport,
  ReceiveFrom,
  Receiver,
  SendResult,
  SettleOptions,
  SettleVerdict,
  TransportCapabilities,
} from '../../../src/core/contracts/transport.ts'
import type { PipelineEvent } from '../../../src/core/events.ts'
import type { ChannelAddress, Envelope } from '../../../src/core/message.ts'
import { createError } from '../../../src/errors/classes.ts'
import { topic } from '../../../src/messaging/channel.ts'
import { type Consumer, type ConsumerOptions, createConsumer } from '../../../src/messaging/consumer/index.ts'
import { type FakeClock, fakeClock } from '../../../src/testing/fake-clock.ts'

export const Orders = topic('orders', {
  placed: z.object({ n: z.number() }),
  paid: z.object({ n: z.number() }),
})
export type Types = NonNullable<(typeof Orders)['definitions']>

export const plainCapabilities: TransportCapabilities = {
  modes: ['queue', 'topic'],
  order: 'key',
  delivery: 'at-least-once',
  persistent: false,
  durableSubscriptions: true,
  acknowledged: 'memory',
  competingConsumers: true,
  dedupeWindowMs: 0,
  redeliveryCount: 'broker',
  delay: 'native',
  maxDelayMs: 86_400_000,
  extend: true,
  nack: 'either',
  priority: true,
  replay: false,
  temporary: false,
  deadLetters: 'native',
  unroutable: 'impossible',
  waiting: 'leased',
  maxPayloadBytes: 1_000_000,
  latency: 'microseconds',
  scaleUnit: 'process',
  protocols: [],
}

export interface Given {
  readonly id?: string
  readonly n?: number
  readonly type?: string
  readonly key?: string
  readonly priority?: number
  readonly notBefore?: number
  readonly expiresAt?: number
  readonly attributes?: Readonly<Record<string, string>>
  readonly body?: string
  readonly redeliveries?: number
  readonly leaseMs?: number
  readonly noExtend?: boolean
  /** Answers of `settle`, one after another; then they go well. */
  readonly settleFails?: unknown[]
  /** The broker takes so long to hear of it. */
  readonly settleAfter?: Promise<void>
  readonly extend?: (ms: number) => Promise<void>
}

export interface Handed {
  readonly id: string
  readonly settled: { readonly verdict: SettleVerdict; readonly options: SettleOptions | undefined }[]
  readonly verdict: string
  readonly extended: number[]
  lose(): void
  revoke(): void
}

/** What happened, in order: `start a`, `end a`, `ack a`, ... */
export type Log = string[]

export interface Played {
  readonly transport: MessageTransport
  readonly requests: number[]
  readonly log: Log
  readonly froms: ReceiveFrom[]
  /** What was to be made or checked, mode first. */
  readonly prepared: readonly unknown[][]
  /** Asked for and not delivered. */
  readonly credit: () => number
  deliver(given: Given): Handed
  /** Ends the subscription as a broker does; `quietly`: without a word about its messages. */
  end(error: unknown, quietly?: 'quietly'): void
  /** The next tries to receive fail with these. */
  failReceive(...errors: unknown[]): void
  readonly receivers: () => number
  readonly closed: () => number
  readonly sent: { readonly channel: ChannelAddress; readonly envelope: Envelope }[]
  sendAnswers: SendResult[]
  waiting: number
  waitingAbove: Record<number, number>
  inspects: number
}

let ids = 0

export function played(change: Partial<TransportCapabilities> = {}): Played {
  const requests: number[] = []
  const log: Log = []
  const froms: ReceiveFrom[] = []
  const prepared: unknown[][] = []
  let sink: ((delivery: Delivery) => void) | undefined
  let asked = 0
  let given = 0
  let receivers = 0
  let closed = 0
  let failing: unknown[] = []
  let end: (error: unknown, quietly?: 'quietly') => void = () => {}
  const live = new Set<() => void>()
  const sent: Played['sent'] = []
  const self: Played = {
    requests,
    log,
    froms,
    prepared,
    sent,
    sendAnswers: [],
    waiting: 0,
    waitingAbove: {},
    inspects: 0,
    credit: () => asked - given,
    receivers: () => receivers,
    closed: () => closed,
    failReceive: (...errors) => {
      failing = errors
    },
    end: (error, quietly) => end(error, quietly),
    transport: {
      name: 'played',
      capabilities: { ...plainCapabilities, ...change },
      prepare: async (channels, mode) => void prepared.push([mode, ...channels]),
      send: async (channel, envelopes) => {
        for (const envelope of envelopes) sent.push({ channel, envelope })
        return envelopes.map(() => self.sendAnswers.shift() ?? { status: 'accepted' as const })
      },
      async receive(from, to): Promise<Receiver> {
        froms.push(from)
        if (failing.length > 0) throw failing.shift()
        receivers++
        sink = to
        asked = 0
        given = 0
        let resolve: () => void = () => {}
        const ended = new Promise<void>((done, fail) => {
          resolve = done
          end = (error, quietly) => {
            sink = undefined
            if (quietly === undefined) for (const lose of [...live]) lose()
            else live.clear()
            error === undefined ? done() : fail(error)
          }
        })
        ended.catch(() => {})
        return {
          address: from.channel,
          ended,
          request(count) {
            if (sink === to) {
              requests.push(count)
              asked += count
            }
          },
          async stop() {
            log.push('stop')
            if (sink === to) sink = undefined
          },
          async close() {
            log.push('close')
            closed++
            if (sink === to) sink = undefined
            for (const lose of [...live]) lose()
            resolve()
          },
        }
      },
      async inspect(_from, minPriority) {
        self.inspects++
        return { waiting: minPriority === undefined ? self.waiting : (self.waitingAbove[minPriority] ?? 0) }
      },
      close: async () => {},
    },
    deliver(what) {
      if (sink === undefined) throw new Error('nobody receives')
      if (given >= asked) throw new Error('more than was asked for')
      given++
      const id = what.id ?? `m${++ids}`
      const { key, priority, notBefore, expiresAt, redeliveries, leaseMs } = what
      const settled: { verdict: SettleVerdict; options: SettleOptions | undefined }[] = []
      const extended: number[] = []
      const listeners = new Set<() => void>()
      const revoking = new Set<() => void>()
      let lost = false
      const lose = (): void => {
        live.delete(lose)
        if (lost || settled.length > 0) return
        lost = true
        for (const listener of [...listeners]) listener()
      }
      live.add(lose)
      const delivery: Delivery = {
        envelope: {
          id,
          key,
          priority,
          notBefore,
          expiresAt,
          attributes: { specversion: '1.0', source: 'test', type: what.type ?? 'placed', ...what.attributes },
          headers: {},
          body: Buffer.from(what.body ?? JSON.stringify({ n: what.n ?? 1 })),
        },
        redeliveries,
        leaseMs,
        onLost(listener) {
          if (lost) listener()
          else listeners.add(listener)
          return () => listeners.delete(listener)
        },
        onRevoking(listener) {
          revoking.add(listener)
          return () => revoking.delete(listener)
        },
        async settle(verdict, options) {
          if (lost) throw createError({ code: 'LEASE_LOST' })
          const failure = what.settleFails?.shift()
          if (failure !== undefined) throw failure
          await what.settleAfter
          live.delete(lose)
          settled.push({ verdict, options })
          log.push(`${verdict} ${id}`)
        },
        ...(what.noExtend
          ? {}
          : {
              extend: async (ms: number) => {
                if (lost) throw createError({ code: 'LEASE_LOST' })
                extended.push(ms)
                await what.extend?.(ms)
              },
            }),
      }
      sink(delivery)
      return {
        id,
        settled,
        extended,
        lose,
        revoke: () => {
          for (const listener of [...revoking]) listener()
        },
        get verdict() {
          const [only] = settled
          return settled.length > 1 ? 'settled twice' : (only?.verdict ?? 'open')
        },
      }
    },
  }
  return self
}

export interface Bench {
  readonly clock: FakeClock
  readonly broker: Played
  readonly consumer: Consumer
  readonly events: PipelineEvent[]
  of<T extends PipelineEvent['type']>(type: T): Extract<PipelineEvent, { type: T }>[]
  /** Lets all promises settle. */
  settle(): Promise<void>
}

type Options = Omit<Partial<ConsumerOptions<Types>>, 'handlers' | 'batch'> & {
  readonly handlers?: ConsumerOptions<Types>['handlers']
  readonly batch?: ConsumerOptions<Types>['batch']
}

/** A consumer over a played broker, on a fake clock, without jitter. Started. */
export async function bench(options: Options = {}, change: Partial<TransportCapabilities> = {}): Promise<Bench> {
  const clock = (options.clock as FakeClock | undefined) ?? fakeClock()
  const broker = played(change)
  const events: PipelineEvent[] = []
  const consumer = createConsumer({
    transport: broker.transport,
    channel: Orders,
    group: 'billing',
    clock,
    random: () => 0,
    onEvent: (event) => void events.push(event),
    ...(options.batch === undefined && options.handlers === undefined ? { handlers: { placed: () => {} } } : {}),
    ...options,
  } as ConsumerOptions<Types>)
  await consumer.start()
  await clock.advance(0)
  return {
    clock,
    broker,
    consumer,
    events,
    of: (type) => events.filter((event) => event.type === type) as never,
    settle: () => clock.advance(0),
  }
}

/** A promise and its ends. */
export function gate<T = void>(): {
  readonly promise: Promise<T>
  resolve(value: T): void
  reject(error: unknown): void
} {
  let resolve: (value: T) => void = () => {}
  let reject: (error: unknown) => void = () => {}
  const promise = new Promise<T>((yes, no) => {
    resolve = yes
    reject = no
  })
  return { promise, resolve, reject }
}
