// The same key to the same endpoint, however it was chosen first.
import type { EndpointView } from '../../core/contracts/balancer.ts'
import { countOption, knownOptions } from '../../core/options.ts'
import type { BalancerFactory } from './factory.ts'
import { p2cEwma } from './p2c-ewma.ts'

/** Options of `sticky`. */
export interface StickyOptions {
  /** Chooses for a key that is new, and for calls without a key. Default `p2cEwma()`. */
  readonly inner?: BalancerFactory | undefined
  /** How many keys are remembered; the one that was used least lately is forgotten, and chosen for anew. Default 10000: about 1 MB. */
  readonly maxKeys?: number | undefined
}

/**
 * Calls with the same `key` go to the endpoint that the first of them got, as long as it may be picked and does not fail; then another
 * is chosen and kept. A retry or hedge that avoids it goes elsewhere and changes nothing. Each process remembers for itself:
 * where all clients must agree, take `consistentHash`.
 * @throws FairleadError INVALID_OPTIONS
 */
export function sticky(options: StickyOptions = {}): BalancerFactory {
  knownOptions('sticky', options, ['inner', 'maxKeys'])
  const maxKeys = countOption('maxKeys', options.maxKeys, 10_000)
  const inner = options.inner ?? p2cEwma()
  return (seams) => {
    const balancer = inner(seams)
    let present: ReadonlySet<EndpointView> = new Set()
    // In order of use.
    const chosen = new Map<string, EndpointView>()

    return {
      update(view) {
        present = new Set(view)
        balancer.update(view)
      },
      pick(context, now) {
        const { key, avoid } = context
        if (key === undefined) return balancer.pick(context, now)
        const kept = chosen.get(key)
        const good = kept !== undefined && present.has(kept) && !kept.suspect
        if (good && avoid?.has(kept.endpoint.id)) return balancer.pick(context, now)
        const found = good ? kept : balancer.pick(context, now)
        if (found === undefined) return undefined
        chosen.delete(key)
        chosen.set(key, found)
        if (chosen.size > maxKeys) chosen.delete(chosen.keys().next().value as string)
        return found
      },
    }
  }
}
