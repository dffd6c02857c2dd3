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
  return counted(envelope, Buffer.byteLength)
}

/** How many bytes an envelope has, where that is more than `limit`; undefined where it is not. */
export function bytesAbove(limit: number, envelope: Envelope): number | undefined {
  // Texts are counted exactly by native code, one call each: nearly always it need not be asked.
  if (counted(envelope, mostBytesOf) <= limit) return undefined
  const bytes = envelopeBytes(envelope)
  return bytes > limit ? bytes : undefined
}

/** UTF-8 has at most three bytes for a unit of UTF-16. */
export function mostBytesOf(text: string): number {
  return text.length * 3
}

function counted(envelope: Envelope, bytesIn: (text: string) => number): number {
  let bytes = envelope.body.byteLength + 'id'.length + bytesIn(envelope.id)
  if (envelope.key !== undefined) bytes += 'partitionkey'.length + bytesIn(envelope.key)
  if (envelope.priority !== undefined) bytes += PRIORITY_BYTES
  if (envelope.notBefore !== undefined) bytes += 'notbefore'.length + INSTANT_BYTES
  if (envelope.expiresAt !== undefined) bytes += 'expirytime'.length + INSTANT_BYTES
  return bytes + countedAll(envelope.attributes, bytesIn) + countedAll(envelope.headers, bytesIn)
}

// Names are ASCII.
function countedAll(values: Readonly<Record<string, string>>, bytesIn: (text: string) => number): number {
  let bytes = 0
  for (const name of Object.keys(values)) bytes += name.length + bytesIn(values[name] as string)
  return bytes
}
