// What amqplib throws, in fairlead's words: reply codes where it tells them, else its own words (2.x; a test sees to it that they are still said).
import { type Code, createError, type Effect, isFairleadError } from '../../../errors/index.ts'
import { amqpError, amqpLost } from '../classify-amqp.ts'

// `Handshake terminated by server: 403 (ACCESS_REFUSED) with message "..."`: only there is the code in the words alone.
const HANDSHAKE = /^Handshake terminated by server: (\d{3}) \([^)]*\) with message "([\s\S]*)"$/

interface Word {
  readonly match: RegExp
  readonly code: Code
  readonly effect: Effect
  readonly message: string
}

const WORDS: readonly Word[] = [
  {
    // amqplib keeps the reply code of this one to itself.
    match: /^Expected ConnectionOpenOk; got <ConnectionClose/,
    code: 'FORBIDDEN',
    effect: 'none',
    message:
      'the broker refused the virtual host: there is none of that name, this user may not enter it, or it has too many connections (the log of the broker says which)',
  },
  {
    match: /^connect ETIMEDOUT$/,
    code: 'CONNECT_TIMEOUT',
    effect: 'none',
    message: 'the broker did not answer in time',
  },
  {
    match: /^No channels left to allocate/,
    code: 'SELF_EXHAUSTED',
    effect: 'none',
    message: 'the connection has as many channels as the broker allows (channel_max)',
  },
  {
    match: /^SASL mechanism .* is not provided by the server/,
    code: 'UNAUTHENTICATED',
    effect: 'none',
    message: 'the broker does not take credentials of this kind',
  },
  {
    match: /^Expected amqp: or amqps: as the protocol/,
    code: 'INVALID_OPTIONS',
    effect: 'none',
    message: 'the address of the broker begins with neither amqp: nor amqps:',
  },
  {
    match: /^(Frame size|Invalid frame|Expected ConnectionStart; got|Frame on channel != 0|Expected connection\.)/i,
    code: 'PROTOCOL_VIOLATION',
    effect: 'none',
    message: 'what answered does not speak AMQP 0-9-1',
  },
]

/**
 * @param error as amqplib rejects or emits it; undefined where a connection ended without a word
 * @param effect of what was asked, where the words do not say better
 * @param refused the effect where the broker answered with a reply code that is a refusal; default `effect`
 */
export function amqplibError(error: unknown, effect: Effect, refused: Effect = effect): Error {
  if (isFairleadError(error)) return amqpLost(error, effect)
  const { code, message } = (error ?? {}) as { readonly code?: unknown; readonly message?: unknown }
  // A number is what the broker answered; a string is of the network.
  if (typeof code === 'number')
    return amqpError(code, replyText(String(message)), FAILURES.has(code) ? effect : refused, error)
  const text = typeof message === 'string' ? message : ''
  const handshake = HANDSHAKE.exec(text)
  if (handshake !== null) return amqpError(Number(handshake[1]), handshake[2] as string, 'none', error)
  const word = WORDS.find(({ match }) => match.test(text))
  if (word === undefined) return amqpLost(error, effect)
  return createError({
    code: word.code,
    effect: word.effect,
    message: word.message,
    transport: 'rabbitmq',
    cause: error,
  })
}

// 320 (it goes down) and 541 (it failed) are no refusals: what was asked may be done.
const FAILURES: ReadonlySet<number> = new Set([320, 541])

// `Operation failed: QueueDeclare; 406 (PRECONDITION_FAILED) with message "..."`
function replyText(message: string): string {
  return /with message "([\s\S]*)"$/.exec(message)?.[1] ?? message
}
