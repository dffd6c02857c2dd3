// TLS: bad certificates, handshakes that fail, hang or break off, each produced by a real socket.
import { describe, expect, test } from 'vitest'
import { classify } from '../../../src/errors/index.ts'
import { type CertificateKind, createFaultServer, fault } from '../../../src/testing/fault-server/index.ts'
import { type Client, globalFetch, nodeHttp, packageFetch, undiciH1, undiciH2 } from './clients.ts'
import { cases, type Expected, expectError, type Row, runRow } from './rows.ts'

const all: readonly Client[] = [undiciH1, packageFetch, globalFetch, nodeHttp]
// Node's own fetch can be told of no private authority.
const withAuthority: readonly Client[] = [undiciH1, packageFetch, nodeHttp]

const identity: Expected = { kind: 'arbitrary', code: 'CERTIFICATE_INVALID', effect: 'none', retry: 'never' }
const closed: Expected = { kind: 'crash', code: 'TLS_HANDSHAKE_CLOSED', effect: 'none', retry: 'always' }
const disagreed: Expected = { kind: 'arbitrary', code: 'TLS_FAILED', effect: 'none', retry: 'never' }

const certificates: readonly (readonly [CertificateKind, readonly Client[]])[] = [
  ['self-signed', all],
  ['expired', all],
  ['not-yet-valid', all],
  ['wrong-name', all],
  ['unknown-ca', all],
  ['unknown-ca-in-chain', all],
  ['unknown-ca-intermediate', all],
  ['good', [globalFetch]],
]

const rows: readonly Row[] = [
  ...certificates.map(
    ([tls, clients]): Row => ({
      name: `certificate: ${tls}`,
      server: { tls },
      clients,
      requests: 0,
      expected: identity,
    }),
  ),
  {
    name: 'FIN in the handshake',
    server: { tls: 'good' },
    behaviour: fault.finAtBytes(),
    clients: all,
    requests: 0,
    expected: closed,
  },
  {
    name: 'FIN at accept',
    server: { tls: 'good' },
    behaviour: fault.finAtAccept(),
    clients: all,
    requests: 0,
    expected: closed,
  },
  {
    name: 'a plain service behind a TLS port',
    server: { tls: 'good' },
    behaviour: fault.plainReply(),
    clients: all,
    requests: 0,
    expected: disagreed,
  },
  {
    // `read ECONNRESET`, as after a request: without a measurement nothing is proven.
    name: 'reset in the handshake, not measured',
    server: { tls: 'good' },
    behaviour: fault.resetAtBytes(),
    clients: all,
    requests: 0,
    expected: { kind: 'omission', code: 'CONNECTION_LOST', effect: 'unknown', retry: 'idempotent' },
  },
  {
    name: 'reset in the handshake, measured',
    server: { tls: 'good' },
    behaviour: fault.resetAtBytes(),
    clients: withAuthority,
    hints: { effect: 'none' },
    requests: 0,
    expected: { kind: 'omission', code: 'CONNECTION_LOST', effect: 'none', retry: 'always' },
  },
]

describe('TLS', () => {
  test.each(cases(rows))('%s: %s', (_row, _client, row, client) => runRow(row, client))

  test.each([undiciH1, packageFetch, undiciH2].map((client) => [client.name, client] as const))(
    'nothing was sent when the handshake was reset, as onRequestStart proves: %s',
    async (_, client) => {
      const server = await createFaultServer({ tls: 'good', behaviour: fault.resetAtBytes() })
      let sent = 0
      const ask = { url: server.url, ca: server.ca, onSent: (times: number) => (sent = times) }
      const error: unknown = await client.ask(ask).catch((thrown) => thrown)
      await server.close()
      expect(sent).toBe(0)
      expect(error).toBeInstanceOf(Error)
    },
  )

  test.concurrent.each([undiciH1, packageFetch, undiciH2].map((client) => [client.name, client] as const))(
    'handshake hangs: %s',
    async (_, client) => {
      const server = await createFaultServer({ tls: 'good', behaviour: fault.hangAtAccept() })
      const error: unknown = await client
        .ask({ url: server.url, ca: server.ca, connectTimeoutMs: 50 })
        .catch((thrown) => thrown)
      expect(server.seen.requests()).toBe(0)
      await server.close()
      expectError(error, { kind: 'timing', code: 'CONNECT_TIMEOUT', effect: 'none', retry: 'always' })
    },
  )

  test('a revoked certificate, for a client that has the list', async () => {
    const server = await createFaultServer({ tls: 'revoked' })
    const error: unknown = await nodeHttp
      .ask({ url: server.url, ca: server.ca, crl: server.crl })
      .catch((thrown) => thrown)
    await server.close()
    expect(error).toMatchObject({ code: 'CERT_REVOKED' })
    expectError(error, identity)
  })

  test('TLS to a port that speaks plain HTTP', async () => {
    const server = await createFaultServer()
    const url = server.url.replace('http:', 'https:')
    const error: unknown = await nodeHttp.ask({ url }).catch((thrown) => thrown)
    await server.close()
    expectError(error, disagreed)
  })

  test('plain HTTP to a port that speaks TLS', async () => {
    const server = await createFaultServer({ tls: 'good' })
    const url = server.url.replace('https:', 'http:')
    const error: unknown = await undiciH1.ask({ url }).catch((thrown) => thrown)
    expect(server.seen.requests()).toBe(0)
    await server.close()
    // The peer's alert is no HTTP, or it just hangs up; which of the two is up to its TLS.
    expect(['PROTOCOL_VIOLATION', 'CONNECTION_LOST']).toContain(classify(error).code)
  })

  test.each([
    ['ERR_TLS_HANDSHAKE_TIMEOUT', { kind: 'timing', code: 'CONNECT_TIMEOUT', effect: 'none', retry: 'always' }],
    ['CERT_REVOKED', identity],
    ['ERR_TLS_CERT_ALTNAME_INVALID', identity],
    ['ERR_SSL_TLSV1_ALERT_PROTOCOL_VERSION', disagreed],
    ['ERR_SSL_NO_CIPHERS_AVAILABLE', disagreed],
    ['ERR_SSL_TLSV13_ALERT_CERTIFICATE_REQUIRED', disagreed],
    ['EPROTO', disagreed],
    // These strike in the middle of an exchange too.
    ['ERR_SSL_DECRYPTION_FAILED_OR_BAD_RECORD_MAC', { ...disagreed, effect: 'unknown' }],
    ['ERR_SSL_UNEXPECTED_EOF_WHILE_READING', { ...disagreed, effect: 'unknown' }],
  ] as const)('%s', (code, expected) => {
    expectError(Object.assign(new Error('tls'), { code }), expected)
  })
})
