import fc from 'fast-check'
import { afterEach, describe, expect, test, vi } from 'vitest'
import { circuitBreaker } from '../../src/policies/circuit-breaker.ts'
import { type MakeWindow, opossumWindow, ringWindow, type WindowOptions } from '../../src/policies/window.ts'
import { fakeClock } from '../../src/testing/fake-clock.ts'

const options = (
  change: Partial<WindowOptions> = {},
): WindowOptions & { readonly clock: ReturnType<typeof fakeClock> } =>
  ({ errorRate: 0.5, minimumCalls: 4, windowMs: 1_000, clock: fakeClock(), ...change }) as never

describe.each<[string, MakeWindow]>([
  ['opossumWindow', opossumWindow],
  ['ringWindow', ringWindow],
])('%s', (_, make) => {
  test('trips at the rate, inclusive, and not below the minimum of calls', () => {
    const window = make(options())
    expect(window.fail()).toBe(false)
    expect(window.fail()).toBe(false)
    window.ok()
    expect(window.fail()).toBe(true)

    const half = make(options())
    for (let call = 0; call < 3; call++) half.ok()
    expect([half.fail(), half.fail(), half.fail()]).toEqual([false, false, true])
  })

  test.each([0.55, 0.1, 0.07, 0.29, 0.7, 1])('a rate of %s is met by exactly that share', (errorRate) => {
    const window = make(options({ errorRate, minimumCalls: 100 }))
    const fails = Math.round(errorRate * 100)
    for (let call = 0; call < 100 - fails; call++) window.ok()
    for (let call = 1; call < fails; call++) expect(window.fail()).toBe(false)
    expect(window.fail()).toBe(true)
  })

  test('forgets what is older than the window, a tenth at a time', async () => {
    const given = options({ minimumCalls: 1, errorRate: 1 })
    const window = make(given)
    window.ok()
    await given.clock.advance(999)
    expect(window.fail()).toBe(false)
    await given.clock.advance(1)
    expect(window.fail()).toBe(true)
  })

  test('a pause of any length empties it', async () => {
    const given = options({ minimumCalls: 1, errorRate: 1 })
    const window = make(given)
    for (let call = 0; call < 1_000; call++) window.ok()
    await given.clock.advance(1e9)
    expect(window.fail()).toBe(true)
  })

  test('cleared, it begins anew: one failure after recovery trips nothing', () => {
    const window = make(options())
    for (let call = 0; call < 10; call++) window.fail()
    window.clear()
    expect([window.fail(), window.fail(), window.fail(), window.fail()]).toEqual([false, false, false, true])
  })
})

test('opossumWindow and ringWindow agree on any commands', () => {
  const command = fc.oneof(
    { weight: 5, arbitrary: fc.constant('ok' as const) },
    { weight: 5, arbitrary: fc.constant('fail' as const) },
    { weight: 1, arbitrary: fc.constant('clear' as const) },
    {
      weight: 3,
      arbitrary: fc.oneof(
        fc.integer({ min: 0, max: 400 }),
        fc.integer({ min: 0, max: 30_000 }),
        fc.double({ min: 0, max: 5_000, noNaN: true }),
      ),
    },
  )
  let trips = 0
  fc.assert(
    fc.property(
      fc.array(command, { minLength: 200, maxLength: 200 }),
      fc.record({
        errorRate: fc.oneof(fc.constantFrom(0.1, 0.29, 0.5, 0.55, 1), fc.double({ min: 0.01, max: 1, noNaN: true })),
        minimumCalls: fc.integer({ min: 1, max: 25 }),
        windowMs: fc.constantFrom(100, 1_000, 10_000, 777),
        buckets: fc.constantFrom(1, 3, 10),
      }),
      (commands, given) => {
        const time = { now: 0 }
        const clock = { ...fakeClock(), now: () => time.now }
        const [one, other] = [opossumWindow({ ...given, clock }), ringWindow({ ...given, clock })]
        for (const each of commands) {
          if (typeof each === 'number') time.now += each
          else if (each === 'fail') {
            const tripped = other.fail()
            expect(one.fail()).toBe(tripped)
            // As the circuit does: whatever trips is cleared before it counts again.
            if (tripped) {
              trips++
              one.clear()
              other.clear()
            }
          } else {
            one[each]()
            other[each]()
          }
        }
      },
    ),
    { numRuns: 300 },
  )
  expect(trips).toBeGreaterThan(300)
})

describe('the opossum behind it', () => {
  afterEach(() => void vi.restoreAllMocks())

  test('is there for its metrics and events, and is open while we are', async () => {
    const clock = fakeClock()
    const window = opossumWindow(options({ clock }))
    const opossum = window.opossum as {
      on(event: string, listener: () => void): void
      opened: boolean
      closed: boolean
      stats: Record<string, number>
    }
    const seen: string[] = []
    for (const event of ['open', 'close', 'success', 'failure']) opossum.on(event, () => seen.push(event))
    window.ok()
    window.fail()
    window.fail()
    window.fail()
    expect([opossum.opened, opossum.stats['fires'], opossum.stats['failures'], opossum.stats['successes']]).toEqual([
      true,
      4,
      3,
      1,
    ])
    window.clear()
    expect([opossum.closed, opossum.stats['fires']]).toEqual([true, 0])
    expect(seen).toEqual(['success', 'failure', 'failure', 'failure', 'open', 'close'])
  })

  test('sets no timer: neither closed, nor open, nor closed again', async () => {
    const set = [vi.spyOn(globalThis, 'setTimeout'), vi.spyOn(globalThis, 'setInterval')]
    const clock = fakeClock()
    const window = opossumWindow(options({ clock }))
    window.ok()
    for (let call = 0; call < 4; call++) window.fail()
    expect((window.opossum as { opened: boolean }).opened).toBe(true)
    window.clear()
    expect(set.map(({ mock }) => mock.calls.length)).toEqual([0, 0])
    expect(clock.pending).toBe(0)
  })

  test('keeps no list of latencies, also after turning', async () => {
    const given = options({ windowMs: 10_000 })
    const window = opossumWindow(given)
    const { status } = window.opossum as {
      status: { window: { latencyTimes: unknown[]; successes: number }[]; stats: { latencyTimes: unknown[] } }
    }
    for (let round = 0; round < 5; round++) {
      for (let call = 0; call < 100; call++) window.ok()
      window.fail()
      await given.clock.advance(1_500)
    }
    window.ok()
    expect(status.window.reduce((sum, { successes }) => sum + successes, 0)).toBe(501)
    expect(status.window.map(({ latencyTimes }) => latencyTimes.length)).toEqual(Array(10).fill(0))
    expect(status.stats.latencyTimes).toEqual([])
    window.clear()
    window.ok()
    expect(status.window.map(({ latencyTimes }) => latencyTimes.length)).toEqual(Array(10).fill(0))
  })

  test('is not loaded where the ring counts', () => {
    expect(circuitBreaker({ window: ringWindow }).opossum).toBeUndefined()
    expect(circuitBreaker().opossum).toMatchObject({ closed: true })
  })
})
