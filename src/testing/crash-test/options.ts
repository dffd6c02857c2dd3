// The options of a crash test, checked.
import { type Clock, systemClock } from '../../core/clock.ts'
import { countOption, durationOption, invalidOption, knownOptions } from '../../core/options.ts'
import type { FaultKind } from './schedule.ts'

/**
 * Kinds of faults: a process is killed (`crash`) or stands still for a while (`pause`); a call is refused (`refused`), its answer is lost (`lost-reply`), an acknowledgement is lost on its way to the
 * broker (`lost-ack`), a message or a call that may be repeated is done twice (`duplicate`); things take their time and overtake each other (`delay`); the date of a machine is set (`clock-jump`).
 */
export type CrashFaultKind =
  | 'crash'
  | 'pause'
  | 'refused'
  | 'lost-reply'
  | 'lost-ack'
  | 'duplicate'
  | 'delay'
  | 'clock-jump'

/** A part of all schedules: `1/2`, `2/2`. */
export type CrashShard = `${number}/${number}`

/** Options of `crashTest`. */
export interface CrashTestOptions<F> {
  /** In messages. Default `crash test`. */
  readonly name?: string | undefined
  /** How many schedules are run. Default 1,000. */
  readonly schedules?: number | undefined
  /** Of the first schedule; those after it count up. Default 1. The environment variable `FAIRLEAD_CRASH_SEED` has the one schedule of its seed run instead. */
  readonly seed?: number | undefined
  /**
   * Which part of the schedules is run: `1/2` is the first of two. With the same `schedules` and `seed` the parts together run what one without `shard` runs, each its own. Default: what
   * FAIRLEAD_CRASH_SHARD in the environment says, else all of them.
   */
  readonly shard?: CrashShard | undefined
  /** Faults of a schedule at most. Default 6. */
  readonly faults?: number | undefined
  /** Kinds of faults. Default: all. */
  readonly kinds?: readonly CrashFaultKind[] | undefined
  /** How long the broker lets a message be held, virtual milliseconds. Default 1,000. */
  readonly leaseMs?: number | undefined
  /**
   * Whether all that has to happen has happened; a little later the run is over. Default: when no client is at work, nobody sleeps, no message, no row of an outbox and no state that wakes by itself is
   * left, and nothing has happened for `quietMs`.
   */
  readonly done?: ((facts: F) => boolean | Promise<boolean>) | undefined
  /**
   * For how long nothing must have happened before all is quiet, virtual milliseconds. Raise it above the timers of your own that what is still to come waits for. Default: `leaseMs` and a quarter of a second.
   */
  readonly quietMs?: number | undefined
  /**
   * How long a run may go on after its last fault, virtual milliseconds. One in which something still happens then, or somebody still waits, fails as that, without being judged; where `done` is given it is judged as it stands. Default 180,000.
   */
  readonly patienceMs?: number | undefined
  /** Asked after every step; throws where something must never be, not even for a moment. */
  readonly always?: ((facts: F) => void) | undefined
  /** Real milliseconds after which no new schedule is begun. Default: without limit. */
  readonly budgetMs?: number | undefined
  /**
   * What becomes of real asynchronous work that a handler begins outside of a step, or in one without `real`: files, `zlib`, crypto on its threads, names, connections, child processes, workers. `refused`: a run without
   * any fault looks for it, and `crashTest` rejects with `PROGRAMMING_ERROR`, which names the work and its line. `ignored` is for what nothing goes on from, such as the lines of a log. Default `refused`.
   */
  readonly realWork?: 'refused' | 'ignored' | undefined
  /** Runs that shrinking may take. Default 300. */
  readonly shrinks?: number | undefined
  /** For the budget. Default: real time. */
  readonly clock?: Clock | undefined
}

/** The same, complete. */
export interface CrashTestSettings<F> {
  readonly name: string
  /** How many, the shard's own. */
  readonly schedules: number
  /** Of the first. */
  readonly seed: number
  /** From one seed to the next. */
  readonly seedStep: number
  readonly shard: string | undefined
  readonly faults: number
  readonly allows: ReadonlySet<FaultKind>
  readonly delays: boolean
  readonly leaseMs: number
  readonly quietMs: number
  readonly patienceMs: number
  readonly done: ((facts: F) => boolean | Promise<boolean>) | undefined
  readonly always: ((facts: F) => void) | undefined
  readonly realWork: 'refused' | 'ignored'
  readonly budgetMs: number
  readonly shrinks: number
  readonly clock: Clock
}

const OPTIONS = [
  'name',
  'schedules',
  'seed',
  'shard',
  'faults',
  'kinds',
  'leaseMs',
  'quietMs',
  'patienceMs',
  'done',
  'always',
  'realWork',
  'budgetMs',
  'shrinks',
  'clock',
]
const KINDS: Readonly<Record<CrashFaultKind, readonly FaultKind[]>> = {
  crash: ['crash-before', 'crash-after'],
  pause: ['pause-before', 'pause-after'],
  refused: ['fail-before'],
  'lost-reply': ['fail-after'],
  'lost-ack': ['lose'],
  duplicate: ['twice'],
  delay: [],
  'clock-jump': ['clock-forward', 'clock-back'],
}
const ALL = Object.keys(KINDS) as readonly CrashFaultKind[]
const SEED = 'FAIRLEAD_CRASH_SEED'
const SHARD = 'FAIRLEAD_CRASH_SHARD'
/** For what comes late: what is on its way, and leases of receivers. */
const LATE_MS = 250

/** @throws FairleadError `INVALID_OPTIONS` */
export function crashTestSettings<F>(options: CrashTestOptions<F>): CrashTestSettings<F> {
  knownOptions('crashTest', options, OPTIONS)
  const { name = 'crash test', kinds = ALL, done, always, realWork = 'refused', clock = systemClock } = options
  if (typeof name !== 'string' || name === '') throw invalidOption('name', name, 'give a name, or leave it out')
  if (!Array.isArray(kinds) || kinds.length === 0 || !kinds.every((kind) => Object.hasOwn(KINDS, kind)))
    throw invalidOption('kinds', kinds, `give some of ${ALL.join(', ')}`)
  for (const [option, given] of Object.entries({ done, always }))
    if (given !== undefined && typeof given !== 'function')
      throw invalidOption(option, given, 'give a function of the facts')
  if (realWork !== 'refused' && realWork !== 'ignored')
    throw invalidOption('realWork', realWork, 'give refused or ignored, or leave it out')
  if (typeof clock?.setTimer !== 'function') throw invalidOption('clock', clock, 'give a Clock, or leave it out')
  const leaseMs = durationOption('leaseMs', options.leaseMs, 1_000, 1)
  return {
    name,
    ...seedsOf(options),
    faults: countOption('faults', options.faults, 6, 0),
    allows: new Set((kinds as readonly CrashFaultKind[]).flatMap((kind) => KINDS[kind])),
    delays: kinds.includes('delay'),
    leaseMs,
    quietMs: durationOption('quietMs', options.quietMs, leaseMs + LATE_MS, 1),
    patienceMs: durationOption('patienceMs', options.patienceMs, 180_000, 1),
    done,
    always,
    realWork,
    budgetMs: options.budgetMs === undefined ? Infinity : durationOption('budgetMs', options.budgetMs, 1),
    shrinks: countOption('shrinks', options.shrinks, 300, 0),
    clock,
  }
}

type Seeds = Pick<CrashTestSettings<never>, 'seed' | 'seedStep' | 'schedules' | 'shard'>

function seedsOf(options: CrashTestOptions<never>): Seeds {
  const seed = countOption('seed', options.seed, 1, 0)
  const schedules = countOption('schedules', options.schedules, 1_000)
  const part = shardOf(options.shard)
  const given = process.env[SEED]
  if (given !== undefined && given !== '') {
    if (!/^\d{1,15}$/.test(given)) throw invalidOption(SEED, given, 'give the seed that a failure has named')
    return { seed: Number(given), seedStep: 1, schedules: 1, shard: undefined }
  }
  if (part === undefined) return { seed, seedStep: 1, schedules, shard: undefined }
  // By the seed itself, not by its place among those of this run: whoever gives the seed of a failure alone comes to the shard that has failed.
  const { index, of } = part
  const first = seed + ((((index - seed) % of) + of) % of)
  const count = Math.ceil(Math.max(0, seed + schedules - first) / of)
  return { seed: first, seedStep: of, schedules: count, shard: `${index}/${of}` }
}

function shardOf(option: unknown): { readonly index: number; readonly of: number } | undefined {
  const environment = process.env[SHARD]
  const [name, given] = option !== undefined ? ['shard', option] : [SHARD, environment === '' ? undefined : environment]
  if (given === undefined) return undefined
  const [, index, of] = /^(\d{1,6})\/(\d{1,6})$/.exec(String(given)) ?? []
  const part = { index: Number(index), of: Number(of) }
  if (!(part.index >= 1 && part.index <= part.of)) throw invalidOption(name as string, given, 'give 1/2, 2/2')
  return part
}
