// TLS: the codes of OpenSSL's certificate check (which Node hands on by name), Node's own ERR_TLS_*, and OpenSSL's ERR_SSL_*.
import type { Table } from './classify-facts.ts'

// Names of X509_V_ERR_* as in Node's `crypto_common.cc`.
const CERTIFICATE: ReadonlySet<string> = new Set([
  'UNABLE_TO_GET_ISSUER_CERT',
  'UNABLE_TO_GET_CRL',
  'UNABLE_TO_DECRYPT_CERT_SIGNATURE',
  'UNABLE_TO_DECRYPT_CRL_SIGNATURE',
  'UNABLE_TO_DECODE_ISSUER_PUBLIC_KEY',
  'CERT_SIGNATURE_FAILURE',
  'CRL_SIGNATURE_FAILURE',
  'CERT_NOT_YET_VALID',
  'CERT_HAS_EXPIRED',
  'CRL_NOT_YET_VALID',
  'CRL_HAS_EXPIRED',
  'ERROR_IN_CERT_NOT_BEFORE_FIELD',
  'ERROR_IN_CERT_NOT_AFTER_FIELD',
  'ERROR_IN_CRL_LAST_UPDATE_FIELD',
  'ERROR_IN_CRL_NEXT_UPDATE_FIELD',
  'DEPTH_ZERO_SELF_SIGNED_CERT',
  'SELF_SIGNED_CERT_IN_CHAIN',
  'UNABLE_TO_GET_ISSUER_CERT_LOCALLY',
  'UNABLE_TO_VERIFY_LEAF_SIGNATURE',
  'CERT_CHAIN_TOO_LONG',
  'CERT_REVOKED',
  'INVALID_CA',
  'PATH_LENGTH_EXCEEDED',
  'INVALID_PURPOSE',
  'CERT_UNTRUSTED',
  'CERT_REJECTED',
  'HOSTNAME_MISMATCH',
  'ERR_TLS_CERT_ALTNAME_INVALID',
  'ERR_TLS_CERT_ALTNAME_FORMAT',
])

// These strike after the handshake too, when a request may have been sent.
const AT_ANY_TIME = /BAD_RECORD_MAC|DECRYPTION_FAILED|UNEXPECTED_EOF|WRONG_CIPHER|RECORD_LENGTH|EXCESSIVE_|SHUTDOWN/

/** Certificates that do not prove identity, and handshakes that fail. */
export const tlsTable: Table = ({ code, message }) => {
  if (CERTIFICATE.has(code)) return { code: 'CERTIFICATE_INVALID' }
  if (code === 'ERR_TLS_HANDSHAKE_TIMEOUT') return { code: 'CONNECT_TIMEOUT' }
  // The same code as for any reset: only the text says that TLS was not set up.
  if (code === 'ECONNRESET' && message.includes('before secure TLS connection')) return { code: 'TLS_HANDSHAKE_CLOSED' }
  if (code === 'EPROTO' || code.startsWith('ERR_SSL_') || code.startsWith('ERR_TLS_'))
    return { code: 'TLS_FAILED', effect: AT_ANY_TIME.test(code) ? 'unknown' : undefined }
  return undefined
}
