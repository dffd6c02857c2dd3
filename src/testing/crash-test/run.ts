// One schedule of a scenario, from the start of its processes until nothing more is to happen.
import { RealWork } from './real-work.ts'
import type { Catalogue, Fault, Schedule } from './schedule.ts'
import { turn, type Watching, World } from './world.ts'

/** What is simulated. */
export interface Scenario {
  readonly name: string
  /** How much work a drawn schedule has. */
  readonly size: number
  /** Makes the processes of a run. */
  set(world: World): Running | Promise<Running>
}

/** A scenario in a world. */
export interface Running {
  /** Starts it. Default: all processes at once. */
  start?(): void
  /** Whether all that has to happen has happened; then there is some time more, for what must not happen. Asked once in `everyMs`. */
  done(): boolean | Promise<boolean>
  /** What is wrong. */
  judge(): readonly Finding[] | Promise<readonly Finding[]>
  /** Told when its patience is over and it is not done. */
  late?(): void
  /** Virtual milliseconds between two questions. Default 250. */
  readonly everyMs?: number | undefined
  /** For what comes late, after the last fault is over: longer than every lease of a scenario. Default 5,000. */
  readonly graceMs?: number | undefined
  /** Nothing may take longer than this after the last fault. Default 180,000. */
  readonly patienceMs?: number | undefined
}

/** One thing that is wrong. */
export interface Finding {
  readonly rule: string
  readonly message: string
  readonly cause?: unknown
}

/** What a run came to. */
export interface Outcome {
  readonly schedule: Schedule
  readonly findings: readonly Finding[]
  readonly fired: readonly Fault[]
  readonly steps: number
  readonly virtualMs: number
  readonly catalogue: Catalogue
  readonly trace: readonly string[]
  readonly record: readonly string[]
  /** What ended it before its time. */
  readonly failure: { readonly error: unknown } | undefined
}

const EVERY_MS = 250
const GRACE_MS = 5_000
const PATIENCE_MS = 180_000

/** Runs it. */
export async function runSchedule(scenario: Scenario, schedule: Schedule, watching: Watching = {}): Promise<Outcome> {
  const world = new World(schedule, watching)
  const running = await scenario.set(world)
  const { everyMs = EVERY_MS, graceMs = GRACE_MS, patienceMs = PATIENCE_MS } = running
  const work = watching.stepsAlone === true ? await looking(world) : undefined
  const { clock } = world
  try {
    if (running.start !== undefined) running.start()
    else for (const process of world.processes) process.start()
    let nextAt = 0
    await world.run(() => {
      const now = clock.now()
      if (now < nextAt) return false
      nextAt = now + everyMs
      if (now < world.lastFaultAt + patienceMs) return running.done()
      running.late?.()
      return true
    })
    if (graceMs > 0 && world.failure === undefined)
      await world.run(() => false, Math.max(world.lastFaultAt, clock.now()) + graceMs)
  } finally {
    work?.end()
  }
  if (work?.found !== undefined) world.failure = { error: work.found }
  // What is not committed by now never is.
  for (const process of world.processes) process.life?.die()
  const findings = world.failure === undefined && watching.judged !== false ? await running.judge() : []
  return {
    schedule,
    findings,
    fired: world.fired,
    steps: world.steps,
    virtualMs: clock.now(),
    catalogue: world.catalogue(),
    trace: world.trace ?? [],
    record: world.record ?? [],
    failure: world.failure,
  }
}

// From a turn of its own on: nobody else's promises are settled in it.
async function looking(world: World): Promise<RealWork> {
  await turn()
  return new RealWork(world)
}
