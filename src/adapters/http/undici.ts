// The part of undici that fairlead speaks to, as structural types, and the way to load it: on first use, never before.
import { lazy } from '../../core/lazy.ts'

/** Headers of a reply as undici gives them: lower case, a list where a header came more than once. */
export type IncomingHeaders = Readonly<Record<string, string | readonly string[] | undefined>>

/** What a dispatcher gives to the hooks of a handler. */
export interface DispatchController {
  abort(reason: Error): void
  pause(): void
  resume(): void
  readonly aborted?: boolean
  readonly reason?: Error | null
  readonly paused?: boolean
}

/** The hooks of a handler (undici >= 7; never the older ones beside them, because undici 7 tells the two by `onRequestStart`). */
export interface DispatchHandler {
  onRequestStart(controller: DispatchController, context: unknown): void
  onRequestUpgrade?(controller: DispatchController, status: number, headers: IncomingHeaders, socket: unknown): void
  onResponseStarted?(): void
  onResponseStart(
    controller: DispatchController,
    status: number,
    headers: IncomingHeaders,
    statusMessage?: string,
  ): void
  onResponseData(controller: DispatchController, chunk: Buffer): void
  onResponseEnd(controller: DispatchController, trailers: IncomingHeaders): void
  onResponseError(controller: DispatchController | undefined, error: Error): void
}

/** A dispatcher of undici (Agent, Pool, Client, ProxyAgent, MockAgent ...), by its shape. */
export interface HttpDispatcher {
  dispatch(options: object, handler: object): boolean
}

/** A dispatcher that can be closed. */
export interface OwnDispatcher extends HttpDispatcher {
  close(): Promise<void>
  destroy(error?: Error): Promise<void>
}

/** Called by undici to open a socket. */
export type Connector = (options: object, callback: (error: Error | null, socket: unknown) => void) => unknown

/** The exports of undici that are used. */
export interface Undici {
  readonly Dispatcher: new () => object
  readonly Agent: new (options: object) => OwnDispatcher
  readonly Pool: new (origin: string, options: object) => OwnDispatcher
  readonly buildConnector: (options: object) => Connector
  readonly request: (url: string, options: object) => Promise<unknown>
  readonly fetch: (input: unknown, init?: object) => Promise<Response>
  readonly FormData: typeof FormData
}

/** Loads undici. */
export function undici(): Undici {
  return lazy<Undici>('undici')
}
