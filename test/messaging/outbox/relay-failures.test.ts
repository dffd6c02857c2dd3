// What becomes of what fails: a message is blamed only where others get through; nothing passes a failed one of its key.
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import type { Envelope } from '../../../src/core/message.ts'
import { accepted, failed, gate, Mails, Orders, order, type Shop, shop } from './kit.ts'

describe('a message that fails while others get through', () => {
  let s: Shop
  beforeEach(() => {
    s = shop()
  })
  afterEach(() => s.end())

  it.each([
    ['transient, without effect', 'UNAVAILABLE', 'none'],
    ['transient, effect unknown', 'CONNECTION_LOST', 'unknown'],
    ['permanent, but its effect is unknown', 'PROTOCOL_VIOLATION', 'unknown'],
    ['the channel is not there', 'CHANNEL_NOT_FOUND', 'none'],
  ] as const)('is sent again with its id, and its key waits: %s', async (_, code, effect) => {
    let bad = true
    s.transport.answer = ({ id }) => (id === 'bad' && bad ? failed(code, { effect }) : accepted)
    await s.relay({ backoff: { minMs: 1_000, maxMs: 8_000 } }).start()
    await s.store.transaction((tx) =>
      s.outbox.publish(tx, Orders, [order('bad', 'k'), order('behind', 'k'), order('other', 'x')]),
    )
    await s.clock.advance(100)
    expect(s.transport.taken).toEqual(['other'])
    expect(s.of('relay-retried')).toMatchObject([{ id: 'bad', key: 'k', attempts: 1, error: { code } }])
    bad = false
    await s.publish(order('later', 'k'))
    await s.clock.advance(100)
    expect(s.transport.taken).toEqual(['other'])
    await s.clock.advance(2_500)
    expect(s.transport.taken).toEqual(['other', 'bad', 'behind', 'later'])
    expect(await s.outbox.stats()).toMatchObject({ backlog: 0, dead: 0 })
  })

  it('waits longer each time, with jitter, as the peer says where it says more', async () => {
    s.transport.answer = ({ id }) => (id === 'bad' ? failed('SERVER_ERROR') : accepted)
    await s.relay({ backoff: { minMs: 100, maxMs: 1_000 }, random: () => 0 }).start()
    await s.publish(order('bad'), order('o-0'))
    for (let at = 0; at < 30; at++) {
      await s.clock.advance(100)
      await s.publish(order(`o-${at}`))
    }
    const delays = s.of('relay-retried').map(({ delayMs }) => delayMs)
    expect(delays.slice(0, 6)).toEqual([50, 100, 200, 400, 500, 500])
  })

  it('is dead where it can never be published, and blocks its key until it is skipped', async () => {
    s.transport.answer = ({ id }) => (id === 'bad' ? failed('PAYLOAD_TOO_LARGE') : accepted)
    await s.relay().start()
    await s.store.transaction((tx) =>
      s.outbox.publish(tx, Orders, [order('bad', 'k'), order('behind', 'k'), order('other', 'x')]),
    )
    await s.clock.advance(60_000)
    expect(s.transport.taken).toEqual(['other'])
    expect(await s.outbox.stats()).toMatchObject({ backlog: 1, dead: 1, blockedKeys: 1 })
    expect(s.of('relay-dead')).toMatchObject([{ id: 'bad', blocksKey: true, error: { code: 'PAYLOAD_TOO_LARGE' } }])
    expect(s.transport.ids.filter((id) => id === 'bad')).toHaveLength(1)
    const dead = []
    for await (const row of s.outbox.dead()) dead.push(row)
    expect(dead).toMatchObject([{ envelope: { id: 'bad' }, reason: expect.stringContaining('PAYLOAD_TOO_LARGE') }])
    await s.outbox.skip(['bad'])
    await s.clock.advance(0)
    expect(s.transport.taken).toEqual(['other', 'behind'])
  })

  it('takes its old place when it is redriven', async () => {
    let bad = true
    s.transport.answer = ({ id }) => (id === 'bad' && bad ? failed('PAYLOAD_TOO_LARGE') : accepted)
    await s.relay().start()
    await s.publish(order('bad', 'k'), order('second', 'k'))
    await s.clock.advance(1_000)
    await s.publish(order('third', 'k'), order('other', 'x'))
    await s.clock.advance(0)
    bad = false
    expect(await s.outbox.redrive(['bad'])).toBe(1)
    await s.clock.advance(0)
    expect(s.transport.taken).toEqual(['other', 'bad', 'second', 'third'])
  })

  it('lets its key go on where it is told so', async () => {
    s.transport.answer = ({ id }) => (id === 'bad' ? failed('PAYLOAD_TOO_LARGE') : accepted)
    await s.relay({ onDead: 'continue' }).start()
    await s.store.transaction((tx) =>
      s.outbox.publish(tx, Orders, [order('bad', 'k'), order('2', 'k'), order('3', 'k')]),
    )
    await s.publish(order('4', 'k'))
    await s.clock.advance(0)
    expect(s.transport.taken).toEqual(['2', '3', '4'])
    expect(await s.outbox.stats()).toMatchObject({ backlog: 0, dead: 1, blockedKeys: 0 })
  })

  it('is dead after so many attempts, with the last error as the reason', async () => {
    s.transport.answer = ({ id }) => (id === 'bad' ? failed('SERVER_ERROR') : accepted)
    await s.relay({ maxAttempts: 3, backoff: { minMs: 10, maxMs: 10 } }).start()
    await s.store.transaction((tx) => s.outbox.publish(tx, Orders, [order('bad'), order('o')]))
    for (let at = 0; at < 6; at++) {
      await s.publish(order(`o-${at}`))
      await s.clock.advance(50)
    }
    expect(s.of('relay-dead')).toMatchObject([
      { id: 'bad', attempts: 3, reason: expect.stringMatching(/^after 3 attempts: \[SERVER_ERROR\]/) },
    ])
  })

  it('is published where its effect is known to be done', async () => {
    s.transport.answer = () => failed('REPLY_UNDECODABLE')
    await s.relay().start()
    await s.publish(order('o-1'))
    await s.clock.advance(0)
    expect(await s.outbox.stats()).toMatchObject({ backlog: 0, dead: 0 })
  })

  it('stays where the transport says nothing of it', async () => {
    const { send } = s.transport
    s.transport.send = async (...args) => (await send(...args)).slice(1)
    await s.relay({ concurrency: 1 }).start()
    await s.store.transaction((tx) => s.outbox.publish(tx, Orders, [order('o-1', 'a'), order('o-2', 'b')]))
    await s.clock.advance(0)
    expect(await s.outbox.stats()).toMatchObject({ backlog: 1 })
    s.transport.send = send
    await s.clock.advance(1_000)
    expect(await s.outbox.stats()).toMatchObject({ backlog: 0, dead: 0 })
  })
})

describe('a transport that is away', () => {
  let s: Shop
  beforeEach(() => {
    s = shop()
  })
  afterEach(() => s.end())

  const away = async (answer: () => ReturnType<typeof failed>, count: number): Promise<void> => {
    s.transport.answer = answer
    await s.relay({ maxAttempts: 3, backoff: { minMs: 100, maxMs: 2_000 } }).start()
    await s.publish(...Array.from({ length: count }, (_, at) => order(`o-${at}`)))
    await s.clock.advance(600_000)
  }

  it.each([1, 5])('is no fault of a message, for however long: %i of them', async (count) => {
    await away(() => failed('CONNECTION_REFUSED'), count)
    expect(s.of('relay-retried')).toEqual([])
    expect(s.of('relay-dead')).toEqual([])
    expect(await s.outbox.stats()).toMatchObject({ backlog: count, blockedKeys: 0 })
    const waits = s.of('relay-backing-off').map(({ waitMs }) => waitMs)
    expect(Math.max(...waits)).toBeLessThanOrEqual(2_000)
    expect(waits.length).toBeGreaterThan(300)
    s.transport.answer = () => accepted
    await s.clock.advance(2_000)
    expect(s.transport.taken).toHaveLength(count)
    expect(s.of('relay-resumed')).toHaveLength(1)
  })

  it('counts nothing for a key with many messages either, however many batches of it there are', async () => {
    s.transport.answer = () => failed('CONNECTION_REFUSED')
    await s.relay({ batch: 5, maxAttempts: 3, backoff: { minMs: 100, maxMs: 1_000 } }).start()
    await s.store.transaction((tx) =>
      s.outbox.publish(
        tx,
        Orders,
        Array.from({ length: 12 }, (_, at) => order(`o-${at}`, 'hot')),
      ),
    )
    await s.clock.advance(600_000)
    expect(s.of('relay-dead')).toEqual([])
    s.transport.answer = () => accepted
    await s.clock.advance(4_000)
    expect(s.transport.taken).toEqual(Array.from({ length: 12 }, (_, at) => `o-${at}`))
  })

  it('is away too where its client is closed, or does not know us', async () => {
    await away(() => failed('UNAUTHENTICATED'), 3)
    expect(s.of('relay-dead')).toEqual([])
    expect(await s.outbox.stats()).toMatchObject({ backlog: 3 })
  })

  it('is away where send rejects or throws', async () => {
    const { send } = s.transport
    s.transport.send = () => Promise.reject(new Error('no'))
    const relay = s.relay()
    await relay.start()
    await s.publish(order('o-1'), order('o-2'))
    await s.clock.advance(0)
    expect(relay.health()).toMatchObject({ state: 'backing-off', lastError: { code: 'CALL_FAILED' } })
    s.transport.send = () => {
      throw new Error('at once')
    }
    await s.clock.advance(1_000)
    s.transport.send = send
    await s.clock.advance(60_000)
    expect(s.transport.taken).toEqual(['o-1', 'o-2'])
    expect(relay.health().state).toBe('running')
  })

  it('waits longer each time, and not at all after a success', async () => {
    s.transport.answer = () => failed('CONNECTION_REFUSED')
    await s.relay({ backoff: { minMs: 100, maxMs: 30_000 }, random: () => 0.999_999 }).start()
    await s.publish(order('o-1'))
    await s.clock.advance(40_000)
    expect(s.of('relay-backing-off').map(({ waitMs }) => Math.round(waitMs / 100))).toEqual([
      1, 2, 4, 8, 16, 32, 64, 128, 256,
    ])
    s.transport.answer = () => accepted
    await s.clock.advance(30_000)
    await s.publish(order('o-2'))
    await s.clock.advance(0)
    expect(s.transport.taken).toEqual(['o-1', 'o-2'])
  })

  it('tries a few messages of different keys at a time, not all that there are', async () => {
    s.transport.answer = () => failed('CONNECTION_REFUSED')
    await s.relay().start()
    await s.store.transaction((tx) =>
      s.outbox.publish(
        tx,
        Orders,
        Array.from({ length: 400 }, (_, at) => order(`o-${at}`)),
      ),
    )
    await s.clock.advance(60_000)
    const later = s.transport.sends.filter(({ at }) => at > 0)
    expect(later.length).toBeGreaterThan(3)
    for (const { envelopes } of later) expect(envelopes.length).toBeLessThanOrEqual(16)
    s.transport.answer = () => accepted
    await s.clock.advance(30_000)
    expect(s.transport.taken).toHaveLength(400)
  })

  it('is tried sooner when there is something new, but not at each commit', async () => {
    s.transport.answer = ({ id }) => (id === 'poison' ? failed('SERVER_ERROR') : accepted)
    await s.relay().start()
    await s.publish(order('poison'))
    await s.clock.advance(120_000)
    const before = s.transport.sends.length
    await s.publish(order('new'))
    await s.clock.advance(1_000)
    expect(s.transport.taken).toEqual(['new'])
    s.transport.answer = () => failed('SERVER_ERROR')
    await s.clock.advance(120_000)
    const away = s.transport.sends.length
    for (let at = 0; at < 100; at++) {
      await s.publish(order(`o-${at}`))
      await s.clock.advance(30)
    }
    expect(before).toBeGreaterThan(5)
    expect(s.transport.sends.length - away).toBeLessThanOrEqual(4)
    expect(s.transport.sends.length - away).toBeGreaterThanOrEqual(2)
  })

  it('does not let one key that never gets through hide the others', async () => {
    s.transport.answer = ({ key }) => (key === 'hot' ? failed('SERVER_ERROR') : accepted)
    await s.relay({ batch: 10 }).start()
    const hot = Array.from({ length: 50 }, (_, at) => order(`h-${at}`, 'hot'))
    await s.store.transaction((tx) => s.outbox.publish(tx, Orders, [...hot, order('other', 'x')]))
    await s.clock.advance(5_000)
    expect(s.transport.taken).toEqual(['other'])
    expect(s.of('relay-dead')).toEqual([])
  })

  it('looks at once when it is told to', async () => {
    s.transport.answer = () => failed('CONNECTION_REFUSED')
    const relay = s.relay()
    await relay.start()
    await s.publish(order('o-1'))
    await s.clock.advance(100_000)
    s.transport.answer = () => accepted
    relay.wake()
    await s.clock.advance(0)
    expect(s.transport.taken).toEqual(['o-1'])
  })
})

describe('time', () => {
  let s: Shop
  afterEach(() => s.end())

  it('gives up what has expired, and its key goes on', async () => {
    s = shop()
    const soon = s.clock.wallNow() + 1_000
    await s.store.transaction((tx) =>
      s.outbox.publish(tx, Orders, [{ ...order('old', 'k'), expiresAt: soon }, order('new', 'k')]),
    )
    await s.clock.advance(1_000)
    await s.relay().start()
    await s.clock.advance(0)
    expect(s.transport.taken).toEqual(['new'])
    expect(s.of('relay-dead')).toMatchObject([
      { id: 'old', blocksKey: false, reason: expect.stringContaining('TOO_LATE') },
    ])
    expect(await s.outbox.stats()).toMatchObject({ backlog: 0, dead: 1, blockedKeys: 0 })
  })

  it('holds back what is not due where the transport cannot, and its key goes on', async () => {
    s = shop({ capabilities: { delay: 'none', maxDelayMs: 0 } })
    await s.relay().start()
    await s.store.transaction((tx) =>
      s.outbox.publish(tx, Orders, [{ ...order('due', 'k'), notBefore: s.clock.wallNow() + 5_000 }, order('now', 'k')]),
    )
    await s.clock.advance(4_999)
    expect(s.transport.taken).toEqual(['now'])
    await s.clock.advance(1_001)
    expect(s.transport.taken).toEqual(['now', 'due'])
  })

  it('leaves holding to the transport as far as it can', async () => {
    s = shop({ capabilities: { delay: 'native', maxDelayMs: 2_000 } })
    await s.relay().start()
    const at = s.clock.wallNow()
    await s.store.transaction((tx) =>
      s.outbox.publish(tx, Orders, [
        { ...order('near'), notBefore: at + 2_000 },
        { ...order('far'), notBefore: at + 10_000 },
      ]),
    )
    await s.clock.advance(7_000)
    expect(s.transport.taken).toEqual(['near'])
    await s.clock.advance(2_000)
    expect(s.transport.taken).toEqual(['near', 'far'])
  })

  it('leaves a send alone that does not end, and sends its messages again', async () => {
    s = shop()
    const first = gate<ReturnType<typeof failed>>()
    let sends = 0
    s.transport.answer = (_: Envelope) => (sends++ === 0 ? first.promise : accepted)
    await s.relay().start()
    await s.publish(order('o-1'))
    await s.clock.advance(5_499)
    expect(s.transport.sends).toHaveLength(1)
    await s.clock.advance(1_000)
    expect(s.of('relay-send-abandoned')).toMatchObject([{ count: 1 }])
    expect(s.transport.taken).toEqual(['o-1'])
    first.open(accepted)
    await s.clock.advance(0)
    expect(await s.outbox.stats()).toMatchObject({ backlog: 0 })
  })
})

describe('several channels', () => {
  it('keeps one that is slow from keeping the others', async () => {
    const s = shop()
    const slow = gate<typeof accepted>()
    s.transport.answer = ({ attributes }) => (attributes['type'] === 'mail.wanted' ? slow.promise : accepted)
    await s.relay().start()
    await s.store.transaction(async (tx) => {
      await s.outbox.publish(tx, Mails, { type: 'mail.wanted', id: 'm-1', key: 'k', data: { to: 'a' } })
      await s.outbox.publish(tx, Orders, order('o-1', 'k'))
    })
    await s.clock.advance(0)
    expect(s.transport.taken).toEqual(['o-1'])
    slow.open(accepted)
    await s.clock.advance(0)
    expect(s.transport.taken).toEqual(['o-1', 'm-1'])
    await s.end()
  })
})
