// Runs the suite without a test runner, and says what passed, what failed, what was left out and why, and what was promised and not proven.
import { AssertionError } from 'node:assert'
import { sleep, systemClock } from '../../core/clock.ts'
import type { TransportCapabilities } from '../../core/contracts/transport.ts'
import type { TransportCase } from './case.ts'
import { closingCases } from './cases/closing.ts'
import { creditCases } from './cases/credit.ts'
import { deadLetterCases } from './cases/dead-letters.ts'
import { deliveryCases } from './cases/delivery.ts'
import { faultCases } from './cases/faults.ts'
import { groupCases } from './cases/groups.ts'
import { orderCases } from './cases/order.ts'
import { seeingCases } from './cases/seeing.ts'
import { sendingCases } from './cases/sending.ts'
import { settlingCases } from './cases/settling.ts'
import { timingCases } from './cases/timing.ts'
import { claimsOf, descriptorLines } from './claims.ts'
import type { TransportLab } from './lab.ts'
import { workbenchIn } from './workbench.ts'

/** All cases, in the order in which they are run: what others rest on comes first. */
export const transportCases: readonly TransportCase[] = Object.freeze([
  ...deliveryCases,
  ...groupCases,
  ...sendingCases,
  ...creditCases,
  ...settlingCases,
  ...orderCases,
  ...timingCases,
  ...deadLetterCases,
  ...seeingCases,
  ...closingCases,
  ...faultCases,
])

/** What to run, and for how long. */
export interface TransportSuiteOptions {
  /** Names of cases, or parts of names; one that no case has is refused. Default: all. */
  readonly only?: readonly string[] | undefined
  /** Cases of one's own, run after those of the suite. */
  readonly more?: readonly TransportCase[] | undefined
  /** For each case, in real milliseconds; some have a longer one of their own. Default 30,000. */
  readonly timeoutMs?: number | undefined
  /** Stops at the first case that fails. Default false. */
  readonly bail?: boolean | undefined
}

/** What came of a run. */
export interface TransportSuiteReport {
  readonly capabilities: TransportCapabilities
  readonly passed: readonly string[]
  readonly failed: readonly { readonly name: string; readonly error: unknown }[]
  readonly skipped: readonly { readonly name: string; readonly reason: string }[]
  /** Each claim that was proven, with the cases that prove it. */
  readonly proven: Readonly<Record<string, readonly string[]>>
  /** Claims of the descriptor that no case has proven. With `only`: of those that the chosen cases could prove. */
  readonly unproven: readonly string[]
}

const TIMEOUT_MS = 30_000

/** How long a case may take, in real milliseconds. */
export function timeoutOf(each: TransportCase, options: TransportSuiteOptions): number {
  return Math.max(options.timeoutMs ?? TIMEOUT_MS, each.timeoutMs ?? 0)
}

/** The cases of a run. @throws AssertionError for a name in `only` that no case has: a run of nothing would pass */
export function casesOf({ only, more = [] }: TransportSuiteOptions): readonly TransportCase[] {
  const cases = [...transportCases, ...more]
  for (const part of only ?? [])
    if (!cases.some(({ name }) => name.includes(part)))
      throw new AssertionError({ message: `no case is called ${JSON.stringify(part)}` })
  return only === undefined ? cases : cases.filter(({ name }) => only.some((part) => name.includes(part)))
}

/** What the transports of a lab promise. @throws AssertionError where lines of the descriptor are missing */
export async function capabilitiesIn(lab: TransportLab): Promise<TransportCapabilities> {
  const transport = await lab.open()
  await transport.close()
  const capabilities: unknown = transport.capabilities
  if (typeof capabilities !== 'object' || capabilities === null)
    throw new AssertionError({ message: 'the transport has no descriptor: `capabilities` is missing' })
  const missing = descriptorLines.filter((line) => (capabilities as Record<string, unknown>)[line] === undefined)
  if (missing.length > 0)
    throw new AssertionError({
      message: `lines of the descriptor (\`capabilities\`) are missing: ${missing.join(', ')}`,
    })
  return capabilities as TransportCapabilities
}

/** Runs one case, closes what it opened, and throws what was wrong. */
export async function runCase(
  each: TransportCase,
  lab: TransportLab,
  capabilities: TransportCapabilities,
  timeoutMs: number,
): Promise<void> {
  const { bench, finish } = workbenchIn(lab, capabilities)
  const limit = new AbortController()
  const late = sleep(systemClock, timeoutMs, limit.signal).then(() => {
    throw new AssertionError({ message: `it had not ended after ${timeoutMs} ms` })
  })
  late.catch(() => {})
  let error: unknown
  try {
    await Promise.race([each.run(bench), late])
  } catch (thrown) {
    error = thrown
  } finally {
    limit.abort()
  }
  const breaches = await finish()
  if (error !== undefined && breaches.length === 0) throw error
  if (error === undefined && breaches.length === 0) return
  const messages = [
    ...(error === undefined ? [] : [error instanceof Error ? error.message : String(error)]),
    ...breaches,
  ]
  throw Object.assign(new AssertionError({ message: messages.join('\n') }), { cause: error })
}

/** The claims that are proven by what passed, and those that are left. */
export function judgeClaims(
  capabilities: TransportCapabilities,
  cases: readonly TransportCase[],
  passed: ReadonlySet<string>,
  all: boolean,
): Pick<TransportSuiteReport, 'proven' | 'unproven'> {
  const proven: Record<string, readonly string[]> = {}
  const unproven: string[] = []
  for (const claim of claimsOf(capabilities)) {
    const able = cases.filter(({ proves }) => proves.includes(claim))
    const by = able.filter(({ name }) => passed.has(name)).map(({ name }) => name)
    if (by.length > 0) proven[claim] = by
    else if (all || able.length > 0) unproven.push(claim)
  }
  return { proven, unproven }
}

/** What is wrong with claims that were not proven: nobody tried them, or whoever did failed. */
export function explainUnproven(
  unproven: readonly string[],
  cases: readonly TransportCase[],
  failed: ReadonlySet<string>,
): string {
  const failures = (claim: string): readonly string[] =>
    cases.flatMap(({ name, proves }) => (proves.includes(claim) && failed.has(name) ? [`"${name}"`] : []))
  const untried = unproven.filter((claim) => failures(claim).length === 0)
  const refuted = unproven.filter((claim) => failures(claim).length > 0)
  return [
    ...(untried.length === 0 ? [] : [`promised by the descriptor and proven by no case: ${untried.join(', ')}`]),
    ...refuted.map(
      (claim) => `promised by the descriptor, and its case failed: ${claim} (${failures(claim).join(', ')})`,
    ),
  ].join('\n')
}

/**
 * Runs the suite over the transports of a lab, one case after the other, and closes the lab.
 * @param makeLab makes the lab; see `TransportLab`
 * @example
 * const report = await runTransportSuite(async () => {
 *   const clock = fakeClock()
 *   const broker = memoryBroker({ clock })
 *   return { open: ({ leaseMs } = {}) => memoryTransport({ broker, leaseMs }), clock, pass: (ms) => clock.advance(ms), leaseMs: 1_000, close: async () => {} }
 * })
 */
export async function runTransportSuite(
  makeLab: () => TransportLab | Promise<TransportLab>,
  options: TransportSuiteOptions = {},
): Promise<TransportSuiteReport> {
  const cases = casesOf(options)
  const lab = await makeLab()
  try {
    const capabilities = await capabilitiesIn(lab)
    const passed = new Set<string>()
    const failed: { name: string; error: unknown }[] = []
    const skipped: { name: string; reason: string }[] = []
    for (const each of cases) {
      const reason = each.skip(capabilities, lab)
      if (reason !== undefined) {
        skipped.push({ name: each.name, reason })
        continue
      }
      try {
        await runCase(each, lab, capabilities, timeoutOf(each, options))
        passed.add(each.name)
      } catch (error) {
        failed.push({ name: each.name, error })
        if (options.bail === true) break
      }
    }
    const judged = judgeClaims(capabilities, cases, passed, options.only === undefined)
    return { capabilities, passed: [...passed], failed, skipped, ...judged }
  } finally {
    await lab.close()
  }
}
