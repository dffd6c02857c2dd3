// What can be seen and read again: how much waits, and what was sent before.

import type { MessageTransport } from '../../../core/contracts/transport.ts'
import { inEachMode, onTopics, type TransportCase } from '../case.ts'
import { demand, eachOnce, refused, same } from '../expect.ts'
import { that } from '../needs.ts'
import type { Place } from '../workbench.ts'
import { placeAt, texts, type Workbench } from '../workbench.ts'

const counted = that(({ waiting }) => waiting === 'counted', 'what waits is not counted')
const replays = that(({ replay }) => replay, 'it keeps nothing to be read again')
const numbers = (from: number, to: number): readonly string[] =>
  Array.from({ length: to - from }, (_, index) => String(from + index))

const waits = (
  bench: Workbench,
  transport: MessageTransport,
  place: Place,
  count: number,
  minPriority?: number,
): Promise<void> => {
  let last: number | undefined
  return bench.until(
    `${count} to wait`,
    async () => (last = (await bench.inspect(transport, place, minPriority)).waiting) === count,
    () => `${last} did`,
  )
}

export const seeingCases: readonly TransportCase[] = [
  ...inEachMode(
    'counts what waits, without what is held',
    { proves: ['waiting=counted'], needs: [counted] },
    async (bench, mode) => {
      const place = await bench.place(mode)
      const [sender, watcher] = [await bench.open(), await bench.open()]
      const collector = await bench.collect(await bench.open(), place, { credit: 0, react: 'hold', refill: false })
      await waits(bench, watcher, place, 0)
      const none = await bench.inspect(watcher, place)
      demand(
        none.oldestMs === undefined || none.oldestMs === 0,
        `nothing waits, and the oldest is ${none.oldestMs} ms old`,
      )
      await bench.send(sender, place.channel, bench.messages(7))
      await waits(bench, watcher, place, 7)
      collector.request(3)
      await bench.arrived([collector], 3)
      await waits(bench, watcher, place, 4)
      const [first, second] = collector.held
      await collector.settle(first as never, 'ack')
      await waits(bench, watcher, place, 4)
      if (bench.capabilities.nack !== 'none') {
        await collector.settle(second as never, 'retry')
        await waits(bench, watcher, place, 5)
      }
      await bench.pass(50)
      const { oldestMs } = await bench.inspect(watcher, place)
      if (oldestMs !== undefined) demand(oldestMs >= 40, `the oldest is at least 50 ms old, and not ${oldestMs}`)
      await placeless(bench, watcher, place)
    },
  ),

  ...inEachMode(
    'counts by priority',
    { proves: ['waiting=counted'], needs: [counted, that(({ priority }) => priority, 'it has no priorities')] },
    async (bench, mode) => {
      const place = await bench.place(mode)
      const sender = await bench.open()
      await bench.send(
        sender,
        place.channel,
        bench.messages(6, (index) => ({ priority: index })),
      )
      await waits(bench, sender, place, 6)
      await waits(bench, sender, place, 3, 3)
      await waits(bench, sender, place, 1, 5)
      await waits(bench, sender, place, 0, 6)
      await waits(bench, sender, place, 6, 0)
    },
  ),

  ...inEachMode(
    'does not count what waits for its time',
    { proves: ['waiting=counted'], needs: [counted, that(({ delay }) => delay !== 'none', 'it has no delay')] },
    async (bench, mode) => {
      const place = await bench.place(mode)
      const sender = await bench.open()
      const notBefore = Math.ceil(bench.clock.wallNow()) + bench.delayMs
      await bench.send(sender, place.channel, [bench.message({ notBefore }), bench.message()])
      await waits(bench, sender, place, 1)
      await bench.pass(bench.delayMs)
      await waits(bench, sender, place, 2)
    },
  ),

  onTopics(
    'lets a new group start with the earliest message that is kept',
    { proves: ['replay'], needs: [replays] },
    async (bench) => {
      const { channel } = await bench.place('topic')
      const sender = await bench.open()
      await bench.send(sender, channel, bench.messages(5))
      const late = await bench.collect(await bench.open(), { channel, group: 'late' }, { from: 'earliest' })
      await bench.send(
        sender,
        channel,
        bench.messages(5, (index) => ({ text: String(5 + index) })),
      )
      await bench.arrived([late], 10)
      await bench.quiet()
      eachOnce(late.handed, numbers(0, 10))
      await late.close()
      // Its place is kept: `from` is for a group that is new.
      const again = await bench.collect(await bench.open(), { channel, group: 'late' }, { from: 'earliest' })
      await bench.send(sender, channel, [bench.message({ text: 'new' })])
      await bench.arrived([again], 1)
      await bench.quiet()
      same(texts(again.handed), ['new'], 'what the group got when it came back')
      const live = await bench.collect(await bench.open(), { channel }, { from: 'earliest' })
      await bench.arrived([live], 11)
      eachOnce(live.handed, [...numbers(0, 10), 'new'])
    },
  ),

  onTopics('lets a new group start with the latest', { needs: [replays] }, async (bench) => {
    const { channel } = await bench.place('topic')
    const sender = await bench.open()
    await bench.send(sender, channel, bench.messages(5))
    const late = await bench.collect(await bench.open(), { channel, group: 'late' }, { from: 'latest' })
    await bench.send(sender, channel, [bench.message({ text: 'new' })])
    await bench.arrived([late], 1)
    await bench.quiet()
    same(texts(late.handed), ['new'], 'what the new group got')
  }),

  onTopics('lets a new group start at a time', { proves: ['replay'], needs: [replays] }, async (bench) => {
    const { channel } = await bench.place('topic')
    const sender = await bench.open()
    await bench.send(sender, channel, bench.messages(3))
    await bench.pass(500)
    const time = Math.floor(bench.clock.wallNow())
    await bench.pass(500)
    await bench.send(
      sender,
      channel,
      bench.messages(3, (index) => ({ text: String(3 + index) })),
    )
    const late = await bench.collect(await bench.open(), { channel, group: 'late' }, { from: { time } })
    await bench.arrived([late], 3)
    await bench.quiet()
    eachOnce(late.handed, numbers(3, 6))
  }),

  onTopics(
    'lets a new group start after positions that another has seen',
    { proves: ['replay'], needs: [replays] },
    async (bench) => {
      const { channel } = await bench.place('topic')
      const sender = await bench.open()
      const reader = await bench.collect(await bench.open(), { channel, group: 'reader' }, { from: 'earliest' })
      await bench.send(sender, channel, bench.messages(6))
      await bench.arrived([reader], 6)
      const positions: Record<string, string> = {}
      for (const { delivery } of reader.handed.slice(0, 3)) {
        demand(delivery.lane !== undefined && delivery.position !== undefined, 'a delivery names no lane and position')
        positions[delivery.lane] = delivery.position
      }
      const seen = texts(reader.handed.slice(0, 3))
      const rest = await bench.collect(await bench.open(), { channel, group: 'rest' }, { from: { positions } })
      await bench.arrived([rest], 3)
      await bench.quiet()
      eachOnce(
        rest.handed,
        numbers(0, 6).filter((text) => !seen.includes(text)),
      )
    },
  ),

  onTopics(
    'refuses to start elsewhere than with the latest where it keeps nothing',
    { needs: [that(({ replay }) => !replay, 'it can')] },
    async (bench) => {
      const place = await bench.place('topic')
      const transport = await bench.open()
      for (const from of ['earliest', { time: 0 }] as const) {
        const work = transport.receive({ channel: place.channel, group: 'late', from }, () => {})
        await refused(bench.done('the refusal', work), 'CAPABILITY_MISSING', 'starting in the past')
      }
    },
  ),
]

// What waits on one channel is not counted for another.
async function placeless(bench: Workbench, watcher: MessageTransport, place: Place): Promise<void> {
  const other = await bench.place(place.channel.kind)
  same((await bench.inspect(watcher, other)).waiting, 0, 'what waits on another channel')
  demand(placeAt(other).name !== place.channel.name, 'two channels of one name')
}
