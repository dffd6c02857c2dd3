// One list of several registries: who is announced in two of them is one endpoint, and two that share an id are two.
import type { Endpoint } from '../core/contracts/source.ts'
import { equalAddresses } from './endpoint-changes.ts'
import { isVouched, vouch } from './vouched.ts'

/** What one registry says. */
export interface Share {
  readonly name: string
  readonly endpoints: readonly Endpoint[]
}

interface Group {
  /** As the earliest registry has it. */
  endpoint: Endpoint
  readonly share: number
  /** Registry and its own id, of each entry that is this endpoint. */
  readonly keys: string[]
  lastShare: number
}

/**
 * Merges for one watch. An endpoint that several registries have under one first address is given once, as the earliest registry has it. It keeps its id
 * as long as any of them has it; an id that is taken already gets the registry's name before it.
 */
export class EndpointMerger {
  #given: ReadonlyMap<string, string> = new Map()

  merge(shares: readonly Share[]): readonly Endpoint[] {
    const groups = group(shares)
    const given = new Map<Group, string>()
    const taken = new Set<string>()
    // Those who had an id before come first: nobody new may take it from them.
    for (const each of groups) {
      for (const key of each.keys) {
        const id = this.#given.get(key)
        if (id === undefined || taken.has(id)) continue
        taken.add(id)
        given.set(each, id)
        break
      }
    }
    const merged: Endpoint[] = []
    const next = new Map<string, string>()
    for (const each of groups) {
      const id = given.get(each) ?? free(each, shares, taken)
      taken.add(id)
      for (const key of each.keys) next.set(key, id)
      merged.push(each.endpoint.id === id ? each.endpoint : { ...each.endpoint, id })
    }
    this.#given = next
    return merged
  }
}

function group(shares: readonly Share[]): readonly Group[] {
  const groups: Group[] = []
  const byAddress = new Map<string, Group>()
  const byKey = new Map<string, Group>()
  for (const [share, { endpoints }] of shares.entries()) {
    for (const endpoint of endpoints) {
      const key = `${share}\n${endpoint.id}`
      // A registry that names one id twice: left as it is, for admission to refuse.
      if (byKey.has(key)) continue
      const address = addressOf(endpoint)
      const known = address === undefined ? undefined : byAddress.get(address)
      // Two of one registry at one address are its own business: an old instance and the new one that took its address.
      const own = known === undefined || known.lastShare === share
      const found = own ? { endpoint, share, keys: [key], lastShare: share } : known
      if (own) groups.push(found)
      else {
        found.keys.push(key)
        if (isVouched(endpoint) && equalAddresses(found.endpoint, endpoint)) found.endpoint = vouch(found.endpoint)
      }
      found.lastShare = share
      byKey.set(key, found)
      if (address !== undefined && known === undefined) byAddress.set(address, found)
    }
  }
  return groups
}

function free(group: Group, shares: readonly Share[], taken: ReadonlySet<string>): string {
  const { id } = group.endpoint
  if (!taken.has(id)) return id
  const named = `${shares[group.share]?.name}/${id}`
  return taken.has(named) ? `${group.share}:${named}` : named
}

function addressOf(endpoint: Endpoint): string | undefined {
  const address = endpoint.addresses[0]
  return address === undefined ? undefined : `${String(address.host).toLowerCase()}:${address.port}`
}
