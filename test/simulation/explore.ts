// The simulation on the engine of the crash test: runs schedules of a scenario of ours until one fails, and shrinks that one.
import { type Clock, systemClock } from '../../src/core/clock.ts'
import { type Outcome, runSchedule, type Scenario } from '../../src/testing/crash-test/run.ts'
import { type RunSums, runMany } from '../../src/testing/crash-test/run-many.ts'
import { type Catalogue, drawSchedule, faultText } from '../../src/testing/crash-test/schedule.ts'
import { shrink } from '../../src/testing/crash-test/shrink.ts'

/** What a calm run comes to: where faults can be. @throws Error for a scenario that fails without any fault */
export async function catalogueOf(scenario: Scenario, seed: number): Promise<Catalogue> {
  const { catalogue, findings } = await runSchedule(scenario, { seed, size: scenario.size, jitter: 1, faults: [] })
  for (const { message } of findings) throw new Error(`${scenario.name} fails without any fault: ${message}`)
  return catalogue
}

/** How a scenario is explored. */
export interface ExploreOptions {
  readonly schedules: number
  /** Of the first schedule; those after it count up. */
  readonly seed: number
  /** Ends only with a finding of one of these. Default: any. */
  readonly rules?: readonly string[] | undefined
  /** Faults of a schedule at most. Default 6. */
  readonly faults?: number | undefined
  /** Real milliseconds after which no new schedule is begun. Default: without limit. */
  readonly budgetMs?: number | undefined
  /** Runs that shrinking may take. Default 300. */
  readonly shrinks?: number | undefined
  /** The catalogue of the scenario as it should be, for one that is broken on purpose. */
  readonly catalogue?: Catalogue | undefined
  /** For the budget. Default: real time. */
  readonly clock?: Clock | undefined
}

/** What it has come to. */
export interface Exploration extends RunSums {
  readonly failure?: Failure | undefined
}

/** A schedule that fails. */
export interface Failure {
  readonly seed: number
  /** As it was drawn. */
  readonly found: Outcome
  /** As it was left by shrinking, with its trace. */
  readonly shortest: Outcome
  readonly text: string
}

/** Runs schedules one after another; ends with the first that fails. */
export async function explore(scenario: Scenario, options: ExploreOptions): Promise<Exploration> {
  const { schedules, seed, faults: most = 6, budgetMs = Infinity, shrinks = 300, clock = systemClock } = options
  const catalogue = options.catalogue ?? (await catalogueOf(scenario, seed))
  let failure: Failure | undefined
  const sums = await runMany(
    { schedules, budgetMs, clock },
    (at) => runSchedule(scenario, drawSchedule(seed + at, catalogue, { size: scenario.size, most })),
    async (outcome) => {
      const wanted = outcome.findings.find(({ rule }) => options.rules?.includes(rule) ?? true)
      if (wanted !== undefined) failure = await explain(scenario, outcome, wanted.rule, shrinks)
      return wanted !== undefined
    },
  )
  return failure === undefined ? sums : { ...sums, failure }
}

/** The one schedule of a seed, as `explore` would draw it. */
export async function replay(
  scenario: Scenario,
  seed: number,
  options: Partial<ExploreOptions> = {},
): Promise<Exploration> {
  return explore(scenario, { ...options, schedules: 1, seed })
}

async function explain(scenario: Scenario, found: Outcome, rule: string, shrinks: number): Promise<Failure> {
  const broken = ({ findings }: Outcome): boolean => findings.some((finding) => finding.rule === rule)
  const best = await shrink(found, (schedule) => runSchedule(scenario, schedule), broken, shrinks)
  const shortest = await runSchedule(scenario, best.schedule, { traced: true })
  const { seed } = found.schedule
  return { seed, found, shortest, text: failureText(scenario, rule, found, shortest) }
}

function failureText(scenario: Scenario, rule: string, found: Outcome, shortest: Outcome): string {
  const { seed, size, jitter, faults } = shortest.schedule
  return [
    `${scenario.name}, seed ${seed}: ${rule} (shrunk from ${found.fired.length} faults and size ${found.schedule.size} to ${faults.length} and ${size})`,
    ...shortest.findings.slice(0, 5).map(({ rule, message }) => `  ${rule}: ${message}`),
    `faults (delays times ${Math.round(jitter * 100) / 100}):`,
    ...faults.map((fault, at) => `  ${at + 1}. ${faultText(fault)}`),
    'what happened:',
    ...shortest.trace.slice(0, 400).map((line) => `  ${line}`),
    ...(shortest.trace.length > 400 ? [`  ... and ${shortest.trace.length - 400} lines more`] : []),
    `schedule: ${JSON.stringify(shortest.schedule)}`,
  ].join('\n')
}
