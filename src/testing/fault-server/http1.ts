// HTTP/1 by hand: reads requests byte by byte and writes whatever it is told to, right or wrong. No parser stands between a fault and the wire.
import { STATUS_CODES } from 'node:http'
import type { FaultHeaders, Http1Exchange } from './behaviour.ts'
import { type ByteReader, createByteReader } from './byte-reader.ts'
import { attend, type Connection, type Core, runBehaviour, sleepUnlessGone, writeTo } from './connection.ts'
import type { RequestRecord } from './seen.ts'

const LONGEST_HEAD = 1 << 20

interface Head {
  readonly method: string
  readonly target: string
  readonly headers: Readonly<Record<string, string>>
  readonly minor: string
}

function parseHead(bytes: Buffer): Head | undefined {
  const [line = '', ...fields] = bytes.toString('latin1').trimEnd().split('\r\n')
  const match = /^([A-Z]+) (\S+) HTTP\/1\.([01])$/.exec(line)
  if (match === null) return undefined
  const headers: Record<string, string> = Object.create(null)
  for (const field of fields) {
    const colon = field.indexOf(':')
    if (colon < 1) return undefined
    const name = field.slice(0, colon).toLowerCase()
    const value = field.slice(colon + 1).trim()
    headers[name] = headers[name] === undefined ? value : `${headers[name]}, ${value}`
  }
  return { method: match[1]!, target: match[2]!, headers, minor: match[3]! }
}

/** Reads a request body up to a number of bytes; more can be read by calling again. */
interface BodyReader {
  /** False when the client is gone or sends nonsense. */
  read(max: number): Promise<boolean>
  readonly complete: boolean
}

function createBodyReader(reader: ByteReader, headers: Head['headers'], record: RequestRecord): BodyReader {
  const chunked = /\bchunked\s*$/i.test(headers['transfer-encoding'] ?? '')
  let left = chunked ? 0 : Number(headers['content-length'] ?? 0)
  let complete = false
  const finish = (): void => {
    complete = true
    record.completed()
  }
  if (!chunked && left === 0) finish()

  /** Reads the size line of the next chunk. */
  const nextChunk = async (): Promise<boolean> => {
    const line = await reader.until('\r\n', LONGEST_HEAD)
    left = Number.parseInt(line?.toString('latin1') ?? '', 16)
    if (!(left >= 0)) return false
    if (left > 0) return true
    for (;;) {
      const trailer = await reader.until('\r\n', LONGEST_HEAD)
      if (trailer === undefined) return false
      if (trailer.length > 2) continue
      finish()
      return true
    }
  }

  return {
    get complete() {
      return complete
    },
    async read(max) {
      for (let taken = 0; !complete && taken < max; ) {
        if (left === 0 && !(await nextChunk())) return false
        if (complete) break
        const part = await reader.some(Math.min(left, max - taken))
        if (part === undefined) return false
        record.addBody(part)
        taken += part.length
        left -= part.length
        if (left > 0) continue
        if (!chunked) finish()
        else if ((await reader.until('\r\n', 2)) === undefined) return false
      }
      return true
    },
  }
}

/** The bytes of a response head. */
function renderHead(status: number, headers: FaultHeaders, framing: FaultHeaders): string {
  const given = new Set(Object.keys(headers).map((name) => name.toLowerCase()))
  // What a behaviour says of the framing itself is what goes out, right or wrong.
  const framed = given.has('content-length') || given.has('transfer-encoding')
  const lines = [`HTTP/1.1 ${status} ${STATUS_CODES[status] ?? 'Unknown'}`]
  for (const [name, value] of Object.entries({ ...headers, ...(framed ? {} : framing) })) {
    for (const each of typeof value === 'string' ? [value] : value) lines.push(`${name}: ${each}`)
  }
  return `${lines.join('\r\n')}\r\n\r\n`
}

/** A response that by its status has no body and no framing. */
const isBare = (status: number): boolean => status < 200 || status === 204 || status === 304

const isLetter = (byte: number): boolean => byte >= 65 && byte <= 90

/** Serves one connection until either side ends it. */
export async function serveHttp1(core: Core, connection: Connection): Promise<void> {
  const { socket } = connection
  const reader = createByteReader(socket)
  let resetOnReuse = false
  for (;;) {
    const first = await reader.peek()
    if (first === undefined) return connection.fin()
    if (resetOnReuse) return connection.reset()
    // Somebody who speaks TLS to a plain port would never send the end of a head.
    const bytes = isLetter(first) ? await reader.until('\r\n\r\n', LONGEST_HEAD) : Buffer.alloc(0)
    if (bytes === undefined && socket.readableEnded) return connection.fin()
    const head = bytes && parseHead(bytes)
    if (head === undefined) {
      socket.write(renderHead(400, { connection: 'close' }, { 'content-length': '0' }))
      return connection.fin()
    }
    const outcome = await serveRequest(core, connection, reader, head)
    if (outcome === 'over') return
    resetOnReuse = outcome === 'reset-on-reuse'
  }
}

async function serveRequest(
  core: Core,
  connection: Connection,
  reader: ByteReader,
  head: Head,
): Promise<'next' | 'reset-on-reuse' | 'over'> {
  const { socket } = connection
  const { method, target, headers } = head
  const record = core.recorder.request({ method, target, headers, connection: connection.id, stream: undefined })
  const fault = core.choose(record)
  record.behaviour = fault.name
  core.recorder.behaviour(fault.name)
  if (fault.protocol === 'h2') throw new TypeError(`${fault.name} needs HTTP/2`)
  const attendance = attend(core, record)
  const closed = (): void => {
    if (connection.closing) attendance.done()
    else attendance.gone()
  }
  // A client that ends its side does not want the answer any more; one that resets does not either.
  socket.once('end', closed)
  socket.once('close', closed)
  const over = (): void => {
    attendance.done()
    socket.off('end', closed)
    socket.off('close', closed)
  }

  let begun = false
  let finished = false
  let chunked = false
  let resetOnReuse = false
  const wantsBody = method !== 'HEAD'
  const exchange: Http1Exchange = {
    request: record,
    clock: core.clock,
    async respond(status, responseHeaders, content) {
      begun = true
      const body = Buffer.from(content as string)
      const framing: FaultHeaders = isBare(status) ? {} : { 'content-length': String(body.length) }
      const bytes = Buffer.from(renderHead(status, responseHeaders, framing), 'latin1')
      await writeTo(socket, wantsBody && !isBare(status) ? Buffer.concat([bytes, body]) : bytes)
      finished = true
    },
    async begin(status, responseHeaders, length) {
      begun = true
      chunked = length === undefined && head.minor === '1'
      const framing: FaultHeaders = chunked
        ? { 'transfer-encoding': 'chunked' }
        : length === undefined
          ? { connection: 'close' }
          : { 'content-length': String(length) }
      await writeTo(socket, renderHead(status, responseHeaders, framing))
    },
    async write(content) {
      if (!wantsBody) return
      const bytes = Buffer.from(content as string)
      if (!chunked) return writeTo(socket, bytes)
      await writeTo(
        socket,
        Buffer.concat([Buffer.from(`${bytes.length.toString(16)}\r\n`), bytes, Buffer.from('\r\n')]),
      )
    },
    async finish() {
      if (chunked && wantsBody) await writeTo(socket, '0\r\n\r\n')
      finished = true
    },
    hold: () => attendance.gate.hold(),
    nextDrip: () => attendance.gate.nextDrip(),
    sleep: (ms) => sleepUnlessGone(core.clock, ms, attendance.onGone),
    fin: () => connection.fin(),
    reset: () => connection.reset(),
    async raw(bytes) {
      begun = true
      await writeTo(socket, bytes)
    },
    resetOnReuse() {
      resetOnReuse = true
    },
  }

  const body = createBodyReader(reader, headers, record)
  const wanted = fault.readBody ?? Number.POSITIVE_INFINITY
  if (wanted > 0 && !body.complete && /^100-continue$/i.test(headers['expect'] ?? '')) {
    socket.write('HTTP/1.1 100 Continue\r\n\r\n')
  }
  if (!(await body.read(wanted))) {
    closed()
    connection.fin()
    return 'over'
  }
  record.arrived()
  await runBehaviour(fault, exchange, () => begun)
  // Neither finished nor closed: the behaviour left the client hanging, and the connection is of no further use.
  if (!finished || connection.closing || socket.destroyed) return 'over'
  over()
  if (head.minor === '0' || /\bclose\b/i.test(headers['connection'] ?? '')) {
    connection.fin()
    return 'over'
  }
  // What was not read of this request must not be taken for the next one.
  if (!(await body.read(Number.POSITIVE_INFINITY))) return 'over'
  return resetOnReuse ? 'reset-on-reuse' : 'next'
}
