// What groups have committed, by way of @confluentinc/kafka-javascript: asked by a consumer of the group, which need not have joined it. An admin client of its own
// must not be asked: librdkafka 2.15.1 ends the whole process (SIGSEGV in rd_kafka_handle_OffsetFetch) where a broker answers it that it is not the
// coordinator, as one does that has just started or that has given the group away. And a consumer's `committed` does not know 0 from nothing.
import { boundedBy } from '../../../core/bounded.ts'
import type { Clock } from '../../../core/clock.ts'
import { createError } from '../../../errors/index.ts'
import type { Committed, PartitionOffset } from '../driver.ts'
import { ConfluentLog, confluentFailure } from './confluent-failures.ts'
import { connected } from './confluent-producer.ts'
import type { ConfluentAdmin, ConfluentClient, ConfluentConfig, ConfluentConsumer } from './confluent-types.ts'
import { quietly } from './kafkajs-producer.ts'

/** How they are asked. */
export interface ConfluentAsking {
  readonly clock: Clock
  readonly answerWithinMs: number
  readonly log: ((level: string, message: string) => void) | undefined
  readonly common: ConfluentConfig
}

interface Asker {
  readonly consumer: ConfluentConsumer
  readonly admin: ConfluentAdmin
  readonly log: ConfluentLog
}

interface Spare {
  readonly asker: Promise<Asker>
  users: number
}

// Of those that nobody asks now: each has threads of its own.
const MOST = 4
const GRACE_MS = 1_000

/** Of one driver. */
export class ConfluentGroups {
  private readonly kafka: ConfluentClient
  private readonly settings: ConfluentAsking
  // By group, the one that was asked last at the end.
  private readonly askers = new Map<string, Spare>()
  private readonly members = new Map<string, Promise<Asker>>()

  constructor(kafka: ConfluentClient, settings: ConfluentAsking) {
    this.kafka = kafka
    this.settings = settings
  }

  /** A member that is connected is asked for its group. Answers how to end that. */
  adopt(group: string, consumer: ConfluentConsumer, log: ConfluentLog): () => void {
    const member = askerOf(consumer, log)
    member.catch(() => {})
    this.members.set(group, member)
    return () => {
      if (this.members.get(group) === member) this.members.delete(group)
    }
  }

  /** By partition. @param settled not while a transaction has written offsets and has not ended */
  committed(
    group: string,
    topic: string,
    count: number,
    settled: boolean,
  ): Promise<readonly (Committed | undefined)[]> {
    return this.by(group, ({ admin }) => this.found(admin, group, topic, count, settled))
  }

  /** In which it has a place. */
  topics(group: string): Promise<readonly string[]> {
    return this.by(group, async ({ admin }) => {
      const found = await admin.fetchOffsets({ groupId: group, timeout: this.settings.answerWithinMs })
      // What was not read may be a place.
      for (const { error } of found.flatMap(({ partitions }) => partitions))
        if (error !== null && error !== undefined) throw confluentFailure(error)
      return found.flatMap(({ topic, partitions }) =>
        partitions.some(({ offset }) => Number(offset) >= 0) ? topic : [],
      )
    })
  }

  /** Notes what nobody has noted before, for a group without members: with some the broker refuses, and nobody says so. Answers what is not noted then. */
  set(group: string, offsets: readonly PartitionOffset[]): Promise<readonly PartitionOffset[]> {
    return this.by(group, async ({ admin, consumer }) => {
      const missing = await this.missing(admin, group, offsets)
      if (missing.length === 0) return missing
      await consumer.commitOffsets(missing.map((each) => ({ ...each, offset: String(each.offset), metadata: '' })))
      return this.missing(admin, group, missing)
    })
  }

  async close(): Promise<void> {
    await Promise.all([...this.askers.keys()].map((group) => this.drop(group)))
  }

  private async missing(
    admin: ConfluentAdmin,
    group: string,
    offsets: readonly PartitionOffset[],
  ): Promise<readonly PartitionOffset[]> {
    const known = new Map<string, readonly (Committed | undefined)[]>()
    for (const { topic } of offsets) if (!known.has(topic)) known.set(topic, await this.found(admin, group, topic))
    return offsets.filter(({ topic, partition }) => known.get(topic)?.[partition] === undefined)
  }

  private async found(
    admin: ConfluentAdmin,
    group: string,
    topic: string,
    count: number = 0,
    settled: boolean = false,
  ): Promise<readonly (Committed | undefined)[]> {
    const timeout = this.settings.answerWithinMs
    const asked = { groupId: group, topics: [topic], timeout, requireStableOffsets: settled }
    const topics = await admin.fetchOffsets(asked)
    const result: (Committed | undefined)[] = Array.from({ length: count })
    for (const { partition, offset, metadata, error } of topics.find((each) => each.topic === topic)?.partitions ??
      []) {
      if (error !== null && error !== undefined) throw confluentFailure(error)
      if (Number(offset) >= 0) result[partition] = { offset: Number(offset), note: metadata ?? '' }
    }
    return result
  }

  private async by<T>(group: string, work: (asker: Asker) => Promise<T>): Promise<T> {
    if (group === '')
      throw createError({ code: 'BAD_REQUEST', effect: 'none', message: 'a group needs a name', transport: 'kafka' })
    const member = this.members.get(group)
    if (member !== undefined) return this.ask(await member, work)
    const spare = this.askers.get(group) ?? { asker: this.asker(group), users: 0 }
    spare.users++
    this.askers.delete(group)
    this.askers.set(group, spare)
    try {
      return await this.ask(await spare.asker, work)
    } catch (thrown) {
      if (this.askers.get(group) === spare) void this.drop(group)
      throw confluentFailure(thrown)
    } finally {
      spare.users--
      for (const [name, { users }] of [...this.askers]) if (users === 0 && this.askers.size > MOST) void this.drop(name)
    }
  }

  private async ask<T>(asker: Asker, work: (asker: Asker) => Promise<T>): Promise<T> {
    const { clock, answerWithinMs } = this.settings
    try {
      const answer = asker.log.during(work(asker))
      return await boundedBy(clock, 2 * answerWithinMs + GRACE_MS, answer, 'TIMED_OUT', 'no answer', 'kafka')
    } catch (thrown) {
      throw confluentFailure(thrown)
    }
  }

  private async asker(group: string): Promise<Asker> {
    const { clock, answerWithinMs, common } = this.settings
    const log = new ConfluentLog(clock, this.settings.log)
    const consumer = this.kafka.consumer({
      ...common,
      kafkaJS: { groupId: group, autoCommit: false, allowAutoTopicCreation: false, logger: log },
    })
    await connected(consumer, log, clock, answerWithinMs)
    return askerOf(consumer, log)
  }

  private async drop(group: string): Promise<void> {
    const spare = this.askers.get(group)
    this.askers.delete(group)
    await spare?.asker.then(
      ({ consumer, log }) =>
        quietly(
          log.idle().then(() => consumer.disconnect()),
          this.settings.clock,
        ),
      () => {},
    )
  }
}

// With the connections of the consumer.
async function askerOf(consumer: ConfluentConsumer, log: ConfluentLog): Promise<Asker> {
  const admin = consumer.dependentAdmin()
  await admin.connect()
  return { consumer, admin, log }
}
