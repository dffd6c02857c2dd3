// Counts, where no broker does, how often a message was begun and never ended, whatever ended the process.
import type { InboxStore, MessageIdentity } from '../../core/contracts/store.ts'
import { classify } from '../../errors/classify.ts'
import { messageKey } from './message-key.ts'

/** So many are asked for at once: a large batch must not take all connections of a pool. */
const AT_ONCE = 8
const MOST_OWED = 10_000

/**
 * The counts of a consumer. A count that was raised here and could not be lowered again says nothing of the message: it is owed, left out of account, and lowered with the next.
 */
export class Begun {
  readonly #store: Pick<InboxStore<unknown>, 'started' | 'finished'>
  readonly #name: string
  readonly #failed: (error: unknown) => void
  readonly #owed: Map<string, number>

  constructor(
    store: Pick<InboxStore<unknown>, 'started' | 'finished'>,
    name: string,
    failed: (error: unknown) => void,
  ) {
    this.#store = store
    this.#name = name
    this.#failed = failed
    this.#owed = new Map()
  }

  /** How often each was begun before, and did not end. Rejects when they could not all be counted; then none is. */
  async begin(messages: readonly MessageIdentity[]): Promise<readonly number[]> {
    const before = new Array<number>(messages.length).fill(0)
    const raised: MessageIdentity[] = []
    const begin = async (message: MessageIdentity, at: number): Promise<void> => {
      try {
        const times = await this.#store.started(this.#name, message)
        before[at] = Math.max(0, times - 1 - (this.#owed.get(messageKey(message)) ?? 0))
      } catch (error) {
        // The answer may be lost, and not the count.
        if (classify(error, { idempotent: true }).effect !== 'none') raised.push(message)
        throw error
      }
      raised.push(message)
    }
    try {
      await each(messages, begin)
    } catch (error) {
      await each(raised, (message) => this.#lower(message, 1))
      throw error
    }
    return before
  }

  /** They have ended; `times` for each: how often it counts as begun. */
  end(messages: readonly MessageIdentity[], times: readonly number[]): Promise<void> {
    return each(messages, (message, at) => this.#lower(message, times[at] as number))
  }

  async #lower(message: MessageIdentity, times: number): Promise<void> {
    const key = messageKey(message)
    let due = times + (this.#owed.get(key) ?? 0)
    this.#owed.delete(key)
    try {
      for (; due > 0; due--) await this.#store.finished(this.#name, message)
    } catch (error) {
      this.#owed.set(key, due)
      if (this.#owed.size > MOST_OWED) this.#owed.delete(this.#owed.keys().next().value as string)
      this.#failed(error)
    }
  }
}

// After the first failure no more are begun, and those under way are waited for.
async function each<T>(items: readonly T[], work: (item: T, at: number) => Promise<void>): Promise<void> {
  let failed: { readonly error: unknown } | undefined
  let next = 0
  const worker = async (): Promise<void> => {
    while (next < items.length && failed === undefined) {
      const at = next++
      try {
        await work(items[at] as T, at)
      } catch (error) {
        failed ??= { error }
      }
    }
  }
  await Promise.all(Array.from({ length: Math.min(AT_ONCE, items.length) }, worker))
  if (failed !== undefined) throw (failed as { readonly error: unknown }).error
}
