// Eureka as a source: asks for one application or VIP at a time, or keeps up with the whole registry.
import type { Source, SourceUpdate, SourceWatch } from '../../core/contracts/source.ts'
import { durationOption, invalidOption, knownOptions } from '../../core/options.ts'
import { type Asked, keepAsking } from '../../discovery/asking.ts'
import { createError } from '../../errors/classes.ts'
import { type InstanceChoices, readEndpoints } from './instance.ts'
import { type EurekaServersOptions, pathPart, SERVER_OPTIONS, type ServerSettings, serverSettings } from './options.ts'
import { type ApplicationListener, type RegistryPoll, registryPoll } from './registry-poll.ts'
import { type EurekaServers, eurekaServers } from './servers.ts'
import { type EurekaInstance, JSON_PLEASE, readApplication, readApplications } from './wire.ts'

/** Options of `eurekaSource`. Durations are milliseconds. */
export interface EurekaSourceOptions extends EurekaServersOptions {
  /**
   * What the name of a service means. `app` (default): an application, asked for by itself. `vip`: a VIP address, asked for by itself; its
   * instances may belong to several applications. `registry`: an application, from one poll of the whole registry that all services
   * share: a full answer once, then only what has changed, checked against the registry's count. Worth it from about five services on.
   */
  readonly by?: 'app' | 'vip' | 'registry' | undefined
  /** Between two questions, less up to a tenth by chance. Default 30,000: the server renews its answers no more often. */
  readonly intervalMs?: number | undefined
  /** True: the secure port, and only instances that have one (with `by: 'vip'` the secure VIP). False: the plain port only. Default: plain, else secure. */
  readonly secure?: boolean | undefined
  /** Which address of an instance is tried first: its host name, as Eureka's own clients do (default), or its IP address. */
  readonly prefer?: 'host' | 'ip' | undefined
}

/**
 * A source over Netflix Eureka. UP is `ready`, STARTING `starting`, OUT_OF_SERVICE `draining`, all else `down`; `zone` and `weight` come
 * from the metadata, the zone also from the machine's `availability-zone`; `x.port` in the metadata is a port named x.
 * `watch` throws INVALID_OPTIONS for a name that would be another path.
 * @throws FairleadError INVALID_OPTIONS
 * @example createDiscovery({ source: eurekaSource({ urls: ['http://eureka-1:8761/eureka', 'http://eureka-2:8761/eureka'] }) })
 */
export function eurekaSource(options: EurekaSourceOptions): Source {
  knownOptions('eurekaSource', options, [...SERVER_OPTIONS, 'by', 'intervalMs', 'secure', 'prefer'])
  const { by = 'app', prefer = 'host', secure } = options
  if (!['app', 'vip', 'registry'].includes(by))
    throw invalidOption('eurekaSource.by', by, "give 'app', 'vip' or 'registry'")
  if (!['host', 'ip'].includes(prefer)) throw invalidOption('eurekaSource.prefer', prefer, "give 'host' or 'ip'")
  if (![undefined, true, false].includes(secure))
    throw invalidOption('eurekaSource.secure', secure, 'give true or false')
  const settings = serverSettings('eurekaSource', options)
  const intervalMs = durationOption('eurekaSource.intervalMs', options.intervalMs, 30_000)
  const facts: SourceFacts = {
    settings,
    choices: { secure, prefer },
    // A fleet that was started together must not go on asking together.
    pause: () => intervalMs * (1 - 0.1 * settings.random()),
  }
  const watch = by === 'registry' ? watchRegistry(facts) : watchAlone(facts, by)
  return {
    name: 'eureka',
    remote: true,
    watch(service, sink) {
      pathPart('service', service)
      return watch(service, sink)
    },
  }
}

interface SourceFacts {
  readonly settings: ServerSettings
  readonly choices: InstanceChoices
  readonly pause: () => number
}

type Sink = (update: SourceUpdate) => void
type Watch = (service: string, sink: Sink) => SourceWatch
/** Instances, each with what comes before its id; undefined when the registry knows no such service. */
type Found = readonly { readonly instance: EurekaInstance; readonly prefix: string }[] | undefined

function watchAlone(facts: SourceFacts, by: 'app' | 'vip'): Watch {
  const { settings, choices, pause } = facts
  return (service, sink) => {
    const servers = eurekaServers(settings)
    const find = by === 'app' ? findApplication(service) : findVip(service, choices.secure === true)
    return keepAsking({
      clock: settings.clock,
      random: settings.random,
      ask: async (signal): Promise<Asked> => ({
        update: updateOf(await find(servers, signal), choices),
        againMs: pause(),
      }),
      sink,
      end: () => servers.close(),
    })
  }
}

type Find = (servers: EurekaServers, signal: AbortSignal) => Promise<Found>

function findApplication(service: string): Find {
  const name = service.toUpperCase()
  const path = `/apps/${pathPart('service', name)}`
  return async (servers, signal) => {
    const found = await servers.find({ path, headers: JSON_PLEASE, signal }, (answer) => {
      const application = readApplication(answer)
      // What stands between may have mixed up two answers.
      if (application !== undefined && application.name !== '' && application.name !== name)
        throw createError({
          code: 'REPLY_INVALID',
          message: `Eureka was asked for ${name} and answered ${application.name.slice(0, 80)}`,
          stack: false,
        })
      return application
    })
    return found?.instances.map((instance) => ({ instance, prefix: '' }))
  }
}

function findVip(vip: string, secure: boolean): Find {
  const name = vip.toUpperCase()
  const path = `/${secure ? 'svips' : 'vips'}/${pathPart('service', vip)}`
  return async (servers, signal) => {
    const found = await servers.find({ path, headers: JSON_PLEASE, signal }, readApplications)
    return found?.applications.flatMap((application) =>
      application.instances.map((instance) => ({
        instance,
        // Ids are unique within an application; most VIPs are one, of the same name.
        prefix: application.name === '' || application.name === name ? '' : `${application.name}/`,
      })),
    )
  }
}

function watchRegistry(facts: SourceFacts): Watch {
  const { settings, choices, pause } = facts
  let poll: RegistryPoll | undefined
  let watching = 0
  return (service, sink) => {
    poll ??= registryPoll({ settings, servers: eurekaServers(settings), pause })
    watching++
    const shared = poll
    const tell: Sink = (update) => {
      try {
        sink(update)
      } catch {
        // One listener's fault must not end the poll of all.
      }
    }
    const listener: ApplicationListener = {
      application: service.toUpperCase(),
      heard: (instances) => {
        const found = instances?.map((instance) => ({ instance, prefix: '' }))
        let update: SourceUpdate
        try {
          update = updateOf(found, choices)
        } catch (error) {
          // Of this one application; the poll itself is well.
          update = { type: 'error', error }
        }
        tell(update)
      },
      failed: tell,
    }
    shared.add(listener)
    let closing: Promise<void> | undefined
    return {
      refresh() {
        if (closing === undefined) shared.refresh()
      },
      close() {
        closing ??= leave()
        return closing
      },
    }
    async function leave(): Promise<void> {
      shared.remove(listener)
      if (--watching > 0) return
      poll = undefined
      await shared.close()
    }
  }
}

function updateOf(found: Found, choices: InstanceChoices): Exclude<SourceUpdate, { readonly type: 'error' }> {
  if (found === undefined) return { type: 'absent' }
  const { endpoints, note } = readEndpoints(found, choices)
  return { type: 'snapshot', endpoints, ...(note === undefined ? {} : { note }) }
}
