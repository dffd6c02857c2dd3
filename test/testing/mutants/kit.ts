// How a broken copy of the memory transport is made: the right one with a few of its answers changed.
import {
  type MemoryBroker,
  type MemoryBrokerOptions,
  type MemoryTransportOptions,
  memoryBroker,
  memoryTransport,
} from '../../../src/adapters/memory/index.ts'
import type { Clock } from '../../../src/core/clock.ts'
import type {
  Delivery,
  MessageTransport,
  Receiver,
  TransportCapabilities,
} from '../../../src/core/contracts/transport.ts'
import { fakeClock } from '../../../src/testing/fake-clock.ts'
import type { TransportLab } from '../../../src/testing/transport-suite/lab.ts'

import { network, throughNetwork } from './trouble.ts'

/** What a mutant does otherwise than the transport it is made of. */
export type Change = (real: MessageTransport) => Partial<MessageTransport>

/** A broken transport. */
export interface Mutant {
  /** What is wrong with it. */
  readonly what: string
  /** The case that has to find it, as the suite names it. */
  readonly caught: string
  /** Others that find it too, where no mutant is meant for them alone. */
  readonly also?: readonly string[] | undefined
  /** A change for all transports of one lab. What it remembers they share, as they share the broker. */
  readonly make?: ((clock: Clock) => Change) | undefined
  readonly broker?: MemoryBrokerOptions | undefined
  readonly transport?: MemoryTransportOptions | undefined
  /** What a restart of the broker does; absent: there is none. */
  readonly restart?: 'keeps' | 'loses' | undefined
  /** What it claims. */
  readonly claims?: Partial<TransportCapabilities> | undefined
}

/** A lab of memory transports on a fake clock, all of them changed. */
export function memoryLab(mutant: Partial<Mutant> = {}): TransportLab {
  const clock = fakeClock()
  const change = mutant.make?.(clock)
  const started = (): MemoryBroker => memoryBroker({ clock, ...mutant.broker })
  // What each transport is connected to: another one after a restart that loses everything.
  const reconnect: (() => void)[] = []
  const net = network()
  let broker = started()
  return {
    open({ leaseMs } = {}) {
      let real: MessageTransport
      const connect = (): void => {
        real = memoryTransport({ broker, leaseMs, ...mutant.transport })
      }
      connect()
      reconnect.push(connect)
      const whole = throughNetwork(
        over(() => real),
        net,
        clock,
      )
      return {
        ...whole,
        ...change?.(whole),
        capabilities: { ...whole.capabilities, ...mutant.claims },
      }
    },
    clock,
    pass: (ms) => clock.advance(ms),
    leaseMs: 1_000,
    cut: async () => broker.cut(),
    async stop() {
      net.state = 'down'
      broker.cut()
      return async () => {
        net.state = 'up'
      }
    },
    async freeze() {
      net.freeze()
      return async () => net.thaw()
    },
    ...(mutant.restart === undefined
      ? {}
      : {
          restart: async () => {
            broker.cut()
            if (mutant.restart === 'keeps') return
            broker = started()
            for (const connect of reconnect) connect()
          },
        }),
    // Short: what a mutant never does is waited for in vain.
    patienceMs: 100,
    quietMs: 50,
    close: async () => undefined,
  }
}

function over(real: () => MessageTransport): MessageTransport {
  return {
    name: real().name,
    capabilities: real().capabilities,
    prepare: (channels, mode) => real().prepare(channels, mode),
    dropGroup: async (place) => await real().dropGroup?.(place),
    send: (channel, envelopes, context) => real().send(channel, envelopes, context),
    receive: (from, sink) => real().receive(from, sink),
    inspect: async (from, minPriority) => (await real().inspect?.(from, minPriority)) ?? { waiting: 0 },
    deadLetters: {
      list: (channel, options) => real().deadLetters?.list(channel, options) ?? none(),
      redrive: async (channel, ids) => (await real().deadLetters?.redrive(channel, ids)) ?? 0,
    },
    close: () => real().close(),
  }
}

async function* none(): AsyncGenerator<never> {}

/** A delivery with some of its answers changed. */
export function overDelivery(real: Delivery, change: Partial<Delivery>): Delivery {
  return {
    envelope: real.envelope,
    lane: real.lane,
    position: real.position,
    redeliveries: real.redeliveries,
    leaseMs: real.leaseMs,
    onLost: (listener) => real.onLost(listener),
    settle: (verdict, options) => real.settle(verdict, options),
    extend: async (ms) => await real.extend?.(ms),
    ...change,
  }
}

/** A receiver with some of its answers changed. */
export function overReceiver(real: Receiver, change: Partial<Receiver>): Receiver {
  return {
    address: real.address,
    ended: real.ended,
    request: (count) => real.request(count),
    stop: () => real.stop(),
    close: () => real.close(),
    ...change,
  }
}

/** Changes every delivery. Without an answer it is not handed on. */
export const deliveries =
  (change: (delivery: Delivery) => Partial<Delivery> | undefined): (() => Change) =>
  () =>
  (real) => ({
    receive: (from, sink) =>
      real.receive(from, (delivery) => {
        const changed = change(delivery)
        if (changed !== undefined) sink(overDelivery(delivery, changed))
      }),
  })

/** Changes every receiver. */
export const receivers =
  (change: (receiver: Receiver) => Partial<Receiver>): (() => Change) =>
  () =>
  (real) => ({
    async receive(from, sink) {
      const receiver = await real.receive(from, sink)
      return overReceiver(receiver, change(receiver))
    },
  })
