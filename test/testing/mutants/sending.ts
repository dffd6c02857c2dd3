// Transports that send, subscribe and count wrongly, or promise what they do not keep.

import { createContext } from '../../../src/core/context.ts'
import type { SendResult } from '../../../src/core/contracts/transport.ts'
import { deliveries, type Mutant, overReceiver } from './kit.ts'

const { context: endless } = createContext({
  service: 'mutant',
  operation: 'send',
  deadline: { at: Infinity, remainingMs: () => Infinity },
  idempotent: true,
})

export const sendingMutants: readonly Mutant[] = [
  {
    what: 'gives verdicts in another order',
    caught: 'queue: fails those of a key that stand behind a failed one of the same call, and no others',
    make: () => (real) => ({
      send: async (...args) => (await real.send(...args)).toReversed(),
    }),
  },
  {
    what: 'fails the whole call for one message',
    caught: 'queue: refuses one byte more before sending, and sends the others of the call',
    make: () => (real) => ({
      send: async (...args) => {
        const results = await real.send(...args)
        const failed = results.find(({ status }) => status === 'failed')
        return failed === undefined ? results : results.map((): SendResult => failed)
      },
    }),
  },
  {
    what: 'sends what is too large',
    caught: 'queue: refuses one byte more before sending, and sends the others of the call',
    transport: { maxPayloadBytes: 1_000_000_000 },
    claims: { maxPayloadBytes: 1_048_576 },
  },
  {
    what: 'refuses what is just small enough',
    caught: 'queue: takes a message of exactly the largest size',
    transport: { maxPayloadBytes: 1_048_575 },
    claims: { maxPayloadBytes: 1_048_576 },
  },
  {
    what: 'sends those of a key behind a failed one',
    caught: 'queue: fails those of a key that stand behind a failed one of the same call, and no others',
    make: () => (real) => ({
      send: async (channel, envelopes, context) => {
        const results: SendResult[] = []
        for (const each of envelopes) results.push(...(await real.send(channel, [each], context)))
        return results
      },
    }),
  },
  {
    what: 'sends after the deadline',
    caught: 'does not send what comes after its deadline or after its call was aborted',
    make: () => (real) => ({
      send: (channel, envelopes) => real.send(channel, envelopes, endless),
    }),
  },
  {
    what: 'sends after it was closed',
    caught: 'queue: refuses everything after it was closed, and sends nothing',
    make: () => (real) => {
      let closed = false
      return {
        close: async () => {
          closed = true
        },
        receive: (from, sink) =>
          closed ? real.close().then(() => real.receive(from, sink)) : real.receive(from, sink),
      }
    },
  },
  {
    what: 'throws instead of answering',
    caught: 'queue: refuses everything after it was closed, and sends nothing',
    make: () => (real) => ({
      send: async (...args) => {
        const results = await real.send(...args)
        for (const each of results) if (each.status === 'failed') throw each.error
        return results
      },
    }),
  },
  {
    what: 'loses silently what has no place, and says that it would know',
    caught: 'queue: refuses what goes to a channel that is not there',
    claims: { unroutable: 'detected' },
  },
  {
    what: 'needs channels to be made, and says that it does not',
    caught: 'queue: makes a channel with the first message to it',
    broker: { autoCreate: false },
    claims: { unroutable: 'impossible' },
  },
  {
    what: 'finds every channel when asked whether it is there',
    caught: 'queue: makes channels that are not there, leaves those that are, and names what is missing',
    broker: { autoCreate: false },
    make: () => (real) => ({
      prepare: async (channels, mode) => (mode === 'check' ? undefined : real.prepare(channels, mode)),
    }),
  },
  {
    what: 'knows no duplicates, and says that it does',
    caught: 'queue: answers a second send of an id within the window with duplicate, and hands it out once',
    claims: { dedupeWindowMs: 60_000 },
  },
  {
    what: 'drops duplicates without a word',
    caught: 'queue: takes a message twice that was sent twice, where it does not know duplicates',
    broker: { dedupeWindowMs: 60_000 },
    claims: { dedupeWindowMs: 0 },
  },
  {
    what: 'never forgets an id',
    caught: 'topic: answers a second send of an id within the window with duplicate, and hands it out once',
    broker: { dedupeWindowMs: 1_000_000_000 },
    claims: { dedupeWindowMs: 60_000 },
  },
  {
    what: 'knows an id again on whatever channel',
    caught: 'queue: takes an id on one channel for no duplicate of the same on another',
    claims: { dedupeWindowMs: 60_000 },
    make: () => {
      const seen = new Set<string>()
      return (real) => ({
        send: async (channel, envelopes, context) => {
          const fresh = envelopes.map(({ id }) => !seen.has(id) && seen.add(id) !== undefined)
          const sent = await real.send(
            channel,
            envelopes.filter((_, at) => fresh[at]),
            context,
          )
          let next = 0
          return fresh.map((is): SendResult => (is ? (sent[next++] as SendResult) : { status: 'duplicate' }))
        },
      })
    },
  },
  {
    what: 'delays for as long as one likes, and says that there is a bound',
    caught: 'refuses what it cannot delay for so long',
    claims: { maxDelayMs: 3_600_000 },
  },
  {
    what: 'takes all groups for one',
    caught: 'topic: gives each group every message, and each member of a group its part',
    also: ['topic: settles a message for one group only'],
    make: () => (real) => ({
      prepare: (channels, mode) =>
        real.prepare(
          channels.map((each) => (each.group === undefined ? each : { ...each, group: 'one' })),
          mode,
        ),
      receive: (from, sink) => real.receive(from.group === undefined ? from : { ...from, group: 'one' }, sink),
    }),
  },
  {
    what: 'gives each member of a group every message',
    caught: 'topic: gives each group every message, and each member of a group its part',
    make: () => (real) => ({
      receive: ({ group: _, ...from }, sink) => real.receive(from, sink),
    }),
  },
  {
    what: 'keeps nothing for a group that is away',
    caught: 'topic: keeps for a group that is away what is sent meanwhile',
    make: () => {
      let made = 0
      return (real) => ({
        receive: (from, sink) =>
          real.receive(from.group === undefined ? from : { ...from, group: `${from.group} ${++made}` }, sink),
      })
    },
  },
  {
    what: 'gives a live subscriber what was sent before',
    caught: 'topic: gives a live subscriber what is sent while it is there, and each of them all',
    make: () => (real) => ({
      receive: (from, sink) =>
        real.receive(
          from.channel.kind === 'topic' && from.group === undefined && from.temporary !== true
            ? { ...from, from: from.from ?? 'earliest' }
            : from,
          sink,
        ),
    }),
  },
  {
    what: 'starts a new group with what was sent before',
    caught: 'topic: starts a new group with what is sent after it was made',
    make: () => (real) => ({
      receive: (from, sink) =>
        real.receive(from.group === undefined ? from : { ...from, from: from.from ?? 'earliest' }, sink),
    }),
  },
  {
    what: 'starts every new group with what comes next',
    caught: 'topic: lets a new group start with the earliest message that is kept',
    make: () => (real) => ({ receive: ({ from: _, ...from }, sink) => real.receive(from, sink) }),
  },
  {
    what: 'starts every new group at the beginning, wherever it is asked to',
    caught: 'topic: lets a new group start at a time',
    also: ['topic: lets a new group start with the latest'],
    make: () => (real) => ({
      receive: (from, sink) => real.receive(from.from === undefined ? from : { ...from, from: 'earliest' }, sink),
    }),
  },
  {
    what: 'begins with the message that stands at the position',
    caught: 'topic: lets a new group start after positions that another has seen',
    make: deliveries(({ position }) => ({
      position: position === undefined ? position : String(Number(position) - 1),
    })),
  },
  {
    what: 'keeps what was sent for later only while somebody receives',
    caught: 'queue: keeps what was sent for later while nobody receives',
    make: () => {
      let open = 0
      return (real) => ({
        send: async (channel, envelopes, context) => {
          const results = await real.send(
            channel,
            envelopes.filter(({ notBefore }) => notBefore === undefined || open > 0),
            context,
          )
          return envelopes.map((_, index) => results[index] ?? { status: 'accepted' })
        },
        async receive(from, sink) {
          open++
          const receiver = await real.receive(from, sink)
          void receiver.ended.finally(() => open--)
          return receiver
        },
      })
    },
  },
  {
    what: 'has private places that are not private',
    caught: 'makes a private place for a receiver, which goes away with it',
    make: () => (real) => ({
      receive: ({ temporary: _, ...from }, sink) => real.receive(from, sink),
    }),
  },
  {
    what: 'never removes a private place',
    caught: 'makes a private place for a receiver, which goes away with it',
    broker: { autoCreate: false },
    make: () => (real) => ({
      async receive(from, sink) {
        const receiver = await real.receive(from, sink)
        return from.temporary === true ? overReceiver(receiver, { close: () => receiver.stop() }) : receiver
      },
    }),
  },
  {
    what: 'counts what is held as waiting',
    caught: 'queue: counts what waits, without what is held',
    make: () => {
      let held = 0
      return (real) => ({
        receive: (from, sink) =>
          real.receive(from, (delivery) => {
            held++
            sink(delivery)
          }),
        inspect: async (from, minPriority) => {
          const backlog = await real.inspect?.(from, minPriority)
          return { ...backlog, waiting: (backlog?.waiting ?? 0) + held }
        },
      })
    },
  },
  {
    what: 'counts all priorities, whichever was asked for',
    caught: 'queue: counts by priority',
    make: () => (real) => ({ inspect: async (from) => (await real.inspect?.(from)) ?? { waiting: 0 } }),
  },
  {
    what: 'counts what waits for its time',
    caught: 'queue: does not count what waits for its time',
    make: () => {
      let later = 0
      return (real) => ({
        send: (channel, envelopes, context) => {
          later += envelopes.filter(({ notBefore }) => notBefore !== undefined).length
          return real.send(channel, envelopes, context)
        },
        inspect: async (from, minPriority) => {
          const backlog = await real.inspect?.(from, minPriority)
          return { ...backlog, waiting: (backlog?.waiting ?? 0) + later }
        },
      })
    },
  },
]
