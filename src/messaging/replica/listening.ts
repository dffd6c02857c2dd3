// The consumers of a replica: one for each generation that is followed, under its own group.
import type { Message } from '../../core/message.ts'
import { endsWithin } from '../../core/patience.ts'
import { createConsumer } from '../consumer/create-consumer.ts'
import type { Consumer, HandlerContext } from '../consumer/types.ts'
import type { ReplicaSettings } from './options.ts'
import type { SnapshotPosition } from './types.ts'
import { followed, Underway } from './underway.ts'

/** What becomes of what comes in. */
export interface ListeningParts {
  apply(generation: number, message: Message, context: HandlerContext): Promise<void>
  /** The broker no longer keeps what comes next for a generation. */
  expired(generation: number): void
}

interface Listener {
  readonly group: string
  readonly consumer: Consumer
  readonly underway: Underway
  /** Once its subscription stands. */
  readonly standing: Promise<void>
}

/** What a consumer needs beyond its time to close. */
const GRACE_MS = 2_000

/** Who listens for which generation. */
export class Listening {
  readonly #settings: ReplicaSettings
  readonly #parts: ListeningParts
  readonly #listeners = new Map<number, Listener>()

  constructor(settings: ReplicaSettings, parts: ListeningParts) {
    this.#settings = settings
    this.#parts = parts
  }

  /** Resolves once the subscription stands. One that could not be made, or has ended for good, is made anew. */
  async listen(generation: number, group: string, from?: SnapshotPosition | undefined): Promise<void> {
    const before = this.#listeners.get(generation)
    if (before !== undefined && before.consumer.health().state !== 'closed') return before.standing
    const underway = new Underway(this.#settings.world.clock)
    const consumer = this.#make(generation, group, from, underway)
    const standing = consumer.start()
    const listener: Listener = { group, consumer, underway, standing }
    this.#listeners.set(generation, listener)
    try {
      await standing
    } catch (error) {
      if (this.#listeners.get(generation) === listener) this.#listeners.delete(generation)
      await consumer.close({ withinMs: 0 }).catch(nothing)
      throw error
    }
  }

  of(generation: number): Consumer | undefined {
    return this.#listeners.get(generation)?.consumer
  }

  underway(generation: number): Underway | undefined {
    return this.#listeners.get(generation)?.underway
  }

  /** Ends those of other generations. */
  async only(generations: readonly number[]): Promise<void> {
    const others = [...this.#listeners].filter(([generation]) => !generations.includes(generation))
    for (const [generation] of others) this.#listeners.delete(generation)
    await Promise.all(others.map(([, { consumer }]) => consumer.close()))
  }

  /** Resolves soon after `withinMs` in any case. */
  async close(withinMs: number): Promise<void> {
    const closed = [...this.#listeners.values()].map(({ consumer }) => consumer.close({ withinMs }))
    await endsWithin(Promise.allSettled(closed), withinMs + GRACE_MS, this.#settings.world.clock)
  }

  #make(generation: number, group: string, from: SnapshotPosition | undefined, underway: Underway): Consumer {
    const { transport, channel, changes, consumer } = this.#settings
    const apply = (message: Message, context: HandlerContext): Promise<void> =>
      this.#parts.apply(generation, message, context)
    return createConsumer({
      ...consumer,
      transport: followed(transport, underway, () => this.#parts.expired(generation)),
      channel,
      group,
      from,
      handlers: Object.fromEntries([...changes.keys()].map((type) => [type, apply])),
    } as never)
  }
}

function nothing(): void {}
