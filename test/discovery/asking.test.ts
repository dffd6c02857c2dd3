// The loop of every source that asks: what a conformance suite cannot see from outside.
import { AsyncLocalStorage } from 'node:async_hooks'
import { describe, expect, it } from 'vitest'
import type { SourceUpdate } from '../../src/core/contracts/source.ts'
import { type Asked, keepAsking } from '../../src/discovery/asking.ts'
import { type FakeClock, fakeClock } from '../../src/testing/fake-clock.ts'
import { seededRandom } from '../../src/testing/seeded-random.ts'

const absent = { type: 'absent' } as const

interface Loop {
  readonly clock: FakeClock
  readonly told: SourceUpdate[]
  readonly asked: number[]
  readonly watch: ReturnType<typeof keepAsking>
}

function loop(ask: (clock: FakeClock, signal: AbortSignal, nth: number) => Promise<Asked>, interrupt = false): Loop {
  const clock = fakeClock()
  const told: SourceUpdate[] = []
  const asked: number[] = []
  const watch = keepAsking({
    clock,
    random: seededRandom(1),
    sink: (update) => told.push(update),
    interrupt,
    ask: (signal) => ask(clock, signal, asked.push(clock.now())),
  })
  return { clock, told, asked, watch }
}

function lasting(clock: FakeClock, ms: number, signal: AbortSignal): Promise<Asked> {
  return new Promise((resolve, reject) => {
    const timer = clock.setTimer(() => resolve({ update: absent, againMs: 0 }), ms, undefined)
    signal.addEventListener('abort', () => {
      clock.clearTimer(timer)
      reject(signal.reason)
    })
  })
}

describe('keepAsking', () => {
  it('never asks later because it was told to ask sooner', async () => {
    const { clock, asked, watch } = loop(async () => ({ update: absent, againMs: 300 }))
    await clock.advance(100)
    watch.refresh()
    await clock.advance(250)
    expect(asked).toEqual([0, 300])
    await watch.close()
  })

  it('asks once more when it was told to during a question, a second after that one began', async () => {
    const { clock, asked, watch } = loop(async (time, signal) => {
      const { update } = await lasting(time, 200, signal)
      return { update, againMs: 60_000 }
    })
    await clock.advance(100)
    for (let each = 0; each < 10; each++) watch.refresh()
    await clock.advance(5_000)
    expect(asked).toEqual([0, 1_000])
    await watch.close()
  })

  it('breaks off a question that waits, and tells nobody of it', async () => {
    const { clock, asked, told, watch } = loop((time, signal) => lasting(time, 300_000, signal), true)
    await clock.advance(5_000)
    watch.refresh()
    await clock.advance(0)
    expect(asked).toEqual([0, 5_000])
    expect(told).toEqual([])
    await watch.close()
  })

  it('lets slow answers come in a storm of refreshes', async () => {
    const { clock, told, watch } = loop((time, signal) => lasting(time, 3_000, signal), true)
    for (let each = 0; each < 300; each++) {
      await clock.advance(100)
      watch.refresh()
    }
    expect(told.length).toBeGreaterThan(2)
    await watch.close()
  })

  it('doubles the pauses after errors up to the most, each from its upper half, and begins anew after an answer', async () => {
    let failing = true
    const { clock, told, watch } = loop(async () => {
      if (failing) throw new Error('down')
      return { update: absent, againMs: 1_000 }
    })
    await clock.advance(200_000)
    const pauses = told.map((update) => (update.type === 'error' ? (update.retryInMs as number) : 0))
    for (const [at, pause] of pauses.entries()) {
      const most = Math.min(1_000 * 2 ** at, 30_000)
      expect(pause).toBeGreaterThanOrEqual(most / 2)
      expect(pause).toBeLessThanOrEqual(most)
    }
    expect(new Set(pauses.slice(5)).size).toBe(pauses.slice(5).length)
    failing = false
    await clock.advance(30_000)
    failing = true
    await clock.advance(1_500)
    const again = told[told.findLastIndex(({ type }) => type === 'absent') + 1]
    expect(again).toMatchObject({ type: 'error' })
    expect((again as { retryInMs: number }).retryInMs).toBeLessThanOrEqual(1_000)
    await watch.close()
  })

  it('tells the last answer once more when nothing is new after an error: that it answers again is news', async () => {
    const answers = [absent, undefined, 'fails', undefined, undefined] as const
    const { clock, told, watch } = loop(async (_time, _signal, nth) => {
      const update = answers[nth - 1]
      if (update === 'fails') throw new Error('down')
      return { update, againMs: nth < answers.length ? 1_000 : 1_000_000 }
    })
    await clock.advance(60_000)
    expect(told.map(({ type }) => type)).toEqual(['absent', 'error', 'absent'])
    await watch.close()
  })

  it('runs outside the call that began it', async () => {
    const storage = new AsyncLocalStorage<string>()
    const seen: (string | undefined)[] = []
    const { clock, watch } = storage.run('a call', () =>
      loop(async () => {
        seen.push(storage.getStore())
        return { update: absent, againMs: 10 }
      }),
    )
    await clock.advance(30)
    expect(new Set(seen)).toEqual(new Set([undefined]))
    await watch.close()
    expect(clock.pending).toBe(0)
  })

  it('keeps no process up by its timer', async () => {
    const { clock, asked, watch } = loop(async () => ({ update: absent, againMs: 10 }))
    await clock.advance(0)
    await clock.runAll()
    expect(asked).toEqual([0])
    await watch.close()
  })
})
