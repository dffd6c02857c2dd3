// A transaction in memory: what is written waits here until the commit, which looks whether what was read still stands and then does all of it at once.
import { createError } from '../../../errors/classes.ts'

/** A transaction of a memory store. Values are copied on their way in and out, as if they had been written down. */
export interface MemoryTx {
  /** What was set here, else what is committed. @throws FairleadError `TRANSACTION_REQUIRED` when it is over */
  get(key: string): unknown
  /** @throws FairleadError `TRANSACTION_REQUIRED` when it is over; DataCloneError for what cannot be copied (functions) */
  set(key: string, value: unknown): void
  /** @throws FairleadError `TRANSACTION_REQUIRED` when it is over */
  delete(key: string): void
}

/** What a part of the store does when the transaction ends. */
export interface Staged {
  /** False where it has only read so far. Absent: it changes something. */
  writes?(): boolean
  /** Whether it may be committed still: nobody has changed what it rests on. */
  holds?(): boolean
  /** Does it. Must not fail. */
  apply?(): void
  /** After commit or rollback. */
  end?(): void
}

/** The state behind a MemoryTx. */
export class MemoryTransaction implements MemoryTx {
  /** Which database it is of. */
  readonly home: object
  private readonly data: StagedMap<unknown>
  private readonly staged: Staged[] = []
  private state: 'open' | 'committing' | 'over' = 'open'

  constructor(home: object, data: StagedMap<unknown>) {
    this.home = home
    this.data = data
  }

  get isOpen(): boolean {
    return this.state === 'open'
  }

  get(key: string): unknown {
    this.mustBeOpen()
    return copy(this.data.read(this, key))
  }

  set(key: string, value: unknown): void {
    this.mustBeOpen()
    this.data.write(this, key, copy(value))
  }

  delete(key: string): void {
    this.mustBeOpen()
    this.data.write(this, key, undefined)
  }

  /** @throws FairleadError `TRANSACTION_REQUIRED` */
  mustBeOpen(): void {
    if (this.state !== 'open')
      throw createError({ code: 'TRANSACTION_REQUIRED', message: 'the transaction is over: nothing can join it' })
  }

  /** Parts are asked, and done, in the order in which they joined. @throws FairleadError `TRANSACTION_REQUIRED`: of one that is over nobody would tell the part */
  join(part: Staged): void {
    this.mustBeOpen()
    this.staged.push(part)
  }

  /** From here on nothing joins it. @throws FairleadError `TRANSACTION_REQUIRED` */
  seal(): void {
    this.mustBeOpen()
    this.state = 'committing'
  }

  /**
   * All of it, at once.
   * @throws FairleadError `TRANSACTION_CONFLICT` where another transaction changed meanwhile what this one rests on; `CONNECTION_LOST`, effect `none`, where it was dropped
   */
  commit(): void {
    if (this.state === 'open') this.state = 'committing'
    if (this.state === 'over')
      throw createError({
        code: 'CONNECTION_LOST',
        effect: 'none',
        message: 'the transaction was dropped: nothing of it was kept',
      })
    // Who changes nothing at all disturbs nobody.
    const writes = this.staged.some((part) => part.writes?.() !== false)
    const holds = !writes || this.staged.every((part) => part.holds?.() !== false)
    if (holds) for (const part of this.staged) part.apply?.()
    this.finish()
    if (!holds)
      throw createError({
        code: 'TRANSACTION_CONFLICT',
        message: 'another transaction changed meanwhile what this one has read or written',
      })
  }

  /** Nothing of it is kept. Does nothing to one that is over. */
  rollback(): void {
    this.finish()
  }

  private finish(): void {
    if (this.state === 'over') return
    this.state = 'over'
    for (const part of this.staged) part.end?.()
    this.staged.length = 0
  }
}

interface Committed<V> {
  readonly value: V
  /** Each write has its own. */
  readonly version: number
}

interface Writes<V> {
  readonly values: Map<string, V | undefined>
  /** Versions that it rests on. */
  readonly rests: Map<string, number>
}

/** A map whose changes are part of transactions. Of two that change one entry at the same time only the first to commit wins. */
export class StagedMap<V> {
  private readonly committed = new Map<string, Committed<V>>()
  private readonly open = new Map<MemoryTransaction, Writes<V>>()
  private versions = 0
  private readonly onChange: (key: string, before: V | undefined, after: V | undefined) => void

  constructor(onChange: (key: string, before: V | undefined, after: V | undefined) => void = () => {}) {
    this.onChange = onChange
  }

  /** What is committed. */
  peek(key: string): V | undefined {
    return this.committed.get(key)?.value
  }

  /** What is committed, those written first come first. */
  *entries(): IterableIterator<[key: string, value: V]> {
    for (const [key, { value }] of this.committed) yield [key, value]
  }

  /** Reads; the commit fails if somebody else has changed it by then. */
  read(tx: MemoryTransaction, key: string): V | undefined {
    const { values, rests } = this.of(tx)
    if (values.has(key)) return values.get(key)
    const found = this.committed.get(key)
    if (!rests.has(key)) rests.set(key, found?.version ?? 0)
    return found?.value
  }

  /** Reads without resting on it. */
  look(tx: MemoryTransaction, key: string): V | undefined {
    const writes = this.open.get(tx)?.values
    return writes?.has(key) === true ? writes.get(key) : this.peek(key)
  }

  /** What the transaction has written so far. */
  written(tx: MemoryTransaction): ReadonlyMap<string, V | undefined> {
    return this.open.get(tx)?.values ?? new Map()
  }

  /** Deletes what is committed, outside of any transaction: of those that are open, whoever rests on it is told at the commit. */
  drop(key: string): void {
    const before = this.peek(key)
    if (this.committed.delete(key)) this.onChange(key, before, undefined)
  }

  /** Undefined deletes. Whoever wrote without reading rests on nothing: the last one to commit wins. */
  write(tx: MemoryTransaction, key: string, value: V | undefined): void {
    this.of(tx).values.set(key, value)
  }

  private of(tx: MemoryTransaction): Writes<V> {
    let writes = this.open.get(tx)
    if (writes === undefined) {
      writes = { values: new Map(), rests: new Map() }
      tx.join(this.partOf(tx, writes))
      this.open.set(tx, writes)
    }
    return writes
  }

  private partOf(tx: MemoryTransaction, { values, rests }: Writes<V>): Staged {
    return {
      writes: () => values.size > 0,
      holds: () => {
        for (const [key, version] of rests) if ((this.committed.get(key)?.version ?? 0) !== version) return false
        return true
      },
      apply: () => {
        for (const [key, value] of values) {
          const before = this.committed.get(key)?.value
          if (value === undefined) this.committed.delete(key)
          else this.committed.set(key, { value, version: ++this.versions })
          this.onChange(key, before, value)
        }
      },
      end: () => {
        this.open.delete(tx)
      },
    }
  }
}

function copy<T>(value: T): T {
  return typeof value === 'object' || typeof value === 'function' ? structuredClone(value) : value
}
