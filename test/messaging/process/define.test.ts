// What is refused when a process is written down or run, and how it is explained.
import { describe, expect, it } from 'vitest'
import { z } from 'zod'
import { createOutbox, queue } from '../../../src/messaging/index.ts'
import { createProcessRunner, defineProcess, explain } from '../../../src/messaging/process/index.ts'
import { memoryLab } from '../memory-lab.ts'
import { channelsOf, othersOf, placeOrder, serviceOf } from './order.ts'

const on = channelsOf('shop')
const refused = expect.objectContaining({ code: 'INVALID_OPTIONS' })

describe('a process that is written down', () => {
  it('is explained, the same each time', () => {
    const { text, mermaid } = explain(placeOrder('place-order', on, async () => {}))
    expect(text).toMatchInlineSnapshot(`
      "place-order, version 1
      starts on
        order.created (topic shop-orders), sends consumer, payment, ticket
      steps
        consumer: sends consumer.validate to queue shop-consumers
          consumer.validated (topic shop-consumer-events) answers it, sends nothing
          consumer.refused (topic shop-consumer-events) refuses it
        payment: sends payment.take to queue shop-payments
          payment.taken (topic shop-payment-events) answers it
          payment.declined (topic shop-payment-events) refuses it
          undone by payment.back to queue shop-payments
        ticket: sends ticket.create to queue shop-kitchen, answered within 1 s
          answered by its reply
          no answer: asks ticket.find of queue shop-kitchen, every 500 ms, at most 3 times
          still unknown: stuck until an answer comes, or an operator says
          undone by ticket.cancel to queue shop-kitchen, and that is waited for
      timeouts
        patience
      when it fails
        what is open or unknown is found out, then what was done is undone, the last first
        onUndone has the last word"
    `)
    expect(mermaid).toMatchInlineSnapshot(`
      "flowchart TD
        s0["consumer<br/>consumer.validate to shop-consumers"]
        s1["payment<br/>payment.take to shop-payments"]
        s2["ticket<br/>ticket.create to shop-kitchen"]
        m0(["start: order.created<br/>shop-orders"])
        m1(["consumer.validated<br/>shop-consumer-events"])
        m2(["consumer.refused<br/>shop-consumer-events"])
        m3(["payment.taken<br/>shop-payment-events"])
        m4(["payment.declined<br/>shop-payment-events"])
        us1[/"undo: payment.back<br/>to shop-payments"/]
        rs2(["reply"])
        as2{{"ask ticket.find<br/>of shop-kitchen"}}
        us2[/"undo: ticket.cancel<br/>to shop-kitchen"/]
        t0(("timeout patience"))
        m0 --> s0
        m0 --> s1
        m0 --> s2
        s0 -- done --> m1
        s0 -- refused --> m2
        s1 -- done --> m3
        s1 -- refused --> m4
        s1 -. fails later .-> us1
        s2 --> rs2
        s2 -. no answer in 1 s .-> as2
        s2 -. fails later .-> us2"
    `)
    expect(explain(placeOrder('place-order', on, async () => {}))).toEqual({ text, mermaid })
  })

  it('says what is wrong with it', () => {
    const own = defineProcess('own', { state: z.object({}) })
    const any = own as any
    const stepped = own.step('payment', on.Payments, 'payment.take').onTimeout('late', () => {}) as any
    for (const wrong of [
      () => defineProcess('with space', { state: z.object({}) }),
      () => defineProcess('own', { state: 1 as never }),
      () => defineProcess('own', { state: z.object({}), odd: 1 } as never),
      () => any.step('a b', on.Payments, 'payment.take'),
      () => any.step('a', on.Payments, 'nothing'),
      () => any.step('a', {}, 'payment.take'),
      () => any.step('a', on.Payments, 'payment.take', { withinMs: 0 }),
      () => any.step('a', on.Payments, 'payment.take', { within: 1 }),
      () => stepped.step('payment', on.Payments, 'payment.take'),
      () => any.undo('payment', on.Payments, 'payment.back', () => ({})),
      () => stepped.undo('payment', on.Payments, 'payment.back'),
      () => stepped.ask('payment', on.Kitchen, 'ticket.find', () => ({})),
      () => stepped.onReply('payment', {}),
      () => stepped.onTimeout('late', () => {}),
      () => stepped.onUnknown('payment', 1),
      () => stepped.starts(on.Orders, 'order.created', { id: () => '' }),
      () => stepped.starts(on.Orders, 'order.created', { id: () => '', state: () => ({}), sends: ['odd'] }),
      () => stepped.starts(on.Orders, 'order.created', { id: () => '', state: () => ({}), again: 'odd' }),
      () => stepped.on(on.PaymentEvents, 'payment.taken', {}),
      () => stepped.on(on.PaymentEvents, 'payment.taken', { answers: 'odd' }),
      () => stepped.on(on.PaymentEvents, 'payment.taken', { answers: 'payment', refuses: 'payment' }),
      () => stepped.on(on.PaymentEvents, 'payment.taken', { answers: 'payment', id: () => '', correlation: () => '' }),
      () =>
        stepped
          .on(on.PaymentEvents, 'payment.taken', { answers: 'payment' })
          .on(on.PaymentEvents, 'payment.taken', { answers: 'payment' }),
    ])
      expect(wrong, String(wrong)).toThrow(refused)
  })

  it('a runner wants all that it needs', () => {
    const lab = memoryLab()
    const store = lab.store()
    const outbox = createOutbox(store)
    const transport = lab.transport()
    const process = placeOrder('place-order', on, async () => {})
    const good = { process, store, outbox, transport }
    expect(createProcessRunner(good).name).toBe('place-order')
    for (const wrong of [
      { process: {} },
      { process: defineProcess('idle', { state: z.object({}) }) },
      { store: {} },
      { outbox: {} },
      { transport: {} },
      { group: 'with space' },
      { queue: '' },
      { scanEveryMs: 1 },
      { odd: 1 },
    ])
      expect(() => createProcessRunner({ ...good, ...wrong } as never), JSON.stringify(wrong)).toThrow(refused)
  })

  it('a runner is closed once, within the time that was said first; what is no time closes nothing', async () => {
    const lab = memoryLab()
    const on = channelsOf('closing')
    const others = await othersOf(lab, on)
    const service = await serviceOf(lab, placeOrder('closing', on, lab.note))
    await expect(service.runner.close({ withinMs: -1 })).rejects.toMatchObject({ code: 'INVALID_OPTIONS' })
    await expect(service.runner.close({ within: 1 } as object)).rejects.toMatchObject({ code: 'INVALID_OPTIONS' })
    expect(Object.values(service.runner.health()).map(({ state }) => state)).not.toContain('closed')
    const closing = service.runner.close({ withinMs: 500 })
    expect(service.runner.close()).toBe(closing)
    await closing
    expect(new Set(Object.values(service.runner.health()).map(({ state }) => state))).toEqual(new Set(['closed']))
    await service.stop()
    await others.stop()
  })

  it('a handler that sends what it did not say it would is a fault of the program', async () => {
    const lab = memoryLab()
    const store = lab.store()
    const transport = lab.transport()
    const Work = queue('work', { 'work.wanted': z.object({ id: z.string() }) })
    const events: { readonly type: string }[] = []
    const process = defineProcess('own', { state: z.object({}) })
      .step('a', Work, 'work.wanted')
      .starts(on.Orders, 'order.created', {
        id: ({ data }) => data.orderId,
        state: () => ({}),
        sends: [],
        handle: (_, own) => (own as any).send('a', { id: '1' }),
      })
    const runner = createProcessRunner({
      process,
      store,
      outbox: createOutbox(store, { clock: lab.clock }),
      transport,
      clock: lab.clock,
      redriveWithinMs: 0,
      purgeEveryMs: false,
      onEvent: (event) => void events.push(event),
    })
    await runner.start()
    const others = await othersOf(lab, on)
    await others.order('x')
    await lab.until(() => events.some(({ type }) => type === 'message-dead'))
    expect(events.find(({ type }) => type === 'message-dead')).toMatchObject({ error: { code: 'PROGRAMMING_ERROR' } })
    expect(await runner.show('x')).toBeUndefined()
    await runner.close({ withinMs: 100 })
    await others.stop()
  })
})
