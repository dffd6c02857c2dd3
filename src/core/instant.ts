// Instants that leave the process: milliseconds since 1970 here, RFC 3339 on the wire.
import type { Clock } from './clock.ts'

const RFC3339 = /^\d{4}-\d{2}-\d{2}[Tt]\d{2}:\d{2}:\d{2}(\.\d+)?([Zz]|[+-]\d{2}:\d{2})$/

/** The last instant with a year of four digits: RFC 3339 has no later one. */
export const LAST_INSTANT = 253_402_300_799_999

// The first one: RFC 3339 has no year below 0.
const FIRST_INSTANT = -62_167_219_200_000

/** RFC 3339 in UTC with milliseconds. Fractions of a millisecond are cut off. */
export function formatInstant(ms: number): string {
  return new Date(ms).toISOString()
}

/** The clock's wall time as RFC 3339, for those who write many: it is formatted once a millisecond. */
export function instantSource(clock: Clock): () => string {
  let at = Number.NaN
  let text = ''
  return () => {
    const ms = Math.floor(clock.wallNow())
    if (ms !== at) {
      at = ms
      text = formatInstant(ms)
    }
    return text
  }
}

/**
 * Milliseconds since 1970, or undefined where the text is no RFC 3339 timestamp, or one that in UTC lies outside the years 0 to 9999 and could not be written again.
 * Digits below the millisecond are cut off.
 */
export function parseInstant(text: string): number | undefined {
  const usual = parseUsual(text)
  if (usual !== undefined) return usual
  if (!RFC3339.test(text)) return undefined
  const ms = Date.parse(text.toUpperCase())
  return ms >= FIRST_INSTANT && ms <= LAST_INSTANT ? ms : undefined
}

// The one form that we write ourselves, and most others too: a message is read with each delivery, and this is a tenth of what the general way takes.
function parseUsual(text: string): number | undefined {
  if (text.length !== 24 || text[4] !== '-' || text[7] !== '-' || text[10] !== 'T') return undefined
  if (text[13] !== ':' || text[16] !== ':' || text[19] !== '.' || text[23] !== 'Z') return undefined
  const year = twoDigits(text, 0) * 100 + twoDigits(text, 2)
  const month = twoDigits(text, 5)
  const day = twoDigits(text, 8)
  const hour = twoDigits(text, 11)
  const minute = twoDigits(text, 14)
  const second = twoDigits(text, 17)
  const ms = twoDigits(text, 20) * 10 + (twoDigits(text, 21) % 10)
  // NaN is in no range. A year below 100 would be taken for one of the twentieth century.
  const inRange =
    year >= 100 && month >= 1 && month <= 12 && day >= 1 && day <= 31 && hour <= 23 && minute <= 59 && second <= 59
  return inRange && ms >= 0 ? Date.UTC(year, month - 1, day, hour, minute, second, ms) : undefined
}

function twoDigits(text: string, at: number): number {
  const tens = text.charCodeAt(at) - 48
  const ones = text.charCodeAt(at + 1) - 48
  return tens >= 0 && tens <= 9 && ones >= 0 && ones <= 9 ? tens * 10 + ones : Number.NaN
}
