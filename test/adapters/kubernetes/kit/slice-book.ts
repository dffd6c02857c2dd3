// Endpoints written as EndpointSlices, by the custom of the controller that a real cluster has: at most 100 a slice, one set of ports a slice,
// what need not change stays where it is, and what moves is added before it is taken away.
import type { Endpoint } from '../../../../src/core/contracts/source.ts'

/** Where slices are written: a fake or a real API server. */
export interface SliceWriter {
  put(namespace: string, name: string, slice: object): Promise<void>
  remove(namespace: string, name: string): Promise<void>
}

/** One entry of a slice, as Kubernetes has it. */
export type Entry = Readonly<Record<string, unknown>>

interface Page {
  readonly name: string
  readonly ports: string
  readonly family: string
  entries: Map<string, string>
}

const MOST = 100

/** Conditions of an entry by our word for them. */
export const conditions = (state: NonNullable<Endpoint['state']> = 'ready'): object => ({
  ready: state === 'ready',
  serving: state === 'ready' || state === 'draining',
  terminating: state === 'draining',
})

/** A slice as it is written. */
export const sliceOf = (
  service: string,
  name: string,
  entries: readonly Entry[],
  ports: unknown = [{ name: '', port: 8_080, protocol: 'TCP' }],
  addressType = 'IPv4',
): Record<string, unknown> => ({
  apiVersion: 'discovery.k8s.io/v1',
  kind: 'EndpointSlice',
  metadata: { name, labels: { 'kubernetes.io/service-name': service } },
  addressType,
  ports,
  endpoints: entries,
})

/** An entry for a pod. */
export const pod = (uid: string, address: string, more: Entry = {}): Entry => ({
  addresses: [address],
  conditions: { ready: true, serving: true, terminating: false },
  targetRef: { kind: 'Pod', name: `pod-${uid}`, uid },
  ...more,
})

const entryOf = ({ id, addresses, state, zone }: Endpoint): Entry =>
  pod(id, addresses[0]?.host ?? '', { conditions: conditions(state), ...(zone === undefined ? {} : { zone }) })

const portsOf = ({ addresses, ports = {} }: Endpoint): readonly object[] => [
  { name: '', port: addresses[0]?.port, protocol: 'TCP' },
  ...Object.entries(ports).map(([name, port]) => ({ name, port, protocol: 'TCP' })),
]

/** Keeps the slices of services, and writes those that change. */
export class SliceBook {
  readonly #writer: SliceWriter
  readonly #namespace: string
  #services = new Map<string, Page[]>()

  constructor(writer: SliceWriter, namespace: string) {
    this.#writer = writer
    this.#namespace = namespace
  }

  /** Everything that is known, to go back to. */
  copy(): Map<string, Page[]> {
    return new Map(
      [...this.#services].map(([service, pages]) => [
        service,
        pages.map((page) => ({ ...page, entries: new Map(page.entries) })),
      ]),
    )
  }

  restore(copy: Map<string, Page[]> = new Map()): void {
    this.#services = copy
  }

  async announce(service: string, endpoints: readonly Endpoint[]): Promise<void> {
    const pages = this.#services.get(service) ?? []
    this.#services.set(service, pages)
    const changed = new Set<Page>()
    const wanted = new Map(endpoints.map((each) => [each.id, each]))
    const groupOf = (each: Endpoint): string => JSON.stringify(portsOf(each))
    const leaving: [Page, string][] = []
    const placed = new Set<string>()
    for (const page of pages)
      for (const [id, written] of page.entries) {
        const each = wanted.get(id)
        if (each === undefined || groupOf(each) !== page.ports || placed.has(id)) {
          leaving.push([page, id])
          continue
        }
        placed.add(id)
        const entry = JSON.stringify(entryOf(each))
        if (entry === written) continue
        page.entries.set(id, entry)
        changed.add(page)
      }
    const added = new Set<Page>()
    for (const each of endpoints) {
      if (placed.has(each.id)) continue
      const ports = groupOf(each)
      let page = pages.find((one) => one.ports === ports && one.entries.size < MOST)
      if (page === undefined) {
        page = { name: `${service}-${pages.length}`, ports, family: 'IPv4', entries: new Map() }
        pages.push(page)
      }
      page.entries.set(each.id, JSON.stringify(entryOf(each)))
      added.add(page)
    }
    // The placeholder of a service without anybody.
    if (pages.length === 0) {
      const page: Page = { name: `${service}-0`, ports: '[]', family: 'IPv4', entries: new Map() }
      pages.push(page)
      added.add(page)
    }
    for (const page of added) await this.#write(service, page)
    const rest = new Set([...changed].filter((page) => !added.has(page)))
    for (const [page, id] of leaving) {
      page.entries.delete(id)
      rest.add(page)
    }
    for (const page of rest) await this.#write(service, page)
  }

  async #write(service: string, { name, ports, family, entries }: Page): Promise<void> {
    const all = [...entries.values()].map((entry) => JSON.parse(entry) as Entry)
    await this.#writer.put(this.#namespace, name, sliceOf(service, name, all, JSON.parse(ports), family))
  }
}
