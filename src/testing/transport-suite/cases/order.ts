// Messages of one key keep their order: among competing receivers, across retries, losses and closes.
import { inEachMode, type TransportCase } from '../case.ts'
import type { Collector, Reaction } from '../collector.ts'
import { acknowledged, demand, inOrderPerKey, oneHolderPerKey, same } from '../expect.ts'
import {
  blocks,
  competing,
  countsAtBroker,
  cut,
  delays,
  givesBack,
  independentKeys,
  keeps,
  leases,
  ordered,
  passes,
  that,
} from '../needs.ts'
import { type MessageSpec, texts } from '../workbench.ts'

const keyOf = ({ envelope }: { readonly envelope: { readonly key?: string | undefined } }): string | undefined =>
  envelope.key
const ofKey =
  (key: string, from = 0) =>
  (index: number): MessageSpec => ({ key, text: `${key}#${from + index}` })

// First deliveries in the order of their first occurrence.
const firsts = (all: readonly string[]): readonly string[] => [...new Set(all)]

export const orderCases: readonly TransportCase[] = [
  ...inEachMode(
    'keeps the order of each key among competing receivers',
    { proves: ['order=key'], needs: [ordered], timeoutMs: 60_000 },
    async (bench, mode) => {
      const [keys, each] = [10, 30]
      const place = await bench.place(mode)
      const sender = await bench.open()
      const collectors: Collector[] = []
      for (let number = 0; number < (bench.capabilities.competingConsumers ? 4 : 1); number++)
        collectors.push(
          await bench.collect(await bench.open(), place, {
            credit: 7,
            react: async (): Promise<Reaction> => {
              for (let turns = Math.floor(bench.random() * 4); turns > 0; turns--) await bench.turn()
              return 'ack'
            },
          }),
        )
      const sent = bench.messages(keys * each, (index) => ({
        key: `k${index % keys}`,
        text: `k${index % keys}#${Math.floor(index / keys)}`,
      }))
      for (let at = 0; at < sent.length; at += 25) await bench.send(sender, place.channel, sent.slice(at, at + 25))
      await bench.arrived(collectors, sent.length)
      inOrderPerKey(bench.log, keyOf)
      oneHolderPerKey(bench.log)
    },
  ),

  ...inEachMode(
    'keeps the order of the whole channel',
    {
      proves: ['order=channel'],
      needs: [that(({ order }) => order === 'channel', 'it keeps no order among keys')],
    },
    async (bench, mode) => {
      const place = await bench.place(mode)
      const sender = await bench.open()
      const collectors: Collector[] = []
      for (let number = 0; number < (bench.capabilities.competingConsumers ? 3 : 1); number++)
        collectors.push(
          await bench.collect(await bench.open(), place, {
            credit: 7,
            react: async (): Promise<Reaction> => {
              for (let turns = Math.floor(bench.random() * 4); turns > 0; turns--) await bench.turn()
              return 'ack'
            },
          }),
        )
      const sent = bench.messages(100, (index) => ({ key: `k${index % 7}`, text: String(index) }))
      for (let at = 0; at < sent.length; at += 10) await bench.send(sender, place.channel, sent.slice(at, at + 10))
      await bench.arrived(collectors, 100)
      same(
        texts(bench.log),
        sent.map((_, index) => String(index)),
        'the order of the channel is broken',
      )
      oneHolderPerKey(bench.log, () => 'the one order')
    },
  ),

  ...inEachMode(
    'hands out later messages of a held key to its holder only',
    { proves: ['order=key'], needs: [ordered, competing] },
    async (bench, mode) => {
      const place = await bench.place(mode)
      const sender = await bench.open()
      const collectors = [
        await bench.collect(await bench.open(), place, { react: 'hold', credit: 20 }),
        await bench.collect(await bench.open(), place, { react: 'hold', credit: 20 }),
        await bench.collect(await bench.open(), place, { react: 'hold', credit: 20 }),
      ]
      await bench.send(sender, place.channel, bench.messages(1, ofKey('k')))
      await bench.arrived(collectors, 1)
      await bench.send(sender, place.channel, bench.messages(5, ofKey('k', 1)))
      await bench.quiet()
      oneHolderPerKey(bench.log)
      const [holder] = collectors.filter(({ handed }) => handed.length > 0)
      // What is settled makes room for the next; nobody else may have it meanwhile either.
      while (holder !== undefined && holder.held.length > 0) {
        await holder.settle(holder.held[0] as never, 'ack')
        if (acknowledged(bench.log).size < 6)
          await bench.until('the next of the key', () => bench.log.some(({ settled }) => settled === undefined))
        if (holder.held.length === 0) break
      }
      inOrderPerKey(bench.log, keyOf)
      oneHolderPerKey(bench.log)
    },
  ),

  ...inEachMode(
    'hands out a message given back before later ones of its key',
    { proves: ['nack=block'], needs: [ordered, blocks] },
    async (bench, mode) => {
      const place = await bench.place(mode)
      const sender = await bench.open()
      const collector = await bench.collect(await bench.open(), place, { react: 'hold', credit: 3, refill: false })
      await bench.send(sender, place.channel, bench.messages(5, ofKey('k')))
      await bench.until('the first', () => collector.handed.length > 0)
      await bench.quiet()
      // In reverse: their places are their own, whatever the order of giving back.
      const given = [...collector.held].reverse()
      for (const each of given) await collector.settle(each, 'retry')
      const before = collector.handed.length
      for (let more = 0; more < 5; more++) {
        collector.request(1)
        await bench.arrived([collector], before + more + 1)
        await collector.settle(collector.handed[before + more] as never, 'ack')
      }
      same(texts(collector.handed.slice(before)), ['k#0', 'k#1', 'k#2', 'k#3', 'k#4'], 'the order after giving back')
    },
  ),

  ...inEachMode(
    'keeps for a holder what it gave back while it holds others of the key',
    { proves: ['nack=block'], needs: [ordered, blocks, competing] },
    async (bench, mode) => {
      const place = await bench.place(mode)
      const sender = await bench.open()
      const holder = await bench.collect(await bench.open(), place, { react: 'hold', credit: 3, refill: false })
      await bench.send(sender, place.channel, bench.messages(3, ofKey('k')))
      await bench.until('the first', () => holder.handed.length > 0)
      await bench.quiet()
      const other = await bench.collect(await bench.open(), place, { react: 'hold' })
      const alone = holder.held.length === 1
      await holder.settle(holder.held[0] as never, 'retry')
      if (alone) {
        // Some transports hand out one of a key at a time: whoever gets the key then has to get this one first.
        await bench.until('a second delivery', () => bench.log.length > 1)
        same(bench.log[1]?.text, 'k#0', 'what came after the one given back')
        return
      }
      await bench.quiet()
      demand(other.handed.length === 0, `${texts(other.handed).join()} went to another while the key was held`)
      const before = holder.handed.length
      holder.request(1)
      await bench.arrived([holder], before + 1)
      same(holder.handed[before]?.text, 'k#0', 'what its holder got next')
      oneHolderPerKey(bench.log)
    },
  ),

  ...inEachMode(
    'lets a key wait behind its delayed message, and no other key',
    { proves: ['nack=block'], needs: [ordered, blocks, delays, independentKeys] },
    async (bench, mode) => {
      const place = await bench.place(mode)
      const sender = await bench.open()
      let failed = false
      const collectors = [await bench.open(), await bench.open()]
      const running = await Promise.all(
        (bench.capabilities.competingConsumers ? collectors : collectors.slice(0, 1)).map((transport) =>
          bench.collect(transport, place, {
            credit: 1,
            react: ({ text }) => {
              if (text !== 'k#0' || failed) return 'ack'
              failed = true
              return { verdict: 'retry', options: { delayMs: bench.delayMs } }
            },
          }),
        ),
      )
      await bench.send(sender, place.channel, bench.messages(1, ofKey('k')))
      await bench.until('the first failure', () => failed)
      await bench.quiet(Math.min(bench.delayMs / 10, 50))
      await bench.send(sender, place.channel, [
        ...bench.messages(3, ofKey('k', 1)),
        ...bench.messages(3, ofKey('other')),
      ])
      await bench.until('the other key', () => acknowledged(bench.log).has('other#2'))
      const [first] = bench.log
      await bench.pass(bench.delayMs)
      await bench.arrived(running, 8)
      const again = bench.log.filter(({ text }) => text.startsWith('k#'))
      same(texts(again), ['k#0', 'k#0', 'k#1', 'k#2', 'k#3'], 'the order of the key that was delayed')
      const waited = (again[1]?.at ?? 0) - (first?.at ?? 0)
      demand(waited >= bench.delayMs * 0.95, `it came again after ${waited} ms instead of ${bench.delayMs}`)
    },
  ),

  ...inEachMode(
    'lets later ones of the key pass a message that was given back to be overtaken',
    { proves: ['nack=either', 'nack=requeue'], needs: [ordered, passes, delays] },
    async (bench, mode) => {
      const place = await bench.place(mode)
      const sender = await bench.open()
      let failed = false
      const collector = await bench.collect(await bench.open(), place, {
        credit: 1,
        react: ({ text }) => {
          if (text !== 'k#0' || failed) return 'ack'
          failed = true
          return { verdict: 'retry', options: { delayMs: bench.delayMs, overtake: true } }
        },
      })
      await bench.send(sender, place.channel, bench.messages(4, ofKey('k')))
      await bench.until('the ones that overtake', () => acknowledged(bench.log).has('k#3'))
      demand(!acknowledged(bench.log).has('k#0'), 'it came before its time')
      await bench.pass(bench.delayMs)
      await bench.arrived([collector], 5)
      same(texts(collector.handed), ['k#0', 'k#1', 'k#2', 'k#3', 'k#0'], 'the order')
    },
  ),

  ...inEachMode(
    'keeps the order of a key when its holder closes',
    { proves: ['order=key'], needs: [ordered, competing, givesBack] },
    async (bench, mode) => {
      const place = await bench.place(mode)
      const sender = await bench.open()
      const holder = await bench.collect(await bench.open(), place, { credit: 3, react: 'hold' })
      await bench.send(sender, place.channel, bench.messages(6, ofKey('k')))
      await bench.until('a delivery', () => holder.handed.length > 0)
      const next = await bench.collect(await bench.open(), place, { credit: 2 })
      await bench.quiet()
      demand(next.handed.length === 0, `${texts(next.handed).join()} passed what another receiver holds`)
      await holder.close()
      await bench.arrived([next], 6)
      same(firsts(texts(next.handed)), ['k#0', 'k#1', 'k#2', 'k#3', 'k#4', 'k#5'], 'the order after the close')
    },
  ),

  ...inEachMode(
    'keeps the order of a key when its holder loses its lease',
    { proves: ['order=key'], needs: [ordered, competing, leases, keeps, givesBack] },
    async (bench, mode) => {
      const place = await bench.place(mode)
      const sender = await bench.open()
      const holder = await bench.collect(await bench.open({ leaseMs: bench.leaseMs }), place, {
        credit: 2,
        react: 'hold',
        refill: false,
      })
      await bench.send(sender, place.channel, bench.messages(5, ofKey('k')))
      await bench.until('a delivery', () => holder.handed.length > 0)
      const next = await bench.collect(await bench.open({ leaseMs: bench.leaseMs }), place, { credit: 2 })
      await bench.pass(bench.leaseMs)
      await bench.arrived([next], 5)
      same(firsts(texts(next.handed)), ['k#0', 'k#1', 'k#2', 'k#3', 'k#4'], 'the order after the loss')
      oneHolderPerKey(bench.log)
    },
  ),

  ...inEachMode(
    'keeps the order of each key when connections are cut',
    { proves: ['order=key'], needs: [ordered, cut, keeps, givesBack], timeoutMs: 120_000 },
    async (bench, mode) => {
      const place = await bench.place(mode)
      const sender = await bench.open()
      const process = await bench.open({ leaseMs: bench.lab.leaseMs })
      await bench.collect(process, place, {
        credit: 3,
        again: true,
        react: async (): Promise<Reaction> => {
          await bench.turn()
          return 'ack'
        },
      })
      const expected: string[] = []
      for (let round = 0; round < 3; round++) {
        const batch = bench.messages(20, (index) => ofKey(`k${index % 4}`, round * 5 + Math.floor(index / 4))(0))
        for (const each of batch) {
          expected.push(new TextDecoder().decode(each.body))
          // With an outcome that is not known it is sent again, as a relay does: the same message, before the next one.
          await bench.until('it to be accepted', async () => {
            const [verdict] = await bench.attempt(sender, place.channel, [each])
            return verdict?.status !== 'failed'
          })
          if (each === batch[10]) await bench.lab.cut?.()
        }
      }
      await bench.until(
        'all of them',
        () => expected.every((text) => acknowledged(bench.log).has(text)),
        () => `${acknowledged(bench.log).size} of ${expected.length} were acknowledged`,
      )
      inOrderPerKey(bench.log, keyOf)
    },
  ),

  ...inEachMode(
    'gives a message of a key back to another process with its count',
    { proves: ['redeliveryCount=broker'], needs: [countsAtBroker, competing, givesBack] },
    async (bench, mode) => {
      const place = await bench.place(mode)
      const sender = await bench.open()
      const first = await bench.collect(await bench.open(), place, { credit: 1, react: 'hold', refill: false })
      await bench.send(sender, place.channel, bench.messages(1, ofKey('k')))
      await bench.arrived([first], 1)
      const second = await bench.collect(await bench.open(), place, { credit: 1 })
      await first.settle(first.handed[0] as never, 'retry')
      await bench.arrived([second], 1)
      same(second.handed[0]?.delivery.redeliveries, 1, 'redeliveries seen by the second process')
    },
  ),
]
