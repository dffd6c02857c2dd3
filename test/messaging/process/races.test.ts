// Two at one time: interleavings that only a clock that stands still can bring about.
import { describe, expect, it } from 'vitest'
import type { MessageTransport } from '../../../src/core/contracts/transport.ts'
import { createError } from '../../../src/errors/index.ts'
import { defineProcess } from '../../../src/messaging/process/index.ts'
import type { Lab } from '../lab.ts'
import { memoryLab } from '../memory-lab.ts'
import { channelsOf, Order, othersOf, placeOrder, serviceOf } from './order.ts'

describe('at one time', () => {
  it('two answers: the one that is slower is handled again, on what the other one made of it', async () => {
    const lab = memoryLab()
    const on = channelsOf('races')
    const others = await othersOf(lab, on)
    let open: () => void = () => {}
    const gate = new Promise<void>((resolve) => {
      open = resolve
    })
    const calls: string[] = []
    const process = defineProcess('races', { state: Order })
      .step('consumer', on.Consumers, 'consumer.validate')
      .step('payment', on.Payments, 'payment.take')
      .starts(on.Orders, 'order.created', {
        id: ({ data }) => data.orderId,
        state: ({ data }) => ({ ...data, status: 'PENDING' as const }),
        handle: ({ data }, own) => {
          own.send('consumer', { orderId: data.orderId })
          own.send('payment', data)
        },
      })
      .on(on.ConsumerEvents, 'consumer.validated', {
        id: ({ data }) => data.orderId,
        answers: 'consumer',
        handle: async (_, own) => {
          calls.push(`validated at ${own.state.cents}`)
          await gate
          own.state.cents += 1
          own.publish(on.News, { type: 'order.done', data: { orderId: `${own.id} ${own.state.cents}` } })
        },
      })
      .on(on.PaymentEvents, 'payment.taken', {
        id: ({ data }) => data.orderId,
        answers: 'payment',
        handle: (_, own) => {
          own.state.cents += 10
        },
      })
    const one = await serviceOf(lab, process)
    const two = await serviceOf(lab, process)
    await others.order('o', 100)
    await lab.until(() => others.of('payment.take').length === 1)
    await others.validated('o')
    await lab.until(() => calls.length === 1)
    await others.paid('o')
    await lab.until(async () => (await one.runner.show('o'))?.row.steps['payment']?.is === 'done')
    open()
    await lab.until(() => others.of('order.done').length > 0)
    await lab.pass(500)
    expect(calls).toEqual(['validated at 100', 'validated at 110'])
    expect(others.of('order.done').map(({ message }) => message.data.orderId)).toEqual(['o 111'])
    expect(await one.runner.show('o')).toMatchObject({
      state: { cents: 111 },
      row: { steps: { consumer: { is: 'done' }, payment: { is: 'done' } } },
    })
    await two.stop()
    await one.stop()
    await others.stop()
  })

  it('an answer while the time is up: whichever is handled first decides', async () => {
    for (const answerFirst of [true, false]) {
      const lab = memoryLab()
      const on = channelsOf('races')
      const others = await othersOf(lab, on)
      const process = defineProcess('races', { state: Order })
        .step('payment', on.Payments, 'payment.take', { withinMs: 1_000 })
        .starts(on.Orders, 'order.created', {
          id: ({ data }) => data.orderId,
          state: ({ data }) => ({ ...data, status: 'PENDING' as const }),
          handle: ({ data }, own) => own.send('payment', data),
        })
        .on(on.PaymentEvents, 'payment.taken', {
          id: ({ data }) => data.orderId,
          answers: 'payment',
          handle: (_, own) => own.complete(),
        })
        .onUnknown('payment', (own) => {
          own.state.status = 'REJECTED'
        })
      const service = await serviceOf(lab, process)
      await others.order('o')
      await lab.until(() => others.of('payment.take').length === 1)
      if (answerFirst) await others.paid('o')
      await lab.pass(3_000)
      if (!answerFirst) {
        expect(await service.runner.show('o')).toMatchObject({ status: 'running', state: { status: 'REJECTED' } })
        await others.paid('o')
        await lab.until(async () => (await service.runner.show('o'))?.status === 'completed')
      }
      expect(await service.runner.show('o')).toMatchObject({
        status: 'completed',
        state: { status: answerFirst ? 'PENDING' : 'REJECTED' },
      })
      await service.stop()
      await others.stop()
    }
  })

  it('a timeout whose handler takes long is sent once, however often and by how many it is looked for', async () => {
    const lab = memoryLab()
    const on = channelsOf('races')
    const others = await othersOf(lab, on)
    let sent = 0
    const counting = (transport: MessageTransport): MessageTransport => ({
      ...transport,
      name: transport.name,
      capabilities: transport.capabilities,
      prepare: (channels, mode) => transport.prepare(channels, mode),
      receive: (from, sink) => transport.receive(from, sink),
      close: () => transport.close(),
      send(channel, envelopes, context) {
        if (channel.name === 'process.races') sent += envelopes.length
        return transport.send(channel, envelopes, context)
      },
    })
    const counted: Lab = { ...lab, transport: () => counting(lab.transport()) }
    let ran = 0
    const process = defineProcess('races', { state: Order })
      .onTimeout('slow', async (own) => {
        ran++
        await new Promise<void>((resolve) => void lab.clock.setTimer(resolve, 3_000, undefined))
        own.complete()
      })
      .starts(on.Orders, 'order.created', {
        id: ({ data }) => data.orderId,
        state: ({ data }) => ({ ...data, status: 'PENDING' as const }),
        handle: (_, own) => own.timeout('slow', 300),
      })
    const one = await serviceOf(counted, process)
    const two = await serviceOf(counted, process)
    await others.order('o')
    await lab.until(async () => (await one.runner.show('o'))?.status === 'completed')
    expect([ran, sent]).toEqual([1, 1])
    await two.stop()
    await one.stop()
    await others.stop()
  })

  it('a relay that does not hear that its messages have arrived sends them again: nobody does it twice', async () => {
    const lab = memoryLab()
    const on = channelsOf('races')
    const others = await othersOf(lab, on)
    const told = new Set<string>()
    // The broker has it at once; what it says of it gets lost the first time.
    const forgetful = (transport: MessageTransport): MessageTransport =>
      Object.assign(Object.create(transport) as MessageTransport, {
        name: transport.name,
        capabilities: transport.capabilities,
        prepare: transport.prepare.bind(transport),
        receive: transport.receive.bind(transport),
        close: transport.close.bind(transport),
        async send(...given: Parameters<MessageTransport['send']>) {
          const sent = await transport.send(...given)
          const fresh = given[1].filter(({ id }) => !told.has(id))
          for (const { id } of fresh) told.add(id)
          if (fresh.length === 0) return sent
          throw createError({ code: 'CONNECTION_LOST', message: 'no answer', effect: 'unknown' })
        },
      })
    const lossy: Lab = { ...lab, transport: () => forgetful(lab.transport()) }
    const process = placeOrder('races', on, lab.note)
    const one = await serviceOf(lossy, process)
    const two = await serviceOf(lossy, process)
    const ids = Array.from({ length: 12 }, (_, at) => `o${at}`)
    await Promise.all(ids.map((id) => others.order(id)))
    await lab.until(() => others.of('ticket.create').length === ids.length)
    await lab.pass(10_000)
    const [all, each] = [others.seen.filter(({ type }) => type === 'ticket.create'), others.of('ticket.create')]
    expect([all.length > ids.length, each.length]).toEqual([true, ids.length])
    // Who was told twice answers twice.
    for (const asked of all) {
      const id = asked.message.data.orderId as string
      await Promise.all([others.validated(id), others.paid(id), others.reply(asked, { ticketId: 't' })])
    }
    for (const id of ids) await lab.until(async () => (await one.runner.show(id))?.status === 'completed')
    expect(await lab.counted()).toEqual(
      ids.flatMap((id) => [`${id} begun x1`, `${id} done x1`, `${id} went on x3`]).sort(),
    )
    await Promise.all([one.stop(), two.stop(), lab.pass(3_000)])
    await others.stop()
  })

  it('a timeout whose row was changed at that moment is looked for again at once, not with the next regular look', async () => {
    const lab = memoryLab()
    const on = channelsOf('races')
    const others = await othersOf(lab, on)
    const process = defineProcess('races', { state: Order })
      .onTimeout('soon', (own) => own.complete())
      .starts(on.Orders, 'order.created', {
        id: ({ data }) => data.orderId,
        state: ({ data }) => ({ ...data, status: 'PENDING' as const }),
        handle: (_, own) => own.timeout('soon', 1_000),
      })
    const store = lab.store()
    let refused = 0
    const save: typeof store.states.save = async (tx, kind, id, expected, state, ...rest) => {
      const { timers } = state as { timers: Readonly<Record<string, { told?: true }>> }
      if (Object.values(timers).some(({ told }) => told) && refused++ === 0) return false
      return await store.states.save(tx, kind, id, expected, state, ...rest)
    }
    const service = await serviceOf(lab, process, { scanEveryMs: 600_000 }, {
      ...store,
      states: { ...store.states, save },
    } as typeof store)
    await others.order('o')
    await lab.pass(3_000)
    expect([refused, (await service.runner.show('o'))?.status]).toEqual([2, 'completed'])
    await service.stop()
    await others.stop()
  })

  it('what is open costs nothing but the look at what is due', async () => {
    const lab = memoryLab()
    const on = channelsOf('races')
    const others = await othersOf(lab, on)
    const process = defineProcess('races', { state: Order })
      .onTimeout('later', (own) => own.complete())
      .starts(on.Orders, 'order.created', {
        id: ({ data }) => data.orderId,
        state: ({ data }) => ({ ...data, status: 'PENDING' as const }),
        handle: (_, own) => own.timeout('later', 86_400_000),
      })
    const store = lab.store()
    const looks: number[] = []
    const due = store.states.due.bind(store.states)
    const service = await serviceOf(lab, process, {}, {
      ...store,
      states: {
        ...store.states,
        async due(kind: string, now: number, limit: number) {
          const found = await due(kind, now, limit)
          looks.push(found.length)
          return found
        },
      },
    } as typeof store)
    for (let n = 0; n < 200; n++) await others.order(`o-${n}`)
    await lab.until(() => service.runner.stats().started === 200)
    looks.length = 0
    await lab.pass(10_000)
    expect(looks.length).toBeLessThan(110)
    expect(looks.every((found) => found === 0)).toBe(true)
    await service.stop()
    await others.stop()
  })
})
