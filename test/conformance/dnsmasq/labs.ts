// Registries for the suite of sources that are a real dnsmasq: one of addresses, asked directly, and one of SRV records behind a relay.
import { dnsSource } from '../../../src/adapters/dns/index.ts'
import type { Endpoint } from '../../../src/core/contracts/source.ts'
import type { RegistryStart, SourceLab } from '../../../src/testing/index.ts'
import { connectedTo } from '../../adapters/dns/dns-server.ts'
import { startDnsmasq } from '../../services/dnsmasq-instance.ts'
import { startRelay } from './relay.ts'

const counted = (port: number): Pick<SourceLab, 'openThings'> =>
  connectedTo(port) === undefined ? {} : { openThings: () => connectedTo(port) ?? 0 }

/** A records, changed in place. Who has gone altogether is NXDOMAIN. */
export const addressLab = async (): Promise<SourceLab> => {
  const services = new Map<string, readonly string[]>()
  let saved = new Map(services)
  const lines = (): string[] =>
    [...services].flatMap(([service, hosts]) => hosts.map((host) => `${host} ${service}.fairlead.test`))
  const server = await startDnsmasq()
  return {
    traits: {
      unknown: 'absent',
      emptied: 'absent',
      ids: 'address',
      ports: false,
      // Two answers more are awaited before a name is given up: after 1 s, then 2 s.
      seesChangeWithinMs: 4_000,
      recoversWithinMs: 30_000,
      // What fits into 65,535 bytes.
      maxEndpoints: 4_000,
    },
    source: () =>
      dnsSource({
        servers: [`127.0.0.1:${server.port}`],
        names: '{service}.fairlead.test',
        port: 8_080,
        minTtlMs: 100,
        maxTtlMs: 1_000,
        timeoutMs: 1_000,
        family: 'both',
      }),
    async announce(service, endpoints) {
      services.set(
        service,
        endpoints.map((each) => each.addresses[0]?.host ?? ''),
      )
      await server.hosts(lines())
    },
    faults: {
      async kill() {
        await server.kill()
        return async (as: RegistryStart) => {
          const known = as === 'empty' ? [] : as === 'saved' ? [...saved] : [...services]
          services.clear()
          for (const [service, hosts] of known) services.set(service, hosts)
          await server.hosts(lines())
          await server.start()
        }
      },
      starts: ['kept', 'empty', 'saved'],
      async save() {
        saved = new Map(services)
      },
      async pause() {
        server.pause()
        return async () => server.resume()
      },
    },
    ...counted(server.port),
    close: () => server.remove(),
  }
}

const targetOf = (host: string): string => `t-${host.replaceAll('.', '-')}.fairlead.test`

/** SRV records: a new server for each change, put in place of the old one without a gap. Who has gone altogether is NODATA. */
export const serviceLab = async (): Promise<SourceLab> => {
  const services = new Map<string, readonly Endpoint[]>()
  const spoilt = new Set<string>()
  const relay = await startRelay()
  let server = await startDnsmasq()
  relay.upstream = server.port
  const nameOf = (service: string): string => `_fl._tcp.${service}.fairlead.test`
  const replace = async (): Promise<void> => {
    const hosts = new Set<string>()
    const config: string[] = []
    for (const [service, endpoints] of services) {
      if (endpoints.length === 0) config.push(`txt-record=${nameOf(service)},nobody`)
      if (spoilt.has(service)) config.push(`srv-host=${nameOf(service)},bad.fairlead.test,0,0,0`)
      for (const { addresses, priority = 0, weight = 1 } of endpoints) {
        const { host, port } = addresses[0] as { host: string; port: number }
        hosts.add(`${host} ${targetOf(host)}`)
        config.push(`srv-host=${nameOf(service)},${targetOf(host)},${port},${priority},${weight}`)
      }
    }
    const next = await startDnsmasq({ hosts: [...hosts], config })
    relay.upstream = next.port
    const before = server
    server = next
    await before.remove()
  }
  return {
    traits: {
      unknown: 'absent',
      emptied: 'empty',
      ids: 'address',
      weights: true,
      priorities: true,
      seesChangeWithinMs: 5_000,
      seesSilenceWithinMs: 8_000,
      // dnsmasq sends the addresses of the targets along, and its answers cannot be read when those come after the first 16 KiB.
      maxEndpoints: 300,
    },
    source: () =>
      dnsSource({
        servers: [relay.address],
        names: '_fl._tcp.{service}.fairlead.test',
        family: 'both',
        maxTtlMs: 1_000,
      }),
    async announce(service, endpoints) {
      services.set(service, endpoints)
      await replace()
    },
    async spoil(service) {
      spoilt.add(service)
      await replace()
    },
    faults: {
      async freeze() {
        relay.frozen = true
        return async () => {
          relay.frozen = false
        }
      },
      async slow(ms) {
        relay.delayMs = ms
        return async () => {
          relay.delayMs = 0
        }
      },
      async garble() {
        relay.garbled = true
        return async () => {
          relay.garbled = false
        }
      },
    },
    ...counted(relay.port),
    questions: () => relay.asked(33),
    async close() {
      await relay.close()
      await server.remove()
    },
  }
}
