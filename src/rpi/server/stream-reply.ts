// A streamed answer: items as lines of NDJSON. The first item is awaited before the head goes out, so that what fails at once still has its status.
import { itemLine, NDJSON_TYPE } from '../../core/http-wire.ts'
import { validate } from '../../core/schema.ts'
import type { AnySchema, Operation } from '../types.ts'
import { replyInvalid } from './problem.ts'
import type { WireReply } from './wire.ts'

/** What a streamed answer needs of its request. */
export interface StreamSetting {
  readonly headers: Readonly<Record<string, string>>
  readonly signal: AbortSignal
  /** A generator runs when it is asked, so each time it is asked it has to be given what it inherits. */
  within<T>(work: () => T): T
  /** Frees the place of the request: the stream is over. */
  release(): void
  /** What to end the stream with after an error. */
  lastLine(error: unknown): Promise<string>
}

/** Starts the stream, and rejects where it fails before its first item. */
export async function streamReply(operation: Operation, output: unknown, setting: StreamSetting): Promise<WireReply> {
  let iterator: AnyIterator | undefined
  try {
    const started = iteratorOf(operation, output)
    iterator = started
    const next = async (): Promise<string | undefined> => {
      const result = await orAborted(setting.signal, () => setting.within(() => started.next()))
      return result.done === true ? undefined : itemLine(await checked(operation, result.value))
    }
    const body = new Lines(await next(), next, started, setting)
    return {
      status: operation.definition.success ?? 200,
      headers: { ...setting.headers, 'content-type': NDJSON_TYPE },
      body,
    }
  } catch (error) {
    if (iterator !== undefined) leave(iterator, setting)
    setting.release()
    throw error
  }
}

// Left early, the generator of the handler has to clean up; what it throws meanwhile is nobody's answer.
function leave(iterator: AnyIterator, setting: StreamSetting): void {
  new Promise((resolve) => resolve(setting.within(() => iterator.return?.()))).catch(nothing)
}

// No generator: one that was never started would not clean up when it is left.
class Lines implements AsyncIterableIterator<string> {
  readonly #next: () => Promise<string | undefined>
  readonly #iterator: AnyIterator
  readonly #setting: StreamSetting
  #first: string | undefined
  #state: 'first' | 'rest' | 'over'

  constructor(
    first: string | undefined,
    next: () => Promise<string | undefined>,
    iterator: AnyIterator,
    setting: StreamSetting,
  ) {
    this.#first = first
    this.#next = next
    this.#iterator = iterator
    this.#setting = setting
    this.#state = 'first'
  }

  async next(): Promise<IteratorResult<string>> {
    if (this.#state === 'over') return { done: true, value: undefined }
    try {
      const line = this.#state === 'first' ? this.#first : await this.#next()
      this.#state = 'rest'
      this.#first = undefined
      if (line !== undefined) return { done: false, value: line }
      this.#over()
      return { done: true, value: undefined }
    } catch (error) {
      try {
        return { done: false, value: await this.#setting.lastLine(error) }
      } finally {
        this.#leave()
      }
    }
  }

  async return(): Promise<IteratorResult<string>> {
    this.#leave()
    return { done: true, value: undefined }
  }

  [Symbol.asyncIterator](): this {
    return this
  }

  #leave(): void {
    if (this.#state === 'over') return
    this.#over()
    leave(this.#iterator, this.#setting)
  }

  #over(): void {
    this.#state = 'over'
    this.#setting.release()
  }
}

function nothing(): void {}

type AnyIterator = Iterator<unknown> | AsyncIterator<unknown>

function iteratorOf(operation: Operation, output: unknown): AnyIterator {
  if (typeof output === 'object' && output !== null) {
    if (Symbol.asyncIterator in output) return (output as AsyncIterable<unknown>)[Symbol.asyncIterator]()
    if (Symbol.iterator in output) return (output as Iterable<unknown>)[Symbol.iterator]()
  }
  throw replyInvalid(operation, 'a streaming operation returns an iterable')
}

async function checked(operation: Operation, item: unknown): Promise<unknown> {
  const schema: AnySchema | undefined = operation.definition.output
  if (schema === undefined) return item
  const result = await validate(schema, item)
  if (!result.ok) throw replyInvalid(operation, result.issues)
  return result.value
}

// A generator that waits for something else does not notice that nobody listens any more.
function orAborted<T>(signal: AbortSignal, step: () => T | PromiseLike<T>): Promise<T> {
  if (signal.aborted) return Promise.reject(signal.reason)
  return new Promise((resolve, reject) => {
    const onAbort = (): void => reject(signal.reason)
    signal.addEventListener('abort', onAbort, { once: true })
    const over = (): void => signal.removeEventListener('abort', onAbort)
    const work = new Promise<T>((settle) => settle(step()))
    work.then(over, over)
    work.then(resolve, reject)
  })
}
