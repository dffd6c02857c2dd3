// Every HTTP status, and Retry-After in both forms, answered by a real server.
import { Agent, request } from 'undici'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { CODES, statusToError, type Verdict, verdictOf } from '../../../src/errors/index.ts'
import { createFaultServer, type FaultServer, fault } from '../../../src/testing/fault-server/index.ts'
import { type Expected, expectError } from './rows.ts'

type Group = readonly [statuses: readonly number[], expected: Expected, breaker: Verdict]

const range = (from: number, to: number): readonly number[] =>
  Array.from({ length: to - from + 1 }, (_, at) => from + at)
const answer = (code: Expected['code'], retry: Expected['retry'] = 'never'): Expected => ({
  kind: 'response',
  code,
  effect: 'none',
  retry,
})
const failure = (code: Expected['code'], retry: Expected['retry']): Expected => ({
  kind: 'response',
  code,
  effect: 'unknown',
  retry,
})

// The rows of the research (RFC 9110 section 15); whatever is not named falls to the last group of its hundred.
const named: readonly Group[] = [
  [[300, 304, 305, 307, 308], answer('UNEXPECTED_REDIRECT'), 'neutral'],
  [[401, 407], answer('UNAUTHENTICATED'), 'success'],
  [[403, 451], answer('FORBIDDEN'), 'success'],
  [[404, 410], answer('NOT_FOUND'), 'success'],
  [[408], { kind: 'timing', code: 'REQUEST_TIMEOUT', effect: 'none', retry: 'always' }, 'neutral'],
  [[409, 412, 423, 428], answer('CONFLICT'), 'success'],
  [[413, 415, 422], answer('UNPROCESSABLE'), 'success'],
  [[421], answer('MISDIRECTED', 'always'), 'neutral'],
  [[425], answer('EARLY_DATA_REFUSED', 'always'), 'neutral'],
  [[429], answer('TOO_MANY_REQUESTS', 'always'), 'neutral'],
  [[499], failure('BAD_REQUEST', 'never'), 'success'],
  [[501, 505, 506, 508, 510], failure('NOT_SUPPORTED', 'never'), 'failure'],
  [[502], { kind: 'crash', code: 'BAD_GATEWAY', effect: 'unknown', retry: 'idempotent' }, 'failure'],
  [[503], failure('UNAVAILABLE', 'idempotent'), 'failure'],
  [[504], { kind: 'timing', code: 'GATEWAY_TIMEOUT', effect: 'unknown', retry: 'idempotent' }, 'failure'],
]
const rest = (from: number, to: number): readonly number[] =>
  range(from, to).filter((status) => !named.some(([statuses]) => statuses.includes(status)))
const groups: readonly Group[] = [
  ...named,
  [rest(300, 399), failure('UNEXPECTED_REDIRECT', 'never'), 'neutral'],
  [rest(400, 499), answer('BAD_REQUEST'), 'success'],
  [rest(500, 599), failure('SERVER_ERROR', 'idempotent'), 'failure'],
]

let server: FaultServer
let dispatcher: Agent
beforeAll(async () => {
  server = await createFaultServer()
  dispatcher = new Agent()
})
afterAll(async () => {
  await dispatcher.destroy()
  await server.close()
})

/** As a transport does: reads the answer and makes an error of its status. */
async function errorOf(path: string, hints: Parameters<typeof statusToError>[1] = {}): Promise<unknown> {
  const { statusCode, headers, body } = await request(`${server.url}${path}`, { dispatcher, method: 'POST', body: 'x' })
  await body.dump()
  return statusToError(statusCode, { headers, ...hints })
}

describe('HTTP statuses', () => {
  test('all of 300 to 599 are there, once', () => {
    expect(groups.flatMap(([statuses]) => statuses).sort((a, b) => a - b)).toEqual(range(300, 599))
  })

  test.each(groups.map((group) => [group[0].join(' ').slice(0, 40), group] as const))('%s', async (_, group) => {
    const [statuses, expected, breaker] = group
    for (const status of statuses) {
      server.on(`/${status}`, fault.status(status))
      const error = await errorOf(`/${status}`)
      const found = expectError(error, expected)
      expect(found.details).toEqual({ status })
      expect(verdictOf(error)).toBe(breaker)
      expect(found.overload).toBe(status === 429 || status === 503)
      expect(server.seen.requests(`/${status}`)).toBe(1)
    }
  })

  test('a 503 is proof of nothing done only where the contract says so', async () => {
    server.on('/busy', fault.status(503))
    const error = await errorOf('/busy', { unavailableMeansNotProcessed: true })
    expectError(error, { kind: 'response', code: 'UNAVAILABLE', effect: 'none', retry: 'always' })
  })

  test.each([0, 99, 101, 200, 204, 600, 1_000, -1, Number.NaN, 404.5])('%d is no failure, or no status', (status) => {
    expect(statusToError(status).code).toBe('PROTOCOL_VIOLATION')
  })

  test('Retry-After in seconds and as a date', async () => {
    const now = Date.UTC(2026, 0, 2, 3, 4, 5)
    server.on('/seconds', fault.retryAfter(3))
    server.on('/date', fault.retryAfter({ at: now + 90_000 }, { status: 429 }))
    expect(await errorOf('/seconds')).toMatchObject({ code: 'UNAVAILABLE', retryAfterMs: 3_000 })
    expect(await errorOf('/date', { now })).toMatchObject({ code: 'TOO_MANY_REQUESTS', retryAfterMs: 90_000 })
    // Without a clock a date cannot be understood.
    expect(await errorOf('/date')).toMatchObject({ retryAfterMs: undefined })
  })

  test('a status leaves with the status that it came with, where it has one of its own', () => {
    for (const [statuses] of named) {
      const first = statuses.find((status) => status >= 400 && status !== 499)
      if (first !== undefined)
        expect(CODES[statusToError(first).code].status ?? 502).toBe(statuses.includes(413) ? 422 : first)
    }
  })
})
