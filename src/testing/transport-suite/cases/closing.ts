// Closing in every state: nothing hangs, nothing comes afterwards, nothing is lost; and twice is the same as once.
import { inEachMode, oneCase, type TransportCase } from '../case.ts'
import { acknowledged, demand, failure, refused, same } from '../expect.ts'
import { competing, givesBack, holds, keeps } from '../needs.ts'
import { texts } from '../workbench.ts'

export const closingCases: readonly TransportCase[] = [
  oneCase('closes before anything was done, and twice', {}, async (bench) => {
    const transport = await bench.open()
    await Promise.all([bench.done('closing', transport.close()), bench.done('closing', transport.close())])
    await bench.done('closing again', transport.close())
  }),

  ...inEachMode('ends a second close with the first, not before it', { needs: [givesBack] }, async (bench, mode) => {
    const place = await bench.place(mode)
    const sender = await bench.open()
    const transport = await bench.open()
    const holders = [
      await bench.collect(transport, place, { react: 'hold', credit: 2 }),
      await bench.collect(transport, place, { react: 'hold', credit: 2 }),
    ]
    await bench.send(sender, place.channel, bench.messages(4))
    await bench.until('something to be held', () => bench.log.length > 0)
    void transport.send(place.channel, bench.messages(1), bench.context().context)
    let first = false
    const closing = transport.close().then(() => {
      first = true
    })
    await bench.done('the second close', transport.close())
    await bench.turn()
    demand(first, 'a second close() resolved before the first')
    await closing
    for (const { over, held } of holders) {
      demand(over, 'close() resolved before a receiver had ended')
      demand(held.length === 0, `close() resolved, and ${held.length} deliveries of a receiver were not lost`)
    }
  }),

  ...inEachMode('refuses everything after it was closed, and sends nothing', {}, async (bench, mode) => {
    const place = await bench.place(mode)
    const transport = await bench.open()
    const collector = await bench.collect(await bench.open(), place)
    await bench.send(transport, place.channel, [bench.message({ text: 'before' })])
    await bench.arrived([collector], 1)
    await bench.done('closing', transport.close())
    const verdicts = await bench.attempt(transport, place.channel, bench.messages(2))
    demand(verdicts.length === 2, `${verdicts.length} verdicts for 2 messages`)
    for (const verdict of verdicts) {
      const { code } = failure(verdict, 'sending after close', 'none')
      demand(code === 'SHUTDOWN', `refused with ${code} instead of SHUTDOWN`)
    }
    const late = transport.receive(
      { channel: place.channel, ...(place.group === undefined ? {} : { group: place.group }) },
      () => {},
    )
    await refused(bench.done('receiving', late), 'SHUTDOWN', 'receiving after close')
    await bench.quiet()
    same(texts(collector.handed), ['before'], 'what was handed out')
  }),

  ...inEachMode('closes an idle receiver, twice, and says that it has ended', {}, async (bench, mode) => {
    const place = await bench.place(mode)
    const collector = await bench.collect(await bench.open(), place)
    await Promise.all([collector.close(), collector.close()])
    await bench.until('ended to resolve', () => collector.over)
    same(collector.ends, [], 'ended rejected')
    await collector.close()
    await collector.stop()
    collector.request(1)
  }),

  ...inEachMode(
    'closes its receivers when it is closed, while they hold something',
    { needs: [givesBack] },
    async (bench, mode) => {
      const place = await bench.place(mode)
      const sender = await bench.open()
      const transport = await bench.open()
      const holder = await bench.collect(transport, place, { react: 'hold', credit: 5 })
      await bench.send(sender, place.channel, bench.messages(10))
      await bench.until('something to be held', () => holder.held.length > 0)
      const next = bench.capabilities.competingConsumers ? await bench.collect(await bench.open(), place) : undefined
      await bench.done('closing the transport', transport.close())
      const before = holder.handed.length
      await bench.until('ended to resolve', () => holder.over)
      same(holder.ends, [], 'ended rejected')
      await bench.until('every loss to be told', () => holder.held.length === 0)
      if (next !== undefined) {
        await bench.until(
          'the other receiver to get all',
          () => new Set(texts(next.handed)).size === 10,
          () => `it got ${new Set(texts(next.handed)).size} of 10`,
        )
      }
      await bench.quiet()
      demand(holder.handed.length === before, 'something was handed out after close')
    },
  ),

  ...inEachMode(
    'gives back what a closed receiver had not settled',
    { needs: [keeps, givesBack] },
    async (bench, mode) => {
      const place = await bench.place(mode)
      const sender = await bench.open()
      const holder = await bench.collect(await bench.open(), place, {
        credit: 10,
        refill: false,
        react: ({ text }) => (Number(text) % 2 === 0 ? 'ack' : 'hold'),
      })
      await bench.send(sender, place.channel, bench.messages(10))
      await bench.arrived([holder], 10)
      await bench.until('half to be settled', () => holder.held.length === 5)
      await bench.quiet()
      await holder.close()
      const next = await bench.collect(await bench.open(), place)
      await bench.arrived([next], 5)
      await bench.quiet()
      same([...texts(next.handed)].sort(), ['1', '3', '5', '7', '9'], 'what the next receiver got')
    },
  ),

  ...inEachMode(
    'gives the work of a closed receiver to the others',
    { needs: [competing, givesBack] },
    async (bench, mode) => {
      const place = await bench.place(mode)
      const sender = await bench.open()
      const process = await bench.open()
      const collectors = [
        await bench.collect(process, place, { react: 'hold' }),
        await bench.collect(process, place, { react: 'hold' }),
      ]
      await bench.send(sender, place.channel, bench.messages(10))
      await bench.until('something to be held', () => bench.log.length > 0)
      const last = await bench.collect(process, place)
      for (const collector of collectors) await collector.close()
      await bench.until('all to be acknowledged', () => new Set(texts(last.handed)).size === 10)
    },
  ),

  ...inEachMode(
    'loses nothing when many receivers close at once in mid-stream',
    { needs: [competing, givesBack] },
    async (bench, mode) => {
      const place = await bench.place(mode)
      const sender = await bench.open()
      const collectors = []
      for (let number = 0; number < 10; number++)
        collectors.push(
          await bench.collect(await bench.open(), place, {
            credit: 3,
            // One in three is still at work when the close comes.
            react: ({ order }) => (order % 3 === 0 ? 'hold' : 'ack'),
          }),
        )
      await bench.send(sender, place.channel, bench.messages(60))
      await bench.until(
        'some to be handed out',
        () => bench.log.length >= (bench.capabilities.order === 'channel' ? 1 : 10),
      )
      await bench.collect(await bench.open(), place)
      await Promise.all(collectors.map((each) => each.close()))
      await bench.until(
        'all to be acknowledged',
        () => acknowledged(bench.log).size === 60,
        () => `${acknowledged(bench.log).size} of 60 were`,
      )
    },
  ),

  ...inEachMode('is closed while it subscribes, sends and stops', {}, async (bench, mode) => {
    const place = await bench.place(mode)
    const transport = await bench.open()
    const collector = await bench.collect(transport, place, { credit: 100 })
    const sends = Array.from({ length: 10 }, () =>
      transport.send(place.channel, bench.messages(3), bench.context().context),
    )
    let unasked = 0
    const subscribing = transport.receive(
      { channel: place.channel, ...(place.group === undefined ? {} : { group: place.group }) },
      () => void unasked++,
    )
    // Either is right: it stood before the close, or it was refused because of it.
    const subscribed = subscribing.then(
      (receiver) => receiver.ended.catch(() => {}),
      () => {},
    )
    const stopping = collector.stop()
    await bench.done('closing', transport.close())
    await bench.done('stopping', stopping)
    await bench.done('the subscription', subscribed)
    for (const verdicts of await bench.done('the sends', Promise.all(sends)))
      for (const verdict of verdicts)
        if (verdict.status === 'failed') failure(verdict, 'a send under way when it is closed')
    await collector.close()
    demand(unasked === 0, `${unasked} were handed out to a receiver that had asked for nothing`)
  }),

  ...inEachMode(
    'hands nothing out once stop() has resolved, in mid-stream',
    { needs: [holds] },
    async (bench, mode) => {
      const place = await bench.place(mode)
      const sender = await bench.open()
      for (let round = 0; round < 5; round++) {
        const collector = await bench.collect(await bench.open(), place, { credit: 60 })
        await bench.send(sender, place.channel, bench.messages(30))
        if (round > 0) await bench.until('a delivery', () => collector.handed.length > 0)
        // The collector itself notes what comes too late. It still had credit.
        await collector.stop()
        await bench.send(sender, place.channel, bench.messages(5))
        await bench.quiet()
        if (round > 2) await collector.close()
      }
    },
  ),
]
