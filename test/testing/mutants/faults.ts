// Transports that take it badly when their broker goes away, and descriptors that promise what is not kept.
import { sleep } from '../../../src/core/clock.ts'
import type { Receiver } from '../../../src/core/contracts/transport.ts'
import { isFairleadError } from '../../../src/errors/base.ts'
import { deliveries, type Mutant, overReceiver, receivers } from './kit.ts'

const codeOf = (error: unknown): string => (isFairleadError(error) ? error.code : '')

export const faultMutants: readonly Mutant[] = [
  {
    what: 'says nothing when its connection is cut',
    caught: 'queue: recovers when connections are cut in mid-stream',
    also: ['queue: keeps the order of each key when connections are cut'],
    make: receivers((receiver) => ({ ended: receiver.ended.catch(() => new Promise<void>(() => undefined)) })),
  },
  {
    what: 'ends with an error that nobody classified',
    caught: 'topic: recovers when connections are cut in mid-stream',
    make: receivers((receiver) => ({
      ended: receiver.ended.catch(() => {
        throw new Error('socket hang up')
      }),
    })),
  },
  {
    what: 'waits for ever for an answer',
    caught: 'queue: recovers from a connection that fell silent, and answers sends within their deadline',
    make: () => (real) => ({
      send: async (...args) => {
        const results = await real.send(...args)
        const lost = results.some((each) => each.status === 'failed' && codeOf(each.error) === 'TIMED_OUT')
        return lost ? await new Promise<never>(() => undefined) : results
      },
    }),
  },
  {
    what: 'throws what it was thrown by its client while the broker is stopped',
    caught: 'queue: says what is wrong while the broker is stopped, and goes on after it',
    make: () => (real) => ({
      receive: (from, sink) =>
        real.receive(from, sink).catch((error) => {
          throw new Error(String(error))
        }),
    }),
  },
  {
    what: 'says that it sent what a stopped broker never got',
    caught: 'queue: says what is wrong while the broker is stopped, and goes on after it',
    make: () => (real) => ({
      send: async (...args) =>
        (await real.send(...args)).map((each) =>
          each.status === 'failed' && codeOf(each.error) === 'CONNECTION_REFUSED' ? { status: 'accepted' } : each,
        ),
    }),
  },
  {
    what: 'mends its connection by itself, and is silent for good after one poll in vain',
    caught: 'queue: says what is wrong while the broker is stopped, and goes on after it',
    make: (clock) => (real) => ({
      async receive(from, sink) {
        let credit = 0
        let inner: Receiver | undefined
        const connect = async (): Promise<Receiver> => {
          const receiver = await real.receive(from, (delivery) => {
            credit--
            sink(delivery)
          })
          inner = receiver
          receiver.ended.catch(() => {
            inner = undefined
          })
          receiver.request(credit)
          return receiver
        }
        const first = await connect()
        const poll = async (): Promise<void> => {
          for (let going = true; going; ) {
            await sleep(clock, 1_000)
            if (inner === undefined) await connect().catch(() => (going = false))
          }
        }
        void poll()
        return overReceiver(first, {
          ended: first.ended.catch(() => new Promise<void>(() => undefined)),
          request: (count) => {
            credit += count
            inner?.request(count)
          },
          stop: async () => inner?.stop(),
          close: async () => inner?.close(),
        })
      },
    }),
  },
  {
    what: 'forgets what it was asked for when nothing answers for a while',
    caught: 'queue: recovers from a connection that fell silent, and answers sends within their deadline',
    make: (clock) => (real) => ({
      async receive(from, sink) {
        const receiver = await real.receive(from, sink)
        return overReceiver(receiver, {
          request: (count) => {
            const polled = real.prepare([from.channel], 'check').then(
              () => true,
              () => true,
            )
            const late = sleep(clock, 500).then(() => false)
            void Promise.race([polled, late]).then((answered) => answered && receiver.request(count))
          },
        })
      },
    }),
  },
  {
    what: 'waits at its close for every send, however long it has',
    caught: 'queue: closes while a send is under way in silence, and answers that send',
    make: () => (real) => {
      const sends = new Set<Promise<unknown>>()
      return {
        send: (...args) => {
          const work = real.send(...args)
          sends.add(work)
          return work
        },
        close: async () => {
          await Promise.all(sends)
          await real.close()
        },
      }
    },
  },
  {
    what: 'says that it settled what it could not tell a stopped broker',
    caught: 'queue: does not say that something is settled which a stopped broker could not be told',
    make: deliveries((delivery) => ({
      settle: (verdict, options) => delivery.settle(verdict, options).catch(() => undefined),
    })),
  },
  {
    what: 'does not let go of a broker that is stopped',
    caught: 'closes while the broker is stopped',
    make: () => {
      let ended = false
      return (real) => ({
        async receive(from, sink) {
          const receiver = await real.receive(from, sink)
          receiver.ended.catch(() => {
            ended = true
          })
          return receiver
        },
        close: () => (ended ? new Promise<never>(() => undefined) : real.close()),
      })
    },
  },
  {
    what: 'loses what waits when its broker restarts, and says that it does not',
    caught: 'queue: keeps what waits over a restart of the broker, with what is held',
    restart: 'loses',
    claims: { persistent: true },
  },
  {
    what: 'loses what is under way when its broker restarts, and says that it does not',
    caught: 'topic: loses nothing it accepted when the broker restarts in mid-stream',
    restart: 'loses',
    claims: { persistent: true },
  },
]

/** Transports that are right, but for what they say of themselves. */
export const promiseMutants: readonly Mutant[] = [
  {
    what: 'keeps the order of keys only, and says that it keeps that of the channel',
    caught: 'queue: keeps the order of the whole channel',
    claims: { order: 'channel' },
  },
  {
    what: 'answers a send at once, and says that a receiver has handled it',
    caught: 'answers a send once a receiver has handled the message, and not before',
    claims: { acknowledged: 'handled' },
  },
  {
    what: 'has private places, and says that it has none',
    caught: 'refuses a private place where it has none',
    claims: { temporary: false },
  },
  {
    what: 'has queues, and says that it has topics only',
    caught: 'refuses modes that it has not',
    claims: { modes: ['topic'] },
  },
  {
    what: 'replays, and says that it keeps nothing',
    caught: 'topic: refuses to start elsewhere than with the latest where it keeps nothing',
    claims: { replay: false },
  },
]

/** Descriptors that claim what no case has proven, and the claim that is left over. */
export const boasters: readonly (Mutant & { readonly unproven: string })[] = [
  { what: 'promises to survive a restart', caught: '', claims: { persistent: true }, unproven: 'persistent' },
  {
    what: 'promises that what it accepted is on disk',
    caught: '',
    claims: { acknowledged: 'disk' },
    unproven: 'acknowledged=disk',
  },
]
