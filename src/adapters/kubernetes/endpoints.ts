// All slices of a service become its endpoints: united by pod, one port chosen, hints obeyed under the conditions of kube-proxy.
import type { Endpoint } from '../../core/contracts/source.ts'
import type { KubernetesSettings } from './options.ts'
import type { Slice, SliceEntry, SlicePort } from './slices.ts'

/** What of the settings matters here. */
export type Taking = Pick<KubernetesSettings, 'port' | 'secure' | 'families' | 'zone' | 'node'> & {
  readonly hostname: string
}

/** Who there is, and what was left out. */
export interface Taken {
  readonly endpoints: readonly Endpoint[]
  readonly note: string | undefined
}

const RANKS: Readonly<Record<SliceEntry['state'], number>> = { ready: 0, starting: 1, draining: 2, down: 3 }

interface Made {
  readonly endpoint: Endpoint
  readonly entry: SliceEntry
}

/** Makes the endpoints of a service of all its slices. */
export function endpointsOf(slices: Iterable<Slice>, taking: Taking): Taken {
  const told = new Notes()
  // By name, so that the same slices give the same list, whatever the order they came in.
  const ordered = [...slices].sort((a, b) => (a.name < b.name ? -1 : 1))
  const instances = new Map<string, SliceEntry[]>()
  for (const slice of ordered) {
    told.unreadable += slice.unreadable
    for (const entry of slice.entries) {
      if (entry.family !== 'name' && !taking.families.includes(entry.family)) continue
      const key = entry.uid ?? `@${entry.host}`
      const known = instances.get(key)
      if (known === undefined) instances.set(key, [entry])
      else known.push(entry)
    }
  }
  const made: Made[] = []
  for (const entries of instances.values()) make(entries, taking, told, made)
  return { endpoints: byHints(made, taking), note: told.text(taking) }
}

// A pod is one endpoint with all its addresses. Addresses without a pod are one endpoint a port: several programs may share a host.
function make(entries: SliceEntry[], taking: Taking, told: Notes, made: Made[]): void {
  if (entries.length > 1) entries.sort((a, b) => RANKS[a.state] - RANKS[b.state] || place(a, taking) - place(b, taking))
  const [best] = entries
  if (best === undefined) return
  const name = chosen(entries, taking, told)
  if (name === undefined) {
    told.portless++
    return
  }
  const ways = waysOf(entries, name, taking)
  const [first] = ways
  if (first === undefined) return
  if (best.uid !== undefined) made.push({ endpoint: build(best.uid, ways, entries, taking), entry: first.entry })
  else
    for (const way of ways) {
      const host = way.host.includes(':') ? `[${way.host}]` : way.host
      made.push({ endpoint: build(`${host}:${way.port}`, [way], entries, taking), entry: way.entry })
    }
}

interface Way {
  readonly host: string
  readonly port: number
  readonly secure: boolean
  readonly entry: SliceEntry
}

// An address can be in two slices while it moves: the first one counts, and the best state is first.
function waysOf(entries: readonly SliceEntry[], name: string | number, taking: Taking): readonly Way[] {
  const ways: Way[] = []
  const seen = entries.length > 1 ? new Set<string>() : undefined
  for (const entry of entries) {
    const ports: readonly SlicePort[] =
      typeof name === 'number'
        ? [entry.ports.find(({ number }) => number === name) ?? { name: '', number: name, secure: false }]
        : entry.ports
    for (const { name: of, number, secure } of ports) {
      if (of !== name && typeof name === 'string') continue
      const way = seen === undefined ? '' : `${entry.host} ${number}`
      if (seen?.has(way)) continue
      seen?.add(way)
      ways.push({ host: entry.host, port: number, secure: taking.secure ?? secure, entry })
    }
  }
  return ways
}

function build(id: string, ways: readonly Way[], entries: readonly SliceEntry[], taking: Taking): Endpoint {
  const [first] = ways as readonly [Way]
  const { entry } = first
  const ports = namedPorts(entries)
  return {
    id,
    addresses: ways.map(({ host, port }) => ({ host, port })),
    ...(ports === undefined ? {} : { ports }),
    hostname: entry.family === 'name' ? entry.host : taking.hostname,
    ...(first.secure ? { secure: true } : {}),
    ...(entry.zone === undefined ? {} : { zone: entry.zone }),
    ...(entry.state === 'ready' ? {} : { state: entry.state }),
    metadata: entry.metadata,
  }
}

function namedPorts(entries: readonly SliceEntry[]): Readonly<Record<string, number>> | undefined {
  let ports: Record<string, number> | undefined
  for (const entry of entries)
    for (const { name, number } of entry.ports) {
      if (name === '') continue
      ports ??= Object.create(null) as Record<string, number>
      ports[name] ??= number
    }
  return ports
}

// The name of the port to call, or its number; undefined where these entries have none.
function chosen(entries: readonly SliceEntry[], taking: Taking, told: Notes): string | number | undefined {
  if (typeof taking.port === 'number') return taking.port
  const names: string[] = []
  for (const { ports } of entries) for (const { name } of ports) if (!names.includes(name)) names.push(name)
  if (taking.port !== undefined) return names.includes(taking.port) ? taking.port : undefined
  const [only] = names
  if (names.length < 2) return only
  for (const name of ['', 'http', 'https']) if (names.includes(name)) return name
  told.guessed = only
  return only
}

function place(entry: SliceEntry, taking: Taking): number {
  return entry.family === 'name' ? 0 : taking.families.indexOf(entry.family)
}

// Hints keep calls near where every ready endpoint has one and at least one of them means us; a single one without makes all of them void
// (the same safeguards as kube-proxy's). The others are not dropped but come after: near is a wish, and an outage of the zone is not.
function byHints(made: readonly Made[], taking: Taking): readonly Endpoint[] {
  const node = obeyed(made, ({ forNodes }) => forNodes, taking.node)
  const zone = obeyed(made, ({ forZones }) => forZones, taking.zone)
  if (node === undefined && zone === undefined) return made.map(({ endpoint }) => endpoint)
  return made.map(({ endpoint, entry }) => {
    const priority =
      node !== undefined && entry.forNodes.includes(node)
        ? 0
        : (node === undefined ? 0 : 1) + (zone === undefined || entry.forZones.includes(zone) ? 0 : 1)
    return priority === 0 ? endpoint : { ...endpoint, priority }
  })
}

function obeyed(
  made: readonly Made[],
  hints: (entry: SliceEntry) => readonly string[],
  own: string | undefined,
): string | undefined {
  if (own === undefined) return undefined
  let ours = false
  for (const { entry } of made) {
    if (entry.state !== 'ready') continue
    const given = hints(entry)
    if (given.length === 0) return undefined
    ours ||= given.includes(own)
  }
  return ours ? own : undefined
}

class Notes {
  unreadable = 0
  portless = 0
  guessed: string | undefined

  text(taking: Taking): string | undefined {
    const all: string[] = []
    if (this.unreadable > 0) all.push(`${this.unreadable} without a usable address left out`)
    if (this.portless > 0) {
      const which = typeof taking.port === 'string' ? `TCP port ${JSON.stringify(taking.port)}` : 'TCP port'
      all.push(`${this.portless} without a ${which} left out`)
    }
    if (this.guessed !== undefined)
      all.push(`several ports, and ${JSON.stringify(this.guessed)} was taken: option port says which`)
    return all.length === 0 ? undefined : all.join('; ')
  }
}
