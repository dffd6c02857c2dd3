// A Consul agent that says what a test tells it to: for answers that a real one gives seldom, and for time on a clock that stands still.
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo, Socket } from 'node:net'

/** One question, held until it is answered. */
export interface Question {
  readonly method: string
  readonly path: string
  readonly query: URLSearchParams
  readonly headers: IncomingMessage['headers']
  readonly body: any
  answer(status: number, body: unknown, headers?: Readonly<Record<string, string>>): void
  /** As /v1/health/service does. */
  entries(index: string | undefined, entries: unknown, headers?: Readonly<Record<string, string>>): void
  /** Ends its connection. */
  drop(): void
}

/** The agent. */
export interface ScriptedAgent {
  readonly url: string
  readonly questions: readonly Question[]
  readonly connections: () => number
  /** The next question that nobody has taken yet. */
  next(): Promise<Question>
  close(): Promise<void>
}

/** Lets the event loop turn until something holds. */
export const until = async (holds: () => boolean): Promise<void> => {
  while (!holds()) await new Promise((resolve) => setImmediate(resolve))
}

/** Starts one. */
export const scriptedAgent = async (): Promise<ScriptedAgent> => {
  const questions: Question[] = []
  const sockets = new Set<Socket>()
  let taken = 0
  const questionOf = (incoming: IncomingMessage, outgoing: ServerResponse, text: string): Question => {
    const url = new URL(incoming.url ?? '/', 'http://agent')
    const answer: Question['answer'] = (status, body, headers = {}) => {
      outgoing.writeHead(status, { 'content-type': 'application/json', ...headers })
      outgoing.end(typeof body === 'string' ? body : JSON.stringify(body))
    }
    return {
      method: incoming.method ?? '',
      path: url.pathname,
      query: url.searchParams,
      headers: incoming.headers,
      body: text === '' ? undefined : JSON.parse(text),
      answer,
      entries: (index, entries, headers = {}) =>
        answer(200, entries, { ...(index === undefined ? {} : { 'X-Consul-Index': index }), ...headers }),
      drop: () => outgoing.destroy(),
    }
  }
  const server = createServer((incoming, outgoing) => {
    let text = ''
    incoming.on('data', (piece) => (text += piece))
    incoming.on('end', () => questions.push(questionOf(incoming, outgoing, text)))
  })
  server.on('connection', (socket) => {
    sockets.add(socket)
    socket.on('error', () => {}).on('close', () => sockets.delete(socket))
  })
  await new Promise<void>((ready) => server.listen(0, '127.0.0.1', ready))
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    questions,
    connections: () => sockets.size,
    async next() {
      await until(() => questions.length > taken)
      return questions[taken++] as Question
    },
    async close() {
      for (const socket of sockets) socket.destroy()
      await new Promise((closed) => server.close(closed))
    },
  }
}

/** An entry of /v1/health/service. */
export const entry = (id: string, service: object = {}, checks: readonly object[] = [], node: object = {}): object => ({
  Node: {
    ID: 'aaaa',
    Node: 'node-1',
    Address: '10.0.0.1',
    Datacenter: 'dc1',
    Meta: null,
    TaggedAddresses: null,
    ...node,
  },
  Service: {
    ID: id,
    Service: 'web',
    Tags: [],
    Address: '10.1.0.1',
    Port: 8080,
    Weights: { Passing: 1, Warning: 1 },
    Meta: {},
    ...service,
  },
  Checks: [{ CheckID: 'serfHealth', Status: 'passing', Output: '' }, ...checks],
})
