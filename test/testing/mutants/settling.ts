// Transports that are careless with the right to settle, with counts, leases and dead letters.

import { createContext } from '../../../src/core/context.ts'
import type { Delivery } from '../../../src/core/contracts/transport.ts'
import { isFairleadError } from '../../../src/errors/base.ts'
import { createError } from '../../../src/errors/index.ts'
import { deliveries, type Mutant, overDelivery } from './kit.ts'

const { context } = createContext({
  service: 'mutant',
  operation: 'send',
  deadline: { at: Infinity, remainingMs: () => Infinity },
  idempotent: true,
})
const nothing = (): void => undefined

export const settlingMutants: readonly Mutant[] = [
  {
    what: 'acknowledges when it hands out',
    caught: 'queue: hands out again what was given back, and counts how often',
    make: deliveries((delivery) => {
      void delivery.settle('ack')
      return { settle: async () => undefined }
    }),
  },
  {
    what: 'forgets acknowledgements',
    caught: 'queue: does not hand out again what was acknowledged',
    also: [
      'queue: does not take what is settled in time',
      'queue: knows after a close what was settled before it',
      'topic: lets members of a group take over from each other',
    ],
    make: deliveries((delivery) => ({
      settle: async (verdict, options) => (verdict === 'ack' ? undefined : delivery.settle(verdict, options)),
    })),
  },
  {
    // What was not acknowledged has to come again.
    what: 'refuses an acknowledgement, and forgets the message',
    caught: 'queue: goes on with another receiver when one closes in mid-stream',
    also: ['queue: loses nothing when many receivers close at once in mid-stream'],
    make: () => {
      let count = 0
      return deliveries((delivery) => ({
        settle: async (verdict, options) => {
          await delivery.settle(verdict, options)
          if (verdict === 'ack' && ++count === 5) throw createError({ code: 'CONNECTION_LOST', effect: 'none' })
        },
      }))()
    },
  },
  {
    what: 'loses what is given back',
    caught: 'queue: hands out again what was given back, and counts how often',
    also: ['queue: goes on after failures of handlers'],
    make: deliveries((delivery) => ({
      settle: (verdict, options) => delivery.settle(verdict === 'retry' ? 'ack' : verdict, options),
    })),
  },
  {
    what: 'gives back by sending anew, behind the others of the key',
    caught: 'queue: hands out a message given back before later ones of its key',
    make: () => (real) => ({
      receive: (from, sink) =>
        real.receive(from, (delivery) =>
          sink(
            overDelivery(delivery, {
              settle: async (verdict, options) => {
                if (verdict === 'retry') await real.send(from.channel, [delivery.envelope], context)
                await delivery.settle(verdict === 'retry' ? 'ack' : verdict, options)
              },
            }),
          ),
        ),
    }),
  },
  {
    what: 'forgets how often a message was handed out',
    caught: 'queue: hands out again what was given back, and counts how often',
    make: deliveries(() => ({ redeliveries: 0 })),
  },
  {
    what: 'counts from one',
    caught: 'queue: counts each message by itself',
    make: deliveries(({ redeliveries = 0 }) => ({ redeliveries: redeliveries + 1 })),
  },
  {
    what: 'counts for each process by itself',
    caught: 'queue: gives a message of a key back to another process with its count',
    also: ['queue: counts what a receiver gave back by closing'],
    make: () => (real) => {
      const seen = new Map<string, number>()
      return {
        receive: (from, sink) =>
          real.receive(from, (delivery) => {
            const { id } = delivery.envelope
            const redeliveries = seen.get(id) ?? 0
            seen.set(id, redeliveries + 1)
            sink(overDelivery(delivery, { redeliveries }))
          }),
      }
    },
  },
  {
    what: 'lets the last verdict stand',
    caught: 'queue: lets the first verdict stand when a delivery is settled twice',
    make: () => (real) => ({
      receive: (from, sink) =>
        real.receive(from, (delivery) => {
          let times = 0
          sink(
            overDelivery(delivery, {
              settle: async (verdict, options) => {
                if (++times > 1 && verdict === 'retry') await real.send(from.channel, [delivery.envelope], context)
                await delivery.settle(verdict, options)
              },
            }),
          )
        }),
    }),
  },
  {
    what: 'refuses to settle a second time',
    caught: 'queue: lets the first verdict stand when a delivery is settled twice',
    make: deliveries((delivery) => {
      let times = 0
      return {
        settle: async (verdict, options) => {
          if (++times > 1) throw new Error('it is settled')
          await delivery.settle(verdict, options)
        },
      }
    }),
  },
  {
    what: 'lets one settle what was lost',
    caught: 'queue: refuses to settle what a closed receiver has given back, and says so to its holder',
    make: deliveries((delivery) => ({
      settle: (verdict, options) =>
        delivery.settle(verdict, options).catch((error) => {
          if (!isFairleadError(error) || error.code !== 'LEASE_LOST') throw error
        }),
    })),
  },
  {
    what: 'says nothing of a loss',
    caught: 'queue: takes a message from a holder whose lease is over, tells it once, and hands it to another',
    make: deliveries(() => ({ onLost: () => nothing })),
  },
  {
    what: 'tells a loss twice',
    caught: 'queue: takes a message from a holder whose lease is over, tells it once, and hands it to another',
    make: deliveries((delivery) => ({
      onLost: (listener) =>
        delivery.onLost(() => {
          listener()
          listener()
        }),
    })),
  },
  {
    what: 'has leases that never end',
    caught: 'queue: takes a message from a holder whose lease is over, tells it once, and hands it to another',
    transport: { leaseMs: 1_000_000_000 },
  },
  {
    what: 'has leases that end at half time',
    caught: 'queue: takes a message from a holder whose lease is over, tells it once, and hands it to another',
    transport: { leaseMs: 450 },
  },
  {
    what: 'says that its leases last three times as long as they do',
    caught: 'queue: takes a message from a holder whose lease is over, tells it once, and hands it to another',
    make: deliveries(({ leaseMs = 0 }) => ({ leaseMs: 3 * leaseMs })),
  },
  {
    what: 'takes a right for ten times as long as it is extended',
    caught: 'queue: keeps a right for as long as it was extended, and no longer',
    make: deliveries((delivery) => ({ extend: async (ms) => await delivery.extend?.(10 * ms) })),
  },
  {
    what: 'takes a right for twice as long as it is extended',
    caught: 'queue: keeps a right for as long as it was extended, and no longer',
    make: deliveries((delivery) => ({ extend: async (ms) => await delivery.extend?.(2 * ms) })),
  },
  {
    what: 'extends by its lease, whatever it is given',
    caught: 'topic: keeps a right for as long as it was extended, and no longer',
    make: deliveries((delivery) => ({ extend: async () => await delivery.extend?.(1_000) })),
  },
  {
    what: 'ignores extend()',
    caught: 'queue: lets a holder keep its right by extending it',
    make: deliveries(() => ({ extend: async () => undefined })),
  },
  {
    what: 'ignores the delay of a retry',
    caught: 'queue: hands out what was given back for later not before its time, and others meanwhile',
    also: ['queue: knows what waits for its time also when the receiver that gave it back is gone'],
    make: deliveries((delivery) => ({
      settle: (verdict, options) => delivery.settle(verdict, { ...options, delayMs: 0 }),
    })),
  },
  {
    what: 'delays for as long as it can, and not a word of it',
    caught: 'refuses to give back for later than it can delay, and leaves it with its holder',
    make: deliveries((delivery) => ({
      settle: (verdict, options) =>
        delivery.settle(verdict, { ...options, delayMs: Math.min(options?.delayMs ?? 0, 2 ** 31 - 1) }),
    })),
  },
  {
    what: 'lets later ones of a key pass its delayed message',
    caught: 'queue: lets a key wait behind its delayed message, and no other key',
    make: deliveries((delivery) => ({
      settle: (verdict, options) => delivery.settle(verdict, { ...options, overtake: true }),
    })),
  },
  {
    what: 'never lets anything overtake',
    caught: 'queue: lets later ones of the key pass a message that was given back to be overtaken',
    make: deliveries((delivery) => ({
      settle: (verdict, options) => delivery.settle(verdict, { ...options, overtake: false }),
    })),
  },
  {
    what: 'drops what is given up',
    caught: 'queue: keeps what was given up, with its content, its reason and its time',
    also: ['topic: gives a message up for one group only'],
    make: deliveries((delivery) => ({
      settle: (verdict, options) => delivery.settle(verdict === 'dead' ? 'ack' : verdict, options),
    })),
  },
  {
    what: 'tries what is given up again and again',
    caught: 'queue: lets good messages through a flood of 500 bad ones',
    make: deliveries((delivery) => ({
      settle: (verdict, options) => delivery.settle(verdict === 'dead' ? 'retry' : verdict, options),
    })),
  },
  {
    what: 'forgets why a message was given up',
    caught: 'topic: keeps what was given up, with its content, its reason and its time',
    make: deliveries((delivery) => ({ settle: (verdict) => delivery.settle(verdict) })),
  },
  {
    what: 'lists dead letters without regard to the limit',
    caught: 'queue: lists dead letters oldest first, as many as were asked for',
    make: () => (real) => ({
      deadLetters: {
        list: (channel) => real.deadLetters?.list(channel, { limit: 1_000 }) ?? none(),
        redrive: async (channel, ids) => (await real.deadLetters?.redrive(channel, ids)) ?? 0,
      },
    }),
  },
  {
    what: 'loses what is put back',
    caught: 'queue: puts dead letters back by id, and all, as if they had never been handed out',
    make: () => {
      let lost = 0
      return (real) => ({
        deadLetters: {
          list: (channel, options) => real.deadLetters?.list(channel, options) ?? none(),
          redrive: async (channel, ids) => {
            const count = (await real.deadLetters?.redrive(channel, ids)) ?? 0
            lost += count
            return count
          },
        },
        receive: (from, sink) =>
          real.receive(from, (delivery) => {
            if (lost === 0) return sink(delivery)
            lost--
            void delivery.settle('ack')
          }),
      })
    },
  },
  {
    what: 'puts everything back, whichever ids were given',
    caught: 'topic: puts dead letters back by id, and all, as if they had never been handed out',
    make: () => (real) => ({
      deadLetters: {
        list: (channel, options) => real.deadLetters?.list(channel, options) ?? none(),
        redrive: async (channel) => (await real.deadLetters?.redrive(channel, 'all')) ?? 0,
      },
    }),
  },
  {
    what: 'goes on counting after a message was put back',
    caught: 'queue: puts dead letters back by id, and all, as if they had never been handed out',
    make: () => {
      const times = new Map<string, number>()
      const count = ({ envelope: { id } }: Delivery): number => {
        const before = times.get(id) ?? 0
        times.set(id, before + 1)
        return before
      }
      return (real) => ({
        receive: (from, sink) =>
          real.receive(from, (delivery) => sink(overDelivery(delivery, { redeliveries: count(delivery) }))),
      })
    },
  },
]

async function* none(): AsyncGenerator<never> {}
