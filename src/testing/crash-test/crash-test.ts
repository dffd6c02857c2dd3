// crashTest: a user's own handlers, transactions and processes under thousands of seeded schedules of crashes, duplicates, delays and lost answers.
import { invalidOption } from '../../core/options.ts'
import { createError } from '../../errors/classes.ts'
import { brokenFailure, type CrashTestFailure, calmFailure } from './failure.ts'
import { type CrashTestOptions, type CrashTestSettings, crashTestSettings } from './options.ts'
import { type Outcome, runSchedule } from './run.ts'
import { runMany } from './run-many.ts'
import { type Catalogue, type Drawing, drawSchedule, type Schedule, withMore } from './schedule.ts'
import { shrink } from './shrink.ts'
import { Sites } from './sites.ts'
import { CALL_TIMEOUT_MS, SystemScenario } from './system.ts'
import { BrokenAlways, messageOf, StoppedWithoutFault } from './thrown.ts'
import type { CrashWorld } from './types.ts'

/** What a crash test has come to. */
export interface CrashTestReport {
  /** How many were run. */
  readonly schedules: number
  /** How many faults struck. */
  readonly faults: number
  /** Calls that left a process. */
  readonly steps: number
  /** Time that passed in all the runs together. */
  readonly virtualMs: number
}

// The same for all seeds, so that what can happen does not depend on where one begins.
const CALM: Schedule = { seed: 0, size: 1, jitter: 0, faults: [] }
/** Run twice, and compared. */
const COMPARED = 3
/** In leases: whoever stands still is handed a message once more for each, and consumers give up what was handed out too often. */
const LONGEST_PAUSE = 4
/** Of who takes no messages: longer than others wait for him. */
const LONGEST_SILENCE_MS = 1.5 * CALL_TIMEOUT_MS
/** Runs with faults in which steps are learnt that no calm run comes to. Their seeds are always the same, so that what can be struck depends on the system alone. */
const PROBES = 20
const PROBED_FROM = 4_000_000_000

/**
 * Runs a system under schedules of faults in virtual time, and asks after each whether the invariant holds. A schedule that breaks it is shrunk to the shortest that does, and told as a story.
 * @param system called anew for each run; must not keep anything outside. Answers the facts that the invariant is about.
 * @param invariant throws, or rejects, where the facts are wrong once all is quiet
 * @throws CrashTestFailure; FairleadError `INVALID_OPTIONS`, and `PROGRAMMING_ERROR` for a system that goes another way when it is run again, or begins real work outside of a step
 * @example
 * await crashTest(
 *   (world) => {
 *     const mails: string[] = []
 *     world.service('shop', (own) => own.serve('place', (id: string) => own.step('mailer.send', () => mails.push(id))))
 *     world.client('customer', (own) => own.call('shop', 'place', 'A-1'))
 *     return mails
 *   },
 *   (mails) => assert.equal(new Set(mails).size, mails.length),
 * )
 */
export async function crashTest<F>(
  system: (world: CrashWorld) => F | Promise<F>,
  invariant: (facts: F) => unknown,
  options: CrashTestOptions<F> = {},
): Promise<CrashTestReport> {
  if (typeof system !== 'function') throw invalidOption('system', system, 'give a function of the world')
  if (typeof invariant !== 'function') throw invalidOption('invariant', invariant, 'give a function of the facts')
  const settings = crashTestSettings(options)
  const scenario = new SystemScenario<F>({ ...settings, system, invariant })
  try {
    return await tested(scenario, settings)
  } finally {
    await scenario.close()
  }
}

async function tested<F>(scenario: SystemScenario<F>, settings: CrashTestSettings<F>): Promise<CrashTestReport> {
  const { seed, seedStep, faults: most, delays } = settings
  const known = await calm(scenario, settings)
  const drawing = { size: 1, most, delays, longestPauseMs: longestPause(known, settings) }
  const catalogue = await probed(scenario, known, drawing)
  return runMany(
    settings,
    async (at) => {
      const schedule = drawSchedule(seed + at * seedStep, catalogue, drawing)
      if (at >= COMPARED) return runSchedule(scenario, schedule)
      const outcome = await runSchedule(scenario, schedule, { recorded: true })
      mustBeSame(settings, outcome, await runSchedule(scenario, schedule, { recorded: true }))
      return outcome
    },
    async (outcome, ran) => {
      if (isBroken(outcome)) throw await shortest(scenario, settings, outcome, ran)
      return false
    },
  )
}

// Without faults, and twice: what is wrong then is wrong with the program, or with the test.
async function calm<F>(scenario: SystemScenario<F>, settings: CrashTestSettings<F>): Promise<Catalogue> {
  const first = await runSchedule(scenario, CALM, { recorded: true, calm: true })
  misuse(first)
  const sites = new Sites()
  const second = await closing(
    sites,
    runSchedule(scenario, CALM, {
      recorded: true,
      traced: true,
      calm: true,
      stepsAlone: settings.realWork === 'refused',
      sites,
    }),
  )
  misuse(second)
  mustBeSame(settings, first, second)
  if (isBroken(second) || second.failure !== undefined) throw calmFailure(settings.name, second)
  return second.catalogue
}

// Its storage would make each promise of the process dearer.
async function closing<T>(sites: Sites, work: Promise<T>): Promise<T> {
  try {
    return await work
  } finally {
    sites.close()
  }
}

// What recovers, compensates and asks again is come to only where something has gone wrong. Nothing is judged here: what is wrong is found by a seed that can be named.
async function probed<F>(scenario: SystemScenario<F>, calm: Catalogue, drawing: Drawing): Promise<Catalogue> {
  let catalogue = calm
  if (drawing.most === 0) return catalogue
  for (let probe = 0; probe < PROBES; probe++) {
    const schedule = drawSchedule(PROBED_FROM + probe, catalogue, drawing)
    const outcome = await runSchedule(scenario, schedule, { judged: false })
    misuse(outcome)
    catalogue = withMore(catalogue, outcome.catalogue)
  }
  return catalogue
}

function longestPause(calm: Catalogue, { leaseMs }: { readonly leaseMs: number }): (process: string) => number {
  const received = leaseMs * LONGEST_PAUSE
  return (process) =>
    calm.get(process)?.some(({ step }) => step.endsWith('.receive')) === true
      ? received
      : Math.max(received, LONGEST_SILENCE_MS)
}

async function shortest<F>(
  scenario: SystemScenario<F>,
  settings: CrashTestSettings<F>,
  found: Outcome,
  ran: number,
): Promise<CrashTestFailure> {
  // What fails for another reason may be another mistake.
  const alike = (one: Outcome, other: Outcome): boolean => reasonOf(one) === reasonOf(other)
  const best = await shrink(found, (schedule) => runSchedule(scenario, schedule), isBroken, settings.shrinks, alike)
  const sites = new Sites()
  const told = await closing(sites, runSchedule(scenario, best.schedule, { traced: true, sites }))
  if (!isBroken(told))
    throw notDeterministic(
      settings,
      `seed ${found.schedule.seed} broke the invariant once, and did not when it was run again`,
    )
  return brokenFailure({ name: settings.name, found, told, sites, ran, of: settings.schedules, shard: settings.shard })
}

// The first line of what was said, whatever it counts and names.
function reasonOf({ findings, failure }: Outcome): string {
  const said = failure?.error instanceof BrokenAlways ? messageOf(failure.error.error) : findings[0]?.message
  return `${findings[0]?.rule} ${said?.split('\n')[0]?.replace(/\d+/g, '#')}`
}

function isBroken(outcome: Outcome): boolean {
  misuse(outcome)
  return outcome.findings.length > 0 || outcome.failure?.error instanceof BrokenAlways
}

// The test itself is wrong: that is no finding.
function misuse({ failure }: Outcome): void {
  if (failure === undefined) return
  const { error } = failure
  if (!(error instanceof BrokenAlways) && !(error instanceof StoppedWithoutFault)) throw error
}

function mustBeSame(settings: { readonly name: string }, one: Outcome, two: Outcome): void {
  const { seed } = one.schedule
  const length = Math.max(one.record.length, two.record.length)
  for (let at = 0; at < length; at++) {
    const [before, after] = [one.record[at] ?? 'nothing more', two.record[at] ?? 'nothing more']
    if (before !== after)
      throw notDeterministic(
        settings,
        `with seed ${seed}, step ${at + 1} was "${before}" the first time and "${after}" the second time`,
      )
  }
  const [before, after] = [one.findings[0]?.message, two.findings[0]?.message]
  if ((before === undefined) !== (after === undefined))
    throw notDeterministic(
      settings,
      `with seed ${seed} the steps were the same, and the invariant held ${before === undefined ? 'the first time' : 'the second time'} only (${before ?? after})`,
    )
}

function notDeterministic({ name }: { readonly name: string }, how: string): Error {
  return createError({
    code: 'PROGRAMMING_ERROR',
    effect: 'none',
    message: `${name} is not the same when it is run again: ${how}. Something in it goes by real time or chance (Date.now, setTimeout, Math.random, randomUUID, real I/O that is no step), or is kept from one run to the next: take time, chance and ids from own.clock, own.sleep, own.random and own.newId, and make everything inside the system function`,
  })
}
