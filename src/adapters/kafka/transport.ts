// The Kafka transport: channels are topics, groups are consumer groups, and a client of the user's does the talking.
import { detached } from '../../core/async-context.ts'
import { boundedBy } from '../../core/bounded.ts'
import type { CallContext } from '../../core/context.ts'
import type {
  ChannelPlace,
  DeadLetter,
  DeadLetters,
  Delivery,
  MessageTransport,
  ReceiveFrom,
  Receiver,
  SendResult,
  TransportCapabilities,
} from '../../core/contracts/transport.ts'
import type { ChannelAddress, Envelope } from '../../core/message.ts'
import { countOption, invalidOption } from '../../core/options.ts'
import { endsWithin } from '../../core/patience.ts'
import { type Code, createError, type FairleadError, isFairleadError, stamp } from '../../errors/index.ts'
import { kafkaCapabilities } from './capabilities.ts'
import { Cemetery } from './cemetery.ts'
import { checkReceive, groupOf, neededGroup, problemOf } from './checks.ts'
import { classifyKafka } from './classify-kafka.ts'
import type { KafkaDriver, TopicPartition } from './driver.ts'
import { partitionOf } from './murmur2.ts'
import { type KafkaSettings, type KafkaTransportOptions, kafkaSettings, topicName } from './options.ts'
import { Place } from './place.ts'
import { KafkaReceiver } from './receiver.ts'
import { behind, type Outgoing, Sender } from './sender.ts'
import { type KafkaLag, Topics } from './topics.ts'
import { recordOf } from './wire.ts'

/** `kafkaTransport` as made. */
export interface KafkaTransport extends MessageTransport {
  readonly deadLetters: DeadLetters
  /**
   * How far a group of a topic (or the group of a queue) is behind, as the broker knows it.
   * @throws FairleadError `CHANNEL_NOT_FOUND`
   */
  lag(channel: ChannelPlace): Promise<KafkaLag>
}

const ACCEPTED: SendResult = Object.freeze({ status: 'accepted' })
// A rebalance waits for members that are at work.
const JOIN_WITHIN_MS = 60_000
const CLOSE_WITHIN_MS = 8_000

class Transport implements KafkaTransport {
  readonly name: string
  readonly capabilities: TransportCapabilities
  readonly deadLetters: DeadLetters
  private readonly driver: KafkaDriver
  private readonly settings: KafkaSettings
  private readonly topics: Topics
  private readonly sender: Sender
  private readonly cemetery: Cemetery
  private readonly places = new Map<string, Promise<Place>>()
  private readonly receivers = new Set<KafkaReceiver>()
  private closed: Promise<void> | undefined
  private turn: number

  constructor(driver: KafkaDriver, settings: KafkaSettings) {
    const { name, maxDelayMs, maxPayloadBytes } = settings
    this.driver = driver
    this.settings = settings
    this.name = name
    this.topics = new Topics(driver, settings)
    this.sender = new Sender(driver, settings)
    this.cemetery = new Cemetery(driver, settings, this.topics, this.sender, (key, partitions) =>
      this.partitionFor(key, partitions),
    )
    this.turn = Math.floor(settings.random() * 1_000)
    this.capabilities = Object.freeze({ ...kafkaCapabilities, maxDelayMs, maxPayloadBytes })
    this.deadLetters = {
      list: (channel, { limit }) => this.listDead(channel, countOption('limit', limit, 0)),
      redrive: (channel, ids) => this.redrive(channel, ids),
    }
  }

  prepare(channels: readonly ChannelPlace[], mode: 'create' | 'check'): Promise<void> {
    return this.asked(undefined, JOIN_WITHIN_MS, async () => {
      const missing: string[] = []
      for (const channel of channels) {
        const group = groupOf(channel, this.settings)
        const { topic } = this.topics.main(channel)
        if (mode === 'create') {
          const beside = group === undefined ? [] : this.besides(channel, group)
          await this.topics.ensure([this.topics.main(channel), ...beside])
          if (channel.group !== undefined)
            await this.topics.makeGroup(this.idOf(channel, channel.group), topic, 'latest')
        } else if ((await this.topics.partitions(topic)) === undefined) missing.push(`${channel.kind} ${channel.name}`)
        else if (channel.group !== undefined && !(await this.topics.hasGroup(this.idOf(channel, channel.group), topic)))
          missing.push(`group ${channel.group} of topic ${channel.name}`)
      }
      if (missing.length > 0)
        throw this.error('CHANNEL_NOT_FOUND', undefined, `there is no ${missing.join(', no ')}`, { missing })
    })
  }

  async send(
    channel: ChannelAddress,
    envelopes: readonly Envelope[],
    context: CallContext,
  ): Promise<readonly SendResult[]> {
    const refusal = this.refusal(channel, context)
    if (refusal !== undefined) return envelopes.map(() => failed(refusal))
    if (envelopes.length === 0) return []
    let partitions = this.topics.cached(channel.name)
    if (partitions === undefined) {
      const found = await this.look(channel, context)
      if (isFairleadError(found)) return envelopes.map(() => failed(found))
      partitions = found
    }
    const results = new Array<SendResult>(envelopes.length).fill(ACCEPTED)
    const good: number[] = []
    const all: Outgoing[] = []
    let ahead: Map<string, string> | undefined
    for (let at = 0; at < envelopes.length; at++) {
      const envelope = envelopes[at] as Envelope
      const { key, id } = envelope
      const before = key === undefined ? undefined : ahead?.get(key)
      const problem =
        before === undefined
          ? problemOf(channel, envelope, this.settings)
          : stamp(behind(key as string, before), this.at(channel))
      if (problem === undefined) {
        const content = recordOf(envelope)
        all.push({
          id,
          key,
          record: { ...content, topic: channel.name, partition: this.partitionFor(content.key, partitions) },
        })
        good.push(at)
        continue
      }
      if (key !== undefined && before === undefined) (ahead ??= new Map()).set(key, id)
      results[at] = failed(problem)
    }
    if (good.length === 0) return results
    const errors = await this.sender.send(channel.name, all, context.deadline)
    for (const [index, error] of errors.entries()) {
      if (error === undefined) continue
      if (error.code === 'UNROUTABLE') this.topics.forget(channel.name)
      results[good[index] as number] = failed(error)
    }
    return results
  }

  async receive(from: ReceiveFrom, sink: (delivery: Delivery) => void): Promise<Receiver> {
    checkReceive(from, this.name)
    const begun: Promise<Receiver>[] = []
    try {
      return await this.asked(from.channel, JOIN_WITHIN_MS, () => {
        const work = detached(() => this.subscribe(from, sink))
        begun.push(work)
        return work
      })
    } catch (error) {
      // One that comes too late would keep its partitions, and never ask for anything.
      for (const work of begun)
        work.then(
          (receiver) => void receiver.close(),
          () => {},
        )
      throw error
    }
  }

  lag(channel: ChannelPlace): Promise<KafkaLag> {
    return this.asked(channel, this.settings.requestTimeoutMs, async () => {
      const group = this.idOf(channel, this.needsGroup(channel))
      const { topic } = this.topics.main(channel)
      if ((await this.topics.partitions(topic)) === undefined) throw this.notThere(channel)
      return this.topics.lag(group, topic)
    })
  }

  close(): Promise<void> {
    this.closed ??= this.ending()
    return this.closed
  }

  private async ending(): Promise<void> {
    const all = [...[...this.receivers].map((receiver) => receiver.close()), this.sender.close()]
    await endsWithin(Promise.all(all), CLOSE_WITHIN_MS, this.settings.clock).catch(() => {})
    await this.driver.close()
  }

  private async subscribe(from: ReceiveFrom, sink: (delivery: Delivery) => void): Promise<Receiver> {
    const { channel, temporary } = from
    if (temporary === true) return this.privately(channel, sink)
    const group = groupOf({ ...channel, group: from.group }, this.settings)
    const place = group === undefined ? await this.live(from) : await this.shared(from, group)
    return this.receiver(place, channel, sink)
  }

  private receiver(place: Place, address: ChannelAddress, sink: (delivery: Delivery) => void): KafkaReceiver {
    const receiver = new KafkaReceiver(place, { kind: address.kind, name: address.name }, sink)
    place.add(receiver)
    if (this.closed !== undefined) {
      void receiver.close()
      throw this.error('SHUTDOWN', address)
    }
    this.receivers.add(receiver)
    const gone = (): void => void this.receivers.delete(receiver)
    receiver.ended.then(gone, gone)
    return receiver
  }

  // Receivers of one group in one process are one member of it.
  private async shared(from: ReceiveFrom, group: string): Promise<Place> {
    const { channel } = from
    const key = `${channel.name} ${group}`
    for (;;) {
      const there = this.places.get(key)
      if (there === undefined) break
      const place = await there
      if (place.open) return place
      // It is ending: its member must have left before another one joins.
      await place.ended
      if (this.places.get(key) === there) this.places.delete(key)
    }
    const making = this.joined(from, group)
    this.places.set(key, making)
    making.catch(() => {
      if (this.places.get(key) === making) this.places.delete(key)
    })
    return making
  }

  private async joined({ channel, from }: ReceiveFrom, group: string): Promise<Place> {
    const { topic } = this.topics.main(channel)
    if ((await this.topics.partitions(topic)) === undefined) throw this.notThere(channel)
    const id = this.idOf(channel, group)
    const beside = channel.kind === 'topic' ? [this.topics.retry(channel, group)] : []
    await this.topics.ensure(beside)
    // A queue begins with all that it holds, as a group does that has no place yet.
    if (channel.kind === 'topic') await this.topics.makeGroup(id, topic, from ?? 'latest')
    const topics = [topic, ...beside.map((each) => each.topic)]
    const place = new Place({
      settings: this.settings,
      channel: channel.name,
      laneOf: (at) => (at.topic === topic ? String(at.partition) : `retry-${at.partition}`),
      placesOf: (partitions) => this.topics.placesOf(id, partitions),
      bury: (entry, reason) => this.cemetery.bury(channel, group, entry, reason),
      onClosed: () => {},
    })
    await place.begin((events) => this.driver.join(id, topics, events))
    return place
  }

  private async live({ channel, from }: ReceiveFrom): Promise<Place> {
    const { topic } = this.topics.main(channel)
    if ((await this.topics.partitions(topic)) === undefined) throw this.notThere(channel)
    return this.reading(topic, channel, await this.topics.startOf(topic, from ?? 'latest'), () => {})
  }

  private async privately(channel: ChannelAddress, sink: (delivery: Delivery) => void): Promise<Receiver> {
    const token = Math.floor(this.settings.random() * 36 ** 8)
      .toString(36)
      .padStart(8, '0')
    const name = `${channel.name.replace(/[^A-Za-z0-9._-]/g, '-').slice(0, 200)}.${token}`
    const address = { kind: channel.kind, name }
    const { clock, replicationFactor } = this.settings
    await this.topics.ensure([{ topic: name, partitions: 1, replicationFactor, config: {} }])
    const drop = async (): Promise<void> => {
      this.topics.forget(name)
      await endsWithin(this.driver.deleteTopics([name]), CLOSE_WITHIN_MS / 2, clock).catch(() => {})
    }
    try {
      return this.receiver(await this.reading(name, address, [0], drop), address, sink)
    } catch (error) {
      await drop()
      throw error
    }
  }

  private async reading(
    topic: string,
    channel: ChannelAddress,
    offsets: readonly number[],
    after: () => void | Promise<void>,
  ): Promise<Place> {
    const place = new Place({
      settings: this.settings,
      channel: channel.name,
      laneOf: ({ partition }) => String(partition),
      placesOf: async () => [],
      // Nobody could list the dead letters of a subscription that leaves nothing behind.
      bury: undefined,
      onClosed: after,
    })
    const lanes = offsets.map((offset, partition): readonly [TopicPartition, number] => [{ topic, partition }, offset])
    await place.beginReading(lanes, (events) =>
      this.driver.read(
        lanes.map(([at, offset]) => ({ ...at, offset })),
        events,
      ),
    )
    return place
  }

  private async *listDead(channel: ChannelPlace, limit: number): AsyncGenerator<DeadLetter> {
    const letters = await this.asked(channel, JOIN_WITHIN_MS, () =>
      this.cemetery.all(channel, this.needsGroup(channel)),
    )
    for (const { letter } of letters.slice(0, limit)) yield letter
  }

  private redrive(channel: ChannelPlace, ids: readonly string[] | 'all'): Promise<number> {
    return this.asked(channel, JOIN_WITHIN_MS, () => this.cemetery.redrive(channel, this.needsGroup(channel), ids))
  }

  private async look(channel: ChannelAddress, context: CallContext): Promise<number | FairleadError> {
    try {
      topicName(channel.name)
      let found: number | undefined
      const work = this.topics.partitions(channel.name).then((partitions) => {
        found = partitions
      })
      const patienceMs = Math.min(context.deadline.remainingMs(), this.settings.requestTimeoutMs)
      if (!(await endsWithin(work, patienceMs, this.settings.clock)))
        return createError({ code: 'DEADLINE_EXCEEDED', effect: 'none', ...this.at(channel) })
      if (this.closed !== undefined) return this.error('SHUTDOWN', channel)
      return found ?? this.error('UNROUTABLE', channel, `there is no ${channel.kind} ${channel.name}`)
    } catch (error) {
      return stamp(classifyKafka(error, { phase: 'connect' }), this.at(channel))
    }
  }

  private partitionFor(key: Uint8Array | null, partitions: number): number {
    if (key !== null) return partitionOf(key, partitions)
    this.turn = (this.turn + 1) % Number.MAX_SAFE_INTEGER
    return this.turn % partitions
  }

  private refusal(channel: ChannelAddress, context: CallContext): FairleadError | undefined {
    if (this.closed !== undefined) return this.error('SHUTDOWN', channel)
    if (context.aborted !== undefined)
      return createError({ code: 'CANCELLED', effect: 'none', cause: context.aborted.reason, ...this.at(channel) })
    return context.deadline.remainingMs() <= 0 ? this.error('DEADLINE_SPENT', channel) : undefined
  }

  private besides(channel: ChannelAddress, group: string): ReturnType<Topics['dead']>[] {
    const dead = this.topics.dead(channel, group)
    return channel.kind === 'queue' ? [dead] : [dead, this.topics.retry(channel, group)]
  }

  private needsGroup(channel: ChannelPlace): string {
    return neededGroup(channel, this.settings)
  }

  private idOf({ kind, name }: ChannelAddress, group: string): string {
    return this.settings.groupId({ kind, name }, group)
  }

  private async asked<T>(channel: ChannelAddress | undefined, withinMs: number, work: () => Promise<T>): Promise<T> {
    if (this.closed !== undefined) throw this.error('SHUTDOWN', channel)
    try {
      return await boundedBy(this.settings.clock, withinMs, work(), 'TIMED_OUT', 'no answer from Kafka', this.name)
    } catch (error) {
      if (this.closed !== undefined) throw this.error('SHUTDOWN', channel)
      throw stamp(classifyKafka(error), this.at(channel))
    }
  }

  private notThere(channel: ChannelAddress): FairleadError {
    return this.error('CHANNEL_NOT_FOUND', channel, `there is no ${channel.kind} ${channel.name}: prepare() makes it`)
  }

  private error(code: Code, channel: ChannelAddress | undefined, message?: string, details?: unknown): FairleadError {
    return createError({ code, message, details, ...this.at(channel) })
  }

  private at(channel: ChannelAddress | undefined): {
    readonly transport: string
    readonly channel: string | undefined
  } {
    return { transport: this.name, channel: channel?.name }
  }
}

/**
 * Messages in Kafka: topics and consumer groups; order per key with as many keys at a time as are free, retries, delays, dead letters, replay. Topics are made by
 * `prepare(channels, 'create')`. The driver belongs to the transport and is closed with it; the client itself is the user's.
 * @throws FairleadError `INVALID_OPTIONS`
 * @example const transport = kafkaTransport(kafkaJsDriver(new Kafka({ clientId: 'orders', brokers: ['kafka:9092'] })))
 */
export function kafkaTransport(driver: KafkaDriver, options: KafkaTransportOptions = {}): KafkaTransport {
  if (typeof driver?.join !== 'function' || typeof driver.producer !== 'function')
    throw invalidOption('driver', driver, 'give kafkaJsDriver(kafka) or platformaticKafkaDriver(...)')
  return new Transport(driver, kafkaSettings(options))
}

function failed(error: Error): SendResult {
  return { status: 'failed', error }
}
