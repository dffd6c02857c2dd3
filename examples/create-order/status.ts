// GET /orders/:id, for clients that ask again and again: how soon (`Retry-After`), and nothing to read where nothing has changed (304).
import type { IncomingMessage, ServerResponse } from 'node:http'
import { createError, isFairleadError, toProblem } from 'fairlead/errors'
import { isOver, type StatesOf } from './order-states.ts'

const ASK_AGAIN_AFTER = '1' // seconds

export async function answerStatus(
  orderId: string,
  statesOf: StatesOf,
  request: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  const state = (await statesOf(orderId, 0)).at(-1)
  if (state === undefined) throw noSuchOrder(orderId)
  const etag = `"${state.version}"`
  response.setHeader('etag', etag)
  response.setHeader('cache-control', 'no-cache') // kept, but asked about each time
  if (!isOver(state)) response.setHeader('retry-after', ASK_AGAIN_AFTER)
  const known = request.headers['if-none-match']?.split(',').map((tag) => tag.trim().replace(/^W\//, '')) ?? []
  if (known.includes(etag) || known.includes('*')) return void response.writeHead(304).end()
  const { status, reason } = state
  response.writeHead(200, { 'content-type': 'application/json' }).end(JSON.stringify({ orderId, status, reason }))
}

export const noSuchOrder = (orderId: string): Error =>
  createError({ code: 'NOT_FOUND', message: `there is no order ${orderId}`, stack: false })

/** Answers with what went wrong (RFC 9457). */
export function answerProblem(response: ServerResponse, error: unknown): void {
  if (response.headersSent) return void response.destroy()
  const { status, headers, body } = toProblem(error, { expose: isFairleadError(error), effect: 'none' })
  response.writeHead(status, headers).end(JSON.stringify(body))
}
