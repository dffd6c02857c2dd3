// A reply that is a stream: the call is answered at its head; the items follow, pulled by the caller, under the deadline of the call.
import { FailureAnswer } from '../../core/answer.ts'
import type { Timer } from '../../core/clock.ts'
import { isNdjsonType, lines, readLine, type StreamLine } from '../../core/http-wire.ts'
import { isFairleadError } from '../../errors/base.ts'
import { fromProblem } from '../../errors/wire.ts'
import { type ByteQueue, createByteQueue } from './byte-queue.ts'
import { codingsOf, streamDecoder } from './decode.ts'
import { Exchange, HttpReply, headerOf } from './exchange.ts'
import type { DispatchController, IncomingHeaders } from './undici.ts'

/** As `Exchange` for every reply but a good NDJSON one; that is given as an async iterable of its items. */
export class StreamExchange extends Exchange {
  private queue: ByteQueue | undefined
  private release: (() => void) | undefined
  private timer: Timer | undefined
  private ended = false

  override onAborted(reason: unknown): void {
    this.end(isFairleadError(reason) ? reason : this.error('CANCELLED', undefined, undefined, reason))
    super.onAborted(reason)
  }

  override onResponseStart(controller: DispatchController, status: number, headers: IncomingHeaders): void {
    if (status < 200 || status >= 300 || !isNdjsonType(headerOf(headers, 'content-type'))) {
      super.onResponseStart(controller, status, headers)
      return
    }
    if (this.settled) return
    this.controller = controller
    this.status = status
    this.headers = headers
    const { context, settings } = this
    const queue = createByteQueue(
      () => controller.pause(),
      () => controller.resume(),
    )
    this.queue = queue
    // The slot, the lease and the endpoint are held until the stream is over.
    context.track(new Promise<void>((resolve) => (this.release = resolve)))
    const left = context.deadline.at === Infinity ? Infinity : context.deadline.remainingMs()
    // Nothing outlives its deadline, a stream that nobody reads least of all.
    if (left !== Infinity) this.timer = settings.clock.setTimer(late, Math.max(left, 0), this)
    let chunks: AsyncIterable<Uint8Array>
    try {
      chunks = decoded(queue, codingsOf(headerOf(headers, 'content-encoding')))
    } catch (cause) {
      this.fail(this.error('REPLY_UNDECODABLE', 'the reply cannot be decompressed', 'done', cause))
      this.end(cause)
      return
    }
    this.done(new HttpReply(this.items(chunks), headers, {}, undefined))
  }

  override onResponseData(controller: DispatchController, chunk: Buffer): void {
    if (this.queue === undefined) {
      super.onResponseData(controller, chunk)
      return
    }
    if (this.ended) return
    this.received += chunk.length
    this.queue.push(chunk)
  }

  override onResponseEnd(controller: DispatchController, trailers: IncomingHeaders): void {
    if (this.queue === undefined) {
      super.onResponseEnd(controller, trailers)
      return
    }
    this.finish()
    this.queue.end()
  }

  override onResponseError(controller: DispatchController | undefined, error: Error): void {
    if (this.queue === undefined) {
      super.onResponseError(controller, error)
      return
    }
    if (this.ended) return
    this.context.effect = 'unknown'
    const reason = this.classified(error)
    this.finish()
    this.queue.fail(reason)
  }

  /** The deadline came while the stream was running. */
  late(): void {
    this.onAborted(this.error('DEADLINE_EXCEEDED', 'the deadline came while the reply was streaming', 'unknown'))
  }

  // The stream is given up from this side.
  private end(reason: unknown): void {
    if (this.queue === undefined || this.ended) return
    this.finish()
    this.queue.fail(reason)
    this.hangUp()
  }

  private finish(): void {
    if (this.ended) return
    this.ended = true
    if (this.timer !== undefined) this.settings.clock.clearTimer(this.timer)
    this.tell()
    this.release?.()
  }

  private items(chunks: AsyncIterable<Uint8Array>): AsyncIterableIterator<unknown> {
    const items = this.readItems(chunks)
    // A generator that was never started runs no `finally` when it is returned from: giving up is handled here.
    const giveUp = (): void => this.end(this.error('CANCELLED', 'the stream was given up'))
    return {
      next: () => items.next(),
      return: async () => {
        giveUp()
        await items.return(undefined)
        return { done: true, value: undefined }
      },
      throw: async (error) => {
        giveUp()
        await items.return(undefined)
        throw error
      },
      [Symbol.asyncIterator]() {
        return this
      },
    }
  }

  private async *readItems(chunks: AsyncIterable<Uint8Array>): AsyncGenerator<unknown, void, undefined> {
    try {
      for await (const text of lines(chunks, this.settings.maxResponseBytes, () => this.oversize())) {
        const line = this.parse(text)
        if (line === undefined) continue
        if (line.type === 'item') yield line.value
        else if (line.type === 'failure') throw new FailureAnswer(line.failure, line.data)
        else throw fromProblem(line.problem, statusIn(line.problem), this.facts())
      }
    } catch (error) {
      if (isFairleadError(error) || error instanceof FailureAnswer) throw error
      // Broken compression, or bytes that are no UTF-8.
      throw this.error('REPLY_UNDECODABLE', 'the reply cannot be decoded', 'done', error)
    } finally {
      this.end(this.error('CANCELLED', 'the stream was given up'))
    }
  }

  private parse(text: string): StreamLine | undefined {
    try {
      return readLine(text)
    } catch (cause) {
      throw this.error('REPLY_UNDECODABLE', 'an item of the reply is not valid JSON', 'done', cause)
    }
  }
}

const GIVEN_UP = new Error('the stream was given up')

function statusIn(problem: Readonly<Record<string, unknown>>): number {
  const { status } = problem
  return typeof status === 'number' ? status : 500
}

function late(exchange: StreamExchange): void {
  exchange.late()
}

function decoded(queue: ByteQueue, codings: readonly string[]): AsyncIterable<Uint8Array> {
  const decoder = streamDecoder(codings)
  if (decoder === undefined) return queue
  return unpack(queue, decoder)
}

async function* unpack(
  queue: ByteQueue,
  decoder: NonNullable<ReturnType<typeof streamDecoder>>,
): AsyncGenerator<Uint8Array, void, undefined> {
  const { pipeline } = process.getBuiltinModule('node:stream/promises')
  const feeding = pipeline(queue, decoder).catch(() => {})
  try {
    yield* decoder as AsyncIterable<Uint8Array>
  } finally {
    decoder.destroy()
    // Left early, the feeder would wait for the next chunk, which may never come.
    queue.fail(GIVEN_UP)
    await feeding
  }
}
