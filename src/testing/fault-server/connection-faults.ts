// Connections that fail before any request: at accept, or in the TLS handshake.
import type { AcceptedConnection, ConnectionFault } from './behaviour.ts'

const fault = (name: string, run: (connection: AcceptedConnection) => Promise<void>): ConnectionFault => ({
  level: 'connection',
  name,
  run,
})

/**
 * Breaks the connection (RST) as soon as it is accepted. A client in the same process mostly sees it while it still connects;
 * another one may think itself connected first.
 */
export function resetAtAccept(): ConnectionFault {
  return fault('resetAtAccept', async (connection) => connection.reset())
}

/** Closes the connection (FIN) as soon as it is accepted. */
export function finAtAccept(): ConnectionFault {
  return fault('finAtAccept', async (connection) => connection.fin())
}

/** Accepts and says nothing: on a TLS server the handshake hangs. `server.release()` lets it go on. */
export function hangAtAccept(): ConnectionFault {
  return fault('hangAtAccept', async (connection) => {
    await connection.hold()
    connection.serve()
  })
}

/** Breaks the connection (RST) once so many bytes came: in the TLS handshake or, without TLS, in the head of the request. Default: 1. */
export function resetAtBytes(count: number = 1): ConnectionFault {
  return fault('resetAtBytes', async (connection) => {
    await connection.bytes(count)
    connection.reset()
  })
}

/** Closes the connection (FIN) once so many bytes came: in the TLS handshake or, without TLS, in the head of the request. Default: 1. */
export function finAtBytes(count: number = 1): ConnectionFault {
  return fault('finAtBytes', async (connection) => {
    await connection.bytes(count)
    connection.fin()
  })
}

/** Answers the first bytes, a TLS handshake, with plain HTTP: a plain service behind a TLS port. */
export function plainReply(): ConnectionFault {
  return fault('plainReply', async (connection) => {
    await connection.bytes(1)
    connection.send('HTTP/1.1 400 Bad Request\r\nconnection: close\r\ncontent-length: 0\r\n\r\n')
    connection.fin()
  })
}
