// Acknowledgements of one turn: those with no gap before them go as one, since each by itself is a write here and work at the broker.
import type { AmqpChannel } from './driver.ts'

/** What is acknowledged on one channel. Delivery tags count up on it, one by one. */
export class AckLine {
  private readonly channel: AmqpChannel
  // Messages that are not settled, in the order of their tags.
  private readonly open = new Set<number>()
  private waiting: number[] = []

  constructor(channel: AmqpChannel) {
    this.channel = channel
  }

  /** A message came. */
  came(tag: number): void {
    this.open.add(tag)
  }

  /** To be acknowledged with the next `write`. */
  add(tag: number): void {
    this.waiting.push(tag)
  }

  /** Gives it back at once. */
  nack(tag: number): void {
    this.open.delete(tag)
    this.channel.nack(tag, true)
  }

  /** Tells the broker of all that were added. */
  write(): void {
    const tags = this.waiting
    this.waiting = []
    for (const tag of tags) this.open.delete(tag)
    const [first = Infinity] = this.open
    // The one that is named has to be open: of one that was given back the broker knows nothing any more, and would end the channel.
    let last = 0
    let together = 0
    for (const tag of tags) {
      if (tag > first) this.channel.ack(tag)
      else {
        together++
        if (tag > last) last = tag
      }
    }
    if (together > 0) this.channel.ack(last, together > 1)
  }
}
