// The PostgreSQL transport: queues and topics in tables, for services that have the database already.
import { detached } from '../../../core/async-context.ts'
import { type Clock, LONGEST_TIMER_MS, type Random, systemClock, systemRandom } from '../../../core/clock.ts'
import type { CallContext } from '../../../core/context.ts'
import type {
  Backlog,
  ChannelPlace,
  DeadLetter,
  DeadLetters,
  Delivery,
  MessageTransport,
  ReceiveFrom,
  Receiver,
  SendResult,
  TransportCapabilities,
} from '../../../core/contracts/transport.ts'
import { bytesAbove } from '../../../core/envelope.ts'
import { inKeyOrder } from '../../../core/key-order.ts'
import type { ChannelAddress, Envelope } from '../../../core/message.ts'
import { countOption, durationOption, invalidOption, knownOptions } from '../../../core/options.ts'
import { endsWithin } from '../../../core/patience.ts'
import { uuidV7 } from '../../../core/uuid.ts'
import { createError } from '../../../errors/classes.ts'
import { type Code, type FairleadError, stamp } from '../../../errors/index.ts'
import { classifyPostgres } from '../classify-postgres.ts'
import { checkMigrations } from '../migrate.ts'
import { DEFAULT_SCHEMA, identifier } from '../names.ts'
import { notMigrated } from '../not-migrated.ts'
import { OPTIONS, type PostgresTransportOptions } from './options.ts'
import { postgresCapabilities } from './postgres-capabilities.ts'
import { LANE, PgReceiver } from './receiver.ts'
import { unstorable } from './rows.ts'
import { Sender } from './sender.ts'
import { type DeadCursor, type JoinRequest, MessageStore, type TransportDriver } from './store.ts'
import { Tidy } from './tidy.ts'
import { Watch } from './watch.ts'

const ACCEPTED: SendResult = Object.freeze({ status: 'accepted' })
// Once for a transaction would take most of a writer's throughput; so often costs it next to nothing.
const NOTIFY_EVERY_MS = 25
const CLOSE_WITHIN_MS = 5_000
const DEAD_AT_ONCE = 100
const LEAST_PRIORITY = -(2 ** 31)

class PostgresTransport implements MessageTransport {
  readonly name: string
  readonly capabilities: TransportCapabilities
  readonly deadLetters: DeadLetters
  private readonly driver: TransportDriver
  private readonly options: PostgresTransportOptions
  private readonly schema: string
  private readonly store: MessageStore
  private readonly clock: Clock
  private readonly random: Random
  private readonly watch: Watch
  private readonly tidy: Tidy
  private readonly leaseMs: number
  private readonly retentionMs: number
  private readonly senders = new Map<string, Sender>()
  private readonly receivers = new Set<PgReceiver>()
  // Ids of channels that this process receives from, by kind and name.
  private readonly channels = new Map<string, number>()
  private readonly listening = new Map<string, Promise<() => Promise<void>>>()
  private closed: Promise<void> | undefined

  constructor(driver: TransportDriver, options: PostgresTransportOptions) {
    this.driver = driver
    this.options = options
    this.name = options.name ?? 'postgres'
    this.schema = options.schema ?? DEFAULT_SCHEMA
    this.clock = options.clock ?? systemClock
    this.random = options.random ?? systemRandom
    this.leaseMs = durationOption('leaseMs', options.leaseMs, 30_000)
    this.retentionMs = durationOption('retentionMs', options.retentionMs, 86_400_000, 0)
    this.store = new MessageStore(driver, identifier('schema', this.schema))
    this.watch = new Watch(this.store, this.clock, durationOption('pollMs', options.pollMs, 500))
    this.tidy = new Tidy(this.store, this.clock, this.random)
    this.capabilities = Object.freeze({
      ...postgresCapabilities,
      maxPayloadBytes: countOption('maxPayloadBytes', options.maxPayloadBytes, postgresCapabilities.maxPayloadBytes),
    })
    this.deadLetters = {
      list: (channel, { limit }) => this.listDead(channel, countOption('limit', limit, 0)),
      redrive: (channel, ids) =>
        this.asked(async () => this.store.redrive(await this.placeAt(channel), ids === 'all' ? null : [...ids])),
    }
  }

  prepare(channels: readonly ChannelPlace[], mode: 'create' | 'check'): Promise<void> {
    return this.asked(async () => {
      await checkMigrations(this.driver as never, { schema: this.schema })
      const missing: string[] = []
      for (const channel of channels) {
        const { kind, name, group } = channel
        if (kind === 'queue' && group !== undefined)
          throw invalidOption('group', group, 'a queue has no groups: leave it out, or make a topic')
        if (mode === 'create') {
          await this.store.create(channel, this.retentionMs)
          if (group !== undefined) await this.store.join({ ...joining(channel), group })
          continue
        }
        const found = await this.store.find(channel)
        if (!found.channel) missing.push(`${kind} ${name}`)
        else if (found.place === undefined && group !== undefined) missing.push(`group ${group} of topic ${name}`)
      }
      if (missing.length > 0)
        throw this.error('CHANNEL_NOT_FOUND', undefined, `there is no ${missing.join(', no ')}`, { missing })
    })
  }

  retainedSince(channel: ChannelAddress): Promise<number | undefined> {
    return this.asked(() => this.store.retainedSince(channel))
  }

  dropGroup(place: ChannelPlace): Promise<void> {
    return this.asked(async () => {
      if (place.kind === 'queue') throw invalidOption('kind', place.kind, 'only a topic has groups')
      const found = await this.find(place)
      if (found !== undefined) await this.store.drop(found)
    })
  }

  async send(
    channel: ChannelAddress,
    envelopes: readonly Envelope[],
    context: CallContext,
  ): Promise<readonly SendResult[]> {
    const refusal = this.refusal(channel, context)
    if (refusal !== undefined) return envelopes.map(() => failed(refusal))
    const good: Envelope[] = []
    const results = inKeyOrder(
      envelopes,
      (envelope) => {
        const problem = this.problem(channel, envelope)
        if (problem !== undefined) return failed(problem)
        good.push(envelope)
        return ACCEPTED
      },
      (message, details) => this.error('TOO_EARLY', channel, message, details),
    )
    if (good.length === 0) return results
    const verdict = await this.sender(channel).send(good, context)
    return verdict === ACCEPTED || verdict.status === 'accepted'
      ? results
      : results.map((result) => (result === ACCEPTED ? verdict : result))
  }

  async receive(from: ReceiveFrom, sink: (delivery: Delivery) => void): Promise<Receiver> {
    this.check(from)
    return this.asked(() => detached(() => this.subscribe(from, sink)))
  }

  inspect({ channel, group }: ReceiveFrom, minPriority?: number | undefined): Promise<Backlog> {
    const least = minPriority === undefined ? LEAST_PRIORITY : Math.max(Math.ceil(minPriority), LEAST_PRIORITY)
    return this.asked(async () => {
      const found = await this.find({ ...channel, group })
      return found === undefined || least > -LEAST_PRIORITY - 1 ? { waiting: 0 } : this.store.inspect(found, least)
    })
  }

  close(): Promise<void> {
    this.closed ??= this.ending()
    return this.closed
  }

  private async ending(): Promise<void> {
    const all = [
      ...[...this.receivers].map((receiver) => receiver.close()),
      ...[...this.senders.values()].map((sender) => sender.close()),
    ]
    await endsWithin(Promise.all(all), CLOSE_WITHIN_MS * 3, this.clock)
    this.watch.close()
    this.tidy.close()
    for (const listening of this.listening.values()) void listening.then((stop) => stop()).catch(nothing)
  }

  private async subscribe(from: ReceiveFrom, sink: (delivery: Delivery) => void): Promise<Receiver> {
    const { clock, store, watch, tidy } = this
    const holder = uuidV7(clock)
    const temporary = from.temporary === true
    const live = temporary || (from.channel.kind === 'topic' && from.group === undefined)
    const address = temporary ? { kind: from.channel.kind, name: `${from.channel.name}/${holder}` } : from.channel
    const joined = await store.join({
      ...joining(address),
      ...startOf(from),
      group: from.group ?? (live ? holder : ''),
      live,
      temporary,
    })
    const { state, place, channel, wake } = joined
    if (state === 'missing')
      throw this.error('CHANNEL_NOT_FOUND', address, `there is no ${address.kind} ${address.name}: prepare() makes it`)
    if (state === 'private')
      throw this.error('FORBIDDEN', address, `${address.kind} ${address.name} belongs to another receiver`)
    if (state === 'expired') throw this.error('POSITION_EXPIRED', address, undefined, { earliest: joined.first })
    if (this.closed !== undefined) {
      if (live) await store.leave(place)
      throw this.error('SHUTDOWN', address)
    }
    const receiver = new PgReceiver({
      name: this.name,
      clock,
      random: this.random,
      store,
      watch,
      address,
      place,
      channelId: channel,
      holder,
      leaseMs: this.leaseMs,
      durableSettles: this.options.durableSettles ?? false,
      sink,
      errorOf: (error) => this.classified(error, address),
      onClaimed: (count) => tidy.took(count),
      onClosed: async () => {
        this.receivers.delete(receiver)
        tidy.forget(place)
        if (temporary) this.unlisten(address, wake)
        if (live) await store.leave(place)
      },
    })
    this.receivers.add(receiver)
    this.channels.set(`${address.kind} ${address.name}`, channel)
    tidy.start()
    if (live)
      tidy.keep(place, () =>
        receiver.fail(
          this.error(
            'CONNECTION_LOST',
            address,
            'the subscription was not heard of for too long, and its place removed',
          ),
        ),
      )
    this.listen(channel, wake)
    return receiver
  }

  // One for each channel, as long as the transport lives. Without it, polling finds the messages.
  private listen(channel: number, wake: string): void {
    if (this.options.notify === false || this.driver.listen === undefined || this.listening.has(wake)) return
    const listening = this.driver.listen(wake, () => this.watch.arrived(channel, Infinity))
    this.listening.set(wake, listening)
    listening.catch(nothing)
  }

  private unlisten({ kind, name }: ChannelAddress, wake: string): void {
    this.channels.delete(`${kind} ${name}`)
    const listening = this.listening.get(wake)
    this.listening.delete(wake)
    listening?.then((stop) => stop()).catch(nothing)
  }

  private sender(channel: ChannelAddress): Sender {
    const name = `${channel.kind} ${channel.name}`
    let sender = this.senders.get(name)
    if (sender === undefined) {
      // Reply addresses come and go.
      if (this.senders.size >= 1_000) for (const [each, { idle }] of this.senders) if (idle) this.senders.delete(each)
      sender = new Sender({
        name: this.name,
        clock: this.clock,
        store: this.store,
        channel,
        notifyEveryMs: this.options.notify === false ? undefined : NOTIFY_EVERY_MS,
        onSent: (_, count) => {
          const id = this.channels.get(name)
          if (id !== undefined) this.watch.arrived(id, count)
        },
        errorOf: (error) => this.classified(error, channel),
      })
      this.senders.set(name, sender)
    }
    return sender
  }

  private refusal(channel: ChannelAddress, context: CallContext): Error | undefined {
    if (this.closed !== undefined) return this.error('SHUTDOWN', channel)
    if (context.aborted !== undefined)
      return createError({
        code: 'CANCELLED',
        effect: 'none',
        transport: this.name,
        channel: channel.name,
        cause: context.aborted.reason,
      })
    return context.deadline.remainingMs() <= 0 ? this.error('DEADLINE_SPENT', channel) : undefined
  }

  private problem(channel: ChannelAddress, envelope: Envelope): Error | undefined {
    const { maxPayloadBytes } = this.capabilities
    if (bytesAbove(maxPayloadBytes, envelope) !== undefined)
      return this.error('PAYLOAD_TOO_LARGE', channel, `the limit is ${maxPayloadBytes} bytes`)
    const reason = unstorable(envelope)
    if (reason !== undefined) return this.error('INVALID_INPUT', channel, reason)
    if (envelope.notBefore !== undefined && envelope.notBefore - this.clock.wallNow() > LONGEST_TIMER_MS)
      return this.error(
        'CAPABILITY_MISSING',
        channel,
        `notBefore is further away than ${LONGEST_TIMER_MS} ms, the longest delay`,
      )
    return undefined
  }

  private check({ channel, group, from, temporary }: ReceiveFrom): void {
    if (channel.kind === 'queue' && group !== undefined)
      throw invalidOption('group', group, 'a queue has no groups: leave it out, or receive from a topic')
    if (group === '') throw invalidOption('group', group, 'give a name, or leave it out for a live subscription')
    if (temporary === true && group !== undefined)
      throw invalidOption('group', group, 'a temporary place has no groups: leave it out')
    if (from === undefined || from === 'latest' || (channel.kind === 'queue' && from === 'earliest')) return
    if (channel.kind === 'queue')
      throw this.error('CAPABILITY_MISSING', channel, 'a queue has no replay: what was handled is gone')
  }

  private async find(channel: ChannelPlace): Promise<number | undefined> {
    if (channel.kind === 'topic' && channel.group === undefined)
      throw invalidOption('group', undefined, 'say which group of the topic is meant')
    const found = await this.store.find(channel)
    if (!found.channel) throw this.error('CHANNEL_NOT_FOUND', channel, `there is no ${channel.kind} ${channel.name}`)
    return found.place
  }

  private async placeAt(channel: ChannelPlace): Promise<number> {
    // 0 is the id of no place: a group that is not there has no messages.
    return (await this.find(channel)) ?? 0
  }

  private async *listDead(channel: ChannelPlace, limit: number): AsyncGenerator<DeadLetter> {
    const place = await this.asked(() => this.placeAt(channel))
    let cursor: DeadCursor | undefined
    for (let left = limit; left > 0; ) {
      const asking = Math.min(left, DEAD_AT_ONCE)
      const page = await this.asked(() => this.store.dead(place, asking, cursor))
      for (const { letter } of page) yield letter
      if (page.length < asking) return
      left -= page.length
      cursor = page.at(-1)?.cursor
    }
  }

  private async asked<T>(work: () => Promise<T>): Promise<T> {
    if (this.closed !== undefined) throw this.error('SHUTDOWN', undefined)
    try {
      return await work()
    } catch (error) {
      throw this.classified(error, undefined)
    }
  }

  private classified(error: unknown, channel: ChannelAddress | undefined): FairleadError {
    return stamp(notMigrated(classifyPostgres(error), this.schema), { transport: this.name, channel: channel?.name })
  }

  private error(code: Code, channel: ChannelAddress | undefined, message?: string, details?: unknown): FairleadError {
    return createError({ code, message, transport: this.name, channel: channel?.name, details })
  }
}

/**
 * Messages in PostgreSQL: queues and topics with groups, order per key, priorities, leases, delays, dead letters, replay. It works through PgBouncer in
 * transaction mode. The tables are made by `migrate(driver, { schema })`, queues and topics by `prepare(channels, 'create')`.
 * `close` leaves the driver and its pool alone.
 * @throws FairleadError `INVALID_OPTIONS`
 * @example const transport = postgresTransport(pgDriver(pool))
 */
export function postgresTransport(driver: TransportDriver, options: PostgresTransportOptions = {}): MessageTransport {
  if (typeof driver?.execute !== 'function' || driver.dialect !== 'postgres')
    throw invalidOption('driver', driver, 'give pgDriver(pool)')
  knownOptions('postgresTransport', options, OPTIONS)
  return new PostgresTransport(driver, options)
}

function joining(address: ChannelAddress): JoinRequest {
  return { address, group: '', live: false, temporary: false, from: 'latest' }
}

function startOf({ from }: ReceiveFrom): Pick<JoinRequest, 'from' | 'time' | 'position'> {
  if (from === undefined || from === 'latest') return { from: 'latest' }
  if (from === 'earliest') return { from }
  if ('time' in from) return { from: 'time', time: from.time }
  const position = from.positions[LANE]
  if (position === undefined) return { from: 'earliest' }
  if (!/^\d{1,18}$/.test(position)) throw invalidOption('from.positions', position, 'give positions of deliveries')
  return { from: 'position', position }
}

function failed(error: Error): SendResult {
  return { status: 'failed', error }
}

function nothing(): void {}
