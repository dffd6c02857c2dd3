// GET /orders/:id/events, for clients that want to be told: server-sent events (WHATWG HTML, 9.2), what is known first. A message of the topic only says
// that there is something to read: each state is sent once and in order, whatever becomes of messages on the way.
import type { IncomingMessage, ServerResponse } from 'node:http'
import { createConsumer } from 'fairlead'
import type { MessageTransport } from 'fairlead/core'
import { OrderEvents } from './channels.ts'
import { isOver, type StatesOf } from './order-states.ts'
import { noSuchOrder } from './status.ts'

/** `heartbeatMs`: so often something is sent, as proxies cut what is silent, and the states are read, should a message have been lost. Default 15,000. */
export async function createNotifier(transport: MessageTransport, statesOf: StatesOf, heartbeatMs = 15_000) {
  const watching = new Map<string, Set<() => void>>()
  const open = new Set<ServerResponse>()
  // Without a group: every instance gets every message, as each has clients of its own.
  const consumer = createConsumer({
    ...{ transport, channel: OrderEvents },
    handlers: {
      'order.moved': ({ data }) => {
        for (const look of watching.get(data.orderId) ?? []) look()
      },
    },
  })
  await consumer.start()

  async function answerEvents(orderId: string, request: IncomingMessage, response: ServerResponse): Promise<void> {
    const last = (await statesOf(orderId, 0)).at(-1)
    if (last === undefined) throw noSuchOrder(orderId)
    if (response.destroyed) return // the client has gone meanwhile
    const named = Number(request.headers['last-event-id'])
    let seen = named <= last.version ? named : 0
    // A client comes back whenever a stream ends; this tells it that there is nothing more to come for.
    if (isOver(last) && seen === last.version) return void response.writeHead(204).end()
    response.writeHead(200, { 'content-type': 'text/event-stream', 'cache-control': 'no-store' })
    const write = (text: string): void => {
      if (!response.writableEnded) response.write(text)
    }
    const read = async (): Promise<void> => {
      for (const state of await statesOf(orderId, seen)) {
        const { version, status, reason } = state
        seen = version
        write(`id: ${version}\nevent: status\ndata: ${JSON.stringify({ orderId, status, reason })}\n\n`)
        if (isOver(state)) response.end()
      }
    }
    // One after another: two at once would send a state twice. What cannot be read now is read with the next heartbeat.
    let reading = Promise.resolve()
    const look = (): void => {
      reading = reading.then(read).catch(() => {})
    }
    const heart = setInterval(() => {
      write(': still here\n\n')
      look()
    }, heartbeatMs)
    const looks = watching.get(orderId) ?? new Set()
    watching.set(orderId, looks.add(look))
    open.add(response)
    response.once('close', () => {
      clearInterval(heart)
      open.delete(response)
      if (looks.delete(look) && looks.size === 0) watching.delete(orderId)
    })
    look()
  }

  return {
    answerEvents,
    /** How many are told at the moment. */
    watched: (): number => open.size,
    async close() {
      for (const response of open) response.end() // they come back, with Last-Event-ID, to another instance
      await consumer.close()
    },
  }
}
