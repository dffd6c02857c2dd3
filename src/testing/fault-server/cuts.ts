// Requests and answers that break off: the connection ends before, in or after the request, or in the body of the answer.
import type { AnyFault } from './answers.ts'
import type { RequestFault } from './behaviour.ts'

/** Reads the whole request, then breaks the connection (RST): the work may have been done, the answer is lost. */
export function resetAfterRequest(): AnyFault {
  return {
    level: 'request',
    protocol: 'any',
    name: 'resetAfterRequest',
    run: async (exchange) => exchange.reset(),
  }
}

/** Reads the head and so many bytes of the body, then breaks the connection (RST) in the middle. Default: 1 byte. */
export function resetInRequest(options: { afterBodyBytes?: number | undefined } = {}): AnyFault {
  return {
    level: 'request',
    protocol: 'any',
    name: 'resetInRequest',
    readBody: options.afterBodyBytes ?? 1,
    run: async (exchange) => exchange.reset(),
  }
}

/** Reads the whole request, then closes the connection (FIN) without a byte of answer. */
export function finBeforeHead(): AnyFault {
  return {
    level: 'request',
    protocol: 'any',
    name: 'finBeforeHead',
    run: async (exchange) => exchange.fin(),
  }
}

/**
 * 200 that promises more body than it sends: `sentBytes` of `bytes` (default 10 of 100), then FIN, or with `by: 'reset'` RST.
 */
export function truncatedBody(
  options: { bytes?: number | undefined; sentBytes?: number | undefined; by?: 'fin' | 'reset' | undefined } = {},
): AnyFault {
  return {
    level: 'request',
    protocol: 'any',
    name: 'truncatedBody',
    async run(exchange) {
      await exchange.begin(200, { 'content-type': 'text/plain' }, options.bytes ?? 100)
      await exchange.write('x'.repeat(options.sentBytes ?? 10))
      if (options.by === 'reset') exchange.reset()
      else exchange.fin()
    },
  }
}

/** A request behaviour of HTTP/1 only. */
export type Http1Fault = Extract<RequestFault, { protocol: 'h1' }>

/** 200 in chunks whose last, empty chunk never comes: two whole chunks, then FIN, or with `by: 'reset'` RST. */
export function truncatedChunks(options: { by?: 'fin' | 'reset' | undefined } = {}): Http1Fault {
  return {
    level: 'request',
    protocol: 'h1',
    name: 'truncatedChunks',
    async run(exchange) {
      await exchange.begin(200, { 'content-type': 'text/plain' })
      await exchange.write('first')
      await exchange.write('second')
      if (options.by === 'reset') exchange.reset()
      else exchange.fin()
    },
  }
}
