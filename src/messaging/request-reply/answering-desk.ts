// Between the consumer and the handlers of requests: what a handler returns or throws becomes an answer, which is sent before the request is acknowledged, or is part of the
// transaction of its inbox.
import type { Clock } from '../../core/clock.ts'
import type { Envelope, Message } from '../../core/message.ts'
import { isFairleadError } from '../../errors/base.ts'
import { createError, withFields } from '../../errors/classes.ts'
import { classify } from '../../errors/classify.ts'
import { isOutcome } from '../consumer/outcomes.ts'
import type { HandlerContext } from '../consumer/types.ts'
import type { Outbox } from '../outbox/types.ts'
import type { Channel } from '../types.ts'
import type { GivingUp } from './answering-transport.ts'
import { type Answers, askedBy, askedIn } from './answers.ts'
import { Remembered } from './remembered.ts'
import type { Answer } from './reply-wire.ts'
import { Told } from './told.ts'
import type { Asked } from './types.ts'

/** Answers that could not be sent yet, and those that wait for a transaction of their own. */
const MOST_KEPT = 10_000

type AnyHandler = (message: any, context: any) => unknown

/** What follows on a failed attempt. */
export interface Plan {
  readonly immediate: number
  readonly delayedMs: readonly number[]
  readonly jitter: number
}

/** What stands between the consumer and the handlers of requests. */
export class AnsweringDesk implements GivingUp {
  readonly #answers: Answers
  readonly #channel: Channel
  readonly #outbox: Outbox<unknown> | undefined
  readonly #plan: Plan
  readonly #clock: Clock
  /** Handled, but the broker could not take the reply: the handler is not called again for that. */
  readonly #unsent: Remembered<Envelope>
  /** Answers to requests whose transaction was undone. */
  readonly #undone: Remembered<Answer>

  constructor(answers: Answers, channel: Channel, outbox: Outbox<unknown> | undefined, plan: Plan, clock: Clock) {
    this.#answers = answers
    this.#channel = channel
    this.#outbox = outbox
    this.#plan = plan
    this.#clock = clock
    this.#unsent = new Remembered(MOST_KEPT)
    this.#undone = new Remembered(MOST_KEPT)
  }

  handler(type: string, handler: unknown): unknown {
    if (typeof handler !== 'function' || this.#channel.types[type]?.reply === undefined) return handler
    const own = handler as AnyHandler
    return this.#outbox === undefined
      ? (message: Message, context: HandlerContext) => this.#direct(message, context, own)
      : (message: Message, context: HandlerContext) => this.#inTransaction(message, context, own)
  }

  // ---- without an inbox ----

  async #direct(message: Message, context: HandlerContext, handler: AnyHandler): Promise<unknown> {
    const asked = askedIn(message)
    const unsent = this.#unsent.get(nameOf(message.source, message.id))
    if (unsent !== undefined && asked !== undefined) return await this.#send(unsent, asked)
    let answer: Answer
    try {
      const value = await handler(message, new Told(context, this.#channel.name, message.type))
      if (isOutcome(value)) return value
      answer = { what: 'reply', data: value }
    } catch (thrown) {
      answer = this.#ending(thrown, message, context, asked)
    }
    if (asked === undefined) {
      this.#answers.count(undefined)
      return undefined
    }
    const { envelope, said } = await this.#encoded(asked, answer)
    this.#answers.count(said)
    return await this.#send(envelope, asked)
  }

  async #encoded(asked: Asked, answer: Answer): Promise<{ readonly envelope: Envelope; readonly said: Answer }> {
    try {
      return { envelope: await this.#answers.encode(asked, answer), said: answer }
    } catch (error) {
      const said = this.#brokenBy(error, asked, 'done')
      return { envelope: await this.#answers.encode(asked, said), said }
    }
  }

  async #send(envelope: Envelope, asked: Asked): Promise<undefined> {
    try {
      await this.#answers.send(envelope, asked)
      this.#unsent.delete(nameOf(asked.source, asked.id))
      return undefined
    } catch (error) {
      this.#unsent.set(nameOf(asked.source, asked.id), envelope)
      throw error
    }
  }

  // ---- with an inbox ----

  async #inTransaction(message: Message, context: HandlerContext, handler: AnyHandler): Promise<unknown> {
    const asked = askedIn(message)
    const { tx } = context as HandlerContext & { readonly tx: unknown }
    let answer = this.#undone.get(nameOf(message.source, message.id))
    if (answer === undefined) {
      try {
        const value = await handler(message, new Told(context, this.#channel.name, message.type))
        if (isOutcome(value)) return value
        answer = { what: 'reply', data: value }
      } catch (thrown) {
        // It may have stopped half way: nothing of it is committed.
        if (context.aborted !== undefined) throw thrown
        throw this.#inAnother(message, this.#ending(thrown, message, context, asked))
      }
    }
    if (asked === undefined) this.#answers.count(undefined)
    else if (this.#answers.isLate(asked)) this.#answers.late(asked)
    else await this.#publish(tx, asked, answer)
    return undefined
  }

  async #publish(tx: unknown, asked: Asked, answer: Answer): Promise<void> {
    const { to, message } = this.#answers.publishable(asked, answer)
    try {
      await this.#outbox?.publish(tx, to, message)
    } catch (error) {
      if (answer.what === 'problem' || !isFairleadError(error, 'INVALID_INPUT', 'PAYLOAD_TOO_LARGE')) throw error
      throw this.#inAnother(asked, this.#brokenBy(error, asked, 'unknown'))
    }
    this.#answers.count(answer)
  }

  // What the handler wrote is undone with its transaction; the answer is written in the next one, with the entry of the inbox.
  #inAnother({ source, id }: Pick<Asked, 'source' | 'id'>, answer: Answer): Error {
    this.#undone.set(nameOf(source, id), answer)
    return createError({
      code: 'CALL_FAILED',
      message: 'undone: its answer is written in a transaction of its own',
      stack: false,
    })
  }

  // ---- both ----

  /** The answer to a request whose handler threw. @throws what should be tried again, or is no answer */
  #ending(thrown: unknown, message: Message, context: HandlerContext, asked: Asked | undefined): Answer {
    const { type, id } = message
    const { name, types } = this.#channel
    if (isFairleadError(thrown, 'DECLARED_FAILURE') && thrown.service === name && thrown.operation === type) {
      const { failure = '', details } = thrown
      if (Object.hasOwn(types[type]?.failures ?? {}, failure)) return { what: 'failure', failure, data: details }
      // By JavaScript a handler can name what the channel does not.
      if (asked !== undefined) return this.#brokenBy(`no failure is called ${failure}`, asked, 'unknown')
    }
    if (asked === undefined) throw thrown
    this.#orAgain(thrown, context, asked)
    this.#answers.tell(thrown, { type, id })
    return this.#answers.problem(thrown, type)
  }

  // What may pass is tried again as long as somebody waits for it, by the consumer.
  #orAgain(thrown: unknown, context: HandlerContext, { expiresAt }: Asked): void {
    const error = classify(thrown, { aborted: context.aborted })
    const { aborted, attempt, redeliveries } = context
    // The right to answer is lost, or we are closing: it is somebody else's.
    if (aborted !== undefined && !isFairleadError(aborted.reason, 'DEADLINE_EXCEEDED')) throw thrown
    const passes = aborted !== undefined || error.transient || error.kind === 'cancelled' || error.refusedBy === 'self'
    if (!passes || isFairleadError(error, 'DEADLINE_SPENT')) return
    const { immediate, delayedMs, jitter } = this.#plan
    const waits = aborted !== undefined || error.retryAfterMs !== undefined || error.overload
    if (!waits && attempt <= immediate) throw thrown
    const planned = delayedMs[redeliveries]
    if (planned === undefined) return
    const delayMs = Math.max(planned * (1 + jitter), error.retryAfterMs ?? 0)
    if (expiresAt !== undefined && this.#clock.wallNow() + delayMs >= expiresAt) return
    // With a time to wait, if only none, the consumer makes no further attempt at once.
    throw withFields(error, { retryAfterMs: error.retryAfterMs ?? 0 })
  }

  // Our own answer is not what our channel promises: our fault, and what it looks like is nobody's business outside.
  #brokenBy(cause: unknown, asked: Asked, effect: 'done' | 'unknown'): Answer {
    const tooLarge = isFairleadError(cause, 'PAYLOAD_TOO_LARGE')
    const error = createError({
      code: tooLarge ? 'REPLY_TOO_LARGE' : 'REPLY_INVALID',
      message: tooLarge ? undefined : 'the responder broke its own channel',
      service: this.#channel.name,
      operation: asked.type,
      details: isFairleadError(cause) ? cause.details : { issues: cause },
      cause,
    })
    this.#answers.tell(error, asked)
    return this.#answers.problem(error, asked.type, { effect, status: 500 })
  }

  async dead(envelope: Envelope, reason: string): Promise<boolean> {
    const asked = askedBy(envelope)
    if (asked === undefined) return false
    try {
      let answer = this.#unsent.get(nameOf(asked.source, asked.id))
      if (answer === undefined) {
        const said = await this.#answers.givenUp(envelope, asked, reason)
        answer = await this.#answers.encode(asked, said)
        this.#answers.count(said)
      }
      await this.#answers.send(answer, asked)
      return true
    } catch (error) {
      this.#answers.failed(asked, classify(error))
      return false
    }
  }

  over({ id, attributes }: Envelope): void {
    if (this.#unsent.size === 0 && this.#undone.size === 0) return
    const name = nameOf(attributes['source'] ?? '', id)
    this.#unsent.delete(name)
    this.#undone.delete(name)
  }
}

// An id is one of its source.
function nameOf(source: string, id: string): string {
  return JSON.stringify([source, id])
}
