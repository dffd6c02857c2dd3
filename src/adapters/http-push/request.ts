// One request at the receiving half, whoever carries it, and its answer once all that it brought is settled.
import type { Clock, Timer } from '../../core/clock.ts'
import type { ChannelAddress } from '../../core/message.ts'
import { createError } from '../../errors/classes.ts'
import type { Code, Effect } from '../../errors/codes.ts'
import { toProblem } from '../../errors/wire.ts'
import { VERDICT_HEADER } from './wire.ts'

/** What a carrier (Node, Fetch) gives. */
export interface PushRequest {
  readonly method: string
  /** Without the query. */
  readonly path: string
  /** Lower-case name. */
  header(name: string): string | undefined
  headers(): Iterable<readonly [string, string]>
  /** The whole body; undefined where it is larger. Rejects if the sender breaks it off. */
  collect(limit: number): Promise<Uint8Array | undefined>
  /** Called once if the sender hangs up before it has the answer. */
  onGone(listener: () => void): void
}

/** What the carrier sends. */
export interface PushReply {
  readonly status: number
  readonly headers: Readonly<Record<string, string>>
  readonly body: string | undefined
  /** Called once: whether it got out. */
  readonly sent?: ((out: boolean) => void) | undefined
}

/** How a problem leaves. */
export interface ProblemWords {
  readonly code: Code
  readonly message: string
  readonly effect: Effect
  readonly status?: number | undefined
  readonly retryAfterMs?: number | undefined
  readonly headers?: Readonly<Record<string, string>> | undefined
}

/** A refusal as problem details (RFC 9457); the words are for the sender. */
export function problem({ code, message, effect, status, retryAfterMs, headers }: ProblemWords): PushReply {
  const made = toProblem(createError({ code, message, retryAfterMs, stack: false }), { expose: true, effect })
  const answer = status ?? made.status
  return {
    status: answer,
    headers: { ...made.headers, ...headers },
    body: JSON.stringify({ ...made.body, status: answer }),
  }
}

/** Come again: nothing was handed out. */
export function busy(message: string, retryAfterMs: number): PushReply {
  return problem({ code: 'UNAVAILABLE', message, effect: 'none', retryAfterMs })
}

interface Retry {
  readonly delayMs: number
  readonly reason: string
  readonly handedOut: boolean
  /** The handler gave it back, not the loss of its receiver. */
  readonly asked: boolean
}

/** One of the messages of a request, for one of those who are to have it. */
export interface Part {
  lose(reason: string): void
}

/** What one request brought, from its arrival to its answer. The worst verdict is the answer: one retry, and all of it comes again. */
export class Gathering {
  readonly answer: Promise<PushReply>
  readonly leaseMs: number
  readonly #held = new Set<Part>()
  readonly #clock: Clock
  readonly #timer: Timer
  #resolve: (reply: PushReply) => void = () => {}
  #told: (out: boolean) => void = () => {}
  /** Whether the answer got out. */
  readonly told: Promise<boolean>
  #dead: string | undefined
  #retry: Retry | undefined
  #over = false

  constructor(clock: Clock, leaseMs: number) {
    this.#clock = clock
    this.leaseMs = leaseMs
    this.answer = new Promise((resolve) => {
      this.#resolve = resolve
    })
    this.told = new Promise((resolve) => {
      this.#told = resolve
    })
    this.#timer = clock.setTimer(runOut, leaseMs, this)
  }

  add(held: Part): void {
    this.#held.add(held)
  }

  acked(held: Part): void {
    this.#remove(held)
  }

  dead(held: Part, reason: string): void {
    this.#dead ??= reason
    this.#remove(held)
  }

  retry(held: Part, retry: Retry): void {
    if (this.#retry === undefined || retry.delayMs > this.#retry.delayMs)
      this.#retry = { ...retry, handedOut: retry.handedOut || this.#retry?.handedOut === true }
    this.#remove(held)
  }

  /** Whether what was just settled was the last of it. */
  get complete(): boolean {
    return this.#held.size === 0
  }

  /** The sender waits no longer: what is not settled is lost. */
  end(reason: string): void {
    if (this.#over) return
    for (const held of [...this.#held]) held.lose(reason)
  }

  /** Nothing was in it (an empty batch). */
  finish(): void {
    if (this.complete) this.#finish()
  }

  #remove(held: Part): void {
    if (this.#held.delete(held) && this.complete) this.#finish()
  }

  #finish(): void {
    if (this.#over) return
    this.#over = true
    this.#clock.clearTimer(this.#timer)
    this.#resolve({ ...this.#reply(), sent: this.#told })
  }

  #reply(): PushReply {
    if (this.#retry !== undefined) {
      const { delayMs, reason, handedOut, asked } = this.#retry
      return problem({
        code: 'UNAVAILABLE',
        message: reason,
        effect: handedOut ? 'unknown' : 'none',
        retryAfterMs: delayMs,
        headers: asked ? { [VERDICT_HEADER]: 'retry' } : {},
      })
    }
    if (this.#dead !== undefined)
      return problem({ code: 'UNPROCESSABLE', message: this.#dead, effect: 'none', status: 422 })
    return { status: 204, headers: {}, body: undefined }
  }
}

function runOut(gathering: Gathering): void {
  gathering.end('the time that the sender waits ran out')
}

/** The answer for a channel that nobody receives here. */
export function notHere(channel: ChannelAddress | undefined, said: string): PushReply {
  return problem({
    code: 'CHANNEL_NOT_FOUND',
    message: channel === undefined ? said : `nobody receives ${said} here`,
    effect: 'none',
    status: 404,
  })
}
