// A way to a broker on which a request of one kind gets lost, with its connection: what a cut in exactly that instant would do.
import { connect, createServer, type Socket } from 'node:net'
import { freePort } from '../../services/free-port.ts'
import type { ServerAddress } from '../../services/servers.ts'

/** Of the protocol: https://kafka.apache.org/protocol.html#protocol_api_keys */
export const METADATA = 3
/** As METADATA. */
export const JOIN_GROUP = 11

export interface Sieve extends ServerAddress {
  /** The next request with this API key does not arrive. */
  lose(apiKey: number): void
  /** How many were lost. */
  readonly lost: number
  remove(): Promise<void>
}

/** @param to where the broker listens, or will */
export const sieveTo = async (to: ServerAddress): Promise<Sieve> => {
  const sockets = new Set<Socket>()
  let awaited: number | undefined
  let lost = 0
  const server = createServer((client) => {
    const broker = connect(to.port, to.host)
    const end = (): void => {
      client.destroy()
      broker.destroy()
    }
    for (const socket of [client, broker]) {
      sockets.add(socket)
      socket.on('error', end).on('close', end)
      socket.on('close', () => sockets.delete(socket))
    }
    broker.pipe(client)
    let rest = Buffer.alloc(0)
    client.on('data', (chunk) => {
      rest = Buffer.concat([rest, chunk])
      // Its length without itself, then the API key.
      for (let size = 0; rest.length >= 6; rest = rest.subarray(size)) {
        size = rest.readInt32BE(0) + 4
        if (rest.length < size) return
        if (rest.readInt16BE(4) === awaited) {
          awaited = undefined
          lost++
          end()
          return
        }
        broker.write(rest.subarray(0, size))
      }
    })
  })
  const port = await freePort()
  await new Promise<void>((resolve) => server.listen(port, '127.0.0.1', resolve))
  return {
    host: '127.0.0.1',
    port,
    lose(apiKey) {
      awaited = apiKey
    },
    get lost() {
      return lost
    },
    async remove() {
      for (const socket of sockets) socket.destroy()
      await new Promise((resolve) => server.close(resolve))
    },
  }
}
