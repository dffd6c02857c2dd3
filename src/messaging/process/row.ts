// The row of a process: all that is kept of it, as JSON. It is what operators see, and what a later version of the program reads.
import { createError } from '../../errors/classes.ts'

/** How a process stands. `undoing`: it has failed, and is not through with undoing. `failed` and `cancelled`: everything is undone. */
export type ProcessStatus = 'running' | 'undoing' | 'completed' | 'failed' | 'cancelled'

/** A step that was sent. */
export interface StepRow {
  readonly step: string
  readonly of?: string | undefined
  is: 'open' | 'unknown' | 'done' | 'refused'
  /** Number of its message. */
  readonly n: number
  /** Milliseconds since 1970. */
  readonly at: number
  /** While it is needed: to ask, and to undo. */
  sent?: unknown
  /** Questions since it was last begun to ask. */
  asks: number
  /** Numbers of their messages: whichever is answered first will do. */
  asked?: number[] | undefined
}

/** A step that was done, and how it is undone. */
export interface UndoRow {
  readonly step: string
  readonly of?: string | undefined
  readonly data: unknown
  /** Number of the message that undoes it, once it was sent. */
  n?: number | undefined
  failed?: true | undefined
}

/** Something that comes at a time. `told`: its message is on its way. */
export interface TimerRow {
  readonly at: number
  readonly tick: number
  told?: true | undefined
}

/** What an operator wants. */
export interface Wish {
  readonly what: 'resume' | 'cancel'
  readonly reason?: string | undefined
  /** Steps, and what is said to have become of them. */
  readonly settle?: Readonly<Record<string, 'done' | 'refused'>> | undefined
  told?: true | undefined
}

/** What is kept of a process. */
export interface ProcessRow {
  readonly v: 1
  /** Of the definition that it goes by. */
  version: number
  status: ProcessStatus
  state: unknown
  readonly startedAt: number
  changedAt: number
  /** The next number: of messages and ticks. So ids are the same however often a transaction is run. */
  next: number
  steps: Record<string, StepRow>
  /** Oldest first: the last one is undone first. */
  undo: UndoRow[]
  timers: Record<string, TimerRow>
  correlations: readonly string[]
  /** Why it failed. */
  reason?: string | undefined
  cancelled?: true | undefined
  /** It does not go on by itself: which step, and why. */
  stuck?: { readonly step: string; readonly why: string } | undefined
  wish?: Wish | undefined
}

/** The kind of the states of a process. */
export function kindOf(name: string): string {
  return `process:${name}`
}

/** Whether it is not over. */
export function goesOn({ status }: ProcessRow): boolean {
  return status === 'running' || status === 'undoing'
}

/** @throws FairleadError `INCOMPATIBLE` for a row of a later version of fairlead, or none of ours */
export function readRow(id: string, state: unknown): ProcessRow {
  const row = state as Partial<ProcessRow> | null
  if (row?.v !== 1 || typeof row.status !== 'string' || typeof row.version !== 'number')
    throw createError({
      code: 'INCOMPATIBLE',
      message: `the process ${id} was written by a later version of fairlead, or by something else`,
      details: { id },
    })
  return row as ProcessRow
}

/** When the row is to be looked at, milliseconds since 1970; undefined for never. */
export function wakeAtOf(row: ProcessRow): number | undefined {
  let at = row.wish !== undefined && row.wish.told === undefined ? row.changedAt : Infinity
  for (const timer of Object.values(row.timers)) if (timer.told === undefined) at = Math.min(at, timer.at)
  return at === Infinity ? undefined : at
}

/** What `save` is told besides the row. `waited`: what it waited for before. */
export function saveOptions(
  row: ProcessRow,
  waited: readonly string[],
): {
  readonly wakeAt?: number | undefined
  readonly correlations?: readonly string[] | 'kept' | undefined
  readonly done?: boolean | undefined
} {
  if (!goesOn(row)) return { done: true }
  const { correlations } = row
  const same = correlations.length === waited.length && correlations.every((each, at) => each === waited[at])
  return { wakeAt: wakeAtOf(row), correlations: same ? 'kept' : correlations }
}

/** A row that is over keeps what it came to, and nothing that was needed on the way. */
export function overRow(row: ProcessRow): ProcessRow {
  const steps = Object.entries(row.steps).map(([key, { sent, ...rest }]) => [key, rest] as const)
  return {
    ...row,
    steps: Object.fromEntries(steps),
    undo: [],
    timers: {},
    correlations: [],
    wish: undefined,
    stuck: undefined,
  }
}

/** The name of a step in the row: of several, which one. */
export function keyOf(step: string, of: string | undefined): string {
  return of === undefined ? step : `${step}/${of}`
}

/** The id of a message of the process. The same each time that it is published. */
export function messageId(name: string, id: string, n: number | string): string {
  return `${name}:${id}:${n}`
}

/** Another transaction was faster: run it again, and it will see. */
export function changedMeanwhile(id: string): Error {
  return createError({ code: 'TRANSACTION_CONFLICT', message: `the process ${id} was changed meanwhile`, stack: false })
}
