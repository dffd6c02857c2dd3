// Runs schedules of a scenario until one fails, and shrinks that one.
import { type Catalogue, drawSchedule, type Fault, faultText, type Schedule, smaller } from './schedule.ts'
import { World } from './world.ts'

/** What is simulated. */
export interface Scenario {
  readonly name: string
  /** How much work a drawn schedule has. */
  readonly size: number
  /** Makes the processes of a run. */
  set(world: World): Running
}

/** A scenario in a world. */
export interface Running {
  /** Whether all that has to happen has happened; then there is some time more, for what must not happen. */
  done(): boolean
  /** What is wrong. */
  judge(): readonly Finding[]
}

export interface Finding {
  readonly rule: string
  readonly message: string
}

export interface Outcome {
  readonly schedule: Schedule
  readonly findings: readonly Finding[]
  readonly fired: readonly Fault[]
  readonly steps: number
  readonly virtualMs: number
  readonly catalogue: Catalogue
  readonly trace: readonly string[]
}

/** Nothing may take longer than this after the last fault. */
const PATIENCE_MS = 180_000
/** For what comes late, after the last fault is over: longer than every lease of a scenario. */
const GRACE_MS = 5_000

export async function runSchedule(scenario: Scenario, schedule: Schedule, traced: boolean = false): Promise<Outcome> {
  const world = new World(schedule, traced)
  const running = scenario.set(world)
  for (const process of world.processes) process.start()
  const { clock } = world
  while (!running.done() && clock.now() < world.lastFaultAt + PATIENCE_MS) await clock.advance(250)
  await clock.advance(Math.max(0, world.lastFaultAt - clock.now()) + GRACE_MS)
  const findings = running.judge()
  for (const process of world.processes) process.life?.die()
  return {
    schedule,
    findings,
    fired: world.fired,
    steps: world.steps,
    virtualMs: clock.now(),
    catalogue: world.catalogue(),
    trace: world.trace ?? [],
  }
}

/** What a calm run comes to: where faults can be. */
export async function catalogueOf(scenario: Scenario, seed: number): Promise<Catalogue> {
  const { catalogue, findings } = await runSchedule(scenario, { seed, size: scenario.size, jitter: 1, faults: [] })
  for (const { message } of findings) throw new Error(`${scenario.name} fails without any fault: ${message}`)
  return catalogue
}

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
}

export interface Exploration {
  readonly schedules: number
  readonly faults: number
  readonly steps: number
  readonly failure?: Failure | undefined
}

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
  const { schedules, seed, faults: most = 6, budgetMs = Number.POSITIVE_INFINITY, shrinks = 300 } = options
  const catalogue = options.catalogue ?? (await catalogueOf(scenario, seed))
  const until = performance.now() + budgetMs
  let faults = 0
  let steps = 0
  let ran = 0
  while (ran < schedules && performance.now() < until) {
    const schedule = drawSchedule(seed + ran, scenario.size, catalogue, most)
    const outcome = await runSchedule(scenario, schedule)
    ran++
    faults += outcome.fired.length
    steps += outcome.steps
    const wanted = outcome.findings.find(({ rule }) => options.rules?.includes(rule) ?? true)
    if (wanted !== undefined)
      return { schedules: ran, faults, steps, failure: await explain(scenario, outcome, wanted.rule, shrinks) }
  }
  return { schedules: ran, faults, steps }
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
  const shortest = await shrink(scenario, found, rule, shrinks)
  const { seed } = found.schedule
  return { seed, found, shortest, text: failureText(scenario, rule, found, shortest) }
}

// Goes to the first smaller one that breaks the same rule, until there is none.
async function shrink(scenario: Scenario, found: Outcome, rule: string, budget: number): Promise<Outcome> {
  // Faults that were never come to have no part in it.
  let best = { ...found, schedule: { ...found.schedule, faults: found.fired } }
  let left = budget
  for (let shorter = true; shorter; ) {
    shorter = false
    for (const candidate of smaller(best.schedule)) {
      if (left-- <= 0) break
      const outcome = await runSchedule(scenario, candidate)
      if (!outcome.findings.some((finding) => finding.rule === rule)) continue
      best = outcome
      shorter = true
      break
    }
  }
  return runSchedule(scenario, best.schedule, true)
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
