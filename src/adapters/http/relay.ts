// One request through an interceptor: several attempts towards the peer, one exchange towards the caller.
import type { Timer } from '../../core/clock.ts'
import type { CallContext } from '../../core/context.ts'
import { onSignal } from '../../core/signals.ts'
import type { FairleadError } from '../../errors/base.ts'
import { createError } from '../../errors/classes.ts'
import { classify } from '../../errors/classify.ts'
import type { Origins } from './origins.ts'
import { TRIED } from './tried.ts'
import type { DispatchController, DispatchHandler, IncomingHeaders } from './undici.ts'
import { countsAgainst, sentOnce, statusOf } from './verdicts.ts'

type Dispatch = (options: object, handler: object) => boolean

/** What is known of the request. */
export interface RelayFacts {
  readonly origins: Origins
  readonly origin: string
  readonly method: string
  readonly idempotent: boolean
  readonly replayable: boolean
  /** The caller's, where its options carry one. */
  readonly signal: AbortSignal | undefined
}

// The rest of an unwanted answer is read if it is small, because a connection is dearer; else the connection goes.
const MOST_DRAINED_BYTES = 65_536
// A held answer that is read to its end gives its slot back before the next attempt asks for one. A large one waits, unread.
const MOST_HELD_BYTES = 65_536

/** Stands between the caller's handler and the attempts. Towards the caller it is one exchange with one controller. */
export class Relay {
  readonly outer: DispatchHandler
  readonly facts: RelayFacts
  readonly controller: DispatchController
  readonly #dispatch: Dispatch
  readonly #request: object
  readonly #giveUp = new AbortController()
  #attempt: RelayAttempt | undefined
  #started = false
  #ended = false
  #aborted: { readonly reason: Error } | undefined
  #paused = false
  #timer: Timer | undefined
  #stopListening: () => void = () => {}

  constructor(dispatch: Dispatch, request: object, outer: DispatchHandler, facts: RelayFacts) {
    this.#dispatch = dispatch
    // Whoever picks endpoints further in goes to another one with each attempt.
    this.#request = { ...request, [TRIED]: new Set() }
    this.outer = outer
    this.facts = facts
    this.controller = this.#stableController()
  }

  start(): void {
    const { origins, origin, method, idempotent, signal } = this.facts
    if (signal?.aborted === true) {
      this.abort(signal.reason)
      return
    }
    // undici hands a signal on once the request is being sent; until then (no connection, no slot) only we can hear it.
    if (signal !== undefined) this.#stopListening = onSignal(signal, (reason) => this.abort(reason as Error))
    origins
      .run(origin, { method, idempotent, signal: this.#giveUp.signal }, (context) => this.#try(context))
      .catch((error: unknown) => this.#failed(error))
      // The caller's own hook threw.
      .catch((error: unknown) => this.abort(error as Error))
  }

  /** The first attempt is being sent: the caller gets the controller that it keeps. */
  begin(context: unknown): void {
    if (this.#started) return
    this.#started = true
    this.#stopListening()
    this.outer.onRequestStart(this.controller, context)
  }

  /** An answer is handed on: from here on there is no other attempt. */
  handOn(attempt: RelayAttempt, context: CallContext): void {
    const { clock } = this.facts.origins
    const left = context.deadline.remainingMs()
    if (left === Infinity) return
    this.#timer = clock.setTimer(
      () => {
        const error = createError({
          code: 'DEADLINE_EXCEEDED',
          message: 'the deadline came while the body was read',
          service: context.service,
          operation: context.operation,
        })
        attempt.controller?.abort(error)
        this.error(error)
      },
      Math.max(left, 0),
      undefined,
    )
  }

  end(trailers: IncomingHeaders): void {
    if (this.#over()) this.outer.onResponseEnd(this.controller, trailers)
  }

  error(error: Error): void {
    if (this.#over()) this.outer.onResponseError(this.controller, error)
  }

  /** The caller gave up. Its handler hears of its own reason, as it would without us. */
  abort(reason: Error): void {
    if (this.#ended) return
    this.#aborted = { reason }
    this.#attempt?.controller?.abort(reason)
    this.#giveUp.abort(reason)
    this.error(reason)
  }

  get over(): boolean {
    return this.#ended
  }

  get paused(): boolean {
    return this.#paused
  }

  #over(): boolean {
    if (this.#ended) return false
    this.#ended = true
    this.#stopListening()
    if (this.#timer !== undefined) this.facts.origins.clock.clearTimer(this.#timer)
    return true
  }

  #try(context: CallContext): Promise<void> {
    this.#attempt?.discard()
    return new Promise((resolve, reject) => {
      const attempt = new RelayAttempt(this, context, resolve, reject)
      this.#attempt = attempt
      context.effect = 'none'
      context.onAbort((reason) => attempt.leave(reason))
      try {
        this.#dispatch(this.#request, forwarding(attempt, this.outer))
      } catch (error) {
        attempt.onResponseError(undefined, error as Error)
      }
    })
  }

  #failed(error: unknown): void {
    const attempt = this.#attempt
    // The policies are done, and what they have is an answer after all.
    if (attempt?.holds(statusOf(error))) {
      attempt.release()
      return
    }
    attempt?.discard()
    this.error(error as Error)
  }

  #stableController(): DispatchController {
    const relay = this
    return {
      abort: (reason) => relay.abort(reason),
      pause() {
        relay.#paused = true
        relay.#attempt?.controller?.pause()
      },
      resume() {
        relay.#paused = false
        relay.#attempt?.controller?.resume()
      },
      get aborted() {
        return relay.#aborted !== undefined
      },
      get reason() {
        return relay.#aborted?.reason ?? null
      },
      get paused() {
        return relay.#paused
      },
      get rawHeaders() {
        return (relay.#attempt?.controller as { rawHeaders?: unknown } | undefined)?.rawHeaders
      },
      get rawTrailers() {
        return (relay.#attempt?.controller as { rawTrailers?: unknown } | undefined)?.rawTrailers
      },
    } as DispatchController
  }
}

interface Head {
  readonly status: number
  readonly headers: IncomingHeaders
  readonly statusMessage: string | undefined
}

// waiting: no head yet. held: a head that counts against the peer, until it is clear whether there is another attempt.
// live: handed on. dropped: nobody wants it.
type Stage = 'waiting' | 'held' | 'live' | 'dropped'

class RelayAttempt implements DispatchHandler {
  controller: DispatchController | undefined
  readonly #relay: Relay
  readonly #context: CallContext
  readonly #resolve: () => void
  readonly #reject: (error: unknown) => void
  #stage: Stage = 'waiting'
  #head: Head | undefined
  #chunks: Buffer[] = []
  #trailers: IncomingHeaders | undefined
  #broken: Error | undefined
  #drained = 0
  #held = 0
  #finish: () => void = () => {}

  constructor(relay: Relay, context: CallContext, resolve: () => void, reject: (error: unknown) => void) {
    this.#relay = relay
    this.#context = context
    this.#resolve = resolve
    this.#reject = reject
  }

  /** The attempt is over before its head came. */
  leave(reason: unknown): void {
    if (this.#stage !== 'waiting') return
    this.#stage = 'dropped'
    this.#reject(reason)
    this.controller?.abort(reason as Error)
  }

  holds(status: unknown): boolean {
    return this.#stage === 'held' && this.#head?.status === status
  }

  /** The held answer is handed on after all. */
  release(): void {
    if (this.#relay.over) {
      this.discard()
      return
    }
    this.#live()
    for (const chunk of this.#chunks.splice(0)) this.#relay.outer.onResponseData(this.#relay.controller, chunk)
    if (this.#broken !== undefined) this.#relay.error(this.#broken)
    else if (this.#trailers !== undefined) this.#relay.end(this.#trailers)
    else if (!this.#relay.paused) this.controller?.resume()
  }

  /** The held answer is not wanted. */
  discard(): void {
    if (this.#stage !== 'held') return
    this.#stage = 'dropped'
    this.#chunks = []
    this.controller?.resume()
  }

  onRequestStart(controller: DispatchController, context: unknown): void {
    this.controller = controller
    if (this.#stage === 'dropped' || this.#relay.over) {
      controller.abort(new Error('the call is over'))
      return
    }
    // HTTP/2: undici may send again by itself.
    this.#context.effect = 'unknown'
    this.#relay.begin(context)
  }

  onRequestUpgrade(controller: DispatchController, status: number, headers: IncomingHeaders, socket: unknown): void {
    this.#stage = 'live'
    this.#resolve()
    this.#relay.outer.onRequestUpgrade?.(controller, status, headers, socket)
  }

  onResponseStart(
    controller: DispatchController,
    status: number,
    headers: IncomingHeaders,
    statusMessage?: string,
  ): void {
    this.controller = controller
    if (this.#stage === 'dropped') return
    if (status < 200) {
      this.#relay.outer.onResponseStart(this.#relay.controller, status, headers, statusMessage)
      return
    }
    this.#context.track(new Promise<void>((resolve) => (this.#finish = resolve)))
    this.#head = { status, headers, statusMessage }
    const error = this.#fault(status, headers)
    if (error === undefined) {
      // Before the caller's handler: should it throw, the attempt is over all the same, and its slot is given back.
      this.#resolve()
      this.#live()
      return
    }
    this.#stage = 'held'
    this.#reject(error)
  }

  onResponseData(_controller: DispatchController, chunk: Buffer): void {
    if (this.#stage === 'live') this.#relay.outer.onResponseData(this.#relay.controller, chunk)
    else if (this.#stage === 'held') {
      this.#chunks.push(chunk)
      this.#held += chunk.length
      if (this.#held > MOST_HELD_BYTES) this.controller?.pause()
    } else if ((this.#drained += chunk.length) > MOST_DRAINED_BYTES)
      this.controller?.abort(new Error('the answer is not wanted'))
  }

  onResponseEnd(_controller: DispatchController, trailers: IncomingHeaders): void {
    this.#finish()
    this.#trailers = trailers
    if (this.#stage === 'live') this.#relay.end(trailers)
  }

  onResponseError(_controller: DispatchController | undefined, error: Error): void {
    this.#finish()
    const { service, operation, effect, attempt } = this.#context
    const { idempotent, replayable } = this.#relay.facts
    const phase = this.#head !== undefined ? 'body' : effect === 'none' ? 'connect' : 'head'
    const known = classify(error, { service, operation, effect, attempt, idempotent, phase, transport: 'http' })
    if (this.#stage === 'live') this.#relay.error(known)
    else if (this.#stage === 'held') this.#broken = known
    else this.#reject(replayable || !known.transient ? known : sentOnce(known))
  }

  #live(): void {
    this.#stage = 'live'
    const { status, headers, statusMessage } = this.#head as Head
    this.#relay.handOn(this, this.#context)
    this.#relay.outer.onResponseStart(this.#relay.controller, status, headers, statusMessage)
  }

  #fault(status: number, headers: IncomingHeaders): FairleadError | undefined {
    const { service, operation, attempt } = this.#context
    const { idempotent, replayable, origins } = this.#relay.facts
    return countsAgainst(status, replayable, {
      service,
      operation,
      attempt,
      idempotent,
      transport: 'http',
      headers,
      now: origins.clock.wallNow(),
    })
  }
}

const OLD_HOOKS = new Set<PropertyKey>(['onConnect', 'onHeaders', 'onData', 'onComplete', 'onError', 'onUpgrade'])

// Hooks that are not known here (`onRequestSent`, `onBodySent`, those of later versions) reach the caller's handler as they are.
function forwarding(attempt: RelayAttempt, outer: DispatchHandler): object {
  return new Proxy(attempt, {
    get(target, key) {
      if (key in target) {
        const own: unknown = Reflect.get(target, key, target)
        return typeof own === 'function' ? own.bind(target) : own
      }
      if (OLD_HOOKS.has(key)) return undefined
      const hook: unknown = Reflect.get(outer, key, outer)
      return typeof hook === 'function' ? hook.bind(outer) : hook
    },
  })
}
