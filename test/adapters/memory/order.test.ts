// Order, affinity and counts of the memory transport against a model that looks at every message each time.
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { Heap } from '../../../src/adapters/memory/heap.ts'
import { Ring } from '../../../src/adapters/memory/ring.ts'
import type { Delivery } from '../../../src/core/contracts/transport.ts'
import { bench, envelope, jobs, type Watched, watched } from './kit.ts'

const RECEIVERS = 3
const LEASE_MS = 1_000

interface Modelled {
  readonly id: string
  readonly key: string | undefined
  readonly priority: number
  readonly seq: number
  readyAt: number
  /** Keeps its key back while it waits for its time. */
  blocking: boolean
  holder: number | undefined
  handedOut: number
}

type Step =
  | { readonly kind: 'send'; readonly key: string | undefined; readonly priority: number; readonly delayMs: number }
  | {
      readonly kind: 'settle'
      readonly which: number
      readonly verdict: 'ack' | 'retry' | 'dead'
      readonly delayMs: number
      readonly overtake: boolean
    }
  | { readonly kind: 'request'; readonly receiver: number; readonly count: number }
  | { readonly kind: 'pass'; readonly ms: number }
  | { readonly kind: 'close'; readonly receiver: number }
  | { readonly kind: 'redrive' }

const steps: fc.Arbitrary<readonly Step[]> = fc.array(
  fc.oneof(
    {
      weight: 6,
      arbitrary: fc.record({
        kind: fc.constant('send' as const),
        key: fc.constantFrom(undefined, 'a', 'b', 'c'),
        priority: fc.constantFrom(0, 0, 0, 5, -1),
        delayMs: fc.constantFrom(0, 0, 0, 150),
      }),
    },
    {
      weight: 6,
      arbitrary: fc.record({
        kind: fc.constant('settle' as const),
        which: fc.nat(20),
        verdict: fc.constantFrom('ack' as const, 'ack' as const, 'retry' as const, 'dead' as const),
        delayMs: fc.constantFrom(0, 0, 100),
        overtake: fc.boolean(),
      }),
    },
    {
      weight: 5,
      arbitrary: fc.record({
        kind: fc.constant('request' as const),
        receiver: fc.nat(RECEIVERS - 1),
        count: fc.integer({ min: 1, max: 3 }),
      }),
    },
    { weight: 3, arbitrary: fc.record({ kind: fc.constant('pass' as const), ms: fc.constantFrom(50, 100, 400) }) },
    { weight: 1, arbitrary: fc.record({ kind: fc.constant('close' as const), receiver: fc.nat(RECEIVERS - 1) }) },
    { weight: 1, arbitrary: fc.record({ kind: fc.constant('redrive' as const) }) },
  ),
  { maxLength: 120, size: 'max' },
)

// Every hand-out is judged by what the rules say of the messages at that moment.
async function run(script: readonly Step[]): Promise<void> {
  const { transport, clock, send } = bench({ leaseMs: LEASE_MS })
  const all: Modelled[] = []
  const dead: Modelled[] = []
  const held: { readonly delivery: Delivery; readonly message: Modelled }[] = []
  const credit = new Array<number>(RECEIVERS).fill(0)
  const receivers: Watched[] = []
  const faults: string[] = []
  let sent = 0

  const mayHave = (message: Modelled, receiver: number): boolean => {
    if (message.holder !== undefined || message.readyAt > clock.now()) return false
    if (message.key === undefined) return true
    const ofKey = all.filter(({ key }) => key === message.key)
    if (ofKey.some(({ blocking, readyAt }) => blocking && readyAt > clock.now())) return false
    if (ofKey.some(({ holder }) => holder !== undefined && holder !== receiver)) return false
    // The first of its key: those of a higher priority first, then the order of sending.
    const waiting = ofKey.filter(({ holder, readyAt }) => holder === undefined && readyAt <= clock.now())
    return waiting.every(
      (other) => other.priority < message.priority || (other.priority === message.priority && other.seq >= message.seq),
    )
  }
  const giveBack = (message: Modelled, delayMs = 0, overtake = false): void => {
    message.holder = undefined
    message.readyAt = delayMs > 0 ? clock.now() + delayMs : 0
    message.blocking = delayMs > 0 && !overtake && message.key !== undefined
  }

  const open = async (index: number): Promise<void> => {
    receivers[index] = await watched(transport, { channel: jobs }, 0, (delivery) => {
      const message = all.find(({ id }) => id === delivery.envelope.id)
      const fault = (what: string): void => void faults.push(`${delivery.envelope.id} to ${index}: ${what}`)
      if (message === undefined) return fault('gone')
      if (--(credit as number[])[index]! < 0) fault('beyond its credit')
      if (!mayHave(message, index)) fault('out of turn')
      const best = Math.max(...all.filter((each) => mayHave(each, index)).map(({ priority }) => priority))
      if (message.priority < best) fault('before one of a higher priority')
      if (message.key === undefined && message.handedOut === 0) {
        const earlier = all.some(
          (each) =>
            each.key === undefined &&
            each.seq < message.seq &&
            each.priority === message.priority &&
            mayHave(each, index),
        )
        if (earlier) fault('before an earlier one')
      }
      if (delivery.redeliveries !== message.handedOut) fault(`counted as ${delivery.redeliveries}`)
      message.holder = index
      message.handedOut++
      const entry = { delivery, message }
      held.push(entry)
      delivery.onLost(() => {
        held.splice(held.indexOf(entry), 1)
        giveBack(message)
      })
    })
  }
  for (let index = 0; index < RECEIVERS; index++) await open(index)

  for (const step of script) {
    if (step.kind === 'send') {
      const { key, priority, delayMs } = step
      const seq = sent++
      const id = `m${seq}`
      all.push({
        id,
        key,
        priority,
        seq,
        readyAt: delayMs > 0 ? clock.now() + delayMs : 0,
        blocking: false,
        holder: undefined,
        handedOut: 0,
      })
      await send(
        jobs,
        envelope(id, { key, priority, ...(delayMs > 0 ? { notBefore: clock.wallNow() + delayMs } : {}) }),
      )
    } else if (step.kind === 'settle') {
      const entry = held[step.which % Math.max(held.length, 1)]
      if (entry === undefined) continue
      held.splice(held.indexOf(entry), 1)
      const { message } = entry
      if (step.verdict === 'retry') giveBack(message, step.delayMs, step.overtake)
      else {
        all.splice(all.indexOf(message), 1)
        if (step.verdict === 'dead') dead.push(message)
      }
      await entry.delivery.settle(step.verdict, { delayMs: step.delayMs, overtake: step.overtake })
    } else if (step.kind === 'request') {
      credit[step.receiver]! += step.count
      receivers[step.receiver]?.receiver.request(step.count)
    } else if (step.kind === 'close') {
      await receivers[step.receiver]?.receiver.close()
      credit[step.receiver] = 0
      await open(step.receiver)
    } else if (step.kind === 'redrive') {
      for (const message of dead.splice(0))
        all.push(Object.assign(message, { handedOut: 0, holder: undefined, readyAt: 0, blocking: false }))
      await transport.deadLetters?.redrive(jobs, 'all')
    }
    await clock.advance(step.kind === 'pass' ? step.ms : 0)

    // What could be handed out is counted, and is handed out where there is credit for it.
    const blocked = (key: string | undefined): boolean =>
      key !== undefined && all.some((each) => each.key === key && each.blocking && each.readyAt > clock.now())
    const waiting = all.filter((each) => each.holder === undefined && each.readyAt <= clock.now() && !blocked(each.key))
    expect((await transport.inspect?.({ channel: jobs }))?.waiting).toBe(waiting.length)
    expect((await transport.inspect?.({ channel: jobs }, 1))?.waiting).toBe(
      waiting.filter(({ priority }) => priority >= 1).length,
    )
    for (let index = 0; index < RECEIVERS; index++)
      if ((credit[index] ?? 0) > 0 && all.some((each) => mayHave(each, index))) faults.push(`${index} is kept waiting`)
    expect(faults).toEqual([])
  }
  await transport.close()
}

describe('order', () => {
  it('is that of the model, whatever is sent, settled, delayed, lost and closed', async () => {
    await fc.assert(fc.asyncProperty(steps, run), { numRuns: 150, seed: 4_711 })
  }, 60_000)
})

describe('Ring', () => {
  it('is a queue at any length', () => {
    fc.assert(
      fc.property(fc.array(fc.oneof(fc.constant('shift' as const), fc.nat(3_000))), (script) => {
        const ring = new Ring<number>()
        const model: number[] = []
        let next = 0
        for (const step of script) {
          const count = step === 'shift' ? 1_500 : step
          for (let each = 0; each < count; each++) {
            if (step === 'shift') expect(ring.shift()).toBe(model.shift())
            else {
              ring.push(next)
              model.push(next++)
            }
          }
          expect([ring.size, ring.first(), ring.last(), ring.at(7)]).toEqual([
            model.length,
            model[0],
            model.at(-1),
            model[7],
          ])
        }
      }),
      { numRuns: 20, seed: 4_712 },
    )
  })
})

describe('Heap', () => {
  it('gives the least first, also after some were thrown out', () => {
    fc.assert(
      fc.property(fc.array(fc.integer()), (numbers) => {
        const heap = new Heap<number>((a, b) => a < b)
        for (const each of numbers) heap.push(each)
        heap.keep((each) => each % 3 !== 0)
        const out: (number | undefined)[] = []
        while (heap.size > 0) out.push(heap.pop())
        expect(out).toEqual(numbers.filter((each) => each % 3 !== 0).sort((a, b) => a - b))
      }),
      { seed: 4_713 },
    )
  })
})
