import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { createGzip, gzipSync } from 'node:zlib'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { type HttpTransport, httpTransport } from '../../../src/adapters/http/transport.ts'
import { FailureAnswer } from '../../../src/core/answer.ts'
import { deadlineIn } from '../../../src/core/deadline.ts'
import { failedLine, itemLine } from '../../../src/core/http-wire.ts'
import { createError } from '../../../src/errors/classes.ts'
import { startCall } from '../../../src/policies/call.ts'
import { standard } from '../../../src/policies/standard.ts'
import { fakeClock } from '../../../src/testing/fake-clock.ts'
import { call, context, failure, operation, turns, until } from './support.ts'

let handle: (request: IncomingMessage, response: ServerResponse) => void
let server: Server
let transport: HttpTransport
let gone = 0

beforeEach(async () => {
  gone = 0
  server = createServer((request, response) => {
    response.once('close', () => {
      if (!response.writableFinished) gone++
    })
    handle(request, response)
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  transport = httpTransport({
    baseUrl: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    maxResponseBytes: 100_000,
    maxRequestBytes: 1_000,
  })
})
afterEach(async () => {
  server.closeAllConnections()
  await transport.close()
  server.close()
})

const NDJSON = { 'content-type': 'application/x-ndjson' }
const down = operation('GET /items', { streaming: 'server' })
const up = operation('POST /items', { streaming: 'client' })

async function all(items: unknown): Promise<unknown[]> {
  const got: unknown[] = []
  for await (const item of items as AsyncIterable<unknown>) got.push(item)
  return got
}

/** Whether what a context tracks is over. */
function watched(made: { readonly tracked: Promise<unknown> | undefined }): {
  readonly over: boolean
  readonly held: boolean
} {
  const state = { over: false, held: made.tracked !== undefined }
  made.tracked?.then(() => (state.over = true))
  return state
}

describe('a reply that streams', () => {
  it('is answered at its head and gives its items as they come', async () => {
    let send: ServerResponse | undefined
    handle = (_request, response) => {
      response.writeHead(200, NDJSON).write(itemLine({ n: 1 }))
      send = response
    }
    const { output } = await call(transport, down)
    const items = (output as AsyncIterable<unknown>)[Symbol.asyncIterator]()
    expect(await items.next()).toEqual({ done: false, value: { n: 1 } })
    const next = items.next()
    send?.write('{"n":')
    send?.write('2}\n\n')
    expect(await next).toEqual({ done: false, value: { n: 2 } })
    send?.end('{"n":3}')
    expect(await items.next()).toEqual({ done: false, value: { n: 3 } })
    expect(await items.next()).toEqual({ done: true, value: undefined })
  })

  it('is held until it was read to its end', async () => {
    handle = (_request, response) => void response.writeHead(200, NDJSON).end(itemLine(1) + itemLine(2))
    const { context: made } = context()
    const { output } = await transport.invoke(down, undefined, made)
    const state = watched(made)
    expect(state).toMatchObject({ held: true })
    expect(await all(output)).toEqual([1, 2])
    await until(() => state.over)
    expect(gone).toBe(0)
  })

  it('is let go when the caller leaves, and the connection with it', async () => {
    handle = (_request, response) => void response.writeHead(200, NDJSON).write(itemLine(1))
    const { context: made } = context()
    const { output } = await transport.invoke(down, undefined, made)
    const state = watched(made)
    for await (const item of output as AsyncIterable<unknown>) {
      expect(item).toBe(1)
      break
    }
    await until(() => state.over && gone === 1)
  })

  it('is let go when the caller leaves before the first item', async () => {
    handle = (_request, response) => void response.writeHead(200, NDJSON).write(itemLine(1))
    const { context: made } = context()
    const { output } = await transport.invoke(down, undefined, made)
    const state = watched(made)
    await (output as AsyncIterableIterator<unknown>).return?.()
    await until(() => state.over && gone === 1)
  })

  it('ends with its call when that is aborted', async () => {
    handle = (_request, response) => void response.writeHead(200, NDJSON).write(itemLine(1))
    const { context: made, abort } = context()
    const { output } = await transport.invoke(down, undefined, made)
    const items = (output as AsyncIterable<unknown>)[Symbol.asyncIterator]()
    await items.next()
    const reason = createError({ code: 'CANCELLED' })
    const next = items.next()
    abort(reason)
    expect(await failure(next)).toBe(reason)
    await until(() => gone === 1)
  })

  it('does not outlive its deadline, even when nobody reads it', async () => {
    const clock = fakeClock()
    const timed = httpTransport({ baseUrl: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, clock })
    handle = (_request, response) => void response.writeHead(200, NDJSON).write(itemLine(1))
    const { context: made } = context({ deadline: deadlineIn(300, clock) })
    const { output } = await timed.invoke(down, undefined, made)
    const state = watched(made)
    await clock.advance(299)
    expect(state.over).toBe(false)
    await clock.advance(1)
    await until(() => state.over && gone === 1)
    expect(await failure(all(output))).toMatchObject({ code: 'DEADLINE_EXCEEDED', effect: 'unknown' })
    await timed.close()
  })

  it('says what is wrong when it breaks off', async () => {
    handle = (_request, response) => {
      response.writeHead(200, NDJSON).write(itemLine(1), () => response.destroy())
    }
    const { output } = await call(transport, down)
    expect(await failure(all(output))).toMatchObject({ code: 'REPLY_TRUNCATED', effect: 'unknown', service: 'stock' })
  })

  it('ends with the failure or the problem that its last line says', async () => {
    handle = (_request, response) =>
      void response.writeHead(200, NDJSON).end(itemLine(1) + failedLine({ failure: 'sold', data: { left: 0 } }))
    const failed = await failure(all((await call(transport, down)).output))
    expect(failed).toBeInstanceOf(FailureAnswer)
    expect(failed).toMatchObject({ failure: 'sold', data: { left: 0 } })
    handle = (_request, response) =>
      void response.writeHead(200, NDJSON).end(failedLine({ type: 'urn:fairlead:TOO_MANY_REQUESTS', status: 429 }))
    expect(await failure(all((await call(transport, down)).output))).toMatchObject({
      code: 'TOO_MANY_REQUESTS',
      service: 'stock',
    })
  })

  it('is refused where an item is no JSON, or too large', async () => {
    handle = (_request, response) => void response.writeHead(200, NDJSON).end('{"n":')
    expect(await failure(all((await call(transport, down)).output))).toMatchObject({
      code: 'REPLY_UNDECODABLE',
      effect: 'done',
    })
    handle = (_request, response) => void response.writeHead(200, NDJSON).end(`"${'x'.repeat(200_000)}"`)
    expect(await failure(all((await call(transport, down)).output))).toMatchObject({ code: 'REPLY_TOO_LARGE' })
  })

  it('may be compressed; a bomb does not get further than one item', async () => {
    handle = (_request, response) => {
      const gzip = createGzip()
      gzip.pipe(response.writeHead(200, { ...NDJSON, 'content-encoding': 'gzip' }))
      gzip.write(itemLine(1))
      gzip.end(itemLine(2))
    }
    expect(await all((await call(transport, down)).output)).toEqual([1, 2])
    handle = (_request, response) =>
      void response.writeHead(200, { ...NDJSON, 'content-encoding': 'gzip' }).end(gzipSync('x'.repeat(20_000_000)))
    expect(await failure(all((await call(transport, down)).output))).toMatchObject({ code: 'REPLY_TOO_LARGE' })
    handle = (_request, response) =>
      void response.writeHead(200, { ...NDJSON, 'content-encoding': 'gzip' }).end('no gzip at all')
    expect(await failure(all((await call(transport, down)).output))).toMatchObject({ code: 'REPLY_UNDECODABLE' })
  })

  it('that is compressed is left at once where an item is no JSON, although more could come', async () => {
    handle = (_request, response) => {
      response.writeHead(200, { ...NDJSON, 'content-encoding': 'gzip' })
      const gzip = createGzip()
      gzip.pipe(response)
      gzip.write('1\n{\n')
      gzip.flush()
    }
    const made = context().context
    const { output } = await transport.invoke(down, undefined, made)
    const state = watched(made)
    expect(await failure(all(output))).toMatchObject({ code: 'REPLY_UNDECODABLE', effect: 'done' })
    await until(() => state.over && gone === 1)
  })

  it('does not race ahead of a slow reader', async () => {
    let written = 0
    handle = (_request, response) => {
      response.writeHead(200, NDJSON)
      const line = itemLine('x'.repeat(10_000))
      const more = (): void => {
        while (written < 5_000) {
          written++
          if (!response.write(line)) return void response.once('drain', more)
        }
        response.end()
      }
      more()
    }
    const { output } = await call(transport, down)
    const items = (output as AsyncIterable<unknown>)[Symbol.asyncIterator]()
    await items.next()
    let before = -1
    while (before !== written) {
      before = written
      for (let n = 0; n < 50; n++) await new Promise((resolve) => setImmediate(resolve))
    }
    // 50 MB in all; what socket buffers of both sides take is a few.
    expect(written).toBeLessThan(2_000)
    let read = 1
    while (!(await items.next()).done) read++
    expect(read).toBe(5_000)
  })

  it('that is no stream is read as any other reply', async () => {
    handle = (_request, response) => void response.writeHead(503, { 'content-type': 'application/json' }).end('{}')
    expect(await failure(call(transport, down))).toMatchObject({ code: 'UNAVAILABLE' })
  })
})

describe('a request that streams', () => {
  const read = async (request: IncomingMessage): Promise<string> => {
    let text = ''
    for await (const chunk of request) text += chunk
    return text
  }

  it('sends its items line by line', async () => {
    let type: string | undefined
    let got = ''
    handle = async (request, response) => {
      type = request.headers['content-type']
      got = await read(request)
      response.writeHead(200, { 'content-type': 'application/json' }).end('{"count":2}')
    }
    const items = async function* (): AsyncGenerator<unknown> {
      yield { n: 1 }
      yield 'two\nlines'
    }
    expect((await call(transport, up, items())).output).toEqual({ count: 2 })
    expect(type).toBe('application/x-ndjson')
    expect(got).toBe('{"n":1}\n"two\\nlines"\n')
  })

  it('fails with what its own source threw', async () => {
    handle = (request) => void request.resume()
    const items = async function* (): AsyncGenerator<unknown> {
      yield 1
      throw new Error('no more')
    }
    const error = await failure(call(transport, up, items()))
    expect(error).toMatchObject({ effect: 'unknown', retryable: false })
    expect(error.cause).toMatchObject({ message: 'no more' })
  })

  it.each([null, undefined, 'text'])('fails at once with what is no Error: %s', async (thrown) => {
    handle = (request) => void request.resume()
    const items = async function* (): AsyncGenerator<unknown> {
      yield 1
      throw thrown
    }
    const error = await failure(call(transport, up, items()))
    expect(error).toMatchObject({ effect: 'unknown', retryable: false })
    await until(() => gone === 1)
  })

  it('tells the peer that it was broken off: over HTTP/2 it would look whole', async () => {
    let got = ''
    handle = (request) => void request.on('data', (chunk) => (got += chunk))
    const items = async function* (): AsyncGenerator<unknown> {
      yield 1
      throw new Error('no more')
    }
    await failure(call(transport, up, items()))
    await until(() => gone === 1)
    expect(got).toMatch(/^1\n!.*\n$/)
    expect(got).not.toContain('no more')
  })

  it('ends its source when the call is aborted', async () => {
    handle = (request) => void request.resume()
    let ended = false
    const items = async function* (): AsyncGenerator<unknown> {
      try {
        for (;;) {
          yield 'x'
          await new Promise((resolve) => setImmediate(resolve))
        }
      } finally {
        ended = true
      }
    }
    const { context: made, abort } = context()
    const work = failure(transport.invoke(up, items(), made))
    await until(() => made.effect === 'unknown')
    abort(createError({ code: 'CANCELLED' }))
    expect(await work).toMatchObject({ code: 'CANCELLED' })
    await until(() => ended)
  })

  it.each([
    [
      'the connection breaks',
      'CONNECTION_LOST',
      (request: IncomingMessage) => void request.once('data', () => request.destroy()),
    ],
    ['the attempt takes too long', 'ATTEMPT_TIMEOUT', (request: IncomingMessage) => void request.resume()],
    [
      'the peer is overloaded',
      'UNAVAILABLE',
      (request: IncomingMessage, response: ServerResponse) =>
        void request.once('data', () => response.writeHead(503).end()),
    ],
  ])('is sent once, although it could be repeated: %s', async (_what, code, behaviour) => {
    let requests = 0
    let pulled = 0
    handle = (request, response) => {
      requests++
      behaviour(request, response)
    }
    const items: AsyncIterable<unknown> = {
      [Symbol.asyncIterator]: () => ({
        next: async () => {
          await turns(1)
          return { done: false, value: pulled++ }
        },
        return: async () => ({ done: true, value: undefined }),
      }),
    }
    const shared = standard('stock', { retry: { backoffMs: 0 }, attemptTimeoutMs: 1_000 })
    const pipeline = shared.pipeline({}, (input: unknown, made) =>
      transport.invoke({ ...up, idempotent: true }, input, made),
    )
    const template = { service: 'stock', operation: 'get', idempotent: true, deadlineMs: 5_000, clock: shared.clock }
    const error = await failure(startCall(pipeline, template, items, undefined))
    expect(error).toMatchObject({ code, retryable: false, details: { stoppedBy: 'NOT_REPLAYABLE' } })
    expect(requests).toBe(1)
    expect(pulled).toBeGreaterThan(0)
  })

  it('refuses an item that is too large', async () => {
    handle = (request) => void request.resume()
    const items = async function* (): AsyncGenerator<unknown> {
      yield 'x'.repeat(2_000)
    }
    expect(await failure(call(transport, up, items()))).toMatchObject({ code: 'PAYLOAD_TOO_LARGE' })
  })

  it('and a reply that streams, at the same time', async () => {
    handle = async (request, response) => {
      response.writeHead(200, NDJSON)
      for await (const chunk of request) response.write(chunk)
      response.end()
    }
    const items = async function* (): AsyncGenerator<unknown> {
      for (let n = 0; n < 5; n++) yield n
    }
    expect(await all((await call(transport, operation('POST /items', { streaming: 'both' }), items())).output)).toEqual(
      [0, 1, 2, 3, 4],
    )
  })
})
