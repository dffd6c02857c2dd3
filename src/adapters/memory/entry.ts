// A message as a queue or a group holds it. Every field is set in the constructor: one hidden class, about 100 bytes.
import type { Envelope } from '../../core/message.ts'
import type { Heap } from './heap.ts'

/** One message at one place. */
export class Entry {
  readonly envelope: Envelope
  readonly priority: number
  /** Its place in the order of the channel. It keeps it when it is given back. */
  readonly seq: number
  /** When it was sent, in whole milliseconds of the clock. */
  readonly sentAt: number
  /** Set while it waits or is held. */
  key: KeyState | undefined
  /** How often it was handed out. */
  handedOut: number
  /** Not before this instant of the clock; 0 for now. */
  readyAt: number
  /** It waits for its time in the list of its key, so that those behind it wait too. */
  blocking: boolean
  /** The next one of its key and priority. */
  next: Entry | undefined
  /** A pointer to it is in the common lists. */
  listed: boolean
  /** A pointer to it is in the list of this holder. */
  offeredTo: Holder | undefined

  constructor(envelope: Envelope, seq: number, sentAt: number) {
    this.envelope = envelope
    this.priority = envelope.priority ?? 0
    this.seq = seq
    this.sentAt = sentAt
    this.key = undefined
    this.handedOut = 0
    this.readyAt = 0
    this.blocking = false
    this.next = undefined
    this.listed = false
    this.offeredTo = undefined
  }
}

/** Who holds messages of keys: a receiver, as the order of keys sees it. */
export interface Holder {
  /** Heads of the keys that it holds: only it may have them. */
  readonly offers: Heap<Entry>
  /** How many keys it holds. */
  keysHeld: number
}

/** The waiting messages of one key and one priority, in order. */
export interface KeyLevel {
  readonly priority: number
  head: Entry | undefined
  tail: Entry | undefined
  /** Without one that waits for its time. */
  count: number
  /** The level of the next lower priority. */
  below: KeyLevel | undefined
}

/** What the order of a key needs to know. It exists while one of its messages waits or is held. */
export class KeyState {
  readonly key: string
  /** Whoever holds one of its messages: the later ones go there only. */
  holder: Holder | undefined
  /** How many of its messages are held. */
  held: number
  /** How many in its lists wait for their time. While there is one, nothing of the key is handed out. */
  blocked: number
  top: KeyLevel | undefined

  constructor(key: string) {
    this.key = key
    this.holder = undefined
    this.held = 0
    this.blocked = 0
    this.top = undefined
  }

  /** The one that comes next. Only a level that is alone is ever empty. */
  first(): Entry | undefined {
    return this.top?.head
  }
}

/** Higher priority first, then the order of the channel. */
export function comesBefore(a: Entry, b: Entry): boolean {
  return a.priority > b.priority || (a.priority === b.priority && a.seq < b.seq)
}
