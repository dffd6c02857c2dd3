// The topics behind channels: which there are, how many partitions they have, and making those that are missing.
import { sleep } from '../../core/clock.ts'
import type { ChannelAddress } from '../../core/message.ts'
import { createError } from '../../errors/index.ts'
import { classifyKafka } from './classify-kafka.ts'
import type { Committed, KafkaDriver, NewTopic, TopicPartition } from './driver.ts'
import { deadTopic, type KafkaSettings, retryTopic, topicName } from './options.ts'

/** Where a new group starts. */
export type Start =
  | 'earliest'
  | 'latest'
  | { readonly time: number }
  | { readonly positions: Readonly<Record<string, string>> }

/** How far a group is behind. */
export interface KafkaLag {
  /** Records that are not committed: those that are handed out and those that are done behind an open one count as well. */
  readonly total: number
  /** By partition. */
  readonly partitions: readonly number[]
}

const STANDS_WITHIN_MS = 20_000
const LOOK_AGAIN_MS = 20
const KNOWN_FOR_MS = 60_000
const MOST_KNOWN = 10_000

/** Topics of one cluster. */
export class Topics {
  private readonly driver: KafkaDriver
  private readonly settings: KafkaSettings
  private readonly known = new Map<string, { readonly partitions: number; readonly at: number }>()
  private readonly asking = new Map<string, Promise<number | undefined>>()

  constructor(driver: KafkaDriver, settings: KafkaSettings) {
    this.driver = driver
    this.settings = settings
  }

  /** How many partitions, as far as it is known without asking. */
  cached(topic: string): number | undefined {
    const known = this.known.get(topic)
    if (known === undefined) return undefined
    // More partitions may have been added.
    if (this.settings.clock.now() - known.at > KNOWN_FOR_MS) void this.partitions(topic).catch(() => {})
    return known.partitions
  }

  /** How far a group is behind, as the broker knows it. */
  async lag(group: string, topic: string): Promise<KafkaLag> {
    const [ends, places] = await Promise.all([
      this.driver.offsets(topic, 'latest'),
      this.driver.committed(group, topic),
    ])
    const partitions = ends.map((end, partition) => Math.max(end - (places[partition]?.offset ?? 0), 0))
    return { total: partitions.reduce((sum, each) => sum + each, 0), partitions }
  }

  /** Where the partitions of a topic begin and end now. */
  async bounds(topic: string): Promise<{ readonly first: readonly number[]; readonly ends: readonly number[] }> {
    const [ends, first] = await Promise.all([
      this.driver.offsets(topic, 'latest'),
      this.driver.offsets(topic, 'earliest'),
    ])
    return { first, ends }
  }

  /** Where a group is, by partition. */
  committed(group: string, topic: string): Promise<readonly (Committed | undefined)[]> {
    return this.driver.committed(group, topic)
  }

  /** Asks the broker. */
  partitions(topic: string): Promise<number | undefined> {
    let asking = this.asking.get(topic)
    if (asking === undefined) {
      asking = this.driver
        .partitions(topic)
        .then((partitions) => {
          if (partitions === undefined) this.known.delete(topic)
          else {
            if (this.known.size >= MOST_KNOWN) this.known.clear()
            this.known.set(topic, { partitions, at: this.settings.clock.now() })
          }
          return partitions
        })
        .finally(() => this.asking.delete(topic))
      this.asking.set(topic, asking)
    }
    return asking
  }

  forget(topic: string): void {
    this.known.delete(topic)
  }

  /** The topic of a channel. */
  main({ name }: ChannelAddress): NewTopic {
    const { partitions, replicationFactor, topicConfig } = this.settings
    return { topic: topicName(name), partitions, replicationFactor, config: topicConfig }
  }

  /** The dead letters of a group. */
  dead(channel: ChannelAddress, group: string): NewTopic {
    const { replicationFactor } = this.settings
    return {
      topic: deadTopic(channel, group),
      partitions: 1,
      replicationFactor,
      config: { 'cleanup.policy': 'compact' },
    }
  }

  /** Where messages are put back for one group of a topic. */
  retry(channel: ChannelAddress, group: string): NewTopic {
    return {
      topic: retryTopic(channel, group),
      partitions: 1,
      replicationFactor: this.settings.replicationFactor,
      config: {},
    }
  }

  /** Makes those that are not there. What is known does not count: others may have dropped the group that they were of. */
  async ensure(topics: readonly NewTopic[]): Promise<void> {
    const missing: NewTopic[] = []
    for (const each of topics) if ((await this.partitions(each.topic)) === undefined) missing.push(each)
    if (missing.length === 0) return
    await this.driver.createTopics(missing)
    for (const { topic } of missing) {
      // Asked once more by whoever needs it: a topic that was there already has as many partitions as it has.
      this.forget(topic)
      await this.stands(topic)
    }
  }

  /** Deletes those that are there. Resolves once the broker does not know them any more. */
  async remove(topics: readonly string[]): Promise<void> {
    const there: string[] = []
    for (const topic of topics) if ((await this.partitions(topic)) !== undefined) there.push(topic)
    if (there.length === 0) return
    await this.driver.deleteTopics(there)
    const { clock } = this.settings
    for (const topic of there)
      for (const until = clock.now() + STANDS_WITHIN_MS; ; await sleep(clock, LOOK_AGAIN_MS)) {
        if ((await this.partitions(topic)) === undefined) break
        if (clock.now() > until)
          throw createError({
            code: 'UNAVAILABLE',
            effect: 'unknown',
            message: `topic ${topic} was deleted, and is there`,
          })
      }
  }

  // Brokers hear of a new topic one after the other.
  private async stands(topic: string): Promise<void> {
    const { clock } = this.settings
    for (const until = clock.now() + STANDS_WITHIN_MS; ; await sleep(clock, LOOK_AGAIN_MS)) {
      try {
        await this.driver.offsets(topic, 'latest')
        return
      } catch (error) {
        const { code } = classifyKafka(error)
        if ((code !== 'UNROUTABLE' && code !== 'UNAVAILABLE') || clock.now() > until) throw error
      }
    }
  }

  /** Whether the group has a place in that topic. */
  async hasGroup(group: string, topic: string): Promise<boolean> {
    return (await this.driver.committed(group, topic)).some((place) => place !== undefined)
  }

  /** Gives a new group its place; one that has one keeps it. */
  async makeGroup(group: string, topic: string, start: Start): Promise<void> {
    if (await this.hasGroup(group, topic)) return
    const offsets = await this.startOf(topic, start)
    await this.driver.setCommitted(
      group,
      offsets.map((offset, partition) => ({ topic, partition, offset })),
    )
  }

  /** The offset to begin at, by partition. */
  async startOf(topic: string, start: Start): Promise<readonly number[]> {
    if (typeof start !== 'object' || 'time' in start) return this.driver.offsets(topic, start)
    const earliest = await this.driver.offsets(topic, 'earliest')
    return earliest.map((offset, partition) => {
      const position = start.positions[String(partition)]
      return position === undefined ? offset : Math.max(Number(position) + 1, offset)
    })
  }

  /** Where a group is in these partitions. What it had not read and is gone is passed over. */
  async placesOf(group: string, partitions: readonly TopicPartition[]): Promise<readonly Committed[]> {
    const topics = [...new Set(partitions.map(({ topic }) => topic))]
    const found = new Map(
      await Promise.all(
        topics.map(async (topic) => {
          const [committed, earliest] = await Promise.all([
            this.driver.committed(group, topic, true),
            this.driver.offsets(topic, 'earliest'),
          ])
          return [topic, { committed, earliest }] as const
        }),
      ),
    )
    return partitions.map(({ topic, partition }) => {
      const { committed, earliest } = found.get(topic) as {
        committed: readonly (Committed | undefined)[]
        earliest: readonly number[]
      }
      const first = earliest[partition] ?? 0
      const place = committed[partition]
      return place !== undefined && place.offset >= first ? place : { offset: first, note: '' }
    })
  }
}
