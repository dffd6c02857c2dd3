// Node's system errors and name lookups. Name servers are real sockets; what no socket of this machine can be made to do is a literal.
import { createSocket } from 'node:dgram'
import { promises as dns } from 'node:dns'
import { once } from 'node:events'
import http from 'node:http'
import type { LookupFunction } from 'node:net'
import { Agent, request } from 'undici'
import { describe, expect, test } from 'vitest'
import { classify } from '../../../src/errors/index.ts'
import { refusedPort } from '../../../src/testing/fault-server/index.ts'
import { type Expected, expectError } from './rows.ts'

const refused: Expected = { kind: 'crash', code: 'CONNECTION_REFUSED', effect: 'none', retry: 'always' }
const unreachable: Expected = { kind: 'crash', code: 'HOST_UNREACHABLE', effect: 'none', retry: 'always' }
const noName: Expected = { kind: 'crash', code: 'NAME_NOT_FOUND', effect: 'none', retry: 'always' }
const noAnswer: Expected = { kind: 'crash', code: 'NAME_LOOKUP_FAILED', effect: 'none', retry: 'always' }
const lost: Expected = { kind: 'omission', code: 'CONNECTION_LOST', effect: 'unknown', retry: 'idempotent' }
const exhausted: Expected = { kind: 'rejected', code: 'SELF_EXHAUSTED', effect: 'none', retry: 'always' }
const unknown = { effect: 'unknown', retry: 'idempotent' } as const
const permanent = { retry: 'never' } as const

const systemError = (code: string, syscall?: string): Error =>
  Object.assign(new Error(`${syscall ?? ''} ${code}`), { code, ...(syscall === undefined ? {} : { syscall }) })

/** Answers every question with this response code (RFC 1035, 4.1.1) and no answer; `undefined`: never answers. */
async function nameServer(rcode: number | undefined): Promise<{ readonly address: string; close(): Promise<void> }> {
  const socket = createSocket('udp4')
  socket.on('message', (question, from) => {
    if (rcode === undefined) return
    const reply = Buffer.from(question)
    reply.writeUInt16BE(0x8180 | rcode, 2)
    // No additional records; the client may have sent one (EDNS).
    reply.writeUInt16BE(0, 10)
    let end = 12
    while ((reply[end] ?? 0) > 0) end += (reply[end] ?? 0) + 1
    socket.send(reply.subarray(0, end + 5), from.port, from.address)
  })
  socket.bind(0, '127.0.0.1')
  await once(socket, 'listening')
  return {
    address: `127.0.0.1:${socket.address().port}`,
    close: () => new Promise((resolve) => socket.close(() => resolve())),
  }
}

function resolverAt(address: string): dns.Resolver {
  const resolver = new dns.Resolver({ timeout: 50, tries: 1 })
  resolver.setServers([address])
  return resolver
}

const thrownBy = (work: Promise<unknown>): Promise<unknown> =>
  work.then(
    () => {
      throw new Error('nothing was thrown')
    },
    (error: unknown) => error,
  )

describe('name lookups', () => {
  test.each([
    ['no data', 0, 'ENODATA', noName],
    ['malformed', 1, 'EFORMERR', noAnswer],
    ['server failure', 2, 'ESERVFAIL', noAnswer],
    ['no such name', 3, 'ENOTFOUND', noName],
    ['not implemented', 4, 'ENOTIMP', noAnswer],
    ['refused', 5, 'EREFUSED', noAnswer],
    [
      'silence',
      undefined,
      'ETIMEOUT',
      { kind: 'timing', code: 'NAME_LOOKUP_TIMEOUT', effect: 'none', retry: 'always' },
    ],
  ] as const)('%s', async (_, rcode, code, expected) => {
    const server = await nameServer(rcode)
    const resolver = resolverAt(server.address)
    const error = await thrownBy(resolver.resolve4('service.test'))
    expect(error).toMatchObject({ code })
    expectError(error, expected)
    // And through a client that looks names up with it.
    const lookup: LookupFunction = (host, _options, answer) => {
      resolver.resolve4(host).then(
        (addresses) => answer(null, addresses[0] ?? '', 4),
        (failed: NodeJS.ErrnoException) => answer(failed, '', 4),
      )
    }
    const dispatcher = new Agent({ connect: { lookup } })
    expectError(await thrownBy(request('http://service.test:1/', { dispatcher })), expected)
    await dispatcher.destroy()
    await server.close()
  })

  test('no name server listens', async () => {
    const server = await nameServer(0)
    await server.close()
    const error = await thrownBy(resolverAt(server.address).resolve4('service.test'))
    // Not that of a service: of the name server.
    expect(error).toMatchObject({ code: 'ECONNREFUSED' })
    expectError(error, noAnswer)
  })

  test.each([
    ['ENOTFOUND', 'getaddrinfo', noName],
    ['EAI_NODATA', 'getaddrinfo', noName],
    ['EAI_AGAIN', 'getaddrinfo', noAnswer],
    ['EAI_FAIL', 'getaddrinfo', noAnswer],
    ['EAI_MEMORY', 'getaddrinfo', exhausted],
    ['EMFILE', 'getaddrinfo', exhausted],
    ['EBADNAME', 'queryA', { ...noName, ...permanent }],
    ['ENOTFOUND', undefined, noName],
    ['EAI_AGAIN', undefined, noAnswer],
    ['ESERVFAIL', 'queryAaaa', noAnswer],
  ] as const)('%s, %s', (code, syscall, expected) => {
    expectError(systemError(code, syscall), expected)
  })
})

describe('system errors', () => {
  test.each([
    ['ECONNREFUSED', 'connect', refused],
    ['ECONNREFUSED', undefined, refused],
    ['EHOSTDOWN', 'connect', unreachable],
    ['EHOSTUNREACH', 'connect', unreachable],
    ['ENETUNREACH', 'connect', unreachable],
    ['ENETDOWN', 'connect', unreachable],
    ['EHOSTUNREACH', 'read', { ...unreachable, ...unknown }],
    ['EHOSTUNREACH', undefined, { ...unreachable, ...unknown }],
    ['EACCES', 'connect', { ...unreachable, ...permanent }],
    ['ETIMEDOUT', 'connect', { kind: 'timing', code: 'CONNECT_TIMEOUT', effect: 'none', retry: 'always' }],
    ['ETIMEDOUT', 'read', { kind: 'timing', code: 'TIMED_OUT', ...unknown }],
    ['ETIMEDOUT', 'write', { kind: 'timing', code: 'TIMED_OUT', ...unknown }],
    ['ETIMEDOUT', undefined, { kind: 'timing', code: 'TIMED_OUT', ...unknown }],
    [
      'ERR_SOCKET_CONNECTION_TIMEOUT',
      undefined,
      { kind: 'timing', code: 'CONNECT_TIMEOUT', effect: 'none', retry: 'always' },
    ],
    ['ECONNRESET', 'connect', { ...lost, effect: 'none', retry: 'always' }],
    ['ECONNRESET', 'read', lost],
    ['ECONNRESET', undefined, lost],
    ['EPIPE', 'write', lost],
    ['ECONNABORTED', 'read', lost],
    ['ERR_STREAM_PREMATURE_CLOSE', undefined, lost],
    ['EADDRNOTAVAIL', 'connect', exhausted],
    ['EADDRNOTAVAIL', undefined, exhausted],
    ['EMFILE', 'connect', exhausted],
    ['ENFILE', 'socket', exhausted],
    ['ENOBUFS', 'connect', exhausted],
    ['ENOBUFS', 'write', { ...exhausted, ...unknown }],
    ['EMFILE', 'open', { ...exhausted, ...unknown }],
    [
      'ERR_STREAM_DESTROYED',
      undefined,
      { kind: 'invalid', code: 'PROGRAMMING_ERROR', effect: 'unknown', retry: 'never' },
    ],
    [
      'ERR_STREAM_WRITE_AFTER_END',
      undefined,
      { kind: 'invalid', code: 'PROGRAMMING_ERROR', effect: 'unknown', retry: 'never' },
    ],
    [
      'HPE_INVALID_CONSTANT',
      undefined,
      { kind: 'arbitrary', code: 'PROTOCOL_VIOLATION', effect: 'unknown', retry: 'never' },
    ],
    ['HPE_INVALID_EOF_STATE', undefined, { kind: 'omission', code: 'REPLY_TRUNCATED', ...unknown }],
  ] as const)('%s, %s', (code, syscall, expected) => {
    expectError(systemError(code, syscall), expected)
  })

  test('what was measured beats what the code does not prove, and never what it does', () => {
    expectError(systemError('ECONNRESET', 'read'), { ...lost, effect: 'none', retry: 'always' }, { effect: 'none' })
    expectError(systemError('ECONNRESET', 'read'), { ...lost, effect: 'none', retry: 'always' }, { phase: 'connect' })
    expectError(systemError('ECONNREFUSED', 'connect'), refused, { effect: 'unknown' })
    expectError(systemError('ECONNREFUSED', 'connect'), refused, { effect: 'done' })
  })

  test('a unix socket that is not there', async () => {
    const error = await new Promise((resolve) => {
      http.get({ socketPath: '/nonexistent/fairlead.sock' }).on('error', resolve)
    })
    expectError(error, refused)
  })

  test.each([
    ['a header that injects another', { headers: { 'x-bad': 'a\r\nb: c' } }],
    ['a path with a space', { path: '/a b' }],
    ['a method that is none', { method: 'GE T' }],
  ])('%s: nothing is sent', async (_, options) => {
    const error = await thrownBy((async () => http.request({ port: 1, ...options }).on('error', () => undefined))())
    expectError(error, { kind: 'invalid', code: 'INVALID_REQUEST', effect: 'none', retry: 'never' })
  })
})

describe('several addresses (happy eyeballs)', () => {
  /** Connects to a name with these addresses, all of which refuse. */
  async function connect(): Promise<unknown> {
    const port = await refusedPort()
    const lookup: LookupFunction = (_host, _options, answer) =>
      (answer as (error: null, addresses: readonly { address: string; family: number }[]) => void)(null, [
        { address: '127.0.0.1', family: 4 },
        { address: '127.0.0.2', family: 4 },
      ])
    // Known to net.connect, and not to the types of http.
    const options = { host: 'service.test', port: port.port, lookup, autoSelectFamily: true, agent: false }
    const error = await new Promise((resolve) => {
      http.get(options).on('error', resolve)
    })
    await port.close()
    return error
  }

  test('all refuse', async () => {
    const error = await connect()
    expect(error).toBeInstanceOf(AggregateError)
    expect(error).toMatchObject({ code: 'ECONNREFUSED' })
    expectError(error, refused)
  })

  test('nothing was sent only if that is proven for every one of them', () => {
    const parts = [systemError('ECONNREFUSED', 'connect'), systemError('ENETUNREACH', 'connect')]
    const all = Object.assign(new AggregateError(parts), { code: 'ECONNREFUSED' })
    expectError(all, refused)
    const one = Object.assign(new AggregateError([...parts, systemError('ECONNRESET', 'read')]), {
      code: 'ECONNREFUSED',
    })
    expectError(one, lost)
    const strange = Object.assign(new AggregateError([...parts, new Error('?')]), { code: 'ECONNREFUSED' })
    expectError(strange, { ...refused, ...unknown })
  })

  test('an aggregate of nothing known', () => {
    expect(classify(new AggregateError([new Error('a'), 1, null])).code).toBe('CALL_FAILED')
    expect(classify(new AggregateError([])).code).toBe('CALL_FAILED')
  })
})
