// Aborts and timeouts that travel by AbortSignal, at every stage of a real exchange.
import { describe, expect, test } from 'vitest'
import { classify, createError } from '../../../src/errors/index.ts'
import { createFaultServer, type FaultServerOptions, fault } from '../../../src/testing/fault-server/index.ts'
import { type Client, globalFetch, nodeHttp, nodeHttp2, packageFetch, undiciH1, undiciH2 } from './clients.ts'
import { type Expected, expectError } from './rows.ts'

const clients: readonly (readonly [string, Client, FaultServerOptions])[] = [
  [undiciH1.name, undiciH1, {}],
  [packageFetch.name, packageFetch, {}],
  [globalFetch.name, globalFetch, {}],
  [nodeHttp.name, nodeHttp, {}],
  [undiciH2.name, undiciH2, { protocol: 'h2' }],
  [nodeHttp2.name, nodeHttp2, { protocol: 'h2' }],
]

const cancelled: Expected = { kind: 'cancelled', code: 'CANCELLED', effect: 'unknown', retry: 'never' }

/** Aborts once the server has the request; `reason` as given to `abort()`. */
async function abortAtServer(
  client: Client,
  options: FaultServerOptions,
  ...reason: readonly unknown[]
): Promise<unknown> {
  const server = await createFaultServer({ ...options, behaviour: fault.hangBeforeHead() })
  const controller = new AbortController()
  const thrown = client
    .ask({ url: server.url, ca: server.ca, signal: controller.signal, method: 'POST', body: 'x' })
    .catch((error: unknown) => error)
  await server.arrived()
  controller.abort(...reason)
  const error = await thrown
  await server.aborted()
  expect(server.seen.requests()).toBe(1)
  await server.close()
  return error
}

describe('aborts', () => {
  test.each(clients)('without a reason: %s', async (_, client, options) => {
    expectError(await abortAtServer(client, options), cancelled)
  })

  test.each(clients)('before anything was sent: %s', async (_, client, options) => {
    const server = await createFaultServer(options)
    const error: unknown = await client
      .ask({ url: server.url, ca: server.ca, signal: AbortSignal.abort() })
      .catch((thrown: unknown) => thrown)
    expect(server.seen.requests()).toBe(0)
    await server.close()
    expectError(error, { ...cancelled, effect: 'none' }, { effect: 'none' })
  })

  test.each(clients)('by our own attempt timeout: the error is that timeout: %s', async (_, client, options) => {
    const reason = createError({ code: 'ATTEMPT_TIMEOUT', service: 'stock', operation: 'get', attempt: 2 })
    const error = await abortAtServer(client, options, reason)
    const hints = { service: 'stock', operation: 'get' }
    expect(classify(error, hints)).toBe(reason)
    // The same where a client hides the reason, as axios and got do.
    expect(
      classify(Object.assign(new Error('canceled'), { code: 'ERR_CANCELED' }), { ...hints, aborted: { reason } }),
    ).toBe(reason)
  })

  test.each(clients)('by the caller, with a reason of his own: %s', async (_, client, options) => {
    const reason = new RangeError('the user went away')
    const error = await abortAtServer(client, options, reason)
    const found = expectError(error, cancelled, { aborted: { reason } })
    expect(found.cause).toBe(reason)
  })

  test.each(clients)('by AbortSignal.timeout(): %s', async (_, client, options) => {
    const server = await createFaultServer({ ...options, behaviour: fault.hangBeforeHead() })
    const error: unknown = await client
      .ask({ url: server.url, ca: server.ca, signal: AbortSignal.timeout(30) })
      .catch((thrown: unknown) => thrown)
    await server.close()
    expectError(error, { kind: 'timing', code: 'TIMED_OUT', effect: 'unknown', retry: 'idempotent' })
  })

  test.each(clients)('in the body: %s', async (_, client, options) => {
    const server = await createFaultServer({ ...options, behaviour: fault.hangInBody() })
    const controller = new AbortController()
    const thrown = client
      .ask({ url: server.url, ca: server.ca, signal: controller.signal })
      .catch((error: unknown) => error)
    await server.arrived()
    // The head is on its way; the client may or may not have it yet, and it is cancelled either way.
    await new Promise((resolve) => setImmediate(resolve))
    controller.abort()
    const error = await thrown
    await server.close()
    expectError(error, cancelled, { phase: 'body', aborted: { reason: controller.signal.reason } })
  })

  test('what is no abort stays what it is, although the attempt was aborted', () => {
    const refused = Object.assign(new Error('x'), { code: 'ECONNREFUSED', syscall: 'connect' })
    expect(classify(refused, { aborted: { reason: new Error('too late') } }).code).toBe('CONNECTION_REFUSED')
  })
})
