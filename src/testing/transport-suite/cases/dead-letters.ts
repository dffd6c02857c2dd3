// Messages that are given up: out of the way, in sight, and back on demand.
import type { MessageTransport } from '../../../core/contracts/transport.ts'
import { inEachMode, onTopics, type TransportCase } from '../case.ts'
import { demand, eachOnce, same } from '../expect.ts'
import type { Mode } from '../lab.ts'
import { competing, deadLetters, that } from '../needs.ts'
import { type Place, placeAt, texts, type Workbench } from '../workbench.ts'

const PROVES = ['deadLetters=native', 'deadLetters=emulated']
const POISON = 500

// Where a send is a delivery, the sender is who keeps what was given up.
const begin = async (
  bench: Workbench,
  mode: Mode,
): Promise<{ place: Place; sender: MessageTransport; keeper: MessageTransport }> => {
  const place = await bench.place(mode)
  const sender = await bench.open()
  return { place, sender, keeper: bench.capabilities.deadLetters === 'native' ? await bench.open() : sender }
}

const known = (bench: Workbench, keeper: MessageTransport, place: Place, count: number): Promise<void> =>
  bench.until(`${count} dead letters`, async () => (await bench.deadLetters(keeper, placeAt(place))).length >= count)

export const deadLetterCases: readonly TransportCase[] = [
  ...inEachMode(
    'keeps what was given up, with its content, its reason and its time',
    { proves: PROVES, needs: [deadLetters] },
    async (bench, mode) => {
      const { place, sender, keeper } = await begin(bench, mode)
      const collector = await bench.collect(await bench.open(), place, {
        react: ({ text }) =>
          text === 'bad' ? { verdict: 'dead', options: { reason: 'no such order: "42" späß' } } : 'ack',
      })
      const from = bench.clock.wallNow()
      const bad = bench.message({ text: 'bad', key: 'k', headers: { 'x-tenant-id': 'späß' } })
      await bench.send(sender, place.channel, [bad, bench.message({ text: 'good', key: 'other' })])
      await bench.arrived([collector], 2)
      await known(bench, keeper, place, 1)
      await bench.quiet()
      demand(collector.handed.length === 2, 'what was given up was handed out again')
      const letters = await bench.deadLetters(keeper, placeAt(place))
      demand(letters.length === 1, `${letters.length} dead letters instead of one`)
      const [letter] = letters
      same(
        {
          ...letter?.envelope,
          body: Buffer.from(letter?.envelope.body ?? []).toString(),
          priority: letter?.envelope.priority ?? 0,
          notBefore: undefined,
          expiresAt: undefined,
          attributes: { ...letter?.envelope.attributes },
          headers: { ...letter?.envelope.headers },
        },
        { ...bad, body: 'bad', priority: 0, notBefore: undefined, expiresAt: undefined },
        'the envelope of the dead letter',
      )
      demand(letter?.reason.includes('no such order: "42" späß') === true, `the reason was ${letter?.reason}`)
      // A broker has a clock of its own.
      demand(Math.abs((letter?.at ?? 0) - from) < 3_600_000, `the time ${letter?.at} is not that of now, ${from}`)
    },
  ),

  ...inEachMode(
    'lists dead letters oldest first, as many as were asked for',
    { proves: PROVES, needs: [deadLetters] },
    async (bench, mode) => {
      const { place, sender, keeper } = await begin(bench, mode)
      const collector = await bench.collect(await bench.open(), place, {
        credit: 1,
        react: { verdict: 'dead', options: { reason: 'bad' } },
      })
      for (let number = 0; number < 5; number++) {
        await bench.send(sender, place.channel, [bench.message({ text: String(number) })])
        await bench.arrived([collector], number + 1)
        await known(bench, keeper, place, number + 1)
      }
      const textsOf = async (limit: number): Promise<readonly string[]> =>
        (await bench.deadLetters(keeper, placeAt(place), limit)).map(({ envelope }) =>
          Buffer.from(envelope.body).toString(),
        )
      same(await textsOf(100), ['0', '1', '2', '3', '4'], 'all dead letters')
      same(await textsOf(2), ['0', '1'], 'the first two')
    },
  ),

  ...inEachMode(
    'puts dead letters back by id, and all, as if they had never been handed out',
    { proves: PROVES, needs: [deadLetters] },
    async (bench, mode) => {
      const { place, sender, keeper } = await begin(bench, mode)
      let mended = false
      const collector = await bench.collect(await bench.open(), place, {
        react: () => (mended ? 'ack' : { verdict: 'dead', options: { reason: 'bad' } }),
      })
      const sent = bench.messages(4, (index) => ({ text: String(index), key: `k${index}` }))
      await bench.send(sender, place.channel, sent)
      await bench.arrived([collector], 4)
      await known(bench, keeper, place, 4)
      mended = true
      same(
        await bench.redrive(keeper, placeAt(place), [sent[2]?.id ?? '', 'no such id']),
        1,
        'how many were put back by id',
      )
      await bench.arrived([collector], 5)
      same(collector.handed[4]?.text, '2', 'what was put back by id')
      if (bench.capabilities.redeliveryCount !== 'none')
        same(collector.handed[4]?.delivery.redeliveries, 0, 'redeliveries of what was put back')
      await bench.until(
        'it to leave the dead letters',
        async () => (await bench.deadLetters(keeper, placeAt(place))).length === 3,
      )
      same(await bench.redrive(keeper, placeAt(place), 'all'), 3, 'how many were put back in all')
      await bench.arrived([collector], 8)
      eachOnce(collector.handed.slice(4), ['0', '1', '2', '3'])
      await bench.until(
        'the dead letters to be none',
        async () => (await bench.deadLetters(keeper, placeAt(place))).length === 0,
      )
      same(await bench.redrive(keeper, placeAt(place), 'all'), 0, 'how many were put back of none')
      await bench.quiet()
      demand(collector.handed.length === 8, 'something came twice')
    },
  ),

  onTopics('gives a message up for one group only', { proves: PROVES, needs: [deadLetters] }, async (bench) => {
    const { channel } = await bench.place('topic', { groups: ['first', 'second'] })
    const sender = await bench.open()
    const [first, second] = [
      { channel, group: 'first' },
      { channel, group: 'second' },
    ]
    let mended = false
    const strict = await bench.collect(await bench.open(), first, {
      react: () => (mended ? 'ack' : { verdict: 'dead', options: { reason: 'bad' } }),
    })
    const tolerant = await bench.collect(await bench.open(), second)
    await bench.send(sender, channel, bench.messages(3))
    await bench.arrived([strict], 3)
    await bench.arrived([tolerant], 3)
    await known(bench, sender, first, 3)
    same((await bench.deadLetters(sender, placeAt(second))).length, 0, 'dead letters of the group that had no trouble')
    mended = true
    same(await bench.redrive(sender, placeAt(second), 'all'), 0, 'how many of the other group were put back')
    same(await bench.redrive(sender, placeAt(first), 'all'), 3, 'how many were put back')
    await bench.arrived([strict], 6)
    await bench.quiet()
    demand(tolerant.handed.length === 3, 'the other group got what was put back')
  }),

  ...inEachMode(
    'lets good messages through a flood of 500 bad ones',
    { needs: [deadLetters], timeoutMs: 60_000 },
    async (bench, mode) => {
      const { place, sender } = await begin(bench, mode)
      const members = bench.capabilities.competingConsumers ? 2 : 1
      const collectors = []
      for (let member = 0; member < members; member++)
        collectors.push(
          await bench.collect(await bench.open(), place, {
            credit: 20,
            react: ({ text }) => (text.startsWith('good') ? 'ack' : { verdict: 'dead', options: { reason: 'poison' } }),
          }),
        )
      const all = bench.messages(POISON + 50, (index) => ({
        text: index % 11 === 10 ? `good ${index}` : `bad ${index}`,
        key: `k${index % 20}`,
      }))
      for (let at = 0; at < all.length; at += 50) await bench.send(sender, place.channel, all.slice(at, at + 50))
      await bench.arrived(collectors, all.length)
      await bench.quiet()
      eachOnce(
        bench.log,
        all.map(({ body }) => Buffer.from(body).toString()),
      )
    },
  ),

  ...inEachMode(
    'goes on with a key whose message was given up',
    { needs: [that(({ order }) => order !== 'none', 'it keeps no order'), deadLetters, competing] },
    async (bench, mode) => {
      const { place, sender } = await begin(bench, mode)
      const collector = await bench.collect(await bench.open(), place, {
        credit: 1,
        react: ({ text }) => (text === 'k#0' ? { verdict: 'dead', options: { reason: 'bad' } } : 'ack'),
      })
      await bench.send(
        sender,
        place.channel,
        bench.messages(3, (index) => ({ key: 'k', text: `k#${index}` })),
      )
      await bench.arrived([collector], 3)
      same(texts(collector.handed), ['k#0', 'k#1', 'k#2'], 'the order')
    },
  ),
]
