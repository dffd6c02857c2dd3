// A publisher sends all or says of each message what became of it; a retry never sends what was accepted.
import { describe, expect, test } from 'vitest'
import { z } from 'zod'
import { withInherited } from '../../src/core/async-context.ts'
import type { CallContext } from '../../src/core/context.ts'
import type { MessageTransport, SendResult, TransportCapabilities } from '../../src/core/contracts/transport.ts'
import { deadlineIn } from '../../src/core/deadline.ts'
import { describe as describeBuilt } from '../../src/core/describe.ts'
import { envelopeBytes } from '../../src/core/envelope.ts'
import type { PipelineEvent } from '../../src/core/events.ts'
import type { ChannelAddress, Envelope } from '../../src/core/message.ts'
import { createError, type FairleadError, isFairleadError } from '../../src/errors/index.ts'
import { createPublisher, type PublisherOptions, queue, topic } from '../../src/messaging/index.ts'
import { attemptTimeout, circuitBreaker, retry } from '../../src/policies/index.ts'
import { type FakeClock, fakeClock } from '../../src/testing/fake-clock.ts'
import { errorOf, issuesOf } from './kit.ts'

const Orders = topic('orders', { 'order.placed': z.object({ orderId: z.string() }) })
const order = (id: string, more: object = {}): { type: 'order.placed'; id: string; data: { orderId: string } } => ({
  type: 'order.placed',
  id,
  data: { orderId: id },
  ...more,
})

const PROMISES: TransportCapabilities = {
  modes: ['queue', 'topic'],
  order: 'key',
  delivery: 'at-least-once',
  persistent: false,
  durableSubscriptions: true,
  acknowledged: 'memory',
  competingConsumers: true,
  dedupeWindowMs: 0,
  redeliveryCount: 'broker',
  delay: 'native',
  maxDelayMs: 60_000,
  extend: true,
  nack: 'either',
  priority: true,
  replay: false,
  temporary: true,
  deadLetters: 'native',
  unroutable: 'impossible',
  waiting: 'counted',
  maxPayloadBytes: 1_000_000,
  latency: 'microseconds',
  scaleUnit: 'process',
  protocols: [],
}

type Answer = SendResult | 'never' | 'fails-late'
interface Sent {
  readonly channel: ChannelAddress
  readonly ids: readonly string[]
  readonly context: CallContext
}
type Script = (id: string, attempt: number, envelope: Envelope) => Answer

// Answers each message as the script says; one `never` keeps the whole call waiting until it is aborted, and then some.
const scripted = (
  script: Script = () => ({ status: 'accepted' }),
  promises: Partial<TransportCapabilities> = {},
): MessageTransport & { readonly sent: Sent[]; readonly envelopes: Envelope[]; release(): void } => {
  const sent: Sent[] = []
  const envelopes: Envelope[] = []
  const held: (() => void)[] = []
  return {
    name: 'scripted',
    capabilities: { ...PROMISES, ...promises },
    sent,
    envelopes,
    release: () => {
      for (const each of held.splice(0)) each()
    },
    prepare: async () => {},
    async send(channel, given, context) {
      sent.push({ channel, ids: given.map(({ id }) => id), context })
      envelopes.push(...given)
      const answers = given.map((each) => script(each.id, context.attempt, each))
      if (answers.some((each) => typeof each === 'string')) await new Promise<void>((resolve) => held.push(resolve))
      return answers.map((each) =>
        each === 'never' ? { status: 'accepted' } : each === 'fails-late' ? failed('CONNECTION_LOST') : each,
      )
    },
    receive: async () => {
      throw new Error('not here')
    },
    close: async () => {},
  }
}
const failed = (code: 'CONNECTION_LOST' | 'UNROUTABLE' | 'CONNECTION_REFUSED'): SendResult => ({
  status: 'failed',
  error: createError({ code }),
})
const setUp = (transport: MessageTransport, more: Partial<PublisherOptions> = {}) => {
  const clock = fakeClock()
  let made = 0
  const newId = (): string => `new-${++made}`
  return { clock, publisher: createPublisher({ transport, source: '/tests', clock, newId, ...more }) }
}
const details = (error: FairleadError) =>
  error.details as {
    accepted: string[]
    failed: { id: string; code: string; effect: string }[]
    [more: string]: unknown
  }

describe('what goes well', () => {
  test('one message has a receipt', async () => {
    const transport = scripted()
    const { publisher } = setUp(transport)
    const { id: _, ...unnamed } = order('x')
    expect(await publisher.publish(Orders, unnamed)).toEqual({ id: 'new-1', status: 'accepted' })
    expect(transport.sent[0]).toMatchObject({ channel: { kind: 'topic', name: 'orders' }, ids: ['new-1'] })
    expect(transport.envelopes[0]?.attributes).toMatchObject({ source: '/tests', type: 'order.placed' })
    expect(transport.sent[0]?.context).toMatchObject({ service: 'orders', operation: 'publish', attempt: 1 })
  })
  test('several have a receipt each, in order, in one send', async () => {
    const transport = scripted((id) => ({ status: id === 'b' ? 'duplicate' : 'accepted' }))
    const { publisher } = setUp(transport)
    expect(await publisher.publish(Orders, [order('a'), order('b'), order('c')])).toEqual([
      { id: 'a', status: 'accepted' },
      { id: 'b', status: 'duplicate' },
      { id: 'c', status: 'accepted' },
    ])
    expect(transport.sent).toHaveLength(1)
  })
  test('none at all are not sent', async () => {
    const transport = scripted()
    expect(await setUp(transport).publisher.publish(Orders, [])).toEqual([])
    expect(transport.sent).toEqual([])
  })
  test('keep their order although one is compressed', async () => {
    const Texts = queue('texts', { text: z.string() }, { compressAboveBytes: 100 })
    const transport = scripted()
    const texts = [1_000_000, 1, 5_000, 2].map((length, at) => ({
      type: 'text' as const,
      id: String(at),
      data: 'x'.repeat(length),
    }))
    await setUp(transport, { transport }).publisher.publish(Texts, texts)
    expect(transport.sent[0]?.ids).toEqual(['0', '1', '2', '3'])
    expect(transport.envelopes.map(({ attributes }) => attributes['contentencoding'])).toEqual([
      'gzip',
      undefined,
      'gzip',
      undefined,
    ])
  })
})

describe('before anything is sent', () => {
  const refused = async (messages: object[], promises: Partial<TransportCapabilities> = {}, more = {}) => {
    const transport = scripted(undefined, promises)
    const { publisher } = setUp(transport, more)
    const error = await errorOf(() => publisher.publish(Orders, messages as never))
    expect(transport.sent).toEqual([])
    expect(error.effect).toBe('none')
    return error
  }
  test('all are validated: one that is wrong keeps the others from being sent, and is named', async () => {
    const error = await refused([order('a'), order('b', { data: {} }), order('c', { key: '' })])
    expect(error).toMatchObject({ code: 'INVALID_INPUT', details: { index: 1, id: 'b', accepted: [] } })
    expect(issuesOf(error)[0]?.path).toBe('data.orderId')
    expect(details(error).failed).toEqual(['a', 'b', 'c'].map((id) => ({ id, code: 'INVALID_INPUT', effect: 'none' })))
  })
  test('a payload above the limit, counted with its attributes', async () => {
    const transport = scripted()
    await setUp(transport).publisher.publish(Orders, order('a'))
    const bytes = envelopeBytes(transport.envelopes[0] as Envelope)
    const error = await refused([order('a')], { maxPayloadBytes: bytes - 1 })
    expect(error).toMatchObject({ code: 'PAYLOAD_TOO_LARGE', details: { bytes, limit: bytes - 1 } })
    const exact = scripted(undefined, { maxPayloadBytes: bytes })
    await setUp(exact).publisher.publish(Orders, order('a'))
    expect(exact.sent).toHaveLength(1)
  })
  const soon = (ms: number): number => 1_767_225_600_000 + ms
  test.each([
    ['delay where there is none', { notBefore: soon(1) }, { delay: 'none' }, 'delay'],
    ['a delay that is too long', { notBefore: soon(60_001) }, {}, 'maxDelayMs'],
    ['priority where there is none', { priority: 1 }, { priority: false }, 'priority'],
    ['a topic where there are queues only', {}, { modes: ['queue'] }, 'modes'],
  ] as const)('%s: CAPABILITY_MISSING', async (_, more, promises, capability) => {
    const error = await refused([order('a', more)], promises as Partial<TransportCapabilities>)
    expect(error).toMatchObject({ code: 'CAPABILITY_MISSING', details: { capability, id: 'a' } })
  })
  test('what needs no capability is sent: a notBefore that has passed, priority 0, a delay that just fits', async () => {
    const transport = scripted(undefined, { delay: 'none', priority: false })
    await setUp(transport).publisher.publish(Orders, order('a', { notBefore: soon(0), priority: 0 }) as never)
    const native = scripted()
    await setUp(native).publisher.publish(Orders, order('a', { notBefore: soon(60_000) }) as never)
    expect(transport.sent.length + native.sent.length).toBe(2)
  })
  test('what has expired: TOO_LATE', async () => {
    expect((await refused([order('a', { expiresAt: soon(0) })])).code).toBe('TOO_LATE')
  })
  test.each([
    ['an option that is not known', { deadlineMS: 5 }, 'deadlineMS'],
    ['a deadline that is none', { deadlineMs: -1 }, 'deadlineMs'],
    ['a signal that is none', { signal: {} }, 'signal'],
    ['a header that would not travel', { headers: { traceparent: 'tp', tenant: 'acme' } }, 'headers.tenant'],
    ['a header that is no text', { headers: { baggage: 5 } }, 'headers.baggage'],
    ['a Headers', { headers: new Headers({ tenant: 'acme' }) }, 'headers'],
    ['no options at all', null, 'publish options'],
  ])('%s: INVALID_OPTIONS of publish, and of each result', async (_, options, words) => {
    const transport = scripted()
    const { publisher } = setUp(transport)
    for (const messages of [order('a'), [], [order('a'), order('b', { data: {} })]]) {
      const error = await errorOf(() => publisher.publish(Orders, messages as never, options as never))
      expect(error).toMatchObject({ code: 'INVALID_OPTIONS', effect: 'none', retryable: false })
      expect(error.message).toContain(words)
      const results = [await publisher.result(Orders, messages as never, options as never)].flat()
      expect(results).toMatchObject(
        [messages]
          .flat()
          .map(({ id }) => ({ id, status: 'failed', error: { code: 'INVALID_OPTIONS', effect: 'none' } })),
      )
    }
    expect(transport.sent).toEqual([])
  })
  test.each([
    undefined,
    null,
    'orders',
    { kind: 'topic', name: 'orders' },
    { ...Orders, codec: undefined },
    { ...Orders, name: 5 },
    { ...Orders, kind: 'mailbox' },
  ])('channel %#, which is none: INVALID_OPTIONS', async (channel) => {
    const transport = scripted()
    const { publisher } = setUp(transport)
    const error = await errorOf(() => publisher.publish(channel as never, order('a') as never))
    expect(error).toMatchObject({ code: 'INVALID_OPTIONS', effect: 'none', details: { option: 'channel' } })
    expect(await publisher.result(channel as never, order('a') as never)).toMatchObject({
      id: 'a',
      status: 'failed',
      error: { code: 'INVALID_OPTIONS', effect: 'none' },
    })
    expect(transport.sent).toEqual([])
  })
  test('an id that newId makes and that is none', async () => {
    const { id: _, ...unnamed } = order('x')
    for (const newId of [() => '', () => 5, () => 'a\r\nb', () => (setUp as unknown as { no: { id: string } }).no.id]) {
      const error = await refused([unnamed], {}, { newId })
      expect(error.code).toBe('INVALID_INPUT')
      expect(issuesOf(error)[0]?.path).toBe('id')
      expect(details(error).failed[0]?.id).toMatch(/^[0-9a-f-]{36}$/)
    }
  })
})

describe('where some fail', () => {
  test('publish rejects with the first failure, and says which are there', async () => {
    const { publisher } = setUp(
      scripted((id) =>
        id === 'b' ? failed('CONNECTION_LOST') : id === 'd' ? failed('UNROUTABLE') : { status: 'accepted' },
      ),
    )
    const error = await errorOf(() =>
      publisher.publish(
        Orders,
        ['a', 'b', 'c', 'd'].map((id) => order(id)),
      ),
    )
    expect(error).toMatchObject({
      code: 'CONNECTION_LOST',
      service: 'orders',
      operation: 'publish',
      transport: 'scripted',
      channel: 'orders',
    })
    expect(error.effect).toBe('unknown')
    expect(details(error)).toMatchObject({
      accepted: ['a', 'c'],
      failed: [
        { id: 'b', code: 'CONNECTION_LOST', effect: 'unknown' },
        { id: 'd', code: 'UNROUTABLE', effect: 'none' },
      ],
    })
  })
  test('the effect is none only if nothing happened at all', async () => {
    const one = setUp(scripted(() => failed('UNROUTABLE'))).publisher
    expect((await errorOf(() => one.publish(Orders, order('a')))).effect).toBe('none')
    const some = setUp(scripted((id) => (id === 'a' ? { status: 'accepted' } : failed('UNROUTABLE')))).publisher
    expect((await errorOf(() => some.publish(Orders, [order('a'), order('b')]))).effect).toBe('unknown')
  })
  test("it may be retried as a whole only where the ids are the caller's own", async () => {
    const { publisher } = setUp(scripted(() => failed('CONNECTION_LOST')))
    const { id: _, ...unnamed } = order('x')
    expect((await errorOf(() => publisher.publish(Orders, order('a')))).retryable).toBe(true)
    expect((await errorOf(() => publisher.publish(Orders, unnamed))).retryable).toBe(false)
  })
  test('result says it of each and does not reject', async () => {
    const { publisher } = setUp(scripted((id) => (id === 'b' ? failed('UNROUTABLE') : { status: 'accepted' })))
    const results = await publisher.result(Orders, [order('a'), order('b')])
    expect(results).toMatchObject([
      { id: 'a', status: 'accepted' },
      { id: 'b', status: 'failed', error: { code: 'UNROUTABLE' } },
    ])
    expect(await publisher.result(Orders, order('b'))).toMatchObject({ id: 'b', status: 'failed' })
    const invalid = await publisher.result(Orders, [order('a'), { type: 'order.placed', data: {} } as never])
    expect(invalid).toMatchObject([
      { id: 'a', status: 'failed', error: { code: 'INVALID_INPUT', effect: 'none' } },
      { id: 'new-1', status: 'failed', error: { code: 'INVALID_INPUT' } },
    ])
  })
  test('a transport that rejects, or says too little, has said nothing: the effect is unknown', async () => {
    const rejecting = { ...scripted(), send: async () => Promise.reject(new TypeError('oops')) }
    const thrown = await errorOf(() => setUp(rejecting).publisher.publish(Orders, order('a')))
    expect(thrown).toMatchObject({ effect: 'unknown', cause: { message: 'oops' } })
    const silent = { ...scripted(), send: async () => [] }
    const error = await errorOf(() => setUp(silent).publisher.publish(Orders, order('a')))
    expect(error).toMatchObject({ code: 'PROTOCOL_VIOLATION', effect: 'unknown' })
  })
})

describe('with policies around', () => {
  const run = async <T>(clock: FakeClock, work: Promise<T>): Promise<T> => {
    work.catch(() => {})
    await clock.runAll()
    return await work
  }
  const seamed = (transport: MessageTransport, layers: (clock: FakeClock) => PublisherOptions['layers']) => {
    const clock = fakeClock()
    return { clock, publisher: createPublisher({ transport, source: '/tests', clock, layers: layers(clock) }) }
  }

  test('a retry sends only what is not accepted, with the same ids', async () => {
    const transport = scripted((id, attempt) =>
      id === 'a' || attempt === 3 ? { status: 'accepted' } : failed('CONNECTION_LOST'),
    )
    const { clock, publisher } = seamed(transport, (clock) => [retry({ clock, random: () => 0.5 })])
    const receipts = await run(
      clock,
      publisher.publish(
        Orders,
        ['a', 'b', 'c'].map((id) => order(id)),
      ),
    )
    expect(receipts).toEqual(['a', 'b', 'c'].map((id) => ({ id, status: 'accepted' })))
    expect(transport.sent.map(({ ids }) => ids)).toEqual([
      ['a', 'b', 'c'],
      ['b', 'c'],
      ['b', 'c'],
    ])
  })
  test('a message that is given no id keeps the one it got', async () => {
    const transport = scripted((_, attempt) => (attempt === 2 ? { status: 'duplicate' } : failed('CONNECTION_LOST')))
    const { clock, publisher } = seamed(transport, (clock) => [retry({ clock, random: () => 0 })])
    const { id: _, ...unnamed } = order('x')
    const receipt = await run(clock, publisher.publish(Orders, unnamed))
    expect(transport.sent.map(({ ids }) => ids)).toEqual([[receipt.id], [receipt.id]])
    expect(receipt.status).toBe('duplicate')
  })
  test('what failed for good is not sent again, nor what stands behind it in its key', async () => {
    const transport = scripted((id, attempt) =>
      id === 'k1' ? failed('UNROUTABLE') : attempt === 1 ? failed('CONNECTION_REFUSED') : { status: 'accepted' },
    )
    const { clock, publisher } = seamed(transport, (clock) => [retry({ clock, random: () => 0 })])
    const messages = [order('k1', { key: 'k' }), order('k2', { key: 'k' }), order('l1', { key: 'l' }), order('n')]
    const error = await errorOf(() => run(clock, publisher.publish(Orders, messages as never)))
    expect(transport.sent.map(({ ids }) => ids)).toEqual([
      ['k1', 'k2', 'l1', 'n'],
      ['l1', 'n'],
    ])
    expect(details(error).accepted).toEqual(['l1', 'n'])
    expect(details(error).failed.map(({ id }) => id)).toEqual(['k1', 'k2'])
  })
  test('what nobody will send again is not waited for, and does not hide why', async () => {
    const behind: SendResult = { status: 'failed', error: createError({ code: 'TOO_EARLY' }) }
    const transport = scripted((id) =>
      id === 'a' ? { status: 'failed', error: createError({ code: 'FORBIDDEN' }) } : behind,
    )
    const { clock, publisher } = seamed(transport, (clock) => [retry({ clock, random: () => 0.5 })])
    const messages = [order('a', { key: 'k' }), order('b', { key: 'k' })]
    const error = await errorOf(() => publisher.publish(Orders, messages as never))
    expect(error).toMatchObject({ code: 'FORBIDDEN', retryable: false })
    expect(transport.sent).toHaveLength(1)
    expect(clock.pending).toBe(0)
    expect(details(error).failed.map(({ id, code }) => [id, code])).toEqual([
      ['a', 'FORBIDDEN'],
      ['b', 'TOO_EARLY'],
    ])
  })
  test('a permanent failure is not retried', async () => {
    const transport = scripted(() => failed('UNROUTABLE'))
    const { clock, publisher } = seamed(transport, (clock) => [retry({ clock })])
    expect((await errorOf(() => run(clock, publisher.publish(Orders, order('a'))))).code).toBe('UNROUTABLE')
    expect(transport.sent).toHaveLength(1)
  })
  test('what one attempt may have done is not forgotten by a later one that surely did nothing', async () => {
    const transport = scripted((_, attempt) => failed(attempt === 1 ? 'CONNECTION_LOST' : 'CONNECTION_REFUSED'))
    const { clock, publisher } = seamed(transport, (clock) => [retry({ clock, random: () => 0 })])
    const result = publisher.result(Orders, order('a'))
    await clock.runAll()
    expect(await result).toMatchObject({ status: 'failed', error: { code: 'CONNECTION_REFUSED', effect: 'unknown' } })
  })
  test('an open circuit refuses without sending', async () => {
    const transport = scripted(() => failed('CONNECTION_REFUSED'))
    const { publisher } = seamed(transport, (clock) => [
      circuitBreaker({ name: 'broker', clock, minimumCalls: 1, random: () => 0.5 } as never),
    ])
    await errorOf(() => publisher.publish(Orders, order('a')))
    const error = await errorOf(() => publisher.publish(Orders, [order('b'), order('c')]))
    expect(error).toMatchObject({ code: 'CIRCUIT_OPEN', effect: 'none' })
    expect(details(error).failed.map(({ effect }) => effect)).toEqual(['none', 'none'])
    expect(transport.sent).toHaveLength(1)
  })
  test('the late answer of an attempt that was given up counts, and sends nothing twice', async () => {
    let first = true
    const transport = scripted(() => {
      if (!first) return { status: 'duplicate' }
      first = false
      return 'never'
    })
    const { clock, publisher } = seamed(transport, (clock) => [
      retry({ clock, random: () => 0 }),
      attemptTimeout({ clock, attemptTimeoutMs: 100 } as never),
    ])
    const publishing = publisher.publish(Orders, order('a'))
    await clock.advance(200)
    expect(await publishing).toEqual({ id: 'a', status: 'duplicate' })
    transport.release()
  })
  test('the late failure of an attempt that was given up takes nothing back', async () => {
    const transport = scripted((id, attempt) => {
      if (attempt === 1) return 'fails-late'
      return id === 'a' || attempt === 3 ? { status: 'accepted' } : failed('CONNECTION_LOST')
    })
    const { clock, publisher } = seamed(transport, (clock) => [
      retry({ clock, random: () => 0.999 }),
      attemptTimeout({ clock, attemptTimeoutMs: 100 } as never),
    ])
    const publishing = publisher.publish(Orders, [order('a'), order('b')])
    await clock.advance(160)
    expect(transport.sent).toHaveLength(2)
    transport.release()
    await clock.advance(1_000)
    expect(await publishing).toHaveLength(2)
    expect(transport.sent.map(({ ids }) => ids)).toEqual([['a', 'b'], ['a', 'b'], ['b']])
  })
})

describe('deadline, cancellation, context', () => {
  test('a call ends with its deadline, and what was being sent is unknown', async () => {
    const transport = scripted(() => 'never')
    const { clock, publisher } = setUp(transport)
    const publishing = errorOf(() => publisher.publish(Orders, order('a')))
    await clock.advance(4_999)
    expect(transport.sent[0]?.context.aborted).toBeUndefined()
    await clock.advance(2)
    const error = await publishing
    expect(error).toMatchObject({ code: 'DEADLINE_EXCEEDED', effect: 'unknown' })
    expect(details(error).failed).toEqual([{ id: 'a', code: 'DEADLINE_EXCEEDED', effect: 'unknown' }])
    expect(transport.sent[0]?.context.aborted).toBeDefined()
  })
  test('an inherited deadline that is sooner wins', async () => {
    const transport = scripted(() => 'never')
    const { clock, publisher } = setUp(transport)
    const publishing = errorOf(() =>
      withInherited({ deadline: deadlineIn(50, clock) }, () =>
        publisher.publish(Orders, order('a'), { deadlineMs: 1_000 }),
      ),
    )
    await clock.advance(51)
    expect((await publishing).code).toBe('DEADLINE_EXCEEDED')
  })
  test('a signal ends it', async () => {
    const transport = scripted(() => 'never')
    const { publisher } = setUp(transport)
    const controller = new AbortController()
    const publishing = errorOf(() => publisher.publish(Orders, order('a'), { signal: controller.signal }))
    await new Promise((resolve) => setImmediate(resolve))
    controller.abort('enough')
    expect(await publishing).toMatchObject({ code: 'CANCELLED', effect: 'unknown' })
    const early = await errorOf(() => publisher.publish(Orders, order('b'), { signal: AbortSignal.abort() }))
    expect(early).toMatchObject({ code: 'CANCELLED', effect: 'none' })
    expect(transport.sent).toHaveLength(1)
  })
  describe('while the messages are validated', () => {
    const never = new Promise<boolean>(() => {})
    const Slow = queue('slow', { text: z.string().refine(() => never) })
    const text = { type: 'text', id: 'a', data: 'x' } as const
    test('the deadline ends it, and nothing was sent; close does not wait for more', async () => {
      const transport = scripted()
      const { clock, publisher } = setUp(transport)
      const publishing = errorOf(() => publisher.publish(Slow, [text, { ...text, id: 'b' }]))
      const closing = publisher.close()
      await clock.advance(5_001)
      const error = await publishing
      expect(error).toMatchObject({ code: 'DEADLINE_EXCEEDED', effect: 'none' })
      expect(details(error).failed).toEqual(['a', 'b'].map((id) => ({ id, code: 'DEADLINE_EXCEEDED', effect: 'none' })))
      await closing
      expect(transport.sent).toEqual([])
    })
    test('a signal ends it, one that is inherited as well', async () => {
      const transport = scripted()
      const { publisher } = setUp(transport)
      const own = new AbortController()
      const above = new AbortController()
      const first = errorOf(() => publisher.publish(Slow, text, { signal: own.signal }))
      const second = errorOf(() => withInherited({ signal: above.signal }, () => publisher.publish(Slow, text)))
      own.abort('enough')
      above.abort('enough')
      for (const error of [await first, await second])
        expect(error).toMatchObject({ code: 'CANCELLED', effect: 'none' })
      expect(transport.sent).toEqual([])
    })
    test('what it took is no longer there for the sending', async () => {
      const transport = scripted(() => 'never')
      const { clock, publisher } = setUp(transport)
      const after = new Promise<boolean>((resolve) => clock.setTimer(resolve, 3_000, true))
      const Slower = queue('slow', { text: z.string().refine(() => after) })
      const publishing = errorOf(() => publisher.publish(Slower, text))
      await clock.advance(3_000)
      await new Promise((resolve) => setImmediate(resolve))
      expect(transport.sent[0]?.context.deadline.remainingMs()).toBe(2_000)
      await clock.advance(2_001)
      expect(await publishing).toMatchObject({ code: 'DEADLINE_EXCEEDED', effect: 'unknown' })
    })
  })
  test('trace context of the call goes with the message', async () => {
    const transport = scripted()
    const { publisher } = setUp(transport)
    await withInherited({ headers: { baggage: 'a=1' } }, () =>
      publisher.publish(Orders, order('a'), { headers: { Traceparent: 'tp' } }),
    )
    expect(transport.envelopes[0]?.attributes).toMatchObject({ traceparent: 'tp', baggage: 'a=1' })
    expect(transport.sent[0]?.context.headers).toMatchObject({ traceparent: 'tp', baggage: 'a=1' })
  })
  test('it tells of each call, and describes itself', async () => {
    const events: PipelineEvent[] = []
    const { publisher } = setUp(scripted(), { onEvent: (event) => events.push(event), layers: [retry()] })
    await publisher.publish(Orders, order('a'))
    expect(events).toMatchObject([{ type: 'call', service: 'orders', operation: 'publish' }])
    const described = describeBuilt(publisher)
    expect(described).toMatchObject({ what: 'publisher', name: '/tests', transport: 'scripted', deadlineMs: 5_000 })
    expect(described.layers.map(({ layer }) => layer)).toEqual(['telemetry', 'deadline', 'retry'])
  })
})

describe('close', () => {
  test('refuses further calls and waits for those under way', async () => {
    const transport = scripted(() => 'never')
    const { publisher } = setUp(transport)
    const publishing = publisher.publish(Orders, order('a'))
    await new Promise((resolve) => setImmediate(resolve))
    let closed = false
    const closing = publisher.close().then(() => (closed = true))
    expect(publisher.close()).toBe(publisher.close())
    const error = await errorOf(() => publisher.publish(Orders, order('b')))
    expect(error).toMatchObject({ code: 'SHUTDOWN', effect: 'none' })
    expect((await errorOf(() => publisher.publish(Orders, []))).code).toBe('SHUTDOWN')
    expect(closed).toBe(false)
    transport.release()
    expect(await publishing).toEqual({ id: 'a', status: 'accepted' })
    await closing
    expect(transport.sent).toHaveLength(1)
  })
  test('at once where nothing is under way', async () => {
    await setUp(scripted()).publisher.close()
  })
})

test.each([
  [{}, 'transport'],
  [{ transport: scripted() }, 'source'],
  [{ transport: scripted(), source: 'my shop' }, 'source'],
  [{ transport: scripted(), source: '/shop\ud800' }, 'source'],
  [{ transport: scripted(), source: '/s', layers: retry() }, 'layers'],
  [{ transport: scripted(), source: '/s', layers: [5] }, 'layers'],
  [{ transport: scripted(), source: '/s', deadlineMs: 0 }, 'deadlineMs'],
  [{ transport: scripted(), source: '/s', newId: 'x' }, 'newId'],
  [{ transport: scripted(), source: '/s', clock: {} }, 'clock'],
  [{ transport: scripted(), source: '/s', retries: 3 }, 'retries'],
])('options %#: refused, naming %s', (options, name) => {
  let error: unknown
  try {
    createPublisher(options as never)
  } catch (thrown) {
    error = thrown
  }
  expect(isFairleadError(error, 'INVALID_OPTIONS')).toBe(true)
  expect((error as Error).message).toContain(name)
})
