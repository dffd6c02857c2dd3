// What may be said about how the word of a source is taken: read and checked once, when a discovery is built.
import type { Endpoint } from '../core/contracts/source.ts'
import { countOption, durationOption, invalidOption, knownOptions, shareOption } from '../core/options.ts'
import { type AddressRule, type Allow, addressRule } from './allow.ts'
import { endpointFilter } from './filters.ts'

/** How the word of a source is taken. Durations are milliseconds. */
export interface IntakeOptions {
  /** Which addresses may be called. Default: all of a local source; those of a remote one except loopback, link-local, metadata services, multicast. */
  readonly allow?: Allow | undefined
  /** Who may be called, by any rule. One that throws leaves the endpoint out. */
  readonly filter?: ((endpoint: Endpoint) => boolean) | undefined
  /** Only endpoints whose metadata have these very values: `{ version: '2' }`. */
  readonly metadata?: Readonly<Record<string, string>> | undefined
  /** Only endpoints of this zone, also when nobody is there. To prefer a zone, use the zone-aware balancer. */
  readonly onlyZone?: string | undefined
  /** The named port to call (`grpc`) in place of that of the addresses. An endpoint without it is left out and told. */
  readonly port?: string | undefined
  /** Further words within this time become one; the first is taken at once, and any that finds nobody known. 0 turns it off. Default 50. */
  readonly debounceMs?: number | undefined
  /** How long what is known stays in force while the source fails, from its first failure. Default: without limit. */
  readonly maxStaleMs?: number | undefined
  /** Most of the endpoints gone at once is doubted for `graceMs`: see `MassLossOptions`. false believes everything at once. */
  readonly massLoss?: false | MassLossOptions | undefined
  /** How many endpoints of one service are taken, the first ones. Default 10000. */
  readonly maxEndpoints?: number | undefined
}

/**
 * When a registry that has lost its memory is doubted: nobody is left, or fewer than `share` of those who were.
 * Those that it still names but marks `down` or changes so that a filter refuses them are no loss.
 */
export interface MassLossOptions {
  /** How long those who were known go on being used, beside those who are new. Default 30000: two signs of life of most registries. */
  readonly graceMs?: number | undefined
  /** Fewer than this share left is a mass loss. Default 0.5: so 3 to 1 is one and 2 to 1 is not. */
  readonly share?: number | undefined
}

/** The options, checked. */
export interface IntakeRules {
  readonly addressRule: AddressRule
  readonly accepts: (endpoint: Endpoint) => boolean
  readonly port: string | undefined
  readonly debounceMs: number
  readonly maxStaleMs: number | undefined
  readonly graceMs: number
  /** 0: no guard. */
  readonly lossShare: number
  readonly maxEndpoints: number
}

/** Names of the options of `IntakeOptions`, for whoever has them among its own. */
export const INTAKE_OPTIONS: readonly string[] = [
  'allow',
  'filter',
  'metadata',
  'onlyZone',
  'port',
  'debounceMs',
  'maxStaleMs',
  'massLoss',
  'maxEndpoints',
]

/**
 * Checks them.
 * @throws FairleadError INVALID_OPTIONS
 */
export function readIntakeOptions(options: IntakeOptions): IntakeRules {
  const { port, massLoss } = options
  if (port !== undefined && (typeof port !== 'string' || port === ''))
    throw invalidOption('port', port, "give the name of a port, such as 'grpc'")
  if (massLoss !== undefined && massLoss !== false) knownOptions('massLoss', massLoss, ['graceMs', 'share'])
  const loss = massLoss === false ? undefined : (massLoss ?? {})
  return {
    addressRule: addressRule(options.allow),
    accepts: endpointFilter(options),
    port,
    debounceMs: durationOption('debounceMs', options.debounceMs, 50, 0),
    maxStaleMs: options.maxStaleMs === undefined ? undefined : durationOption('maxStaleMs', options.maxStaleMs, 1),
    graceMs: durationOption('massLoss.graceMs', loss?.graceMs, 30_000),
    lossShare: loss === undefined ? 0 : shareOption('massLoss.share', loss.share, 0.5),
    maxEndpoints: countOption('maxEndpoints', options.maxEndpoints, 10_000),
  }
}
