// Acknowledgements of one turn: those with no gap before them go as one, since each by itself is a write here and work at the broker.
import type { AmqpChannel } from './driver.ts'

/** What is acknowledged on one channel. Delivery tags count up on it, one by one. */
export class AckLine {
  private readonly channel: AmqpChannel
  // Every message below it is settled.
  private floor: number | undefined
  // Settled ones at and above it.
  private readonly settled = new Set<number>()
  private waiting: number[] = []

  constructor(channel: AmqpChannel) {
    this.channel = channel
  }

  /** A message came. */
  came(tag: number): void {
    this.floor ??= tag
  }

  /** To be acknowledged with the next `write`. */
  add(tag: number): void {
    this.waiting.push(tag)
  }

  /** Gives it back at once. */
  nack(tag: number): void {
    this.settled.add(tag)
    this.channel.nack(tag, true)
  }

  /** Tells the broker of all that were added. */
  write(): void {
    const tags = this.waiting
    this.waiting = []
    for (const tag of tags) this.settled.add(tag)
    let floor = this.floor ?? 0
    while (this.settled.delete(floor)) floor++
    this.floor = floor
    // The one that is named has to be open: of one that was given back the broker knows nothing any more, and would end the channel.
    let last = 0
    let together = 0
    for (const tag of tags) {
      if (tag >= floor) this.channel.ack(tag)
      else {
        together++
        if (tag > last) last = tag
      }
    }
    if (together > 0) this.channel.ack(last, together > 1)
  }
}
