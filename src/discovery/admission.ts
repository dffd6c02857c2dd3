// What a source says of single endpoints, checked before anybody is called: a registry is written to by many, and some write nonsense.
import type { Endpoint } from '../core/contracts/source.ts'
import { equalAddresses, equalEndpoints } from './endpoint-changes.ts'
import type { IntakeRules } from './intake-options.ts'
import { readEndpoint } from './read-endpoint.ts'
import { isVouched } from './vouched.ts'

/** What was let in. */
export interface Admission {
  /** By id, in the order of the source. */
  readonly endpoints: ReadonlyMap<string, Endpoint>
  /** How many entries were left out; duplicates that are equal are not among them. */
  readonly refused: number
  /** Why, a line a reason, with how often and one example. Also of what was mended. */
  readonly reasons: readonly string[]
}

/** What admission goes by. */
export type AdmissionRules = Pick<IntakeRules, 'addressRule' | 'port' | 'maxEndpoints'>

const NOBODY: ReadonlyMap<string, Endpoint> = new Map()
const MOST_REASONS = 20
const LONGEST_NAME = 80

/**
 * Checks the entries of one answer. Of the same id the first is kept. The work is bounded: at most twice `maxEndpoints` entries are looked at,
 * however many there are.
 * @param before who was let in the last time: what is equal to it needs no reading
 */
export function admit(
  entries: readonly unknown[],
  rules: AdmissionRules,
  remote: boolean,
  before: ReadonlyMap<string, Endpoint> = NOBODY,
): Admission {
  const endpoints = new Map<string, Endpoint>()
  const told = new Reasons()
  const most = Math.min(entries.length, rules.maxEndpoints * 2)
  let seen = 0
  for (; seen < most && endpoints.size < rules.maxEndpoints; seen++) {
    const entry = entries[seen]
    const same = rules.port === undefined ? unchanged(before, entry) : undefined
    const read = same === undefined ? readEndpoint(entry, (flaw) => told.flaw(flaw, entry)) : { endpoint: same }
    if ('refused' in read) {
      told.refuse(read.refused, entry)
      continue
    }
    const known = endpoints.get(read.endpoint.id)
    if (known !== undefined) {
      if (!equalAddresses(known, pick(read.endpoint, rules.port) ?? read.endpoint))
        told.refuse('another entry has the same id', entry)
      continue
    }
    const endpoint = pick(read.endpoint, rules.port)
    if (endpoint === undefined) {
      told.refuse(`no port named ${quoted(rules.port as string)}`, entry)
      continue
    }
    const allowed = allow(endpoint, rules, remote && !isVouched(entry as object), (reason) => told.flaw(reason, entry))
    if (typeof allowed === 'string') told.refuse(allowed, entry)
    else endpoints.set(allowed.id, allowed)
  }
  if (seen < entries.length) told.tooMany(entries.length - seen, rules.maxEndpoints)
  return { endpoints, refused: told.refused, reasons: told.lines() }
}

// What was read once reads the same again: an answer is mostly what it was before.
function unchanged(before: ReadonlyMap<string, Endpoint>, entry: unknown): Endpoint | undefined {
  if (typeof entry !== 'object' || entry === null) return undefined
  const given = entry as Endpoint
  const known = before.get(given.id)
  return known !== undefined && Array.isArray(given.addresses) && equalEndpoints(known, given) ? known : undefined
}

function pick(endpoint: Endpoint, name: string | undefined): Endpoint | undefined {
  if (name === undefined) return endpoint
  const { ports } = endpoint
  const port = ports !== undefined && Object.hasOwn(ports, name) ? ports[name] : undefined
  if (port === undefined) return undefined
  const hosts = [...new Set(endpoint.addresses.map(({ host }) => host))]
  return { ...endpoint, addresses: hosts.map((host) => ({ host, port })) }
}

function allow(
  endpoint: Endpoint,
  rules: AdmissionRules,
  strict: boolean,
  onRefused: (reason: string) => void,
): Endpoint | string {
  let reason = ''
  const addresses = endpoint.addresses.filter(({ host }) => {
    const refused = rules.addressRule(host, strict, endpoint)
    if (refused !== undefined) reason = refused
    return refused === undefined
  })
  if (addresses.length === endpoint.addresses.length) return endpoint
  if (addresses.length === 0) return reason
  onRefused(`one of its addresses is left out: ${reason}`)
  return { ...endpoint, addresses }
}

// Lines for a person: few, however much is wrong, and nothing in them that could pass for a line of its own.
class Reasons {
  refused = 0
  readonly #counts = new Map<string, { count: number; readonly example: string }>()

  refuse(reason: string, entry: unknown): void {
    this.refused++
    this.flaw(reason, entry)
  }

  flaw(reason: string, entry: unknown): void {
    const known = this.#counts.get(reason)
    if (known !== undefined) known.count++
    else if (this.#counts.size < MOST_REASONS) this.#counts.set(reason, { count: 1, example: nameOf(entry) })
  }

  tooMany(left: number, most: number): void {
    this.refused += left
    this.#counts.set(`more than maxEndpoints (${most}): the first are kept`, { count: left, example: '' })
  }

  lines(): readonly string[] {
    return [...this.#counts].map(([reason, { count, example }]) => {
      const times = count === 1 ? '' : `, ${count} times`
      return example === '' ? `${reason}${times}` : `${reason}${times}${count === 1 ? ': ' : ', first '}${example}`
    })
  }
}

function nameOf(entry: unknown): string {
  if (typeof entry !== 'object' || entry === null) return quoted(String(entry))
  const { id } = entry as { readonly id?: unknown }
  return typeof id === 'string' ? quoted(id) : 'one without id'
}

function quoted(text: string): string {
  return JSON.stringify(text.length > LONGEST_NAME ? `${text.slice(0, LONGEST_NAME)}...` : text)
}
