// Carries requests of the Fetch API.
import type { InFlight } from './in-flight.ts'
import { type Serving, serve } from './serve.ts'
import { splitTarget } from './target.ts'
import type { WireBody, WireRequest } from './wire.ts'

/** Answers a request of the Fetch API. Never rejects. */
export type FetchHandler = (request: Request) => Promise<Response>

/** Serves requests of the Fetch API. */
export function fetchHandler(serving: Serving, inFlight: InFlight): FetchHandler {
  return async (request) => {
    const reply = await serve(serving, new FetchRequest(request), inFlight.enter())
    const { status, body } = reply
    const headers = new Headers(reply.headers)
    if (reply.close === true) headers.set('connection', 'close')
    return new Response(typeof body === 'object' ? stream(body) : (body ?? null), { status, headers })
  }
}

function stream(lines: AsyncIterable<string>): ReadableStream<Uint8Array> {
  const iterator = lines[Symbol.asyncIterator]()
  return new ReadableStream<Uint8Array>(
    {
      async pull(controller) {
        const { done, value } = await iterator.next()
        if (done === true) controller.close()
        else controller.enqueue(Buffer.from(value))
      },
      async cancel() {
        await iterator.return?.()
      },
    },
    { highWaterMark: 0 },
  )
}

class FetchRequest implements WireRequest {
  readonly method: string
  readonly path: string
  readonly query: string
  readonly body: WireBody | undefined
  readonly #request: Request

  constructor(request: Request) {
    this.#request = request
    this.method = request.method
    const { path, query } = splitTarget(request.url)
    this.path = path
    this.query = query
    this.body = request.body === null ? undefined : new FetchBody(request.body)
  }

  header(name: string): string | undefined {
    return this.#request.headers.get(name) ?? undefined
  }

  headers(): Readonly<Record<string, string>> {
    const headers: Record<string, string> = Object.create(null)
    this.#request.headers.forEach((value, name) => {
      headers[name] = value
    })
    return headers
  }

  onGone(listener: () => void): void {
    const { signal } = this.#request
    if (signal.aborted) listener()
    else signal.addEventListener('abort', listener, { once: true })
  }
}

class FetchBody implements WireBody {
  readonly #body: ReadableStream<Uint8Array>

  constructor(body: ReadableStream<Uint8Array>) {
    this.#body = body
  }

  async collect(limit: number): Promise<Uint8Array | undefined> {
    const chunks: Uint8Array[] = []
    let size = 0
    // Leaving the loop early cancels the body.
    for await (const chunk of this.chunks()) {
      size += chunk.length
      if (size > limit) return undefined
      chunks.push(chunk)
    }
    return Buffer.concat(chunks, size)
  }

  chunks(): AsyncIterable<Uint8Array> {
    return this.#body as unknown as AsyncIterable<Uint8Array>
  }
}
