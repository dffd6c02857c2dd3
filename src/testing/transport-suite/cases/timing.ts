// Sends for later, priorities, and sends that come twice.
import { inEachMode, oneCase, type TransportCase } from '../case.ts'
import { demand, failure, refused, same } from '../expect.ts'
import { delays, givesBack, holds, keeps, that } from '../needs.ts'
import { texts } from '../workbench.ts'

const MOST_WAITED_MS = 5_000

export const timingCases: readonly TransportCase[] = [
  ...inEachMode(
    'hands out what was sent for later not before its time',
    { proves: ['delay=native', 'delay=emulated'], needs: [delays] },
    async (bench, mode) => {
      const place = await bench.place(mode)
      const sender = await bench.open()
      const collector = await bench.collect(await bench.open(), place)
      const from = bench.clock.now()
      const notBefore = Math.ceil(bench.clock.wallNow()) + bench.delayMs
      await bench.send(sender, place.channel, [
        bench.message({ text: 'later', notBefore, key: 'a' }),
        bench.message({ text: 'now', key: 'b' }),
      ])
      await bench.arrived([collector], 1)
      await bench.quiet(Math.min(bench.delayMs / 10, 50))
      await bench.pass(bench.delayMs)
      await bench.arrived([collector], 2)
      same(texts(collector.handed), ['now', 'later'], 'the order')
      const waited = (collector.handed[1]?.at ?? 0) - from
      demand(waited >= bench.delayMs * 0.95, `it came after ${waited} ms instead of ${bench.delayMs}`)
      same(collector.handed[1]?.envelope.notBefore, notBefore, 'notBefore of what was handed out')
    },
  ),

  ...inEachMode(
    'keeps what was sent for later while nobody receives',
    { needs: [delays, keeps] },
    async (bench, mode) => {
      const place = await bench.place(mode)
      const sender = await bench.open()
      await bench.collect(await bench.open(), place).then((first) => first.close())
      const notBefore = Math.ceil(bench.clock.wallNow()) + bench.delayMs
      await bench.send(sender, place.channel, [bench.message({ text: 'later', notBefore })])
      await bench.pass(bench.delayMs)
      const collector = await bench.collect(await bench.open(), place)
      await bench.arrived([collector], 1)
    },
  ),

  oneCase(
    'refuses what it cannot delay for so long',
    {
      proves: ['maxDelayMs'],
      needs: [
        that(({ delay, maxDelayMs }) => delay === 'none' || Number.isFinite(maxDelayMs), 'it delays without a bound'),
      ],
    },
    async (bench, mode) => {
      const place = await bench.place(mode)
      const sender = await bench.open()
      const collector = await bench.collect(await bench.open(), place)
      const { delay, maxDelayMs } = bench.capabilities
      const tooFar = Math.ceil(bench.clock.wallNow()) + (delay === 'none' ? 60_000 : maxDelayMs + 60_000)
      const verdicts = await bench.attempt(sender, place.channel, [
        bench.message({ text: 'too far', notBefore: tooFar }),
      ])
      const error = failure(verdicts[0], 'a delay beyond the bound', 'none')
      demand(error.code === 'CAPABILITY_MISSING', `refused with ${error.code} instead of CAPABILITY_MISSING`)
      await bench.send(sender, place.channel, [bench.message({ text: 'fine' })])
      await bench.arrived([collector], 1)
      await bench.quiet()
      same(texts(collector.handed), ['fine'], 'what was handed out')
    },
  ),

  oneCase(
    'refuses to give back for later than it can delay, and leaves it with its holder',
    {
      proves: ['maxDelayMs'],
      needs: [
        givesBack,
        that(({ delay, maxDelayMs }) => delay !== 'none' && Number.isFinite(maxDelayMs), 'it delays without a bound'),
      ],
    },
    async (bench, mode) => {
      const place = await bench.place(mode)
      const sender = await bench.open()
      const collector = await bench.collect(await bench.open(), place, { react: 'hold' })
      await bench.send(sender, place.channel, [bench.message({ text: 'held' })])
      await bench.arrived([collector], 1)
      const [held] = collector.handed
      demand(held !== undefined, 'nothing was handed out')
      const work = held.delivery.settle('retry', { delayMs: bench.capabilities.maxDelayMs + 60_000 })
      await refused(bench.done('the refusal', work), 'CAPABILITY_MISSING', 'giving back for later than the bound')
      demand(held.lost === 0, 'the right to settle was lost with the refusal')
      await collector.settle(held, 'retry')
      await collector.close()
      const next = await bench.collect(await bench.open(), place)
      await bench.send(sender, place.channel, [bench.message({ text: 'after' })])
      await bench.until(
        'what was given back at once',
        () => next.handed.some(({ text }) => text === 'held') || collector.handed.length > 1,
      )
    },
  ),

  ...inEachMode(
    'hands out higher priorities first, and in the order of sending within one',
    { proves: ['priority'], needs: [that(({ priority }) => priority, 'it has no priorities'), holds] },
    async (bench, mode) => {
      const place = await bench.place(mode)
      const sender = await bench.open()
      const collector = await bench.collect(await bench.open(), place, { credit: 0, refill: false })
      const priorities = [0, 5, undefined, 9, 5, -1, 9, 0, 5, -1]
      await bench.send(
        sender,
        place.channel,
        priorities.map((priority, index) => bench.message({ priority, text: `${priority ?? 0}/${index}` })),
      )
      for (let count = 0; count < priorities.length; count++) {
        collector.request(1)
        await bench.arrived([collector], count + 1)
      }
      same(
        texts(collector.handed),
        ['9/3', '9/6', '5/1', '5/4', '5/8', '0/0', '0/2', '0/7', '-1/5', '-1/9'],
        'the order of priorities',
      )
    },
  ),

  ...inEachMode(
    'lets one with a higher priority pass those that wait, also of its key',
    { proves: ['priority'], needs: [that(({ priority }) => priority, 'it has no priorities'), holds] },
    async (bench, mode) => {
      const place = await bench.place(mode)
      const sender = await bench.open()
      const collector = await bench.collect(await bench.open(), place, { credit: 0, refill: false })
      await bench.send(
        sender,
        place.channel,
        [0, 0, 7].map((priority, index) => bench.message({ priority, key: 'k', text: String(index) })),
      )
      for (let count = 0; count < 3; count++) {
        collector.request(1)
        await bench.arrived([collector], count + 1)
        await bench.turn()
      }
      same(texts(collector.handed), ['2', '0', '1'], 'the order')
    },
  ),

  ...inEachMode(
    'answers a second send of an id within the window with duplicate, and hands it out once',
    { proves: ['dedupe'], needs: [that(({ dedupeWindowMs }) => dedupeWindowMs > 0, 'it does not know duplicates')] },
    async (bench, mode) => {
      const place = await bench.place(mode)
      const [sender, other] = [await bench.open(), await bench.open()]
      const collector = await bench.collect(await bench.open(), place)
      const message = bench.message({ text: 'once' })
      const twice = bench.message({ text: 'twice in one call' })
      const first = await bench.attempt(sender, place.channel, [message, twice, twice])
      same(
        first.map(({ status }) => status),
        ['accepted', 'accepted', 'duplicate'],
        'the verdicts of the first call',
      )
      const again = await bench.attempt(other, place.channel, [message])
      same(again[0]?.status, 'duplicate', 'the verdict of the second send')
      await bench.arrived([collector], 2)
      await bench.quiet()
      demand(collector.handed.length === 2, `${collector.handed.length} deliveries of two messages`)
      const { dedupeWindowMs } = bench.capabilities
      if (bench.lab.pass === undefined && dedupeWindowMs > MOST_WAITED_MS) return
      await bench.pass(dedupeWindowMs + 1)
      const late = await bench.attempt(sender, place.channel, [message])
      same(late[0]?.status, 'accepted', 'the verdict after the window')
      await bench.arrived([collector], 3)
    },
  ),

  ...inEachMode(
    'takes an id on one channel for no duplicate of the same on another',
    { proves: ['dedupe'], needs: [that(({ dedupeWindowMs }) => dedupeWindowMs > 0, 'it does not know duplicates')] },
    async (bench, mode) => {
      const sender = await bench.open()
      const message = bench.message({ text: 'copied' })
      const collectors = []
      for (const purpose of ['one', 'other']) {
        const place = await bench.place(mode, { purpose })
        collectors.push(await bench.collect(await bench.open(), place))
        same(
          (await bench.attempt(sender, place.channel, [message]))[0]?.status,
          'accepted',
          `the verdict of ${purpose}`,
        )
      }
      for (const collector of collectors) await bench.arrived([collector], 1)
    },
  ),

  ...inEachMode(
    'takes a message twice that was sent twice, where it does not know duplicates',
    { needs: [that(({ dedupeWindowMs }) => dedupeWindowMs === 0, 'it knows duplicates')] },
    async (bench, mode) => {
      const place = await bench.place(mode)
      const sender = await bench.open()
      const collector = await bench.collect(await bench.open(), place)
      const message = bench.message({ text: 'twice' })
      for (let times = 0; times < 2; times++)
        same((await bench.attempt(sender, place.channel, [message]))[0]?.status, 'accepted', 'the verdict')
      await bench.arrived([collector], 2)
      await bench.quiet()
      same(texts(collector.handed), ['twice', 'twice'], 'what was handed out')
    },
  ),
]
