// How large a message is, counted in one way: by the publisher before it sends and by every transport.
import type { Envelope } from './message.ts'

// `priority`, `notbefore` and `expirytime` are few and short: counted by their longest form, so that none need be written out.
const PRIORITY_BYTES = 'priority'.length + '-32768'.length
const INSTANT_BYTES = 24

/**
 * Bytes of an envelope: id and key, names and values of attributes and headers (UTF-8), and the body. What a broker adds to separate them is not counted.
 * Held against `capabilities.maxPayloadBytes`.
 */
export function envelopeBytes(envelope: Envelope): number {
  let bytes = envelope.body.byteLength + 'id'.length + Buffer.byteLength(envelope.id)
  if (envelope.key !== undefined) bytes += 'partitionkey'.length + Buffer.byteLength(envelope.key)
  if (envelope.priority !== undefined) bytes += PRIORITY_BYTES
  if (envelope.notBefore !== undefined) bytes += 'notbefore'.length + INSTANT_BYTES
  if (envelope.expiresAt !== undefined) bytes += 'expirytime'.length + INSTANT_BYTES
  return bytes + bytesOf(envelope.attributes) + bytesOf(envelope.headers)
}

// Names are ASCII.
function bytesOf(values: Readonly<Record<string, string>>): number {
  let bytes = 0
  for (const name of Object.keys(values)) bytes += name.length + Buffer.byteLength(values[name] as string)
  return bytes
}
