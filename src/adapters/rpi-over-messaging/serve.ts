// Serves a contract from a queue: each message is a request to the server adapter, and its answer goes back to where the caller waits.
import { detached } from '../../core/async-context.ts'
import { readDeadline } from '../../core/http-wire.ts'
import { type Closable, closable } from '../../core/lifecycle.ts'
import type { Message } from '../../core/message.ts'
import { isFairleadError } from '../../errors/base.ts'
import { createError } from '../../errors/classes.ts'
import { createConsumer } from '../../messaging/consumer/create-consumer.ts'
import { dead } from '../../messaging/consumer/outcomes.ts'
import type { ConsumerHealth, HandlerContext } from '../../messaging/consumer/types.ts'
import type { FetchServer } from '../memory/rpi.ts'
import { type Answer, Answers, problemAnswer } from './answers.ts'
import { type EarlyAck, earlyAck } from './early-ack.ts'
import { type ServeOptions, type Settings, settingsOf } from './options.ts'
import { httpHeaders, IDEMPOTENT_HEADER, METHOD_HEADER, REQUEST_TYPE, TARGET_HEADER } from './wire.ts'

/** A service that is asked over messaging. */
export interface ServedOverMessaging extends Closable {
  /** Where it takes its requests from. */
  readonly queue: string
  health(): ConsumerHealth
  stats(): ServedStats
  /** Takes nothing more, lets what runs end and answer, then aborts it. The transport and the adapter stay open. */
  close(options?: { readonly withinMs?: number | undefined }): Promise<void>
}

/** Figures of a served queue; they only grow. */
export interface ServedStats {
  /** Requests that were worked on. */
  readonly served: number
  /** Of those, answers that went out. */
  readonly answered: number
  /** Answers that nobody waited for any more, or that could not be sent. */
  readonly unanswered: number
}

/**
 * Serves what a server adapter serves, from a queue. Resolves once the subscription stands.
 *
 * A queue may hand a message out twice. So a request of an operation that its contract does not call idempotent is acknowledged **before** it is worked on: at most once, and a process that
 * dies meanwhile leaves its caller with an unknown outcome, as over HTTP. All others are acknowledged after they were answered: at least once, also when a process dies. With an
 * adapter that keeps answers (`idempotency`) that holds for whatever comes with an `Idempotency-Key` too: a repetition is given the answer that is kept.
 *
 * A request that has expired is not worked on.
 * @throws FairleadError `INVALID_OPTIONS`; what the transport says
 * @example const served = await serveOverMessaging(createServerAdapter(Inventory, handlers), { transport: rabbitmq, concurrency: 20 })
 */
export async function serveOverMessaging(server: FetchServer, options: ServeOptions): Promise<ServedOverMessaging> {
  const settings = settingsOf(server, options)
  const early = earlyAck(settings.transport)
  const serving = new Serving(server, settings, early)
  const consumer = createConsumer({
    ...settings.consumer,
    transport: early.transport,
    channel: settings.channel,
    handlers: { [REQUEST_TYPE]: (message: Message, context: HandlerContext) => serving.handle(message, context) },
  })
  await consumer.start()
  const ending = closable(() => consumer.close({ withinMs }))
  let withinMs: number | undefined
  const close: ServedOverMessaging['close'] = (given) => {
    withinMs = given?.withinMs
    return ending.close()
  }
  return {
    queue: settings.channel.name,
    health: () => consumer.health(),
    stats: () => ({ ...serving.stats }),
    close,
    [Symbol.asyncDispose]: () => close(),
  }
}

class Serving {
  readonly stats: { served: number; answered: number; unanswered: number }
  readonly #server: FetchServer
  readonly #settings: Settings
  readonly #early: EarlyAck
  readonly #answers: Answers

  constructor(server: FetchServer, settings: Settings, early: EarlyAck) {
    this.stats = { served: 0, answered: 0, unanswered: 0 }
    this.#server = server
    this.#settings = settings
    this.#early = early
    this.#answers = new Answers(settings)
  }

  async handle(message: Message, context: HandlerContext): Promise<unknown> {
    const { headers } = message
    const method = headers[METHOD_HEADER]
    const target = headers[TARGET_HEADER]
    if (method === undefined || target === undefined || !target.startsWith('/'))
      return dead(`it is no request: ${METHOD_HEADER} and ${TARGET_HEADER} say nothing that can be asked`)
    const once = !this.#mayRepeat(headers)
    if (once) await this.#early.take(headers)
    this.stats.served++
    const answer = await this.#answer(message, context, method, target, once)
    if (await this.#answers.send(message, answer)) this.stats.answered++
    else this.stats.unanswered++
    return undefined
  }

  #mayRepeat(headers: Message['headers']): boolean {
    return headers[IDEMPOTENT_HEADER] === 'true' || (this.#settings.keepsAnswers && 'idempotency-key' in headers)
  }

  // Never rejects, but when the work was ended by us and somebody else may do it.
  async #answer(
    message: Message,
    context: HandlerContext,
    method: string,
    target: string,
    once: boolean,
  ): Promise<Answer> {
    const controller = new AbortController()
    let ended: { readonly reason: unknown } | undefined
    const aborted = new Promise<undefined>((resolve) => {
      context.onAbort((reason) => {
        // Of a message that is ours for good no right can be lost.
        if (once && isFairleadError(reason, 'LEASE_LOST')) return
        ended = { reason }
        controller.abort(reason)
        resolve(undefined)
      })
    })
    let answer: Answer | undefined
    try {
      const request = this.#request(message, method, target, controller.signal)
      // The server's work inherits nothing but what the headers say.
      const work = detached(() => this.#respond(request))
      answer = await Promise.race([work, aborted])
      if (answer === undefined) work.catch(nothing)
    } catch (error) {
      answer = problemAnswer(error)
    }
    if (answer !== undefined) return answer
    if (!once && !isFairleadError(ended?.reason, 'DEADLINE_EXCEEDED')) throw ended?.reason
    return problemAnswer(ended?.reason)
  }

  #request(message: Message, method: string, target: string, signal: AbortSignal): Request {
    const { deadlineHeader, handlerTimeoutMs, clock } = this.#settings
    const headers = httpHeaders(message.headers)
    // It may have waited in the queue for most of its time; the clocks of two machines do not agree, so that the shorter one counts.
    const told = readDeadline(headers[deadlineHeader]) ?? Infinity
    const left = message.expiresAt === undefined ? Infinity : message.expiresAt - clock.wallNow()
    headers[deadlineHeader] = String(Math.max(0, Math.floor(Math.min(told, left, handlerTimeoutMs))))
    return new Request(`http://queue${target}`, {
      method,
      headers,
      signal,
      body: message.data ?? null,
    } as RequestInit)
  }

  async #respond(request: Request): Promise<Answer> {
    const response = await this.#server.fetch(request)
    const { status, body } = response
    const headers = Object.fromEntries(response.headers)
    if (headers['content-type']?.startsWith('application/x-ndjson') === true) {
      await body?.cancel()
      return problemAnswer(
        createError({ code: 'CAPABILITY_MISSING', message: 'the answer is a stream, and a message is whole' }),
      )
    }
    return { status, headers, body: await response.text() }
  }
}

function nothing(): void {}
