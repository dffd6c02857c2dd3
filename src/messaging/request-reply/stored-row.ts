// The row of a stored request: what is written of it while it waits, and how little when it is over.
import { LAST_INSTANT } from '../../core/instant.ts'
import { createError } from '../../errors/classes.ts'
import type { StoredRequest } from './stored-types.ts'

/** How a request stands. `open` and `timing-out` wait; the others are over for good. */
export type RowStatus = 'open' | 'timing-out' | 'answered' | 'failed' | 'timed-out' | 'cancelled'

/** What is kept of a request. */
export interface RequestRow {
  readonly status: RowStatus
  readonly type: string
  /** Milliseconds since 1970. */
  readonly at: number
  readonly until: number
  readonly expect: number
  readonly replies: number
  readonly key?: string | undefined
  readonly state?: unknown
}

/** When a row is looked for whose timeout is on its way: never, but it is found among those that wait. */
export const NEVER_DUE: number = LAST_INSTANT

/** The kind of the states of a requester. */
export function kindOf(name: string): string {
  return `request:${name}`
}

/** Whether it still waits. */
export function waits({ status }: RequestRow): boolean {
  return status === 'open' || status === 'timing-out'
}

/** The row as it is written. What is over keeps nothing of the user's. */
export function written(row: RequestRow): unknown {
  const { state, key, ...rest } = row
  return waits(row) ? { v: 1, ...rest, key, state } : { v: 1, ...rest }
}

/** @throws FairleadError `INCOMPATIBLE` for a row of a later version, or none of ours */
export function readRow(id: string, state: unknown): RequestRow {
  const row = state as Partial<RequestRow & { readonly v: unknown }> | null
  if (row?.v !== 1 || typeof row.status !== 'string' || typeof row.type !== 'string')
    throw createError({
      code: 'INCOMPATIBLE',
      message: `the stored request ${id} was written by a later version of fairlead, or by something else`,
    })
  return row as RequestRow
}

/** A request as it is shown. */
export function requestOf(id: string, { type, key, at, until, expect }: RequestRow): StoredRequest {
  return { id, type, key, requestedAt: at, deadlineAt: until, expect }
}

/** Another transaction was faster: run it again, and it will see. */
export function endedMeanwhile(id: string): Error {
  return createError({ code: 'TRANSACTION_CONFLICT', message: `the request ${id} was answered or ended meanwhile` })
}
