// One member of a group, by the classic protocol (JoinGroup, SyncGroup, Heartbeat, OffsetCommit). What is held stays where it is through a rebalance:
// members say in their subscription what they are at work on, and the assignor of ../../assignment.ts leaves it with them; whoever then has more than its
// share finishes the surplus, gives it up, and asks for another rebalance.
import { sleep } from '../../../../core/clock.ts'
import { endsWithin } from '../../../../core/patience.ts'
import { createError, type FairleadError } from '../../../../errors/index.ts'
import {
  ASSIGNOR,
  assign,
  COMMON_ASSIGNORS,
  decodeSubscription,
  encodeAssignment,
  encodeSubscription,
  fairShare,
} from '../../assignment.ts'
import { kafkaErrorOf } from '../../classify-kafka.ts'
import type { KafkaMember, PartitionCommit, PartitionOffset, TopicPartition } from '../../driver.ts'
import { failureOfCode, isCut, isElsewhere, isForgotten, lost, MOST_CUTS, requiredId } from './failures.ts'
import { type Fetcher, laneOf } from './fetcher.ts'
import { decodeAssignment, offsetsByTopic } from './group-bytes.ts'
import type { MemberParts } from './member-parts.ts'
import type { PlatformaticBroker } from './types.ts'

const MOVING: ReadonlySet<string | undefined> = new Set(['ILLEGAL_GENERATION', 'REBALANCE_IN_PROGRESS'])
const LEAVE_MS = 2_000
const MOST_TRIES = 20
// After a question about the group that failed: until then another member may have nothing to do.
const BALANCE_AGAIN_MS = 5_000

/** One member. */
export class PlatformaticMember implements KafkaMember {
  private readonly parts: MemberParts
  private readonly fetcher: Fetcher
  private readonly stop = new AbortController()
  private memberId = ''
  private generation = -1
  private coordinator: PlatformaticBroker | undefined
  private held = new Map<string, TopicPartition>()
  // Finished, and given up with the next round.
  private readonly giving = new Set<string>()
  // At work at each attempt to join since the last round that ended: whatever came of those attempts, nobody else was given them.
  private stayed: ReadonlySet<string> | undefined
  private balancing = false
  private rejoin = false
  private closed = false
  private heardAt: number
  private nap = new AbortController()
  // Resolves when the round under way has ended; undefined between rounds.
  private joining: Promise<void> | undefined
  private living: Promise<void> | undefined
  private closing: Promise<void> | undefined

  constructor(parts: MemberParts, fetcher: Fetcher) {
    this.parts = parts
    this.fetcher = fetcher
    this.heardAt = parts.clock.now()
  }

  /** Joins. Resolves with the first assignment. What is only passing is tried again for as long as a rebalance may take. */
  async start(): Promise<void> {
    const { joinWithinMs } = this.parts.options
    try {
      if (await endsWithin(this.first(), joinWithinMs, this.parts.clock)) this.living = this.live()
      else
        throw createError({
          code: 'TIMED_OUT',
          effect: 'none',
          message: `no partitions were assigned within ${joinWithinMs} ms`,
          transport: 'kafka',
        })
    } catch (error) {
      await this.close()
      throw error
    }
  }

  private async first(): Promise<void> {
    const { clock, options } = this.parts
    let cuts = 0
    for (const began = clock.now(); this.generation < 0 && !this.closed; ) {
      try {
        await this.round()
      } catch (thrown) {
        const error = thrown as FairleadError
        const elsewhere = isElsewhere(error) || (isCut(error) && cuts++ < MOST_CUTS)
        const passing = elsewhere || error.code === 'LEASE_LOST' || requiredId(error) !== undefined
        if (!passing || clock.now() - began > options.rebalanceTimeoutMs) throw error
        const id = requiredId(error)
        if (id !== undefined) this.memberId = id
        else {
          if (isForgotten(error)) this.memberId = ''
          if (elsewhere) this.coordinator = undefined
          if (error.code !== 'LEASE_LOST') await this.wait(options.retryMs, false)
        }
      }
    }
  }

  pause(partitions: readonly TopicPartition[]): void {
    this.fetcher.pause(partitions)
  }

  resume(partitions: readonly TopicPartition[]): void {
    this.fetcher.resume(partitions.filter((each) => !this.giving.has(laneOf(each))))
  }

  seek(to: PartitionOffset): void {
    this.fetcher.seek(to)
  }

  async commit(offsets: readonly PartitionCommit[]): Promise<void> {
    for (let tries = 0; ; tries++) {
      const mine = offsets.filter((each) => this.held.has(laneOf(each)))
      if (this.closed || mine.length === 0) throw lost(offsets)
      try {
        await this.send(mine)
        if (mine.length < offsets.length) throw lost(offsets.filter((each) => !mine.includes(each)))
        return
      } catch (thrown) {
        const error = thrown as FairleadError
        if (isElsewhere(error)) this.coordinator = undefined
        if (!MOVING.has(kafkaErrorOf(error))) throw error.code === 'LEASE_LOST' ? lost(offsets, error) : error
        if (tries === MOST_TRIES) throw lost(offsets, error)
        // What is still ours when the round has ended is committed for the generation after it: nobody else can have had it.
        if (this.joining === undefined) {
          this.hurry()
          await this.wait(this.parts.options.retryMs, false)
        } else await this.joining
      }
    }
  }

  /** Fetching has ended on its own. */
  fail(error: FairleadError): void {
    if (this.closed) return
    this.expel()
    this.closed = true
    this.stop.abort()
    // So that others take over at once.
    void this.leave()
      .catch(() => undefined)
      .then(() => this.end())
    this.parts.events.onEnded(error)
  }

  close(): Promise<void> {
    this.closing ??= (async () => {
      this.closed = true
      this.stop.abort()
      this.fetcher.hold(true)
      await this.leave().catch(() => undefined)
      await this.end()
      if (this.living !== undefined) await endsWithin(this.living, LEAVE_MS, this.parts.clock)
    })()
    return this.closing
  }

  private async live(): Promise<void> {
    while (!this.closed) {
      try {
        if (this.generation < 0 || this.rejoin) await this.round()
        else {
          await this.wait(this.parts.options.heartbeatMs)
          if (!this.closed && !this.rejoin) await this.beat()
        }
      } catch (thrown) {
        if (this.closed) return
        const error = thrown as FairleadError
        if (!(await this.bears(error))) this.fail(error)
      }
    }
  }

  /** Does what an error calls for; false: the membership is over. */
  private async bears(error: FairleadError): Promise<boolean> {
    const { clock, options } = this.parts
    const name = kafkaErrorOf(error)
    const id = requiredId(error)
    if (id !== undefined) this.memberId = id
    else if (name === 'REBALANCE_IN_PROGRESS') this.rejoin = true
    else if (error.code === 'LEASE_LOST') {
      // Somebody else has had them since, or may have.
      this.expel()
      if (isForgotten(error)) this.memberId = ''
    } else if (error.transient || isElsewhere(error)) {
      this.coordinator = undefined
      if (this.held.size > 0 && clock.now() - this.heardAt > options.sessionTimeoutMs) this.expel()
      await this.wait(options.retryMs, false)
    } else return false
    return true
  }

  private async round(): Promise<void> {
    let ended: () => void = () => undefined
    this.joining = new Promise((resolve) => {
      ended = resolve
    })
    this.rejoin = true
    this.fetcher.hold(true)
    try {
      await this.join()
      this.rejoin = false
    } finally {
      this.joining = undefined
      ended()
    }
    this.fetcher.hold(false)
  }

  private async join(): Promise<void> {
    const { kafka, membership, clock, group, topics, options, events } = this.parts
    const busy = new Set(events.onRebalancing().map(laneOf))
    const { stayed = busy } = this
    this.stayed = new Set([...busy].filter((name) => stayed.has(name)))
    const claim = { held: {} as Record<string, number[]>, owned: {} as Record<string, number[]> }
    for (const [name, { topic, partition }] of this.held) {
      if (this.giving.has(name)) continue
      const kind = busy.has(name) ? claim.held : claim.owned
      ;(kind[topic] ??= []).push(partition)
    }
    const metadata = encodeSubscription(topics, claim)
    const joined = await membership.ask(
      await this.where(),
      (connection) =>
        kafka.joinGroupV6.api.async(
          connection,
          group,
          options.sessionTimeoutMs,
          options.rebalanceTimeoutMs,
          this.memberId,
          null,
          'consumer',
          [ASSIGNOR, ...COMMON_ASSIGNORS].map((name) => ({ name, metadata })),
        ),
      options.rebalanceTimeoutMs + options.sessionTimeoutMs,
    )
    this.heardAt = clock.now()
    const memberId = joined.memberId ?? ''
    this.memberId = memberId
    // Leaders of other libraries know nothing of who is at work.
    if (joined.protocolName !== ASSIGNOR) this.stayed = new Set()
    const assignments = joined.leader === memberId ? await this.share(joined.members) : []
    const synced = await membership.ask(
      await this.where(),
      (connection) =>
        kafka.syncGroupV4.api.async(connection, group, joined.generationId, memberId, null, null, null, assignments),
      options.rebalanceTimeoutMs + options.sessionTimeoutMs,
    )
    this.heardAt = clock.now()
    if (!this.closed) this.settle(decodeAssignment(synced.assignment), joined.generationId)
  }

  private async share(
    members: readonly { readonly memberId: string; readonly metadata: Buffer | null | undefined }[],
  ): Promise<{ memberId: string; assignment: Buffer }[]> {
    const { membership, topics } = this.parts
    const partitions: Record<string, number[]> = {}
    for (const topic of topics)
      partitions[topic] = Array.from({ length: (await membership.topic(topic, true))?.count ?? 0 }, (_, index) => index)
    const claimants = members.map((each) => ({
      id: each.memberId,
      ...decodeSubscription(each.metadata ?? Buffer.alloc(0)),
    }))
    return [...assign(partitions, claimants)].map(([memberId, mine]) => ({
      memberId,
      assignment: encodeAssignment(mine),
    }))
  }

  private settle(assigned: readonly TopicPartition[], generation: number): void {
    // Nobody else can have had what we held in the generation just before this one. What was not given a place yet is begun anew.
    const unbroken = this.generation >= 0 && generation === this.generation + 1
    this.generation = generation
    const kept = assigned.filter((each) => {
      const name = laneOf(each)
      const ours = this.held.has(name) && !this.giving.has(name) && this.fetcher.placed(each)
      return ours && (unbroken || this.stayed?.has(name) === true)
    })
    this.stayed = undefined
    const keeps = new Set(kept.map(laneOf))
    const gone = [...this.held.values()].filter((each) => !keeps.has(laneOf(each)))
    // What comes back after it was given up nobody else wants: to give it up again would go on for ever.
    const returned = assigned.some((each) => this.giving.has(laneOf(each)))
    this.giving.clear()
    this.held = new Map(assigned.map((each) => [laneOf(each), each]))
    if (gone.length > 0) this.parts.events.onLost(gone)
    this.fetcher.assign(assigned, kept)
    this.parts.events.onAssigned(assigned, kept)
    if (kept.length > 0 && !returned) void this.balance(generation)
  }

  /** Members that are at work on much keep it at first; here they give up what is more than their share. */
  private async balance(round: number): Promise<void> {
    if (this.balancing) return
    this.balancing = true
    let failed = false
    try {
      const { membership, group, topics, events } = this.parts
      // The metadata of before are good enough: the leader asks for new ones.
      const counts = await Promise.all(topics.map((topic) => membership.topic(topic)))
      const described = await this.parts.commits.call((client) => client.describeGroups({ groups: [group] }))
      const total = counts.reduce((sum, topology) => sum + (topology?.count ?? 0), 0)
      const surplus = this.held.size - fairShare(total, described.get(group)?.members.size ?? 1)
      if (surplus <= 0 || this.closed) return
      const going = [...this.held.values()].slice(-surplus)
      await events.onRevoking(going)
      // After another round they are handed out again, and the surplus may be another one.
      if (round !== this.generation) return
      for (const each of going) this.giving.add(laneOf(each))
      this.hurry()
    } catch {
      failed = true
    } finally {
      this.balancing = false
      if (this.generation >= 0 && !this.closed) {
        if (round !== this.generation) void this.balance(this.generation)
        else if (failed) void this.balanceLater(round)
      }
    }
  }

  // Nobody else would ask again before the next rebalance.
  private async balanceLater(round: number): Promise<void> {
    await this.wait(BALANCE_AGAIN_MS, false)
    if (!this.closed && round === this.generation) await this.balance(round)
  }

  private async beat(): Promise<void> {
    const { kafka, membership, clock, group, options } = this.parts
    const { generation, memberId } = this
    await membership.ask(
      await this.where(),
      (connection) => kafka.heartbeatV4.api.async(connection, group, generation, memberId, null),
      options.sessionTimeoutMs,
    )
    this.heardAt = clock.now()
  }

  private async send(offsets: readonly PartitionCommit[]): Promise<void> {
    const { kafka, commits, group } = this.parts
    const { generation, memberId } = this
    const answer = await commits.ask(await this.where(), (connection) =>
      kafka.offsetCommitV8.api.async(connection, group, generation, memberId, null, offsetsByTopic(offsets)),
    )
    for (const { name, partitions } of answer.topics)
      for (const { partitionIndex, errorCode } of partitions)
        if (errorCode !== 0)
          throw failureOfCode(errorCode, kafka.protocolErrorsCodesById, `committing ${name}:${partitionIndex}`)
  }

  private async leave(): Promise<void> {
    const { kafka, commits, group } = this.parts
    const { memberId, coordinator } = this
    if (memberId === '' || coordinator === undefined) return
    await commits.ask(
      coordinator,
      (connection) => kafka.leaveGroupV4.api.async(connection, group, [{ memberId, groupInstanceId: null }]),
      LEAVE_MS,
    )
  }

  private async where(): Promise<PlatformaticBroker> {
    this.coordinator ??= await this.parts.membership.coordinator(this.parts.group)
    return this.coordinator
  }

  /** Others have what was ours, or will. */
  private expel(): void {
    const gone = [...this.held.values()]
    this.held = new Map()
    this.giving.clear()
    this.generation = -1
    this.stayed = undefined
    this.fetcher.assign([], [])
    if (gone.length > 0) this.parts.events.onLost(gone)
  }

  private hurry(): void {
    this.rejoin = true
    this.nap.abort()
  }

  /** @param wakeable whether `hurry` ends it */
  private wait(ms: number, wakeable: boolean = true): Promise<void> {
    const { clock } = this.parts
    if (!wakeable) return sleep(clock, ms, this.stop.signal).catch(() => undefined)
    const nap = new AbortController()
    this.nap = nap
    const end = (): void => nap.abort()
    this.stop.signal.addEventListener('abort', end, { once: true })
    if (this.stop.signal.aborted) nap.abort()
    return sleep(clock, ms, nap.signal)
      .catch(() => undefined)
      .finally(() => this.stop.signal.removeEventListener('abort', end))
  }

  private async end(): Promise<void> {
    await Promise.all([this.fetcher.close(), this.parts.membership.close(), this.parts.commits.close()])
  }
}
