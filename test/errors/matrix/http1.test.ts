// Connections, cuts and broken protocol over HTTP/1.1, each produced by a real socket (research: undici, fetch, node:http).
import { describe, test } from 'vitest'
import { fault, refusedPort } from '../../../src/testing/fault-server/index.ts'
import { type Client, globalFetch, nodeHttp, packageFetch, undiciH1 } from './clients.ts'
import { cases, type Expected, expectError, type Row, runRow } from './rows.ts'

const all: readonly Client[] = [undiciH1, packageFetch, globalFetch, nodeHttp]

const lost: Expected = { kind: 'omission', code: 'CONNECTION_LOST', effect: 'unknown', retry: 'idempotent' }
const truncated: Expected = { kind: 'omission', code: 'REPLY_TRUNCATED', effect: 'unknown', retry: 'idempotent' }
const violation: Expected = { kind: 'arbitrary', code: 'PROTOCOL_VIOLATION', effect: 'unknown', retry: 'never' }

// undici.request gives the body's error as it is: only who reads knows that the head had come.
const cut = { clients: all, expected: truncated, hints: { phase: 'body' } } as const

/** The system call that failed, of an error or of its cause. */
const syscallOf = (error: unknown): unknown => {
  const { syscall, cause } = error as { readonly syscall?: unknown; readonly cause?: unknown }
  return syscall ?? (cause === undefined ? undefined : syscallOf(cause))
}

const rows: readonly Row[] = [
  {
    name: 'reset at accept',
    behaviour: fault.resetAtAccept(),
    clients: all,
    requests: 0,
    expected: { ...lost, effect: 'none', retry: 'always' },
    // Mostly the client is still connecting, which proves it; now and then it thinks itself connected.
    adjust: (error) => (syscallOf(error) === 'connect' ? {} : lost),
  },
  { name: 'FIN at accept', behaviour: fault.finAtAccept(), clients: all, requests: 0, expected: lost },
  {
    name: 'reset in the head of the request',
    behaviour: fault.resetAtBytes(),
    clients: all,
    requests: 0,
    expected: lost,
  },
  { name: 'reset after the request was read', behaviour: fault.resetAfterRequest(), clients: all, expected: lost },
  {
    name: 'reset in the body of the request',
    behaviour: fault.resetInRequest(),
    ask: { body: 'x'.repeat(300_000) },
    clients: all,
    expected: lost,
  },
  { name: 'FIN before the head', behaviour: fault.finBeforeHead(), clients: all, expected: lost },
  { name: 'body shorter than its length, FIN', behaviour: fault.truncatedBody(), ...cut },
  { name: 'body shorter than its length, reset', behaviour: fault.truncatedBody({ by: 'reset' }), ...cut },
  { name: 'last chunk missing', behaviour: fault.truncatedChunks(), ...cut },
  {
    name: 'body cut, and nobody says that it was the body',
    behaviour: fault.truncatedBody(),
    clients: all,
    expected: truncated,
    but: { 'undici request': { code: 'CONNECTION_LOST' } },
  },
  { name: 'bad chunk', behaviour: fault.badChunk(), clients: all, expected: violation },
  { name: 'not HTTP', behaviour: fault.notHttp(), clients: all, expected: violation },
  { name: 'bad status line', behaviour: fault.badStatusLine(), clients: all, expected: violation },
  { name: 'bad header', behaviour: fault.badHeader(), clients: all, expected: violation },
  {
    name: 'Content-Length with Transfer-Encoding',
    behaviour: fault.lengthAndChunked(),
    clients: all,
    expected: violation,
  },
  { name: 'two Content-Lengths', behaviour: fault.conflictingLengths(), clients: all, expected: violation },
  {
    // node:http takes it, as RFC 9110 section 15.2 says.
    name: 'stray 100 Continue',
    behaviour: fault.strayContinue(),
    clients: [undiciH1, packageFetch, globalFetch],
    expected: violation,
  },
  {
    name: 'headers larger than our limit',
    behaviour: fault.oversizedHeaders(),
    clients: all,
    expected: { kind: 'response', code: 'REPLY_TOO_LARGE', effect: 'unknown', retry: 'never' },
  },
]

describe('HTTP/1.1', () => {
  test.each(cases(rows))('%s: %s', (_row, _client, row, client) => runRow(row, client))

  test.each(all.map((client) => [client.name, client] as const))('refused: %s', async (_, client) => {
    const port = await refusedPort()
    const error: unknown = await client.ask({ url: port.url, method: 'POST', body: 'x' }).catch((thrown) => thrown)
    await port.close()
    expectError(error, { kind: 'crash', code: 'CONNECTION_REFUSED', effect: 'none', retry: 'always' })
  })
})
