// What this process receives: by queue and by group, who has asked for how much, and the requests that wait for it.
import type { ChannelPlace } from '../../core/contracts/transport.ts'
import type { ChannelAddress } from '../../core/message.ts'
import type { Held, HeldPlace } from './held.ts'
import type { LocalReceiver, PlaceOfReceivers } from './receiver.ts'
import { Waiting } from './waiting.ts'
import { LIVE, placeKey } from './wire.ts'

// The sender has a timer of its own; this one is only how soon it may come again when nobody takes messages at the moment.
const SOON_MS = 100

/** A queue, a group, or one live subscription. Its receivers compete. */
export class LocalPlace implements HeldPlace, PlaceOfReceivers {
  readonly place: ChannelPlace
  readonly #mostWaiting: number
  readonly #receivers: LocalReceiver[] = []
  readonly #waiting = new Waiting()
  // The most that its receivers ever had room for at once, what they held included.
  #widest = 0
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

  /** How many more may wait: 0 or less for none. Those that can be handed out at once do not count. */
  get room(): number {
    let credit = 0
    for (const receiver of this.#receivers) credit += receiver.credit
    return this.#mostWaiting + credit - this.#waiting.size
  }

  /** How many fit when nothing else is here, by all that was seen so far. */
  get most(): number {
    return this.#mostWaiting + this.#widest
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
    for (const held of this.#waiting.all()) held.lose('nobody receives this at the moment', SOON_MS)
  }

  arrive(held: Held): void {
    this.#waiting.add(held)
    this.schedule()
  }

  /** Settled or lost: its key is free for others, and it waits no longer. */
  freed(held: Held): void {
    const { receiver } = held
    if (receiver === undefined) {
      this.#waiting.remove(held)
      return
    }
    receiver.freed(held)
    this.#waiting.settled(held)
    if (this.#waiting.size > 0) this.schedule()
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

  // To each in turn, until none that has credit may have any of what waits.
  #handOut(): void {
    const receivers = this.#receivers
    let width = 0
    for (const receiver of receivers) width += receiver.width
    this.#widest = Math.max(this.#widest, width)
    for (let idle = 0; idle < receivers.length && this.#waiting.size > 0; ) {
      const receiver = receivers[this.#next % receivers.length] as LocalReceiver
      this.#next = (this.#next + 1) % receivers.length
      const held = receiver.credit > 0 ? this.#waiting.take(receiver) : undefined
      idle = held === undefined ? idle + 1 : 0
      if (held !== undefined) receiver.hand(held)
    }
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
