// The memory store: one process's view of a memory database. For tests, simulations, and work that may be lost with the process.
import { AsyncLocalStorage } from 'node:async_hooks'
import type { Clock } from '../../../core/clock.ts'
import type {
  CheckpointStore,
  IdempotencyStore,
  InboxStore,
  OutboxStore,
  StateStore,
  Store,
} from '../../../core/contracts/store.ts'
import { KEEPING, type KeepingOptions, keepingOf } from '../../../core/keeping.ts'
import { invalidOption, knownOptions } from '../../../core/options.ts'
import { transactional } from '../../../core/transactional.ts'
import { createError } from '../../../errors/classes.ts'
import type { Effect } from '../../../errors/codes.ts'
import { DatabaseState, type MemoryDatabase } from './database.ts'
import { MemoryTransaction, type MemoryTx } from './transaction.ts'
import { checkpointsOf, idempotencyOf, inboxOf, outboxOf, statesOf, type View } from './views.ts'

/** Options of a memory store. */
export interface MemoryStoreOptions extends KeepingOptions {
  /** Shared with other stores. Default: one of its own. */
  readonly database?: MemoryDatabase | undefined
  /** Of a database of its own: give it to `memoryDatabase` where `database` is given. Default: real time. */
  readonly clock?: Clock | undefined
  /** Which service its tables belong to: another owner is refused by `migrate` and `check`. */
  readonly owner?: string | undefined
  /**
   * Runs before each operation takes effect, and is waited for: to delay, interleave and fail operations in tests. What it rejects with, the operation rejects with.
   * Operations are called as the methods: `outbox.append`, `inbox.claim`, ...; besides them `begin`, `commit` (before a commit) and `committed` (after it, before anybody is told).
   */
  readonly before?: ((operation: string) => Promise<void> | undefined) | undefined
}

/** A transaction that its caller ends. */
export interface ManualTransaction {
  readonly tx: MemoryTx
  /** @throws FairleadError `TRANSACTION_CONFLICT`, `TRANSACTION_REQUIRED` when it is over */
  commit(): Promise<void>
  /** Does nothing to one that is over. */
  rollback(): Promise<void>
}

/** A store in this process. */
export interface MemoryStore extends Store<MemoryTx> {
  readonly database: MemoryDatabase
  /** A transaction that `transaction` did not begin, as one of the user's own database client: nothing runs before its commit, and nobody is told after it. */
  begin(): ManualTransaction
  /** A committed value of `tx.set`; a copy. */
  read(key: string): unknown
  /** All committed values of `tx.set`; copies. */
  entries(): readonly (readonly [key: string, value: unknown])[]
  /**
   * Ends it as the process that it stands for would end: open transactions are dropped, what is committed stays, leases stay until their time is over,
   * and all that is asked of it from now on fails with `CONNECTION_LOST`. To be called inside `before` as well: at `committed` the transaction stays, and nobody is told.
   */
  crash(): void
}

class MemoryStoreView implements View {
  readonly database: DatabaseState
  /** Its open transactions. */
  readonly open: Set<MemoryTransaction> = new Set()
  /** Its ways to be called on announcements. */
  readonly wakes: Set<() => void> = new Set()
  private readonly before: MemoryStoreOptions['before']
  private readonly running: AsyncLocalStorage<MemoryTransaction> | undefined
  private ended: 'no' | 'closed' | 'crashed' = 'no'

  constructor(database: DatabaseState, before: MemoryStoreOptions['before'], watches: boolean) {
    this.database = database
    this.before = before
    this.running = watches ? new AsyncLocalStorage() : undefined
  }

  mustRun(): void {
    if (this.ended === 'closed') throw createError({ code: 'SHUTDOWN', message: 'the store is closed' })
    this.mustLive('none')
  }

  async enter(operation: string): Promise<void> {
    this.mustRun()
    await this.before?.(operation)
    this.mustRun()
  }

  async join(operation: string, tx: MemoryTx): Promise<MemoryTransaction> {
    this.mustLive('none')
    this.mustBeMine(tx)
    await this.before?.(operation)
    this.mustLive('none')
    this.mustBeMine(tx)
    return tx
  }

  isTransaction(candidate: unknown): candidate is MemoryTransaction {
    return candidate instanceof MemoryTransaction && candidate.home === this.database && candidate.isOpen
  }

  begin(): MemoryTransaction {
    const tx = this.database.begin()
    this.open.add(tx)
    return tx
  }

  async commit(tx: MemoryTransaction): Promise<void> {
    tx.seal()
    try {
      await this.before?.('commit')
      this.mustLive('none')
      tx.commit()
    } catch (error) {
      tx.rollback()
      throw error
    } finally {
      this.open.delete(tx)
    }
    await this.before?.('committed')
    this.mustLive('done')
  }

  rollback(tx: MemoryTransaction): void {
    this.open.delete(tx)
    tx.rollback()
  }

  async transaction<T>(work: (tx: MemoryTx) => Promise<T>): Promise<T> {
    if (this.running?.getStore()?.isOpen === true)
      throw createError({
        code: 'PROGRAMMING_ERROR',
        effect: 'none',
        message: 'a transaction inside another one of the same store: hand on the one that is open',
      })
    await this.enter('begin')
    const tx = this.begin()
    let value: T
    try {
      value = await (this.running === undefined ? work(tx) : this.running.run(tx, () => work(tx)))
    } catch (error) {
      this.rollback(tx)
      throw error
    }
    await this.commit(tx)
    return value
  }

  end(how: 'closed' | 'crashed'): void {
    if (this.ended === 'no') this.ended = how
    // On Node 20 each storage that is in use costs every promise of the process something.
    this.running?.disable()
    for (const wake of this.wakes) this.database.listeners.delete(wake)
    this.wakes.clear()
    if (how !== 'crashed') return
    for (const tx of this.open) tx.rollback()
    this.open.clear()
  }

  private mustLive(effect: Effect): void {
    if (this.ended === 'crashed')
      throw createError({ code: 'CONNECTION_LOST', effect, message: 'the process of this store has crashed' })
  }

  private mustBeMine(tx: MemoryTx): asserts tx is MemoryTransaction {
    if (tx instanceof MemoryTransaction && tx.home === this.database) tx.mustBeOpen()
    else
      throw createError({
        code: 'TRANSACTION_REQUIRED',
        message: 'that is no transaction of this store: give the one of store.transaction or store.begin',
      })
  }
}

/**
 * A store in this process. Any number of transactions may be open at once. Each reads what is committed and what it wrote itself; where another one has changed
 * meanwhile what it read, its commit fails with `TRANSACTION_CONFLICT`: run it again. Nothing ever waits for a transaction.
 * @throws FairleadError `INVALID_OPTIONS`
 * @example
 * const store = memoryStore()
 * await store.transaction(async (tx) => {
 *   tx.set('order 1', { state: 'placed' })
 *   await outbox.publish(tx, Orders, { type: 'order.placed', data: { orderId: '1' } })
 * })
 * store.read('order 1')
 */
export function memoryStore(options: MemoryStoreOptions = {}): MemoryStore {
  return memoryStoreOf(options, true)
}

/** The same; without `watches` a transaction inside another one goes unnoticed, and no promise of the process costs more than it has to: for simulations, which make thousands of stores. */
export function memoryStoreOf(options: MemoryStoreOptions, watches: boolean): MemoryStore {
  const { database, owner, archive, inboxRetentionMs, idempotencyRetentionMs } = checked(options)
  const view = new MemoryStoreView(database, options.before, watches)
  const { transaction, beforeCommit, onCommitted } = transactional<MemoryTx>(view)
  const outbox: OutboxStore<MemoryTx> = outboxOf(view, archive)
  const inbox: InboxStore<MemoryTx> = inboxOf(view, inboxRetentionMs)
  const idempotency: IdempotencyStore<MemoryTx> = idempotencyOf(view, idempotencyRetentionMs)
  const states: StateStore<MemoryTx> = statesOf(view)
  const checkpoints: CheckpointStore = checkpointsOf(view)
  return {
    name: 'memory',
    owner,
    outbox,
    inbox,
    idempotency,
    states,
    checkpoints,
    database,
    transaction,
    isTransaction: (candidate) => view.isTransaction(candidate),
    handlesEnd: true,
    beforeCommit,
    onCommitted,
    async migrate() {
      await view.enter('migrate')
      database.mark(owner)
      return { applied: [] }
    },
    async check() {
      await view.enter('check')
      database.check(owner)
    },
    close: async () => view.end('closed'),
    begin() {
      view.mustRun()
      const tx = view.begin()
      return {
        tx,
        commit: () => view.commit(tx),
        rollback: async () => view.rollback(tx),
      }
    },
    read: (key) => database.read(key),
    entries: () => database.entries(),
    crash: () => view.end('crashed'),
  }
}

function checked(options: MemoryStoreOptions): {
  readonly database: DatabaseState
  readonly owner: string | undefined
  readonly archive: boolean
  readonly inboxRetentionMs: number
  readonly idempotencyRetentionMs: number
} {
  knownOptions('memoryStore', options, ['database', 'clock', 'owner', ...KEEPING, 'before'])
  const { database, clock, owner, before } = options
  if (database !== undefined && !(database instanceof DatabaseState))
    throw invalidOption('database', database, 'give what memoryDatabase() returns')
  if (database !== undefined && clock !== undefined)
    throw invalidOption('clock', clock, 'give it to memoryDatabase, which is shared')
  if (owner !== undefined && (typeof owner !== 'string' || owner === ''))
    throw invalidOption('owner', owner, 'give the name of a service, or leave it out')
  if (before !== undefined && typeof before !== 'function')
    throw invalidOption('before', before, 'give a function, or leave it out')
  return {
    database: database ?? new DatabaseState({ clock }),
    owner,
    ...keepingOf(options),
  }
}
