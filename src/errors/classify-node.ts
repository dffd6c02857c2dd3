// Node's system errors and name lookups: by code, and by the system call, which is what proves that nothing was sent.
import type { Facts, Finding, Table, TableHints } from './classify-facts.ts'

/** These calls come before the first byte of a request. */
const BEFORE_SENDING: ReadonlySet<string> = new Set(['connect', 'getaddrinfo', 'getnameinfo', 'socket', 'bind'])

// c-ares names its calls `queryA`, `querySrv`, `getHostByAddr`.
const isLookup = (syscall: string): boolean => /^(query[A-Z]|getaddrinfo$|getHostBy|getnameinfo$|resolve)/.test(syscall)

const LOOKUP: Readonly<Record<string, Finding>> = {
  ENOTFOUND: { code: 'NAME_NOT_FOUND' },
  ENODATA: { code: 'NAME_NOT_FOUND' },
  ENONAME: { code: 'NAME_NOT_FOUND' },
  EAI_NONAME: { code: 'NAME_NOT_FOUND' },
  EAI_NODATA: { code: 'NAME_NOT_FOUND' },
  EBADNAME: { code: 'NAME_NOT_FOUND', transient: false },
  EBADQUERY: { code: 'NAME_NOT_FOUND', transient: false },
  ETIMEOUT: { code: 'NAME_LOOKUP_TIMEOUT' },
  EAI_AGAIN: { code: 'NAME_LOOKUP_FAILED' },
  EAI_FAIL: { code: 'NAME_LOOKUP_FAILED' },
  EAI_ADDRFAMILY: { code: 'NAME_LOOKUP_FAILED', transient: false },
  EAI_BADFLAGS: { code: 'NAME_LOOKUP_FAILED', transient: false },
  EAI_FAMILY: { code: 'NAME_LOOKUP_FAILED', transient: false },
  EAI_SERVICE: { code: 'NAME_LOOKUP_FAILED', transient: false },
  EAI_MEMORY: { code: 'SELF_EXHAUSTED' },
  ESERVFAIL: { code: 'NAME_LOOKUP_FAILED' },
  EREFUSED: { code: 'NAME_LOOKUP_FAILED' },
  EFORMERR: { code: 'NAME_LOOKUP_FAILED' },
  ENOTIMP: { code: 'NAME_LOOKUP_FAILED' },
  EBADRESP: { code: 'NAME_LOOKUP_FAILED' },
  EBADFAMILY: { code: 'NAME_LOOKUP_FAILED', transient: false },
  ENOTINITIALIZED: { code: 'NAME_LOOKUP_FAILED' },
  ECANCELLED: { code: 'NAME_LOOKUP_FAILED' },
  EDESTRUCTION: { code: 'NAME_LOOKUP_FAILED' },
}

// Names that mean something else, or nothing, outside of a lookup.
const ONLY_IN_LOOKUP: ReadonlySet<string> = new Set([
  'EREFUSED',
  'EBADRESP',
  'ENOTINITIALIZED',
  'ECANCELLED',
  'EDESTRUCTION',
])

const UNREACHABLE: ReadonlySet<string> = new Set(['EHOSTDOWN', 'EHOSTUNREACH', 'ENETUNREACH', 'ENETDOWN'])
const BROKEN: ReadonlySet<string> = new Set([
  'ECONNRESET',
  'EPIPE',
  'ECONNABORTED',
  'ENOTCONN',
  'ENETRESET',
  'ESHUTDOWN',
  'ERR_STREAM_PREMATURE_CLOSE',
  'ERR_SOCKET_CLOSED',
])
const EXHAUSTED: ReadonlySet<string> = new Set(['EADDRNOTAVAIL', 'EADDRINUSE', 'EMFILE', 'ENFILE', 'ENOBUFS', 'ENOMEM'])

const OTHERS: Readonly<Record<string, Finding>> = {
  ERR_SOCKET_CONNECTION_TIMEOUT: { code: 'CONNECT_TIMEOUT' },
  ERR_SOCKET_CLOSED_BEFORE_CONNECTION: { code: 'CONNECTION_LOST', effect: 'none' },
  ERR_STREAM_DESTROYED: { code: 'PROGRAMMING_ERROR' },
  ERR_STREAM_WRITE_AFTER_END: { code: 'PROGRAMMING_ERROR' },
  ERR_STREAM_ALREADY_FINISHED: { code: 'PROGRAMMING_ERROR' },
  ERR_HTTP_CONTENT_LENGTH_MISMATCH: { code: 'INVALID_REQUEST', effect: 'unknown' },
  ERR_HTTP_HEADERS_SENT: { code: 'INVALID_REQUEST', effect: 'unknown' },
  ERR_HTTP_BODY_NOT_ALLOWED: { code: 'INVALID_REQUEST' },
  ERR_HTTP_INVALID_HEADER_VALUE: { code: 'INVALID_REQUEST' },
  ERR_INVALID_CHAR: { code: 'INVALID_REQUEST' },
  ERR_INVALID_HTTP_TOKEN: { code: 'INVALID_REQUEST' },
  ERR_INVALID_PROTOCOL: { code: 'INVALID_REQUEST' },
  ERR_INVALID_DOMAIN_NAME: { code: 'INVALID_REQUEST' },
  ERR_INVALID_URL: { code: 'INVALID_REQUEST' },
  ERR_UNESCAPED_CHARACTERS: { code: 'INVALID_REQUEST' },
  ERR_SOCKET_BAD_PORT: { code: 'INVALID_REQUEST' },
  HPE_HEADER_OVERFLOW: { code: 'REPLY_TOO_LARGE' },
  HPE_CHUNK_EXTENSIONS_OVERFLOW: { code: 'REPLY_TOO_LARGE' },
  // The parser was told that no more will come, in the middle of a message.
  HPE_INVALID_EOF_STATE: { code: 'REPLY_TRUNCATED' },
  HPE_CLOSED_CONNECTION: { code: 'PROTOCOL_VIOLATION' },
}

/** System calls, name lookups, and the HTTP/1 client and parser of Node. */
export const nodeTable: Table = (facts, hints) => {
  const { code, syscall } = facts
  if (code === '') return undefined
  if (isLookup(syscall)) return LOOKUP[code] ?? (EXHAUSTED.has(code) ? { code: 'SELF_EXHAUSTED' } : lookupFailed(code))
  if (Object.hasOwn(LOOKUP, code) && !ONLY_IN_LOOKUP.has(code)) return LOOKUP[code]
  if (Object.hasOwn(OTHERS, code)) return OTHERS[code]
  if (code.startsWith('HPE_')) return { code: 'PROTOCOL_VIOLATION' }
  return fromSystem(facts, hints)
}

function lookupFailed(code: string): Finding | undefined {
  return /^E[A-Z]/.test(code) ? { code: 'NAME_LOOKUP_FAILED' } : undefined
}

function fromSystem({ code, syscall, message }: Facts, hints: TableHints): Finding | undefined {
  const before = BEFORE_SENDING.has(syscall) || hints.phase === 'connect'
  if (code === 'ECONNREFUSED') return { code: 'CONNECTION_REFUSED' }
  if (UNREACHABLE.has(code)) return { code: 'HOST_UNREACHABLE', effect: before ? 'none' : 'unknown' }
  if (code === 'ETIMEDOUT') return before ? { code: 'CONNECT_TIMEOUT' } : { code: 'TIMED_OUT' }
  if (EXHAUSTED.has(code)) {
    // Files of the caller's own, and sends that were under way, prove nothing.
    return { code: 'SELF_EXHAUSTED', effect: before || syscall === '' ? 'none' : 'unknown' }
  }
  if (BROKEN.has(code)) {
    // The incoming message of node:http says only this when its connection broke: the head had come.
    const cut = message === 'aborted' && syscall === ''
    return { code: 'CONNECTION_LOST', effect: before ? 'none' : undefined, inBody: cut }
  }
  if (syscall === 'connect' && code === 'ENOENT') return { code: 'CONNECTION_REFUSED' }
  // Whatever else a connect fails with (EACCES of a firewall, EINVAL of an address), it was no connection.
  if (syscall === 'connect' && /^E[A-Z]+$/.test(code))
    return { code: 'HOST_UNREACHABLE', effect: 'none', transient: false }
  return undefined
}
