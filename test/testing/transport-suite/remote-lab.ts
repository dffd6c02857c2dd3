// A broker behind a connection, made of the memory broker: it can be stopped, restarted, cut and frozen, and a send may be a delivery.
// So the cases of the suite about faults are themselves tested where no server is.
import { memoryBroker, memoryTransport } from '../../../src/adapters/memory/index.ts'
import type { CallContext } from '../../../src/core/context.ts'
import type {
  Delivery,
  MessageTransport,
  Receiver,
  SendResult,
  TransportCapabilities,
} from '../../../src/core/contracts/transport.ts'
import type { Envelope } from '../../../src/core/message.ts'
import { createError } from '../../../src/errors/index.ts'
import { fakeClock } from '../../../src/testing/fake-clock.ts'
import type { TransportLab } from '../../../src/testing/transport-suite/index.ts'

/** What is broken about it; nothing by default. */
export interface RemoteFaults {
  readonly capabilities?: Partial<TransportCapabilities>
  /** A restart loses all it had. */
  readonly forgets?: boolean
  /** A send into silence is never answered. */
  readonly hangs?: boolean
  /** Errors have no code, or one that says nothing. */
  readonly errors?: 'plain' | 'vague'
  /** A send is answered when its message was handled; `early`: it says so, and does not wait. */
  readonly handled?: true | 'early'
  /** What the lab offers besides opening. Default: all. */
  readonly offers?: readonly ('restart' | 'stop' | 'cut' | 'freeze')[]
}

export function remoteLab(faults: RemoteFaults = {}): TransportLab {
  const clock = fakeClock()
  const offers = faults.offers ?? ['restart', 'stop', 'cut', 'freeze']
  let broker = memoryBroker({ clock })
  let up = true
  let frozen: Promise<void> | undefined
  // Messages whose senders wait until they are handled.
  const awaited = new Map<string, (result: SendResult) => void>()

  const down = (): Error =>
    faults.errors === 'plain'
      ? new Error('down')
      : createError({ code: faults.errors === 'vague' ? 'CALL_FAILED' : 'CONNECTION_REFUSED', transport: 'remote' })

  const handing = (sink: (delivery: Delivery) => void) => (delivery: Delivery) => {
    const { settle } = delivery
    const seen: Delivery = Object.assign(Object.create(delivery) as Delivery, {
      onLost: (listener: () => void) => delivery.onLost(listener),
      extend: (ms: number) => delivery.extend?.(ms),
      settle: async (...args: Parameters<Delivery['settle']>) => {
        await settle.apply(delivery, args)
        if (args[0] === 'retry') return
        awaited.get(delivery.envelope.id)?.(
          args[0] === 'ack'
            ? { status: 'accepted' }
            : { status: 'failed', error: createError({ code: 'UNPROCESSABLE' }) },
        )
      },
    })
    void Promise.resolve(frozen).then(() => sink(seen))
  }

  const open = (leaseMs: number | undefined): MessageTransport => {
    let inner = memoryTransport({ broker, leaseMs })
    let at = broker
    let closed = false
    // Whoever waits for an answer, and what a close tells them.
    const waiting = new Set<() => void>()
    const current = (): MessageTransport => {
      if (at !== broker && !closed) {
        at = broker
        inner = memoryTransport({ broker, leaseMs })
      }
      return inner
    }
    const silence = (context: CallContext, envelopes: readonly Envelope[]): Promise<readonly SendResult[]> =>
      new Promise((resolve) => {
        if (faults.hangs === true) return
        const answer = (error: Error) => (): void => resolve(envelopes.map(() => ({ status: 'failed', error })))
        clock.setTimer(
          answer(createError({ code: 'DEADLINE_EXCEEDED' })),
          Math.max(0, context.deadline.remainingMs()),
          undefined,
        )
        waiting.add(answer(createError({ code: 'SHUTDOWN', effect: 'unknown' })))
      })
    const capabilities: TransportCapabilities = {
      ...inner.capabilities,
      ...(faults.handled === undefined
        ? { persistent: true, acknowledged: 'disk' }
        : {
            acknowledged: 'handled',
            durableSubscriptions: false,
            replay: false,
            waiting: 'leased',
            extend: false,
            priority: false,
            unroutable: 'silent',
          }),
      ...faults.capabilities,
    }
    return {
      name: 'remote',
      capabilities,
      deadLetters: inner.deadLetters,
      prepare: (channels, mode) => current().prepare(channels, mode),
      inspect: (from, minPriority) =>
        (current().inspect as NonNullable<MessageTransport['inspect']>)(from, minPriority),
      async send(channel, envelopes, context) {
        if (!up && !closed) return envelopes.map(() => ({ status: 'failed', error: down() }))
        if (frozen !== undefined && !closed) return silence(context, envelopes)
        if (faults.handled !== true) return current().send(channel, envelopes, context)
        const answers = envelopes.map(
          ({ id }) =>
            new Promise<SendResult>((resolve) => {
              awaited.set(id, resolve)
              waiting.add(() =>
                resolve({ status: 'failed', error: createError({ code: 'SHUTDOWN', effect: 'unknown' }) }),
              )
            }),
        )
        const verdicts = await current().send(channel, envelopes, context)
        return Promise.all(verdicts.map((verdict, index) => (verdict.status === 'failed' ? verdict : answers[index]!)))
      },
      async receive(from, sink): Promise<Receiver> {
        if (!up && !closed) throw down()
        if (!capabilities.replay && from.from !== undefined && from.from !== 'latest')
          throw createError({ code: 'CAPABILITY_MISSING', message: 'it keeps nothing to start from' })
        return current().receive(from, handing(sink))
      },
      async close() {
        closed = true
        await inner.close()
        for (const tell of waiting) tell()
      },
    }
  }

  const stop = async (): Promise<() => Promise<void>> => {
    up = false
    broker.cut()
    return async () => {
      up = true
    }
  }
  return {
    open: ({ leaseMs } = {}) => open(leaseMs),
    clock,
    pass: (ms) => clock.advance(ms),
    leaseMs: 1_000,
    heavy: 500,
    patienceMs: 300,
    ...(offers.includes('stop') ? { stop } : {}),
    ...(offers.includes('restart')
      ? {
          async restart() {
            const start = await stop()
            if (faults.forgets === true) broker = memoryBroker({ clock })
            await start()
          },
        }
      : {}),
    ...(offers.includes('cut') ? { cut: async () => broker.cut() } : {}),
    ...(offers.includes('freeze')
      ? {
          async freeze() {
            let thaw = (): void => {}
            frozen = new Promise((resolve) => {
              thaw = resolve
            })
            return async () => {
              frozen = undefined
              thaw()
            }
          },
        }
      : {}),
    async close() {},
  }
}
