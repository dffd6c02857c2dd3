// The ways out of a process: a store and a transport whose every call is a step. The code inside notices nothing.

import type { MemoryBroker } from '../../../src/adapters/memory/broker.ts'
import type { MemoryDatabase } from '../../../src/adapters/memory/store/database.ts'
import { type MemoryStore, memoryStore } from '../../../src/adapters/memory/store/store.ts'
import { memoryTransport } from '../../../src/adapters/memory/transport.ts'
import { createContext } from '../../../src/core/context.ts'
import type {
  Delivery,
  MessageTransport,
  Receiver,
  SendResult,
  SettleOptions,
  SettleVerdict,
} from '../../../src/core/contracts/transport.ts'
import { deadlineIn } from '../../../src/core/deadline.ts'
import type { Envelope } from '../../../src/core/message.ts'
import { createError } from '../../../src/errors/classes.ts'
import type { FaultKind } from './schedule.ts'
import { ANYWHERE, type Life } from './world.ts'

const nothing = (): void => undefined
const SETTLING: readonly FaultKind[] = [...ANYWHERE, 'lose']
const SENDING: readonly FaultKind[] = [...ANYWHERE, 'twice']
const LONG_MS = 3_600_000
const BEFORE: readonly FaultKind[] = ['crash-before', 'pause-before', 'fail-before']

/** A process's view of a database: dropped transactions when it dies, steps at each call, `begin`, `commit` and `committed`. `change` breaks it on purpose. */
export function storeOf(
  life: Life,
  name: string,
  database: MemoryDatabase,
  change: (store: MemoryStore, life: Life) => MemoryStore = (store) => store,
): MemoryStore {
  const raw = memoryStore({
    database,
    before: (operation) => {
      if (operation === 'begin' || operation === 'commit')
        return life.step(`${name}.${operation}`, () => undefined, { kinds: BEFORE })
      if (operation === 'committed')
        return life.step(`${name}.committed`, () => undefined, { kinds: BEFORE, unanswered: true })
      return undefined
    },
  })
  life.onDeath(() => raw.crash())
  const inner = change(raw, life)
  return {
    ...inner,
    outbox: steps(life, `${name}.outbox`, inner.outbox),
    inbox: steps(life, `${name}.inbox`, inner.inbox),
    transaction: (work) => life.returning(inner.transaction(work)),
  }
}

// Everything that answers with a promise is a step.
function steps<T extends object>(life: Life, name: string, part: T): T {
  const gated: Record<string, unknown> = { ...(part as Record<string, unknown>) }
  for (const [method, call] of Object.entries(part)) {
    if (typeof call !== 'function' || method === 'dead' || method === 'listen') continue
    gated[method] = (...args: unknown[]) =>
      life.step(`${name}.${method}`, () => call.apply(part, args), { words: () => wordsOf(args), answer: answerOf })
  }
  return gated as T
}

/** A process's connection to a broker. When it dies its receivers are gone a while later. `change` breaks it on purpose. */
export function transportOf(
  life: Life,
  name: string,
  broker: MemoryBroker,
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
        .step(`${name}.send`, () => inner.send(channel, envelopes, lasting), { kinds: SENDING, words })
        .catch((error: unknown) => failedAll(envelopes, error))
      const tooLate = life
        .sleep(Math.max(0, context.deadline.remainingMs()))
        .then(() => failedAll(envelopes, undefined))
      return Promise.race([answer, tooLate])
    },
    receive: async (from, sink) => {
      const connection = newConnection()
      const receiver = await life.step(`${name}.receive`, () =>
        // In order of arrival, each after a while.
        inner.receive(from, inTurn(life, name, connection, sink)),
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
    const arriving = life.step(`${name}.deliver`, nothing, { kinds: ['crash-before', 'pause-before'], words })
    connection.arrived = Promise.all([connection.arrived, arriving]).then(
      () =>
        new Promise((handed) => {
          life.run(() => {
            sink(deliveryOf(life, name, connection, delivery, handedOutAt))
            handed()
          })
        }),
    )
  }
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
  const answer = life.step(`${name}.settle`, effect, { kinds: SETTLING, lost: nothing, words })
  connection.asked = answer.then(nothing, nothing)
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
  return envelopes.map(() => ({ status: 'failed', error: createError({ code, effect, cause, transport: 'memory' }) }))
}

function wordsOf(args: readonly unknown[]): string {
  return args
    .map((arg) => {
      if (!Array.isArray(arg))
        return typeof arg === 'string' || typeof arg === 'number' || typeof arg === 'bigint' ? String(arg) : ''
      return arg
        .map(nameOf)
        .filter((name) => name !== '')
        .join(' ')
    })
    .filter((words) => words !== '')
    .join(', ')
}

function nameOf(one: { envelope?: { id: string }; id?: string; verdict?: string; sequence?: bigint }): string {
  if (one?.envelope !== undefined) return one.envelope.id
  if (one?.verdict !== undefined) return `${one.verdict} ${one.sequence}`
  return one?.id ?? ''
}

function answerOf(answer: unknown): string {
  if (!Array.isArray(answer)) return typeof answer === 'number' ? String(answer) : ''
  const names = answer.map((one) => (typeof one === 'string' ? one : nameOf(one))).filter((name) => name !== '')
  return names.length > 0 ? names.join(' ') : String(answer.length)
}
