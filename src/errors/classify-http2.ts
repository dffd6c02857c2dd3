// HTTP/2 (RFC 9113 section 7): Node keeps the error code of a stream or session only in the text of its message, so that is read here.
import type { Facts, Finding, Table } from './classify-facts.ts'

/** Error codes by number, RFC 9113 section 7. */
const NAMES = [
  'NO_ERROR',
  'PROTOCOL_ERROR',
  'INTERNAL_ERROR',
  'FLOW_CONTROL_ERROR',
  'SETTINGS_TIMEOUT',
  'STREAM_CLOSED',
  'FRAME_SIZE_ERROR',
  'REFUSED_STREAM',
  'CANCEL',
  'COMPRESSION_ERROR',
  'CONNECT_ERROR',
  'ENHANCE_YOUR_CALM',
  'INADEQUATE_SECURITY',
  'HTTP_1_1_REQUIRED',
] as const

/** What it means that a stream (`RST_STREAM`) or a session (`GOAWAY`) ended with this error code. */
export function findingOfHttp2(name: string, scope: 'stream' | 'session'): Finding {
  switch (name) {
    case 'REFUSED_STREAM':
    case 'CANCEL':
    case 'NO_ERROR':
      // Of a session it is a farewell to all streams: which of them were processed is not said here.
      if (scope === 'session') return { code: 'SESSION_CLOSED', effect: 'unknown' }
      return name === 'REFUSED_STREAM' ? { code: 'STREAM_REFUSED' } : { code: 'STREAM_CANCELLED' }
    case 'ENHANCE_YOUR_CALM':
      return { code: 'HTTP2_CALM_DOWN' }
    case 'INADEQUATE_SECURITY':
      return { code: 'TLS_FAILED', effect: 'unknown' }
    case 'HTTP_1_1_REQUIRED':
      return { code: 'NOT_SUPPORTED' }
    default:
      return { code: 'HTTP2_VIOLATION' }
  }
}

const NAMED = /NGHTTP2_([A-Z0-9_]+)/
const NUMBERED = /\bcode:? (\d{1,10})\b/

/** The name of the HTTP/2 error code in a message, by name or by number. */
export function http2ErrorName(message: string): string | undefined {
  const named = NAMED.exec(message)?.[1]
  if (named !== undefined) return named
  const number = NUMBERED.exec(message)?.[1]
  return number === undefined ? undefined : (NAMES[Number(number)] ?? 'UNKNOWN')
}

/** Before any frame of the stream could be sent. */
const UNSENT: Readonly<Record<string, Finding>> = {
  ERR_HTTP2_GOAWAY_SESSION: { code: 'SESSION_CLOSED' },
  ERR_HTTP2_INVALID_SESSION: { code: 'SESSION_CLOSED' },
  ERR_HTTP2_OUT_OF_STREAMS: { code: 'SESSION_CLOSED' },
  // Streams that were waiting for the session to connect; the cause says why it did not.
  ERR_HTTP2_STREAM_CANCEL: { code: 'SESSION_CLOSED', weak: true, innerEffect: 'none' },
  ERR_HTTP2_UNSUPPORTED_PROTOCOL: { code: 'INVALID_REQUEST' },
  ERR_HTTP2_CONNECT_AUTHORITY: { code: 'INVALID_REQUEST' },
  ERR_HTTP2_CONNECT_PATH: { code: 'INVALID_REQUEST' },
  ERR_HTTP2_CONNECT_SCHEME: { code: 'INVALID_REQUEST' },
  ERR_HTTP2_HEADER_SINGLE_VALUE: { code: 'INVALID_REQUEST' },
  ERR_HTTP2_INVALID_CONNECTION_HEADERS: { code: 'INVALID_REQUEST' },
  ERR_HTTP2_INVALID_HEADER_VALUE: { code: 'INVALID_REQUEST' },
  ERR_HTTP2_INVALID_PSEUDOHEADER: { code: 'INVALID_REQUEST' },
  ERR_HTTP2_PAYLOAD_FORBIDDEN: { code: 'INVALID_REQUEST' },
  ERR_HTTP2_PSEUDOHEADER_NOT_ALLOWED: { code: 'INVALID_REQUEST' },
}

/** Errors of node:http2. */
export const http2Table: Table = (facts: Facts) => {
  const { code, message } = facts
  if (!code.startsWith('ERR_HTTP2_')) return undefined
  if (Object.hasOwn(UNSENT, code)) return UNSENT[code]
  if (code === 'ERR_HTTP2_INVALID_STREAM' || code === 'ERR_HTTP2_PING_CANCEL')
    return { code: 'CONNECTION_LOST', weak: true }
  const scope = code === 'ERR_HTTP2_STREAM_ERROR' ? 'stream' : 'session'
  return findingOfHttp2(http2ErrorName(message) ?? 'UNKNOWN', scope)
}
