// What a crash test says when it has found something: a story of the shortest schedule.
import type { Outcome } from './run.ts'
import { type Fault, faultText, type Schedule } from './schedule.ts'
import { type Sites, siteText } from './sites.ts'
import { QUIET } from './system.ts'
import { BrokenAlways, messageOf, StoppedWithoutFault } from './thrown.ts'

/** What `crashTest` rejects with. */
export class CrashTestFailure extends Error {
  /** That finds it again: `{ seed, schedules: 1 }`. */
  readonly seed: number
  /** The shortest that fails. */
  readonly schedule: Schedule
  /** What happened in it, in words. Part of the message. */
  readonly story: string

  constructor(message: string, parts: { seed: number; schedule: Schedule; story: string; cause: unknown }) {
    super(message, { cause: parts.cause })
    this.name = 'CrashTestFailure'
    this.seed = parts.seed
    this.schedule = parts.schedule
    this.story = parts.story
  }
}

/** What the story of a failure is made of. */
export interface Found {
  readonly name: string
  /** As it was drawn. */
  readonly found: Outcome
  /** The shortest, with its trace. */
  readonly told: Outcome
  readonly sites: Sites
  /** How many schedules had been run. */
  readonly ran: number
  readonly of: number
  readonly shard: string | undefined
}

// Of what happens: how it begins, and how it ends.
const FIRST = 120
const LAST = 80

/** Of a broken invariant. */
export function brokenFailure({ name, found, told, sites, ran, of, shard }: Found): CrashTestFailure {
  const { seed } = found.schedule
  const { schedule, fired } = told
  const cause = causeOf(told)
  const story = [
    fired.length === 0 ? 'No fault is needed, only these delays.' : 'What has to go wrong:',
    ...fired.flatMap((fault, at) => faultLines(fault, at + 1, sites)),
    '',
    'What happens then:',
    ...lines(told.trace),
  ].join('\n')
  const message = [
    `${name}: ${whatOf(told)} ${told.findings[0]?.rule === QUIET ? 'in' : 'by'} schedule ${ran} of ${of}${shard === undefined ? '' : ` of shard ${shard}`} (seed ${seed}), shrunk from ${count(found.fired.length)} to ${count(fired.length)}`,
    '',
    indented(messageOf(cause)),
    '',
    story,
    '',
    `To see it again: { seed: ${seed}, schedules: 1 } as options, or FAIRLEAD_CRASH_SEED=${seed} in the environment.`,
  ].join('\n')
  return new CrashTestFailure(message, { seed, schedule, story, cause })
}

/** Of a program that is wrong without any fault. */
export function calmFailure(name: string, outcome: Outcome): CrashTestFailure {
  const { failure, schedule } = outcome
  const error = failure?.error
  const cause = error instanceof StoppedWithoutFault ? error.error : causeOf(outcome)
  const what = error instanceof StoppedWithoutFault ? `${error.who} rejected` : whatOf(outcome)
  const story = ['What happens:', ...lines(outcome.trace)].join('\n')
  const message = `${name}: ${what} without any fault\n\n${indented(messageOf(cause))}\n\n${story}`
  return new CrashTestFailure(message, { seed: schedule.seed, schedule, story, cause })
}

function whatOf({ failure, findings }: Outcome): string {
  if (failure !== undefined) return 'what must always be so is broken'
  return findings[0]?.rule === QUIET ? 'it is never quiet' : 'the invariant is broken'
}

function causeOf({ failure, findings }: Outcome): unknown {
  return failure?.error instanceof BrokenAlways ? failure.error.error : findings[0]?.cause
}

function faultLines(fault: Fault, number: number, sites: Sites): readonly string[] {
  const site = sites.of(fault)
  const words = `  ${number}. ${faultText(fault)}`
  if (site === undefined) return [words]
  return [words, `     ${site.direct ? 'at' : 'in what began at'} ${siteText(site)}`]
}

function lines(trace: readonly string[]): readonly string[] {
  const shown = trace.map((line) => `  ${line}`)
  const left = shown.length - FIRST - LAST
  if (left <= 1) return shown
  return [...shown.slice(0, FIRST), `  ... ${left} lines ...`, ...shown.slice(-LAST)]
}

function indented(text: string): string {
  return text
    .split('\n')
    .map((line) => `  ${line}`)
    .join('\n')
}

function count(faults: number): string {
  return faults === 1 ? '1 fault' : `${faults} faults`
}
