// Which endpoints a client wants to call at all: by metadata, by zone, by a function of its own.
import type { Endpoint } from '../core/contracts/source.ts'
import { invalidOption } from '../core/options.ts'

/** What is filtered by. All that is given has to hold. */
export interface FilterOptions {
  readonly filter?: ((endpoint: Endpoint) => boolean) | undefined
  readonly metadata?: Readonly<Record<string, string>> | undefined
  readonly onlyZone?: string | undefined
}

/**
 * One predicate of all filters. A filter that throws, or answers with anything but true, leaves the endpoint out.
 * @throws FairleadError INVALID_OPTIONS
 */
export function endpointFilter(options: FilterOptions): (endpoint: Endpoint) => boolean {
  const { filter, metadata, onlyZone } = options
  if (filter !== undefined && typeof filter !== 'function')
    throw invalidOption('filter', filter, 'give a function of an endpoint')
  if (onlyZone !== undefined && (typeof onlyZone !== 'string' || onlyZone === ''))
    throw invalidOption('onlyZone', onlyZone, 'give the name of a zone')
  const wanted = wantedMetadata(metadata)
  return (endpoint) => {
    if (onlyZone !== undefined && endpoint.zone !== onlyZone) return false
    for (const [name, value] of wanted) if (endpoint.metadata?.[name] !== value) return false
    if (filter === undefined) return true
    try {
      return filter(endpoint) === true
    } catch {
      return false
    }
  }
}

function wantedMetadata(metadata: FilterOptions['metadata']): readonly (readonly [string, string])[] {
  if (metadata === undefined) return []
  if (typeof metadata !== 'object' || metadata === null || Array.isArray(metadata))
    throw invalidOption('metadata', metadata, "give names and values, such as { version: '2' }")
  const wanted = Object.entries(metadata)
  for (const [name, value] of wanted)
    if (typeof value !== 'string') throw invalidOption(`metadata.${name}`, value, 'give text: metadata are text')
  return wanted
}
