// What settling means: once, by whoever has the right, and never after it is lost. How often, when and in which order messages come again.
import { inEachMode, type TransportCase } from '../case.ts'
import { demand, refused, rejection, same } from '../expect.ts'
import { competing, counts, delays, givesBack, keeps, leases, that } from '../needs.ts'
import { texts } from '../workbench.ts'

export const settlingCases: readonly TransportCase[] = [
  ...inEachMode(
    'hands out again what was given back, and counts how often',
    {
      proves: ['redeliveryCount=emulated', 'nack=requeue'],
      needs: [givesBack],
    },
    async (bench, mode) => {
      const place = await bench.place(mode)
      const sender = await bench.open()
      let times = 0
      const collector = await bench.collect(await bench.open(), place, {
        react: () => (++times < 6 ? { verdict: 'retry', options: { reason: 'not yet' } } : 'ack'),
      })
      await bench.send(sender, place.channel, [bench.message({ text: 'again', key: 'k' })])
      await bench.arrived([collector], 6)
      await bench.quiet()
      demand(collector.handed.length === 6, `it was handed out ${collector.handed.length} times, not 6`)
      if (bench.capabilities.redeliveryCount !== 'none')
        same(
          collector.handed.map(({ delivery }) => delivery.redeliveries),
          [0, 1, 2, 3, 4, 5],
          'redeliveries',
        )
      same(collector.handed[5]?.envelope.id, collector.handed[0]?.envelope.id, 'the id of a message that came again')
    },
  ),

  ...inEachMode('counts each message by itself', { needs: [givesBack, counts] }, async (bench, mode) => {
    const place = await bench.place(mode)
    const sender = await bench.open()
    const seen = new Map<string, number>()
    const collector = await bench.collect(await bench.open(), place, {
      react: ({ text, delivery }) => {
        const before = seen.get(text) ?? 0
        seen.set(text, before + 1)
        if (delivery.redeliveries !== before) throw new Error(`redeliveries ${delivery.redeliveries}, not ${before}`)
        return before < Number(text) % 4 ? 'retry' : 'ack'
      },
    })
    await bench.send(sender, place.channel, bench.messages(12))
    await bench.arrived([collector], 12 + 3 * (1 + 2 + 3))
    await bench.quiet()
    demand(collector.handed.length === 30, `${collector.handed.length} deliveries instead of 30`)
  }),

  ...inEachMode(
    'counts what a receiver gave back by closing',
    {
      proves: ['redeliveryCount=broker'],
      needs: [that(({ redeliveryCount }) => redeliveryCount === 'broker', 'the broker does not count'), keeps],
    },
    async (bench, mode) => {
      const place = await bench.place(mode)
      const sender = await bench.open()
      const seen: (number | undefined)[] = []
      for (let round = 0; round < 3; round++) {
        const collector = await bench.collect(await bench.open(), place, { react: 'hold' })
        if (round === 0) await bench.send(sender, place.channel, [bench.message()])
        await bench.arrived([collector], 1)
        seen.push(collector.handed[0]?.delivery.redeliveries)
        await collector.close()
      }
      same(seen, [0, 1, 2], 'redeliveries')
    },
  ),

  ...inEachMode(
    'lets the first verdict stand when a delivery is settled twice',
    { needs: [givesBack] },
    async (bench, mode) => {
      const place = await bench.place(mode)
      const sender = await bench.open()
      const collector = await bench.collect(await bench.open(), place, { react: 'hold', credit: 10 })
      await bench.send(
        sender,
        place.channel,
        ['acked', 'given back', 'both at once'].map((text) => bench.message({ text, key: text })),
      )
      await bench.arrived([collector], 3)
      const find = (text: string) => collector.handed.find((each) => each.text === text) as never
      await collector.settle(find('acked'), 'ack')
      await collector.settle(find('acked'), 'retry')
      await collector.settle(find('acked'), 'ack')
      await collector.settle(find('given back'), 'retry')
      await collector.settle(find('given back'), 'ack')
      await Promise.all([
        collector.settle(find('both at once'), 'ack'),
        collector.settle(find('both at once'), 'retry'),
      ])
      await bench.arrived([collector], 4)
      await bench.quiet()
      same(texts(collector.handed.slice(3)), ['given back'], 'what came again')
      await collector.settle(collector.handed[3] as never, 'ack')
      await bench.quiet()
      demand(collector.handed.length === 4, 'something acknowledged came again')
    },
  ),

  ...inEachMode(
    'refuses to settle what a closed receiver has given back, and says so to its holder',
    { needs: [] },
    async (bench, mode) => {
      const place = await bench.place(mode)
      const sender = await bench.open()
      const collector = await bench.collect(await bench.open(), place, { react: 'hold' })
      await bench.send(sender, place.channel, [bench.message({ text: 'first' })])
      await bench.arrived([collector], 1)
      const [first] = collector.handed
      let muted = 0
      first?.delivery.onLost(() => muted++)()
      await collector.close()
      await bench.until('the loss to be told', () => first?.lost === 1)
      demand(muted === 0, 'a listener that had stopped listening was told')
      let late = 0
      first?.delivery.onLost(() => late++)
      await bench.until('the loss to be told to who asks later', () => late === 1)
      await refused(collector.settle(first as never, 'ack'), 'LEASE_LOST', 'settling after close')
      await bench.quiet()
      same([first?.lost, late], [1, 1], 'how often the loss was told')
    },
  ),

  ...inEachMode(
    'lets what was handed out before stop() be settled after it',
    { needs: [keeps] },
    async (bench, mode) => {
      const place = await bench.place(mode)
      const sender = await bench.open()
      const collector = await bench.collect(await bench.open(), place, { react: 'hold', credit: 5 })
      await bench.send(sender, place.channel, bench.messages(3))
      await bench.arrived([collector], 3)
      await collector.stop()
      await bench.send(sender, place.channel, [bench.message({ text: '3' })])
      collector.request(5)
      await bench.quiet()
      demand(collector.handed.length === 3, 'something was handed out after stop()')
      for (const { text, lost } of collector.handed) demand(lost === 0, `stop() took away the right to settle ${text}`)
      demand(collector.held.length === 3, `${collector.held.length} of 3 are still held after stop()`)
      for (const each of collector.handed) await collector.settle(each, 'ack')
      await collector.close()
      const next = await bench.collect(await bench.open(), place)
      await bench.arrived([next], 1)
      await bench.quiet()
      same(texts(next.handed), ['3'], 'what was left after the three had been acknowledged')
    },
  ),

  ...inEachMode(
    'knows after a close what was settled before it',
    { needs: [keeps, givesBack] },
    async (bench, mode) => {
      const place = await bench.place(mode)
      const sender = await bench.open()
      const collector = await bench.collect(await bench.open(), place, { react: 'hold', credit: 20, refill: false })
      await bench.send(sender, place.channel, bench.messages(20))
      await bench.arrived([collector], 20)
      const refusedOnes = new Set<string>()
      const settles = collector.held.map((each) =>
        collector.settle(each, 'ack').catch((error: unknown) => {
          refusedOnes.add(each.text)
          return rejection(Promise.reject(error), 'settling while it is being closed')
        }),
      )
      await Promise.all([...settles, collector.close()])
      const next = await bench.collect(await bench.open(), place, { credit: 20 })
      await bench.until('what was not settled', () => next.handed.length >= refusedOnes.size)
      await bench.quiet()
      // What was refused may have been acknowledged all the same; what was acknowledged must not come again.
      for (const { text } of next.handed) demand(refusedOnes.has(text), `${text} was acknowledged and came again`)
    },
  ),

  ...inEachMode(
    'takes a message from a holder whose lease is over, tells it once, and hands it to another',
    { needs: [leases] },
    async (bench, mode) => {
      const place = await bench.place(mode)
      const { leaseMs, capabilities } = bench
      const sender = await bench.open({ leaseMs })
      const from = bench.clock.now()
      const holder = await bench.collect(await bench.open({ leaseMs }), place, {
        react: 'hold',
        credit: 1,
        refill: false,
      })
      const handled = capabilities.acknowledged === 'handled'
      // Where a send is a delivery the right lasts as long as the sender waits.
      if (handled) void sender.send(place.channel, [bench.message({ text: 'slow' })], bench.context(leaseMs).context)
      else await bench.send(sender, place.channel, [bench.message({ text: 'slow' })])
      await bench.arrived([holder], 1)
      const [slow] = holder.handed
      demand(slow !== undefined, 'nothing was handed out')
      const { leaseMs: saidMs } = slow.delivery
      demand(saidMs !== undefined, 'the delivery does not say how long its lease lasts (leaseMs)')
      demand(
        saidMs > 0 && saidMs <= leaseMs,
        `the delivery says that its lease lasts ${saidMs} ms; it was opened with ${leaseMs}`,
      )
      const next =
        handled || !capabilities.competingConsumers
          ? undefined
          : await bench.collect(await bench.open({ leaseMs }), place, { react: 'hold' })
      await bench.pass(leaseMs)
      await bench.until('the loss to be told', () => slow.lost > 0)
      // In real time a lease may have begun a while before the delivery came in, and not before it was asked for.
      const lasted = (slow.lostAt ?? 0) - (bench.lab.pass === undefined ? from : slow.at)
      demand(lasted >= leaseMs * 0.95, `the lease of ${leaseMs} ms lasted ${lasted} ms`)
      await refused(holder.settle(slow, 'ack'), 'LEASE_LOST', 'settling after the loss')
      let late = 0
      slow.delivery.onLost(() => late++)
      await bench.until('the loss to be told to who asks later', () => late === 1)
      if (slow.delivery.extend !== undefined)
        await refused(bench.done('extending', slow.delivery.extend(leaseMs)), 'LEASE_LOST', 'extending after the loss')
      if (next !== undefined) {
        await bench.arrived([next], 1)
        same(texts(next.handed), ['slow'], 'what the other receiver got')
        if (capabilities.redeliveryCount === 'broker')
          same(next.handed[0]?.delivery.redeliveries, 1, 'redeliveries after the loss')
        await next.settle(next.handed[0] as never, 'ack')
        await bench.pass(leaseMs)
        await bench.quiet()
        demand(bench.log.length === 2, 'it was acknowledged by its second holder and came again')
      }
      demand(slow.lost === 1, `the loss was told ${slow.lost} times`)
    },
  ),

  ...inEachMode(
    'lets a holder keep its right by extending it',
    { proves: ['extend'], needs: [that(({ extend }) => extend, 'a right cannot be extended'), leases, keeps] },
    async (bench, mode) => {
      const place = await bench.place(mode)
      const { leaseMs } = bench
      const sender = await bench.open()
      const holder = await bench.collect(await bench.open({ leaseMs }), place, {
        react: 'hold',
        credit: 1,
        refill: false,
      })
      const other = bench.capabilities.competingConsumers
        ? await bench.collect(await bench.open({ leaseMs }), place, { credit: 0 })
        : undefined
      await bench.send(sender, place.channel, [bench.message()])
      await bench.arrived([holder], 1)
      other?.request(5)
      const [held] = holder.handed
      demand(held?.delivery.extend !== undefined, 'the delivery has no extend()')
      for (let times = 0; times < 6; times++) {
        await bench.pass(leaseMs / 3)
        await bench.done('extending', held.delivery.extend(leaseMs))
      }
      demand(held.lost === 0, 'the right was lost although it was extended in time')
      demand((other?.handed.length ?? 0) === 0, 'another receiver got it although the right was extended in time')
      await holder.settle(held, 'ack')
      await bench.pass(2 * leaseMs)
      await bench.quiet()
      demand(bench.log.length === 1, 'it was acknowledged and came again')
    },
  ),

  ...inEachMode(
    'keeps a right for as long as it was extended, and no longer',
    { proves: ['extend'], needs: [that(({ extend }) => extend, 'a right cannot be extended'), leases, keeps] },
    async (bench, mode) => {
      const place = await bench.place(mode)
      const { leaseMs } = bench
      const sender = await bench.open()
      const holder = await bench.collect(await bench.open({ leaseMs }), place, {
        react: 'hold',
        credit: 1,
        refill: false,
      })
      await bench.send(sender, place.channel, [bench.message({ text: 'slow' })])
      await bench.arrived([holder], 1)
      const [held] = holder.handed
      demand(held?.delivery.extend !== undefined, 'the delivery has no extend()')
      // Of another length than the lease: it is the length given that counts.
      const askedMs = 2 * leaseMs
      const from = bench.clock.now()
      await bench.done('extending', held.delivery.extend(askedMs))
      const to = bench.clock.now()
      await bench.pass(askedMs)
      await bench.until('the loss of what was extended once and then left', () => held.lost > 0)
      const at = held.lostAt ?? 0
      // In real time timers are late, and the extension may have begun before its answer came.
      const [least, most] = bench.lab.pass === undefined ? [0.75, askedMs + 2 * leaseMs + 1_000] : [0.95, 1.5 * askedMs]
      demand(at - from >= askedMs * least, `a right extended for ${askedMs} ms lasted ${at - from} ms`)
      demand(at - to <= most, `a right extended for ${askedMs} ms lasted ${at - to} ms`)
      await holder.close()
      const next = await bench.collect(await bench.open({ leaseMs }), place)
      await bench.arrived([next], 1)
    },
  ),

  ...inEachMode('does not take what is settled in time', { needs: [leases, keeps, competing] }, async (bench, mode) => {
    const place = await bench.place(mode)
    const { leaseMs } = bench
    const sender = await bench.open()
    const holder = await bench.collect(await bench.open({ leaseMs }), place, { credit: 20 })
    await bench.collect(await bench.open({ leaseMs }), place, { credit: 20 })
    await bench.send(sender, place.channel, bench.messages(20))
    await bench.arrived([holder], 0)
    await bench.until('all', () => bench.log.length >= 20)
    await bench.pass(2 * leaseMs)
    await bench.quiet()
    demand(bench.log.length === 20, `${bench.log.length} deliveries of 20 messages that were acknowledged at once`)
    for (const { lost } of bench.log) demand(lost === 0, 'the loss of something settled was told')
  }),

  ...inEachMode(
    'hands out what was given back for later not before its time, and others meanwhile',
    { proves: ['delay=native', 'delay=emulated'], needs: [givesBack, delays] },
    async (bench, mode) => {
      const place = await bench.place(mode)
      const sender = await bench.open()
      const collector = await bench.collect(await bench.open(), place, {
        react: ({ text, by }) =>
          text === 'later' && by.handed.filter((each) => each.text === text).length === 1
            ? { verdict: 'retry', options: { delayMs: bench.delayMs } }
            : 'ack',
      })
      await bench.send(sender, place.channel, [bench.message({ text: 'later', key: 'a' })])
      await bench.arrived([collector], 1)
      await bench.quiet(Math.min(bench.delayMs / 10, 50))
      if (bench.capabilities.order !== 'channel') {
        await bench.send(sender, place.channel, [bench.message({ text: 'other', key: 'b' })])
        await bench.arrived([collector], 2)
        same(texts(collector.handed), ['later', 'other'], 'what came while one was waiting')
      }
      const before = collector.handed.length
      await bench.pass(bench.delayMs)
      await bench.arrived([collector], before + 1)
      const [first, again] = collector.handed.filter(({ text }) => text === 'later')
      const waited = (again?.at ?? 0) - (first?.at ?? 0)
      demand(waited >= bench.delayMs * 0.95, `it came again after ${waited} ms instead of ${bench.delayMs}`)
      if (bench.capabilities.redeliveryCount !== 'none')
        same(again?.delivery.redeliveries, 1, 'redeliveries after the delay')
    },
  ),

  ...inEachMode(
    'knows what waits for its time also when the receiver that gave it back is gone',
    {
      proves: ['delay=native'],
      needs: [givesBack, delays, keeps, that(({ delay }) => delay === 'native', 'its receiver keeps the time')],
    },
    async (bench, mode) => {
      const place = await bench.place(mode)
      const sender = await bench.open()
      const first = await bench.open()
      const collector = await bench.collect(first, place, { react: 'hold' })
      await bench.send(sender, place.channel, [bench.message({ text: 'later' })])
      await bench.arrived([collector], 1)
      const [held] = collector.handed
      const from = bench.clock.now()
      await collector.settle(held as never, 'retry', { delayMs: bench.delayMs })
      await bench.done('closing the process', first.close())
      demand(held?.lost === 0, 'the loss of something settled was told')
      const next = await bench.collect(await bench.open(), place)
      await bench.pass(bench.delayMs)
      await bench.arrived([next], 1)
      const waited = (next.handed[0]?.at ?? 0) - from
      demand(waited >= bench.delayMs * 0.95, `it came again after ${waited} ms instead of ${bench.delayMs}`)
    },
  ),
]
