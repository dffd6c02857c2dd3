// Who reads a topic for a group: one member at a time, by a lease in the checkpoint store, which also fences the positions that it saves.
import { detached } from '../../core/async-context.ts'
import type { Clock, Timer } from '../../core/clock.ts'
import type { CheckpointStore, LaneLease } from '../../core/contracts/store.ts'
import { uuidV7 } from '../../core/uuid.ts'
import { createError } from '../../errors/classes.ts'
import { classify } from '../../errors/classify.ts'

/** A group's place in a topic. */
export interface LaneSettings {
  readonly store: CheckpointStore
  readonly transport: string
  readonly topic: string
  readonly group: string
  /** Part of the name under which the store knows this member. */
  readonly member: string | undefined
  readonly leaseMs: number
  /** How often a member that waits for its turn asks. */
  readonly takeOverMs: number
  readonly clock: Clock
}

/** One member's view of a group's place in a topic. */
export class Lane {
  readonly settings: LaneSettings
  // Stores share lanes by the names of members. One of its own for each topic: members of one group that read different topics do not compete.
  readonly consumer: string
  private member: string

  constructor(settings: LaneSettings) {
    this.settings = settings
    this.consumer = `${settings.group}/${settings.topic}`
    this.member = this.newMember()
  }

  load(): Promise<string | undefined> {
    return this.classified(this.settings.store.load(this.consumer, this.settings.topic))
  }

  /** The right to read, or undefined while somebody else has it. */
  async ask(): Promise<Tenure | undefined> {
    const { leaseMs, takeOverMs, clock } = this.settings
    // Who asks counts as alive for so long, and who is alive may be waited for: a member that only waits must not be waited for long.
    const forMs = Math.min(leaseMs, 3 * takeOverMs)
    if ((await this.lease(forMs)) === undefined) return undefined
    const from = clock.now()
    const lease = await this.lease(leaseMs)
    return lease === undefined ? undefined : new Tenure(this, lease, from)
  }

  async lease(forMs: number): Promise<LaneLease | undefined> {
    const { store, topic } = this.settings
    const leases = await this.classified(store.lease(this.consumer, this.member, [topic], forMs))
    return leases.find(({ lane }) => lane === topic)
  }

  /** Somebody else may have the lane by now: to come back under the old, smaller name would drive them out. */
  rename(): void {
    this.member = this.newMember()
  }

  async classified<T>(work: Promise<T>): Promise<T> {
    try {
      return await work
    } catch (error) {
      throw classify(error, { transport: this.settings.transport, channel: this.settings.topic })
    }
  }

  lost(): Error {
    const { transport, topic } = this.settings
    return createError({ code: 'LEASE_LOST', transport, channel: topic, stack: false })
  }

  // Begins with the time: stores favour the smallest name, and that is to be the member that has been there longest.
  private newMember(): string {
    const { member, clock } = this.settings
    return member === undefined ? uuidV7(clock) : `${uuidV7(clock)}-${member}`
  }
}

// A renewal that failed is tried again this often within what is left of the lease.
const TRIES_LEFT = 5

/** The right to read a topic for a group, kept up until it is released or lost. */
export class Tenure {
  lost = false
  /** Called once, when it is lost. */
  onLost: () => void = () => {}
  private readonly lane: Lane
  private readonly own: LaneLease
  private until = 0
  private timer: Timer | undefined
  private over = false

  constructor(lane: Lane, lease: LaneLease, from: number) {
    const { leaseMs } = lane.settings
    this.lane = lane
    this.own = lease
    this.until = from + leaseMs
    this.arm(leaseMs / 3)
  }

  /** @throws FairleadError `LEASE_LOST` where somebody else has the lane by now */
  async save(text: string): Promise<void> {
    const { lane } = this
    if (this.lost) throw lane.lost()
    if (await lane.classified(lane.settings.store.save(lane.consumer, this.own, text))) return
    this.lose()
    throw lane.lost()
  }

  /** Gives the right back: the next member need not wait for the lease to run out. */
  async release(): Promise<void> {
    if (this.over) return
    this.end()
    const { lane } = this
    await lane.classified(lane.settings.store.release(lane.consumer, [this.own]))
  }

  /** It is no longer ours, however we know. */
  lose(): void {
    if (this.over) return
    this.end()
    this.lost = true
    this.lane.rename()
    this.onLost()
  }

  private end(): void {
    this.over = true
    this.lane.settings.clock.clearTimer(this.timer)
  }

  private arm(ms: number): void {
    const { clock } = this.lane.settings
    this.timer = detached(() => clock.setTimer(renew, Math.max(ms, 0), this))
  }

  /** The timer's. */
  async renew(): Promise<void> {
    const { leaseMs, clock } = this.lane.settings
    const from = clock.now()
    if (from >= this.until) return this.lose()
    // An answer that does not come is no renewal.
    this.arm(this.until - from)
    const waiting = this.timer
    try {
      const lease = await this.lane.lease(leaseMs)
      if (this.over) return
      if (lease?.epoch !== this.own.epoch) return this.lose()
      this.until = from + leaseMs
      clock.clearTimer(waiting)
      this.arm(leaseMs / 3)
    } catch {
      if (this.over) return
      clock.clearTimer(waiting)
      this.arm(Math.min((this.until - clock.now()) / TRIES_LEFT + 1, Math.max(this.until - clock.now(), 0)))
    }
  }
}

function renew(tenure: Tenure): void {
  void tenure.renew()
}
