// Where the order service finds inventory and payment: a list, or a real registry. `npm run demo -- --registry consul=http://127.0.0.1:8500`.
import { consulRegistrar, consulSource } from 'fairlead/consul'
import { announce, type Source, staticSource } from 'fairlead/discovery'
import { dnsSource } from 'fairlead/dns'
import { eurekaRegistrar, eurekaSource } from 'fairlead/eureka'
import { kubernetesSource } from 'fairlead/kubernetes'

/** A registry that runs somewhere. */
export interface Registry {
  readonly kind: 'eureka' | 'consul' | 'kubernetes' | 'dns'
  /** `host:port` for DNS, else a URL. */
  readonly at: string
  /** Before the names of services: nobody else's inventory is called, and nobody else calls ours. */
  readonly prefix: string
}

// Where they usually are. Kubernetes: `kubectl proxy`, or an https URL with KUBERNETES_TOKEN, and NODE_EXTRA_CA_CERTS for its authority.
// DNS: `dnsmasq --port=5353 --no-hosts --hostsdir=FOLDER`, with DNS_HOSTS_FOLDER=FOLDER; it needs 127.0.0.2 besides 127.0.0.1, as Linux has it.
const USUALLY: Readonly<Record<Registry['kind'], string>> = {
  eureka: 'http://127.0.0.1:8761/eureka',
  consul: 'http://127.0.0.1:8500',
  kubernetes: 'http://127.0.0.1:8001',
  dns: '127.0.0.1:5353',
}

/** Reads `consul`, or `consul=http://127.0.0.1:8500`. */
export function readRegistry(option: string): Registry {
  const [kind = '', at] = option.split(/=(.*)/)
  if (!Object.hasOwn(USUALLY, kind)) throw new Error(`--registry: give one of ${Object.keys(USUALLY).join(', ')}`)
  if (kind === 'dns' && process.env['DNS_HOSTS_FOLDER'] === undefined)
    throw new Error('--registry dns: give DNS_HOSTS_FOLDER, the --hostsdir of dnsmasq')
  const known = kind as Registry['kind']
  return { kind: known, at: at ?? USUALLY[known], prefix: `order-flow-${process.pid}-` }
}

/** For the order service: who says where the instances are. */
export function sourceOf(
  registry: Registry | undefined,
  instances: Readonly<Record<string, readonly string[]>>,
): Source {
  if (registry === undefined) return staticSource(instances)
  const { kind, at, prefix } = registry
  const named = (source: Source): Source => ({
    ...source,
    watch: (service, listener) => source.watch(prefix + service, listener),
  })
  if (kind === 'eureka') return named(eurekaSource({ urls: [at], intervalMs: 1_000 }))
  if (kind === 'consul') return named(consulSource({ url: at }))
  if (kind === 'kubernetes')
    return named(kubernetesSource({ server: at, namespace: 'default', token: process.env['KUBERNETES_TOKEN'] }))
  // Addresses have no port: the instances of a service share one.
  const portOf = (service: string): string | undefined => instances[service]?.[0]?.split(':')[1]
  return dnsSource({ servers: [at], names: (service) => `${prefix}${service}.test:${portOf(service)}` })
}

/** For inventory and payment: announces an instance that listens. With Kubernetes and DNS that is the platform's business. */
export async function announceInstance(
  registry: Registry | undefined,
  service: string,
  host: string,
  port: number,
): Promise<void> {
  if (registry?.kind !== 'eureka' && registry?.kind !== 'consul') return
  const { kind, at, prefix } = registry
  await announce({
    registrar: kind === 'eureka' ? eurekaRegistrar({ urls: [at] }) : consulRegistrar({ url: at }),
    service: prefix + service,
    endpoint: { id: `${prefix}${service}-${port}`, addresses: [{ host, port }] },
    required: true,
    drainMs: 0, // at the end of the demo nobody calls any more: leave at once
    closeServer: () => process.disconnect(),
  })
}
