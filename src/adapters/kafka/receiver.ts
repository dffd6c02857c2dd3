// One receiver: its credit and what it holds. Receivers of one group in one process share one member of the group, their place.
import type { Delivery, Receiver, SettleOptions, SettleVerdict } from '../../core/contracts/transport.ts'
import type { ChannelAddress } from '../../core/message.ts'
import { classify, type FairleadError } from '../../errors/index.ts'
import { type DeliveryOwner, KafkaDelivery } from './delivery.ts'
import type { Entry } from './lanes/partition.ts'
import type { KafkaSettings } from './options.ts'

/** What a receiver asks of its place. */
export interface ReceiverPlace {
  readonly settings: KafkaSettings
  /** Hands out what can be, but never on the caller's stack. */
  dispatchSoon(): void
  handed(delivery: KafkaDelivery): void
  settle(
    receiver: KafkaReceiver,
    delivery: KafkaDelivery,
    verdict: SettleVerdict,
    options: SettleOptions | undefined,
  ): Promise<void>
  giveBack(entry: Entry, delayMs: number, overtake: boolean): void
  left(receiver: KafkaReceiver): Promise<void>
  stopped(): void
}

/** Takes messages from a place, and keeps the right to settle them. */
export class KafkaReceiver implements Receiver, DeliveryOwner {
  readonly name: string
  readonly channel: string
  readonly address: ChannelAddress
  readonly leaseMs: number | undefined
  readonly maxDelayMs: number
  readonly ended: Promise<void>
  readonly held: Set<KafkaDelivery> = new Set()
  credit: number = 0
  private state: 'open' | 'stopped' | 'closed' = 'open'
  readonly place: ReceiverPlace
  private readonly sink: (delivery: Delivery) => void
  private closing: Promise<void> | undefined
  private end!: { readonly resolve: () => void; readonly reject: (error: unknown) => void }

  constructor(place: ReceiverPlace, address: ChannelAddress, sink: (delivery: Delivery) => void) {
    const { settings } = place
    this.place = place
    this.name = settings.name
    this.channel = address.name
    this.address = address
    this.leaseMs = settings.maxHandlingMs > 0 ? settings.maxHandlingMs : undefined
    this.maxDelayMs = settings.maxDelayMs
    this.sink = sink
    this.ended = new Promise((resolve, reject) => {
      this.end = { resolve, reject }
    })
    // Nobody has to listen.
    this.ended.catch(() => {})
  }

  get wanting(): boolean {
    return this.state === 'open'
  }

  get wants(): boolean {
    return this.state === 'open' && this.credit > 0
  }

  request(count: number): void {
    if (this.state !== 'open' || !(Number.isSafeInteger(count) && count > 0)) return
    this.credit += count
    this.place.dispatchSoon()
  }

  stop(): Promise<void> {
    if (this.state === 'open') {
      this.state = 'stopped'
      this.place.stopped()
    }
    return Promise.resolve()
  }

  close(): Promise<void> {
    this.closing ??= this.leave()
    return this.closing
  }

  /** Hands out one. */
  take(entry: Entry): void {
    this.credit--
    const delivery = new KafkaDelivery(this, entry, this.place.settings.clock.now())
    this.held.add(delivery)
    this.place.handed(delivery)
    try {
      this.sink(delivery)
    } catch (error) {
      this.giveUp(delivery)
      this.place.giveBack(entry, 0, false)
      void this.fail(classify(error, { transport: this.name, channel: this.channel }))
    }
  }

  settled(delivery: KafkaDelivery, verdict: SettleVerdict, options: SettleOptions | undefined): Promise<void> {
    return this.place.settle(this, delivery, verdict, options)
  }

  /** It is not held here any more; if it was, its holder is told. */
  giveUp(delivery: KafkaDelivery): void {
    this.held.delete(delivery)
    delivery.lose()
  }

  /** Ends on its own. */
  async fail(error: FairleadError): Promise<void> {
    if (this.state === 'closed') return
    this.state = 'closed'
    this.closing ??= this.place.left(this).then(() => this.end.reject(error))
    await this.closing
  }

  private async leave(): Promise<void> {
    this.state = 'closed'
    await this.place.left(this)
    this.end.resolve()
  }
}
