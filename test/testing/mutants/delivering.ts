// Transports that hand out wrongly: too much, too early, too late, in the wrong order, to the wrong one.

import { sleep } from '../../../src/core/clock.ts'
import type { Delivery } from '../../../src/core/contracts/transport.ts'
import type { Envelope } from '../../../src/core/message.ts'
import { createError } from '../../../src/errors/index.ts'
import { deliveries, type Mutant, overDelivery, overReceiver, receivers } from './kit.ts'

const text = (body: Uint8Array): Uint8Array => new TextEncoder().encode(new TextDecoder().decode(body))

/** Leaves a field out on the way in and puts it back on the way out: the broker knows nothing of it. */
const hidden =
  (field: 'key' | 'priority' | 'notBefore'): NonNullable<Mutant['make']> =>
  () => {
    const kept = new Map<string, Envelope>()
    return (real) => ({
      send: (channel, envelopes, context) => {
        for (const each of envelopes) kept.set(each.id, each)
        return real.send(
          channel,
          envelopes.map((each) => ({ ...each, [field]: undefined })),
          context,
        )
      },
      receive: (from, sink) =>
        real.receive(from, (delivery) =>
          sink(overDelivery(delivery, { envelope: kept.get(delivery.envelope.id) ?? delivery.envelope })),
        ),
    })
  }

// A delivery out of nowhere.
const made: Delivery = {
  envelope: { id: 'made up', attributes: {}, headers: {}, body: new Uint8Array(0) },
  onLost: () => () => undefined,
  settle: async () => undefined,
}

export const deliveringMutants: readonly Mutant[] = [
  {
    what: 'keeps a group that was dropped',
    caught: 'topic: drops a group with what waits for it, and no other',
    make: () => () => ({ dropGroup: async () => undefined }),
  },
  {
    what: 'keeps for a group that was dropped what had waited for it',
    caught: 'topic: drops a group with what waits for it, and no other',
    make: () => {
      const dropped = new Set<string | undefined>()
      return (real) => ({
        dropGroup: async ({ group }) => void dropped.add(group),
        prepare: async (channels, mode) => {
          if (mode === 'check' && channels.some(({ group }) => dropped.has(group)))
            throw createError({ code: 'CHANNEL_NOT_FOUND' })
          await real.prepare(channels, mode)
        },
      })
    },
  },
  {
    what: 'drops all groups with one',
    caught: 'topic: drops a group with what waits for it, and no other',
    make: () => (real) => ({
      dropGroup: async (place) => {
        for (const group of ['used', 'left']) await real.dropGroup?.({ ...place, group })
      },
    }),
  },
  {
    what: 'loses one message in fifty',
    caught: 'queue: shares many messages among 50 receivers, each to one of them',
    also: [
      'queue: answers every send that was under way when it is closed, and keeps what it accepted',
      'queue: answers with one verdict for each message, in order',
      'topic: takes 1,000 messages in one call',
    ],
    make: () => {
      let count = 0
      return (real) => ({
        receive: (from, sink) =>
          real.receive(from, (delivery) => (++count % 50 === 0 ? void delivery.settle('ack') : sink(delivery))),
      })
    },
  },
  {
    what: 'hands a message out twice',
    caught: 'queue: shares many messages among 50 receivers, each to one of them',
    make: () => {
      let count = 0
      return (real) => ({
        receive: (from, sink) =>
          real.receive(from, (delivery) => {
            sink(delivery)
            if (++count === 50) sink(overDelivery(delivery, {}))
          }),
      })
    },
  },
  {
    what: 'takes every body for text',
    caught: 'queue: hands out 100 messages as they were sent: body, attributes, headers, key, instants',
    make: deliveries(({ envelope }) => ({ envelope: { ...envelope, body: text(envelope.body) } })),
  },
  {
    what: 'drops headers',
    caught: 'topic: hands out 100 messages as they were sent: body, attributes, headers, key, instants',
    make: deliveries(({ envelope }) => ({ envelope: { ...envelope, headers: {} } })),
  },
  {
    what: 'mixes channels up whose names differ by digits only',
    caught: 'queue: keeps 20 channels apart',
    make: () => (real) => {
      const short = (name: string): string => name.replaceAll(/\d/g, '')
      return {
        prepare: (channels, mode) =>
          real.prepare(
            channels.map((each) => ({ ...each, name: short(each.name) })),
            mode,
          ),
        send: (channel, envelopes, context) => real.send({ ...channel, name: short(channel.name) }, envelopes, context),
        receive: (from, sink) =>
          real.receive({ ...from, channel: { ...from.channel, name: short(from.channel.name) } }, sink),
      }
    },
  },
  {
    what: 'turns round the order of a call',
    caught: 'queue: keeps the order of each key among competing receivers',
    also: ['queue: goes on with a key whose message was given up'],
    make: () => (real) => ({
      send: async (channel, envelopes, context) =>
        (await real.send(channel, envelopes.toReversed(), context)).toReversed(),
    }),
  },
  {
    what: 'knows nothing of keys',
    caught: 'queue: hands out later messages of a held key to its holder only',
    also: [
      'queue: keeps for a holder what it gave back while it holds others of the key',
      'queue: keeps the order of a key when its holder loses its lease',
      'queue: keeps the order of a key when its holder closes',
    ],
    make: hidden('key'),
  },
  {
    what: 'knows nothing of priorities',
    caught: 'queue: hands out higher priorities first, and in the order of sending within one',
    also: ['queue: lets one with a higher priority pass those that wait, also of its key'],
    make: hidden('priority'),
  },
  {
    what: 'knows nothing of notBefore',
    caught: 'queue: hands out what was sent for later not before its time',
    make: hidden('notBefore'),
  },
  {
    what: 'hands out more than was asked for',
    caught: 'queue: hands out as many as were asked for, and no more',
    also: ['queue: asks no more of a receiver that has had enough, and gives others the rest'],
    make: receivers((receiver) => ({ request: (count) => receiver.request(count > 0 ? count + 1 : 0) })),
  },
  {
    what: 'fetches ahead without a bound',
    caught: 'topic: holds back a great many messages from a slow consumer',
    also: [
      'queue: gives receivers that have room for it their part',
      'queue: does not lose what was given back to a receiver without room',
    ],
    make: receivers((receiver) => ({ request: (count) => receiver.request(count > 0 ? 10_000 : 0) })),
  },
  {
    what: 'takes a settled delivery as leave to hand out another',
    caught: 'queue: does not take what is held as room for more',
    make: () => (real) => ({
      async receive(from, sink) {
        const receiver = await real.receive(from, (delivery) =>
          sink(
            overDelivery(delivery, {
              settle: async (verdict, options) => {
                await delivery.settle(verdict, options)
                receiver.request(1)
              },
            }),
          ),
        )
        return receiver
      },
    }),
  },
  {
    what: 'calls the sink from within request()',
    caught: 'queue: hands out as many as were asked for, and no more',
    make: () => (real) => ({
      async receive(from, sink) {
        const ahead: Delivery[] = []
        let credit = 0
        const serve = (): void => {
          for (let next = ahead[0]; credit > 0 && next !== undefined; next = ahead[0]) {
            ahead.shift()
            credit--
            sink(next)
          }
        }
        const receiver = await real.receive(from, (delivery) => {
          ahead.push(delivery)
          serve()
        })
        receiver.request(5)
        return overReceiver(receiver, {
          request: (count) => {
            credit += count
            receiver.request(count)
            serve()
          },
        })
      },
    }),
  },
  {
    what: 'goes on after stop()',
    caught: 'queue: hands nothing out once stop() has resolved, in mid-stream',
    also: ['queue: lets what was handed out before stop() be settled after it'],
    make: receivers(() => ({ stop: async () => undefined })),
  },
  {
    what: 'hands out after stop() what it had fetched before',
    caught: 'queue: hands nothing out once stop() has resolved, in mid-stream',
    make: () => (real) => ({
      receive: (from, sink) => real.receive(from, (delivery) => void setImmediate(() => setImmediate(sink, delivery))),
    }),
  },
  {
    what: 'leaves its receivers open when it is closed',
    caught: 'queue: closes its receivers when it is closed, while they hold something',
    also: ['queue: is closed while it subscribes, sends and stops'],
    make: () => () => ({ close: async () => undefined }),
  },
  {
    what: 'cannot be closed twice',
    caught: 'closes before anything was done, and twice',
    make: () => (real) => {
      let closed = false
      return {
        close: async () => {
          if (closed) throw new Error('it is closed')
          closed = true
          await real.close()
        },
      }
    },
  },
  {
    what: 'has nothing to do at a second close, though the first is under way',
    caught: 'queue: ends a second close with the first, not before it',
    make: (clock) => (real) => {
      let closed = false
      let busy = false
      return {
        receive: (from, sink) => {
          busy = true
          return real.receive(from, sink)
        },
        close: async () => {
          if (closed) return
          closed = true
          if (busy) await sleep(clock, 50)
          await real.close()
        },
      }
    },
  },
  {
    what: 'hands out to whoever asked for nothing, and keeps to itself what a sink throws',
    caught: 'queue: is closed while it subscribes, sends and stops',
    make: () => (real) => ({
      receive: (from, sink) => {
        try {
          sink(made)
        } catch {
          // That is what is wrong with it.
        }
        return real.receive(from, sink)
      },
    }),
  },
  {
    what: 'hands out what is no delivery, and keeps to itself what a sink throws',
    caught: 'queue: keeps 20 channels apart',
    make: () => (real) => ({
      receive: (from, sink) =>
        real.receive(from, (delivery) => {
          try {
            sink(overDelivery(delivery, { onLost: undefined as never }))
          } catch {
            // That is what is wrong with it.
          }
        }),
    }),
  },
  {
    what: 'takes the right to settle away at stop()',
    caught: 'queue: lets what was handed out before stop() be settled after it',
    make: receivers((receiver) => ({ stop: () => receiver.close() })),
  },
  {
    what: 'never says that a closed receiver has ended',
    caught: 'queue: closes an idle receiver, twice, and says that it has ended',
    make: receivers(() => ({ ended: new Promise(() => undefined) })),
  },
  {
    what: 'drops what a closed receiver held',
    caught: 'queue: gives back what a closed receiver had not settled',
    also: [
      'queue: loses nothing when many receivers close at once in mid-stream',
      'queue: gives the work of a closed receiver to the others',
      'queue: goes on with another receiver when one closes in mid-stream',
      'queue: starts again after a close with what was left, five times, and loses nothing',
    ],
    make: () => (real) => ({
      async receive(from, sink) {
        const held: Delivery[] = []
        const receiver = await real.receive(from, (delivery) => {
          held.push(delivery)
          sink(delivery)
        })
        return overReceiver(receiver, {
          close: async () => {
            for (const each of held) await each.settle('ack').catch(() => undefined)
            await receiver.close()
          },
        })
      },
    }),
  },
  {
    what: 'keeps what a closed receiver held until the lease is over',
    caught: 'queue: gives back what a closed receiver had not settled',
    make: receivers((receiver) => ({ close: () => receiver.stop() })),
  },
]
