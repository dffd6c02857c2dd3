// Announces endpoints to Eureka.
import { randomUUID } from 'node:crypto'
import type { Endpoint, RegisterOptions, Registrar, Registration } from '../../core/contracts/source.ts'
import type { EventListener } from '../../core/events.ts'
import { durationOption, knownOptions } from '../../core/options.ts'
import { keepRegistered } from '../../discovery/keep-registered.ts'
import { announcement } from './announcement.ts'
import { entryProtocol } from './entry-protocol.ts'
import { type EurekaServersOptions, pathPart, SERVER_OPTIONS, serverSettings } from './options.ts'
import { eurekaServers } from './servers.ts'

/** Options of `eurekaRegistrar`. Durations are milliseconds. */
export interface EurekaRegistrarOptions extends EurekaServersOptions {
  /**
   * How long clients may go on calling who has left. Default 60,000: the registry's answers are up to 30 s old, and clients ask every 30 s.
   * Spring Cloud LoadBalancer keeps what it got for another 35 s: give 95,000 where such clients cannot retry.
   */
  readonly staleMs?: number | undefined
  readonly onEvent?: EventListener | undefined
}

/**
 * A registrar over Netflix Eureka. The name of the service is the application, in upper case, and the VIP, as given; the endpoint's id is
 * the instance id. `ready` is UP, `draining` OUT_OF_SERVICE; what an operator has put over the status stays, but for one thing: UP does
 * not keep a draining instance in traffic. Option `ttlMs` of `register`: default 90,000, which means a sign of life every 30 s; Eureka
 * counts on that pace to tell a dead network from dead instances, and lets a lease live twice as long as it says.
 * @throws FairleadError INVALID_OPTIONS
 * @example await eurekaRegistrar({ urls: 'http://eureka:8761/eureka' }).register('orders', { id: 'orders-1', addresses: [{ host: '10.0.0.7', port: 8080 }] })
 */
export function eurekaRegistrar(options: EurekaRegistrarOptions): Registrar {
  knownOptions('eurekaRegistrar', options, [...SERVER_OPTIONS, 'staleMs', 'onEvent'])
  const settings = serverSettings('eurekaRegistrar', options)
  const staleMs = durationOption('eurekaRegistrar.staleMs', options.staleMs, 60_000, 0)
  const { clock, random, timeoutMs } = settings
  return {
    name: 'eureka',
    staleMs,
    async register(service: string, endpoint: Endpoint, how: RegisterOptions = {}): Promise<Registration> {
      const ttlMs = durationOption('ttlMs', how.ttlMs, 90_000, 1_000)
      const ttlSeconds = Math.ceil(ttlMs / 1_000)
      const application = pathPart('service', service.toUpperCase())
      const path = `/apps/${application}/${pathPart('endpoint.id', endpoint.id)}`
      const lease = { ttlSeconds, intervalSeconds: Math.max(Math.floor(ttlSeconds / 3), 1) }
      // Built once for nothing: what cannot be announced is told before anything is opened.
      announcement(endpoint, { service, token: '', status: 'UP', dirty: 0, ...lease })
      const servers = eurekaServers(settings)
      return keepRegistered({
        ...how,
        registrar: 'eureka',
        service,
        endpoint,
        protocol: entryProtocol({
          servers,
          collection: `/apps/${application}`,
          path,
          clock,
          token: randomUUID(),
          body: (facts) => announcement(endpoint, { service, ...lease, ...facts }),
        }),
        intervalMs: ttlMs / 3,
        // One exchange is a handful of requests; the first of them finds out who answers.
        timeoutMs: timeoutMs * (settings.servers.length + 1),
        clock,
        random,
        onEvent: options.onEvent,
      })
    },
  }
}
