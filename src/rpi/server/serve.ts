// One request from its arrival to its reply, whoever carries it.
import { withInherited } from '../../core/async-context.ts'
import type { Clock } from '../../core/clock.ts'
import { type Deadline, deadlineIn } from '../../core/deadline.ts'
import { failedLine, failureProblem, IDEMPOTENCY_HEADER, JSON_TYPE, readDeadline } from '../../core/http-wire.ts'
import { validate } from '../../core/schema.ts'
import { type FairleadError, isFairleadError } from '../../errors/base.ts'
import { createError } from '../../errors/classes.ts'
import type { Code } from '../../errors/codes.ts'
import { failureParts } from '../contract.ts'
import type { AnySchema, Operation } from '../types.ts'
import { RequestContext } from './handler-context.ts'
import { answerOnce, type Idempotency, streamsTakeNoKey } from './idempotent.ts'
import type { InFlight, Place } from './in-flight.ts'
import { Answered, failureReply, type Leaving, outgoing, problemOf, problemReply, replyInvalid } from './problem.ts'
import { readInput } from './read-input.ts'
import { RecordedRequest } from './recorded-request.ts'
import type { Found, Router } from './router.ts'
import { streamReply } from './stream-reply.ts'
import { discardReply, type WireReply, type WireRequest } from './wire.ts'

/** A handler as the adapter sees it. */
export type AnyHandler = (input: unknown, context: RequestContext) => unknown

/** What an adapter serves with. */
export interface Serving {
  readonly router: Router
  readonly handlers: Readonly<Record<string, AnyHandler>>
  readonly basePath: string
  readonly maxBodyBytes: number
  readonly maxConcurrent: number
  readonly maxDeadlineMs: number
  readonly deadlineHeader: string
  readonly exposeErrors: boolean
  readonly onError:
    | ((error: unknown, where: { readonly service: string; readonly operation: string }) => void)
    | undefined
  readonly clock: Clock
  readonly idempotency: Idempotency | undefined
  readonly inFlight: InFlight
  readonly closing: () => boolean
}

// What travels on to the calls that the handler makes: trace context and baggage (W3C).
const HANDED_DOWN = ['traceparent', 'tracestate', 'baggage']

/** Answers a request. Never rejects. The place is held until the answer is made; the carrier holds it until it is sent. */
export async function serve(serving: Serving, request: WireRequest, place: Place): Promise<WireReply> {
  const release = place.hold()
  try {
    return await route(serving, request, place)
  } catch (error) {
    return problemReply(error, { expose: serving.exposeErrors })
  } finally {
    release()
  }
}

async function route(serving: Serving, request: WireRequest, place: Place): Promise<WireReply> {
  const { basePath } = serving
  if (serving.closing()) return unavailable('this server is closing', true)
  const inside = basePath === '' || request.path === basePath || request.path.startsWith(`${basePath}/`)
  const path = request.path.slice(basePath.length) || '/'
  const found = inside ? serving.router.find(request.method, path) : []
  if (!('operation' in found)) return unrouted(request, found)
  if (serving.inFlight.count > serving.maxConcurrent) return unavailable('too many requests are being served', false)
  const reply = await new Served(serving, request, found, place).run()
  if (request.method !== 'HEAD') return reply
  discardReply(reply)
  return { ...reply, body: undefined }
}

// Refused before anything was done, and said so: the effect is none, so that the caller may go elsewhere at once.
function unavailable(why: string, close: boolean): WireReply {
  const error = createError({ code: 'UNAVAILABLE', message: why, effect: 'none', retryAfterMs: 1_000, stack: false })
  return problemReply(error, { expose: true, effect: 'none', close })
}

function unrouted(request: WireRequest, allowed: readonly string[]): WireReply {
  if (allowed.length === 0)
    return problemReply(createError({ code: 'UNKNOWN_OPERATION', stack: false }), { expose: true, effect: 'none' })
  const allow = { allow: allowed.join(', ') }
  if (request.method === 'OPTIONS') return { status: 204, headers: allow }
  const error = createError({
    code: 'INVALID_REQUEST',
    message: `the path does not take ${request.method.slice(0, 20)}`,
    stack: false,
  })
  return problemReply(error, { expose: true, effect: 'none', status: 405, headers: allow })
}

class Served {
  readonly #serving: Serving
  readonly #request: WireRequest
  readonly #found: Found
  readonly #operation: Operation
  readonly #place: Place
  readonly #controller = new AbortController()
  #stopTimer: () => void = nothing

  constructor(serving: Serving, request: WireRequest, found: Found, place: Place) {
    this.#serving = serving
    this.#request = request
    this.#found = found
    this.#operation = found.operation
    this.#place = place
  }

  async run(): Promise<WireReply> {
    const { clock, maxDeadlineMs, deadlineHeader } = this.#serving
    const left = readDeadline(this.#request.header(deadlineHeader)) ?? Infinity
    if (left <= 0)
      return this.#problem(this.#error('DEADLINE_SPENT', 'the deadline had passed before the request arrived'), {
        expose: true,
        effect: 'none',
      })
    const deadline = deadlineIn(Math.min(left, maxDeadlineMs), clock)
    this.#request.onGone(() => {
      this.#controller.abort(this.#error('CANCELLED', 'the client has gone'))
    })
    const { signal } = this.#controller
    const context = new RequestContext(
      this.#operation,
      this.#request,
      signal,
      deadline,
      this.#request.header(IDEMPOTENCY_HEADER),
    )
    try {
      return await this.#within(deadline, this.#work(context))
    } catch (error) {
      return this.#failed(error, context)
    }
  }

  #error(code: Code, message: string): FairleadError {
    return createError({
      code,
      message,
      service: this.#operation.service,
      operation: this.#operation.name,
      stack: false,
    })
  }

  #problem(error: unknown, leaving: Leaving): WireReply {
    const { service, name } = this.#operation
    return problemReply(error, { expose: this.#serving.exposeErrors, service, operation: name, ...leaving })
  }

  // Answers at the deadline, although the handler may go on; its place is taken until it is done.
  #within(deadline: Deadline, work: Promise<WireReply>): Promise<WireReply> {
    const release = this.#place.hold()
    work.then(release, release)
    if (deadline.at === Infinity) return work
    const { clock } = this.#serving
    return new Promise((resolve, reject) => {
      const timer = clock.setTimer(
        () => {
          const error = this.#error('DEADLINE_EXCEEDED', 'the caller waits no longer')
          this.#controller.abort(error)
          reject(error)
        },
        deadline.remainingMs(),
        undefined,
      )
      const over = (): void => clock.clearTimer(timer)
      this.#stopTimer = over
      // A stream is under the deadline until its end, not until its head.
      work.then(({ body }) => {
        if (typeof body !== 'object') over()
      }, over)
      work.then(resolve, reject)
    })
  }

  async #work(context: RequestContext): Promise<WireReply> {
    const { idempotency } = this.#serving
    const { streaming } = this.#operation
    if (idempotency !== undefined && streaming !== 'none' && context.idempotencyKey !== undefined)
      return streamsTakeNoKey(this.#operation)
    const keyed = idempotency === undefined || streaming !== 'none' ? undefined : new RecordedRequest(this.#request)
    let input: unknown
    try {
      input = await readInput(this.#found, keyed ?? this.#request, this.#serving.maxBodyBytes)
    } catch (error) {
      // Nothing was done yet, and it is the caller who is at fault; a schema that throws is ours.
      if (error instanceof Answered)
        return this.#problem(error.error, { expose: true, effect: 'none', status: error.status })
      if (isFairleadError(error)) return this.#problem(error, { expose: true, effect: 'none' })
      throw error
    }
    // Nobody waits for it any more.
    if (context.signal.aborted) throw context.signal.reason
    if (keyed === undefined || idempotency === undefined) return this.#handle(input, context)
    return answerOnce(idempotency, {
      operation: this.#operation,
      request: keyed,
      context,
      handle: () => this.#handle(input, context),
      declared: async (error) => {
        const end = await this.#declared(error)
        return end?.type === 'failure'
          ? failureReply(end.failure, end.data, end.status, context.replyHeaders)
          : undefined
      },
      failed: (error) => this.#tell(error, context.signal),
    })
  }

  async #handle(input: unknown, context: RequestContext): Promise<WireReply> {
    const handler = this.#serving.handlers[this.#operation.name] as AnyHandler
    const within = <T>(work: () => T): T =>
      withInherited({ deadline: context.deadline, headers: this.#handedDown(), signal: context.signal }, work)
    const output = await within(() => handler(input, context))
    const { streaming, definition } = this.#operation
    if (streaming === 'server' || streaming === 'both') {
      const release = this.#place.hold()
      return streamReply(this.#operation, output, {
        headers: context.replyHeaders,
        signal: context.signal,
        within,
        release: () => {
          this.#stopTimer()
          release()
        },
        lastLine: (error) => this.#lastLine(error, context.signal),
      })
    }
    const value = definition.output === undefined ? undefined : await this.#checked(definition.output, output)
    const body = JSON.stringify(value)
    const { success } = definition
    if (body === undefined) return { status: success ?? 204, headers: context.replyHeaders }
    return { status: success ?? 200, headers: { ...context.replyHeaders, 'content-type': JSON_TYPE }, body }
  }

  async #checked(schema: AnySchema, value: unknown): Promise<unknown> {
    const result = await validate(schema, value)
    if (!result.ok) throw replyInvalid(this.#operation, result.issues)
    return result.value
  }

  #handedDown(): Readonly<Record<string, string>> | undefined {
    let headers: Record<string, string> | undefined
    for (const name of HANDED_DOWN) {
      const value = this.#request.header(name)
      if (value !== undefined) (headers ??= {})[name] = value
    }
    return headers
  }

  async #failed(error: unknown, context: RequestContext): Promise<WireReply> {
    const end = await this.#ending(error, context.signal)
    if (end.type === 'failure') return failureReply(end.failure, end.data, end.status, context.replyHeaders)
    return this.#problem(end.error, end.leaving)
  }

  /** The last line of a stream whose head was sent. */
  async #lastLine(error: unknown, signal: AbortSignal): Promise<string> {
    const { service, name } = this.#operation
    const expose = this.#serving.exposeErrors
    try {
      const end = await this.#ending(error, signal)
      if (end.type === 'failure') return failedLine(failureProblem(end.failure, end.data))
      return failedLine(problemOf(end.error, { expose, service, operation: name, ...end.leaving }).body)
    } catch (second) {
      // The data of a failure, or the details of an error, that cannot be written as JSON.
      this.#tell(second, signal)
      return failedLine(problemOf(second, { expose, service, operation: name }).body)
    }
  }

  // What a handler threw: a failure that the contract declares, or an error. That our own answer broke our contract is our fault (500, not 502); the work is done.
  async #ending(thrown: unknown, signal: AbortSignal): Promise<Ending> {
    const { service, name } = this.#operation
    const declared = await this.#declared(thrown)
    if (declared?.type === 'failure') return declared
    const error = declared?.error ?? thrown
    this.#tell(error, signal)
    if (isFairleadError(error, 'REPLY_INVALID') && error.service === service && error.operation === name)
      // What was done in a transaction was undone; what else was done is not known.
      return {
        type: 'error',
        error,
        leaving: { effect: this.#serving.idempotency === undefined ? 'done' : 'unknown', status: 500 },
      }
    if (error instanceof Answered) return { type: 'error', error: error.error, leaving: { status: error.status } }
    return { type: 'error', error: outgoing(error, this.#operation), leaving: {} }
  }

  async #declared(thrown: unknown): Promise<Ending | undefined> {
    const { service, name, failures, definition } = this.#operation
    if (!isFairleadError(thrown, 'DECLARED_FAILURE') || thrown.service !== service || thrown.operation !== name)
      return undefined
    const failure = thrown.failure ?? ''
    const broken = (issues: unknown): Ending => ({
      type: 'error',
      error: replyInvalid(this.#operation, issues),
      leaving: {},
    })
    // By JavaScript a handler can name what the contract does not.
    if (!failures.includes(failure)) return broken(`no failure is called ${failure}`)
    const { schema, status } = failureParts(definition.failures?.[failure])
    const result = await validate(schema as AnySchema, thrown.details)
    return result.ok ? { type: 'failure', failure, data: result.value, status } : broken(result.issues)
  }

  // A listener's fault is not the request's. What the client did wrong, and that it has gone, is no error of the service.
  #tell(error: unknown, signal: AbortSignal): void {
    const { service, name } = this.#operation
    if (error instanceof Answered) return
    if (
      isFairleadError(error) &&
      (error.kind === 'cancelled' ? signal.aborted : error.kind === 'invalid' && error.service === service)
    )
      return
    try {
      this.#serving.onError?.(error, { service, operation: name })
    } catch {
      // Nothing to be done for it here.
    }
  }
}

function nothing(): void {}

type Ending =
  | { readonly type: 'failure'; readonly failure: string; readonly data: unknown; readonly status: number | undefined }
  | { readonly type: 'error'; readonly error: unknown; readonly leaving: Leaving }
