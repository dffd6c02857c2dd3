// kafkajs 2 as a driver. What it does not do by itself is done here: it tells of a rebalance too late to drain, commits that were not made count as made,
// and an idempotent producer that lost an answer takes the next batch for the last one.
import { boundedBy } from '../../../core/bounded.ts'
import { type Clock, sleep, systemClock } from '../../../core/clock.ts'
import { durationOption, invalidOption, knownOptions } from '../../../core/options.ts'
import { endsWithin } from '../../../core/patience.ts'
import { uuidV7 } from '../../../core/uuid.ts'
import { type FairleadError, isFairleadError } from '../../../errors/index.ts'
import { brokerError, classifyKafka, kafkaErrorOf } from '../classify-kafka.ts'
import type {
  Committed,
  KafkaDriver,
  KafkaMember,
  KafkaProducer,
  KafkaReader,
  MemberEvents,
  NewRecord,
  NewTopic,
  PartitionOffset,
  ReaderEvents,
} from '../driver.ts'
import { KafkaJsMember, type MemberSettings } from './kafkajs-member.ts'
import { byPartition, byPlace, send } from './kafkajs-sending.ts'
import type { KafkaJsAdmin, KafkaJsClient, KafkaJsProducer } from './kafkajs-types.ts'

/** Options of `kafkaJsDriver`. All may be left out. */
export interface KafkaJsDriverOptions {
  /** How long a fetch waits for records where there are none, and a paused consumer before it looks again. It delays every stop as well. Default 50; kafkajs itself has 5,000. */
  readonly maxWaitMs?: number | undefined
  /** After so long without a heartbeat the broker gives the partitions to others. Default 30,000. */
  readonly sessionTimeoutMs?: number | undefined
  /** Also how fast a member notices a rebalance. Default 1,000. */
  readonly heartbeatMs?: number | undefined
  /** How long the broker waits for members in a rebalance. Default 60,000. */
  readonly rebalanceTimeoutMs?: number | undefined
  readonly clock?: Clock | undefined
}

const OPTIONS = ['maxWaitMs', 'sessionTimeoutMs', 'heartbeatMs', 'rebalanceTimeoutMs', 'clock'] as const
const CLOSE_WITHIN_MS = 2_500
const AGAIN_MS = 100
const AGAIN_WITHIN_MS = 8_000
const MOST_CUTS = 5
// Longer than a client that tries a few times by itself; they stand in line, and one that never ends would hold up all.
const ANSWER_WITHIN_MS = 30_000
// Few and quick: whoever sends decides about the rest, and until the client gives up nobody knows what became of the records.
const RETRY = { initialRetryTime: 50, maxRetryTime: 500, retries: 3 } as const
const MEMBER_RETRY = { initialRetryTime: 100, maxRetryTime: 1_000, retries: 8 } as const

class KafkaJsDriver implements KafkaDriver {
  readonly name = 'kafkajs'
  private readonly kafka: KafkaJsClient
  private readonly settings: MemberSettings
  private admin: Promise<KafkaJsAdmin> | undefined
  private line: Promise<unknown> = Promise.resolve()

  constructor(kafka: KafkaJsClient, settings: MemberSettings) {
    this.kafka = kafka
    this.settings = settings
  }

  async partitions(topic: string): Promise<number | undefined> {
    try {
      const { topics } = await this.asked((admin) => admin.fetchTopicMetadata({ topics: [topic] }))
      return topics.find(({ name }) => name === topic)?.partitions.length
    } catch (error) {
      if (isUnknownTopic(error as FairleadError)) return undefined
      throw error
    }
  }

  async createTopics(topics: readonly NewTopic[]): Promise<void> {
    await this.asked((admin) =>
      admin.createTopics({
        // It takes a topic that is not yet known for one that is not there.
        waitForLeaders: false,
        topics: topics.map(({ topic, partitions, replicationFactor, config }) => ({
          topic,
          numPartitions: partitions,
          replicationFactor,
          configEntries: Object.entries(config).map(([name, value]) => ({ name, value })),
        })),
      }),
    )
  }

  async deleteTopics(topics: readonly string[]): Promise<void> {
    for (const topic of topics) if ((await this.partitions(topic)) !== undefined) await this.deleteTopic(topic)
  }

  async offsets(topic: string, at: 'earliest' | 'latest' | { readonly time: number }): Promise<readonly number[]> {
    if (typeof at === 'object')
      return byPartition(
        await this.fresh(topic, (admin) => admin.fetchTopicOffsetsByTimestamp(topic, at.time)),
        ({ offset }) => Number(offset),
      )
    return byPartition(await this.fresh(topic, (admin) => admin.fetchTopicOffsets(topic)), ({ high, low }) =>
      Number(at === 'earliest' ? low : high),
    )
  }

  async committed(group: string, topic: string): Promise<readonly (Committed | undefined)[]> {
    const answers = await this.fresh(topic, (admin) => admin.fetchOffsets({ groupId: group, topics: [topic] }))
    const partitions = answers.find((answer) => answer.topic === topic)?.partitions ?? []
    return byPartition(partitions, ({ offset, metadata }) =>
      Number(offset) < 0 ? undefined : { offset: Number(offset), note: metadata ?? '' },
    )
  }

  // kafkajs can commit as a member only: so it joins, for a moment, and notes only what nobody has noted before.
  async setCommitted(group: string, offsets: readonly PartitionOffset[]): Promise<void> {
    const topics = [...new Set(offsets.map(({ topic }) => topic))]
    const member = await this.join(group, topics, IDLE)
    try {
      const known = new Map(
        await Promise.all(topics.map(async (topic) => [topic, await this.committed(group, topic)] as const)),
      )
      const missing = offsets.filter(({ topic, partition }) => known.get(topic)?.[partition] === undefined)
      if (missing.length > 0) await member.commit(missing.map((each) => ({ ...each, note: '' })))
    } finally {
      await member.close()
    }
  }

  async producer(): Promise<KafkaProducer> {
    let producer = await this.connected()
    const { settings } = this
    return {
      produce: async (records) => {
        const answers = await send(producer, records)
        if (!isFairleadError(answers)) return this.explained(records, answers)
        const failure = answers
        if (kafkaErrorOf(failure) === undefined || failure.effect !== 'none') return records.map(() => failure)
        // One topic that is gone makes kafkajs refuse all, also if it was asked for long ago.
        const gone = isUnknownTopic(failure) ? await this.gone(records) : new Set<string>()
        if (isUnknownTopic(failure)) {
          void quietly(producer.disconnect(), settings.clock)
          try {
            producer = await this.connected()
          } catch (error) {
            return records.map(() => error as FairleadError)
          }
        }
        // kafkajs says only that one of the partitions was refused. Each alone says which: what was written before has the same place in the sequence
        // once more, and the broker leaves it out.
        const verdicts = new Map<string, FairleadError | undefined>()
        for (const [place, part] of byPlace(records)) {
          const { topic } = part[0] as NewRecord
          const answer = gone.has(topic) ? failure : await send(producer, part)
          verdicts.set(place, isFairleadError(answer) ? answer : (await this.explained(part, answer))[0])
        }
        return records.map(({ topic, partition }) => verdicts.get(`${topic} ${partition}`))
      },
      close: () => quietly(producer.disconnect(), settings.clock),
    }
  }

  async join(group: string, topics: readonly string[], events: MemberEvents): Promise<KafkaMember> {
    const member = new KafkaJsMember(this.kafka, group, topics, events, this.settings, MEMBER_RETRY, async () => {
      let sum = 0
      for (const topic of topics) sum += (await this.partitions(topic)) ?? 0
      return sum
    })
    await member.start()
    return member
  }

  // kafkajs has no consumer without a group: one of a name that nobody else has, which commits nothing and is deleted at the end.
  async read(from: readonly PartitionOffset[], events: ReaderEvents): Promise<KafkaReader> {
    const topics = [...new Set(from.map(({ topic }) => topic))]
    const group = `fairlead-reader-${uuidV7(this.settings.clock)}`
    const places = new Map(from.map((place) => [`${place.topic} ${place.partition}`, place.offset]))
    let member: KafkaJsMember
    const self: MemberEvents = {
      onRebalancing: () => [],
      onAssigned: (assigned, kept) => {
        const same = new Set(kept.map(({ topic, partition }) => `${topic} ${partition}`))
        for (const each of assigned) {
          const place = `${each.topic} ${each.partition}`
          const offset = places.get(place)
          if (same.has(place) || offset === undefined) continue
          member.seek({ ...each, offset })
          member.resume([each])
        }
      },
      onRevoking: async () => {},
      onLost: () => {},
      onRecords: (at, records) => {
        places.set(`${at.topic} ${at.partition}`, (records.at(-1)?.offset ?? -1) + 1)
        events.onRecords(at, records)
      },
      onEnded: (error) => events.onEnded(error),
    }
    member = new KafkaJsMember(this.kafka, group, topics, self, this.settings, MEMBER_RETRY, undefined)
    await member.start()
    return {
      pause: (partitions) => member.pause(partitions),
      resume: (partitions) => member.resume(partitions),
      seek: (to) => {
        places.set(`${to.topic} ${to.partition}`, to.offset)
        member.seek(to)
      },
      close: async () => {
        await member.close()
        await quietly(
          this.asked((admin) => admin.deleteGroups([group])),
          this.settings.clock,
        )
      },
    }
  }

  async close(): Promise<void> {
    const { admin } = this
    this.admin = undefined
    if (admin !== undefined)
      await quietly(
        admin.then((each) => each.disconnect()),
        this.settings.clock,
      )
  }

  private async connected(): Promise<KafkaJsProducer> {
    const producer = this.kafka.producer({
      idempotent: true,
      allowAutoTopicCreation: false,
      retry: RETRY,
      createPartitioner:
        () =>
        ({ message }) =>
          message.partition ?? 0,
    })
    try {
      await producer.connect()
      return producer
    } catch (error) {
      void quietly(producer.disconnect(), this.settings.clock)
      throw classifyKafka(error, { phase: 'connect' })
    }
  }

  // A partition that kafkajs does not know of may only be without a leader for the moment.
  private async explained(
    records: readonly NewRecord[],
    answers: readonly (FairleadError | undefined)[],
  ): Promise<readonly (FairleadError | undefined)[]> {
    if (answers.every((answer) => answer === undefined)) return answers
    const counts = new Map<string, number>()
    for (const [at, answer] of answers.entries()) {
      const { topic } = records[at] as NewRecord
      if (answer === undefined || counts.has(topic)) continue
      const count = await this.partitions(topic).catch(() => Number.POSITIVE_INFINITY)
      counts.set(topic, count ?? 0)
    }
    return answers.map((answer, at) => {
      const { topic, partition } = records[at] as NewRecord
      if (answer === undefined || partition >= (counts.get(topic) ?? 0)) return answer
      return brokerError('LEADER_NOT_AVAILABLE', `partition ${partition} of ${topic} has no leader now`)
    })
  }

  private async gone(records: readonly NewRecord[]): Promise<Set<string>> {
    const gone = new Set<string>()
    for (const topic of new Set(records.map((record) => record.topic)))
      if ((await this.partitions(topic).catch(() => 0)) === undefined) gone.add(topic)
    return gone
  }

  private async deleteTopic(topic: string): Promise<void> {
    try {
      await this.asked((admin) => admin.deleteTopics({ topics: [topic] }))
    } catch (error) {
      if (!isUnknownTopic(error as FairleadError)) throw error
    }
  }

  // The admin client of kafkajs remembers every topic it was asked about, and once one of them is gone it knows none.
  private async fresh<T>(topic: string, work: (admin: KafkaJsAdmin) => Promise<T>): Promise<T> {
    const { admin } = this
    try {
      return await this.asked(work)
    } catch (error) {
      if (!isUnknownTopic(error as FairleadError) || (await this.partitions(topic)) === undefined) throw error
      if (admin !== undefined) this.retire(admin)
      return this.asked(work)
    }
  }

  // A coordinator that is loading, a leader that is being chosen, a connection that ended: kafkajs gives up at once on most of them.
  private async asked<T>(work: (admin: KafkaJsAdmin) => Promise<T>): Promise<T> {
    const { clock } = this.settings
    let cuts = 0
    for (const until = clock.now() + AGAIN_WITHIN_MS; ; await sleep(clock, AGAIN_MS)) {
      try {
        return await this.askedOnce(work)
      } catch (error) {
        const { code } = error as FairleadError
        const busy = code === 'UNAVAILABLE' && kafkaErrorOf(error as FairleadError) !== undefined
        const again = busy || (code === 'CONNECTION_LOST' && cuts++ < MOST_CUTS)
        if (!again || clock.now() > until) throw error
      }
    }
  }

  // One at a time: the admin client keeps one list of topics for all that are under way, and one that is not there yet spoils the others.
  private askedOnce<T>(work: (admin: KafkaJsAdmin) => Promise<T>): Promise<T> {
    const mine = this.line.then(() => this.ask(work))
    this.line = mine.then(nothing, nothing)
    return mine
  }

  private async ask<T>(work: (admin: KafkaJsAdmin) => Promise<T>): Promise<T> {
    this.admin ??= this.administrator()
    const mine = this.admin
    let connected = false
    try {
      const answer = mine.then((admin) => {
        connected = true
        return work(admin)
      })
      return await boundedBy(this.settings.clock, ANSWER_WITHIN_MS, answer, 'TIMED_OUT', 'no answer', 'kafka')
    } catch (thrown) {
      // Its own metadata were not what it thought: as with a leader that is being chosen.
      const unready = thrown instanceof TypeError
      const error = unready
        ? brokerError('LEADER_NOT_AVAILABLE')
        : classifyKafka(thrown, { phase: connected ? 'request' : 'connect' })
      // What the broker answered leaves the connection as it is.
      if (unready || kafkaErrorOf(error) === undefined) this.retire(mine)
      throw error
    }
  }

  private retire(admin: Promise<KafkaJsAdmin>): void {
    if (this.admin === admin) this.admin = undefined
    admin.then((each) => void quietly(each.disconnect(), this.settings.clock), nothing)
  }

  private async administrator(): Promise<KafkaJsAdmin> {
    const admin = this.kafka.admin({ retry: RETRY })
    try {
      await admin.connect()
      return admin
    } catch (error) {
      void quietly(admin.disconnect(), this.settings.clock)
      throw error
    }
  }
}

const IDLE: MemberEvents = {
  onRebalancing: () => [],
  onAssigned: () => {},
  onRevoking: async () => {},
  onLost: () => {},
  onRecords: () => {},
  onEnded: () => {},
}

/**
 * kafkajs 2 as a driver: give `new Kafka(...)`. Tested with kafkajs 2.2.4. Set `retry` and `requestTimeout` of the client low (such as 3 retries from
 * 100 ms, 10,000 ms): while it tries again by itself, nobody can be told.
 * @throws FairleadError `INVALID_OPTIONS`
 * @example const transport = kafkaTransport(kafkaJsDriver(new Kafka({ clientId: 'orders', brokers: ['kafka:9092'] })))
 */
export function kafkaJsDriver(kafka: KafkaJsClient, options: KafkaJsDriverOptions = {}): KafkaDriver {
  if (
    typeof kafka?.consumer !== 'function' ||
    typeof kafka.producer !== 'function' ||
    typeof kafka.admin !== 'function'
  )
    throw invalidOption('kafka', kafka, 'give a Kafka of kafkajs')
  knownOptions('kafkaJsDriver', options, OPTIONS)
  const clock = options.clock ?? systemClock
  return new KafkaJsDriver(kafka, {
    clock,
    maxWaitMs: durationOption('maxWaitMs', options.maxWaitMs, 50),
    sessionTimeoutMs: durationOption('sessionTimeoutMs', options.sessionTimeoutMs, 30_000),
    heartbeatMs: durationOption('heartbeatMs', options.heartbeatMs, 1_000),
    rebalanceTimeoutMs: durationOption('rebalanceTimeoutMs', options.rebalanceTimeoutMs, 60_000),
  })
}

/** Waits, but not long, and for nothing that fails. */
export async function quietly(work: Promise<unknown>, clock: Clock): Promise<void> {
  try {
    await endsWithin(work, CLOSE_WITHIN_MS, clock)
  } catch {
    // It is over either way.
  }
}

function isUnknownTopic(error: FairleadError): boolean {
  return kafkaErrorOf(error) === 'UNKNOWN_TOPIC_OR_PARTITION'
}

function nothing(): void {}
