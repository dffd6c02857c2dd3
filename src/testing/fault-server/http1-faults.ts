// Bytes that no HTTP/1 server should send.
import type { Http1Fault } from './cuts.ts'

const CRLF = '\r\n'

/** Sends these bytes as they are, after the whole request was read; then FIN, or RST, or nothing with `keep`. Default: FIN. */
export function raw(
  bytes: Uint8Array | string,
  options: { then?: 'fin' | 'reset' | 'keep' | undefined } = {},
): Http1Fault {
  return rawAs('raw', bytes, options.then)
}

function rawAs(name: string, bytes: Uint8Array | string, then: 'fin' | 'reset' | 'keep' = 'fin'): Http1Fault {
  return {
    level: 'request',
    protocol: 'h1',
    name,
    async run(exchange) {
      await exchange.raw(bytes)
      if (then === 'keep') await exchange.finish()
      else exchange[then]()
    },
  }
}

const lines = (...all: readonly string[]): string => all.join(CRLF)

/** 200 in chunks, the second with a size that is no number. */
export function badChunk(): Http1Fault {
  return rawAs('badChunk', lines('HTTP/1.1 200 OK', 'transfer-encoding: chunked', '', '5', 'first', 'zz', 'second', ''))
}

/** The greeting of an SSH server. */
export function notHttp(): Http1Fault {
  return rawAs('notHttp', lines('SSH-2.0-OpenSSH_9.6', ''))
}

/** A status line whose status is no number. */
export function badStatusLine(): Http1Fault {
  return rawAs('badStatusLine', lines('HTTP/1.1 abc OK', 'content-length: 0', '', ''))
}

/** A header line with a space in its name and no colon. */
export function badHeader(): Http1Fault {
  return rawAs('badHeader', lines('HTTP/1.1 200 OK', 'no colon here', 'content-length: 0', '', ''))
}

/** Content-Length and Transfer-Encoding in one response, which RFC 9112 (6.1) forbids as it smuggles. */
export function lengthAndChunked(): Http1Fault {
  const head = ['HTTP/1.1 200 OK', 'content-length: 5', 'transfer-encoding: chunked']
  return rawAs('lengthAndChunked', lines(...head, '', '5', 'first', '0', '', ''))
}

/** Two Content-Lengths that differ. */
export function conflictingLengths(): Http1Fault {
  return rawAs('conflictingLengths', lines('HTTP/1.1 200 OK', 'content-length: 5', 'content-length: 6', '', 'first'))
}

/** A right answer, followed by bytes beyond its Content-Length; the connection is kept. */
export function extraBytes(): Http1Fault {
  const head = lines('HTTP/1.1 200 OK', 'content-type: application/json', 'content-length: 11')
  return rawAs('extraBytes', lines(head, '', '{"ok":true}and more'), 'keep')
}

/** 100 Continue that nobody asked for, then a right answer. */
export function strayContinue(): Http1Fault {
  const head = lines('HTTP/1.1 100 Continue', '', 'HTTP/1.1 200 OK', 'content-type: application/json')
  return rawAs('strayContinue', lines(head, 'content-length: 11', '', '{"ok":true}'), 'keep')
}

/**
 * Answers 200 and promises to keep the connection, then breaks the promise: `at-once` closes it (FIN) right after the answer;
 * `on-reuse` breaks it (RST) when the first bytes of the next request arrive, unread. Default: `at-once`.
 */
export function staleKeepAlive(options: { when?: 'at-once' | 'on-reuse' | undefined } = {}): Http1Fault {
  return {
    level: 'request',
    protocol: 'h1',
    name: 'staleKeepAlive',
    async run(exchange) {
      const headers = { 'content-type': 'application/json', connection: 'keep-alive', 'keep-alive': 'timeout=60' }
      await exchange.respond(200, headers, '{"ok":true}')
      if (options.when === 'on-reuse') exchange.resetOnReuse()
      else exchange.fin()
    },
  }
}
