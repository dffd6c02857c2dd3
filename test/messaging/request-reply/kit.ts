// What the tests of requests share: a channel, a clock, a broker in memory, and a transport that writes down what it is asked and can be made to fail.
import { z } from 'zod'
import { memoryBroker, memoryTransport } from '../../../src/adapters/memory/index.ts'
import { type CallContext, createContext } from '../../../src/core/context.ts'
import type { Delivery, MessageTransport, ReceiveFrom, SendResult } from '../../../src/core/contracts/transport.ts'
import { deadlineIn } from '../../../src/core/deadline.ts'
import type { PipelineEvent } from '../../../src/core/events.ts'
import type { ChannelAddress, Envelope } from '../../../src/core/message.ts'
import { queue } from '../../../src/messaging/index.ts'
import { type FakeClock, fakeClock } from '../../../src/testing/fake-clock.ts'

export const Pricing = queue('pricing', {
  'price.quote': {
    schema: z.object({ sku: z.string() }),
    reply: z.object({ cents: z.number() }),
    failures: { UNKNOWN_SKU: z.object({ sku: z.string() }) },
  },
  'price.note': z.object({ text: z.string() }),
})

/** A transport that can be watched and troubled. */
export interface Watched {
  readonly transport: MessageTransport
  /** `send pricing`, `receive`, `request 5`, `deliver`, `ack`, ... in order. */
  readonly log: string[]
  readonly froms: ReceiveFrom[]
  readonly sent: { readonly channel: ChannelAddress; readonly envelope: Envelope }[]
  /** Asked for and not delivered, and the most of that and of what is unsettled. */
  readonly credit: { asked: number; unsettled: number; most: number }
  /** The next sends to a channel of a name that contains `to` answer so; a promise: when it resolves. */
  failSend(to: string, ...results: (SendResult | Promise<SendResult>)[]): void
  /** The next tries to receive end so. */
  failReceive(...errors: (Error | Promise<void>)[]): void
  /** Holds settlements back, each until its promise resolves. */
  settling: (() => Promise<void>) | undefined
}

export function watched(inner: MessageTransport): Watched {
  const log: string[] = []
  const froms: ReceiveFrom[] = []
  const sent: Watched['sent'] = []
  const credit = { asked: 0, unsettled: 0, most: 0 }
  const failing: { to: string; result: SendResult | Promise<SendResult> }[] = []
  const refusing: (Error | Promise<void>)[] = []
  const kit: Watched = {
    log,
    froms,
    sent,
    credit,
    failSend: (to, ...results) => void failing.push(...results.map((result) => ({ to, result }))),
    failReceive: (...errors) => void refusing.push(...errors),
    settling: undefined,
    transport: {
      name: inner.name,
      capabilities: inner.capabilities,
      prepare: (channels, mode) => inner.prepare(channels, mode),
      close: () => inner.close(),
      inspect: (from, minPriority) => inner.inspect?.(from, minPriority) ?? Promise.resolve({ waiting: 0 }),
      deadLetters: inner.deadLetters,
      async send(channel, envelopes, context) {
        log.push(`send ${channel.name}`)
        for (const envelope of envelopes) sent.push({ channel, envelope })
        const at = failing.findIndex(({ to }) => channel.name.includes(to))
        if (at >= 0) return [await (failing.splice(at, 1)[0] as (typeof failing)[0]).result]
        return await inner.send(channel, envelopes, context)
      },
      async receive(from, sink) {
        log.push('receive')
        froms.push(from)
        const refusal = refusing.shift()
        if (refusal instanceof Error) throw refusal
        await refusal
        const receiver = await inner.receive(from, (delivery) => {
          log.push('deliver')
          credit.asked--
          credit.unsettled++
          sink(watchedDelivery(delivery))
        })
        return {
          address: receiver.address,
          ended: receiver.ended,
          request(count) {
            log.push(`request ${count}`)
            credit.asked += count
            credit.most = Math.max(credit.most, credit.asked + credit.unsettled)
            receiver.request(count)
          },
          stop: () => receiver.stop(),
          close() {
            log.push('close receiver')
            return receiver.close()
          },
        }
      },
    },
  }
  const watchedDelivery = (delivery: Delivery): Delivery => ({
    envelope: delivery.envelope,
    redeliveries: delivery.redeliveries,
    leaseMs: delivery.leaseMs,
    onLost: (listener) => delivery.onLost(listener),
    extend: (ms) => delivery.extend?.(ms) ?? Promise.resolve(),
    async settle(verdict, options) {
      await kit.settling?.()
      log.push(verdict)
      credit.unsettled--
      await delivery.settle(verdict, options)
    },
  })
  return kit
}

/** A clock, a broker, and transports on it. */
export interface Bench {
  readonly clock: FakeClock
  readonly broker: ReturnType<typeof memoryBroker>
  readonly events: PipelineEvent[]
  readonly onEvent: (event: PipelineEvent) => void
  open(): Watched
  context(ms?: number, idempotent?: boolean): CallContext
  settle(): Promise<void>
  of<K extends PipelineEvent['type']>(type: K): Extract<PipelineEvent, { readonly type: K }>[]
}

export function bench(): Bench {
  const clock = fakeClock()
  const broker = memoryBroker({ clock, autoCreate: false })
  const events: PipelineEvent[] = []
  return {
    clock,
    broker,
    events,
    onEvent: (event) => void events.push(event),
    open: () => watched(memoryTransport({ broker })),
    context: (ms = 5_000, idempotent = false) =>
      createContext({ service: 'pricing', operation: 'price.quote', deadline: deadlineIn(ms, clock), idempotent })
        .context,
    settle: () => clock.advance(0),
    of: (type) => events.filter((event) => event.type === type) as never,
  }
}

/** A request as an exchange takes it. */
export const request = (id: string, more: Partial<Envelope> = {}): Envelope => ({
  id,
  attributes: { specversion: '1.0', source: '/tests', type: 'price.quote', ...more.attributes },
  headers: {},
  body: new Uint8Array(0),
  ...(more.expiresAt === undefined ? {} : { expiresAt: more.expiresAt }),
})

/** What a responder sends back. */
export const replyTo = ({ id, attributes }: Envelope, more: Record<string, string> = {}): Envelope => ({
  id: `re-${id}`,
  attributes: {
    specversion: '1.0',
    source: '/answering',
    type: 'price.quote.reply',
    correlationid: attributes['correlationid'] ?? id,
    causationid: id,
    ...more,
  },
  headers: {},
  body: new Uint8Array(0),
})

export const addressIn = ({ attributes }: Envelope): ChannelAddress => {
  const [kind, ...name] = (attributes['replyto'] ?? '').split(':')
  return { kind: kind as 'queue', name: name.join(':') }
}
