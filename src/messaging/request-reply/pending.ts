// One request that waits: for replies, for its deadline, and for whoever gives it up. Whatever comes first ends it, once.
import type { Alarm, Bound } from '../../core/alarm.ts'
import type { Clock } from '../../core/clock.ts'
import { type AbortWatcher, alarmOf, type CallContext, watchAbort } from '../../core/context.ts'
import type { ChannelAddress, Envelope } from '../../core/message.ts'
import { type FairleadError, isFairleadError } from '../../errors/base.ts'
import { createError } from '../../errors/classes.ts'
import { CODES, type Code, type Effect } from '../../errors/codes.ts'

/** What a request is made of. */
export interface PendingParts {
  readonly channel: ChannelAddress
  readonly envelope: Envelope
  /** What its replies are told by. */
  readonly correlation: string
  readonly context: CallContext
  readonly clock: Clock
  /** True: enough. */
  readonly onReply: (reply: Envelope) => boolean | Promise<boolean>
  /** Called once when it is over; without an error it has what it wanted. */
  readonly onOver: (pending: Pending, error: FairleadError | undefined) => void
}

/** A request under way. */
export class Pending implements AbortWatcher, Bound {
  nextWatcher: AbortWatcher | undefined
  nextBound: Bound | undefined
  dueAt: number
  readonly parts: PendingParts
  over: boolean
  /** The transport was given it: from then on it may be handled. */
  #sent: boolean
  #alarm: Alarm | undefined

  constructor(parts: PendingParts) {
    this.nextWatcher = undefined
    this.nextBound = undefined
    this.dueAt = 0
    this.parts = parts
    this.over = false
    this.#sent = false
    this.#alarm = undefined
  }

  /** It may be over at once. */
  start(): void {
    const { context, clock } = this.parts
    const ms = context.deadline.remainingMs()
    if (ms !== Infinity) {
      this.#alarm = alarmOf(context, clock)
      this.#alarm.add(this, clock.now() + ms, ms)
    }
    watchAbort(context, this)
  }

  get sent(): boolean {
    return this.#sent
  }

  /** Now it is given to the transport. */
  sending(): void {
    this.#sent = true
    this.parts.context.effect = 'unknown'
  }

  onAborted(reason: unknown): void {
    this.end(this.aborted(reason))
  }

  /** What an abort is told as: the pipeline's own word, where it has one. */
  aborted(reason: unknown): FairleadError {
    return isFairleadError(reason) ? reason : this.failure('CANCELLED', CODES.CANCELLED.meaning, reason)
  }

  expire(): void {
    this.end(
      this.failure(
        'DEADLINE_EXCEEDED',
        this.#sent ? 'no reply came in time' : 'no place for replies was there in time',
      ),
    )
  }

  end(error: FairleadError | undefined): void {
    if (this.over) return
    this.over = true
    this.#alarm?.remove(this)
    this.parts.onOver(this, error)
  }

  /** An error of this request, with the effect that it can have had. */
  failure(code: Code, message: string, cause?: unknown): FairleadError {
    const { channel, envelope, context } = this.parts
    return createError({
      code,
      message,
      effect: this.#effect,
      idempotent: context.idempotent,
      service: context.service,
      operation: context.operation,
      channel: channel.name,
      details: { id: envelope.id },
      ...(cause === undefined ? {} : { cause }),
    })
  }

  get #effect(): Effect {
    return this.#sent ? 'unknown' : 'none'
  }
}
