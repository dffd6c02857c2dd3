// Positions and leases of lanes in this process: for tests, and for consumers that start from the beginning with each process.
import { type Clock, systemClock } from '../../core/clock.ts'
import type { CheckpointStore, LaneLease } from '../../core/contracts/store.ts'
import { durationOption, knownOptions } from '../../core/options.ts'

/** Options of memory checkpoints. */
export interface MemoryCheckpointsOptions {
  /** By which leases run out. Default: real time. */
  readonly clock?: Clock | undefined
}

interface Lane {
  epoch: bigint
  /** Undefined once it was released or given up. */
  member: string | undefined
  until: number
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
    for (const [name, end] of members) if (end <= now) members.delete(name)
    members.set(member, until)
    const wanted = [...new Set(lanes)].map((name) => ({ name, lane: laneIn(known, name) }))
    const share = shareOf(member, [...members.keys()], wanted.length)
    let held = 0
    for (const { lane } of wanted) {
      if (lane.member !== member || lane.until <= now) continue
      if (held === share) lane.member = undefined
      else {
        lane.until = until
        held++
      }
    }
    for (const { lane } of wanted) {
      if (held === share) break
      if (lane.member !== undefined && lane.until > now) continue
      lane.member = member
      lane.until = until
      lane.epoch++
      held++
    }
    return wanted
      .filter(({ lane }) => lane.member === member && lane.until > now)
      .map(({ name, lane }) => ({ lane: name, epoch: lane.epoch, until }))
  }

  async release(consumer: string, leases: readonly LaneLease[]): Promise<void> {
    const { lanes, members } = this.consumer(consumer)
    for (const lease of leases) {
      const lane = lanes.get(lease.lane)
      if (lane === undefined || lane.epoch !== lease.epoch || lane.member === undefined) continue
      const { member } = lane
      lane.member = undefined
      // Who holds nothing more has left, and the others' shares grow.
      if (![...lanes.values()].some((each) => each.member === member)) members.delete(member)
    }
  }

  async load(consumer: string, lane: string): Promise<string | undefined> {
    return this.consumers.get(consumer)?.lanes.get(lane)?.position
  }

  async save(consumer: string, lease: LaneLease, position: string): Promise<boolean> {
    const lane = this.consumers.get(consumer)?.lanes.get(lease.lane)
    if (lane === undefined || lane.epoch !== lease.epoch || lane.member === undefined) return false
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
    lane = { epoch: 0n, member: undefined, until: -Infinity, position: undefined }
    lanes.set(name, lane)
  }
  return lane
}

function shareOf(member: string, members: string[], lanes: number): number {
  const rank = members.sort().indexOf(member)
  return Math.floor(lanes / members.length) + (rank < lanes % members.length ? 1 : 0)
}
