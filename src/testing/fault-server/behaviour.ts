// The shape of a behaviour: what the fault server does with one connection or one request. Every fault is written against it, a user's own too.
import type { Clock } from '../../core/clock.ts'

/** Response headers; a list sends the header several times. */
export type FaultHeaders = Readonly<Record<string, string | readonly string[]>>

/** One request as the server saw it. It fills while it is read. */
export interface SeenRequest {
  readonly method: string
  /** As sent, with its query. */
  readonly target: string
  /** The target without its query. */
  readonly path: string
  /** Names in lower case; repeated ones joined by `, `. */
  readonly headers: Readonly<Record<string, string>>
  /** The first bytes of the body: at most `keepBodyBytes`. */
  readonly body: Uint8Array
  /** How many bytes of the body were read. */
  readonly bodyBytes: number
  /** Whether the body was read to its end. */
  readonly bodyComplete: boolean
  /** The kept part of the body as UTF-8. */
  text(): string
  /** Name of the behaviour it met. */
  readonly behaviour: string
  /** Number of its connection, from 1 in the order of accepting. */
  readonly connection: number
  /** HTTP/2 only: id of its stream. */
  readonly stream: number | undefined
}

/**
 * What a behaviour can do with one request. Everything that waits ends (with an error that the server swallows) once the client is gone.
 */
export interface Exchange {
  readonly request: SeenRequest
  readonly clock: Clock
  /** Answers rightly and completely. */
  respond(status: number, headers: FaultHeaders, body: Uint8Array | string): Promise<void>
  /** Sends the response head. `length` becomes Content-Length; without it HTTP/1 uses chunks. */
  begin(status: number, headers: FaultHeaders, length?: number | undefined): Promise<void>
  /** Sends part of the body; resolves when there is room for more. */
  write(bytes: Uint8Array | string): Promise<void>
  /** Ends the response; the connection is kept for further requests. */
  finish(): Promise<void>
  /** Waits for `server.release()`. */
  hold(): Promise<void>
  /** Waits for the next byte allowed by `server.drip()`, or for `server.release()`. */
  nextDrip(): Promise<void>
  /** Waits on the server's clock. */
  sleep(ms: number): Promise<void>
  /** Closes the connection in order (FIN), after what was written. */
  fin(): void
  /** Breaks the connection (RST), some 2 ms after what was written, so that a client can read that first. */
  reset(): void
}

/** More that can be done with a request of HTTP/1. */
export interface Http1Exchange extends Exchange {
  /** Sends these bytes and nothing else. Call `finish()` if the connection is to be kept. */
  raw(bytes: Uint8Array | string): Promise<void>
  /** Breaks the connection as soon as the first bytes of a further request arrive on it. */
  resetOnReuse(): void
}

/** More that can be done with a request of HTTP/2. */
export interface Http2Exchange extends Exchange {
  readonly stream: number
  /** Sends RST_STREAM with this error code. */
  resetStream(code: number): void
  /** Sends GOAWAY with this error code and the last stream that was, or might have been, processed. */
  goaway(code: number, lastStream: number): void
}

/** What every behaviour of a request has. */
export interface RequestFaultBase {
  readonly level: 'request'
  /** Counted under this name: `server.seen.behaviours(name)`. */
  readonly name: string
  /** How many bytes of the request body are read before it runs. Default: all. */
  readonly readBody?: number | undefined
}

/** Acts on a request whose head was read. */
export type RequestFault =
  | (RequestFaultBase & { readonly protocol: 'any'; run(exchange: Exchange): Promise<void> })
  | (RequestFaultBase & { readonly protocol: 'h1'; run(exchange: Http1Exchange): Promise<void> })
  | (RequestFaultBase & { readonly protocol: 'h2'; run(exchange: Http2Exchange): Promise<void> })

/** What a behaviour can do with a connection that was just accepted, before TLS and before any request. */
export interface AcceptedConnection {
  /** Waits until so many bytes came, and drops them. */
  bytes(count: number): Promise<void>
  send(bytes: Uint8Array | string): void
  /** Closes it in order (FIN). */
  fin(): void
  /** Breaks it (RST). */
  reset(): void
  /** Waits for `server.release()`. */
  hold(): Promise<void>
  /** Goes on as a normal connection would. Not after `bytes`. */
  serve(): void
}

/** Acts on a new connection, before TLS and before any request. */
export interface ConnectionFault {
  readonly level: 'connection'
  /** Counted under this name: `server.seen.behaviours(name)`. */
  readonly name: string
  run(connection: AcceptedConnection): Promise<void>
}

/** Either kind. Each is plain data with a `run`, so one value can be used for many requests. */
export type Behaviour = RequestFault | ConnectionFault

/** Ends the run of a behaviour whose client is gone. Never leaves the server. */
export class ClientGone extends Error {
  override readonly name: string = 'ClientGone'
}
