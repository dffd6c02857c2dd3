// The inbox of a memory store: which messages a consumer has applied, who is at it now, and which keys are set aside.
import type { Clock } from '../../../core/clock.ts'
import type { MessageIdentity } from '../../../core/contracts/store.ts'
import { ageOption, countOption, durationOption } from '../../../core/options.ts'
import type { MemoryTransaction } from './transaction.ts'

/** How a message is taken: for the first time, again, or while another transaction is at it. */
export type Claim = 'first' | 'duplicate' | 'busy'

interface Attempts {
  open: number
  at: number
}

const nameOf = (...parts: readonly string[]): string => JSON.stringify(parts)

/** What all views of a database share. */
export class InboxTable {
  private readonly clock: Clock
  /** When each was applied, oldest first. */
  private readonly applied = new Map<string, number>()
  private readonly held = new Map<string, MemoryTransaction>()
  private readonly attempts = new Map<string, Attempts>()
  private readonly aside = new Map<string, number>()

  constructor(clock: Clock) {
    this.clock = clock
  }

  claim(tx: MemoryTransaction, consumer: string, messages: readonly MessageIdentity[]): readonly Claim[] {
    return messages.map(({ source, id }) => this.claimOne(tx, nameOf(consumer, source, id)))
  }

  started(consumer: string, { source, id }: MessageIdentity): number {
    const name = nameOf(consumer, source, id)
    const open = (this.attempts.get(name)?.open ?? 0) + 1
    this.attempts.delete(name)
    this.attempts.set(name, { open, at: this.clock.now() })
    return open
  }

  finished(consumer: string, { source, id }: MessageIdentity): void {
    const name = nameOf(consumer, source, id)
    const attempts = this.attempts.get(name)
    if (attempts !== undefined && --attempts.open <= 0) this.attempts.delete(name)
  }

  park(consumer: string, key: string, forMs: number): void {
    this.aside.set(nameOf(consumer, key), this.clock.now() + durationOption('forMs', forMs, 0))
  }

  unpark(consumer: string, key: string): void {
    this.aside.delete(nameOf(consumer, key))
  }

  parked(consumer: string, keys: readonly string[]): readonly string[] {
    const now = this.clock.now()
    return [...new Set(keys)].filter((key) => (this.aside.get(nameOf(consumer, key)) ?? -Infinity) > now)
  }

  purge(olderThanMs: number, limit: number): number {
    const now = this.clock.now()
    const before = now - ageOption('olderThanMs', olderThanMs)
    const most = countOption('limit', limit, 0, 0)
    let count = 0
    for (const [name, at] of this.applied) {
      if (count === most || at > before) break
      this.applied.delete(name)
      count++
    }
    for (const [name, { at }] of this.attempts) {
      if (at > before) break
      this.attempts.delete(name)
    }
    for (const [name, until] of this.aside) if (until <= now) this.aside.delete(name)
    return count
  }

  private claimOne(tx: MemoryTransaction, name: string): Claim {
    const holder = this.held.get(name)
    if (holder !== undefined) return holder === tx ? 'duplicate' : 'busy'
    if (this.applied.has(name)) return 'duplicate'
    tx.join({
      apply: () => void this.applied.set(name, this.clock.now()),
      end: () => void this.held.delete(name),
    })
    this.held.set(name, tx)
    return 'first'
  }
}
