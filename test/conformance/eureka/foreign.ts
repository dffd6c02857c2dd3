// A foreign client of Eureka, over bare HTTP: writes and reads the registry without a line of ours.
import type { Endpoint } from '../../../src/core/contracts/source.ts'

/** An instance as the registry writes it, as far as tests look at it. */
export interface ForeignInstance {
  readonly instanceId: string
  readonly app: string
  readonly hostName: string
  readonly ipAddr: string
  readonly status: string
  readonly overriddenStatus?: string
  readonly port: { readonly $: number; readonly '@enabled': string }
  readonly securePort: { readonly $: number; readonly '@enabled': string }
  readonly metadata: Readonly<Record<string, string>>
}

/** A hand in one registry. `url` is its base URL. */
export interface Foreign {
  readonly url: string
  /** Any request; answers status and text. */
  ask(method: string, path: string, body?: unknown): Promise<{ readonly status: number; readonly text: string }>
  /** Registers an instance; `more` is put over what an instance has. */
  post(application: string, id: string, more?: Readonly<Record<string, unknown>>): Promise<void>
  remove(application: string, id: string): Promise<void>
  /** Puts a status over the instance's own, as an operator does. */
  override(application: string, id: string, status: string): Promise<void>
  instances(application: string): Promise<readonly ForeignInstance[]>
  all(): Promise<readonly ForeignInstance[]>
  /** Takes everything out. */
  clear(): Promise<void>
  /** Registers what `all` has told. */
  restore(instances: readonly ForeignInstance[]): Promise<void>
  /** Makes the registry say exactly this of a service. */
  announce(service: string, endpoints: readonly Endpoint[]): Promise<void>
  /** What it says of a service. */
  read(service: string): Promise<readonly Endpoint[]>
}

const STATUS = { ready: 'UP', starting: 'STARTING', draining: 'OUT_OF_SERVICE', down: 'DOWN' } as const
const STATE: Readonly<Record<string, NonNullable<Endpoint['state']>>> = {
  UP: 'ready',
  STARTING: 'starting',
  OUT_OF_SERVICE: 'draining',
  DOWN: 'down',
}

const listed = <T>(value: T | readonly T[] | undefined): readonly T[] =>
  value === undefined ? [] : Array.isArray(value) ? (value as readonly T[]) : [value as T]

let dirty = Date.now()

const instanceOf = (endpoint: Endpoint): Readonly<Record<string, unknown>> => {
  const { host, port } = endpoint.addresses[0] as Endpoint['addresses'][number]
  return {
    hostName: host,
    ipAddr: host,
    status: STATUS[endpoint.state ?? 'ready'],
    port: { $: port, '@enabled': 'true' },
    metadata: {
      ...endpoint.metadata,
      ...(endpoint.weight === undefined ? {} : { weight: String(endpoint.weight) }),
      ...(endpoint.zone === undefined ? {} : { zone: endpoint.zone }),
      ...Object.fromEntries(Object.entries(endpoint.ports ?? {}).map(([name, at]) => [`${name}.port`, String(at)])),
    },
  }
}

const endpointOf = (instance: ForeignInstance): Endpoint => {
  const { weight, zone, ...metadata } = instance.metadata
  const ports = Object.entries(metadata).filter(([name]) => name.endsWith('.port'))
  return {
    id: instance.instanceId,
    addresses: [{ host: instance.hostName, port: Number(instance.port.$) }],
    state: STATE[instance.status] ?? 'down',
    ...(weight === undefined ? {} : { weight: Number(weight) }),
    ...(zone === undefined ? {} : { zone }),
    ports: Object.fromEntries(ports.map(([name, at]) => [name.slice(0, -'.port'.length), Number(at)])),
    metadata,
  }
}

const inParallel = async <T>(items: readonly T[], work: (item: T) => Promise<void>): Promise<void> => {
  const left = [...items]
  const worker = async (): Promise<void> => {
    for (let item = left.pop(); item !== undefined; item = left.pop()) await work(item)
  }
  await Promise.all(Array.from({ length: 32 }, worker))
}

/** A hand in the registry at this base URL. */
export const foreign = (url: string): Foreign => {
  const written = new Map<string, Map<string, string>>()
  const client: Foreign = {
    url,
    async ask(method, path, body) {
      const response = await fetch(`${url}${path}`, {
        method,
        headers: {
          accept: 'application/json',
          ...(body === undefined ? {} : { 'content-type': 'application/json' }),
        },
        ...(body === undefined ? {} : { body: JSON.stringify(body) }),
        signal: AbortSignal.timeout(20_000),
      })
      return { status: response.status, text: await response.text() }
    },
    async post(application, id, more = {}) {
      const app = application.toUpperCase()
      const { status, text } = await client.ask('POST', `/apps/${app}`, {
        instance: {
          instanceId: id,
          app,
          hostName: '10.1.2.3',
          ipAddr: '10.1.2.3',
          vipAddress: application,
          status: 'UP',
          port: { $: 8080, '@enabled': 'true' },
          dataCenterInfo: { '@class': 'com.netflix.appinfo.InstanceInfo$DefaultDataCenterInfo', name: 'MyOwn' },
          leaseInfo: { renewalIntervalInSecs: 600, durationInSecs: 3_600 },
          lastDirtyTimestamp: String(dirty++),
          ...more,
        },
      })
      if (status !== 204) throw new Error(`POST ${id}: ${status} ${text}`)
    },
    async remove(application, id) {
      const { status, text } = await client.ask('DELETE', `/apps/${application.toUpperCase()}/${id}`)
      if (status !== 200 && status !== 404) throw new Error(`DELETE ${id}: ${status} ${text}`)
    },
    async override(application, id, status) {
      const answer = await client.ask('PUT', `/apps/${application.toUpperCase()}/${id}/status?value=${status}`)
      if (answer.status !== 200) throw new Error(`PUT ${id} ${status}: ${answer.status} ${answer.text}`)
    },
    async instances(application) {
      const { status, text } = await client.ask('GET', `/apps/${application.toUpperCase()}`)
      if (status === 404) return []
      return listed((JSON.parse(text) as { application: { instance: ForeignInstance[] } }).application.instance)
    },
    async all() {
      const { text } = await client.ask('GET', '/apps')
      const { application } = (JSON.parse(text) as { applications: { application: { instance: ForeignInstance[] }[] } })
        .applications
      return listed(application).flatMap(({ instance }) => listed(instance))
    },
    clear: async () => inParallel(await client.all(), ({ app, instanceId }) => client.remove(app, instanceId)),
    restore: (instances) =>
      inParallel(instances, ({ app, instanceId, ...more }) =>
        client.post(app, instanceId, { ...more, lastDirtyTimestamp: String(dirty++) }),
      ),
    async announce(service, endpoints) {
      const before = written.get(service) ?? new Map<string, string>()
      const now = new Map(endpoints.map((endpoint) => [endpoint.id, JSON.stringify(endpoint)]))
      // What was lost with a server is written again.
      const there = new Set((await client.instances(service)).map(({ instanceId }) => instanceId))
      await inParallel(endpoints, async (endpoint) => {
        if (there.has(endpoint.id) && before.get(endpoint.id) === now.get(endpoint.id)) return
        await client.post(service, endpoint.id, instanceOf(endpoint))
        if (!there.has(endpoint.id)) return
        // UP and OUT_OF_SERVICE stay, whatever is registered.
        const state = endpoint.state ?? 'ready'
        if (state === 'ready' || state === 'draining') await client.override(service, endpoint.id, STATUS[state])
      })
      await inParallel(
        [...there].filter((id) => !now.has(id)),
        (id) => client.remove(service, id),
      )
      written.set(service, now)
    },
    read: async (service) => (await client.instances(service)).map(endpointOf),
  }
  return client
}
