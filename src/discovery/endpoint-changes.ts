// Registries say the same again and again: what is equal stays the same object, so that nobody behind works for nothing.
import type { Endpoint } from '../core/contracts/source.ts'
import type { EndpointsById } from './mass-loss.ts'

/** What is different between two sets, by id. */
export interface EndpointChanges {
  readonly added: readonly string[]
  readonly removed: readonly string[]
  /** Somebody came, went or changed. The order alone is no change: many servers rotate their answers. */
  readonly any: boolean
}

/** Compares two sets whose equal endpoints are the same object. */
export function changesOf(before: EndpointsById, after: EndpointsById): EndpointChanges {
  const added: string[] = []
  const removed: string[] = []
  let changed = false
  for (const [id, endpoint] of after) {
    const old = before.get(id)
    if (old === undefined) added.push(id)
    else if (old !== endpoint) changed = true
  }
  for (const id of before.keys()) if (!after.has(id)) removed.push(id)
  return { added, removed, any: changed || added.length > 0 || removed.length > 0 }
}

/** The fresh set, with the old object wherever nothing has changed. */
export function keepEqual(old: EndpointsById, fresh: EndpointsById): EndpointsById {
  const kept = new Map<string, Endpoint>()
  for (const [id, endpoint] of fresh) {
    const before = old.get(id)
    kept.set(id, before !== undefined && equalEndpoints(before, endpoint) ? before : endpoint)
  }
  return kept
}

/** The same instance with the same facts. */
export function equalEndpoints(a: Endpoint, b: Endpoint): boolean {
  return (
    a === b ||
    (a.id === b.id &&
      equalAddresses(a, b) &&
      a.hostname === b.hostname &&
      a.secure === b.secure &&
      a.weight === b.weight &&
      a.priority === b.priority &&
      a.zone === b.zone &&
      a.state === b.state &&
      equalRecords(a.ports, b.ports) &&
      equalRecords(a.metadata, b.metadata))
  )
}

/** The same ways to them, in the same order. */
export function equalAddresses(a: Endpoint, b: Endpoint): boolean {
  if (a.addresses.length !== b.addresses.length) return false
  for (const [at, address] of a.addresses.entries()) {
    const other = b.addresses[at]
    if (address.host !== other?.host || address.port !== other.port) return false
  }
  return true
}

function equalRecords<T>(
  a: Readonly<Record<string, T>> | undefined,
  b: Readonly<Record<string, T>> | undefined,
): boolean {
  if (a === b) return true
  if (typeof a !== 'object' || typeof b !== 'object' || a === null || b === null) return false
  const names = Object.keys(a)
  if (names.length !== Object.keys(b).length) return false
  for (const name of names) if (!Object.hasOwn(b, name) || a[name] !== b[name]) return false
  return true
}
