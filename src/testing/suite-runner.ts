// How the suites for registries are run: cases as data, a lab for each, without a test runner or in any.
import { AssertionError } from 'node:assert'
import { sleep, systemClock } from '../core/clock.ts'
import type { TestRunner } from './test-runner.ts'

/** One check of a contract. */
export interface LabCase<Lab, Desk> {
  /** A sentence about what is tested; unique. */
  readonly name: string
  /** Real milliseconds; a case that takes longer has failed. Absent: the default of the run. */
  readonly timeoutMs?: number | undefined
  /** Why this is no case for such a lab; undefined: it is one. */
  skip(lab: Lab): string | undefined
  /** Throws what is wrong. */
  run(desk: Desk): Promise<void>
}

/** Something a case cannot do without: the reason why it is left out, or undefined where it is there. */
export type LabNeed<Lab> = (lab: Lab) => string | undefined

/** What to run, and for how long. */
export interface LabSuiteOptions<Case> {
  /** Names of cases, or parts of names; one that no case has is refused. Default: all. */
  readonly only?: readonly string[] | undefined
  /** Cases of one's own, run after those of the suite. */
  readonly more?: readonly Case[] | undefined
  /** For each case, in real milliseconds; some have a longer one of their own. Default 30,000. */
  readonly timeoutMs?: number | undefined
  /** Stops at the first case that fails. Default false. */
  readonly bail?: boolean | undefined
}

/** What came of a run. */
export interface LabSuiteReport {
  readonly passed: readonly string[]
  readonly failed: readonly { readonly name: string; readonly error: unknown }[]
  readonly skipped: readonly { readonly name: string; readonly reason: string }[]
}

/** A suite: its cases, and how a lab becomes what they work at. */
export interface LabSuite<Lab extends { close?(): Promise<void> }, Desk> {
  readonly what: string
  readonly cases: readonly LabCase<Lab, Desk>[]
  /** `finish` lets go of everything, and answers what was wrong all the while. */
  readonly deskIn: (lab: Lab) => { readonly desk: Desk; finish(): Promise<readonly string[]> }
}

const TIMEOUT_MS = 30_000
// The runner's own limit must not strike first: ours says what was waited for, and closes.
const MARGIN_MS = 30_000

/** One case. */
export function labCase<Lab, Desk>(
  name: string,
  run: (desk: Desk) => Promise<void>,
  needs: readonly LabNeed<Lab>[] = [],
  timeoutMs?: number | undefined,
): LabCase<Lab, Desk> {
  return {
    name,
    timeoutMs,
    run,
    skip(lab) {
      for (const need of needs) {
        const reason = need(lab)
        if (reason !== undefined) return reason
      }
      return undefined
    },
  }
}

/** Runs a suite without a test runner, one case after the other, each in a lab of its own. */
export async function runLabSuite<Lab extends { close?(): Promise<void> }, Desk>(
  suite: LabSuite<Lab, Desk>,
  makeLab: () => Lab | Promise<Lab>,
  options: LabSuiteOptions<LabCase<Lab, Desk>>,
): Promise<LabSuiteReport> {
  const cases = casesOf(suite, options)
  const able = await abilitiesOf(makeLab)
  const passed: string[] = []
  const failed: { name: string; error: unknown }[] = []
  const skipped: { name: string; reason: string }[] = []
  for (const each of cases) {
    const reason = each.skip(able)
    if (reason !== undefined) {
      skipped.push({ name: each.name, reason })
      continue
    }
    try {
      await runCase(suite, each, makeLab, timeoutOf(each, options))
      passed.push(each.name)
    } catch (error) {
      failed.push({ name: each.name, error })
      if (options.bail === true) break
    }
  }
  return { passed, failed, skipped }
}

/** Defines a suite as tests: one a case, and those left out by name and reason. */
export async function defineLabSuite<Lab extends { close?(): Promise<void> }, Desk>(
  suite: LabSuite<Lab, Desk>,
  name: string,
  makeLab: () => Lab | Promise<Lab>,
  runner: TestRunner & LabSuiteOptions<LabCase<Lab, Desk>>,
): Promise<void> {
  const { describe, test, skip } = runner
  const cases = casesOf(suite, runner)
  const able = await abilitiesOf(makeLab)
  const leaveOut = skip ?? ((title: string): unknown => test(title, () => {}))
  describe(`${suite.what} ${name}`, () => {
    for (const each of cases) {
      const reason = each.skip(able)
      if (reason !== undefined) {
        leaveOut(`left out: ${each.name} (${reason})`, () => {})
        continue
      }
      const timeoutMs = timeoutOf(each, runner)
      test(each.name, () => runCase(suite, each, makeLab, timeoutMs), timeoutMs + MARGIN_MS)
    }
  })
}

async function runCase<Lab extends { close?(): Promise<void> }, Desk>(
  suite: LabSuite<Lab, Desk>,
  each: LabCase<Lab, Desk>,
  makeLab: () => Lab | Promise<Lab>,
  timeoutMs: number,
): Promise<void> {
  const lab = await makeLab()
  try {
    const { desk, finish } = suite.deskIn(lab)
    const wrong: unknown[] = []
    const work = bounded(each.run(desk), timeoutMs, `it had not ended after ${timeoutMs} ms`)
    await work.catch((error: unknown) => wrong.push(error))
    const breaches = await bounded(finish(), MARGIN_MS / 2, 'what the case had opened cannot be closed').catch(
      (error: unknown) => [messageOf(error)],
    )
    if (wrong.length > 0 && breaches.length === 0) throw wrong[0]
    if (wrong.length === 0 && breaches.length === 0) return
    const message = [...wrong.map(messageOf), ...breaches].join('\n')
    throw Object.assign(new AssertionError({ message }), { cause: wrong[0] })
  } finally {
    await lab.close?.()
  }
}

// On real time: what is wrong may be that nothing happens any more.
async function bounded<T>(work: Promise<T>, ms: number, otherwise: string): Promise<T> {
  const limit = new AbortController()
  const late = sleep(systemClock, ms, limit.signal).then(() => {
    throw new AssertionError({ message: otherwise })
  })
  late.catch(() => {})
  try {
    return await Promise.race([work, late])
  } finally {
    limit.abort()
  }
}

// A run of nothing would pass.
function casesOf<Lab extends { close?(): Promise<void> }, Desk>(
  suite: LabSuite<Lab, Desk>,
  { only, more = [] }: LabSuiteOptions<LabCase<Lab, Desk>>,
): readonly LabCase<Lab, Desk>[] {
  const cases = [...suite.cases, ...more]
  for (const part of only ?? [])
    if (!cases.some(({ name }) => name.includes(part)))
      throw new AssertionError({ message: `no case is called ${JSON.stringify(part)}` })
  return only === undefined ? cases : cases.filter(({ name }) => only.some((part) => name.includes(part)))
}

// What can be done in the labs of a run: one is made and closed to see it.
async function abilitiesOf<Lab extends { close?(): Promise<void> }>(makeLab: () => Lab | Promise<Lab>): Promise<Lab> {
  const lab = await makeLab()
  await lab.close?.()
  return lab
}

function timeoutOf<Lab, Desk>(
  each: LabCase<Lab, Desk>,
  { timeoutMs }: { readonly timeoutMs?: number | undefined },
): number {
  return Math.max(timeoutMs ?? TIMEOUT_MS, each.timeoutMs ?? 0)
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error)
}
