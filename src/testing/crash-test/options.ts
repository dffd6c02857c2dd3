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

/** Options of `crashTest`. */
export interface CrashTestOptions<F> {
  /** In messages. Default `crash test`. */
  readonly name?: string | undefined
  /** How many schedules are run. Default 1,000. */
  readonly schedules?: number | undefined
  /** Of the first schedule; those after it count up. Default 1. The environment variable `FAIRLEAD_CRASH_SEED` has the one schedule of its seed run instead. */
  readonly seed?: number | undefined
  /** Faults of a schedule at most. Default 6. */
  readonly faults?: number | undefined
  /** Kinds of faults. Default: all. */
  readonly kinds?: readonly CrashFaultKind[] | undefined
  /** How long the broker lets a message be held, virtual milliseconds. Default 1,000. */
  readonly leaseMs?: number | undefined
  /**
   * Whether all that has to happen has happened; a little later the run is over. Default: when no client is at work, nobody sleeps, no message, no row of an outbox and no state that wakes by itself is
   * left, and nothing has happened for longer than a lease.
   */
  readonly done?: ((facts: F) => boolean | Promise<boolean>) | undefined
  /** How long a run may go on after its last fault, virtual milliseconds: then it is judged as it stands. Default 180,000. */
  readonly patienceMs?: number | undefined
  /** Asked after every step; throws where something must never be, not even for a moment. */
  readonly always?: ((facts: F) => void) | undefined
  /** Real milliseconds after which no new schedule is begun. Default: without limit. */
  readonly budgetMs?: number | undefined
  /** Runs that shrinking may take. Default 300. */
  readonly shrinks?: number | undefined
  /** For the budget. Default: real time. */
  readonly clock?: Clock | undefined
}

/** The same, complete. */
export interface CrashTestSettings<F> {
  readonly name: string
  readonly schedules: number
  readonly seed: number
  readonly faults: number
  readonly allows: ReadonlySet<FaultKind>
  readonly delays: boolean
  readonly leaseMs: number
  readonly patienceMs: number
  readonly done: ((facts: F) => boolean | Promise<boolean>) | undefined
  readonly always: ((facts: F) => void) | undefined
  readonly budgetMs: number
  readonly shrinks: number
  readonly clock: Clock
}

const OPTIONS = [
  'name',
  'schedules',
  'seed',
  'faults',
  'kinds',
  'leaseMs',
  'patienceMs',
  'done',
  'always',
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

/** @throws FairleadError `INVALID_OPTIONS` */
export function crashTestSettings<F>(options: CrashTestOptions<F>): CrashTestSettings<F> {
  knownOptions('crashTest', options, OPTIONS)
  const { name = 'crash test', kinds = ALL, done, always, clock = systemClock } = options
  if (typeof name !== 'string' || name === '') throw invalidOption('name', name, 'give a name, or leave it out')
  if (!Array.isArray(kinds) || kinds.length === 0 || !kinds.every((kind) => Object.hasOwn(KINDS, kind)))
    throw invalidOption('kinds', kinds, `give some of ${ALL.join(', ')}`)
  for (const [option, given] of Object.entries({ done, always }))
    if (given !== undefined && typeof given !== 'function')
      throw invalidOption(option, given, 'give a function of the facts')
  if (typeof clock?.setTimer !== 'function') throw invalidOption('clock', clock, 'give a Clock, or leave it out')
  const { seed, schedules } = seedOf(options)
  return {
    name,
    schedules,
    seed,
    faults: countOption('faults', options.faults, 6, 0),
    allows: new Set((kinds as readonly CrashFaultKind[]).flatMap((kind) => KINDS[kind])),
    delays: kinds.includes('delay'),
    leaseMs: durationOption('leaseMs', options.leaseMs, 1_000, 1),
    patienceMs: durationOption('patienceMs', options.patienceMs, 180_000, 1),
    done,
    always,
    budgetMs: options.budgetMs === undefined ? Infinity : durationOption('budgetMs', options.budgetMs, 1),
    shrinks: countOption('shrinks', options.shrinks, 300, 0),
    clock,
  }
}

function seedOf(options: CrashTestOptions<never>): { readonly seed: number; readonly schedules: number } {
  const seed = countOption('seed', options.seed, 1, 0)
  const schedules = countOption('schedules', options.schedules, 1_000)
  const given = process.env[SEED]
  if (given === undefined || given === '') return { seed, schedules }
  if (!/^\d{1,15}$/.test(given)) throw invalidOption(SEED, given, 'give the seed that a failure has named')
  return { seed: Number(given), schedules: 1 }
}
