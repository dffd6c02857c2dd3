// Credit: never more than was asked for, so that a slow consumer holds no more than it wants to.
import { inEachMode, type TransportCase } from '../case.ts'
import { demand, eachOnce, same } from '../expect.ts'
import { competing, givesBack, holds, independentKeys, keeps, sharesMessages } from '../needs.ts'

const numbers = (count: number): readonly string[] => Array.from({ length: count }, (_, index) => String(index))

export const creditCases: readonly TransportCase[] = [
  ...inEachMode('hands out as many as were asked for, and no more', { needs: [holds] }, async (bench, mode) => {
    const place = await bench.place(mode)
    const sender = await bench.open()
    const collector = await bench.collect(await bench.open(), place, { credit: 0, react: 'ack', refill: false })
    await bench.send(sender, place.channel, bench.messages(30))
    await bench.quiet()
    demand(collector.handed.length === 0, 'something was handed out that nobody had asked for')
    let asked = 0
    for (const count of [1, 2, 0, 5, 1, 0, 7]) {
      collector.request(count)
      asked += count
      await bench.arrived([collector], asked)
      await bench.quiet(10)
      demand(
        collector.handed.length === asked,
        `${collector.handed.length} were handed out of ${asked} that were asked for`,
      )
    }
    // In parts, before the first has been served.
    for (let part = 0; part < 14; part++) collector.request(1)
    await bench.arrived([collector], 30)
    await bench.quiet()
    eachOnce(collector.handed, numbers(30))
  }),

  ...inEachMode('does not take what is held as room for more', { needs: [holds] }, async (bench, mode) => {
    const place = await bench.place(mode)
    const sender = await bench.open()
    const collector = await bench.collect(await bench.open(), place, { credit: 3, react: 'hold', refill: false })
    await bench.send(sender, place.channel, bench.messages(10))
    await bench.arrived([collector], 3)
    for (const each of collector.held) await collector.settle(each, 'ack')
    await bench.quiet()
    same(collector.handed.length, 3, 'how many were handed out of three that were asked for')
    collector.request(2)
    await bench.arrived([collector], 5)
    await bench.quiet()
    demand(collector.handed.length === 5, `${collector.handed.length} were handed out of 5 that were asked for`)
  }),

  ...inEachMode(
    'holds back a great many messages from a slow consumer',
    { needs: [holds], timeoutMs: 120_000 },
    async (bench, mode) => {
      const place = await bench.place(mode)
      const sender = await bench.open()
      const collector = await bench.collect(await bench.open(), place, { credit: 10, react: 'hold', refill: false })
      const sent = bench.messages(bench.heavy)
      for (let at = 0; at < sent.length; at += 250) await bench.send(sender, place.channel, sent.slice(at, at + 250))
      await bench.arrived([collector], 10)
      await bench.quiet()
      demand(collector.handed.length === 10, `${collector.handed.length} were handed out of 10 that were asked for`)
      for (let round = 0; round < 5; round++) {
        for (const each of collector.held) await collector.settle(each, 'ack')
        collector.request(10)
        await bench.arrived([collector], 20 + round * 10)
        demand(collector.held.length <= 10, `${collector.held.length} are held, and 10 were asked for`)
      }
    },
  ),

  ...inEachMode(
    'asks no more of a receiver that has had enough, and gives others the rest',
    { needs: [competing, holds, independentKeys, sharesMessages] },
    async (bench, mode) => {
      const place = await bench.place(mode)
      const sender = await bench.open()
      const full = await bench.collect(await bench.open(), place, { credit: 2, react: 'hold', refill: false })
      await bench.send(sender, place.channel, bench.messages(20))
      await bench.arrived([full], 2)
      const other = await bench.collect(await bench.open(), place)
      await bench.arrived([other], 18)
      await bench.quiet()
      eachOnce(bench.log, numbers(20))
      demand(full.handed.length === 2, 'it was handed more than it had asked for')
    },
  ),

  ...inEachMode(
    'does not lose what was given back to a receiver without room',
    { needs: [givesBack, keeps] },
    async (bench, mode) => {
      const place = await bench.place(mode)
      const sender = await bench.open()
      const collector = await bench.collect(await bench.open(), place, { credit: 5, react: 'hold', refill: false })
      await bench.send(sender, place.channel, bench.messages(5))
      await bench.arrived([collector], 5)
      for (const each of collector.held) await collector.settle(each, 'retry')
      await bench.quiet()
      demand(collector.handed.length === 5, 'it was handed out again although nobody had asked for more')
      collector.request(5)
      await bench.arrived([collector], 10)
      eachOnce(collector.handed.slice(5), numbers(5))
    },
  ),
]
