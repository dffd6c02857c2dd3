// What stands between a test and a Eureka: counts connections, requests and signs of life, and answers nonsense on command.
import { once } from 'node:events'
import { Agent, createServer, request as send } from 'node:http'
import type { AddressInfo, Socket } from 'node:net'
import type { ServerAddress } from '../../services/servers.ts'

/** One reverse proxy. */
export interface Front extends ServerAddress {
  /** Connections that are open. */
  readonly open: number
  /** Requests that came. */
  readonly questions: number
  /** When PUTs came to a path, milliseconds of `performance.now()`. */
  puts(path: string): readonly number[]
  /** Answers with halves of documents, HTML and nothing, in turn. */
  garbling: boolean
  /** Refuses connections and closes those that there are. */
  refuse(): Promise<void>
  /** Listens again, at the same port. */
  admit(): Promise<void>
  close(): Promise<void>
}

const NONSENSE = [
  { type: 'application/json', body: '{"application":{"name":"X","instance":[{"instan' },
  { type: 'text/html', body: '<html><body><h1>It works</h1></body></html>' },
  { type: 'application/json', body: '' },
  { type: 'application/xml', body: '<applications><versions__delta>1</versions__delta></applications>' },
  { type: 'application/json', body: '{"status":"UP"}' },
]

/** Puts a front before a server. */
export const frontOf = async (upstream: ServerAddress): Promise<Front> => {
  const agent = new Agent({ keepAlive: true })
  const sockets = new Set<Socket>()
  const puts = new Map<string, number[]>()
  let questions = 0
  const server = createServer((incoming, outgoing) => {
    questions++
    const { method = '', url = '', headers } = incoming
    if (front.garbling) {
      incoming.resume()
      const { type, body } = NONSENSE[questions % NONSENSE.length] as (typeof NONSENSE)[number]
      outgoing.writeHead(200, { 'content-type': type }).end(body)
      return
    }
    if (method === 'PUT') {
      const path = url.split('?')[0] as string
      puts.set(path, [...(puts.get(path) ?? []), performance.now()])
    }
    const onward = send({ host: upstream.host, port: upstream.port, method, path: url, headers, agent }, (answer) => {
      outgoing.writeHead(answer.statusCode ?? 502, answer.headers)
      answer.pipe(outgoing)
      answer.on('error', () => outgoing.destroy())
    })
    onward.on('error', () => outgoing.destroy())
    outgoing.on('close', () => {
      if (!outgoing.writableFinished) onward.destroy()
    })
    incoming.pipe(onward)
  })
  server.keepAliveTimeout = 60_000
  server.on('connection', (socket: Socket) => {
    sockets.add(socket)
    socket.on('error', () => {}).on('close', () => sockets.delete(socket))
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  const front: Front = {
    host: '127.0.0.1',
    port,
    garbling: false,
    get open() {
      return sockets.size
    },
    get questions() {
      return questions
    },
    puts: (path) => puts.get(path) ?? [],
    async refuse() {
      const closed = once(server, 'close')
      server.close()
      for (const socket of sockets) socket.destroy()
      await closed
    },
    async admit() {
      server.listen(port, '127.0.0.1')
      await once(server, 'listening')
    },
    async close() {
      if (server.listening) await front.refuse()
      agent.destroy()
    },
  }
  return front
}
