// Runs the suite without a test runner, and says what passed, what failed, and what was left out and why.
import { AssertionError } from 'node:assert'
import { sleep, systemClock } from '../../core/clock.ts'
import type { StoreCase } from './case.ts'
import { storeCases } from './cases/index.ts'
import { deskIn } from './desk.ts'
import type { StoreLab } from './lab.ts'

/** Makes the lab of one case: each has tables of its own. */
export type MakeStoreLab = () => StoreLab | Promise<StoreLab>

/** What to run, and for how long. */
export interface StoreSuiteOptions {
  /** Names of cases, or parts of names; one that no case has is refused. Default: all. */
  readonly only?: readonly string[] | undefined
  /** Cases of one's own, run after those of the suite. */
  readonly more?: readonly StoreCase[] | undefined
  /** For each case, in real milliseconds; some have a longer one of their own. Default 30,000. */
  readonly timeoutMs?: number | undefined
  /** Stops at the first case that fails. Default false. */
  readonly bail?: boolean | undefined
}

/** What came of a run. */
export interface StoreSuiteReport {
  readonly passed: readonly string[]
  readonly failed: readonly { readonly name: string; readonly error: unknown }[]
  readonly skipped: readonly { readonly name: string; readonly reason: string }[]
}

const TIMEOUT_MS = 30_000

/** How long a case may take, in real milliseconds. */
export function timeoutOf(each: StoreCase, options: StoreSuiteOptions): number {
  return Math.max(options.timeoutMs ?? TIMEOUT_MS, each.timeoutMs ?? 0)
}

/** The cases of a run. @throws AssertionError for a name in `only` that no case has: a run of nothing would pass */
export function casesOf({ only, more = [] }: StoreSuiteOptions): readonly StoreCase[] {
  const cases = [...storeCases, ...more]
  for (const part of only ?? [])
    if (!cases.some(({ name }) => name.includes(part)))
      throw new AssertionError({ message: `no case is called ${JSON.stringify(part)}` })
  return only === undefined ? cases : cases.filter(({ name }) => only.some((part) => name.includes(part)))
}

/** Runs one case in a lab of its own, and throws what was wrong. */
export async function runCase(each: StoreCase, makeLab: MakeStoreLab, timeoutMs: number): Promise<void> {
  const lab = await makeLab()
  try {
    const { desk, clear } = await deskIn(lab)
    const limit = new AbortController()
    const late = sleep(systemClock, timeoutMs, limit.signal).then(() => {
      throw new AssertionError({ message: `it had not ended after ${timeoutMs} ms` })
    })
    late.catch(() => {})
    try {
      await Promise.race([each.run(desk), late])
    } finally {
      limit.abort()
      await clear()
    }
  } finally {
    await lab.close?.()
  }
}

/**
 * Runs the suite over the stores of a lab, one case after the other.
 * @param makeLab makes the lab of a case; see `StoreLab`
 * @example
 * const report = await runStoreSuite(() => {
 *   const clock = fakeClock()
 *   const database = memoryDatabase({ clock })
 *   return { open: ({ archive, owner } = {}) => memoryStore({ database, archive, owner }), clock, pass: (ms) => clock.advance(ms) }
 * })
 */
export async function runStoreSuite(makeLab: MakeStoreLab, options: StoreSuiteOptions = {}): Promise<StoreSuiteReport> {
  const cases = casesOf(options)
  const abilities = await abilitiesOf(makeLab)
  const passed: string[] = []
  const failed: { name: string; error: unknown }[] = []
  const skipped: { name: string; reason: string }[] = []
  for (const each of cases) {
    const reason = each.skip(abilities)
    if (reason !== undefined) {
      skipped.push({ name: each.name, reason })
      continue
    }
    try {
      await runCase(each, makeLab, timeoutOf(each, options))
      passed.push(each.name)
    } catch (error) {
      failed.push({ name: each.name, error })
      if (options.bail === true) break
    }
  }
  return { passed, failed, skipped }
}

/** What can be done in the labs of a run: one is made and closed to see it. */
export async function abilitiesOf(makeLab: MakeStoreLab): Promise<StoreLab> {
  const lab = await makeLab()
  await lab.close?.()
  return lab
}
