// How sources and registrars speak to a registry over HTTP: one server, bounded answers, exact timeouts, nothing left open.
import type { Clock, Timer } from '../../core/clock.ts'
import { createError } from '../../errors/classes.ts'
import { classify } from '../../errors/classify.ts'
import { undici } from '../http/undici.ts'
import { readText } from './read-text.ts'

/** How TLS is checked towards a registry. PEM texts. */
export interface RegistryTls {
  /** Authorities to believe, in place of Node's own list. */
  readonly ca?: string | readonly string[] | undefined
  readonly cert?: string | undefined
  readonly key?: string | undefined
  readonly servername?: string | undefined
}

/** Options of a client. */
export interface RegistryClientOptions {
  /** `http://host:port/path`, without what comes after the path. */
  readonly baseUrl: string
  /** Asked for each request: tokens change. */
  readonly headers?: (() => Readonly<Record<string, string>> | Promise<Readonly<Record<string, string>>>) | undefined
  readonly tls?: RegistryTls | undefined
  /** Until the whole answer is there, unless a request says otherwise. */
  readonly timeoutMs: number
  /** Largest answer, uncompressed, in bytes. Default 64 MiB. */
  readonly maxBodyBytes?: number | undefined
  readonly clock: Clock
}

/** One question. */
export interface RegistryRequest {
  readonly method?: 'GET' | 'PUT' | 'POST' | 'DELETE' | undefined
  /** Appended to the base URL; with query. */
  readonly path: string
  readonly body?: string | undefined
  readonly headers?: Readonly<Record<string, string>> | undefined
  readonly timeoutMs?: number | undefined
  readonly signal?: AbortSignal | undefined
}

/** An answer, whatever its status. */
export interface RegistryAnswer {
  readonly status: number
  /** Lower-case names. */
  readonly headers: Readonly<Record<string, string>>
  readonly text: string
}

/** An answer that goes on and on. */
export interface RegistryStream {
  readonly status: number
  readonly headers: Readonly<Record<string, string>>
  /** Raw pieces as they come. Ends with the stream; throws a FairleadError where it breaks, and where nothing came for `idleMs`. */
  readonly body: AsyncIterable<Uint8Array>
}

/** Speaks to one server. */
export interface RegistryClient {
  readonly baseUrl: string
  /** Rejects with a FairleadError when there is no answer; a status is an answer. */
  request(request: RegistryRequest): Promise<RegistryAnswer>
  /** `timeoutMs` counts until the head is there; after that `idleMs` between two pieces. */
  stream(request: RegistryRequest & { readonly idleMs: number }): Promise<RegistryStream>
  /** Breaks off what is under way and closes all connections. */
  close(): Promise<void>
}

interface UndiciAnswer {
  readonly statusCode: number
  readonly headers: Readonly<Record<string, string | readonly string[] | undefined>>
  readonly body: AsyncIterable<Uint8Array> & { destroy(error?: Error): void }
}

/** Makes a client; connects with the first request. */
export function registryClient(options: RegistryClientOptions): RegistryClient {
  return new Client(options)
}

class Client implements RegistryClient {
  readonly baseUrl: string
  readonly #options: RegistryClientOptions
  #agent: ReturnType<typeof openAgent> | undefined
  #closed = false

  constructor(options: RegistryClientOptions) {
    this.baseUrl = options.baseUrl.replace(/\/+$/, '')
    this.#options = options
  }

  async request(request: RegistryRequest): Promise<RegistryAnswer> {
    const { timeoutMs, maxBodyBytes = 64 * 1024 * 1024, clock } = this.#options
    const patience = limited(clock, request.timeoutMs ?? timeoutMs, request.signal)
    try {
      const answer = await this.#send(request, patience.signal)
      const headers = flat(answer.headers)
      const text = await readText(answer.body, headers['content-encoding'], maxBodyBytes)
      return { status: answer.statusCode, headers, text }
    } catch (error) {
      throw this.#failure(error, patience)
    } finally {
      patience.end()
    }
  }

  async stream(request: RegistryRequest & { readonly idleMs: number }): Promise<RegistryStream> {
    const { timeoutMs, clock } = this.#options
    const patience = limited(clock, request.timeoutMs ?? timeoutMs, request.signal)
    try {
      const answer = await this.#send(request, patience.signal)
      return {
        status: answer.statusCode,
        headers: flat(answer.headers),
        body: this.#pieces(answer, patience, request.idleMs),
      }
    } catch (error) {
      patience.end()
      throw this.#failure(error, patience)
    }
  }

  async close(): Promise<void> {
    this.#closed = true
    await this.#agent?.destroy()
  }

  async *#pieces(answer: UndiciAnswer, patience: Patience, idleMs: number): AsyncGenerator<Uint8Array> {
    try {
      patience.again(idleMs)
      for await (const piece of answer.body) {
        yield piece
        patience.again(idleMs)
      }
    } catch (error) {
      throw this.#failure(error, patience)
    } finally {
      patience.end()
      answer.body.destroy()
    }
  }

  async #send(request: RegistryRequest, signal: AbortSignal): Promise<UndiciAnswer> {
    if (this.#closed) throw createError({ code: 'SHUTDOWN', message: 'the registry client is closed', stack: false })
    this.#agent ??= openAgent(this.#options)
    const { request: send } = undici()
    return (await send(`${this.baseUrl}${request.path}`, {
      dispatcher: this.#agent,
      method: request.method ?? 'GET',
      headers: {
        accept: 'application/json',
        'accept-encoding': 'gzip',
        ...(request.body === undefined ? {} : { 'content-type': 'application/json' }),
        ...(await this.#options.headers?.()),
        ...request.headers,
      },
      ...(request.body === undefined ? {} : { body: request.body }),
      signal,
    })) as UndiciAnswer
  }

  #failure(error: unknown, patience: Patience): unknown {
    if (patience.left) return patience.signal.reason
    if (patience.late !== undefined)
      return createError({
        code: 'ATTEMPT_TIMEOUT',
        message: `${this.baseUrl} did not answer within ${patience.late} ms`,
        stack: false,
      })
    return classify(error, {})
  }
}

function openAgent(options: RegistryClientOptions): ReturnType<typeof makeAgent> {
  return makeAgent(options)
}

function makeAgent(options: RegistryClientOptions): {
  destroy(): Promise<void>
  dispatch(o: object, h: object): boolean
} {
  const { Agent } = undici()
  const { ca, cert, key, servername } = options.tls ?? {}
  const tls = {
    ...(ca === undefined ? {} : { ca }),
    ...(cert === undefined ? {} : { cert }),
    ...(key === undefined ? {} : { key }),
    ...(servername === undefined ? {} : { servername }),
  }
  // Timeouts are ours: undici's are about a second coarse.
  return new Agent({ headersTimeout: 0, bodyTimeout: 0, connect: { ...tls, timeout: 0 } })
}

function flat(headers: UndiciAnswer['headers']): Record<string, string> {
  const all: Record<string, string> = {}
  for (const [name, value] of Object.entries(headers))
    if (value !== undefined) all[name.toLowerCase()] = typeof value === 'string' ? value : value.join(', ')
  return all
}

// A signal that ends by time, or with the asker's.
interface Patience {
  readonly signal: AbortSignal
  /** So many milliseconds were waited in vain. */
  readonly late: number | undefined
  /** The asker left. */
  readonly left: boolean
  again(ms: number): void
  end(): void
}

function limited(clock: Clock, firstMs: number, outer: AbortSignal | undefined): Patience {
  const abort = new AbortController()
  let late: number | undefined
  let left = false
  let timer: Timer | undefined
  const stop = (): void => {
    if (timer !== undefined) clock.clearTimer(timer)
    timer = undefined
  }
  const arm = (ms: number): void => {
    stop()
    timer = clock.setTimer(
      () => {
        late = ms
        abort.abort(new Error('too late'))
      },
      ms,
      undefined,
    )
    clock.unref(timer)
  }
  const leave = (): void => {
    left = true
    abort.abort(outer?.reason)
  }
  if (outer?.aborted === true) leave()
  else outer?.addEventListener('abort', leave, { once: true })
  arm(firstMs)
  return {
    signal: abort.signal,
    get late() {
      return late
    },
    get left() {
      return left
    },
    again: arm,
    end() {
      stop()
      outer?.removeEventListener('abort', leave)
    },
  }
}
