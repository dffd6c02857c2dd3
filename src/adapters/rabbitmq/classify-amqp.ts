// What the broker and its clients say, in the words of fairlead. AMQP 0-9-1 has a closed list of reply codes (specification, section 1.2 "constants").
import { withFields } from '../../errors/classes.ts'
import {
  type Code,
  classify,
  createError,
  type Effect,
  type FairleadError,
  isFairleadError,
} from '../../errors/index.ts'

/** Reply codes of AMQP 0-9-1 by name; clients tell either. */
export const REPLY_CODES: Readonly<Record<string, number>> = Object.freeze({
  CONTENT_TOO_LARGE: 311,
  NO_ROUTE: 312,
  NO_CONSUMERS: 313,
  CONNECTION_FORCED: 320,
  INVALID_PATH: 402,
  ACCESS_REFUSED: 403,
  NOT_FOUND: 404,
  RESOURCE_LOCKED: 405,
  PRECONDITION_FAILED: 406,
  FRAME_ERROR: 501,
  SYNTAX_ERROR: 502,
  COMMAND_INVALID: 503,
  CHANNEL_ERROR: 504,
  UNEXPECTED_FRAME: 505,
  RESOURCE_ERROR: 506,
  NOT_ALLOWED: 530,
  NOT_IMPLEMENTED: 540,
  INTERNAL_ERROR: 541,
})

const CODES_BY_REPLY: Readonly<Record<number, Code>> = Object.freeze({
  311: 'PAYLOAD_TOO_LARGE',
  312: 'UNROUTABLE',
  313: 'UNROUTABLE',
  // An operator closed it, or the broker goes down.
  320: 'CONNECTION_LOST',
  402: 'NOT_FOUND',
  403: 'FORBIDDEN',
  404: 'CHANNEL_NOT_FOUND',
  // An exclusive queue of another connection.
  405: 'CONFLICT',
  406: 'INCOMPATIBLE',
  501: 'PROTOCOL_VIOLATION',
  502: 'PROTOCOL_VIOLATION',
  503: 'PROTOCOL_VIOLATION',
  504: 'PROTOCOL_VIOLATION',
  505: 'PROTOCOL_VIOLATION',
  506: 'UNAVAILABLE',
  530: 'FORBIDDEN',
  540: 'NOT_SUPPORTED',
  541: 'SERVER_ERROR',
})

/**
 * An answer of the broker by its reply code: the end of a channel or of a connection. Its words are kept: of a 406 they name what differs.
 * @param effect of what was asked; default as the table of codes says
 */
export function amqpError(replyCode: number, replyText: string, effect?: Effect | undefined, cause?: unknown): Error {
  // 403 before anybody is logged in is about who asks, and not about what: `ACCESS_REFUSED - Login was refused using authentication mechanism PLAIN`.
  const code = codeOfReply(replyCode, replyText)
  return createError({
    code,
    message: `the broker answered ${replyCode}: ${replyText}`,
    effect,
    transport: 'rabbitmq',
    details: { replyCode },
    ...(cause === undefined ? {} : { cause }),
  })
}

function codeOfReply(replyCode: number, replyText: string): Code {
  if (replyCode === 403 && /login|authentication/i.test(replyText)) return 'UNAUTHENTICATED'
  // There is one, and its process is down just now (a leader is being elected, a node starts).
  if (replyCode === 404 && !/no (queue|exchange|binding)\b/i.test(replyText)) return 'UNAVAILABLE'
  // `PRECONDITION_FAILED - message size 200001 is larger than configured max size 200000`
  if (replyCode === 406 && /message size/i.test(replyText)) return 'PAYLOAD_TOO_LARGE'
  if (replyCode === 530 && /vhost .* not found/i.test(replyText)) return 'NOT_FOUND'
  if (replyCode === 530 && /(connection|channel) limit/i.test(replyText)) return 'UNAVAILABLE'
  return CODES_BY_REPLY[replyCode] ?? 'SERVER_ERROR'
}

/** The connection or the channel is gone, and nobody said why, or the network did: the cause says. */
export function amqpLost(cause: unknown, effect: Effect, transport: string = 'rabbitmq'): Error {
  if (isFairleadError(cause)) return cause.effect === effect ? cause : withFields(cause, { effect })
  const found = cause === undefined ? undefined : classify(cause, { transport })
  // What says nothing by itself was said while a connection broke: that is what is known.
  const code = found === undefined || VAGUE.has(found.code) ? 'CONNECTION_LOST' : found.code
  const said = cause instanceof Error && cause.message !== '' ? `: ${cause.message}` : ''
  return createError({
    code,
    message: `the connection to the broker was lost${said}`,
    effect,
    transport,
    ...(cause === undefined ? {} : { cause }),
  })
}

/** The broker answered with a nack: it could not take the message (a queue that is full and refuses, or that failed). */
export function amqpNacked(): Error {
  return createError({
    code: 'UNAVAILABLE',
    message: 'the broker refused the message (basic.nack): a queue is full and refuses more, or has no leader',
    effect: 'none',
    transport: 'rabbitmq',
    details: NACKED,
  })
}

const NACKED = Object.freeze({ reply: 'basic.nack' })

/** Whether the broker answered with a nack. */
export function isNacked({ details }: FairleadError): boolean {
  return details === NACKED
}

const VAGUE: ReadonlySet<Code> = new Set<Code>(['CALL_FAILED', 'PROGRAMMING_ERROR'])
