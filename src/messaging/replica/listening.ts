// The consumers of a replica: one for each generation that is followed, under its own group.
import type { Message } from '../../core/message.ts'
import { createConsumer } from '../consumer/create-consumer.ts'
import type { Consumer, HandlerContext } from '../consumer/types.ts'
import type { ReplicaSettings } from './options.ts'
import type { SnapshotPosition } from './types.ts'

type Apply = (generation: number, message: Message, context: HandlerContext) => Promise<void>

interface Listener {
  readonly group: string
  readonly consumer: Consumer
  /** Once its subscription stands. */
  readonly standing: Promise<void>
}

/** Who listens for which generation. */
export class Listening {
  readonly #settings: ReplicaSettings
  readonly #apply: Apply
  readonly #listeners = new Map<number, Listener>()

  constructor(settings: ReplicaSettings, apply: Apply) {
    this.#settings = settings
    this.#apply = apply
  }

  /** Resolves once the subscription stands. One that could not be made, or has ended for good, is made anew. */
  async listen(generation: number, group: string, from?: SnapshotPosition | undefined): Promise<void> {
    const before = this.#listeners.get(generation)
    if (before !== undefined && before.consumer.health().state !== 'closed') return before.standing
    const consumer = this.#make(generation, group, from)
    const standing = consumer.start()
    const listener: Listener = { group, consumer, standing }
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

  /** Ends those of other generations. */
  async only(generations: readonly number[]): Promise<void> {
    const others = [...this.#listeners].filter(([generation]) => !generations.includes(generation))
    for (const [generation] of others) this.#listeners.delete(generation)
    await Promise.all(others.map(([, { consumer }]) => consumer.close()))
  }

  async close(withinMs: number | undefined): Promise<void> {
    await Promise.all([...this.#listeners.values()].map(({ consumer }) => consumer.close({ withinMs })))
  }

  #make(generation: number, group: string, from: SnapshotPosition | undefined): Consumer {
    const { transport, channel, changes, consumer } = this.#settings
    const apply = (message: Message, context: HandlerContext): Promise<void> =>
      this.#apply(generation, message, context)
    return createConsumer({
      ...consumer,
      transport,
      channel,
      group,
      from,
      handlers: Object.fromEntries([...changes.keys()].map((type) => [type, apply])),
    } as never)
  }
}

function nothing(): void {}
