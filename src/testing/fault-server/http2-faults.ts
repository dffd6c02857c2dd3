// Errors of HTTP/2: of one stream (RST_STREAM) and of the whole session (GOAWAY).
import { constants } from 'node:http2'
import type { RequestFault } from './behaviour.ts'

/** A request behaviour of HTTP/2 only. */
export type Http2Fault = Extract<RequestFault, { protocol: 'h2' }>

const streamError = (name: string, code: number, readBody: number): Http2Fault => ({
  level: 'request',
  protocol: 'h2',
  name,
  readBody,
  run: async (exchange) => exchange.resetStream(code),
})

/** RST_STREAM with this error code, once the request was read. */
export function resetStream(code: number): Http2Fault {
  return streamError('resetStream', code, Number.POSITIVE_INFINITY)
}

/** RST_STREAM REFUSED_STREAM: surely not processed (RFC 9113, 8.7). The body is not read. */
export function refusedStream(): Http2Fault {
  return streamError('refusedStream', constants.NGHTTP2_REFUSED_STREAM, 0)
}

/** RST_STREAM ENHANCE_YOUR_CALM: too many requests. The body is not read. */
export function enhanceYourCalm(): Http2Fault {
  return streamError('enhanceYourCalm', constants.NGHTTP2_ENHANCE_YOUR_CALM, 0)
}

/** RST_STREAM INTERNAL_ERROR, once the request was read. */
export function internalError(): Http2Fault {
  return streamError('internalError', constants.NGHTTP2_INTERNAL_ERROR, Number.POSITIVE_INFINITY)
}

/** RST_STREAM CANCEL, once the request was read. */
export function cancelledStream(): Http2Fault {
  return streamError('cancelledStream', constants.NGHTTP2_CANCEL, Number.POSITIVE_INFINITY)
}

/** RST_STREAM PROTOCOL_ERROR, once the request was read. */
export function protocolError(): Http2Fault {
  return streamError('protocolError', constants.NGHTTP2_PROTOCOL_ERROR, Number.POSITIVE_INFINITY)
}

/** RST_STREAM NO_ERROR without an answer, before the body is read. */
export function noErrorEarly(): Http2Fault {
  return streamError('noErrorEarly', constants.NGHTTP2_NO_ERROR, 0)
}

/**
 * GOAWAY, then the connection is closed. By default with NO_ERROR and a last stream below this one, as a server that drains does:
 * this request was surely not processed. `lastStream: 'this'` says that it might have been.
 */
export function goaway(
  options: { code?: number | undefined; lastStream?: 'below' | 'this' | undefined } = {},
): Http2Fault {
  return {
    level: 'request',
    protocol: 'h2',
    name: 'goaway',
    readBody: options.lastStream === 'this' ? Number.POSITIVE_INFINITY : 0,
    async run(exchange) {
      const below = Math.max(0, exchange.stream - 2)
      exchange.goaway(
        options.code ?? constants.NGHTTP2_NO_ERROR,
        options.lastStream === 'this' ? exchange.stream : below,
      )
      exchange.fin()
    },
  }
}

/** GOAWAY ENHANCE_YOUR_CALM: the whole session is told that there was too much; this request might have been processed. */
export function enhanceYourCalmSession(): Http2Fault {
  return {
    ...goaway({ code: constants.NGHTTP2_ENHANCE_YOUR_CALM, lastStream: 'this' }),
    name: 'enhanceYourCalmSession',
  }
}
