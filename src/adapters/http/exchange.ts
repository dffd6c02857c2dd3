// One request and its reply, as a handler of undici's dispatcher: it collects the body, measures the effect and settles on its own.
// No AbortSignal, no Readable, no AsyncResource: this is why it is quicker than `request()`.
import type { AbortWatcher, CallContext } from '../../core/context.ts'
import type { RpiReply } from '../../core/contracts/rpi.ts'
import { FAILURE_HEADER, isJsonType, parseJson, readFailure } from '../../core/http-wire.ts'
import { isFairleadError } from '../../errors/base.ts'
import { createError } from '../../errors/classes.ts'
import { classify, statusToError } from '../../errors/classify.ts'
import type { Code, Effect } from '../../errors/codes.ts'
import { fromProblem, isProblemType } from '../../errors/wire.ts'
import { codingsOf, decodeBody } from './decode.ts'
import type { HttpSettings } from './options.ts'
import type { Outgoing, Plan, Upload } from './plan.ts'
import type { DispatchController, DispatchHandler, IncomingHeaders } from './undici.ts'
import { sentOnce } from './verdicts.ts'

// Enough to say what went wrong; an error page of megabytes is not read to its end.
const MOST_ERROR_BYTES = 65_536
const NO_HEADERS: IncomingHeaders = Object.freeze({})
const EMPTY: Buffer = Buffer.alloc(0)
/** Under this key of `context.locals` stands the error of the attempt that used up the request stream. */
export const SPENT: unique symbol = Symbol('fairlead.http.spent')
const ABORTED = new Error('the call is over')

/** A reply whose headers are made plain only if somebody reads them. */
export class HttpReply implements RpiReply {
  readonly output: unknown
  readonly failure?: string
  readonly #headers: IncomingHeaders
  readonly #trailers: IncomingHeaders

  constructor(output: unknown, headers: IncomingHeaders, trailers: IncomingHeaders, failure: string | undefined) {
    this.output = output
    if (failure !== undefined) this.failure = failure
    this.#headers = headers
    this.#trailers = trailers
  }

  get headers(): Readonly<Record<string, string>> {
    return plainHeaders(this.#headers)
  }

  get trailers(): Readonly<Record<string, string>> {
    return plainHeaders(this.#trailers)
  }
}

/** The one value of a header; several are joined. */
export function headerOf(headers: IncomingHeaders, name: string): string | undefined {
  const value = headers[name]
  return typeof value === 'string' || value === undefined ? value : value.join(', ')
}

function plainHeaders(headers: IncomingHeaders): Readonly<Record<string, string>> {
  const plain: Record<string, string> = Object.create(null)
  for (const name of Object.keys(headers)) plain[name] = headerOf(headers, name) as string
  return plain
}

/** Collects a reply into one value. Settles exactly once: with the reply, an error, or the reason of an abort. */
export class Exchange implements DispatchHandler, AbortWatcher {
  nextWatcher: AbortWatcher | undefined
  protected readonly plan: Plan
  protected readonly settings: HttpSettings
  protected readonly context: CallContext
  protected readonly resolve: (reply: RpiReply) => void
  protected readonly reject: (error: unknown) => void
  protected controller: DispatchController | undefined
  protected settled: boolean
  protected status: number
  protected headers: IncomingHeaders
  protected received: number
  private readonly sent: number
  private readonly upload: Upload | undefined
  private readonly began: number
  private first: Buffer | undefined
  private more: Buffer[] | undefined
  private limit: number
  private cut: boolean

  constructor(
    plan: Plan,
    settings: HttpSettings,
    context: CallContext,
    request: Outgoing,
    resolve: (reply: RpiReply) => void,
    reject: (error: unknown) => void,
  ) {
    this.nextWatcher = undefined
    this.plan = plan
    this.settings = settings
    this.context = context
    this.resolve = resolve
    this.reject = reject
    this.controller = undefined
    this.settled = false
    this.status = 0
    this.headers = NO_HEADERS
    this.received = 0
    this.sent = request.bytes
    this.upload = request.upload
    this.began = settings.events.heard ? settings.clock.now() : -1
    this.first = undefined
    this.more = undefined
    this.limit = settings.maxResponseBytes
    this.cut = false
  }

  /** The attempt is over: settles at once, whether or not the request ever got out of its queue. */
  onAborted(reason: unknown): void {
    if (!this.settled)
      this.fail(isFairleadError(reason) ? reason : this.error('CANCELLED', undefined, undefined, reason))
    this.hangUp()
  }

  onRequestStart(controller: DispatchController): void {
    this.controller = controller
    // Nothing is written yet: a call that has been given up is never sent.
    if (this.settled) {
      this.hangUp()
      return
    }
    this.context.effect = 'unknown'
    // Over HTTP/2 undici sends again by itself what was refused: what came before does not count.
    this.status = 0
    this.received = 0
    this.first = undefined
    this.more = undefined
    this.cut = false
  }

  onResponseStart(controller: DispatchController, status: number, headers: IncomingHeaders): void {
    if (status < 200) return
    this.controller = controller
    this.status = status
    this.headers = headers
    this.limit =
      status < 300 ? this.settings.maxResponseBytes : Math.min(MOST_ERROR_BYTES, this.settings.maxResponseBytes)
    // What announces itself as too large need not be fetched to be found so.
    if (Number(headerOf(headers, 'content-length') ?? 0) > this.limit && this.plan.route.method !== 'HEAD')
      this.tooLarge()
  }

  onResponseData(_controller: DispatchController, chunk: Buffer): void {
    if (this.settled || this.cut) return
    this.received += chunk.length
    if (this.received > this.limit) {
      this.tooLarge()
      return
    }
    if (this.first === undefined) this.first = chunk
    else if (this.more === undefined) this.more = [this.first, chunk]
    else this.more.push(chunk)
  }

  onResponseEnd(_controller: DispatchController, trailers: IncomingHeaders): void {
    if (this.settled) return
    const body = this.more === undefined ? (this.first ?? EMPTY) : Buffer.concat(this.more, this.received)
    this.tell()
    const encoding = this.headers['content-encoding']
    if (encoding === undefined) {
      this.read(body, trailers)
      return
    }
    decodeBody(
      body,
      codingsOf(headerOf(this.headers, 'content-encoding')),
      this.settings.maxResponseBytes,
      (fault, decoded, cause) => {
        if (this.settled) return
        if (fault === undefined) this.read(decoded, trailers)
        else if (this.status >= 300) this.read(EMPTY, trailers)
        else if (fault === 'too-large') this.fail(this.oversize())
        else this.fail(this.error('REPLY_UNDECODABLE', 'the reply cannot be decompressed', 'done', cause))
      },
    )
  }

  onResponseError(_controller: DispatchController | undefined, error: Error): void {
    if (this.settled) return
    this.tell()
    this.fail(this.classified(error))
  }

  protected fail(error: unknown): void {
    this.settled = true
    this.first = undefined
    this.more = undefined
    this.reject(this.plan.sendsStream && this.context.effect !== 'none' ? this.notAgain(error) : error)
  }

  // The request was a stream, and it is spent, wholly or in part: the next attempt, if there is one, must not send what is left of it.
  private notAgain(error: unknown): unknown {
    const last = isFairleadError(error) && error.transient ? sentOnce(error) : error
    this.context.locals.set(SPENT, last)
    return last
  }

  protected hangUp(): void {
    if (this.upload !== undefined) this.upload.over = true
    this.controller?.abort(ABORTED)
  }

  protected tell(): void {
    if (this.began < 0) return
    const { context, settings } = this
    settings.events.emit({
      type: 'bytes',
      service: context.service,
      operation: context.operation,
      sent: this.sent,
      received: this.received,
      elapsedMs: settings.clock.now() - this.began,
      ...(context.endpoint === undefined ? {} : { endpoint: context.endpoint.id }),
    })
  }

  private tooLarge(): void {
    if (this.status >= 300) {
      // The status says enough; the rest of the page is let go.
      this.cut = true
      this.tell()
      this.read(EMPTY, NO_HEADERS)
    } else {
      this.tell()
      this.fail(this.oversize())
    }
    this.hangUp()
  }

  protected oversize(): Error {
    return this.error(
      'REPLY_TOO_LARGE',
      `the reply is larger than ${this.settings.maxResponseBytes} bytes`,
      this.status < 300 ? 'done' : undefined,
    )
  }

  // The whole body is there, decompressed.
  protected read(body: Buffer, trailers: IncomingHeaders): void {
    const { status, headers, plan } = this
    const failure = headerOf(headers, FAILURE_HEADER)
    if (failure !== undefined) {
      const declared = readFailure(plan.operation, failure, this.parsed(body))
      if (declared !== undefined) {
        this.done(new HttpReply(declared.data, headers, trailers, declared.failure))
        return
      }
    }
    if (status >= 300) {
      this.fail(this.refused(body))
      return
    }
    if (body.length === 0 || plan.route.method === 'HEAD') {
      this.done(new HttpReply(undefined, headers, trailers, undefined))
      return
    }
    const type = headerOf(headers, 'content-type')
    if (type !== 'application/json' && !isJsonType(type)) {
      this.fail(this.error('REPLY_UNDECODABLE', `the reply is ${type ?? 'of no type'}, not JSON`, 'done'))
      return
    }
    let output: unknown
    try {
      const text = body.toString('utf8')
      // What is no UTF-8 was replaced; only then it is worth a second look.
      if (text.includes('\ufffd') && !process.getBuiltinModule('node:buffer').isUtf8(body))
        throw new TypeError('the reply is not UTF-8')
      output = parseJson(text)
    } catch (cause) {
      this.fail(this.error('REPLY_UNDECODABLE', 'the reply is not valid JSON', 'done', cause))
      return
    }
    this.done(new HttpReply(output, headers, trailers, undefined))
  }

  protected done(reply: RpiReply): void {
    this.settled = true
    this.context.effect = 'done'
    this.resolve(reply)
  }

  // The error that a status of 300 and more stands for.
  private refused(body: Buffer): Error {
    const { status, headers } = this
    const hints = { ...this.facts(), headers, now: this.settings.clock.wallNow() }
    return isProblemType(headerOf(headers, 'content-type'))
      ? fromProblem(body, status, hints)
      : statusToError(status, hints)
  }

  private parsed(body: Buffer): unknown {
    try {
      return parseJson(body.toString('utf8'))
    } catch {
      return undefined
    }
  }

  protected classified(cause: unknown): Error {
    const { effect } = this.context
    return classify(cause, {
      ...this.facts(),
      effect,
      phase: this.status > 0 ? 'body' : effect === 'none' ? 'connect' : 'head',
    })
  }

  protected error(code: Code, message?: string, effect: Effect = this.context.effect, cause?: unknown): Error {
    return createError({ ...this.facts(), code, message, effect, ...(cause === undefined ? {} : { cause }) })
  }

  protected facts(): {
    readonly service: string
    readonly operation: string
    readonly endpoint: string | undefined
    readonly transport: 'http'
    readonly attempt: number
    readonly idempotent: boolean
  } {
    const { service, operation, endpoint, attempt, idempotent } = this.context
    return { service, operation, endpoint: endpoint?.id, transport: 'http', attempt, idempotent }
  }
}
