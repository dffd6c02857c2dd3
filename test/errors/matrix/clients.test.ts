// axios, got and ky, the clients that recipes wrap: their own words for statuses, timeouts, aborts and broken replies.
import axios from 'axios'
import got from 'got'
import ky from 'ky'
import { describe, expect, test } from 'vitest'
import {
  createFaultServer,
  type FaultServer,
  fault,
  type RequestFault,
  refusedPort,
} from '../../../src/testing/fault-server/index.ts'
import { type Expected, expectError } from './rows.ts'

interface Options {
  readonly timeoutMs?: number
  readonly signal?: AbortSignal
}
type Ask = (url: string, options?: Options) => Promise<unknown>

const byAxios: Ask = (url, { timeoutMs, signal } = {}) =>
  axios.post(url, 'x', {
    proxy: false,
    responseType: 'json',
    transitional: { silentJSONParsing: false },
    ...(timeoutMs === undefined ? {} : { timeout: timeoutMs }),
    ...(signal === undefined ? {} : { signal }),
  })
const byGot: Ask = (url, { timeoutMs, signal } = {}) =>
  got
    .post(url, {
      body: 'x',
      retry: { limit: 0 },
      ...(timeoutMs === undefined ? {} : { timeout: { request: timeoutMs } }),
      ...(signal === undefined ? {} : { signal }),
    })
    .json()
const byKy: Ask = (url, { timeoutMs, signal } = {}) =>
  ky.post(url, { body: 'x', retry: 0, timeout: timeoutMs ?? false, ...(signal === undefined ? {} : { signal }) }).json()

const clients: readonly (readonly [string, Ask])[] = [
  ['axios', byAxios],
  ['got', byGot],
  ['ky', byKy],
]

const lost: Expected = { kind: 'omission', code: 'CONNECTION_LOST', effect: 'unknown', retry: 'idempotent' }
const truncated: Expected = { kind: 'omission', code: 'REPLY_TRUNCATED', effect: 'unknown', retry: 'idempotent' }
const violation: Expected = { kind: 'arbitrary', code: 'PROTOCOL_VIOLATION', effect: 'unknown', retry: 'never' }
const undecodable: Expected = { kind: 'arbitrary', code: 'REPLY_UNDECODABLE', effect: 'unknown', retry: 'never' }
const timedOut: Expected = { kind: 'timing', code: 'TIMED_OUT', effect: 'unknown', retry: 'idempotent' }
const cancelled: Expected = { kind: 'cancelled', code: 'CANCELLED', effect: 'unknown', retry: 'never' }

async function failureOf(
  ask: Ask,
  behaviour: RequestFault,
  options?: Options,
  during?: (server: FaultServer) => Promise<void>,
) {
  const server = await createFaultServer({ behaviour })
  const failed = ask(`${server.url}/x`, options).then(
    () => {
      throw new Error('nothing was thrown')
    },
    (error: unknown) => error,
  )
  await during?.(server)
  const error = await failed
  // On a busy machine a short timeout may strike before the server has read anything.
  if (options?.timeoutMs === undefined) expect(server.seen.requests()).toBe(1)
  await server.close()
  return error
}

describe.each(clients)('%s', (name, ask) => {
  test.each([
    ['reset after the request was read', fault.resetAfterRequest(), lost, {}],
    ['FIN before the head', fault.finBeforeHead(), lost, {}],
    ['body shorter than its length', fault.truncatedBody(), truncated, {}],
    ['not HTTP', fault.notHttp(), violation, {}],
    ['bad chunk', fault.badChunk(), violation, {}],
    // Only got keeps the good status in the error.
    ['malformed JSON', fault.malformedJson(), undecodable, { got: { effect: 'done' } }],
    ['a web page instead of JSON', fault.wrongContentType(), undecodable, { got: { effect: 'done' } }],
  ] as const)('%s', async (_, behaviour, expected, but: Record<string, Partial<Expected>>) => {
    expectError(await failureOf(ask, behaviour), { ...expected, ...but[name] })
  })

  test('refused', async () => {
    const port = await refusedPort()
    const error: unknown = await ask(port.url).catch((thrown: unknown) => thrown)
    await port.close()
    expectError(error, { kind: 'crash', code: 'CONNECTION_REFUSED', effect: 'none', retry: 'always' })
  })

  test.each([
    [404, { kind: 'response', code: 'NOT_FOUND', effect: 'none', retry: 'never' }],
    [429, { kind: 'response', code: 'TOO_MANY_REQUESTS', effect: 'none', retry: 'always' }],
    [500, { kind: 'response', code: 'SERVER_ERROR', effect: 'unknown', retry: 'idempotent' }],
    [503, { kind: 'response', code: 'UNAVAILABLE', effect: 'unknown', retry: 'idempotent' }],
  ] as const)('status %i with Retry-After in seconds and as a date', async (status, expected) => {
    const now = Date.UTC(2026, 5, 7, 8, 9, 10)
    const seconds = expectError(await failureOf(ask, fault.retryAfter(4, { status })), expected)
    expect(seconds).toMatchObject({ retryAfterMs: 4_000, details: { status } })
    const date = expectError(await failureOf(ask, fault.retryAfter({ at: now + 5_000 }, { status })), expected, { now })
    expect(date.retryAfterMs).toBe(5_000)
  })

  test('its own timeout', async () => {
    expectError(await failureOf(ask, fault.hangBeforeHead(), { timeoutMs: 100 }), timedOut)
  })

  test('an abort', async () => {
    const controller = new AbortController()
    const error = await failureOf(ask, fault.hangBeforeHead(), { signal: controller.signal }, async (server) => {
      await server.arrived()
      controller.abort()
    })
    expectError(error, cancelled)
  })

  test('redirects without end', async () => {
    const server = await createFaultServer({ behaviour: fault.redirectLoop({ status: 307 }) })
    const error: unknown = await ask(server.url).catch((thrown: unknown) => thrown)
    await server.close()
    expectError(error, { kind: 'arbitrary', code: 'REDIRECT_LOOP', effect: 'unknown', retry: 'never' })
  })
})

describe('options of the clients', () => {
  test.each([
    ['lookup', 'NAME_LOOKUP_TIMEOUT', 'none'],
    ['connect', 'CONNECT_TIMEOUT', 'none'],
    ['secureConnect', 'CONNECT_TIMEOUT', 'none'],
    ['response', 'HEAD_TIMEOUT', 'unknown'],
    ['read', 'BODY_TIMEOUT', 'unknown'],
    ['send', 'TIMED_OUT', 'unknown'],
    ['socket', 'TIMED_OUT', 'unknown'],
    ['request', 'TIMED_OUT', 'unknown'],
  ] as const)('what got was waiting for: %s', (event, code, effect) => {
    const error = Object.assign(new Error('Timeout awaiting'), { name: 'TimeoutError', code: 'ETIMEDOUT', event })
    expectError(error, { kind: 'timing', code, effect, retry: effect === 'none' ? 'always' : 'idempotent' })
  })

  test('limits of axios', async () => {
    const large = await createFaultServer({ behaviour: fault.hugeBody({ bytes: 100_000 }) })
    const reply: unknown = await axios
      .get(large.url, { proxy: false, maxContentLength: 10 })
      .catch((thrown: unknown) => thrown)
    const request: unknown = await axios
      .post(large.url, 'x'.repeat(100), { proxy: false, maxBodyLength: 10 })
      .catch((thrown: unknown) => thrown)
    await large.close()
    expectError(reply, { kind: 'response', code: 'REPLY_TOO_LARGE', effect: 'unknown', retry: 'never' })
    // follow-redirects notices while it sends.
    expectError(request, {
      kind: 'invalid',
      code: 'PAYLOAD_TOO_LARGE',
      effect: (request as { code: string }).code === 'ERR_BAD_REQUEST' ? 'none' : 'unknown',
      retry: 'never',
    })
  })

  test('axios with its clearer timeout code', async () => {
    const server = await createFaultServer({ behaviour: fault.hangBeforeHead() })
    const error: unknown = await axios
      .get(server.url, { proxy: false, timeout: 50, transitional: { clarifyTimeoutError: true } })
      .catch((thrown: unknown) => thrown)
    await server.close()
    expect(error).toMatchObject({ code: 'ETIMEDOUT' })
    expectError(error, timedOut)
  })
})
