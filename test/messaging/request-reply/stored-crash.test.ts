// A process that dies between any two steps of a stored request: nothing is lost, and what the answer does is done once.
import { expect, test } from 'vitest'
import { memoryStore, memoryTransport } from '../../../src/adapters/memory/index.ts'
import type { Delivery, MessageTransport } from '../../../src/core/contracts/transport.ts'
import { createError } from '../../../src/errors/classes.ts'
import { createResponder } from '../../../src/messaging/request-reply/responder.ts'
import { fakeClock } from '../../../src/testing/fake-clock.ts'
import type { Lab } from '../lab.ts'
import { memoryLab } from '../memory-lab.ts'
import { sendRaw } from '../raw.ts'
import { pricing, processOf, replyTo } from './stored-cases.ts'

const gone = () => createError({ code: 'CONNECTION_LOST', message: 'the process has died' })

/** Steps of one process, which dies at one of them. */
class Fate {
  steps = 0
  dead = false
  spared = false
  readonly diesAt: number
  readonly ends: (() => void)[] = []

  constructor(diesAt: number) {
    this.diesAt = diesAt
  }

  /** Nothing is left to be done: idle steps need no death. */
  spare(): void {
    this.spared = true
  }

  step(): void {
    if (this.dead) throw gone()
    if (this.spared) return
    if (++this.steps !== this.diesAt) return
    this.dead = true
    for (const end of this.ends) end()
    throw gone()
  }
}

// Dies before and after each send and each verdict, and when something is handed to it.
function mortal(inner: MessageTransport, fate: Fate): MessageTransport {
  fate.ends.push(() => void inner.close())
  const around = async <T>(work: () => Promise<T>): Promise<T> => {
    fate.step()
    const value = await work()
    fate.step()
    return value
  }
  return {
    name: inner.name,
    capabilities: inner.capabilities,
    prepare: (channels, mode) => inner.prepare(channels, mode),
    send: async (channel, envelopes, context) => {
      try {
        return await around(() => inner.send(channel, envelopes, context))
      } catch (error) {
        return envelopes.map(() => ({ status: 'failed', error }))
      }
    },
    receive: (from, sink) =>
      inner.receive(from, (delivery) => {
        if (fate.dead) return
        const { envelope, redeliveries, leaseMs } = delivery
        const handed: Delivery = {
          envelope,
          redeliveries,
          leaseMs,
          onLost: (listener) => delivery.onLost(listener),
          settle: (verdict, options) => around(() => delivery.settle(verdict, options)),
          extend: (ms) => (delivery.extend as (ms: number) => Promise<void>)(ms),
        }
        sink(handed)
      }),
    close: () => inner.close(),
  }
}

const clock = fakeClock()

// `asked` is written with the request; every other line is what became of it.
async function run(diesAt: number, what: 'reply' | 'timeout' | 'both', others: 'later' | 'meanwhile') {
  const memory = memoryLab(clock)
  const { database, broker } = memory
  const channel = pricing('pricing')
  const lab: Lab = { ...memory, lines: () => memory.counted() }
  const fate = new Fate(diesAt)
  const store = memoryStore({
    database,
    before: async () => fate.step(),
  })
  fate.ends.push(() => store.crash())
  const answers = memoryTransport({ broker })
  const responder = createResponder({
    transport: answers,
    channel,
    source: '/pricing',
    clock,
    handlers: { 'price.quote': () => ({ cents: 300 }) },
  })
  if (what === 'reply') await responder.start()
  const own = {
    name: 'crash',
    more: { scanEveryMs: 1_000 },
    relay: { leaseMs: 2_000, poll: { minMs: 100, maxMs: 1_000 } },
  }
  const second = others === 'meanwhile' ? await processOf(lab, channel, own) : undefined
  const doomed = { ...lab, store: () => store, transport: () => mortal(memoryTransport({ broker }), fate) }
  const ids: string[] = []
  let first: Awaited<ReturnType<typeof processOf>> | undefined
  try {
    first = await processOf(doomed, channel, own)
    const { quotes } = first
    await store.transaction(async (tx) => {
      const { id } = await quotes.request(
        tx,
        'price.quote',
        { sku: 'A' },
        { state: { orderId: 'it' }, timeoutMs: what === 'reply' ? 600_000 : 500 },
      )
      ids.push(id)
      tx.set('asked', 1)
    })
  } catch {
    // It died on the way; what was committed shows below.
  }
  if (what === 'both' && ids[0] !== undefined) {
    await clock.advance(495)
    await sendRaw(clock, answers, { kind: 'queue', name: 'crash-replies' }, replyTo(ids[0], {}, 300))
  }
  await clock.advance(1_500)
  fate.spare()
  const last = second ?? (await processOf(lab, channel, own))
  // Leases of whoever died have to run out.
  await clock.advance(8_000)
  const lines = await lab.lines()
  const pending = await last.quotes.pending()
  const ending = [first?.stop().catch(() => {}), last.stop(), responder.close()]
  await clock.advance(8_000)
  await Promise.all(ending)
  return { steps: fate.steps, survived: !fate.dead, lines, pending }
}

test.each([
  ['reply', 'later'],
  ['reply', 'meanwhile'],
  ['timeout', 'later'],
  ['timeout', 'meanwhile'],
  ['both', 'later'],
  ['both', 'meanwhile'],
] as const)('%s: dies at each step, and another process is there %s', { timeout: 120_000 }, async (what, others) => {
  const expected = { reply: ['it costs 300 x1'], timeout: ['it DEADLINE_EXCEEDED x1'], both: undefined }[what]
  let asked = 0
  for (let diesAt = 1; ; diesAt++) {
    const { survived, lines, pending } = await run(diesAt, what, others)
    const where = `it died at step ${diesAt}`
    expect(pending, where).toEqual([])
    const effects = lines.filter((line) => !line.startsWith('asked'))
    if (effects.length === lines.length) expect(effects, where).toEqual([])
    else {
      asked++
      if (expected === undefined)
        expect(effects, where).toEqual([expect.stringMatching(/^it (costs 300|DEADLINE_EXCEEDED) x1$/)])
      else expect(effects, where).toEqual(expected)
    }
    if (survived) break
    expect(diesAt).toBeLessThan(2_000)
  }
  expect(asked).toBeGreaterThan(5)
})
