// How the services reach one another: over HTTP, with nothing in between. A broker knows who takes what; with one, its transport is all that is left of this file.
import { createServer, type RequestListener } from 'node:http'
import type { AddressInfo } from 'node:net'
import type { MessageTransport } from 'fairlead/core'
import { httpPushTransport } from 'fairlead/http-push'

export type Name = 'orders' | 'consumers' | 'restaurants'

/** Where they are at the moment. Discovery, or a file of configuration, would say it. */
export type Addresses = { [name in Name]?: string | undefined }

/** What a service sends and receives by. */
export interface Carrier {
  readonly transport: MessageTransport
  /** Takes what is pushed to `/messages`. */
  readonly listener?: RequestListener | undefined
}

// Who takes from which queue. `process.create-order` is where the process gets its replies.
const TAKEN_BY: Readonly<Record<string, Name>> = {
  'create-order': 'orders',
  'process.create-order': 'orders',
  'order-events': 'orders',
  consumers: 'consumers',
  restaurants: 'restaurants',
}

/** `secret`: known to the services and to nobody else. Clients reach the same port, and must not be able to say what only a service may: that an order is validated. */
export const overHttp =
  (secret: string) =>
  (at: Addresses): Carrier => {
    const transport = httpPushTransport({
      retryMaxMs: 1_000,
      signing: { secrets: secret }, // of what is sent; what comes unsigned is answered with 401
      subscribers: ({ kind, name }) => {
        const by = TAKEN_BY[name]
        if (by === undefined) return undefined
        const urls = at[by] === undefined ? [] : [`${at[by]}/messages`]
        return kind === 'topic' ? { '*': urls } : urls
      },
    })
    return { transport, listener: transport.node() }
  }

/** Serves messages and clients on one port. */
export async function listen(messages: RequestListener | undefined, clients?: RequestListener) {
  const server = createServer((request, response) => {
    const listener = request.url === '/messages' ? messages : clients
    if (listener === undefined) response.writeHead(404).end()
    else listener(request, response)
  })
  await new Promise<void>((ready) => server.listen(0, '127.0.0.1', ready))
  const close = (): Promise<unknown> => {
    const closed = new Promise((done) => server.close(done))
    server.closeAllConnections()
    return closed
  }
  return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, close }
}
