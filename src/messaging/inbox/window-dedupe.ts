// Leaves out what came a moment ago: cheap, in memory, and no inbox.
import { type Clock, type Random, systemClock } from '../../core/clock.ts'
import type { CallContext } from '../../core/context.ts'
import { described } from '../../core/describe.ts'
import type { Handler, Layer } from '../../core/handler.ts'
import type { Message } from '../../core/message.ts'
import { countOption, durationOption, knownOptions } from '../../core/options.ts'
import { isOutcome, outcomesOf } from '../consumer/outcomes.ts'
import { messageKey } from './message-key.ts'
import { REMEMBERS } from './settings.ts'

/** Options of `windowDedupe`. */
export interface WindowDedupeOptions {
  /** For how long a handled message is remembered, milliseconds. Default 5 minutes. */
  readonly windowMs?: number | undefined
  /** How many are remembered at most; beyond it the oldest are forgotten. Default 10,000. */
  readonly max?: number | undefined
  /** Time, for tests. */
  readonly clock?: Clock | undefined
  /** Chance and ids. It has no use for them: they are taken so that what others take can be spread. */
  readonly random?: Random | undefined
  readonly newId?: (() => string) | undefined
}

/**
 * A layer for consumers: does not handle a message again that was handled a moment ago, by source and id. A duplicate that comes while the first one is still being
 * handled waits for it, and is handled itself if that one fails.
 *
 * It saves work, and promises nothing: it remembers in this process alone, not in its neighbours, for so long and so many at most, and what was done is done again if the
 * process ends, or the broker hands the message out once more, before it was remembered. Where doing it twice does harm, give the consumer an `inbox`, which takes
 * its place: a consumer is refused with both.
 * @throws FairleadError `INVALID_OPTIONS`
 * @example createConsumer({ transport, channel: Mails, layers: [windowDedupe({ windowMs: 60_000 })], handlers })
 */
export function windowDedupe(options: WindowDedupeOptions = {}): Layer {
  knownOptions('windowDedupe', options, ['windowMs', 'max', 'clock', 'random', 'newId'])
  const windowMs = durationOption('windowMs', options.windowMs, 300_000)
  const max = countOption('max', options.max, 10_000)
  const { clock = systemClock } = options
  const seen = new Window(windowMs, max, clock)
  const running = new Map<string, Promise<void>>()

  const each = async (request: unknown, context: CallContext, next: Next): Promise<unknown> => {
    const batch = Array.isArray(request)
    const messages = (batch ? request : [request]) as readonly Message[]
    const answers = new Array<unknown>(messages.length).fill(undefined)
    let left = messages.map((_, at) => at)
    while (left.length > 0) {
      const own: number[] = []
      const elsewhere: number[] = []
      for (const at of left) {
        const key = messageKey(messages[at] as Message)
        if (seen.has(key)) continue
        if (running.has(key)) elsewhere.push(at)
        else {
          own.push(at)
          running.set(key, unset)
        }
      }
      if (own.length > 0) {
        const keys = own.map((at) => messageKey(messages[at] as Message))
        let over: () => void = nothing
        const end = new Promise<void>((resolve) => {
          over = resolve
        })
        for (const key of keys) running.set(key, end)
        const release = (): void => {
          for (const key of keys) if (running.get(key) === end) running.delete(key)
          over()
        }
        // Whoever does not heed its end may never come back: others must not wait for it.
        const stop = context.onAbort(release)
        try {
          const answer = await next(
            batch && own.length < messages.length ? own.map((at) => messages[at]) : request,
            context,
          )
          const outcomes = outcomesOf(answer, own.length, batch)
          for (let at = 0; at < own.length; at++) {
            answers[own[at] as number] = outcomes === undefined && !batch ? answer : outcomes?.[at]
            if (!isOutcome(outcomes?.[at])) seen.add(keys[at] as string)
          }
        } finally {
          stop()
          release()
        }
      } else if (elsewhere.length > 0)
        await firstOf(
          elsewhere.map((at) => running.get(messageKey(messages[at] as Message))),
          context,
        )
      left = elsewhere
    }
    return batch ? answers : answers[0]
  }

  const layer: Layer =
    <Req, Res, C extends CallContext>(next: Handler<Req, Res, C>): Handler<Req, Res, C> =>
    (request, context) =>
      each(request, context, next as unknown as Next) as Promise<Res>
  Object.defineProperty(layer, REMEMBERS, { value: true })
  return described(layer, 'window-dedupe', { windowMs, max }, () => ({ remembered: seen.size, running: running.size }))
}

type Next = (request: unknown, context: CallContext) => PromiseLike<unknown>

/** What was handled, oldest first. */
class Window {
  readonly #windowMs: number
  readonly #max: number
  readonly #clock: Clock
  readonly #at: Map<string, number>

  constructor(windowMs: number, max: number, clock: Clock) {
    this.#windowMs = windowMs
    this.#max = max
    this.#clock = clock
    this.#at = new Map()
  }

  get size(): number {
    return this.#at.size
  }

  has(key: string): boolean {
    const at = this.#at.get(key)
    return at !== undefined && this.#clock.now() - at < this.#windowMs
  }

  add(key: string): void {
    const now = this.#clock.now()
    this.#at.delete(key)
    this.#at.set(key, now)
    for (const [oldest, at] of this.#at) {
      if (this.#at.size <= this.#max && now - at < this.#windowMs) return
      this.#at.delete(oldest)
    }
  }
}

function firstOf(ends: readonly (Promise<void> | undefined)[], context: CallContext): Promise<void> {
  return new Promise((resolve, reject) => {
    const stop = context.onAbort(reject)
    for (const end of ends)
      (end ?? unset).then(() => {
        stop()
        resolve()
      })
  })
}

const unset: Promise<void> = Promise.resolve()

function nothing(): void {}
