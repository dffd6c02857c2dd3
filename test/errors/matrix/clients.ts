// The HTTP clients of the matrix. Each makes one request, reads the whole answer and throws what the client throws; nothing is retried by us.
import { once } from 'node:events'
import http from 'node:http'
import http2 from 'node:http2'
import https from 'node:https'
import { Agent, type Dispatcher, errors, fetch as undiciFetch, request as undiciRequest } from 'undici'
import { statusToError } from '../../../src/errors/index.ts'

/** One request. */
export interface Ask {
  readonly url: string
  readonly method?: 'GET' | 'POST' | undefined
  readonly body?: string | undefined
  /** PEM of the authority to trust. */
  readonly ca?: string | undefined
  readonly crl?: string | undefined
  readonly signal?: AbortSignal | undefined
  /** Milliseconds; undici's are about a second coarse. */
  readonly connectTimeoutMs?: number | undefined
  readonly headTimeoutMs?: number | undefined
  readonly bodyTimeoutMs?: number | undefined
  /** Options of undici's Agent. */
  readonly agent?: Agent.Options | undefined
  /** Called when a request goes out, as a transport measures it: the n-th time with n. */
  readonly onSent?: ((times: number) => void) | undefined
}

/** A client. */
export interface Client {
  readonly name: string
  ask(ask: Ask): Promise<unknown>
}

/** undici 8 and newer, told by what it brings. */
export const undici8: boolean = 'MaxRedirectsError' in errors

/** The answer's status as a transport of ours reads it. */
function check(status: number, headers: unknown): void {
  if (status >= 300) throw statusToError(status, { headers })
}

function agentOf(ask: Ask, allowH2: boolean): Dispatcher {
  const agent = new Agent({
    allowH2,
    connect: {
      ...(ask.ca === undefined ? {} : { ca: ask.ca }),
      ...(ask.crl === undefined ? {} : { crl: ask.crl }),
      timeout: ask.connectTimeoutMs ?? 30_000,
    },
    headersTimeout: ask.headTimeoutMs ?? 30_000,
    bodyTimeout: ask.bodyTimeoutMs ?? 30_000,
    ...ask.agent,
  })
  let times = 0
  // `onRequestStart` never having run is the proof that nothing was sent.
  return agent.compose((dispatch) => (options, handler) => {
    // Forwards every hook of whatever version; the handler's own private fields want it as `this`.
    const wrapped = new Proxy(handler, {
      get(target, key) {
        const hook: unknown = Reflect.get(target, key, target)
        if (typeof hook !== 'function') return hook
        return (...args: readonly unknown[]) => {
          if (key === 'onRequestStart' || key === 'onConnect') ask.onSent?.(++times)
          return Reflect.apply(hook, target, args)
        }
      },
    })
    return dispatch(options, wrapped)
  })
}

const undiciOver = (name: string, allowH2: boolean): Client => ({
  name,
  async ask(ask) {
    const dispatcher = agentOf(ask, allowH2)
    try {
      const { statusCode, headers, body } = await undiciRequest(ask.url, {
        dispatcher,
        method: ask.method ?? 'GET',
        body: ask.body ?? null,
        signal: ask.signal ?? null,
      })
      const text = await body.text()
      check(statusCode, headers)
      return text
    } finally {
      await dispatcher.destroy()
    }
  },
})

/** `undici.request` over HTTP/1.1. */
export const undiciH1: Client = undiciOver('undici request', false)
/** `undici.request` over HTTP/2. */
export const undiciH2: Client = undiciOver('undici request h2', true)

/** `fetch` of the undici package. */
export const packageFetch: Client = {
  name: 'undici fetch',
  async ask(ask) {
    const dispatcher = agentOf(ask, false)
    try {
      const { method = 'GET', body = null, signal = null } = ask
      const response = await undiciFetch(ask.url, { dispatcher, method, body, signal })
      const text = await response.text()
      check(response.status, response.headers)
      return text
    } finally {
      await dispatcher.destroy()
    }
  },
}

/** `fetch` of Node. */
export const globalFetch: Client = {
  name: 'global fetch',
  async ask({ url, method = 'GET', body = null, signal = null }) {
    const response = await fetch(url, { method, body, signal })
    const text = await response.text()
    check(response.status, response.headers)
    return text
  },
}

/** node:http and node:https, without keep-alive. */
export const nodeHttp: Client = {
  name: 'node:http',
  ask: ({ url, method = 'GET', body, ca, crl, signal }) =>
    new Promise((resolve, reject) => {
      const options = {
        method,
        agent: false as const,
        ...(signal === undefined ? {} : { signal }),
        ...(ca === undefined ? {} : { ca }),
        ...(crl === undefined ? {} : { crl }),
      }
      const request = (url.startsWith('https:') ? https : http).request(url, options, (response) => {
        const chunks: Buffer[] = []
        response.on('data', (chunk: Buffer) => chunks.push(chunk))
        response.on('error', reject)
        response.on('end', () => {
          try {
            check(response.statusCode ?? 0, response.headers)
            resolve(Buffer.concat(chunks).toString())
          } catch (error) {
            reject(error)
          }
        })
      })
      request.on('error', reject)
      request.end(body)
    }),
}

/** node:http2, a session of its own for the request. */
export const nodeHttp2: Client = {
  name: 'node:http2',
  async ask({ url, method = 'GET', body, ca, signal }) {
    const session = http2.connect(url, ca === undefined ? {} : { ca })
    let failed: unknown
    session.on('error', (error) => {
      failed ??= error
    })
    try {
      const stream = session.request(
        { ':path': new URL(url).pathname, ':method': method },
        signal === undefined ? {} : { signal },
      )
      stream.end(body)
      let status = 0
      let ended = false
      stream.on('response', (headers) => {
        status = Number(headers[':status'])
      })
      stream.on('end', () => {
        ended = true
      })
      stream.resume()
      await once(stream, 'close')
      // A stream that was ended without an error code and without a reply emits nothing.
      if (status === 0 || !ended)
        throw failed ?? Object.assign(new Error('no reply'), { code: 'ERR_STREAM_PREMATURE_CLOSE' })
      check(status, {})
      return status
    } finally {
      session.destroy()
    }
  },
}
