// How each breakage is caught: a short run with the faults that show it, and none where none is needed.
import type { ChaosOptions, ChaosResult } from './run.ts'
import type { BreakageName } from './words.ts'

type Catch = Pick<ChaosOptions, 'messages' | 'minutes' | 'faults' | 'only' | 'stallMs'>

const SHORT = { messages: 1_500, minutes: 0.2, faults: 0, stallMs: 8_000 } as const

const FAULTS: Readonly<Partial<Record<BreakageName, Pick<ChaosOptions, 'faults' | 'only'>>>> = {
  'mark-before-publish': { faults: 5, only: 'kill a relay' },
  'no-fencing': { faults: 2, only: 'stop a relay before its mark' },
  'ack-before-commit': { faults: 5, only: 'kill a consumer' },
}

/** What a run has to be to catch it. */
export function caughtBy(broken: BreakageName): Catch {
  return { ...SHORT, ...FAULTS[broken] }
}

/** Whether the run found something. */
export function isCaught({ report, fencing, deadlocks }: ChaosResult): boolean {
  return !report.ok || fencing.length > 0 || deadlocks.transaction > 0
}
