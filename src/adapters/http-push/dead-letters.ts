// Messages that a subscriber refused for good, kept in memory: for a look, and for another try once the receiver is mended.
import type { ChannelPlace, DeadLetter } from '../../core/contracts/transport.ts'
import type { Envelope } from '../../core/message.ts'
import type { Route } from './routes.ts'
import { placeKey } from './wire.ts'

/** One refused message, and the route on which it was refused. */
export interface Refused extends DeadLetter {
  readonly route: Route
}

/** A bounded list, oldest first. */
export class RefusedList {
  readonly #most: number
  readonly #dropped: (refused: Refused) => void
  readonly #all = new Set<Refused>()

  constructor(most: number, dropped: (refused: Refused) => void) {
    this.#most = most
    this.#dropped = dropped
  }

  /** False where nothing is kept. */
  add(refused: Refused): boolean {
    if (this.#most === 0) return false
    // Refused twice, it is one dead letter.
    for (const each of this.#all)
      if (each.route === refused.route && sameMessage(each.envelope, refused.envelope)) this.#all.delete(each)
    this.#all.add(refused)
    if (this.#all.size > this.#most) {
      const [oldest] = this.#all as unknown as [Refused]
      this.#all.delete(oldest)
      this.#dropped(oldest)
    }
    return true
  }

  *of(place: ChannelPlace, limit: number): Generator<Refused> {
    const key = placeKey(place)
    let left = limit
    for (const refused of [...this.#all]) {
      if (left <= 0) return
      if (placeKey(refused.route.place) !== key) continue
      left--
      yield refused
    }
  }

  /** Takes out of the list. */
  take(place: ChannelPlace, ids: readonly string[] | 'all'): readonly Refused[] {
    const wanted = ids === 'all' ? undefined : new Set(ids)
    const taken = [...this.of(place, Infinity)].filter(({ envelope }) => wanted?.has(envelope.id) ?? true)
    for (const refused of taken) this.#all.delete(refused)
    return taken
  }
}

function sameMessage(one: Envelope, other: Envelope): boolean {
  return one.id === other.id && one.attributes['source'] === other.attributes['source']
}
