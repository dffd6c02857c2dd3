// Transactions that a database undid because of another one are run again from their beginning: the only way to get through under contention.
import { type FairleadError, isFairleadError } from '../errors/base.ts'
import { type Clock, type Random, sleep } from './clock.ts'

/** Who works in a transaction, as its errors name them. */
export interface Owner {
  readonly service: string
  readonly operation: string
}

/** How a transaction is run again. */
export interface AgainOptions {
  readonly clock: Clock
  readonly random: Random
  /** Whose transaction it is: the conflict of somebody else, whom it asked for something, says nothing of it. */
  readonly own: Owner
  /** On the scale of the clock: no wait is begun that would outlast it. */
  readonly endsAt: number
  /** Whether it makes no sense any more: the last conflict is rejected with then. */
  readonly stopped?: (() => boolean) | undefined
  /** Told before each further run. */
  readonly again?: ((error: unknown, waitMs: number) => void) | undefined
}

const MOST_RUNS = 8
const FIRST_MS = 20
const LONGEST_MS = 1_000

/**
 * Runs `work`, a whole transaction, again for as long as it ends in a conflict: at most 8 times in all, with full jitter (20 ms doubling to 1 s)
 * in between, and within its time. Rejects with the last conflict, or at once with whatever is none.
 */
export async function againOnConflict<T>(work: () => Promise<T>, options: AgainOptions): Promise<T> {
  const { clock, random, endsAt, own, stopped, again } = options
  for (let runs = 1; ; runs++) {
    try {
      return await work()
    } catch (error) {
      const waitMs = random() * Math.min(FIRST_MS * 2 ** (runs - 1), LONGEST_MS)
      if (!isConflict(error, own) || runs >= MOST_RUNS || stopped?.() === true || clock.now() + waitMs >= endsAt)
        throw error
      again?.(error, waitMs)
      await sleep(clock, waitMs)
      if (stopped?.() === true) throw error
    }
  }
}

// SQLSTATE of PostgreSQL (serialization failure, deadlock), of MySQL and MariaDB by name and number, and what Prisma calls the same.
const CODES: ReadonlySet<unknown> = new Set(['40001', '40P01', 'ER_LOCK_DEADLOCK', 'P2034'])
const DEADLOCK = 1213
const DEEPEST = 8

/**
 * Whether a transaction failed because of another one, and left nothing: told by `TRANSACTION_CONFLICT`, or by what drivers throw, wherever in the causes it is. What an error
 * of another service has below it was its transaction.
 */
export function isConflict(error: unknown, own: Owner): boolean {
  let at = error
  for (let depth = 0; depth < DEEPEST && typeof at === 'object' && at !== null; depth++) {
    if (isFairleadError(at)) {
      if (isForeign(at, own)) return false
      if (at.code === 'TRANSACTION_CONFLICT') return at.effect === 'none'
    }
    const { code, errno, cause } = at as { readonly code?: unknown; readonly errno?: unknown; readonly cause?: unknown }
    if (CODES.has(code) || errno === DEADLOCK) return true
    at = cause
  }
  return false
}

function isForeign({ service, operation }: FairleadError, own: Owner): boolean {
  return (service ?? own.service) !== own.service || (operation ?? own.operation) !== own.operation
}
