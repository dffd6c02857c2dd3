// undici 7 and 8, and fetch, which is undici inside Node. Codes first; the text only where a code stands for several things or is missing.
import { type Facts, type Finding, read, type Table } from './classify-facts.ts'
import { findingOfHttp2, http2ErrorName } from './classify-http2.ts'

const CODES_OF_UNDICI: Readonly<Record<string, Finding>> = {
  UND_ERR_CONNECT_TIMEOUT: { code: 'CONNECT_TIMEOUT' },
  UND_ERR_HEADERS_TIMEOUT: { code: 'HEAD_TIMEOUT' },
  UND_ERR_BODY_TIMEOUT: { code: 'BODY_TIMEOUT' },
  UND_ERR_HEADERS_OVERFLOW: { code: 'REPLY_TOO_LARGE' },
  UND_ERR_RES_EXCEEDED_MAX_SIZE: { code: 'REPLY_TOO_LARGE' },
  // In the head: lengths that contradict each other. In the body, over HTTP/2: the stream ended before its length.
  UND_ERR_RES_CONTENT_LENGTH_MISMATCH: { code: 'PROTOCOL_VIOLATION', codeInBody: 'REPLY_TRUNCATED' },
  // It is noticed while the body is being sent.
  UND_ERR_REQ_CONTENT_LENGTH_MISMATCH: { code: 'INVALID_REQUEST', effect: 'unknown' },
  UND_ERR_INVALID_ARG: { code: 'INVALID_REQUEST' },
  UND_ERR_INVALID_RETURN_VALUE: { code: 'INVALID_REQUEST' },
  UND_ERR_NOT_SUPPORTED: { code: 'INVALID_REQUEST' },
  ERR_WEBASSEMBLY_NOT_SUPPORTED: { code: 'INVALID_OPTIONS' },
  // What was in flight when the client was destroyed may have been done.
  UND_ERR_DESTROYED: { code: 'SHUTDOWN', effect: 'unknown' },
  UND_ERR_CLOSED: { code: 'SHUTDOWN' },
  UND_ERR_PRX_TLS: { code: 'PROXY_FAILED' },
  UND_ERR_PRX_CONN: { code: 'PROXY_FAILED' },
  UND_ERR_BPL_MISSING_UPSTREAM: { code: 'INVALID_OPTIONS' },
  UND_ERR_MAX_ORIGINS_REACHED: { code: 'INVALID_OPTIONS' },
  UND_ERR_REDIRECT_MAX: { code: 'REDIRECT_LOOP' },
}

/** Errors of undici and of fetch. */
export const undiciTable: Table = (facts) => {
  const { code, name, message } = facts
  // The code of a bad argument, for what the peer did.
  if (code === 'UND_ERR_INVALID_ARG' && message.startsWith('Redirect loop detected')) return { code: 'REDIRECT_LOOP' }
  if (Object.hasOwn(CODES_OF_UNDICI, code)) return CODES_OF_UNDICI[code]
  if (code === 'UND_ERR_SOCKET') return ofSocket(facts)
  if (code === 'UND_ERR_INFO') return ofInformation(message)
  if (code.startsWith('UND_ERR_SOCKS5')) return { code: 'PROXY_FAILED' }
  if (name === 'HTTPParserError') {
    // Codes of the parser itself are in Node's table; without one it is bytes that are no HTTP.
    return code === '' ? { code: 'PROTOCOL_VIOLATION' } : undefined
  }
  // The tunnel of its ProxyAgent has no code of its own in undici 7.
  if (code === 'UND_ERR_ABORTED' && message.startsWith('Proxy response (')) return { code: 'PROXY_FAILED' }
  if (code.startsWith('UND_ERR_') && !code.startsWith('UND_ERR_ABORT')) return { code: 'CONNECTION_LOST', weak: true }
  // Of undici 7's redirect interceptor; in undici 8 it has a code.
  if (code === '' && name === 'Error' && message === 'max redirects') return { code: 'REDIRECT_LOOP' }
  return ofFetch(facts)
}

function ofSocket({ message }: Facts): Finding {
  const http2 = message.startsWith('HTTP/2:') ? http2ErrorName(message) : undefined
  if (http2 !== undefined) return findingOfHttp2(http2, 'session')
  if (message === 'bad response' || message === 'bad upgrade' || message === 'bad connect')
    return { code: 'PROTOCOL_VIOLATION' }
  // `other side closed`, `closed`, `destroyed`: before the head or in the body, it looks the same. Its `bytesRead` counts earlier replies too.
  return { code: 'CONNECTION_LOST', weak: true }
}

// Informational: undici's own name for "the connection went, and here is why".
function ofInformation(message: string): Finding {
  const http2 = message.startsWith('HTTP/2:') ? http2ErrorName(message) : undefined
  if (http2 !== undefined) return findingOfHttp2(http2, message.includes('GOAWAY') ? 'session' : 'stream')
  if (message === 'No DNS entries found') return { code: 'NAME_NOT_FOUND' }
  // Over HTTP/2: the peer ended the stream without an error, or with CANCEL, before the head or in the body.
  if (message.includes('half-closed (remote)') || message.includes('before the response was complete'))
    return { code: 'STREAM_CANCELLED' }
  if (message.includes('stream timeout')) return { code: 'HEAD_TIMEOUT' }
  return { code: 'CONNECTION_LOST', weak: true }
}

const FETCH_CAUSES: Readonly<Record<string, Finding>> = {
  'redirect count exceeded': { code: 'REDIRECT_LOOP' },
  'unexpected redirect': { code: 'UNEXPECTED_REDIRECT' },
  'unknown scheme': { code: 'INVALID_REQUEST' },
  'bad port': { code: 'INVALID_REQUEST' },
  'invalid method': { code: 'INVALID_REQUEST' },
  'about scheme is not supported': { code: 'INVALID_REQUEST' },
  'not implemented... yet...': { code: 'INVALID_REQUEST' },
  'URL scheme must be a HTTP(S) scheme': { code: 'UNEXPECTED_REDIRECT' },
  'proxy authentication required': { code: 'UNAUTHENTICATED' },
}

// fetch wraps what went wrong in a TypeError without a code: `fetch failed` before the head, `terminated` in the body.
function ofFetch({ code, name, message, value }: Facts): Finding | undefined {
  if (code !== '' || name !== 'TypeError') return undefined
  if (message === 'terminated') return { code: 'REPLY_TRUNCATED', weak: true, inBody: true }
  if (message !== 'fetch failed') return undefined
  const cause = read(value, 'cause')
  const why = read(cause, 'message')
  if (read(cause, 'code') === undefined && typeof why === 'string' && Object.hasOwn(FETCH_CAUSES, why))
    return FETCH_CAUSES[why]
  return { code: 'CONNECTION_LOST', weak: true }
}
