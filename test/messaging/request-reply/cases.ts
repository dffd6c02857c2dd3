// What requests and replies promise on any transport. It is given a way to open transports on one broker; time is real, and only facts are asserted.
import { randomUUID } from 'node:crypto'
import { expect } from 'vitest'
import { z } from 'zod'
import type { PipelineEvent } from '../../../src/core/events.ts'
import {
  type CallContext,
  type ChannelAddress,
  createContext,
  deadlineIn,
  type MessageTransport,
  systemClock,
  withInherited,
} from '../../../src/core/index.ts'
import { isFairleadError } from '../../../src/errors/index.ts'
import {
  type Channel,
  createExchange,
  createRequester,
  createResponder,
  encodeMessage,
  isRequestFailure,
  queue,
  type Requester,
  type RequesterOptions,
  type Responder,
  type ResponderOptions,
  topic,
} from '../../../src/messaging/index.ts'
import type { TransportLab } from '../../../src/testing/transport-suite/index.ts'

const types = {
  'price.quote': {
    schema: z.object({ sku: z.string(), waitMs: z.number().optional() }),
    reply: z.object({ sku: z.string(), cents: z.number(), by: z.string().optional() }),
    failures: { UNKNOWN_SKU: z.object({ sku: z.string() }) },
  },
  'price.note': z.object({ text: z.string() }),
} as const
type Types = typeof types

/** What a transport needs said besides. */
export interface RequestCasesOptions {
  /** Where replies of a requester come in, on transports without private places. Another one each time. */
  readonly replies?: (() => ChannelAddress) | undefined
  /** Time for a whole exchange that goes well, and not much more: what is given to those that cannot. Default 2,000. */
  readonly briefMs?: number | undefined
}

/** The functions of a test runner that the cases use. */
export interface CasesRunner {
  readonly describe: (name: string, work: () => void) => unknown
  readonly test: (name: string, work: () => Promise<void>, timeoutMs?: number) => unknown
  readonly afterAll: (work: () => Promise<void>, timeoutMs?: number) => unknown
}

/** Longer than anything here takes: a hang, not a slow machine. */
const PATIENCE_MS = 20_000

/** Defines the cases for one transport. Await it: the lab is made first. */
export async function requestCases(
  name: string,
  makeLab: () => TransportLab | Promise<TransportLab>,
  { describe, test, afterAll }: CasesRunner,
  options: RequestCasesOptions = {},
): Promise<void> {
  const lab = await makeLab()
  const probe = await lab.open()
  const { modes, unroutable, temporary } = probe.capabilities
  await probe.close()
  const [mode = 'queue'] = modes
  const { briefMs = 2_000 } = options

  /** What one case opens, closed at its end. */
  class Bench {
    readonly #open: { close(): Promise<void> }[] = []
    readonly events: PipelineEvent[] = []

    readonly channel: Channel<Types> = this.channelOf(mode)

    channelOf(kind: 'queue' | 'topic'): Channel<Types> {
      const called = lab.channel?.(kind, 'pricing') ?? `pricing-${randomUUID()}`
      return kind === 'queue' ? queue(called, types) : topic(called, types)
    }

    async transport(): Promise<MessageTransport> {
      const transport = await lab.open()
      this.#open.unshift(transport)
      return transport
    }

    async requester(more: Partial<RequesterOptions> = {}): Promise<Requester> {
      const requester = createRequester({
        transport: await this.transport(),
        source: '/tests/asking',
        timeoutMs: PATIENCE_MS,
        replies: options.replies?.(),
        onEvent: (event) => this.events.push(event),
        ...more,
      })
      this.#open.unshift(requester)
      return requester
    }

    async responder(
      handle: NonNullable<ResponderOptions<Types>['handlers']['price.quote']>,
      more: Partial<ResponderOptions<Types>> = {},
    ): Promise<Responder> {
      const channel = more.channel ?? this.channel
      const responder = createResponder({
        transport: await this.transport(),
        channel,
        source: '/tests/pricing',
        group: channel.kind === 'topic' ? 'pricing' : undefined,
        onEvent: (event) => this.events.push(event),
        ...more,
        handlers: { 'price.quote': handle, ...more.handlers },
      })
      this.#open.unshift(responder)
      await responder.start()
      return responder
    }

    add(open: { close(): Promise<void> }): void {
      this.#open.unshift(open)
    }

    async close(): Promise<void> {
      for (const each of this.#open) await each.close()
    }
  }

  const bench = (what: string, work: (bench: Bench) => Promise<void>): void => {
    test(what, async () => {
      const made = new Bench()
      try {
        await work(made)
      } finally {
        await made.close()
      }
    }, 60_000)
  }

  describe(`requests and replies over ${name}`, () => {
    afterAll(() => lab.close(), 60_000)

    bench('a request is answered, with what is known of it on both sides', async (made) => {
      const seen: { id: string; correlation: string | undefined; replies: boolean; left: number; trace: unknown }[] = []
      await made.responder(({ id, correlationId, replyTo, data }, { deadline, headers }) => {
        const trace = headers['traceparent']
        seen.push({
          id,
          correlation: correlationId,
          replies: replyTo !== undefined,
          left: deadline.remainingMs(),
          trace,
        })
        return { sku: data.sku, cents: 995 }
      })
      const requester = await made.requester()
      const traceparent = '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01'
      const reply = await withInherited({ headers: { traceparent } }, () =>
        requester.request(made.channel, 'price.quote', { sku: 'A-1' }, { id: 'ask-1' }),
      )
      expect(reply).toEqual({ sku: 'A-1', cents: 995 })
      expect(seen).toEqual([
        { id: 'ask-1', correlation: 'ask-1', replies: true, left: expect.any(Number), trace: traceparent },
      ])
      expect(seen[0]?.left).toBeLessThanOrEqual(PATIENCE_MS)
      expect(requester.stats()).toMatchObject({ pending: 0, received: 1, late: 0 })
    })

    bench('many at once, answered in any order: each gets its own', async (made) => {
      await made.responder(
        async ({ data }) => {
          await new Promise((resolve) => setTimeout(resolve, data.waitMs))
          return { sku: data.sku, cents: data.sku.length }
        },
        { concurrency: 20 },
      )
      const requester = await made.requester()
      const skus = Array.from({ length: 60 }, (_, at) => `sku-${'x'.repeat(at % 7)}-${at}`)
      const replies = await Promise.all(
        skus.map((sku, at) => requester.request(made.channel, 'price.quote', { sku, waitMs: (at * 7) % 30 })),
      )
      expect(replies).toEqual(skus.map((sku) => ({ sku, cents: sku.length })))
    })

    bench('requesters get their own replies only', async (made) => {
      await made.responder(({ data }) => ({ sku: data.sku, cents: 1 }))
      const all = await Promise.all([made.requester(), made.requester(), made.requester()])
      const asked = await Promise.all(
        all.flatMap((requester, who) =>
          Array.from({ length: 10 }, (_, at) =>
            requester.request(made.channel, 'price.quote', { sku: `${who}/${at}` }).then(({ sku }) => sku),
          ),
        ),
      )
      expect(asked).toEqual(all.flatMap((_, who) => Array.from({ length: 10 }, (_, at) => `${who}/${at}`)))
      for (const requester of all) expect(requester.stats()).toMatchObject({ received: 10, late: 0 })
    })

    bench('a failure that is declared comes back typed, and never as a throw of `result`', async (made) => {
      await made.responder(({ data }, context) => context.fail('UNKNOWN_SKU', { sku: data.sku }))
      const requester = await made.requester()
      const error = await requester.request(made.channel, 'price.quote', { sku: 'B-7' }).catch((thrown) => thrown)
      expect(isRequestFailure(error, made.channel, 'price.quote', 'UNKNOWN_SKU') && error.details.sku).toBe('B-7')
      expect(error).toMatchObject({ code: 'DECLARED_FAILURE', effect: 'none', failure: 'UNKNOWN_SKU' })
      const result = await requester.result(made.channel, 'price.quote', { sku: 'B-8' })
      expect(result).toMatchObject({ ok: false, error: { failure: 'UNKNOWN_SKU', details: { sku: 'B-8' } } })
    })

    bench('an error of a handler is answered once it is given up, and nothing internal leaks', async (made) => {
      let attempts = 0
      const told: unknown[] = []
      const secret = new TypeError('the password is in line 7')
      await made.responder(
        () => {
          attempts++
          throw attempts <= 2 ? secret : Object.assign(new Error('gone'), { code: 'ECONNREFUSED' })
        },
        { retries: { immediate: 1, delayedMs: [] }, onError: (error) => told.push(error) },
      )
      const requester = await made.requester()
      const first = await requester.result(made.channel, 'price.quote', { sku: 'A' })
      expect(first).toMatchObject({ ok: false, error: { code: 'SERVER_ERROR', effect: 'unknown' } })
      expect(JSON.stringify(first)).not.toContain('password')
      expect(told).toEqual([secret])
    })

    bench('a request that breaks its schema is answered as such', async (made) => {
      await made.responder(() => ({ sku: 'never', cents: 0 }))
      const transport = await made.transport()
      const exchange = createExchange({ transport, replies: options.replies?.() })
      made.add(exchange)
      const loose = { ...made.channel, types: { 'price.quote': { schema: z.any(), version: 1, upcasters: {} } } }
      const envelope = await encodeMessage(
        loose as unknown as Channel<Types>,
        { type: 'price.quote', data: { sku: 7 } as never },
        { source: '/tests/rude', clock: systemClock },
      )
      const reply = await exchange.ask(made.channel, envelope, contextOf(PATIENCE_MS))
      expect(reply.attributes).toMatchObject({
        type: 'price.quote.reply',
        correlationid: envelope.id,
        causationid: envelope.id,
        source: '/tests/pricing',
        datacontenttype: 'application/problem+json',
      })
      expect(JSON.parse(Buffer.from(reply.body).toString())).toMatchObject({
        type: 'urn:fairlead:INVALID_INPUT',
        effect: 'none',
        details: { issues: [{ path: 'data.sku' }] },
      })
    })

    bench('without a reply in time a request ends, and its reply is late and nobody else’s', async (made) => {
      const holding: (() => void)[] = []
      await made.responder(
        ({ data }) =>
          new Promise((resolve) => {
            holding.push(() => resolve({ sku: data.sku, cents: 1 }))
            if (data.sku !== 'slow') for (const go of holding.splice(0).reverse()) go()
          }),
        { concurrency: 5 },
      )
      const requester = await made.requester()
      // The place for replies is opened first, so that the time is that of the request.
      await requester.request(made.channel, 'price.quote', { sku: 'warm' })
      const slow = await requester.result(made.channel, 'price.quote', { sku: 'slow' }, { timeoutMs: briefMs })
      expect(slow).toMatchObject({ ok: false, error: { code: 'DEADLINE_EXCEEDED', effect: 'unknown' } })
      expect(requester.stats().pending).toBe(0)
      const quick = await requester.request(made.channel, 'price.quote', { sku: 'quick' })
      expect(quick.sku).toBe('quick')
    })

    bench('a request that is given up is forgotten at once', async (made) => {
      let handled = 0
      await made.responder(
        () => {
          handled++
          return new Promise(() => undefined)
        },
        { handlerTimeoutMs: briefMs },
      )
      const requester = await made.requester()
      const controller = new AbortController()
      const asking = requester.result(made.channel, 'price.quote', { sku: 'A' }, { signal: controller.signal })
      await expect.poll(() => handled, { timeout: PATIENCE_MS }).toBe(1)
      controller.abort('changed my mind')
      expect(await asking).toMatchObject({ ok: false, error: { code: 'CANCELLED', cause: 'changed my mind' } })
      expect(requester.stats().pending).toBe(0)
    })

    bench('what has expired is not worked on', async (made) => {
      const requester = await made.requester()
      // The channel is there, and nobody takes from it yet.
      const early = await made.responder(({ data }) => ({ sku: data.sku, cents: 1 }))
      await requester.request(made.channel, 'price.quote', { sku: 'warm' })
      await early.close()
      const missed = await requester.result(made.channel, 'price.quote', { sku: 'missed' }, { timeoutMs: briefMs / 4 })
      expect(missed.ok).toBe(false)
      const handled: string[] = []
      await made.responder(({ data }) => {
        handled.push(data.sku)
        return { sku: data.sku, cents: 2 }
      })
      await requester.request(made.channel, 'price.quote', { sku: 'next' })
      expect(handled).toEqual(['next'])
    })

    bench('a message that asks for no reply is handled, and nobody is answered', async (made) => {
      const notes: string[] = []
      const responder = await made.responder(({ data }) => ({ sku: data.sku, cents: 1 }), {
        handlers: {
          'price.note': ({ data }) => {
            notes.push(data.text)
          },
        },
      })
      const transport = await made.transport()
      for (const message of [
        { type: 'price.note', data: { text: 'hello' } },
        { type: 'price.quote', data: { sku: 'nobody asks' } },
      ] as const) {
        const envelope = await encodeMessage(made.channel, message, { source: '/tests', clock: systemClock })
        const results = await transport.send(made.channel, [envelope], contextOf(PATIENCE_MS))
        expect(results).toEqual([{ status: 'accepted' }])
      }
      await expect.poll(() => responder.stats().silent, { timeout: PATIENCE_MS }).toBe(1)
      await expect.poll(() => notes, { timeout: PATIENCE_MS }).toEqual(['hello'])
      expect(responder.stats()).toMatchObject({ replies: 0, gone: 0 })
    })

    if (unroutable === 'detected')
      bench('a request to nowhere fails at once', async (made) => {
        const requester = await made.requester()
        const result = await requester.result(made.channelOf(mode), 'price.quote', { sku: 'A' })
        expect(result.ok ? undefined : result.error.effect).toBe('none')
        expect(!result.ok && isFairleadError(result.error, 'UNROUTABLE', 'CHANNEL_NOT_FOUND')).toBe(true)
      })

    if (temporary)
      bench('an asker that has gone is counted, and its request is done', async (made) => {
        let go: () => void = () => undefined
        let handled = 0
        const responder = await made.responder(async ({ data }) => {
          handled++
          if (data.sku === 'gone') await new Promise<void>((resolve) => (go = resolve))
          return { sku: data.sku, cents: 1 }
        })
        const leaving = await made.requester()
        const asking = leaving.result(made.channel, 'price.quote', { sku: 'gone' })
        await expect.poll(() => handled, { timeout: PATIENCE_MS }).toBe(1)
        await leaving.close()
        expect(await asking).toMatchObject({ ok: false, error: { code: 'SHUTDOWN', effect: 'unknown' } })
        go()
        await expect.poll(() => responder.stats().replies, { timeout: PATIENCE_MS }).toBe(1)
        const other = await made.requester()
        await other.request(made.channel, 'price.quote', { sku: 'still here' })
        expect(handled).toBe(2)
        if (unroutable === 'detected') expect(responder.stats().gone).toBe(1)
      })

    if (modes.includes('topic'))
      bench(
        'a request on a topic gathers the answers of every group, as many as are enough or come in time',
        async (made) => {
          const channel = made.channelOf('topic')
          for (const by of ['one', 'two'])
            await made.responder(({ data }) => ({ sku: data.sku, cents: 1, by }), {
              channel,
              group: by,
              source: `/tests/${by}`,
            })
          await made.responder((_, context) => context.fail('UNKNOWN_SKU', { sku: 'of three' }), {
            channel,
            group: 'three',
          })
          const requester = await made.requester()
          const enough = await requester.gather(channel, 'price.quote', { sku: 'A' }, { enough: 2 })
          expect(enough.complete).toBe(true)
          expect(enough.replies.map(({ data }) => data.by).sort()).toEqual(['one', 'two'])
          expect(enough.replies.map(({ source }) => source).sort()).toEqual(['/tests/one', '/tests/two'])
          const all = await requester.gather(
            channel,
            'price.quote',
            { sku: 'B' },
            { enough: (replies, failures) => replies.length + failures.length === 3 },
          )
          expect(all.complete).toBe(true)
          expect(all.failures).toMatchObject([{ failure: 'UNKNOWN_SKU', details: { sku: 'of three' } }])
          const some = await requester.gather(channel, 'price.quote', { sku: 'C' }, { enough: 3, timeoutMs: briefMs })
          expect(some).toMatchObject({ complete: false, ended: { code: 'DEADLINE_EXCEEDED' }, failures: [{}] })
          expect(some.replies.map(({ data }) => data.by).sort()).toEqual(['one', 'two'])
        },
      )
  })
}

function contextOf(ms: number): CallContext {
  return createContext({
    service: 'tests',
    operation: 'ask',
    deadline: deadlineIn(ms, systemClock),
    idempotent: true,
  }).context
}
