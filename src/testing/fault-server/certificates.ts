// Good and bad certificates, made at run time from a few DER bytes: a test then needs no files, no openssl binary and no renewal date.
import { createHash, generateKeyPairSync, type KeyObject, sign } from 'node:crypto'

/**
 * Which certificate a TLS fault server shows. In brackets, what a client of Node says of it when it trusts `server.ca`.
 * - `good`: for `localhost` and 127.0.0.1, signed by the authority of `server.ca`
 * - `self-signed`: its own issuer [DEPTH_ZERO_SELF_SIGNED_CERT]
 * - `expired`: ended in 2001 [CERT_HAS_EXPIRED]
 * - `not-yet-valid`: begins in 2150 [CERT_NOT_YET_VALID]
 * - `wrong-name`: for `other.example` [ERR_TLS_CERT_ALTNAME_INVALID]
 * - `unknown-ca`: signed by an authority that nobody knows [UNABLE_TO_VERIFY_LEAF_SIGNATURE]
 * - `unknown-ca-in-chain`: the same, and the authority is sent along [SELF_SIGNED_CERT_IN_CHAIN]
 * - `unknown-ca-intermediate`: the same, and an intermediate below it is sent along [UNABLE_TO_GET_ISSUER_CERT_LOCALLY]
 * - `revoked`: good but for `server.crl`, if the client is given that [CERT_REVOKED]
 */
export type CertificateKind =
  | 'good'
  | 'self-signed'
  | 'expired'
  | 'not-yet-valid'
  | 'wrong-name'
  | 'unknown-ca'
  | 'unknown-ca-in-chain'
  | 'unknown-ca-intermediate'
  | 'revoked'

/** What a TLS server needs, all PEM. */
export interface ServerCertificate {
  /** Private key. */
  readonly key: string
  /** Certificate, followed by what is sent along with it. */
  readonly cert: string
  /** Certificate of the authority that a client is to trust. */
  readonly ca: string
  /** Revocation list of that authority; names the certificate of kind `revoked` and no other. */
  readonly crl: string
}

// ---- DER (ITU-T X.690): tag, length, content ----

type Der = Uint8Array

function tlv(tag: number, ...parts: readonly Der[]): Der {
  const content = Buffer.concat(parts)
  const size = content.length
  const length = size < 128 ? [size] : size < 256 ? [0x81, size] : [0x82, size >> 8, size & 255]
  return Buffer.concat([Buffer.from([tag, ...length]), content])
}

const sequence = (...parts: readonly Der[]): Der => tlv(0x30, ...parts)
const explicit = (number: number, ...parts: readonly Der[]): Der => tlv(0xa0 + number, ...parts)
const bitString = (bytes: Der): Der => tlv(0x03, Buffer.from([0]), bytes)
const octetString = (bytes: Der): Der => tlv(0x04, bytes)
const boolean = (value: boolean): Der => tlv(0x01, Buffer.from([value ? 255 : 0]))
// A leading zero keeps it positive.
const integer = (bytes: Der): Der => tlv(0x02, (bytes[0] ?? 0) > 127 ? Buffer.from([0]) : Buffer.alloc(0), bytes)
/** `20500101000000Z`; X.509 wants the two-digit UTCTime before 2050. */
const time = (text: string): Der =>
  text < '2050' ? tlv(0x17, Buffer.from(text.slice(2))) : tlv(0x18, Buffer.from(text))

function oid(dotted: string): Der {
  const [first = 0, second = 0, ...rest] = dotted.split('.').map(Number)
  const bytes = [first * 40 + second]
  for (const number of rest) {
    const groups = [number & 127]
    for (let left = number >>> 7; left > 0; left >>>= 7) groups.unshift((left & 127) | 128)
    bytes.push(...groups)
  }
  return tlv(0x06, Buffer.from(bytes))
}

const pem = (label: string, der: Der): string =>
  `-----BEGIN ${label}-----\n${Buffer.from(der)
    .toString('base64')
    .replace(/.{1,64}/g, '$&\n')}-----END ${label}-----\n`

// ---- X.509 (RFC 5280) ----

const LONG_AGO = '20000101000000Z'
const FAR_AHEAD = '21490101000000Z'
const ECDSA_SHA256 = sequence(oid('1.2.840.10045.4.3.2'))

const commonName = (name: string): Der => sequence(tlv(0x31, sequence(oid('2.5.4.3'), tlv(0x0c, Buffer.from(name)))))

interface Identity {
  readonly name: string
  readonly privateKey: KeyObject
  readonly publicKey: KeyObject
  /** Drawn from the key, so no two are the same. */
  readonly serial: Der
}

function identity(name: string): Identity {
  const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' })
  const digest = createHash('sha256')
    .update(publicKey.export({ type: 'spki', format: 'der' }))
    .digest()
  return { name, privateKey, publicKey, serial: Buffer.from([1, ...digest.subarray(0, 15)]) }
}

/** To be signed, algorithm, signature: certificates and revocation lists have the same envelope. */
function signed(toBeSigned: Der, key: KeyObject): Der {
  return sequence(toBeSigned, ECDSA_SHA256, bitString(sign('sha256', toBeSigned, key)))
}

interface CertificateFields {
  readonly from?: string | undefined
  readonly to?: string | undefined
  /** Absent for an authority. */
  readonly names?: readonly Der[] | undefined
}

function certificate(subject: Identity, issuer: Identity, fields: CertificateFields): string {
  const authority = fields.names === undefined
  const constraints = sequence(
    oid('2.5.29.19'),
    boolean(true),
    octetString(authority ? sequence(boolean(true)) : sequence()),
  )
  const names = authority ? [] : [sequence(oid('2.5.29.17'), octetString(sequence(...(fields.names ?? []))))]
  const toBeSigned = sequence(
    explicit(0, integer(Buffer.from([2]))), // version 3
    integer(subject.serial),
    ECDSA_SHA256,
    commonName(issuer.name),
    sequence(time(fields.from ?? LONG_AGO), time(fields.to ?? FAR_AHEAD)),
    commonName(subject.name),
    subject.publicKey.export({ type: 'spki', format: 'der' }),
    explicit(3, sequence(constraints, ...names)),
  )
  return pem('CERTIFICATE', signed(toBeSigned, issuer.privateKey))
}

function revocationList(issuer: Identity, revoked: readonly Identity[]): string {
  const entries = revoked.map((each) => sequence(integer(each.serial), time(LONG_AGO)))
  const toBeSigned = sequence(
    integer(Buffer.from([1])), // version 2
    ECDSA_SHA256,
    commonName(issuer.name),
    time(LONG_AGO),
    time(FAR_AHEAD),
    ...(entries.length > 0 ? [sequence(...entries)] : []),
  )
  return pem('X509 CRL', signed(toBeSigned, issuer.privateKey))
}

const LOCAL_NAMES: readonly Der[] = [tlv(0x82, Buffer.from('localhost')), tlv(0x87, Buffer.from([127, 0, 0, 1]))]
const OTHER_NAMES: readonly Der[] = [tlv(0x82, Buffer.from('other.example'))]

/**
 * Makes a key (EC P-256), a certificate of that kind, and an authority for it: all new, none of them worth anything outside a test.
 * The dates are fixed, far in the past and far ahead, so no clock is asked.
 */
export function createServerCertificate(kind: CertificateKind): ServerCertificate {
  const trusted = identity('fairlead test authority')
  const leaf = identity('fairlead fault server')
  const ca = certificate(trusted, trusted, {})
  const build = (): string => {
    if (kind === 'self-signed') return certificate(leaf, leaf, { names: LOCAL_NAMES })
    if (kind === 'expired') return certificate(leaf, trusted, { names: LOCAL_NAMES, to: '20010101000000Z' })
    if (kind === 'not-yet-valid') {
      return certificate(leaf, trusted, { names: LOCAL_NAMES, from: '21500101000000Z', to: '21510101000000Z' })
    }
    if (kind === 'wrong-name') return certificate(leaf, trusted, { names: OTHER_NAMES })
    if (!kind.startsWith('unknown-ca')) return certificate(leaf, trusted, { names: LOCAL_NAMES })
    const unknown = identity('unknown authority')
    if (kind === 'unknown-ca') return certificate(leaf, unknown, { names: LOCAL_NAMES })
    if (kind === 'unknown-ca-in-chain') {
      return certificate(leaf, unknown, { names: LOCAL_NAMES }) + certificate(unknown, unknown, {})
    }
    const intermediate = identity('unknown intermediate')
    return certificate(leaf, intermediate, { names: LOCAL_NAMES }) + certificate(intermediate, unknown, {})
  }
  return {
    key: leaf.privateKey.export({ type: 'pkcs8', format: 'pem' }) as string,
    cert: build(),
    ca,
    crl: revocationList(trusted, kind === 'revoked' ? [leaf] : []),
  }
}
