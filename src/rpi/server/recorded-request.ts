// A request whose body is remembered as it is read: what it said is compared with what the same key said before.
import type { WireBody, WireRequest } from './wire.ts'

/** A request, and what was read of its body. */
export class RecordedRequest implements WireRequest {
  readonly method: string
  readonly path: string
  readonly query: string
  readonly body: WireBody | undefined
  /** What was collected; nothing where nobody read it. */
  bytes: Uint8Array
  readonly #request: WireRequest

  constructor(request: WireRequest) {
    const { method, path, query, body } = request
    this.method = method
    this.path = path
    this.query = query
    this.bytes = new Uint8Array()
    this.#request = request
    this.body =
      body === undefined
        ? undefined
        : {
            collect: async (limit) => {
              const bytes = await body.collect(limit)
              if (bytes !== undefined) this.bytes = bytes
              return bytes
            },
            chunks: () => body.chunks(),
          }
  }

  header(name: string): string | undefined {
    return this.#request.header(name)
  }

  headers(): Readonly<Record<string, string>> {
    return this.#request.headers()
  }

  onGone(listener: () => void): void {
    this.#request.onGone(listener)
  }
}
