// Topics: every group gets each message, members compete, live subscribers get what comes while they are there; and private places for replies.
import { oneCase, onTopics, type TransportCase } from '../case.ts'
import { demand, eachOnce, failure, refused, same } from '../expect.ts'
import { competing, holds, keeps, that } from '../needs.ts'
import { type Place, texts } from '../workbench.ts'

const numbers = (from: number, to: number): readonly string[] =>
  Array.from({ length: to - from }, (_, index) => String(from + index))
const live = ({ channel }: Place): Place => ({ channel })

export const groupCases: readonly TransportCase[] = [
  onTopics(
    'gives each group every message, and each member of a group its part',
    { proves: ['mode=topic'] },
    async (bench) => {
      const place = await bench.place('topic', { groups: ['first', 'second', 'third'] })
      const sender = await bench.open()
      const members = bench.capabilities.competingConsumers ? 3 : 1
      const groups = []
      for (const group of ['first', 'second', 'third']) {
        const collectors = []
        for (let member = 0; member < members; member++)
          collectors.push(await bench.collect(await bench.open(), { channel: place.channel, group }))
        groups.push(collectors)
      }
      await bench.send(sender, place.channel, bench.messages(60))
      for (const collectors of groups) {
        await bench.arrived(collectors, 60)
        eachOnce(
          collectors.flatMap(({ handed }) => handed),
          numbers(0, 60),
        )
      }
      await bench.quiet()
      demand(bench.log.length === 180, `${bench.log.length} deliveries of 60 messages to three groups`)
    },
  ),

  onTopics(
    'settles a message for one group only',
    { needs: [that(({ nack }) => nack !== 'none', 'nothing can be given back')] },
    async (bench) => {
      const place = await bench.place('topic', { groups: ['first', 'second'] })
      const sender = await bench.open()
      const second = { channel: place.channel, group: 'second' }
      let failed = false
      const patient = await bench.collect(await bench.open(), place, {
        react: () => {
          if (failed) return 'ack'
          failed = true
          return 'retry'
        },
      })
      const other = await bench.collect(await bench.open(), second)
      await bench.send(sender, place.channel, bench.messages(1))
      await bench.arrived([patient], 2)
      await bench.quiet()
      demand(patient.handed.length === 2, `the group that gave it back got it ${patient.handed.length} times`)
      demand(other.handed.length === 1, `the other group got it ${other.handed.length} times`)
    },
  ),

  onTopics('starts a new group with what is sent after it was made', { needs: [holds] }, async (bench) => {
    const place = await bench.place('topic', { groups: ['early'] })
    const sender = await bench.open()
    const early = await bench.collect(await bench.open(), place)
    await bench.send(sender, place.channel, bench.messages(5))
    await bench.arrived([early], 5)
    const late = await bench.collect(await bench.open(), { channel: place.channel, group: 'late' })
    await bench.send(
      sender,
      place.channel,
      bench.messages(5, (index) => ({ text: String(5 + index) })),
    )
    await bench.arrived([late], 5)
    await bench.quiet()
    eachOnce(late.handed, numbers(5, 10))
  }),

  onTopics(
    'keeps for a group that is away what is sent meanwhile',
    {
      proves: ['durableSubscriptions'],
      needs: [
        that(({ durableSubscriptions }) => durableSubscriptions, 'nothing is kept for a subscriber that is away'),
      ],
    },
    async (bench) => {
      const place = await bench.place('topic')
      const sender = await bench.open()
      const before = await bench.open()
      const first = await bench.collect(before, place)
      await bench.send(sender, place.channel, bench.messages(3))
      await bench.arrived([first], 3)
      await bench.quiet()
      await bench.done('closing the only process', before.close())
      await bench.send(
        sender,
        place.channel,
        bench.messages(5, (index) => ({ text: String(3 + index) })),
      )
      const back = await bench.collect(await bench.open(), place)
      await bench.arrived([back], 5)
      await bench.quiet()
      eachOnce(back.handed, numbers(3, 8))
    },
  ),

  onTopics('gives a live subscriber what is sent while it is there, and each of them all', {}, async (bench) => {
    const place = await bench.place('topic')
    const sender = await bench.open()
    const group = await bench.collect(await bench.open(), place)
    await bench.send(sender, place.channel, bench.messages(3))
    await bench.arrived([group], 3)
    const first = await bench.collect(await bench.open(), live(place))
    const second = await bench.collect(await bench.open(), live(place))
    await bench.send(
      sender,
      place.channel,
      bench.messages(3, (index) => ({ text: String(3 + index) })),
    )
    await bench.arrived([first], 3)
    await bench.arrived([second], 3)
    await bench.quiet()
    eachOnce(first.handed, numbers(3, 6))
    eachOnce(second.handed, numbers(3, 6))
    await first.close()
    await bench.send(
      sender,
      place.channel,
      bench.messages(3, (index) => ({ text: String(6 + index) })),
    )
    await bench.arrived([second], 6)
    const again = await bench.collect(await bench.open(), live(place))
    await bench.send(sender, place.channel, [bench.message({ text: '9' })])
    await bench.arrived([again], 1)
    await bench.quiet()
    eachOnce(again.handed, ['9'])
    eachOnce(group.handed, numbers(0, 10))
  }),

  onTopics('drops a group with what waits for it, and no other', { needs: [keeps] }, async (bench) => {
    const place = await bench.place('topic', { groups: ['used', 'left'] })
    const transport = await bench.open()
    // One whose groups keep nothing has nothing to drop.
    if (transport.dropGroup === undefined) return
    const left = { ...place.channel, group: 'left' }
    await bench.send(transport, place.channel, bench.messages(5))
    await bench.done('dropping the group', transport.dropGroup(left))
    await refused(bench.done('the check', transport.prepare([left], 'check')), 'CHANNEL_NOT_FOUND', 'a dropped group')
    await bench.done('dropping it again', transport.dropGroup(left))
    await bench.done('making it again', transport.prepare([left], 'create'))
    await bench.send(
      transport,
      place.channel,
      bench.messages(3, (index) => ({ text: String(5 + index) })),
    )
    const used = await bench.collect(await bench.open(), place)
    const again = await bench.collect(await bench.open(), { channel: place.channel, group: 'left' })
    await bench.arrived([used], 8)
    await bench.arrived([again], 3)
    await bench.quiet()
    eachOnce(used.handed, numbers(0, 8))
    eachOnce(again.handed, numbers(5, 8))
  }),

  onTopics('lets members of a group take over from each other', { needs: [competing, keeps] }, async (bench) => {
    const place = await bench.place('topic')
    const sender = await bench.open()
    const first = await bench.collect(await bench.open(), place)
    await bench.send(sender, place.channel, bench.messages(10))
    await bench.arrived([first], 10)
    const second = await bench.collect(await bench.open(), place)
    await first.close()
    await bench.send(
      sender,
      place.channel,
      bench.messages(10, (index) => ({ text: String(10 + index) })),
    )
    await bench.arrived([second], 10)
    await bench.quiet()
    eachOnce(bench.log, numbers(0, 20))
  }),

  oneCase(
    'makes a private place for a receiver, which goes away with it',
    { proves: ['temporary'], needs: [that(({ temporary }) => temporary, 'it has no private places')] },
    async (bench, mode) => {
      const channel = bench.unused(mode, 'replies')
      const owner = await bench.open()
      const sender = await bench.open()
      const replies = await bench.collect(owner, { channel }, { temporary: true })
      const others = await bench.collect(owner, { channel: bench.unused(mode, 'replies') }, { temporary: true })
      demand(replies.address.name !== others.address.name, 'two private places have one address')
      await bench.send(sender, replies.address, bench.messages(3))
      await bench.arrived([replies], 3)
      await bench.quiet()
      eachOnce(replies.handed, numbers(0, 3))
      demand(others.handed.length === 0, 'it got what was meant for another private place')
      const { address } = replies
      await replies.close()
      const detected = bench.capabilities.unroutable === 'detected'
      const late = [bench.message({ text: 'too late' })]
      // Where nobody finds out it may wait for ever.
      const [verdict] = await bench.attempt(sender, address, late, detected ? undefined : 2_000)
      if (detected) {
        const { code } = failure(verdict, 'a message to a private place that is gone', 'none')
        demand(code === 'UNROUTABLE' || code === 'CHANNEL_NOT_FOUND', `refused with ${code} instead of UNROUTABLE`)
      }
      const next = await bench.collect(owner, { channel }, { temporary: true })
      await bench.send(sender, next.address, [bench.message({ text: 'new' })])
      await bench.arrived([next], 1)
      await bench.quiet()
      same(
        texts(next.handed),
        ['new'],
        `what was sent to the private place that is gone (${verdict?.status}) came later`,
      )
    },
  ),

  oneCase(
    'refuses a private place where it has none',
    { needs: [that(({ temporary }) => !temporary, 'it has private places')] },
    async (bench, mode) => {
      const transport = await bench.open()
      const work = transport.receive({ channel: bench.unused(mode, 'replies'), temporary: true }, () => {})
      await refused(bench.done('the refusal', work), 'CAPABILITY_MISSING', 'a private place')
    },
  ),
]
