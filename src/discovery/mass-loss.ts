// A registry that lost its memory looks like a service that left: the difference is told by waiting (Eureka's self-preservation, seen from the client).
import type { Endpoint } from '../core/contracts/source.ts'

/** Endpoints by id. */
export type EndpointsById = ReadonlyMap<string, Endpoint>

/** What became of a new word. */
export interface Judgement {
  readonly lost: boolean
  /** Who is in force: those of the word, and while it is doubted those who are missing in it. */
  readonly inForce: EndpointsById
  /** How many could be called before, without those whom the registry itself has taken out since. */
  readonly known: number
  /** How many can be called by the new word. */
  readonly left: number
}

/**
 * Compares a new word with those who were in force before it.
 * A loss is fewer than `share` of the known left, nobody above all; those who are named but may no longer be called are the registry's own word and no loss.
 * @param before those in force before the loss began
 * @param named everybody in the new word, filtered or not
 * @param next those of the new word that a client wants
 */
export function judge(before: EndpointsById, named: EndpointsById, next: EndpointsById, share: number): Judgement {
  let left = 0
  for (const endpoint of next.values()) if (endpoint.state !== 'down') left++
  let known = 0
  const missing: Endpoint[] = []
  for (const endpoint of before.values()) {
    if (endpoint.state === 'down') continue
    const now = next.get(endpoint.id)
    if (now !== undefined) {
      if (now.state !== 'down') known++
    } else if (!named.has(endpoint.id)) {
      known++
      missing.push(endpoint)
    }
  }
  const lost = left < share * known
  if (!lost) return { lost, inForce: next, known, left }
  const inForce = new Map(next)
  for (const endpoint of missing) inForce.set(endpoint.id, endpoint)
  return { lost, inForce, known, left }
}
