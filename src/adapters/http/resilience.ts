// The standard policies as an interceptor of undici, for those who call through `dispatcher.compose(...)`.
import { IDEMPOTENCY_HEADER } from '../../core/http-wire.ts'
import { knownOptions } from '../../core/options.ts'
import { createError } from '../../errors/classes.ts'
import { createOrigins, isIdempotent, ORIGIN_OPTIONS, type OriginPolicies } from './origins.ts'
import { Relay } from './relay.ts'

/** Options of `resilience`: the policies of each origin. */
export interface ResilienceOptions extends OriginPolicies {}

/** An interceptor of undici, by its shape. */
export type HttpInterceptor = (
  dispatch: (options: any, handler: any) => boolean,
) => (options: any, handler: any) => boolean

/**
 * Deadline, retries, circuit breaker and cap per origin for everything that goes through a dispatcher: `request`, `stream`, `fetch` of the same undici.
 *
 * Statuses are answers and are handed on; those that count against the peer are tried again first, where method, key and body allow it.
 * Nothing is tried again once the head of an answer was handed on. The deadline holds for the body, too.
 * CONNECT and upgrades pass by.
 * @throws FairleadError INVALID_OPTIONS
 * @example const agent = new Agent().compose(resilience({ deadlineMs: 2_000 })); await request(url, { dispatcher: agent })
 */
export function resilience(options: ResilienceOptions = {}): HttpInterceptor {
  knownOptions('resilience', options, ORIGIN_OPTIONS)
  const origins = createOrigins(options)
  return (dispatch) => (request, handler) => {
    const { method = 'GET', origin, upgrade } = request
    if (method === 'CONNECT' || upgrade) return dispatch(request, handler)
    if (typeof handler?.onRequestStart !== 'function')
      throw createError({
        code: 'INVALID_OPTIONS',
        message: 'resilience() works through dispatcher.compose() of undici 7 or later',
      })
    const relay = new Relay(dispatch, request, handler, {
      origins,
      origin: typeof origin === 'string' ? origin : String(origin?.origin ?? origin),
      method,
      idempotent: isIdempotent(method, hasHeader(request.headers, IDEMPOTENCY_HEADER)),
      replayable: isReplayable(request.body),
      signal: request.signal instanceof AbortSignal ? request.signal : undefined,
    })
    relay.start()
    return true
  }
}

function isReplayable(body: unknown): boolean {
  return (
    body === undefined ||
    body === null ||
    typeof body === 'string' ||
    body instanceof ArrayBuffer ||
    ArrayBuffer.isView(body)
  )
}

// undici takes headers as an object, as names and values in turn, and as pairs.
function hasHeader(headers: unknown, name: string): boolean {
  if (typeof headers !== 'object' || headers === null) return false
  let names: readonly unknown[]
  if (Array.isArray(headers))
    names = Array.isArray(headers[0]) ? headers.map((pair) => pair[0]) : headers.filter((_, at) => at % 2 === 0)
  else if (typeof (headers as Iterable<unknown>)[Symbol.iterator] === 'function')
    names = [...(headers as Iterable<readonly unknown[]>)].map((pair) => pair[0])
  else names = Object.keys(headers)
  return names.some((each) => String(each).toLowerCase() === name)
}
