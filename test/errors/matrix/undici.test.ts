// What only undici says: its timeouts, limits, lifecycle, proxies and interceptors. Produced by the client itself wherever it can be.

import * as undici from 'undici'
import { describe, expect, test } from 'vitest'
import { classify } from '../../../src/errors/index.ts'
import { createFaultServer, type FaultServer, fault, refusedPort } from '../../../src/testing/fault-server/index.ts'
import { type Client, packageFetch, undiciH1, undiciH2 } from './clients.ts'
import { type Expected, expectError } from './rows.ts'

const headTimeout: Expected = { kind: 'timing', code: 'HEAD_TIMEOUT', effect: 'unknown', retry: 'idempotent' }
const bodyTimeout: Expected = { kind: 'timing', code: 'BODY_TIMEOUT', effect: 'unknown', retry: 'idempotent' }
const badRequest: Expected = { kind: 'invalid', code: 'INVALID_REQUEST', effect: 'none', retry: 'never' }
const options: Expected = { kind: 'invalid', code: 'INVALID_OPTIONS', effect: 'none', retry: 'never' }
const lost: Expected = { kind: 'omission', code: 'CONNECTION_LOST', effect: 'unknown', retry: 'idempotent' }
const proxy: Expected = { kind: 'crash', code: 'PROXY_FAILED', effect: 'none', retry: 'always' }
const tooLarge: Expected = { kind: 'response', code: 'REPLY_TOO_LARGE', effect: 'unknown', retry: 'never' }

const thrownBy = async (work: () => unknown): Promise<unknown> => {
  try {
    await work()
  } catch (error) {
    return error
  }
  throw new Error('nothing was thrown')
}

/** Runs with a server and an Agent of its own. */
async function over<T>(
  work: (server: FaultServer, dispatcher: undici.Agent) => Promise<T>,
  agent: undici.Agent.Options = {},
): Promise<T> {
  const server = await createFaultServer()
  const dispatcher = new undici.Agent(agent)
  try {
    return await work(server, dispatcher)
  } finally {
    await dispatcher.destroy()
    await server.close()
  }
}

const bodyOf = async (response: Promise<undici.Dispatcher.ResponseData>): Promise<string> =>
  (await response).body.text()

describe('timeouts of undici', () => {
  const hang = [
    ['head', undiciH1, 'h1', fault.hangBeforeHead(), headTimeout],
    ['head', packageFetch, 'h1', fault.hangBeforeHead(), headTimeout],
    ['head', undiciH2, 'h2', fault.hangBeforeHead(), headTimeout],
    ['body', undiciH1, 'h1', fault.hangInBody(), bodyTimeout],
    ['body', packageFetch, 'h1', fault.hangInBody(), bodyTimeout],
    ['body', undiciH2, 'h2', fault.hangInBody(), bodyTimeout],
  ] as const
  test.concurrent.each(hang.map((row) => [row[0], row[1].name, row] as const))(
    '%s: %s',
    async (_head, _client, [, client, protocol, behaviour, expected]) => {
      const server = await createFaultServer({ protocol, behaviour })
      // One of the two only: on a busy machine the head may take longer than 50 ms as well.
      const limits = expected === headTimeout ? { headTimeoutMs: 50 } : { bodyTimeoutMs: 50 }
      const ask = { url: server.url, ca: server.ca, ...limits }
      const error = await thrownBy(() => (client as Client).ask(ask))
      await server.close()
      expectError(error, expected)
    },
  )
})

describe('limits, arguments and lifecycle of undici', () => {
  test('reply larger than its limit', () =>
    over(
      async (server, dispatcher) => {
        server.otherwise(fault.hugeBody({ bytes: 100_000 }))
        expectError(await thrownBy(() => bodyOf(undici.request(server.url, { dispatcher }))), tooLarge)
      },
      { maxResponseSize: 1_000 },
    ))

  test('an argument that makes no sense', () =>
    over(async (server, dispatcher) => {
      const error = await thrownBy(() => undici.request(server.url, { dispatcher, headers: { 'x y': 'z' } }))
      expect(server.seen.connections).toBe(0)
      expectError(error, badRequest)
    }))

  test('request body shorter than its length', () =>
    over(async (server, dispatcher) => {
      const headers = { 'content-length': '10' }
      const error = await thrownBy(() => undici.request(server.url, { dispatcher, method: 'POST', body: 'x', headers }))
      expect(error).toMatchObject({ code: 'UND_ERR_REQ_CONTENT_LENGTH_MISMATCH' })
      expectError(error, { ...badRequest, effect: 'unknown' })
    }))

  test('a client that is closed', () =>
    over(async (server, dispatcher) => {
      server.otherwise(fault.hangBeforeHead())
      const inFlight = bodyOf(undici.request(server.url, { dispatcher }))
      await server.arrived()
      const closing = dispatcher.close()
      const error = await thrownBy(() => undici.request(server.url, { dispatcher }))
      server.release()
      await Promise.all([inFlight, closing])
      expect(error).toMatchObject({ code: 'UND_ERR_CLOSED' })
      expectError(error, { kind: 'rejected', code: 'SHUTDOWN', effect: 'none', retry: 'never' })
    }))

  test('a client that is destroyed while a request is in flight', () =>
    over(async (server, dispatcher) => {
      server.otherwise(fault.hangBeforeHead())
      const thrown = thrownBy(() => undici.request(server.url, { dispatcher }))
      await server.arrived()
      await dispatcher.destroy()
      const error = await thrown
      expectError(error, { kind: 'rejected', code: 'SHUTDOWN', effect: 'unknown', retry: 'never' })
      expectError(error, { kind: 'rejected', code: 'SHUTDOWN', effect: 'none', retry: 'never' }, { effect: 'none' })
    }))

  test('a connection that was kept and had died', () =>
    over(
      async (server, dispatcher) => {
        server.next(fault.staleKeepAlive({ when: 'on-reuse' }))
        await bodyOf(undici.request(server.url, { dispatcher }))
        const error = await thrownBy(() => undici.request(server.url, { dispatcher, method: 'POST', body: 'x' }))
        expect(server.seen.connections).toBe(1)
        expect(server.seen.requests()).toBe(1)
        // The server read nothing, and the client cannot know.
        expectError(error, lost)
      },
      { connections: 1 },
    ))

  test('bytes after the Content-Length are dropped without a word', () =>
    over(async (server, dispatcher) => {
      server.otherwise(fault.extraBytes())
      expect(await bodyOf(undici.request(server.url, { dispatcher }))).toBe('{"ok":true}')
    }))

  test('an empty balanced pool', async () => {
    const pool = new undici.BalancedPool([])
    expectError(await thrownBy(() => undici.request('http://127.0.0.1:1', { dispatcher: pool })), options)
    await pool.destroy()
  })

  test('more origins than allowed', () =>
    over(
      async (server, dispatcher) => {
        await bodyOf(undici.request(server.url, { dispatcher }))
        const error = await thrownBy(() => undici.request('http://127.0.0.1:1', { dispatcher }))
        expect(error).toMatchObject({ code: 'UND_ERR_MAX_ORIGINS_REACHED' })
        expectError(error, options)
      },
      { maxOrigins: 1 } as undici.Agent.Options,
    ))
})

describe('proxies and interceptors of undici', () => {
  test('a proxy that does not answer', async () => {
    const port = await refusedPort()
    const dispatcher = new undici.ProxyAgent({ uri: port.url, proxyTunnel: true })
    const error = await thrownBy(() => undici.request('http://service.invalid/', { dispatcher }))
    await dispatcher.destroy()
    await port.close()
    // Refused by whom is not said in undici 7; nothing was sent either way.
    const known = (error as { code?: string }).code === 'UND_ERR_PRX_CONN'
    expectError(error, known ? proxy : { ...proxy, code: 'CONNECTION_REFUSED' })
  })

  test('a proxy that refuses the tunnel', async () => {
    const server = await createFaultServer({ behaviour: fault.status(502) })
    const dispatcher = new undici.ProxyAgent({ uri: server.url, proxyTunnel: true })
    const error = await thrownBy(() => undici.request('https://service.invalid/', { dispatcher }))
    await dispatcher.destroy()
    await server.close()
    expectError(error, proxy)
  })

  test.each([
    [503, { kind: 'response', code: 'UNAVAILABLE', effect: 'unknown', retry: 'idempotent' }],
    [404, { kind: 'response', code: 'NOT_FOUND', effect: 'none', retry: 'never' }],
  ] as const)('interceptors.responseError: %i', (status, expected) =>
    over(async (server, dispatcher) => {
      server.otherwise(fault.retryAfter(7, { status }))
      const composed = dispatcher.compose(undici.interceptors.responseError())
      const error = await thrownBy(() => bodyOf(undici.request(server.url, { dispatcher: composed })))
      const found = expectError(error, expected)
      expect(found.retryAfterMs).toBe(7_000)
      expect(found.details).toEqual({ status })
    }),
  )

  test('interceptors.retry has retried already', () =>
    over(async (server, dispatcher) => {
      server.otherwise(fault.status(503))
      const composed = dispatcher.compose(undici.interceptors.retry({ maxRetries: 1, minTimeout: 1, maxTimeout: 1 }))
      const error = await thrownBy(() => bodyOf(undici.request(server.url, { dispatcher: composed })))
      expect(error).toMatchObject({ code: 'UND_ERR_REQ_RETRY' })
      expect(server.seen.requests()).toBe(2)
      expectError(error, { kind: 'response', code: 'UNAVAILABLE', effect: 'unknown', retry: 'never' })
    }))

  const loop: Expected = { kind: 'arbitrary', code: 'REDIRECT_LOOP', effect: 'unknown', retry: 'never' }
  test('redirects to the same place', () =>
    over(async (server, dispatcher) => {
      server.otherwise(fault.redirectLoop())
      const composed = dispatcher.compose(undici.interceptors.redirect({ maxRedirections: 9 }))
      expectError(await thrownBy(() => bodyOf(undici.request(server.url, { dispatcher: composed }))), loop)
    }))

  test('redirects further and further', () =>
    over(async (server, dispatcher) => {
      server.otherwise({
        level: 'request',
        protocol: 'any',
        name: 'further',
        run: (exchange) => exchange.respond(302, { location: `${exchange.request.target}x` }, ''),
      })
      const composed = dispatcher.compose(
        undici.interceptors.redirect({ maxRedirections: 2 }),
        // undici 7 takes this option from the request only, and undici.request does not let it through.
        (dispatch) => (ask, handler) => dispatch({ ...ask, throwOnMaxRedirect: true } as typeof ask, handler),
      )
      expectError(await thrownBy(() => bodyOf(undici.request(server.url, { dispatcher: composed }))), loop)
      expect(server.seen.requests()).toBe(3)
    }))

  test('redirects without end: fetch', () =>
    over(async (server, dispatcher) => {
      server.otherwise(fault.redirectLoop())
      expectError(await thrownBy(() => undici.fetch(server.url, { dispatcher })), loop)
      expectError(await thrownBy(() => fetch(server.url)), loop)
      const unexpected = await thrownBy(() => fetch(server.url, { redirect: 'error' }))
      expectError(unexpected, { kind: 'response', code: 'UNEXPECTED_REDIRECT', effect: 'unknown', retry: 'never' })
    }))

  test.each(['nope://x', 'http://127.0.0.1:1/'])('fetch of %s, which no peer is asked', async (url) => {
    expectError(await thrownBy(() => fetch(url)), badRequest)
  })
})

describe('codes of undici, by the table', () => {
  test.each([
    ['UND_ERR_CONNECT_TIMEOUT', { kind: 'timing', code: 'CONNECT_TIMEOUT', effect: 'none', retry: 'always' }],
    ['UND_ERR_SOCKET', lost],
    ['UND_ERR_INFO', lost],
    ['UND_ERR_RES_EXCEEDED_MAX_SIZE', tooLarge],
    ['UND_ERR_INVALID_RETURN_VALUE', badRequest],
    ['UND_ERR_NOT_SUPPORTED', badRequest],
    ['UND_ERR_ABORT', { kind: 'cancelled', code: 'CANCELLED', effect: 'unknown', retry: 'never' }],
    ['UND_ERR_ABORTED', { kind: 'cancelled', code: 'CANCELLED', effect: 'unknown', retry: 'never' }],
    ['UND_ERR_PRX_TLS', proxy],
    ['UND_ERR_PRX_CONN', proxy],
    ['UND_ERR_SOCKS5', proxy],
    ['UND_ERR_SOCKS5_AUTH_FAILED', proxy],
    ['UND_ERR_REDIRECT_MAX', { kind: 'arbitrary', code: 'REDIRECT_LOOP', effect: 'unknown', retry: 'never' }],
  ] as const)('%s', (code, expected) => {
    expectError(Object.assign(new Error('undici'), { code }), expected)
  })

  test('while the connection is being set up nothing can have been sent', () => {
    const socket = Object.assign(new Error('other side closed'), { code: 'UND_ERR_SOCKET' })
    expectError(socket, { ...lost, effect: 'none', retry: 'always' }, { phase: 'connect' })
    expectError(socket, lost, { phase: 'head' })
  })

  test('no error class of the installed undici is unclassified', () => {
    const classes = Object.entries(undici.errors) as unknown as [string, new (...args: unknown[]) => Error][]
    expect(classes.length).toBeGreaterThan(15)
    const codes = classes
      // The base class is never thrown.
      .filter(([name]) => name !== 'UndiciError')
      .map(([name, type]) => {
        const error =
          name === 'SecureProxyConnectionError' ? new type(undefined, 'x') : new type('x', 0, { headers: {} })
        return [name, classify(error).code]
      })
    expect(codes.filter(([, code]) => code === 'CALL_FAILED')).toEqual([])
  })
})
