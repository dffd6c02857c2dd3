// Several channels, of which one is away: no message of it is blamed, the others do not notice, and all that wait are tried in turn.
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import type { SendResult } from '../../../src/core/contracts/transport.ts'
import type { Envelope } from '../../../src/core/message.ts'
import { accepted, failed, Mails, order, type Shop, shop } from './kit.ts'

const HOUR_MS = 3_600_000

const mail = (id: string, key?: string) =>
  ({ type: 'mail.wanted', id, ...(key === undefined ? {} : { key }), data: { to: 'a' } }) as const

const isMail = ({ attributes }: Envelope): boolean => attributes['type'] === 'mail.wanted'

describe('one channel of two that is away', () => {
  let s: Shop
  beforeEach(() => {
    s = shop()
  })
  afterEach(() => s.end())

  const later = (ms: number, result: SendResult): Promise<SendResult> =>
    new Promise((resolve) => void s.clock.setTimer(() => resolve(result), ms, undefined))
  const mails = (...wanted: ReturnType<typeof mail>[]): Promise<unknown> =>
    s.store.transaction((tx) => s.outbox.publish(tx, Mails, wanted))

  it.each([
    ['refuses', 5, () => failed('CONNECTION_REFUSED')],
    ['does not say what became of it', 5, () => failed('CONNECTION_LOST', { effect: 'unknown' })],
    // What is in the partitions of those that are tried waits for the try.
    ['takes its time', 205, () => later(200, failed('UNAVAILABLE'))],
  ] as const)(
    'for an hour: nothing is dead, the other one does not notice, and all goes in order when it is back (%s)',
    async (_, withinMs, answer) => {
      let away = true
      s.transport.answer = (envelope) => (away && isMail(envelope) ? answer() : accepted)
      let attempts = 0
      const { pending } = s.store.outbox
      s.store.outbox.pending = async (...args) => {
        const rows = await pending.apply(s.store.outbox, args)
        for (const row of rows) attempts = Math.max(attempts, row.attempts)
        return rows
      }
      const relay = s.relay({ maxAttempts: 3 })
      await relay.start()
      const wanted: string[] = []
      const late: string[] = []
      await s.publish(order('first'))
      await s.clock.advance(10)
      for (let at = 0; at * 60_000 < HOUR_MS; at++) {
        const ids = [`m-${at}-a`, `m-${at}-b`]
        wanted.push(...ids)
        await mails(...ids.map((id) => mail(id, `k-${at % 5}`)))
        await s.publish(order(`o-${at}`))
        await s.clock.advance(withinMs)
        if (!s.transport.taken.includes(`o-${at}`)) late.push(`o-${at}`)
        await s.clock.advance(60_000 - withinMs)
      }
      expect(late).toEqual([])
      expect(s.of('relay-dead')).toEqual([])
      expect(s.of('relay-retried')).toEqual([])
      expect(relay.health().state).toBe('running')
      const tries = s.transport.sends.filter(({ channel }) => channel.name === 'mails')
      expect(tries.length).toBeLessThan(HOUR_MS / 2_000)
      for (const { envelopes } of tries.slice(5)) expect(envelopes.length).toBeLessThanOrEqual(16)
      const waits = s.of('relay-backing-off')
      expect(waits.every(({ channel }) => channel?.name === 'mails')).toBe(true)
      expect(Math.max(...waits.map(({ waitMs }) => waitMs))).toBeLessThanOrEqual(5_000)
      expect(attempts).toBe(0)
      away = false
      await s.clock.advance(30_000)
      const taken = s.transport.taken.filter((id) => id.startsWith('m-'))
      expect(taken).toHaveLength(wanted.length)
      for (let key = 0; key < 5; key++) {
        const own = (id: string): boolean => Number(id.split('-')[1]) % 5 === key
        expect(taken.filter(own)).toEqual(wanted.filter(own))
      }
      expect(await s.outbox.stats()).toMatchObject({ backlog: 0, dead: 0 })
      expect(s.of('relay-resumed')).toMatchObject([{ channel: { name: 'mails' } }])
    },
    60_000,
  )

  it('is put aside however much of it there is: what comes behind it for the other channel goes at once', async () => {
    s.transport.answer = (envelope) => (isMail(envelope) ? failed('CONNECTION_REFUSED') : accepted)
    await s.relay({ batch: 50 }).start()
    await s.publish(order('first'))
    await s.clock.advance(10)
    await mails(...Array.from({ length: 400 }, (_, at) => mail(`m-${at}`)))
    await s.publish(order('behind'))
    await s.clock.advance(1_000)
    expect(s.transport.taken).toEqual(['first', 'behind'])
    const before = s.asked.filter(({ what }) => what === 'settle').length
    await s.clock.advance(20_000)
    // About a thousand rows a second.
    expect(s.asked.filter(({ what }) => what === 'settle').length - before).toBeLessThan(20 * 25)
    s.transport.answer = () => accepted
    await s.clock.advance(10_000)
    expect(s.transport.taken).toHaveLength(402)
  }, 30_000)

  it('is tried soon after there is something new for it', async () => {
    let away = true
    s.transport.answer = (envelope) => (away && isMail(envelope) ? failed('CONNECTION_REFUSED') : accepted)
    await s.relay({ backoff: { maxMs: 600_000 } }).start()
    await s.publish(order('first'))
    await mails(mail('m-1'))
    await s.clock.advance(HOUR_MS)
    away = false
    await mails(mail('m-2'))
    await s.clock.advance(1_100)
    expect(s.transport.taken).toContain('m-2')
  })

  it('is away with all the others when none is left, and each is tried again when one is back', async () => {
    s.transport.answer = () => accepted
    const relay = s.relay()
    await relay.start()
    await s.publish(order('o-1'))
    await mails(mail('m-1'))
    await s.clock.advance(10)
    s.transport.answer = () => failed('CONNECTION_REFUSED')
    await s.publish(order('o-2'))
    await mails(mail('m-2'))
    await s.clock.advance(60_000)
    expect(relay.health().state).toBe('backing-off')
    s.transport.answer = () => accepted
    await s.clock.advance(11_000)
    expect(s.transport.taken).toEqual(expect.arrayContaining(['o-2', 'm-2']))
    expect(relay.health().state).toBe('running')
  })

  it('does not save a message that fails alone while others of its channel get through', async () => {
    s.transport.answer = ({ id }) => (id === 'poison' ? failed('SERVER_ERROR') : accepted)
    await s.relay({ maxAttempts: 5, backoff: { minMs: 10, maxMs: 100 } }).start()
    await mails(mail('poison', 'k'))
    for (let at = 0; at < 40; at++) {
      await mails(mail(`m-${at}`))
      await s.publish(order(`o-${at}`))
      await s.clock.advance(1_000)
    }
    expect(s.of('relay-dead')).toMatchObject([{ id: 'poison', attempts: 5 }])
    expect(s.transport.taken).toHaveLength(80)
  })

  it('does not count against a message what got through on another channel only', async () => {
    s.transport.answer = ({ id }) => (id === 'alone' ? failed('SERVER_ERROR') : accepted)
    await s.relay({ maxAttempts: 3, backoff: { minMs: 10, maxMs: 100 } }).start()
    await mails(mail('alone', 'k'))
    for (let at = 0; at < 100; at++) {
      await s.publish(order(`o-${at}`))
      await s.clock.advance(100)
    }
    expect(s.of('relay-dead')).toEqual([])
    expect(s.transport.ids.filter((id) => id === 'alone').length).toBeGreaterThan(20)
  })
})

describe('while nothing gets through', () => {
  let s: Shop
  beforeEach(() => {
    s = shop()
  })
  afterEach(() => s.end())

  // A topic whose second group is away: the first one has every message that is tried.
  it.each([
    [60, 500],
    [300, 40],
  ])('each of %i messages is tried in turn, also what was committed later (batch %i)', async (count, batch) => {
    const reached = new Set<string>()
    s.transport.answer = ({ id }) => {
      reached.add(id)
      return failed('UNAVAILABLE')
    }
    await s.relay({ batch, backoff: { minMs: 100, maxMs: 1_000 } }).start()
    await s.store.transaction((tx) =>
      s.outbox.publish(
        tx,
        { ...Mails, kind: 'queue' },
        Array.from({ length: count }, (_, at) => mail(`m-${at}`, `k-${at}`)),
      ),
    )
    await s.clock.advance(5_000)
    await s.store.transaction((tx) => s.outbox.publish(tx, Mails, [mail('later', 'x')]))
    // A hundred tries at the least.
    await s.clock.advance(100_000)
    expect(reached.size).toBe(count + 1)
    expect(s.of('relay-dead')).toEqual([])
    const before = s.transport.ids.length
    await s.clock.advance(100_000)
    const again = new Set(s.transport.ids.slice(before))
    expect(again.size).toBe(count + 1)
  })

  it('notices within five seconds that it is over', async () => {
    s.transport.answer = () => failed('CONNECTION_REFUSED')
    await s.relay().start()
    await s.publish(order('o-1'))
    await s.clock.advance(HOUR_MS)
    s.transport.answer = () => accepted
    await s.clock.advance(5_000)
    expect(s.transport.taken).toEqual(['o-1'])
  })
})
