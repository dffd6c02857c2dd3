// A responder with an inbox: the effects of a request and its reply are one transaction.
import { describe, expect, test } from 'vitest'
import { type MemoryTx, memoryStore } from '../../../src/adapters/memory/index.ts'
import { createError } from '../../../src/errors/classes.ts'
import {
  createOutbox,
  createRelay,
  createRequester,
  createResponder,
  dead,
  type InboxResponderOptions,
  type RequestOptions,
  retry,
} from '../../../src/messaging/index.ts'
import { bench, Pricing } from './kit.ts'

type Options = InboxResponderOptions<NonNullable<(typeof Pricing)['definitions']>, MemoryTx>
type Handle = NonNullable<Options['handlers']['price.quote']>

const counted = (tx: MemoryTx, key: string): number => {
  const now = Number(tx.get(key) ?? 0) + 1
  tx.set(key, now)
  return now
}

async function pair(
  handle: Handle,
  options: Partial<Options> & { before?: (what: string) => Promise<void> | undefined } = {},
) {
  const { before, ...more } = options
  const made = bench()
  const { clock, onEvent, open } = made
  const [asking, answering, relaying] = [open(), open(), open()]
  const store = memoryStore({ clock, before: (what) => before?.(what) })
  const outbox = createOutbox(store, { source: '/pricing', clock })
  const told: unknown[] = []
  const common = {
    channel: Pricing,
    inbox: store,
    outbox,
    clock,
    random: () => 0,
    onEvent,
    onError: (error: unknown) => void told.push(error),
    ...more,
    handlers: { 'price.quote': handle },
  }
  const responder = createResponder({ transport: answering.transport, ...common })
  await responder.start()
  const relay = createRelay({ outbox, transport: relaying.transport, clock, random: () => 0, onEvent })
  await relay.start()
  const requester = createRequester({ transport: asking.transport, source: '/asking', clock, onEvent })
  const quote = (options?: RequestOptions) => requester.result(Pricing, 'price.quote', { sku: 'A-1' }, options)
  const pass = async (ms: number): Promise<void> => {
    for (let step = 0; step < ms / 50; step++) await clock.advance(50)
  }
  const quoted = async (options: RequestOptions = {}) => {
    const asking = quote({ timeoutMs: 60_000, ...options })
    await pass(6_000)
    return asking
  }
  /** The same request once more, as a broker may hand it out. */
  const again = async (): Promise<void> => {
    const { envelope } = asking.sent[0] as (typeof asking.sent)[0]
    await asking.transport.send(Pricing, [envelope], made.context())
    await pass(2_000)
  }
  const second = async () => {
    const other = createResponder({ transport: open().transport, ...common })
    await other.start()
    return other
  }
  return {
    ...made,
    store,
    outbox,
    asking,
    answering,
    relaying,
    responder,
    requester,
    relay,
    told,
    quote,
    quoted,
    again,
    second,
    pass,
    common,
  }
}

const refused = (): Error => Object.assign(new Error('no'), { code: 'ECONNREFUSED' })

describe('a responder with an inbox', () => {
  test('commits effects and reply together, acknowledges then, and the relay sends it', async () => {
    const { quoted, store, answering, relaying, responder } = await pair((_, { tx }) => ({
      cents: counted(tx, 'sold'),
    }))
    expect(await quoted({ id: 'ask-1' })).toEqual({ ok: true, value: { cents: 1 } })
    expect(store.read('sold')).toBe(1)
    expect(answering.sent).toEqual([])
    expect(relaying.sent.map(({ envelope }) => envelope.attributes)).toMatchObject([
      { type: 'price.quote.reply', correlationid: 'ask-1', causationid: 'ask-1', source: '/pricing' },
    ])
    expect(answering.log.filter((entry) => entry === 'ack')).toHaveLength(1)
    expect(responder.stats()).toMatchObject({ replies: 1 })
  })

  test('a request that comes twice is applied once and answered once', async () => {
    const { quoted, again, store, relaying, requester, of } = await pair((_, { tx }) => ({
      cents: counted(tx, 'sold'),
    }))
    await quoted()
    await again()
    expect(store.read('sold')).toBe(1)
    expect(relaying.sent).toHaveLength(1)
    expect(requester.stats()).toMatchObject({ received: 1, late: 0 })
    expect(of('message-handled').map(({ outcome }) => outcome)).toEqual(['ack', 'duplicate'])
  })

  test('a crash before the commit leaves nothing, no reply either; the next delivery does it all', async () => {
    let failing = 1
    const { quoted, store, relaying } = await pair((_, { tx }) => ({ cents: counted(tx, 'sold') }), {
      before: async (what) => {
        if (what === 'commit' && failing-- > 0) throw createError({ code: 'CONNECTION_LOST', effect: 'none' })
      },
    })
    expect(await quoted()).toEqual({ ok: true, value: { cents: 1 } })
    expect([store.read('sold'), relaying.sent.length]).toEqual([1, 1])
  })

  test('a declared failure undoes what was written, and is answered once for good', async () => {
    let calls = 0
    const { quoted, again, store, relaying, told, answering, of } = await pair((_, { tx, fail }) => {
      calls++
      counted(tx, 'sold')
      return fail('UNKNOWN_SKU', { sku: 'A' })
    })
    expect(await quoted()).toMatchObject({ error: { failure: 'UNKNOWN_SKU', details: { sku: 'A' } } })
    await again()
    expect([calls, store.read('sold'), relaying.sent.length, told.length]).toEqual([1, undefined, 1, 0])
    expect(relaying.sent[0]?.envelope.attributes).toMatchObject({ failure: 'UNKNOWN_SKU' })
    expect(answering.log.filter((entry) => entry === 'ack')).toHaveLength(2)
    expect(of('message-handled').map(({ outcome }) => outcome)).toEqual(['ack', 'duplicate'])
  })

  test.each([
    [
      'an error that cannot pass',
      () => {
        throw createError({ code: 'CONFLICT' })
      },
      'CONFLICT',
      1,
    ],
    ['a reply that breaks the channel', () => ({ cents: 'nine' }), 'REPLY_INVALID', 1],
    [
      'an error that does not pass in time',
      () => {
        throw refused()
      },
      'SERVER_ERROR',
      3,
    ],
  ] as const)('%s undoes what was written, and is answered once', async (_, end, code, most) => {
    let calls = 0
    const { quoted, again, store, relaying, told } = await pair(
      (_, { tx }) => {
        calls++
        counted(tx, 'sold')
        return end() as never
      },
      { retries: { immediate: 2, delayedMs: [60_000] } },
    )
    expect(await quoted()).toMatchObject({ error: { code, effect: 'unknown' } })
    await again()
    expect([calls, store.read('sold'), relaying.sent.length, told.length]).toEqual([most, undefined, 1, 1])
  })

  test('what passes in time is committed once', async () => {
    let calls = 0
    const { quoted, store, relaying } = await pair((_, { tx }) => {
      const cents = counted(tx, 'sold')
      if (++calls < 5) throw refused()
      return { cents }
    })
    expect(await quoted()).toEqual({ ok: true, value: { cents: 1 } })
    expect([calls, store.read('sold'), relaying.sent.length]).toEqual([5, 1, 1])
  })

  test('its own word counts: again, or never', async () => {
    let calls = 0
    const again = await pair(() => (++calls === 1 ? retry({ afterMs: 100 }) : { cents: 7 }))
    expect(await again.quoted()).toEqual({ ok: true, value: { cents: 7 } })
    const never = await pair(() => dead('never'))
    expect(await never.quoted()).toMatchObject({ error: { code: 'UNPROCESSABLE' } })
  })

  test('what it gives up without a transaction is told as well', async () => {
    const { answering, asking, clock, context } = await pair(() => ({ cents: 1 }))
    await asking.transport.prepare([{ kind: 'queue', name: 'mine' }], 'create')
    const attributes = { specversion: '1.0', source: '/x', type: 'price.quote', replyto: 'queue:mine' }
    await asking.transport.send(Pricing, [{ id: 'x', attributes, headers: {}, body: Buffer.from('{') }], context())
    await clock.advance(100)
    expect(answering.sent).toHaveLength(1)
  })

  test('an asker whose time is over is answered nothing; what was done stays', async () => {
    const { quote, clock, store, relaying, responder, pass } = await pair(async (_, { tx }) => {
      await new Promise<void>((resolve) => void clock.setTimer(() => resolve(), 99, undefined))
      return { cents: counted(tx, 'sold') }
    })
    const asking = quote({ timeoutMs: 99.5 })
    await pass(1_000)
    expect((await asking).ok).toBe(false)
    expect(relaying.sent).toHaveLength(0)
    expect([store.read('sold') ?? 0, responder.stats().replies]).toEqual([0, 0])
  })

  test('two responders on one inbox answer a request once', async () => {
    const { quoted, again, second, store, relaying } = await pair((_, { tx }) => ({ cents: counted(tx, 'sold') }))
    await second()
    await quoted()
    await again()
    await again()
    expect([store.read('sold'), relaying.sent.length]).toEqual([1, 1])
  })

  test('without somebody who asks its effects are committed, and a failure is done', async () => {
    let calls = 0
    const { asking, store, responder, pass, context, relaying } = await pair((_, { tx, fail }) => {
      counted(tx, 'sold')
      return ++calls === 1 ? { cents: 1 } : fail('UNKNOWN_SKU', { sku: 'A' })
    })
    for (const id of ['a', 'b']) {
      const attributes = { specversion: '1.0', source: '/x', type: 'price.quote' }
      const body = Buffer.from('{"sku":"A"}')
      await asking.transport.send(Pricing, [{ id, attributes, headers: {}, body }], context())
      await pass(1_000)
    }
    expect([store.read('sold'), responder.stats().silent, relaying.sent.length]).toEqual([1, 2, 0])
  })
})
