// Announces endpoints at a Consul agent: a service with a TTL check, kept alive by signs of life.

import type { Endpoint, RegisterOptions, Registrar, Registration } from '../../core/contracts/source.ts'
import type { EventListener } from '../../core/events.ts'
import { durationOption, invalidOption, knownOptions } from '../../core/options.ts'
import { uuidV7 } from '../../core/uuid.ts'
import { keepRegistered, type RegisteredState, type RegistrationProtocol } from '../../discovery/keep-registered.ts'
import { jsonOf, statusError } from '../registry/answer.ts'
import { type RegistryAnswer, type RegistryClient, registryClient } from '../registry/client.ts'
import { checkIdOf, type Definition, definitionOf, STATUS } from './definition.ts'
import { PROCESS_MARK } from './marks.ts'
import {
  AGENT_OPTIONS,
  type AgentSettings,
  agentSettings,
  type ConsulAgentOptions,
  pathOf,
  pathPart,
} from './options.ts'

/** Options of `consulRegistrar`. Durations are milliseconds. */
export interface ConsulRegistrarOptions extends ConsulAgentOptions {
  /** Tags of every endpoint. */
  readonly tags?: readonly string[] | undefined
  /** How long without a sign of life until the check is critical. Default 15000; three signs go out in that time. */
  readonly ttlMs?: number | undefined
  /**
   * How long an entry may be critical until the agent removes it, from 60000 (the agent looks every 30 s). Default 600000: it only tidies up after
   * processes that died, and an instance that is unhealthy for a while should not go and come.
   */
  readonly deregisterAfterMs?: number | undefined
  /** The name in the meta that says the zone. Default `zone`. */
  readonly zoneMeta?: string | undefined
  /** Until when clients know of a change. Default 2000: blocking queries bring it within milliseconds, or a second after a burst. Clients by DNS may cache longer. */
  readonly staleMs?: number | undefined
  readonly onEvent?: EventListener | undefined
}

const OPTIONS: readonly string[] = [
  ...AGENT_OPTIONS,
  'tags',
  'ttlMs',
  'deregisterAfterMs',
  'zoneMeta',
  'staleMs',
  'onEvent',
]
const WHAT = 'consulRegistrar'

/**
 * A registrar that announces at a Consul agent; each endpoint stays with that agent. `ready` passes, `starting` warns, `draining` and `down` are
 * critical, so that clients of any kind leave.
 * @throws FairleadError INVALID_OPTIONS
 * @example announce(server, { registrar: consulRegistrar({ url: 'http://127.0.0.1:8500' }), service: 'inventory' })
 */
export function consulRegistrar(options: ConsulRegistrarOptions): Registrar {
  knownOptions(WHAT, options, OPTIONS)
  const agent = agentSettings(WHAT, options)
  const { tags = [], zoneMeta = 'zone', onEvent } = options
  if (!Array.isArray(tags)) throw invalidOption(`${WHAT}.tags`, tags, 'give a list of tags')
  const usualTtlMs = durationOption(`${WHAT}.ttlMs`, options.ttlMs, 15_000)
  const deregisterAfterMs = durationOption(`${WHAT}.deregisterAfterMs`, options.deregisterAfterMs, 600_000, 60_000)
  const staleMs = durationOption(`${WHAT}.staleMs`, options.staleMs, 2_000, 0)
  registryClient(agent.client)
  return {
    name: 'consul',
    staleMs,
    async register(service: string, endpoint: Endpoint, given: RegisterOptions = {}): Promise<Registration> {
      pathPart('service', service)
      pathPart('endpoint.id', endpoint.id)
      const ttlMs = durationOption('ttlMs', given.ttlMs, usualTtlMs)
      const process = uuidV7(agent.clock)
      const definition = { service, endpoint, tags, zoneMeta, process, ttlMs, deregisterAfterMs }
      return keepRegistered({
        ...given,
        registrar: 'consul',
        service,
        endpoint,
        protocol: new ConsulRegistration(registryClient(agent.client), agent, definition),
        intervalMs: ttlMs / 3,
        timeoutMs: agent.timeoutMs,
        clock: agent.clock,
        random: agent.random,
        onEvent,
      })
    },
  }
}

class ConsulRegistration implements RegistrationProtocol {
  readonly #client: RegistryClient
  readonly #query: AgentSettings['query']
  readonly #definition: Definition

  constructor(client: RegistryClient, agent: AgentSettings, definition: Definition) {
    this.#client = client
    this.#query = agent.query
    this.#definition = definition
  }

  async register(state: RegisteredState, signal: AbortSignal): Promise<void> {
    const body = JSON.stringify(definitionOf(this.#definition, state))
    const query = [...this.#query, ['replace-existing-checks', 'true'] as const]
    const answer = await this.#put(pathOf('/v1/agent/service/register', query), body, signal)
    if (answer.status !== 200) throw statusError('Consul', answer)
  }

  async beat(state: RegisteredState, signal: AbortSignal): Promise<'kept' | 'unknown' | 'taken'> {
    const owner = await this.#owner(signal)
    if (owner !== 'ours') return owner
    return (await this.#update(state, signal)) ? 'kept' : 'unknown'
  }

  // The whole entry, because its meta says the state as well.
  async setState(state: RegisteredState, signal: AbortSignal): Promise<void> {
    // Whose it is now, the next sign of life tells; it is not written over.
    if ((await this.#owner(signal)) === 'taken') return
    // The agent brings service and check into the catalog one after the other. A meta that says ready must never stand beside a check that does not.
    if (state === 'ready') await this.#update(state, signal)
    await this.register(state, signal)
  }

  async deregister(signal: AbortSignal): Promise<void> {
    if ((await this.#owner(signal)) !== 'ours') return
    const path = `/v1/agent/service/deregister/${pathPart('endpoint.id', this.#definition.endpoint.id)}`
    const answer = await this.#put(pathOf(path, this.#query), undefined, signal)
    if (answer.status !== 200 && !isUnknown(answer)) throw statusError('Consul', answer)
  }

  close(): Promise<void> {
    return this.#client.close()
  }

  // False: there is no such check.
  async #update(state: RegisteredState, signal: AbortSignal): Promise<boolean> {
    const path = `/v1/agent/check/update/${pathPart('endpoint.id', checkIdOf(this.#definition.endpoint))}`
    const body = JSON.stringify({ Status: STATUS[state], Output: state })
    const answer = await this.#put(pathOf(path, this.#query), body, signal)
    if (isUnknown(answer)) return false
    if (answer.status !== 200) throw statusError('Consul', answer)
    return true
  }

  async #owner(signal: AbortSignal): Promise<'ours' | 'unknown' | 'taken'> {
    const path = `/v1/agent/service/${pathPart('endpoint.id', this.#definition.endpoint.id)}`
    const answer = await this.#client.request({ path: pathOf(path, this.#query), signal })
    if (isUnknown(answer)) return 'unknown'
    const entry = jsonOf('Consul', answer) as { readonly Meta?: Readonly<Record<string, unknown>> | null } | null
    return entry?.Meta?.[PROCESS_MARK] === this.#definition.process ? 'ours' : 'taken'
  }

  #put(path: string, body: string | undefined, signal: AbortSignal): Promise<RegistryAnswer> {
    return this.#client.request({ method: 'PUT', path, body, signal })
  }
}

// Older agents say it with 500 and words.
function isUnknown({ status, text }: RegistryAnswer): boolean {
  return status === 404 || (status === 500 && /unknown (service|check)|does not have associated TTL/i.test(text))
}
