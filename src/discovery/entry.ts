// What registries write into host and port, read with care: numbers as strings, blanks, names with something injected.
import { readAddress } from './ip-address.ts'

/** A port from a number or a string of digits; undefined for anything else and outside 1 to 65535. */
export function readPort(value: unknown): number | undefined {
  const port =
    typeof value === 'number'
      ? value
      : typeof value === 'string' && /^\s*\d{1,5}\s*$/.test(value)
        ? Number(value)
        : Number.NaN
  return Number.isInteger(port) && port >= 1 && port <= 65_535 ? port : undefined
}

// An IPv4 address or a DNS name (also with underscores, as many internal ones have), or an IPv6 address with or without zone.
const NAME = /^(?=.{1,253}$)[a-z0-9_](?:[a-z0-9_-]{0,62})(?:\.[a-z0-9_](?:[a-z0-9_-]{0,62}))*\.?$/i
const IPV6 = /^[0-9a-f:]{2,45}(?:\.\d{1,3}){0,3}(?:%[\w.-]{1,32})?$/i

/** A host name or address, trimmed, without brackets; undefined for what is neither (blanks, slashes, line ends, credentials). */
export function readHost(value: unknown): string | undefined {
  if (typeof value !== 'string') return undefined
  const text = value.trim()
  const host = text.startsWith('[') && text.endsWith(']') ? text.slice(1, -1) : text
  if (NAME.test(host)) return host
  return host.includes(':') && IPV6.test(host) ? host : undefined
}

/** Whether a host can be put into a URL: no zone of an address (RFC 3986 has none), and no name that ends in a number (`web.1`), which URLs take for a broken address. */
export function fitsUrl(host: string): boolean {
  return URL.canParse(`http://${host.includes(':') ? `[${host}]` : host}`)
}

/**
 * A host name for Host and SNI; undefined for anything else, and for an address in any spelling (`127.0.0.1`, `0x7f.1`, `2130706433`, `::1`):
 * a connection takes such for where to go, past the address that was let in.
 */
export function readName(value: unknown): string | undefined {
  const name = readHost(value)
  if (name === undefined || name.includes(':') || readAddress(name) !== 'name') return undefined
  return URL.canParse(`http://${name}`) && new URL(`http://${name}`).hostname === name.toLowerCase() ? name : undefined
}

/** A weight from a number or numeric string, 0 and more; undefined for anything else (negative, NaN). */
export function readWeight(value: unknown): number | undefined {
  const weight =
    typeof value === 'number' ? value : typeof value === 'string' && value.trim() !== '' ? Number(value) : Number.NaN
  return Number.isFinite(weight) && weight >= 0 ? weight : undefined
}
