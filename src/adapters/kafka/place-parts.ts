// What a place is made of, one timer for all that it waits for, and what it goes by when it looks over its partitions.
import { detached } from '../../core/async-context.ts'
import type { Clock, Timer } from '../../core/clock.ts'
import type { KafkaDelivery } from './delivery.ts'
import type { Committed, PartitionFlow, TopicPartition } from './driver.ts'
import type { Entry, Lane } from './lanes/partition.ts'
import type { KafkaSettings } from './options.ts'
import type { TransactionParts } from './transactions/parts.ts'

/** What a place is made of. */
export interface PlaceParts {
  readonly settings: KafkaSettings
  /** In errors. */
  readonly channel: string
  /** The name of a partition's lane. */
  laneOf(at: TopicPartition): string
  /** Where to begin in these partitions: what is committed. */
  placesOf(partitions: readonly TopicPartition[]): Promise<readonly Committed[]>
  /** Writes a dead letter. Undefined: nobody could list it, and it is dropped. */
  readonly bury: ((entry: Entry, reason: string) => Promise<void>) | undefined
  /** Where what handlers publish and the offsets of what they consumed are committed together. */
  readonly transactions?: TransactionParts | undefined
  /** Called once, when the last receiver has left or it failed, and nothing of it is at the broker any more. */
  onClosed(): void | Promise<void>
}

/** One timer: for the earliest instant that was asked for. */
export class Ring {
  private readonly clock: Clock
  private readonly rang: () => void
  private timer: Timer | undefined
  private at = Infinity

  constructor(clock: Clock, rang: () => void) {
    this.clock = clock
    this.rang = rang
  }

  /** Not later than at this instant. */
  by(at: number): void {
    if (at >= this.at) return
    this.end()
    this.at = at
    this.timer = this.clock.setTimer((ring: Ring) => ring.due(), Math.max(at - this.clock.now(), 0), this)
  }

  end(): void {
    if (this.timer !== undefined) this.clock.clearTimer(this.timer)
    this.timer = undefined
    this.at = Infinity
  }

  private due(): void {
    this.timer = undefined
    this.at = Infinity
    detached(this.rang)
  }
}

/** Fetching stops where enough is read ahead, and goes on when half of it is handed out. */
export function regulate(lanes: Iterable<Lane>, flow: PartitionFlow | undefined): void {
  for (const lane of lanes) {
    const { full } = lane
    if (full === lane.paused) continue
    lane.paused = full
    if (full) flow?.pause([lane.at])
    else flow?.resume([lane.at])
  }
}

/** The first that is held for too long, and until when the next one may be. They are in the order of handing out. 0: as long as it takes. */
export function heldTooLong(
  held: Iterable<KafkaDelivery>,
  maxHandlingMs: number,
  now: number,
): { readonly late?: KafkaDelivery; readonly until: number } {
  if (maxHandlingMs > 0)
    for (const delivery of held) {
      if (delivery.state !== 'held') continue
      const until = delivery.handedAt + maxHandlingMs
      return until <= now ? { late: delivery, until } : { until }
    }
  return { until: Infinity }
}

/** The name of a partition among those of a place. */
export function keyOf({ topic, partition }: TopicPartition): string {
  return `${topic} ${partition}`
}
