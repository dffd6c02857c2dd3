// Where the receivers of one group in this process take from: one member of the group (or one reader without a group), its partitions, and its commits.
import { detached } from '../../core/async-context.ts'
import { nextTurn } from '../../core/clock.ts'
import type { SettleOptions, SettleVerdict } from '../../core/contracts/transport.ts'
import { endsWithin } from '../../core/patience.ts'
import { createError, type FairleadError, stamp } from '../../errors/index.ts'
import { classifyKafka } from './classify-kafka.ts'
import type { KafkaDelivery } from './delivery.ts'
import type { KafkaRecord, MemberEvents, NewRecord, TopicPartition } from './driver.ts'
import type { Entry, Lane } from './lanes/partition.ts'
import { AGAIN_MS, PlaceLanes } from './place-lanes.ts'
import { heldTooLong, keyOf, type PlaceParts, Ring, regulate } from './place-parts.ts'
import type { KafkaReceiver, ReceiverPlace } from './receiver.ts'
import { endTogether } from './transactions/together.ts'

const FLUSH_WITHIN_MS = 2_500

/** One place. */
export class Place extends PlaceLanes implements MemberEvents, ReceiverPlace {
  protected readonly events: MemberEvents = this
  private readonly receivers: KafkaReceiver[] = []
  // By the time of handing out.
  private readonly held = new Set<KafkaDelivery>()
  private frozen = false
  private scheduled = false
  private turn = 0
  private laneTurn = 0
  private readonly timer: Ring
  private retiring = false
  private over: Promise<void> | undefined
  private drained: (() => void)[] = []

  constructor(parts: PlaceParts) {
    super(parts)
    this.timer = new Ring(parts.settings.clock, () => this.rang())
  }

  /** Whether it takes further receivers. */
  get open(): boolean {
    return this.over === undefined && !this.retiring
  }

  /** Resolves once it has ended, if it is ending. */
  get ended(): Promise<void> {
    return this.over ?? Promise.resolve()
  }

  add(receiver: KafkaReceiver): void {
    this.receivers.push(receiver)
  }

  /** Hands out what can be, but never on the caller's stack. */
  dispatchSoon(): void {
    if (this.scheduled || this.closed) return
    this.scheduled = true
    nextTurn(runDispatch, this)
  }

  dispatch(): void {
    this.scheduled = false
    if (this.frozen || this.closed) return
    const lanes = [...this.lanes.values()]
    if (lanes.length === 0 || this.receivers.length === 0) return
    let idle = 0
    // One of each partition in turn.
    for (let at = this.laneTurn % lanes.length; idle < lanes.length; at = (at + 1) % lanes.length) {
      const lane = lanes[at] as Lane
      const entry = lane.peek()
      if (entry === undefined) {
        idle++
        continue
      }
      const receiver = this.nextReceiver()
      if (receiver === undefined) break
      idle = 0
      this.laneTurn = at + 1
      lane.hold(entry)
      receiver.take(entry)
      // The sink may have ended all.
      if (this.frozen || this.closed) return
    }
    regulate(this.lanes.values(), this.flow)
  }

  handed(delivery: KafkaDelivery): void {
    this.held.add(delivery)
    if (this.settings.maxHandlingMs > 0) this.ring(delivery.handedAt + this.settings.maxHandlingMs)
  }

  async settle(
    receiver: KafkaReceiver,
    delivery: KafkaDelivery,
    verdict: SettleVerdict,
    options: SettleOptions | undefined,
  ): Promise<void> {
    const { entry } = delivery
    const { lane } = entry
    const done = (): void => {
      receiver.held.delete(delivery)
      this.held.delete(delivery)
      if (lane.heldCount === 0) this.tellDrained()
    }
    if (verdict === 'retry') {
      delivery.done()
      lane.giveBack(entry, options?.delayMs ?? 0, options?.overtake === true)
      done()
      if (lane.dueAt < Infinity) this.ring(lane.dueAt)
      this.dispatchSoon()
      return
    }
    if (verdict === 'dead' && this.parts.bury !== undefined) {
      try {
        await this.parts.bury(entry, options?.reason ?? '')
      } catch (error) {
        // It comes again: nothing says that it was given up.
        if (lane.lost) throw delivery.lostError()
        delivery.lose()
        lane.giveBack(entry, AGAIN_MS, false)
        done()
        this.ring(lane.dueAt)
        throw this.errorOf(error)
      }
      if (lane.lost) throw delivery.lostError()
    }
    lane.finish(entry)
    this.dispatchSoon()
    if (this.member === undefined) {
      delivery.done()
      done()
      return
    }
    const kept = this.commits.noted(lane, delivery)
    done()
    await kept
    delivery.done()
  }

  /** As `endTogether` of ./transactions/together.ts. */
  commitTogether(deliveries: readonly KafkaDelivery[], records: readonly NewRecord[]): Promise<void> {
    return endTogether(deliveries, {
      write: (lane) => this.transactions?.join(lane, deliveries, records),
      done: (delivery) => {
        const { lane } = delivery.entry
        lane.finish(delivery.entry)
        delivery.done()
        this.held.delete(delivery)
        ;(delivery.owner as KafkaReceiver).held.delete(delivery)
        if (lane.heldCount === 0) this.tellDrained()
        this.dispatchSoon()
      },
      failed: (delivery) => {
        const receiver = delivery.owner as KafkaReceiver
        if (delivery.state === 'held' && !this.receivers.includes(receiver)) this.takeBack(receiver, delivery)
      },
      errorOf: (error) => this.errorOf(error),
    })
  }

  giveBack(entry: Entry, delayMs: number, overtake: boolean): void {
    if (entry.lane.lost) return
    entry.lane.giveBack(entry, delayMs, overtake)
    this.dispatchSoon()
  }

  /** A receiver goes: what it holds is given back to the others, or with the last one to the broker. */
  async left(receiver: KafkaReceiver): Promise<void> {
    const at = this.receivers.indexOf(receiver)
    if (at < 0) return this.over
    this.receivers.splice(at, 1)
    for (const delivery of [...receiver.held]) {
      if (delivery.state !== 'held' || delivery.inTransaction) continue
      this.takeBack(receiver, delivery)
    }
    this.tellDrained()
    if (this.receivers.length === 0) await this.end()
    else await endsWithin(this.commits.flushed(), FLUSH_WITHIN_MS, this.settings.clock).catch(() => {})
  }

  private takeBack(receiver: KafkaReceiver, delivery: KafkaDelivery): void {
    receiver.giveUp(delivery)
    this.held.delete(delivery)
    this.giveBack(delivery.entry, 0, false)
  }

  /** A receiver wants no more. Where none does, and nothing is held any more, others get the partitions. */
  stopped(): void {
    if (this.receivers.some(({ wanting }) => wanting) || this.over !== undefined) return
    this.retiring = true
    this.retire()
  }

  /** It cannot go on: all receivers end with the error. */
  async fail(error: FairleadError): Promise<void> {
    const told = stamp(error, { transport: this.settings.name, channel: this.parts.channel })
    const receivers = [...this.receivers]
    const ending = this.end()
    await Promise.all(receivers.map((receiver) => receiver.fail(told)))
    await ending
  }

  // Of a member.

  onRebalancing(): readonly TopicPartition[] {
    this.frozen = true
    this.commits.now()
    return [...this.lanes.values()]
      .filter((lane) => lane.heldCount > 0 || this.commits.waitsFor(lane))
      .map(({ at }) => at)
  }

  onAssigned(assigned: readonly TopicPartition[], kept: readonly TopicPartition[]): void {
    const stays = new Set(kept.map(keyOf))
    const added = assigned.filter((each) => !stays.has(keyOf(each)))
    this.frozen = false
    const epoch = ++this.epoch
    for (const [key, lane] of this.lanes) if (stays.has(key)) lane.draining = false
    if (this.closed) return
    this.dispatchSoon()
    if (added.length > 0) void this.openLanes(added, epoch)
  }

  async onRevoking(partitions: readonly TopicPartition[]): Promise<void> {
    const { clock, revokeWithinMs } = this.settings
    const lanes = partitions.flatMap((each) => this.lanes.get(keyOf(each)) ?? [])
    for (const lane of lanes) lane.draining = true
    for (const delivery of [...this.held]) if (delivery.entry.lane.draining) delivery.tellRevoking()
    const drained = (async () => {
      while (lanes.some(({ heldCount, lost }) => heldCount > 0 && !lost) && !this.closed)
        await new Promise<void>((resolve) => void this.drained.push(resolve))
      await this.commits.flushed()
    })()
    await endsWithin(drained, revokeWithinMs, clock).catch(() => {})
    this.tellDrained()
  }

  onLost(partitions: readonly TopicPartition[]): void {
    for (const each of partitions) {
      const lane = this.lanes.get(keyOf(each))
      if (lane === undefined) continue
      this.lanes.delete(keyOf(each))
      this.lose(lane)
    }
    this.tellDrained()
  }

  onRecords(from: TopicPartition, records: readonly KafkaRecord[]): void {
    const lane = this.lanes.get(keyOf(from))
    if (lane === undefined || this.closed) return
    lane.add(records)
    if (lane.dueAt < Infinity) this.ring(lane.dueAt)
    regulate(this.lanes.values(), this.flow)
    // All that came in is done already, as the one before had noted.
    if (lane.tracker.dirty && this.member !== undefined) this.commits.soon()
    this.dispatchSoon()
  }

  onEnded(error: FairleadError): void {
    void this.fail(error)
  }

  private lose(lane: Lane): void {
    lane.lost = true
    this.commits.lost(lane)
    for (const receiver of this.receivers)
      for (const delivery of [...receiver.held])
        if (delivery.entry.lane === lane) {
          this.held.delete(delivery)
          receiver.giveUp(delivery)
        }
  }

  private nextReceiver(): KafkaReceiver | undefined {
    const { receivers } = this
    for (let tried = 0; tried < receivers.length; tried++) {
      const receiver = receivers[this.turn++ % receivers.length] as KafkaReceiver
      if (receiver.wants) return receiver
    }
    return undefined
  }

  private end(): Promise<void> {
    this.over ??= (async () => {
      // The last verdicts first: what was settled must not come again.
      await endsWithin(this.commits.flushed(), FLUSH_WITHIN_MS, this.settings.clock).catch(() => {})
      this.closed = true
      this.timer.end()
      for (const lane of this.lanes.values()) this.lose(lane)
      this.lanes.clear()
      this.commits.close()
      this.tellDrained()
      await this.member?.close()
      await this.reader?.close()
      await this.parts.onClosed()
    })()
    return this.over
  }

  private retire(): void {
    if (this.retiring && this.held.size === 0 && this.over === undefined) void this.end()
  }

  private tellDrained(): void {
    this.retire()
    const { drained } = this
    if (drained.length === 0) return
    this.drained = []
    for (const each of drained) each()
  }

  private ring(at: number): void {
    if (!this.closed) this.timer.by(at)
  }

  // What waited for its time, and what is held too long.
  private rang(): void {
    const { clock, maxHandlingMs } = this.settings
    let next = Infinity
    for (const lane of this.lanes.values()) {
      lane.wake()
      next = Math.min(next, lane.dueAt)
    }
    const { late, until } = heldTooLong(this.held, maxHandlingMs, clock.now())
    if (late !== undefined) {
      const message = `a message was held for more than ${maxHandlingMs} ms: the member leaves its group, and others go on`
      void this.fail(createError({ code: 'LEASE_LOST', message, details: { id: late.envelope.id } }))
      return
    }
    next = Math.min(next, until)
    if (next < Infinity) this.ring(next)
    this.dispatchSoon()
  }

  protected errorOf(error: unknown): FairleadError {
    return stamp(classifyKafka(error), { transport: this.settings.name, channel: this.parts.channel })
  }
}

function runDispatch(place: Place): void {
  detached(() => place.dispatch())
}
