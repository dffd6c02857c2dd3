// Whose fault it is that a request broke off while its body was being sent: an upload that breaks by itself says nothing of the endpoint.

interface Upload {
  readonly destroyed?: boolean
  readonly errored?: Error | null
  readonly readableEnded?: boolean
}

/**
 * Whether the body, a stream of Node, ended before its end without the connection having had a part in it. undici ends the stream with the error of a connection
 * that broke, so that an error of the stream may be one of the connection: those are known by their codes, or by the call of the system that failed.
 */
export function brokeByItself(body: unknown, error: Error): boolean {
  if (body === null || typeof body !== 'object') return false
  const { destroyed, errored, readableEnded } = body as Upload
  if (errored === null || errored === undefined) return destroyed === true && readableEnded === false
  return errored === error && !ofConnection(errored)
}

const OF_CONNECTION = /^(UND_ERR_|ERR_HTTP2_|ERR_SSL_|ERR_TLS_|ERR_STREAM_PREMATURE_CLOSE)/
const OF_SOCKET = new Set([
  'ECONNRESET',
  'ECONNABORTED',
  'EPIPE',
  'ETIMEDOUT',
  'EHOSTUNREACH',
  'EHOSTDOWN',
  'ENETUNREACH',
  'ENETDOWN',
  'ENOTCONN',
])

// A request that was broken off and is sent on (`aborted`) has ECONNRESET as well, but no call of the system.
function ofConnection({ code, syscall }: NodeJS.ErrnoException): boolean {
  return code !== undefined && (OF_CONNECTION.test(code) || (syscall !== undefined && OF_SOCKET.has(code)))
}
