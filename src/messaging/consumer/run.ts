// One handler call: what the handler is told, what the calls it makes inherit, and how it is ended.
import type { Inherited } from '../../core/async-context.ts'
import type { Clock } from '../../core/clock.ts'
import { type AbortableContext, type CallContext, createContext } from '../../core/context.ts'
import { type Deadline, deadlineAt } from '../../core/deadline.ts'
import type { ChannelAddress, Envelope } from '../../core/message.ts'
import type { Ending } from './deadlines.ts'
import { Entry } from './entry.ts'
import type { Held } from './held.ts'
import type { HandlerContext } from './types.ts'

/** What a run belongs to. */
export interface RunHost {
  readonly channel: ChannelAddress
  readonly group: string | undefined
  readonly clock: Clock
  timeUp(run: Run): void
}

const NO_HEADERS: Readonly<Record<string, string>> = Object.freeze({})

/**
 * It is the context of the handler, what is inherited, and a link in the list of deadlines, so that a call makes one object instead of three.
 * The CallContext is made when somebody looks: most handlers never do.
 */
export class Run implements HandlerContext, Inherited, Ending {
  endsAt: number
  sooner: Ending | undefined
  later: Ending | undefined
  listed: boolean
  readonly held: readonly Held[]
  readonly operation: string
  readonly attempt: number
  readonly redeliveries: number
  /** The message, or the batch: also for a further attempt. */
  readonly request: unknown
  /** Answered, failed or left alone: what comes later does not count. */
  over: boolean
  /** Its deadline has come, or it was aborted otherwise: it has a while to end. */
  ending: boolean
  /** The transaction of the inbox, while there is one. */
  tx: unknown
  /** What is known of each message whatever its handler does; undefined for those that it has to answer for. */
  known: readonly unknown[] | undefined
  /** The one call of its handler that the transaction allows. */
  entry: Entry | undefined
  /** Called once when it is left alone. */
  onLeft: (() => void) | undefined
  /** Of a batch, those that the handler was given, where an inbox kept some back. */
  #given: readonly string[] | undefined
  /** On the scale of the clock; it stays, whatever `endsAt` becomes. */
  readonly deadlineAt: number
  readonly #host: RunHost
  #abortable: AbortableContext | undefined
  #aborted: { readonly reason: unknown } | undefined

  constructor(
    host: RunHost,
    held: readonly Held[],
    request: unknown,
    operation: string,
    attempt: number,
    redeliveries: number,
    endsAt: number,
  ) {
    this.endsAt = endsAt
    this.sooner = undefined
    this.later = undefined
    this.listed = false
    this.held = held
    this.operation = operation
    this.attempt = attempt
    this.redeliveries = redeliveries
    this.request = request
    this.over = false
    this.ending = false
    this.tx = undefined
    this.known = undefined
    this.entry = undefined
    this.onLeft = undefined
    this.#given = undefined
    this.deadlineAt = endsAt
    this.#host = host
    this.#abortable = undefined
    this.#aborted = undefined
  }

  get service(): string {
    return this.#host.group ?? this.#host.channel.name
  }

  get call(): CallContext {
    if (this.#abortable === undefined) {
      const only = this.held.length === 1 ? this.held[0] : undefined
      const root = createContext({
        service: this.service,
        operation: this.operation,
        deadline: deadlineAt(this.deadlineAt, this.#host.clock),
        // Whoever is handed a message twice has to be idempotent: at-least-once is all that a broker can promise.
        idempotent: true,
        idempotencyKey: only?.id,
        headers: only === undefined ? NO_HEADERS : traceOf(only.delivery.envelope),
      })
      this.#abortable = this.attempt === 1 ? root : root.context.fork({ attempt: this.attempt })
      if (this.#aborted !== undefined) this.#abortable.abort(this.#aborted.reason)
    }
    return this.#abortable.context
  }

  get channel(): ChannelAddress {
    return this.#host.channel
  }

  get group(): string | undefined {
    return this.#host.group
  }

  get ids(): readonly string[] {
    return this.#given ?? this.held.map(({ id }) => id)
  }

  /** What was handed down with the message to whatever is published meanwhile. */
  get cause(): { readonly id: string; readonly correlationId?: string | undefined } | undefined {
    const [only] = this.held
    if (only === undefined || this.held.length > 1) return undefined
    return { id: only.id, correlationId: only.delivery.envelope.attributes['correlationid'] }
  }

  /** Its handler is about to be called inside a transaction; with `given` only for those of the batch. */
  enter(tx: unknown, given: readonly string[] | undefined): Entry {
    this.tx = tx
    this.#given = given
    this.entry = new Entry()
    return this.entry
  }

  get deadline(): Deadline {
    return this.call.deadline
  }

  get headers(): Readonly<Record<string, string>> {
    return this.call.headers
  }

  get signal(): AbortSignal {
    return this.call.signal
  }

  get aborted(): { readonly reason: unknown } | undefined {
    return this.#aborted
  }

  onAbort(listener: (reason: unknown) => void): () => void {
    return this.call.onAbort(listener)
  }

  abort(reason: unknown): void {
    this.ending = true
    if (this.#aborted !== undefined) return
    this.#aborted = { reason }
    this.#abortable?.abort(reason)
  }

  end(): void {
    this.#host.timeUp(this)
  }
}

/** What travels on with the calls that a handler makes. */
function traceOf({ attributes }: Envelope): Readonly<Record<string, string>> {
  const { traceparent, tracestate, baggage } = attributes
  if (traceparent === undefined && baggage === undefined) return NO_HEADERS
  return {
    ...(traceparent === undefined ? {} : { traceparent }),
    ...(tracestate === undefined || traceparent === undefined ? {} : { tracestate }),
    ...(baggage === undefined ? {} : { baggage }),
  }
}
