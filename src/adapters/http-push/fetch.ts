// Carries requests of the Fetch API.
import { pathOf } from './node.ts'
import { type Serving, serve } from './serve.ts'

/** Answers a request of the Fetch API. Never rejects. */
export type PushFetch = (request: Request) => Promise<Response>

/** Serves requests of the Fetch API. Whether an answer got out cannot be seen there: given to the runtime counts as sent. */
export function pushFetch(serving: Serving): PushFetch {
  return async (request) => {
    const body = new Body(request.body)
    const reply = await serve(serving, {
      method: request.method,
      path: pathOf(request.url),
      header: (name) => request.headers.get(name) ?? undefined,
      headers: () => request.headers,
      collect: (limit) => body.collect(limit),
      onGone(listener) {
        if (request.signal.aborted) listener()
        else request.signal.addEventListener('abort', listener, { once: true })
      },
    })
    reply.sent?.(!request.signal.aborted)
    void body.discard(serving.settings.maxPayloadBytes * 8)
    return new Response(reply.body ?? null, { status: reply.status, headers: reply.headers })
  }
}

class Body {
  readonly #stream: ReadableStream<Uint8Array> | null
  #reader: ReadableStreamDefaultReader<Uint8Array> | undefined
  #ended: boolean

  constructor(stream: ReadableStream<Uint8Array> | null) {
    this.#stream = stream
    this.#ended = stream === null
  }

  async collect(limit: number): Promise<Uint8Array | undefined> {
    const chunks: Uint8Array[] = []
    const within = await this.#read(limit, (chunk) => chunks.push(chunk))
    return within ? Buffer.concat(chunks) : undefined
  }

  /** What was answered without being read is read and thrown away: the connection is stuck else, in servers that go by backpressure. Not for ever. */
  async discard(most: number): Promise<void> {
    try {
      if (!(await this.#read(most, () => {}))) await this.#reader?.cancel()
    } catch {
      // The sender broke off: there is nothing left to be read.
    }
  }

  /** False where there is more than so much. */
  async #read(most: number, take: (chunk: Uint8Array) => void): Promise<boolean> {
    let size = 0
    while (!this.#ended) {
      this.#reader ??= (this.#stream as ReadableStream<Uint8Array>).getReader()
      const { done, value } = await this.#reader.read()
      if (done) this.#ended = true
      else if ((size += value.byteLength) <= most) take(value)
      else return false
    }
    return true
  }
}
