// The two formats of a file of endpoints: Prometheus' file_sd, which many tools write, and our own, which says more.
import type { Endpoint } from '../../core/contracts/source.ts'
import { readAddressText } from '../../discovery/address-text.ts'
import { readWeight } from '../../discovery/entry.ts'
import { readEndpoint } from '../../discovery/read-endpoint.ts'
import { createError } from '../../errors/classes.ts'

/** `fairlead`: `{ "services": { "inventory": ["host:port", { "id", "addresses", ... }] } }`. `prometheus`: `[{ "targets": ["host:port"], "labels": { "job": "inventory" } }]`. */
export type FileFormat = 'fairlead' | 'prometheus'

/** An entry of a file. */
export interface FileEntry {
  readonly endpoint: Endpoint
  /** Milliseconds since 1970; absent for what was written by hand, which stays. */
  readonly until?: number | undefined
}

/** What a file says. */
export interface FileContent {
  readonly services: ReadonlyMap<string, readonly FileEntry[]>
  /** Entries that are no endpoints, by service; under '' those of no service. */
  readonly flaws: ReadonlyMap<string, readonly string[]>
}

/** Labels that name the service, the first that a group has. `job` is Prometheus' own. */
export const SERVICE_LABELS: readonly string[] = ['service', '__meta_service', 'job']

const MOST_FLAWS = 10

/** The lease of an entry that a registrar wrote. */
export interface FileLease {
  readonly owner: string
  readonly until: number
}

/**
 * Reads a whole file, or nothing of it.
 * @throws FairleadError REPLY_UNDECODABLE
 */
export function readContent(
  text: string,
  format: FileFormat | undefined,
  labels: readonly string[] = SERVICE_LABELS,
): FileContent {
  const document = parse(text)
  const found = format ?? (Array.isArray(document) ? 'prometheus' : 'fairlead')
  return found === 'prometheus' ? readPrometheus(document, labels) : readOwn(document)
}

/**
 * JSON, and not nothing: a file that is being written is empty first.
 * @throws FairleadError REPLY_UNDECODABLE
 */
export function parse(text: string): unknown {
  const json = text.replace(/^\uFEFF/, '')
  if (json.trim() === '') throw unreadable('it is empty')
  try {
    return JSON.parse(json)
  } catch (cause) {
    throw unreadable('it is no JSON, or half of it', cause)
  }
}

/** The lease of an entry; undefined for one that has none. */
export function readLease(entry: unknown): FileLease | undefined {
  if (typeof entry !== 'object' || entry === null) return undefined
  const { lease } = entry as { readonly lease?: unknown }
  if (typeof lease !== 'object' || lease === null) return undefined
  const { owner, until } = lease as Record<string, unknown>
  return typeof owner === 'string' && typeof until === 'number' ? { owner, until } : undefined
}

/** The services of a document in our own format. @throws FairleadError REPLY_UNDECODABLE */
export function servicesOf(document: unknown): readonly (readonly [string, readonly unknown[]])[] {
  const services = isRecord(document) ? document.services : undefined
  if (!isRecord(services)) throw unreadable('it has no `services`')
  return Object.entries(services).map(([service, entries]) => {
    if (!Array.isArray(entries)) throw unreadable(`the service ${JSON.stringify(service)} is no list`)
    return [service, entries]
  })
}

function readOwn(document: unknown): FileContent {
  const content = new Content()
  for (const [service, entries] of servicesOf(document)) {
    content.know(service)
    for (const entry of entries) {
      const read = readOwnEntry(entry, (flaw) => content.flaw(service, flaw))
      if (typeof read === 'string') content.flaw(service, read)
      else content.add(service, { endpoint: read, until: readLease(entry)?.until })
    }
  }
  return content
}

function readOwnEntry(entry: unknown, onFlaw: (flaw: string) => void): Endpoint | string {
  if (typeof entry === 'string') return readAddressText(entry) ?? 'no address'
  if (!isRecord(entry)) return 'no endpoint'
  // Without an id it is known by its address, as text is.
  const [first] = Array.isArray(entry.addresses) ? (entry.addresses as unknown[]) : []
  const id = entry.id ?? (isRecord(first) ? `${String(first.host)}:${String(first.port)}` : undefined)
  const read = readEndpoint({ ...entry, id }, onFlaw)
  return 'refused' in read ? read.refused : read.endpoint
}

function readPrometheus(document: unknown, labelNames: readonly string[]): FileContent {
  if (!Array.isArray(document)) throw unreadable('it is no list of groups')
  const content = new Content()
  for (const group of document as unknown[]) {
    if (!isRecord(group) || !Array.isArray(group.targets)) throw unreadable('a group has no `targets`')
    const labels = isRecord(group.labels) ? group.labels : {}
    const service = labelNames.map((name) => ownText(labels, name)).find((name) => name !== undefined)
    if (service === undefined) {
      content.flaw('', `a group without a label that names its service (${labelNames.join(', ')})`)
      continue
    }
    content.know(service)
    for (const target of group.targets as unknown[]) {
      const endpoint = readTarget(target, labels)
      if (endpoint === undefined) content.flaw(service, 'no address')
      else content.add(service, { endpoint })
    }
  }
  return content
}

function readTarget(target: unknown, labels: Readonly<Record<string, unknown>>): Endpoint | undefined {
  if (typeof target !== 'string' || target.includes('://')) return undefined
  const endpoint = readAddressText(target)
  if (endpoint === undefined) return undefined
  const metadata = Object.entries(labels).filter(
    (each): each is [string, string] => typeof each[1] === 'string' && !each[0].startsWith('__'),
  )
  const zone = ownText(labels, 'zone')
  const weight = readWeight(ownText(labels, 'weight'))
  return {
    ...endpoint,
    ...(ownText(labels, '__scheme__') === 'https' ? { secure: true } : {}),
    ...(zone === undefined ? {} : { zone }),
    ...(weight === undefined ? {} : { weight }),
    ...(metadata.length === 0 ? {} : { metadata: Object.fromEntries(metadata) }),
  }
}

class Content implements FileContent {
  readonly services = new Map<string, FileEntry[]>()
  readonly flaws = new Map<string, string[]>()

  know(service: string): void {
    if (!this.services.has(service)) this.services.set(service, [])
  }

  add(service: string, entry: FileEntry): void {
    this.services.get(service)?.push(entry)
  }

  flaw(service: string, flaw: string): void {
    const flaws = this.flaws.get(service) ?? []
    this.flaws.set(service, flaws)
    if (flaws.length < MOST_FLAWS && !flaws.includes(flaw)) flaws.push(flaw)
  }
}

function ownText(record: Readonly<Record<string, unknown>>, name: string): string | undefined {
  const value = Object.hasOwn(record, name) ? record[name] : undefined
  return typeof value === 'string' && value !== '' ? value : undefined
}

function isRecord(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

function unreadable(why: string, cause?: unknown): Error {
  return createError({
    code: 'REPLY_UNDECODABLE',
    message: why,
    stack: false,
    ...(cause === undefined ? {} : { cause }),
  })
}
