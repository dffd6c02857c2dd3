// What the tests of outbox and relay share: a store that counts and fails, and a transport that answers as the test says.
import { z } from 'zod'
import {
  type MemoryStore,
  type MemoryTx,
  memoryCapabilities,
  memoryDatabase,
  memoryStore,
} from '../../../src/adapters/memory/index.ts'
import type { CallContext } from '../../../src/core/context.ts'
import type { OutboxStore } from '../../../src/core/contracts/store.ts'
import type { MessageTransport, SendResult, TransportCapabilities } from '../../../src/core/contracts/transport.ts'
import type { PipelineEvent } from '../../../src/core/events.ts'
import type { ChannelAddress, Envelope } from '../../../src/core/message.ts'
import type { Code } from '../../../src/errors/codes.ts'
import { createError } from '../../../src/errors/index.ts'
import { queue, topic } from '../../../src/messaging/channel.ts'
import {
  createOutbox,
  createRelay,
  type Outbox,
  type OutboxPlace,
  type Relay,
} from '../../../src/messaging/outbox/index.ts'
import type { OutboxOptions, RelayOptions } from '../../../src/messaging/outbox/types.ts'
import { type FakeClock, fakeClock } from '../../../src/testing/fake-clock.ts'
import { seededRandom } from '../../../src/testing/seeded-random.ts'

export const Orders = topic('orders', { 'order.placed': z.object({ orderId: z.string() }) })
export const Mails = queue('mails', { 'mail.wanted': z.object({ to: z.string() }) })

export const order = (orderId: string, key: string | undefined = orderId) =>
  ({ type: 'order.placed', id: orderId, key, data: { orderId } }) as const

export const accepted: SendResult = { status: 'accepted' }
export const failed = (code: Code, fields: { readonly effect?: 'none' | 'unknown' | 'done' } = {}): SendResult => ({
  status: 'failed',
  error: createError({ code, ...fields }),
})

/** One call of `send`. */
export interface Sent {
  readonly channel: ChannelAddress
  readonly envelopes: readonly Envelope[]
  readonly context: CallContext
  readonly at: number
}

/** Says what becomes of an envelope; a promise keeps the whole send waiting. */
export type Answering = (envelope: Envelope, context: CallContext) => SendResult | Promise<SendResult>

export interface FakeTransport extends MessageTransport {
  readonly sends: Sent[]
  /** Ids in the order in which they were sent. */
  readonly ids: string[]
  /** Ids in the order in which they were accepted. */
  readonly taken: string[]
  answer: Answering
  /** Sends under way. */
  readonly open: number
}

/** A transport that keeps order per key as the contract says. */
export function fakeTransport(clock: FakeClock, capabilities: Partial<TransportCapabilities> = {}): FakeTransport {
  let open = 0
  const transport: FakeTransport = {
    name: 'fake',
    capabilities: { ...memoryCapabilities, ...capabilities },
    sends: [],
    ids: [],
    taken: [],
    answer: () => accepted,
    get open() {
      return open
    },
    prepare: async () => {},
    async send(channel, envelopes, context) {
      transport.sends.push({ channel, envelopes, context, at: clock.now() })
      open++
      const blocked = new Map<string, string>()
      const results: SendResult[] = []
      for (const envelope of envelopes) {
        const { id, key } = envelope
        const ahead = key === undefined ? undefined : blocked.get(key)
        if (ahead !== undefined) {
          results.push({ status: 'failed', error: createError({ code: 'TOO_EARLY', details: { ahead } }) })
          continue
        }
        transport.ids.push(id)
        const result = await transport.answer(envelope, context)
        if (result.status === 'failed') {
          if (key !== undefined) blocked.set(key, id)
        } else transport.taken.push(id)
        results.push(result)
      }
      open--
      return results
    },
    receive: () => Promise.reject(new Error('not here')),
    close: async () => {},
  }
  return transport
}

/** What was asked of the store of an outbox. */
export interface Asked {
  readonly what: keyof OutboxStore<unknown>
  readonly at: number
}

export interface Shop {
  readonly clock: FakeClock
  readonly store: MemoryStore
  readonly place: OutboxPlace<MemoryTx>
  readonly outbox: Outbox<MemoryTx>
  readonly transport: FakeTransport
  readonly events: PipelineEvent[]
  readonly asked: Asked[]
  /** Runs before each question to the store of the outbox: to fail or to delay it. */
  interrupt: ((what: keyof OutboxStore<unknown>) => Promise<void> | void) | undefined
  relay(options?: Partial<RelayOptions>): Relay
  /** Publishes in a transaction of its own each. */
  publish(...orders: ReturnType<typeof order>[]): Promise<void>
  of<T extends PipelineEvent['type']>(type: T): Extract<PipelineEvent, { readonly type: T }>[]
  end(): Promise<void>
}

export function shop(
  options: Partial<OutboxOptions> & {
    readonly capabilities?: Partial<TransportCapabilities>
    readonly archive?: boolean
  } = {},
): Shop {
  const { capabilities, archive, ...outboxOptions } = options
  const clock = fakeClock()
  const store = memoryStore({ database: memoryDatabase({ clock }), ...(archive === undefined ? {} : { archive }) })
  const events: PipelineEvent[] = []
  const asked: Asked[] = []
  const relays: Relay[] = []
  const onEvent = (event: PipelineEvent): void => void events.push(event)
  const self: { interrupt: Shop['interrupt'] } = { interrupt: undefined }
  const watched = new Proxy(store.outbox, {
    get(target, name) {
      const method = Reflect.get(target, name) as unknown
      if (typeof method !== 'function') return method
      return (...args: unknown[]) => {
        asked.push({ what: name as Asked['what'], at: clock.now() })
        if (name === 'dead') return method.apply(target, args)
        return (async () => {
          await self.interrupt?.(name as Asked['what'])
          return await method.apply(target, args)
        })()
      }
    },
  })
  const place: OutboxPlace<MemoryTx> = { ...store, outbox: watched }
  const outbox = createOutbox(place, { clock, onEvent, source: '/shop/orders', ...outboxOptions })
  const transport = fakeTransport(clock, capabilities)
  return Object.assign(self, {
    clock,
    store,
    place,
    outbox,
    transport,
    events,
    asked,
    relay(more: Partial<RelayOptions> = {}) {
      const relay = createRelay({ outbox, transport, clock, onEvent, random: seededRandom(7), ...more })
      relays.push(relay)
      return relay
    },
    async publish(...orders: ReturnType<typeof order>[]) {
      for (const each of orders) await store.transaction((tx) => outbox.publish(tx, Orders, each))
    },
    of<T extends PipelineEvent['type']>(type: T) {
      return events.filter((event): event is Extract<PipelineEvent, { readonly type: T }> => event.type === type)
    },
    async end() {
      self.interrupt = undefined
      const closing = Promise.all(relays.map((relay) => relay.close({ withinMs: 100 })))
      await clock.advance(1_000)
      await closing
    },
  })
}

/** A promise with its ends in hand. */
export function gate<T = void>(): { readonly promise: Promise<T>; open(value: T): void; fail(error: unknown): void } {
  let open!: (value: T) => void
  let fail!: (error: unknown) => void
  const promise = new Promise<T>((resolve, reject) => {
    open = resolve
    fail = reject
  })
  return { promise, open, fail }
}
