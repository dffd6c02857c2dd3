// Answers that are right on the wire, whatever they say: statuses, bodies, and bodies that are not what their headers promise.
import { brotliCompressSync, deflateSync, gzipSync } from 'node:zlib'
import type { FaultHeaders, RequestFault } from './behaviour.ts'

/** A request behaviour that both protocols know. */
export type AnyFault = Extract<RequestFault, { protocol: 'any' }>

const JSON_TYPE: FaultHeaders = { 'content-type': 'application/json' }

function answer(name: string, status: number, headers: FaultHeaders, body: Uint8Array | string): AnyFault {
  return { level: 'request', protocol: 'any', name, run: (exchange) => exchange.respond(status, headers, body) }
}

/** Answers with this status. Default: no headers, empty body. */
export function status(
  code: number,
  options: { headers?: FaultHeaders | undefined; body?: Uint8Array | string | undefined } = {},
): AnyFault {
  return answer('status', code, options.headers ?? {}, options.body ?? '')
}

/** Answers with this value as JSON. Default status: 200. */
export function json(
  value: unknown,
  options: { status?: number | undefined; headers?: FaultHeaders | undefined } = {},
): AnyFault {
  return answer('json', options.status ?? 200, { ...JSON_TYPE, ...options.headers }, JSON.stringify(value))
}

/**
 * Asks to come back later with a Retry-After header (RFC 9110, 10.2.3): in so many seconds, or at an instant (`at`: milliseconds since 1970),
 * sent as an HTTP-date of whole seconds. Default status: 503.
 */
export function retryAfter(
  when: number | { readonly at: number },
  options: { status?: number | undefined } = {},
): AnyFault {
  const value = typeof when === 'number' ? String(when) : new Date(when.at).toUTCString()
  return answer('retryAfter', options.status ?? 503, { 'retry-after': value }, '')
}

/** Redirects every request to its own target. Default status: 302. */
export function redirectLoop(options: { status?: number | undefined } = {}): AnyFault {
  return {
    level: 'request',
    protocol: 'any',
    name: 'redirectLoop',
    run: (exchange) => exchange.respond(options.status ?? 302, { location: exchange.request.target }, ''),
  }
}

/** 200 that says it is JSON and is cut off in the middle. */
export function malformedJson(): AnyFault {
  return answer('malformedJson', 200, JSON_TYPE, '{"ok": tr')
}

/** 200 with a web page, as a proxy or a login wall gives. */
export function wrongContentType(): AnyFault {
  return answer('wrongContentType', 200, { 'content-type': 'text/html' }, '<!doctype html><title>Sign in</title>')
}

/** An encoding of a body, as named in Content-Encoding. */
export type ContentEncoding = 'gzip' | 'br' | 'deflate'

const encoders: Readonly<Record<ContentEncoding, (bytes: Uint8Array) => Uint8Array>> = {
  gzip: (bytes) => gzipSync(bytes),
  br: (bytes) => brotliCompressSync(bytes),
  deflate: (bytes) => deflateSync(bytes),
}

/** 200 with this value as compressed JSON. Default encoding: gzip. */
export function compressed(value: unknown, encoding: ContentEncoding = 'gzip'): AnyFault {
  const body = encoders[encoding](Buffer.from(JSON.stringify(value)))
  return answer('compressed', 200, { ...JSON_TYPE, 'content-encoding': encoding }, body)
}

/** 200 whose compressed body breaks off half way, although its length is right on the wire. Default encoding: gzip. */
export function brokenCompression(encoding: ContentEncoding = 'gzip'): AnyFault {
  const body = encoders[encoding](Buffer.from(JSON.stringify({ text: 'a body that will not be whole' })))
  const half = body.subarray(0, body.length >> 1)
  return answer('brokenCompression', 200, { ...JSON_TYPE, 'content-encoding': encoding }, half)
}

/** 200 with this many bytes of headers, in lines of 1 KiB. Default: 32 KiB, twice what Node reads. */
export function oversizedHeaders(options: { bytes?: number | undefined } = {}): AnyFault {
  const headers: Record<string, string> = {}
  for (let line = 0; line < (options.bytes ?? 32_768) / 1024; line++) headers[`x-padding-${line}`] = 'p'.repeat(1006)
  return answer('oversizedHeaders', 200, headers, '')
}

/** 200 with a body of this many bytes, made while it is sent. Default: 64 MiB, with its Content-Length. */
export function hugeBody(options: { bytes?: number | undefined; withoutLength?: boolean | undefined } = {}): AnyFault {
  const total = options.bytes ?? 64 << 20
  return {
    level: 'request',
    protocol: 'any',
    name: 'hugeBody',
    async run(exchange) {
      const part = Buffer.alloc(65_536, 'x')
      const headers = { 'content-type': 'application/octet-stream' }
      await exchange.begin(200, headers, options.withoutLength ? undefined : total)
      for (let left = total; left > 0; left -= part.length) await exchange.write(part.subarray(0, left))
      await exchange.finish()
    },
  }
}
