// The broker: what several transports of one process share, as several processes share a server.
import type { ReceiveFrom } from '../../core/contracts/transport.ts'
import type { ChannelAddress } from '../../core/message.ts'
import { createError } from '../../errors/classes.ts'
import { Queue, Topic } from './channels.ts'
import type { Place } from './place.ts'
import type { MemoryReceiver } from './receiver.ts'
import { type BrokerSettings, brokerSettings, type MemoryBrokerOptions } from './settings.ts'

/** Queues and topics in this process. What it holds ends with the process. */
export interface MemoryBroker {
  /**
   * Ends every subscription as a broken connection would: `ended` rejects with `CONNECTION_LOST`, what is held is given back.
   * For tests of how a service takes it.
   */
  cut(): void
}

// Reserved: what begins so is gone with its receiver, and no send brings it back.
const TEMPORARY = '~temporary/'

/** The state behind a MemoryBroker. */
export class BrokerState implements MemoryBroker {
  readonly settings: BrokerSettings
  /** Of all transports: to be cut. */
  readonly receivers: Set<MemoryReceiver> = new Set()
  private readonly queues = new Map<string, Queue>()
  private readonly topics = new Map<string, Topic>()
  private temporaries = 0

  constructor(options: MemoryBrokerOptions) {
    this.settings = brokerSettings(options)
  }

  cut(): void {
    for (const receiver of [...this.receivers])
      receiver.fail(createError({ code: 'CONNECTION_LOST', channel: receiver.channel, transport: receiver.name }))
  }

  /** Messages that wait, are delayed or held: all but dead ones, each once for each group that is to have it. */
  get unsettled(): number {
    let sum = 0
    for (const { place } of this.queues.values()) sum += place.unsettled
    for (const topic of this.topics.values()) sum += topic.unsettled
    return sum
  }

  /** A queue or topic, if it is there, or may come into being. */
  find({ kind, name }: ChannelAddress): Queue | Topic | undefined {
    const found = kind === 'queue' ? this.queues.get(name) : this.topics.get(name)
    return found ?? (this.settings.autoCreate && !name.startsWith(TEMPORARY) ? this.make(kind, name) : undefined)
  }

  /** Makes it, or leaves it as it is. */
  create({ kind, name }: ChannelAddress): Queue | Topic {
    return (kind === 'queue' ? this.queues.get(name) : this.topics.get(name)) ?? this.make(kind, name)
  }

  has({ kind, name }: ChannelAddress): boolean {
    return kind === 'queue' ? this.queues.has(name) : this.topics.has(name)
  }

  /** Where messages of a queue or a group wait; undefined where there is nothing of that name. */
  placeAt({ kind, name }: ChannelAddress, group: string | undefined): Place | undefined {
    if (kind === 'queue') return this.queues.get(name)?.place
    return group === undefined ? undefined : this.topics.get(name)?.groups.get(group)
  }

  /**
   * The place to receive from, and how to be rid of it again.
   * @throws FairleadError `CHANNEL_NOT_FOUND`, `FORBIDDEN` for the temporary place of somebody else, `POSITION_EXPIRED`
   */
  open(from: ReceiveFrom): { readonly address: ChannelAddress; readonly place: Place; readonly leave: () => void } {
    const { channel, group } = from
    if (from.temporary === true) return this.openTemporary(channel)
    if (channel.name.startsWith(TEMPORARY)) throw createError({ code: 'FORBIDDEN', channel: channel.name })
    const found = this.find(channel)
    if (found === undefined) throw createError({ code: 'CHANNEL_NOT_FOUND', channel: channel.name })
    if (found instanceof Queue) return { address: channel, place: found.place, leave: nothing }
    if (group !== undefined) return { address: channel, place: found.group(group, from.from), leave: nothing }
    const place = found.subscribe(from.from)
    return { address: channel, place, leave: () => found.unsubscribe(place) }
  }

  private openTemporary(channel: ChannelAddress): ReturnType<BrokerState['open']> {
    const address: ChannelAddress = { kind: channel.kind, name: `${TEMPORARY}${channel.name}/${++this.temporaries}` }
    const made = this.make(address.kind, address.name)
    const leave = (): void => {
      this.queues.delete(address.name)
      this.topics.delete(address.name)
      made.close()
    }
    return { address, place: made instanceof Queue ? made.place : made.subscribe('latest'), leave }
  }

  private make(kind: 'queue' | 'topic', name: string): Queue | Topic {
    if (kind === 'topic') {
      const topic = new Topic(this.settings)
      this.topics.set(name, topic)
      return topic
    }
    const queue = new Queue(this.settings)
    this.queues.set(name, queue)
    return queue
  }
}

/**
 * A broker in this process. Transports that share it are like processes that share a server.
 * @throws FairleadError `INVALID_OPTIONS`
 * @example
 * const broker = memoryBroker()
 * const sender = memoryTransport({ broker })
 * const receiver = memoryTransport({ broker })
 */
export function memoryBroker(options: MemoryBrokerOptions = {}): MemoryBroker {
  return new BrokerState(options)
}

function nothing(): void {}
