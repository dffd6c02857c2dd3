// Positions and leases of lanes in this process: for tests, and for consumers that start from the beginning with each process.
import { type Clock, systemClock } from '../../core/clock.ts'
import type { CheckpointStore, LaneLease } from '../../core/contracts/store.ts'
import { durationOption, knownOptions } from '../../core/options.ts'
import { giveBack, isCurrent, isHeldBy, newShare, type Share, shareOut } from '../../core/shares.ts'

/** Options of memory checkpoints. */
export interface MemoryCheckpointsOptions {
  /** By which leases run out. Default: real time. */
  readonly clock?: Clock | undefined
}

interface Lane extends Share {
  position: string | undefined
}

interface Consumer {
  readonly lanes: Map<string, Lane>
  /** Until when each is taken for alive: as long as its last lease would last. */
  readonly members: Map<string, number>
}

class MemoryCheckpoints implements CheckpointStore {
  private readonly clock: Clock
  private readonly consumers = new Map<string, Consumer>()

  constructor(clock: Clock) {
    this.clock = clock
  }

  async lease(
    consumer: string,
    member: string,
    lanes: readonly string[],
    forMs: number,
  ): Promise<readonly LaneLease[]> {
    const now = this.clock.now()
    const until = now + durationOption('forMs', forMs, 0)
    const { members, lanes: known } = this.consumer(consumer)
    const wanted = [...new Set(lanes)].map((name) => ({ name, lane: laneIn(known, name) }))
    shareOut(
      members,
      wanted.map(({ lane }) => lane),
      member,
      now,
      until,
    )
    return wanted
      .filter(({ lane }) => isHeldBy(lane, member, now))
      .map(({ name, lane }) => ({ lane: name, epoch: lane.epoch, until }))
  }

  async release(consumer: string, leases: readonly LaneLease[]): Promise<void> {
    const { lanes, members } = this.consumer(consumer)
    for (const lease of leases) {
      const lane = lanes.get(lease.lane)
      if (lane !== undefined) giveBack(members, lanes.values(), lane, lease.epoch)
    }
  }

  async load(consumer: string, lane: string): Promise<string | undefined> {
    return this.consumers.get(consumer)?.lanes.get(lane)?.position
  }

  async save(consumer: string, lease: LaneLease, position: string): Promise<boolean> {
    const lane = this.consumers.get(consumer)?.lanes.get(lease.lane)
    if (!isCurrent(lane, lease.epoch)) return false
    lane.position = position
    return true
  }

  private consumer(name: string): Consumer {
    let consumer = this.consumers.get(name)
    if (consumer === undefined) {
      consumer = { lanes: new Map(), members: new Map() }
      this.consumers.set(name, consumer)
    }
    return consumer
  }
}

/**
 * A CheckpointStore in this process. Lanes are shared fairly: with n lanes and k members that are alive each may hold n / k, and the first
 * of them by name one more where that does not come out even. Who holds more than its share gives it up when it asks the next time.
 * A new holder has a new epoch. A lease that has run out may still save until somebody else has the lane.
 * @throws FairleadError `INVALID_OPTIONS`
 */
export function memoryCheckpoints(options: MemoryCheckpointsOptions = {}): CheckpointStore {
  knownOptions('memoryCheckpoints', options, ['clock'])
  return new MemoryCheckpoints(options.clock ?? systemClock)
}

function laneIn(lanes: Map<string, Lane>, name: string): Lane {
  let lane = lanes.get(name)
  if (lane === undefined) {
    lane = { ...newShare(), position: undefined }
    lanes.set(name, lane)
  }
  return lane
}
