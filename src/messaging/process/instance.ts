// One process while a message of it is handled: what a handler asks of it becomes changes of its row and messages to others. Nothing is written here.
import { ageOption } from '../../core/options.ts'
import { createError } from '../../errors/classes.ts'
import type { TransactionContext } from '../consumer/types.ts'
import type { Channel, PublishFields } from '../types.ts'
import type { SendOptions, StepFacts, StepStatus } from './context.ts'
import type { AnyProcessContext, Follow, ProcessDefinition, ProcessStep } from './definition.ts'
import { keyOf, messageId, type ProcessRow, type StepRow, type UndoRow } from './row.ts'

/** A message to be published with the commit. */
export interface Outgoing {
  readonly channel: Channel
  readonly message: PublishFields & { readonly type: string; readonly data: unknown }
}

/** What an instance works with. */
export interface InstanceParts {
  readonly definition: ProcessDefinition
  readonly id: string
  readonly row: ProcessRow
  /** Milliseconds since 1970. */
  readonly now: number
  /** Where replies go. */
  readonly queue: string
  readonly tx: unknown
  readonly context: TransactionContext<unknown>
}

// Of the questions whose answers still count.
const MOST_ASKED = 20

/** A row of its own that is changed, and what has to be published along with it. */
export class Instance {
  readonly definition: ProcessDefinition
  readonly id: string
  readonly row: ProcessRow
  readonly outgoing: Outgoing[]
  readonly #parts: InstanceParts
  /** Done in this call: what undoes them is known when the handler is through. */
  readonly #done: {
    readonly step: ProcessStep
    readonly key: string
    readonly of: string | undefined
    readonly sent: unknown
  }[]

  constructor(parts: InstanceParts) {
    this.#parts = parts
    this.definition = parts.definition
    this.id = parts.id
    this.row = parts.row
    this.outgoing = []
    this.#done = []
  }

  get now(): number {
    return this.#parts.now
  }

  /** What a handler gets. `sends`: the steps that it said it would send. */
  context(sends?: readonly string[] | undefined): AnyProcessContext {
    const { row } = this
    const { id, tx, context } = this.#parts
    return {
      id,
      tx,
      context,
      startedAt: row.startedAt,
      get state() {
        return row.state
      },
      set state(next: unknown) {
        row.state = next
      },
      get undoing() {
        return row.status === 'undoing'
      },
      send: (step, data, options) => this.#send(step as string, data, options, sends),
      publish: (channel, message) => {
        this.#publish(channel as unknown as Channel, message as Outgoing['message'])
      },
      timeout: (name, ms) => this.#timeout(name, ms),
      cancelTimeout: (name) => {
        delete row.timers[`timeout:${name}`]
      },
      correlate: (...names) => {
        row.correlations = [...new Set(names)]
      },
      is: (step, of) => this.status(step as string, of),
      settle: (step, as, of) => {
        this.#known(step as string)
        this.settle(keyOf(step as string, of), as)
      },
      complete: () => {
        if (row.status === 'running') row.status = 'completed'
      },
      fail: (reason) => this.fail(reason),
    }
  }

  status(step: string, of?: string | undefined): StepStatus {
    this.#known(step)
    return this.row.steps[keyOf(step, of)]?.is ?? 'none'
  }

  /** Something was found out of a step. @returns false where it is not open: it was known already, or never sent */
  settle(key: string, as: 'done' | 'refused'): boolean {
    const sent = this.row.steps[key]
    if (sent === undefined || (sent.is !== 'open' && sent.is !== 'unknown')) return false
    sent.is = as
    delete this.row.timers[`step:${key}`]
    this.unstick(key)
    const step = this.definition.steps.get(sent.step)
    if (as === 'done' && step?.undo !== undefined) this.#done.push({ step, key, of: sent.of, sent: sent.sent })
    delete sent.sent
    return true
  }

  /** Begins to undo. What has a time of its own is over. */
  fail(reason: string, cancelled?: true | undefined): void {
    const { row } = this
    if (row.status !== 'running') return
    row.status = 'undoing'
    row.reason = String(reason)
    if (cancelled !== undefined) row.cancelled = cancelled
    for (const name of Object.keys(row.timers)) if (name.startsWith('timeout:')) delete row.timers[name]
  }

  /** Sets what undoes the steps that were done in this call, by the state as it is now. */
  keepUndos(): void {
    for (const { step, of, sent } of this.#done.splice(0)) {
      const undo = step.undo as Follow
      this.row.undo.push({ step: step.name, of, data: undo.data(this.facts(of, sent)) })
    }
  }

  facts(of: string | undefined, sent: unknown): StepFacts<unknown, unknown> {
    return { id: this.id, state: this.row.state, sent, of }
  }

  /** Asks what became of a step. */
  ask(key: string): void {
    const sent = this.row.steps[key] as StepRow
    const ask = this.definition.steps.get(sent.step)?.ask
    if (ask === undefined) return
    sent.asks++
    const n = this.#command(ask, ask.data(this.facts(sent.of, sent.sent)))
    sent.asked = [...(sent.asked ?? []), n].slice(-MOST_ASKED)
    this.timer(`step:${key}`, ask.everyMs)
  }

  /** Sends what undoes a step. */
  undo(entry: UndoRow): void {
    const undo = this.definition.steps.get(entry.step)?.undo
    if (undo === undefined) return
    delete entry.failed
    entry.n = this.#command(undo, entry.data)
    if (undo.awaited && undo.withinMs !== undefined) this.timer('undo', undo.withinMs)
  }

  /** Something is to come in so many milliseconds. */
  timer(name: string, ms: number): void {
    this.row.timers[name] = { at: Math.ceil(this.now + ms), tick: this.row.next++ }
  }

  /** It does not go on by itself. */
  stick(step: string, why: string): void {
    this.row.stuck = { step, why }
  }

  /** That is over. */
  unstick(step: string): void {
    if (this.row.stuck?.step === step) this.row.stuck = undefined
  }

  #send(name: string, data: unknown, options: SendOptions = {}, sends: readonly string[] | undefined): void {
    const step = this.#known(name)
    const { row } = this
    if (sends !== undefined && !sends.includes(name))
      throw mistake(`${name} is none of the steps that this handler says it sends: ${sends.join(', ') || 'none'}`)
    // Also in a handler that has just given it up: the rest of it changes nothing.
    if (row.status !== 'running') return
    const { of, key = this.id, headers } = options
    if (of !== undefined && (typeof of !== 'string' || of === ''))
      throw mistake(`${name} is sent for ${String(of)}: give a text`)
    const at = keyOf(name, of)
    const before = row.steps[at]
    if (before?.is === 'open' || before?.is === 'unknown')
      throw mistake(`${at} is ${before.is} already: it can be sent again when its answer is known`)
    const n = this.#command(step, data, { key, headers })
    const keeps = step.undo !== undefined || step.ask !== undefined
    row.steps[at] = { step: name, of, is: 'open', n, at: this.now, asks: 0, ...(keeps ? { sent: data } : {}) }
    if (step.withinMs !== undefined) this.timer(`step:${at}`, step.withinMs)
  }

  #command(to: Pick<ProcessStep, 'channel' | 'type'>, data: unknown, more: PublishFields = {}): number {
    const n = this.row.next++
    const replies = to.channel.types[to.type]?.reply !== undefined
    this.outgoing.push({
      channel: to.channel,
      message: {
        key: this.id,
        ...more,
        type: to.type,
        data,
        id: messageId(this.definition.name, this.id, n),
        correlationId: this.id,
        ...(replies ? { replyTo: { kind: 'queue', name: this.#parts.queue } as const } : {}),
      },
    })
    return n
  }

  #publish(channel: Channel, message: Outgoing['message']): void {
    const n = this.row.next++
    this.outgoing.push({
      channel,
      message: { id: messageId(this.definition.name, this.id, n), correlationId: this.id, key: this.id, ...message },
    })
  }

  #timeout(name: string, ms: number): void {
    if (!this.definition.timeouts.has(name)) throw mistake(`there is no timeout ${name}`)
    if (this.row.status === 'running') this.timer(`timeout:${name}`, ageOption(`timeout ${name}`, ms, 0, 0))
  }

  #known(name: string): ProcessStep {
    const step = this.definition.steps.get(name)
    if (step === undefined)
      throw mistake(`there is no step ${name}; there are ${[...this.definition.steps.keys()].join(', ') || 'none'}`)
    return step
  }
}

function mistake(message: string): Error {
  return createError({ code: 'PROGRAMMING_ERROR', message, effect: 'none' })
}
