// What may be said of a step besides yes and no, and who is asked then: errors as answers, undoing that is told by messages, handlers for what goes wrong, and times that are over.
import { describe, expect, it } from 'vitest'
import { z } from 'zod'
import type { FairleadError } from '../../../src/errors/base.ts'
import { createError } from '../../../src/errors/classes.ts'
import { toProblem } from '../../../src/errors/wire.ts'
import { createConsumer, createPublisher, queue } from '../../../src/messaging/index.ts'
import { defineProcess, type Process } from '../../../src/messaging/process/index.ts'
import { type MemoryLab, memoryLab } from '../memory-lab.ts'
import { type Channels, channelsOf, Order, othersOf, placeOrder, type Seen, serviceOf } from './order.ts'

const problem = (code: FairleadError['code'], effect: 'none' | 'unknown'): unknown =>
  toProblem(createError({ code }), { effect }).body

async function setUp(
  define: (on: Channels, note: MemoryLab['note']) => Process = (on, note) => placeOrder('answers', on, note),
) {
  const lab = memoryLab()
  const on = channelsOf('answers')
  const others = await othersOf(lab, on)
  const service = await serviceOf(lab, define(on, lab.note))
  const show = () => service.runner.show('o')
  return {
    lab,
    on,
    others,
    service,
    show,
    async ordered(): Promise<Seen> {
      await others.order('o')
      await lab.until(() => others.of('ticket.create').length === 1 && others.of('payment.take').length === 1)
      return others.of('ticket.create')[0] as Seen
    },
    async paid(): Promise<void> {
      await others.paid('o')
      await lab.until(async () => (await show())?.row.steps['payment']?.is === 'done')
    },
    async ends(): Promise<string | undefined> {
      await lab.until(async () => !['running', 'undoing'].includes((await show())?.status ?? 'running'))
      return (await show())?.status
    },
    async stop() {
      await service.stop()
      await others.stop()
    },
  }
}

describe('an operator who cancels', () => {
  it('is heard before the answer that would have brought it to its good end, though that comes first', async () => {
    const s = await setUp()
    const asked = await s.ordered()
    await s.others.paid('o')
    await s.others.validated('o')
    await s.lab.until(async () => (await s.show())?.row.steps['payment']?.is === 'done')
    expect(await s.service.runner.cancel('o', 'the customer rang up')).toBe(true)
    await s.others.reply(asked, { ticket: 'created' })
    await s.lab.until(() => s.others.of('ticket.cancel').length === 1)
    await s.others.reply(s.others.of('ticket.cancel')[0] as Seen, {})
    expect(await s.ends()).toBe('cancelled')
    await s.lab.until(() => s.others.of('payment.back').length === 1)
    expect(await s.show()).toMatchObject({ reason: 'the customer rang up' })
    await s.stop()
  })
})

describe('an error as the answer to a request', () => {
  it('that says nothing of the effect is no answer: it is asked about at once, and nothing is undone', async () => {
    const s = await setUp()
    const asked = await s.ordered()
    await s.others.paid('o')
    await s.others.validated('o')
    await s.lab.until(async () => (await s.show())?.row.steps['payment']?.is === 'done')
    const before = s.lab.clock.now()
    await s.others.problem(asked, problem('TIMED_OUT', 'unknown'))
    await s.lab.until(() => s.others.of('ticket.find').length === 1)
    // Long before the second that an answer may take is over.
    expect(s.lab.clock.now() - before).toBeLessThan(500)
    expect((await s.show())?.row.steps['ticket']).toMatchObject({ is: 'unknown', asks: 1 })
    expect(await s.show()).toMatchObject({ status: 'running', stuck: undefined })
    expect([s.others.of('payment.back'), s.others.of('ticket.cancel')]).toEqual([[], []])
    // Who cannot say is asked again.
    await s.others.problem(s.others.of('ticket.find')[0] as Seen, problem('UNAVAILABLE', 'unknown'))
    await s.lab.until(() => s.others.of('ticket.find').length === 2)
    await s.others.reply(s.others.of('ticket.find')[1] as Seen, { ticket: 'created' })
    expect(await s.ends()).toBe('completed')
    await s.stop()
  })

  it('that did nothing fails the process: the step is not undone, the others are', async () => {
    const s = await setUp()
    const asked = await s.ordered()
    await s.paid()
    await s.others.problem(asked, problem('FORBIDDEN', 'none'))
    expect(await s.ends()).toBe('failed')
    await s.lab.until(() => s.others.of('payment.back').length === 1)
    expect((await s.show())?.reason).toMatch(/^ticket: FORBIDDEN: /)
    expect([s.others.of('ticket.cancel'), s.others.of('ticket.find')]).toEqual([[], []])
    await s.stop()
  })

  it('that was done all the same fails the process, and the step is undone', async () => {
    const s = await setUp()
    const asked = await s.ordered()
    await s.paid()
    // A reply that breaks its schema: whoever sent it has done it.
    await s.others.reply(asked, { ticket: 7 })
    await s.lab.until(() => s.others.of('ticket.cancel').length === 1)
    expect((await s.show())?.reason).toMatch(/^ticket: REPLY_INVALID: /)
    expect(s.others.of('payment.back')).toEqual([])
    await s.others.reply(s.others.of('ticket.cancel')[0] as Seen, {})
    expect(await s.ends()).toBe('failed')
    await s.lab.until(() => s.others.of('payment.back').length === 1)
    await s.stop()
  })

  it('is for its own handler to judge, where there is one; the failure that is declared has another', async () => {
    for (const declared of [false, true]) {
      const heard: string[] = []
      const s = await setUp((on) =>
        defineProcess('answers', { state: Order })
          .step('payment', on.Payments, 'payment.take')
          .step('ticket', on.Kitchen, 'ticket.create')
          .onReply('ticket', {
            failure: (name, { until }, process) => {
              heard.push(`${name} until ${until}`)
              process.complete()
            },
            error: ({ code, effect }, process) => {
              heard.push(`${code} ${effect} ${process.is('ticket')}`)
              process.complete()
            },
          })
          .starts(on.Orders, 'order.created', {
            id: ({ data }) => data.orderId,
            state: ({ data }) => ({ ...data, status: 'PENDING' as const }),
            handle: ({ data }, process) => {
              process.send('payment', data)
              process.send('ticket', { orderId: data.orderId })
            },
          }),
      )
      const asked = await s.ordered()
      await (declared
        ? s.others.failure(asked, 'CLOSED', { until: 'monday' })
        : s.others.problem(asked, problem('CONFLICT', 'none')))
      expect(await s.ends()).toBe('completed')
      expect(heard).toEqual([declared ? 'CLOSED until monday' : 'CONFLICT none refused'])
      await s.stop()
    }
  })
})

const Of = z.object({ orderId: z.string() })
const Hotel = queue('hotel', { book: Of, cancel: Of })
const Flight = queue('flight', { book: Of, cancel: Of })
const Said = queue('said', {
  begin: Of,
  'hotel.booked': Of,
  'flight.booked': Of,
  'hotel.cancelled': Of,
  'flight.cancelled': Of,
  'flight.kept': Of,
  failed: Of,
})

/** A trip whose steps are answered, and undone, by messages. */
async function trip() {
  const lab = memoryLab()
  const undone: string[] = []
  const id = ({ data }: { readonly data: { readonly orderId: string } }): string => data.orderId
  const Trip = defineProcess('trip', { state: Of.extend({ again: z.number() }) })
    .step('hotel', Hotel, 'book')
    .undo('hotel', Hotel, 'cancel', ({ sent }) => sent)
    .step('flight', Flight, 'book')
    .undo('flight', Flight, 'cancel', ({ sent }) => sent)
    .starts(Said, 'begin', {
      id,
      state: ({ data }) => ({ ...data, again: 0 }),
      again: 'handle',
      handle: ({ data }, process) => {
        if (process.is('hotel') === 'none') process.send('hotel', data)
        else process.state.again++
      },
    })
    .on(Said, 'hotel.booked', { id, answers: 'hotel', handle: ({ data }, process) => process.send('flight', data) })
    .on(Said, 'flight.booked', { id, answers: 'flight' })
    .on(Said, 'failed', { id, handle: (_, process) => process.fail('no visa') })
    .on(Said, 'flight.cancelled', { id, undoes: 'flight' })
    .on(Said, 'flight.kept', { id, cannotUndo: 'flight' })
    .on(Said, 'hotel.cancelled', { id, undoes: 'hotel' })
    .onUndone((why) => void undone.push(why))
  const transport = lab.transport()
  const publisher = createPublisher({ transport, source: '/others', clock: lab.clock })
  const sent: string[] = []
  const consumers = [Hotel, Flight].map((channel) =>
    createConsumer({
      transport,
      channel,
      clock: lab.clock,
      handlers: {
        book: ({ id }) => void sent.push(`${channel.name}.book ${id}`),
        cancel: ({ id }) => void sent.push(`${channel.name}.cancel ${id}`),
      },
    }),
  )
  for (const consumer of consumers) await consumer.start()
  const service = await serviceOf(lab, Trip)
  return {
    lab,
    service,
    undone,
    sent,
    show: () => service.runner.show('t'),
    async say(type: keyof (typeof Said)['types']) {
      await publisher.publish(Said, { type, key: 't', data: { orderId: 't' } })
      await lab.pass(300)
    },
    async stop() {
      await service.stop()
      for (const consumer of consumers) await consumer.close()
      await transport.close()
    },
  }
}

describe('steps that are undone by messages', () => {
  it('are undone one after the other, the last one first, each when the one before says so', async () => {
    const s = await trip()
    for (const said of ['begin', 'hotel.booked', 'flight.booked', 'failed'] as const) await s.say(said)
    const booked = ['hotel.book trip:t:1', 'flight.book trip:t:2']
    expect(s.sent).toEqual([...booked, 'flight.cancel trip:t:3'])
    // Of one that is not being undone yet it says nothing.
    await s.say('hotel.cancelled')
    await s.lab.pass(5_000)
    expect(s.sent).toHaveLength(3)
    await s.say('flight.cancelled')
    expect(s.sent).toEqual([...booked, 'flight.cancel trip:t:3', 'hotel.cancel trip:t:4'])
    expect([await s.show(), s.undone]).toMatchObject([{ status: 'undoing' }, []])
    await s.say('hotel.cancelled')
    expect([await s.show(), s.undone]).toMatchObject([{ status: 'failed', reason: 'no visa' }, ['no visa']])
    await s.stop()
  })

  it('that cannot be are visible, and the ones before wait for an operator', async () => {
    const s = await trip()
    for (const said of ['begin', 'hotel.booked', 'flight.booked', 'failed', 'flight.kept'] as const) await s.say(said)
    expect(await s.show()).toMatchObject({ status: 'undoing', stuck: { step: 'undo flight', why: 'flight.kept' } })
    expect((await s.service.runner.list({ status: 'stuck' })).map(({ id }) => id)).toEqual(['t'])
    expect(s.sent).toHaveLength(3)
    expect(await s.service.runner.resume('t')).toBe(true)
    await s.lab.pass(1_000)
    expect(s.sent.slice(3)).toEqual(['flight.cancel trip:t:4'])
    for (const said of ['flight.cancelled', 'hotel.cancelled'] as const) await s.say(said)
    expect((await s.show())?.status).toBe('failed')
    await s.stop()
  })

  it('and what begins one that is there already is handled by it, where that is wanted', async () => {
    const s = await trip()
    await s.say('begin')
    await s.say('begin')
    expect(s.sent).toHaveLength(1)
    expect((await s.show())?.state).toEqual({ orderId: 't', again: 1 })
    await s.stop()
  })
})

describe('a handler of what goes wrong', () => {
  it('hears of an error that will not go away, with nothing written of what failed, and may go on', async () => {
    const told: string[] = []
    const s = await setUp((on, note) =>
      defineProcess('answers', { state: Order })
        .step('payment', on.Payments, 'payment.take')
        .undo('payment', on.Payments, 'payment.back', ({ sent }) => sent)
        .step('ticket', on.Kitchen, 'ticket.create')
        .onError(async ({ code }, process) => {
          told.push(`${code} at ${process.state.cents} cents, payment ${process.is('payment')}`)
          await note(process.tx as never, 'went on')
          process.complete()
        })
        .starts(on.Orders, 'order.created', {
          id: ({ data }) => data.orderId,
          state: ({ data }) => ({ ...data, status: 'PENDING' as const }),
          handle: ({ data }, process) => {
            process.send('payment', data)
            process.send('ticket', { orderId: data.orderId })
          },
        })
        .on(on.PaymentEvents, 'payment.taken', {
          id: ({ data }) => data.orderId,
          answers: 'payment',
          handle: async (_, process) => {
            await note(process.tx as never, 'half done')
            process.state.cents = 0
            process.publish(on.News, { type: 'order.done', data: { orderId: process.id } })
            throw createError({ code: 'FORBIDDEN', message: 'no' })
          },
        }),
    )
    await s.ordered()
    await s.others.paid('o')
    expect(await s.ends()).toBe('completed')
    await s.lab.pass(1_000)
    expect(told).toEqual(['FORBIDDEN at 900 cents, payment done'])
    expect(await s.lab.lines()).toEqual(['went on'])
    expect([s.others.of('order.done'), s.others.of('payment.back')]).toEqual([[], []])
    await s.stop()
  })

  it('hears that nobody knows what became of a step, and again when an operator does', async () => {
    const heard: string[] = []
    const s = await setUp((on) =>
      defineProcess('answers', { state: Order })
        .step('payment', on.Payments, 'payment.take')
        .step('ticket', on.Kitchen, 'ticket.create', { withinMs: 500 })
        .undo('ticket', on.Kitchen, 'ticket.cancel', ({ id }) => ({ orderId: id, ticketId: '?' }))
        .ask(
          'ticket',
          on.Kitchen,
          'ticket.find',
          ({ sent }) => sent,
          () => 'unknown',
          { everyMs: 300, times: 2 },
        )
        .onUnknown('ticket', (process) => {
          heard.push(process.is('ticket'))
          if (process.is('ticket') === 'done') process.complete()
        })
        .starts(on.Orders, 'order.created', {
          id: ({ data }) => data.orderId,
          state: ({ data }) => ({ ...data, status: 'PENDING' as const }),
          handle: ({ data }, process) => {
            process.send('payment', data)
            process.send('ticket', { orderId: data.orderId })
          },
        }),
    )
    await s.ordered()
    await s.lab.pass(5_000)
    expect([heard, s.others.of('ticket.find').length]).toEqual([['unknown'], 2])
    expect(await s.show()).toMatchObject({ status: 'running', stuck: undefined })
    expect(await s.service.runner.resume('o', { ticket: 'done' })).toBe(true)
    expect(await s.ends()).toBe('completed')
    expect([heard, s.others.of('ticket.cancel')]).toEqual([['unknown', 'done'], []])
    await s.stop()
  })
})

it('a time that is over fails the process where its handler says so, and what was done is undone', async () => {
  const s = await setUp((on, note) => placeOrder('answers', on, note))
  const asked = await s.ordered()
  await s.others.paid('o')
  await s.lab.until(async () => (await s.show())?.row.steps['payment']?.is === 'done')
  await s.others.reply(asked, { ticketId: 't' })
  await s.lab.until(async () => (await s.show())?.row.steps['ticket']?.is === 'done')
  await s.lab.pass(58_000)
  expect([(await s.show())?.status, s.others.of('ticket.cancel')]).toEqual(['running', []])
  await s.lab.pass(3_000)
  expect(await s.show()).toMatchObject({ status: 'undoing', reason: 'it took too long' })
  await s.lab.until(() => s.others.of('ticket.cancel').length === 1)
  expect(s.others.of('payment.back')).toEqual([])
  await s.others.reply(s.others.of('ticket.cancel')[0] as Seen, {})
  expect(await s.ends()).toBe('failed')
  await s.lab.until(() => s.others.of('payment.back').length === 1)
  await s.stop()
})
