// A broker that stops, restarts, is cut off or falls silent: nothing that was accepted is lost, nothing hangs, and every error says what it is.
import type { MessageTransport } from '../../../core/contracts/transport.ts'
import type { Envelope } from '../../../core/message.ts'
import { inEachMode, oneCase, type TransportCase } from '../case.ts'
import type { Handed } from '../collector.ts'
import { acknowledged, classified, demand, failure, noneLost } from '../expect.ts'
import { cut, freeze, givesBack, keeps, restart, stop, that } from '../needs.ts'
import { explain, type Place, type Workbench } from '../workbench.ts'

const LONG_MS = 300_000
const TRY_MS = 1_000
const SLOW_MS = 20
// How long a broker is away: long enough that whoever asks it now and then has asked in vain.
const AWAY_MS = 2_000
const persistent = that((capabilities) => capabilities.persistent, 'a restart loses what it holds')

// As a relay does: the same message again until its fate is known. What each failure says is judged.
const persist = async (bench: Workbench, sender: MessageTransport, place: Place, envelope: Envelope): Promise<void> => {
  let last = ''
  await bench.until(
    'a message to be accepted',
    async () => {
      const [verdict] = await bench.attempt(sender, place.channel, [envelope], TRY_MS)
      last = explain(verdict)
      if (verdict?.status !== 'failed') return true
      const error = failure(verdict, 'sending while the broker is troubled')
      demand(error.effect !== 'done', `the effect of a failed send is ${error.effect}`)
      await bench.quiet(20)
      return false
    },
    () => `the last verdict: ${last}`,
  )
}

const all = (bench: Workbench, count: number): Promise<void> =>
  bench.until(
    `${count} messages to be acknowledged`,
    () => acknowledged(bench.log).size >= count,
    () => `${acknowledged(bench.log).size} were`,
  )

const judgeEnds = (ends: readonly unknown[]): void => {
  for (const end of ends) classified(end, 'the end of a subscription')
}

// Sends in a stream while `trouble` happens to the broker in its middle.
const troubled = async (bench: Workbench, place: Place, trouble: (at: number) => Promise<void>): Promise<void> => {
  const sender = await bench.open()
  // Slower than the sender, so that something waits and something is held when trouble comes.
  const react = async (): Promise<'ack'> => {
    await bench.quiet(SLOW_MS)
    return 'ack'
  }
  const collector = await bench.collect(await bench.open(), place, { credit: 5, again: true, react })
  const sent = bench.messages(60)
  for (const [at, envelope] of sent.entries()) {
    if (at % 20 === 10) await trouble(at)
    await persist(bench, sender, place, envelope)
  }
  await all(bench, 60)
  noneLost(
    bench.log,
    sent.map((_, index) => String(index)),
  )
  judgeEnds(collector.ends)
}

export const faultCases: readonly TransportCase[] = [
  ...inEachMode(
    'loses nothing it accepted when the broker restarts in mid-stream',
    {
      proves: ['persistent', 'acknowledged=disk', 'acknowledged=replicated', 'acknowledged=configured'],
      needs: [persistent, restart, keeps],
      timeoutMs: LONG_MS,
    },
    async (bench, mode) => {
      const place = await bench.place(mode)
      await troubled(bench, place, async () => bench.lab.restart?.())
    },
  ),

  ...inEachMode(
    'keeps what waits over a restart of the broker, with what is held',
    { proves: ['persistent', 'acknowledged=disk'], needs: [persistent, restart, keeps, givesBack], timeoutMs: LONG_MS },
    async (bench, mode) => {
      const place = await bench.place(mode)
      const sender = await bench.open()
      const { leaseMs } = bench.lab
      const holder = await bench.collect(await bench.open({ leaseMs }), place, {
        credit: 5,
        react: 'hold',
        refill: false,
      })
      await bench.send(sender, place.channel, bench.messages(20))
      await bench.until('something to be held', () => holder.held.length > 0)
      await bench.lab.restart?.()
      await holder.close().catch((error: unknown) => classified(error, 'closing a receiver after a restart'))
      await bench.collect(await bench.open({ leaseMs }), place, { again: true })
      if (leaseMs !== undefined) await bench.pass(leaseMs)
      await all(bench, 20)
    },
  ),

  ...inEachMode(
    'recovers when connections are cut in mid-stream',
    { needs: [cut, keeps], timeoutMs: LONG_MS },
    async (bench, mode) => {
      const place = await bench.place(mode)
      await troubled(bench, place, async () => bench.lab.cut?.())
    },
  ),

  ...inEachMode(
    'recovers from a connection that fell silent, and answers sends within their deadline',
    { needs: [freeze], timeoutMs: LONG_MS },
    async (bench, mode) => {
      const place = await bench.place(mode)
      const sender = await bench.open()
      const broker = bench.capabilities.acknowledged !== 'handled'
      let release = (): void => {}
      const silence = new Promise<void>((resolve) => {
        release = resolve
      })
      const collector = await bench.collect(await bench.open(), place, {
        credit: 1,
        again: true,
        // Held until all is silent: the next one is asked for in the silence, and waits at the broker.
        react: async ({ text }): Promise<'ack'> => {
          if (text === 'before' && broker) await silence
          return 'ack'
        },
      })
      await bench.send(sender, place.channel, [bench.message({ text: 'before' })])
      await bench.arrived([collector], 1)
      if (broker) await bench.send(sender, place.channel, [bench.message({ text: 'waiting' })])
      const thaw = (await bench.lab.freeze?.()) ?? (async () => {})
      try {
        release()
        const work = sender.send(place.channel, bench.messages(2), bench.context(TRY_MS).context)
        await bench.turn()
        await bench.pass(AWAY_MS)
        const verdicts = await bench.done('the verdicts of a send into silence', work)
        for (const verdict of verdicts) {
          const error = failure(verdict, 'a send into silence')
          demand(error.effect !== 'done', `the effect of a send without an answer is ${error.effect}`)
        }
        await bench.quiet()
      } finally {
        await thaw()
      }
      await persist(bench, sender, place, bench.message({ text: 'after' }))
      await bench.until('a message after the silence', () => acknowledged(bench.log).has('after'))
      if (broker) await bench.until('the message that waited', () => acknowledged(bench.log).has('waiting'))
      judgeEnds(collector.ends)
    },
  ),

  ...inEachMode(
    'closes while a send is under way in silence, and answers that send',
    { needs: [freeze], timeoutMs: LONG_MS },
    async (bench, mode) => {
      const place = await bench.place(mode)
      const sender = await bench.open()
      // Where a send is a delivery it needs somebody to be delivered to.
      const collector = await bench.collect(await bench.open(), place)
      await bench.send(sender, place.channel, [bench.message({ text: 'before' })])
      await bench.arrived([collector], 1)
      const thaw = (await bench.lab.freeze?.()) ?? (async () => {})
      try {
        const work = sender.send(place.channel, bench.messages(2), bench.context(LONG_MS).context)
        await bench.turn()
        const closing = sender.close()
        await bench.done('closing while a send is under way and nothing answers', closing)
        const verdicts = await bench.done('the verdicts of the send that was under way at the close', work)
        for (const verdict of verdicts) {
          const { effect } = failure(verdict, 'a send into silence that was ended by a close')
          demand(effect !== 'done', `the effect of a send without an answer is ${effect}`)
        }
      } finally {
        await thaw()
      }
    },
  ),

  ...inEachMode(
    'says what is wrong while the broker is stopped, and goes on after it',
    { needs: [stop, keeps], timeoutMs: LONG_MS },
    async (bench, mode) => {
      const place = await bench.place(mode)
      const sender = await bench.open()
      const collector = await bench.collect(await bench.open(), place, { credit: 5, again: true })
      await bench.send(sender, place.channel, [bench.message({ text: 'before' })])
      await bench.arrived([collector], 1)
      const late = await bench.open()
      const start = (await bench.lab.stop?.()) ?? (async () => {})
      try {
        for (const transport of [sender, late]) {
          const work = transport.send(place.channel, bench.messages(2), bench.context(TRY_MS).context)
          for (const verdict of await bench.done('the verdicts', work))
            failure(verdict, 'a send to a broker that is stopped')
        }
        const from = { channel: place.channel, ...(place.group === undefined ? {} : { group: place.group }) }
        try {
          const receiver = await bench.done(
            'the refusal',
            late.receive(from, () => {}),
          )
          await bench.done('closing what should not stand', receiver.close())
          demand(false, 'a subscription stood although the broker was stopped')
        } catch (error) {
          classified(error, 'receiving from a broker that is stopped')
        }
        await bench.pass(AWAY_MS)
      } finally {
        await start()
      }
      await persist(bench, sender, place, bench.message({ text: 'after' }))
      await bench.until('a message after the stop', () => acknowledged(bench.log).has('after'))
      judgeEnds(collector.ends)
    },
  ),

  ...inEachMode(
    'does not say that something is settled which a stopped broker could not be told',
    { needs: [stop, keeps, givesBack], timeoutMs: LONG_MS },
    async (bench, mode) => {
      const place = await bench.place(mode)
      const { leaseMs } = bench.lab
      const sender = await bench.open()
      const holder = await bench.collect(await bench.open({ leaseMs }), place, {
        credit: 1,
        react: 'hold',
        refill: false,
      })
      await bench.send(sender, place.channel, [bench.message({ text: 'held', key: 'held' })])
      await bench.arrived([holder], 1)
      const start = (await bench.lab.stop?.()) ?? (async () => {})
      let fate = 'pending' as 'pending' | 'settled' | 'refused'
      let work: Promise<void>
      try {
        await bench.quiet()
        work = (holder.handed[0] as Handed).delivery.settle('ack').then(
          () => {
            fate = 'settled'
          },
          (error: unknown) => {
            fate = 'refused'
            classified(error, 'settling while the broker is stopped')
          },
        )
        // Told below; here it must only not be taken for one that nobody looks at.
        work.catch(() => {})
        await bench.quiet()
      } finally {
        await start()
      }
      await bench.done('the answer to a settle while the broker was stopped', work)
      await holder.close().catch((error: unknown) => classified(error, 'closing a receiver after a stop'))
      const next = await bench.collect(await bench.open({ leaseMs }), place, { again: true })
      if (leaseMs !== undefined) await bench.pass(leaseMs)
      await persist(bench, sender, place, bench.message({ text: 'after', key: 'after' }))
      await bench.until('a message after the stop', () => acknowledged(bench.log).has('after'))
      await bench.quiet()
      const again = next.handed.some(({ text }) => text === 'held')
      // Where what was settled is kept apart from the broker it may be told all the same. Then it is true.
      demand(!again || fate !== 'settled', 'a settle resolved while the broker was stopped, and the message came again')
    },
  ),

  oneCase('closes while the broker is stopped', { needs: [stop], timeoutMs: LONG_MS }, async (bench, mode) => {
    const place = await bench.place(mode)
    const transport = await bench.open()
    const collector = await bench.collect(transport, place, { react: 'hold' })
    if (bench.capabilities.acknowledged !== 'handled') await bench.send(transport, place.channel, bench.messages(3))
    const start = (await bench.lab.stop?.()) ?? (async () => {})
    try {
      await bench.quiet()
      await bench.done('closing', transport.close())
      await bench.until('ended to settle', () => collector.over)
      judgeEnds(collector.ends)
    } finally {
      await start()
    }
  }),
]
