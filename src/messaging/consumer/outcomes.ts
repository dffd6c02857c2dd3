// What a handler may say besides returning and throwing: values, so that no exception is needed for what is no failure.

const BRAND = Symbol.for('fairlead.outcome')

/** The message comes again. Made by `retry()`. */
export interface RetryOutcome {
  readonly outcome: 'retry'
  readonly afterMs: number | undefined
  readonly reason: string | undefined
}

/** The message is given up. Made by `dead()`. */
export interface DeadOutcome {
  readonly outcome: 'dead'
  readonly reason: string
}

/** What a handler may answer with. Anything else that it returns means that the message is done. */
export type Outcome = RetryOutcome | DeadOutcome

/** How `retry()` is asked. */
export interface RetryRequest {
  /** Not before so long from now, milliseconds. Default: the next step of `retries.delayedMs`. */
  readonly afterMs?: number | undefined
  /** For logs and events. */
  readonly reason?: string | undefined
}

/**
 * Answer of a handler: not yet, give it to me again later. It is no failure: it uses up none of the retries; but it does count
 * towards `maxDeliveries`, so that it cannot go on for ever.
 * @throws RangeError for a time that is negative or no number
 * @example if (!(await orders.has(data.orderId))) return retry({ afterMs: 5_000 })
 */
export function retry(request: RetryRequest = {}): RetryOutcome {
  const { afterMs, reason } = request
  if (afterMs !== undefined && !(typeof afterMs === 'number' && afterMs >= 0 && afterMs !== Infinity))
    throw new RangeError(`retry({ afterMs: ${String(afterMs)} }): give milliseconds from 0`)
  return branded({ outcome: 'retry', afterMs, reason })
}

/**
 * Answer of a handler: this message cannot be handled, ever. It becomes a dead letter with that reason.
 * @example if (data.amount < 0) return dead('negative amount')
 */
export function dead(reason: string): DeadOutcome {
  return branded({ outcome: 'dead', reason: String(reason) })
}

/** Whether a handler answered with an outcome. Holds across two copies of fairlead. */
export function isOutcome(answer: unknown): answer is Outcome {
  return typeof answer === 'object' && answer !== null && BRAND in answer
}

/**
 * What a handler answered for each of the messages that it was given; undefined where all of them are done.
 * @throws TypeError for outcomes that are not one for each
 */
export function outcomesOf(answer: unknown, length: number, batch: boolean): readonly unknown[] | undefined {
  if (isOutcome(answer)) return new Array<unknown>(length).fill(answer)
  if (!Array.isArray(answer) || !answer.some(isOutcome)) return undefined
  if (!batch) throw new TypeError('a message has one outcome, and its handler answered with a list')
  if (answer.length === length) return answer
  // Guessing which were meant would lose some.
  throw new TypeError(`the batch has ${length} messages, and its handler answered with ${answer.length} outcomes`)
}

function branded<O extends Outcome>(outcome: O): O {
  return Object.freeze(Object.defineProperty(outcome, BRAND, { value: true }))
}
