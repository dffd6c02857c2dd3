// The Kafka transport: channels are topics, groups are consumer groups, and a client of the user's does the talking.
import { detached } from '../../core/async-context.ts'
import { boundedBy } from '../../core/bounded.ts'
import type { CallContext } from '../../core/context.ts'
import type {
  Backlog,
  ChannelPlace,
  DeadLetter,
  DeadLetters,
  Delivery,
  ReceiveFrom,
  Receiver,
  SendResult,
  TransportCapabilities,
} from '../../core/contracts/transport.ts'
import { inKeyOrder } from '../../core/key-order.ts'
import type { ChannelAddress, Envelope } from '../../core/message.ts'
import { countOption, invalidOption } from '../../core/options.ts'
import { endsWithin } from '../../core/patience.ts'
import { type Code, createError, type FairleadError, isFairleadError, stamp } from '../../errors/index.ts'
import { waitingLive, waitingOf } from './backlog.ts'
import { kafkaCapabilities } from './capabilities.ts'
import { Cemetery } from './cemetery.ts'
import { checkReceive, groupOf, neededGroup, notThere, problemOf } from './checks.ts'
import { classifyKafka } from './classify-kafka.ts'
import type { KafkaDriver, TopicPartition } from './driver.ts'
import { canDrop, dropGroup } from './dropping.ts'
import { type KafkaSettings, type KafkaTransportOptions, kafkaSettings, topicName } from './options.ts'
import { Place } from './place.ts'
import { Places } from './places.ts'
import { groupIdOf, prepared } from './preparing.ts'
import { KafkaReceiver } from './receiver.ts'
import { retainedSince } from './retained.ts'
import { type Outgoing, Sender } from './sender.ts'
import { spreading } from './spreading.ts'
import { type KafkaLag, Topics } from './topics.ts'
import { TRANSACTIONS, type TransactionDesk, type TransactionPlan } from './transactions/kafka-transactions.ts'
import { TransportTransactions } from './transactions/transport-transactions.ts'
import type { KafkaTransport } from './transport-types.ts'
import { recordOf } from './wire.ts'

const ACCEPTED: SendResult = Object.freeze({ status: 'accepted' })
// Where the driver does not say it. A rebalance waits for members that are at work.
const JOIN_WITHIN_MS = 60_000
const READ_WITHIN_MS = 60_000 // all dead letters
const CLOSE_WITHIN_MS = 8_000

class Transport implements KafkaTransport {
  readonly name: string
  readonly capabilities: TransportCapabilities
  readonly deadLetters: DeadLetters
  readonly dropGroup?: (place: ChannelPlace) => Promise<void>
  private readonly driver: KafkaDriver
  private readonly settings: KafkaSettings
  private readonly topics: Topics
  private readonly sender: Sender
  private readonly cemetery: Cemetery
  private readonly transactions: TransportTransactions
  private readonly places = new Places()
  private readonly lives = new Set<Place>()
  private readonly receivers = new Set<KafkaReceiver>()
  private closed: Promise<void> | undefined
  private readonly partitionFor: (key: Uint8Array | null, partitions: number) => number
  // What asks more than once of the broker, a join among them: the join has a bound of its own, and strikes first.
  private readonly joinWithinMs: number

  constructor(driver: KafkaDriver, settings: KafkaSettings) {
    const { name, maxDelayMs, maxPayloadBytes } = settings
    this.driver = driver
    this.settings = settings
    this.name = name
    this.topics = new Topics(driver, settings)
    this.sender = new Sender(driver, settings)
    this.partitionFor = spreading(settings.random)
    this.cemetery = new Cemetery(driver, settings, this.topics, this.sender, this.partitionFor)
    this.transactions = new TransportTransactions(driver, settings, this.topics, this.partitionFor)
    this.joinWithinMs = (driver.joinWithinMs ?? JOIN_WITHIN_MS) + settings.requestTimeoutMs
    this.capabilities = Object.freeze({ ...kafkaCapabilities, maxDelayMs, maxPayloadBytes })
    this.deadLetters = {
      list: (channel, { limit }) => this.listDead(channel, countOption('limit', limit, 0)),
      redrive: (channel, ids) => this.redrive(channel, ids),
    }
    if (canDrop(driver)) {
      const by = { driver, topics: this.topics, settings, places: this.places }
      this.dropGroup = (place) => this.asked(place, this.joinWithinMs, () => dropGroup(place, by))
    }
  }

  prepare(channels: readonly ChannelPlace[], mode: 'create' | 'check'): Promise<void> {
    return this.asked(undefined, this.joinWithinMs, async () => {
      const missing = await prepared(channels, mode, this.topics, this.settings)
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
    const good: number[] = []
    const all: Outgoing[] = []
    const results = inKeyOrder(
      envelopes,
      (envelope, at) => {
        const problem = problemOf(channel, envelope, this.settings)
        if (problem !== undefined) return failed(problem)
        const { id, key } = envelope
        const content = recordOf(envelope)
        const partition = this.partitionFor(content.key, partitions)
        all.push({ id, key, record: { ...content, topic: channel.name, partition } })
        good.push(at)
        return ACCEPTED
      },
      (message, details) => this.error('TOO_EARLY', channel, message, details),
    )
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
      return await this.asked(from.channel, this.joinWithinMs, () => {
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

  retainedSince(channel: ChannelAddress): Promise<number | undefined> {
    const { requestTimeoutMs, clock } = this.settings
    // Some twenty-five questions, one after another.
    return this.asked(channel, requestTimeoutMs * 4, () => retainedSince(this.driver, channel, clock))
  }

  lag(channel: ChannelPlace): Promise<KafkaLag> {
    return this.asked(channel, this.settings.requestTimeoutMs, async () => {
      const group = this.idOf(channel, neededGroup(channel, this.settings))
      const { topic } = this.topics.main(channel)
      if ((await this.topics.partitions(topic)) === undefined) throw notThere(channel, this.name)
      return this.topics.lag(group, topic)
    })
  }

  inspect({ channel, group: given }: ReceiveFrom, minPriority?: number | undefined): Promise<Backlog> {
    return this.asked(channel, this.settings.requestTimeoutMs, async () => {
      if (minPriority !== undefined) throw this.error('CAPABILITY_MISSING', channel, 'Kafka has no priorities')
      const { topic } = this.topics.main(channel)
      if ((await this.topics.partitions(topic)) === undefined) throw notThere(channel, this.name)
      const group = groupOf({ ...channel, group: given }, this.settings)
      if (group === undefined) return waitingLive(this.topics, topic, this.lives)
      const retry = channel.kind === 'queue' ? undefined : this.topics.retry(channel, group).topic
      const place = await this.places.of(channel, group)?.catch(() => undefined)
      return waitingOf(this.topics, { id: this.idOf(channel, group), topic, retry }, place)
    })
  }

  close(): Promise<void> {
    this.closed ??= this.ending()
    return this.closed
  }

  [TRANSACTIONS](plan: TransactionPlan): TransactionDesk {
    return this.transactions.begin(plan, this.places.any)
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
    const place =
      group === undefined
        ? await this.live(from)
        : await this.places.shared(channel, group, () => this.joined(from, group))
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

  private async joined({ channel, from }: ReceiveFrom, group: string): Promise<Place> {
    const { topic } = this.topics.main(channel)
    if ((await this.topics.partitions(topic)) === undefined) throw notThere(channel, this.name)
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
      transactions: this.transactions.partsOf(id),
      onClosed: () => {},
    })
    await place.begin((events) => this.driver.join(id, topics, events))
    return place
  }

  private async live({ channel, from }: ReceiveFrom): Promise<Place> {
    const { topic } = this.topics.main(channel)
    if ((await this.topics.partitions(topic)) === undefined) throw notThere(channel, this.name)
    const place = await this.reading(topic, channel, await this.topics.startOf(topic, from ?? 'latest'), () => {
      this.lives.delete(place)
    })
    this.lives.add(place)
    return place
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
    const letters = await this.asked(channel, READ_WITHIN_MS, () =>
      this.cemetery.all(channel, neededGroup(channel, this.settings)),
    )
    for (const { letter } of letters.slice(0, limit)) yield letter
  }

  private redrive(channel: ChannelPlace, ids: readonly string[] | 'all'): Promise<number> {
    return this.asked(channel, READ_WITHIN_MS, () =>
      this.cemetery.redrive(channel, neededGroup(channel, this.settings), ids),
    )
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

  private refusal(channel: ChannelAddress, context: CallContext): FairleadError | undefined {
    if (this.closed !== undefined) return this.error('SHUTDOWN', channel)
    if (context.aborted !== undefined)
      return createError({ code: 'CANCELLED', effect: 'none', cause: context.aborted.reason, ...this.at(channel) })
    return context.deadline.remainingMs() <= 0 ? this.error('DEADLINE_SPENT', channel) : undefined
  }

  private idOf(channel: ChannelAddress, group: string): string {
    return groupIdOf(channel, group, this.settings)
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
