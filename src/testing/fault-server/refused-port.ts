// A port that refuses: nobody listens on it, and nobody else can get it meanwhile.
import { once } from 'node:events'
import { type AddressInfo, connect, createServer } from 'node:net'

/** A port of 127.0.0.1 on which every connection is refused (ECONNREFUSED) until it is closed. */
export interface RefusedPort {
  readonly port: number
  /** `http://127.0.0.1:port` */
  readonly url: string
  close(): Promise<void>
  [Symbol.asyncDispose](): Promise<void>
}

/**
 * Finds such a port and keeps it. A port that was merely bound and closed again could be given to the next server of the machine:
 * this one is in use by the client end of a connection of our own, so nobody listens on it and nobody can.
 */
export async function refusedPort(): Promise<RefusedPort> {
  const listener = createServer({ pauseOnConnect: true })
  listener.listen(0, '127.0.0.1')
  await once(listener, 'listening')
  const holder = connect((listener.address() as AddressInfo).port, '127.0.0.1')
  const [[accepted]] = await Promise.all([once(listener, 'connection'), once(holder, 'connect')])
  listener.close()
  const port = holder.localPort!
  // A forgotten one must not keep the process up.
  holder.unref()
  accepted.unref()
  const close = async (): Promise<void> => {
    holder.destroy()
    accepted.destroy()
  }
  return { port, url: `http://127.0.0.1:${port}`, close, [Symbol.asyncDispose]: close }
}
