// Every fault that a push can meet, and what the verdict says of it: none without a code, and the effect as far as it can be known.
import { createServer } from 'node:http'
import { afterEach, describe, expect, it } from 'vitest'
import { type HttpPushOptions, httpPushTransport } from '../../../src/adapters/http-push/index.ts'
import type { Delivery } from '../../../src/core/contracts/transport.ts'
import type { Code, Effect } from '../../../src/errors/index.ts'
import { type Behaviour, createFaultServer, fault, refusedPort } from '../../../src/testing/fault-server/index.ts'
import { Closing, envelope, errorOf, inbox, listening, queue, shut, until, url as urlOf, within } from './support.ts'

const closing = new Closing()
afterEach(() => closing.end())

// A pause never fits: the first failure is the verdict.
const once: HttpPushOptions = { random: () => 1, retryBaseMs: 3_600_000, retryMaxMs: 3_600_000 }
const sender = (url: string, options: HttpPushOptions = {}) =>
  closing.add(httpPushTransport({ ...once, subscribers: { mails: url }, ...options }))
const send = (transport: ReturnType<typeof sender>, id: string = '1', more = {}) =>
  transport.send(queue('mails'), [envelope(id, more)], within(10_000).context)

type Row = readonly [
  name: string,
  behaviour: Behaviour,
  code: Code | 'accepted',
  effect: Effect | 'either',
  transient: boolean,
  dead?: boolean,
]

const rows: readonly Row[] = [
  ['reset at accept', fault.resetAtAccept(), 'CONNECTION_LOST', 'either', true],
  ['closed at accept', fault.finAtAccept(), 'CONNECTION_LOST', 'either', true],
  ['silent from the start', fault.hangAtAccept(), 'ATTEMPT_TIMEOUT', 'unknown', true],
  ['reset at the first byte', fault.resetAtBytes(), 'CONNECTION_LOST', 'unknown', true],
  ['reset in mid-publish', fault.resetInRequest({ afterBodyBytes: 2 }), 'CONNECTION_LOST', 'unknown', true],
  ['reset in mid-handler', fault.resetAfterRequest(), 'CONNECTION_LOST', 'unknown', true],
  ['closed in mid-handler', fault.finBeforeHead(), 'CONNECTION_LOST', 'unknown', true],
  ['silent in mid-handler', fault.hangBeforeHead(), 'ATTEMPT_TIMEOUT', 'unknown', true],
  ['an acknowledgement whose body is cut off', fault.truncatedBody(), 'accepted', 'done', false],
  ['an acknowledgement whose body never ends', fault.hangInBody(), 'accepted', 'done', false],
  ['an acknowledgement with megabytes behind it', fault.hugeBody(), 'accepted', 'done', false],
  ['permission refused (401)', fault.status(401), 'UNAUTHENTICATED', 'none', false, true],
  ['permission refused (403)', fault.status(403), 'FORBIDDEN', 'none', false, true],
  ['no such place (404)', fault.status(404), 'NOT_FOUND', 'none', false, true],
  ['subscription over (410)', fault.status(410), 'CHANNEL_NOT_FOUND', 'none', false],
  ['not now (409)', fault.status(409), 'CONFLICT', 'none', false, true],
  ['too large for a stranger (413)', fault.status(413), 'UNPROCESSABLE', 'none', false, true],
  ['too many headers (431)', fault.status(431), 'BAD_REQUEST', 'none', false, true],
  ['too slow (408)', fault.status(408), 'REQUEST_TIMEOUT', 'none', true],
  ['too many (429)', fault.retryAfter(3_600, { status: 429 }), 'TOO_MANY_REQUESTS', 'none', true],
  ['overloaded (503)', fault.retryAfter(3_600), 'UNAVAILABLE', 'unknown', true],
  ['broken (500)', fault.status(500), 'SERVER_ERROR', 'unknown', true],
  ['gateway (502)', fault.status(502), 'BAD_GATEWAY', 'unknown', true],
  ['gateway (504)', fault.status(504), 'GATEWAY_TIMEOUT', 'unknown', true],
  ['cannot (501)', fault.status(501), 'NOT_SUPPORTED', 'unknown', false, true],
  [
    'elsewhere (302)',
    fault.status(302, { headers: { location: '/x' } }),
    'UNEXPECTED_REDIRECT',
    'unknown',
    false,
    true,
  ],
  ['not HTTP', fault.notHttp(), 'PROTOCOL_VIOLATION', 'unknown', false],
  ['a bad status line', fault.badStatusLine(), 'PROTOCOL_VIOLATION', 'unknown', false],
  ['a bad header', fault.badHeader(), 'PROTOCOL_VIOLATION', 'unknown', false],
  ['lengths that contradict each other', fault.conflictingLengths(), 'PROTOCOL_VIOLATION', 'unknown', false],
  ['headers without end', fault.oversizedHeaders(), 'REPLY_TOO_LARGE', 'unknown', false],
]

describe('one fault, one verdict', () => {
  const cases = rows.map(([name, behaviour, code, effect, transient, dead = false]) => ({
    name,
    behaviour,
    code,
    effect,
    transient,
    dead,
  }))
  it.each(cases)('$name', async ({ behaviour, code, effect, transient, dead }) => {
    const server = closing.add(await createFaultServer({ behaviour }))
    const transport = sender(server.url, { attemptTimeoutMs: 1_000 })
    const [result] = await send(transport)
    if (code === 'accepted') {
      expect(result).toEqual({ status: 'accepted' })
      return
    }
    expect(errorOf(result)).toMatchObject({ code, transient, channel: 'mails', transport: 'http-push' })
    // Cut at connect, it depends on the moment whether the request had been written.
    expect(effect === 'either' ? ['none', 'unknown'] : [effect]).toContain(errorOf(result).effect)
    let letters = 0
    for await (const _letter of transport.deadLetters?.list(queue('mails'), { limit: 9 }) ?? []) letters++
    expect(letters).toBe(dead ? 1 : 0)
    expect(server.seen.requests()).toBeLessThanOrEqual(1)
  })

  it.each([
    ['expired', 'CERTIFICATE_INVALID'],
    ['self-signed', 'CERTIFICATE_INVALID'],
  ] as const)('a certificate that proves nothing (%s): nothing was sent', async (tls, code) => {
    const server = closing.add(await createFaultServer({ tls }))
    expect(errorOf((await send(sender(server.url)))[0])).toMatchObject({ code, effect: 'none', transient: false })
    expect(server.seen.requests()).toBe(0)
  })

  it('a port that refuses, and a name that is not there: nothing was sent', async () => {
    const down = await refusedPort()
    closing.later(() => down.close())
    expect(errorOf((await send(sender(`http://127.0.0.1:${down.port}`)))[0])).toMatchObject({
      code: 'CONNECTION_REFUSED',
      effect: 'none',
      transient: true,
    })
    const [unknown] = await send(sender('http://no-such-host.invalid'))
    expect(errorOf(unknown)).toMatchObject({ effect: 'none', transient: true })
    expect(errorOf(unknown).code).toMatch(/^NAME_/)
  })

  it('what HTTP cannot carry is the caller’s own fault, found here', async () => {
    const server = closing.add(await createFaultServer())
    const transport = sender(server.url, { headers: () => ({ 'x-a': 'b\r\nx-evil: 1' }) })
    expect(errorOf((await send(transport))[0])).toMatchObject({
      code: 'INVALID_REQUEST',
      effect: 'none',
      transient: false,
    })
    expect(server.seen.requests()).toBe(0)
  })
})

describe('a server that comes and goes', () => {
  it('stopped and started again: refused meanwhile, accepted after it', async () => {
    const server = closing.add(await createFaultServer())
    const transport = sender(server.url)
    expect(await send(transport, '1')).toEqual([{ status: 'accepted' }])
    await server.refuse()
    const [down] = await send(transport, '2')
    // A kept connection may be found closed only after the request was written to it.
    expect(['CONNECTION_REFUSED', 'CONNECTION_LOST']).toContain(errorOf(down).code)
    expect(errorOf(down).transient).toBe(true)
    await server.listen()
    expect(await send(transport, '2')).toEqual([{ status: 'accepted' }])
  })

  it('a connection that was closed while it was idle costs a try, not a message', async () => {
    const server = closing.add(await createFaultServer({ behaviour: fault.status(204) }))
    const transport = sender(server.url, { random: () => 0 })
    server.next(fault.staleKeepAlive({ when: 'on-reuse' }))
    for (const id of ['1', '2', '3']) expect(await send(transport, id)).toEqual([{ status: 'accepted' }])
  })

  it('tried again inside the deadline, over every kind of trouble, until it is taken', async () => {
    const server = closing.add(await createFaultServer({ behaviour: fault.status(204) }))
    server.next(
      fault.resetAfterRequest(),
      fault.status(503),
      fault.finBeforeHead(),
      fault.hangBeforeHead(),
      fault.status(429),
    )
    const transport = sender(server.url, { random: () => 0, attemptTimeoutMs: 1_000 })
    expect(await send(transport)).toEqual([{ status: 'accepted' }])
    expect(server.requests.map(({ headers }) => headers['fairlead-redeliveries'])).toEqual([
      '0',
      '1',
      '2',
      '3',
      '4',
      '4',
    ])
  })
})

describe('a receiver of fairlead', () => {
  const receiving = async (options: HttpPushOptions = {}) => {
    const transport = httpPushTransport(options)
    const server = createServer(transport.node())
    await listening(server)
    closing.later(() => shut(server))
    closing.add(transport)
    return { transport, server, url: urlOf(server) }
  }

  it('whose server goes down in mid-handler: nobody knows, and the handler has lost its right', async () => {
    const { transport, server, url } = await receiving()
    const { deliveries } = await inbox(transport, { channel: queue('mails') }, () => {})
    const sent = send(sender(url))
    await until(() => deliveries.length === 1)
    const [held] = deliveries as [Delivery]
    const lost = new Promise<void>((resolve) => void held.onLost(resolve))
    server.closeAllConnections()
    expect(errorOf((await sent)[0])).toMatchObject({ code: 'CONNECTION_LOST', effect: 'unknown', transient: true })
    await lost
    await expect(held.settle('ack')).rejects.toMatchObject({ code: 'LEASE_LOST' })
  })

  it('that has no such channel: CHANNEL_NOT_FOUND, no dead letter', async () => {
    const { url } = await receiving()
    const transport = sender(url)
    expect(errorOf((await send(transport))[0])).toMatchObject({
      code: 'CHANNEL_NOT_FOUND',
      effect: 'none',
      transient: false,
    })
    for await (const letter of transport.deadLetters?.list(queue('mails'), { limit: 9 }) ?? []) throw letter
  })

  it('that takes less than we send, and our own limit', async () => {
    const { transport: receiver, url } = await receiving({ maxPayloadBytes: 500 })
    await inbox(receiver, { channel: queue('mails') })
    const large = { text: JSON.stringify('x'.repeat(1_000)) }
    expect(errorOf((await send(sender(url), '1', large))[0])).toMatchObject({
      code: 'PAYLOAD_TOO_LARGE',
      effect: 'none',
      details: { status: 413 },
    })
    expect(errorOf((await send(sender(url, { maxPayloadBytes: 999 }), '1', large))[0])).toMatchObject({
      code: 'PAYLOAD_TOO_LARGE',
      effect: 'none',
    })
  })

  it('that is closing: told to come again, and nothing was handed out', async () => {
    const { transport: receiver, url } = await receiving()
    await receiver.close()
    const [result] = await sender(url).send(queue('mails'), [envelope('1')], within(900).context)
    expect(errorOf(result)).toMatchObject({
      code: 'UNAVAILABLE',
      effect: 'none',
      transient: true,
    })
  })
})
