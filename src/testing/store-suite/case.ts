// A case of the suite as data: what it is called, when it is left out, what it does.
import type { Desk } from './desk.ts'
import type { StoreLab } from './lab.ts'

/** One check of the contract. */
export interface StoreCase {
  /** A sentence about the store; unique. */
  readonly name: string
  /** Real milliseconds; a case that takes longer has failed. Absent: the default of the run. */
  readonly timeoutMs?: number | undefined
  /** Why this is no case for such a lab; undefined: it is one. */
  skip(lab: StoreLab): string | undefined
  /** Throws what is wrong. */
  run(desk: Desk): Promise<void>
}

/** Something a case cannot do without: the reason why it is left out, or undefined where it is there. */
export type StoreNeed = (lab: StoreLab) => string | undefined

/** One case. */
export function storeCase(
  name: string,
  run: (desk: Desk) => Promise<void>,
  needs: readonly StoreNeed[] = [],
  timeoutMs?: number | undefined,
): StoreCase {
  return {
    name,
    timeoutMs,
    run,
    skip(lab) {
      for (const need of needs) {
        const reason = need(lab)
        if (reason !== undefined) return reason
      }
      return undefined
    },
  }
}

/** A transaction that the store did not begin. */
export const foreign: StoreNeed = ({ begin }) =>
  begin === undefined ? 'the lab begins no transactions of its own' : undefined

/** Something that a user writes. */
export const userEffects: StoreNeed = ({ effect, effects }) =>
  effect === undefined || effects === undefined ? 'the lab writes nothing of its own' : undefined

/** Tables that are not made yet. */
export const bare: StoreNeed = ({ unmigrated }) =>
  unmigrated === undefined ? 'the lab has no place without tables' : undefined

/** A database that can be killed. */
export const restartable: StoreNeed = ({ restart }) =>
  restart === undefined ? 'the lab cannot restart its database' : undefined

/** A date that can be set. */
export const datable: StoreNeed = ({ shiftDate }) =>
  shiftDate === undefined ? 'the lab cannot set the date of its store' : undefined
