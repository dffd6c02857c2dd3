// What this process receives: by queue and by group, who has asked for how much, and the requests that wait for it.
import type { ChannelPlace } from '../../core/contracts/transport.ts'
import type { ChannelAddress } from '../../core/message.ts'
import type { Held, HeldPlace } from './held.ts'
import type { LocalReceiver, PlaceOfReceivers } from './receiver.ts'
import { LIVE, placeKey } from './wire.ts'

// The sender has a timer of its own; this one is only how soon it may come again when nobody takes messages at the moment.
const SOON_MS = 100

/** A queue, a group, or one live subscription. Its receivers compete. */
export class LocalPlace implements HeldPlace, PlaceOfReceivers {
  readonly place: ChannelPlace
  readonly #mostWaiting: number
  readonly #receivers: LocalReceiver[] = []
  readonly #waiting: Held[] = []
  // Who holds messages of a key, and how many: later ones go to nobody else.
  readonly #keys = new Map<string, { readonly receiver: LocalReceiver; count: number }>()
  #next = 0
  #due = false

  constructor(place: ChannelPlace, mostWaiting: number) {
    this.place = place
    this.#mostWaiting = mostWaiting
  }

  /** Whether anybody takes messages. */
  get served(): boolean {
    return this.#receivers.length > 0
  }

  /** Whether one more may wait. Those that can be handed out at once do not count. */
  get full(): boolean {
    let credit = 0
    for (const receiver of this.#receivers) credit += receiver.credit
    return this.#waiting.length - credit >= this.#mostWaiting
  }

  join(receiver: LocalReceiver): void {
    this.#receivers.push(receiver)
  }

  /** The receiver takes no more. Requests that waited for it go elsewhere. */
  leave(receiver: LocalReceiver): void {
    const at = this.#receivers.indexOf(receiver)
    if (at < 0) return
    this.#receivers.splice(at, 1)
    if (this.served) return
    for (const held of this.#waiting.splice(0)) held.lose('nobody receives this at the moment', SOON_MS)
  }

  arrive(held: Held): void {
    this.#waiting.push(held)
    this.schedule()
  }

  /** Settled or lost: its key is free for others, and it waits no longer. */
  freed(held: Held): void {
    const { receiver, envelope } = held
    if (receiver === undefined) {
      const at = this.#waiting.indexOf(held)
      if (at >= 0) this.#waiting.splice(at, 1)
      return
    }
    receiver.freed(held)
    if (envelope.key === undefined) return
    const holder = this.#keys.get(envelope.key)
    if (holder?.receiver === receiver && --holder.count === 0) this.#keys.delete(envelope.key)
    if (this.#waiting.length > 0) this.schedule()
  }

  /** Hands out in a turn of its own: never from within `request` or `settle`. */
  schedule(): void {
    if (this.#due) return
    this.#due = true
    queueMicrotask(() => {
      this.#due = false
      this.#handOut()
    })
  }

  #handOut(): void {
    for (let at = 0; at < this.#waiting.length; ) {
      const held = this.#waiting[at] as Held
      const { key } = held.envelope
      const holder = key === undefined ? undefined : this.#keys.get(key)
      const receiver =
        holder === undefined ? this.#withCredit() : holder.receiver.credit > 0 ? holder.receiver : undefined
      if (receiver === undefined) {
        if (holder === undefined) return
        at++
        continue
      }
      this.#waiting.splice(at, 1)
      if (key !== undefined) {
        if (holder === undefined) this.#keys.set(key, { receiver, count: 1 })
        else holder.count++
      }
      receiver.hand(held)
    }
  }

  #withCredit(): LocalReceiver | undefined {
    const receivers = this.#receivers
    for (let n = 0; n < receivers.length; n++) {
      const receiver = receivers[(this.#next + n) % receivers.length] as LocalReceiver
      if (receiver.credit > 0) {
        this.#next = (this.#next + n + 1) % receivers.length
        return receiver
      }
    }
    return undefined
  }
}

/** All places of one transport. */
export class LocalPlaces {
  readonly #mostWaiting: number
  readonly #places = new Map<string, LocalPlace>()
  readonly #live = new Map<string, Set<LocalPlace>>()

  constructor(mostWaiting: number) {
    this.#mostWaiting = mostWaiting
  }

  /** The place of a queue or a group; made where it is not there. It stays: who was there may come back. */
  of(place: ChannelPlace): LocalPlace {
    const key = placeKey(place)
    let found = this.#places.get(key)
    if (found === undefined) {
      found = new LocalPlace(place, this.#mostWaiting)
      this.#places.set(key, found)
    }
    return found
  }

  has(place: ChannelPlace): boolean {
    return (
      this.#places.has(placeKey(place)) || (place.kind === 'topic' && place.group === undefined && this.#knows(place))
    )
  }

  /** A place for one live subscription. */
  live({ kind, name }: ChannelAddress): LocalPlace {
    const place = new LocalPlace({ kind, name }, this.#mostWaiting)
    const key = placeKey({ kind, name })
    const all = this.#live.get(key)
    if (all === undefined) this.#live.set(key, new Set([place]))
    else all.add(place)
    return place
  }

  /** A live subscription is over for good. */
  endLive(place: LocalPlace): void {
    this.#live.get(placeKey(place.place))?.delete(place)
  }

  /**
   * For whom a message is: a queue, a group, all live subscriptions (`*`), or, where no group is said, all subscriptions of the topic.
   * None: nobody was ever here for it.
   */
  meant(channel: ChannelAddress, group: string | undefined): readonly LocalPlace[] {
    if (channel.kind === 'queue' || (group !== undefined && group !== LIVE)) {
      const found = this.#places.get(placeKey({ ...channel, group }))
      return found === undefined ? [] : [found]
    }
    const live = [...(this.#live.get(placeKey(channel)) ?? [])]
    return group === LIVE ? live : [...live, ...this.#groups(channel)]
  }

  /** Whether live subscriptions to it have been here. */
  hadLive(channel: ChannelAddress): boolean {
    return this.#live.has(placeKey(channel))
  }

  /** The kind of a channel that is only named: what is received here under this name. */
  kindOf(name: string): ChannelAddress['kind'] | undefined {
    if (this.#places.has(placeKey({ kind: 'queue', name }))) return 'queue'
    return this.#knows({ kind: 'topic', name }) ? 'topic' : undefined
  }

  /** What is received at the moment. */
  served(): readonly ChannelPlace[] {
    const all = [...this.#places.values(), ...[...this.#live.values()].flatMap((each) => [...each])]
    const places = new Map<string, ChannelPlace>()
    for (const each of all) if (each.served) places.set(placeKey(each.place), each.place)
    return [...places.values()]
  }

  #knows(topic: ChannelAddress): boolean {
    return this.#live.has(placeKey(topic)) || this.#groups(topic).length > 0
  }

  #groups({ kind, name }: ChannelAddress): readonly LocalPlace[] {
    return [...this.#places.values()].filter(({ place }) => place.kind === kind && place.name === name)
  }
}
