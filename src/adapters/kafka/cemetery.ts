// Gives messages up, and puts them back: the topics of dead letters by way of the sender.
import type { ChannelAddress } from '../../core/message.ts'
import { notThere } from './checks.ts'
import { deadRecord, type KeptLetter, readDead, redriven } from './dead-letters.ts'
import type { KafkaDriver, NewRecord } from './driver.ts'
import type { Entry } from './lanes/partition.ts'
import type { KafkaSettings } from './options.ts'
import type { Outgoing, Sender } from './sender.ts'
import type { Topics } from './topics.ts'

/** Dead letters of one transport. */
export class Cemetery {
  private readonly driver: KafkaDriver
  private readonly settings: KafkaSettings
  private readonly topics: Topics
  private readonly sender: Sender
  private readonly partitionFor: (key: Uint8Array | null, partitions: number) => number

  constructor(
    driver: KafkaDriver,
    settings: KafkaSettings,
    topics: Topics,
    sender: Sender,
    partitionFor: (key: Uint8Array | null, partitions: number) => number,
  ) {
    this.driver = driver
    this.settings = settings
    this.topics = topics
    this.sender = sender
    this.partitionFor = partitionFor
  }

  /** Resolves once the dead letter is written. */
  async bury(channel: ChannelAddress, group: string, entry: Entry, reason: string): Promise<void> {
    const dead = this.topics.dead(channel, group)
    const record = deadRecord(dead.topic, entry, reason, this.settings.clock.wallNow())
    const letter: Outgoing = { id: entry.envelope.id, key: undefined, record }
    for (let made = false; ; ) {
      if (this.topics.cached(dead.topic) === undefined) {
        await this.topics.ensure([dead])
        await this.topics.partitions(dead.topic)
        made = true
      }
      const [error] = await this.sender.send(channel.name, [letter], undefined)
      if (error === undefined) return
      if (error.code === 'UNROUTABLE') this.topics.forget(dead.topic)
      // Others may have dropped the group since it was known, and it was made anew.
      if (error.code !== 'UNROUTABLE' || made) throw error
    }
  }

  /** All of a group, oldest first. @throws FairleadError `CHANNEL_NOT_FOUND` */
  async all(channel: ChannelAddress, group: string): Promise<readonly KeptLetter[]> {
    const { topic } = this.topics.dead(channel, group)
    if ((await this.topics.partitions(topic)) !== undefined) return readDead(this.driver, topic, this.settings.clock)
    if ((await this.topics.partitions(this.topics.main(channel).topic)) !== undefined) return []
    throw notThere(channel)
  }

  /** Puts them back, and then takes them out of the dead letters. Answers how many. */
  async redrive(channel: ChannelAddress, group: string, ids: readonly string[] | 'all'): Promise<number> {
    const wanted = ids === 'all' ? undefined : new Set(ids)
    const letters = (await this.all(channel, group)).filter(({ envelope }) => wanted?.has(envelope.id) ?? true)
    if (letters.length === 0) return 0
    // A queue has one group only; those of a topic must not see what another one's was.
    const to = channel.kind === 'queue' ? this.topics.main(channel) : this.topics.retry(channel, group)
    await this.topics.ensure([to])
    const partitions = (await this.topics.partitions(to.topic)) ?? to.partitions
    const outgoing = letters.map((letter): Outgoing => {
      const content = redriven(letter)
      const record: NewRecord = { ...content, topic: to.topic, partition: this.partitionFor(content.key, partitions) }
      return { id: letter.envelope.id, key: letter.envelope.key, record }
    })
    const errors = await this.sender.send(channel.name, outgoing, undefined)
    const { topic } = this.topics.dead(channel, group)
    const back = letters.filter((_, at) => errors[at] === undefined)
    const tombstones = back.map(
      ({ key, envelope }): Outgoing => ({
        id: envelope.id,
        key: undefined,
        record: { topic, partition: 0, key, value: null, headers: {} },
      }),
    )
    const taken = tombstones.length === 0 ? [] : await this.sender.send(channel.name, tombstones, undefined)
    const error = [...errors, ...taken].find((each) => each !== undefined)
    if (error !== undefined) throw error
    return back.length
  }
}
