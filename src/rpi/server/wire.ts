// What the server adapter needs of a request and gives as a reply, whoever carries them: node:http, HTTP/2 or the Fetch API.

/** An incoming request. */
export interface WireRequest {
  readonly method: string
  /** As it came, still encoded, without the query. */
  readonly path: string
  /** Without the question mark. */
  readonly query: string
  /** By lower-case name. */
  header(name: string): string | undefined
  /** All of them, by lower-case name. */
  headers(): Readonly<Record<string, string>>
  readonly body: WireBody | undefined
  /** Calls back when the client has gone before it was answered. */
  onGone(listener: () => void): void
}

/** A request body that was not read yet. */
export interface WireBody {
  /** All of it, or undefined as soon as it proves to be longer than `limit`. */
  collect(limit: number): Promise<Uint8Array | undefined>
  chunks(): AsyncIterable<Uint8Array>
}

/** A reply. */
export interface WireReply {
  readonly status: number
  readonly headers: Readonly<Record<string, string>>
  readonly body?: string | AsyncIterable<string> | undefined
  /** Asks for the connection to be closed after the answer. */
  readonly close?: boolean | undefined
}

/** Says of a reply that nobody will read it. */
export function discardReply({ body }: WireReply): void {
  if (typeof body === 'object') void body[Symbol.asyncIterator]().return?.()
}
