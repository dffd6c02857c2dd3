// HTTP/2: errors of a stream and of a session, through node:http2 and through undici. The name of the error is only in the message, so this is per version.
import { once } from 'node:events'
import { connect, constants } from 'node:http2'
import { describe, expect, test } from 'vitest'
import { createFaultServer, fault, refusedPort } from '../../../src/testing/fault-server/index.ts'
import { type Client, nodeHttp2, undici8, undiciH2 } from './clients.ts'
import { cases, type Expected, expectError, type Row, runRow } from './rows.ts'

const both: readonly Client[] = [nodeHttp2, undiciH2]
const server = { protocol: 'h2' } as const

const refused: Expected = { kind: 'rejected', code: 'STREAM_REFUSED', effect: 'none', retry: 'always' }
const violation: Expected = { kind: 'arbitrary', code: 'HTTP2_VIOLATION', effect: 'unknown', retry: 'idempotent' }
const cancelled: Expected = { kind: 'omission', code: 'STREAM_CANCELLED', effect: 'unknown', retry: 'idempotent' }
const calm: Expected = { kind: 'response', code: 'HTTP2_CALM_DOWN', effect: 'unknown', retry: 'idempotent' }
const lost: Expected = { kind: 'omission', code: 'CONNECTION_LOST', effect: 'unknown', retry: 'idempotent' }
const draining: Expected = { kind: 'crash', code: 'SESSION_CLOSED', effect: 'unknown', retry: 'idempotent' }

const violations = {
  PROTOCOL_ERROR: constants.NGHTTP2_PROTOCOL_ERROR,
  INTERNAL_ERROR: constants.NGHTTP2_INTERNAL_ERROR,
  FLOW_CONTROL_ERROR: constants.NGHTTP2_FLOW_CONTROL_ERROR,
  SETTINGS_TIMEOUT: constants.NGHTTP2_SETTINGS_TIMEOUT,
  STREAM_CLOSED: constants.NGHTTP2_STREAM_CLOSED,
  FRAME_SIZE_ERROR: constants.NGHTTP2_FRAME_SIZE_ERROR,
  COMPRESSION_ERROR: constants.NGHTTP2_COMPRESSION_ERROR,
  CONNECT_ERROR: constants.NGHTTP2_CONNECT_ERROR,
}

const rows: readonly Row[] = [
  { name: 'REFUSED_STREAM, even a POST', server, behaviour: fault.refusedStream(), clients: both, expected: refused },
  { name: 'ENHANCE_YOUR_CALM of a stream', server, behaviour: fault.enhanceYourCalm(), clients: both, expected: calm },
  {
    name: 'ENHANCE_YOUR_CALM of a session',
    server,
    behaviour: fault.enhanceYourCalmSession(),
    clients: both,
    expected: calm,
  },
  ...Object.entries(violations).map(
    ([name, code]): Row => ({ name, server, behaviour: fault.resetStream(code), clients: both, expected: violation }),
  ),
  // node:http2 ends such a stream without an error: what the caller sees is that it closed too early.
  {
    name: 'CANCEL',
    server,
    behaviour: fault.cancelledStream(),
    clients: both,
    expected: cancelled,
    but: { 'node:http2': lost },
  },
  {
    name: 'NO_ERROR early',
    server,
    behaviour: fault.noErrorEarly(),
    clients: both,
    expected: cancelled,
    but: { 'node:http2': lost },
  },
  {
    name: 'INADEQUATE_SECURITY',
    server,
    behaviour: fault.resetStream(constants.NGHTTP2_INADEQUATE_SECURITY),
    clients: both,
    expected: { kind: 'arbitrary', code: 'TLS_FAILED', effect: 'unknown', retry: 'never' },
  },
  {
    name: 'HTTP_1_1_REQUIRED',
    server,
    behaviour: fault.resetStream(constants.NGHTTP2_HTTP_1_1_REQUIRED),
    clients: both,
    expected: { kind: 'response', code: 'NOT_SUPPORTED', effect: 'unknown', retry: 'never' },
  },
  {
    // Node itself calls a stream above the last one of the GOAWAY refused; undici loses that proof.
    name: 'GOAWAY below this stream',
    server,
    behaviour: fault.goaway(),
    clients: both,
    expected: draining,
    but: { 'node:http2': refused },
  },
  {
    name: 'GOAWAY, this stream may have been processed',
    server,
    behaviour: fault.goaway({ lastStream: 'this' }),
    clients: both,
    expected: draining,
    // undici 8 tells only that the connection was closed.
    but: { 'node:http2': lost, ...(undici8 ? { 'undici request h2': lost } : {}) },
  },
  { name: 'FIN before the head', server, behaviour: fault.finBeforeHead(), clients: both, expected: lost },
  {
    name: 'reset after the request was read',
    server,
    behaviour: fault.resetAfterRequest(),
    clients: both,
    expected: lost,
  },
  {
    name: 'FIN in the body',
    server,
    behaviour: fault.truncatedBody(),
    clients: [undiciH2],
    hints: { phase: 'body' },
    expected: { kind: 'omission', code: 'REPLY_TRUNCATED', effect: 'unknown', retry: 'idempotent' },
  },
]

const sessionClosed: Expected = { kind: 'crash', code: 'SESSION_CLOSED', effect: 'none', retry: 'always' }

describe('HTTP/2', () => {
  test.each(cases(rows))('%s: %s', (_row, _client, row, client) => runRow(row, client))

  test('a stream that waits for a session which cannot connect was never sent', async () => {
    const port = await refusedPort()
    const session = connect(port.url)
    session.on('error', () => undefined)
    const stream = session.request({ ':path': '/', ':method': 'POST' })
    const [error] = await once(stream, 'error')
    await port.close()
    expect(error).toMatchObject({ code: 'ERR_HTTP2_STREAM_CANCEL' })
    expectError(error, { kind: 'crash', code: 'CONNECTION_REFUSED', effect: 'none', retry: 'always' })
  })

  test('a stream that waits for a session which breaks in the handshake was never sent', async () => {
    const server = await createFaultServer({ protocol: 'h2', behaviour: fault.resetAtBytes() })
    const session = connect(server.url, { ca: server.ca ?? '' })
    session.on('error', () => undefined)
    const [error] = await once(session.request({ ':path': '/', ':method': 'POST' }), 'error')
    await server.close()
    expectError(error, { kind: 'omission', code: 'CONNECTION_LOST', effect: 'none', retry: 'always' })
  })

  test('a new stream on a session that is gone, or was told to go', async () => {
    const server = await createFaultServer({ protocol: 'h2c', behaviour: fault.goaway({ lastStream: 'this' }) })
    const session = connect(server.url)
    session.on('error', () => undefined)
    const told = once(session, 'goaway')
    session.request({ ':path': '/' }).on('error', () => undefined)
    await told
    // Node 20 throws it, Node 24 gives it to the stream.
    const failure = async (): Promise<unknown> => {
      try {
        return (await once(session.request({ ':path': '/' }), 'error'))[0]
      } catch (error) {
        return error
      }
    }
    expectError(await failure(), sessionClosed)
    session.destroy()
    expectError(await failure(), sessionClosed)
    await server.close()
  })

  test.each([
    ['ERR_HTTP2_GOAWAY_SESSION', sessionClosed],
    ['ERR_HTTP2_INVALID_SESSION', sessionClosed],
    ['ERR_HTTP2_OUT_OF_STREAMS', sessionClosed],
    ['ERR_HTTP2_STREAM_CANCEL', sessionClosed],
    ['ERR_HTTP2_INVALID_STREAM', lost],
    ['ERR_HTTP2_ERROR', violation],
    ['ERR_HTTP2_FRAME_ERROR', violation],
    ['ERR_HTTP2_SESSION_ERROR', violation],
    ['ERR_HTTP2_INVALID_PSEUDOHEADER', { kind: 'invalid', code: 'INVALID_REQUEST', effect: 'none', retry: 'never' }],
  ] as const)('%s', (code, expected) => {
    expectError(Object.assign(new Error('http2'), { code }), expected)
  })

  test.each([
    // undici 7 and 8 keep the number only, in words of their own.
    ['UND_ERR_INFO', 'HTTP/2: "stream error" received - code 7', refused],
    ['UND_ERR_INFO', 'HTTP/2: "stream error" received - code 8', cancelled],
    ['UND_ERR_INFO', 'HTTP/2: "frameError" received - type 3, code 2', violation],
    ['UND_ERR_INFO', 'HTTP/2: "GOAWAY" frame received with code 0', draining],
    ['UND_ERR_SOCKET', 'HTTP/2: "GOAWAY" frame received with code 7', draining],
    ['UND_ERR_SOCKET', 'HTTP/2: "GOAWAY" frame received with code 11', calm],
    ['UND_ERR_SOCKET', 'HTTP/2: "GOAWAY" frame received with code 99', violation],
    ['UND_ERR_SOCKET', 'HTTP/2: connection unresponsive', lost],
    ['ERR_HTTP2_SESSION_ERROR', 'Session closed with error code 11', calm],
    ['ERR_HTTP2_SESSION_ERROR', 'Session closed with error code NGHTTP2_NO_ERROR', draining],
    ['ERR_HTTP2_STREAM_ERROR', 'Stream closed with error code NGHTTP2_CANCEL', cancelled],
  ] as const)('%s, %s', (code, message, expected) => {
    expectError(Object.assign(new Error(message), { code }), expected)
  })
})
