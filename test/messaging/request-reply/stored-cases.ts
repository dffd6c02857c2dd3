// What a stored requester promises, on any store and any transport: in memory with a clock that stands still, and on real servers.
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { z } from 'zod'
import type { PipelineEvent } from '../../../src/core/events.ts'
import type { Envelope } from '../../../src/core/message.ts'
import { createError } from '../../../src/errors/classes.ts'
import { createOutbox, createRelay, queue, retry, topic } from '../../../src/messaging/index.ts'
import { createResponder } from '../../../src/messaging/request-reply/responder.ts'
import { createStoredRequester } from '../../../src/messaging/request-reply/stored-requester.ts'
import type { StoredRequesterOptions } from '../../../src/messaging/request-reply/stored-types.ts'
import { answersWhenHandled, type Lab } from '../lab.ts'
import { sendRaw } from '../raw.ts'

const types = {
  'price.quote': {
    schema: z.object({ sku: z.string() }),
    reply: z.object({ cents: z.number() }),
    failures: { UNKNOWN_SKU: z.object({ sku: z.string() }) },
  },
}
export const pricing = (name: string) => queue(name, types)
export const market = (name: string) => topic(name, types)
export const State = z.object({ orderId: z.string(), best: z.number().optional() })

let count = 0

/** One process of the requester, with its relay. */
export async function processOf(
  lab: Lab,
  channel: ReturnType<typeof pricing> | ReturnType<typeof market>,
  options: {
    readonly name: string
    readonly more?: Partial<StoredRequesterOptions<typeof types, any, typeof State>>
    readonly relay?: object
  },
) {
  const store = await lab.store()
  const transport = await lab.transport()
  const { clock } = lab
  const outbox = createOutbox(store, { clock, source: '/checkout' })
  const relay = createRelay({
    outbox,
    transport,
    clock,
    leaseMs: lab.leaseMs ?? 2_000,
    poll: { minMs: 20, maxMs: 100 },
    ...options.relay,
  })
  const events: PipelineEvent[] = []
  const quotes = createStoredRequester({
    name: options.name,
    store,
    outbox,
    transport,
    channel: channel as ReturnType<typeof pricing>,
    replies: `${options.name}-replies`,
    state: State,
    clock,
    scanEveryMs: 200,
    redriveWithinMs: 0,
    retries: { immediate: 0, delayedMs: [20] },
    onEvent: (event) => void events.push(event),
    handlers: {
      'price.quote': {
        reply: ({ cents }, { tx, state }) => lab.note(tx, `${state.orderId} costs ${cents}`),
        failure: (name, { sku }, { tx, state }) => lab.note(tx, `${state.orderId} ${name} ${sku}`),
        error: ({ code, effect }, { tx, state }) => lab.note(tx, `${state.orderId} ${code} ${effect}`),
        timeout: ({ tx, state, error }) => lab.note(tx, `${state.orderId} ${error.code}`),
      },
    },
    ...options.more,
  })
  await transport.prepare([{ kind: channel.kind, name: channel.name }], 'create')
  await relay.start()
  await quotes.start()
  return {
    store,
    transport,
    outbox,
    quotes,
    events,
    ask: (orderId: string, given: object = {}, sku = 'A-1'): Promise<{ readonly id: string }> =>
      store.transaction((tx) =>
        quotes.request(tx, 'price.quote', { sku }, { state: { orderId }, timeoutMs: 60_000, ...given }),
      ),
    async stop() {
      await quotes.close({ withinMs: 1_000 })
      await relay.close({ withinMs: 4_000 })
      await transport.close()
      await store.close()
    },
  }
}

/** A reply as anybody may send it. */
export const replyTo = (id: string, over: Partial<Envelope> = {}, cents = 700): Envelope => ({
  id: `reply to ${id}`,
  attributes: {
    specversion: '1.0',
    source: '/by/hand',
    type: 'price.quote.reply',
    correlationid: id,
    causationid: id,
    datacontenttype: 'application/json',
  },
  headers: {},
  body: Buffer.from(JSON.stringify({ cents })),
  ...over,
})

/** `concurrent`: several at a time, where most of it is waiting and nobody steers the clock. */
export function storedCases(
  name: string,
  open: () => Promise<Lab>,
  { concurrent = false }: { readonly concurrent?: boolean | undefined } = {},
): void {
  describe(`stored requests ${name}`, { timeout: 120_000, concurrent }, () => {
    let lab: Lab
    beforeAll(async () => {
      lab = await open()
    })
    afterAll(() => lab.close())

    const fresh = () => {
      const own = `${name.replaceAll(/\W/g, '')}${lab.mark ?? ''}-${String(++count).padStart(3, '0')}`
      return { name: own, channel: pricing(`pricing-${own}`) }
    }
    const answering = async (channel: ReturnType<typeof pricing>, more: object = {}) => {
      const transport = await lab.transport()
      const responder = createResponder({
        transport,
        channel,
        source: '/pricing',
        clock: lab.clock,
        retries: { immediate: 0, delayedMs: [] },
        handlers: {
          'price.quote': ({ data }, { fail }) => {
            if (data.sku === 'none') return fail('UNKNOWN_SKU', { sku: data.sku })
            if (data.sku === 'broken') throw createError({ code: 'FORBIDDEN', message: 'no' })
            return { cents: data.sku.length * 100 }
          },
        },
        ...more,
      })
      await responder.start()
      return {
        responder,
        async stop() {
          await responder.close({ withinMs: 1_000 })
          await transport.close()
        },
      }
    }
    const linesOf = async (prefix: string): Promise<readonly string[]> =>
      (await lab.lines()).filter((line) => line.startsWith(prefix))

    it('a reply, a declared failure and an error each reach their handler once, with the state of the request', async () => {
      const own = fresh()
      const there = await answering(own.channel)
      const here = await processOf(lab, own.channel, own)
      await here.ask(`${own.name}-a`)
      await here.ask(`${own.name}-b`, {}, 'none')
      await here.ask(`${own.name}-c`, {}, 'broken')
      await lab.until(async () => (await linesOf(own.name)).length === 3)
      expect(await linesOf(own.name)).toEqual([
        `${own.name}-a costs 300`,
        `${own.name}-b UNKNOWN_SKU none`,
        `${own.name}-c FORBIDDEN unknown`,
      ])
      await lab.until(() => here.quotes.stats().failures === 2)
      expect(await here.quotes.pending()).toEqual([])
      expect(here.quotes.stats()).toEqual({
        requested: 3,
        replies: 1,
        failures: 2,
        timeouts: 0,
        late: 0,
        unknown: 0,
        purged: 0,
      })
      await here.stop()
      await there.stop()
    })

    it('is part of the transaction: undone with it, nothing was asked and nothing waits', async () => {
      const own = fresh()
      const there = await answering(own.channel)
      const here = await processOf(lab, own.channel, own)
      await expect(
        here.store.transaction(async (tx: unknown) => {
          await here.quotes.request(tx, 'price.quote', { sku: 'A' }, { state: { orderId: `${own.name}-undone` } })
          throw new Error('no')
        }),
      ).rejects.toThrow('no')
      await here.ask(`${own.name}-done`)
      await lab.until(async () => (await linesOf(own.name)).length === 1)
      expect(await linesOf(own.name)).toEqual([`${own.name}-done costs 300`])
      expect([here.quotes.stats().requested, await here.quotes.pending(), there.responder.stats().replies]).toEqual([
        1,
        [],
        1,
      ])
      await here.stop()
      await there.stop()
    })

    it('what breaks a schema is refused, and nothing is written', async () => {
      const own = fresh()
      const here = await processOf(lab, own.channel, own)
      const ask = (data: unknown, options: object): Promise<unknown> =>
        here.store.transaction((tx: unknown) => here.quotes.request(tx, 'price.quote', data as never, options))
      await expect(ask({ sku: 1 }, { state: { orderId: 'x' } })).rejects.toMatchObject({ code: 'INVALID_INPUT' })
      await expect(ask({ sku: 'A' }, { state: { orderId: 1 } })).rejects.toMatchObject({
        code: 'INVALID_INPUT',
        details: { issues: [{ path: 'state.orderId' }] },
      })
      await expect(ask({ sku: 'A' }, { state: { orderId: 'x' }, expect: 0 })).rejects.toMatchObject({
        code: 'INVALID_OPTIONS',
      })
      expect(await here.quotes.pending()).toEqual([])
      await here.stop()
    })

    it('when nobody answers, the timeout is delivered, once; a reply that comes after it is dropped and counted', async () => {
      const own = fresh()
      const here = await processOf(lab, own.channel, own)
      const other = await processOf(lab, own.channel, own)
      const { id } = await here.ask(`${own.name}-slow`, { timeoutMs: 400 })
      expect(await here.quotes.pending()).toMatchObject([
        { id, status: 'open', replies: 0, state: { orderId: `${own.name}-slow` } },
      ])
      await lab.until(async () => (await linesOf(own.name)).length === 1)
      await sendRaw(
        lab.clock,
        here.transport,
        { kind: 'queue', name: `${own.name}-replies` },
        replyTo(id, { expiresAt: lab.clock.wallNow() - 1 }),
      )
      const sum = (figure: 'late' | 'timeouts' | 'replies'): number =>
        here.quotes.stats()[figure] + other.quotes.stats()[figure]
      await lab.until(() => sum('late') === 1)
      expect(await linesOf(own.name)).toEqual([`${own.name}-slow DEADLINE_EXCEEDED`])
      expect([sum('timeouts'), sum('replies'), await here.quotes.pending()]).toEqual([1, 0, []])
      expect([...here.events, ...other.events].filter(({ type }) => type === 'reply-dropped')).toMatchObject([
        { why: 'late', correlationId: id },
      ])
      await other.stop()
      await here.stop()
    })

    it('a reply that came while nobody of the requester was there is an answer, also after its time', async () => {
      const own = fresh()
      const first = await processOf(lab, own.channel, own)
      const { id } = await first.ask(`${own.name}-down`, { timeoutMs: 800 })
      await first.stop()
      const mean = await lab.transport()
      const sent = sendRaw(
        lab.clock,
        mean,
        { kind: 'queue', name: `${own.name}-replies` },
        replyTo(id, { expiresAt: lab.clock.wallNow() + 700 }),
      )
      if (!answersWhenHandled(mean)) await sent
      await lab.pass(900)
      const second = await processOf(lab, own.channel, own)
      await sent
      await lab.until(async () => (await linesOf(own.name)).length === 1)
      expect(await linesOf(own.name)).toEqual([`${own.name}-down costs 700`])
      await second.stop()
      await mean.close()
    })

    it('another process, on the same store, takes the answer and the timeouts of one that is gone', async () => {
      const own = fresh()
      const first = await processOf(lab, own.channel, own)
      await first.ask(`${own.name}-a`)
      await first.ask(`${own.name}-b`, { timeoutMs: 300 }, 'silence')
      await first.stop()
      const there = await answering(own.channel, {
        handlers: {
          'price.quote': ({ data }: { data: { sku: string } }) =>
            data.sku === 'silence' ? retry({ afterMs: 60_000 }) : { cents: 5 },
        },
      })
      const second = await processOf(lab, own.channel, own)
      await lab.until(async () => (await linesOf(own.name)).length === 2)
      expect(await linesOf(own.name)).toEqual([`${own.name}-a costs 5`, `${own.name}-b DEADLINE_EXCEEDED`])
      await second.stop()
      await there.stop()
    })

    it('a reply that is delivered twice is applied once; one to nobody is dropped', async () => {
      const own = fresh()
      const here = await processOf(lab, own.channel, own)
      const { id } = await here.ask(`${own.name}-twice`)
      const to = { kind: 'queue', name: `${own.name}-replies` } as const
      for (const envelope of [replyTo(id), replyTo(id), replyTo(id, { id: 'another' }), replyTo('nobody')])
        await sendRaw(lab.clock, here.transport, to, envelope)
      await lab.until(() => here.quotes.stats().unknown === 1 && here.quotes.stats().late >= 1)
      expect(await linesOf(own.name)).toEqual([`${own.name}-twice costs 700`])
      expect(here.quotes.stats()).toMatchObject({ replies: 1, late: 1, unknown: 1 })
      await here.stop()
    })

    it('several replies: each is handled, what is kept goes on to the next, and the last one ends it', async () => {
      const own = fresh()
      const here = await processOf(lab, own.channel, {
        ...own,
        more: {
          handlers: {
            'price.quote': {
              reply: async ({ cents }, { tx, state, keep, last, replies }) => {
                const best = Math.min(state.best ?? Infinity, cents)
                keep({ ...state, best })
                await lab.note(tx, `${state.orderId} ${last ? `best of ${replies} is ${best}` : `saw ${cents}`}`)
              },
              failure: () => {},
              timeout: ({ tx, state, replies }) => lab.note(tx, `${state.orderId} only ${replies}, best ${state.best}`),
            },
          },
        },
      })
      const to = { kind: 'queue', name: `${own.name}-replies` } as const
      const send = async (id: string, prices: readonly number[]): Promise<void> => {
        for (const cents of prices)
          await sendRaw(lab.clock, here.transport, to, replyTo(id, { id: `${id} ${cents}` }, cents))
      }
      const three = await here.ask(`${own.name}-three`, { expect: 3 })
      // One of them is delivered twice.
      await send(three.id, [9, 9, 4])
      await lab.until(async () => (await linesOf(own.name)).length === 2)
      expect(await here.quotes.pending()).toMatchObject([{ id: three.id, replies: 2, expect: 3, state: { best: 4 } }])
      await send(three.id, [6, 5])
      const two = await here.ask(`${own.name}-two`, { expect: 3, timeoutMs: 500 })
      await send(two.id, [8, 7])
      await lab.until(async () => (await linesOf(own.name)).length === 6 && here.quotes.stats().late === 1)
      expect(await linesOf(own.name)).toEqual(
        [
          `${own.name}-three best of 3 is 4`,
          `${own.name}-three saw 4`,
          `${own.name}-three saw 9`,
          `${own.name}-two only 2, best 7`,
          `${own.name}-two saw 7`,
          `${own.name}-two saw 8`,
        ].sort(),
      )
      await here.stop()
    })

    it('on a topic every group answers, and the handler says when it is enough', async () => {
      const own = fresh()
      const channel = market(`market-${own.name}`)
      const there = await Promise.all(
        ['a', 'b', 'c'].map(async (group, at) => {
          const transport = await lab.transport()
          const responder = createResponder({
            transport,
            channel,
            group,
            source: `/${group}`,
            clock: lab.clock,
            handlers: { 'price.quote': () => ({ cents: at }) },
          })
          await responder.start()
          return async () => {
            await responder.close({ withinMs: 1_000 })
            await transport.close()
          }
        }),
      )
      const here = await processOf(lab, channel, {
        ...own,
        more: {
          handlers: {
            'price.quote': {
              reply: async (_, { tx, state, replies, enough, message }) => {
                await lab.note(tx, `${state.orderId} ${message.source} ${replies}`)
                if (replies === 2) enough()
              },
              failure: () => {},
              timeout: ({ tx, state }) => lab.note(tx, `${state.orderId} timeout`),
            },
          },
        },
      })
      await here.ask(own.name, { expect: 100 })
      await lab.until(() => here.quotes.stats().late === 1)
      const words = (await linesOf(own.name)).map((line) => line.split(' '))
      expect(words.map(([, , nth]) => nth).sort()).toEqual(['1', '2'])
      expect(new Set(words.map(([, source]) => source)).size).toBe(2)
      expect(await here.quotes.pending()).toEqual([])
      await here.stop()
      for (const stop of there) await stop()
    })

    it('what is cancelled waits no more: its reply is late, and there is no timeout', async () => {
      const own = fresh()
      const here = await processOf(lab, own.channel, own)
      const { id } = await here.ask(`${own.name}-no`, { timeoutMs: 300 })
      const cancel = (): Promise<boolean> => here.store.transaction((tx: unknown) => here.quotes.cancel(tx, id))
      expect([await cancel(), await cancel()]).toEqual([true, false])
      await sendRaw(lab.clock, here.transport, { kind: 'queue', name: `${own.name}-replies` }, replyTo(id))
      await lab.until(() => here.quotes.stats().late === 1)
      await lab.pass(700)
      expect([await linesOf(own.name), await here.quotes.pending(), here.quotes.stats().timeouts]).toEqual([[], [], 0])
      await here.stop()
    })

    it('reply and timeout at one time: one of them decides, the other is late', async () => {
      const own = fresh()
      const here = await processOf(lab, own.channel, own)
      const other = await processOf(lab, own.channel, own)
      const asked = await Promise.all(
        Array.from({ length: 12 }, (_, n) => here.ask(`${own.name}-${n}`, { timeoutMs: 300 })),
      )
      await lab.pass(290)
      const to = { kind: 'queue', name: `${own.name}-replies` } as const
      for (const { id } of asked) await sendRaw(lab.clock, here.transport, to, replyTo(id))
      const sum = (figure: 'late' | 'timeouts' | 'replies'): number =>
        here.quotes.stats()[figure] + other.quotes.stats()[figure]
      await lab.until(async () => sum('replies') + sum('timeouts') === 12 && (await linesOf(own.name)).length === 12)
      await lab.pass(600)
      expect(new Set((await linesOf(own.name)).map((line) => line.split(' ')[0])).size).toBe(12)
      expect(await linesOf(own.name)).toHaveLength(12)
      await other.stop()
      await here.stop()
    })

    it('the handler of a request may ask again, in the same transaction', async () => {
      const own = fresh()
      const there = await answering(own.channel)
      let quotes: Awaited<ReturnType<typeof processOf>>['quotes'] | undefined
      const here = await processOf(lab, own.channel, {
        ...own,
        more: {
          handlers: {
            'price.quote': {
              reply: async ({ cents }, { tx, state }) => {
                await lab.note(tx, `${state.orderId} ${cents}`)
                if (cents === 100)
                  await quotes?.request(tx, 'price.quote', { sku: 'AB' }, { state: { orderId: state.orderId } })
              },
              failure: () => {},
              timeout: () => {},
            },
          },
        },
      })
      quotes = here.quotes
      await here.ask(own.name, {}, 'A')
      await lab.until(async () => (await linesOf(own.name)).length === 2)
      expect(await linesOf(own.name)).toEqual([`${own.name} 100`, `${own.name} 200`])
      await here.stop()
      await there.stop()
    })
  })
}
