// What was published inside a transaction, on its way into the table. Whatever became of an earlier transaction on the same handle (clients are used again), nothing of it may come along.
import type { Closing, OutboxRow } from '../../core/contracts/store.ts'
import type { Envelope } from '../../core/message.ts'
import { createError } from '../../errors/classes.ts'
import type { Channel } from '../types.ts'
import type { OutboxPlace } from './types.ts'

/** One call of publish. */
export interface Call {
  readonly channel: Channel
  /** Undefined while it is still being validated. */
  envelopes: readonly Envelope[] | undefined
  /** Ends once it is known. */
  readonly validated: Promise<readonly Envelope[]> | undefined
  /** It was refused, and said so: nothing of it is in. */
  refused: boolean
}

/**
 * Collects the calls of a transaction and appends them in one statement just before its commit.
 *
 * Each call notes a hook of its own, so the transaction itself says which calls are its: a list kept by handle would still hold what a rolled-back transaction
 * published. Only while the hooks of a transaction run is there a list, and a call that comes closes whatever list there is for its handle.
 */
export class Buffered<Tx> {
  readonly #place: OutboxPlace<Tx>
  readonly #lists: WeakMap<object, Call[]>
  /** The end of what was published on a transaction of the user's own. */
  readonly #tails: WeakMap<object, Promise<unknown>>
  readonly #appended: (tx: Tx, foreign: boolean) => void

  constructor(place: OutboxPlace<Tx>, appended: (tx: Tx, foreign: boolean) => void) {
    this.#place = place
    this.#lists = new WeakMap()
    this.#tails = new WeakMap()
    this.#appended = appended
  }

  /**
   * To be called before anything is waited for: the order is that of these calls.
   * @returns whether it is appended with the commit; otherwise the transaction is somebody else's
   * @throws FairleadError `TRANSACTION_REQUIRED` once the transaction is being committed
   */
  note(tx: Tx, call: Call): boolean {
    const noted = this.#place.beforeCommit(tx, () => this.#gather(tx, call))
    if (noted) this.#lists.delete(tx as object)
    return noted
  }

  /** On a transaction of the user's own: at once, but behind what was published on it before. */
  append(tx: Tx, call: Call): Promise<void> {
    const handle = tx as object
    const before = this.#tails.get(handle)
    const append = async (): Promise<void> => {
      await before
      await this.#append(tx, [call], true)
    }
    const appending = append()
    const tail = appending.then(nothing, nothing)
    this.#tails.set(handle, tail)
    void tail.then(() => {
      if (this.#tails.get(handle) === tail) this.#tails.delete(handle)
    })
    return appending
  }

  async #gather(tx: Tx, call: Call): Promise<void> {
    const list = this.#lists.get(tx as object)
    if (list !== undefined) {
      list.push(call)
      return
    }
    const own = [call]
    this.#lists.set(tx as object, own)
    // Runs after the hooks of all calls so far.
    this.#place.beforeCommit(tx, async () => {
      if (this.#lists.get(tx as object) === own) this.#lists.delete(tx as object)
      await this.#append(tx, own, false)
    })
  }

  async #append(tx: Tx, calls: readonly Call[], foreign: boolean): Promise<void> {
    // Nobody has heard yet of a call that is still being validated: if it is refused now, the transaction must not go on as if it were in.
    await Promise.all(calls.map((call) => (call.refused || call.envelopes !== undefined ? undefined : call.validated)))
    const rows: OutboxRow[] = []
    for (const call of calls) {
      const { kind, name } = call.channel
      const channel = { kind, name }
      for (const envelope of call.envelopes ?? []) rows.push({ channel, envelope })
    }
    if (rows.length === 0) return
    if (foreign || !this.#withCommit(tx, rows)) await this.#place.outbox.append(tx, rows)
    this.#appended(tx, foreign)
  }

  // With the commit, in one round trip. What an earlier call left for it goes first, whichever way it goes now.
  #withCommit(tx: Tx, rows: OutboxRow[]): boolean {
    const { outbox } = this.#place
    if (outbox.closing === undefined || this.#place.closeWith === undefined) return false
    let closing: Closing | undefined
    this.#place.closeWith(tx, (before) => {
      if (before !== undefined) rows.unshift(...before.rows)
      closing = outbox.closing?.(rows)
      return closing
    })
    return closing !== undefined
  }
}

/** What `publish` says of a pool, of a transaction that is over, and of anything else that is none. */
export function noTransaction(): Error {
  return createError({
    code: 'TRANSACTION_REQUIRED',
    message:
      'publish takes the transaction that is open: store.transaction(async (tx) => outbox.publish(tx, ...)), or your own',
  })
}

function nothing(): void {}
