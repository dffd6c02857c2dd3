// What the services of the demo have in common: a port, counters, and a lever by which the demo breaks them.
import { createServer, type RequestListener, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'

/** All that takes time in the demo, milliseconds. `PACE=4` gives everything four times as much: for machines that are busy with other things. */
export const paced = (ms: number): number => ms * Number(process.env['PACE'] ?? 1)

/** How a service behaves just now. */
export interface Mood {
  /** Wait so long before working. */
  readonly delayMs?: number
  /** Answer 500 to everything. */
  readonly failing?: boolean
  /** Close the port. */
  readonly down?: boolean
  /** For the order service: circuits as new. */
  readonly reset?: boolean
  /** For the order service: commit, and let the messages lie. */
  readonly holdRelay?: boolean
  /** For the warehouse: kill -9 in the middle of handling so many messages from now. */
  readonly dieAfter?: number
}

/** What a service saw, counted there. */
export interface Seen {
  readonly requests: number
  readonly peak: number
  readonly [what: string]: number
}

export type Ask = { readonly mood: Mood } | { readonly seen: 'and forget' | 'and keep' }

/** Runs a service in this process: listens, counts, obeys the demo. */
export async function runService(
  listener: RequestListener,
  own: {
    mood?: (mood: Mood) => void | Promise<void>
    seen?: () => Record<string, number>
    /** Default 127.0.0.1. */
    host?: string | undefined
    /** The one it had before it was killed. Default: any. */
    port?: number | undefined
    /** Once it listens. */
    announce?: (host: string, port: number) => Promise<void>
  } = {},
): Promise<void> {
  let mood: Mood = {}
  let requests = 0
  let inFlight = 0
  let peak = 0
  const server: Server = createServer((request, response) => {
    requests++
    peak = Math.max(peak, ++inFlight)
    response.once('close', () => inFlight--)
    const { delayMs, failing } = mood
    const work = (): void => {
      if (failing) response.writeHead(500).end()
      else listener(request, response)
    }
    if (delayMs === undefined) work()
    else setTimeout(work, delayMs)
  })
  const { host = '127.0.0.1' } = own
  await new Promise<void>((ready) => server.listen(own.port ?? 0, host, ready))
  const { port } = server.address() as AddressInfo
  process.on('message', async (ask: Ask) => {
    if ('mood' in ask) {
      mood = ask.mood
      await own.mood?.(mood)
      if (mood.down && server.listening) {
        const closed = new Promise((done) => server.close(done))
        server.closeAllConnections()
        await closed
      }
      if (!mood.down && !server.listening) await new Promise<void>((ready) => server.listen(port, host, ready))
      process.send?.({})
    } else {
      process.send?.({ requests, peak, ...own.seen?.() })
      if (ask.seen === 'and forget') requests = peak = 0
    }
  })
  process.on('disconnect', () => process.exit())
  await own.announce?.(host, port)
  process.send?.({ host, port })
}
