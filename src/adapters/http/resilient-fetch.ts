// A fetch that fails well: the same call and the same types, with the standard policies per origin.
import { detached } from '../../core/async-context.ts'
import type { CallContext } from '../../core/context.ts'
import { IDEMPOTENCY_HEADER } from '../../core/http-wire.ts'
import { invalidOption, knownOptions } from '../../core/options.ts'
import type { FairleadError } from '../../errors/base.ts'
import { createError } from '../../errors/classes.ts'
import { classify } from '../../errors/classify.ts'
import type { HttpTls } from './options.ts'
import { createOrigins, isIdempotent, ORIGIN_OPTIONS, type OriginPolicies, type Origins } from './origins.ts'
import { type Connector, type HttpDispatcher, undici } from './undici.ts'
import { countsAgainst, sentOnce, statusOf } from './verdicts.ts'
import { watch } from './watch.ts'

/** Options of `resilientFetch`: the policies of each origin, and how connections are made. */
export interface ResilientFetchOptions extends OriginPolicies {
  /** Speaks HTTP/2 where the server does. Default false. */
  readonly allowH2?: boolean | undefined
  /** Authorities to trust instead of the well-known ones, PEM: short for `tls.ca`. */
  readonly ca?: HttpTls['ca']
  readonly tls?: HttpTls | undefined
  /** Your own dispatcher of the undici that fairlead depends on (never one of Node's own); `init.dispatcher` wins. It is never closed here. */
  readonly dispatcher?: HttpDispatcher | undefined
}

/** As the global `fetch`, and closable. */
export interface ResilientFetch {
  (input: Parameters<typeof fetch>[0], init?: RequestInit): Promise<Response>
  /** Closes the connections, once what is on its way has come in. */
  close(): Promise<void>
}

/**
 * `fetch` with deadline, retries, circuit breaker and cap per origin. The fetch and its connections are those of the npm undici,
 * on every Node: Node's own fetch does not take another undici's dispatcher on 22 and 24.
 *
 * A status is an answer, as with fetch: it never rejects for one. But a 5xx counts against the peer and is tried again where that is safe;
 * the last answer is what you get. Safe is what the method says, or an `Idempotency-Key`; a stream as body is sent once.
 * The slot is held until the body was read or cancelled, and the deadline holds for the body, too. Rejects with FairleadErrors only.
 * @throws FairleadError INVALID_OPTIONS
 * @example const get = resilientFetch({ deadlineMs: 2_000 }); const response = await get('https://inventory/stock/A-1')
 */
export function resilientFetch(options: ResilientFetchOptions = {}): ResilientFetch {
  knownOptions('resilientFetch', options, [...ORIGIN_OPTIONS, 'allowH2', 'ca', 'tls', 'dispatcher'])
  const { allowH2, ca, tls, dispatcher, ...policies } = options
  if (dispatcher !== undefined && typeof dispatcher.dispatch !== 'function')
    throw invalidOption('dispatcher', dispatcher, 'give a dispatcher of undici')
  const origins = createOrigins(policies)
  const own = ownAgent(allowH2 ?? false, { ...(ca === undefined ? {} : { ca }), ...tls })
  let closed = false

  const run = async (input: Parameters<typeof fetch>[0], init?: RequestInit): Promise<Response> => {
    const request = read(input, init)
    if (closed)
      throw createError({
        code: 'SHUTDOWN',
        message: 'this fetch is closed',
        service: request.url.origin,
        stack: false,
      })
    const base = request.dispatcher ?? dispatcher ?? own.get()
    return send(request, base, origins)
  }
  return Object.assign(run, {
    async close(): Promise<void> {
      closed = true
      await own.close()
    },
  })
}

interface FetchRequest {
  readonly url: URL
  readonly method: string
  readonly init: Record<string, unknown>
  readonly idempotent: boolean
  readonly replayable: boolean
  readonly signal: AbortSignal | undefined
  readonly dispatcher: HttpDispatcher | undefined
}

// An answer that counts against the peer travels through the policies as an error, and out of them as the answer that it is.
async function send(request: FetchRequest, base: HttpDispatcher, origins: Origins): Promise<Response> {
  const { url, method, idempotent, signal } = request
  let answer: Response | undefined
  try {
    return await origins.run(url.origin, { method, idempotent, signal }, async (context) => {
      // The answer of the attempt before is not wanted any more; its connection is.
      discard(answer)
      answer = undefined
      const response = await once(request, base, context, origins)
      const error = fault(response, request, context, origins)
      if (error === undefined) return response
      answer = response
      throw error
    })
  } catch (error) {
    if (answer !== undefined && statusOf(error) === answer.status) return answer
    discard(answer)
    throw error
  }
}

async function once(
  request: FetchRequest,
  base: HttpDispatcher,
  context: CallContext,
  { clock }: Origins,
): Promise<Response> {
  const { signal } = request
  const control = new AbortController()
  const seen = watch(base, context)
  const leave = (reason: unknown): void => control.abort(reason)
  const onSignal = (): void => leave(signal?.reason)
  context.onAbort(leave)
  let timer: unknown
  try {
    const response = await undici().fetch(request.url, {
      ...request.init,
      signal: control.signal,
      dispatcher: seen.dispatcher,
    })
    seen.finish()
    // The pipeline listens until the head came; from here on the body does.
    signal?.addEventListener('abort', onSignal, { once: true })
    const left = context.deadline.remainingMs()
    if (left !== Infinity)
      timer = clock.setTimer(
        leave,
        Math.max(left, 0),
        createError({
          code: 'DEADLINE_EXCEEDED',
          message: 'the deadline came while the body was read',
          service: context.service,
        }),
      )
    const over = seen.over.then(() => {
      signal?.removeEventListener('abort', onSignal)
      if (timer !== undefined) clock.clearTimer(timer)
    })
    context.track(over)
    return response
  } catch (cause) {
    seen.finish()
    const { service, operation, effect, aborted, attempt } = context
    const error = classify(cause, {
      service,
      operation,
      effect,
      aborted,
      attempt,
      idempotent: request.idempotent,
      transport: 'http',
    })
    throw request.replayable || !error.transient ? error : sentOnce(error)
  }
}

function fault(
  response: Response,
  request: FetchRequest,
  context: CallContext,
  { clock }: Origins,
): FairleadError | undefined {
  const { status } = response
  const { service, operation, attempt } = context
  return countsAgainst(status, request.replayable, {
    service,
    operation,
    attempt,
    idempotent: request.idempotent,
    transport: 'http',
    headers: response.headers,
    now: clock.wallNow(),
  })
}

function discard(answer: Response | undefined): void {
  answer?.body?.cancel().catch(() => {})
}

// ---- what was asked for ----

const TAKEN_OVER = [
  'method',
  'redirect',
  'referrer',
  'referrerPolicy',
  'credentials',
  'cache',
  'integrity',
  'keepalive',
  'signal',
] as const

function read(input: Parameters<typeof fetch>[0], given: RequestInit | undefined): FetchRequest {
  const init: Record<string, unknown> = { ...given }
  let address: string | URL
  if (typeof input === 'string' || input instanceof URL) address = input
  else {
    // A Request may come from Node's own undici or from another one: only its parts are understood by ours.
    address = input.url
    for (const name of TAKEN_OVER) init[name] ??= (input as unknown as Record<string, unknown>)[name]
    init['headers'] ??= [...input.headers]
    if (given?.body === undefined && input.body !== null) init['body'] = input.body
  }
  let url: URL
  try {
    url = new URL(address)
  } catch (cause) {
    throw createError({ code: 'INVALID_REQUEST', message: 'the URL cannot be parsed', cause })
  }
  const method = String(init['method'] ?? 'GET').toUpperCase()
  const body = translated(init['body'])
  if (body !== undefined && body !== null) {
    init['body'] = body
    if (!isReplayable(body)) init['duplex'] ??= 'half'
  }
  const { signal } = init
  delete init['signal']
  return {
    url,
    method,
    init,
    idempotent: isIdempotent(method, hasHeader(init['headers'], IDEMPOTENCY_HEADER)),
    replayable: isReplayable(body),
    signal: (signal as AbortSignal | null | undefined) ?? undefined,
    dispatcher: init['dispatcher'] as HttpDispatcher | undefined,
  }
}

function isReplayable(body: unknown): boolean {
  if (body === undefined || body === null || typeof body === 'string') return true
  if (body instanceof ArrayBuffer || ArrayBuffer.isView(body) || body instanceof URLSearchParams) return true
  return isNamed(body, 'Blob') || isNamed(body, 'File') || isNamed(body, 'FormData')
}

// Node's own FormData is a class of another undici, which ours would write out as "[object FormData]".
function translated(body: unknown): unknown {
  if (!isNamed(body, 'FormData')) return body
  const { FormData: Own } = undici()
  if (body instanceof Own) return body
  const copy = new Own()
  for (const [name, value] of (body as FormData).entries()) {
    if (typeof value === 'string') copy.append(name, value)
    else copy.append(name, value, value.name)
  }
  return copy
}

function isNamed(value: unknown, name: string): boolean {
  return (
    typeof value === 'object' &&
    value !== null &&
    (value as { readonly [Symbol.toStringTag]?: unknown })[Symbol.toStringTag] === name
  )
}

function hasHeader(headers: unknown, name: string): boolean {
  if (headers === undefined || headers === null) return false
  const names =
    typeof (headers as Iterable<unknown>)[Symbol.iterator] === 'function'
      ? [...(headers as Iterable<readonly string[]>)].map(([key]) => key)
      : Object.keys(headers)
  return names.some((each) => String(each).toLowerCase() === name)
}

function ownAgent(allowH2: boolean, tls: HttpTls): { get(): HttpDispatcher; close(): Promise<void> } {
  let agent: (HttpDispatcher & { close(): Promise<void> }) | undefined
  return {
    get() {
      if (agent !== undefined) return agent
      const { Agent, buildConnector } = undici()
      const connect = buildConnector({ ...tls, allowH2 })
      const outside: Connector = (options, callback) => detached(() => connect(options, callback))
      return (agent = new Agent({ allowH2, connect: outside, headersTimeout: 0 }))
    },
    async close() {
      await agent?.close()
    },
  }
}
