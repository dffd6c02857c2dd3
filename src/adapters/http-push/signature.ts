// Signatures after Standard Webhooks (standardwebhooks.com, specification 1.0): HMAC-SHA256 over id, timestamp and body.
import { createHmac, timingSafeEqual } from 'node:crypto'
import { durationOption, invalidOption, knownOptions } from '../../core/options.ts'

/** How messages are signed, and which signatures are taken. */
export interface SigningOptions {
  /**
   * One secret or several: `whsec_` and base64, base64 alone, or the bytes; at least 16 bytes. All of them sign and any of them is taken,
   * so that a secret is changed by giving both for a while.
   */
  readonly secrets: string | Uint8Array | readonly (string | Uint8Array)[]
  /** How far the clocks of both sides may be apart, and how long a captured request could be sent again. Default 300,000. */
  readonly toleranceMs?: number | undefined
  /** Of the three headers `-id`, `-timestamp` and `-signature`. Default `webhook`. */
  readonly prefix?: string | undefined
  /**
   * Takes events in binary mode as well. Default false: the signature covers the body only, and there the attributes are headers.
   * What is signed here is always sent in structured mode.
   */
  readonly acceptBinary?: boolean | undefined
}

/** Signs and checks. */
export interface Signing {
  readonly acceptBinary: boolean
  /** The headers of a signed message. `wallNow` is milliseconds since 1970. */
  sign(id: string, body: Uint8Array, wallNow: number): Readonly<Record<string, string>>
  /** What is wrong with the signature; undefined: nothing. */
  fault(header: (name: string) => string | undefined, body: Uint8Array, wallNow: number): string | undefined
}

/** @throws FairleadError `INVALID_OPTIONS` */
export function createSigning(options: SigningOptions): Signing {
  knownOptions('signing', options, ['secrets', 'toleranceMs', 'prefix', 'acceptBinary'])
  const { secrets, prefix = 'webhook', acceptBinary = false } = options
  const keys = (Array.isArray(secrets) ? secrets : [secrets]).map(keyOf)
  if (keys.length === 0) throw invalidOption('signing.secrets', secrets, 'give at least one secret')
  if (typeof prefix !== 'string' || !/^[a-z0-9-]+$/.test(prefix))
    throw invalidOption('signing.prefix', prefix, 'give lower-case letters, digits and dashes')
  if (typeof acceptBinary !== 'boolean') throw invalidOption('signing.acceptBinary', acceptBinary, 'give true or false')
  const toleranceMs = durationOption('signing.toleranceMs', options.toleranceMs, 300_000)
  const digest = (key: Uint8Array, id: string, seconds: string, body: Uint8Array): Buffer =>
    createHmac('sha256', key).update(`${id}.${seconds}.`).update(body).digest()
  return {
    acceptBinary,
    sign(id, body, wallNow) {
      const seconds = String(Math.floor(wallNow / 1_000))
      // The id goes into a header: what a header cannot carry is escaped, and the escaped form is signed.
      const safe = encodeURIComponent(id)
      return {
        [`${prefix}-id`]: safe,
        [`${prefix}-timestamp`]: seconds,
        [`${prefix}-signature`]: keys
          .map((key) => `v1,${digest(key, safe, seconds, body).toString('base64')}`)
          .join(' '),
      }
    },
    fault(header, body, wallNow) {
      const id = header(`${prefix}-id`)
      const seconds = header(`${prefix}-timestamp`)
      const signatures = header(`${prefix}-signature`)
      if (id === undefined || seconds === undefined || signatures === undefined) return 'the message is not signed'
      if (!/^\d{1,12}$/.test(seconds)) return 'the timestamp of the signature is no number'
      const given = signatures
        .split(' ')
        .filter((each) => each.startsWith('v1,'))
        .map((each) => Buffer.from(each.slice(3), 'base64'))
      // Every key is held against every signature, so that the time taken says nothing of which one fits.
      let fits = false
      for (const key of keys) {
        const right = digest(key, id, seconds, body)
        for (const each of given) fits = (each.length === right.length && timingSafeEqual(each, right)) || fits
      }
      if (!fits) return 'the signature does not match'
      return Math.abs(wallNow - Number(seconds) * 1_000) > toleranceMs
        ? `the signature is not of the last ${toleranceMs} ms`
        : undefined
    },
  }
}

const LEAST_BYTES = 16

function keyOf(secret: unknown): Uint8Array {
  const bytes = typeof secret === 'string' ? fromText(secret) : secret
  // Never shown: an error ends up in logs.
  if (!(bytes instanceof Uint8Array) || bytes.byteLength < LEAST_BYTES)
    throw invalidOption(
      'signing.secrets',
      typeof secret === 'string' ? 'a text' : undefined,
      `give whsec_ and base64, or bytes; at least ${LEAST_BYTES} bytes`,
    )
  return bytes
}

function fromText(secret: string): Uint8Array | undefined {
  const base64 = secret.startsWith('whsec_') ? secret.slice(6) : secret
  return /^[A-Za-z0-9+/_-]+={0,2}$/.test(base64) ? Buffer.from(base64, 'base64') : undefined
}
