// Streams of a proxy: each item is validated on its way, and errors leave in the same words as those of calls.
import { FailureAnswer } from '../core/answer.ts'
import { type Validated, validate } from '../core/schema.ts'
import { createError } from '../errors/classes.ts'
import type { AnySchema } from './types.ts'

/**
 * The items of a caller, validated one by one. An array can be sent again; what can be read only once cannot, and says so.
 * @param broken makes the error for an item that breaks the schema
 */
export function outgoingItems(
  source: unknown,
  schema: AnySchema | undefined,
  broken: (issues: unknown) => unknown,
): AsyncIterable<unknown> {
  let begun = false
  return {
    [Symbol.asyncIterator]: () => {
      if (begun && !Array.isArray(source)) throw createError({ code: 'NOT_REPLAYABLE' })
      begun = true
      return validated(source as AsyncIterable<unknown> | Iterable<unknown>, schema, broken)
    },
  }
}

async function* validated(
  source: AsyncIterable<unknown> | Iterable<unknown>,
  schema: AnySchema | undefined,
  broken: (issues: unknown) => unknown,
): AsyncGenerator<unknown> {
  for await (const item of source) {
    if (schema !== undefined) {
      const result = await validate(schema, item)
      if (!result.ok) throw broken(result.issues)
    }
    // What was given is sent: a transforming schema would transform a second time at the service.
    yield item
  }
}

/** Whether it can be sent item by item. */
export function isIterable(candidate: unknown): boolean {
  return (
    typeof candidate === 'object' &&
    candidate !== null &&
    (Symbol.asyncIterator in candidate || Symbol.iterator in candidate)
  )
}

/** What a stream of answers needs of its call. */
export interface IncomingSetting {
  readonly schema: AnySchema | undefined
  /** The caller's way to give up, also once the head has come. */
  readonly signal: AbortSignal | undefined
  /** Makes the error for an item that breaks the schema. */
  readonly broken: (issues: unknown) => unknown
  /** Puts what the transport threw into the words of the taxonomy. */
  readonly failed: (error: unknown) => unknown
  readonly cancelled: (reason: unknown) => unknown
}

/** The items of the service, validated one by one. It can be read once. */
export function incomingItems(
  source: AsyncIterable<unknown> | Iterable<unknown>,
  setting: IncomingSetting,
): AsyncIterableIterator<unknown> {
  const iterator = Symbol.asyncIterator in source ? source[Symbol.asyncIterator]() : source[Symbol.iterator]()
  let over = false
  // Left early, by the caller or by a broken item: the transport is told, and its own complaint about that is no news.
  const leave = (): void => {
    if (over) return
    over = true
    void new Promise((resolve) => resolve(iterator.return?.())).catch(nothing)
  }
  const items = checkedItems(iterator, setting, leave, () => (over = true))
  // A generator that was never started runs no `finally`, and one that waits hears of nothing: leaving is handled here.
  return {
    next: () => items.next(),
    return: () => {
      leave()
      return items.return(undefined)
    },
    throw: (error) => {
      leave()
      return items.throw(error)
    },
    [Symbol.asyncIterator]() {
      return this
    },
  }
}

async function* checkedItems(
  iterator: AsyncIterator<unknown> | Iterator<unknown>,
  { schema, signal, broken, failed, cancelled }: IncomingSetting,
  leave: () => void,
  ended: () => void,
): AsyncGenerator<unknown, void, undefined> {
  try {
    for (;;) {
      let result: IteratorResult<unknown>
      try {
        result = await orAborted(Promise.resolve(iterator.next()), signal, cancelled)
      } catch (error) {
        if (signal?.aborted !== true) ended()
        throw failed(error)
      }
      if (result.done === true) {
        ended()
        return
      }
      if (schema === undefined) yield result.value
      else {
        let checked: Validated<unknown>
        try {
          checked = await validate(schema, result.value)
        } catch (error) {
          throw failed(error)
        }
        if (!checked.ok) throw broken(checked.issues)
        yield checked.value
      }
    }
  } finally {
    leave()
  }
}

function orAborted<T>(
  next: Promise<T>,
  signal: AbortSignal | undefined,
  cancelled: IncomingSetting['cancelled'],
): Promise<T> {
  if (signal === undefined) return next
  return new Promise((resolve, reject) => {
    const onAbort = (): void => reject(cancelled(signal.reason))
    if (signal.aborted) onAbort()
    signal.addEventListener('abort', onAbort, { once: true })
    const stop = (): void => signal.removeEventListener('abort', onAbort)
    next.then(stop, stop)
    next.then(resolve, reject)
  })
}

/** A declared failure thrown by a stream, whichever copy of fairlead the transport uses. */
export function asFailure(error: unknown): FailureAnswer | undefined {
  if (error instanceof FailureAnswer) return error
  const { failure, data } = (
    typeof error === 'object' && error !== null && !(error instanceof Error) ? error : {}
  ) as Partial<FailureAnswer>
  return typeof failure === 'string' ? new FailureAnswer(failure, data) : undefined
}

function nothing(): void {}
