// Addresses as numbers, from every spelling that a resolver takes, so that a rule about addresses cannot be walked around by writing them oddly.

/** 16 bytes. IPv4 as ::ffff:a.b.c.d. */
export type AddressBytes = readonly number[]

/** A range of addresses. */
export interface AddressRange {
  readonly bytes: AddressBytes
  readonly bits: number
}

/**
 * Reads a host as an address: dotted IPv4, IPv6 (a zone is ignored), and what `inet_aton` takes for IPv4: hexadecimal, octal, fewer than four parts.
 * `name`: it is a host name. `odd`: its last label is a number and the whole is no address; resolvers disagree about such.
 */
export function readAddress(host: string): AddressBytes | 'name' | 'odd' {
  if (host.includes(':')) return readIpv6(host.split('%')[0] as string) ?? 'odd'
  const labels = host.split('.')
  // The root's trailing dot.
  if (labels.length > 1 && labels.at(-1) === '') labels.pop()
  if (!/^(?:\d+|0x[0-9a-f]*)$/i.test(labels.at(-1) as string)) return 'name'
  const v4 = readIpv4(labels)
  return v4 === undefined ? 'odd' : mapped(v4)
}

/** A range such as `10.0.0.0/8` or `fd00::/8`, or one address; undefined for anything else. */
export function readRange(text: string): AddressRange | undefined {
  const [host = '', length, ...rest] = text.split('/')
  const bytes = readAddress(host.startsWith('[') && host.endsWith(']') ? host.slice(1, -1) : host)
  if (typeof bytes === 'string' || rest.length > 0) return undefined
  const offset = host.includes(':') ? 0 : 96
  if (length === undefined) return { bytes, bits: 128 }
  if (!/^\d{1,3}$/.test(length) || Number(length) + offset > 128) return undefined
  return { bytes, bits: Number(length) + offset }
}

/** Whether the address is in the range. */
export function inRange(address: AddressBytes, { bytes, bits }: AddressRange): boolean {
  const whole = bits >> 3
  for (let at = 0; at < whole; at++) if (address[at] !== bytes[at]) return false
  const rest = bits & 7
  return rest === 0 || ((address[whole] as number) ^ (bytes[whole] as number)) >> (8 - rest) === 0
}

// Ranges of IPv6 in which an IPv4 address is packed, and where: the packet ends there (compatible, NAT64, 6to4).
const PACKED = [
  { range: readRange('::/96') as AddressRange, at: 12 },
  { range: readRange('64:ff9b::/96') as AddressRange, at: 12 },
  { range: readRange('2002::/16') as AddressRange, at: 2 },
]

/** The IPv4 address packed in an IPv6 one, if any. `::` and `::1` are themselves. */
export function packedIpv4(address: AddressBytes): AddressBytes | undefined {
  for (const { range, at } of PACKED) if (inRange(address, range)) return mapped(address.slice(at, at + 4))
  return undefined
}

function mapped(v4: readonly number[]): AddressBytes {
  return [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, ...v4]
}

function readIpv4(parts: readonly string[]): readonly number[] | undefined {
  if (parts.length > 4) return undefined
  const numbers = parts.map(readPart)
  const last = numbers.pop() as number
  const free = 4 - numbers.length
  if (!(last < 256 ** free) || numbers.some((each) => !(each < 256))) return undefined
  const tail = Array.from({ length: free }, (_, at) => Math.floor(last / 256 ** (free - 1 - at)) % 256)
  return [...numbers, ...tail]
}

function readPart(part: string): number {
  if (/^0x[0-9a-f]*$/i.test(part)) return Number.parseInt(part.slice(2) || '0', 16)
  if (/^0[0-7]+$/.test(part)) return Number.parseInt(part, 8)
  return /^(?:0|[1-9]\d*)$/.test(part) ? Number(part) : Number.NaN
}

function readIpv6(text: string): AddressBytes | undefined {
  const halves = text.split('::')
  if (halves.length > 2) return undefined
  const head = readGroups(halves[0] as string, halves.length === 1)
  const tail = halves.length === 1 ? [] : readGroups(halves[1] as string, true)
  if (head === undefined || tail === undefined) return undefined
  const missing = 16 - head.length - tail.length
  if (halves.length === 1 ? missing !== 0 : missing < 2) return undefined
  return [...head, ...new Array<number>(missing).fill(0), ...tail]
}

function readGroups(text: string, last: boolean): number[] | undefined {
  if (text === '') return []
  const bytes: number[] = []
  const groups = text.split(':')
  for (const [at, group] of groups.entries()) {
    if (last && at === groups.length - 1 && group.includes('.')) {
      const parts = group.split('.').map((part) => (/^\d{1,3}$/.test(part) ? Number(part) : Number.NaN))
      if (parts.length !== 4 || parts.some((part) => !(part < 256))) return undefined
      bytes.push(...parts)
    } else {
      if (!/^[0-9a-f]{1,4}$/i.test(group)) return undefined
      const value = Number.parseInt(group, 16)
      bytes.push(value >> 8, value & 0xff)
    }
  }
  return bytes
}
