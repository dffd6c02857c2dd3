// Whatever happens to relays, transport and store: nothing is lost, and no key is out of order. Thousands of things that happen, each by chance, the same ones for a seed.
import { describe, expect, it } from 'vitest'
import type { SendResult } from '../../../src/core/contracts/transport.ts'
import type { Relay } from '../../../src/messaging/outbox/index.ts'
import { seededRandom } from '../../../src/testing/seeded-random.ts'
import { accepted, type FakeTransport, failed, fakeTransport, order, shop } from './kit.ts'

const KEYS = 6

async function run(seed: number): Promise<void> {
  const s = shop()
  const random = seededRandom(seed)
  const chance = (share: number): boolean => random() < share
  const arrived: string[] = []
  const faults: string[] = []
  let trouble = 0.2
  let away = false

  const outcome = (id: string): SendResult => {
    if (away) return failed('CONNECTION_REFUSED')
    if (chance(trouble)) {
      const what = random()
      if (what < 0.4) return failed('UNAVAILABLE', { effect: 'none' })
      // It has arrived, and nobody knows.
      if (what < 0.8) {
        arrived.push(id)
        return failed('CONNECTION_LOST')
      }
      if (what < 0.9) return failed('UNPROCESSABLE')
    }
    arrived.push(id)
    return accepted
  }
  // As the contract has it: it ends with its deadline. What another relay has in hand is none of its business: while partitions change hands both may send a message.
  const transport = (): FakeTransport => {
    const open = new Map<string, number>()
    const own = fakeTransport(s.clock)
    own.answer = async ({ id, key = '' }, { deadline }) => {
      if (deadline.remainingMs() <= 0) return failed('DEADLINE_SPENT')
      open.set(key, (open.get(key) ?? 0) + 1)
      if ((open.get(key) ?? 0) > 1) faults.push(`${key} is in two sends`)
      const ms = chance(0.3) ? Math.min(random() * 400, deadline.remainingMs()) : 0
      if (ms > 0) await new Promise<void>((resolve) => void s.clock.setTimer(resolve, ms, undefined))
      const result = deadline.remainingMs() <= 0 ? failed('DEADLINE_EXCEEDED') : outcome(id)
      open.set(key, (open.get(key) ?? 0) - 1)
      return result
    }
    return own
  }
  s.interrupt = async (what) => {
    if (what === 'append') return
    if (chance(0.05)) await new Promise<void>((resolve) => void s.clock.setTimer(resolve, random() * 300, undefined))
    if (chance(trouble / 5)) throw new Error('the store is away')
  }

  const relays: Relay[] = []
  const begin = async (): Promise<void> => {
    const relay = s.relay({
      transport: transport(),
      leaseMs: 2_000,
      sendTimeoutMs: 1_000,
      batch: 1 + Math.floor(random() * 12),
      concurrency: 1 + Math.floor(random() * 4),
      poll: { minMs: 20, maxMs: 200 },
      backoff: { minMs: 50, maxMs: 500 },
      maxAttempts: 50,
      random,
    })
    relays.push(relay)
    const starting = relay.start().catch(() => {})
    await s.clock.advance(400)
    await starting
  }
  await begin()
  const published = new Map<string, string[]>()
  for (let step = 0; step < 40; step++) {
    const count = Math.floor(random() * 6)
    for (let at = 0; at < count; at++) {
      const key = `k-${Math.floor(random() * KEYS)}`
      const own = published.get(key) ?? []
      published.set(key, own)
      const id = `${key}:${own.length}`
      own.push(id)
      await s.publish(order(id, key))
    }
    const what = random()
    if (what < 0.05) await begin()
    else if (what < 0.1 && relays.length > 1) void relays.shift()?.close({ withinMs: random() * 1_000 })
    else if (what < 0.14) away = !away
    await s.clock.advance(random() * 400)
  }
  trouble = 0
  away = false
  s.interrupt = undefined
  // One whose start failed can be started again.
  for (const relay of relays) void relay.start()
  for (let at = 0; at < 30; at++) {
    const dead: string[] = []
    for await (const { envelope } of s.outbox.dead()) dead.push(envelope.id)
    await s.outbox.skip(dead)
    await s.clock.advance(1_000)
    for (const id of dead) for (const own of published.values()) if (own.includes(id)) own.splice(own.indexOf(id), 1)
  }
  expect(faults).toEqual([])
  expect(await s.outbox.stats()).toMatchObject({ backlog: 0, dead: 0 })
  const firsts = [...new Set(arrived)]
  for (const [key, own] of published)
    expect(firsts.filter((id) => id.startsWith(`${key}:`) && own.includes(id))).toEqual(own)
  await s.end()
}

describe('relays in trouble', () => {
  for (let seed = 1; seed <= 12; seed++)
    it(`lose nothing and keep the order of each key, seed ${seed}`, () => run(seed), 15_000)
})
