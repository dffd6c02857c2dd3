// What happens in a run besides what the code does: a seed for all delays, and a short list of faults. A schedule is data, so a run can be repeated, printed and shrunk.
import type { Random } from '../../../src/core/clock.ts'
import { seededRandom } from '../../../src/testing/seeded-random.ts'

/**
 * What can happen at a step of a process (a call that leaves it). `crash` and `pause` (kill -9, SIGSTOP and SIGCONT) strike the whole process, before or
 * after the effect of the call; `fail` strikes the call: refused before its effect, or its answer lost; `lose`: answered, and nothing was done; `twice`: done twice.
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

export interface Fault {
  readonly process: string
  readonly step: string
  /** The how-manieth time that this process comes to the step, over all its lives, from 1. */
  readonly nth: number
  readonly kind: FaultKind
  /** How long a pause lasts, or until the process is started again. */
  readonly ms: number
}

export interface Schedule {
  readonly seed: number
  /** How much work there is; what it counts is the scenario's. */
  readonly size: number
  /** Delays are multiplied by it; 0: every step takes a millisecond. */
  readonly jitter: number
  readonly faults: readonly Fault[]
}

/** Steps that a calm run came to: how often, and what can happen there. */
export type Catalogue = ReadonlyMap<string, readonly Step[]>

export interface Step {
  readonly step: string
  readonly times: number
  readonly kinds: readonly FaultKind[]
}

/** Chance that belongs to a name: taking one fault away changes nothing that is drawn for other names. */
export function chanceOf(seed: number, ...names: readonly (string | number)[]): Random {
  // FNV-1a.
  let hash = 0x811c9dc5 ^ seed
  for (const name of names)
    for (const letter of `${name}/`) hash = Math.imul(hash ^ (letter.codePointAt(0) as number), 0x01000193)
  return seededRandom(hash >>> 0)
}

/** The schedule of a seed. */
export function drawSchedule(seed: number, size: number, catalogue: Catalogue, most: number): Schedule {
  const random = chanceOf(seed, 'faults')
  const pick = <T>(of: readonly T[]): T => of[Math.floor(random() * of.length)] as T
  const processes = [...catalogue.keys()]
  const faults: Fault[] = []
  for (let left = Math.floor(random() * (most + 1)); left > 0; left--) {
    const process = pick(processes)
    const { step, times, kinds } = pick(catalogue.get(process) as readonly Step[])
    const nth = 1 + Math.floor(random() * times)
    // As likely short as long: 1 ms to 20 s.
    faults.push({ process, step, nth, kind: pick(kinds), ms: Math.round(20_000 ** random()) })
  }
  return { seed, size, jitter: random() < 0.1 ? 0 : random() * 2, faults }
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

const WORDS: Readonly<Record<FaultKind, (ms: number) => string>> = {
  'crash-before': (ms) => `is killed before (started again after ${ms} ms)`,
  'crash-after': (ms) => `is killed after (started again after ${ms} ms)`,
  'pause-before': (ms) => `stands still for ${ms} ms before`,
  'pause-after': (ms) => `stands still for ${ms} ms after`,
  'fail-before': () => 'is refused at',
  'fail-after': () => 'gets no answer from',
  lose: () => 'is told yes, though nothing is done, by',
  twice: () => 'does twice',
}

/** A fault in words. */
export function faultText({ process, step, nth, kind, ms }: Fault): string {
  return `${process} ${WORDS[kind](ms)} ${step} no ${nth}`
}
