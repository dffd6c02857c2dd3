// Recipe: one contract, over HTTP for those who are near and over a queue for those who can wait for a worker. The same handlers answer both.
import { createServer } from 'node:http'
import { createProxy, createServerAdapter, defineContract, httpTransport } from 'fairlead'
import type { MessageTransport } from 'fairlead/core'
import { messagingRpiTransport, serveOverMessaging } from 'fairlead/rpi-over-messaging'
import { z } from 'zod'

export const Thumbnails = defineContract('thumbnails', {
  make: {
    idempotent: true, // so that a request whose worker died is given to another one
    input: z.object({ url: z.url(), width: z.int() }),
    output: z.object({ bytes: z.int() }),
    failures: { notAnImage: z.object({ url: z.string() }) },
  },
})

export async function thumbnailService(transport: MessageTransport, port = 0) {
  const adapter = createServerAdapter(Thumbnails, {
    make: ({ url, width }, context) =>
      url.endsWith('.png') ? { bytes: width * 10 } : context.fail('notAnImage', { url }),
  })
  const server = createServer(adapter.node())
  await new Promise<void>((resolve) => server.listen(port, '127.0.0.1', resolve))
  const served = await serveOverMessaging(adapter, { transport, concurrency: 4 }) // queue: rpi.thumbnails
  const { port: at } = server.address() as { port: number }
  return { url: `http://127.0.0.1:${at}`, close: () => served.close().then(() => server.close()) }
}

export function thumbnailClients(url: string, transport: MessageTransport) {
  const http = httpTransport({ baseUrl: url })
  const queued = messagingRpiTransport({ transport })
  return {
    now: createProxy(Thumbnails, { transport: http, deadlineMs: 2_000 }),
    // It waits in the queue until a worker is free: an attempt has all the time that there is.
    whenFree: createProxy(Thumbnails, { transport: queued, deadlineMs: 60_000, attemptTimeoutMs: false }),
    close: () => Promise.all([http.close(), queued.close()]),
  }
}
