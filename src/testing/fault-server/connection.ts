// What the two protocols share: one accepted connection, and the end of an exchange with a client that may be gone.
import type { Socket } from 'node:net'
import type { Writable } from 'node:stream'
import { type Clock, systemClock } from '../../core/clock.ts'
import { type AcceptedConnection, ClientGone, type Exchange, type RequestFault, type SeenRequest } from './behaviour.ts'
import type { Gate, Gates } from './gates.ts'
import type { Recorder, RequestRecord } from './seen.ts'

/** What the serving of a connection needs from the server it belongs to. */
export interface Core {
  readonly clock: Clock
  readonly recorder: Recorder
  readonly gates: Gates
  /** The behaviour of this request; takes it off the queue. */
  choose(request: SeenRequest): RequestFault
}

/** One accepted connection. */
export interface Connection {
  readonly id: number
  /** The TCP socket. */
  readonly tcp: Socket
  /** Where requests come from: the TCP socket, or the TLS socket on top of it. */
  readonly socket: Socket
  /** True once the server has closed it by itself: what the client does then is no news. */
  readonly closing: boolean
  /** Closes it in order, after what was written. */
  fin(): void
  /** Breaks it, once a client in this process has had the time to read what was written. */
  reset(): void
  /** Closes it without waiting for what was written. */
  drop(): void
}

/** Wraps an accepted socket. */
export function createConnection(id: number, tcp: Socket, socket: Socket): Connection {
  let closing = false
  return {
    id,
    tcp,
    socket,
    get closing() {
      return closing
    },
    fin() {
      closing = true
      socket.destroySoon()
    },
    reset() {
      closing = true
      // Of the TCP socket: a TLS socket cannot send RST.
      const reset = (): void => {
        tcp.resetAndDestroy()
      }
      // A client that finds bytes and RST together is shown only an end: let it read the bytes first. Two timers, as one may
      // run in the same turn of the event loop. The injected clock is none of their business: sockets live in real time.
      if (tcp.bytesWritten === 0) reset()
      else systemClock.setTimer(() => systemClock.setTimer(reset, 1, undefined), 1, undefined)
    },
    drop() {
      closing = true
      tcp.destroy()
    },
  }
}

/** What a connection fault gets to see of a socket that was just accepted. */
export function acceptedConnection(tcp: Socket, gates: Gates, serve: () => void): AcceptedConnection {
  const gate = gates.enter([])
  const gone = (): void => gate.leave()
  tcp.once('close', gone)
  return {
    bytes: (count) =>
      new Promise((resolve) => {
        let left = count
        const take = (chunk: Buffer): void => {
          left -= chunk.length
          if (left > 0) return
          tcp.off('data', take)
          resolve()
        }
        tcp.on('data', take)
      }),
    send: (bytes) => tcp.write(bytes),
    fin: () => tcp.destroySoon(),
    reset: () => tcp.resetAndDestroy(),
    hold: () => gate.hold(),
    serve() {
      tcp.off('close', gone)
      gate.leave()
      serve()
    },
  }
}

/** Waits on a clock; ends early with ClientGone. `onGone` registers who wants to be told and returns the way to stop. */
export function sleepUnlessGone(clock: Clock, ms: number, onGone: (listener: () => void) => () => void): Promise<void> {
  return new Promise((resolve, reject) => {
    const stop = onGone(() => {
      clock.clearTimer(timer)
      reject(new ClientGone())
    })
    const timer = clock.setTimer(
      () => {
        stop()
        resolve()
      },
      ms,
      undefined,
    )
  })
}

/** Writes; resolves when the bytes are on their way, rejects with ClientGone when they never will be. */
export function writeTo(stream: Writable, bytes: Uint8Array | string): Promise<void> {
  return new Promise((resolve, reject) => {
    stream.write(bytes, (error) => (error ? reject(new ClientGone()) : resolve()))
  })
}

/** Runs a behaviour. A client that is gone ends it quietly; a mistake in a behaviour is told to the client, so that a test sees it. */
export async function runBehaviour<X extends Exchange>(
  fault: { readonly name: string; run(exchange: X): Promise<void> },
  exchange: X,
  begun: () => boolean,
): Promise<void> {
  try {
    await fault.run(exchange)
  } catch (error) {
    if (error instanceof ClientGone) return
    if (begun()) exchange.reset()
    else
      await exchange.respond(500, {}, `The behaviour ${fault.name} of the fault server threw: ${error}`).catch(ignore)
  }
}

/** One request between its head and its end: who is told when the client goes away, and what is counted then. */
export interface Attendance {
  readonly gate: Gate
  onGone(listener: () => void): () => void
  /** The client went away. */
  gone(): void
  /** The server is done with the request. */
  done(): void
}

/** Begins to watch over a request. */
export function attend(core: Core, record: RequestRecord): Attendance {
  const gate = core.gates.enter([record.path, `${record.method} ${record.path}`])
  const listeners = new Set<() => void>()
  let over = false
  return {
    gate,
    onGone(listener) {
      listeners.add(listener)
      return () => listeners.delete(listener)
    },
    gone() {
      if (over) return
      over = true
      record.aborted()
      gate.leave()
      for (const listener of [...listeners]) listener()
    },
    done() {
      over = true
      gate.leave()
    },
  }
}

/** For errors that another event already tells of. */
export function ignore(): void {}
