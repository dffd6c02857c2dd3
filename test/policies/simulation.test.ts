// A thousand clients against one server, in virtual time, through the real standard pipeline. What is counted is counted at the server.
import { describe, expect, test } from 'vitest'
import type { Random } from '../../src/core/clock.ts'
import { createError } from '../../src/errors/classes.ts'
import { startResult } from '../../src/policies/call.ts'
import { type Standard, type StandardOptions, standard } from '../../src/policies/standard.ts'
import { seededRandom } from '../../src/testing/seeded-random.ts'
import { type VirtualTime, virtualTime } from './virtual-time.ts'

interface Server {
  down: boolean
  answerMs: number
  /** Called with each request that arrives. */
  arrived: () => void
}

/** A client: its own pipeline, as each process of a fleet has its own. */
function client(
  time: VirtualTime,
  server: Server,
  random: Random,
  options: StandardOptions,
): { readonly built: Standard; call(arrived: () => void): Promise<boolean> } {
  const built = standard('stock', { clock: time, random, ...options })
  const serve = (arrived: () => void): Promise<number> =>
    new Promise((resolve, reject) => {
      arrived()
      server.arrived()
      const { down } = server
      time.setTimer(
        () => (down ? reject(createError({ code: 'CONNECTION_LOST', stack: false })) : resolve(1)),
        server.answerMs,
        undefined,
      )
    })
  const pipeline = built.pipeline<() => void, number>({}, serve)
  const template = { service: 'stock', operation: 'get', idempotent: true, deadlineMs: built.deadlineMs, clock: time }
  return { built, call: async (arrived) => (await startResult(pipeline, template, arrived, undefined)).ok }
}

describe('total outage, breaker off, first ten seconds', () => {
  // At 200 calls/s a thousand clients would offer two million calls: minutes of computing, and the budget is each client's own,
  // so twenty show as much. The other 980 call seldom, where the floor of the budget decides.
  const SECONDS = 10
  const FAST = 200
  const SLOW = [0.5, 1, 2, 5, 10]
  const seen = {
    fast: [] as { calls: number; arrived: number }[],
    slow: [] as { perSecond: number; calls: number; arrived: number }[],
  }

  test('runs', async () => {
    const time = virtualTime()
    const random = seededRandom(1)
    const server: Server = { down: true, answerMs: 12, arrived: () => undefined }
    const begin = (perSecond: number): { calls: number; arrived: number } => {
      const one = client(time, server, random, { retry: { attempts: 3 }, circuitBreaker: false })
      const count = { calls: 0, arrived: 0 }
      const note = (): void => {
        // What comes after the ten seconds came of calls made within them.
        if (time.now() < SECONDS * 1_000) count.arrived++
      }
      const tick = (): void => {
        if (time.now() >= SECONDS * 1_000) return
        count.calls++
        void one.call(note)
        time.setTimer(tick, (1_000 / perSecond) * (0.5 + random()), undefined)
      }
      time.setTimer(tick, (1_000 / perSecond) * random(), undefined)
      return count
    }
    for (let at = 0; at < 20; at++) seen.fast.push(begin(FAST))
    for (let at = 0; at < 980; at++) {
      const perSecond = SLOW[at % SLOW.length] as number
      seen.slow.push(Object.assign(begin(perSecond), { perSecond }))
    }
    await time.run(2 * SECONDS * 1_000)
    expect(time.pending).toBe(0)
  }, 180_000)

  test('at 200 calls/s a client the server sees at most 1.15 of the calls offered, of each client and of all', () => {
    const ratio = ({ arrived, calls }: { arrived: number; calls: number }): number => arrived / calls
    expect(seen.fast.reduce((sum, { calls }) => sum + calls, 0)).toBeGreaterThan(36_000)
    expect(Math.max(...seen.fast.map(ratio))).toBeLessThanOrEqual(1.15)
    // And retries are made: a budget that allows none would pass the line above.
    expect(Math.min(...seen.fast.map(ratio))).toBeGreaterThan(1.05)
  })

  test('at low rates it sees no more than the bank, a tenth, and the floor of three a second', () => {
    for (const { calls, arrived } of seen.slow)
      expect(arrived - calls).toBeLessThanOrEqual(10 + 0.1 * calls + 3 * SECONDS)
  })

  test('and makes use of that floor: who calls seldom may retry', () => {
    // One call a second wants two retries a second: less than the floor, all are made. Five a second want ten, and get about three and a half.
    const of = (rate: number): number => {
      const those = seen.slow.filter(({ perSecond }) => perSecond === rate)
      return those.reduce((sum, { calls, arrived }) => sum + (arrived - calls), 0) / those.length
    }
    expect(of(1) / SECONDS).toBeGreaterThan(1.7)
    expect(of(1) / SECONDS).toBeLessThanOrEqual(2.2)
    const earned = 10 + 0.1 * 5 * SECONDS
    expect(of(5)).toBeGreaterThan(earned + 3 * SECONDS * 0.6)
    expect(of(5)).toBeLessThanOrEqual(earned + 3 * SECONDS)
  })
})

describe('recovery, breaker on', () => {
  // Each client serves five people. Who got an answer asks again after 1 to 3 s; who did not, after a quarter to three quarters of a second.
  // So the outage piles up four times the usual demand, and it is the circuit alone that keeps it from the server when that comes back.
  const BUCKET_MS = 250

  async function recovery(
    clients: number,
    options: StandardOptions,
    seed: number,
  ): Promise<{ readonly peak: number; readonly end: number; readonly closed: number; readonly outage: number }> {
    const time = virtualTime()
    const random = seededRandom(seed)
    const buckets: number[] = []
    const server: Server = {
      down: false,
      answerMs: 20,
      arrived: () => {
        const at = Math.floor(time.now() / BUCKET_MS)
        buckets[at] = (buckets[at] ?? 0) + 1
      },
    }
    const all = Array.from({ length: clients }, () =>
      client(time, server, random, { retry: { attempts: 3 }, ...options }),
    )
    const none = (): void => undefined
    for (const one of all)
      for (let person = 0; person < 5; person++) {
        const ask = (): void =>
          void one.call(none).then((well) => {
            time.setTimer(ask, well ? 1_000 + 2_000 * random() : 250 + 500 * random(), undefined)
          })
        time.setTimer(ask, 3_000 * random(), undefined)
      }
    await time.run(12_000)
    server.down = true
    await time.run(32_000)
    server.down = false
    await time.run(72_000)
    const between = (from: number, to: number): number[] =>
      Array.from({ length: (to - from) / BUCKET_MS }, (_, at) => buckets[from / BUCKET_MS + at] ?? 0)
    const mean = (counts: readonly number[]): number => counts.reduce((sum, count) => sum + count, 0) / counts.length
    const steady = mean(between(4_000, 12_000))
    return {
      peak: Math.max(...between(32_000, 72_000)) / steady,
      end: mean(between(68_000, 72_000)) / steady,
      closed: all.filter(({ built }) => built.circuitBreaker?.state === 'closed').length,
      outage: mean(between(20_000, 32_000)) / steady,
    }
  }

  test('a thousand clients come back without a stampede: at most 1.5 of the steady load in any quarter of a second', async () => {
    const { peak, end, closed, outage } = await recovery(1_000, {}, 2)
    expect(peak).toBeLessThanOrEqual(1.5)
    expect(outage).toBeLessThan(0.1)
    expect(closed).toBe(1_000)
    expect(end).toBeGreaterThan(0.9)
  }, 180_000)

  test('the same without jitter and ramp would be one: the measure tells them apart', async () => {
    const { peak } = await recovery(200, { circuitBreaker: { random: () => 0.5, rampMs: 0 } }, 2)
    expect(peak).toBeGreaterThan(1.5)
  }, 180_000)
})
