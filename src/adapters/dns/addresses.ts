// A and AAAA of one name, asked side by side: what one family does not say must not cost what the other does.
import { isIP } from 'node:net'
import { type NetworkInterfaceInfo, networkInterfaces } from 'node:os'
import { createError } from '../../errors/classes.ts'
import type { DnsAddress, DnsSettings } from './options.ts'
import type { Answer, Questions } from './questions.ts'

/** The addresses of a name, or that it has none (`exists`: the name itself is known). */
export type Addresses =
  | {
      readonly type: 'found'
      /** Sorted, each once: servers rotate their answers. */
      readonly v4: readonly string[]
      readonly v6: readonly string[]
      /** The least of all records; undefined where nothing says one. */
      readonly ttlMs: number | undefined
      readonly notes: readonly string[]
    }
  | { readonly type: 'none'; readonly exists: boolean }

type Family = 4 | 6
type Heard =
  | {
      readonly type: 'records'
      readonly hosts: readonly string[]
      readonly ttlMs: number
      readonly notes: readonly string[]
    }
  | { readonly type: 'none'; readonly exists: boolean }
  | { readonly type: 'failed'; readonly error: Error }

const ADDRESS_BYTES = { 4: 4, 6: 16 }

/** What is known of one name over many questions. */
export class NameOfAddresses {
  readonly #name: string
  readonly #settings: Pick<DnsSettings, 'family' | 'absentAfter'>
  readonly #questions: Questions
  readonly #last: Record<Family, { hosts: readonly string[]; misses: number }> = {
    4: { hosts: [], misses: 0 },
    6: { hosts: [], misses: 0 },
  }

  constructor(name: string, settings: Pick<DnsSettings, 'family' | 'absentAfter'>, questions: Questions) {
    this.#name = name
    this.#settings = settings
    this.#questions = questions
  }

  /** Rejects when a family failed and the other has nothing, so that nobody knows. */
  async ask(signal: AbortSignal): Promise<Addresses> {
    const { family } = this.#settings
    const families: readonly Family[] = family === 4 || family === 6 ? [family] : [4, 6]
    const heard = await Promise.all(families.map((each) => this.#hear(each, signal)))
    signal.throwIfAborted()
    const records = heard.filter((each) => each.type === 'records')
    const failed = heard.find((each) => each.type === 'failed')
    if (records.length === 0) {
      if (failed !== undefined) throw failed.error
      return { type: 'none', exists: heard.some((each) => each.type === 'none' && each.exists) }
    }
    const notes = records.flatMap((each) => each.notes)
    const hosts: Record<Family, readonly string[]> = { 4: [], 6: [] }
    for (const [at, each] of families.entries()) hosts[each] = this.#keep(each, heard[at] as Heard, notes)
    const ttlMs = Math.min(...records.map((each) => each.ttlMs))
    const [v4, v6] = family === 'auto' ? reachable(hosts[4], hosts[6], networkInterfaces()) : [hosts[4], hosts[6]]
    return { type: 'found', v4, v6, ttlMs, notes }
  }

  async #hear(family: Family, signal: AbortSignal): Promise<Heard> {
    let answer: Answer<DnsAddress>
    try {
      answer = await this.#questions.addresses(family, this.#name, signal)
    } catch (error) {
      return { type: 'failed', error: error as Error }
    }
    return answer.type === 'none' ? answer : readRecords(this.#name, family, answer.records)
  }

  // Only where the other family has answered. A family that failed keeps what it had; one that is suddenly gone does so until
  // that was said often enough.
  #keep(family: Family, heard: Heard, notes: string[]): readonly string[] {
    const last = this.#last[family]
    if (heard.type === 'records') {
      last.hosts = heard.hosts
      last.misses = 0
    } else if (heard.type === 'failed') notes.push(`half of an answer: ${heard.error.message}`)
    else if (last.hosts.length > 0 && ++last.misses >= this.#settings.absentAfter) last.hosts = []
    return last.hosts
  }
}

function readRecords(name: string, family: Family, records: readonly DnsAddress[]): Heard {
  const hosts = new Set<string>()
  let ttlS = Number.POSITIVE_INFINITY
  let bad = 0
  for (const record of records) {
    const { address, ttl } = record ?? {}
    if (isIP(address) !== family) {
      bad++
      continue
    }
    hosts.add(address)
    // RFC 2181 8: nobody knows what a TTL that is none means, so it is none at all.
    ttlS = Math.min(ttlS, typeof ttl === 'number' && ttl >= 0 ? ttl : 0)
  }
  if (hosts.size === 0) {
    const message = `${name} has ${bad} IPv${family} records, none of which is an address`
    return { type: 'failed', error: createError({ code: 'PROTOCOL_VIOLATION', message, stack: false }) }
  }
  const notes: string[] = []
  if (bad > 0) notes.push(`${bad} IPv${family} records of ${name} are no addresses`)
  if (fillsAnswer(name, records.length, records.length * ADDRESS_BYTES[family]))
    notes.push(`${name} has as many IPv${family} records as an answer of DNS can hold: there may be more`)
  return { type: 'records', hosts: [...hosts].sort(), ttlMs: ttlS * 1_000, notes }
}

/**
 * Whether there was room for one record more, about: a message of DNS has at most 65,535 bytes, over TCP too, and what does not fit is left out.
 * Header and question, then 12 bytes (its name is a pointer) and the data for each record. Node does not say that an answer was cut.
 */
export function fillsAnswer(name: string, records: number, dataBytes: number): boolean {
  const bytes = 12 + name.length + 6 + records * 12 + dataBytes
  return records > 1 && bytes + (2 * bytes) / records > 65_535
}

/**
 * Leaves out a family of which this machine has no address, where there is the other one (as AI_ADDRCONFIG, RFC 3493 6.1):
 * half of the first attempts would fail. Loopback stays what it is.
 */
export function reachable(
  v4: readonly string[],
  v6: readonly string[],
  interfaces: Readonly<Record<string, readonly NetworkInterfaceInfo[] | undefined>>,
): readonly [v4: readonly string[], v6: readonly string[]] {
  if (v4.length === 0 || v6.length === 0) return [v4, v6]
  const own = Object.values(interfaces).flatMap((each) => each ?? [])
  const has = (family: string): boolean =>
    own.some((each) => each.family === family && !each.internal && !/^(?:fe80:|169\.254\.)/i.test(each.address))
  if (has('IPv4') === has('IPv6')) return [v4, v6]
  return has('IPv4') ? [v4, v6.filter((each) => each === '::1')] : [v4.filter((each) => each.startsWith('127.')), v6]
}

/**
 * Which addresses are ways to one and the same instance: one of each family is taken for one with both; of more, nobody says which
 * belong together. IPv4 first: it is what the id is made of, and stays when the other family comes and goes.
 */
export function instancesOf(v4: readonly string[], v6: readonly string[]): readonly (readonly [string, ...string[]])[] {
  const [first4] = v4
  const [first6] = v6
  if (v4.length === 1 && v6.length === 1 && first4 !== undefined && first6 !== undefined) return [[first4, first6]]
  return [...v4, ...v6].map((each) => [each])
}

/** `10.0.0.1:80`, `[fd00::1]:80`. */
export function endpointId(host: string, port: number): string {
  return host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`
}
