// Options that source and registrar of Consul share, checked once: which agent, who asks, over what.
import { type Clock, type Random, systemClock, systemRandom } from '../../core/clock.ts'
import { durationOption, invalidOption } from '../../core/options.ts'
import { isWellFormed } from '../../core/well-formed.ts'
import { type RegistryClientOptions, type RegistryTls, shownUrl } from '../registry/client.ts'

/** Where the Consul agent is and how to speak to it. Durations are milliseconds. */
export interface ConsulAgentOptions {
  /** The HTTP API of an agent, without `/v1`: `http://127.0.0.1:8500`. The local agent is best: it caches, and knows the servers. */
  readonly url: string
  /** ACL token, sent as `X-Consul-Token`; a function is asked for each request, for tokens that change. */
  readonly token?: string | (() => string | Promise<string>) | undefined
  /** Namespace and admin partition (Consul Enterprise). */
  readonly namespace?: string | undefined
  readonly partition?: string | undefined
  readonly tls?: RegistryTls | undefined
  /** How long the agent may take for an answer, beyond the time it was asked to wait. Default 5000. */
  readonly timeoutMs?: number | undefined
  /** Default: the system's. */
  readonly clock?: Clock | undefined
  /** Default: the system's. */
  readonly random?: Random | undefined
}

/** Names of the options above, for the check of misspelt ones. */
export const AGENT_OPTIONS: readonly string[] = [
  'url',
  'token',
  'namespace',
  'partition',
  'tls',
  'timeoutMs',
  'clock',
  'random',
]

/** The same, checked and with defaults. */
export interface AgentSettings {
  readonly client: RegistryClientOptions
  /** Parts of every query: namespace and partition. */
  readonly query: readonly (readonly [string, string])[]
  readonly hasToken: boolean
  readonly timeoutMs: number
  readonly clock: Clock
  readonly random: Random
}

/**
 * Checks the options.
 * @throws FairleadError INVALID_OPTIONS
 */
export function agentSettings(what: string, options: ConsulAgentOptions): AgentSettings {
  const { url, token, namespace, partition, tls, clock = systemClock, random = systemRandom } = options
  if (typeof url !== 'string')
    throw invalidOption(`${what}.url`, shownUrl(url), 'give the address of an agent, such as http://127.0.0.1:8500')
  const timeoutMs = durationOption(`${what}.timeoutMs`, options.timeoutMs, 5_000)
  const headers = async (): Promise<Record<string, string>> => {
    const text = typeof token === 'function' ? await token() : token
    return text === undefined || text === '' ? {} : { 'x-consul-token': text }
  }
  return {
    client: { baseUrl: url, headers, tls, timeoutMs, clock },
    query: queryOf({ ns: namespace, partition }),
    hasToken: token !== undefined && token !== '',
    timeoutMs,
    clock,
    random,
  }
}

/** Parts of a query: what is undefined is left out. */
export function queryOf(parts: Readonly<Record<string, string | undefined>>): readonly (readonly [string, string])[] {
  return Object.entries(parts).filter((part): part is [string, string] => part[1] !== undefined)
}

/** A path with a query; each part is encoded. */
export function pathOf(path: string, query: readonly (readonly [string, string])[]): string {
  if (query.length === 0) return path
  return `${path}?${query.map(([name, value]) => `${name}=${encodeURIComponent(value)}`).join('&')}`
}

/**
 * A name of a service or an id as one part of a path.
 * @throws FairleadError INVALID_OPTIONS for one that would be a path of its own
 */
export function pathPart(what: string, name: string): string {
  if (typeof name !== 'string' || name === '' || name === '.' || name === '..' || !isWellFormed(name))
    throw invalidOption(what, name, 'give a name of at least one character, and not . or ..')
  return encodeURIComponent(name)
}
