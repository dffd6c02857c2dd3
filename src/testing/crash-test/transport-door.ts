// A process's connection to a broker: every call is a step, and so is what arrives. The code inside notices nothing.
import type { BrokerState } from '../../adapters/memory/broker.ts'
import { memoryTransport } from '../../adapters/memory/transport.ts'
import { createContext } from '../../core/context.ts'
import type {
  Delivery,
  MessageTransport,
  Receiver,
  SendResult,
  SettleOptions,
  SettleVerdict,
} from '../../core/contracts/transport.ts'
import { deadlineIn } from '../../core/deadline.ts'
import type { Envelope } from '../../core/message.ts'
import { bareError } from './bare-error.ts'
import type { Life } from './life.ts'
import { ARRIVING, SETTLING, TWICE } from './steps.ts'

const nothing = (): void => undefined
const LONG_MS = 3_600_000

/** A process's connection to a broker. When it dies its receivers are gone a while later. `change` breaks it on purpose. */
export function transportOf(
  life: Life,
  name: string,
  broker: BrokerState,
  leaseMs: number,
  change: (transport: MessageTransport, life: Life) => MessageTransport = (transport) => transport,
): MessageTransport {
  const raw = memoryTransport({ broker, leaseMs })
  // The broker notices at once, or only by its lease.
  life.onDeath(() => {
    const ms = life.world.chance(life.name, name, 'noticed')() * leaseMs
    life.world.clock.setTimer(() => void raw.close(), ms, undefined)
  })
  const inner = change(raw, life)
  return {
    name: inner.name,
    capabilities: inner.capabilities,
    prepare: (channels, mode) => life.step(`${name}.prepare`, () => inner.prepare(channels, mode)),
    send: (channel, envelopes, context) => {
      const words = (): string => `${channel.name} ${envelopes.map(({ id }) => id).join(' ')}`
      // It may arrive long after the sender has given it up.
      const { context: lasting } = createContext({
        service: channel.name,
        operation: 'publish',
        deadline: deadlineIn(LONG_MS, life.world.clock),
        idempotent: true,
      })
      const answer = life
        .step(`${name}.send`, () => inner.send(channel, envelopes, lasting), { kinds: TWICE, words })
        .catch((error: unknown) => failedAll(envelopes, error))
      const tooLate = life
        .sleep(Math.max(0, context.deadline.remainingMs()))
        .then(() => failedAll(envelopes, undefined))
      return Promise.race([answer, tooLate])
    },
    receive: async (from, sink) => {
      const connection = newConnection()
      const { sites } = life.world
      const site = sites?.here()
      const handed = sites === undefined ? sink : (each: Delivery): void => sites.within(site, () => sink(each))
      const receiver = await life.step(`${name}.receive`, () =>
        // In order of arrival, each after a while.
        inner.receive(from, inTurn(life, name, connection, handed)),
      )
      return receiverOf(life, name, receiver)
    },
    ...(inner.inspect === undefined ? {} : { inspect: inner.inspect.bind(inner) }),
    deadLetters: inner.deadLetters,
    close: () => life.step(`${name}.close`, () => inner.close()),
  }
}

/** What is asked arrives in order, and so does what the broker says: an answer comes behind the messages that were handed out before it. */
interface Connection {
  asked: Promise<void>
  arrived: Promise<void>
}

const newConnection = (): Connection => ({ asked: Promise.resolve(), arrived: Promise.resolve() })

function inTurn(
  life: Life,
  name: string,
  connection: Connection,
  sink: (delivery: Delivery) => void,
): (delivery: Delivery) => void {
  return (delivery) => {
    const handedOutAt = life.clock.now()
    const words = (): string => delivery.envelope.id
    let twice = false
    const again = (): void => {
      twice = true
    }
    const arriving = life.step(`${name}.deliver`, nothing, { kinds: ARRIVING, words, again })
    connection.arrived = Promise.all([connection.arrived, arriving]).then(
      () =>
        new Promise((handed) => {
          life.run(() => {
            sink(deliveryOf(life, name, connection, twice ? doubled(delivery) : delivery, handedOutAt))
            handed()
          })
        }),
    )
  }
}

// The broker takes the acknowledgement, and hands the message out once more all the same: at its place, before later ones of its key.
function doubled(delivery: Delivery): Delivery {
  return new Proxy(delivery, {
    get: (target, property) => {
      if (property === 'settle')
        return (verdict: SettleVerdict, options?: SettleOptions | undefined) =>
          target.settle(verdict === 'ack' ? 'retry' : verdict, verdict === 'ack' ? undefined : options)
      const value: unknown = Reflect.get(target, property, target)
      return typeof value === 'function' ? value.bind(target) : value
    },
  })
}

async function settled(
  life: Life,
  name: string,
  connection: Connection,
  delivery: Delivery,
  verdict: SettleVerdict,
  options: SettleOptions | undefined,
): Promise<void> {
  let { arrived } = connection
  const effect = async (): Promise<void> => {
    await turn
    try {
      await delivery.settle(verdict, options)
    } finally {
      arrived = connection.arrived
    }
  }
  const turn = connection.asked
  const words = (): string => `${verdict} ${delivery.envelope.id}`
  // No connection loses one word and carries those after it: of a message given back alone that would break an order which no consumer could know of.
  const lost = verdict === 'ack' ? { lost: nothing } : {}
  const answer = life.step(`${name}.settle`, effect, { kinds: SETTLING, ...lost, words })
  // One that is refused does not let those behind it overtake those before it.
  connection.asked = Promise.allSettled([turn, answer]).then(nothing)
  try {
    await answer
  } finally {
    await arrived
  }
}

function receiverOf(life: Life, name: string, receiver: Receiver): Receiver {
  return {
    address: receiver.address,
    request: (count) => receiver.request(count),
    stop: () => life.step(`${name}.stop`, () => receiver.stop()),
    close: () => life.step(`${name}.leave`, () => receiver.close()),
    ended: life.returning(receiver.ended),
  }
}

function deliveryOf(
  life: Life,
  name: string,
  connection: Connection,
  delivery: Delivery,
  handedOutAt: number,
): Delivery {
  const { envelope, lane, position, redeliveries, leaseMs = Number.POSITIVE_INFINITY } = delivery
  const { id } = envelope
  return {
    envelope,
    lane,
    position,
    redeliveries,
    // It was on its way for a while.
    leaseMs: Math.max(0, leaseMs - (life.clock.now() - handedOutAt)),
    onLost: (listener) => delivery.onLost(() => life.run(listener)),
    settle: (verdict, options) => settled(life, name, connection, delivery, verdict, options),
    ...(delivery.extend === undefined
      ? {}
      : {
          extend: (ms) =>
            life.step(`${name}.extend`, () => delivery.extend?.(ms) as Promise<void>, { words: () => id }),
        }),
  }
}

// Those of a key behind one whose fate is not known are not sent either, so all are answered alike.
function failedAll(envelopes: readonly Envelope[], cause: unknown): readonly SendResult[] {
  const { effect = 'unknown', code = 'CONNECTION_LOST' } = (cause ?? {}) as {
    effect?: 'none' | 'unknown'
    code?: 'CONNECTION_LOST'
  }
  return envelopes.map(() => ({ status: 'failed', error: bareError({ code, effect, cause, transport: 'memory' }) }))
}
