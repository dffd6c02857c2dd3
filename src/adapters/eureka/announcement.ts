// An endpoint as an instance of Eureka: what is posted, with all that the registry and clients of other languages ask for.
import { isIP } from 'node:net'
import type { Endpoint } from '../../core/contracts/source.ts'
import { invalidOption } from '../../core/options.ts'
import { HOSTNAME_METADATA, PORT_METADATA, TOKEN_METADATA } from './instance.ts'

/** What Eureka calls the four states. */
export const STATUS: Readonly<Record<NonNullable<Endpoint['state']>, string>> = {
  ready: 'UP',
  starting: 'STARTING',
  draining: 'OUT_OF_SERVICE',
  down: 'DOWN',
}

/** What one announcement says beside its endpoint. */
export interface AnnouncementFacts {
  readonly service: string
  /** Tells our entry from one of another process under the same id. */
  readonly token: string
  readonly status: string
  /** Milliseconds since 1970. The registry keeps what it has where this is older. */
  readonly dirty: number
  readonly intervalSeconds: number
  readonly ttlSeconds: number
}

/**
 * The body of a registration.
 * @throws FairleadError INVALID_OPTIONS for an endpoint without an address
 */
export function announcement(endpoint: Endpoint, facts: AnnouncementFacts): string {
  const first = endpoint.addresses[0]
  if (first === undefined) throw invalidOption('endpoint.addresses', endpoint.addresses, 'give an address')
  const ip = endpoint.addresses.find(({ host }) => isIP(host) !== 0)?.host ?? first.host
  const secure = endpoint.secure === true
  return JSON.stringify({
    instance: {
      instanceId: endpoint.id,
      hostName: first.host,
      app: facts.service.toUpperCase(),
      ipAddr: ip,
      vipAddress: facts.service,
      secureVipAddress: facts.service,
      status: facts.status,
      port: { $: first.port, '@enabled': String(!secure) },
      securePort: { $: first.port, '@enabled': String(secure) },
      countryId: 1,
      dataCenterInfo: { '@class': 'com.netflix.appinfo.InstanceInfo$DefaultDataCenterInfo', name: 'MyOwn' },
      leaseInfo: { renewalIntervalInSecs: facts.intervalSeconds, durationInSecs: facts.ttlSeconds },
      metadata: metadataFor(endpoint, facts.token),
      lastDirtyTimestamp: String(facts.dirty),
    },
  })
}

function metadataFor(endpoint: Endpoint, token: string): Readonly<Record<string, string>> {
  const { metadata, ports, weight, zone, hostname } = endpoint
  return {
    ...metadata,
    ...Object.fromEntries(Object.entries(ports ?? {}).map(([name, port]) => [`${name}${PORT_METADATA}`, String(port)])),
    ...(weight === undefined ? {} : { weight: String(weight) }),
    ...(zone === undefined ? {} : { zone }),
    ...(hostname === undefined ? {} : { [HOSTNAME_METADATA]: hostname }),
    [TOKEN_METADATA]: token,
  }
}
