// The server adapter behind real sockets: node:http and node:http2.
import { createServer as createHttp, type Server } from 'node:http'
import { connect as connectHttp2, createServer as createHttp2, type Http2Server } from 'node:http2'
import { type AddressInfo, connect, type Socket } from 'node:net'
import { afterEach, describe, expect, it } from 'vitest'
import { z } from 'zod'
import {
  createServerAdapter,
  defineContract,
  type ServerAdapter,
  type ServerAdapterOptions,
} from '../../src/rpi/index.ts'

const Shop = defineContract('shop', {
  stock: { http: 'GET /stock/:sku', input: z.object({ sku: z.string() }), output: z.object({ level: z.number() }) },
  order: { http: 'POST /orders', input: z.object({ text: z.string() }), output: z.object({ length: z.number() }) },
  tail: { http: 'GET /tail', streaming: 'server', output: z.object({ n: z.number(), pad: z.string().optional() }) },
  sum: { streaming: 'client', input: z.object({ n: z.number() }), output: z.object({ sum: z.number() }) },
})

const running: (Server | Http2Server)[] = []
const sockets: Socket[] = []
afterEach(async () => {
  for (const socket of sockets.splice(0)) socket.destroy()
  for (const server of running.splice(0)) {
    if ('closeAllConnections' in server) server.closeAllConnections()
    await new Promise((resolve) => server.close(resolve))
  }
})

function adapterOf(own: Record<string, unknown> = {}, options: ServerAdapterOptions = {}): ServerAdapter {
  const handlers = {
    stock: ({ sku }: { sku: string }) => ({ level: sku.length }),
    order: ({ text }: { text: string }) => ({ length: text.length }),
    async *tail() {
      yield { n: 1 }
      yield { n: 2 }
    },
    async sum(items: AsyncIterable<{ n: number }>) {
      let sum = 0
      for await (const { n } of items) sum += n
      return { sum }
    },
    ...own,
  }
  return createServerAdapter(Shop, handlers as never, options)
}

async function listen(adapter: ServerAdapter, make: 'http' | 'http2' = 'http'): Promise<string> {
  const server = make === 'http' ? createHttp(adapter.node()) : createHttp2(adapter.node())
  running.push(server)
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`
}

/** Sends bytes, and gives what came back until the peer ended or `enough` is seen. */
async function raw(url: string, bytes: string, enough: RegExp = /$^/): Promise<string> {
  const { hostname, port } = new URL(url)
  const socket = connect(Number(port), hostname)
  sockets.push(socket)
  socket.write(bytes)
  return await new Promise((resolve) => {
    let text = ''
    socket.on('data', (chunk) => {
      text += chunk
      if (enough.test(text)) resolve(text)
    })
    socket.on('close', () => resolve(text))
    socket.on('error', () => resolve(text))
  })
}

async function until(condition: () => boolean): Promise<void> {
  while (!condition()) await new Promise((resolve) => setImmediate(resolve))
}

describe('over node:http', () => {
  it('answers', async () => {
    const url = await listen(adapterOf())
    const response = await fetch(`${url}/stock/${encodeURIComponent('a/b')}`)
    expect([response.status, response.headers.get('content-length'), await response.json()]).toEqual([
      200,
      '11',
      { level: 3 },
    ])
    const posted = await fetch(`${url}/orders`, {
      method: 'POST',
      body: JSON.stringify({ text: 'né' }),
      headers: { 'content-type': 'application/json' },
    })
    expect(await posted.json()).toEqual({ length: 2 })
    expect((await fetch(`${url}/nowhere`)).status).toBe(404)
    const head = await fetch(`${url}/stock/abc`, { method: 'HEAD' })
    expect([head.status, await head.text()]).toEqual([200, ''])
  })

  it('takes the whole URL as target, as proxies send it', async () => {
    const url = await listen(adapterOf())
    expect(
      await raw(url, 'GET http://shop.example/stock/abcd?x=1 HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n'),
    ).toContain('{"level":4}')
  })

  it('refuses what is too large, and the client sees the answer', async () => {
    let ran = 0
    const url = await listen(adapterOf({ order: () => ({ length: ++ran }) }, { maxBodyBytes: 1_000 }))
    const big = JSON.stringify({ text: 'x'.repeat(5_000) })
    const declared = await fetch(`${url}/orders`, {
      method: 'POST',
      body: big,
      headers: { 'content-type': 'application/json' },
    })
    expect([declared.status, ((await declared.json()) as { type: string }).type]).toEqual([
      413,
      'urn:fairlead:PAYLOAD_TOO_LARGE',
    ])
    const chunk = `${(2_000).toString(16)}\r\n${'x'.repeat(2_000)}\r\n`
    const streamed = await raw(
      url,
      `POST /orders HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n${chunk}`,
      /\r\n\r\n.+\}/,
    )
    expect(streamed).toMatch(/^HTTP\/1.1 413/)
    expect(ran).toBe(0)
  })

  it('does not read an endless body for ever', async () => {
    const url = await listen(adapterOf({}, { maxBodyBytes: 1_000 }))
    const { hostname, port } = new URL(url)
    const socket = connect(Number(port), hostname)
    sockets.push(socket)
    socket.on('error', () => {})
    socket.write(
      'POST /orders HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n',
    )
    const piece = `${(1_000).toString(16)}\r\n${'x'.repeat(1_000)}\r\n`
    let sent = 0
    let closed = false
    socket.on('close', () => {
      closed = true
    })
    socket.on('data', () => {})
    while (!closed && sent < 10_000) {
      socket.write(piece)
      sent++
      await new Promise((resolve) => setImmediate(resolve))
    }
    expect(closed).toBe(true)
    expect(sent).toBeLessThan(10_000)
  })

  it('keeps the connection after an answer that did not wait for the body', async () => {
    const url = await listen(adapterOf())
    const body = '{"text":"x"}'
    const one = `POST /nowhere HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: ${body.length}\r\n\r\n${body}`
    const two = 'GET /stock/abc HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n'
    const text = await raw(url, one + two)
    expect(text).toMatch(/^HTTP\/1.1 404/)
    expect(text).toContain('{"level":3}')
  })

  it('aborts the handler when the client has gone', async () => {
    let signal: AbortSignal | undefined
    const adapter = adapterOf({
      stock: (_: unknown, context: { signal: AbortSignal }) => {
        signal = context.signal
        return new Promise((_resolve, reject) =>
          context.signal.addEventListener('abort', () => reject(context.signal.reason)),
        )
      },
    })
    const url = await listen(adapter)
    const controller = new AbortController()
    const response = fetch(`${url}/stock/a`, { signal: controller.signal }).catch((error) => error.name)
    await until(() => signal !== undefined)
    controller.abort()
    expect(await response).toBe('AbortError')
    await until(() => signal?.aborted === true)
    expect(signal?.reason).toMatchObject({ code: 'CANCELLED' })
    await until(() => adapter.inFlight === 0)
  })

  it('does not run the handler for a body that was cut off', async () => {
    let ran = 0
    const errors: unknown[] = []
    const adapter = adapterOf({ order: () => ({ length: ++ran }) }, { onError: (error) => errors.push(error) })
    const url = await listen(adapter)
    const { hostname, port } = new URL(url)
    const socket = connect(Number(port), hostname)
    sockets.push(socket)
    socket.write(
      'POST /orders HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: 100\r\n\r\n{"text":"x"}',
    )
    await until(() => adapter.inFlight === 1)
    socket.destroy()
    await until(() => adapter.inFlight === 0)
    expect([ran, errors]).toEqual([0, []])
  })

  it('cannot be made to inject headers', async () => {
    const url = await listen(
      adapterOf({
        stock: (_: unknown, { setHeader }: any) => {
          setHeader('x-a', 'b\r\nset-cookie: a=1')
          return { level: 1 }
        },
      }),
    )
    const text = await raw(url, 'GET /stock/a%0d%0aset-cookie:a=1 HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n')
    expect(text).toMatch(/^HTTP\/1.1 500/)
    expect(text.toLowerCase()).not.toContain('set-cookie')
  })

  it('streams answers as they come, and minds who reads slowly', async () => {
    let made = 0
    let ended = false
    const adapter = adapterOf({
      async *tail() {
        try {
          for (; made < 5_000; made++) yield { n: made, pad: 'x'.repeat(10_000) }
        } finally {
          ended = true
        }
      },
    })
    const url = await listen(adapter)
    const response = await fetch(`${url}/tail`)
    const reader = (response.body as ReadableStream<Uint8Array>).getReader()
    expect(Buffer.from((await reader.read()).value as Uint8Array).toString()).toMatch(/^\{"n":0/)
    let before = -1
    // Nobody reads: it stops once the buffers are full.
    while (before !== made) {
      before = made
      for (let turn = 0; turn < 50; turn++) await new Promise((resolve) => setImmediate(resolve))
    }
    expect(made).toBeLessThan(5_000)
    await reader.cancel()
    await until(() => ended && adapter.inFlight === 0)
  })

  it('takes streams', async () => {
    const url = await listen(adapterOf())
    const body = new ReadableStream({
      async start(controller) {
        for (const line of ['{"n":1}\n{"n"', ':2}\n', '{"n":3}']) {
          controller.enqueue(Buffer.from(line))
          await new Promise((resolve) => setImmediate(resolve))
        }
        controller.close()
      },
    })
    const response = await fetch(`${url}/shop/sum`, {
      method: 'POST',
      body,
      duplex: 'half',
      headers: { 'content-type': 'application/x-ndjson' },
    } as RequestInit)
    expect(await response.json()).toEqual({ sum: 6 })
  })

  it('answers although the handler left its stream early, and keeps the connection', async () => {
    const url = await listen(
      adapterOf({
        async sum(items: AsyncIterable<{ n: number }>) {
          for await (const { n } of items) return { sum: n }
          return { sum: 0 }
        },
      }),
    )
    // Half of the body is sent only after the answer has come.
    const body = Array.from({ length: 20 }, (_, n) => `{"n":${n + 7}}\n`).join('')
    const { hostname, port } = new URL(url)
    const socket = connect(Number(port), hostname)
    sockets.push(socket)
    let text = ''
    let closed = false
    socket.on('data', (chunk) => {
      text += chunk
    })
    socket.on('close', () => {
      closed = true
    })
    socket.on('error', () => {})
    socket.write(
      `POST /shop/sum HTTP/1.1\r\nhost: x\r\ncontent-type: application/x-ndjson\r\ncontent-length: ${body.length}\r\n\r\n${body.slice(0, 60)}`,
    )
    await until(() => text.includes('{"sum":7}') || closed)
    socket.write(`${body.slice(60)}GET /stock/abc HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n`)
    await until(() => closed)
    expect(text).toContain('{"sum":7}')
    expect(text).toContain('{"level":3}')
  })

  it('closes gracefully: 503 and connection: close for newcomers, an answer for those under way', async () => {
    let finish: (value: unknown) => void = () => {}
    const adapter = adapterOf({ stock: () => new Promise((resolve) => (finish = resolve)) })
    const url = await listen(adapter)
    const underWay = fetch(`${url}/stock/a`)
    await until(() => adapter.inFlight === 1)
    const closing = adapter.close()
    const refused = await raw(url, 'GET /stock/b HTTP/1.1\r\nhost: x\r\n\r\n')
    expect(refused).toMatch(/^HTTP\/1.1 503/)
    expect(refused.toLowerCase()).toMatch(/retry-after: 1\r\n/)
    expect(refused.toLowerCase()).toMatch(/connection: close\r\n/)
    finish({ level: 9 })
    expect(await (await underWay).json()).toEqual({ level: 9 })
    await closing
  })
})

describe('over node:http2', () => {
  it('answers, without a header that HTTP/2 forbids, and hears of a reset', async () => {
    let aborted = false
    const adapter = adapterOf({
      tail: async function* (_: unknown, { signal }: { signal: AbortSignal }) {
        signal.addEventListener('abort', () => {
          aborted = true
        })
        yield { n: 1 }
        await new Promise(() => {})
      },
    })
    const warnings: Error[] = []
    const warn = (warning: Error): void => void warnings.push(warning)
    process.on('warning', warn)
    const session = connectHttp2(await listen(adapter, 'http2'))
    const ask = (headers: Record<string, string>, body?: string): Promise<[unknown, string]> =>
      new Promise((resolve, reject) => {
        const stream = session.request(headers, { endStream: body === undefined })
        let status: unknown
        let text = ''
        stream.on('response', (head) => {
          status = head[':status']
        })
        stream.on('data', (chunk) => {
          text += chunk
        })
        stream.on('end', () => resolve([status, text]))
        stream.on('error', reject)
        if (body !== undefined) stream.end(body)
      })
    try {
      expect(await ask({ ':path': '/stock/abc' })).toEqual([200, '{"level":3}'])
      expect(
        await ask({ ':path': '/orders', ':method': 'POST', 'content-type': 'application/json' }, '{"text":"four"}'),
      ).toEqual([200, '{"length":4}'])
      const stream = session.request({ ':path': '/tail' })
      await new Promise((resolve) => stream.once('data', resolve))
      stream.on('error', () => {})
      stream.close(8)
      await until(() => aborted && adapter.inFlight === 0)
      void adapter.close()
      expect((await ask({ ':path': '/stock/abc' }))[0]).toBe(503)
      await new Promise((resolve) => setImmediate(resolve))
      expect(warnings.filter(({ message }) => /connection/i.test(message))).toEqual([])
    } finally {
      process.off('warning', warn)
      session.destroy()
    }
  })
})
