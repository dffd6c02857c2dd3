// How an operation looks on HTTP: one file, read by the server adapter and by the HTTP transport, so that the two cannot drift apart. No I/O.
import { createError } from '../errors/classes.ts'
import type { OperationDescriptor } from './contracts/rpi.ts'

/** Carries the time left of a call, as a duration in whole milliseconds: clocks of two machines do not agree, durations do. */
export const DEADLINE_HEADER = 'x-request-timeout-ms'
/** Names the declared failure that a reply carries. */
export const FAILURE_HEADER = 'fairlead-failure'
/** `Idempotency-Key` (IETF httpapi draft). */
export const IDEMPOTENCY_HEADER = 'idempotency-key'
/** Status of a declared failure, where the contract names no other. */
export const FAILURE_STATUS = 422
/** Media type of JSON bodies. */
export const JSON_TYPE = 'application/json'
// Media type of problems (RFC 9457) and of declared failures.
export { PROBLEM_TYPE } from '../errors/wire.ts'
/** Media type of streams: a JSON value a line. */
export const NDJSON_TYPE = 'application/x-ndjson'

const METHODS: readonly HttpMethod[] = ['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE']

/** Methods that an operation may be bound to. */
export type HttpMethod = 'GET' | 'HEAD' | 'POST' | 'PUT' | 'PATCH' | 'DELETE'

/** A parsed binding. It stands in `descriptor.bindings.http`. */
export interface HttpRoute {
  readonly method: HttpMethod
  /** The template: `/reservations/:id`. */
  readonly path: string
  /** Literal segments as they stand in the URL, parameters by name. */
  readonly segments: readonly HttpSegment[]
  /** Input fields that travel in the path. */
  readonly params: readonly string[]
  /** Input fields that travel in the query besides a body. With `rest: 'query'` all others do. */
  readonly query: readonly string[]
  /** Where the rest of the input goes. */
  readonly rest: 'query' | 'body'
}

/** A part of a path. */
export interface HttpSegment {
  readonly literal?: string
  readonly param?: string
}

/** What an input becomes on the wire. */
export interface HttpRequestParts {
  readonly method: HttpMethod
  /** Path and query, encoded: `/reservations/7?expand=lines`. */
  readonly target: string
  /** To be sent as JSON (or, of a streaming client, item by item); undefined for no body. */
  readonly body: unknown
}

const PROTO = '__proto__'
const FORBIDDEN = new Set([PROTO, 'constructor', 'prototype'])
const LITERAL = /^[A-Za-z0-9._~!$&'()*+,;=@%-]+$/
const NAME = /^[A-Za-z_$][A-Za-z0-9_$-]*$/

/**
 * Parses `'POST /reservations/:id?expand'`: fields named in the path travel there, fields named after `?` in the query,
 * the others in the query for GET, HEAD and DELETE and in a JSON body otherwise.
 * @throws TypeError with the reason
 */
export function parseRoute(binding: string): HttpRoute {
  const [, method = '', path = '', query] = /^(\S+) ([^?\s]*)(?:\?(\S*))?$/.exec(binding) ?? []
  if (!METHODS.includes(method as HttpMethod))
    throw new TypeError(`write it as 'METHOD /path/:param', METHOD one of ${METHODS.join(', ')}`)
  if (!path.startsWith('/')) throw new TypeError('the path begins with /')
  const seen = new Set<string>()
  const name = (field: string): string => {
    if (!NAME.test(field) || FORBIDDEN.has(field))
      throw new TypeError(`${JSON.stringify(field)} cannot be the name of a field`)
    if (seen.has(field)) throw new TypeError(`field ${field} is named twice`)
    seen.add(field)
    return field
  }
  const segments = (path === '/' ? [] : path.slice(1).split('/')).map((part): HttpSegment => {
    if (part.startsWith(':')) return { param: name(part.slice(1)) }
    if (!LITERAL.test(part) || part === '.' || part === '..')
      throw new TypeError(`${JSON.stringify(part)} cannot be a part of a path`)
    decode(part)
    return { literal: part }
  })
  const params = segments.flatMap((segment) => segment.param ?? [])
  const named = query === undefined || query === '' ? [] : query.split('&').map(name)
  const rest = method === 'GET' || method === 'HEAD' || method === 'DELETE' ? 'query' : 'body'
  return Object.freeze({ method: method as HttpMethod, path, segments, params, query: named, rest })
}

function decode(part: string): string {
  try {
    return decodeURIComponent(part)
  } catch {
    throw new TypeError(`${JSON.stringify(part)} is not well encoded`)
  }
}

/** The route of an operation: what its contract says, or `POST /{service}/{operation}`. */
export function routeOf(operation: OperationDescriptor): HttpRoute {
  const http = operation.bindings['http'] as Partial<HttpRoute> | undefined
  if (http?.segments !== undefined) return http as HttpRoute
  if (http?.path !== undefined) return parseRoute(`${http.method ?? 'POST'} ${http.path}`)
  return parseRoute(`POST /${encodeURIComponent(operation.service)}/${encodeURIComponent(operation.name)}`)
}

/**
 * Lays an input out on path, query and body.
 * In the query: strings as they are, arrays of plain values as the key repeated, everything else as JSON; undefined is left out.
 * @throws FairleadError `INVALID_REQUEST` where the input cannot travel that way
 */
export function layOut(route: HttpRoute, input: unknown): HttpRequestParts {
  if (route.params.length === 0 && route.query.length === 0 && route.rest === 'body')
    return { method: route.method, target: route.path, body: input }
  if (input === undefined && route.params.length === 0)
    return { method: route.method, target: route.path, body: undefined }
  if (typeof input !== 'object' || input === null || Array.isArray(input))
    throw unsendable(
      route,
      `its input must be an object, because it travels in ${route.params.length > 0 ? 'the path' : 'the query'}`,
    )
  const fields = input as Readonly<Record<string, unknown>>
  let path = ''
  for (const segment of route.segments)
    path += `/${segment.literal ?? pathValue(route, segment.param as string, fields[segment.param as string])}`
  const query: string[] = []
  for (const field of route.query) addQuery(route, query, field, fields[field])
  const rest = Object.keys(fields).filter((field) => !route.params.includes(field) && !route.query.includes(field))
  let body: Record<string, unknown> | undefined
  if (route.rest === 'query') for (const field of rest) addQuery(route, query, field, fields[field])
  else if (rest.length > 0) body = Object.fromEntries(rest.map((field) => [field, fields[field]]))
  return {
    method: route.method,
    target: (path === '' ? '/' : path) + (query.length === 0 ? '' : `?${query.join('&')}`),
    body,
  }
}

function unsendable(route: HttpRoute, why: string): Error {
  return createError({ code: 'INVALID_REQUEST', message: `${route.method} ${route.path}: ${why}` })
}

// A path is normalised on the way: `.` and `..` would reach another resource, an empty part another route.
function pathValue(route: HttpRoute, field: string, value: unknown): string {
  const plain =
    typeof value === 'string' || typeof value === 'number' || typeof value === 'boolean' || typeof value === 'bigint'
  const text = plain ? String(value) : ''
  if (text === '' || text === '.' || text === '..')
    throw unsendable(
      route,
      `${field} travels in the path and must be a string, number or boolean, not empty, not '.' or '..'`,
    )
  return encode(route, field, text)
}

function encode(route: HttpRoute, field: string, text: string): string {
  try {
    return encodeURIComponent(text)
  } catch {
    throw unsendable(route, `${field} is not well-formed Unicode`)
  }
}

function addQuery(route: HttpRoute, query: string[], field: string, value: unknown): void {
  if (value === undefined || typeof value === 'function' || typeof value === 'symbol') return
  const key = encode(route, field, field)
  if (Array.isArray(value) && value.length > 0 && value.every((item) => isPlain(item)))
    for (const item of value) query.push(`${key}=${encode(route, field, queryText(item))}`)
  else query.push(`${key}=${encode(route, field, queryText(value))}`)
}

function isPlain(value: unknown): boolean {
  return (
    typeof value === 'string' || typeof value === 'number' || typeof value === 'boolean' || typeof value === 'bigint'
  )
}

function queryText(value: unknown): string {
  if (typeof value === 'string') return value
  if (typeof value === 'bigint') return String(value)
  const json = JSON.stringify(value)
  // A Date and the like write themselves as a string; quotes around it would not be plain.
  const own: unknown = json === undefined ? '' : JSON.parse(json)
  return typeof own === 'string' ? own : json
}

/** Reads a query as text: a repeated key gives an array. `__proto__` and its kin are left out. */
export function readQuery(search: string): Record<string, string | string[]> {
  const fields: Record<string, string | string[]> = {}
  for (const [key, value] of new URLSearchParams(search)) {
    if (FORBIDDEN.has(key)) continue
    const before = Object.hasOwn(fields, key) ? fields[key] : undefined
    if (before === undefined) fields[key] = value
    else if (Array.isArray(before)) before.push(value)
    else fields[key] = [before, value]
  }
  return fields
}

/**
 * Parses JSON; keys that poison prototypes (`__proto__`, `constructor.prototype`) are dropped, wherever they stand.
 * @throws SyntaxError
 */
export function parseJson(text: string): unknown {
  const value: unknown = JSON.parse(text)
  // Such a key contains `proto`, plainly or escaped; almost no text does, so almost none is walked.
  if (text.includes('proto') || text.includes('\\u')) dropPoison(value)
  return value
}

function dropPoison(value: unknown): void {
  const waiting = [value]
  for (let next = waiting.pop(); waiting.length > 0 || next !== undefined; next = waiting.pop()) {
    if (typeof next !== 'object' || next === null) continue
    const object = next as Record<string, unknown>
    if (!Array.isArray(next)) {
      if (Object.hasOwn(object, PROTO)) delete object[PROTO]
      const maker = Object.hasOwn(object, 'constructor') ? object['constructor'] : undefined
      if (typeof maker === 'object' && maker !== null && Object.hasOwn(maker, 'prototype')) delete object['constructor']
    }
    for (const inner of Object.values(object)) if (typeof inner === 'object' && inner !== null) waiting.push(inner)
  }
}

/** Whether a content type says JSON: `application/json`, `text/json`, any `+json`. */
export function isJsonType(contentType: string | undefined): boolean {
  return contentType !== undefined && /^\s*(?:application|text)\/(?:[\w.+-]+\+)?json\s*(?:;|$)/i.test(contentType)
}

/** Whether a content type says NDJSON. */
export function isNdjsonType(contentType: string | undefined): boolean {
  return (
    contentType !== undefined && /^\s*application\/(?:x-ndjson|ndjson|jsonl|x-jsonlines)\s*(?:;|$)/i.test(contentType)
  )
}

/** The time left as a header value: whole milliseconds, 0 when it is spent, undefined when there is no end. */
export function writeDeadline(remainingMs: number): string | undefined {
  return Number.isFinite(remainingMs) ? String(Math.max(0, Math.floor(remainingMs))) : undefined
}

/** Milliseconds from a deadline header. Undefined where it is absent or not a number: then it says nothing. */
export function readDeadline(value: string | undefined): number | undefined {
  return value !== undefined && /^\s*-?\d{1,15}(?:\.\d+)?\s*$/.test(value) ? Number(value) : undefined
}

const TOKEN = /^[!#$%&'*+.^_`|~0-9A-Za-z-]+$/
const UNSAFE = /[^\t\x20-\x7e\x80-\xff]/

/**
 * Checks a header before it is sent: a line break in a value would inject a header of somebody else's choice.
 * @throws FairleadError `INVALID_REQUEST`
 */
export function checkHeader(name: string, value: unknown): string {
  if (!TOKEN.test(name))
    throw createError({ code: 'INVALID_REQUEST', message: `${JSON.stringify(name)} cannot be the name of a header` })
  if (typeof value !== 'string' || UNSAFE.test(value))
    throw createError({
      code: 'INVALID_REQUEST',
      message: `header ${name} must be a string without line breaks and control characters, in Latin-1`,
    })
  return value
}

/** The body of a declared failure: a problem (RFC 9457) with the name and the data of the failure. */
export interface FailureProblem {
  readonly type: string
  readonly title: string
  readonly status: number
  readonly failure: string
  readonly data: unknown
}

/** Makes the body of a declared failure. It goes out as `application/problem+json` with the name in the header `fairlead-failure`. */
export function failureProblem(failure: string, data: unknown, status: number = FAILURE_STATUS): FailureProblem {
  return { type: `urn:fairlead:failure:${encodeURIComponent(failure)}`, title: failure, status, failure, data }
}

/**
 * The declared failure of a reply, if it is one: the header names a failure of the operation, and the body carries its data.
 * @param header the value of `fairlead-failure`
 */
export function readFailure(
  operation: OperationDescriptor,
  header: string | undefined,
  body: unknown,
): { readonly failure: string; readonly data: unknown } | undefined {
  if (header === undefined || !operation.failures.includes(header)) return undefined
  return {
    failure: header,
    data: typeof body === 'object' && body !== null ? (body as Partial<FailureProblem>).data : undefined,
  }
}

/** A line that ends a stream that failed. `!` begins no JSON value, so that a reader that knows nothing of it fails instead of taking it for an item. */
const FAILED = '!'

/** A line of an NDJSON stream. */
export type StreamLine =
  | { readonly type: 'item'; readonly value: unknown }
  | { readonly type: 'problem'; readonly problem: Readonly<Record<string, unknown>> }
  | { readonly type: 'failure'; readonly failure: string; readonly data: unknown }

/** One item of a stream as a line. */
export function itemLine(value: unknown): string {
  return `${JSON.stringify(value) ?? 'null'}\n`
}

/** The last line of a stream that fails after its head was sent: a problem, or a `failureProblem`. */
export function failedLine(problem: object): string {
  return `${FAILED}${JSON.stringify(problem)}\n`
}

/**
 * Reads a line of a stream; undefined for an empty one (they keep a stream alive).
 * @throws SyntaxError
 */
export function readLine(line: string): StreamLine | undefined {
  if (line.trim() === '') return undefined
  if (!line.startsWith(FAILED)) return { type: 'item', value: parseJson(line) }
  const problem = parseJson(line.slice(1)) as Readonly<Record<string, unknown>>
  const failure = problem?.['failure']
  return typeof failure === 'string'
    ? { type: 'failure', failure, data: problem['data'] }
    : { type: 'problem', problem: problem ?? {} }
}

/**
 * Cuts chunks of bytes into lines. A last line without line break counts: whether the body was complete is for the transport to know.
 * @param tooLong what to throw for a line longer than `maxBytes`
 */
export async function* lines(
  chunks: AsyncIterable<Uint8Array>,
  maxBytes: number,
  tooLong: () => unknown,
): AsyncGenerator<string, void, undefined> {
  // A line break byte never stands inside a UTF-8 character, so cutting bytes is right.
  const decoder = new TextDecoder('utf-8', { fatal: true })
  let parts: Uint8Array[] = []
  let size = 0
  const join = (): string => {
    const text = decoder.decode(parts.length === 1 ? parts[0] : Buffer.concat(parts, size))
    parts = []
    size = 0
    return text
  }
  for await (const chunk of chunks) {
    let from = 0
    for (let end = chunk.indexOf(10); ; end = chunk.indexOf(10, from)) {
      const part = chunk.subarray(from, end < 0 ? undefined : end)
      size += part.length
      if (size > maxBytes) throw tooLong()
      parts.push(part)
      if (end < 0) break
      yield join()
      from = end + 1
    }
  }
  if (size > 0) yield join()
}
