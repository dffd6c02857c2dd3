// Answers of a memory store to requests that name themselves by an Idempotency-Key.
import type { Clock } from '../../../core/clock.ts'
import { ageOption, countOption } from '../../../core/options.ts'
import { createError } from '../../../errors/classes.ts'
import type { MemoryTransaction } from './transaction.ts'

/** What a request is: new, under way, another one of the same key, or answered. */
export type Reservation =
  | { readonly state: 'first' | 'running' | 'mismatch' }
  | { readonly state: 'stored'; readonly response: Uint8Array }

interface Entry {
  readonly bodyHash: string
  response: Uint8Array | undefined
}

interface Kept extends Entry {
  readonly at: number
}

interface Reserved extends Entry {
  readonly tx: MemoryTransaction
}

const nameOf = (scope: string, key: string): string => JSON.stringify([scope, key])

/** What all views of a database share. */
export class IdempotencyTable {
  private readonly clock: Clock
  /** Oldest first. */
  private readonly kept = new Map<string, Kept>()
  private readonly reserved = new Map<string, Reserved>()

  constructor(clock: Clock) {
    this.clock = clock
  }

  reserve(tx: MemoryTransaction, scope: string, key: string, bodyHash: string): Reservation {
    const name = nameOf(scope, key)
    const underWay = this.reserved.get(name)
    // Of another transaction nobody knows yet what it leaves.
    if (underWay !== undefined && underWay.tx !== tx) return { state: 'running' }
    const known = underWay ?? this.kept.get(name)
    if (known !== undefined) return answer(known, bodyHash)
    const entry: Reserved = { tx, bodyHash, response: undefined }
    tx.join({
      apply: () => void this.kept.set(name, { bodyHash, response: entry.response, at: this.clock.now() }),
      end: () => void this.reserved.delete(name),
    })
    this.reserved.set(name, entry)
    return { state: 'first' }
  }

  /** @throws FairleadError `PROGRAMMING_ERROR` for what this transaction has not reserved */
  complete(tx: MemoryTransaction, scope: string, key: string, response: Uint8Array): void {
    const entry = this.reserved.get(nameOf(scope, key))
    if (entry?.tx !== tx)
      throw createError({
        code: 'PROGRAMMING_ERROR',
        effect: 'none',
        message: `the key ${key} was not reserved in this transaction`,
      })
    entry.response = new Uint8Array(response)
  }

  purge(olderThanMs: number, limit: number): number {
    const before = this.clock.now() - ageOption('olderThanMs', olderThanMs)
    const most = countOption('limit', limit, 0, 0)
    let count = 0
    for (const [name, { at }] of this.kept) {
      if (count === most || at > before) break
      this.kept.delete(name)
      count++
    }
    return count
  }
}

function answer(entry: Entry, bodyHash: string): Reservation {
  if (entry.bodyHash !== bodyHash) return { state: 'mismatch' }
  if (entry.response === undefined) return { state: 'running' }
  return { state: 'stored', response: new Uint8Array(entry.response) }
}
