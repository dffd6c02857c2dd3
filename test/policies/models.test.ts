// Random command sequences against naive reference models that say in a few lines what breaker, bulkhead and retry are meant to do.
import fc from 'fast-check'
import { expect, test } from 'vitest'
import type { CallContext } from '../../src/core/context.ts'
import { isRefusal, type Layer } from '../../src/core/handler.ts'
import { createError } from '../../src/errors/classes.ts'
import type { Code } from '../../src/errors/codes.ts'
import { bulkhead } from '../../src/policies/bulkhead.ts'
import { circuitBreaker } from '../../src/policies/circuit-breaker.ts'
import { retry } from '../../src/policies/retry.ts'
import { retryBudget } from '../../src/policies/retry-budget.ts'
import { opossumWindow, ringWindow } from '../../src/policies/window.ts'
import { fakeClock } from '../../src/testing/fake-clock.ts'
import { contextOf, type Deferred, deferred } from './kit.ts'

const RUNS = 300
const COMMANDS = { minLength: 100, maxLength: 140 }

/** Time that is set by hand: thousands of commands need no event loop between them. */
function handClock() {
  const time = { now: 0 }
  return { time, clock: { ...fakeClock(), now: () => time.now } }
}

/** Lets what was settled be seen by the layers. */
async function seen(turns: number = 6): Promise<void> {
  for (let turn = 0; turn < turns; turn++) await undefined
}

// ---- circuit breaker ----

const BREAKER = {
  errorRate: 0.5,
  minimumCalls: 4,
  windowMs: 1_000,
  slowCallMs: 300,
  slowCallRate: 0.75,
  openMs: 400,
  maxOpenMs: 1_600,
  probes: 2,
  probeTimeoutMs: 500,
}

interface Begun {
  readonly at: number
  readonly era: number
  readonly work: Deferred<number>
}

// Keeps every outcome with its time, and counts anew at each question. No ring, no generation number: each change begins a new era.
class BreakerModel {
  state = 'closed'
  era = 0
  trips = 0
  outcomes: { at: number; failed: boolean; slow: boolean }[] = []
  out: Begun[] = []
  lastProbeAt = 0
  passed = 0
  openUntil = 0

  begin(now: number, work: Deferred<number>): Begun | undefined {
    if (this.state === 'isolated') return undefined
    if (this.state === 'open') {
      if (now < this.openUntil) return undefined
      this.change('half-open')
    }
    if (this.state === 'half-open') {
      if (this.out.length + this.passed >= BREAKER.probes) {
        if (now >= this.lastProbeAt + BREAKER.probeTimeoutMs) this.trip(now)
        return undefined
      }
      this.lastProbeAt = now
    }
    const begun = { at: now, era: this.era, work }
    this.out.push(begun)
    return begun
  }

  end(call: Begun, how: 'ok' | 'failed' | 'neutral', now: number): void {
    if (call.era !== this.era) return
    this.out.splice(this.out.indexOf(call), 1)
    if (how === 'neutral') return
    const slow = now - call.at >= BREAKER.slowCallMs
    if (this.state === 'half-open') {
      if (how === 'failed' || slow) this.trip(now)
      else if (++this.passed === BREAKER.probes) this.close(true)
      return
    }
    this.outcomes.push({ at: now, failed: how === 'failed', slow })
    const recent = this.outcomes.filter(({ at }) => inWindow(at, now))
    const enough = recent.length >= BREAKER.minimumCalls
    const tooMany = enough && recent.filter(({ failed }) => failed).length / recent.length >= BREAKER.errorRate
    const tooSlow = enough && recent.filter((each) => each.slow).length / recent.length >= BREAKER.slowCallRate
    // Judged when something bad is added, not when something good is.
    if ((how === 'failed' && tooMany) || (slow && tooSlow)) this.trip(now)
  }

  trip(now: number): void {
    this.openUntil = now + Math.min(BREAKER.openMs * 2 ** this.trips, BREAKER.maxOpenMs)
    this.trips++
    this.change('open')
  }

  close(forget: boolean): void {
    if (forget) this.trips = 0
    this.outcomes = []
    this.change('closed')
  }

  change(state: string): void {
    this.state = state
    this.era++
    this.out = []
    this.passed = 0
  }
}

// Ten buckets of a tenth each: what is counted goes when its tenth does.
const inWindow = (at: number, now: number): boolean => Math.floor(now / 100) - Math.floor(at / 100) < 10

type BreakerCommand =
  | { readonly do: 'call' | 'forceOpen' | 'forceClose' | 'reset' }
  | { readonly do: 'wait'; readonly ms: number }
  | { readonly do: 'settle'; readonly which: number; readonly how: 'ok' | 'failed' | 'neutral' }

const breakerCommand: fc.Arbitrary<BreakerCommand> = fc.oneof(
  { weight: 40, arbitrary: fc.constant({ do: 'call' } as const) },
  {
    weight: 45,
    arbitrary: fc.record({
      do: fc.constant('settle' as const),
      which: fc.nat(20),
      how: fc.constantFrom('ok' as const, 'failed' as const, 'ok' as const, 'failed' as const, 'neutral' as const),
    }),
  },
  {
    weight: 15,
    arbitrary: fc.record({
      do: fc.constant('wait' as const),
      ms: fc.oneof(fc.integer({ min: 1, max: 120 }), fc.integer({ min: 1, max: 900 })),
    }),
  },
  {
    weight: 1,
    arbitrary: fc.constantFrom({ do: 'forceOpen' } as const, { do: 'forceClose' } as const, { do: 'reset' } as const),
  },
)

const REJECTIONS: Record<'failed' | 'neutral', Code> = { failed: 'SERVER_ERROR', neutral: 'CANCELLED' }

test('the circuit breaker does what its model does, under any interleaving', async () => {
  const reached = new Set<string>()
  await fc.assert(
    fc.asyncProperty(
      fc.array(breakerCommand, COMMANDS),
      fc.constantFrom(opossumWindow, ringWindow),
      async (commands, window) => {
        const { time, clock } = handClock()
        const breaker = circuitBreaker({ ...BREAKER, clock, random: () => 0.5, rampMs: 0, window })
        const model = new BreakerModel()
        const run = breaker<Deferred<number>, number, CallContext>(({ promise }) => promise)
        const flying: Begun[] = []
        for (const command of commands) {
          if (command.do === 'wait') time.now += command.ms
          else if (command.do === 'call') {
            const work = deferred<number>()
            const expected = model.begin(time.now, work)
            const result = run(work, contextOf(clock))
            expect(isRefusal(result)).toBe(expected === undefined)
            if (expected !== undefined) {
              flying.push(expected)
              result.then(undefined, () => undefined)
            }
          } else if (command.do === 'settle') {
            const call = flying.splice(command.which % Math.max(flying.length, 1), 1)[0]
            if (call === undefined) continue
            model.end(call, command.how, time.now)
            if (command.how === 'ok') call.work.resolve(1)
            else call.work.reject(createError({ code: REJECTIONS[command.how] }))
            await seen()
          } else {
            breaker[command.do]()
            if (command.do === 'forceOpen') model.change('isolated')
            else model.close(command.do === 'reset')
            if (command.do === 'reset') model.trips = 0
          }
          expect(breaker.state).toBe(model.state)
          reached.add(`${model.state}${model.trips > 1 ? ' again' : ''}`)
        }
        expect(clock.pending).toBe(0)
      },
    ),
    { numRuns: RUNS },
  )
  expect([...reached].sort()).toEqual(
    expect.arrayContaining(['closed', 'half-open', 'half-open again', 'isolated', 'open', 'open again']),
  )
})

// ---- bulkhead ----

interface Job {
  readonly work: Deferred<number>
  readonly tracked: Deferred<void>[]
  readonly context: CallContext
  readonly abort: (reason: unknown) => void
  settled: boolean
  aborted: boolean
}

type BulkheadCommand =
  | { readonly do: 'call'; readonly how: 'work' | 'refuse' | 'throw' }
  | { readonly do: 'settle' | 'abort' | 'track' | 'untrack'; readonly which: number; readonly well: boolean }

const bulkheadCommand: fc.Arbitrary<BulkheadCommand> = fc.oneof(
  {
    weight: 4,
    arbitrary: fc.record({
      do: fc.constant('call' as const),
      how: fc.constantFrom('work' as const, 'work' as const, 'work' as const, 'refuse' as const, 'throw' as const),
    }),
  },
  {
    weight: 7,
    arbitrary: fc.record({
      do: fc.constantFrom(
        'settle' as const,
        'abort' as const,
        'track' as const,
        'untrack' as const,
        'untrack' as const,
      ),
      which: fc.nat(20),
      well: fc.boolean(),
    }),
  },
)

test('the bulkhead holds a slot exactly while work or what it tracked goes on, and never more than its cap', async () => {
  let most = 0
  let abandonedMost = 0
  await fc.assert(
    fc.asyncProperty(
      fc.array(bulkheadCommand, COMMANDS),
      fc.integer({ min: 1, max: 5 }),
      async (commands, maxOutstanding) => {
        const { clock } = handClock()
        const slots = bulkhead({ maxOutstanding, clock })
        const jobs: Job[] = []
        const running = (job: Job): boolean => !job.settled || job.tracked.length > 0
        const refusing = slots<undefined, number, CallContext>(
          () => ({ [Symbol.for('fairlead.refusal')]: true, refused: 1, then: undefined }) as never,
        )
        const throwing = slots<undefined, number, CallContext>(() => {
          throw new Error('at once')
        })
        const run = slots<Deferred<number>, number, CallContext>(({ promise }) => promise)
        for (const command of commands) {
          const before = jobs.filter(running)
          if (command.do === 'call') {
            const { context, abort } = contextOf(clock).fork({})
            if (command.how === 'refuse') refusing(undefined, context)
            else if (command.how === 'throw') throwing(undefined, context).then(undefined, () => undefined)
            else {
              const work = deferred<number>()
              const result = run(work, context)
              expect(isRefusal(result)).toBe(before.length >= maxOutstanding)
              if (!isRefusal(result)) {
                result.then(undefined, () => undefined)
                jobs.push({ work, tracked: [], context, abort, settled: false, aborted: false })
              }
            }
          } else {
            const job = before[command.which % Math.max(before.length, 1)]
            if (job === undefined) continue
            if (command.do === 'settle' && !job.settled) {
              job.settled = true
              if (command.well) job.work.resolve(1)
              else job.work.reject(new Error('work'))
            } else if (command.do === 'abort') {
              job.aborted = true
              job.abort('left')
            } else if (command.do === 'track') {
              const more = deferred<void>()
              job.tracked.push(more)
              job.context.track(more.promise)
            } else if (command.do === 'untrack') {
              const done = job.tracked.splice(command.which % Math.max(job.tracked.length, 1), 1)[0]
              if (command.well) done?.resolve()
              else done?.reject(new Error('tracked'))
            }
          }
          await new Promise((resolve) => setImmediate(resolve))
          const now = jobs.filter(running)
          expect([slots.outstanding, slots.abandoned]).toEqual([
            now.length,
            now.filter(({ aborted }) => aborted).length,
          ])
          expect(slots.outstanding).toBeLessThanOrEqual(maxOutstanding)
          most = Math.max(most, now.length)
          abandonedMost = Math.max(abandonedMost, slots.abandoned)
        }
      },
    ),
    { numRuns: RUNS },
  )
  expect(most).toBe(5)
  expect(abandonedMost).toBeGreaterThan(2)
}, 60_000)

// ---- retry with its budget ----

interface Trying {
  attempts: number
  current: Deferred<number>
  over: boolean
  result: Promise<unknown>
}

type RetryCommand =
  | { readonly do: 'call' }
  | { readonly do: 'wait'; readonly ms: number }
  | { readonly do: 'settle'; readonly which: number; readonly how: 'ok' | 'lost' | 'final' | 'cancelled' }

const retryCommand: fc.Arbitrary<RetryCommand> = fc.oneof(
  { weight: 4, arbitrary: fc.constant({ do: 'call' } as const) },
  {
    weight: 8,
    arbitrary: fc.record({
      do: fc.constant('settle' as const),
      which: fc.nat(20),
      how: fc.constantFrom(
        'ok' as const,
        'lost' as const,
        'lost' as const,
        'lost' as const,
        'final' as const,
        'cancelled' as const,
      ),
    }),
  },
  { weight: 2, arbitrary: fc.record({ do: fc.constant('wait' as const), ms: fc.integer({ min: 1, max: 400 }) }) },
)

const CODES = { ok: undefined, lost: 'CONNECTION_LOST', final: 'NOT_FOUND', cancelled: 'CANCELLED' } as const

test('retries are made exactly while the shared budget has some, under any interleaving of calls', async () => {
  let stopped = 0
  let retried = 0
  await fc.assert(
    fc.asyncProperty(
      fc.array(retryCommand, COMMANDS),
      fc.record({
        ratio: fc.constantFrom(0, 0.1, 0.5),
        banked: fc.integer({ min: 0, max: 10 }),
        floorPerSecond: fc.integer({ min: 0, max: 3 }),
      }),
      async (commands, options) => {
        const { time, clock } = handClock()
        const budget = retryBudget({ ...options, clock })
        // No time between failure and retry: attempts follow in the order of the commands.
        const layers = [1, 2].map(() => retry({ clock, budget, backoffMs: 0, maxBackoffMs: 0 }))
        const calls: Trying[] = []
        // The model: hundredths of a retry in the bank, and when the floor was used.
        let bank = options.banked * 100
        const floor: number[] = []
        const withdraw = (): boolean => {
          if (bank >= 100) bank -= 100
          else if (floor.filter((at) => at > time.now - 1_000).length < options.floorPerSecond) floor.push(time.now)
          else return false
          return true
        }
        for (const command of commands) {
          if (command.do === 'wait') time.now += command.ms
          else if (command.do === 'call') {
            bank = Math.min(options.banked * 100, bank + options.ratio * 100)
            const one: Trying = { attempts: 0, current: deferred(), over: false, result: Promise.resolve() }
            const layer = layers[calls.length % 2] as Layer
            const run = layer<undefined, number, CallContext>(() => {
              one.attempts++
              one.current = deferred()
              return one.current.promise
            })
            one.result = Promise.resolve(run(undefined, contextOf(clock))).then(
              () => undefined,
              (error) => [error.code, error.details?.stoppedBy],
            )
            calls.push(one)
          } else {
            const open = calls.filter(({ over }) => !over)
            const one = open[command.which % Math.max(open.length, 1)]
            if (one === undefined) continue
            const before = one.attempts
            const code = CODES[command.how]
            if (code === undefined) one.current.resolve(1)
            else one.current.reject(createError({ code }))
            await seen(40)
            const wanted = command.how === 'lost' && before < 3
            const allowed = wanted && withdraw()
            expect(one.attempts).toBe(before + (allowed ? 1 : 0))
            if (allowed) retried++
            else {
              one.over = true
              if (wanted) stopped++
              expect(await one.result).toEqual(
                code === undefined ? undefined : [code, wanted ? 'RETRY_BUDGET_EXHAUSTED' : undefined],
              )
            }
          }
          expect(budget.balance).toBeCloseTo(bank / 100, 6)
        }
        expect(clock.pending).toBe(0)
      },
    ),
    { numRuns: RUNS },
  )
  expect(stopped).toBeGreaterThan(RUNS)
  expect(retried).toBeGreaterThan(RUNS)
}, 60_000)
