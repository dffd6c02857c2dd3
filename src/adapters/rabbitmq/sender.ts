// Sends: what is refused before anything leaves, one verdict for each message, and an end with the deadline whatever the network does.
import { detached } from '../../core/async-context.ts'
import type { Timer } from '../../core/clock.ts'
import type { CallContext } from '../../core/context.ts'
import type { SendResult } from '../../core/contracts/transport.ts'
import { bytesAbove } from '../../core/envelope.ts'
import { behindWords } from '../../core/key-order.ts'
import type { ChannelAddress, Envelope } from '../../core/message.ts'
import { endsWithin } from '../../core/patience.ts'
import { afterSilence } from '../../core/silence.ts'
import { type Stamp, stamp, withFields } from '../../errors/classes.ts'
import { type Code, classify, createError, type FairleadError, isFairleadError } from '../../errors/index.ts'
import { isNacked } from './classify-amqp.ts'
import { ConfirmLine, type Ticket } from './confirm-line.ts'
import type { AmqpDriver } from './driver.ts'
import type { Settings } from './options.ts'
import type { Destination, Topology } from './topology.ts'
import { waitFor } from './waiting.ts'
import { type AmqpContent, toAmqp, unwritable } from './wire.ts'

const ACCEPTED: SendResult = Object.freeze({ status: 'accepted' })
const CLOSE_WITHIN_MS = 4_000

// Messages of one key: the next is written when the one before is confirmed, for what the broker refuses has to refuse those behind it.
interface Row {
  /** Places in the call. */
  readonly waiting: number[]
  busy: boolean
  /** The id of the one that failed. */
  ahead: string | undefined
}

// One call.
interface Call {
  readonly channel: ChannelAddress
  readonly envelopes: readonly Envelope[]
  /** Where order is kept, by key. */
  readonly rows: Map<string, Row>
  readonly results: (SendResult | undefined)[]
  readonly tickets: (Ticket | undefined)[]
  readonly lines: ConfirmLine
  open: number
  over: boolean
  finish(): void
}

/** All sends of a transport. */
export class Sender {
  private readonly settings: Settings
  private readonly topology: Topology
  // A topic that is gone ends the channel: queues have one of their own.
  private readonly toQueues: ConfirmLine
  private readonly toTopics: ConfirmLine
  // Topics that were found to be there.
  private topics = new Map<string, Promise<void> | true>()
  private readonly calls = new Set<Call>()
  private closed = false

  constructor(driver: AmqpDriver, settings: Settings, topology: Topology) {
    this.settings = settings
    this.topology = topology
    this.toQueues = new ConfirmLine(driver, settings, nothing)
    this.toTopics = new ConfirmLine(driver, settings, () => {
      this.topics = new Map()
    })
  }

  /** One verdict per envelope; never rejects. */
  send(channel: ChannelAddress, envelopes: readonly Envelope[], context: CallContext): Promise<readonly SendResult[]> {
    const refusal = this.refusal(channel, context)
    if (refusal !== undefined) return Promise.resolve(envelopes.map(() => failed(refusal)))
    if (envelopes.length === 0) return Promise.resolve([])
    return new Promise((resolve) => {
      const { clock } = this.settings
      const remaining = context.deadline.remainingMs()
      let timer: Timer | undefined
      let stop = nothing
      const call: Call = {
        channel,
        envelopes,
        rows: new Map(),
        results: new Array(envelopes.length),
        tickets: new Array(envelopes.length),
        lines: channel.kind === 'queue' ? this.toQueues : this.toTopics,
        open: envelopes.length,
        over: false,
        finish: () => {
          call.over = true
          if (timer !== undefined) clock.clearTimer(timer)
          stop()
          this.calls.delete(call)
          resolve(call.results as SendResult[])
        },
      }
      this.calls.add(call)
      if (remaining !== Infinity)
        timer = clock.setTimer(
          () => this.giveUp(call, 'DEADLINE_EXCEEDED', undefined),
          Math.max(remaining, 0),
          undefined,
        )
      stop = context.onAbort((reason) => this.giveUp(call, 'CANCELLED', reason))
      if (!call.over) detached(() => this.begin(call))
    })
  }

  /** Lets what is under way end, for 4 seconds; then all are answered with `SHUTDOWN`. */
  async stop(): Promise<void> {
    this.closed = true
    await endsWithin(
      Promise.all([this.toQueues.drained(), this.toTopics.drained()]),
      CLOSE_WITHIN_MS,
      this.settings.clock,
    )
    for (const call of [...this.calls]) this.giveUp(call, 'SHUTDOWN', undefined)
  }

  /** Nothing leaves any more. */
  async close(): Promise<void> {
    await Promise.all([this.toQueues.close(), this.toTopics.close()])
  }

  /** Whether the broker reads nothing from the connection just now. */
  get isBlocked(): boolean {
    return this.toQueues.isBlocked
  }

  /** Publishes what a receiver or the keeper of dead letters puts elsewhere. Resolves once the broker has it. */
  move(to: Destination, content: AmqpContent): Promise<void> {
    const { clock, answerMs, name } = this.settings
    return new Promise((resolve, reject) => {
      const ticket = this.toQueues.put({
        ...to,
        content,
        mandatory: true,
        done: (error) => {
          stop()
          if (error === undefined) resolve()
          else reject(error)
        },
      })
      const stop = afterSilence(clock, answerMs, () => {
        const effect = this.toQueues.drop(ticket) ? 'unknown' : 'none'
        const message = `the broker has not confirmed within ${answerMs} ms`
        reject(createError({ code: 'TIMED_OUT', message, effect, transport: name }))
      })
    })
  }

  private begin(call: Call): void {
    const { channel } = call
    const known = channel.kind === 'queue' ? true : this.topics.get(channel.name)
    if (known === true) {
      this.putAll(call)
      return
    }
    const checking = known ?? this.check(channel.name)
    checking.then(
      () => this.putAll(call),
      (error: unknown) => {
        for (let at = 0; at < call.envelopes.length; at++) this.answer(call, at, failed(this.errorOf(error, call)))
      },
    )
  }

  private check(name: string): Promise<void> {
    const { topics } = this
    const checking = this.topology.checkTopic(name).then(
      () => {
        // Reply addresses come and go.
        if (topics.size >= 10_000) topics.clear()
        topics.set(name, true)
      },
      (error: unknown) => {
        topics.delete(name)
        // Nothing has left yet.
        throw isFairleadError(error) ? withFields(error, { effect: 'none' }) : error
      },
    )
    topics.set(name, checking)
    return checking
  }

  private putAll(call: Call): void {
    for (let at = 0; at < call.envelopes.length && !call.over; at++) {
      const row = this.rowOf(call, at)
      if (row === undefined) this.start(call, at)
      else {
        row.waiting.push(at)
        this.advance(call, row)
      }
    }
  }

  private rowOf({ envelopes, rows }: Call, at: number): Row | undefined {
    const key = this.settings.ordered ? envelopes[at]?.key : undefined
    if (key === undefined) return undefined
    let row = rows.get(key)
    if (row === undefined) {
      row = { waiting: [], busy: false, ahead: undefined }
      rows.set(key, row)
    }
    return row
  }

  private advance(call: Call, row: Row): void {
    while (!row.busy && !call.over) {
      const at = row.waiting.shift()
      if (at === undefined) return
      const { ahead } = row
      if (ahead === undefined) {
        row.busy = true
        this.start(call, at)
      } else {
        const message = behindWords(call.envelopes[at]?.key as string, ahead)
        this.note(call, at, failed(this.error('TOO_EARLY', call.channel, message, { ahead })))
      }
    }
  }

  private start(call: Call, at: number): void {
    const envelope = call.envelopes[at] as Envelope
    const problem = this.problem(call.channel, envelope)
    if (problem === undefined) this.put(call, at, envelope)
    else this.answer(call, at, failed(problem))
  }

  private put(call: Call, at: number, envelope: Envelope): void {
    const { kind, name } = call.channel
    const { notBefore } = envelope
    const priority = this.priorityOf(envelope)
    const delayMs = notBefore === undefined ? 0 : notBefore - this.settings.clock.wallNow()
    const to = kind === 'queue' ? { exchange: '', routingKey: name } : { exchange: name, routingKey: '' }
    if (delayMs > 0) this.putLater(call, at, to, envelope, priority, delayMs)
    // Nobody has to listen to a topic.
    else this.publish(call, at, to, toAmqp(envelope, priority), kind === 'queue')
  }

  private putLater(
    call: Call,
    at: number,
    to: Destination,
    envelope: Envelope,
    priority: number | undefined,
    delayMs: number,
  ): void {
    const { ttlMs, early } = waitFor(delayMs)
    this.topology.waitQueue(to, ttlMs).then(
      (queue) => {
        if (call.over) return
        const content = toAmqp(envelope, priority, early ? envelope.notBefore : undefined)
        this.publish(call, at, { exchange: '', routingKey: queue }, content, true)
      },
      (error: unknown) => this.answer(call, at, failed(this.errorOf(error, call))),
    )
  }

  private publish(call: Call, at: number, to: Destination, content: AmqpContent, mandatory: boolean): void {
    call.tickets[at] = call.lines.put({
      ...to,
      content,
      mandatory,
      done: (error) => {
        if (isFairleadError(error, 'UNROUTABLE')) this.topology.forgetWait(to.routingKey)
        this.answer(call, at, error === undefined ? ACCEPTED : failed(this.errorOf(error, call)))
      },
    })
  }

  private answer(call: Call, at: number, result: SendResult): void {
    if (call.over || call.results[at] !== undefined) return
    this.note(call, at, result)
    const row = this.rowOf(call, at)
    if (row === undefined) return
    row.busy = false
    if (result.status === 'failed') row.ahead = call.envelopes[at]?.id
    this.advance(call, row)
  }

  private note(call: Call, at: number, result: SendResult): void {
    call.results[at] = result
    if (--call.open === 0) call.finish()
  }

  private giveUp(call: Call, code: Code, cause: unknown): void {
    if (call.over) return
    const { channel, results, tickets, lines } = call
    for (let at = 0; at < results.length; at++) {
      if (results[at] !== undefined) continue
      const ticket = tickets[at]
      const written = ticket !== undefined && lines.drop(ticket)
      results[at] = failed(this.ending(code, channel, written ? 'unknown' : 'none', cause, lines.isBlocked))
    }
    call.finish()
  }

  private ending(
    code: Code,
    channel: ChannelAddress,
    effect: 'none' | 'unknown',
    cause: unknown,
    blocked: boolean,
  ): FairleadError {
    const known: Stamp & { effect: 'none' | 'unknown' } = {
      effect,
      transport: this.settings.name,
      channel: channel.name,
    }
    // A FairleadError as the reason of an abort says itself what it is.
    if (code === 'CANCELLED') return withFields(classify(cause, { aborted: { reason: cause } }), known)
    const message = blocked ? 'the broker takes no messages just now (memory or disk alarm)' : undefined
    return createError({ code, message, ...known, stack: false })
  }

  private refusal(channel: ChannelAddress, context: CallContext): FairleadError | undefined {
    if (this.closed) return this.error('SHUTDOWN', channel)
    if (context.aborted !== undefined) {
      const { reason } = context.aborted
      return createError({
        code: 'CANCELLED',
        effect: 'none',
        transport: this.settings.name,
        channel: channel.name,
        cause: reason,
      })
    }
    return context.deadline.remainingMs() <= 0 ? this.error('DEADLINE_SPENT', channel) : undefined
  }

  private problem(channel: ChannelAddress, envelope: Envelope): FairleadError | undefined {
    const { capabilities, clock } = this.settings
    const { maxPayloadBytes, maxDelayMs } = capabilities
    if (bytesAbove(maxPayloadBytes, envelope) !== undefined)
      return this.error('PAYLOAD_TOO_LARGE', channel, `the limit is ${maxPayloadBytes} bytes`)
    const reason = unwritable(envelope)
    if (reason !== undefined) return this.error('PAYLOAD_TOO_LARGE', channel, reason)
    if (Buffer.byteLength(channel.name) > 255)
      return this.error('INVALID_INPUT', channel, 'the name of the channel has more than 255 bytes')
    if (envelope.notBefore === undefined || envelope.notBefore - clock.wallNow() <= maxDelayMs) return undefined
    return this.error(
      'CAPABILITY_MISSING',
      channel,
      `notBefore is further away than ${maxDelayMs} ms, the longest delay`,
    )
  }

  // The lowest level is below 0: what has no priority has level 1.
  private priorityOf({ priority = 0 }: Envelope): number | undefined {
    const { priorities } = this.settings
    return priorities === 0 ? undefined : Math.min(Math.max(Math.trunc(priority) + 1, 0), priorities)
  }

  private errorOf(error: unknown, { channel }: Call): FairleadError {
    const known = isFairleadError(error) ? error : classify(error, { transport: this.settings.name })
    // One queue refused it; those of the other groups may have taken it.
    const partly = channel.kind === 'topic' && isNacked(known)
    return stamp(partly ? withFields(known, { effect: 'unknown' }) : known, {
      transport: this.settings.name,
      channel: channel.name,
    })
  }

  private error(code: Code, channel: ChannelAddress, message?: string, details?: unknown): FairleadError {
    return createError({ code, message, transport: this.settings.name, channel: channel.name, details, stack: false })
  }
}

function failed(error: unknown): SendResult {
  return { status: 'failed', error }
}

function nothing(): void {}
