// What a process promises, on any store and any transport: in memory with a clock that stands still, on SQLite, and on real servers.
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { createError } from '../../../src/errors/classes.ts'
import { defineProcess, type Process } from '../../../src/messaging/process/index.ts'
import { answersWhenHandled, type Lab } from '../lab.ts'
import { channelsOf, Order, othersOf, placeOrder, type Seen, serviceOf } from './order.ts'

let count = 0

const orders = <T>(items: readonly T[]): readonly (readonly T[])[] =>
  items.length <= 1
    ? [items]
    : items.flatMap((each, at) => orders(items.toSpliced(at, 1)).map((rest) => [each, ...rest]))

/** `concurrent`: several at a time, where most of it is waiting and nobody steers the clock. */
export function processCases(
  name: string,
  open: () => Promise<Lab>,
  { concurrent = false }: { readonly concurrent?: boolean | undefined } = {},
): void {
  describe(`processes ${name}`, { timeout: 120_000, concurrent }, () => {
    let lab: Lab
    beforeAll(async () => {
      lab = await open()
    })
    afterAll(() => lab.close())

    const linesOf = async (prefix: string): Promise<readonly string[]> =>
      (await lab.lines()).filter((line) => line.startsWith(prefix)).map((line) => line.slice(prefix.length))
    const setUp = async (
      define: (name: string, on: ReturnType<typeof channelsOf>, note: Lab['note']) => Process = placeOrder,
    ) => {
      const own = `${name.replaceAll(/\W/g, '')}${lab.mark ?? ''}-${String(++count).padStart(3, '0')}`
      const on = channelsOf(own)
      const others = await othersOf(lab, on)
      const process = define(own, on, (tx, line) => lab.note(tx, line))
      const service = await serviceOf(lab, process)
      const order = async (id: string): Promise<Seen> => {
        await others.order(id)
        const asked = (): readonly Seen[] => others.of('ticket.create', id)
        await lab.until(() => asked().length === 1 && others.of('payment.take', id).length === 1)
        return asked()[0] as Seen
      }
      const over = async (id: string): Promise<string> => {
        await lab.until(
          async () => !['running', 'undoing'].includes((await service.runner.show(id))?.status ?? 'running'),
        )
        return (await service.runner.show(id))?.status as string
      }
      return { own, on, others, process, service, order, over }
    }
    // A message that was given up: by the consumer, or by a sender that waits until it is handled.
    const given = (error: unknown): void => {
      expect(error).toMatchObject({ code: expect.any(String) })
    }
    type Setting = Awaited<ReturnType<typeof setUp>>
    const stop = async (s: Setting): Promise<void> => {
      await s.service.stop()
      await s.others.stop()
    }

    it('answers in any order lead to the same end, and each does its part once', async () => {
      const s = await setUp()
      const all = orders(['consumer', 'payment', 'ticket'] as const)
      for (const [at, order] of all.entries()) {
        const id = `${s.own}-${at}`
        const asked = await s.order(id)
        for (const each of order) {
          if (each === 'consumer') await s.others.validated(id)
          if (each === 'payment') await s.others.paid(id)
          if (each === 'ticket') await s.others.reply(asked, { ticketId: `t-${at}` })
        }
        expect(await s.over(id)).toBe('completed')
        expect((await s.service.runner.show(id))?.state).toEqual({
          orderId: id,
          cents: 900,
          status: 'VALIDATED',
          ticketId: `t-${at}`,
        })
        expect(await linesOf(`${id} `)).toEqual(['begun', 'done', 'went on', 'went on', 'went on'])
      }
      await lab.until(() => s.others.of('order.done').length === all.length)
      expect(s.others.of('payment.take')).toHaveLength(all.length)
      expect(s.service.runner.stats()).toMatchObject({ started: 6, completed: 6, undoing: 0 })
      await stop(s)
    })

    it('the same message twice, and the same answer in another message, change nothing', async () => {
      const s = await setUp()
      const id = `${s.own}-twice`
      await s.others.order(id, 900, `${id}-message`)
      await s.others.order(id, 900, `${id}-message`)
      await s.others.order(id, 100)
      await lab.until(() => s.others.of('ticket.create', id).length === 1)
      await s.others.validated(id)
      await s.others.validated(id)
      await lab.until(() => s.service.runner.stats().dropped >= 2)
      expect(await linesOf(`${id} `)).toEqual(['begun', 'went on'])
      expect([s.others.of('payment.take', id).length, (await s.service.runner.show(id))?.state]).toMatchObject([
        1,
        { cents: 900, status: 'CONSUMER_VALIDATED' },
      ])
      await stop(s)
    })

    it('a refusal undoes what was done, the last one first, each when the one before is undone', async () => {
      const s = await setUp()
      const id = `${s.own}-no`
      const asked = await s.order(id)
      await s.others.paid(id)
      await lab.until(async () => (await linesOf(`${id} `)).length === 2)
      await s.others.reply(asked, { ticketId: 't-7' })
      await lab.until(async () => (await linesOf(`${id} `)).length === 3)
      await s.others.refused(id)
      await lab.until(() => s.others.of('ticket.cancel', id).length === 1)
      const [cancel] = s.others.of('ticket.cancel', id) as [Seen]
      expect(cancel.message.data).toEqual({ orderId: id, ticketId: 't-7' })
      await lab.pass(100)
      expect(s.others.of('payment.back', id)).toEqual([])
      expect(await s.service.runner.show(id)).toMatchObject({
        status: 'undoing',
        reason: 'consumer was refused: consumer.refused',
      })
      await s.others.reply(cancel, {})
      expect(await s.over(id)).toBe('failed')
      await lab.until(() => s.others.of('order.rejected', id).length === 1)
      await lab.until(() => s.others.of('payment.back', id).length === 1)
      expect(s.others.of('payment.back', id).map(({ message }) => message.data)).toEqual([{ orderId: id, cents: 900 }])
      expect(await linesOf(`${id} `)).toEqual(['begun', 'rejected', 'went on', 'went on'])
      expect((await s.service.runner.show(id))?.state).toMatchObject({ status: 'REJECTED' })
      await stop(s)
    })

    it('a declared failure of a request is a refusal: what it was about is not undone', async () => {
      const s = await setUp()
      const id = `${s.own}-closed`
      const asked = await s.order(id)
      await s.others.paid(id)
      await s.others.failure(asked, 'CLOSED', { until: 'monday' })
      expect(await s.over(id)).toBe('failed')
      await lab.until(() => s.others.of('payment.back', id).length === 1)
      expect(s.others.of('ticket.cancel', id)).toEqual([])
      expect((await s.service.runner.show(id))?.reason).toBe('ticket: CLOSED')
      await stop(s)
    })

    it('what is not answered in time is asked about, and not undone for it; it goes on with what is found', async () => {
      const s = await setUp()
      const id = `${s.own}-slow`
      await s.order(id)
      await s.others.validated(id)
      await s.others.paid(id)
      await lab.until(() => s.others.of('ticket.find', id).length >= 1)
      const view = await s.service.runner.show(id)
      expect(view?.status).toBe('running')
      // A slow machine may have asked all three times by now.
      if ((view?.row.steps['ticket']?.asks ?? 0) < 3) expect(view?.stuck).toBeUndefined()
      expect([s.others.of('ticket.cancel', id), s.others.of('payment.back', id)]).toEqual([[], []])
      await s.others.reply(s.others.of('ticket.find', id)[0] as Seen, { ticket: 'cooking?' })
      await lab.until(() => s.others.of('ticket.find', id).length >= 2)
      await s.others.reply(s.others.of('ticket.find', id)[1] as Seen, { ticket: 'created' })
      expect(await s.over(id)).toBe('completed')
      // The answer that was late.
      await s.others.reply(s.others.of('ticket.create', id)[0] as Seen, { ticketId: 'late' })
      await lab.until(() => s.service.events.some(({ type }) => type === 'process-dropped'))
      expect((await s.service.runner.show(id))?.state).toMatchObject({ ticketId: 'found' })
      expect(await linesOf(`${id} `)).toEqual(['begun', 'done', 'went on', 'went on', 'went on'])
      await stop(s)
    })

    it('a question that finds that it was not done fails the process, and the step is not undone', async () => {
      const s = await setUp()
      const id = `${s.own}-none`
      await s.order(id)
      await s.others.paid(id)
      await lab.until(() => s.others.of('ticket.find', id).length >= 1)
      await s.others.reply(s.others.of('ticket.find', id)[0] as Seen, { ticket: 'none' })
      expect(await s.over(id)).toBe('failed')
      await lab.until(() => s.others.of('payment.back', id).length === 1)
      expect(s.others.of('ticket.cancel', id)).toEqual([])
      expect((await s.service.runner.show(id))?.reason).toBe('ticket: not done, as ticket.find says')
      await stop(s)
    })

    it('asked in vain, it is stuck and visible; the answer that comes at last has it go on', async () => {
      const s = await setUp()
      const id = `${s.own}-silent`
      const asked = await s.order(id)
      await s.others.validated(id)
      await s.others.paid(id)
      await lab.until(async () => (await s.service.runner.show(id))?.stuck !== undefined)
      await lab.until(() => s.others.of('ticket.find', id).length >= 3)
      expect(s.others.of('ticket.find', id)).toHaveLength(3)
      expect(new Set(s.others.of('ticket.find', id).map(({ message }) => message.id)).size).toBe(3)
      expect(await s.service.runner.list({ status: 'stuck' })).toMatchObject([
        { id, status: 'running', stuck: { step: 'ticket', why: 'nobody knows whether ticket was done' } },
      ])
      expect([s.others.of('ticket.cancel', id), s.others.of('payment.back', id)]).toEqual([[], []])
      await s.others.reply(asked, { ticketId: 't-1' })
      expect(await s.over(id)).toBe('completed')
      await stop(s)
    })

    it('a process that fails finds out first what is open, and then undoes it as well, in its order', async () => {
      const s = await setUp()
      const id = `${s.own}-open`
      await s.order(id)
      await s.others.paid(id)
      // They come on different channels.
      await lab.until(async () => (await linesOf(`${id} `)).length === 2)
      await s.others.refused(id)
      await lab.until(() => s.others.of('ticket.find', id).length >= 1)
      expect([s.others.of('ticket.cancel', id), s.others.of('payment.back', id)]).toEqual([[], []])
      await s.others.reply(s.others.of('ticket.find', id)[0] as Seen, { ticket: 'created' })
      await lab.until(() => s.others.of('ticket.cancel', id).length === 1)
      expect(s.others.of('payment.back', id)).toEqual([])
      await s.others.reply(s.others.of('ticket.cancel', id)[0] as Seen, {})
      expect(await s.over(id)).toBe('failed')
      await lab.until(() => s.others.of('payment.back', id).length === 1)
      await stop(s)
    })

    it('what cannot be undone stays visible until an operator has it go on', async () => {
      const s = await setUp()
      const id = `${s.own}-eaten`
      const asked = await s.order(id)
      await s.others.reply(asked, { ticketId: 't' })
      await s.others.declined(id)
      await lab.until(() => s.others.of('ticket.cancel', id).length === 1)
      await s.others.failure(s.others.of('ticket.cancel', id)[0] as Seen, 'EATEN', {})
      // On a slow machine it may have been stuck before, for want of an answer.
      await lab.until(async () => (await s.service.runner.show(id))?.stuck?.why === 'EATEN')
      expect(await s.service.runner.show(id)).toMatchObject({ status: 'undoing', stuck: { step: 'undo ticket' } })
      expect(await s.service.runner.resume(id)).toBe(true)
      await lab.until(() => s.others.of('ticket.cancel', id).length === 2)
      const [first, second] = s.others.of('ticket.cancel', id) as [Seen, Seen]
      expect(second.message.id).not.toBe(first.message.id)
      expect(second.message.data).toEqual(first.message.data)
      await s.others.reply(second, {})
      expect(await s.over(id)).toBe('failed')
      expect(await s.service.runner.resume(id)).toBe(false)
      await stop(s)
    })

    it('an undoing that is not answered is stuck, and its late answer goes on', async () => {
      const s = await setUp()
      const id = `${s.own}-undo`
      await s.others.reply(await s.order(id), { ticketId: 't' })
      await s.others.declined(id)
      await lab.until(async () => (await s.service.runner.show(id))?.stuck !== undefined)
      await lab.until(() => s.others.of('ticket.cancel', id).length >= 1)
      expect(s.others.of('ticket.cancel', id)).toHaveLength(1)
      await s.others.reply(s.others.of('ticket.cancel', id)[0] as Seen, {})
      expect(await s.over(id)).toBe('failed')
      await stop(s)
    })

    it('an operator may cancel it, and say what became of a step', async () => {
      const s = await setUp()
      const id = `${s.own}-cancel`
      await s.order(id)
      expect([
        await s.service.runner.cancel('nobody'),
        await s.service.runner.cancel(id, 'the customer rang up'),
      ]).toEqual([false, true])
      // Nobody can be asked about the payment. On a slow machine the questions about the ticket may be used up before the wish is seen.
      await lab.until(async () => {
        const seen = await s.service.runner.show(id)
        return seen?.status === 'undoing' && seen.stuck !== undefined
      })
      await s.service.runner.resume(id, { payment: 'done', ticket: 'refused' })
      expect(await s.over(id)).toBe('cancelled')
      await lab.until(() => s.others.of('payment.back', id).length === 1)
      expect((await s.service.runner.show(id))?.reason).toBe('the customer rang up')
      expect(s.others.of('ticket.cancel', id)).toEqual([])
      await stop(s)
    })

    it('an answer may overtake what begins the process: it waits for it', async () => {
      const s = await setUp((own, on, note) =>
        defineProcess(own, { state: Order })
          .starts(on.Orders, 'order.created', {
            id: ({ data }) => data.orderId,
            state: ({ data }) => ({ ...data, status: 'PENDING' as const }),
            handle: (_, { tx, id }) => note(tx, `${id} begun`),
          })
          .on(on.PaymentEvents, 'payment.taken', {
            id: ({ data }) => data.orderId,
            handle: async (_, process) => {
              await note(process.tx, `${process.id} paid`)
              process.complete()
            },
          })
          .on(on.PaymentEvents, 'payment.declined', {
            id: ({ data }) => data.orderId,
            missing: 'drop',
            handle: () => {},
          }),
      )
      const id = `${s.own}-early`
      const early = s.others.paid(id)
      await s.others.declined(`${id}-nobody`)
      await lab.until(() => s.service.events.some(({ type }) => type === 'message-retried'))
      await s.others.order(id)
      await early
      expect(await s.over(id)).toBe('completed')
      await lab.until(() => s.service.runner.stats().dropped >= 1)
      expect(await linesOf(`${id} `)).toEqual(['begun', 'paid'])
      let told = false
      const never = s.others.paid(`${id}-never`).catch((error) => {
        given(error)
        told = true
      })
      await lab.until(() => told || s.service.events.some(({ type }) => type === 'message-dead'))
      await never
      await stop(s)
    })

    it('what a handler throws: transient is tried again, permanent fails the process and undoes, a bug is a dead letter', async () => {
      const thrown = new Map<string, unknown[]>()
      const s = await setUp((own, on, note) =>
        defineProcess(own, { state: Order })
          .step('payment', on.Payments, 'payment.take')
          .undo('payment', on.Payments, 'payment.back', ({ sent }) => sent)
          .step('ticket', on.Kitchen, 'ticket.create')
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
              await note(process.tx, `${process.id} paid`)
              const error = thrown.get(process.id)?.shift()
              if (error !== undefined) throw error
              process.complete()
            },
          }),
      )
      const go = async (id: string, errors: unknown[]): Promise<void> => {
        thrown.set(id, errors)
        await s.order(id)
        await s.others.paid(id).catch(given)
      }
      await go(`${s.own}-t`, [new Error('a hiccup'), createError({ code: 'CONNECTION_REFUSED' })])
      expect(await s.over(`${s.own}-t`)).toBe('completed')
      expect(await linesOf(`${s.own}-t `)).toEqual(['paid'])
      await go(`${s.own}-p`, [createError({ code: 'FORBIDDEN', message: 'no' })])
      expect(await s.over(`${s.own}-p`)).toBe('failed')
      await lab.until(() => s.others.of('payment.back', `${s.own}-p`).length === 1)
      expect(await linesOf(`${s.own}-p `)).toEqual([])
      expect((await s.service.runner.show(`${s.own}-p`))?.reason).toBe('FORBIDDEN: no')
      await go(`${s.own}-b`, [new TypeError('undefined is not a function')])
      await lab.until(() =>
        s.service.events.some((event) => event.type === 'message-dead' && event.key === `${s.own}-b`),
      )
      expect(await s.service.runner.show(`${s.own}-b`)).toMatchObject({ status: 'running', reason: undefined })
      expect(s.others.of('payment.back', `${s.own}-b`)).toEqual([])
      await stop(s)
    })

    it('a timeout is a message: it fails the process where the handler says so, and one that was cancelled does not come', async () => {
      const s = await setUp((own, on, note) =>
        defineProcess(own, { state: Order })
          .onTimeout('first', async (process) => {
            await note(process.tx, `${process.id} first`)
            process.cancelTimeout('first')
            process.timeout('first', 300)
            if (process.state.cents > 2) return process.complete()
            process.state.cents++
          })
          .onTimeout('never', (process) => note(process.tx, `${process.id} never`))
          .starts(on.Orders, 'order.created', {
            id: ({ data }) => data.orderId,
            state: ({ data }) => ({ ...data, status: 'PENDING' as const }),
            handle: (_, process) => {
              process.timeout('first', 300)
              process.timeout('never', 200)
              process.cancelTimeout('never')
            },
          }),
      )
      const id = `${s.own}-time`
      await s.others.order(id, 1)
      expect(await s.over(id)).toBe('completed')
      await lab.pass(500)
      expect(await linesOf(`${id} `)).toEqual(['first', 'first', 'first'])
      await stop(s)
    })

    it('two runners at once: each message is handled once, whoever takes it', async () => {
      const s = await setUp()
      const second = await serviceOf(lab, s.process)
      const ids = Array.from({ length: 12 }, (_, at) => `${s.own}-${at}`)
      await Promise.all(ids.map((id) => s.others.order(id)))
      await lab.until(() => s.others.of('ticket.create').length === ids.length)
      // All answers of one process at the same time, on different channels.
      await Promise.all(
        s.others.of('ticket.create').flatMap((asked) => {
          const id = asked.message.data.orderId as string
          return [s.others.validated(id), s.others.paid(id), s.others.reply(asked, { ticketId: 't' })]
        }),
      )
      for (const id of ids) expect(await s.over(id)).toBe('completed')
      for (const id of ids) expect(await linesOf(`${id} `)).toEqual(['begun', 'done', 'went on', 'went on', 'went on'])
      // They count when the commit is known, which others may see before.
      const both = (): number => s.service.runner.stats().completed + second.runner.stats().completed
      await lab.until(() => both() >= ids.length)
      expect(both()).toBe(ids.length)
      await second.stop()
      await stop(s)
    })

    it('another process of the service goes on with what one that is gone has begun', async () => {
      const s = await setUp()
      const id = `${s.own}-gone`
      const asked = await s.order(id)
      await s.service.stop()
      const sent = Promise.all([s.others.validated(id), s.others.paid(id)])
      if (!answersWhenHandled(s.others.transport)) await sent
      const next = await serviceOf(lab, s.process)
      await sent
      await lab.until(() => s.others.of('ticket.find', id).length >= 1)
      await s.others.reply(asked, { ticketId: 't' })
      await lab.until(async () => (await next.runner.show(id))?.status === 'completed')
      expect(await linesOf(`${id} `)).toEqual(['begun', 'done', 'went on', 'went on', 'went on'])
      await next.stop()
      await s.others.stop()
    })

    it('found by other names, for as long as it runs; a step that is sent for several things', async () => {
      const s = await setUp((own, on) =>
        defineProcess(own, { state: Order })
          .step('payment', on.Payments, 'payment.take')
          .undo('payment', on.Payments, 'payment.back', ({ sent, of }) => ({ orderId: `${of}`, cents: sent.cents }))
          .starts(on.Orders, 'order.created', {
            id: ({ data }) => data.orderId,
            state: ({ data }) => ({ ...data, status: 'PENDING' as const }),
            handle: (_, process) => {
              process.correlate(`a of ${process.id}`, `b of ${process.id}`)
              process.send('payment', { orderId: 'a', cents: 1 }, { of: `a of ${process.id}` })
              process.send('payment', { orderId: 'b', cents: 2 }, { of: `b of ${process.id}` })
            },
          })
          .on(on.PaymentEvents, 'payment.taken', {
            correlation: ({ data }) => data.orderId,
            answers: 'payment',
            of: ({ data }) => data.orderId,
          })
          .on(on.PaymentEvents, 'payment.declined', {
            correlation: ({ data }) => data.orderId,
            refuses: 'payment',
            of: ({ data }) => data.orderId,
          }),
      )
      const id = `${s.own}-two`
      await s.others.order(id)
      await lab.until(() => s.others.of('payment.take').length === 2)
      await s.others.paid(`b of ${id}`)
      await lab.until(async () => (await s.service.runner.show(id))?.row.undo.length === 1)
      await s.others.declined(`a of ${id}`)
      expect(await s.over(id)).toBe('failed')
      await lab.until(() => s.others.of('payment.back').length === 1)
      expect(s.others.of('payment.back')[0]?.message.data).toEqual({ orderId: `b of ${id}`, cents: 2 })
      await stop(s)
    })
  })
}
