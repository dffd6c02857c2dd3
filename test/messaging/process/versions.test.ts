// Several versions of a running process side by side, and moving them on.
import { describe, expect, it } from 'vitest'
import { z } from 'zod'
import { defineProcess, type Process } from '../../../src/messaging/process/index.ts'
import { memoryLab } from '../memory-lab.ts'
import { type Channels, channelsOf, othersOf, serviceOf } from './order.ts'

const first = (on: Channels) =>
  defineProcess('order', { state: z.object({ orderId: z.string(), cents: z.number() }) })
    .step('payment', on.Payments, 'payment.take')
    .undo('payment', on.Payments, 'payment.back', ({ sent }) => sent)
    .starts(on.Orders, 'order.created', {
      id: ({ data }) => data.orderId,
      state: ({ data }) => data,
      handle: ({ data }, process) => process.send('payment', data),
    })
    .on(on.PaymentEvents, 'payment.taken', {
      id: ({ data }) => data.orderId,
      answers: 'payment',
      handle: (_, process) => {
        process.publish(on.News, { type: 'order.done', data: { orderId: `${process.id} by 1` } })
        process.complete()
      },
    })

// Asks the consumer too, and counts in another unit.
const second = (on: Channels, more: { earlier?: readonly Process[]; move?: Record<number, (state: any) => unknown> }) =>
  defineProcess('order', { version: 2, state: z.object({ orderId: z.string(), euros: z.number() }), ...more })
    .step('consumer', on.Consumers, 'consumer.validate')
    .step('payment', on.Payments, 'payment.take')
    .undo('payment', on.Payments, 'payment.back', ({ sent }) => sent)
    .starts(on.Orders, 'order.created', {
      id: ({ data }) => data.orderId,
      state: ({ data }) => ({ orderId: data.orderId, euros: data.cents / 100 }),
      handle: ({ data }, process) => process.send('consumer', { orderId: data.orderId }),
    })
    .on(on.ConsumerEvents, 'consumer.validated', {
      id: ({ data }) => data.orderId,
      answers: 'consumer',
      handle: (_, process) => process.send('payment', { orderId: process.id, cents: process.state.euros * 100 }),
    })
    .on(on.ConsumerEvents, 'consumer.refused', { id: ({ data }) => data.orderId, refuses: 'consumer' })
    .on(on.PaymentEvents, 'payment.taken', {
      id: ({ data }) => data.orderId,
      answers: 'payment',
      handle: (_, process) => {
        process.publish(on.News, {
          type: 'order.done',
          data: { orderId: `${process.id} by 2, ${process.state.euros}` },
        })
        process.complete()
      },
    })

async function deployed(next: (on: Channels) => Process) {
  const lab = memoryLab()
  const on = channelsOf('versions')
  const others = await othersOf(lab, on)
  const before = await serviceOf(lab, first(on))
  await others.order('old')
  await lab.until(() => others.of('payment.take').length === 1)
  await before.stop()
  return { lab, on, others, after: await serviceOf(lab, next(on)) }
}

describe('versions of a process', () => {
  it('those that began with the first one end with it, while new ones begin with the second', async () => {
    const { lab, others, after } = await deployed((on) => second(on, { earlier: [first(on)] }))
    await others.order('new')
    await lab.until(() => others.of('consumer.validate').length === 1)
    expect(others.of('payment.take')).toHaveLength(1)
    // To the old one this means nothing.
    await others.validated('old')
    await lab.until(() => after.events.some((event) => event.type === 'process-dropped' && event.why === 'version'))
    expect(await after.runner.show('old')).toMatchObject({ version: 1, status: 'running', state: { cents: 900 } })
    await others.paid('old')
    await others.validated('new')
    await lab.until(() => others.of('payment.take').length === 2)
    await others.paid('new')
    await lab.until(() => others.of('order.done').length === 2)
    expect(
      others
        .of('order.done')
        .map(({ message }) => message.data.orderId)
        .sort(),
    ).toEqual(['new by 2, 9', 'old by 1'])
    expect([(await after.runner.show('old'))?.version, (await after.runner.show('new'))?.version]).toEqual([1, 2])
    await after.stop()
    await others.stop()
  })

  it('where the author says how, they are moved on', async () => {
    const { lab, others, after } = await deployed((on) =>
      second(on, { move: { 1: ({ orderId, cents }) => ({ orderId, euros: cents / 100 }) } }),
    )
    await others.paid('old')
    await lab.until(() => others.of('order.done').length === 1)
    expect(others.of('order.done')[0]?.message.data.orderId).toBe('old by 2, 9')
    expect(await after.runner.show('old')).toMatchObject({ version: 2, status: 'completed', state: { euros: 9 } })
    await after.stop()
    await others.stop()
  })

  it('a version that nobody knows any more is a dead letter, and the process stays as it is', async () => {
    const { lab, others, after } = await deployed((on) => second(on, {}))
    await others.paid('old')
    await lab.until(() => after.events.some(({ type }) => type === 'message-dead'))
    expect(after.events.find(({ type }) => type === 'message-dead')).toMatchObject({ error: { code: 'INCOMPATIBLE' } })
    expect(await after.runner.show('old')).toMatchObject({ version: 1, status: 'running' })
    await after.stop()
    await others.stop()
  })

  it('one of a later version waits for a program that knows it, while both are there', async () => {
    const lab = memoryLab()
    const on = channelsOf('versions')
    const others = await othersOf(lab, on)
    const after = await serviceOf(lab, second(on, { earlier: [first(on)] }))
    await others.order('new')
    await lab.until(() => others.of('consumer.validate').length === 1)
    await others.validated('new')
    await lab.until(() => others.of('payment.take').length === 1)
    await after.stop()
    const before = await serviceOf(lab, first(on))
    await others.paid('new')
    await lab.until(() => before.events.some(({ type }) => type === 'message-retried'))
    expect(before.events.some(({ type }) => type === 'message-dead')).toBe(false)
    await before.stop()
    const again = await serviceOf(lab, second(on, { earlier: [first(on)] }))
    await lab.until(() => others.of('order.done').length === 1)
    await again.stop()
    await others.stop()
  })

  it('what does not fit together is refused when it is written down', () => {
    const on = channelsOf('versions')
    const one = first(on)
    for (const options of [
      { version: 1, earlier: [one] },
      { version: 3, earlier: [one, one] },
      { version: 2, move: { 2: (state: unknown) => state } },
      { version: 2, move: { 1: 'nothing' as never } },
      { version: 0 },
    ])
      expect(() => defineProcess('order', { state: z.object({}), ...options })).toThrow(
        expect.objectContaining({ code: 'INVALID_OPTIONS' }),
      )
    expect(() => defineProcess('other', { version: 2, state: z.object({}), earlier: [one] })).toThrow(
      'earlier versions of other',
    )
  })
})
