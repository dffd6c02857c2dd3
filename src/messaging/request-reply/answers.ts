// Answers on their way: what a responder has to say is encoded, sent to whoever asked, and counted where it went nowhere.
import { createContext } from '../../core/context.ts'
import type { MessageTransport, SendResult } from '../../core/contracts/transport.ts'
import { deadlineIn } from '../../core/deadline.ts'
import { digestOf } from '../../core/digest.ts'
import { instantSource } from '../../core/instant.ts'
import type { Envelope, Message } from '../../core/message.ts'
import { type FairleadError, isFairleadError } from '../../errors/base.ts'
import { createError } from '../../errors/classes.ts'
import { classify } from '../../errors/classify.ts'
import { isCode } from '../../errors/codes.ts'
import type { World } from '../../policies/seams.ts'
import { decodeMessage, parseAddress } from '../decode.ts'
import { type EncodeOptions, encodeMessage } from '../encode.ts'
import { headersWithTrace, isTraceHeader } from '../trace.ts'
import type { Channel, MessageTypes, Publishable } from '../types.ts'
import { type Answer, dataOf, replyChannel, replyTypeOf } from './reply-wire.ts'
import type { Asked, ResponderStats } from './types.ts'

/** What a responder answers with. */
export interface AnswersParts {
  readonly transport: MessageTransport
  readonly channel: Channel
  readonly group: string | undefined
  readonly source: string
  readonly exposeErrors: boolean
  readonly onError:
    | ((error: unknown, where: { readonly channel: string; readonly type: string; readonly id: string }) => void)
    | undefined
  readonly world: World
}

/** For one reply; the deadline of the request may be sooner. */
const SEND_MS = 10_000

/** The address of whoever asked, and what the answer has to say of the request; undefined where none is wanted. */
export function askedBy({ id, attributes, headers, expiresAt }: Envelope): Asked | undefined {
  const replyTo = parseAddress(attributes['replyto'])
  if (replyTo === undefined) return undefined
  return {
    id,
    source: attributes['source'] ?? '',
    type: attributes['type'] ?? 'request',
    correlation: attributes['correlationid'] ?? id,
    replyTo,
    expiresAt,
    headers: traceOf(headersWithTrace(attributes, headers)),
  }
}

/** The same of a message that was decoded. */
export function askedIn(message: Message): Asked | undefined {
  const { id, source, type, correlationId, replyTo, expiresAt, headers } = message
  if (replyTo === undefined) return undefined
  return { id, source, type, correlation: correlationId ?? id, replyTo, expiresAt, headers: traceOf(headers) }
}

function traceOf(headers: Readonly<Record<string, string>>): Readonly<Record<string, string>> {
  return Object.fromEntries(Object.entries(headers).filter(([name]) => isTraceHeader(name)))
}

/** Encodes, sends and counts. */
export class Answers {
  readonly #parts: AnswersParts
  readonly #encode: EncodeOptions
  readonly #counts: { -readonly [K in keyof ResponderStats]: number }

  constructor(parts: AnswersParts) {
    const { source, world } = parts
    this.#parts = parts
    this.#encode = { source, clock: world.clock, time: instantSource(world.clock) }
    this.#counts = { replies: 0, failures: 0, errors: 0, silent: 0, gone: 0, late: 0, failed: 0 }
  }

  stats(): ResponderStats {
    return { ...this.#counts }
  }

  /** An answer was given; `undefined`: nobody wanted one. */
  count(answer: Answer | undefined): void {
    if (answer === undefined) this.#counts.silent++
    else if (answer.what === 'reply') this.#counts.replies++
    else if (answer.what === 'failure') this.#counts.failures++
    else this.#counts.errors++
  }

  /** Whether whoever asked waits no longer. */
  isLate({ expiresAt }: Asked): boolean {
    return expiresAt !== undefined && expiresAt <= this.#parts.world.clock.wallNow()
  }

  /** The answer as a message, and the channel it goes to: for an outbox. */
  publishable(asked: Asked, answer: Answer): { readonly to: Channel; readonly message: Publishable<MessageTypes> } {
    const { id, source, type, correlation, replyTo, expiresAt, headers } = asked
    return {
      to: replyChannel(this.#parts.channel, type, answer, replyTo),
      message: {
        type: replyTypeOf(type),
        data: dataOf(answer),
        // The same each time: whoever hears it twice can tell. Not the id of the request: others answer it as well.
        id: digestOf(source, id, this.#parts.source, this.#parts.group ?? '')
          .toString('hex')
          .slice(0, 32),
        correlationId: correlation,
        causationId: id,
        expiresAt,
        headers,
      },
    }
  }

  /** @throws FairleadError `INVALID_INPUT` for data that break their schema */
  async encode(asked: Asked, answer: Answer): Promise<Envelope> {
    const { to, message } = this.publishable(asked, answer)
    return await encodeMessage(to, message, this.#encode)
  }

  /**
   * Sends it, and resolves also where it went nowhere and never will get anywhere: that is counted.
   * @throws FairleadError where it may go well later
   */
  async send(envelope: Envelope, asked: Asked): Promise<void> {
    const { transport, world } = this.#parts
    const leftMs = (asked.expiresAt ?? Infinity) - world.clock.wallNow()
    if (leftMs <= 0) return this.late(asked)
    const { context } = createContext({
      service: asked.replyTo.name,
      operation: 'reply',
      deadline: deadlineIn(Math.min(leftMs, SEND_MS), world.clock),
      idempotent: true,
    })
    let result: SendResult | undefined
    try {
      ;[result] = await transport.send(asked.replyTo, [envelope], context)
    } catch (error) {
      // A transport never rejects.
      result = { status: 'failed', error }
    }
    if (result?.status === 'accepted' || result?.status === 'duplicate') return
    const error = classify(
      result?.error ??
        createError({ code: 'PROTOCOL_VIOLATION', message: `${transport.name} said nothing of the reply` }),
      { transport: transport.name, channel: asked.replyTo.name },
    )
    if (isFairleadError(error, 'UNROUTABLE', 'CHANNEL_NOT_FOUND')) {
      this.#counts.gone++
      this.#undelivered(asked, 'gone', error)
    } else if (error.transient) throw error
    else this.failed(asked, error)
  }

  late(asked: Asked): void {
    this.#counts.late++
    this.#undelivered(asked, 'late', undefined)
  }

  failed(asked: Asked, error: FairleadError): void {
    this.#counts.failed++
    this.#undelivered(asked, 'failed', error)
  }

  #undelivered({ id, type, replyTo }: Asked, why: 'gone' | 'late' | 'failed', error: FairleadError | undefined): void {
    const { world, channel, group } = this.#parts
    if (!world.events.heard) return
    world.events.emit({
      type: 'reply-undelivered',
      why,
      replyTo,
      id,
      messageType: type,
      channel: channel.name,
      ...(group === undefined ? {} : { group }),
      ...(error === undefined ? {} : { error }),
    })
  }

  /** What is told of an error that a handler let through, or of an answer of ours that breaks our own channel. */
  problem(
    error: unknown,
    type: string,
    options: Extract<Answer, { readonly what: 'problem' }>['options'] = {},
  ): Answer {
    const { exposeErrors, channel } = this.#parts
    return {
      what: 'problem',
      error: outgoing(error, channel.name, type),
      options: { expose: exposeErrors, service: channel.name, operation: type, ...options },
    }
  }

  /** What is told of a message that was given up, by the reason it was given up for. */
  async givenUp(envelope: Envelope, asked: Asked, reason: string): Promise<Answer> {
    const { channel } = this.#parts
    const [code = ''] = reason.split(':', 1)
    // No handler has seen it, and it is the asker who can mend it.
    const theirs = { expose: true, effect: 'none' } as const
    if (code === 'MESSAGE_INVALID') {
      const error = await fault(channel, envelope)
      const issues = (error?.details as { readonly issues?: unknown } | undefined)?.issues
      const invalid = createError({
        code: 'INVALID_INPUT',
        message: 'the request breaks its schema',
        details: { issues },
      })
      return this.problem(invalid, asked.type, theirs)
    }
    if (code === 'MESSAGE_UNDECODABLE' || code === 'MESSAGE_UNHANDLED')
      return this.problem(createError({ code, stack: false }), asked.type, theirs)
    if (isCode(code)) return this.problem(createError({ code, stack: false }), asked.type)
    if (code === 'POISON') return this.problem(createError({ code: 'SERVER_ERROR', stack: false }), asked.type)
    // The handler's own word: it can never be handled.
    return this.problem(createError({ code: 'UNPROCESSABLE', message: reason, stack: false }), asked.type)
  }

  /** A listener's fault is not the request's. */
  tell(error: unknown, { type, id }: Pick<Asked, 'type' | 'id'>): void {
    const { onError, channel } = this.#parts
    try {
      onError?.(error, { channel: channel.name, type, id })
    } catch {
      // Nothing to be done for it here.
    }
  }
}

// An error of a call that the handler made elsewhere says what happened there: somebody else's refusal of our request is not the fault of our asker.
function outgoing(error: unknown, service: string, operation: string): unknown {
  if (!isFairleadError(error) || error.service === undefined || error.service === service) return error
  const ours = error.kind === 'invalid' || error.kind === 'cancelled' || error.code === 'DECLARED_FAILURE'
  return ours ? createError({ code: 'SERVER_ERROR', cause: error, service, operation }) : error
}

// Decoded once more, as only the reason is left of what went wrong; it is rare.
async function fault(channel: Channel, envelope: Envelope): Promise<FairleadError | undefined> {
  try {
    await decodeMessage(channel, envelope)
  } catch (error) {
    return classify(error)
  }
  return undefined
}
