// Retry-After (RFC 9110 section 10.2.3): so many seconds, or an HTTP-date in one of three forms. And where clients keep it.
import { read } from './classify-facts.ts'

const MONTHS = ['Jan', 'Feb', 'Mar', 'Apr', 'May', 'Jun', 'Jul', 'Aug', 'Sep', 'Oct', 'Nov', 'Dec']

// RFC 9110 section 5.6.7. The name of the day is not checked against the date.
const IMF_FIXDATE =
  /^[A-Z][a-z]{2}, (?<day>\d{2}) (?<month>[A-Z][a-z]{2}) (?<year>\d{4}) (?<time>\d{2}:\d{2}:\d{2}) GMT$/
const RFC_850 = /^[A-Z][a-z]{5,8}, (?<day>\d{2})-(?<month>[A-Z][a-z]{2})-(?<year>\d{2}) (?<time>\d{2}:\d{2}:\d{2}) GMT$/
const ASCTIME = /^[A-Z][a-z]{2} (?<month>[A-Z][a-z]{2}) (?<day>[ \d]\d) (?<time>\d{2}:\d{2}:\d{2}) (?<year>\d{4})$/

/**
 * How long to wait, in milliseconds; undefined for a value that is none of the forms.
 * `wallNow` (milliseconds since 1970) is needed for a date; one that has passed gives 0.
 */
export function parseRetryAfter(value: unknown, wallNow?: number | undefined): number | undefined {
  if (typeof value === 'number') return Number.isFinite(value) && value >= 0 ? value * 1_000 : undefined
  if (typeof value !== 'string') return undefined
  const text = value.trim()
  if (/^\d{1,15}$/.test(text)) return Number(text) * 1_000
  if (wallNow === undefined || !Number.isFinite(wallNow)) return undefined
  const at = httpDate(text, wallNow)
  return at === undefined ? undefined : Math.max(0, at - wallNow)
}

function httpDate(text: string, wallNow: number): number | undefined {
  const parts = (IMF_FIXDATE.exec(text) ?? RFC_850.exec(text) ?? ASCTIME.exec(text))?.groups
  if (parts === undefined) return undefined
  const month = MONTHS.indexOf(parts['month'] ?? '')
  const day = Number(parts['day'])
  const [hours = 0, minutes = 0, seconds = 0] = (parts['time'] ?? '').split(':').map(Number)
  if (month < 0 || day < 1 || hours > 23 || minutes > 59 || seconds > 60) return undefined
  const at = (year: number): number => Date.UTC(year, month, day, hours, minutes, seconds)
  const year = Number(parts['year'])
  if (parts['year']?.length === 4) return day <= daysIn(month, year) ? at(year) : undefined
  // Two digits: the last such year that is not more than 50 years ahead.
  let full = 1900 + year
  while (at(full + 100) <= wallNow + 50 * YEAR_MS) full += 100
  return day <= daysIn(month, full) ? at(full) : undefined
}

const YEAR_MS = 31_556_952_000

function daysIn(month: number, year: number): number {
  const leap = (year % 4 === 0 && year % 100 !== 0) || year % 400 === 0
  return [31, leap ? 29 : 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31][month] ?? 0
}

/**
 * The value of a header in any of the shapes that clients keep headers in: `Headers`, a plain object, a Map, `[name, value, name, value]`
 * as text or bytes, or a list of pairs. The first of several. `name` in lower case. Undefined where it is not there.
 */
export function headerOf(headers: unknown, name: string): string | undefined {
  if (typeof headers !== 'object' || headers === null) return undefined
  try {
    return text(Array.isArray(headers) ? fromList(headers, name) : fromObject(headers, name))
  } catch {
    return undefined
  }
}

function fromList(list: readonly unknown[], name: string): unknown {
  if (Array.isArray(list[0])) return list.find((pair) => sameName(read(pair, 0), name))?.[1 as never]
  for (let at = 0; at + 1 < list.length; at += 2) if (sameName(list[at], name)) return list[at + 1]
  return undefined
}

function fromObject(headers: object, name: string): unknown {
  if (Object.hasOwn(headers, name)) return read(headers, name)
  const get = read(headers, 'get')
  // Axios, fetch and Map all have one; only its own object may answer.
  if (typeof get === 'function') {
    const found = get.call(headers, name)
    if (found !== undefined && found !== null) return found
  }
  for (const key of Object.keys(headers)) if (sameName(key, name)) return read(headers, key)
  return undefined
}

function sameName(candidate: unknown, name: string): boolean {
  const found = text(candidate)
  return found !== undefined && found.length === name.length && found.toLowerCase() === name
}

function text(value: unknown): string | undefined {
  if (typeof value === 'string') return value
  if (typeof value === 'number') return String(value)
  if (value instanceof Uint8Array)
    return Buffer.from(value.buffer, value.byteOffset, value.byteLength).toString('latin1')
  return Array.isArray(value) ? text(value[0]) : undefined
}
