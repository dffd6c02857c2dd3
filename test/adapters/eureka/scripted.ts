// A server that answers as it is told to, in place of a Eureka.
import { once } from 'node:events'
import { createServer, type IncomingMessage } from 'node:http'
import type { AddressInfo } from 'node:net'

export interface Scripted {
  readonly url: string
  readonly asked: readonly {
    readonly method: string
    readonly path: string
    readonly headers: IncomingMessage['headers']
  }[]
  answer: (path: string, method: string) => Reply
  close(): Promise<void>
}

export interface Reply {
  readonly status?: number
  readonly body?: unknown
  readonly headers?: Readonly<Record<string, string>>
}

/** Starts it; `body` is text, bytes, or an object that is written as JSON. */
export const scripted = async (answer: Scripted['answer']): Promise<Scripted> => {
  const asked: { method: string; path: string; headers: IncomingMessage['headers'] }[] = []
  const server = createServer((request, response) => {
    const { method = '', url = '', headers } = request
    asked.push({ method, path: url, headers })
    request.resume()
    const { status = 200, body = '', headers: more } = result.answer(url, method)
    const bytes = typeof body === 'string' || Buffer.isBuffer(body) ? body : JSON.stringify(body)
    response.writeHead(status, { 'content-type': 'application/json', ...more }).end(bytes)
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const result: Scripted = {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/eureka`,
    asked,
    answer,
    async close() {
      server.closeAllConnections()
      if (server.listening) await new Promise((closed) => server.close(closed))
    },
  }
  return result
}
