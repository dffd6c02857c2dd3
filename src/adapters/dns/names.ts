// From the name of a service to the names that are asked for: templates, ports, IP addresses, the search list.
import { isIP } from 'node:net'
import { invalidOption } from '../../core/options.ts'
import { readHost, readPort } from '../../discovery/entry.ts'
import type { DnsSettings } from './options.ts'

/** What is asked for a service. */
export interface Asking {
  /** Without brackets; with its dot at the end, if it has one. */
  readonly name: string
  readonly type: 'address' | 'srv'
  /** Of all endpoints; undefined with SRV, whose records have their own. */
  readonly port: number | undefined
  /** The name is an IP address: there is nothing to ask. */
  readonly literal: boolean
  /** The name alone says neither SRV nor a port, so that no SRV records are a mistake of set-up and not an empty service. */
  readonly unsure: boolean
}

const UNDERSCORED = /^_[^.]+\._[^.]+\./

/** @throws FairleadError INVALID_OPTIONS for what no DNS server can be asked, and for addresses without a port */
export function askingFor(service: string, settings: DnsSettings): Asking {
  const given = settings.names(service)
  const [text, ownPort] = splitPort(given)
  const name = text === undefined ? undefined : readHost(text)
  if (
    name === undefined ||
    (name.length > 1 &&
      name
        .replace(/\.$/, '')
        .split('.')
        .some((label) => label.length > 63))
  )
    throw invalidOption('service', given, 'its name has to be a DNS name, host:port, or an IP address with a port')
  const literal = isIP(name) !== 0
  const port = ownPort ?? settings.port
  const underscored = UNDERSCORED.test(name)
  const type =
    settings.type !== 'auto' ? settings.type : !literal && (underscored || port === undefined) ? 'srv' : 'address'
  if ((type === 'address' || literal) && port === undefined)
    throw invalidOption('port', port, `addresses have none of their own: give dnsSource({ port }), or name ${name}:80`)
  const unsure = settings.type === 'auto' && type === 'srv' && !underscored
  return {
    name,
    type: literal ? 'address' : type,
    port: type === 'srv' && !literal ? undefined : port,
    literal,
    unsure,
  }
}

function splitPort(given: unknown): readonly [string | undefined, number | undefined] {
  if (typeof given !== 'string') return [undefined, undefined]
  const text = given.trim()
  // Bare IPv6 has colons of its own.
  if (isIP(text) !== 0) return [text, undefined]
  const parts = /^(.*):(\d+)$/.exec(text)
  if (parts === null) return [text, undefined]
  const port = readPort(parts[2])
  return port === undefined ? [undefined, undefined] : [parts[1], port]
}

/**
 * The name for Host and SNI: what the caller named, never what an answer says, because whoever forges an answer must not choose
 * which certificate is good (RFC 6125). Of `_http._tcp.api.example` it is `api.example`.
 */
export function hostnameOf(asking: Asking): string | undefined {
  return asking.literal ? undefined : asking.name.replace(UNDERSCORED, '').replace(/\.$/, '')
}

/** The names to ask for, in order, all absolute and without the dot at their end (resolv.conf(5): search, ndots). */
export function candidatesFor(name: string, search: readonly string[], ndots: number): readonly string[] {
  if (name.endsWith('.')) return [name.slice(0, -1)]
  const suffixed = search.map((suffix) => `${name}.${suffix.replace(/\.$/, '')}`).filter((each) => each.length <= 253)
  const dots = name.split('.').length - 1
  return [...new Set(dots >= ndots ? [name, ...suffixed] : [...suffixed, name])]
}
