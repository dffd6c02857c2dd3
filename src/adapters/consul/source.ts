// Endpoints from Consul's health endpoint by blocking queries: the agent answers when something has changed, or when the wait is over.
import type { Source, SourceWatch } from '../../core/contracts/source.ts'
import { durationOption, invalidOption, knownOptions } from '../../core/options.ts'
import { keepAsking } from '../../discovery/asking.ts'
import { registryClient } from '../registry/client.ts'
import { BlockingQuery, type Consistency } from './blocking-query.ts'
import { AGENT_OPTIONS, agentSettings, type ConsulAgentOptions, pathPart, queryOf } from './options.ts'
import type { ReadingRules } from './read-entries.ts'

/** Options of `consulSource`. Durations are milliseconds. */
export interface ConsulSourceOptions extends ConsulAgentOptions {
  /** The name in Consul of a service. Default: the same. */
  readonly serviceName?: ((service: string) => string) | undefined
  /** Only instances that have all of these tags. */
  readonly tags?: readonly string[] | undefined
  /** Default: that of the agent. */
  readonly datacenter?: string | undefined
  /** Another node, or `_agent` for this one: nearest first. Order means nothing to most balancers; Consul itself limits nothing by it. */
  readonly near?: string | undefined
  /** An expression of Consul's own, such as `Service.Meta.version == "2"`. */
  readonly filter?: string | undefined
  /** True (default): only instances whose checks all pass. False: also those with a warning, with their weight for it. */
  readonly passing?: boolean | undefined
  /** The name of a tagged address to call, where an instance has it: `wan` between data centers. */
  readonly taggedAddress?: string | undefined
  /** The name in the meta of a service or its node that says the zone; a locality of Consul's own comes first. Default `zone`. */
  readonly zoneMeta?: string | undefined
  /**
   * Who may answer. Default `stale`: any server, also while there is no leader, because an old answer is better than none and endpoints are
   * watched anyway. `default`: the leader. `consistent`: the leader, once it has asked its peers. `cached`: the cache of the agent.
   */
  readonly consistency?: Consistency | undefined
  /**
   * How long the agent is asked to wait for a change, 1000 to 600000; it adds up to a sixteenth. Default 55000, which with that stays below the
   * minute after which proxies cut silent connections. A connection on which nothing comes any more is noticed after it.
   */
  readonly waitMs?: number | undefined
}

const OPTIONS: readonly string[] = [
  ...AGENT_OPTIONS,
  'serviceName',
  'tags',
  'datacenter',
  'near',
  'filter',
  'passing',
  'taggedAddress',
  'zoneMeta',
  'consistency',
  'waitMs',
]

const CONSISTENCIES = ['stale', 'default', 'consistent', 'cached']
const WHAT = 'consulSource'

/**
 * A source that asks a Consul agent. A change is told as soon as the agent knows it.
 *
 * Given as `down`: instances in maintenance mode, and those that said so themselves. Left out: all others with a critical check. Consul does
 * not know that a service does not exist: that is an empty list.
 * @throws FairleadError INVALID_OPTIONS
 * @example createDiscovery({ source: consulSource({ url: 'http://127.0.0.1:8500' }) })
 */
export function consulSource(options: ConsulSourceOptions): Source {
  knownOptions(WHAT, options, OPTIONS)
  const agent = agentSettings(WHAT, options)
  const { tags = [], datacenter, near, filter, consistency = 'stale', serviceName = (service) => service } = options
  if (!Array.isArray(tags)) throw invalidOption(`${WHAT}.tags`, tags, 'give a list of tags')
  if (!CONSISTENCIES.includes(consistency))
    throw invalidOption(`${WHAT}.consistency`, consistency, `give one of ${CONSISTENCIES.join(', ')}`)
  const waitMs = durationOption(`${WHAT}.waitMs`, options.waitMs, 55_000, 1_000)
  if (waitMs > 600_000) throw invalidOption(`${WHAT}.waitMs`, waitMs, 'give at most 600000: Consul waits no longer')
  // Complains here and not at the first watch.
  registryClient(agent.client)
  const query = [
    ...agent.query,
    ...queryOf({ dc: datacenter, near, filter }),
    ...tags.map((tag) => ['tag', tag] as const),
  ]
  const rules: ReadingRules = {
    passing: options.passing ?? true,
    taggedAddress: options.taggedAddress,
    zoneMeta: options.zoneMeta ?? 'zone',
  }
  return {
    name: 'consul',
    remote: true,
    watch: (service, sink): SourceWatch => {
      const path = `/v1/health/service/${pathPart('service', serviceName(service))}`
      const client = registryClient(agent.client)
      const blocking = new BlockingQuery({ client, agent, path, query, consistency, waitMs, rules })
      return keepAsking({
        clock: agent.clock,
        random: agent.random,
        ask: (signal) => blocking.ask(signal),
        sink,
        interrupt: true,
        end: () => client.close(),
      })
    },
  }
}
