// Verdicts: one each, in order, with what is known of the effect; and what is refused before anything is sent.
import { envelopeBytes } from '../../../core/envelope.ts'
import type { Envelope } from '../../../core/message.ts'
import { inEachMode, oneCase, type TransportCase } from '../case.ts'
import { demand, eachOnce, failure, refused, rejection, same } from '../expect.ts'
import { holds, ordered, that } from '../needs.ts'
import { explain, type MessageSpec, texts, type Workbench } from '../workbench.ts'

const bounded = that(({ maxPayloadBytes }) => Number.isFinite(maxPayloadBytes), 'a message may be of any size')

// So large that it is just so many bytes above the limit (0: exactly at it).
const atLimit = (bench: Workbench, above: number, spec: MessageSpec = {}): Envelope => {
  const empty = bench.message({ ...spec, body: new Uint8Array(0) })
  const room = bench.capabilities.maxPayloadBytes - envelopeBytes(empty) + above
  return { ...empty, body: new Uint8Array(room).fill(0x61) }
}

export const sendingCases: readonly TransportCase[] = [
  ...inEachMode(
    'takes a message of exactly the largest size',
    { proves: ['maxPayloadBytes'], needs: [bounded], timeoutMs: 120_000 },
    async (bench, mode) => {
      const place = await bench.place(mode)
      const sender = await bench.open()
      const collector = await bench.collect(await bench.open(), place)
      const message = atLimit(bench, 0, { headers: { 'x-some': 'späß' }, key: 'k' })
      await bench.send(sender, place.channel, [message])
      await bench.arrived([collector], 1)
      same(collector.handed[0]?.envelope.body.byteLength, message.body.byteLength, 'the size of the body')
    },
  ),

  ...inEachMode(
    'refuses one byte more before sending, and sends the others of the call',
    { proves: ['maxPayloadBytes'], needs: [bounded], timeoutMs: 120_000 },
    async (bench, mode) => {
      const place = await bench.place(mode)
      const sender = await bench.open()
      const collector = await bench.collect(await bench.open(), place)
      const [before, after] = [bench.message({ text: 'before' }), bench.message({ text: 'after' })]
      const verdicts = await bench.attempt(sender, place.channel, [before, atLimit(bench, 1), after])
      same(
        verdicts.map(({ status }) => status),
        ['accepted', 'failed', 'accepted'],
        'the verdicts',
      )
      const error = failure(verdicts[1], 'a message that is too large', 'none')
      demand(error.code === 'PAYLOAD_TOO_LARGE', `refused with ${error.code} instead of PAYLOAD_TOO_LARGE`)
      const inHeaders = { ...bench.message(), headers: { 'x-large': 'x'.repeat(bench.capabilities.maxPayloadBytes) } }
      const [second] = await bench.attempt(sender, place.channel, [inHeaders])
      demand(failure(second, 'headers that are too large', 'none').code === 'PAYLOAD_TOO_LARGE', explain(second))
      await bench.arrived([collector], 2)
      await bench.quiet()
      eachOnce(collector.handed, ['before', 'after'])
    },
  ),

  ...inEachMode(
    'fails those of a key that stand behind a failed one of the same call, and no others',
    { needs: [ordered, bounded], timeoutMs: 120_000 },
    async (bench, mode) => {
      const place = await bench.place(mode)
      const sender = await bench.open()
      const collector = await bench.collect(await bench.open(), place)
      const verdicts = await bench.attempt(sender, place.channel, [
        bench.message({ key: 'k', text: 'k#0' }),
        atLimit(bench, 1, { key: 'k' }),
        bench.message({ key: 'k', text: 'k#2' }),
        bench.message({ key: 'other', text: 'other' }),
        bench.message({ text: 'without a key' }),
      ])
      const last = bench.capabilities.order === 'channel' ? verdicts.slice(0, 3) : verdicts
      same(
        last.map(({ status }) => status),
        ['accepted', 'failed', 'failed', 'accepted', 'accepted'].slice(0, last.length),
        'the verdicts',
      )
      failure(verdicts[2], 'the one behind', 'none')
      const accepted = ['k#0', '', 'k#2', 'other', 'without a key'].filter(
        (_, at) => verdicts[at]?.status === 'accepted',
      )
      await bench.arrived([collector], accepted.length)
      await bench.quiet()
      eachOnce(collector.handed, accepted)
    },
  ),

  ...inEachMode('answers with one verdict for each message, in order', {}, async (bench, mode) => {
    const place = await bench.place(mode)
    const sender = await bench.open()
    const collector = await bench.collect(await bench.open(), place, { credit: 100 })
    same(await bench.attempt(sender, place.channel, []), [], 'the verdicts for no message')
    for (const size of [1, 2, 100]) {
      const verdicts = await bench.attempt(
        sender,
        place.channel,
        bench.messages(size, (index) => ({ text: `${size}/${index}` })),
      )
      same(
        verdicts.map(({ status }) => status),
        Array.from({ length: size }, () => 'accepted'),
        `the verdicts for ${size}`,
      )
    }
    await bench.arrived([collector], 103)
  }),

  oneCase('does not send what comes after its deadline or after its call was aborted', {}, async (bench, mode) => {
    const place = await bench.place(mode)
    const sender = await bench.open()
    const collector = await bench.collect(await bench.open(), place)
    const send = async (what: string, context: ReturnType<Workbench['context']>['context']) => {
      const verdicts = await bench.done(
        'the verdicts',
        sender.send(place.channel, [bench.message({ text: what }), bench.message({ text: `${what} too` })], context),
      )
      demand(verdicts.length === 2, `${verdicts.length} verdicts for 2 messages`)
      return verdicts.map((verdict) => failure(verdict, what, 'none'))
    }
    const spent = bench.context(1)
    await bench.pass(5)
    for (const error of await send('after its deadline', spent.context))
      demand(error.kind === 'rejected' || error.kind === 'timing', `after its deadline: refused with ${error.code}`)
    const aborted = bench.context()
    aborted.abort(new Error('the caller gave up'))
    for (const error of await send('after the abort', aborted.context))
      demand(error.kind === 'cancelled', `after the abort: refused with ${error.code}`)
    await bench.send(sender, place.channel, [bench.message({ text: 'fine' })])
    await bench.arrived([collector], 1)
    await bench.quiet()
    same(texts(collector.handed), ['fine'], 'what was handed out')
  }),

  ...inEachMode(
    'refuses what goes to a channel that is not there',
    {
      proves: ['unroutable=detected'],
      needs: [that(({ unroutable }) => unroutable === 'detected', 'it does not find out')],
    },
    async (bench, mode) => {
      const sender = await bench.open()
      const verdicts = await bench.attempt(sender, bench.unused(mode, 'nowhere'), bench.messages(2))
      for (const verdict of verdicts) {
        const { code } = failure(verdict, 'a message to nowhere', 'none')
        demand(code === 'UNROUTABLE' || code === 'CHANNEL_NOT_FOUND', `refused with ${code} instead of UNROUTABLE`)
      }
    },
  ),

  ...inEachMode(
    'makes a channel with the first message to it',
    {
      proves: ['unroutable=impossible'],
      needs: [that(({ unroutable }) => unroutable === 'impossible', 'a channel has to be made'), holds],
    },
    async (bench, mode) => {
      const sender = await bench.open()
      const channel = bench.unused(mode, 'made')
      await bench.send(sender, channel, bench.messages(1))
      const collector = await bench.collect(
        await bench.open(),
        mode === 'topic' ? { channel, group: 'main' } : { channel },
      )
      await bench.send(
        sender,
        channel,
        bench.messages(1, () => ({ text: 'second' })),
      )
      await bench.until('the second', () => collector.handed.some(({ text }) => text === 'second'))
    },
  ),

  ...inEachMode(
    'makes channels that are not there, leaves those that are, and names what is missing',
    {},
    async (bench, mode) => {
      const channel = bench.unused(mode, 'prepared')
      const transport = await bench.open()
      const places = mode === 'topic' ? [{ ...channel, group: 'main' }] : [channel]
      const prepare = (how: 'create' | 'check'): Promise<void> =>
        bench.done(`preparing (${how})`, transport.prepare(places, how))
      if (bench.capabilities.unroutable === 'detected' && bench.capabilities.acknowledged !== 'handled') {
        const { code, message } = await rejection(prepare('check'), 'checking what is not there')
        demand(code === 'CHANNEL_NOT_FOUND', `refused with ${code} instead of CHANNEL_NOT_FOUND`)
        demand(message.includes(channel.name), `the message does not name ${channel.name}: ${message}`)
      }
      await prepare('create')
      const collector = await bench.collect(
        await bench.open(),
        mode === 'topic' ? { channel, group: 'main' } : { channel },
        { credit: 1 },
      )
      await bench.send(transport, channel, bench.messages(3))
      await prepare('create')
      await prepare('check')
      await bench.arrived([collector], 3)
      await prepare('create')
      await bench.quiet()
      demand(collector.handed.length === 3, 'preparing again changed what was there')
    },
  ),

  oneCase(
    'refuses modes that it has not',
    { needs: [that(({ modes }) => modes.length === 1, 'it has queues and topics')] },
    async (bench, mode) => {
      const channel = bench.unused(mode === 'queue' ? 'topic' : 'queue', 'other')
      const transport = await bench.open()
      await refused(bench.done('preparing', transport.prepare([channel], 'create')), 'CAPABILITY_MISSING', 'preparing')
      await refused(
        bench.done(
          'receiving',
          transport.receive({ channel }, () => {}),
        ),
        'CAPABILITY_MISSING',
        'receiving',
      )
      const [verdict] = await bench.attempt(transport, channel, bench.messages(1), 2_000)
      failure(verdict, 'sending', 'none')
    },
  ),
]
