// What several memory stores share, as several processes share a server: it outlives each of them.
import { type Clock, systemClock } from '../../../core/clock.ts'
import type { CheckpointStore } from '../../../core/contracts/store.ts'
import { incompatible } from '../../../core/migration.ts'
import { invalidOption, knownOptions } from '../../../core/options.ts'
import { memoryCheckpoints } from '../checkpoints.ts'
import { IdempotencyTable } from './idempotency.ts'
import { InboxTable } from './inbox.ts'
import { OutboxTable } from './outbox.ts'
import { StateTable } from './states.ts'
import { MemoryTransaction, StagedMap } from './transaction.ts'

/** Options of a memory database. */
export interface MemoryDatabaseOptions {
  /** By which leases, retries and ages go. Default: real time. */
  readonly clock?: Clock | undefined
}

/** Tables in this process. What they hold ends with the process. */
export interface MemoryDatabase {
  /** A committed value of `tx.set`; a copy. */
  read(key: string): unknown
  /** All committed values of `tx.set`; copies. */
  entries(): readonly (readonly [key: string, value: unknown])[]
}

/** The state behind a MemoryDatabase. */
export class DatabaseState implements MemoryDatabase {
  readonly clock: Clock
  readonly outbox: OutboxTable
  readonly inbox: InboxTable
  readonly idempotency: IdempotencyTable
  readonly states: StateTable
  readonly checkpoints: CheckpointStore
  /** Those of all views who wait for announcements. */
  readonly listeners: Set<() => void> = new Set()
  private readonly data = new StagedMap<unknown>()
  private owner: string | undefined

  constructor(options: MemoryDatabaseOptions) {
    knownOptions('memoryDatabase', options, ['clock'])
    this.clock = options.clock ?? systemClock
    if (typeof this.clock?.setTimer !== 'function')
      throw invalidOption('clock', this.clock, 'give a Clock, or leave it out')
    this.outbox = new OutboxTable(this.clock)
    this.inbox = new InboxTable(this.clock)
    this.idempotency = new IdempotencyTable(this.clock)
    this.states = new StateTable(this.clock)
    this.checkpoints = memoryCheckpoints({ clock: this.clock })
  }

  read(key: string): unknown {
    return structuredClone(this.data.peek(key))
  }

  entries(): readonly (readonly [key: string, value: unknown])[] {
    return structuredClone([...this.data.entries()])
  }

  begin(): MemoryTransaction {
    return new MemoryTransaction(this, this.data)
  }

  /** Sets the mark where there is none. @throws FairleadError `INCOMPATIBLE` for that of another owner */
  mark(owner: string | undefined): void {
    this.check(owner)
    this.owner ??= owner
  }

  /** @throws FairleadError `INCOMPATIBLE` for the mark of another owner */
  check(owner: string | undefined): void {
    if (owner !== undefined && this.owner !== undefined && owner !== this.owner)
      throw incompatible('the memory database', `belongs to ${this.owner}, and not to ${owner}`)
  }
}

/**
 * A database in this process. Stores that share it are like processes that share a server.
 * @throws FairleadError `INVALID_OPTIONS`
 * @example
 * const database = memoryDatabase()
 * const order = memoryStore({ database })
 * const relay = memoryStore({ database })
 */
export function memoryDatabase(options: MemoryDatabaseOptions = {}): MemoryDatabase {
  return new DatabaseState(options)
}
