// One way into a handler for each transaction: what it did there is committed only as a whole, whatever the layers around it do.
import type { FairleadError } from '../../errors/base.ts'
import { createError } from '../../errors/classes.ts'

/** The handler call of a transaction. */
export class Entry {
  /** When the handler has ended, however. */
  ended: Promise<void>
  /** What the handler threw, and what a second call of it was refused with: neither may be committed. */
  thrown: { readonly error: unknown } | undefined
  refused: FairleadError | undefined
  #state: 'free' | 'used' | 'over'

  constructor() {
    this.ended = DONE
    this.thrown = undefined
    this.refused = undefined
    this.#state = 'free'
  }

  /** @throws FairleadError `PROGRAMMING_ERROR` the second time, and once it is over; and what `handler` throws */
  call(handler: () => unknown): unknown {
    if (this.#state !== 'free') {
      const over = this.#state === 'over'
      this.refused ??= createError({
        code: 'PROGRAMMING_ERROR',
        message: over
          ? 'a layer called its handler when its transaction was over'
          : 'a layer called its handler again in the same transaction, and what was done would be done twice: leave trying again to `retries`',
        cause: this.thrown?.error,
      })
      throw this.refused
    }
    this.#state = 'used'
    let answer: unknown
    try {
      answer = handler()
    } catch (error) {
      this.thrown = { error }
      throw error
    }
    if (typeof (answer as PromiseLike<unknown> | undefined)?.then === 'function')
      this.ended = Promise.resolve(answer as PromiseLike<unknown>).then(nothing, (error: unknown) => {
        this.thrown = { error }
      })
    return answer
  }

  /**
   * The answer of the layers, but not before the handler itself has ended. With `releases` a rejection does not wait for it: nothing will be committed, and nobody else is
   * given what it works with.
   */
  async whole(answer: unknown, releases: boolean): Promise<unknown> {
    let value: unknown
    try {
      value = await answer
    } catch (error) {
      if (!releases) await this.ended
      throw error
    }
    await this.ended
    return value
  }

  /** Nobody comes in any more. */
  close(): void {
    this.#state = 'over'
  }
}

const DONE: Promise<void> = Promise.resolve()

function nothing(): void {}
