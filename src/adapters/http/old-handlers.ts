// Handlers of the form before undici 7, which undici 7 itself still uses in `request()`: served as they are. Turned into the present form they
// cost a request a sixth of its CPU time: all headers of the answer are parsed, put together again, and parsed once more.
import type { Clock } from '../../core/clock.ts'
import type { Lease } from '../../core/contracts/balancer.ts'
import { Tally } from './discovered.ts'
import { type IncomingHeaders, undici } from './undici.ts'

type RawHeader = Uint8Array | string | readonly (Uint8Array | string)[]

/** The hooks of a handler of the older form. */
export interface OldHandler {
  onConnect?(abort: (reason?: Error) => void, context: unknown): void
  onUpgrade?(status: number, headers: readonly RawHeader[] | null, socket: unknown): void
  onResponseStarted?(): void
  onHeaders?(status: number, headers: readonly RawHeader[], resume: () => void, message: string): unknown
  onData?(chunk: Buffer): unknown
  onComplete?(trailers: readonly RawHeader[]): void
  onError?(error: Error): void
}

/** Whether it has the older form only. */
export function isOldHandler(handler: object | undefined): handler is OldHandler {
  const { onRequestStart, onConnect } = (handler ?? {}) as Record<string, unknown>
  return onRequestStart === undefined && typeof onConnect === 'function'
}

/** Whether this undici takes handlers of the older form: 7 does, and turns them into the present one where something is composed; 8 does not. */
export function takesOldHandlers(): boolean {
  let turned = false
  class Probe extends (undici().Dispatcher as new () => { compose(layer: unknown): { dispatch: Dispatch } }) {
    dispatch(_request: object, handler: object): boolean {
      turned = 'onRequestStart' in handler
      return true
    }
  }
  const same =
    (dispatch: Dispatch): Dispatch =>
    (request, handler) =>
      dispatch(request, handler)
  new Probe().compose(same).dispatch({}, { onConnect() {} })
  return turned
}

type Dispatch = (request: object, handler: object) => boolean

/** Hands everything on, and reports how it went, once: `Reporting` for handlers of the older form. */
export class OldReporting extends Tally implements OldHandler {
  readonly #inner: OldHandler
  #aborted = false

  constructor(inner: OldHandler, lease: Lease, clock: Clock, body: unknown) {
    super(lease, clock, body)
    this.#inner = inner
  }

  onConnect(abort: (reason?: Error) => void, context: unknown): void {
    this.sent = true
    this.#inner.onConnect?.((reason) => {
      this.#aborted = true
      abort(reason)
    }, context)
  }

  onUpgrade(status: number, headers: readonly RawHeader[] | null, socket: unknown): void {
    this.ended()
    this.#inner.onUpgrade?.(status, headers, socket)
  }

  onResponseStarted(): void {
    this.#inner.onResponseStarted?.()
  }

  onHeaders(status: number, headers: readonly RawHeader[], resume: () => void, message: string): unknown {
    if (status >= 200) this.head(status, status < 429 ? NONE : parsed(headers))
    return this.#inner.onHeaders?.(status, headers, resume, message)
  }

  onData(chunk: Buffer): unknown {
    return this.#inner.onData?.(chunk)
  }

  onComplete(trailers: readonly RawHeader[]): void {
    this.ended()
    this.#inner.onComplete?.(trailers)
  }

  onError(error: Error): void {
    this.broke(error, this.#aborted)
    if (this.#inner.onError === undefined) throw error
    this.#inner.onError(error)
  }
}

const NONE: IncomingHeaders = {}

function parsed(raw: readonly RawHeader[]): IncomingHeaders {
  const headers: Record<string, string> = Object.create(null)
  for (let at = 0; at + 1 < raw.length; at += 2) headers[text(raw[at]).toLowerCase()] = text(raw[at + 1])
  return headers
}

// Of several values the last one: what is read here comes once.
function text(value: RawHeader | undefined): string {
  if (typeof value === 'string') return value
  if (value instanceof Uint8Array)
    return Buffer.from(value.buffer, value.byteOffset, value.byteLength).toString('latin1')
  return value === undefined ? '' : text(value.at(-1))
}
