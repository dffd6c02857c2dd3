// Sends to one channel, one statement at a time: while one is on its way the next collects, so that order is kept and many small sends share a commit.
import { detached } from '../../../core/async-context.ts'
import type { Clock, Timer } from '../../../core/clock.ts'
import type { CallContext } from '../../../core/context.ts'
import type { SendResult } from '../../../core/contracts/transport.ts'
import type { ChannelAddress, Envelope } from '../../../core/message.ts'
import { endsWithin } from '../../../core/patience.ts'
import { createError, withFields } from '../../../errors/classes.ts'
import { type Code, classify, type FairleadError } from '../../../errors/index.ts'
import { refusesData } from './refusal.ts'
import type { MessageStore } from './store.ts'

/** What a sender is made of. */
export interface SenderParts {
  readonly name: string
  readonly clock: Clock
  readonly store: MessageStore
  readonly channel: ChannelAddress
  /** Receivers elsewhere are notified at most once in so long; undefined: not at all. */
  readonly notifyEveryMs: number | undefined
  /** Receivers in this process are told at once. */
  readonly onSent: (channel: ChannelAddress, count: number) => void
  /** Translates what the driver rejects with. */
  readonly errorOf: (error: unknown) => FairleadError
}

interface Call {
  readonly envelopes: readonly Envelope[]
  state: 'waiting' | 'sent' | 'answered'
  answer(result: SendResult): void
  /** Gives up for a reason of the caller's. */
  giveUp(code: Code, cause: unknown): void
}

interface Batch {
  readonly calls: readonly Call[]
  open: number
}

const ACCEPTED: SendResult = Object.freeze({ status: 'accepted' })
const MOST_MESSAGES = 1_000
const MOST_BYTES = 8 * 1_048_576
const CLOSE_WITHIN_MS = 5_000

/** The sends of one process to one channel. */
export class Sender {
  private readonly parts: SenderParts
  private waiting: Call[] = []
  private current: Batch | undefined
  private starting = false
  private notifiedAt = -Infinity
  private trailing: Timer | undefined
  private closed = false

  constructor(parts: SenderParts) {
    this.parts = parts
  }

  /** Whether nothing is on its way or waits. */
  get idle(): boolean {
    return this.current === undefined && this.waiting.length === 0 && this.trailing === undefined
  }

  /** Answers for all of them together: they go in one statement, or not at all. Never rejects. */
  send(envelopes: readonly Envelope[], context: CallContext): Promise<SendResult> {
    return new Promise((resolve) => {
      const { clock } = this.parts
      const remaining = context.deadline.remainingMs()
      let timer: Timer | undefined
      let stop: () => void = nothing
      const call: Call = {
        envelopes,
        state: 'waiting',
        answer: (result) => {
          if (call.state === 'answered') return
          call.state = 'answered'
          if (timer !== undefined) clock.clearTimer(timer)
          stop()
          resolve(result)
        },
        giveUp: (code, cause) => {
          const effect = call.state === 'waiting' ? 'none' : 'unknown'
          call.answer({ status: 'failed', error: this.error(code, effect, cause) })
          this.left(call)
        },
      }
      this.waiting.push(call)
      if (remaining !== Infinity)
        timer = clock.setTimer(
          (each: Call) => each.giveUp('DEADLINE_EXCEEDED', undefined),
          Math.max(remaining, 0),
          call,
        )
      stop = context.onAbort((reason) => call.giveUp('CANCELLED', reason))
      if (!this.starting && this.current === undefined) {
        this.starting = true
        // Sends of the same tick go together.
        queueMicrotask(() => detached(() => this.next()))
      }
    })
  }

  /** Lets what was accepted end, for 5 seconds; then all are answered with `SHUTDOWN`, and nothing leaves any more. Further sends must not come. */
  async close(): Promise<void> {
    if (this.trailing !== undefined) this.ring()
    await endsWithin(this.drained(), CLOSE_WITHIN_MS, this.parts.clock)
    this.closed = true
    if (this.trailing !== undefined) this.parts.clock.clearTimer(this.trailing)
    const calls = [...(this.current?.calls ?? []), ...this.waiting.splice(0)]
    for (const call of calls) call.giveUp('SHUTDOWN', undefined)
  }

  private async drained(): Promise<void> {
    while (this.current !== undefined || this.waiting.length > 0)
      await new Promise<void>((resolve) => {
        this.onIdle = resolve
      })
  }

  private onIdle: () => void = nothing

  private next(): void {
    this.starting = false
    if (this.current !== undefined || this.closed) return
    const calls = this.take()
    if (calls.length === 0) {
      this.onIdle()
      return
    }
    const batch: Batch = { calls, open: calls.length }
    this.current = batch
    for (const call of calls) call.state = 'sent'
    void this.run(batch).finally(() => this.free(batch))
  }

  private take(): Call[] {
    const calls: Call[] = []
    let count = 0
    let bytes = 0
    let at = 0
    for (; at < this.waiting.length; at++) {
      const call = this.waiting[at] as Call
      if (call.state === 'answered') continue
      const size = call.envelopes.reduce((sum, { body }) => sum + body.byteLength, 0)
      if (calls.length > 0 && (count + call.envelopes.length > MOST_MESSAGES || bytes + size > MOST_BYTES)) break
      calls.push(call)
      count += call.envelopes.length
      bytes += size
    }
    this.waiting = this.waiting.slice(at)
    return calls
  }

  private async run({ calls }: Batch): Promise<void> {
    const result = await this.put(calls)
    // What the tables refuse of one call is no fault of the others.
    if (calls.length > 1 && result.status === 'failed' && refusesData(result.error)) {
      const left = calls.filter(({ state }) => state !== 'answered')
      for (const call of left) call.state = 'waiting'
      for (const call of left) {
        // A call that was given up meanwhile must not leave, nor any once this is closed.
        if (isAnswered(call)) continue
        call.state = 'sent'
        call.answer(await this.put([call]))
      }
    } else for (const call of calls) call.answer(result)
  }

  // One statement.
  private async put(calls: readonly Call[]): Promise<SendResult> {
    const { store, channel, onSent, clock, notifyEveryMs } = this.parts
    const envelopes = calls.length === 1 ? (calls[0] as Call).envelopes : calls.flatMap((call) => call.envelopes)
    const notify = notifyEveryMs !== undefined && clock.now() - this.notifiedAt >= notifyEveryMs
    if (notify) this.notifiedAt = clock.now()
    let result: SendResult
    try {
      const places = await store.send(channel, envelopes, notify)
      result =
        places === undefined
          ? {
              status: 'failed',
              error: this.error('UNROUTABLE', 'none', undefined, `there is no ${channel.kind} ${channel.name}`),
            }
          : ACCEPTED
    } catch (error) {
      result = { status: 'failed', error: this.parts.errorOf(error) }
    }
    if (result === ACCEPTED && !this.closed) {
      onSent(channel, envelopes.length)
      if (!notify) this.notifyLater()
    }
    return result
  }

  // What waits for an answer that nobody wants any more (a connection fell silent) holds nobody up.
  private left(call: Call): void {
    const batch = this.current
    if (batch?.calls.includes(call) && --batch.open === 0) this.free(batch)
  }

  private free(batch: Batch): void {
    if (this.current !== batch) return
    this.current = undefined
    this.next()
  }

  private notifyLater(): void {
    const { clock, notifyEveryMs } = this.parts
    if (notifyEveryMs === undefined || this.trailing !== undefined) return
    const wait = Math.max(this.notifiedAt + notifyEveryMs - clock.now(), 0)
    this.trailing = clock.setTimer((sender: Sender) => detached(() => sender.ring()), wait, this)
    clock.unref(this.trailing)
  }

  private ring(): void {
    const { clock, store, channel } = this.parts
    clock.clearTimer(this.trailing)
    this.trailing = undefined
    this.notifiedAt = clock.now()
    // Receivers poll as well: one that is lost costs a little time.
    store.notify(channel).catch(nothing)
  }

  private error(code: Code, effect: 'none' | 'unknown', cause: unknown, message?: string): FairleadError {
    const { name, channel } = this.parts
    const known = { effect, transport: name, channel: channel.name }
    if (code !== 'CANCELLED') return createError({ code, message, ...known, stack: false })
    // A FairleadError as the reason of an abort says itself what it is.
    return withFields(classify(cause, { aborted: { reason: cause } }), known)
  }
}

// It may change while another is on its way.
function isAnswered({ state }: Call): boolean {
  return state === 'answered'
}

function nothing(): void {}
