// HTTP/2: Node's own session does the talking; the errors that it would not send by itself are sent frame by frame.
import {
  type IncomingHttpHeaders,
  type OutgoingHttpHeaders,
  performServerHandshake,
  type ServerHttp2Stream,
} from 'node:http2'
import type { Socket } from 'node:net'
import { Duplex } from 'node:stream'
import type { FaultHeaders, Http2Exchange } from './behaviour.ts'
import { attend, type Connection, type Core, ignore, runBehaviour, sleepUnlessGone, writeTo } from './connection.ts'

const GOAWAY = 7

/** A frame of RFC 9113 section 4.1 without flags. */
function frame(type: number, stream: number, ...words: readonly number[]): Buffer {
  const bytes = Buffer.alloc(9 + words.length * 4)
  bytes.writeUIntBE(words.length * 4, 0, 3)
  bytes.writeUInt8(type, 3)
  bytes.writeUInt32BE(stream, 5)
  words.forEach((word, index) => {
    bytes.writeUInt32BE(word, 9 + index * 4)
  })
  return bytes
}

/**
 * The socket as a stream of JavaScript. Given the socket itself, Node's session would write past it, straight to its handle,
 * and a frame of ours in between ends the process with a failed assertion (TLS, Node 20).
 */
function asDuplex(socket: Socket): Duplex {
  const duplex = new Duplex({
    read: () => socket.resume(),
    write: (chunk, _encoding, done) => socket.write(chunk, done),
    final: (done) => socket.end(done),
    destroy: (error, done) => {
      socket.destroy()
      done(error)
    },
  })
  socket.on('data', (chunk) => {
    if (!duplex.push(chunk)) socket.pause()
  })
  socket.on('end', () => duplex.push(null))
  socket.on('close', () => duplex.destroy())
  duplex.on('error', ignore)
  return duplex
}

/** Serves one connection until either side ends it. */
export function serveHttp2(core: Core, connection: Connection): void {
  const session = performServerHandshake(asDuplex(connection.socket))
  session.on('error', ignore)
  session.on('stream', (stream: ServerHttp2Stream, headers: IncomingHttpHeaders) => {
    stream.on('error', ignore)
    core.recorder.stream()
    void serveStream(core, connection, stream, headers)
  })
}

/** Reads up to `max` bytes of the request body, or to its end. */
function readBody(stream: ServerHttp2Stream, max: number, onChunk: (chunk: Buffer) => void): Promise<void> {
  if (max <= 0 && !stream.readableEnded) return Promise.resolve()
  return new Promise((resolve) => {
    let left = max
    const settle = (): void => {
      stream.off('data', take)
      stream.pause()
      resolve()
    }
    const take = (chunk: Buffer): void => {
      onChunk(chunk)
      left -= chunk.length
      if (left <= 0) settle()
    }
    stream.on('data', take)
    stream.on('end', resolve)
    stream.on('close', resolve)
  })
}

async function serveStream(
  core: Core,
  connection: Connection,
  stream: ServerHttp2Stream,
  headers: IncomingHttpHeaders,
): Promise<void> {
  const id = stream.id!
  const plain: Record<string, string> = Object.create(null)
  for (const [name, value] of Object.entries(headers)) {
    if (!name.startsWith(':') && value !== undefined) plain[name] = typeof value === 'string' ? value : value.join(', ')
  }
  const method = String(headers[':method'])
  const isHead = method === 'HEAD'
  const record = core.recorder.request({
    method,
    target: String(headers[':path']),
    headers: plain,
    connection: connection.id,
    stream: id,
  })
  const fault = core.choose(record)
  record.behaviour = fault.name
  core.recorder.behaviour(fault.name)
  if (fault.protocol === 'h1') throw new TypeError(`${fault.name} needs HTTP/1`)
  const attendance = attend(core, record)
  let finished = false
  let refused = false
  stream.once('close', () => {
    if (finished || connection.closing) attendance.done()
    else attendance.gone()
  })
  if (stream.endAfterHeaders) record.completed()
  else {
    stream.once('end', () => {
      // Node drops the rest of a body that nobody wants: that is not reading it.
      if (!refused) record.completed()
    })
  }

  const begin = async (status: number, responseHeaders: FaultHeaders, length: number | undefined): Promise<void> => {
    if (stream.destroyed) return
    finished = isHead
    const framing = length === undefined ? {} : { 'content-length': String(length) }
    stream.respond({ ':status': status, ...framing, ...responseHeaders } as OutgoingHttpHeaders)
  }
  const exchange: Http2Exchange = {
    request: record,
    clock: core.clock,
    stream: id,
    async respond(status, responseHeaders, content) {
      const body = Buffer.from(content as string)
      await begin(status, responseHeaders, body.length)
      finished = true
      stream.end(isHead ? undefined : body)
    },
    begin,
    // Node has ended the answer to a HEAD by itself.
    write: (bytes) => (isHead ? Promise.resolve() : writeTo(stream, bytes)),
    async finish() {
      finished = true
      stream.end()
    },
    hold: () => attendance.gate.hold(),
    nextDrip: () => attendance.gate.nextDrip(),
    sleep: (ms) => sleepUnlessGone(core.clock, ms, attendance.onGone),
    fin: () => connection.fin(),
    reset: () => connection.reset(),
    resetStream(code) {
      finished = refused = true
      stream.close(code)
    },
    goaway(code, lastStream) {
      refused = true
      // Node's own goaway() cannot name stream 0, which is "none was processed" on a first request.
      connection.socket.write(frame(GOAWAY, 0, lastStream, code))
    },
  }

  await readBody(stream, fault.readBody ?? Number.POSITIVE_INFINITY, record.addBody)
  if (stream.destroyed) return
  record.arrived()
  await runBehaviour(fault, exchange, () => stream.headersSent)
  // The rest of the request must not hold up the connection's window.
  if (finished) stream.resume()
}
