// Values as they come from and go to the database.
import { digestOf } from '../../../core/digest.ts'
import type { Noted } from '../../../core/shares.ts'
import { isWellFormed } from '../../../core/well-formed.ts'
import { createError } from '../../../errors/index.ts'

/** The first half of a digest: enough to tell keys of one table apart. */
export function shortDigestOf(...parts: readonly string[]): Buffer {
  return digestOf(...parts).subarray(0, 16)
}

/** Text that was read as bytes, so that no character set of a connection changes it. */
export function textOf(value: unknown): string {
  if (typeof value === 'string') return value
  if (value instanceof Uint8Array) return Buffer.from(value.buffer, value.byteOffset, value.byteLength).toString('utf8')
  throw createError({
    code: 'PROTOCOL_VIOLATION',
    message: `the driver gave ${typeof value} for text`,
    transport: 'mysql',
  })
}

/** Bytes that are nobody else's. */
export function bytesOf(value: unknown): Uint8Array {
  if (value instanceof Uint8Array) return value
  if (typeof value === 'string') return Buffer.from(value, 'utf8')
  throw createError({
    code: 'PROTOCOL_VIOLATION',
    message: `the driver gave ${typeof value} for bytes`,
    transport: 'mysql',
  })
}

/** A whole number that may be larger than what a number holds. */
export function bigintOf(value: unknown): bigint {
  return BigInt(value as string | number | bigint)
}

/** @throws FairleadError `INVALID_INPUT` for a text that cannot be stored as it is */
export function storable(what: string, text: string): string {
  if (typeof text !== 'string') throw refused(`${what} is no text`)
  if (!isWellFormed(text)) throw refused(`${what} is no Unicode text: it has half of a surrogate pair`)
  return text
}

/** What a row says in `until_ms` and `wait_ms`. */
export function notedOf(row: Readonly<Record<string, unknown>>): Noted {
  return { until: Number(row['until_ms']), waitMs: Number(row['wait_ms']) }
}

/** A list of numbers as a table of one column `n`: what is looked up by it is looked up row by row, and nothing else is touched or locked. */
export function numbersOf(numbers: Iterable<bigint | number>): string {
  return `json_table('[${[...numbers].join(',')}]', '$[*]' columns (n bigint path '$')) w`
}

function refused(message: string): Error {
  return createError({ code: 'INVALID_INPUT', message, transport: 'mysql' })
}
