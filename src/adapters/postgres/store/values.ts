// Values as all drivers take and give them: arrays go as arrays of text, and what comes back is made ours, whatever a driver made of it.
import { isWellFormed } from '../../../core/well-formed.ts'
import { createError } from '../../../errors/classes.ts'

/** An 8 byte integer, which drivers give as text, number or bigint. */
export function bigintOf(value: unknown): bigint {
  return BigInt(value as string | number | bigint)
}

/** A number, which drivers give as text, number, bigint or a decimal object. */
export function numberOf(value: unknown): number {
  return Number(value)
}

/** A truth. */
export function booleanOf(value: unknown): boolean {
  return value === true || value === 't' || value === 'true' || value === 1
}

/** Bytes, as a driver gives them or in base64. */
export function bytesOf(value: unknown): Uint8Array {
  if (value instanceof Uint8Array) return value
  if (typeof value === 'string')
    return value.startsWith('\\x') ? Buffer.from(value.slice(2), 'hex') : Buffer.from(value, 'base64')
  throw createError({
    code: 'PROTOCOL_VIOLATION',
    message: `the driver gave ${typeof value} for bytes`,
    transport: 'postgres',
  })
}

/** An element of a `text[]::bytea[]`. */
export function hexOf(bytes: Uint8Array): string {
  return `\\x${Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('hex')}`
}

/** What `hexOf` gave, as a literal. Digits of our own making, and no backslash: what that means depends on a setting. */
export function bytesLiteral(hex: string): string {
  return `decode('${hex.slice(2)}', 'hex')`
}

/** A list of texts as a literal. */
export function textsLiteral(texts: readonly string[]): string {
  return `array[${texts.map(quoted).join(',')}]::text[]`
}

/** A text as a literal, whatever `standard_conforming_strings` says. It has no NUL: see `storable`. */
export function quoted(text: string): string {
  const inner = text.replaceAll("'", "''")
  return inner.includes('\\') ? `E'${inner.replaceAll('\\', '\\\\')}'` : `'${inner}'`
}

/** @throws FairleadError `INVALID_INPUT` for a text that PostgreSQL cannot hold as it is */
export function storable(what: string, text: string): string {
  if (typeof text !== 'string') throw refused(`${what} is no text`)
  if (text.includes('\0')) throw refused(`${what} has a NUL, which PostgreSQL holds in no text`)
  if (!isWellFormed(text)) throw refused(`${what} is no Unicode text: it has half of a surrogate pair`)
  return text
}

/** A text for people, as PostgreSQL can hold it. */
export function plain(text: string): string {
  return text.replaceAll('\0', '\uFFFD')
}

function refused(message: string): Error {
  return createError({ code: 'INVALID_INPUT', message, transport: 'postgres' })
}
