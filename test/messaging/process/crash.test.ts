// The program crashes at every await of the store and of the transport in turn, and is started again: state, commands and undoing come out once.
import { describe, expect, it } from 'vitest'
import { memoryStore } from '../../../src/adapters/memory/index.ts'
import type { Delivery, MessageTransport, SendResult } from '../../../src/core/contracts/transport.ts'
import { createError } from '../../../src/errors/classes.ts'
import { showProcess } from '../../../src/messaging/process/index.ts'
import { type MemoryLab, memoryLab } from '../memory-lab.ts'
import { channelsOf, othersOf, placeOrder, type Seen, serviceOf } from './order.ts'

/** Counts the points at which a program can be struck, and strikes at one of them. */
class Fate {
  points = 0
  dead = false
  crash: () => void = () => {}
  readonly at: number
  /** `crash`: the program is gone. `hiccup`: that one call fails, nobody knows how. */
  readonly how: 'crash' | 'hiccup'

  constructor(at: number, how: 'crash' | 'hiccup') {
    this.at = at
    this.how = how
  }

  point(): void {
    if (this.dead) throw gone()
    if (this.points++ !== this.at) return
    if (this.how === 'crash') {
      this.dead = true
      this.crash()
    }
    throw gone()
  }
}

const gone = (): Error => createError({ code: 'CONNECTION_LOST', message: 'the program is gone' })

// What a relay or a scan that has nothing to do asks over and over is left out.
const IDLE = new Set([
  'outbox.lease',
  'outbox.pending',
  'outbox.release',
  'outbox.stats',
  'states.due',
  'states.list',
  'inbox.purge',
])

/** The transport of a program that may be struck before and after each send and each settling. */
function struck(transport: MessageTransport, fate: Fate): MessageTransport {
  return {
    ...transport,
    name: transport.name,
    capabilities: transport.capabilities,
    prepare: (channels, mode) => transport.prepare(channels, mode),
    async send(channel, envelopes, context): Promise<readonly SendResult[]> {
      try {
        fate.point()
        const results = await transport.send(channel, envelopes, context)
        fate.point()
        return results
      } catch (error) {
        return envelopes.map(() => ({ status: 'failed', error }))
      }
    },
    receive: (from, sink) =>
      transport.receive(from, (delivery) => {
        const own: Delivery = Object.create(delivery, {
          settle: {
            value: async (...words: Parameters<Delivery['settle']>) => {
              fate.point()
              await delivery.settle(...words)
              fate.point()
            },
          },
          onLost: { value: (listener: () => void) => delivery.onLost(listener) },
          ...(delivery.extend === undefined ? {} : { extend: { value: (ms: number) => delivery.extend?.(ms) } }),
        })
        sink(own)
      }),
    close: () => transport.close(),
  }
}

/** One order whose customer is refused when it is paid and cooked already. The program is struck at a point, and started again. */
async function run(
  at: number,
  how: 'crash' | 'hiccup' = 'crash',
): Promise<{
  readonly points: number
  readonly lab: MemoryLab
  readonly seen: readonly Seen[]
  readonly row: unknown
}> {
  const lab = memoryLab()
  const on = channelsOf('crash')
  const others = await othersOf(lab, on)
  const process = placeOrder('crash', on, (tx, line) => lab.note(tx, line))
  const fate = new Fate(at, how)
  const first = memoryStore({
    database: lab.database,
    before: (operation) => {
      if (!IDLE.has(operation)) fate.point()
      return undefined
    },
  })
  fate.crash = () => first.crash()
  const retries = { immediate: 0, delayedMs: [50, 100, 200, 400, 800] }
  let service: Awaited<ReturnType<typeof serviceOf>> | undefined
  service = await serviceOf({ ...lab, transport: () => struck(lab.transport(), fate) }, process, { retries }, first)
  await others.order('o')
  const answered = new Set<string>()
  const answerOnce = async (each: Seen, answer: () => Promise<unknown>): Promise<void> => {
    if (answered.has(each.message.id)) return
    answered.add(each.message.id)
    await answer()
  }
  for (let turn = 0; turn < 600; turn++) {
    await lab.clock.advance(20)
    if (fate.dead && service !== undefined) {
      const dead = service
      service = undefined
      await Promise.all([dead.stop().catch(() => {}), lab.clock.advance(1_500)])
      service = await serviceOf(lab, process, { retries })
    }
    for (const each of others.of('payment.take')) await answerOnce(each, () => others.paid('o'))
    for (const each of others.of('ticket.cancel')) await answerOnce(each, () => others.reply(each, {}))
    const reader = looking(lab)
    const found = await reader.transaction((tx) => reader.states.load(tx, 'process:crash', 'o'))
    const steps = (found?.state as { steps?: Record<string, { is: string }> } | undefined)?.steps ?? {}
    // In this order, so that the other one is that of undoing.
    if (steps['payment']?.is === 'done')
      for (const each of others.of('ticket.create')) await answerOnce(each, () => others.reply(each, { ticketId: 't' }))
    for (const each of others.of('ticket.find'))
      await answerOnce(each, () => {
        const created = steps['payment']?.is === 'done' && others.of('ticket.create').length > 0
        return others.reply(each, { ticket: created ? 'created' : 'cooking?' })
      })
    if (steps['ticket']?.is === 'done')
      for (const each of others.of('consumer.validate')) await answerOnce(each, () => others.refused('o'))
    if (
      others.of('order.rejected').length > 0 &&
      others.of('payment.back').length > 0 &&
      (fate.dead || fate.points > fate.at || fate.at === Infinity || turn > 150)
    )
      break
  }
  await lab.clock.advance(1_000)
  const row = await showProcess(looking(lab), 'crash', 'o')
  await service?.stop()
  await others.stop()
  return { points: fate.points, lab, seen: others.seen, row }
}

const readers = new WeakMap<MemoryLab, ReturnType<typeof memoryStore>>()
const looking = (lab: MemoryLab): ReturnType<typeof memoryStore> => {
  const reader = readers.get(lab) ?? memoryStore({ database: lab.database })
  readers.set(lab, reader)
  return reader
}

async function holds(at: number, how: 'crash' | 'hiccup'): Promise<void> {
  const where = `${how} at ${at}`
  const { lab, seen, row } = await run(at, how)
  expect(row, where).toMatchObject({ status: 'failed', state: { status: 'REJECTED' } })
  expect(await lab.lines(), where).toEqual(['o begun', 'o rejected', 'o went on', 'o went on'])
  for (const type of [
    'consumer.validate',
    'payment.take',
    'ticket.create',
    'ticket.cancel',
    'payment.back',
    'order.rejected',
  ])
    expect(
      new Set(seen.filter((each) => each.type === type).map(({ message }) => message.id)).size,
      `${type}, ${where}`,
    ).toBe(1)
  const first = (type: string): number => seen.findIndex((each) => each.type === type)
  expect(first('ticket.cancel'), where).toBeLessThan(first('payment.back'))
}

const PARTS = 6

describe('a program that crashes', async () => {
  const { points } = await run(Number.POSITIVE_INFINITY)

  it('can be struck at many points', () => {
    expect(points).toBeGreaterThan(50)
  })

  it.each(Array.from({ length: PARTS }, (_, part) => part))(
    'comes out the same, part %i',
    async (part) => {
      for (let at = part; at < points; at += PARTS) await holds(at, 'crash')
    },
    120_000,
  )

  it('so it does where a call fails, whether or not it was done', async () => {
    for (let at = 0; at < points; at++) await holds(at, 'hiccup')
  }, 120_000)
})
