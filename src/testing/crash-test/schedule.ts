// What happens in a run besides what the code does: a seed for all delays, and a short list of faults. A schedule is data, so a run can be repeated, printed and shrunk.
import type { Random } from '../../core/clock.ts'

/**
 * What can happen at a step of a process (a call that leaves it). `crash` and `pause` (kill -9, SIGSTOP and SIGCONT) strike the whole process, before or
 * after the effect of the call; `fail` strikes the call: refused before its effect, or its answer lost; `lose`: answered, and nothing was done; `twice`: done twice;
 * `clock-forward`, `clock-back`: the date of the process is set.
 */
export type FaultKind =
  | 'crash-before'
  | 'crash-after'
  | 'pause-before'
  | 'pause-after'
  | 'fail-before'
  | 'fail-after'
  | 'lose'
  | 'twice'
  | 'clock-forward'
  | 'clock-back'

/** One fault of a schedule. */
export interface Fault {
  readonly process: string
  readonly step: string
  /** The how-manieth time that this process comes to the step, over all its lives, from 1. */
  readonly nth: number
  readonly kind: FaultKind
  /** How long a pause lasts, or until the process is started again, or by how much its date is set, milliseconds. */
  readonly ms: number
}

/** One run. */
export interface Schedule {
  readonly seed: number
  /** How much work there is; what it counts is the scenario's. */
  readonly size: number
  /** Delays are multiplied by it; 0: every step takes a millisecond. */
  readonly jitter: number
  readonly faults: readonly Fault[]
}

/** Steps that runs came to: how often, and what can happen there. */
export type Catalogue = ReadonlyMap<string, readonly Step[]>

/** One of them. */
export interface Step {
  readonly step: string
  /** In a calm run. */
  readonly times: number
  /** In one that something happened to, where that is more often. */
  readonly most?: number | undefined
  readonly kinds: readonly FaultKind[]
}

/** How schedules are drawn. */
export interface Drawing {
  readonly size: number
  /** Faults of a schedule at most. */
  readonly most: number
  /** False: every step takes a millisecond. */
  readonly delays?: boolean | undefined
  /** How long a process stands still at most. Default 20,000. */
  readonly longestPauseMs?: ((process: string) => number) | undefined
}

/** A calm catalogue with what other runs came to besides. */
export function withMore(calm: Catalogue, other: Catalogue): Catalogue {
  const all = new Map(calm)
  for (const [process, steps] of other) {
    const known = new Map((all.get(process) ?? []).map((step) => [step.step, step]))
    for (const { step, times, kinds } of steps) {
      const before = known.get(step) ?? { step, times: 0, kinds }
      if (times > (before.most ?? before.times)) known.set(step, { ...before, most: times })
    }
    all.set(process, [...known.values()])
  }
  return all
}

/** FNV-1a of a name, onto what was hashed before it. */
export function hashOf(name: string, seed: number): number {
  let hash = seed
  for (let at = 0; at < name.length; at++) hash = Math.imul(hash ^ name.charCodeAt(at), 0x01000193)
  return Math.imul(hash ^ 0x2f, 0x01000193)
}

/** Chance that belongs to a name: taking one fault away changes nothing that is drawn for other names. */
export function chanceOf(seed: number, ...names: readonly (string | number)[]): Random {
  let hash = 0x811c9dc5 ^ seed
  for (const name of names) hash = hashOf(String(name), hash)
  return chanceFrom(hash)
}

/** Chance from a hash: mulberry32. */
export function chanceFrom(hash: number): Random {
  let state = hash >>> 0
  return () => {
    state = nextChance(state)
    return chanceIn(state)
  }
}

/** The state after it, of mulberry32. */
export function nextChance(state: number): number {
  return (state + 0x6d2b79f5) | 0
}

/** The number that a state stands for. */
export function chanceIn(state: number): number {
  let mixed = Math.imul(state ^ (state >>> 15), state | 1)
  mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61)
  return ((mixed ^ (mixed >>> 14)) >>> 0) / 4_294_967_296
}

// As likely short as long.
const LONGEST_MS = 20_000
const LONGEST_JUMP_MS = 60_000
/** How many of the faults at a step that is come to more often after a fault strike where a calm run comes to it. */
const BY_CALM = 0.6

/** The schedule of a seed. */
export function drawSchedule(seed: number, catalogue: Catalogue, drawing: Drawing): Schedule {
  const { size, most, delays = true, longestPauseMs = () => LONGEST_MS } = drawing
  const random = chanceOf(seed, 'faults')
  const pick = <T>(of: readonly T[]): T => of[Math.floor(random() * of.length)] as T
  const processes = [...catalogue.keys()]
  const faults: Fault[] = []
  if (processes.length > 0)
    for (let left = Math.floor(random() * (most + 1)); left > 0; left--) {
      const process = pick(processes)
      const come = pick(catalogue.get(process) as readonly Step[])
      const { step, kinds } = come
      const nth = nthOf(come, random)
      const kind = pick(kinds)
      const longest = kind.startsWith('clock')
        ? LONGEST_JUMP_MS
        : kind.startsWith('pause')
          ? longestPauseMs(process)
          : LONGEST_MS
      faults.push({ process, step, nth, kind, ms: Math.round(longest ** random()) })
    }
  return { seed, size, jitter: !delays || random() < 0.1 ? 0 : random() * 2, faults }
}

// How often a step is come to after faults is as different as they are: mostly the first few times.
function nthOf({ times, most }: Step, random: Random): number {
  if (most === undefined || (times > 0 && random() < BY_CALM)) return 1 + Math.floor(random() * times)
  return times + 1 + Math.floor((most - times) * random() ** 2)
}

/** Smaller neighbours of a schedule, the smallest first. */
export function* smaller(schedule: Schedule): Generator<Schedule> {
  const { faults, size, jitter } = schedule
  // Halves first: most faults of a failing schedule have nothing to do with it.
  for (let chunk = Math.ceil(faults.length / 2); chunk >= 1; chunk = chunk === 1 ? 0 : Math.ceil(chunk / 2))
    for (let at = 0; at < faults.length; at += chunk) yield { ...schedule, faults: faults.toSpliced(at, chunk) }
  for (let fewer = Math.floor(size / 2); fewer >= 1 && fewer < size; fewer += Math.ceil((size - fewer) / 2))
    yield { ...schedule, size: fewer }
  if (jitter !== 0) yield { ...schedule, jitter: 0 }
  for (const [at, fault] of faults.entries()) {
    for (const ms of [1, Math.round(fault.ms / 10), Math.round(fault.ms / 2)])
      if (ms >= 1 && ms < fault.ms) yield { ...schedule, faults: faults.with(at, { ...fault, ms }) }
    if (fault.kind === 'pause-after' || fault.kind === 'pause-before') continue
    if (fault.nth > 1) yield { ...schedule, faults: faults.with(at, { ...fault, nth: 1 }) }
  }
}

/** A fault in words. */
export function faultText({ process, step, nth, kind, ms }: Fault): string {
  const time = nth === 1 ? 'the 1st time' : `the ${nth}${nth === 2 ? 'nd' : nth === 3 ? 'rd' : 'th'} time`
  const at = `${step} (${time})`
  const call = step.replace(/^call /, 'the call of ')
  // The commit is done, and nobody has heard of it.
  const [, committed] = /^(.+)\.committed$/.exec(step) ?? []
  if (committed !== undefined) {
    const commit = `a commit of ${committed} (${time})`
    if (kind === 'crash-before') return `${process} is killed right after ${commit}, and started again after ${ms} ms`
    if (kind === 'pause-before') return `${process} stands still for ${ms} ms right after ${commit}`
    if (kind === 'fail-before') return `${process} gets no answer from ${commit}, though it was done`
  }
  switch (kind) {
    case 'crash-before':
      return `${process} is killed right before ${at}, and started again after ${ms} ms`
    case 'crash-after':
      return `${process} is killed right after ${at}, and started again after ${ms} ms`
    case 'pause-before':
      return `${process} stands still for ${ms} ms right before ${at}`
    case 'pause-after':
      return `${process} stands still for ${ms} ms right after ${at}`
    case 'fail-before':
      return `${process} is refused at ${at}`
    case 'fail-after':
      return `${process} gets no answer from ${call} (${time}), though it was done`
    case 'lose':
      return `what ${process} says at ${at} gets lost on its way`
    case 'twice':
      return step.endsWith('.deliver')
        ? `${process} is handed the message of ${at} twice`
        : `what ${process} does at ${at} is done twice`
    case 'clock-forward':
      return `the date of ${process} is set forward by ${ms} ms at ${at}`
    case 'clock-back':
      return `the date of ${process} is set back by ${ms} ms at ${at}`
  }
}
