// Sends answers to where their callers wait, for as long as anybody does.
import { detached } from '../../core/async-context.ts'
import { sleep } from '../../core/clock.ts'
import { createContext } from '../../core/context.ts'
import type { SendResult } from '../../core/contracts/transport.ts'
import { deadlineIn } from '../../core/deadline.ts'
import { instantSource } from '../../core/instant.ts'
import type { Envelope, Message } from '../../core/message.ts'
import { uuidSource } from '../../core/uuid.ts'
import type { FairleadError } from '../../errors/base.ts'
import { createError } from '../../errors/classes.ts'
import { classify } from '../../errors/classify.ts'
import type { Effect } from '../../errors/codes.ts'
import { toProblem } from '../../errors/wire.ts'
import type { Settings } from './options.ts'
import { envelopeOf, REPLY_TYPE, STATUS_HEADER } from './wire.ts'

/** What the server answered. */
export interface Answer {
  readonly status: number
  /** Names in lower case. */
  readonly headers: Readonly<Record<string, string>>
  readonly body: string
}

/** The answer for what is no answer of the server. */
export function problemAnswer(error: unknown, effect?: Effect | undefined): Answer {
  const { status, headers, body } = toProblem(error, { effect })
  return { status, headers, body: JSON.stringify(body) }
}

// How long an answer is tried for whose caller said no end, and the first and longest wait between two tries.
const WITHIN_MS = 5_000
const FIRST_MS = 50
const LONGEST_MS = 1_000

/** Sends them. */
export class Answers {
  readonly #settings: Settings
  readonly #newId: () => string
  readonly #time: () => string

  constructor(settings: Settings) {
    this.#settings = settings
    this.#newId = settings.newId ?? uuidSource(settings.clock)
    this.#time = instantSource(settings.clock)
  }

  /** Whether it went out. Never rejects. */
  async send(request: Message, answer: Answer): Promise<boolean> {
    const { clock } = this.#settings
    const { replyTo, expiresAt } = request
    const withinMs = expiresAt === undefined ? WITHIN_MS : expiresAt - clock.wallNow()
    // Nobody waits.
    if (replyTo === undefined || withinMs <= 0) return false
    try {
      const error = await this.#try(replyTo, this.#envelope(request, answer), withinMs)
      if (error === undefined) return true
      if (error.code !== 'PAYLOAD_TOO_LARGE') throw error
      const tooLarge = createError({
        code: 'REPLY_TOO_LARGE',
        message: 'the answer is larger than a message may be',
        cause: error,
      })
      const told = await this.#try(replyTo, this.#envelope(request, problemAnswer(tooLarge, 'done')), withinMs)
      if (told !== undefined) throw told
      return true
    } catch (error) {
      this.#tell(error)
      return false
    }
  }

  #envelope(request: Message, { status, headers, body }: Answer): Envelope {
    return envelopeOf({
      id: this.#newId(),
      type: REPLY_TYPE,
      source: this.#settings.source,
      time: this.#time(),
      // Of a connection that there is none of.
      headers: Object.fromEntries(Object.entries(headers).filter(([name]) => name !== 'connection')),
      own: { [STATUS_HEADER]: String(status) },
      body: body === '' ? undefined : body,
      more: { correlationid: request.correlationId ?? request.id, causationid: request.id },
      expiresAt: request.expiresAt,
    })
  }

  // The same id each time: one that was there after all is not there twice.
  async #try(
    to: NonNullable<Message['replyTo']>,
    envelope: Envelope,
    withinMs: number,
  ): Promise<FairleadError | undefined> {
    const { clock, random, transport, service } = this.#settings
    const deadline = deadlineIn(Math.min(withinMs, WITHIN_MS), clock)
    const { context } = createContext({ service, operation: 'answer', deadline, idempotent: true })
    for (let tries = 0; ; tries++) {
      const [result] = await detached(() => transport.send(to, [envelope], context))
      if (result?.status !== 'failed') return undefined
      const error = classify((result satisfies SendResult).error, { transport: transport.name })
      const waitMs = Math.min(FIRST_MS * 2 ** tries, LONGEST_MS) * (0.5 + random() / 2)
      if (!error.transient || waitMs >= deadline.remainingMs()) return error
      await sleep(clock, waitMs)
    }
  }

  #tell(error: unknown): void {
    try {
      this.#settings.onError?.(error)
    } catch {
      // A listener's fault is not the answer's.
    }
  }
}
