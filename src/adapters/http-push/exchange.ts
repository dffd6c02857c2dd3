// One request to one subscriber, as a handler of undici's dispatcher: it measures the effect and settles on its own clock.
import type { Clock, Timer } from '../../core/clock.ts'
import type { FairleadError } from '../../errors/base.ts'
import { createError, type Stamp, withFields } from '../../errors/classes.ts'
import { classify, type StatusHints, statusToError } from '../../errors/classify.ts'
import type { Effect } from '../../errors/codes.ts'
import { headerOf } from '../../errors/retry-after.ts'
import { fromProblem, isProblemType } from '../../errors/wire.ts'
import type { DispatchController, DispatchHandler, HttpDispatcher, IncomingHeaders } from '../http/undici.ts'
import type { Target } from './routes.ts'
import type { Scope } from './scope.ts'
import { VERDICT_HEADER } from './wire.ts'

/** What came of a request. `status` 0: nothing was answered. */
export interface Answer {
  readonly status: number
  /** Undefined: acknowledged. */
  readonly error: FairleadError | undefined
  /** The receiver gave the message back: the pause it asks for holds for the message, not for this URL only. */
  readonly givenBack: boolean
}

/** What is sent. */
export interface Outgoing {
  readonly target: Target
  /** Names and values in turn. */
  readonly headers: readonly string[]
  readonly body: Uint8Array
}

/** Bounds and facts of one request. */
export interface Request {
  readonly dispatcher: HttpDispatcher
  readonly clock: Clock
  readonly scope: Scope
  readonly timeoutMs: number
  readonly facts: Stamp
}

/** Sends. Never rejects, and settles as soon as its time or its scope is over, whatever the connection does. */
export function exchange(outgoing: Outgoing, request: Request): Promise<Answer> {
  return new Promise((resolve) => {
    const handler = new PushExchange(request, resolve)
    try {
      request.dispatcher.dispatch(
        {
          origin: outgoing.target.origin,
          path: outgoing.target.path,
          method: 'POST',
          headers: outgoing.headers,
          body: outgoing.body.byteLength === 0 ? null : outgoing.body,
          headersTimeout: 0,
          bodyTimeout: 0,
        },
        handler,
      )
    } catch (error) {
      handler.onResponseError(undefined, error as Error)
    }
  })
}

// What a refusal has to say; the rest of an answer is let go.
const MOST_BYTES = 65_536
const OVER = new Error('the request is over')

class PushExchange implements DispatchHandler {
  readonly #request: Request
  readonly #resolve: (answer: Answer) => void
  readonly #timer: Timer
  readonly #stop: () => void
  #controller: DispatchController | undefined
  #effect: Effect = 'none'
  #status = 0
  #headers: IncomingHeaders = {}
  #chunks: Buffer[] = []
  #received = 0
  #settled = false
  #over = false

  constructor(request: Request, resolve: (answer: Answer) => void) {
    this.#request = request
    this.#resolve = resolve
    this.#timer = request.clock.setTimer(timeUp, request.timeoutMs, this)
    this.#stop = request.scope.onCut(() => this.#end(request.scope.ending?.(this.#effect)))
  }

  timeUp(): void {
    const { facts, timeoutMs } = this.#request
    this.#end(
      createError({
        ...facts,
        code: 'ATTEMPT_TIMEOUT',
        message: `the subscriber did not answer within ${Math.round(timeoutMs)} ms`,
        effect: this.#effect,
        stack: false,
      }),
    )
  }

  onRequestStart(controller: DispatchController): void {
    this.#controller = controller
    // Nothing is written yet: what has been given up is never sent.
    if (this.#over) controller.abort(OVER)
    else this.#effect = 'unknown'
  }

  onResponseStart(controller: DispatchController, status: number, headers: IncomingHeaders): void {
    if (status < 200) return
    this.#controller = controller
    this.#status = status
    this.#headers = headers
    // A good status says it all. The body is read only so that the connection can be used again.
    if (status < 300) this.#settle({ status, error: undefined, givenBack: false })
  }

  onResponseData(controller: DispatchController, chunk: Buffer): void {
    this.#received += chunk.length
    if (this.#received <= MOST_BYTES) {
      if (!this.#settled) this.#chunks.push(chunk)
      return
    }
    this.#chunks = []
    this.#finish()
    controller.abort(OVER)
  }

  onResponseEnd(): void {
    this.#finish()
  }

  onResponseError(_controller: DispatchController | undefined, error: Error): void {
    // Cut off in its body, the answer still has a status, and that says what happened.
    if (this.#status > 0) this.#finish()
    else
      this.#fail(
        classify(error, {
          ...this.#request.facts,
          effect: this.#effect,
          phase: this.#effect === 'none' ? 'connect' : 'head',
          aborted: undefined,
        }),
      )
  }

  // Everything of the answer that will be read has been read.
  #finish(): void {
    if (this.#settled) this.#cleanUp()
    else this.#refused()
  }

  #refused(): void {
    const { clock, facts } = this.#request
    const status = this.#status
    const hints: StatusHints = { ...facts, headers: this.#headers, now: clock.wallNow() }
    const error = isProblemType(headerOf(this.#headers, 'content-type'))
      ? fromProblem(Buffer.concat(this.#chunks), status, hints)
      : statusToError(status, hints)
    const givenBack = status === 503 && headerOf(this.#headers, VERDICT_HEADER) === 'retry'
    this.#settle({ status, error, givenBack })
    this.#cleanUp()
  }

  #end(error: FairleadError | undefined): void {
    // A body that does not end takes nothing from a status that is known.
    if (this.#status > 0) this.#finish()
    else if (error !== undefined) this.#fail(withFields(error, this.#request.facts))
    this.#over = true
    this.#controller?.abort(OVER)
    this.#cleanUp()
  }

  #fail(error: FairleadError): void {
    this.#settle({ status: 0, error, givenBack: false })
    this.#cleanUp()
  }

  #settle(answer: Answer): void {
    if (this.#settled) return
    this.#settled = true
    this.#resolve(answer)
  }

  #cleanUp(): void {
    this.#chunks = []
    this.#request.clock.clearTimer(this.#timer)
    this.#stop()
  }
}

function timeUp(exchange: PushExchange): void {
  exchange.timeUp()
}
