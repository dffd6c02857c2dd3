// What is sent arrives, as it was sent, once and where it belongs.
import type { Envelope } from '../../../core/message.ts'
import { inEachMode, oneCase, type TransportCase } from '../case.ts'
import { acknowledged, demand, eachOnce, same } from '../expect.ts'
import { competing, givesBack, holds, independentKeys, keeps, that } from '../needs.ts'

const DIFFICULT = 'späß "quoted" 100% déjà-vu 日本語 🚢'

// One of each kind that some transport has got wrong.
const strange = (index: number): object => {
  switch (index % 10) {
    case 0:
      return { body: new Uint8Array(0) }
    case 1:
      return { body: Uint8Array.from({ length: 256 }, (_, byte) => byte) }
    case 2:
      return { text: DIFFICULT }
    case 3:
      return { headers: { 'x-tenant-id': DIFFICULT, plain: 'a' } }
    case 4:
      return { key: `key ${DIFFICULT}` }
    case 5:
      return { expiresAt: 4_102_444_800_123 }
    case 6:
      return { text: 'x'.repeat(20_000) }
    default:
      return { text: `plain ${index}`, headers: { number: String(index) } }
  }
}

const plain = (envelope: Envelope): unknown => ({
  id: envelope.id,
  key: envelope.key,
  priority: envelope.priority ?? 0,
  notBefore: envelope.notBefore,
  expiresAt: envelope.expiresAt,
  attributes: { ...envelope.attributes },
  headers: { ...envelope.headers },
  body: Buffer.from(envelope.body).toString('base64'),
})

export const deliveryCases: readonly TransportCase[] = [
  ...inEachMode(
    'hands out 100 messages as they were sent: body, attributes, headers, key, instants',
    { proves: ['mode=queue', 'mode=topic', 'acknowledged=memory'] },
    async (bench, mode) => {
      const place = await bench.place(mode)
      const [sender, other] = [await bench.open(), await bench.open()]
      const collector = await bench.collect(other, place, { credit: 20 })
      const sent = bench.messages(100, (index) => {
        const { attributes } = bench.message()
        return { ...strange(index), attributes: { ...attributes, subject: DIFFICULT, customextension: String(index) } }
      })
      for (let at = 0; at < sent.length; at += 10) await bench.send(sender, place.channel, sent.slice(at, at + 10))
      await bench.arrived([collector], sent.length)
      const byId = new Map(collector.handed.map(({ envelope }) => [envelope.id, envelope]))
      for (const envelope of sent) {
        const got = byId.get(envelope.id)
        demand(got !== undefined, `the message ${envelope.id} did not arrive`)
        same(plain(got), plain(envelope), 'a message was changed on its way')
        demand(got.body instanceof Uint8Array, 'the body is no Uint8Array')
      }
      demand(
        collector.handed.length === sent.length,
        `${collector.handed.length} deliveries of ${sent.length} messages`,
      )
    },
  ),

  ...inEachMode(
    'shares many messages among 50 receivers, each to one of them',
    { proves: ['competingConsumers'], needs: [competing], timeoutMs: 120_000 },
    async (bench, mode) => {
      const place = await bench.place(mode)
      const senders = [await bench.open(), await bench.open()]
      const processes = [
        await bench.open(),
        await bench.open(),
        await bench.open(),
        await bench.open(),
        await bench.open(),
      ]
      const collectors = await Promise.all(
        Array.from({ length: 50 }, (_, index) => bench.collect(processes[index % 5] as never, place, { credit: 20 })),
      )
      const sent = bench.messages(bench.heavy)
      const batches = Math.ceil(sent.length / 100)
      for (let at = 0; at < batches; at++)
        await bench.send(senders[at % 2] as never, place.channel, sent.slice(at * 100, at * 100 + 100))
      let seen = -1
      // As long as something comes it is not slow but busy.
      while (bench.log.length < sent.length && seen !== bench.log.length) {
        seen = bench.log.length
        await bench.until('the next message', () => bench.log.length > seen).catch(() => {})
      }
      await bench.quiet()
      eachOnce(
        bench.log,
        sent.map((_, index) => String(index)),
      )
      demand(
        collectors.every(({ held }) => held.length === 0),
        'something is still held',
      )
    },
  ),

  ...inEachMode(
    'gives receivers that have room for it their part',
    { proves: ['competingConsumers'], needs: [competing, independentKeys] },
    async (bench, mode) => {
      const place = await bench.place(mode)
      const sender = await bench.open()
      const collectors = [
        await bench.collect(await bench.open(), place, { credit: 20, react: 'hold' }),
        await bench.collect(await bench.open(), place, { credit: 20, react: 'hold' }),
      ]
      await bench.send(sender, place.channel, bench.messages(40))
      await bench.until(
        'both receivers to get something',
        () => collectors.every(({ handed }) => handed.length > 0),
        () => `they got ${collectors.map(({ handed }) => handed.length).join(' and ')}`,
      )
    },
  ),

  ...inEachMode('keeps 20 channels apart', {}, async (bench, mode) => {
    const sender = await bench.open()
    const receiver = await bench.open()
    const channels = await Promise.all(
      Array.from({ length: 20 }, async (_, number) => {
        const place = await bench.place(mode, { purpose: `apart-${number}` })
        return { place, number, collector: await bench.collect(receiver, place) }
      }),
    )
    await Promise.all(
      channels.map(({ place, number }) =>
        bench.send(
          sender,
          place.channel,
          bench.messages(10, (index) => ({ text: `${number}/${index}` })),
        ),
      ),
    )
    for (const { collector, number } of channels) {
      await bench.arrived([collector], 10)
      eachOnce(
        collector.handed,
        Array.from({ length: 10 }, (_, index) => `${number}/${index}`),
      )
    }
    await bench.quiet()
    demand(bench.log.length === 200, `${bench.log.length} deliveries of 200 messages`)
  }),

  ...inEachMode('does not hand out again what was acknowledged', { needs: [keeps] }, async (bench, mode) => {
    const place = await bench.place(mode)
    const sender = await bench.open()
    const first = await bench.collect(await bench.open(), place)
    await bench.send(sender, place.channel, bench.messages(10))
    await bench.arrived([first], 10)
    await bench.quiet()
    await first.close()
    const second = await bench.collect(await bench.open(), place)
    await bench.send(sender, place.channel, [bench.message({ text: 'last' })])
    await bench.arrived([second], 1)
    await bench.quiet()
    same(
      second.handed.map(({ text }) => text),
      ['last'],
      'what was acknowledged came again',
    )
  }),

  ...inEachMode(
    'starts again after a close with what was left, five times, and loses nothing',
    { proves: ['delivery=at-least-once'], needs: [keeps, givesBack] },
    async (bench, mode) => {
      const place = await bench.place(mode)
      const sender = await bench.open()
      const sent = bench.messages(100)
      await bench.collect(await bench.open(), place, { credit: 0 }).then((first) => first.close())
      await bench.send(sender, place.channel, sent.slice(0, 50))
      for (let round = 0; round < 5; round++) {
        // Settles two of three and is closed in the middle of the rest.
        const collector = await bench.collect(await bench.open(), place, {
          credit: 9,
          refill: false,
          react: ({ order }) => (order % 3 === 0 ? 'hold' : 'ack'),
        })
        await bench.until('a delivery', () => collector.handed.length > 0)
        await bench.send(sender, place.channel, sent.slice(50 + round * 10, 60 + round * 10))
        await collector.close()
      }
      const last = await bench.collect(await bench.open(), place)
      await bench.until(
        'all the messages',
        () => acknowledged(bench.log).size >= 100,
        () => {
          const settled = bench.log.filter((each) => each.settled !== undefined)
          const [handed, done] = [bench.log, settled].map((list) => new Set(list.map(({ text }) => text)).size)
          return `of 100 messages ${handed} were handed out and ${done} settled`
        },
      )
      demand(last.handed.length > 0, 'nothing was left for the last receiver')
    },
  ),

  ...inEachMode(
    'goes on with another receiver when one closes in mid-stream',
    { proves: ['delivery=at-least-once'], needs: [competing, givesBack] },
    async (bench, mode) => {
      const place = await bench.place(mode)
      const sender = await bench.open()
      const closing = await bench.collect(await bench.open(), place, { credit: 10, react: 'hold' })
      const sent = bench.messages(40)
      await bench.send(sender, place.channel, sent)
      await bench.until('a delivery', () => closing.handed.length > 0)
      await bench.collect(await bench.open(), place)
      await closing.close()
      await bench.until(
        'all to be acknowledged',
        () => acknowledged(bench.log).size >= 40,
        () => `${acknowledged(bench.log).size} of 40 were`,
      )
    },
  ),

  ...inEachMode('goes on after failures of handlers', { needs: [givesBack] }, async (bench, mode) => {
    const place = await bench.place(mode)
    const tries = new Map<string, number>()
    const sender = await bench.open()
    const collector = await bench.collect(await bench.open(), place, {
      credit: 5,
      react: ({ text }) => {
        const times = (tries.get(text) ?? 0) + 1
        tries.set(text, times)
        // Every third fails once, every ninth twice.
        return times <= (Number(text) % 9 === 0 ? 2 : Number(text) % 3 === 0 ? 1 : 0) ? 'retry' : 'ack'
      },
    })
    await bench.send(sender, place.channel, bench.messages(45))
    await bench.arrived([collector], 45 + 10 + 10)
    await bench.quiet()
    for (let index = 0; index < 45; index++) {
      const times = index % 9 === 0 ? 3 : index % 3 === 0 ? 2 : 1
      demand(
        tries.get(String(index)) === times,
        `${index} was handed out ${tries.get(String(index))} times, not ${times}`,
      )
    }
  }),

  ...inEachMode(
    'answers every send that was under way when it is closed, and keeps what it accepted',
    { needs: [keeps, holds], proves: ['acknowledged=memory', 'acknowledged=configured'] },
    async (bench, mode) => {
      const place = await bench.place(mode)
      const receiver = await bench.open()
      const collector = await bench.collect(receiver, place, { credit: 50 })
      const sender = await bench.open()
      const sent = bench.messages(50)
      const sends = Promise.all(sent.map((each) => sender.send(place.channel, [each], bench.context().context)))
      await bench.done('closing the sender', sender.close())
      const verdicts = (await bench.done('the sends that were under way', sends)).map(([verdict]) => verdict)
      const accepted = sent.flatMap((_, index) => (verdicts[index]?.status === 'accepted' ? [String(index)] : []))
      for (const verdict of verdicts)
        demand(verdict?.status === 'accepted' || verdict?.status === 'failed', `a verdict was ${verdict?.status}`)
      await bench.until(
        'all that was accepted',
        () => accepted.every((text) => collector.handed.some((each) => each.text === text)),
        () => `${collector.handed.length} of ${accepted.length} came`,
      )
    },
  ),

  oneCase(
    'answers a send once a receiver has handled the message, and not before',
    {
      proves: ['acknowledged=handled'],
      needs: [that(({ acknowledged }) => acknowledged === 'handled', 'a send is answered before a message is handled')],
    },
    async (bench, mode) => {
      const place = await bench.place(mode)
      const sender = await bench.open()
      const collector = await bench.collect(await bench.open(), place, { react: 'hold' })
      let answered = 0
      const work = sender.send(place.channel, [bench.message({ text: 'good' })], bench.context().context)
      void work.then(() => answered++)
      await bench.arrived([collector], 1)
      await bench.quiet()
      demand(answered === 0, 'the send was answered before the message was handled')
      await collector.settle(collector.handed[0] as never, 'ack')
      const [good] = await bench.done('the answer to the send', work)
      demand(good?.status === 'accepted', 'what was acknowledged was not accepted')
      const other = sender.send(place.channel, [bench.message({ text: 'bad' })], bench.context().context)
      await bench.arrived([collector], 2)
      await collector.settle(collector.handed[1] as never, 'dead', { reason: 'cannot be handled' })
      const [bad] = await bench.done('the answer to the send', other)
      demand(bad?.status === 'failed', 'what the receiver gave up was accepted')
    },
  ),

  ...inEachMode('takes 1,000 messages in one call', {}, async (bench, mode) => {
    const place = await bench.place(mode)
    const sender = await bench.open()
    const collector = await bench.collect(await bench.open(), place, { credit: 100 })
    await bench.send(sender, place.channel, bench.messages(1_000))
    await bench.arrived([collector], 1_000)
    eachOnce(
      collector.handed,
      Array.from({ length: 1_000 }, (_, index) => String(index)),
    )
  }),
]
