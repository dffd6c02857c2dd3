// What the parts of a desk see of it: those that call handlers, and those that speak to the broker.
import type { FairleadError } from '../../errors/base.ts'
import type { Held } from './held.ts'
import type { Lanes } from './lanes.ts'
import type { Notes } from './notes.ts'
import type { Settings } from './options.ts'
import type { Teller } from './telling.ts'

/** All that is in hand. */
export interface Hand {
  readonly settings: Settings
  readonly teller: Teller
  readonly all: ReadonlySet<Held>
  readonly lanes: Lanes
  readonly notes: Notes
  /** Handler calls under way. */
  running: number
  /** Messages of which the broker is being told. */
  settling: number
  /** `go`: handlers begin. `hold`: none begins, what has not begun is given back. `end`: as `hold`, for good. */
  readonly mode: 'go' | 'hold' | 'end'
  lastError: FairleadError | undefined
  /** A round after all that is happening now. */
  soon(): void
  /** Into its lane, and to its turn if it is free. */
  enter(held: Held): void
  /** It is the first of its key: to its turn, unless a rule holds it back. */
  ready(held: Held): void
  /** Lost, and its handler has ended, if it ran. */
  bury(held: Held): void
  /** Out of hand, whatever became of it. The next of its key has its turn. */
  putAway(held: Held): void
}
