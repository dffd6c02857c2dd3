// How sources and registrars speak to a registry over HTTP: one server, bounded answers, exact timeouts, nothing left open.
import type { Clock } from '../../core/clock.ts'
import { invalidOption } from '../../core/options.ts'
import { createError } from '../../errors/classes.ts'
import { undici } from '../http/undici.ts'
import { openAgent, type RegistryAgent, type RegistryTls } from './agent.ts'
import { limited, type Patience } from './patience.ts'
import { readText } from './read-text.ts'

export type { RegistryTls } from './agent.ts'

/** Options of a client. */
export interface RegistryClientOptions {
  /** `http://host:port/path`, without what comes after the path. A user and password in it become an `authorization` header. */
  readonly baseUrl: string
  /** Asked for each request: tokens change. */
  readonly headers?: (() => Readonly<Record<string, string>> | Promise<Readonly<Record<string, string>>>) | undefined
  readonly tls?: RegistryTls | undefined
  /** Until the whole answer is there, unless a request says otherwise. A connection is opened within it or not at all. */
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
  /** Without user, password and a slash at the end. */
  readonly baseUrl: string
  /** Rejects with a FairleadError when there is no answer (`CANCELLED` when the signal was aborted); a status is an answer. */
  request(request: RegistryRequest): Promise<RegistryAnswer>
  /** `timeoutMs` counts until the head is there; after that `idleMs` between two pieces. */
  stream(request: RegistryRequest & { readonly idleMs: number }): Promise<RegistryStream>
  /** Breaks off what is under way (`SHUTDOWN`) and closes all connections. */
  close(): Promise<void>
}

interface UndiciAnswer {
  readonly statusCode: number
  readonly headers: Readonly<Record<string, string | readonly string[] | undefined>>
  readonly body: AsyncIterable<Uint8Array> & {
    destroy(error?: Error): void
    on(event: 'error', listener: () => void): void
  }
}

/**
 * Makes a client; connects with the first request.
 * @throws FairleadError INVALID_OPTIONS when the base URL is none
 */
export function registryClient(options: RegistryClientOptions): RegistryClient {
  return new Client(options)
}

class Client implements RegistryClient {
  readonly baseUrl: string
  readonly #credentials: Readonly<Record<string, string>>
  readonly #options: RegistryClientOptions
  readonly #underWay = new Set<Patience>()
  #agent: RegistryAgent | undefined
  #closed = false

  constructor(options: RegistryClientOptions) {
    const { url, credentials } = readBaseUrl(options.baseUrl)
    this.baseUrl = url
    this.#credentials = credentials
    this.#options = options
  }

  async request(request: RegistryRequest): Promise<RegistryAnswer> {
    const { maxBodyBytes = 64 * 1024 * 1024 } = this.#options
    const patience = this.#begin(request)
    try {
      const answer = await this.#send(request, 'gzip', patience)
      const headers = flat(answer.headers)
      const text = await patience.race(readText(answer.body, headers['content-encoding'], maxBodyBytes))
      return { status: answer.statusCode, headers, text }
    } catch (error) {
      throw patience.explain(error)
    } finally {
      this.#end(patience)
    }
  }

  async stream(request: RegistryRequest & { readonly idleMs: number }): Promise<RegistryStream> {
    const patience = this.#begin(request)
    try {
      const answer = await this.#send(request, 'identity', patience)
      // Counts from here, also for a body that nobody begins to read.
      patience.again(request.idleMs)
      return {
        status: answer.statusCode,
        headers: flat(answer.headers),
        body: this.#pieces(answer, patience, request.idleMs),
      }
    } catch (error) {
      this.#end(patience)
      throw patience.explain(error)
    }
  }

  async close(): Promise<void> {
    this.#closed = true
    for (const patience of this.#underWay) patience.give(closedError())
    await this.#agent?.destroy()
  }

  async *#pieces(answer: UndiciAnswer, patience: Patience, idleMs: number): AsyncGenerator<Uint8Array> {
    try {
      for await (const piece of answer.body) {
        patience.pause()
        yield piece
        patience.again(idleMs)
      }
    } catch (error) {
      throw patience.explain(error)
    } finally {
      this.#end(patience)
      answer.body.destroy()
    }
  }

  #begin(request: RegistryRequest): Patience {
    const { clock, timeoutMs } = this.#options
    if (this.#closed) throw closedError()
    const patience = limited(clock, this.baseUrl, request.timeoutMs ?? timeoutMs, request.signal)
    this.#underWay.add(patience)
    return patience
  }

  #end(patience: Patience): void {
    patience.end()
    this.#underWay.delete(patience)
  }

  async #send(request: RegistryRequest, encoding: 'gzip' | 'identity', patience: Patience): Promise<UndiciAnswer> {
    const { clock, timeoutMs, tls, headers } = this.#options
    // A user's function may hang as well.
    const own = headers === undefined ? undefined : await patience.race(Promise.resolve().then(headers))
    patience.signal.throwIfAborted()
    this.#agent ??= openAgent(clock, timeoutMs, tls)
    const sent = undici().request(`${this.baseUrl}${request.path}`, {
      dispatcher: this.#agent.dispatcher,
      method: request.method ?? 'GET',
      headers: {
        accept: 'application/json',
        'accept-encoding': encoding,
        ...(request.body === undefined ? {} : { 'content-type': 'application/json' }),
        ...this.#credentials,
        ...own,
        ...request.headers,
      },
      ...(request.body === undefined ? {} : { body: request.body }),
      signal: patience.signal,
    }) as Promise<UndiciAnswer>
    const answer = await patience.race(sent)
    // Broken off while nobody reads it, it would bring the process down.
    answer.body.on('error', () => {})
    return answer
  }
}

function closedError(): Error {
  return createError({ code: 'SHUTDOWN', message: 'the registry client is closed', stack: false })
}

function readBaseUrl(text: string): {
  readonly url: string
  readonly credentials: Readonly<Record<string, string>>
} {
  const url = URL.canParse(text) ? new URL(text) : undefined
  if (url === undefined || !/^https?:$/.test(url.protocol) || url.search !== '' || url.hash !== '')
    throw invalidOption(
      'url',
      shownUrl(text),
      'give http://host:port or https://host:port, with a path if there is one',
    )
  const { username, password } = url
  url.username = ''
  url.password = ''
  const pair = `${decoded(username)}:${decoded(password)}`
  return {
    url: url.href.replace(/\/+$/, ''),
    credentials: pair === ':' ? {} : { authorization: `Basic ${Buffer.from(pair).toString('base64')}` },
  }
}

function decoded(text: string): string {
  try {
    return decodeURIComponent(text)
  } catch {
    return text
  }
}

/** A URL for a message, which is logged: one that may have a user, a password or a query in it is not shown at all. */
export function shownUrl(text: unknown): unknown {
  return /[@?#]/.test(String(text)) ? '(not shown: it may hold a password or a token)' : text
}

function flat(headers: UndiciAnswer['headers']): Record<string, string> {
  const all: Record<string, string> = {}
  for (const [name, value] of Object.entries(headers))
    if (value !== undefined) all[name.toLowerCase()] = typeof value === 'string' ? value : value.join(', ')
  return all
}
