// What stands between our client and the agent in these suites: counts questions and connections, and troubles both on command.
import { createServer, type IncomingMessage, request, type ServerResponse } from 'node:http'
import type { AddressInfo, Socket } from 'node:net'

/** An HTTP proxy before one server. */
export interface TroubleProxy {
  readonly url: string
  readonly questions: number
  readonly connections: number
  /** Method and path of each question, and when it came. */
  readonly asked: readonly { readonly line: string; readonly at: number }[]
  /** Every answer takes so much longer. */
  slowMs: number
  /** In place of every answer that has something to read. */
  garbled: string | undefined
  /** Nothing passes, and nobody is told. */
  frozen: boolean
  /** Headers that the server did not send. */
  more: Readonly<Record<string, string>>
  cut(): void
  close(): Promise<void>
}

/** Starts one. `now` says when a question came. */
export const troubleProxy = async (
  upstream: { host: string; port: number },
  now: () => number,
): Promise<TroubleProxy> => {
  const sockets = new Set<Socket>()
  const asked: { line: string; at: number }[] = []
  const server = createServer((incoming, outgoing) => {
    asked.push({ line: `${incoming.method} ${incoming.url}`, at: now() })
    if (!proxy.frozen) forward(incoming, outgoing)
  })
  const forward = (incoming: IncomingMessage, outgoing: ServerResponse): void => {
    const { method, url, headers } = incoming
    const sent = request({ ...upstream, method, path: url, headers, agent: false }, (answer) => {
      const pieces: Buffer[] = []
      answer.on('data', (piece: Buffer) => pieces.push(piece))
      answer.on('error', () => outgoing.destroy())
      answer.on('end', () => {
        setTimeout(() => {
          if (proxy.frozen) return
          if (proxy.garbled !== undefined) {
            outgoing.writeHead(200, { 'content-type': 'text/html' }).end(proxy.garbled)
            return
          }
          outgoing.writeHead(answer.statusCode ?? 502, { ...answer.headers, ...proxy.more })
          outgoing.end(Buffer.concat(pieces))
        }, proxy.slowMs)
      })
    })
    sent.on('error', () => outgoing.destroy())
    outgoing.on('close', () => sent.destroy())
    incoming.pipe(sent)
  }
  server.on('connection', (socket) => {
    sockets.add(socket)
    socket.on('error', () => {}).on('close', () => sockets.delete(socket))
  })
  await new Promise<void>((ready) => server.listen(0, '127.0.0.1', ready))
  const proxy: TroubleProxy = {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    asked,
    get questions() {
      return asked.length
    },
    get connections() {
      return sockets.size
    },
    slowMs: 0,
    garbled: undefined,
    frozen: false,
    more: {},
    cut() {
      for (const socket of sockets) socket.resetAndDestroy()
    },
    async close() {
      for (const socket of sockets) socket.destroy()
      await new Promise((closed) => server.close(closed))
    },
  }
  return proxy
}
